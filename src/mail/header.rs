//! The one reader of header sections (RFC 5322 section 2.2). All code that looks at a header uses
//! it, so that all of it sees the same fields and the same end.
//!
//! Readers of mail disagree about a line that is no field: some end the header there, others skip
//! the line. So the section ends only at the empty line, and every field before it is returned:
//! these include all fields that any reader sees. [`Fields::flaw`] tells where a reader may have
//! stopped.

use std::ops::Range;

/// One header field with its place in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// Printable ASCII, without the colon and blanks before it.
    pub name: &'a [u8],
    /// What follows the colon, as it stands: folding and line end are still inside.
    pub value: &'a [u8],
    /// Its octets in the message, folded lines and line ends included.
    pub place: Range<usize>,
    /// Blanks stand between name and colon (obsolete in RFC 5322 section 4.5): not every reader
    /// takes it for a field.
    pub spaced: bool,
}

impl<'a> Field<'a> {
    /// The value without white space around it, folding still inside.
    pub(crate) const fn trimmed(&self) -> &'a [u8] {
        self.value.trim_ascii()
    }

    /// Whether it has that name, in any case.
    pub(crate) const fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The unfolded value as text, of at most the first `most` octets; what is no UTF-8 becomes
    /// U+FFFD.
    pub(crate) fn text(&self, most: usize) -> String {
        let value = self.value.get(..most).unwrap_or(self.value);
        let mut text = String::from_utf8_lossy(value.trim_ascii()).into_owned();
        text.retain(|c| c != '\r' && c != '\n');
        text
    }
}

/// The fields of a header section, topmost first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    octets: &'a [u8],
    at: usize,
    is_message: bool,
    flaw: Option<usize>,
    mbox: bool,
}

impl<'a> Fields<'a> {
    /// The fields of a message as it came in. A message that does not begin with a field has no
    /// header section: it leaves with an empty line before it, so it is body for all readers.
    pub(crate) const fn of_message(octets: &'a [u8]) -> Self {
        Self {
            octets,
            at: 0,
            is_message: true,
            flaw: None,
            mbox: false,
        }
    }

    /// The fields of a part of a message, or of a message inside another: nothing puts an empty
    /// line before a first line that is no field.
    pub(crate) const fn of_part(octets: &'a [u8]) -> Self {
        Self {
            is_message: false,
            ..Self::of_message(octets)
        }
    }

    /// Position of the first line so far that is no field: for some readers the body begins there.
    pub(crate) const fn flaw(&self) -> Option<usize> {
        self.flaw
    }

    /// Whether a line of an mbox file stands before the first field, which readers of mail skip
    /// there.
    pub(crate) const fn begins_as_mbox(&self) -> bool {
        self.mbox
    }

    /// The end of what was read: once there are no more fields, the place of the empty line, or the
    /// end of the octets.
    pub(crate) const fn end(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let start = self.at;
            let rest = self.octets.get(start..)?;
            if rest.is_empty() || behind_separator(rest).is_some() {
                return None;
            }
            let end = field_end(self.octets, start);
            let line = self.octets.get(start..end)?;
            if let Some((name, value, spaced)) = split(line) {
                self.at = end;
                return Some(Field {
                    name,
                    value,
                    place: start..end,
                    spaced,
                });
            }
            if start == 0 && is_mbox(line) {
                self.mbox = true;
            } else {
                self.flaw = self.flaw.or(Some(start));
                if start == 0 && self.is_message {
                    return None;
                }
            }
            self.at = end;
        }
    }
}

/// What follows the empty line between header and body, if that stands here.
pub(super) fn behind_separator(rest: &[u8]) -> Option<&[u8]> {
    rest.strip_prefix(b"\r\n")
        .or_else(|| rest.strip_prefix(b"\n"))
}

