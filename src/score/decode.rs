//! Transfer encodings, charsets and encoded words, leniently: what cannot be decoded is passed
//! over, never refused.

use mail_parser::decoders::charsets::map::charset_decoder;
use std::borrow::Cow;

/// Content-Transfer-Encoding (RFC 2045 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Encoding {
    /// 7bit, 8bit, binary and whatever we do not know.
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
    /// What mail programs of old made (`x-uuencode`).
    Uuencode,
}

impl Encoding {
    /// By name.
    pub(super) fn named(value: &[u8]) -> Self {
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

    /// Decodes octets.
    pub(super) fn decode(self, body: &[u8]) -> Cow<'_, [u8]> {
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

fn base64(body: &[u8]) -> Vec<u8> {
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
pub(super) fn uuencoded(body: &[u8]) -> Vec<u8> {
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

/// The text of a part, decoded, then read in its charset; head and tail in the ratio 3 : 1 where it
/// has more than `most` octets.
pub(super) fn text<'a>(
    body: &'a [u8],
    encoding: Encoding,
    charset: Option<&str>,
    most: usize,
) -> Cow<'a, str> {
    if body.len() <= most {
        return in_charset(encoding.decode(body), charset);
    }
    let head = body.get(..most / 4 * 3).unwrap_or_default();
    let tail = body.get(body.len() - most / 4..).unwrap_or_default();
    // Base 64 groups are whole at the start of a line.
    let tail = memchr::memchr(b'\n', tail)
        .and_then(|n| tail.get(n + 1..))
        .unwrap_or(tail);
    let mut text = in_charset(encoding.decode(head), charset).into_owned();
    text.push('\n');
    text.push_str(&in_charset(encoding.decode(tail), charset));
    text.into()
}

/// Whether this is no text: a good part of it is control characters, or characters that stand for
/// what could not be read.
pub(super) fn unreadable(text: &str) -> bool {
    let head = text
        .as_bytes()
        .get(..text.len().min(4096))
        .unwrap_or_default();
    if head.is_ascii() {
        let bad = head
            .iter()
            .filter(|b| **b < 0x20 && !matches!(**b, 0x08..=0x0d | 0x1b) || **b == 0x7f)
            .count();
        return head.len() >= 64 && bad * 8 > head.len();
    }
    let (mut all, mut bad) = (0, 0);
    for c in text.chars().take(4096) {
        all += 1;
        let unknown = c.is_control() && !c.is_whitespace() && !matches!(c, '\x08' | '\x1b')
            || matches!(c, '\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..);
        bad += u32::from(unknown);
    }
    all >= 64 && bad * 8 > all
}

/// Whether a charset is one of the EBCDIC family (RFC 1345, IANA character sets): some programs
/// show it, and we do not read it.
pub(super) fn is_ebcdic(charset: &str) -> bool {
    const PAGES: [u16; 32] = [
        37, 38, 273, 274, 275, 277, 278, 280, 281, 284, 285, 290, 297, 420, 423, 424, 500, 870,
        871, 880, 905, 918, 924, 1026, 1047, 1140, 1141, 1142, 1145, 1146, 1147, 1148,
    ];
    let name = charset.trim().to_ascii_lowercase();
    let page = ["ibm", "cp", "x-ibm", "ccsid"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    name.contains("ebcdic")
        || page
            .and_then(|page| page.trim_matches(['-', '_']).parse().ok())
            .is_some_and(|page| PAGES.contains(&page))
}

/// Whether octets are a file that programs know by its beginning, whatever it is declared as.
pub(super) fn is_known_file(octets: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 8] = [
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"GIF8",
        b"%PDF",
        b"PK\x03\x04",
        b"\xd0\xcf\x11\xe0",
        b"\x1f\x8b",
        b"RIFF",
    ];
    BEGINNINGS
        .iter()
        .any(|beginning| octets.starts_with(beginning))
}

/// Whether octets look like plain text as they stand: words with blanks between them.
pub(super) fn looks_written(body: &[u8]) -> bool {
    let head = body.get(..body.len().min(4096)).unwrap_or_default();
    let count = |of: fn(&u8) -> bool| head.iter().filter(|b| of(b)).count();
    head.len() >= 32
        && count(|b| *b == b' ') * 15 > head.len()
        && count(u8::is_ascii_control) * 8 < head.len()
}

/// Whether octets look like base 64 and nothing else.
pub(super) fn looks_base64(body: &[u8]) -> bool {
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

/// Octets as text. An unknown charset, and text that is no UTF-8 although it says so, is read as
/// Windows-1252.
pub(super) fn in_charset<'a>(bytes: Cow<'a, [u8]>, charset: Option<&str>) -> Cow<'a, str> {
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
    // Japanese mail names the seven-bit form and may hold an eight-bit one.
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
    fn text_is_told_from_what_is_none() {
        assert!(
            unreadable(&"\u{fffd}\u{1}xyz".repeat(40))
                && !unreadable("caf\u{e9}\r\n\tx".repeat(40).as_str())
        );
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
    fn charsets_of_mainframes_are_known_by_name() {
        assert!(
            [
                "ibm037",
                "CP037",
                "ibm500",
                "IBM-1047",
                "EBCDIC-CP-US",
                "x-ibm_1140"
            ]
            .into_iter()
            .all(is_ebcdic)
        );
        assert!(
            ![
                "ibm850",
                "cp1252",
                "cp437",
                "utf-8",
                "iso-8859-1",
                "ibm",
                "cp-"
            ]
            .into_iter()
            .any(is_ebcdic)
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
