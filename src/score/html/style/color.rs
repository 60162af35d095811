//! Colours as styles and attributes name them, and whether text can be told from its background.

use super::{begins, number};

/// A colour, as far as it can be told from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::score::html) enum Paint {
    Rgb([u8; 3]),
    Transparent,
    /// A picture, a gradient, a name that is not known here.
    Unknown,
}

/// Whether text in one colour cannot be told from a ground in the other.
pub(in crate::score::html) fn same(text: Paint, ground: Paint) -> bool {
    match (text, ground) {
        (Paint::Transparent, _) => true,
        (Paint::Rgb(a), Paint::Rgb(b)) => a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 20),
        _ => false,
    }
}

/// A colour as a style or an attribute names it.
pub(in crate::score::html) fn paint(value: &str) -> Paint {
    let end = value.bytes().position(|b| b == b'!').unwrap_or(value.len());
    let value = value.get(..end).unwrap_or_default().trim();
    let hex = value.strip_prefix('#').unwrap_or(value);
    if hex.bytes().all(|b| b.is_ascii_hexdigit()) && matches!(hex.len(), 3 | 4 | 6 | 8) {
        let digit = |at: usize| {
            hex.as_bytes()
                .get(at)
                .and_then(|d| char::from(*d).to_digit(16))
                .unwrap_or_default() as u8
        };
        let wide = hex.len() >= 6;
        let channel = |n: usize| {
            if wide {
                digit(2 * n) * 16 + digit(2 * n + 1)
            } else {
                digit(n) * 17
            }
        };
        if matches!(hex.len(), 4 | 8) && channel(3) <= 12 {
            return Paint::Transparent;
        }
        return Paint::Rgb([channel(0), channel(1), channel(2)]);
    }
    if begins(value, "rgb") {
        let numbers = value
            .split(['(', ',', ' ', '/', ')'])
            .filter_map(|n| number(n.trim()));
        let mut found = [0.0_f32; 4];
        let mut count = 0;
        for (slot, (n, unit)) in found.iter_mut().zip(numbers) {
            *slot = if unit == "%" && count < 3 {
                n * 2.55
            } else {
                n
            };
            count += 1;
        }
        let [r, g, b, a] = found;
        return match count {
            4 if a <= 0.05 => Paint::Transparent,
            3 | 4 => Paint::Rgb([r as u8, g as u8, b as u8]),
            _ => Paint::Unknown,
        };
    }
    for (name, rgb) in [
        ("white", [255; 3]),
        ("snow", [255, 250, 250]),
        ("ivory", [255, 255, 240]),
        ("whitesmoke", [245; 3]),
        ("ghostwhite", [248, 248, 255]),
        ("floralwhite", [255, 250, 240]),
        ("mintcream", [245, 255, 250]),
        ("azure", [240, 255, 255]),
        ("black", [0; 3]),
    ] {
        if value.eq_ignore_ascii_case(name) {
            return Paint::Rgb(rgb);
        }
    }
    if value.eq_ignore_ascii_case("transparent") {
        Paint::Transparent
    } else {
        Paint::Unknown
    }
}

/// The short form `background`: a colour among other things.
pub(super) fn ground(value: &str) -> Paint {
    let known = |paint: &Paint| *paint != Paint::Unknown;
    if memchr::memchr(b'(', value.as_bytes()).is_none() {
        return value
            .split_ascii_whitespace()
            .map(paint)
            .find(known)
            .unwrap_or(Paint::Unknown);
    }
    let lower = value.to_ascii_lowercase();
    if lower.contains("url(") || lower.contains("gradient") {
        return Paint::Unknown;
    }
    if lower.contains("rgb") {
        return paint(lower.trim());
    }
    lower
        .split_ascii_whitespace()
        .map(paint)
        .find(known)
        .unwrap_or(Paint::Unknown)
}
