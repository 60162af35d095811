//! AUTH as a client (RFC 4954): the choice of the mechanism, and the client's lines in the
//! exchange. Pure; `mail-send` encodes them.

use crate::types::{AuthMechanism, Secret};
use mail_send::Credentials;
use smtp_proto::{AUTH_CRAM_MD5, AUTH_LOGIN, AUTH_OAUTHBEARER, AUTH_PLAIN, AUTH_XOAUTH2};

/// The two questions of LOGIN. Their meaning is fixed, whatever text a server sends.
const LOGIN_QUESTIONS: [&str; 2] = ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"];

/// The proof of our identity.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    Password(Secret),
    /// An OAuth access token.
    Token(Secret),
}

impl Proof {
    /// Its name in a reply.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Password(_) => "password",
            Self::Token(_) => "token",
        }
    }
}

/// What the server must offer for our login. Its operator or ours can repair it; the mail waits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LoginNeeds<'a> {
    #[error("TLS to protect it")]
    Tls,
    /// One of these mechanisms.
    #[error("AUTH {}", .0.iter().map(|m| m.name()).collect::<Vec<_>>().join(" or "))]
    Mechanism(&'a [AuthMechanism]),
}

/// Our user name and its proof.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ClientLogin {
    pub user: String,
    /// Password or access token.
    pub proof: Proof,
    /// The only mechanism to use; `None` = the first that both sides support.
    pub mechanism: Option<AuthMechanism>,
    /// Name or address of the server, and its port.
    pub server: (String, u16),
    /// It may be sent over an unencrypted connection.
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
            // The other mechanisms do not look at a challenge, so their encoding cannot fail.
            _ => format!(
                "AUTH {name} {}",
                self.encode(mechanism, "").unwrap_or_default()
            ),
        }
    }

    /// The answer to the challenge after `earlier` others; `None` = there is none.
    pub(super) fn answer(
        &self,
        mechanism: AuthMechanism,
        earlier: usize,
        challenge: &str,
    ) -> Option<String> {
        match (mechanism, earlier) {
            (AuthMechanism::Login, _) => self.encode(mechanism, LOGIN_QUESTIONS.get(earlier)?),
            (AuthMechanism::CramMd5, 0) => self.encode(mechanism, challenge),
            // The challenge says why the token is refused; the refusal itself follows after the
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
            // RFC 7628 section 3.1. `new_oauth_from_token` omits the GS2 header.
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
