//! Identifiers of messages and of block records.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Crockford base 32: no I, L, O, U, so that it can be read out on the telephone.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn digit(c: u8) -> Option<u64> {
    let upper = c.to_ascii_uppercase();
    let upper = match upper {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    ALPHABET
        .iter()
        .position(|a| *a == upper)
        .and_then(|p| u64::try_from(p).ok())
}

fn encode(mut value: u64, digits: usize) -> String {
    let mut out = vec![b'0'; digits];
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET.get((value & 31) as usize).copied().unwrap_or(b'0');
        value >>= 5;
    }
    out.into_iter().map(char::from).collect()
}

fn decode(text: &str, digits: usize) -> Option<u64> {
    if text.len() != digits {
        return None;
    }
    text.bytes()
        .try_fold(0u64, |acc, c| acc.checked_mul(32)?.checked_add(digit(c)?))
}

/// The relay's own id of one accepted message: 42 bits of milliseconds, 22 bits of counter and
/// randomness, so that ids sort by time of acceptance. Printed as 13 base-32 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String)]
pub struct MessageId(pub u64);

impl MessageId {
    /// Builds an id from a time and 22 low bits (more are cut off).
    pub const fn from_parts(time: super::Time, low: u32) -> Self {
        Self(((time.0 as u64) << 22) | (low as u64 & 0x3f_ffff))
    }

    /// When the message was accepted, by the id's own clock.
    pub const fn time(self) -> super::Time {
        super::Time((self.0 >> 22).cast_signed())
    }

    /// Reads the printed form.
    pub fn parse(text: &str) -> Option<Self> {
        decode(text, 13).map(Self)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(self.0, 13))
    }
}

/// The public reference of a block: `OG-` and ten base-32 characters of randomness (50 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^OG-[0-9A-HJKMNP-TV-Z]{10}$")]
pub struct BlockRef(u64);

impl BlockRef {
    /// From random bits; only the low 50 count.
    pub const fn from_random(bits: u64) -> Self {
        Self(bits & ((1 << 50) - 1))
    }

    /// Reads `OG-XXXXXXXXXX`, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, digits) = text.split_at_checked(3)?;
        if !prefix.eq_ignore_ascii_case("OG-") {
            return None;
        }
        decode(digits, 10).map(Self)
    }
}

impl fmt::Display for BlockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OG-{}", encode(self.0, 10))
    }
}

macro_rules! text_serde {
    ($t:ty, $what:literal) => {
        impl Serialize for $t {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom(concat!("not a ", $what)))
            }
        }
    };
}
text_serde!(MessageId, "message id");
text_serde!(BlockRef, "block reference");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Time;

    #[test]
    fn printed_forms_read_back() {
        let id = MessageId::from_parts(Time::from_secs(1_795_356_000), 77);
        assert_eq!(MessageId::parse(&id.to_string()), Some(id));
        let reference = BlockRef::from_random(u64::MAX);
        assert_eq!(reference.to_string(), "OG-ZZZZZZZZZZ");
        assert_eq!(BlockRef::parse("og-zzzzzzzzzz"), Some(reference));
        assert_eq!(BlockRef::parse("OG-ZZZZZZZZZ"), None);
        assert_eq!(BlockRef::parse("OG-ZZZZZZZZZ€"), None);
    }

    #[test]
    fn a_reference_heard_on_the_telephone_is_found() {
        assert_eq!(
            BlockRef::parse("og-O1iLz00000"),
            BlockRef::parse("OG-0111Z00000")
        );
        assert!(BlockRef::parse("OG-0111Z00000").is_some());
        assert_eq!(
            BlockRef::parse("OG-U111Z00000"),
            None,
            "a U is nobody's digit"
        );
    }

    #[test]
    fn later_ids_sort_later() {
        assert!(MessageId::from_parts(Time(1), u32::MAX) < MessageId::from_parts(Time(2), 0));
    }
}
