//! HTML to the text that a person sees, with what it tells about the writer: links, forms,
//! pictures, hidden text.
//!
//! Three layers come out: the shown text, the doubtful part of it (shown by some programs), and the
//! hidden text. All are kept: the scorer reads the document as each kind of reader would.

mod attributes;
mod entities;
mod raw;
mod stack;
mod style;

use attributes::{Attributes, TagEnds};
use raw::{after, comment_end, conditional, raw_end};
use stack::kind::BREAK;
use stack::{Stack, Visibility, kind_of};
use std::ops::Range;
use style::Sheet;

/// A link: where it leads, and the text shown for it.
pub(super) type HtmlLink = (String, Range<usize>);

/// The content of a document.
#[derive(Debug, Default)]
pub(super) struct HtmlPage {
    /// Visible text; blocks are separated by line breaks.
    pub text: String,
    /// Link targets with the text shown for them (the text as a byte range of `text`).
    pub links: Vec<HtmlLink>,
    /// Pieces of `text` that many programs do not show, in order.
    pub doubtful: Vec<Range<usize>>,
    /// Text that is not shown.
    pub concealed: String,
    /// Links that stand in concealed text.
    pub concealed_links: Vec<HtmlLink>,
    /// Where the pieces of `concealed` stood: an offset in `text`, and the piece.
    pub concealed_at: Vec<(usize, Range<usize>)>,
    /// There is more than was read.
    pub cut: bool,
    pub images: usize,
    /// `<form>` or password fields.
    pub forms: usize,
    /// Octets of text that the writer hid directly; text hidden by a style sheet does not count.
    pub hidden: usize,
    /// Pictures of at most two pixels.
    pub tiny_images: usize,
    /// Elements that colour, enlarge or centre text.
    pub fonts: usize,
    /// Comments with a letter on both sides.
    pub split_words: usize,
    /// Plain letters and digits written as numbers.
    pub coded_letters: usize,
    pub scripts: usize,
    /// A picture stands inside a link.
    pub picture_links: usize,
}

/// Links kept per document and layer.
const MAX_LINKS: usize = 256;
/// Text kept of a document, all layers, octets.
const MAX_TEXT: usize = 2 * 1024 * 1024;
/// Most pieces of doubtful and of hidden text that are kept apart.
const MAX_PIECES: usize = 16 * 1024;
/// Longest text in place of a picture that counts as shown, octets.
const SHORT_ALT: usize = 200;

/// Renders a document in one pass.
pub(super) fn render(html: &str) -> HtmlPage {
    let mut renderer = Renderer {
        sheet: raw::sheets(html),
        ..Renderer::default()
    };
    renderer.run(html);
    renderer.finish()
}

/// Elements whose content is not read as tags, and whether that content is visible.
const RAW: [(&str, Option<bool>); 9] = [
    ("style", None),
    ("script", None),
    ("title", None),
    ("textarea", Some(true)),
    ("xmp", Some(true)),
    ("listing", Some(true)),
    ("iframe", Some(false)),
    ("noembed", Some(false)),
    ("noframes", Some(false)),
];

#[derive(Default)]
struct Renderer<'a> {
    page: HtmlPage,
    sheet: Sheet,
    stack: Stack<'a>,
    ends: TagEnds,
    link: Option<(String, usize, bool)>,
    /// What follows the open conditional comments.
    behind: Vec<&'a str>,
    /// An end that was once searched for and not found is not searched for again: it cannot be
    /// later either.
    no_comment_end: bool,
    no_raw_end: [bool; RAW.len()],
}

impl<'a> Renderer<'a> {
    fn run(&mut self, html: &'a str) {
        let mut rest = html;
        loop {
            if rest.is_empty() {
                let Some(behind) = self.behind.pop() else {
                    return;
                };
                self.end_link();
                self.stack.close("!if");
                rest = behind;
                continue;
            }
            if self.page.text.len() + self.page.concealed.len() >= MAX_TEXT
                || self.ends.wasted > 4 * html.len()
            {
                self.page.cut = true;
                return;
            }
            let Some(open) = memchr::memchr(b'<', rest.as_bytes()) else {
                self.words(rest);
                rest = "";
                continue;
            };
            let (text, tag) = rest.split_at_checked(open).unwrap_or((rest, ""));
            self.words(text);
            rest = self.markup(tag);
        }
    }