/// Index just after the line that starts at `at`.
fn line_end(octets: &[u8], at: usize) -> usize {
    let rest = octets.get(at..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(octets.len(), |n| at + n + 1)
}

/// Index just after the line that starts at `at` and those that continue it: they begin with white
/// space (RFC 5322 section 2.2.3).
fn field_end(octets: &[u8], at: usize) -> usize {
    let mut end = line_end(octets, at);
    while matches!(octets.get(end), Some(b' ' | b'\t')) {
        end = line_end(octets, end);
    }
    end
}

/// Whether a line that continues no other one is a field.
pub(super) fn is_field(line: &[u8]) -> bool {
    split(line).is_some()
}

/// Name, value, and whether blanks stand before the colon; `None` if it is no field.
fn split(line: &[u8]) -> Option<(&[u8], &[u8], bool)> {
    let colon = memchr::memchr(b':', line)?;
    let (before, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    let name = before.trim_ascii_end();
    let good = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    good.then_some((name, value, name.len() != before.len()))
}

fn is_mbox(line: &[u8]) -> bool {
    line.starts_with(b"From ") || line.starts_with(b">From ")
}

/// Whether the message has no header section, so that an empty line must follow the fields that are
/// put before it.
pub(crate) fn is_missing(message: &[u8]) -> bool {
    let mut fields = Fields::of_message(message);
    // An empty line at the top ends the fields put before it as well.
    fields.next().is_none() && fields.flaw() == Some(0)
}

/// The header section with the line end of its last field, and the body after the empty line.
/// Without an empty line all is header.
pub(crate) fn split_part(octets: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(rest) = octets
        .get(at..)
        .filter(|rest| !rest.is_empty() && behind_separator(rest).is_none())
    {
        at += memchr::memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
    }
    let (header, rest) = octets.split_at_checked(at).unwrap_or((octets, &[]));
    (header, behind_separator(rest).unwrap_or_default())
}

/// The same for a message as it came in: one that does not begin with a field is all body.
pub(crate) fn split_message(message: &[u8]) -> (&[u8], &[u8]) {
    if is_missing(message) {
        (&[], message)
    } else {
        split_part(message)
    }
}

/// The message without the fields that `cut` names; `None` if there are none.
pub(crate) fn without(message: &[u8], cut: impl Fn(&Field<'_>) -> bool) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let mut kept = 0;
    for field in Fields::of_message(message).filter(|field| cut(field)) {
        let out = out.get_or_insert_with(|| Vec::with_capacity(message.len()));
        out.extend_from_slice(message.get(kept..field.place.start).unwrap_or_default());
        kept = field.place.end;
    }
    if let Some(out) = &mut out {
        out.extend_from_slice(message.get(kept..).unwrap_or_default());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(octets: &str) -> (String, Option<usize>, usize) {
        let mut fields = Fields::of_message(octets.as_bytes());
        let names: Vec<String> = fields
            .by_ref()
            .map(|f| String::from_utf8_lossy(f.name).into_owned())
            .collect();
        (names.join(" "), fields.flaw(), fields.end())
    }

    #[test]
    fn every_field_before_the_empty_line_is_seen_whatever_stands_between() {
        for (message, wanted, flaw) in [
            ("A: 1\r\nB: 2\r\n\r\nC: 3\r\n", "A B", None),
            (
                "A: 1\r\nno field\r\nFrom: x\r\n\r\nC: 3\r\n",
                "A From",
                Some(6),
            ),
            (
                "A: 1\r\nno field\r\n folded: x\r\nB: 2\r\n\r\n",
                "A B",
                Some(6),
            ),
            ("A: 1\r\nBad Name: 2\r\nFrom: x\r\n\r\n", "A From", Some(6)),
            ("A: 1\r\n: 2\r\nFrom: x\r\n\r\n", "A From", Some(6)),
            (
                "A: 1\r\nFrom\u{a0}: 2\r\nFrom : x\r\nFrom\t: y\r\n",
                "A From From",
                Some(6),
            ),
            // White space alone continues a field; what follows is still header.
            (
                "A: 1\r\n \r\nFrom: x\r\n\t\r\nB: 2\r\n\r\nC: 3",
                "A From B",
                None,
            ),
            ("A:\nB: 2\n\nC: 3\n", "A B", None),
            ("A: 1", "A", None),
            ("\r\nA: 1\r\n", "", None),
            ("", "", None),
            // Nobody takes for a header what does not begin as one: it leaves with an empty line
            // before it.
            ("no field\r\nFrom: x\r\n\r\n", "", Some(0)),
            (" A: 1\r\nFrom: x\r\n\r\n", "", Some(0)),
            ("\u{feff}A: 1\r\nFrom: x\r\n\r\n", "", Some(0)),
            // A line of an mbox file is one only at the very top.
            ("From bob Mon 10:00\r\nA: 1\r\n\r\n", "A", None),
            (
                ">From bob Mon\r\nFrom ann Mon\r\nA: 1\r\n\r\n",
                "A",
                Some(15),
            ),
        ] {
            let (got, got_flaw, end) = names(message);
            assert_eq!((got.as_str(), got_flaw), (wanted, flaw), "{message:?}");
            let header = split_message(message.as_bytes()).0;
            assert_eq!(end, header.len(), "{message:?}");
            assert_eq!(
                is_missing(message.as_bytes()),
                flaw == Some(0),
                "{message:?}"
            );
        }
        assert_eq!(
            Fields::of_part(b"no field\r\nFrom: x\r\n\r\n").count(),
            1,
            "nobody puts an empty line before a part"
        );
    }

    #[test]
    fn a_field_keeps_its_octets_and_tells_how_it_is_written() {
        let message = b"Subject:\r\n one\r\n\ttwo \xff\r\nFrom \t: x\r\n\r\n";
        let fields: Vec<Field<'_>> = Fields::of_message(message).collect();
        let [subject, from] = fields.as_slice() else {
            panic!("two fields")
        };
        assert_eq!(
            (
                subject.text(100).as_str(),
                subject.spaced,
                subject.place.clone()
            ),
            ("one\ttwo \u{fffd}", false, 0..24)
        );
        assert_eq!(subject.text(5), "on");
        assert!(from.is("from") && from.spaced);
        assert_eq!(from.text(100), "x");
    }

    #[test]
    fn header_and_body_are_parted_at_the_empty_line() {
        for (octets, header, body) in [
            ("A: 1\r\n\r\nx\r\n\r\ny", "A: 1\r\n", "x\r\n\r\ny"),
            ("A: 1\n\nx", "A: 1\n", "x"),
            ("A: 1\r\nx\r\n", "A: 1\r\nx\r\n", ""),
            ("\r\nx", "", "x"),
            ("x\r\n\r\ny", "x\r\n", "y"),
            ("", "", ""),
        ] {
            assert_eq!(
                split_part(octets.as_bytes()),
                (header.as_bytes(), body.as_bytes()),
                "{octets:?}"
            );
        }
        assert_eq!(split_message(b"x\r\n\r\ny"), (&b""[..], &b"x\r\n\r\ny"[..]));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_to_one_end(octets in "[A-Fc: \t\r\n\u{ff}]{0,80}|From [a: \n]{0,20}") {
            let octets = octets.as_bytes();
            let mut fields = Fields::of_part(octets);
            let mut last = 0;
            for field in fields.by_ref() {
                prop_assert!(field.place.start >= last && field.place.end > field.place.start);
                last = field.place.end;
            }
            let (header, body) = split_part(octets);
            prop_assert_eq!(fields.end(), header.len());
            prop_assert!(header.len() + body.len() + 2 >= octets.len());
            // Cutting all fields leaves none, and every octet that belongs to none.
            let cut = without(octets, |_| true);
            let count = Fields::of_message(octets).count();
            prop_assert_eq!(cut.is_none(), count == 0);
            let cut_octets: usize = Fields::of_message(octets).map(|f| f.place.len()).sum();
            prop_assert_eq!(cut.map_or(octets.len(), |c| c.len()) + cut_octets, octets.len());
        }
    }
}
