//! Memory for the bodies of messages in flight, and how it is shared.
//!
//! The largest holder is refused first: a client or an account gets no more than what is left for
//! all others. So bodies that never end leave room for others. No lock is taken while octets come
//! in.

use crate::config::settings::LimitSettings;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Largest body that counts as small: ordinary mail. The last eighth of the memory is reserved for
/// small bodies.
const SMALL: u64 = 256 << 10;
/// What a session with a body of the largest size needs in addition: its buffers.
const BESIDE: u64 = 128 << 10;

/// A holder of memory. Clients and accounts are counted separately, since one account may use many
/// addresses and one address many accounts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    Client(IpAddr),
    Account(String),
}

/// Octets of one holder: in total, and in small bodies.
#[derive(Debug, Default)]
struct HeldOctets {
    all: AtomicU64,
    small: AtomicU64,
}

impl HeldOctets {
    /// Changes one body from `old` to `new` octets; returns the new sums, in total and in small
    /// bodies.
    fn change(&self, old: u64, new: u64) -> (u64, u64) {
        (
            change(&self.all, old, new),
            change(&self.small, small(old), small(new)),
        )
    }
}

/// Changes a part of a sum from `old` to `new`; returns the new sum.
fn change(sum: &AtomicU64, old: u64, new: u64) -> u64 {
    if new >= old {
        sum.fetch_add(new - old, Ordering::Relaxed)
            .saturating_add(new - old)
    } else {
        sum.fetch_sub(old - new, Ordering::Relaxed)
            .saturating_sub(old - new)
    }
}

/// The octets that a body of this size adds to the sum of small bodies.
const fn small(octets: u64) -> u64 {
    if octets <= SMALL { octets } else { 0 }
}

/// Octets of message bodies of all sessions together.
#[derive(Default)]
pub(super) struct BodyMemory {
    used: AtomicU64,
    holders: Mutex<HashMap<Holder, Arc<HeldOctets>>>,
    small_copies: Copies,
    large_copies: Copies,
}

/// Most octets of all incoming bodies together: half of the limit. A quarter is for copies, and the
/// last quarter for the spool, which keeps new messages for their first delivery. But a message of
/// the largest size must fit.
fn arriving(limits: &LimitSettings) -> u64 {
    let all = limits.body_memory_bytes;
    (all / 2).max(limits.message_size_bytes.saturating_add(BESIDE).min(all))
}

impl BodyMemory {
    /// A new share for a session of this client, still empty.
    pub(super) fn share(&self, client: IpAddr) -> MemoryShare<'_> {
        MemoryShare {
            memory: self,
            octets: 0,
            client: self.holder(Holder::Client(client)),
            account: None,
        }
    }

    fn holder(&self, who: Holder) -> (Holder, Arc<HeldOctets>) {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let octets = Arc::clone(holders.entry(who.clone()).or_default());
        (who, octets)
    }

    /// Removes a holder without sessions; `others` = handles of the calling session that are not
    /// dropped yet.
    fn forget(&self, who: &Holder, others: usize) {
        let mut all = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        // New handles are made only under the lock, so none can appear now.
        if all
            .get(who)
            .is_some_and(|held| Arc::strong_count(held) == 1 + others)
        {
            all.remove(who);
        }
    }

    /// Waits for room for a copy of a message of this size. Every holder returns the room within
    /// bounded time. Small messages never wait for large ones.
    pub(super) async fn copy(
        &self,
        octets: usize,
        limits: &LimitSettings,
    ) -> Option<SemaphorePermit<'_>> {
        let sixteenth = limits.body_memory_bytes / 16;
        let is_small = u64::try_from(octets).is_ok_and(|octets| octets <= SMALL);
        let (copies, room) = if is_small {
            (&self.small_copies, sixteenth)
        } else {
            (&self.large_copies, sixteenth * 3)
        };
        copies.take(octets, room).await
    }
}

/// Room for the copies of messages during decision and spooling, in KiB.
struct Copies {
    free: Semaphore,
    /// The present size; changed only under the lock.
    made_for: AtomicUsize,
    adapting: Mutex<()>,
}

impl Default for Copies {
    fn default() -> Self {
        Self {
            free: Semaphore::new(0),
            made_for: AtomicUsize::default(),
            adapting: Mutex::default(),
        }
    }
}

impl Copies {
    /// Waits for room; a copy larger than the whole room takes all of it. `room` in octets.
    async fn take(&self, octets: usize, room: u64) -> Option<SemaphorePermit<'_>> {
        let room = usize::try_from(room / 1024)
            .unwrap_or(usize::MAX)
            .clamp(1, u32::MAX as usize >> 4);
        self.adapt(room);
        let kib = u32::try_from((octets / 1024).clamp(1, room)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        self.free.acquire_many(kib).await.ok()
    }

