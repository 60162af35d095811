//! The waiting times after failed logins: pure bookkeeping.
//!
//! Failed guesses from one network at one account delay the next guess of that network at that
//! account. They do not delay the account's owner in another network, least of all in one that gave
//! the right password lately. A network that tries many accounts waits with all of them. If many
//! networks try one account, a network that never proved it waits one second, no more, so that the
//! owner is never locked out.

use crate::types::Time;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Failures are forgotten after this time without a new one.
const MEMORY: Duration = Duration::from_secs(900);
/// Most records of each kind. Beyond it, those with the fewest failures are removed, so that a
/// flood of invented names does not displace real guessers.
const RECORDS: usize = 50_000;
/// Failures of one network at one account without a wait: typing errors.
const FREE: u32 = 2;
/// Longest wait between two guesses of one network at one account.
const LONGEST: Duration = Duration::from_secs(30);
/// Failures of one network at all accounts without a wait; a program with an old password counts
/// three at most.
const FREE_OF_NETWORK: u32 = 20;
/// Failures of one network at one account that count for its network, too.
const COUNTED: u32 = 3;
/// Failures at one account from networks that never proved it; from this number on, such a network
/// waits.
const TARGET: u32 = 20;
/// The wait of such a network.
const TARGET_WAIT: Duration = Duration::from_secs(1);
/// How long a network that gave the right password is known for that account.
const KNOWN_FOR: Duration = Duration::from_secs(14 * 86_400);
/// Most known networks of one account, the newest.
const KNOWN: usize = 32;
/// Wrong passwords from a known network without a wait.
const FREE_AT_HOME: u32 = 10;
/// The wait of each further one.
const HOME_WAIT: Duration = Duration::from_secs(2);
/// From this number of wrong passwords on, the network is no longer known.
const HOME_LOST: u32 = 100;

/// The key by which an attempt is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LoginAttempt {
    /// Keyed hash of the login, lower case. Invented names may be long, so only the hash is kept.
    account: u64,
    /// The network of the client.
    pub network: IpAddr,
}

/// The admission of an attempt to the password check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admission {
    /// The wait before the check.
    pub wait: Duration,
    /// Its network gave the right password lately.
    pub known: bool,
    /// It was counted for its network, too.
    counted: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct PenaltyRecord {
    failures: u32,
    /// Time of the last failure, which may be ahead: a running attempt counts as failed until it
    /// succeeds.
    last: Time,
}

impl PenaltyRecord {
    fn failures(&self, now: Time) -> u32 {
        if now.since(self.last) < MEMORY {
            self.failures
        } else {
            0
        }
    }

    fn fail(&mut self, now: Time, at: Time) {
        self.failures = self.failures(now).saturating_add(1);
        self.last = self.last.max(at);
    }
}

/// The network of one host or site: the /24 of an IPv4 address, the /64 of an IPv6 address.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & 0xffff_ff00)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// The wait between two guesses after this many failures: 0, 0, 0, 1 s, 2 s, 4 s and so on, so that
/// guessing becomes slower and slower.
fn pause_after(failures: u32) -> Duration {
    match failures {
        0..=FREE => Duration::ZERO,
        n => Duration::from_secs(1 << (n - FREE - 1).min(5)).min(LONGEST),
    }
}

/// The wait between two guesses of a network after this many failures, at any account.
const fn pause_of_network(failures: u32) -> Duration {
    match failures {
        0..FREE_OF_NETWORK => Duration::ZERO,
        FREE_OF_NETWORK..50 => Duration::from_secs(1),
        50..200 => Duration::from_secs(2),
        _ => Duration::from_secs(5),
    }
}

/// The record of all failed logins.
#[derive(Default)]
pub(super) struct Penalties {
    hasher: RandomState,
    attempts: HashMap<LoginAttempt, PenaltyRecord>,
    networks: HashMap<IpAddr, PenaltyRecord>,
    accounts: HashMap<u64, PenaltyRecord>,
    /// Networks that gave the right password, by account: only existing accounts have an entry.
    known: HashMap<u64, Vec<(IpAddr, Time)>>,
}

impl Penalties {
    /// The key of an attempt. The login is compared without regard to case.
    pub(super) fn attempt(&self, client: IpAddr, user: &str) -> LoginAttempt {
        LoginAttempt {
            account: self.hasher.hash_one(user.to_lowercase()),
            network: network_of(client),
        }
    }

