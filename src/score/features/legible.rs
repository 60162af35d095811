//! The text of a part in its encoding and charset, and whether it is text at all.

use crate::mail::charset::in_charset;
use crate::mail::encoding::Encoding;
use std::borrow::Cow;

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

/// Whether this is no text: a large part of it is control characters or replacement characters.
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
/// show it, but we do not read it.
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

/// Whether octets are a file that programs recognise by its beginning, whatever type is declared.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_what_is_none() {
        assert!(
            unreadable(&"\u{fffd}\u{1}xyz".repeat(40))
                && !unreadable("caf\u{e9}\r\n\tx".repeat(40).as_str())
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
}
