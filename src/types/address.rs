//! Mail domains and addresses (RFC 5321 section 4.1.2, RFC 6531).

use serde::{Deserialize, Serialize};
use std::fmt;

/// A mail domain in lower-case A-label form (IDNA, UTS 46), or an address literal such as
/// `[192.0.2.1]`. At most 255 octets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Domain(Box<str>);

impl Domain {
    /// Normalises `text`; `None` if it is no domain name and no address literal. A trailing dot is
    /// dropped.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('[') {
            return (text.ends_with(']')
                && text.len() > 2
                && text.len() <= 255
                && text.bytes().all(|b| b.is_ascii_graphic()))
            .then(|| Self(text.to_ascii_lowercase().into()));
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        let ascii = if text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
            && !text.contains("xn--")
        {
            text.to_owned()
        } else {
            // Underscores occur in real host names; IDNA in its lenient form keeps them.
            idna::domain_to_ascii(text).ok()?
        };
        let good = !ascii.is_empty()
            && ascii.len() <= 255
            && ascii.split('.').all(|l| {
                !l.is_empty()
                    && l.len() <= 63
                    && !l.starts_with('-')
                    && !l.ends_with('-')
                    && l.bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            });
        good.then(|| Self(ascii.into()))
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is an address literal.
    pub fn is_literal(&self) -> bool {
        self.0.starts_with('[')
    }

    /// Whether this is `parent` itself or lies below it.
    pub fn is_within(&self, parent: &Self) -> bool {
        self.0
            .strip_suffix(&*parent.0)
            .is_some_and(|head| head.is_empty() || head.ends_with('.'))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Longest local part, in octets: what a path has room for (RFC 5321 section 4.5.3.1.3). SRS and
/// VERP make more than 64.
const MAX_LOCAL: usize = 254;

/// A mailbox as it was written on the wire (RFC 5321 `Mailbox`, RFC 6531 `uMailbox`), with its
/// domain read. The local part keeps its case and quotes: only its own domain may interpret it (RFC
/// 5321 section 2.3.11).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    text: Box<str>,
    at: usize,
    domain: Domain,
}

impl Address {
    /// Splits at the last `@` and normalises the domain. The grammar of the local part is checked
    /// by `smtp::grammar`, which builds addresses from the wire; this takes any local part of 1-254
    /// octets without control characters.
    pub fn parse(text: &str) -> Option<Self> {
        let at = text.rfind('@')?;
        let (local, domain) = (text.get(..at)?, text.get(at + 1..)?);
        if local.is_empty() || local.len() > MAX_LOCAL || local.chars().any(char::is_control) {
            return None;
        }
        Some(Self {
            text: text.into(),
            at,
            domain: Domain::parse(domain)?,
        })
    }

    /// The address as written, without angle brackets.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local part as written.
    pub fn local(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// The normalised domain.
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Lower-case local part with the normalised domain: for keys and comparison, never for the
    /// wire.
    pub fn key(&self) -> String {
        format!("{}@{}", self.local().to_lowercase(), self.domain)
    }

    /// Whether octets above 127 occur, so that the next hop needs SMTPUTF8.
    pub fn needs_utf8(&self) -> bool {
        !self.text.is_ascii()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Address {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a mail address")
    }
}

impl From<Address> for String {
    fn from(a: Address) -> Self {
        a.text.into()
    }
}

/// The envelope sender: an address, or the null reverse path `<>` of notifications (RFC 5321
/// section 4.5.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReversePath(pub Option<Address>);

impl ReversePath {
    /// `<>`.
    pub const NULL: Self = Self(None);

    /// Whether it is `<>`.
    pub const fn is_null(&self) -> bool {
        self.0.is_none()
    }

    /// The address as written, empty for `<>`.
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", Address::as_str)
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_normalised() {
        let d = |t: &str| Domain::parse(t).map(|d| d.as_str().to_owned());
        assert_eq!(d("ACME.Example."), Some("acme.example".into()));
        assert_eq!(d("bücher.example"), Some("xn--bcher-kva.example".into()));
        assert_eq!(d("a..b"), None);
        assert_eq!(d(""), None);
        assert_eq!(d("[192.0.2.1]"), Some("[192.0.2.1]".into()));
        assert_eq!(d("-a.example"), None);
    }

    #[test]
    fn within_means_same_or_below() {
        let d = |t: &str| Domain::parse(t).expect("test domain");
        assert!(d("mail.acme.example").is_within(&d("acme.example")));
        assert!(d("acme.example").is_within(&d("acme.example")));
        assert!(!d("notacme.example").is_within(&d("acme.example")));
    }

    #[test]
    fn an_address_keeps_its_wire_form() {
        let a = Address::parse("Alice.B@ACME.example").expect("address");
        assert_eq!(
            (a.as_str(), a.local(), a.domain().as_str()),
            ("Alice.B@ACME.example", "Alice.B", "acme.example")
        );
        assert_eq!(a.key(), "alice.b@acme.example");
        for (octets, good) in [(1, true), (91, true), (254, true), (255, false), (0, false)] {
            assert_eq!(
                Address::parse(&format!("{}@acme.example", "a".repeat(octets))).is_some(),
                good,
                "{octets}"
            );
        }
        assert_eq!(
            serde_json::to_string(&a).expect("json"),
            "\"Alice.B@ACME.example\""
        );
    }
}