    /// Text in a hiding element that is never closed is shown and doubtful: otherwise it would be
    /// hidden from us, but not from every reader.
    fn finish(mut self) -> HtmlPage {
        self.end_link();
        let mut page = self.page;
        page.cut |= self.stack.cut || self.sheet.cut || self.sheet.exhausted();
        if let Some(from) = self.stack.never_closed() {
            let text = page.concealed.split_off(from.min(page.concealed.len()));
            let at = page.text.len();
            page.text.push_str(&text);
            page.doubtful.push(at..page.text.len());
            page.concealed_at.retain(|(_, piece)| piece.start < from);
            if let Some((_, piece)) = page.concealed_at.last_mut() {
                piece.end = piece.end.min(from);
            }
            let links = std::mem::take(&mut page.concealed_links);
            for (href, shown) in links {
                if shown.start < from {
                    page.concealed_links
                        .push((href, shown.start..shown.end.min(from)));
                } else if page.links.len() < MAX_LINKS {
                    page.links
                        .push((href, shown.start - from + at..shown.end - from + at));
                }
            }
            page.hidden = page.hidden.saturating_sub(text.trim().len());
        }
        if !self.sheet.generated.is_empty() {
            page.concealed.push('\n');
            page.concealed.push_str(&self.sheet.generated);
        }
        page
    }

    /// Reads one tag or comment at the start of `tag` (which begins with `<`), returns what
    /// follows.
    fn markup(&mut self, tag: &'a str) -> &'a str {
        if let Some(comment) = tag.strip_prefix("<!--") {
            return self.comment(comment);
        }
        let body = tag.get(1..).unwrap_or("");
        if !body.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!' || c == '?')
        {
            self.words("<");
            return body;
        }
        let end = self.ends.find(body);
        let (inside, rest) = body.split_at_checked(end).unwrap_or((body, ""));
        let rest = rest.strip_prefix('>').unwrap_or(rest);
        let (closing, inside) = match inside.strip_prefix('/') {
            Some(i) => (true, i),
            None => (false, inside),
        };
        let name_end = inside
            .bytes()
            .position(|b| !(b.is_ascii_alphanumeric() || b == b':' || b == b'-'))
            .unwrap_or(inside.len());
        let (name, attributes) = inside.split_at_checked(name_end).unwrap_or((inside, ""));
        let kind = kind_of(name);
        if closing {
            if name.eq_ignore_ascii_case("a") {
                self.end_link();
            }
            self.stack.close(name);
        } else if kind == 0
            && let Some(at) = RAW.iter().position(|(n, _)| name.eq_ignore_ascii_case(n))
        {
            return self.raw(at, name, rest);
        } else {
            self.open(name, kind, attributes);
        }
        if kind & BREAK != 0 {
            self.push("\n");
        }
        rest
    }

    fn comment(&mut self, comment: &'a str) -> &'a str {
        // A conditional comment ends at the first end: it has none inside.
        let end = if self.no_comment_end || !self.behind.is_empty() {
            None
        } else {
            comment_end(comment)
        };
        self.no_comment_end |= end.is_none() && self.behind.is_empty();
        let inside = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = end.map(|(_, rest)| rest);
        if inside(self.page.text.bytes().next_back()) && inside(rest.and_then(|e| e.bytes().next()))
        {
            self.page.split_words += 1;
        }
        if let Some((inner, rest)) = end
            && self.behind.is_empty()
            && let Some(inner) = conditional(inner)
        {
            self.behind.push(rest);
            self.stack
                .push_hidden("!if", false, self.page.concealed.len());
            return inner;
        }
        rest.or_else(|| after(comment, ">")).unwrap_or("")
    }

    /// An element whose content is no markup.
    fn raw(&mut self, at: usize, name: &'a str, rest: &'a str) -> &'a str {
        let shown = self.stack.seen() == Visibility::Shown;
        let counts = ["script", "iframe"]
            .iter()
            .any(|n| name.eq_ignore_ascii_case(n));
        self.page.scripts += usize::from(counts && shown);
        let known = self.no_raw_end.get(at).copied().unwrap_or_default();
        let Some((inner, behind)) = (if known { None } else { raw_end(rest, name) }) else {
            if let Some(known) = self.no_raw_end.get_mut(at) {
                *known = true;
            }
            return rest;
        };
        match RAW.get(at).and_then(|(_, seen)| *seen) {
            Some(true) => self.words(inner),
            Some(false) => {
                self.stack
                    .push_hidden("!raw", true, self.page.concealed.len());
                self.words(inner);
                self.stack.close("!raw");
            }
            None => {}
        }
        behind
    }

    fn open(&mut self, name: &'a str, kind: u32, tag: &'a str) {
        let attributes = if tag.is_empty() {
            Attributes::default()
        } else {
            Attributes::read(tag)
        };
        self.stack.push(
            name,
            kind,
            tag,
            &attributes,
            &self.sheet,
            self.page.concealed.len(),
        );
        let is = |n: &str| name.eq_ignore_ascii_case(n);
        let hidden = self.stack.seen() == Visibility::Hidden;
        if is("a") || is("area") {
            self.end_link();
            if let Some(href) = attributes.href {
                let start = if hidden {
                    self.page.concealed.len()
                } else {
                    self.page.text.len()
                };
                self.link = Some((entities::decoded(href), start, hidden));
            }
        } else if is("img") || is("input") {
            self.replaced(&attributes, is("img"));
        }
        if hidden {
            return;
        }
        if is("form")
            || is("input")
                && attributes
                    .kind
                    .is_some_and(|t| t.eq_ignore_ascii_case("password"))
        {
            self.page.forms += 1;
            if let Some(action) = attributes.action
                && self.page.links.len() < MAX_LINKS
            {
                self.page.links.push((entities::decoded(action), 0..0));
            }
        }
        self.page.fonts +=
            usize::from(is("font") || is("center") || is("big") || is("marquee") || is("blink"));
        self.page.scripts += usize::from(
            is("embed")
                || is("meta")
                    && attributes
                        .http_equiv
                        .is_some_and(|v| v.eq_ignore_ascii_case("refresh")),
        );
    }

    /// Text in place of a picture, and on a button.
    fn replaced(&mut self, attributes: &Attributes<'a>, picture: bool) {
        let hidden = self.stack.seen() == Visibility::Hidden;
        if picture && !hidden {
            self.page.images += 1;
            self.page.picture_links += usize::from(self.link.is_some());
            let tiny = |side: Option<&str>| {
                side.is_some_and(|v| matches!(v.trim_end_matches("px"), "0" | "1" | "2"))
            };
            self.page.tiny_images += usize::from(tiny(attributes.width) && tiny(attributes.height));
        }
        let text = if picture {
            attributes.alt
        } else {
            attributes.value
        };
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return;
        };
        let shown = picture && text.len() < SHORT_ALT;
        if !shown {
            // Visible only without pictures.
            self.stack
                .push_hidden("!alt", false, self.page.concealed.len());
        }
        self.push(" ");
        self.words(text);
        self.push(" ");
        if !shown {
            self.stack.close("!alt");
        }
    }

