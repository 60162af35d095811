//! HTML to the text a person sees, with what speaks about the writer: links, forms, pictures, hidden text.

/// What a document shows and holds.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Visible text; blocks are separated by line breaks.
    pub text: String,
    /// Link targets with the text shown for them (the text as a byte range of `text`).
    pub links: Vec<(String, std::ops::Range<usize>)>,
    /// `<img>` elements.
    pub images: usize,
    /// `<form>` or password fields.
    pub forms: usize,
    /// Octets of text that is not shown.
    pub hidden: usize,
    /// Pictures of at most two pixels.
    pub tiny_images: usize,
    /// Elements that colour, enlarge or centre text.
    pub fonts: usize,
    /// Comments with a letter on both sides.
    pub split_words: usize,
    /// Plain letters and digits written as numbers.
    pub coded_letters: usize,
    /// Scripts, frames, refreshes.
    pub scripts: usize,
    /// A picture stands inside a link.
    pub picture_links: usize,
}

/// Links kept per document.
const MAX_LINKS: usize = 256;
/// Visible text kept, octets.
const MAX_TEXT: usize = 256 * 1024;

/// Renders a document in one pass.
pub(super) fn render(html: &str) -> Page {
    let page = Renderer::run(html, true);
    // An element that hides and is never closed would hide the rest from us, but not from every reader.
    match page {
        Some(page) => page,
        None => Renderer::run(html, false).unwrap_or_default(),
    }
}

struct Renderer<'a> {
    page: Page,
    honour_hiding: bool,
    /// The hidden element we are in, and how many of its name are open.
    hidden: Option<(&'a str, usize)>,
    link: Option<(String, usize)>,
    /// An end that was looked for once and is not there will not be found later either: no second search.
    no_comment_end: bool,
    no_raw_end: bool,
}

impl<'a> Renderer<'a> {
    /// `None` if hidden text never ended.
    fn run(html: &'a str, honour_hiding: bool) -> Option<Page> {
        let mut r =
            Renderer { page: Page::default(), honour_hiding, hidden: None, link: None, no_comment_end: false, no_raw_end: false };
        let mut rest = html;
        while !rest.is_empty() && r.page.text.len() < MAX_TEXT {
            let Some(open) = memchr::memchr(b'<', rest.as_bytes()) else {
                r.words(rest);
                break;
            };
            let (text, tag) = rest.split_at_checked(open).unwrap_or((rest, ""));
            r.words(text);
            rest = r.markup(tag);
        }
        r.end_link();
        match r.hidden {
            Some(_) if honour_hiding => None,
            _ => Some(r.page),
        }
    }

    /// Reads one tag or comment at the start of `tag` (which begins with `<`), returns what follows.
    fn markup(&mut self, tag: &'a str) -> &'a str {
        if let Some(comment) = tag.strip_prefix("<!--") {
            let end = if self.no_comment_end { None } else { after(comment, "-->") };
            self.no_comment_end |= end.is_none();
            let inside = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
            if inside(self.page.text.bytes().next_back()) && inside(end.and_then(|e| e.bytes().next())) {
                self.page.split_words += 1;
            }
            return end.or_else(|| after(comment, ">")).unwrap_or("");
        }
        let body = tag.get(1..).unwrap_or("");
        if !body.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!' || c == '?') {
            self.words("<");
            return body;
        }
        let end = tag_end(body);
        let (inside, rest) = body.split_at_checked(end).unwrap_or((body, ""));
        let rest = rest.strip_prefix('>').unwrap_or(rest);
        let (closing, inside) = match inside.strip_prefix('/') {
            Some(i) => (true, i),
            None => (false, inside),
        };
        let name_end =
            inside.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b':' || b == b'-')).unwrap_or(inside.len());
        let (name, attributes) = inside.split_at_checked(name_end).unwrap_or((inside, ""));
        if let Some((hidden, depth)) = &mut self.hidden {
            if name.eq_ignore_ascii_case(hidden) && !attributes.ends_with('/') {
                *depth = if closing { depth.saturating_sub(1) } else { *depth + 1 };
                if *depth == 0 {
                    self.hidden = None;
                }
            }
            return rest;
        }
        if closing {
            if name.eq_ignore_ascii_case("a") {
                self.end_link();
            }
        } else if ["style", "script", "title"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
            self.page.scripts += usize::from(name.eq_ignore_ascii_case("script"));
            let end = if self.no_raw_end { None } else { skip_raw(rest, name) };
            self.no_raw_end |= end.is_none();
            return end.unwrap_or(rest);
        } else {
            self.open(name, attributes);
        }
        if is_block(name) {
            self.page.text.push('\n');
        }
        rest
    }

    fn open(&mut self, name: &'a str, attributes: &'a str) {
        let is = |n: &str| name.eq_ignore_ascii_case(n);
        if is("a") || is("area") {
            self.end_link();
            if let Some(href) = attribute(attributes, "href") {
                self.link = Some((entities(href), self.page.text.len()));
            }
        } else if is("img") {
            self.page.images += 1;
            self.page.picture_links += usize::from(self.link.is_some());
            let tiny =
                |side: &str| attribute(attributes, side).is_some_and(|v| matches!(v.trim_end_matches("px"), "0" | "1" | "2"));
            self.page.tiny_images += usize::from(tiny("width") && tiny("height"));
            if let Some(alt) = attribute(attributes, "alt").filter(|a| a.len() < 200) {
                self.words(" ");
                self.words(alt);
                self.words(" ");
            }
        } else if is("form") || is("input") && attribute(attributes, "type").is_some_and(|t| t.eq_ignore_ascii_case("password")) {
            self.page.forms += 1;
            if let Some(action) = attribute(attributes, "action")
                && self.page.links.len() < MAX_LINKS
            {
                self.page.links.push((entities(action), 0..0));
            }
        }
        self.page.fonts += usize::from(is("font") || is("center") || is("big") || is("marquee") || is("blink"));
        self.page.scripts += usize::from(
            is("iframe")
                || is("embed")
                || is("object")
                || is("meta") && attribute(attributes, "http-equiv").is_some_and(|v| v.eq_ignore_ascii_case("refresh")),
        );
        // What stands inside is shown only by programs too old to know the element.
        if self.honour_hiding && ["object", "noscript", "noframes", "iframe"].iter().any(|n| is(n)) && !attributes.ends_with('/')
        {
            self.hidden = Some((name, 1));
        }
        if self.honour_hiding && !attributes.is_empty() && attribute(attributes, "style").is_some_and(hides) {
            // Elements without content hide nothing behind them.
            let void = ["br", "img", "input", "meta", "hr", "link"].iter().any(|n| is(n)) || attributes.ends_with('/');
            if !void {
                self.hidden = Some((name, 1));
            }
        }
    }

    fn end_link(&mut self) {
        if let Some((href, start)) = self.link.take()
            && self.page.links.len() < MAX_LINKS
        {
            self.page.links.push((href, start..self.page.text.len()));
        }
    }

    fn words(&mut self, text: &str) {
        if self.hidden.is_some() {
            self.page.hidden += text.trim().len();
        } else if memchr::memchr(b'&', text.as_bytes()).is_some() {
            self.page.coded_letters += coded_letters(text);
            self.page.text.push_str(&entities(text));
        } else {
            self.page.text.push_str(text);
        }
    }
}

