//! Memory for the bodies of messages in flight, and who may hold how much of it.
//!
//! Whoever holds the most is refused first: a client or an account gets no more than what is left for everybody else, so
//! that bodies which never end leave room for all others. No lock is taken while octets come in.

use crate::config::settings::Limits;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bodies that hold no more than this are ordinary mail: for them a client may have three times what is left, so that its
/// large bodies do not keep its own small mail out.
const SMALL: u64 = 256 << 10;
/// What a session with a body of the largest size holds beside it: its buffers.
const BESIDE: u64 = 128 << 10;

/// Who holds memory: counted apart, since one account may come from many addresses and one address bring many accounts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    Client(IpAddr),
    Account(String),
}

/// Octets of message bodies held by all sessions together.
pub struct BodyMemory {
    used: AtomicU64,
    holders: Mutex<HashMap<Holder, Arc<AtomicU64>>>,
    /// Room for the copies that are made of a message while it is judged and spooled, in KiB.
    copies: Semaphore,
    /// What `copies` was made for, in KiB.
    copies_kib: Mutex<usize>,
}

impl Default for BodyMemory {
    fn default() -> Self {
        Self {
            used: AtomicU64::default(),
            holders: Mutex::default(),
            copies: Semaphore::new(0),
            copies_kib: Mutex::default(),
        }
    }
}

/// What all bodies that come in may hold together: half of the limit. A quarter is for copies, and the rest is left to the
/// spool, which keeps fresh messages for their first delivery. But a message of the largest size must fit.
fn arriving(limits: &Limits) -> u64 {
    let all = limits.body_memory_bytes;
    (all / 2).max(limits.message_size_bytes.saturating_add(BESIDE).min(all))
}

impl BodyMemory {
    /// What one session holds, for this client; nothing yet.
    pub fn share(&self, client: IpAddr) -> Share<'_> {
        Share { memory: self, octets: 0, holders: vec![self.holder(Holder::Client(client))] }
    }

    fn holder(&self, who: Holder) -> (Holder, Arc<AtomicU64>) {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let octets = Arc::clone(holders.entry(who.clone()).or_default());
        (who, octets)
    }

    fn forget(&self, holders: Vec<(Holder, Arc<AtomicU64>)>) {
        let mut all = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        for (who, octets) in holders {
            drop(octets);
            // Handles are given out under the lock alone, so nobody can take one meanwhile.
            if all.get(&who).is_some_and(|octets| Arc::strong_count(octets) == 1) {
                all.remove(&who);
            }
        }
    }

    /// Waits for room for a copy of a message of so many octets. Whoever has it gives it back within bounded time.
    pub async fn copy(&self, octets: usize, limits: &Limits) -> Option<SemaphorePermit<'_>> {
        let room = usize::try_from(limits.body_memory_bytes / 4 / 1024).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        self.adapt(room);
        let kib = u32::try_from((octets / 1024).clamp(1, room)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        self.copies.acquire_many(kib).await.ok()
    }

    /// Follows a limit that was changed.
    fn adapt(&self, room: usize) {
        let mut made_for = self.copies_kib.lock().unwrap_or_else(PoisonError::into_inner);
        if room > *made_for {
            self.copies.add_permits(room - *made_for);
            *made_for = room;
        } else if room < *made_for {
            // What is in use is taken away later, once it is free.
            *made_for -= self.copies.forget_permits(*made_for - room);
        }
    }
}

/// What one session holds; given back when it is dropped.
pub struct Share<'a> {
    memory: &'a BodyMemory,
    octets: u64,
    holders: Vec<(Holder, Arc<AtomicU64>)>,
}

impl Share<'_> {
    /// From now on the session's bodies count for this account too.
    pub fn belongs_to(&mut self, account: &str) {
        let holder = self.memory.holder(Holder::Account(account.to_lowercase()));
        holder.1.fetch_add(self.octets, Ordering::Relaxed);
        self.holders.push(holder);
    }

    /// The session now holds so many octets; `false` (and unchanged) if that is more than there is for it.
    pub fn resize(&mut self, octets: u64, limits: &Limits) -> bool {
        let Some(more) = octets.checked_sub(self.octets).filter(|more| *more > 0) else {
            self.shrink(octets);
            return true;
        };
        let total = self.memory.used.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        let mut fits = total <= arriving(limits);
        for (_, held) in &self.holders {
            let held = held.fetch_add(more, Ordering::Relaxed).saturating_add(more);
            fits = fits && may_hold(held, octets, total, limits);
        }
        let before = self.octets;
        self.octets = octets;
        if !fits {
            self.shrink(before);
        }
        fits
    }

    /// The session holds so many octets, whether there is room or not: it cannot do with less.
    pub fn set(&mut self, octets: u64) {
        let more = octets.saturating_sub(self.octets);
        self.memory.used.fetch_add(more, Ordering::Relaxed);
        for (_, held) in &self.holders {
            held.fetch_add(more, Ordering::Relaxed);
        }
        self.octets = self.octets.max(octets);
        self.shrink(octets);
    }

    fn shrink(&mut self, octets: u64) {
        let less = self.octets.saturating_sub(octets);
        self.memory.used.fetch_sub(less, Ordering::Relaxed);
        for (_, held) in &self.holders {
            held.fetch_sub(less, Ordering::Relaxed);
        }
        self.octets = octets;
    }
}

