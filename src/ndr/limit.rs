//! How many reports one sender gets in an hour. Pure.

use crate::types::{Time, stable_hash};
use std::collections::HashMap;

/// Senders remembered at once.
const SENDERS_MAX: usize = 50_000;
/// A tenant takes at most this part of them: who invents senders by the thousand costs other
/// tenants nothing.
const SHARE_OF_TENANT: usize = 4;
/// What a tenant has beyond its share, or while there is no room, has so many times the reports of
/// one sender together.
const REST: u32 = 10;

/// Reports per sender and hour. A sender whose spam comes back by the thousand reads the first few
/// at once.
#[derive(Debug)]
pub(crate) struct RateLimit {
    per_hour: u32,
    hour: i64,
    senders: HashMap<u64, Count>,
    tenants: HashMap<u64, TenantHour>,
}

/// Of one sender in the running hour.
#[derive(Debug, Default)]
struct Count {
    sent: u32,
    put_off: u32,
}

/// Of one tenant in the running hour. There are no more than are configured.
#[derive(Debug, Default)]
struct TenantHour {
    senders: usize,
    rest: Count,
}

/// Who gets a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportReader {
    tenant: u64,
    sender: u64,
}

impl ReportReader {
    /// A sender of a tenant; `sender` in its one form, without sub-address and the like, so that
    /// one does not pass for many.
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

    /// Where this reader is counted, and how much it may have there.
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

    /// The report that was counted could not be written: it does not count.
    pub(crate) fn give_back(&mut self, reader: ReportReader) {
        let (count, _) = self.place(reader);
        count.sent = count.sent.saturating_sub(1);
    }

    /// When to ask again for a report that must not be dropped: the beginning of a later hour. Each
    /// hour is given to no more reports than it allows.
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
