//! Transfer encodings (RFC 2045 section 6), leniently: what cannot be decoded is passed over, never
//! refused.
//!
//! The decoders of `mail-parser` are not used: they give up at the first octet that is out of place,
//! where mail programs show the rest of the text.

use std::borrow::Cow;

/// Content-Transfer-Encoding (RFC 2045 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    /// 7bit, 8bit, binary and unknown encodings.
    #[default]
    Identity,
    /// RFC 2045 section 6.8.
    Base64,
    /// RFC 2045 section 6.7.
    QuotedPrintable,
    /// What old mail programs made (`x-uuencode`).
    Uuencode,
}

impl Encoding {
    /// The encoding that a Content-Transfer-Encoding field names.
    pub(crate) fn named(value: &[u8]) -> Self {
        let end = value
            .iter()
            .position(|b| b.is_ascii_whitespace() || matches!(b, b';' | b'('))
            .unwrap_or(value.len());
        let value = value.get(..end).unwrap_or_default().trim_ascii();
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        if is("base64") {
            Self::Base64
        } else if is("quoted-printable") {
            Self::QuotedPrintable
        } else if ["x-uuencode", "uuencode", "x-uue", "uue"]
            .iter()
            .any(|n| is(n))
        {
            Self::Uuencode
        } else {
            Self::Identity
        }
    }

    /// The octets of a body with its encoding undone.
    pub(crate) fn decode(self, body: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Identity => body.into(),
            Self::Base64 => base64(body).into(),
            Self::QuotedPrintable => quoted_printable(body).into(),
            Self::Uuencode => uuencoded(body).into(),
        }
    }
}

/// Value of a base 64 digit, or 255.
const DIGITS: [u8; 256] = {
    let mut table = [255_u8; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut i = 0;
    #[expect(
        clippy::indexing_slicing,
        reason = "evaluated by the compiler, which would refuse a bad index"
    )]
    while i < alphabet.len() {
        table[alphabet[i] as usize] = i as u8;
        i += 1;
    }
    table
};

pub(super) fn base64(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for &byte in body {
        let Some(&digit) = DIGITS.get(usize::from(byte)) else {
            continue;
        };
        // RFC 2045 section 6.8: other characters are ignored; padding ends a run.
        if digit == 255 {
            if byte == b'=' {
                held = 0;
            }
            continue;
        }
        bits = (bits << 6) | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

pub(super) fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (before, after) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        let after = after.get(1..).unwrap_or_default();
        rest = match after {
            // RFC 2045 section 6.7 rule 5: a soft line break.
            [b'\n', tail @ ..] | [b'\r', b'\n', tail @ ..] => tail,
            // White space at the end of a line was added on the way (rule 3).
            [b' ' | b'\t', ..] if let Some(tail) = blank_line_end(after) => tail,
            [high, low, tail @ ..] if let (Some(h), Some(l)) = (hex(*high), hex(*low)) => {
                out.push(h << 4 | l);
                tail
            }
            _ => {
                out.push(b'=');
                after
            }
        };
    }
    out.extend_from_slice(rest);
    out
}

/// What follows a line of which only white space is left.
fn blank_line_end(rest: &[u8]) -> Option<&[u8]> {
    let at = rest
        .iter()
        .take(80)
        .position(|b| !matches!(b, b' ' | b'\t' | b'\r'))?;
    rest.get(at..)?.strip_prefix(b"\n")
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Lines of uuencoded data (POSIX `uuencode`) up to `end`; lines that are none are passed over.
pub(crate) fn uuencoded(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() / 4 * 3);
    for line in body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end) {
        if line == b"end" {
            break;
        }
        let Some((count, data)) = line
            .split_first()
            .filter(|(n, _)| (b'!'..=b'M').contains(n))
        else {
            continue;
        };
        let count = usize::from(count - b' ');
        if data.len() < count.div_ceil(3) * 4 - 2 || data.iter().any(|b| !(b' '..=b'`').contains(b))
        {
            continue;
        }
        let start = out.len();
        for group in data.chunks(4) {
            let bits = group
                .iter()
                .chain([&b' '; 3])
                .take(4)
                .fold(0_u32, |bits, b| {
                    bits << 6 | u32::from(b.wrapping_sub(b' ') & 63)
                });
            out.extend(bits.to_be_bytes().into_iter().skip(1));
        }
        out.truncate(start + count);
    }
    out
}

/// Whether octets look like plain text as they stand: words with blanks between them.
pub(crate) fn looks_written(body: &[u8]) -> bool {
    let head = body.get(..body.len().min(4096)).unwrap_or_default();
    let count = |of: fn(&u8) -> bool| head.iter().filter(|b| of(b)).count();
    head.len() >= 32
        && count(|b| *b == b' ') * 15 > head.len()
        && count(u8::is_ascii_control) * 8 < head.len()
}

/// Whether octets look like base 64 and nothing else.
pub(crate) fn looks_base64(body: &[u8]) -> bool {
    let head = body
        .get(..body.len().min(4096))
        .unwrap_or_default()
        .trim_ascii();
    let digit = |b: &u8| DIGITS.get(usize::from(*b)).is_some_and(|d| *d != 255);
    head.len() >= 64
        && head
            .iter()
            .all(|b| digit(b) || matches!(b, b'\r' | b'\n' | b'='))
        && head.iter().any(u8::is_ascii_uppercase)
        && head.iter().any(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfer_encodings_are_undone() {
        assert_eq!(&*Encoding::Base64.decode(b"SGVs\r\nbG8="), b"Hello");
        assert_eq!(&*Encoding::Base64.decode(b"SGk=SGk="), b"HiHi");
        assert_eq!(
            &*Encoding::QuotedPrintable.decode(b"a=3Db=\r\nc=zz="),
            b"a=bc=zz="
        );
        assert_eq!(&*Encoding::QuotedPrintable.decode(b"a= \t\r\nb=\n"), b"ab");
        assert_eq!(
            &*Encoding::Uuencode.decode(b"begin 644 x\n%2&5L;&\\\n`\nend\nrest"),
            b"Hello"
        );
        for name in ["BASE64", "base64;", "base64 (yes)"] {
            assert_eq!(Encoding::named(name.as_bytes()), Encoding::Base64, "{name}");
        }
        assert_eq!(Encoding::named(b"x-unheard-of"), Encoding::Identity);
    }

    #[test]
    fn encoded_text_is_told_from_written_text() {
        assert!(
            looks_written(b"we met on thursday to discuss the draft")
                && !looks_written(&b"QUJD".repeat(20))
        );
        assert!(
            looks_base64(&b"QUJDx12=\r\n".repeat(20))
                && !looks_base64(
                    b"we met on thursday to discuss the draft and the second table again"
                )
        );
    }
}