    /// Adapts the size to a changed limit.
    fn adapt(&self, room: usize) {
        if self.made_for.load(Ordering::Relaxed) == room {
            return;
        }
        let _alone = self.adapting.lock().unwrap_or_else(PoisonError::into_inner);
        let made_for = self.made_for.load(Ordering::Relaxed);
        let now = if room > made_for {
            self.free.add_permits(room - made_for);
            room
        } else {
            // Room in use is removed later, once it is free.
            made_for - self.free.forget_permits(made_for - room)
        };
        self.made_for.store(now, Ordering::Relaxed);
    }
}

/// The memory of one session; returned when it is dropped.
pub(super) struct MemoryShare<'a> {
    memory: &'a BodyMemory,
    octets: u64,
    client: (Holder, Arc<HeldOctets>),
    account: Option<(Holder, Arc<HeldOctets>)>,
}

impl MemoryShare<'_> {
    /// From now on the session's bodies count for this account, and no longer for an earlier one.
    pub(super) fn belongs_to(&mut self, account: Option<&str>) {
        if let Some((who, held)) = self.account.take() {
            held.change(self.octets, 0);
            self.memory.forget(&who, 1);
        }
        self.account =
            account.map(|account| self.memory.holder(Holder::Account(account.to_lowercase())));
        if let Some((_, held)) = &self.account {
            held.change(0, self.octets);
        }
    }

    /// The holders, each with the factor of what must be left for others.
    fn holders(&self) -> impl Iterator<Item = (u64, &HeldOctets)> {
        std::iter::once((1, &*self.client.1))
            .chain(self.account.iter().map(|(_, held)| (2, &**held)))
    }

    /// Sets the octets of the session; `false` (and unchanged) if there is not enough room.
    pub(super) fn resize(&mut self, octets: u64, limits: &LimitSettings) -> bool {
        let before = self.octets;
        if octets == before {
            return true;
        }
        let total = change(&self.memory.used, before, octets);
        let mut fits = true;
        for (times, held) in self.holders() {
            let (all, in_small) = held.change(before, octets);
            fits = fits
                && may_hold(
                    &Holding {
                        own: octets,
                        all,
                        in_small,
                        total,
                        times,
                    },
                    limits,
                );
        }
        self.octets = octets;
        if octets < before || fits {
            return true;
        }
        self.set(before);
        false
    }

    /// Sets the octets of the session without a check of the room, for what it cannot do without.
    pub(super) fn set(&mut self, octets: u64) {
        change(&self.memory.used, self.octets, octets);
        for (_, held) in self.holders() {
            held.change(self.octets, octets);
        }
        self.octets = octets;
    }
}

/// Octets that would be held: by the session itself, by its client or account (in total and in
/// small bodies), and by all.
struct Holding {
    own: u64,
    all: u64,
    in_small: u64,
    total: u64,
    /// Factor of what must be left for others.
    times: u64,
}

/// Whether it may be held. A client gets no more than what is then left for others. An account gets
/// at most half of that, so that it leaves room within its client. A single body is an exception.
/// Small bodies are allowed anyway, up to a small amount per client and account.
fn may_hold(held: &Holding, limits: &LimitSettings) -> bool {
    let all = arriving(limits);
    let largest = limits.message_size_bytes.saturating_add(BESIDE).min(all);
    let for_large = (all / 8 * 7).max(largest);
    let left = for_large.checked_sub(held.total);
    let fair = left
        .is_some_and(|left| held.all.saturating_mul(held.times) <= left || held.all == held.own);
    let of_small = (all / 128).max(SMALL);
    fair || (held.own <= SMALL && held.in_small <= of_small && held.total <= all)
}

