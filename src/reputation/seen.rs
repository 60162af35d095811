//! What has been counted already: a message that is tried twenty times moves the counters once. Two generations of hashes
//! in bounded memory; the older one is dropped when the newer is full.

use super::hasher::Quick;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 16;
/// Entries of one generation in one shard; 16 shards and two generations make about 0.5 million entries, 10 MB when full.
const PER_GENERATION: usize = 16_384;

/// How far something has been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counted {
    /// Never met.
    Not,
    /// As evidence only: the mail did not go.
    Evidence,
    /// As evidence and in the counters of recipients.
    Fully,
}

#[derive(Default)]
struct Shard {
    /// What was set since it was last asked for; `None` while nobody asks.
    changed: Option<Vec<(u64, Counted)>>,
    newer: HashMap<u64, bool, Quick>,
    older: HashMap<u64, bool, Quick>,
}

/// The set.
pub struct Seen {
    shards: Vec<Mutex<Shard>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Seen {
    fn with<R>(&self, key: u64, f: impl FnOnce(&mut Shard) -> R) -> R {
        #[expect(clippy::indexing_slicing, reason = "there are SHARDS shards, and the place is a remainder by SHARDS")]
        let shard = &self.shards[(key % SHARDS as u64) as usize];
        f(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How far `key` has been counted; from now on it is at least `Evidence`.
    pub fn mark(&self, key: u64) -> Counted {
        self.with(key, |shard| match shard.newer.get(&key).or_else(|| shard.older.get(&key)) {
            Some(true) => Counted::Fully,
            Some(false) => Counted::Evidence,
            None => {
                shard.insert(key, false);
                shard.note(key, Counted::Evidence);
                Counted::Not
            }
        })
    }

    /// Sets how far `key` has been counted.
    pub fn set(&self, key: u64, counted: Counted) {
        self.with(key, |shard| {
            shard.note(key, counted);
            shard.older.remove(&key);
            match counted {
                Counted::Not => drop(shard.newer.remove(&key)),
                Counted::Evidence => shard.insert(key, false),
                Counted::Fully => shard.insert(key, true),
            }
        });
    }

    /// All entries, for the snapshot.
    pub fn each(&self, mut f: impl FnMut(u64, bool)) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.older.iter().chain(&shard.newer).for_each(|(key, fully)| f(*key, *fully));
        }
    }

    /// From now on notes what is set, for [`Seen::changes`].
    pub fn watch(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).changed.get_or_insert_default();
        }
    }

    /// What was set since the last call, in order.
    pub fn changes(&self) -> Vec<(u64, Counted)> {
        let taken = self.shards.iter().filter_map(|shard| {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.changed.as_mut().map(std::mem::take)
        });
        taken.flatten().collect()
    }

    /// Forgets everything.
    pub fn clear(&self) {
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

    fn insert(&mut self, key: u64, fully: bool) {
        if self.newer.len() >= PER_GENERATION && !self.newer.contains_key(&key) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key, fully);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_once_and_bounded() {
        let seen = Seen::default();
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
}
