//! What the lines of a text are: quotes, signatures of the sender, parts of programs.

use super::letter;
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// Longest line looked at for a signature, white space included, octets.
const MAX_LINE: usize = 128;
/// Longest line that may be a signature, octets, and its most words.
const SIGNATURE: (usize, usize) = (32, 4);
/// Lines of programs that are counted.
const ENOUGH_CODE: usize = 8;

/// What the lines of a text say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// Another message is quoted.
    pub quotes: bool,
    /// Lines that look like a patch, a program or a log, a few at most.
    pub code: usize,
    /// The line that begins a signature (RFC 3676 section 4.3).
    pub signature_mark: bool,
    /// A short line, not the first, holds one of the names: a signature.
    pub signed: bool,
}

impl Lines {
    /// Reads the lines of `text`; `names` are lower-case pieces of the sender's name.
    pub(super) fn read(text: &str, names: &[String]) -> Self {
        static ORIGINAL: LazyLock<Finder<'static>> =
            LazyLock::new(|| Finder::new("-----Original Message-----"));
        let mut lines = Self::default();
        let (mut quoted, mut first) = (0, true);
        let (mut rest, mut lower) = (text, String::new());
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |at| at + 1);
            let (line, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
            rest = tail;
            let line = line
                .strip_suffix('\n')
                .map_or(line, |l| l.strip_suffix('\r').unwrap_or(l));
            quoted += usize::from(line.starts_with('>'));
            lines.signature_mark |= line == "-- " && !first;
            if lines.code < ENOUGH_CODE {
                lines.code += usize::from(is_code(line.trim_start_matches(['>', ' ', '\t'])));
            }
            if !lines.signed && !first && !names.is_empty() && line.len() <= MAX_LINE {
                let line = line.trim();
                if line.len() <= SIGNATURE.0
                    && !line.starts_with('>')
                    && line.split(' ').count() <= SIGNATURE.1
                {
                    lower.clear();
                    lower.extend(line.chars().flat_map(char::to_lowercase));
                    lines.signed = words(&lower).any(|word| names.iter().any(|name| name == word));
                }
            }
            first &= line.trim_start().is_empty();
        }
        lines.quotes = quoted >= 2 || ORIGINAL.find(text.as_bytes()).is_some();
        lines
    }
}

/// The runs of letters and digits of a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c.is_ascii() && !letter(c as u8))
        .filter(|word| !word.is_empty())
}

/// A line that looks like a part of a patch, a program or a log.
fn is_code(line: &str) -> bool {
    const BEGINS: [&str; 11] = [
        "diff --git",
        "+++ ",
        "--- ",
        "@@ ",
        "#include",
        "#define",
        "$ ",
        "# ",
        "sudo ",
        "signed-off-by:",
        "index ",
    ];
    let octets = line.as_bytes();
    let (Some(first), Some(last)) = (octets.first(), octets.last()) else {
        return false;
    };
    match first {
        b'd' | b'D' | b'+' | b'-' | b'@' | b'#' | b'$' | b's' | b'S' | b'i' | b'I'
            if BEGINS.iter().any(|b| {
                line.get(..b.len())
                    .is_some_and(|l| l.eq_ignore_ascii_case(b))
            }) =>
        {
            return true;
        }
        b'0'..=b'9'
            if line.len() > 12
                && octets.iter().take(4).all(u8::is_ascii_digit)
                && octets.contains(&b':')
                && octets.contains(&b'-') =>
        {
            return true;
        }
        _ => {}
    }
    matches!(last, b';' | b'{' | b'}')
        && octets
            .iter()
            .any(|b| matches!(b, b'(' | b'=' | b'{' | b'}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Lines {
        Lines::read(text, &["ada".to_owned(), "lovelace".to_owned()])
    }

    #[test]
    fn quotes_are_seen() {
        assert!(read("> a\r\n> b\r\nyes").quotes);
        assert!(!read("> a\nno").quotes);
        assert!(read("see\n-----Original Message-----\nold").quotes);
    }

    #[test]
    fn signatures_are_seen_at_the_end_and_not_in_the_first_line() {
        for signed in [
            "Hi\nAda",
            "Hello\r\n\r\nAda L.",
            "Hello\nbest, Lovelace\n",
            "Hello\n\n   ADA   ",
            "Hello\n\u{a0}Ada\u{a0}L\n",
        ] {
            assert!(read(signed).signed, "{signed}");
        }
        for not in [
            "Ada",
            "\n\nAda\n",
            "Hello\n> Ada",
            "Hello\nAdam",
            "Hello\nplease ask Ada about it",
            "Hello\nada1",
        ] {
            assert!(!read(not).signed, "{not}");
        }
        assert!(!Lines::read("Hello\nAda", &[]).signed);
        for (text, marked) in [
            ("a\n-- \nx", true),
            ("a\r\n-- \r\nx", true),
            ("a\n--\nx", false),
            ("a\n---\nx", false),
            ("-- \n", false),
        ] {
            assert_eq!(read(text).signature_mark, marked, "{text}");
        }
    }

    #[test]
    fn programs_patches_and_logs_are_counted_up_to_a_few() {
        assert_eq!(read("diff --git a b\n+++ b/x\n@@ -1 +1 @@\n").code, 3);
        assert_eq!(
            read("> if (x) {\n  y = 1;\n}\n$ ls -l\n2026-11-22 10:00:01 started\n").code,
            5
        );
        assert_eq!(read("int main(void)\n{\n  return 0;\n}\n+};\n").code, 3);
        assert_eq!(
            read("We met; then we left;\nIn 2026 we were 12.\nindex\n").code,
            0
        );
        assert_eq!(read(&"x = 1;\n".repeat(50)).code, ENOUGH_CODE);
    }
}
