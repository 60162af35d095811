//! Framing of a message after DATA (RFC 5321 sections 4.1.1.4 and 4.5.2).
//!
//! The message ends with CRLF `.` CRLF and with nothing else. Servers that also accepted LF `.` LF,
//! LF `.` CRLF or CR `.` CR as the end let a sender hide a second message with its own envelope in
//! the first one (SMTP smuggling, CVE-2023-51764, CVE-2023-51765, CVE-2023-51766). Here such octets
//! are content. No valid message has them, so the message is refused at its true end.

use crate::smtp::content::Content;
use crate::types::replies;

/// Reads one message.
#[derive(Debug)]
pub(super) struct DataReader {
    place: FramingPlace,
    content: Content,
}

/// The place of the next octet in the framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FramingPlace {
    /// After CRLF, or at the very beginning: the CRLF of the DATA command counts (RFC 5321 section
    /// 4.1.1.4).
    LineStart,
    /// After a dot at the beginning of a line; the dot is not part of the message (RFC 5321 section
    /// 4.5.2).
    Dot,
    /// After CRLF `.` CR.
    DotCr,
    Line,
    /// After a CR inside a line.
    Cr,
}

impl DataReader {
    /// Begins after the 354.
    pub(crate) const fn new(content: Content) -> Self {
        Self {
            place: FramingPlace::LineStart,
            content,
        }
    }

    /// Reads more input, at most to the end of the message. Returns the octets left over and
    /// whether the end was found.
    pub(crate) fn read<'a>(&mut self, mut input: &'a [u8]) -> (&'a [u8], bool) {
        loop {
            let Some((&first, behind)) = input.split_first() else {
                return (input, false);
            };
            match (self.place, first) {
                (FramingPlace::LineStart, b'.') => {
                    self.place = FramingPlace::Dot;
                    input = behind;
                }
                (FramingPlace::LineStart, _) => self.place = FramingPlace::Line,
                (FramingPlace::Dot, b'\r') => {
                    self.place = FramingPlace::DotCr;
                    input = behind;
                }
                (FramingPlace::Dot, _) => self.place = FramingPlace::Line,
                (FramingPlace::DotCr, b'\n') => return (behind, true),
                (FramingPlace::Cr, b'\n') => {
                    self.content.line_end();
                    self.place = FramingPlace::LineStart;
                    input = behind;
                }
                (FramingPlace::DotCr | FramingPlace::Cr, _) => {
                    self.content.refuse(replies::BARE_CR);
                    self.place = FramingPlace::Line;
                }
                (FramingPlace::Line, _) => {
                    let (cr, rest) = self.content.take_to_cr(input);
                    if cr {
                        self.place = FramingPlace::Cr;
                    }
                    input = rest;
                }
            }
        }
    }

    /// The message so far.
    pub(crate) const fn content(&self) -> &Content {
        &self.content
    }

    /// The message so far, to refuse it.
    pub(super) const fn content_mut(&mut self) -> &mut Content {
        &mut self.content
    }

    /// The message, after its end was found.
    pub(super) fn into_content(self) -> Content {
        self.content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Reply;
    use proptest::prelude::*;

    fn read(input: &[u8], piece: usize) -> Option<(Result<Vec<u8>, Reply>, usize)> {
        let mut reader = DataReader::new(Content::new(100_000, 1000));
        let mut used = 0;
        for chunk in input.chunks(piece) {
            let (rest, done) = reader.read(chunk);
            used += chunk.len() - rest.len();
            if done {
                return Some((reader.into_content().finish(), used));
            }
        }
        None
    }

    /// What the RFC says, put as plainly as can be: find CRLF.CRLF, split at CRLF, take one dot
    /// from each line.
    fn by_the_book(input: &[u8]) -> Option<(Option<Vec<u8>>, usize)> {
        let mut with_data = b"\r\n".to_vec();
        with_data.extend(input);
        let end = with_data.windows(5).position(|w| w == b"\r\n.\r\n")?;
        let lines = &with_data[2..(end + 2).max(2)];
        let text = std::str::from_utf8(lines).expect("test input is ASCII");
        let body: String = text
            .split_inclusive("\r\n")
            .map(|line| line.strip_prefix('.').unwrap_or(line))
            .collect();
        let bare = text.replace("\r\n", "").contains(['\r', '\n', '\0']);
        Some(((!bare).then(|| body.into_bytes()), end + 3))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn like_by_the_book(
            words in proptest::collection::vec(proptest::sample::select(vec!["\r\n", "\r\n", ".", "a", "bc", "\r", "\n", "\0", "\r\n.\r\n"]), 0..30),
            piece in 1..20usize,
        ) {
            let input = words.concat();
            let got = read(input.as_bytes(), piece).map(|(body, used)| (body.ok(), used));
            prop_assert_eq!(got, by_the_book(input.as_bytes()), "{:?}", input);
        }
    }

    #[test]
    fn the_first_fault_is_told() {
        for (input, code, text) in [
            ("a\nb\rc\r\n.\r\n", 550, "Bare LF"),
            ("a\rb\nc\r\n.\r\n", 550, "Bare CR"),
            ("a\0b\nc\r\n.\r\n", 550, "NUL"),
        ] {
            let (body, _) = read(input.as_bytes(), 7).expect("an end");
            let reply = body.expect_err("refused");
            assert!(
                reply.code == code && reply.lines[0].starts_with(text),
                "{input:?}: {reply:?}"
            );
        }
    }
}
