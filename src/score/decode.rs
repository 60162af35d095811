//! Transfer encodings, charsets and encoded words, leniently: what cannot be decoded is passed over, never refused.

use mail_parser::decoders::charsets::map::charset_decoder;
use std::borrow::Cow;

/// Encoded octets of one text part that are decoded: head and tail, in the ratio 3 : 1.
const MAX_ENCODED: usize = 512 * 1024;

/// Content-Transfer-Encoding (RFC 2045 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Encoding {
    /// 7bit, 8bit, binary and whatever we do not know.
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
}

impl Encoding {
    /// By name.
    pub(super) fn named(value: &[u8]) -> Self {
        if value.eq_ignore_ascii_case(b"base64") {
            Self::Base64
        } else if value.eq_ignore_ascii_case(b"quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Identity
        }
    }

    /// Decodes octets.
    pub(super) fn decode(self, body: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Identity => body.into(),
            Self::Base64 => base64(body).into(),
            Self::QuotedPrintable => quoted_printable(body).into(),
        }
    }
}

/// Value of a base 64 digit, or 255.
const DIGITS: [u8; 256] = {
    let mut table = [255_u8; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut i = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse a bad index")]
    while i < alphabet.len() {
        table[alphabet[i] as usize] = i as u8;
        i += 1;
    }
    table
};

fn base64(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for &byte in body {
        let Some(&digit) = DIGITS.get(usize::from(byte)) else { continue };
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

fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (before, after) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        let after = after.get(1..).unwrap_or_default();
        rest = match after {
            // RFC 2045 section 6.7 rule 5: a soft line break.
            [b'\n', tail @ ..] | [b'\r', b'\n', tail @ ..] => tail,
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

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The text of a part: head and tail of an enormous one, decoded, then read in its charset.
pub(super) fn text<'a>(body: &'a [u8], encoding: Encoding, charset: Option<&str>) -> Cow<'a, str> {
    if body.len() <= MAX_ENCODED {
        return in_charset(encoding.decode(body), charset);
    }
    let head = body.get(..MAX_ENCODED / 4 * 3).unwrap_or_default();
    let tail = body.get(body.len() - MAX_ENCODED / 4..).unwrap_or_default();
    // Base 64 groups are whole at the start of a line.
    let tail = memchr::memchr(b'\n', tail).and_then(|n| tail.get(n + 1..)).unwrap_or(tail);
    let mut text = in_charset(encoding.decode(head), charset).into_owned();
    text.push('\n');
    text.push_str(&in_charset(encoding.decode(tail), charset));
    text.into()
}

/// Octets as text. An unknown charset, and text that is no UTF-8 although it says so, is read as Windows-1252.
pub(super) fn in_charset<'a>(bytes: Cow<'a, [u8]>, charset: Option<&str>) -> Cow<'a, str> {
    let name = charset.unwrap_or("utf-8");
    let plain = ["utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "windows-1252", "iso-8859-15"];
    let known = plain.iter().any(|p| name.eq_ignore_ascii_case(p));
    if bytes.is_ascii() && (known || charset_decoder(name.as_bytes()).is_none()) || name.to_ascii_lowercase().starts_with("utf-8")
    {
        return match bytes {
            Cow::Borrowed(b) => match std::str::from_utf8(b) {
                Ok(t) => t.into(),
                Err(_) => western(b).into(),
            },
            Cow::Owned(b) => match String::from_utf8(b) {
                Ok(t) => t.into(),
                Err(e) => western(e.as_bytes()).into(),
            },
        };
    }
    match charset_decoder(name.as_bytes()) {
        Some(decoder) if !name.eq_ignore_ascii_case("us-ascii") => decoder(&bytes).into(),
        _ => in_charset(bytes, None),
    }
}

fn western(bytes: &[u8]) -> String {
    // Mostly UTF-8 with a few bad octets stays UTF-8.
    let lossy = String::from_utf8_lossy(bytes);
    let bad = lossy.chars().filter(|&c| c == '\u{fffd}').count();
    let high = bytes.iter().filter(|b| **b >= 0x80).count();
    match charset_decoder(b"windows-1252") {
        Some(decoder) if bad * 3 > high => decoder(bytes),
        _ => lossy.into_owned(),
    }
}

/// An unstructured field value: unfolded, encoded words decoded (RFC 2047), at most 8 KiB of it.
pub(super) fn words(raw: &[u8]) -> String {
    let raw = raw.get(..raw.len().min(8192)).unwrap_or_default();
    if memchr::memmem::find(raw, b"=?").is_none() {
        return unfold(&in_charset(raw.into(), None));
    }
    let mut out = String::new();
    let mut rest = raw;
    let mut after_word = false;
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        let (before, word) = rest.split_at_checked(start).unwrap_or((rest, &[]));
        match encoded_word(word) {
            Some((text, tail)) => {
                // RFC 2047 section 6.2: white space between encoded words is not shown.
                if !(after_word && before.iter().all(u8::is_ascii_whitespace)) {
                    out.push_str(&in_charset(before.into(), None));
                }
                out.push_str(&text);
                rest = tail;
                after_word = true;
            }
            None => {
                out.push_str(&in_charset(before.into(), None));
                out.push_str("=?");
                rest = word.get(2..).unwrap_or_default();
                after_word = false;
            }
        }
    }
    out.push_str(&in_charset(rest.into(), None));
    unfold(&out)
}

/// `=?charset?B|Q?text?=` at the start of `word`: its text and what follows.
fn encoded_word(word: &[u8]) -> Option<(String, &[u8])> {
    let mut fields = word.get(2..)?.splitn(4, |b| *b == b'?');
    let (charset, encoding, text, _) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let consumed = 2 + charset.len() + 1 + encoding.len() + 1 + text.len() + 1;
    let tail = word.get(consumed..)?.strip_prefix(b"=")?;
    let charset = std::str::from_utf8(charset).ok()?.split('*').next();
    let bytes = match encoding {
        b"B" | b"b" => base64(text),
        b"Q" | b"q" => quoted_printable(&text.iter().map(|b| if *b == b'_' { b' ' } else { *b }).collect::<Vec<_>>()),
        _ => return None,
    };
    Some((in_charset(bytes.into(), charset).into_owned(), tail))
}

fn unfold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(piece);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfer_encodings_are_undone() {
        assert_eq!(&*Encoding::Base64.decode(b"SGVs\r\nbG8="), b"Hello");
        assert_eq!(&*Encoding::Base64.decode(b"SGk=SGk="), b"HiHi");
        assert_eq!(&*Encoding::QuotedPrintable.decode(b"a=3Db=\r\nc=zz="), b"a=bc=zz=");
    }

    #[test]
    fn encoded_words_and_charsets() {
        assert_eq!(words(b"=?utf-8?B?SGVsbG8=?=\r\n =?ISO-8859-1?Q?_w=F6rld?= !"), "Hello w\u{f6}rld !");
        assert_eq!(words(b"=?broken"), "=?broken");
        assert_eq!(in_charset(b"caf\xe9"[..].into(), Some("utf-8")), "caf\u{e9}");
        assert_eq!(in_charset(b"\xd0\xbf"[..].into(), None), "\u{43f}");
        assert_eq!(in_charset(b"\xcf"[..].into(), Some("koi8-r")), "\u{43e}");
        assert_eq!(in_charset(b"x"[..].into(), Some("nonsense")), "x");
    }
}
