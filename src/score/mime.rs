//! A bounded walk over the MIME structure of a message (RFC 2045, RFC 2046).
//!
//! One forward scan with a stack of open boundaries: work is linear in the message and memory is bounded whatever the
//! nesting. A tree-building parser is not used here because messages nested in messages would make it recurse.

use super::decode::{self, Encoding};
use memchr::memmem;

/// Open multiparts and embedded messages that are followed; deeper ones are read as plain leaves.
const MAX_DEPTH: usize = 24;
/// Leaves that are kept; later ones are counted only.
const MAX_PARTS: usize = 256;
/// Entities (leaves and multiparts) that are taken apart.
const MAX_ENTITIES: usize = 512;

/// How often the message may be searched for delimiters from end to end.
const MAX_SEARCHES: usize = 4;

/// What a leaf holds, as far as scoring cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `text/plain`, or no type given.
    Plain,
    /// `text/html`.
    Html,
    /// `image/*`.
    Image,
    /// Everything else.
    Other,
}

/// One leaf of the MIME tree.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub kind: Kind,
    /// `type/subtype`, lower case.
    pub ctype: String,
    pub charset: Option<String>,
    pub encoding: Encoding,
    /// Decoded file name, empty if none was given.
    pub file_name: String,
    /// The leaf is declared an attachment.
    pub attachment: bool,
    /// Number of the innermost `multipart/alternative` around it.
    pub alternative: Option<usize>,
    /// Still encoded.
    pub body: &'a [u8],
}

/// The leaves of a message.
#[derive(Debug, Default)]
pub(super) struct Tree<'a> {
    pub parts: Vec<Part<'a>>,
    /// The root is a `multipart/report` (RFC 6522).
    pub is_report: bool,
    /// Deepest nesting, 1 for a message without parts.
    pub depth: usize,
}

/// A header section: names and values one by one, folding still inside the value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    fields: crate::mail::header::Fields<'a>,
}

impl<'a> Fields<'a> {
    /// Splits an entity into its header section and its body. Without a blank line everything is header.
    pub(super) fn split(entity: &'a [u8]) -> (Self, &'a [u8]) {
        let (section, body) = crate::mail::header::split_part(entity);
        (Self::section(section), body)
    }

    /// The fields of a header section that was cut out already.
    pub(super) const fn section(octets: &'a [u8]) -> Self {
        Self { fields: crate::mail::header::Fields::of_part(octets) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        self.fields.next().map(|field| (field.name, field.value.trim_ascii()))
    }
}

/// A structured field such as Content-Type: its value and the parameters we know.
#[derive(Debug, Default)]
struct Typed {
    value: String,
    boundary: Option<Vec<u8>>,
    charset: Option<String>,
    name: Option<String>,
}

impl Typed {
    /// Reads `value; key=token; key="quoted"` (RFC 2045 section 5.1), RFC 2231 names leniently.
    fn parse(raw: &[u8]) -> Self {
        let raw = raw.get(..raw.len().min(4096)).unwrap_or_default();
        let text = String::from_utf8_lossy(raw);
        let mut pieces = split_parameters(&text).into_iter();
        let value = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut typed = Self { value, ..Self::default() };
        for piece in pieces.take(32) {
            let Some((key, value)) = piece.split_once('=') else { continue };
            let key = key.trim().to_ascii_lowercase();
            let value = unquote(value.trim());
            match key.split('*').next().unwrap_or_default() {
                "boundary" if typed.boundary.is_none() && !value.is_empty() => typed.boundary = Some(value.into_bytes()),
                "charset" => typed.charset = Some(value),
                "name" | "filename" => {
                    // RFC 2231 continuations (`filename*0=`) are joined in the order they stand.
                    let decoded = if key.ends_with('*') { percent_decode(&value) } else { decode::words(value.as_bytes()) };
                    match &mut typed.name {
                        Some(name) if key.contains('*') => name.push_str(&decoded),
                        _ => typed.name = Some(decoded),
                    }
                }
                _ => {}
            }
        }
        typed
    }
}

fn split_parameters(text: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                pieces.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.extend(text.get(start..));
    pieces
}

fn unquote(text: &str) -> String {
    match text.strip_prefix('"') {
        Some(rest) => {
            let mut out = String::new();
            let mut chars = rest.chars();
            while let Some(c) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => out.extend(chars.next()),
                    '\r' | '\n' => {}
                    c => out.push(c),
                }
            }
            out
        }
        None => text.split_whitespace().next().unwrap_or_default().to_owned(),
    }
}

