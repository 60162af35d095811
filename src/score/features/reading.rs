//! What a reader may see of a message besides what most programs show: the views.
//!
//! The main view is the message as most programs show it; the model was trained on it. Anything
//! else that some reader sees (another alternative, an attached message or text, hidden words, the
//! middle of a long text) becomes a separate view, and the worst view counts. A view that adds
//! nothing to the main one is skipped, so that ordinary mail costs no more than before.

use super::{Extractor, HEAD, Shown, Source, TAIL, calendar, legible, looks_like_html, rtf};
use crate::mail::encoding::{self, Encoding};
use crate::mail::mime::{LeafKind, LeafPlace, MimeTree, Part};
use crate::score::finding::Finding;
use crate::score::html::{self, HtmlLink, HtmlPage};
use crate::score::text;
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// Views that are scored.
const MAX_VIEWS: usize = 128;
/// Views of one attachment.
pub(super) const MAX_OF_ATTACHMENT: usize = 4;
/// Octets of one view.
pub(super) const WINDOW: usize = HEAD + TAIL;
/// Octets of an alternative from which on it is read only where it sells something.
const LONG_ALTERNATIVE: usize = 2048;
/// Octets that a view repeats of the one before it.
const OVERLAP: usize = 256;
/// Text of all parts that is shown with the message, octets.
pub(super) const MAX_GATHERED: usize = 1024 * 1024;
/// Encoded octets that are decoded of one plain text, of one HTML text, of one attachment, and of
/// all together.
pub(super) const MAX_PLAIN: usize = 3 * 1024 * 1024 / 2;
pub(super) const MAX_HTML: usize = 16 * 1024 * 1024;
pub(super) const MAX_ATTACHED: usize = 1024 * 1024;
const MAX_DECODED: usize = 32 * 1024 * 1024;
/// Messages that were encoded as a whole, and walked when they were decoded.
const MAX_SOURCES: usize = 32;

/// A text that some reader sees.
#[derive(Debug)]
pub(super) struct View {
    pub source: Source,
    pub text: String,
    pub links: Vec<HtmlLink>,
    pub shown: Shown,
    /// The links of the main view are shown with this text, too.
    pub beside: bool,
    /// Nats taken off: with many stretches of one text, some look bad by chance.
    pub chance: f64,
}

/// A part that the main view shows: its place in the gathered text, and what other readers may see
/// of its page.
#[derive(Debug)]
pub(super) struct TextPiece {
    pub range: Range<usize>,
    pub alternative: Option<usize>,
    pub message: usize,
    pub page: Option<HtmlPage>,
    pub shown: Shown,
}

/// The text of a message as it is gathered.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub views: Vec<View>,
    pub findings: Vec<Finding>,
    pub pieces: Vec<TextPiece>,
    hashes: Vec<u64>,
    decoded: usize,
    /// Decoded messages that are still to be walked, and the levels around each.
    pub sources: Vec<(Vec<u8>, usize)>,
    taken: usize,
    /// Deepest nesting and entities of the messages walked later.
    pub depth: usize,
    pub entities: usize,
}

