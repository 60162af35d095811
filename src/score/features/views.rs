//! The views besides the main one: what else some reader sees of a message.

use super::reading::{
    MAX_ATTACHED, MAX_HTML, MAX_OF_ATTACHMENT, MAX_PLAIN, Reading, TextPiece, WINDOW,
    note_unreadable,
};
use super::{Extractor, HEAD, Shown, Source, TAIL, calendar, legible, looks_like_html, rtf};
use crate::mail::charset;
use crate::mail::encoding::{self, Encoding};
use crate::mail::header::Fields;
use crate::mail::mime::{self, LeafKind, LeafPlace, MimeTree, Part};
use crate::score::finding::Finding;
use crate::score::headers::Headers;
use crate::score::html::{self, HtmlPage};
use crate::score::text;

/// Pairs of words that make a text different from the main view.
const NEW_PAIRS: usize = 12;
/// This many are enough for a text of any length.
const MANY_NEW_PAIRS: usize = 40;
/// Hidden text with fewer octets is ignored.
const LEAST_HIDDEN: usize = 24;
/// Text that combines shown and hidden words: so many hidden pieces, and their least share of it.
const FEWEST_PIECES: usize = 4;
const LEAST_HIDDEN_SHARE: usize = 10;
/// Doubtful text that may dilute what is shown: octets, and its least share of the text (one part
/// in so many).
const LEAST_DOUBTFUL: usize = 80;
const LEAST_DOUBTFUL_SHARE: usize = 8;

