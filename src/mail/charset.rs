//! Charsets and encoded words, leniently: what cannot be decoded is passed over, never refused.

use super::encoding::{base64, quoted_printable};
use mail_parser::decoders::charsets::map::charset_decoder;
use std::borrow::Cow;

/// Octets as text. An unknown charset, and text that is no UTF-8 although it says so, is read as
/// Windows-1252.
pub(crate) fn in_charset<'a>(bytes: Cow<'a, [u8]>, charset: Option<&str>) -> Cow<'a, str> {
    let name = wide(&bytes).or(charset).unwrap_or("utf-8");
    let plain = [
        "utf-8",
        "utf8",
        "us-ascii",
        "ascii",
        "iso-8859-1",
        "windows-1252",
        "iso-8859-15",
    ];
    let known = plain.iter().any(|p| name.eq_ignore_ascii_case(p));
    if bytes.is_ascii() && (known || charset_decoder(name.as_bytes()).is_none())
        || name.to_ascii_lowercase().starts_with("utf-8")
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
    // Japanese mail names the seven-bit form but may use an eight-bit one.
    let eight_bit = !bytes.is_ascii()
        && name
            .get(..11)
            .is_some_and(|n| n.eq_ignore_ascii_case("iso-2022-jp"));
    if eight_bit && std::str::from_utf8(&bytes).is_ok() {
        return in_charset(bytes, None);
    }
    let name = if eight_bit { "euc-jp" } else { name };
    match charset_decoder(name.as_bytes()) {
        Some(decoder) if !name.eq_ignore_ascii_case("us-ascii") => decoder(&bytes).into(),
        _ => in_charset(bytes, None),
    }
}

/// UTF-16 that does not say so, or says that it is something else: by its first octets, or by every
/// other one being NUL.
fn wide(bytes: &[u8]) -> Option<&'static str> {
    let head = bytes.get(..bytes.len().min(256))?;
    match head {
        [0xff, 0xfe, ..] => return Some("utf-16le"),
        [0xfe, 0xff, ..] => return Some("utf-16be"),
        _ => memchr::memchr(0, head)?,
    };
    let nul = |odd: usize| {
        head.iter()
            .skip(odd)
            .step_by(2)
            .filter(|b| **b == 0)
            .count()
            * 4
            > head.len()
    };
    if nul(1) {
        Some("utf-16le")
    } else if nul(0) {
        Some("utf-16be")
    } else {
        None
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
pub(crate) fn words(raw: &[u8]) -> String {
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
    let (charset, encoding, text, _) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let consumed = 2 + charset.len() + 1 + encoding.len() + 1 + text.len() + 1;
    let tail = word.get(consumed..)?.strip_prefix(b"=")?;
    let charset = std::str::from_utf8(charset).ok()?.split('*').next();
    let bytes = match encoding {
        b"B" | b"b" => base64(text),
        b"Q" | b"q" => quoted_printable(
            &text
                .iter()
                .map(|b| if *b == b'_' { b' ' } else { *b })
                .collect::<Vec<_>>(),
        ),
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
    fn utf_16_and_utf_7_are_read() {
        let utf16: Vec<u8> = "Hello you"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(in_charset(utf16.clone().into(), None), "Hello you");
        assert_eq!(
            in_charset([&b"\xff\xfe"[..], &utf16].concat().into(), Some("utf-8"))
                .trim_start_matches('\u{feff}'),
            "Hello you"
        );
        assert_eq!(
            in_charset(b"+AEI-uy now"[..].into(), Some("utf-7")),
            "Buy now"
        );
    }

    #[test]
    fn encoded_words_and_charsets() {
        assert_eq!(
            words(b"=?utf-8?B?SGVsbG8=?=\r\n =?ISO-8859-1?Q?_w=F6rld?= !"),
            "Hello w\u{f6}rld !"
        );
        assert_eq!(words(b"=?broken"), "=?broken");
        assert_eq!(
            in_charset(b"caf\xe9"[..].into(), Some("utf-8")),
            "caf\u{e9}"
        );
        assert_eq!(in_charset(b"\xd0\xbf"[..].into(), None), "\u{43f}");
        assert_eq!(in_charset(b"\xcf"[..].into(), Some("koi8-r")), "\u{43e}");
        assert_eq!(in_charset(b"x"[..].into(), Some("nonsense")), "x");
        assert_eq!(
            in_charset(b"\xe9\x80\x81"[..].into(), Some("ISO-2022-JP")),
            "\u{9001}"
        );
        assert_eq!(
            in_charset(b"\xa4\xa2"[..].into(), Some("iso-2022-jp")),
            "\u{3042}"
        );
    }
}