impl Reading {
    pub(super) fn find(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Decodes a part within the limit that is left.
    pub(super) fn text<'a>(&mut self, part: &Part<'a>, most: usize) -> Cow<'a, str> {
        self.text_as(
            part.body,
            part.encoding,
            part.charset.as_deref(),
            most,
            part.place != LeafPlace::Inline,
        )
    }

    pub(super) fn text_as<'a>(
        &mut self,
        body: &'a [u8],
        encoding: Encoding,
        charset: Option<&str>,
        most: usize,
        aside: bool,
    ) -> Cow<'a, str> {
        let most = most.min(MAX_DECODED.saturating_sub(self.decoded));
        self.decoded += body.len().min(most);
        if body.len() > most && (!aside || most == 0) {
            self.find(Finding::Text);
        }
        legible::text(body, encoding, charset, most)
    }

    /// The octets that may be read of a part that is walked as a separate message; `None` if there
    /// are too many such parts.
    pub(super) fn source<'a>(&mut self, part: &Part<'a>) -> Option<&'a [u8]> {
        if self.taken >= MAX_SOURCES {
            self.find(Finding::Texts);
            return None;
        }
        let most = MAX_HTML.min(MAX_DECODED.saturating_sub(self.decoded));
        if part.body.len() > most {
            self.find(Finding::Text);
        }
        let body = part
            .body
            .get(..part.body.len().min(most))
            .unwrap_or_default();
        self.decoded += body.len();
        Some(body)
    }

    pub(super) fn add_source(&mut self, octets: Vec<u8>, around: usize) {
        self.taken += 1;
        self.sources.push((octets, around));
    }

    /// Adds a view, in windows if it is long. A text that was already added is not added again.
    pub(super) fn view(&mut self, source: Source, text: &str, links: Vec<HtmlLink>, shown: Shown) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        if self.hashes.contains(&hash) {
            return;
        }
        self.hashes.push(hash);
        let most = if matches!(source, Source::Attached) {
            MAX_OF_ATTACHMENT
        } else {
            MAX_VIEWS
        };
        let windows = windows(text, most);
        let chance = (windows.len() as f64).ln();
        let beside = !matches!(
            source,
            Source::Alternative | Source::Decoded | Source::Message
        );
        let mut links = Some(links);
        for window in windows {
            if self.views.len() >= MAX_VIEWS {
                return self.find(Finding::Texts);
            }
            // A text without a way to answer and without money sells nothing: a long text of that
            // kind is not read twice.
            let long = source == Source::Later
                || (source == Source::Alternative && text.len() > LONG_ALTERNATIVE);
            if long
                && links.as_ref().is_none_or(Vec::is_empty)
                && !sells(text.get(window.clone()).unwrap_or_default())
            {
                continue;
            }
            let links = if window.start == 0 {
                links.take().unwrap_or_default()
            } else {
                Vec::new()
            };
            let text = text.get(window).unwrap_or_default().to_owned();
            self.views.push(View {
                source,
                text,
                links,
                shown,
                beside,
                chance,
            });
        }
    }
}

/// Whether a text names a page, an address, a telephone number with its country, or a sum of money.
fn sells(text: &str) -> bool {
    let octets = text.as_bytes();
    let phone = || {
        memchr::memchr_iter(b'+', octets)
            .any(|at| octets.get(at + 1).is_some_and(u8::is_ascii_digit))
    };
    memchr::memchr2(b'@', b'$', octets).is_some()
        || [
            "://", "www.", "USD", "EUR", "GBP", "\u{20ac}", "\u{a3}", "illion",
        ]
        .iter()
        .any(|mark| memchr::memmem::find(octets, mark.as_bytes()).is_some())
        || phone()
}

/// Stretches of a text that are read one by one: at most so many; the last one is the end of the
/// text.
fn windows(text: &str, most: usize) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let rest = text.len() - start;
        if rest > WINDOW && all.len() + 1 >= most {
            start = text.ceil_char_boundary(text.len() - WINDOW);
        }
        let end = text.floor_char_boundary((start + WINDOW).min(text.len()));
        all.push(start..end);
        if end >= text.len() {
            break;
        }
        start = text.ceil_char_boundary(end - OVERLAP);
    }
    all
}

