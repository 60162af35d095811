//! The parts of a message from outside, one level deep (RFC 2045, RFC 2046). Pure.
//!
//! A parser that builds a tree is not used here: a message nested in itself a hundred thousand
//! times would overflow the stack when the tree is dropped.

use crate::mail::header::{self, Fields};
use mail_parser::decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode};
use mail_parser::{Message, MessageParser, MimeHeaders};
use std::borrow::Cow;

/// Octets of a header section that are read.
const HEADER_OCTETS: usize = 64 << 10;
/// Parts that are looked at: reports have three.
const PARTS: usize = 32;

/// A message or one of its parts.
#[derive(Debug)]
pub(super) struct Entity<'a> {
    fields: Fields<'a>,
    kind: Option<Message<'a>>,
    encoding: Option<Message<'a>>,
    /// Still encoded.
    body: &'a [u8],
}

impl<'a> Entity<'a> {
    /// Parts header and body at the first empty line; without one everything is header.
    pub(super) fn read(octets: &'a [u8]) -> Self {
        let (section, body) = header::split_part(octets);
        let section = section.get(..HEADER_OCTETS).unwrap_or(section);
        let fields = Fields::of_part(section);
        let parsed = |name: &str| {
            let field = { fields }.find(|field| field.is(name))?;
            MessageParser::default().parse_headers(section.get(field.place)?)
        };
        Self {
            fields,
            kind: parsed("content-type"),
            encoding: parsed("content-transfer-encoding"),
            body,
        }
    }

    /// Whether the type is `main/sub`; without a type it is none.
    pub(super) fn is(&self, main: &str, sub: &str) -> bool {
        self.kind
            .as_ref()
            .and_then(MimeHeaders::content_type)
            .is_some_and(|kind| {
                kind.ctype().eq_ignore_ascii_case(main)
                    && kind.subtype().is_some_and(|s| s.eq_ignore_ascii_case(sub))
            })
    }

    /// Whether a parameter of the type has this value.
    pub(super) fn attribute_is(&self, name: &str, value: &str) -> bool {
        let kind = self.kind.as_ref().and_then(MimeHeaders::content_type);
        kind.and_then(|kind| kind.attribute(name))
            .is_some_and(|found| found.eq_ignore_ascii_case(value))
    }

    /// The fields of its header.
    pub(super) const fn fields(&self) -> Fields<'a> {
        self.fields
    }

    /// The first `most` octets of its body, decoded (RFC 2045 section 6); as they stand where that
    /// fails.
    pub(super) fn contents(&self, most: usize) -> Cow<'a, [u8]> {
        let body = self.body.get(..most).unwrap_or(self.body);
        let encoding = self
            .encoding
            .as_ref()
            .and_then(MimeHeaders::content_transfer_encoding)
            .unwrap_or_default()
            .trim();
        let decoded = if encoding.eq_ignore_ascii_case("base64") {
            base64_decode(body)
        } else if encoding.eq_ignore_ascii_case("quoted-printable") {
            quoted_printable_decode(body)
        } else {
            None
        };
        decoded.map_or(Cow::Borrowed(body), Cow::Owned)
    }

    /// The parts of a multipart, none of anything else (RFC 2046 section 5.1). One that is cut off
    /// counts.
    pub(super) fn parts(&self) -> Vec<Self> {
        let boundary = self
            .kind
            .as_ref()
            .and_then(MimeHeaders::content_type)
            .and_then(|kind| kind.attribute("boundary"));
        let Some(boundary) = boundary.filter(|b| !b.is_empty()) else {
            return Vec::new();
        };
        let (mut parts, mut start) = (Vec::new(), None);
        let mut at = 0;
        while parts.len() < PARTS && at < self.body.len() {
            let rest = self.body.get(at..).unwrap_or_default();
            let next = at + memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let line = self.body.get(at..next).unwrap_or_default().trim_ascii_end();
            let delimiter = line
                .strip_prefix(b"--")
                .and_then(|l| l.strip_prefix(boundary.as_bytes()));
            if let Some(tail) = delimiter.filter(|tail| tail.is_empty() || *tail == b"--") {
                parts.extend(start.and_then(|start| self.part(start, at)));
                start = tail.is_empty().then_some(next);
                if start.is_none() {
                    return parts;
                }
            }
            at = next;
        }
        if parts.len() < PARTS {
            parts.extend(start.and_then(|start| self.part(start, self.body.len())));
        }
        parts
    }

    /// The line end before a delimiter belongs to the delimiter.
    fn part(&self, start: usize, end: usize) -> Option<Self> {
        let octets = self.body.get(start..end)?;
        let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
        Some(Self::read(octets.strip_suffix(b"\r").unwrap_or(octets)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(mail: &str) -> Vec<String> {
        let parts = Entity::read(mail.as_bytes()).parts();
        parts
            .iter()
            .map(|part| String::from_utf8_lossy(&part.contents(100)).into_owned())
            .collect()
    }

    #[test]
    fn parts_lie_between_delimiter_lines() {
        let head = "Content-Type: multipart/mixed; boundary=\"b 1\"\n\n";
        for (body, expected) in [
            (
                "--b 1\n\none\n--b 1\r\nX: y\r\n\r\ntwo\r\n\r\n--b 1--\nafter\n--b 1\n\nthree",
                vec!["one", "two\r\n"],
            ),
            (
                "before --b 1\n--b 12\n--b 1 \t\n\none\n--b 1--x\n--b 1--",
                vec!["one\n--b 1--x"],
            ),
            ("--b 1\n\ncut of", vec!["cut of"]),
            ("--b 1\n--b 1--\n", vec![""]),
            ("none", vec![]),
        ] {
            assert_eq!(bodies(&format!("{head}{body}")), expected, "{body}");
        }
        assert_eq!(
            bodies("Content-Type: multipart/mixed\n\n--\n\none\n----\n"),
            Vec::<String>::new()
        );
        assert_eq!(
            bodies(&format!("{head}{}", "--b 1\n\nx\n".repeat(1000))).len(),
            PARTS
        );
    }

    #[test]
    fn bodies_are_decoded() {
        for (encoding, body, expected) in [
            ("base64", "b25l", "one"),
            ("Quoted-Printable", "o=6Ee", "one"),
            ("7bit", "b25l", "b25l"),
            ("base64", "!", "!"),
        ] {
            let mail = format!("Content-Transfer-Encoding: {encoding}\r\n\r\n{body}");
            assert_eq!(
                Entity::read(mail.as_bytes()).contents(100),
                expected.as_bytes(),
                "{encoding} {body}"
            );
        }
    }
}
