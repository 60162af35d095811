//! Splits the input into command lines.
//!
//! A line ends with CRLF. A bare LF at a line end is refused, and the session ends: a peer and a
//! proxy in front of the relay that disagree about line ends would read different commands from the
//! same octets.

use super::{Server, SessionState, Step};
use crate::smtp::grammar;
use crate::types::replies::{self, FixedReply};

/// Octets of one endless line after which the session ends.
const ENDLESS_OCTETS: usize = 1024 * 1024;

/// The line at the start of the input.
enum InputLine {
    /// No complete line yet.
    None,
    /// A line of this many octets, without CRLF.
    Of(usize),
    /// Too long: no CRLF within the limit.
    TooLong(FixedReply),
    /// It ends with LF alone.
    BareLf,
    Tls,
}

impl Server {
    /// Reads one line and handles it. `None`: continue.
    pub(super) fn read_line(&mut self) -> Option<Step> {
        if self.overlong.is_some() {
            return self.skip_overlong();
        }
        match self.cut() {
            InputLine::None => return Some(self.want_more()),
            InputLine::Tls => self.fail_and_close(replies::TLS_TOO_EARLY),
            InputLine::BareLf => self.fail_and_close(replies::BARE_LF_COMMAND),
            InputLine::TooLong(_) if self.begins_bdat() => {
                self.fail_and_close(replies::BDAT_SYNTAX)
            }
            InputLine::TooLong(reply) => self.overlong = Some((0, reply)),
            InputLine::Of(length) => {
                let begin = self.used;
                self.used = self.used.saturating_add(length).saturating_add(2);
                return self.on_line(begin, length);
            }
        }
        None
    }

    fn begins_bdat(&self) -> bool {
        matches!(self.state, SessionState::Command)
            && grammar::is_bdat(self.input.get(self.used..).unwrap_or_default())
    }

    fn cut(&self) -> InputLine {
        let input = self.input.get(self.used..).unwrap_or_default();
        let in_auth = matches!(self.state, SessionState::AuthLine(_));
        // A TLS handshake record begins with 22 (RFC 8446 section 5.1); no command does.
        if !in_auth && input.first() == Some(&22) {
            return InputLine::Tls;
        }
        let limit = if in_auth {
            grammar::AUTH_LINE_OCTETS
        } else {
            grammar::line_limit(input)
        };
        let window = input.get(..limit).unwrap_or(input);
        match memchr::memchr(b'\n', window) {
            Some(0) => InputLine::BareLf,
            Some(i) => match window.get(i - 1) {
                Some(b'\r') => InputLine::Of(i - 1),
                _ => InputLine::BareLf,
            },
            None if window.len() < limit => InputLine::None,
            // RFC 4954 section 4: 500 with 5.5.6 for a line of the exchange.
            None if limit == grammar::AUTH_LINE_OCTETS => {
                InputLine::TooLong(replies::AUTH_LINE_TOO_LONG)
            }
            None => InputLine::TooLong(replies::LINE_TOO_LONG),
        }
    }

    /// Drops the octets of an overlong line up to its end, then answers it.
    fn skip_overlong(&mut self) -> Option<Step> {
        let (dropped, reply) = self.overlong.take()?;
        let input = self.input.get(self.used..).unwrap_or_default();
        match memchr::memchr(b'\n', input) {
            Some(i) => {
                self.used = self.used.saturating_add(i).saturating_add(1);
                self.fail(reply);
                self.state = SessionState::Command;
                None
            }
            None if dropped.saturating_add(input.len()) > ENDLESS_OCTETS => {
                self.fail_and_close(reply);
                None
            }
            None => {
                self.overlong = Some((dropped.saturating_add(input.len()), reply));
                self.used = self.input.len();
                Some(self.want_more())
            }
        }
    }
}
