//! A bounded concurrent map of 64 parts. Each part is a `DashMap` with its own bound, so that making
//! room costs one walk over one part. Entries are reached by closures only: no guard leaves this
//! file, so none lives across an await.

use ahash::RandomState;
use dashmap::{DashMap, DashSet, SharedValue};
use std::cmp::Ordering;
use std::hash::Hash;
use std::sync::{Mutex, OnceLock, PoisonError};

const PARTS: u64 = 64;
/// Shards of the `DashMap` of a part: the fewest it can have.
const SHARDS: usize = 2;
/// Entries that [`Table::copies`] copies before it hands them out.
const COPIES: usize = 64;

/// What a full table gives up first.
pub(crate) trait Evict {
    /// The smallest goes first: a class (0 = harmless and seen once or twice, 3 = never while
    /// anything else is there), then the time of the last use.
    fn rank(&self) -> (u8, i64);
}

struct TablePart<K, V> {
    map: DashMap<K, V, RandomState>,
    /// Held by whoever inserts: no two of them find the last place free.
    inserting: Mutex<()>,
}

/// A concurrent map with a bound. Its hasher is keyed with a secret drawn per table: nobody outside
/// can aim at one part.
pub(crate) struct Table<K, V> {
    parts: Vec<TablePart<K, V>>,
    hasher: RandomState,
    /// Keys of entries that may have changed since [`Table::changes`]; not set while nobody asks.
    changed: OnceLock<DashSet<K, RandomState>>,
    /// Most entries of a part. It holds one more until the next insertion if all entries that
    /// were to go are used while room is made.
    bound: usize,
}

impl<K: Hash + Eq + Clone, V: Evict> Table<K, V> {
    /// With room for about `capacity` entries.
    pub(crate) fn new(capacity: usize) -> Self {
        let hasher = RandomState::new();
        let part = |_| TablePart {
            map: DashMap::with_hasher_and_shard_amount(hasher.clone(), SHARDS),
            inserting: Mutex::default(),
        };
        Self {
            parts: (0..PARTS).map(part).collect(),
            hasher: hasher.clone(),
            changed: OnceLock::new(),
            bound: (capacity / PARTS as usize).max(1),
        }
    }

    /// The part that may hold `key`, with the hash and the place of its shard. The part, the shard
    /// and the entry are found by different bits of one hash.
    fn place(&self, key: &K) -> (&TablePart<K, V>, u64, usize) {
        let hash = self.hasher.hash_one(key);
        #[expect(
            clippy::indexing_slicing,
            reason = "there are PARTS parts, and the place is a remainder by PARTS"
        )]
        let part = &self.parts[((hash >> 32) % PARTS) as usize];
        (part, hash, part.map.determine_shard(hash as usize))
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
        let (part, hash, place) = self.place(key);
        #[expect(
            clippy::indexing_slicing,
            reason = "the map tells the place of one of its own shards"
        )]
        let shard = &part.map.shards()[place];
        if let Some((_, value)) = shard.write().get_mut(hash, |(other, _)| other == key) {
            self.note(key);
            return f(value.get_mut());
        }
        let inserting = part
            .inserting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Another thread may have made the entry meanwhile: then nothing must go for it.
        let full = part.map.len() >= self.bound;
        if full && self.read(key, |_| ()).is_none() {
            make_room(&part.map, self.bound);
        }
        let mut shard = shard.write();
        drop(inserting);
        self.note(key);
        if let Some((_, value)) = shard.get_mut(hash, |(other, _)| other == key) {
            return f(value.get_mut());
        }
        let entry = (key.clone(), SharedValue::new(new()));
        let rehash = |(key, _): &(K, SharedValue<V>)| self.hasher.hash_one(key);
        f(shard.insert_entry(hash, entry, rehash).1.get_mut())
    }

    /// Runs `f` on the entry if it is there.
    pub(crate) fn get<R>(&self, key: &K, f: impl FnOnce(&mut V) -> R) -> Option<R> {
        let (part, hash, place) = self.place(key);
        let mut shard = part.map.shards().get(place)?.write();
        let (_, value) = shard.get_mut(hash, |(other, _)| other == key)?;
        self.note(key);
        Some(f(value.get_mut()))
    }

    /// Runs `f` on the entry if it is there, without a change.
    pub(crate) fn read<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        let (part, hash, place) = self.place(key);
        let shard = part.map.shards().get(place)?.read();
        let (_, value) = shard.get(hash, |(other, _)| other == key)?;
        Some(f(value.get()))
    }

    /// Removes the entry.
    pub(crate) fn remove(&self, key: &K) {
        let (part, hash, place) = self.place(key);
        if let Some(shard) = part.map.shards().get(place) {
            shard.write().remove_entry(hash, |(other, _)| other == key);
        }
    }

    /// Puts `value` in the place of the entry.
    pub(crate) fn replace(&self, key: &K, value: V) {
        self.remove(key);
        self.with(key, || value, |_| ());
    }

    /// Runs `f` on each entry, shard by shard. [`Table::changes`] does not hand out what `f`
    /// changes.
    pub(crate) fn each(&self, mut f: impl FnMut(&K, &mut V)) {
        for part in &self.parts {
            walk(&part.map, &mut f);
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
        for part in &self.parts {
            let mut keys = Vec::new();
            walk(&part.map, |key, _| keys.push(key.clone()));
            self.copy_some(&keys, &mut f);
        }
    }

    /// Copies some entries at a time, then hands them out.
    fn copy_some(&self, keys: &[K], f: &mut impl FnMut(K, V))
    where
        V: Clone,
    {
        for some in keys.chunks(COPIES) {
            let copy = |key: &K| Some((key.clone(), self.read(key, V::clone)?));
            let copied: Vec<(K, V)> = some.iter().filter_map(copy).collect();
            copied.into_iter().for_each(|(key, value)| f(key, value));
        }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.map.len()).sum()
    }

    /// Removes everything.
    pub(crate) fn clear(&self) {
        self.parts.iter().for_each(|part| part.map.clear());
    }
}