fn after<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    memchr::memmem::find(text.as_bytes(), end.as_bytes()).and_then(|at| text.get(at + end.len()..))
}

/// Where a tag ends: at `>` outside quotes; a quote that never closes does not swallow the document.
fn tag_end(tag: &str) -> usize {
    let (mut quote, mut first) = (None, None);
    for (at, byte) in tag.bytes().enumerate().take(64 * 1024) {
        match (quote, byte) {
            (None, b'>') => return at,
            (Some(_), b'>') if first.is_none() => first = Some(at),
            (None, b'"' | b'\'') if tag.as_bytes().get(at.wrapping_sub(1)) == Some(&b'=') => quote = Some(byte),
            (Some(q), b) if q == b => {
                quote = None;
                first = None;
            }
            _ => {}
        }
    }
    first.unwrap_or(tag.len())
}

/// What follows an element that holds no text; `None` if it is never closed.
fn skip_raw<'a>(rest: &'a str, name: &str) -> Option<&'a str> {
    let mut at = 0;
    loop {
        let tail = rest.get(at..)?;
        let end = at + memchr::memmem::find(tail.as_bytes(), b"</")? + 2;
        if rest.get(end..end + name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name)) {
            let tail = rest.get(end + name.len()..)?;
            return Some(memchr::memchr(b'>', tail.as_bytes()).and_then(|n| tail.get(n + 1..)).unwrap_or(""));
        }
        at = end;
    }
}

fn is_block(name: &str) -> bool {
    let of: &[&str] = match name.len() {
        1 => &["p"],
        2 => &["br", "tr", "td", "th", "li", "ul", "ol", "h1", "h2", "h3", "h4", "hr"],
        3 => &["div"],
        4 => &["body"],
        5 => &["table"],
        6 => &["center", "option"],
        10 => &["blockquote"],
        _ => &[],
    };
    of.iter().any(|b| name.eq_ignore_ascii_case(b))
}

/// Whether a style attribute keeps its element from being seen.
fn hides(style: &str) -> bool {
    style.split(';').filter_map(|declaration| declaration.split_once(':')).any(|(name, value)| {
        let (name, value) = (name.trim(), value.trim());
        let is = |n: &str| name.eq_ignore_ascii_case(n);
        let begins = |v: &str| value.get(..v.len()).is_some_and(|b| b.eq_ignore_ascii_case(v));
        let zero = || {
            let number = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            let digits = value.get(..value.len() - number.len()).unwrap_or_default();
            let unit = number.split('!').next().unwrap_or_default().trim();
            let bare = ["", "px", "pt", "em"].iter().any(|u| unit.eq_ignore_ascii_case(u));
            bare && digits.bytes().any(|b| b == b'0') && digits.bytes().all(|b| matches!(b, b'0' | b'.'))
        };
        match name.len() {
            7 if is("display") => begins("none"),
            7 if is("opacity") => zero(),
            9 if is("font-size") => zero(),
            10 if is("visibility") => begins("hidden"),
            _ => false,
        }
    })
}

