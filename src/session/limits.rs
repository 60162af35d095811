//! Limits of the number of sessions.

use crate::config::settings::LimitSettings;
use crate::telemetry::metrics::SESSIONS_OPEN;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Open sessions, in total and per client address. IPv6 clients count by /64, because one host
/// usually gets a /64.
#[derive(Debug, Default)]
pub(super) struct SessionCounts {
    per_address: Mutex<HashMap<IpAddr, usize>>,
    open: watch::Sender<usize>,
}

/// Why a session is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusedSession {
    /// Too many in total.
    Total,
    /// Too many from this address.
    Address,
}

/// The key of a client in counts: its IPv4 address, or the /64 of its IPv6 address.
pub(super) fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

impl SessionCounts {
    /// Counts a session, or returns why it is refused.
    pub(super) fn enter(
        &self,
        address: IpAddr,
        limits: &LimitSettings,
    ) -> Result<Entered<'_>, RefusedSession> {
        let mut counts = self
            .per_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *self.open.borrow() >= limits.sessions {
            return Err(RefusedSession::Total);
        }
        let count = counts.entry(counted_as(address)).or_default();
        if *count >= limits.sessions_per_address {
            return Err(RefusedSession::Address);
        }
        *count += 1;
        self.open.send_modify(|open| *open += 1);
        metrics::gauge!(SESSIONS_OPEN).increment(1.0);
        Ok(Entered {
            counts: self,
            address,
        })
    }

    /// Ends the count of a session.
    fn leave(&self, address: IpAddr) {
        let mut counts = self
            .per_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let key = counted_as(address);
        if let Some(count) = counts.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&key);
            }
        }
        self.open.send_modify(|open| *open = open.saturating_sub(1));
    }

    /// How many sessions are open now.
    pub(super) fn open(&self) -> usize {
        *self.open.borrow()
    }

    /// Returns once no session is open.
    pub(super) async fn wait_until_none(&self) {
        // `self` owns the sender, so the wait cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

/// A session, counted until this is dropped, also by a panic. Otherwise a message that makes
/// sessions panic could use up its client's share permanently.
#[derive(Debug)]
pub(super) struct Entered<'a> {
    counts: &'a SessionCounts,
    address: IpAddr,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.counts.leave(self.address);
        metrics::gauge!(SESSIONS_OPEN).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(sessions: usize, per_address: usize) -> LimitSettings {
        let mut limits = crate::config::defaults().limits;
        limits.sessions = sessions;
        limits.sessions_per_address = per_address;
        limits
    }

    #[test]
    fn sessions_are_counted_in_all_and_per_address() {
        let counts = SessionCounts::default();
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let limits = limits(2, 1);
        let first = counts.enter(a, &limits).unwrap();
        assert_eq!(
            counts.enter(a, &limits).unwrap_err(),
            RefusedSession::Address
        );
        let _other = counts.enter(b, &limits).unwrap();
        assert_eq!(
            counts
                .enter("192.0.2.3".parse().unwrap(), &limits)
                .unwrap_err(),
            RefusedSession::Total
        );
        drop(first);
        assert!(counts.enter(a, &limits).is_ok());
    }

    #[test]
    fn a_session_that_panics_is_counted_out() {
        let (counts, limits) = (SessionCounts::default(), limits(2, 1));
        let a: IpAddr = "192.0.2.1".parse().unwrap();
        let session = std::panic::AssertUnwindSafe(|| {
            let _entered = counts.enter(a, &limits).unwrap();
            panic!("a message nobody had thought of");
        });
        assert!(std::panic::catch_unwind(session).is_err());
        assert_eq!(counts.open(), 0);
        assert!(counts.enter(a, &limits).is_ok());
    }

    #[test]
    fn one_ipv6_network_is_one_client() {
        let counts = SessionCounts::default();
        let limits = limits(9, 1);
        let _first = counts
            .enter("2001:db8::1".parse().unwrap(), &limits)
            .unwrap();
        assert_eq!(
            counts
                .enter("2001:db8::2".parse().unwrap(), &limits)
                .unwrap_err(),
            RefusedSession::Address
        );
        assert!(
            counts
                .enter("2001:db8:0:1::1".parse().unwrap(), &limits)
                .is_ok()
        );
    }
}
