//! AUTH: checked off the async threads, failures slowed per client and login.

use crate::identity::Login;
use crate::records::{self, Records, RecordsError, Role};
use crate::types::Time;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Each check takes 19 MiB and a core for some ten milliseconds (argon2id), so only few run at once.
const PARALLEL_CHECKS: usize = 2;
/// Failures are forgotten after this time.
const MEMORY: Duration = Duration::from_secs(900);
/// Clients and logins remembered at most; beyond it the oldest go.
const MAX_ENTRIES: usize = 50_000;
/// Characters of a login that are told apart.
const MAX_NAME: usize = 64;
/// Longest delay of one answer.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// What became of a login.
#[derive(Debug, PartialEq, Eq)]
pub enum LoginResult {
    /// Proven.
    Good(Login),
    /// Wrong name, password or role: 535.
    Bad,
    /// Records failed: 454, try later.
    Unknown,
}

/// Checks logins.
pub struct LoginGuard {
    checks: Semaphore,
    failures: Mutex<HashMap<String, (u32, Time)>>,
}

impl Default for LoginGuard {
    fn default() -> Self {
        Self { checks: Semaphore::new(PARALLEL_CHECKS), failures: Mutex::default() }
    }
}

/// What failures are counted under. Of a name only its beginning: an AUTH line has room for nine thousand octets of it.
fn keys(client: IpAddr, user: &str) -> [String; 2] {
    [format!("c {client}"), format!("l {}", user.chars().take(MAX_NAME).collect::<String>().to_lowercase())]
}

/// 0, 0, 0, 1 s, 2 s, 4 s ... after so many failures: typing errors cost nothing, guessing costs more and more.
fn delay_after(failures: u32) -> Duration {
    match failures {
        0..=2 => Duration::ZERO,
        n => Duration::from_secs(1 << (n - 3).min(5)).min(MAX_DELAY),
    }
}

impl LoginGuard {
    /// Checks a login; slow after failures of the same client or the same name.
    pub async fn check(&self, records: &Records, client: IpAddr, user: &str, password: &str, now: Time) -> LoginResult {
        let keys = keys(client, user);
        let failures = keys.iter().map(|key| self.count(key, now)).max().unwrap_or(0);
        tokio::time::sleep(delay_after(failures)).await;
        let account = match records.account(user).await {
            Ok(account) => Some(account),
            Err(RecordsError::NotFound) => None,
            Err(error) => {
                tracing::error!(?error, "accounts not readable");
                return LoginResult::Unknown;
            }
        };
        // The semaphore is never closed.
        let Ok(_permit) = self.checks.acquire().await else { return LoginResult::Unknown };
        let (to_check, password) = (account.clone(), password.to_owned());
        let good = tokio::task::spawn_blocking(move || records::accounts::verify(to_check.as_ref(), password.as_bytes()))
            .await
            .unwrap_or(false);
        let proven = account.filter(|account| good && account.role == Role::Smtp);
        match proven.and_then(|a| a.tenant.map(|tenant| (a.name, tenant, a.may_send_as))) {
            Some((name, tenant, may_send_as)) => {
                let failed_before = self.forget(&keys, now);
                LoginResult::Good(Login { name, tenant, may_send_as, failed_before })
            }
            None => {
                self.failed(&keys, now);
                LoginResult::Bad
            }
        }
    }

    fn count(&self, key: &str, now: Time) -> u32 {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(key).filter(|(_, last)| now.since(*last) < MEMORY).map_or(0, |(count, _)| *count)
    }

    fn failed(&self, keys: &[String], now: Time) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MAX_ENTRIES {
            failures.retain(|_, (_, last)| now.since(*last) < MEMORY);
        }
        if failures.len() >= MAX_ENTRIES {
            // A flood of invented names: what was learned of them is worth nothing.
            failures.clear();
        }
        for key in keys {
            let entry = failures.entry(key.clone()).or_insert((0, now));
            if now.since(entry.1) >= MEMORY {
                entry.0 = 0;
            }
            *entry = (entry.0.saturating_add(1), now);
        }
    }

    /// Forgets what failed before a login that is proven; how often that name had failed.
    fn forget(&self, keys: &[String; 2], now: Time) -> u32 {
        let [_, by_name] = keys;
        let failed = self.count(by_name, now);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            failures.remove(key);
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_costs_more_and_more_up_to_a_bound() {
        assert_eq!(delay_after(2), Duration::ZERO);
        assert_eq!(delay_after(3), Duration::from_secs(1));
        assert_eq!(delay_after(6), Duration::from_secs(8));
        assert_eq!(delay_after(u32::MAX), MAX_DELAY);
    }

    #[test]
    fn a_flood_of_long_names_takes_little_memory() {
        let keys = keys("192.0.2.1".parse().unwrap(), &"A".repeat(9000));
        assert_eq!(keys, ["c 192.0.2.1".to_owned(), format!("l {}", "a".repeat(MAX_NAME))]);
    }

    #[test]
    fn failures_are_counted_and_forgotten() {
        let guard = LoginGuard::default();
        let keys = ["c 192.0.2.1".to_owned(), "l alice".to_owned()];
        guard.failed(&keys, Time(0));
        guard.failed(&keys, Time(1));
        assert_eq!(guard.count("l alice", Time(2)), 2);
        assert_eq!(guard.count("l alice", Time(1).after(MEMORY)), 0);
        // Of the name: the client may have tried others.
        guard.failed(&["c 192.0.2.1".to_owned()], Time(2));
        assert_eq!(guard.forget(&keys, Time(3)), 2);
        assert_eq!((guard.count("c 192.0.2.1", Time(3)), guard.forget(&keys, Time(3))), (0, 0));
    }
}
