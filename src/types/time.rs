//! The one notion of time: milliseconds since the Unix epoch, handed in by a shell.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z. Made by `env::Clock`, which never
/// steps back.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// From whole seconds since the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Time that has passed since `earlier`; zero if `earlier` lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This time moved on by `by`; stays at the far end instead of wrapping.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This time moved back by `by`; stays at the far end instead of wrapping.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }

    /// RFC 3339 in UTC with whole seconds, as the HTTP contract wants it: `2026-11-22T14:00:00Z`.
    pub fn rfc3339(self) -> String {
        self.to_jiff().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Reads RFC 3339; `None` if it is not that.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>()
            .ok()
            .map(|t| Self(t.as_millisecond()))
    }

    /// The date-time of RFC 5322 section 3.3, in UTC: `Sun, 22 Nov 2026 14:00:00 +0000`.
    pub fn rfc5322(self) -> String {
        self.to_jiff()
            .strftime("%a, %d %b %Y %H:%M:%S +0000")
            .to_string()
    }

    /// The next midnight after this time in the named zone ("Europe/Berlin"); UTC where the zone is
    /// unknown.
    #[must_use]
    pub fn next_midnight(self, zone: &str) -> Self {
        let zone = jiff::tz::TimeZone::get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
        let here = self.to_jiff().to_zoned(zone);
        here.tomorrow().and_then(|t| t.start_of_day()).map_or_else(
            |_| self.after(Duration::from_secs(86_400)),
            |t| Self(t.timestamp().as_millisecond()),
        )
    }

    /// The end of a day such as `2026-11-22` in the named zone; `None` if the text is no day, or
    /// the zone is unknown.
    pub fn end_of_day(day: &str, zone: &str) -> Option<Self> {
        let zone = jiff::tz::TimeZone::get(zone).ok()?;
        let next = day
            .parse::<jiff::civil::Date>()
            .ok()
            .filter(|_| day.len() == 10)?
            .tomorrow()
            .ok()?;
        next.to_zoned(zone)
            .ok()
            .map(|t| Self(t.timestamp().as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_back() {
        let t = Time::from_secs(1_795_356_000);
        assert_eq!(t.rfc3339(), "2026-11-22T14:00:00Z");
        assert_eq!(Time::parse_rfc3339("2026-11-22T15:00:00+01:00"), Some(t));
        assert_eq!(t.rfc5322(), "Sun, 22 Nov 2026 14:00:00 +0000");
    }

    #[test]
    fn midnight_is_that_of_the_zone() {
        let t = Time::from_secs(1_795_356_000); // 15:00 in Berlin
        assert_eq!(
            t.next_midnight("Europe/Berlin").rfc3339(),
            "2026-11-22T23:00:00Z"
        );
        assert_eq!(t.next_midnight("no/such").rfc3339(), "2026-11-23T00:00:00Z");
    }

    #[test]
    fn a_day_ends_by_the_zone() {
        let end = |day, zone| Time::end_of_day(day, zone).map(Time::rfc3339);
        assert_eq!(
            end("2026-11-22", "Europe/Berlin").as_deref(),
            Some("2026-11-22T23:00:00Z")
        );
        assert_eq!(
            end("2026-12-31", "UTC").as_deref(),
            Some("2027-01-01T00:00:00Z")
        );
        for wrong in [
            "2026-13-01",
            "2026-02-30",
            "tomorrow",
            "2026-11-22T10:00:00",
            "",
        ] {
            assert_eq!(end(wrong, "UTC"), None, "{wrong}");
        }
        assert_eq!(end("2026-12-31", "no/such"), None);
    }

    #[test]
    fn never_wraps() {
        assert_eq!(Time(i64::MAX).after(Duration::MAX), Time(i64::MAX));
        assert_eq!(Time(5).since(Time(9)), Duration::ZERO);
    }
}
