//! Units of the file: durations ("5m", "24h", "30d") and sizes (bytes, or "50 MiB").

use super::error::Wrong;
use std::time::Duration;

/// Units of time, largest first, in milliseconds.
const TIME: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Units of size in bytes; the decimal ones are powers of 1000, the binary ones of 1024.
const SIZE: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Splits a number from the unit that follows it; `None` without digits or beyond 64 bits.
fn number_and_rest(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest.trim_start()))
}

/// Reads `90s`, `5m`, `24h`, `30d`, `1h 30m`; plain `0` too. Without a unit a number is refused: it
/// would be guessed.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = || {
        Wrong::new(
            format!("\"{text}\" is no duration"),
            "write a number and a unit (ms, s, m, h, d, w), such as \"5m\" or \"24h\"",
        )
    };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.trim();
    let mut millis: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, after) = number_and_rest(rest).ok_or_else(wrong)?;
        let end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let (_, factor) = TIME
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        millis = number
            .checked_mul(*factor)
            .and_then(|part| millis.checked_add(part))
            .ok_or_else(wrong)?;
        rest = next.trim_start();
    }
    Ok(Duration::from_millis(millis))
}

/// The shortest exact form: `5m`, `36h`, `0s`.
pub(super) fn show_duration(value: Duration) -> String {
    let millis = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    TIME.iter()
        .filter(|(name, _)| *name != "w")
        .find(|(_, factor)| millis.is_multiple_of(*factor))
        .map_or_else(
            || format!("{millis}ms"),
            |(name, factor)| format!("{}{name}", millis / factor),
        )
}

/// Reads `50 MiB`, `10GB`, `1024`.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let wrong = || {
        Wrong::new(
            format!("\"{text}\" is no size"),
            "write bytes as a number, or a number and a unit, such as \"50 MiB\"",
        )
    };
    let (number, unit) = number_and_rest(text.trim()).ok_or_else(wrong)?;
    let factor = match unit {
        "" => 1,
        unit => {
            SIZE.iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(wrong)?
                .1
        }
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let secs = |t: &str| duration(t).ok().map(|d| d.as_millis());
        for (text, millis) in [
            ("5m", Some(300_000)),
            ("24h", Some(86_400_000)),
            ("30d", Some(2_592_000_000)),
            ("1h 30m", Some(5_400_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("5", None),
            ("5 fortnights", None),
            ("-5m", None),
            ("m", None),
            ("", None),
            ("1.5h", None),
            ("5m!", None),
            ("99999999999999999999d", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(secs(text), millis, "{text}");
        }
    }

    #[test]
    fn durations_print_and_read_back() {
        for millis in [
            0,
            1,
            250,
            1000,
            90_000,
            300_000,
            3_600_000,
            86_400_000,
            7 * 86_400_000,
            u64::MAX,
        ] {
            let value = Duration::from_millis(millis);
            assert_eq!(duration(&show_duration(value)), Ok(value));
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("50 MiB", Some(52_428_800)),
            ("10GB", Some(10_000_000_000)),
            ("1024", Some(1024)),
            ("1 kB", Some(1000)),
            ("50 mib", None),
            ("-1", None),
            ("MiB", None),
            ("99999999999 TiB", None),
        ] {
            assert_eq!(size(text).ok(), bytes, "{text}");
        }
    }
}
