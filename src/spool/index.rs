//! The place of each live message, and the bodies still in memory.

use super::segment::Record;
use crate::types::MessageMeta;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The place of a record; `len` is that of the whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordPlace {
    pub segment: u32,
    pub offset: u32,
    /// Octets of the record.
    pub len: u32,
}

impl RecordPlace {
    /// No record: segment numbers begin at 1.
    pub(super) const NONE: Self = Self {
        segment: 0,
        offset: 0,
        len: 0,
    };

    /// The place of a record that was just written.
    pub(super) fn of(segment: u32, offset: u32, record: &Record) -> Self {
        Self {
            segment,
            offset,
            len: u32::try_from(record.len()).unwrap_or(u32::MAX),
        }
    }
}

/// The records of one live message: 24 octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub accepted: RecordPlace,
    pub progress: RecordPlace,
}

/// A message id in two halves, so that key and entry fit into 32 octets without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct IndexKey([u32; 2]);

impl IndexKey {
    const fn of(id: u64) -> Self {
        Self([(id >> 32) as u32, (id & 0xffff_ffff) as u32])
    }
    const fn id(self) -> u64 {
        let Self([high, low]) = self;
        ((high as u64) << 32) | low as u64
    }
}

#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashMap<IndexKey, IndexEntry>,
    /// Salt of each segment, for readers.
    pub salts: HashMap<u32, u64>,
}

impl Index {
    /// The entry of a message.
    pub(super) fn get(&self, id: u64) -> Option<IndexEntry> {
        self.entries.get(&IndexKey::of(id)).copied()
    }
    /// The entry of a message, mutable.
    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut IndexEntry> {
        self.entries.get_mut(&IndexKey::of(id))
    }
    /// Sets the entry of a message; returns the previous one.
    pub(super) fn insert(&mut self, id: u64, entry: IndexEntry) -> Option<IndexEntry> {
        self.entries.insert(IndexKey::of(id), entry)
    }
    pub(super) fn remove(&mut self, id: u64) -> Option<IndexEntry> {
        self.entries.remove(&IndexKey::of(id))
    }
    /// All messages in any order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, IndexEntry)> + '_ {
        self.entries.iter().map(|(k, e)| (k.id(), *e))
    }
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Bodies of the newest messages, so that a prompt first delivery does not read the disk. First in,
/// first out.
#[derive(Debug)]
pub(super) struct Cache {
    limit_bytes: usize,
    bytes: usize,
    entries: HashMap<u64, (Arc<MessageMeta>, Bytes)>,
    order: VecDeque<u64>,
}

impl Cache {
    /// Holds at most `limit_bytes` of bodies.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            bytes: 0,
            entries: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Adds a message; removes the oldest ones to make room.
    pub(super) fn insert(&mut self, id: u64, meta: Arc<MessageMeta>, body: Bytes) {
        let size = Self::weight(&body);
        if size > self.limit_bytes {
            return;
        }
        while self.bytes + size > self.limit_bytes {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.remove(oldest);
        }
        // The queue of ids still contains messages that are done. It is swept before it grows too
        // long.
        if self.order.len() > 2 * self.entries.len() + 1024 {
            self.order.retain(|id| self.entries.contains_key(id));
        }
        self.bytes += size;
        self.order.push_back(id);
        self.entries.insert(id, (meta, body));
    }

    pub(super) fn remove(&mut self, id: u64) {
        if let Some((_, body)) = self.entries.remove(&id) {
            self.bytes = self.bytes.saturating_sub(Self::weight(&body));
        }
    }

    /// A message, without copying its body.
    pub(super) fn get(&self, id: u64) -> Option<(Arc<MessageMeta>, Bytes)> {
        self.entries.get(&id).cloned()
    }

    /// The size of a body plus an estimate of its envelope.
    const fn weight(body: &Bytes) -> usize {
        body.len() + 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::tests::meta;

    #[test]
    fn an_entry_takes_thirty_two_octets() {
        assert_eq!(size_of::<(IndexKey, IndexEntry)>(), 32);
        let id = 0xfedc_ba98_7654_3210;
        assert_eq!(IndexKey::of(id).id(), id);
    }

    #[test]
    fn the_cache_keeps_to_its_limit_and_forgets_the_oldest() {
        let mut cache = Cache::new(5 * 2024);
        for id in 0..10_000u64 {
            cache.insert(id, Arc::new(meta(id)), Bytes::from(vec![0; 1000]));
            if id % 2 == 0 {
                cache.remove(id);
            }
            assert!(
                cache.bytes <= 5 * 2024 && cache.entries.len() <= 5 && cache.order.len() < 1100
            );
        }
        assert!(cache.get(9_999).is_some() && cache.get(9_998).is_none() && cache.get(1).is_none());
        cache.insert(1, Arc::new(meta(1)), Bytes::from(vec![0; 100_000]));
        assert!(cache.get(1).is_none(), "larger than all of it");
    }
}
