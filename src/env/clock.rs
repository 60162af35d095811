//! A clock that never steps back.

use crate::types::Time;
use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The source of the time.
pub trait Clock: Send + Sync + 'static {
    /// Now. Never smaller than an earlier answer.
    fn now(&self) -> Time;
}

/// The system's wall clock. If it is set back, time continues from its last value at the pace of
/// the monotonic clock. If it is set forward, time follows.
#[derive(Debug)]
pub struct SystemClock {
    last: Mutex<(Instant, i64)>,
}

impl SystemClock {
    /// Starts at the wall clock's time.
    pub fn new() -> Self {
        Self {
            last: Mutex::new((Instant::now(), wall_millis())),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the wall clock"
)]
fn wall_millis() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// The next reading: the wall clock, but at least the last reading plus the elapsed monotonic time.
const fn advance(last_millis: i64, elapsed_millis: i64, wall_millis: i64) -> i64 {
    let steady = last_millis.saturating_add(elapsed_millis);
    if wall_millis > steady {
        wall_millis
    } else {
        steady
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let elapsed = i64::try_from(last.0.elapsed().as_millis()).unwrap_or(i64::MAX);
        if elapsed > 0 {
            // Only whole milliseconds are added, so that many quick readings do not lose their
            // fractions.
            last.0 += std::time::Duration::from_millis(elapsed.unsigned_abs());
        }
        last.1 = advance(last.1, elapsed, wall_millis());
        Time(last.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_set_back_does_not_take_time_back() {
        assert_eq!(advance(10_000, 5, 3_000), 10_005);
    }

    #[test]
    fn a_wall_clock_set_forward_is_followed() {
        assert_eq!(advance(10_000, 5, 99_000), 99_000);
    }
}