impl Extractor {
    /// Decodes the text parts that are shown into `gathered`, notes links, pictures and hidden
    /// text. Returns what the pages held.
    pub(super) fn gather(&mut self, tree: &MimeTree<'_>, reading: &mut Reading) -> Shown {
        let mut shown = Shown::default();
        let mut shown_as_html = Vec::new();
        let texts = |p: &&Part<'_>| {
            p.place == LeafPlace::Inline && matches!(p.kind, LeafKind::Plain | LeafKind::Html)
        };
        for part in tree
            .parts
            .iter()
            .filter(texts)
            .filter(|p| p.kind == LeafKind::Html)
        {
            if self.gathered.len() >= MAX_GATHERED {
                reading.find(Finding::Text);
                break;
            }
            let decoded = reading.text(part, MAX_HTML);
            note_unreadable(reading, part, &decoded);
            let before = self.gathered.len();
            self.show_page(part, &decoded, &mut shown, reading);
            if self
                .gathered
                .get(before..)
                .is_some_and(|text| text.trim().len() >= 20)
                && let Some(group) = part.alternative
            {
                shown_as_html.push(group);
            }
        }
        let mut others = Vec::new();
        for part in tree
            .parts
            .iter()
            .filter(texts)
            .filter(|p| p.kind == LeafKind::Plain)
        {
            // Of two forms of the same text most readers see the HTML one.
            if part.alternative.is_some_and(|g| shown_as_html.contains(&g)) {
                shown.plain = true;
                others.push(part);
                continue;
            }
            if self.gathered.len() >= MAX_GATHERED {
                reading.find(Finding::Text);
                continue;
            }
            let decoded = reading.text(part, MAX_PLAIN);
            note_unreadable(reading, part, &decoded);
            if looks_like_html(&decoded) {
                self.show_page(part, &decoded, &mut shown, reading);
            } else {
                shown.plain |= decoded.trim().len() >= 20;
                self.show_text(part, &decoded, reading);
            }
        }
        if self.gathered.trim_ascii().is_empty() {
            // If nothing else is shown, an entry or a rich text is the message.
            for part in tree
                .parts
                .iter()
                .filter(|p| matches!(p.kind, LeafKind::Calendar | LeafKind::Rtf))
            {
                let decoded = reading.text(part, MAX_ATTACHED);
                let text = if part.kind == LeafKind::Calendar {
                    calendar::read(&decoded).text
                } else {
                    rtf::text(&decoded)
                };
                self.show_text(part, &text, reading);
            }
        }
        shown.images += tree
            .parts
            .iter()
            .filter(|p| p.kind == LeafKind::Image)
            .count();
        shown
    }

    fn show_text(&mut self, part: &Part<'_>, decoded: &str, reading: &mut Reading) {
        let before = self.gathered.len();
        self.gathered.push_str(&text::undo_redaction(decoded));
        let range = before..self.gathered.len();
        self.gathered.push('\n');
        let shown = Shown {
            plain: true,
            ..Shown::default()
        };
        reading.pieces.push(TextPiece {
            range,
            alternative: part.alternative,
            message: part.message,
            page: None,
            shown,
        });
    }

    /// Renders one HTML text into `gathered`.
    fn show_page(
        &mut self,
        part: &Part<'_>,
        decoded: &str,
        shown: &mut Shown,
        reading: &mut Reading,
    ) {
        let page = html::render(&text::undo_redaction(decoded));
        for (href, text) in &page.links {
            self.links
                .add(href, page.text.get(text.clone()).unwrap_or_default());
        }
        if page.cut {
            reading.find(Finding::Markup);
        }
        let own = Shown::of(&page, decoded.len());
        shown.join(&own);
        let before = self.gathered.len();
        self.gathered.push_str(&page.text);
        let range = before..self.gathered.len();
        self.gathered.push('\n');
        let page = Some(page);
        reading.pieces.push(TextPiece {
            range,
            alternative: part.alternative,
            message: part.message,
            page,
            shown: own,
        });
    }
}

/// Notes a text that is unreadable in both ways as suspicious.
pub(super) fn note_unreadable(reading: &mut Reading, part: &Part<'_>, decoded: &str) {
    let foreign = part.charset.as_deref().is_some_and(legible::is_ebcdic);
    if part.rival.is_none()
        && (foreign || legible::unreadable(decoded))
        && !encoding::looks_written(part.body)
    {
        let head = part
            .encoding
            .decode(part.body.get(..part.body.len().min(64)).unwrap_or_default());
        if !legible::is_known_file(&head) {
            reading.find(Finding::Unreadable);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_names_no_way_to_answer_and_no_money_sells_nothing() {
        let offers = [
            "see https://x.example",
            "www.x.example",
            "write to a@b.example",
            "call +44 20",
            "$5",
            "ten million",
            "5 \u{20ac}",
        ];
        assert!(offers.into_iter().all(sells));
        assert!(!sells(
            "The committee has met, and the schedule stays as it is until page 3 of 17 is ready."
        ));
    }

    #[test]
    fn windows_leave_nothing_out_until_there_are_too_many() {
        for length in [0, 1, WINDOW, WINDOW + 1, 3 * WINDOW, 10 * WINDOW + 77] {
            let text = "\u{e9}".repeat(length / 2);
            let all = windows(&text, MAX_VIEWS);
            let mut at = 0;
            for window in &all {
                assert!(
                    window.start <= at
                        && window.end > at
                        && window.len() <= WINDOW
                        && text.get(window.clone()).is_some()
                );
                at = window.end;
            }
            assert_eq!(at, text.len());
        }
        let few = windows(&"x".repeat(100 * WINDOW), 4);
        assert_eq!(
            (few.len(), few.last().map(|w| w.end)),
            (4, Some(100 * WINDOW))
        );
    }
}