/// Whether a client or an account may hold `held` octets, `own` of them for the session that asks, where all hold `total`.
fn may_hold(held: u64, own: u64, total: u64, limits: &Limits) -> bool {
    let all = arriving(limits);
    let free = all.saturating_sub(total);
    let largest = limits.message_size_bytes.saturating_add(BESIDE).min(all);
    let room = if own <= SMALL { free.saturating_mul(3) } else { free };
    // Its only body: then the last eighth is left for others, unless the largest message would not fit.
    let only = held == own && (total == own || total <= (all / 8 * 7).max(largest));
    held <= room || only
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.shrink(0);
        self.memory.forget(std::mem::take(&mut self.holders));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn limits() -> Limits {
        crate::config::defaults().limits
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Grows in steps as a body does; how much it got.
    fn grow(share: &mut Share<'_>, to: u64, limits: &Limits) -> u64 {
        let mut held = share.octets;
        while held < to && share.resize((held + 64 * 1024).min(to), limits) {
            held = (held + 64 * 1024).min(to);
        }
        held
    }

    #[test]
    fn stalled_bodies_of_one_client_leave_as_much_to_everybody_else() {
        let (memory, limits) = (BodyMemory::default(), limits());
        let mut stalled: Vec<Share<'_>> = (0..8).map(|_| memory.share(ip(1))).collect();
        let held: u64 = stalled.iter_mut().map(|share| grow(share, 40 * MIB, &limits)).sum();
        assert!((60 * MIB..=64 * MIB).contains(&held), "{held} of {}", limits.body_memory_bytes);
        let mut other = memory.share(ip(2));
        assert_eq!(grow(&mut other, 50 * MIB, &limits), 50 * MIB, "the largest message of somebody else");
        let mut own = memory.share(ip(1));
        assert_eq!(grow(&mut own, SMALL, &limits), SMALL, "small mail of the same client");
    }

    #[test]
    fn however_many_clients_stall_a_new_one_finds_room() {
        let (memory, limits) = (BodyMemory::default(), limits());
        let mut stalled: Vec<Share<'_>> = (0..200).map(|n| memory.share(ip(n))).collect();
        for share in &mut stalled {
            grow(share, 49 * MIB, &limits);
        }
        let mut new = memory.share(ip(250));
        assert_eq!(grow(&mut new, SMALL, &limits), SMALL);
    }

    #[test]
    fn an_account_has_one_share_from_wherever_it_comes() {
        let (memory, limits) = (BodyMemory::default(), limits());
        let mut stalled: Vec<Share<'_>> = (0..50).map(|n| memory.share(ip(n))).collect();
        let mut held = 0;
        for share in &mut stalled {
            share.belongs_to("Alice");
            held += grow(share, 40 * MIB, &limits);
        }
        // A session's small beginning may take more than the share of large bodies, up to three quarters.
        assert!(held <= 96 * MIB, "{held}");
        let mut other = memory.share(ip(100));
        other.belongs_to("bob");
        assert!(grow(&mut other, 10 * MIB, &limits) == 10 * MIB);
    }

    #[test]
    fn the_largest_message_fits_even_where_there_is_room_for_no_other() {
        let memory = BodyMemory::default();
        let limits = Limits { message_size_bytes: 900_000, body_memory_bytes: 1 << 20, ..limits() };
        let mut share = memory.share(ip(1));
        assert_eq!(grow(&mut share, 900_000 + 64 * 1024, &limits), 900_000 + 64 * 1024);
    }

    #[test]
    fn memory_comes_back_and_nobody_is_remembered() {
        let (memory, limits) = (BodyMemory::default(), limits());
        let mut share = memory.share(ip(1));
        share.belongs_to("alice");
        assert!(share.resize(MIB, &limits));
        share.set(300 * MIB);
        assert_eq!(memory.used.load(Ordering::Relaxed), 300 * MIB);
        let mut other = memory.share(ip(2));
        assert!(!other.resize(64 * 1024, &limits), "what is held counts, however it came to be held");
        drop((share, other));
        assert_eq!(memory.used.load(Ordering::Relaxed), 0);
        assert!(memory.holders.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn copies_wait_for_each_other_and_follow_a_new_limit() {
        let (memory, limits) = (BodyMemory::default(), limits());
        let first = memory.copy(50 << 20, &limits).await;
        assert!(first.is_some());
        let waits = tokio::time::timeout(std::time::Duration::from_millis(1), memory.copy(50 << 20, &limits));
        assert!(waits.await.is_err(), "64 MiB are no room for two");
        let wider = Limits { body_memory_bytes: 512 << 20, ..limits.clone() };
        assert!(memory.copy(50 << 20, &wider).await.is_some());
        drop(first);
        // Larger than all there is: it has it for itself alone.
        let narrow = Limits { body_memory_bytes: 1 << 20, ..limits };
        assert!(memory.copy(50 << 20, &narrow).await.is_some());
        assert_eq!(memory.copies.available_permits(), 256);
    }
}
