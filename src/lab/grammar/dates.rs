//! Dates as people write them.

use super::GrammarError;
use super::fill::Fill;
use jiff::civil::{Date, date};

/// The day that many days after 1970 began.
pub(super) fn day(days: i64) -> Date {
    date(1970, 1, 1).saturating_add(jiff::Span::new().days(days))
}

/// A date in a form: `%d` day, `%D` with two digits, `%n` and `%N` the month in digits, `%B` its name
/// in a date, `%L` its name alone, `%A` the day of the week, `%Y` the year.
pub(super) fn write(fill: &mut Fill<'_>, days: i64, form: &str) -> Result<String, GrammarError> {
    let day = day(days);
    let month = usize::from(day.month().unsigned_abs()) - 1;
    let weekday = usize::from(day.weekday().to_monday_zero_offset().unsigned_abs());
    let mut text = String::new();
    let mut rest = form.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some('d') => text.push_str(&day.day().to_string()),
            Some('D') => text.push_str(&format!("{:02}", day.day())),
            Some('n') => text.push_str(&day.month().to_string()),
            Some('N') => text.push_str(&format!("{:02}", day.month())),
            Some('B') => text.push_str(&fill.listed("months", month)?),
            Some('L') => text.push_str(&fill.listed("months_alone", month)?),
            Some('A') => text.push_str(&fill.listed("weekdays", weekday)?),
            Some('Y') => text.push_str(&day.year().to_string()),
            _ => {}
        }
    }
    Ok(text)
}

/// A date for the header (RFC 5322, 3.3).
pub(super) fn header(fill: &mut Fill<'_>) -> String {
    let hour = 6 + fill.rng.below(15);
    let (minute, second) = (fill.rng.below(60), fill.rng.below(60));
    let zone = match fill.rng.below(5) {
        0 => "+0000",
        1 | 2 => "+0100",
        3 => "+0200",
        _ => "-0500",
    };
    let day = day(fill.today).strftime("%a, %d %b %Y").to_string();
    format!("{day} {hour:02}:{minute:02}:{second:02} {zone}")
}
