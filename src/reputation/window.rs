//! Counters over a sliding day in few bytes: one bucket a minute while young, merged into five minutes and then hours as
//! they age; empty stretches cost nothing. A bucket that reaches into a window counts whole, so a ceiling is never passed
//! in any true window of its length.

use crate::types::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Buckets older than this many minutes are forgotten.
const DAY_MINUTES: u32 = 24 * 60;
/// Older than this many minutes: hour buckets.
const FINE_MINUTES: u32 = 70;
/// Older than this many minutes: five-minute buckets.
const FINEST_MINUTES: u32 = 10;

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Messages judged (retries left out).
    pub messages: u32,
    /// External recipients of mail that was taken.
    pub external: u32,
    /// Internal recipients of mail that was taken.
    pub internal: u32,
    /// External recipients this sender had not written to before.
    pub new: u32,
    /// Messages that counted as spam.
    pub spam: u32,
    /// Unknown users bounced.
    pub bounces: u32,
    /// Size of mail that was taken, in KiB, each message rounded up; only where a policy limits it.
    #[serde(default)]
    pub kib: u32,
}

impl Counts {
    fn each(&mut self, other: Self, f: impl Fn(u32, u32) -> u32) {
        self.messages = f(self.messages, other.messages);
        self.external = f(self.external, other.external);
        self.internal = f(self.internal, other.internal);
        self.new = f(self.new, other.new);
        self.spam = f(self.spam, other.spam);
        self.bounces = f(self.bounces, other.bounces);
        self.kib = f(self.kib, other.kib);
    }

    /// Adds, staying at the far end instead of wrapping.
    pub fn add(&mut self, other: Self) {
        self.each(other, u32::saturating_add);
    }

    /// Internal and external recipients.
    pub fn recipients(&self) -> u64 {
        u64::from(self.external) + u64::from(self.internal)
    }

    /// Takes away from `self` what `other` has, as far as it is there; what was not there stays in `other`.
    fn take(&mut self, other: &mut Self) {
        let mut taken = *self;
        taken.each(*other, u32::min);
        self.each(taken, u32::saturating_sub);
        other.each(taken, u32::saturating_sub);
    }
}

/// Counts of a stretch of minutes since the epoch: from `start`, `minutes` long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Bucket {
    start: u32,
    minutes: u32,
    counts: Counts,
}

/// The last day of one sender, domain, client or tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    buckets: Vec<Bucket>,
}

fn minute(now: Time) -> u32 {
    u32::try_from(now.as_secs().div_euclid(60)).unwrap_or(0)
}

impl Windows {
    /// Counts at `now`. Where the clock has stepped back (over a restart), everything moves back with it: else all that is
    /// counted until the old time is reached again would lie in one bucket, and an hour's ceiling would hold for days.
    pub fn add(&mut self, now: Time, counts: Counts) {
        if counts == Counts::default() {
            return;
        }
        let minute = minute(now);
        let ahead = self.buckets.last().map_or(0, |last| last.start.saturating_sub(minute));
        if ahead > 0 {
            self.buckets.iter_mut().for_each(|b| b.start = b.start.saturating_sub(ahead));
        }
        if let Some(last) = self.buckets.last_mut()
            && last.start.saturating_add(last.minutes) > minute
        {
            last.counts.add(counts);
            return;
        }
        self.compact(minute);
        self.buckets.push(Bucket { start: minute, minutes: 1, counts });
    }

    /// Drops what is older than a day and merges what has aged. At most about 45 buckets remain.
    fn compact(&mut self, now: u32) {
        self.buckets.retain(|b| b.start.saturating_add(b.minutes).saturating_add(DAY_MINUTES) > now);
        self.buckets.dedup_by(|later, earlier| {
            let age = now.saturating_sub(later.start);
            let width = if age > FINE_MINUTES {
                60
            } else if age > FINEST_MINUTES {
                5
            } else {
                1
            };
            let same = later.start / width == earlier.start / width && later.minutes <= width && earlier.minutes <= width;
            if same {
                earlier.counts.add(later.counts);
                earlier.minutes = later.start.saturating_add(later.minutes).saturating_sub(earlier.start);
            }
            same
        });
    }

    /// Sum over the last `window`.
    pub fn sum(&self, now: Time, window: Duration) -> Counts {
        // A clock that has stepped back stands where the newest bucket is, as in `add`.
        let newest = self.buckets.last().map_or(0, |last| i64::from(last.start));
        let from = newest.saturating_mul(60_000).max(now.0);
        let from = Time(from).before(window).as_secs().div_euclid(60);
        let mut sum = Counts::default();
        // Ends are ascending, so the first bucket that lies wholly before the window ends the walk.
        for bucket in self.buckets.iter().rev() {
            if i64::from(bucket.start) + i64::from(bucket.minutes) <= from {
                break;
            }
            sum.add(bucket.counts);
        }
        sum
    }