/// The value of an attribute. `attributes` is what follows the name of the element.
fn attribute<'a>(attributes: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = attributes;
    for _ in 0..64 {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let end = rest.bytes().position(|b| b == b'=' || b.is_ascii_whitespace()).unwrap_or(rest.len());
        let (name, tail) = rest.split_at_checked(end)?;
        if name.is_empty() && tail.is_empty() {
            return None;
        }
        let tail = tail.trim_ascii_start();
        let Some(value) = tail.strip_prefix('=') else {
            rest = tail;
            continue;
        };
        let value = value.trim_ascii_start();
        let (value, next) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let inner = value.get(1..)?;
                let end = memchr::memchr(quote as u8, inner.as_bytes()).unwrap_or(inner.len());
                (inner.get(..end)?, inner.get(end + 1..).unwrap_or(""))
            }
            _ => value.split_at_checked(value.bytes().position(|b| b.is_ascii_whitespace()).unwrap_or(value.len()))?,
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next;
    }
    None
}

/// Character references, the numeric ones and the usual names.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        out.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at + 1..).unwrap_or("");
        let end = rest.bytes().take(10).position(|b| !(b.is_ascii_alphanumeric() || b == b'#')).unwrap_or(rest.len().min(10));
        let name = rest.get(..end).unwrap_or("");
        match reference(name) {
            Some(c) => {
                out.push(c);
                rest = rest.get(end..).unwrap_or("");
                rest = rest.strip_prefix(';').unwrap_or(rest);
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}

/// Numeric references to letters and digits that need none.
fn coded_letters(text: &str) -> usize {
    memchr::memmem::find_iter(text.as_bytes(), b"&#")
        .filter(|at| {
            let rest = text.get(at + 1..).unwrap_or_default();
            let end = rest.find(';').filter(|e| *e <= 8).unwrap_or_default();
            rest.get(..end).and_then(reference).is_some_and(|c| c.is_ascii_alphanumeric())
        })
        .count()
}

fn reference(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| *c != '\0');
    }
    Some(match name {
        "nbsp" | "ensp" | "emsp" | "thinsp" => ' ',
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" | "rsquo" | "lsquo" => '\'',
        "ldquo" | "rdquo" => '"',
        "ndash" | "mdash" => '-',
        "bull" | "middot" => '\u{b7}',
        "copy" => '\u{a9}',
        "reg" => '\u{ae}',
        "trade" => '\u{2122}',
        "euro" => '\u{20ac}',
        "pound" => '\u{a3}',
        "hellip" => '\u{2026}',
        "zwnj" | "zwj" | "shy" => '\u{ad}',
        "auml" => '\u{e4}',
        "ouml" => '\u{f6}',
        "uuml" => '\u{fc}',
        "szlig" => '\u{df}',
        "eacute" => '\u{e9}',
        "egrave" => '\u{e8}',
        "agrave" => '\u{e0}',
        "ccedil" => '\u{e7}',
        "ntilde" => '\u{f1}',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_visible_text_and_links_come_out() {
        let page = render(
            "<html><head><style>p{x}</style></head><body><p>Hi &amp; hello<!-- no --></p><div style='display: none'>hid<div>den</div></div>\
             <a href=\"http://evil.example/?a=1&amp;b=2\">www.bank.example</a><img src=x alt='Logo'><form action=http://f.example></form>",
        );
        assert_eq!(page.text.split_whitespace().collect::<Vec<_>>(), ["Hi", "&", "hello", "www.bank.example", "Logo"]);
        assert_eq!(page.links.first().map(|l| l.0.as_str()), Some("http://evil.example/?a=1&b=2"));
        assert_eq!(page.links.first().and_then(|l| page.text.get(l.1.clone())), Some("www.bank.example"));
        assert_eq!((page.images, page.forms, page.hidden), (1, 1, 6));
    }

    #[test]
    fn styles_that_hide_are_known() {
        for style in [
            "display:none",
            "color:red; DISPLAY : None !important",
            "visibility: hidden",
            "font-size:0",
            "font-size: 0px;",
            "opacity:0.0 !important",
        ] {
            assert!(hides(style), "{style}");
        }
        for style in ["", "display:block", "font-size:10px", "font-size:0.5em", "line-height:0", "opacity:1", "opacity:.0x"] {
            assert!(!hides(style), "{style}");
        }
    }

    #[test]
    fn what_is_never_closed_hides_nothing() {
        assert!(render("<p style=display:none>all of it").text.contains("all of it"));
        assert!(render("<style>text behind").text.contains("text behind"));
        assert!(render("<!-- text > behind").text.contains("behind"));
        assert!(render("<a href=\"x>click me").text.contains("click"));
        assert!(render(&"<style></x".repeat(60_000)).text.is_empty());
        assert!(render(&"<!-- >a".repeat(60_000)).text.starts_with("aaa"));
        assert!(render("1 < 2").text.contains("1 < 2"));
    }
}