/// RFC 2231 section 4: `charset'language'percent-encoded`, read as UTF-8.
fn percent_decode(text: &str) -> String {
    let text = text.splitn(3, '\'').last().unwrap_or(text);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex.filter(|_| first == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An open multipart.
struct Open {
    boundary: Vec<u8>,
    alternative: Option<usize>,
}

/// Where a delimiter line ends an entity.
struct Delimiter {
    /// The entity's content ends here.
    start: usize,
    /// The next byte after the line.
    next: usize,
    /// How many multiparts stay open.
    open: usize,
    /// It was a closing delimiter.
    closing: bool,
}

/// The next delimiter line of any open multipart at or after `from` (RFC 2046 section 5.1.1).
fn next_delimiter(raw: &[u8], from: usize, stack: &[Open], dashes: &memmem::Finder<'_>) -> Option<Delimiter> {
    let mut at = from;
    if stack.is_empty() {
        return None;
    }
    loop {
        let rest = raw.get(at..)?;
        // The very first line of a body may be a delimiter, too.
        let start = if at == from && rest.starts_with(b"--") { at } else { at + dashes.find(rest)? + 1 };
        let line = raw.get(start + 2..)?;
        for (depth, open) in stack.iter().enumerate().rev() {
            let Some(tail) = line.strip_prefix(open.boundary.as_slice()) else { continue };
            let closing = tail.starts_with(b"--");
            let line_end = memchr::memchr(b'\n', tail).unwrap_or(tail.len());
            let padding = tail.get(if closing { 2 } else { 0 }..line_end).unwrap_or_default();
            if !padding.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let next = (raw.len() - tail.len() + line_end + 1).min(raw.len());
            return Some(Delimiter { start: start.max(from), next, open: if closing { depth } else { depth + 1 }, closing });
        }
        at = start + 1;
    }
}

/// Walks the whole message. In a report only the parts that stand directly in it are kept, without the returned
/// message and the machine-readable part (RFC 6522 section 3).
pub(super) fn walk(raw: &[u8]) -> Tree<'_> {
    let dashes = memmem::Finder::new(b"\n--");
    let mut tree = Tree { depth: 1, ..Tree::default() };
    let mut stack: Vec<Open> = Vec::new();
    let (mut at, mut root, mut alternatives, mut embedded, mut entities) = (0, true, 0, 0, 0);
    // Octets searched for delimiters, over and over where boundaries are promised that never come.
    let searched = std::cell::Cell::new(0_usize);
    let find = |from: usize, stack: &[Open]| {
        let found = if stack.is_empty() { return None } else { next_delimiter(raw, from, stack, &dashes) };
        searched.set(searched.get() + found.as_ref().map_or(raw.len(), |d| d.next).saturating_sub(from));
        found
    };
    'entity: while let Some(entity) = raw.get(at..) {
        entities += 1;
        if entities > MAX_ENTITIES || searched.get() / MAX_SEARCHES > raw.len() {
            // So many parts are made to tire the reader; what is left is read as one text.
            tree.parts.truncate(MAX_PARTS - 1);
            tree.keep(Head::default(), None, entity);
            break;
        }
        // The header of a part ends before the next delimiter, also when its blank line is missing.
        let limit = if root { None } else { find(at, &stack) }.map_or(raw.len(), |d| d.start);
        let (fields, body) = Fields::split(raw.get(at..limit).unwrap_or_default());
        let body_at = limit - body.len();
        let head = Head::read(fields);
        tree.is_report |= root && head.ctype.value == "multipart/report";
        tree.depth = tree.depth.max(stack.len() + embedded + 1);
        let may_nest = stack.len() + embedded < MAX_DEPTH;
        let around = stack.last().and_then(|o| o.alternative);
        root = false;
        let mut search = body_at;
        if let Some(boundary) = head.ctype.boundary.clone().filter(|_| may_nest && head.ctype.value.starts_with("multipart/")) {
            let alternative = if head.ctype.value == "multipart/alternative" {
                alternatives += 1;
                Some(alternatives)
            } else {
                around
            };
            stack.push(Open { boundary, alternative });
            // A multipart whose first delimiter never comes is read as text, so that nothing hides in it.
            let own = stack.len();
            if find(body_at, &stack).is_none_or(|d| d.open < own) {
                stack.pop();
                let end = find(body_at, &stack).map_or(raw.len(), |d| d.start);
                tree.keep(head, around, raw.get(body_at..end).unwrap_or_default());
                search = end;
            }
        } else if head.ctype.value == "message/rfc822" && !tree.is_report && may_nest && head.encoding == Encoding::Identity {
            embedded += 1;
            at = body_at;
            continue 'entity;
        } else {
            let end = find(body_at, &stack).map_or(raw.len(), |d| d.start);
            tree.keep(head, around, raw.get(body_at..end).unwrap_or_default());
            search = end;
        }
        loop {
            let Some(delimiter) = find(search, &stack) else { break 'entity };
            stack.truncate(delimiter.open);
            search = delimiter.next;
            if !delimiter.closing {
                at = delimiter.next;
                continue 'entity;
            }
        }
    }
    tree
}

/// The fields of an entity that decide how it is read.
#[derive(Debug, Default)]
struct Head {
    ctype: Typed,
    disposition: Typed,
    encoding: Encoding,
}

impl Head {
    fn read(fields: Fields<'_>) -> Self {
        let mut head = Self::default();
        for (name, value) in fields {
            if name.len() < 12 || !name.get(..8).is_some_and(|n| n.eq_ignore_ascii_case(b"content-")) {
                continue;
            }
            if name.eq_ignore_ascii_case(b"content-type") && head.ctype.value.is_empty() {
                head.ctype = Typed::parse(value);
            } else if name.eq_ignore_ascii_case(b"content-disposition") {
                head.disposition = Typed::parse(value);
            } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
                head.encoding = Encoding::named(value);
            }
        }
        head
    }
}

