//! What single runs and words look like: addresses, sums, telephone numbers, words nobody types.

/// A link in a run of text: where it begins and where it ends.
pub(super) fn link(chunk: &str) -> Option<(usize, usize)> {
    if chunk.len() < 5 {
        return None;
    }
    let start = match find_scheme_end(chunk, 0) {
        Some(at) => {
            let before = chunk.get(..at)?;
            // The text before the scheme belongs to the link only if the scheme is not a well-known
            // one.
            let known = ["https", "http", "ftp"]
                .iter()
                .find(|scheme| ends_with(before, scheme))
                .map(|scheme| at - scheme.len());
            known.unwrap_or_else(|| {
                before
                    .bytes()
                    .rposition(|b| !b.is_ascii_alphanumeric())
                    .map_or(0, |p| p + 1)
            })
        }
        None => {
            let bare = chunk.trim_start_matches(|c: char| !c.is_alphanumeric());
            bare.get(..4)
                .filter(|p| bare.len() > 4 && p.eq_ignore_ascii_case("www."))?;
            chunk.len() - bare.len()
        }
    };
    let url = chunk.get(start..)?;
    let end = url
        .find(['<', '>', '"', ')', ']', '\'', '|', '\\'])
        .unwrap_or(url.len());
    Some((start, start + next_in_list(url.get(..end)?).unwrap_or(end)))
}

/// Position of the `://` of a link, from `from` on.
fn find_scheme_end(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    memchr::memchr_iter(b':', rest.as_bytes())
        .map(|at| from + at)
        .find(|at| text.get(*at..*at + 3) == Some("://"))
}

/// Where a link ends because another one follows after a comma, a semicolon or a bracket.
fn next_in_list(url: &str) -> Option<usize> {
    let mut at = find_scheme_end(url, 0)?;
    loop {
        at = find_scheme_end(url, at + 3)?;
        let before = url.get(..at)?;
        let scheme = ["https", "http", "ftp"]
            .iter()
            .find(|scheme| ends_with(before, scheme))?;
        let start = at - scheme.len();
        if url
            .get(..start)
            .is_some_and(|u| u.ends_with([',', ';', '(']))
        {
            return Some(start - 1);
        }
    }
}

fn ends_with(text: &str, end: &str) -> bool {
    text.len()
        .checked_sub(end.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

pub(super) fn is_mail_address(chunk: &str) -> bool {
    memchr::memchr(b'@', chunk.as_bytes()).is_some_and(|at| {
        let near = |b: Option<&u8>| {
            b.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'[' | b'_' | b'-' | b'"'))
        };
        let bytes = chunk.as_bytes();
        at > 0 && near(bytes.get(at - 1)) && near(bytes.get(at + 1))
    })
}

pub(super) fn is_crypto_address(chunk: &str) -> bool {
    let word = chunk.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let alphanumeric = word.bytes().all(|b| b.is_ascii_alphanumeric());
    let mixed =
        word.bytes().any(|b| b.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_alphabetic());
    alphanumeric
        && mixed
        && ((word.starts_with("bc1") && (26..=74).contains(&word.len()))
            || (word.starts_with("0x") && word.len() == 42)
            || (word.starts_with(['1', '3'])
                && (26..=35).contains(&word.len())
                && word.bytes().any(|b| b.is_ascii_uppercase())))
}

/// `$5,000,000` or `1.500.000,00`.
pub(super) fn is_millions(chunk: &str) -> bool {
    let digits = chunk.bytes().filter(u8::is_ascii_digit).count();
    let marks = chunk.bytes().filter(|b| matches!(b, b',' | b'.')).count();
    digits >= 7
        && marks >= 2
        && chunk
            .chars()
            .all(|c| c.is_ascii_digit() || !c.is_alphanumeric() || "USDEGBP".contains(c))
}

/// A run such as `1-800-555-0199`, `(800)555-0199` or the tail of `+1 (888) 555-0199`.
pub(super) fn is_phone_piece(chunk: &str) -> bool {
    let digits = chunk.bytes().filter(u8::is_ascii_digit).count();
    (7..=15).contains(&digits)
        && chunk
            .bytes()
            .any(|b| matches!(b, b'-' | b'(' | b'+' | b'\xe2'))
        && !chunk
            .bytes()
            .any(|b| b.is_ascii_alphabetic() || matches!(b, b'/' | b':' | b'_'))
}