    /// Takes back what was counted and did not happen after all, newest first.
    pub fn take_back(&mut self, mut counts: Counts) {
        for bucket in self.buckets.iter_mut().rev() {
            if counts == Counts::default() {
                break;
            }
            bucket.counts.take(&mut counts);
        }
    }

    /// Forgets spam and bounces; with `all` every counter.
    pub fn forget(&mut self, all: bool) {
        if all {
            self.buckets.clear();
        }
        for bucket in &mut self.buckets {
            bucket.counts.spam = 0;
            bucket.counts.bounces = 0;
        }
    }

    /// Memory beside the record itself, in octets.
    pub const fn heap_octets(&self) -> usize {
        self.buckets.capacity() * std::mem::size_of::<Bucket>()
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);

    fn at(minutes: i64) -> Time {
        Time::from_secs(1_795_356_000 + minutes * 60)
    }

    fn one() -> Counts {
        Counts { messages: 1, ..Counts::default() }
    }

    #[test]
    fn windows_slide() {
        let mut w = Windows::default();
        for m in 0..(3 * 24 * 60) {
            w.add(at(m), one());
            assert!(w.buckets.len() <= 50, "{}", w.buckets.len());
        }
        let now = at(3 * 24 * 60 - 1);
        assert_eq!(w.sum(now, Duration::from_secs(60)).messages, 2);
        let hour = w.sum(now, HOUR).messages;
        assert!((60..=66).contains(&hour), "{hour}");
        let day = w.sum(now, DAY).messages;
        assert!((1440..=1500).contains(&day), "{day}");
        assert_eq!(w.sum(now.after(2 * DAY), DAY).messages, 0);
    }

    #[test]
    fn an_hour_stays_an_hour_after_the_clock_was_set_back() {
        // Started with a clock twelve hours ahead, set right at the next start: for twelve hours the hour counted everything.
        let mut w = Windows::default();
        (0..30).for_each(|m| w.add(at(720 + m), one()));
        assert_eq!(w.sum(at(30), HOUR).messages, 30, "before anything is counted at the right time");
        (30..200).for_each(|m| w.add(at(m), one()));
        let hour = w.sum(at(199), HOUR).messages;
        assert!((60..=70).contains(&hour), "{hour}");
    }

    #[test]
    fn a_quiet_sender_costs_one_bucket() {
        let mut w = Windows::default();
        w.add(at(0), one());
        w.add(at(0), one());
        assert_eq!(w.buckets.len(), 1);
    }

    #[test]
    fn taking_back_and_forgetting() {
        let mut w = Windows::default();
        w.add(at(0), Counts { messages: 1, external: 3, spam: 1, ..Counts::default() });
        w.add(at(1), Counts { messages: 1, external: 2, ..Counts::default() });
        w.take_back(Counts { external: 4, ..Counts::default() });
        assert_eq!(w.sum(at(1), DAY), Counts { messages: 2, external: 1, spam: 1, ..Counts::default() });
        w.take_back(Counts { external: 9, ..Counts::default() });
        w.forget(false);
        assert_eq!(w.sum(at(1), DAY), Counts { messages: 2, ..Counts::default() });
        w.forget(true);
        assert!(w.is_empty());
    }

    proptest::proptest! {
        /// Never less than the truth of the window, and little that is older, wherever the clock goes: time that has passed is
        /// what counts. Buckets that a step has moved off their marks may become nearly twice as wide.
        #[test]
        fn sums_bound_the_truth(steps in proptest::collection::vec((-90_i64..200, 1_u32..5), 1..200)) {
            let mut w = Windows::default();
            let (mut minute, mut passed) = (0_i64, 0_i64);
            let mut log = Vec::new();
            for (step, n) in steps {
                minute += step;
                passed += step.max(0);
                w.add(at(minute), Counts { external: n, ..Counts::default() });
                log.push((passed, n));
            }
            let truth = |back: i64| log.iter().filter(|(m, _)| *m > passed - back).map(|(_, n)| n).sum::<u32>();
            for (window, minutes, slack) in [(HOUR, 60, 11), (DAY, 1440, 121)] {
                let sum = w.sum(at(minute), window).external;
                proptest::prop_assert!(sum >= truth(minutes), "{sum} {}", truth(minutes));
                proptest::prop_assert!(sum <= truth(minutes + slack));
            }
        }
    }
}