impl<'a> Tree<'a> {
    fn keep(&mut self, head: Head, alternative: Option<usize>, body: &'a [u8]) {
        if self.parts.len() >= MAX_PARTS {
            return;
        }
        let Head { ctype, disposition, encoding } = head;
        let file_name = disposition.name.or(ctype.name).unwrap_or_default();
        let attachment = disposition.value == "attachment";
        let kind = match ctype.value.as_str() {
            "text/html" | "application/xhtml+xml" => Kind::Html,
            t if t.starts_with("image/") => Kind::Image,
            // An unknown multipart that could not be followed is text to whoever reads it.
            "" | "text" | "text/plain" => Kind::Plain,
            // For programs, not shown as they stand.
            "text/calendar" | "text/vcard" | "text/x-vcard" | "text/directory" | "text/css" | "text/csv" => Kind::Other,
            t if t.starts_with("multipart/") || (t.starts_with("text/") && file_name.is_empty()) => Kind::Plain,
            _ => Kind::Other,
        };
        if self.is_report && (ctype.value.starts_with("message/") || ctype.value == "text/rfc822-headers") {
            return;
        }
        self.parts.push(Part {
            kind,
            ctype: ctype.value,
            charset: ctype.charset,
            encoding,
            file_name,
            attachment,
            alternative,
            body,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_message_gives_its_leaves() {
        let raw = b"Content-Type: multipart/mixed;\r\n boundary=\"a b\"\r\n\r\nignored\r\n--a b\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n\
            --in\r\n\r\nplain\r\n--in\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<b>x</b>\r\n--in--\r\n--a b\r\n\
            Content-Disposition: attachment; filename*=utf-8''a%20b.pdf\r\nContent-Type: application/pdf\r\n\r\nxx\r\n--a b--\r\n";
        let tree = walk(raw);
        let seen: Vec<_> =
            tree.parts.iter().map(|p| (p.kind, p.body.trim_ascii(), p.alternative, p.file_name.as_str())).collect();
        assert_eq!(
            seen,
            [
                (Kind::Plain, &b"plain"[..], Some(1), ""),
                (Kind::Html, &b"<b>x</b>"[..], Some(1), ""),
                (Kind::Other, &b"xx"[..], None, "a b.pdf")
            ]
        );
        assert_eq!((tree.depth, tree.is_report), (3, false));
    }

    #[test]
    fn the_returned_message_of_a_report_is_left_out() {
        let raw = b"Content-Type: multipart/report; boundary=r\n\n--r\n\nfailed\n--r\nContent-Type: message/delivery-status\n\nx\n--r\n\
            Content-Type: message/rfc822\n\nSubject: buy\n\nviagra\n--r--\n";
        let tree = walk(raw);
        assert!(tree.is_report);
        assert_eq!(tree.parts.iter().map(|p| p.body.trim_ascii()).collect::<Vec<_>>(), [b"failed"]);
    }

    #[test]
    fn nesting_and_missing_delimiters_are_bounded() {
        let mut bomb = String::new();
        for i in 0..5_000 {
            bomb.push_str(&format!("Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n"));
        }
        assert!(walk(bomb.as_bytes()).depth <= MAX_DEPTH + 1);
        let nested = "Content-Type: message/rfc822\n\n".repeat(5_000);
        assert!(walk(nested.as_bytes()).depth <= MAX_DEPTH + 1);
        let never = walk(b"Content-Type: multipart/mixed; boundary=x\n\nthe text\n");
        assert_eq!(never.parts.len(), 1);
        let flat = format!("Content-Type: multipart/mixed; boundary=x\n\n{}", "--x\n\n1\n".repeat(5_000));
        assert_eq!(walk(flat.as_bytes()).parts.len(), MAX_PARTS);
        // Parts without a blank line must not make each look for one to the end of the message.
        let headless = format!("Content-Type: multipart/mixed; boundary=x\n\n{}", "--x\nA: b\n".repeat(500_000));
        assert_eq!(walk(headless.as_bytes()).parts.len(), MAX_PARTS);
    }

    #[test]
    fn a_part_without_a_blank_line_has_no_body() {
        let tree = walk(b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html\n--x\n\nplain\n--x--\n");
        let seen: Vec<_> = tree.parts.iter().map(|p| (p.kind, p.body.trim_ascii())).collect();
        assert_eq!(seen, [(Kind::Html, &b""[..]), (Kind::Plain, &b"plain"[..])]);
    }
}
