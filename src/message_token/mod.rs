//! Tokens that tie what comes back from outside to one message of ours: a message id and a
//! truncated HMAC-SHA256. Whoever never got the message cannot make one up. Pure.

mod key;

pub use key::ensure as ensure_key;

use crate::types::{Domain, MessageId};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The header field that names a message of ours in a complaint about it. Added before signing.
pub(crate) const FIELD: &str = "X-Outgate-Id";
/// What stands before the token in the local part of a return path.
const VERP_PREFIX: &str = "bounces+";
/// Printed message id, in characters.
const ID_CHARS: usize = 13;
/// Octets of the HMAC that are kept: 80 bits, which no remote guesser exhausts.
const MAC_OCTETS: usize = 10;

/// What a token is good for. One made for the one use is not valid for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The header field, which comes back in complaints.
    Complaint,
    /// The return path, to which delivery reports come.
    Bounce,
}

impl Purpose {
    const fn domain(self) -> &'static [u8] {
        match self {
            Self::Complaint => b"outgate complaint\0",
            Self::Bounce => b"outgate bounce\0",
        }
    }
}

/// The secret of this data directory. Never printed.
#[derive(Clone)]
pub struct TokenKey([u8; TokenKey::OCTETS]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl TokenKey {
    /// Octets of a key.
    pub const OCTETS: usize = 32;

    /// From random octets.
    pub const fn new(octets: [u8; Self::OCTETS]) -> Self {
        Self(octets)
    }

    fn mac(&self, purpose: Purpose, id: MessageId) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(purpose.domain());
        mac.update(&id.0.to_be_bytes());
        mac.finalize()
            .into_bytes()
            .iter()
            .take(MAC_OCTETS)
            .map(|octet| format!("{octet:02x}"))
            .collect()
    }

    /// The token of a message: 13 characters of its id, 20 hexadecimal digits.
    pub fn token(&self, purpose: Purpose, id: MessageId) -> String {
        format!("{id}{}", self.mac(purpose, id))
    }

    /// The message a token stands for; `None` if it is not one of ours. Case does not matter: mail
    /// servers fold it.
    pub fn read(&self, purpose: Purpose, token: &str) -> Option<MessageId> {
        let (id, mac) = token.trim().split_at_checked(ID_CHARS)?;
        let id = MessageId::parse(id)?;
        let right = self
            .mac(purpose, id)
            .into_bytes()
            .ct_eq(mac.to_ascii_lowercase().as_bytes());
        bool::from(right).then_some(id)
    }

    /// A fingerprint of these parts that only who has this key can make: whoever guesses a text
    /// cannot confirm it by the fingerprint of it that stands in a log.
    pub fn fingerprint(&self, parts: &[&[u8]]) -> u64 {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(b"outgate fingerprint\0");
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize()
            .into_bytes()
            .iter()
            .take(8)
            .fold(0, |all, octet| (all << 8) | u64::from(*octet))
    }

    /// The return path of a message: `bounces+TOKEN@domain`.
    pub fn return_path(&self, id: MessageId, domain: &Domain) -> String {
        format!("{VERP_PREFIX}{}@{domain}", self.token(Purpose::Bounce, id))
    }

    /// The message whose return path has this local part.
    pub fn read_return_path(&self, local: &str) -> Option<MessageId> {
        let (prefix, token) = local.split_at_checked(VERP_PREFIX.len())?;
        prefix
            .eq_ignore_ascii_case(VERP_PREFIX)
            .then(|| self.read(Purpose::Bounce, token))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Address;

    const ID: MessageId = MessageId(0x0123_4567_89ab_cdef);

    fn key(octet: u8) -> TokenKey {
        TokenKey::new([octet; TokenKey::OCTETS])
    }

    #[test]
    fn a_token_names_its_message_and_no_other() {
        let token = key(1).token(Purpose::Complaint, ID);
        assert_eq!(token.len(), ID_CHARS + 2 * MAC_OCTETS);
        assert_eq!(key(1).read(Purpose::Complaint, &token), Some(ID));
        assert_eq!(
            key(1).read(Purpose::Complaint, &token.to_lowercase()),
            Some(ID)
        );
        assert_eq!(
            key(2).read(Purpose::Complaint, &token),
            None,
            "the key of another relay"
        );
        assert_eq!(
            key(1).read(Purpose::Bounce, &token),
            None,
            "made for another use"
        );
        let other = key(1).token(Purpose::Complaint, MessageId(7));
        let mixed = format!(
            "{}{}",
            token.get(..ID_CHARS).unwrap(),
            other.get(ID_CHARS..).unwrap()
        );
        assert_eq!(key(1).read(Purpose::Complaint, &mixed), None);
        for cut in 0..token.len() {
            assert_eq!(
                key(1).read(Purpose::Complaint, token.get(..cut).unwrap()),
                None,
                "cut at {cut}"
            );
        }
        assert_eq!(key(1).read(Purpose::Complaint, "ééééééééééééé"), None);
    }

    #[test]
    fn a_return_path_is_an_address_that_survives_folding() {
        let domain = Domain::parse("bounce.example").unwrap();
        let path = key(1).return_path(ID, &domain);
        let address = Address::parse(&path).expect("an address");
        assert_eq!(key(1).read_return_path(address.local()), Some(ID));
        assert_eq!(
            key(1).read_return_path(&address.local().to_uppercase()),
            Some(ID)
        );
        assert_eq!(key(1).read_return_path("bounces"), None);
        assert_eq!(
            key(1).read_return_path(&address.local().replace("bounces", "returns")),
            None
        );
    }

    #[test]
    fn who_has_not_the_key_cannot_confirm_a_guessed_text() {
        let parts: [&[u8]; 2] = [b"m1@acme.example", b"the text"];
        let print = key(1).fingerprint(&parts);
        assert_eq!(print, key(1).fingerprint(&parts));
        assert_ne!(print, key(2).fingerprint(&parts));
        assert_ne!(print, crate::types::stable_hash(&parts));
        assert_ne!(
            print,
            key(1).fingerprint(&[b"m1@acme.examplethe", b" text"]),
            "parts do not run together"
        );
    }

    #[test]
    fn the_key_never_shows() {
        assert_eq!(format!("{:?}", key(65)), "Key(…)");
    }
}
