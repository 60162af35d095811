//! A bounded concurrent map: a `DashMap` each of whose shards has its own bound, so that making
//! room costs one walk over one shard. Entries are reached by closures only: no guard leaves this
//! file, so none lives across an await.

use ahash::RandomState;
use dashmap::{DashMap, DashSet, SharedValue};
use std::hash::Hash;
use std::sync::OnceLock;

const SHARDS: usize = 64;
/// Entries that [`Table::copies`] copies before it hands them out.
const COPIES: usize = 64;

/// What a full table gives up first.
pub(crate) trait Evict {
    /// The smallest goes first: a class (0 = harmless and seen once or twice, 3 = never while
    /// anything else is there), then the time of the last use.
    fn rank(&self) -> (u8, i64);
}

/// A value with the hash of its key: a full shard is walked and put back without reading the keys.
struct Slot<V> {
    hash: u64,
    value: V,
}

/// A concurrent map with a bound. Its hasher is keyed with a secret drawn per table: nobody outside
/// can aim at one shard.
pub(crate) struct Table<K, V> {
    map: DashMap<K, Slot<V>, RandomState>,
    /// Keys of entries that may have changed since [`Table::changes`]; not set while nobody asks.
    changed: OnceLock<DashSet<K, RandomState>>,
    per_shard: usize,
}

impl<K: Hash + Eq + Clone, V: Evict> Table<K, V> {
    /// With room for about `capacity` entries.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            map: DashMap::with_hasher_and_shard_amount(RandomState::new(), SHARDS),
            changed: OnceLock::new(),
            per_shard: (capacity / SHARDS).max(1),
        }
    }

    /// Notes that the entry may change. The caller holds the entry's shard: whoever takes the note
    /// and then copies the entry waits for the change.
    fn note(&self, key: &K) {
        if let Some(changed) = self.changed.get()
            && !changed.contains(key)
        {
            changed.insert(key.clone());
        }
    }

    /// Runs `f` on the entry under the lock of its shard; `new` makes the entry if it is not there.
    pub(crate) fn with<R>(
        &self,
        key: &K,
        new: impl FnOnce() -> V,
        f: impl FnOnce(&mut V) -> R,
    ) -> R {
        let hash = self.map.hasher().hash_one(key);
        #[expect(
            clippy::indexing_slicing,
            reason = "the map tells the place of one of its own shards"
        )]
        let mut shard = self.map.shards()[self.map.determine_shard(hash as usize)].write();
        self.note(key);
        if let Some((_, value)) = shard.get_mut(hash, |(other, _)| other == key) {
            return f(&mut value.get_mut().value);
        }
        let rehash = |(_, slot): &(K, SharedValue<Slot<V>>)| slot.get().hash;
        if shard.len() >= self.per_shard {
            let all = shard.drain().collect();
            for entry in without_lowest(all, self.per_shard, |(_, slot)| slot.get().value.rank()) {
                shard.insert_entry(rehash(&entry), entry, rehash);
            }
        }
        let slot = Slot { hash, value: new() };
        let entry = (key.clone(), SharedValue::new(slot));
        f(&mut shard.insert_entry(hash, entry, rehash).1.get_mut().value)
    }

    /// Runs `f` on the entry if it is there.
    pub(crate) fn get<R>(&self, key: &K, f: impl FnOnce(&mut V) -> R) -> Option<R> {
        let mut entry = self.map.get_mut(key)?;
        self.note(key);
        Some(f(&mut entry.value_mut().value))
    }

    /// Runs `f` on the entry if it is there, without a change.
    pub(crate) fn read<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.map.get(key).map(|entry| f(&entry.value().value))
    }

    /// Removes the entry.
    pub(crate) fn remove(&self, key: &K) {
        self.map.remove(key);
    }

    /// Puts `value` in the place of the entry.
    pub(crate) fn replace(&self, key: &K, value: V) {
        self.remove(key);
        self.with(key, || value, |_| ());
    }

    /// Runs `f` on each entry, shard by shard. [`Table::changes`] does not hand out what `f`
    /// changes.
    pub(crate) fn each(&self, mut f: impl FnMut(&K, &mut V)) {
        for mut entry in self.map.iter_mut() {
            let (key, slot) = entry.pair_mut();
            f(key, &mut slot.value);
        }
    }

    /// From now on notes which entries change, for [`Table::changes`].
    pub(crate) fn watch(&self) {
        self.changed
            .get_or_init(|| DashSet::with_hasher(RandomState::new()));
    }

    /// Runs `f` on a copy of each entry that may have changed since the last call, as
    /// [`Table::copies`] does.
    pub(crate) fn changes(&self, mut f: impl FnMut(K, V))
    where
        V: Clone,
    {
        let Some(changed) = self.changed.get() else {
            return;
        };
        let keys: Vec<K> = changed.iter().map(|key| key.clone()).collect();
        keys.iter().for_each(|key| {
            changed.remove(key);
        });
        self.copy_some(&keys, &mut f);
    }

    /// Runs `f` on a copy of each entry. No lock is held while `f` runs: `f` may write to a disk
    /// without holding up mail.
    pub(crate) fn copies(&self, mut f: impl FnMut(K, V))
    where
        V: Clone,
    {
        for shard in self.map.shards() {
            let mut shard = shard.write();
            // The keys of one shard; a raw shard can be walked only by taking it apart.
            let all: Vec<_> = shard.drain().collect();
            let keys: Vec<K> = all.iter().map(|(key, _)| key.clone()).collect();
            for entry in all {
                let hash = entry.1.get().hash;
                shard.insert_entry(hash, entry, |(_, slot)| slot.get().hash);
            }
            drop(shard);
            self.copy_some(&keys, &mut f);
        }
    }

    /// Copies some entries at a time, then hands them out.
    fn copy_some(&self, keys: &[K], f: &mut impl FnMut(K, V))
    where
        V: Clone,
    {
        for some in keys.chunks(COPIES) {
            let copy = |key: &K| Some((key.clone(), self.map.get(key)?.value().value.clone()));
            let copied: Vec<(K, V)> = some.iter().filter_map(copy).collect();
            copied.into_iter().for_each(|(key, value)| f(key, value));
        }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Removes everything.
    pub(crate) fn clear(&self) {
        self.map.clear();
    }
}

