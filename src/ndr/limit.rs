//! Limits the reports of one sender per hour. Pure.

use crate::types::{Time, stable_hash};
use std::collections::HashMap;

/// Most senders remembered at once.
const SENDERS_MAX: usize = 50_000;
/// A tenant uses at most this fraction (1/n) of them, so that invented senders of one tenant do not
/// affect other tenants.
const SHARE_OF_TENANT: usize = 4;
/// The senders of a tenant beyond its share, or without room, share this many times the reports of
/// one sender.
const REST: u32 = 10;

/// Reports per sender and hour. A sender whose spam is returned in thousands gets the first few at
/// once.
#[derive(Debug)]
pub(crate) struct RateLimit {
    per_hour: u32,
    hour: i64,
    senders: HashMap<u64, Count>,
    tenants: HashMap<u64, TenantHour>,
}

/// Counts of one sender in the current hour.
#[derive(Debug, Default)]
struct Count {
    sent: u32,
    put_off: u32,
}

/// Counts of one tenant in the current hour. There are no more than configured tenants.
#[derive(Debug, Default)]
struct TenantHour {
    senders: usize,
    rest: Count,
}

/// The sender that gets a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportReader {
    tenant: u64,
    sender: u64,
}

impl ReportReader {
    /// A sender of a tenant. `sender` is normalized, without sub-address and the like, so that one
    /// sender does not count as many.
    pub(crate) fn new(tenant: &str, sender: &str) -> Self {
        Self {
            tenant: stable_hash(&[tenant.as_bytes()]),
            sender: stable_hash(&[tenant.as_bytes(), sender.as_bytes()]),
        }
    }
}

impl RateLimit {
    /// At most `per_hour` reports for each sender.
    pub(crate) fn new(per_hour: u32) -> Self {
        Self {
            per_hour,
            hour: i64::MIN,
            senders: HashMap::new(),
            tenants: HashMap::new(),
        }
    }

    /// The count for this reader, and its limit.
    fn place(&mut self, reader: ReportReader) -> (&mut Count, u32) {
        let tenant = self.tenants.entry(reader.tenant).or_default();
        let room =
            self.senders.len() < SENDERS_MAX && tenant.senders < SENDERS_MAX / SHARE_OF_TENANT;
        if !room && !self.senders.contains_key(&reader.sender) {
            return (&mut tenant.rest, self.per_hour.saturating_mul(REST));
        }
        let count = self.senders.entry(reader.sender).or_insert_with(|| {
            tenant.senders += 1;
            Count::default()
        });
        (count, self.per_hour)
    }

    /// Whether this reader may get one more now; if so, it is counted.
    pub(crate) fn take(&mut self, now: Time, reader: ReportReader) -> bool {
        self.turn(now);
        let (count, most) = self.place(reader);
        let free = count.sent < most;
        count.sent += u32::from(free);
        free
    }

    /// Removes a report from the count because it could not be written.
    pub(crate) fn give_back(&mut self, reader: ReportReader) {
        let (count, _) = self.place(reader);
        count.sent = count.sent.saturating_sub(1);
    }

    /// When to try again with a report that must not be dropped: the beginning of a later hour. No
    /// hour gets more reports than the limit.
    pub(crate) fn put_off(&mut self, now: Time, reader: ReportReader) -> Time {
        self.turn(now);
        let (count, most) = self.place(reader);
        let before = count.put_off;
        count.put_off = count.put_off.saturating_add(1);
        let hours = 1 + i64::from(before / most.max(1));
        Time::from_secs((self.hour + hours) * 3600)
    }

    fn turn(&mut self, now: Time) {
        let hour = now.as_secs().div_euclid(3600);
        if hour != self.hour {
            self.hour = hour;
            self.senders = HashMap::new();
            self.tenants = HashMap::new();
        }
    }
}
