//! Single values of the file by their type, each with the remedy where it is another.

use super::error::Wrong;
use super::raw::nearest;
use super::units;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::DeValue;

/// A value of the wrong type.
pub(super) fn wrong_type(value: &DeValue<'_>, wanted: &str, example: &str) -> Wrong {
    let found = match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    };
    Wrong::new(
        format!("is {found}, not {wanted}"),
        format!("write {example}"),
    )
}

/// A string.
pub(super) fn string<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Wrong> {
    value
        .as_str()
        .ok_or_else(|| wrong_type(value, "a string", "\"…\""))
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Wrong> {
    value
        .as_bool()
        .ok_or_else(|| wrong_type(value, "true or false", "true or false"))
}

/// An integer in a range.
pub(super) fn integer(value: &DeValue<'_>, range: &RangeInclusive<u64>) -> Result<u64, Wrong> {
    let remedy = || format!("write an integer from {} to {}", range.start(), range.end());
    let Some(number) = value.as_integer() else {
        return Err(Wrong {
            remedy: remedy(),
            ..wrong_type(value, "an integer", "")
        });
    };
    u64::from_str_radix(number.as_str(), number.radix())
        .ok()
        .filter(|n| range.contains(n))
        .ok_or_else(|| Wrong::new(format!("{} is out of range", number.as_str()), remedy()))
}

/// A finite number in a range.
pub(super) fn number(value: &DeValue<'_>, range: &RangeInclusive<f64>) -> Result<f64, Wrong> {
    let remedy = || format!("write a number from {} to {}", range.start(), range.end());
    let text = match value {
        DeValue::Float(float) => float.as_str().to_owned(),
        DeValue::Integer(integer) => integer.as_str().to_owned(),
        other => {
            return Err(Wrong {
                remedy: remedy(),
                ..wrong_type(other, "a number", "")
            });
        }
    };
    // NaN lies in no range.
    text.parse::<f64>()
        .ok()
        .filter(|n| range.contains(n))
        .ok_or_else(|| Wrong::new(format!("{text} is out of range"), remedy()))
}

/// A duration in a range.
pub(super) fn duration(
    value: &DeValue<'_>,
    range: &RangeInclusive<Duration>,
) -> Result<Duration, Wrong> {
    let Some(text) = value.as_str() else {
        return Err(wrong_type(
            value,
            "a duration",
            "a string with a number and a unit, such as \"5m\" or \"24h\"",
        ));
    };
    units::duration(text).and_then(|d| in_range(d, range))
}

/// Refuses a duration outside the range.
pub(super) fn in_range(
    value: Duration,
    range: &RangeInclusive<Duration>,
) -> Result<Duration, Wrong> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (
        units::show_duration(*range.start()),
        units::show_duration(*range.end()),
    );
    Err(Wrong::new(
        format!("\"{}\" is out of range", units::show_duration(value)),
        format!("write a duration from \"{low}\" to \"{high}\""),
    ))
}

/// A size: bytes as an integer, or a string with a unit.
pub(super) fn size(value: &DeValue<'_>, range: &RangeInclusive<u64>) -> Result<u64, Wrong> {
    let Some(text) = value.as_str() else {
        return integer(value, range).map_err(|w| Wrong {
            remedy: format!("{} bytes, or a size such as \"50 MiB\"", w.remedy),
            ..w
        });
    };
    let bytes = units::size(text)?;
    if range.contains(&bytes) {
        return Ok(bytes);
    }
    Err(Wrong::new(
        format!("\"{text}\" is out of range"),
        format!(
            "write a size from {} to {} bytes",
            range.start(),
            range.end()
        ),
    ))
}

/// One of some words.
pub(super) fn one_of<T: Copy>(value: &DeValue<'_>, words: &[(&str, T)]) -> Result<T, Wrong> {
    let text = string(value)?;
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, t)| *t)
        .ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let remedy = nearest(text, &known).map_or_else(
                || format!("write one of: {}", known.join(", ")),
                |near| format!("did you mean \"{near}\"?"),
            );
            Wrong::new(format!("\"{text}\" is not known"), remedy)
        })
}
