//! How an entity is read: by its fields, and by the name of its file.

use super::structured::Structured;
use super::{LeafKind, LeafPlace};
use crate::mail::encoding::Encoding;
use crate::mail::header::Fields;

/// How a leaf of that type is read, and where it stands unless it is declared an attachment.
pub(super) fn read_as(ctype: &str, file_name: &str, encoding: Encoding) -> (LeafKind, LeafPlace) {
    let named = !file_name.is_empty();
    let by_name = if named { by_extension(file_name) } else { None };
    match ctype {
        "text/html" | "application/xhtml+xml" => (LeafKind::Html, LeafPlace::Inline),
        // Readers show a type they do not know as text.
        "" | "text" | "text/plain" => (LeafKind::Plain, LeafPlace::Inline),
        "text/calendar" | "application/ics" => (LeafKind::Calendar, LeafPlace::Attached),
        "text/rtf" | "application/rtf" => (LeafKind::Rtf, LeafPlace::Attached),
        "text/enriched" | "text/richtext" => (
            LeafKind::Html,
            if named {
                LeafPlace::Attached
            } else {
                LeafPlace::Inline
            },
        ),
        // For programs; most readers do not show them as text.
        "text/vcard" | "text/x-vcard" | "text/directory" | "text/css" | "text/csv" => {
            (LeafKind::Plain, LeafPlace::Attached)
        }
        "text/rfc822-headers" => (LeafKind::Plain, LeafPlace::Machine),
        "image/svg+xml" => (LeafKind::Html, LeafPlace::Attached),
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
            (LeafKind::Signed, LeafPlace::Attached)
        }
        t if t.starts_with("multipart/") => (
            if encoding == Encoding::Identity {
                LeafKind::Plain
            } else {
                LeafKind::Message
            },
            LeafPlace::Inline,
        ),
        "message/rfc822" | "message/global" | "message/news" => {
            (LeafKind::Message, LeafPlace::Attached)
        }
        t if t.starts_with("message/") => (LeafKind::Plain, LeafPlace::Machine),
        t if t.starts_with("text/") => (
            by_name.unwrap_or(LeafKind::Plain),
            if named {
                LeafPlace::Attached
            } else {
                LeafPlace::Inline
            },
        ),
        t if t.starts_with("image/") => (LeafKind::Image, LeafPlace::Attached),
        _ => (by_name.unwrap_or(LeafKind::Other), LeafPlace::Attached),
    }
}

/// What a file holds that programs open by its name.
fn by_extension(file_name: &str) -> Option<LeafKind> {
    let (_, extension) = file_name
        .trim()
        .trim_end_matches(['.', ' '])
        .rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" | "shtml" | "xhtml" | "xht" | "svg" => LeafKind::Html,
        "txt" | "text" | "md" | "asc" | "log" => LeafKind::Plain,
        "ics" | "ical" | "ifb" | "vcs" => LeafKind::Calendar,
        "rtf" => LeafKind::Rtf,
        "eml" | "mht" | "mhtml" => LeafKind::Message,
        "p7m" => LeafKind::Signed,
        _ => return None,
    })
}

/// The fields of an entity that decide how it is read.
#[derive(Debug, Default)]
pub(super) struct EntityHead<'a> {
    pub ctype: Structured,
    /// Content-Type as it stands.
    pub field: &'a [u8],
    pub disposition: Structured,
    pub encoding: Encoding,
    pub odd_encoding: bool,
    pub broken: bool,
    /// A second Content-Type that says something else.
    pub rival_type: Option<Structured>,
    pub rival_encoding: Option<Encoding>,
    /// Programs take different structures from it.
    pub ambiguous: bool,
}

impl<'a> EntityHead<'a> {
    pub(super) fn read(fields: Fields<'a>) -> Self {
        let mut head = Self::default();
        let mut encoded = false;
        for field in fields {
            let (name, value) = (field.name, field.trimmed());
            if name.len() < 12
                || !name
                    .get(..8)
                    .is_some_and(|n| n.eq_ignore_ascii_case(b"content-"))
            {
                continue;
            }
            if name.eq_ignore_ascii_case(b"content-type") {
                head.content_type(value);
            } else if name.eq_ignore_ascii_case(b"content-disposition") {
                head.disposition = Structured::parse(value);
            } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
                let encoding = Encoding::named(value);
                if encoded && encoding != head.encoding {
                    head.rival_encoding = Some(head.encoding);
                }
                head.encoding = encoding;
                let usual = [&b"7bit"[..], b"8bit", b"binary"]
                    .iter()
                    .any(|n| value.eq_ignore_ascii_case(n));
                head.odd_encoding = encoding == Encoding::Identity && !usual;
                encoded = true;
            }
        }
        head
    }

    /// The first one counts. If a later one has another boundary, readers may use either.
    fn content_type(&mut self, value: &'a [u8]) {
        let typed = Structured::parse(value);
        if self.ctype.value.is_empty() {
            self.ambiguous |= typed.ambiguous && typed.value.starts_with("multipart/");
            (self.ctype, self.field) = (typed, value);
            return;
        }
        if typed.value == self.ctype.value
            && typed.boundary == self.ctype.boundary
            && typed.charset == self.ctype.charset
        {
            return;
        }
        let nests =
            |t: &Structured| t.value.starts_with("multipart/") || t.value.starts_with("message/");
        self.ambiguous |= nests(&typed) || nests(&self.ctype);
        self.rival_type = Some(typed);
    }
}