/// A long Latin word with six consonants in a row, or letters and digits mixed several times.
pub(super) fn unpronounceable(word: &[u8]) -> bool {
    let (mut run, mut switches, mut last_digit) = (0, 0, None);
    for &b in word {
        if !b.is_ascii() || b == b'-' || b == b'\'' {
            return false;
        }
        run = if matches!(b, b'a' | b'e' | b'i' | b'o' | b'u' | b'y') || !b.is_ascii_alphabetic() {
            0
        } else {
            run + 1
        };
        if run >= 6 {
            return true;
        }
        let digit = b.is_ascii_digit();
        switches += u32::from(last_digit.is_some_and(|d| d != digit));
        last_digit = Some(digit);
    }
    switches >= 3
}

/// Six consonants in a row in a word of `length` ASCII letters with these vowels (bit n: letter n),
/// at most 64.
pub(super) const fn six_consonants(vowels: u64, length: usize) -> bool {
    if length <= 6 || length > 64 {
        return false;
    }
    let consonants = !vowels & u64::MAX >> (64 - length);
    let two = consonants & consonants >> 1;
    let four = two & two >> 2;
    four & two >> 4 != 0
}

/// A sum such as `$000`, digits folded.
pub(super) fn is_money(word: &[u8]) -> bool {
    ["$", "\u{20ac}", "\u{a3}"].iter().any(|sign| {
        word.strip_prefix(sign.as_bytes())
            .is_some_and(|rest| rest.starts_with(b"0"))
    })
}

/// A digit between letters (`v0agra`), as nobody types by accident.
pub(super) fn has_digit_inside(word: &[u8]) -> bool {
    let digits = word.iter().filter(|b| **b == b'0').count();
    (1..=2).contains(&digits)
        && word.first().is_some_and(u8::is_ascii_lowercase)
        && word.last().is_some_and(u8::is_ascii_lowercase)
        && word.iter().all(|b| b.is_ascii_alphanumeric())
}

/// Emoji, dingbats, stars and arrows.
pub(in crate::score) const fn is_pictograph(c: char) -> bool {
    matches!(c as u32, 0x2190..=0x21ff | 0x2600..=0x27bf | 0x2b00..=0x2bff | 0x1f000..=0x1faff)
}

/// Marks left by the publishers of a corpus say nothing about the message.
pub(super) fn is_redaction(word: &[u8]) -> bool {
    word.starts_with(b"redacted")
        || (word.len() >= 3 && word.iter().all(|b| *b == b'x'))
        || word == b"yyyy"
}

/// Undoes the defanging of published spam: `hxxp`, `[.]`, `[removed]`. Borrows when there is none.
pub(in crate::score) fn undo_redaction(text: &str) -> std::borrow::Cow<'_, str> {
    let bytes = text.as_bytes();
    let has = |mark: &[u8]| memchr::memmem::find(bytes, mark).is_some();
    let bracket = memchr::memchr(b'[', bytes).is_some();
    if !(bracket && (has(b"[.]") || has(b"[removed]") || has(b"[at]"))
        || has(b"hxxp")
        || has(b"hXXp"))
    {
        return text.into();
    }
    let text = text
        .replace("[.]", ".")
        .replace("hxxp", "http")
        .replace("hXXp", "http");
    text.replace("[removed]", " ").replace("[at]", "@").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_consonants_are_found_from_the_vowels_alone() {
        for word in [
            "strengths",
            "bcdfgh",
            "xbcdfgha",
            "abcdfghj",
            "rhythms",
            "abcdfeghjklm",
            "aabbccddffgghh",
            "information",
        ] {
            let vowels = word
                .bytes()
                .enumerate()
                .filter(|(_, b)| b"aeiouy".contains(b))
                .fold(0, |bits, (at, _)| bits | 1 << at);
            let plain = word.len() > 6 && unpronounceable(word.as_bytes());
            assert_eq!(six_consonants(vowels, word.len()), plain, "{word}");
        }
    }
}
