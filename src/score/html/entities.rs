//! Undoes character references such as `&amp;` and `&#64;`.

/// Longest reference that is read, octets: numbers may begin with many zeros.
const MAX_REFERENCE: usize = 40;

/// The text with its references undone: the numeric ones and the usual names.
pub(super) fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        out.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at + 1..).unwrap_or("");
        let name = rest.get(..name_end(rest)).unwrap_or("");
        match reference(name) {
            Some(c) => {
                out.push(c);
                rest = rest.get(name.len()..).unwrap_or("");
                rest = rest.strip_prefix(';').unwrap_or(rest);
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}

/// Where the name of a reference ends. A number ends before the first octet that is not one of its
/// digits.
fn name_end(rest: &str) -> usize {
    let octets = rest.as_bytes();
    let octets = octets
        .get(..octets.len().min(MAX_REFERENCE))
        .unwrap_or_default();
    let digits = |from: usize, digit: fn(&u8) -> bool| {
        octets
            .get(from..)
            .unwrap_or_default()
            .iter()
            .position(|b| !digit(b))
            .map_or(octets.len(), |n| from + n)
    };
    match octets {
        [b'#', b'x' | b'X', ..] => digits(2, u8::is_ascii_hexdigit),
        [b'#', ..] => digits(1, u8::is_ascii_digit),
        _ => digits(0, u8::is_ascii_alphanumeric),
    }
}

/// Numeric references to letters and digits that need none.
pub(super) fn coded_letters(text: &str) -> usize {
    memchr::memmem::find_iter(text.as_bytes(), b"&#")
        .filter(|at| {
            let rest = text.get(at + 1..).unwrap_or_default();
            rest.get(..name_end(rest))
                .and_then(reference)
                .is_some_and(|c| c.is_ascii_alphanumeric())
        })
        .count()
}

fn reference(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| *c != '\0');
    }
    Some(match name {
        "nbsp" | "ensp" | "emsp" | "thinsp" => ' ',
        "Tab" | "NewLine" => '\n',
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" | "rsquo" | "lsquo" => '\'',
        "ldquo" | "rdquo" => '"',
        "ndash" | "mdash" => '-',
        "colon" => ':',
        "sol" => '/',
        "period" => '.',
        "comma" => ',',
        "semi" => ';',
        "commat" => '@',
        "excl" => '!',
        "quest" => '?',
        "equals" => '=',
        "num" => '#',
        "percnt" => '%',
        "dollar" => '$',
        "plus" => '+',
        "lowbar" => '_',
        "lpar" => '(',
        "rpar" => ')',
        "bsol" => '\\',
        "bull" | "middot" => '\u{b7}',
        "copy" => '\u{a9}',
        "reg" => '\u{ae}',
        "trade" => '\u{2122}',
        "euro" => '\u{20ac}',
        "pound" => '\u{a3}',
        "hellip" => '\u{2026}',
        "zwnj" | "zwj" | "shy" | "ZeroWidthSpace" | "NoBreak" => '\u{ad}',
        "auml" => '\u{e4}',
        "ouml" => '\u{f6}',
        "uuml" => '\u{fc}',
        "szlig" => '\u{df}',
        "eacute" => '\u{e9}',
        "egrave" => '\u{e8}',
        "agrave" => '\u{e0}',
        "ccedil" => '\u{e7}',
        "ntilde" => '\u{f1}',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_undone_however_they_are_written() {
        for (text, plain) in [
            ("&#86;i&#x41;", "ViA"),
            ("&#0000000000000000086;x", "Vx"),
            ("&#86x&#x56g", "VxVg"),
            ("a&amp;b&nbsp;&unknown;&", "a&b &unknown;&"),
            ("http&colon;&sol;&sol;a&period;example", "http://a.example"),
            ("&#0;&#xD800;&#99999999999;", "&#0;&#xD800;&#99999999999;"),
        ] {
            assert_eq!(decoded(text), plain, "{text}");
        }
        assert_eq!(coded_letters("&#86;&#x69;&#8212;&#000000000097;"), 3);
    }
}
