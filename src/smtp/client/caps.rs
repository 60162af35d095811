//! What a server offers in its EHLO reply (RFC 5321 section 4.1.1.1).

use crate::types::{AuthMechanism, Reply};

/// Most recipients of one transaction if the server states no limit: every server must accept 100
/// (RFC 5321 section 4.5.3.1.8).
const DEFAULT_RECIPIENTS: usize = 100;

/// Extensions that a server offers. None are offered after HELO.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Capabilities {
    pub pipelining: bool,
    pub eight_bit_mime: bool,
    pub smtputf8: bool,
    pub dsn: bool,
    pub starttls: bool,
    /// SIZE (RFC 1870): `None` = not offered, 0 = offered without a fixed maximum.
    pub size: Option<u64>,
    /// Mechanisms of AUTH (RFC 4954) that the relay supports.
    pub auth: Vec<AuthMechanism>,
    /// LIMITS RCPTMAX (RFC 9422).
    pub rcpt_max: Option<usize>,
    /// LIMITS MAILMAX (RFC 9422).
    pub mail_max: Option<u32>,
}

impl Capabilities {
    /// Parses a positive EHLO reply; its first line is the greeting. Unknown keywords are ignored.
    pub(crate) fn parse(reply: &Reply) -> Self {
        let mut caps = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let Some(keyword) = words.next() else {
                continue;
            };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => caps.pipelining = true,
                "8BITMIME" => caps.eight_bit_mime = true,
                "SMTPUTF8" => caps.smtputf8 = true,
                "DSN" => caps.dsn = true,
                "STARTTLS" => caps.starttls = true,
                "SIZE" => caps.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0)),
                "AUTH" => caps.read_auth(words),
                "LIMITS" => caps.read_limits(words),
                // "AUTH=PLAIN" is an old form that some servers still send.
                other => {
                    if let Some(first) = other.strip_prefix("AUTH=") {
                        caps.read_auth(std::iter::once(first).chain(words));
                    }
                }
            }
        }
        caps
    }

    fn read_auth<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        for word in words {
            let mut known = AuthMechanism::NAMES.iter();
            let known = known.find(|(name, _)| word.eq_ignore_ascii_case(name));
            self.auth.extend(known.map(|(_, mechanism)| *mechanism));
        }
    }

    /// RFC 9422 section 3: `NAME=value`; a limit that cannot be parsed is ignored.
    fn read_limits<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        for (name, value) in words.filter_map(|w| w.split_once('=')) {
            let Some(value) = value.parse::<u32>().ok().filter(|n| *n > 0) else {
                continue;
            };
            if name.eq_ignore_ascii_case("RCPTMAX") {
                self.rcpt_max = usize::try_from(value).ok();
            } else if name.eq_ignore_ascii_case("MAILMAX") {
                self.mail_max = Some(value);
            }
        }
    }

    /// Most recipients of one transaction, 1-1000.
    pub(crate) fn recipients_per_transaction(&self) -> usize {
        self.rcpt_max.unwrap_or(DEFAULT_RECIPIENTS).clamp(1, 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(lines: &[&str]) -> Capabilities {
        let lines = std::iter::once("mx.example")
            .chain(lines.iter().copied())
            .map(str::to_owned)
            .collect();
        Capabilities::parse(&Reply {
            code: 250,
            enhanced: None,
            lines,
        })
    }

    #[test]
    fn keywords_are_read_in_any_case() {
        let c = caps(&[
            "pipelining",
            "8BitMime",
            "SmtpUtf8",
            "dsn",
            "STARTTLS",
            "SIZE 1000",
            "AUTH CRAM-MD5 login PLAIN",
            "X-OTHER y",
        ]);
        assert!(c.pipelining && c.eight_bit_mime && c.smtputf8 && c.dsn && c.starttls);
        assert_eq!(
            c.auth,
            [
                AuthMechanism::CramMd5,
                AuthMechanism::Login,
                AuthMechanism::Plain
            ]
        );
        assert_eq!(c.size, Some(1000));
        assert_eq!(caps(&[]), Capabilities::default());
    }

    #[test]
    fn the_greeting_is_no_keyword() {
        let reply = Reply {
            code: 250,
            enhanced: None,
            lines: vec!["STARTTLS".into()],
        };
        assert_eq!(Capabilities::parse(&reply), Capabilities::default());
    }

    #[test]
    fn odd_values_mean_no_limit() {
        assert_eq!(caps(&["SIZE"]).size, Some(0));
        assert_eq!(caps(&["SIZE -5"]).size, Some(0));
        assert_eq!(caps(&["SIZE 99999999999999999999999999"]).size, Some(0));
        assert_eq!(
            caps(&["LIMITS RCPTMAX=0 MAILMAX=x"]),
            Capabilities::default()
        );
        assert_eq!(
            caps(&["LIMITS RCPTMAX=20 MAILMAX=5 OTHER"]).recipients_per_transaction(),
            20
        );
        assert_eq!(caps(&["LIMITS MAILMAX=5"]).mail_max, Some(5));
        assert_eq!(
            caps(&["LIMITS RCPTMAX=4000000"]).recipients_per_transaction(),
            1000
        );
        assert_eq!(caps(&[]).recipients_per_transaction(), DEFAULT_RECIPIENTS);
        assert_eq!(caps(&["AUTH=LOGIN"]).auth, [AuthMechanism::Login]);
    }
}