impl Drop for MemoryShare<'_> {
    fn drop(&mut self) {
        self.set(0);
        self.belongs_to(None);
        self.memory.forget(&self.client.0, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn limits() -> LimitSettings {
        crate::config::defaults().limits
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Grows in steps as a body does; how much it got.
    fn grow(share: &mut MemoryShare<'_>, to: u64, limits: &LimitSettings) -> u64 {
        let mut held = share.octets;
        while held < to && share.resize((held + 64 * 1024).min(to), limits) {
            held = (held + 64 * 1024).min(to);
        }
        held
    }

    #[test]
    fn stalled_bodies_of_one_client_leave_as_much_to_everybody_else() {
        let (memory, limits) = (BodyMemory::default(), limits());
        let mut stalled: Vec<MemoryShare<'_>> = (0..8).map(|_| memory.share(ip(1))).collect();
        for _ in 0..40 {
            for share in stalled.iter_mut().filter(|share| {
                share.octets > 0 || share.memory.used.load(Ordering::Relaxed) < 8 * MIB
            }) {
                if !share.resize(share.octets + MIB, &limits) {
                    // As a session does that refuses its body.
                    share.set(0);
                }
            }
        }
        let held: u64 = stalled.iter().map(|share| share.octets).sum();
        assert!(
            (30 * MIB..=56 * MIB).contains(&held),
            "{held} of {}",
            limits.body_memory_bytes
        );
        let mut other = memory.share(ip(2));
        assert_eq!(
            grow(&mut other, 50 * MIB, &limits),
            50 * MIB,
            "the largest message of somebody else"
        );
        let mut own = memory.share(ip(1));
        assert_eq!(
            grow(&mut own, SMALL, &limits),
            SMALL,
            "small mail of the same client"
        );
    }

    #[test]
    fn however_many_clients_stall_a_new_one_finds_room() {
        let (memory, limits) = (BodyMemory::default(), limits());
        let mut stalled: Vec<MemoryShare<'_>> =
            (0..240).map(|n| memory.share(ip(n / 20))).collect();
        for share in &mut stalled {
            grow(share, 49 * MIB, &limits);
        }
        let mut new = memory.share(ip(250));
        assert_eq!(
            grow(&mut new, SMALL, &limits),
            SMALL,
            "twelve with twenty bodies each leave it room"
        );
    }

    #[test]
    fn an_account_has_one_share_from_wherever_it_comes() {
        let (memory, limits) = (BodyMemory::default(), limits());
        let mut stalled: Vec<MemoryShare<'_>> = (0..50).map(|n| memory.share(ip(n))).collect();
        let mut held = 0;
        for share in &mut stalled {
            share.belongs_to(Some("Alice"));
            held += grow(share, 40 * MIB, &limits);
        }
        // The first body alone, and small ones.
        assert!(held <= 42 * MIB, "{held}");
        let mut other = memory.share(ip(100));
        other.belongs_to(Some("bob"));
        assert!(grow(&mut other, 10 * MIB, &limits) == 10 * MIB);
    }

    #[test]
    fn the_largest_message_fits_even_where_there_is_room_for_no_other() {
        let memory = BodyMemory::default();
        let limits = LimitSettings {
            message_size_bytes: 900_000,
            body_memory_bytes: 1 << 20,
            ..limits()
        };
        let mut share = memory.share(ip(1));
        assert_eq!(
            grow(&mut share, 900_000 + 64 * 1024, &limits),
            900_000 + 64 * 1024
        );
    }

    #[test]
    fn memory_comes_back_and_nobody_is_remembered() {
        let (memory, limits) = (BodyMemory::default(), limits());
        let mut share = memory.share(ip(1));
        share.belongs_to(Some("carol"));
        share.belongs_to(Some("alice"));
        assert!(share.resize(MIB, &limits));
        share.set(300 * MIB);
        assert_eq!(memory.used.load(Ordering::Relaxed), 300 * MIB);
        let mut other = memory.share(ip(2));
        assert!(
            !other.resize(64 * 1024, &limits),
            "what is held counts, however it came to be held"
        );
        drop((share, other));
        assert_eq!(memory.used.load(Ordering::Relaxed), 0);
        assert!(memory.holders.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn copies_wait_for_each_other_and_follow_a_new_limit() {
        let (memory, limits) = (BodyMemory::default(), limits());
        let first = memory.copy(30 << 20, &limits).await;
        assert!(first.is_some());
        let waits = tokio::time::timeout(
            std::time::Duration::from_millis(1),
            memory.copy(30 << 20, &limits),
        );
        assert!(waits.await.is_err(), "48 MiB are no room for two");
        assert!(
            memory.copy(10_000, &limits).await.is_some(),
            "small mail does not wait for it"
        );
        let wider = LimitSettings {
            body_memory_bytes: 512 << 20,
            ..limits.clone()
        };
        assert!(memory.copy(30 << 20, &wider).await.is_some());
        drop(first);
        // Larger than all there is: it has it for itself alone.
        let narrow = LimitSettings {
            body_memory_bytes: 1 << 20,
            ..limits
        };
        assert!(memory.copy(50 << 20, &narrow).await.is_some());
        assert_eq!(memory.large_copies.free.available_permits(), 192);
    }
}
