//! The text of Rich Text Format, leniently.

/// Destinations whose content is not shown.
const UNSEEN: [&str; 9] = [
    "fonttbl",
    "colortbl",
    "stylesheet",
    "info",
    "pict",
    "generator",
    "listtable",
    "themedata",
    "object",
];
/// Groups that are kept apart.
const MAX_GROUPS: usize = 256;

/// What a reader sees of the document.
pub(super) fn text(rtf: &str) -> String {
    let mut out = String::new();
    // For each open group: whether its text is seen.
    let (mut open, mut seen, mut rest) = (Vec::new(), true, rtf);
    while let Some(at) = rest
        .bytes()
        .position(|b| matches!(b, b'{' | b'}' | b'\\' | b'\r' | b'\n'))
    {
        let (text, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if seen {
            out.push_str(text);
        }
        rest = tail.get(1..).unwrap_or_default();
        match tail.bytes().next() {
            Some(b'{') if open.len() < MAX_GROUPS => open.push(seen),
            Some(b'}') => seen = open.pop().unwrap_or(true),
            Some(b'\\') => rest = control(rest, &mut seen, &mut out),
            _ => {}
        }
    }
    if seen {
        out.push_str(rest);
    }
    out
}

/// Reads a control word or symbol after its backslash, returns what follows.
fn control<'t>(rest: &'t str, seen: &mut bool, out: &mut String) -> &'t str {
    let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (word, tail) = rest.split_at_checked(length).unwrap_or((rest, ""));
    if word.is_empty() {
        let mark = rest.chars().next();
        let tail = rest
            .get(mark.map_or(0, char::len_utf8)..)
            .unwrap_or_default();
        match mark {
            Some('*') => *seen = false,
            Some('\'') => {
                let code = tail.get(..2).and_then(|h| u8::from_str_radix(h, 16).ok());
                if let Some(code) = code.filter(|_| *seen) {
                    out.push(char::from(code));
                }
                return tail.get(2..).unwrap_or_default();
            }
            Some('~') if *seen => out.push(' '),
            Some(c @ ('{' | '}' | '\\')) if *seen => out.push(c),
            _ => {}
        }
        return tail;
    }
    let digits = tail
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'-')
        .count();
    let (number, tail) = tail.split_at_checked(digits).unwrap_or((tail, ""));
    let mut tail = tail.strip_prefix(' ').unwrap_or(tail);
    match word {
        "par" | "line" | "sect" | "page" | "row" | "cell" | "tab" if *seen => out.push('\n'),
        "u" if *seen => {
            let code = number
                .parse::<i32>()
                .ok()
                .map(|n| if n < 0 { n + 65_536 } else { n });
            out.extend(
                code.and_then(|n| u32::try_from(n).ok())
                    .and_then(char::from_u32),
            );
            // A plain character follows it for old programs.
            tail = tail.strip_prefix('?').unwrap_or(tail);
        }
        word if UNSEEN.contains(&word) => *seen = false,
        _ => {}
    }
    tail
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn what_is_seen_comes_out() {
        let rtf = "{\\rtf1\\ansi{\\fonttbl{\\f0 Arial;}}{\\*\\generator x;}\\f0\\fs20 Buy \\b this\\b0  caf\\'e9 \\u8364?5\\par now\\{\\}}";
        assert_eq!(
            text(rtf).split_whitespace().collect::<Vec<_>>(),
            ["Buy", "this", "caf\u{e9}", "\u{20ac}5", "now{}"]
        );
        for odd in [
            "",
            "\\",
            "{{{",
            "}}}",
            "\\'",
            "\\'z",
            "\\u",
            "\\u99999999999 x",
            "{\\*",
        ] {
            text(odd);
        }
        text(&"{".repeat(100_000));
    }
}
