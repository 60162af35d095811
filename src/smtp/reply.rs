//! Parses the replies of a remote server (RFC 5321 section 4.2). Everything is bounded: a hostile
//! server can make it give up, but never grow or panic.

use crate::types::{Enhanced, Reply};
use std::fmt;

/// Longest accepted reply line, in octets without its end. RFC 5321 section 4.5.3.1.5 allows 512;
/// real servers send longer ones.
pub(crate) const LINE_OCTETS: usize = 2048;
/// Most lines of one reply.
const REPLY_LINES: usize = 128;
/// Most text of one reply, in octets.
const REPLY_OCTETS: usize = 16 * 1024;

/// Most text of a reply that is kept per recipient, in octets: a thousand recipients must not store
/// a thousand long replies.
const KEPT_OCTETS: usize = 1000;

/// Cuts a reply down to [`KEPT_OCTETS`] of text; an ellipsis marks the cut.
pub(crate) fn shorten(mut reply: Reply) -> Reply {
    let mut left = KEPT_OCTETS;
    let mut kept = 0;
    for line in &mut reply.lines {
        kept += 1;
        if line.len() >= left {
            line.truncate(line.floor_char_boundary(left));
            line.push('…');
            break;
        }
        left -= line.len() + 1;
        if left == 0 {
            break;
        }
    }
    reply.lines.truncate(kept);
    reply
}

/// Why the received octets are no reply. The remote is to blame; a retry may help, so all of these
/// are temporary failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyError {
    /// A line longer than [`LINE_OCTETS`].
    LineTooLong,
    /// More than [`REPLY_LINES`] lines or [`REPLY_OCTETS`] octets.
    TooLong,
    /// A line that does not begin with a code of 200-599 and a space, a hyphen or the end of the
    /// line.
    NotAReply,
    /// Lines of one reply with different codes (RFC 5321 section 4.2.1 forbids it).
    CodeChanged,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineTooLong => "reply line too long",
            Self::TooLong => "reply too long",
            Self::NotAReply => "not an SMTP reply",
            Self::CodeChanged => "reply code changes within one reply",
        })
    }
}

/// Assembles replies from bytes as they arrive. After an error it must not be used again.
#[derive(Debug, Default)]
pub(crate) struct ReplyReader {
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// The reply that is not complete yet.
    reply: Option<Reply>,
    octets: usize,
}