    /// The wait of the attempt; `None` = more than half a minute, so it is refused without a check.
    /// Counts it as failed until [`Self::succeeded`] or [`Self::taken_back`] corrects it, so that
    /// many attempts at once gain nothing.
    pub(super) fn admit(&mut self, now: Time, who: LoginAttempt) -> Option<Admission> {
        let own = self.attempts.get(&who).copied().unwrap_or_default();
        let failures = own.failures(now);
        let known = self.is_known(now, who, failures);
        let begins = if known {
            now.after(if failures >= FREE_AT_HOME {
                HOME_WAIT
            } else {
                Duration::ZERO
            })
        } else {
            let network = self.networks.get(&who.network).copied().unwrap_or_default();
            let targeted = self
                .accounts
                .get(&who.account)
                .is_some_and(|account| account.failures(now) >= TARGET);
            now.after(if targeted {
                TARGET_WAIT
            } else {
                Duration::ZERO
            })
            .max(own.last.after(pause_after(failures)))
            .max(network.last.after(pause_of_network(network.failures(now))))
        };
        let wait = begins.since(now);
        if wait > LONGEST {
            return None;
        }
        make_room(&mut self.attempts, now, &who);
        self.attempts.entry(who).or_default().fail(now, begins);
        let counted = !known && failures < COUNTED;
        if counted {
            make_room(&mut self.networks, now, &who.network);
            self.networks
                .entry(who.network)
                .or_default()
                .fail(now, begins);
        }
        if !known {
            make_room(&mut self.accounts, now, &who.account);
            self.accounts.entry(who.account).or_default().fail(now, now);
        }
        Some(Admission {
            wait,
            known,
            counted,
        })
    }

    fn is_known(&self, now: Time, who: LoginAttempt, failures: u32) -> bool {
        let known = self.known.get(&who.account).into_iter().flatten();
        failures < HOME_LOST
            && known
                .into_iter()
                .any(|(network, at)| *network == who.network && now.since(*at) < KNOWN_FOR)
    }

    /// The password could not be checked: removes the attempt from the counts.
    pub(super) fn taken_back(&mut self, who: LoginAttempt, admission: Admission) {
        let less = |record: Option<&mut PenaltyRecord>| {
            if let Some(record) = record {
                record.failures = record.failures.saturating_sub(1);
            }
        };
        less(self.attempts.get_mut(&who));
        if admission.counted {
            less(self.networks.get_mut(&who.network));
        }
        if !admission.known {
            less(self.accounts.get_mut(&who.account));
        }
    }

    /// The password was right: forgets the failures of this network at this account, and nothing
    /// else. Returns their number; for a network that was not known, at least the number of
    /// failures of all networks at this account.
    pub(super) fn succeeded(&mut self, now: Time, who: LoginAttempt, admission: Admission) -> u32 {
        self.taken_back(who, admission);
        let own = self
            .attempts
            .remove(&who)
            .map_or(0, |record| record.failures(now));
        let others = self
            .accounts
            .get(&who.account)
            .map_or(0, |record| record.failures(now));
        let known = self.known.entry(who.account).or_default();
        known.retain(|(network, at)| *network != who.network && now.since(*at) < KNOWN_FOR);
        if known.len() >= KNOWN {
            // The oldest come first.
            known.remove(0);
        }
        known.push((who.network, now));
        if admission.known {
            own
        } else {
            own.max(others)
        }
    }
}

/// Makes room for one more record. It removes first those that no longer count, then those with the
/// fewest failures. It removes an eighth at once, so that a flood does not cause a search each
/// time.
fn make_room<K: Eq + Hash + Copy>(records: &mut HashMap<K, PenaltyRecord>, now: Time, key: &K) {
    if records.len() < RECORDS || records.contains_key(key) {
        return;
    }
    records.retain(|_, record| record.failures(now) > 0);
    let surplus = (records.len() + RECORDS / 8).saturating_sub(RECORDS);
    if surplus == 0 {
        return;
    }
    let mut by_worth: Vec<(u32, Time, K)> = records
        .iter()
        .map(|(key, record)| (record.failures, record.last, *key))
        .collect();
    by_worth.sort_unstable_by_key(|(failures, last, _)| (*failures, *last));
    for (_, _, key) in by_worth.into_iter().take(surplus) {
        records.remove(&key);
    }
}

#[cfg(test)]
mod tests;
