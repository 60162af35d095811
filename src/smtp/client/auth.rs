//! AUTH as a client (RFC 4954): which mechanism, and our words in its exchange. Pure; `mail-send`
//! encodes them.

use crate::types::{AuthMechanism, Secret};
use mail_send::Credentials;
use smtp_proto::{AUTH_CRAM_MD5, AUTH_LOGIN, AUTH_OAUTHBEARER, AUTH_PLAIN, AUTH_XOAUTH2};

/// What the two questions of LOGIN mean, whatever a server writes in them.
const LOGIN_QUESTIONS: [&str; 2] = ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"];

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    Password(Secret),
    /// An OAuth access token.
    Token(Secret),
}

impl Proof {
    /// What it is called in a reply.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Password(_) => "password",
            Self::Token(_) => "token",
        }
    }
}

/// What the server would have to offer for our login. Its operator or ours can mend it; the mail
/// waits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LoginNeeds<'a> {
    #[error("TLS to protect it")]
    Tls,
    /// One of these.
    #[error("AUTH {}", .0.iter().map(|m| m.name()).collect::<Vec<_>>().join(" or "))]
    Mechanism(&'a [AuthMechanism]),
}

/// Who we are, and how we prove it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ClientLogin {
    pub user: String,
    /// Password or access token.
    pub proof: Proof,
    /// The one mechanism to use; `None` = the first that both sides know.
    pub mechanism: Option<AuthMechanism>,
    /// Name or address of the server, and its port.
    pub server: (String, u16),
    /// May be sent over an unencrypted connection.
    pub without_tls: bool,
}

impl ClientLogin {
    /// The mechanism to use of those the server offers.
    pub(super) fn choose(
        &self,
        offered: &[AuthMechanism],
    ) -> Result<AuthMechanism, LoginNeeds<'_>> {
        use AuthMechanism::{CramMd5, Login, OauthBearer, Plain, XOauth2};
        let wanted: &[AuthMechanism] = match (&self.mechanism, &self.proof) {
            (Some(one), _) => std::slice::from_ref(one),
            (None, Proof::Password(_)) => &[Plain, Login, CramMd5],
            (None, Proof::Token(_)) => &[XOauth2, OauthBearer],
        };
        let mut fitting = wanted.iter().filter(|m| offered.contains(m));
        fitting.next().copied().ok_or(LoginNeeds::Mechanism(wanted))
    }

    /// The command that begins the exchange, without its CRLF.
    pub(super) fn command(&self, mechanism: AuthMechanism) -> String {
        let name = mechanism.name();
        match mechanism {
            AuthMechanism::Login | AuthMechanism::CramMd5 => format!("AUTH {name}"),
            // None of the others looks at a challenge, so that their encoding cannot fail.
            _ => format!(
                "AUTH {name} {}",
                self.encode(mechanism, "").unwrap_or_default()
            ),
        }
    }

    /// The answer to the challenge that follows on `earlier` others; `None` = there is none.
    pub(super) fn answer(
        &self,
        mechanism: AuthMechanism,
        earlier: usize,
        challenge: &str,
    ) -> Option<String> {
        match (mechanism, earlier) {
            (AuthMechanism::Login, _) => self.encode(mechanism, LOGIN_QUESTIONS.get(earlier)?),
            (AuthMechanism::CramMd5, 0) => self.encode(mechanism, challenge),
            // The challenge says why the token is refused; the refusal itself comes behind the
            // answer (RFC 7628 section 3.2.3).
            (AuthMechanism::XOauth2, 0) => Some(String::new()),
            (AuthMechanism::OauthBearer, 0) => Some("AQ==".to_owned()),
            _ => None,
        }
    }

    fn encode(&self, mechanism: AuthMechanism, challenge: &str) -> Option<String> {
        let (user, secret) = match &self.proof {
            Proof::Password(secret) | Proof::Token(secret) => {
                (self.user.as_str(), secret.0.as_str())
            }
        };
        let password = || Credentials::new(user, secret);
        match mechanism {
            AuthMechanism::Plain => password().encode(AUTH_PLAIN, challenge),
            AuthMechanism::Login => password().encode(AUTH_LOGIN, challenge),
            AuthMechanism::CramMd5 => password().encode(AUTH_CRAM_MD5, challenge),
            AuthMechanism::XOauth2 => {
                Credentials::new_xoauth2(user, secret).encode(AUTH_XOAUTH2, challenge)
            }
            // RFC 7628 section 3.1. `new_oauth_from_token` leaves the GS2 header out.
            AuthMechanism::OauthBearer => {
                let name = user.replace('=', "=3D").replace(',', "=2C");
                let (host, port) = &self.server;
                let payload = format!(
                    "n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {secret}\x01\x01"
                );
                Credentials::new_oauth(payload).encode(AUTH_OAUTHBEARER, challenge)
            }
        }
        .ok()
    }
}
