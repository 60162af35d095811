//! How a client proves to a server who it is.

/// A mechanism of SMTP AUTH (RFC 4954).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMechanism {
    /// User and password in one word (RFC 4616).
    Plain,
    /// User and password, each asked for.
    Login,
    /// A keyed hash of the server's challenge (RFC 2195).
    CramMd5,
    /// User and access token, as Google and Microsoft want them.
    XOauth2,
    /// User and access token (RFC 7628).
    OauthBearer,
}

impl AuthMechanism {
    /// All of them, with their names in commands and capabilities.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("PLAIN", Self::Plain),
        ("LOGIN", Self::Login),
        ("CRAM-MD5", Self::CramMd5),
        ("XOAUTH2", Self::XOauth2),
        ("OAUTHBEARER", Self::OauthBearer),
    ];

    /// Its name in commands and capabilities.
    pub fn name(self) -> &'static str {
        let mut names = Self::NAMES.iter();
        names.find(|(_, m)| *m == self).map_or("", |(name, _)| name)
    }

    /// Whether it takes an access token instead of a password.
    pub const fn wants_token(self) -> bool {
        matches!(self, Self::XOauth2 | Self::OauthBearer)
    }
}