/// Runs `f` on each entry. `DashMap::iter` would count references to a guard for each of them.
fn walk<K: Hash + Eq, V>(map: &DashMap<K, V, RandomState>, mut f: impl FnMut(&K, &mut V)) {
    map.retain(|key, value| {
        f(key, value);
        true
    });
}

/// Removes the lowest sixteenth of the bound (at least one entry), so that the walk is paid for once
/// in many insertions.
fn make_room<K: Hash + Eq, V: Evict>(map: &DashMap<K, V, RandomState>, bound: usize) {
    let mut ranks = Vec::with_capacity(bound);
    walk(map, |_, value| ranks.push(value.rank()));
    let surplus = ranks.len().saturating_sub(bound) + 1;
    let Some(last) = surplus.max(bound / 16).min(ranks.len()).checked_sub(1) else {
        return;
    };
    let (lower, limit, _) = ranks.select_nth_unstable(last);
    let limit = *limit;
    // Of those with the rank of the last to go, as many as are still wanted.
    let mut tied = 1 + lower.iter().filter(|rank| **rank == limit).count();
    map.retain(|_, value| match value.rank().cmp(&limit) {
        Ordering::Less => false,
        Ordering::Equal if tied > 0 => {
            tied -= 1;
            false
        }
        _ => true,
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
    fn those_with_the_lowest_ranks_go_and_no_others() {
        type Ranks = Vec<(u8, i64)>;
        let many = |rank: i64, n: usize| vec![(0, rank); n];
        // (ranks as they were, ranks that stay); the bound is 32, so two go, and more of a surplus.
        let cases: [(Ranks, Ranks); 5] = [
            (
                (0..32).map(|n| (0, n * 7 % 32)).collect(),
                (2..32).map(|n| (0, n)).collect(),
            ),
            (many(5, 32), many(5, 30)),
            (
                [many(5, 31), vec![(0, 1)]].concat(),
                many(5, 30), // the lowest goes and one of the others
            ),
            (
                [many(9, 16), vec![(3, 0); 16]].concat(),
                [many(9, 14), vec![(3, 0); 16]].concat(),
            ),
            (
                (0..40).map(|n| (1, n)).collect(),
                (9..40).map(|n| (1, n)).collect(),
            ),
        ];
        for (ranks, stay) in cases {
            let map = DashMap::with_hasher_and_shard_amount(RandomState::new(), SHARDS);
            for (key, (class, time)) in ranks.iter().enumerate() {
                map.insert(key, Entry(*class, *time));
            }
            make_room(&map, 32);
            let mut left: Vec<_> = map.iter().map(|entry| entry.rank()).collect();
            left.sort_unstable();
            assert_eq!(left, stay, "of {ranks:?}");
        }
    }

    #[test]
    fn no_part_exceeds_its_bound_when_many_insert_at_once() {
        let table: Table<u64, Entry> = Table::new(640);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let table = &table;
                scope.spawn(move || {
                    for key in 0..5000 {
                        table.with(&(key * 4 + thread), || Entry(0, 0), |_| ());
                    }
                });
            }
        });
        assert!(table.parts.iter().all(|part| part.map.len() <= table.bound));
    }

    #[test]
    fn a_table_does_not_grow_when_entries_are_removed_and_made_anew() {
        let table: Table<u64, Entry> = Table::new(6400);
        let capacity = || -> usize { table.parts.iter().map(|part| part.map.capacity()).sum() };
        for round in 0..20 {
            let keys = round * 3000..(round + 1) * 3000;
            keys.clone()
                .for_each(|key| table.with(&key, || Entry(1, 0), |_| ()));
            keys.clone()
                .for_each(|key| table.replace(&key, Entry(2, 0)));
            assert_eq!(table.len(), 3000);
            keys.for_each(|key| table.remove(&key));
            assert_eq!(table.len(), 0);
        }
        assert!(capacity() < 4 * 6400, "{}", capacity());
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