impl Extractor {
    /// Adds all that the main view does not show. Call when the main view has been read.
    pub(super) fn gather_views(
        &mut self,
        tree: &MimeTree<'_>,
        shown: Shown,
        reading: &mut Reading,
    ) {
        note_structure(tree, reading);
        let gathered = std::mem::take(&mut self.gathered);
        if gathered.len() > WINDOW {
            let end = gathered.ceil_char_boundary(gathered.len() - TAIL);
            let rest = gathered
                .get(gathered.floor_char_boundary(HEAD)..end)
                .unwrap_or_default();
            reading.view(Source::Later, rest, Vec::new(), shown);
        }
        let pieces = std::mem::take(&mut reading.pieces);
        self.view_pieces(&gathered, &pieces, tree, reading);
        let odd = |p: &Part<'_>| {
            p.rival.is_some()
                || p.odd_encoding
                || p.broken
                || matches!(p.encoding, Encoding::Base64 | Encoding::Uuencode)
        };
        let extra = tree
            .parts
            .iter()
            .any(|p| p.place != LeafPlace::Inline || odd(p));
        let alternatives = pieces.iter().any(|p| p.alternative.is_some());
        if extra || alternatives || !tree.outside.is_empty() {
            self.view_parts(tree, &pieces, reading);
        }
        self.view_uuencoded(&gathered, reading);
        self.gathered = gathered;
        while let Some((source, level)) = reading.sources.pop() {
            self.view_source(&source, level, reading);
        }
    }

    /// Forms of what is shown: each alternative of a kind alone, embedded messages, and pages as
    /// other readers see them.
    fn view_pieces(
        &self,
        gathered: &str,
        pieces: &[TextPiece],
        tree: &MimeTree<'_>,
        reading: &mut Reading,
    ) {
        for piece in pieces {
            let text = gathered.get(piece.range.clone()).unwrap_or_default();
            let others = pieces
                .iter()
                .filter(|p| p.alternative.is_some() && p.alternative == piece.alternative)
                .count();
            if others > 1 {
                let links = piece
                    .page
                    .as_ref()
                    .map(|p| p.links.clone())
                    .unwrap_or_default();
                reading.view(Source::Alternative, text, links, piece.shown);
            }
            if let Some(page) = &piece.page {
                self.view_page(page, self.shown, reading);
            }
        }
        for (number, fields) in (1..).zip(&tree.messages) {
            let own = || pieces.iter().filter(|p| p.message == number);
            let mut text = Headers::read(*fields).subject;
            let mut shown = Shown::default();
            let mut links = Vec::new();
            for piece in own() {
                text.push('\n');
                let start = text.len();
                text.push_str(gathered.get(piece.range.clone()).unwrap_or_default());
                shown.join(&piece.shown);
                let of_page = piece.page.iter().flat_map(|p| &p.links);
                links.extend(
                    of_page.map(|(href, at)| (href.clone(), at.start + start..at.end + start)),
                );
            }
            reading.view(Source::Message, &text, links, shown);
        }
    }

    /// What a page shows to some readers only.
    fn view_page(&self, page: &HtmlPage, shown: Shown, reading: &mut Reading) {
        let doubtful: usize = page.doubtful.iter().map(ExactSizeIterator::len).sum();
        if doubtful >= LEAST_DOUBTFUL && doubtful * LEAST_DOUBTFUL_SHARE >= page.text.len() {
            reading.view(Source::Visible, &page.without_doubtful(), Vec::new(), shown);
        }
        if page.concealed.trim().len() >= LEAST_HIDDEN
            && self.text.new_pairs(&page.concealed, NEW_PAIRS).0 >= NEW_PAIRS
        {
            let links = page.concealed_links.clone();
            reading.view(Source::Hidden, &page.concealed, links, shown);
            if page.concealed_at.len() >= FEWEST_PIECES
                && page.concealed.len() * LEAST_HIDDEN_SHARE >= page.text.len()
            {
                reading.view(Source::Everything, &page.everything(), Vec::new(), shown);
            }
        }
    }

    /// The text says something that the main view does not.
    fn is_news(&self, text: &str) -> bool {
        let (new, all) = self.text.new_pairs(text, MANY_NEW_PAIRS);
        // Enough words for a lure, and not the same text with other line breaks.
        new >= MANY_NEW_PAIRS
            || new >= NEW_PAIRS && new * 48 >= text.len()
            || all >= MANY_NEW_PAIRS && self.dilutes(text.len())
    }

    /// The main view is so much longer that it may hold every pair of a text and still hide its
    /// message.
    fn dilutes(&self, length: usize) -> bool {
        self.text.folded.len() > 4 * length.max(512)
    }

    /// Parts that the main view does not show.
    fn view_parts(&mut self, tree: &MimeTree<'_>, pieces: &[TextPiece], reading: &mut Reading) {
        let plain = Shown {
            plain: true,
            ..Shown::default()
        };
        let shown_html = |part: &Part<'_>| {
            part.alternative.is_some()
                && pieces
                    .iter()
                    .any(|p| p.alternative == part.alternative && p.page.is_some())
        };
        for part in &tree.parts {
            match (part.kind, part.place) {
                (LeafKind::Plain, LeafPlace::Inline) if shown_html(part) => {
                    let decoded = reading.text(part, MAX_PLAIN);
                    note_unreadable(reading, part, &decoded);
                    if !looks_like_html(&decoded) && self.is_news(&decoded) {
                        reading.view(
                            Source::Alternative,
                            &text::undo_redaction(&decoded),
                            Vec::new(),
                            plain,
                        );
                    } else if looks_like_html(&decoded) {
                        self.view_html(Source::Alternative, &decoded, reading);
                    }
                }
                (LeafKind::Plain | LeafKind::Html, LeafPlace::Inline)
                | (LeafKind::Image | LeafKind::Other, _) => {}
                (LeafKind::Message | LeafKind::Signed, _) => self.view_encoded(part, tree, reading),
                _ => self.view_attached(part, reading),
            }
            if let Some(rival) = &part.rival {
                let decoded = reading.text_as(
                    part.body,
                    rival.encoding,
                    rival.charset.as_deref(),
                    MAX_PLAIN,
                    true,
                );
                if rival.kind == LeafKind::Html {
                    self.view_html(Source::Decoded, &decoded, reading);
                } else if self.is_news(&decoded) {
                    reading.view(Source::Decoded, &decoded, Vec::new(), plain);
                }
            }
            if part.broken && Fields::of_part(part.body).any(|field| begins_content(field.name)) {
                // Some programs skip the line, read the fields below it and decode by them.
                if let Some(body) = reading.source(part) {
                    reading.add_source(body.to_vec(), tree.depth + 1);
                }
            }
            self.view_misdeclared(part, reading);
        }
        let aside = tree
            .outside
            .iter()
            .map(|text| String::from_utf8_lossy(text))
            .collect::<Vec<_>>()
            .join("\n");
        if !aside.is_empty() && self.text.new_pairs(&aside, MANY_NEW_PAIRS).0 >= MANY_NEW_PAIRS {
            reading.view(Source::Aside, &aside, Vec::new(), plain);
        }
    }

    fn view_html(&self, source: Source, decoded: &str, reading: &mut Reading) {
        let page = html::render(&text::undo_redaction(decoded));
        if page.cut {
            reading.find(Finding::Markup);
        }
        let shown = Shown::of(&page, decoded.len());
        self.view_page(&page, shown, reading);
        if self.is_news(&page.text) {
            reading.view(source, &page.text, page.links, shown);
        }
    }

    /// A text that is shown when it is opened, or that is for programs.
    fn view_attached(&self, part: &Part<'_>, reading: &mut Reading) {
        let plain = Shown {
            plain: true,
            ..Shown::default()
        };
        let most = if part.kind == LeafKind::Html {
            MAX_HTML
        } else {
            MAX_ATTACHED
        };
        let decoded = reading.text(part, most);
        if part.kind == LeafKind::Html && part.body.len() > most {
            reading.find(Finding::Text);
        }
        if legible::unreadable(&decoded) {
            return;
        }
        let source = if part.place == LeafPlace::Machine {
            Source::Aside
        } else {
            Source::Attached
        };
        match part.kind {
            LeafKind::Html => self.view_html(source, &decoded, reading),
            LeafKind::Calendar => {
                let entry = calendar::read(&decoded);
                if self.is_news(&entry.text) {
                    reading.view(Source::Calendar, &entry.text, Vec::new(), plain);
                }
                if !entry.html.is_empty() {
                    self.view_html(Source::Calendar, &entry.html, reading);
                }
            }
            LeafKind::Rtf => {
                let text = rtf::text(&decoded);
                if self.is_news(&text) {
                    reading.view(source, &text, Vec::new(), plain);
                }
            }
            _ if looks_like_html(&decoded) => self.view_html(source, &decoded, reading),
            _ if self.is_news(&decoded) => reading.view(source, &decoded, Vec::new(), plain),
            _ => {}
        }
    }

    /// A message, or a multipart, that is encoded as a whole, and a message inside a signature.
    fn view_encoded(&self, part: &Part<'_>, tree: &MimeTree<'_>, reading: &mut Reading) {
        let Some(body) = reading.source(part) else {
            return;
        };
        let mut decoded = part.encoding.decode(body).into_owned();
        if part.kind == LeafKind::Signed {
            // The message stands in the structure unencoded: its header is searched.
            let at = decoded
                .get(..decoded.len().min(4096))
                .unwrap_or_default()
                .windows(13);
            let Some(at) = at
                .into_iter()
                .position(|w| w.eq_ignore_ascii_case(b"content-type:"))
            else {
                return;
            };
            decoded.drain(..at);
        } else if !part.head.is_empty() {
            decoded.splice(..0, [b"Content-Type: ", part.head, b"\r\n\r\n"].concat());
        }
        reading.add_source(decoded, tree.depth + 1);
    }

    /// A message found inside another: each of its texts is a view, and all of them together are
    /// one.
    fn view_source(&mut self, raw: &[u8], level: usize, reading: &mut Reading) {
        let tree = mime::walk(raw, false, level);
        reading.depth = reading.depth.max(tree.depth);
        reading.entities += tree.entities;
        note_structure(&tree, reading);
        let subject = Headers::read(Fields::of_part(raw)).subject;
        let mut all = subject.clone();
        let mut count = 0;
        for part in tree.parts.iter().filter(|p| {
            p.place == LeafPlace::Inline && matches!(p.kind, LeafKind::Plain | LeafKind::Html)
        }) {
            let decoded = reading.text(
                part,
                if part.kind == LeafKind::Html {
                    MAX_HTML
                } else {
                    MAX_PLAIN
                },
            );
            note_unreadable(reading, part, &decoded);
            let (text, links, shown) = if part.kind == LeafKind::Html || looks_like_html(&decoded) {
                let page = html::render(&text::undo_redaction(&decoded));
                if page.cut {
                    reading.find(Finding::Markup);
                }
                let shown = Shown::of(&page, decoded.len());
                self.view_page(&page, shown, reading);
                (page.text, page.links, shown)
            } else {
                (
                    text::undo_redaction(&decoded).into_owned(),
                    Vec::new(),
                    Shown {
                        plain: true,
                        ..Shown::default()
                    },
                )
            };
            all.push('\n');
            all.push_str(&text);
            count += 1;
            let start = subject.len() + 1;
            let links = links
                .into_iter()
                .map(|(href, at)| (href, at.start + start..at.end + start))
                .collect();
            reading.view(Source::Message, &format!("{subject}\n{text}"), links, shown);
        }
        if count > 1 {
            reading.view(
                Source::Message,
                &all,
                Vec::new(),
                Shown {
                    plain: true,
                    ..Shown::default()
                },
            );
        }
        self.view_parts(&tree, &[], reading);
    }

    /// Text that is declared as encoded and is not, or the reverse.
    fn view_misdeclared(&self, part: &Part<'_>, reading: &mut Reading) {
        if part.place != LeafPlace::Inline || !matches!(part.kind, LeafKind::Plain | LeafKind::Html)
        {
            return;
        }
        let other = match part.encoding {
            Encoding::Base64 | Encoding::Uuencode if encoding::looks_written(part.body) => {
                Encoding::Identity
            }
            Encoding::Identity
                if part.rival.is_none()
                    && part.odd_encoding
                    && encoding::looks_base64(part.body) =>
            {
                Encoding::Base64
            }
            _ => return,
        };
        let decoded = reading.text_as(part.body, other, part.charset.as_deref(), MAX_PLAIN, true);
        if part.kind == LeafKind::Html || looks_like_html(&decoded) {
            self.view_html(Source::Decoded, &decoded, reading);
        } else if self.is_news(&decoded) {
            reading.view(
                Source::Decoded,
                &decoded,
                Vec::new(),
                Shown {
                    plain: true,
                    ..Shown::default()
                },
            );
        }
    }

    /// Files inside the text itself, as old programs sent them.
    fn view_uuencoded(&self, gathered: &str, reading: &mut Reading) {
        for at in memchr::memmem::find_iter(gathered.as_bytes(), b"begin ").take(MAX_OF_ATTACHMENT)
        {
            let line_start = at == 0 || gathered.as_bytes().get(at - 1) == Some(&b'\n');
            let Some(block) = gathered.get(at..).filter(|_| line_start) else {
                continue;
            };
            let Some((first, rest)) = block.split_once('\n') else {
                continue;
            };
            if !first
                .get(6..9)
                .is_some_and(|mode| mode.bytes().all(|b| b.is_ascii_digit()))
            {
                continue;
            }
            let octets = encoding::uuencoded(
                rest.as_bytes()
                    .get(..rest.len().min(MAX_ATTACHED))
                    .unwrap_or_default(),
            );
            let decoded = charset::in_charset(octets.into(), None);
            if legible::unreadable(&decoded) {
                continue;
            }
            if looks_like_html(&decoded) {
                self.view_html(Source::Attached, &decoded, reading);
            } else if self.is_news(&decoded) {
                reading.view(
                    Source::Attached,
                    &decoded,
                    Vec::new(),
                    Shown {
                        plain: true,
                        ..Shown::default()
                    },
                );
            }
        }
    }
}

/// A field that tells how an entity is read.
fn begins_content(name: &[u8]) -> bool {
    name.get(..8)
        .is_some_and(|n| n.eq_ignore_ascii_case(b"content-"))
}

fn note_structure(tree: &MimeTree<'_>, reading: &mut Reading) {
    for (on, finding) in [
        (tree.too_many, Finding::Parts),
        (tree.too_deep, Finding::Depth),
        (tree.ambiguous, Finding::Ambiguous),
        (tree.in_pieces, Finding::Piece),
    ] {
        if on {
            reading.find(finding);
        }
    }
}
