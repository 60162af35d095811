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
    sent: HashMap<Box<str>, u32>,
}

impl RateLimit {
    /// At most `per_hour` reports for each sender.
    pub fn new(per_hour: u32) -> Self {
        Self { per_hour, hour: i64::MIN, sent: HashMap::new() }
    }

    /// Whether this sender may get one more now; if so, it is counted. `sender` is `Address::key`.
    pub fn take(&mut self, now: Time, sender: &str) -> bool {
        let hour = now.as_secs().div_euclid(3600);
        if hour != self.hour {
            self.hour = hour;
            self.sent = HashMap::new();
        }
        if let Some(sent) = self.sent.get_mut(sender) {
            let free = *sent < self.per_hour;
            *sent += u32::from(free);
            return free;
        }
        let room = self.sent.len() < SENDERS_MAX && self.per_hour > 0;
        if room {
            self.sent.insert(sender.into(), 1);
        }
        room
    }
}
