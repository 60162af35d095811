//! How many reports are taken in a minute, in all and from one address. Pure.

use crate::types::Time;
use std::collections::HashMap;
use std::net::IpAddr;

/// One address may bring one in this many of all reports.
const SHARE_OF_ADDRESS: u32 = 4;

/// Counts the reports of the running minute. Holds at most one address per report.
#[derive(Debug, Default)]
pub(super) struct Rate {
    minute: i64,
    total: u32,
    by_address: HashMap<IpAddr, u32>,
}

impl Rate {
    /// Whether one more may come from this address (of IPv6: its network) now; counts it if so.
    /// `per_minute`: 0 = no limit.
    pub(super) fn take(&mut self, now: Time, address: IpAddr, per_minute: u32) -> bool {
        if per_minute == 0 {
            return true;
        }
        // A clock that steps back only begins another minute.
        let minute = now.as_secs().div_euclid(60);
        if minute != self.minute {
            *self = Self {
                minute,
                ..Self::default()
            };
        }
        if self.total >= per_minute {
            return false;
        }
        let taken = self.by_address.entry(address).or_default();
        if *taken >= (per_minute / SHARE_OF_ADDRESS).max(1) {
            return false;
        }
        *taken += 1;
        self.total += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_use_up_what_is_there_for_all() {
        let mut rate = Rate::default();
        let now = Time::from_secs(600);
        let address = |n: u8| IpAddr::from([192, 0, 2, n]);
        let taken = |rate: &mut Rate, n| (0..100).filter(|_| rate.take(now, address(n), 8)).count();
        assert_eq!((taken(&mut rate, 1), taken(&mut rate, 2)), (2, 2));
        assert_eq!(
            (3..200).map(|n| taken(&mut rate, n)).sum::<usize>(),
            4,
            "eight in all"
        );
        assert!(
            rate.by_address.len() <= 8,
            "the table stays as small as the limit"
        );
        assert!(
            rate.take(Time::from_secs(660), address(1), 8),
            "another minute"
        );
        assert!((0..1000).all(|_| rate.take(now, address(1), 0)), "no limit");
    }
}