/// The entries of a full shard without the lowest sixteenth of its bound (at least one): so the
/// walk is paid for once in many insertions.
fn without_lowest<E>(mut entries: Vec<E>, bound: usize, rank: impl Fn(&E) -> (u8, i64)) -> Vec<E> {
    let mut ranks: Vec<(u8, i64)> = entries.iter().map(&rank).collect();
    let surplus = entries.len().saturating_sub(bound) + 1;
    let place = surplus.max(bound / 16).min(ranks.len()).saturating_sub(1);
    let (_, limit, _) = ranks.select_nth_unstable(place);
    let limit = *limit;
    let mut left = place + 1;
    entries.retain(|entry| {
        let goes = left > 0 && rank(entry) <= limit;
        left -= usize::from(goes);
        !goes
    });
    entries
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
        for _ in 0..2 {
            let mut sum = 0;
            table.copies(|key, _| {
                sum += table
                    .get(&key, |e| u64::from(e.0))
                    .expect("free to be used")
            });
            assert_eq!(sum, 1000);
        }
    }

    #[test]
    fn changes_are_handed_out_once_each() {
        let table: Table<u64, Entry> = Table::new(6400);
        let changes = || {
            let mut keys = Vec::new();
            table.changes(|key, _| keys.push(key));
            keys.sort_unstable();
            keys
        };
        table.with(&1, || Entry(1, 0), |_| ());
        assert!(changes().is_empty(), "nobody has asked");
        table.watch();
        table.with(&2, || Entry(1, 0), |_| ());
        table.with(&2, || Entry(1, 0), |_| ());
        table.get(&1, |_| ());
        table.get(&9, |_| ());
        table.read(&1, |_| ());
        assert_eq!(changes(), [1, 2]);
        assert!(changes().is_empty());
    }
}
