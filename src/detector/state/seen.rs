//! What has been counted already: a message that is tried twenty times is counted once. Two
//! generations of hashes in bounded memory; the older one is dropped when the newer one is full.

use ahash::RandomState;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 16;
/// Entries of one generation in one shard: what fits into the 16,384 places of a table. 16 shards
/// and two generations make 458,752 entries, 4.7 MB when full; every message looks here several
/// times, so it should stay in the processor's cache.
const PER_GENERATION: usize = 14_336;

/// How far something has been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detector) enum Counted {
    Not,
    /// As evidence only: the mail did not go.
    Evidence,
    /// As evidence and in the counters of recipients.
    Fully,
}

/// A hash whose lowest bit is replaced: it tells whether the message was counted fully.
#[derive(Debug, Clone, Copy)]
struct Mark(u64);

impl Mark {
    const fn new(key: u64, fully: bool) -> Self {
        Self(key & !1 | fully as u64)
    }

    const fn key(self) -> u64 {
        self.0 & !1
    }

    const fn is_full(self) -> bool {
        self.0 & 1 == 1
    }
}

impl PartialEq for Mark {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Mark {}

impl Hash for Mark {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.key());
    }
}

#[derive(Default)]
struct Shard {
    /// Changes since the last call; `None` while nothing records them.
    changed: Option<Vec<(u64, Counted)>>,
    newer: HashSet<Mark, RandomState>,
    /// An entry that is also in `newer` is out of date here.
    older: HashSet<Mark, RandomState>,
}

pub(in crate::detector) struct SeenSet {
    shards: Vec<Mutex<Shard>>,
}

impl Default for SeenSet {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl SeenSet {
    fn with<R>(&self, key: u64, f: impl FnOnce(&mut Shard) -> R) -> R {
        #[expect(
            clippy::indexing_slicing,
            reason = "there are SHARDS shards, and the place is a remainder by SHARDS"
        )]
        let shard = &self.shards[((key >> 1) % SHARDS as u64) as usize];
        f(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How far `key` has been counted; from now on it is at least `Evidence`.
    pub(in crate::detector) fn mark(&self, key: u64) -> Counted {
        let mark = Mark::new(key, false);
        self.with(key, |shard| {
            match shard.newer.get(&mark).or_else(|| shard.older.get(&mark)) {
                Some(found) if found.is_full() => Counted::Fully,
                Some(_) => Counted::Evidence,
                None => {
                    shard.insert(mark);
                    shard.note(key, Counted::Evidence);
                    Counted::Not
                }
            }
        })
    }

    /// Sets how far `key` has been counted.
    pub(in crate::detector) fn set(&self, key: u64, counted: Counted) {
        self.with(key, |shard| {
            shard.note(key, counted);
            let mark = Mark::new(key, counted == Counted::Fully);
            if counted == Counted::Not {
                shard.newer.remove(&mark);
                shard.older.remove(&mark);
            } else {
                shard.insert(mark);
            }
        });
    }

    /// All entries, for the snapshot; of two entries for one hash the later one counts.
    pub(in crate::detector) fn each(&self, mut f: impl FnMut(u64, bool)) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard
                .older
                .iter()
                .chain(&shard.newer)
                .for_each(|mark| f(mark.key(), mark.is_full()));
        }
    }

    /// Starts to record changes, for [`SeenSet::changes`].
    pub(in crate::detector) fn watch(&self) {
        for shard in &self.shards {
            shard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .changed
                .get_or_insert_default();
        }
    }

    /// Changes since the last call, in order.
    pub(in crate::detector) fn changes(&self) -> Vec<(u64, Counted)> {
        let taken = self.shards.iter().filter_map(|shard| {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.changed.as_mut().map(std::mem::take)
        });
        taken.flatten().collect()
    }

    pub(in crate::detector) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.newer.clear();
            shard.older.clear();
        }
    }
}

impl Shard {
    fn note(&mut self, key: u64, counted: Counted) {
        if let Some(changed) = &mut self.changed
            && changed.len() < 2 * PER_GENERATION
        {
            changed.push((key, counted));
        }
    }

    fn insert(&mut self, mark: Mark) {
        // A table without room grows, even if an entry is only replaced, and so does one whose
        // places were used up by removed entries. So the generation ends before that. The capacity
        // of a table is its entries plus those it can still take.
        let no_room =
            self.newer.len() == self.newer.capacity() && self.newer.len() > PER_GENERATION / 2;
        if self.newer.len() >= PER_GENERATION || no_room {
            std::mem::swap(&mut self.older, &mut self.newer);
            self.newer.clear();
        }
        self.newer.replace(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_once_and_bounded() {
        let seen = SeenSet::default();
        assert_eq!(seen.mark(1), Counted::Not);
        assert_eq!(seen.mark(1), Counted::Evidence);
        seen.set(1, Counted::Fully);
        assert_eq!(seen.mark(1), Counted::Fully);
        seen.set(1, Counted::Not);
        assert_eq!(seen.mark(1), Counted::Not);
        for key in 0..700_000 {
            seen.mark(key);
        }
        let mut n = 0;
        seen.each(|_, _| n += 1);
        assert!(n <= SHARDS * 2 * PER_GENERATION);
        assert_eq!(seen.mark(699_999), Counted::Evidence);
    }

    #[test]
    fn tables_never_grow_beyond_a_generation() {
        let seen = SeenSet::default();
        let hash = |n: u64| crate::types::hash::mix(n, 11);
        for n in 0..2_000_000 {
            seen.mark(hash(n));
            match n % 5 {
                // Put off, tried again; else taken.
                0 | 1 => seen.set(hash(n), Counted::Not),
                _ => seen.set(hash(n), Counted::Fully),
            }
            seen.set(hash(n - n % 7), Counted::Fully);
        }
        for shard in &seen.shards {
            let shard = shard.lock().expect("no test panics with it");
            let largest = shard.newer.capacity().max(shard.older.capacity());
            assert!(largest <= PER_GENERATION, "{largest}");
        }
    }

    #[test]
    fn what_was_set_last_counts_in_either_generation_and_in_a_snapshot() {
        let seen = SeenSet::default();
        let hash = |n: u64| crate::types::hash::mix(n, 3);
        (0..100).for_each(|n| seen.set(hash(n), Counted::Fully));
        // Enough others that the first ones lie in the older generation.
        let generation = (SHARDS * PER_GENERATION) as u64;
        (1000..1000 + generation * 9 / 8)
            .for_each(|n| assert_eq!(seen.mark(hash(n)), Counted::Not, "{n}"));
        (0..100).for_each(|n| assert_eq!(seen.mark(hash(n)), Counted::Fully));
        (0..50).for_each(|n| seen.set(hash(n), Counted::Evidence));
        (50..70).for_each(|n| seen.set(hash(n), Counted::Not));
        let again = SeenSet::default();
        seen.each(|key, fully| {
            again.set(
                key,
                if fully {
                    Counted::Fully
                } else {
                    Counted::Evidence
                },
            )
        });
        for seen in [&seen, &again] {
            let counted = |n| seen.mark(hash(n));
            assert!((0..50).all(|n| counted(n) == Counted::Evidence));
            assert!((50..70).all(|n| counted(n) == Counted::Not));
            assert!((70..100).all(|n| counted(n) == Counted::Fully));
        }
    }
}
