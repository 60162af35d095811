//! How many reports one sender gets in an hour. Pure.

use crate::types::Time;
use std::collections::HashMap;

/// Senders remembered at once; beyond, nobody new gets a report until the hour is over.
const SENDERS_MAX: usize = 50_000;

/// Reports per sender and hour. A sender whose spam comes back by the thousand reads the first few.
#[derive(Debug)]
pub struct RateLimit {
    per_hour: u32,
    hour: i64,
    senders: HashMap<Box<str>, Count>,
}

/// Of one sender in the running hour.
#[derive(Debug, Default)]
struct Count {
    sent: u32,
    put_off: u32,
}

impl RateLimit {
    /// At most `per_hour` reports for each sender.
    pub fn new(per_hour: u32) -> Self {
        Self { per_hour, hour: i64::MIN, senders: HashMap::new() }
    }

    /// Whether this sender may get one more now; if so, it is counted. `sender` is `Address::key`.
    pub fn take(&mut self, now: Time, sender: &str) -> bool {
        self.turn(now);
        if let Some(count) = self.senders.get_mut(sender) {
            let free = count.sent < self.per_hour;
            count.sent += u32::from(free);
            return free;
        }
        let room = self.senders.len() < SENDERS_MAX && self.per_hour > 0;
        if room {
            self.senders.insert(sender.into(), Count { sent: 1, put_off: 0 });
        }
        room
    }

    /// The report that was counted could not be written: it does not count.
    pub fn give_back(&mut self, sender: &str) {
        if let Some(count) = self.senders.get_mut(sender) {
            count.sent = count.sent.saturating_sub(1);
        }
    }

    /// When to ask again for a report that must not be dropped: the beginning of a later hour. Each hour is given to no
    /// more reports than it allows.
    pub fn put_off(&mut self, now: Time, sender: &str) -> Time {
        self.turn(now);
        let before = self.senders.get_mut(sender).map_or(0, |count| {
            count.put_off = count.put_off.saturating_add(1);
            count.put_off - 1
        });
        let hours = 1 + i64::from(before / self.per_hour.max(1));
        Time::from_secs((self.hour + hours) * 3600)
    }

    fn turn(&mut self, now: Time) {
        let hour = now.as_secs().div_euclid(3600);
        if hour != self.hour {
            self.hour = hour;
            self.senders = HashMap::new();
        }
    }
}