impl ReplyReader {
    /// Takes bytes from the front of `input` up to the end of one reply, or all of them; the
    /// remaining bytes stay in `input`.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, ReplyError> {
        while let Some(end) = memchr::memchr(b'\n', input) {
            // `end` was found in `input`, so both halves exist.
            let (head, rest) = input.split_at(end);
            *input = rest.split_first().map_or(&[], |(_, rest)| rest);
            let finished = if self.line.is_empty() {
                self.take_line(head)?
            } else {
                self.keep(head)?;
                let line = std::mem::take(&mut self.line);
                let finished = self.take_line(&line)?;
                self.line = line;
                self.line.clear();
                finished
            };
            if let Some(reply) = finished {
                return Ok(Some(reply));
            }
        }
        let rest = std::mem::take(input);
        self.keep(rest)?;
        Ok(None)
    }

    /// Whether a reply is partly received.
    pub(super) const fn is_partial(&self) -> bool {
        !self.line.is_empty() || self.reply.is_some()
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), ReplyError> {
        if self.line.len() + part.len() > LINE_OCTETS {
            return Err(ReplyError::LineTooLong);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        if line.len() > LINE_OCTETS {
            return Err(ReplyError::LineTooLong);
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (code, last, text) = split_line(line).ok_or(ReplyError::NotAReply)?;
        self.octets += text.len();
        if self.octets > REPLY_OCTETS {
            return Err(ReplyError::TooLong);
        }
        let text = printable(text);
        match &mut self.reply {
            None => {
                let (enhanced, text) = split_enhanced(code, text);
                self.reply = Some(Reply {
                    code,
                    enhanced,
                    lines: vec![text],
                });
            }
            Some(reply) if reply.code != code => return Err(ReplyError::CodeChanged),
            Some(reply) if reply.lines.len() >= REPLY_LINES => return Err(ReplyError::TooLong),
            Some(reply) => {
                // RFC 2034 section 4: the enhanced code is on every line. If a line has another
                // code, it stays part of the text.
                let text = match split_enhanced(code, text.clone()) {
                    (Some(enhanced), rest) if reply.enhanced == Some(enhanced) => rest,
                    _ => text,
                };
                reply.lines.push(text);
            }
        }
        if last {
            self.octets = 0;
            return Ok(self.reply.take());
        }
        Ok(None)
    }
}

/// Code, whether it is the last line, and the text.
fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let mut code = 0u16;
    for digit in digits {
        code = code * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    if !(200..600).contains(&code) {
        return None;
    }
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

/// An enhanced code is valid only if its class is that of the reply code (RFC 2034 section 4).
fn split_enhanced(code: u16, text: String) -> (Option<Enhanced>, String) {
    match Enhanced::take(&text) {
        Some((enhanced, rest)) if u16::from(enhanced.0) == code / 100 => {
            (Some(enhanced), rest.to_owned())
        }
        _ => (None, text),
    }
}

/// Text that is safe in logs, traces and reports: no control characters, valid UTF-8.
pub(crate) fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if text.chars().any(char::is_control) {
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(parts: &[&[u8]]) -> Result<Vec<Reply>, ReplyError> {
        let mut reader = ReplyReader::default();
        let mut out = Vec::new();
        for part in parts {
            let mut input = *part;
            while let Some(reply) = reader.next(&mut input)? {
                out.push(reply);
            }
        }
        Ok(out)
    }

    #[test]
    fn replies_are_read_whole_and_cut_at_every_byte() {
        let wire = b"220 mx.example ESMTP\r\n250-mx.example\r\n250-SIZE 100\r\n250 DSN\r\n550-5.1.1 no such\r\n550 5.1.1 user\r\n250\r\n";
        let expected = vec![
            Reply::plain(220, "mx.example ESMTP"),
            Reply {
                code: 250,
                enhanced: None,
                lines: vec!["mx.example".into(), "SIZE 100".into(), "DSN".into()],
            },
            Reply {
                code: 550,
                enhanced: Some(Enhanced(5, 1, 1)),
                lines: vec!["no such".into(), "user".into()],
            },
            Reply::plain(250, ""),
        ];
        assert_eq!(read_all(&[wire]), Ok(expected.clone()));
        for cut in 0..wire.len() {
            assert_eq!(
                read_all(&[&wire[..cut], &wire[cut..]]),
                Ok(expected.clone()),
                "cut at {cut}"
            );
        }
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(read_all(&bytes), Ok(expected));
    }

    #[test]
    fn oddities_of_real_servers() {
        for (wire, expected) in [
            (&b"250 ok\n"[..], Ok(vec![Reply::plain(250, "ok")])),
            (
                b"250 4.1.1 class of another code\r\n",
                Ok(vec![Reply::plain(250, "4.1.1 class of another code")]),
            ),
            (
                b"451 \x1b[2J\xff\r\n",
                Ok(vec![Reply::plain(451, " [2J\u{fffd}")]),
            ),
            (
                b"550-5.1.1 a\r\n550 5.7.1 b\r\n",
                Ok(vec![Reply {
                    code: 550,
                    enhanced: Some(Enhanced(5, 1, 1)),
                    lines: vec!["a".into(), "5.7.1 b".into()],
                }]),
            ),
            (b"HTTP/1.1 400 Bad Request\r\n", Err(ReplyError::NotAReply)),
            (b"199 x\r\n", Err(ReplyError::NotAReply)),
            (b"600 x\r\n", Err(ReplyError::NotAReply)),
            (b"25x\r\n", Err(ReplyError::NotAReply)),
            (b"2500 x\r\n", Err(ReplyError::NotAReply)),
            (b"\r\n", Err(ReplyError::NotAReply)),
            (b"250-a\r\n550 b\r\n", Err(ReplyError::CodeChanged)),
        ] {
            assert_eq!(
                read_all(&[wire]),
                expected,
                "{}",
                String::from_utf8_lossy(wire)
            );
        }
    }

    #[test]
    fn hostile_replies_are_given_up() {
        assert_eq!(read_all(&[&[b'2'; 5000]]), Err(ReplyError::LineTooLong));
        let mut long = vec![b'x'; LINE_OCTETS + 1];
        long.push(b'\n');
        assert_eq!(read_all(&[&long]), Err(ReplyError::LineTooLong));
        let endless = b"250-x\r\n".repeat(REPLY_LINES + 1);
        assert_eq!(read_all(&[&endless]), Err(ReplyError::TooLong));
        let line = format!("250-{}\r\n", "y".repeat(LINE_OCTETS - 10));
        let heavy = line.repeat(REPLY_OCTETS / (LINE_OCTETS - 10) + 1);
        assert_eq!(read_all(&[heavy.as_bytes()]), Err(ReplyError::TooLong));
    }

    #[test]
    fn long_replies_are_cut_to_what_is_kept() {
        let short = Reply {
            code: 550,
            enhanced: None,
            lines: vec!["a".into(), "b".into()],
        };
        assert_eq!(shorten(short.clone()), short);
        let long = Reply {
            code: 550,
            enhanced: None,
            lines: vec!["ü".repeat(300), "ü".repeat(300), "c".into()],
        };
        let cut = shorten(long);
        assert_eq!(cut.lines.len(), 2);
        assert_eq!(cut.lines[1], format!("{}…", "ü".repeat(199)));
        let many = Reply {
            code: 550,
            enhanced: None,
            lines: vec![String::new(); 5000],
        };
        assert_eq!(shorten(many).lines.len(), KEPT_OCTETS);
    }

    proptest! {
        #[test]
        fn shortening_is_bounded(lines in proptest::collection::vec(".{0,40}", 1..60)) {
            let cut = shorten(Reply { code: 550, enhanced: None, lines });
            prop_assert!(!cut.lines.is_empty());
            prop_assert!(cut.lines.iter().map(String::len).sum::<usize>() <= KEPT_OCTETS + '…'.len_utf8());
        }

        #[test]
        fn any_bytes_are_survived_and_cuts_change_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
            let cut = cut.min(bytes.len());
            prop_assert_eq!(read_all(&[&bytes]), read_all(&[&bytes[..cut], &bytes[cut..]]));
        }
    }
}
