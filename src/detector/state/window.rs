//! Counters over a sliding day in few bytes: one bucket a minute while young, merged into five
//! minutes and then hours as they age; empty stretches take no memory. A bucket that overlaps a
//! window counts whole, so a ceiling is never passed in any true window of its length.

use crate::types::{COUNTERS, Counts, Time};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Buckets older than this many minutes are forgotten.
const DAY_MINUTES: u32 = 24 * 60;
/// Older than this many minutes: hour buckets.
const FINE_MINUTES: u32 = 70;
/// Older than this many minutes: five-minute buckets.
const FINEST_MINUTES: u32 = 10;

/// Buckets that are allocated at a time.
const GROWTH: usize = 4;

/// Counts of a stretch of minutes since the epoch: from `start`, `minutes` long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket {
    start: u32,
    minutes: u32,
    counts: Counts,
}

/// The last day of one sender, domain, client or tenant: buckets packed one after the other, oldest
/// first, each with its start in minutes since the epoch (4 octets), its length in minutes (2
/// octets) and its counters, all of one width: 1 octet while they are small, else 2 or 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detector) struct Windows {
    packed: Vec<u8>,
    width: Width,
}

/// Octets of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Width {
    One,
    Two,
    Four,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            packed: Vec::new(),
            width: Width::One,
        }
    }
}

/// Octets of a bucket before its counters.
const HEAD: usize = 6;

impl Width {
    const fn octets(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    const fn stride(self) -> usize {
        HEAD + COUNTERS * self.octets()
    }

    /// The narrowest width that holds these counters.
    fn holding(counts: Counts) -> Self {
        match counts.array().into_iter().max() {
            Some(0x1_0000..) => Self::Four,
            Some(0x100..) => Self::Two,
            _ => Self::One,
        }
    }

    fn read(self, octets: &[u8]) -> Bucket {
        let Some((&[a, b, c, d, e, f], counters)) = octets.split_first_chunk::<HEAD>() else {
            return Bucket::default();
        };
        let mut all = [0; COUNTERS];
        match self {
            Self::One => all
                .iter_mut()
                .zip(counters)
                .for_each(|(to, n)| *to = u32::from(*n)),
            Self::Two => {
                all.iter_mut()
                    .zip(counters.as_chunks().0)
                    .for_each(|(to, n)| *to = u32::from(u16::from_le_bytes(*n)));
            }
            Self::Four => all
                .iter_mut()
                .zip(counters.as_chunks().0)
                .for_each(|(to, n)| *to = u32::from_le_bytes(*n)),
        }
        let (start, minutes) = (
            u32::from_le_bytes([a, b, c, d]),
            u32::from(u16::from_le_bytes([e, f])),
        );
        Bucket {
            start,
            minutes,
            counts: Counts::of(all),
        }
    }

    /// A bucket whose counters fit, packed into the first octets.
    fn pack(self, bucket: &Bucket) -> [u8; Self::Four.stride()] {
        let mut octets = [0; Self::Four.stride()];
        let (head, counters) = octets.split_at_mut(HEAD);
        let (start, minutes) = head.split_at_mut(4);
        start.copy_from_slice(&bucket.start.to_le_bytes());
        minutes.copy_from_slice(
            &u16::try_from(bucket.minutes)
                .unwrap_or(u16::MAX)
                .to_le_bytes(),
        );
        let all = bucket.counts.array();
        match self {
            Self::One => counters
                .iter_mut()
                .zip(all)
                .for_each(|(to, n)| *to = n as u8),
            Self::Two => counters
                .as_chunks_mut()
                .0
                .iter_mut()
                .zip(all)
                .for_each(|(to, n)| *to = (n as u16).to_le_bytes()),
            Self::Four => counters
                .as_chunks_mut()
                .0
                .iter_mut()
                .zip(all)
                .for_each(|(to, n)| *to = n.to_le_bytes()),
        }
        octets
    }
}

fn minute(now: Time) -> u32 {
    u32::try_from(now.as_secs().div_euclid(60)).unwrap_or(0)
}

impl Windows {
    /// Counts at `now`. If the clock has stepped back (over a restart), all buckets move back with
    /// it. Else everything until the old time is reached again would be counted in one bucket, and
    /// an hour's ceiling would hold for days.
    pub(in crate::detector) fn add(&mut self, now: Time, counts: Counts) {
        if counts == Counts::default() {
            return;
        }
        let minute = minute(now);
        let Some(mut last) = self.newest_first().next() else {
            self.push(&Bucket {
                start: minute,
                minutes: 1,
                counts,
            });
            return;
        };
        let ahead = last.start.saturating_sub(minute);
        if ahead > 0 {
            self.rewrite(|all| {
                all.iter_mut()
                    .for_each(|b| b.start = b.start.saturating_sub(ahead))
            });
            last.start = last.start.saturating_sub(ahead);
        }
        if last.start.saturating_add(last.minutes) > minute {
            last.counts.add(counts);
            self.packed
                .truncate(self.packed.len().saturating_sub(self.width.stride()));
            self.push(&last);
            return;
        }
        if self.packed.len() + self.width.stride() > self.packed.capacity() {
            self.rewrite(|all| compact(all, minute));
        }
        self.push(&Bucket {
            start: minute,
            minutes: 1,
            counts,
        });
    }

    fn newest_first(&self) -> impl Iterator<Item = Bucket> {
        let width = self.width;
        self.packed
            .rchunks_exact(width.stride())
            .map(move |octets| width.read(octets))
    }

