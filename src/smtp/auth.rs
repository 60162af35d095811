//! The AUTH exchange on the server's side: PLAIN (RFC 4616) and LOGIN within RFC 4954.

use crate::types::Secret;
use crate::types::replies::{self, FixedReply};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// An offered mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Name and password in one line (RFC 4616).
    Plain,
    /// Never standardized, but widely used: asks for the user name, then for the password.
    Login,
}

/// One AUTH exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    mechanism: Mechanism,
    user: Option<String>,
}

/// The next step after a line of the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AuthProgress {
    /// Send `334` with this text, which is already base64, and read the next line.
    Challenge(&'static str),
    /// The exchange is complete.
    Credentials { user: String, password: Secret },
    /// The exchange is over.
    Refused(FixedReply),
}

impl Exchange {
    /// An exchange by this mechanism (in upper case); `None` if it is not offered.
    pub(crate) fn new(mechanism: &str) -> Option<Self> {
        let mechanism = match mechanism {
            "PLAIN" => Mechanism::Plain,
            "LOGIN" => Mechanism::Login,
            _ => return None,
        };
        Some(Self {
            mechanism,
            user: None,
        })
    }

    /// The mechanism that the client asked for.
    pub(crate) const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Begins the exchange, with the initial response of the AUTH command if it had one.
    pub(crate) fn begin(&mut self, initial: Option<&str>) -> AuthProgress {
        match (initial, self.mechanism) {
            // `=` means an empty initial response (RFC 4954 section 4).
            (Some("="), _) => self.response(Vec::new()),
            (Some(initial), _) => self.decode(initial.as_bytes()),
            (None, Mechanism::Plain) => AuthProgress::Challenge(""),
            (None, Mechanism::Login) => AuthProgress::Challenge("VXNlcm5hbWU6"), // "Username:"
        }
    }

    /// Takes the next line of the client, without its CRLF.
    pub(crate) fn line(&mut self, line: &[u8]) -> AuthProgress {
        if line == b"*" {
            return AuthProgress::Refused(replies::AUTH_CANCELLED);
        }
        self.decode(line)
    }

    /// Strict base64: canonical padding, no white space (RFC 4954 section 4).
    fn decode(&mut self, line: &[u8]) -> AuthProgress {
        match STANDARD.decode(line) {
            Ok(response) => self.response(response),
            Err(_) => AuthProgress::Refused(replies::AUTH_SYNTAX),
        }
    }

    fn response(&mut self, response: Vec<u8>) -> AuthProgress {
        let Ok(text) = String::from_utf8(response) else {
            return AuthProgress::Refused(replies::AUTH_SYNTAX);
        };
        match self.mechanism {
            Mechanism::Plain => plain(&text),
            Mechanism::Login => self.login(text),
        }
    }

    fn login(&mut self, text: String) -> AuthProgress {
        match self.user.take() {
            _ if text.contains('\0') => AuthProgress::Refused(replies::AUTH_SYNTAX),
            Some(user) => AuthProgress::Credentials {
                user,
                password: Secret(text),
            },
            None if text.is_empty() => AuthProgress::Refused(replies::BAD_LOGIN),
            None => {
                self.user = Some(text);
                AuthProgress::Challenge("UGFzc3dvcmQ6") // "Password:"
            }
        }
    }
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 section 2). An authzid other than the authcid is
/// refused.
fn plain(text: &str) -> AuthProgress {
    let mut parts = text.split('\0');
    let (Some(identity), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return AuthProgress::Refused(replies::AUTH_SYNTAX);
    };
    if user.is_empty() || (!identity.is_empty() && identity != user) {
        return AuthProgress::Refused(replies::BAD_LOGIN);
    }
    AuthProgress::Credentials {
        user: user.to_owned(),
        password: Secret(password.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(user: &str, password: &str) -> AuthProgress {
        AuthProgress::Credentials {
            user: user.into(),
            password: Secret(password.into()),
        }
    }

    #[test]
    fn plain_responses() {
        for (text, want) in [
            ("\0alice\0pw", good("alice", "pw")),
            ("alice\0alice\0pw", good("alice", "pw")),
            ("bob\0alice\0pw", AuthProgress::Refused(replies::BAD_LOGIN)),
            ("\0\0pw", AuthProgress::Refused(replies::BAD_LOGIN)),
            ("\0alice\0", good("alice", "")),
            ("alice\0pw", AuthProgress::Refused(replies::AUTH_SYNTAX)),
            ("\0alice\0pw\0", AuthProgress::Refused(replies::AUTH_SYNTAX)),
            ("", AuthProgress::Refused(replies::AUTH_SYNTAX)),
        ] {
            let mut exchange = Exchange::new("PLAIN").expect("offered");
            assert_eq!(exchange.begin(None), AuthProgress::Challenge(""));
            assert_eq!(
                exchange.line(STANDARD.encode(text).as_bytes()),
                want,
                "{text:?}"
            );
        }
    }

    #[test]
    fn login_asks_twice() {
        let mut exchange = Exchange::new("LOGIN").expect("offered");
        assert!(matches!(exchange.begin(None), AuthProgress::Challenge(_)));
        assert!(matches!(
            exchange.line(b"YWxpY2U="),
            AuthProgress::Challenge(_)
        ));
        assert_eq!(exchange.line(b"cHc="), good("alice", "pw"));
    }

    #[test]
    fn base64_is_strict() {
        for line in [
            "YWxpY2U",
            "YWxpY2V=",
            "YW xpY2U=",
            "YWxpY2U==",
            "-_-_",
            "=",
            "gA==",
        ] {
            let mut exchange = Exchange::new("LOGIN").expect("offered");
            assert_eq!(
                exchange.line(line.as_bytes()),
                AuthProgress::Refused(replies::AUTH_SYNTAX),
                "{line}"
            );
        }
        let mut exchange = Exchange::new("LOGIN").expect("offered");
        assert_eq!(
            exchange.line(b"*"),
            AuthProgress::Refused(replies::AUTH_CANCELLED)
        );
        assert_eq!(Exchange::new("CRAM-MD5").map(|e| e.mechanism()), None);
    }
}
