//! A bounded concurrent map: 64 shards, each with its own lock and its own bound, so that making
//! room costs one short walk over one shard. Locks are never held across an await: everything here
//! is synchronous.

use super::hasher::Quick;
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;
/// Entries copied under one hold of a lock.
const COPIES: usize = 64;

/// What a full table gives up first.
pub(crate) trait Evict {
    /// Smallest first: class (0 = invented a moment ago and harmless ... 3 = never while anything
    /// else is there), then the time it was last used.
    fn rank(&self) -> (u8, i64);
}

struct Shard<K, V> {
    map: HashMap<K, V, Quick>,
    /// Keys of entries that may have changed since they were last handed out; `None` while nobody
    /// asks.
    changed: Option<HashSet<K, Quick>>,
}

impl<K: Hash + Eq + Clone, V> Shard<K, V> {
    /// Notes that the entry may change.
    fn note(&mut self, key: &K) {
        if let Some(changed) = &mut self.changed
            && !changed.contains(key)
        {
            changed.insert(key.clone());
        }
    }
}

/// The map.
pub(crate) struct Table<K, V> {
    shards: Vec<Mutex<Shard<K, V>>>,
    hasher: Quick,
    per_shard: usize,
}

impl<K: Hash + Eq + Clone, V: Evict> Table<K, V> {
    /// With room for about `capacity` entries.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            shards: (0..SHARDS)
                .map(|_| {
                    Mutex::new(Shard {
                        map: HashMap::default(),
                        changed: None,
                    })
                })
                .collect(),
            hasher: Quick::default(),
            per_shard: (capacity / SHARDS).max(1),
        }
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, Shard<K, V>> {
        let place = (self.hasher.hash_one(key) % SHARDS as u64) as usize;
        #[expect(
            clippy::indexing_slicing,
            reason = "there are SHARDS shards, and the place is a remainder by SHARDS"
        )]
        self.shards[place]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f` on the entry under its lock, which `new` makes if it is not there.
    pub(crate) fn with<R>(
        &self,
        key: &K,
        new: impl FnOnce() -> V,
        f: impl FnOnce(&mut V) -> R,
    ) -> R {
        let mut shard = self.shard(key);
        shard.note(key);
        let map = &mut shard.map;
        if let Some(value) = map.get_mut(key) {
            return f(value);
        }
        if map.len() >= self.per_shard {
            make_room(map, self.per_shard);
        }
        f(map.entry(key.clone()).or_insert_with(new))
    }

    /// Runs `f` on the entry if it is there.
    pub(crate) fn get<Q, R>(&self, key: &Q, f: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut shard = self.shard(key);
        if shard.changed.is_some()
            && let Some((key, _)) = shard.map.get_key_value(key)
        {
            let key = key.clone();
            shard.note(&key);
        }
        shard.map.get_mut(key).map(f)
    }

    /// Runs `f` on the entry if it is there, without a change.
    pub(crate) fn read<Q, R>(&self, key: &Q, f: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shard(key).map.get(key).map(f)
    }

    /// Removes the entry.
    pub(crate) fn remove<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shard(key).map.remove(key);
    }

    /// Runs `f` on each entry, shard by shard.
    pub(crate) fn each(&self, mut f: impl FnMut(&K, &mut V)) {
        for shard in &self.shards {
            for (key, value) in &mut shard.lock().unwrap_or_else(PoisonError::into_inner).map {
                f(key, value);
            }
        }
    }

    /// From now on notes which entries change, for [`Table::changes`]. What [`Table::each`] changes
    /// is not noted.
    pub(crate) fn watch(&self) {
        for shard in &self.shards {
            shard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .changed
                .get_or_insert_default();
        }
    }

    /// Runs `f` on a copy of each entry that may have changed since the last call, as
    /// [`Table::copies`] does.
    pub(crate) fn changes(&self, mut f: impl FnMut(K, V))
    where
        V: Clone,
    {
        for shard in &self.shards {
            let changed = shard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .changed
                .as_mut()
                .map(std::mem::take);
            let keys: Vec<K> = changed.into_iter().flatten().collect();
            copy_some(shard, &keys, &mut f);
        }
    }

    /// Runs `f` on a copy of each entry. No lock is held while `f` runs, and only for a few copies
    /// before: so `f` may write to a disk without holding up the mail of a sixty-fourth of all
    /// senders.
    pub(crate) fn copies(&self, mut f: impl FnMut(K, V))
    where
        V: Clone,
    {
        for shard in &self.shards {
            let keys: Vec<K> = shard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .map
                .keys()
                .cloned()
                .collect();
            copy_some(shard, &keys, &mut f);
        }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|s| s.lock().unwrap_or_else(PoisonError::into_inner).map.len())
            .sum()
    }

    /// Removes everything.
    pub(crate) fn clear(&self) {
        self.shards
            .iter()
            .for_each(|s| s.lock().unwrap_or_else(PoisonError::into_inner).map.clear());
    }
}

fn copy_some<K: Hash + Eq + Clone, V: Clone>(
    shard: &Mutex<Shard<K, V>>,
    keys: &[K],
    f: &mut impl FnMut(K, V),
) {
    for some in keys.chunks(COPIES) {
        let copied: Vec<(K, V)> = {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            some.iter()
                .filter_map(|key| Some((key.clone(), shard.map.get(key)?.clone())))
                .collect()
        };
        copied.into_iter().for_each(|(key, value)| f(key, value));
    }
}

/// Removes the lowest sixteenth (at least one), so that the walk is paid for once in many
/// insertions.
fn make_room<K: Hash + Eq, V: Evict>(shard: &mut HashMap<K, V, Quick>, bound: usize) {
    let mut ranks: Vec<(u8, i64)> = shard.values().map(Evict::rank).collect();
    let surplus = shard.len().saturating_sub(bound) + 1;
    let place = surplus.max(bound / 16).min(ranks.len()).saturating_sub(1);
    let (_, limit, _) = ranks.select_nth_unstable(place);
    let limit = *limit;
    let mut left = place + 1;
    shard.retain(|_, value| {
        let goes = left > 0 && value.rank() <= limit;
        left -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Entry(u8, i64);
    impl Evict for Entry {
        fn rank(&self) -> (u8, i64) {
            (self.0, self.1)
        }
    }

    #[test]
    fn a_flood_stays_within_the_bound_and_does_not_push_out_the_watched() {
        let table: Table<u64, Entry> = Table::new(6400);
        for key in 0..1000 {
            table.with(&key, || Entry(3, 0), |_| ());
        }
        for key in 1000..100_000 {
            table.with(
                &key,
                || Entry(0, i64::try_from(key).expect("small")),
                |_| (),
            );
        }
        assert!(table.len() <= 6400);
        assert!((0..1000).all(|key| table.get(&key, |_| ()).is_some()));
        assert!(table.get(&99_999, |_| ()).is_some());
    }

    #[test]
    fn copies_are_handed_out_without_a_lock() {
        // The snapshot once wrote to disk under a lock, and mail waited for the disk.
        let table: Table<u64, Entry> = Table::new(6400);
        (0..1000).for_each(|key| table.with(&key, || Entry(1, 0), |_| ()));
        let mut sum = 0;
        table.copies(|key, _| {
            sum += table
                .get(&key, |e| u64::from(e.0))
                .expect("free to be used")
        });
        assert_eq!(sum, 1000);
    }
}