    fn push(&mut self, bucket: &Bucket) {
        let width = Width::holding(bucket.counts);
        if width > self.width {
            self.rewrite(|all| all.push(*bucket));
            return;
        }
        if self.packed.len() + self.width.stride() > self.packed.capacity() {
            self.packed.reserve_exact(GROWTH * self.width.stride());
        }
        self.packed.extend_from_slice(
            self.width
                .pack(bucket)
                .get(..self.width.stride())
                .unwrap_or_default(),
        );
    }

    /// Unpacks all buckets and packs them again, as narrow as they fit.
    fn rewrite(&mut self, change: impl FnOnce(&mut Vec<Bucket>)) {
        let mut all: Vec<Bucket> = self.newest_first().collect();
        all.reverse();
        change(&mut all);
        self.width = all
            .iter()
            .map(|b| Width::holding(b.counts))
            .max()
            .unwrap_or(Width::One);
        self.packed.clear();
        self.packed
            .shrink_to((all.len() + GROWTH) * self.width.stride());
        self.packed.reserve_exact(all.len() * self.width.stride());
        for bucket in &all {
            self.packed.extend_from_slice(
                self.width
                    .pack(bucket)
                    .get(..self.width.stride())
                    .unwrap_or_default(),
            );
        }
    }

    /// Sum over the last `window`.
    pub(in crate::detector) fn sum(&self, now: Time, window: Duration) -> Counts {
        // After a clock step back the time is that of the newest bucket, as in `add`.
        let newest = self
            .newest_first()
            .next()
            .map_or(0, |last| i64::from(last.start));
        let from = newest.saturating_mul(60_000).max(now.0);
        let from = Time(from).before(window).as_secs().div_euclid(60);
        let mut sum = Counts::default();
        // Ends are ascending, so the first bucket before the window ends the walk.
        for bucket in self.newest_first() {
            if i64::from(bucket.start) + i64::from(bucket.minutes) <= from {
                break;
            }
            sum.add(bucket.counts);
        }
        sum
    }

    /// Takes back, newest first, what was counted and did not happen.
    pub(in crate::detector) fn take_back(&mut self, mut counts: Counts) {
        if counts != Counts::default() {
            self.rewrite(|all| {
                all.iter_mut()
                    .rev()
                    .for_each(|bucket| bucket.counts.take(&mut counts))
            });
        }
    }

    /// Forgets spam and bounces, or every counter with `all`.
    pub(in crate::detector) fn forget(&mut self, all: bool) {
        if all {
            *self = Self::default();
        }
        self.rewrite(|all| {
            for bucket in all {
                bucket.counts.spam = 0;
                bucket.counts.bounces = 0;
            }
        });
    }

    /// Memory beside the record itself, in octets.
    pub(in crate::detector) const fn heap_octets(&self) -> usize {
        self.packed.capacity()
    }

    /// Whether nothing is counted.
    #[cfg(test)]
    pub(in crate::detector) const fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }
}

/// Drops what is older than a day and merges what has aged. At most about 45 buckets remain.
fn compact(buckets: &mut Vec<Bucket>, now: u32) {
    buckets.retain(|b| {
        b.start
            .saturating_add(b.minutes)
            .saturating_add(DAY_MINUTES)
            > now
    });
    buckets.dedup_by(|later, earlier| {
        let age = now.saturating_sub(later.start);
        let width = if age > FINE_MINUTES {
            60
        } else if age > FINEST_MINUTES {
            5
        } else {
            1
        };
        let same = later.start / width == earlier.start / width
            && later.minutes <= width
            && earlier.minutes <= width;
        if same {
            earlier.counts.add(later.counts);
            earlier.minutes = later
                .start
                .saturating_add(later.minutes)
                .saturating_sub(earlier.start);
        }
        same
    });
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
        Counts {
            messages: 1,
            ..Counts::default()
        }
    }

    #[test]
    fn windows_slide() {
        let mut w = Windows::default();
        for m in 0..(3 * 24 * 60) {
            w.add(at(m), one());
            assert!(
                w.newest_first().count() <= 50,
                "{}",
                w.newest_first().count()
            );
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
        // Started with a clock twelve hours ahead, set right at the next start: for twelve hours
        // the hour counted everything.
        let mut w = Windows::default();
        (0..30).for_each(|m| w.add(at(720 + m), one()));
        assert_eq!(
            w.sum(at(30), HOUR).messages,
            30,
            "before anything is counted at the right time"
        );
        (30..200).for_each(|m| w.add(at(m), one()));
        let hour = w.sum(at(199), HOUR).messages;
        assert!((60..=70).contains(&hour), "{hour}");
    }

    #[test]
    fn a_quiet_sender_costs_one_bucket() {
        let mut w = Windows::default();
        w.add(at(0), one());
        w.add(at(0), one());
        assert_eq!(w.newest_first().count(), 1);
    }

    #[test]
    fn taking_back_and_forgetting() {
        let mut w = Windows::default();
        w.add(
            at(0),
            Counts {
                messages: 1,
                external: 3,
                spam: 1,
                ..Counts::default()
            },
        );
        w.add(
            at(1),
            Counts {
                messages: 1,
                external: 2,
                ..Counts::default()
            },
        );
        w.take_back(Counts {
            external: 4,
            ..Counts::default()
        });
        assert_eq!(
            w.sum(at(1), DAY),
            Counts {
                messages: 2,
                external: 1,
                spam: 1,
                ..Counts::default()
            }
        );
        w.take_back(Counts {
            external: 9,
            ..Counts::default()
        });
        w.forget(false);
        assert_eq!(
            w.sum(at(1), DAY),
            Counts {
                messages: 2,
                ..Counts::default()
            }
        );
        w.forget(true);
        assert!(w.is_empty());
    }

    proptest::proptest! {
        /// Never less than the truth of the window, and little that is older, wherever the clock
        /// goes: time that has passed is what counts. Buckets that a step has moved off their marks
        /// may become nearly twice as wide.
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