    fn end_link(&mut self) {
        let Some((href, start, hidden)) = self.link.take() else {
            return;
        };
        let page = &mut self.page;
        let (links, end) = if hidden {
            (&mut page.concealed_links, page.concealed.len())
        } else {
            (&mut page.links, page.text.len())
        };
        if links.len() < MAX_LINKS {
            links.push((href, start..end));
        }
    }

    fn words(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let seen = self.stack.seen();
        if seen == Visibility::Hidden && self.stack.look().counts {
            self.page.hidden += text.trim().len();
        }
        if memchr::memchr(b'&', text.as_bytes()).is_some() {
            if seen != Visibility::Hidden {
                self.page.coded_letters += entities::coded_letters(text);
            }
            self.push(&entities::decoded(text));
        } else {
            self.push(text);
        }
    }

    /// Adds text to its layer.
    fn push(&mut self, text: &str) {
        let page = &mut self.page;
        match self.stack.seen() {
            Visibility::Shown => page.text.push_str(text),
            Visibility::Doubtful => {
                let start = page.text.len();
                page.text.push_str(text);
                if let Some(last) = page.doubtful.last_mut().filter(|last| last.end == start) {
                    last.end = page.text.len();
                } else if page.doubtful.len() < MAX_PIECES {
                    page.doubtful.push(start..page.text.len());
                } else {
                    page.cut = true;
                }
            }
            Visibility::Hidden => {
                let (place, start) = (page.text.len(), page.concealed.len());
                if text.is_ascii() {
                    page.concealed.push_str(text);
                } else {
                    page.concealed
                        .extend(text.chars().filter(|c| !is_filler(*c)));
                }
                let end = page.concealed.len();
                if let Some((_, last)) = page
                    .concealed_at
                    .last_mut()
                    .filter(|(at, last)| *at == place && last.end == start)
                {
                    last.end = end;
                } else if page.concealed_at.len() < MAX_PIECES {
                    page.concealed_at.push((place, start..end));
                } else {
                    page.cut = true;
                }
            }
        }
    }
}

impl HtmlPage {
    /// The text without doubtful pieces.
    pub(super) fn without_doubtful(&self) -> String {
        let (mut out, mut at) = (String::with_capacity(self.text.len()), 0);
        for piece in &self.doubtful {
            out.push_str(self.text.get(at..piece.start).unwrap_or_default());
            at = piece.end;
        }
        out.push_str(self.text.get(at..).unwrap_or_default());
        out
    }

    /// All text in the order of the document, visible or not.
    pub(super) fn everything(&self) -> String {
        let (mut out, mut at) = (
            String::with_capacity(self.text.len() + self.concealed.len()),
            0,
        );
        let mut told = 0;
        for (place, piece) in &self.concealed_at {
            out.push_str(self.text.get(at..*place).unwrap_or_default());
            out.push_str(self.concealed.get(piece.clone()).unwrap_or_default());
            (at, told) = (*place, piece.end);
        }
        out.push_str(self.text.get(at..).unwrap_or_default());
        out.push_str(self.concealed.get(told..).unwrap_or_default());
        out
    }
}

/// Preview lines are padded with these, so that no text of the body follows them.
const fn is_filler(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{2007}' | '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{180e}'
    )
}

#[cfg(test)]
mod tests;
