//! Accounts: the needed octets of each segment, which decide about cleaning.

use super::SpoolStore;
use crate::spool::format::{RecordKind, targets};
use crate::spool::index::{IndexEntry, RecordPlace};
use crate::spool::segment::Record;
use std::collections::BTreeMap;
use std::time::Instant;

/// The account of one segment.
#[derive(Debug)]
pub(in crate::spool) struct SegmentAccount {
    /// Octets of records written.
    pub written: u64,
    /// Octets of live records.
    pub live: u64,
    /// Octets of `Done` and `Aborted` records by the segment they refer to. They are needed until
    /// that segment is deleted.
    pub refs: BTreeMap<u32, u64>,
    /// When it was closed; `None` = it is open for appending.
    pub closed_at: Option<Instant>,
    /// Damage in it could not be set aside: it is kept for an operator to examine.
    pub keep: bool,
}

impl SegmentAccount {
    /// The account of a new segment.
    pub(crate) const fn new() -> Self {
        Self {
            written: 0,
            live: 0,
            refs: BTreeMap::new(),
            closed_at: None,
            keep: false,
        }
    }

    /// Octets that must be kept.
    pub(crate) fn needed(&self) -> u64 {
        self.live.saturating_add(self.refs.values().sum())
    }

    /// Most needed octets with which the segment is worth emptying.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of octets"
    )]
    pub(crate) fn worth(&self) -> u64 {
        (self.written as f64 * crate::spool::clean::LIVE_SHARE_MAX) as u64
    }
}

impl SpoolStore {
    /// Subtracts the octets at `place` from the account of their segment.
    pub(crate) fn dead(&mut self, place: RecordPlace) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live = segment.live.saturating_sub(u64::from(place.len));
        }
    }

    /// Adds the octets at `place` to the account of their segment.
    pub(in crate::spool) fn add_live(&mut self, place: RecordPlace) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live += u64::from(place.len);
        }
    }

    /// Notes that `number` holds a record that is needed as long as the segments it refers to exist.
    pub(in crate::spool) fn add_refs(&mut self, number: u32, record: &Record) {
        for target in targets(&record.front) {
            // A record that refers to its own segment is deleted with it.
            if target == number || !self.segments.contains_key(&target) {
                continue;
            }
            if let Some(segment) = self.segments.get_mut(&number) {
                *segment.refs.entry(target).or_default() += record.len();
            }
        }
    }

    /// Adds a written record to index and accounts.
    pub(super) fn account(&mut self, number: u32, offset: u32, record: &Record) {
        let place = RecordPlace::of(number, offset, record);
        match record.kind {
            RecordKind::Accepted => {
                let entry = IndexEntry {
                    accepted: place,
                    progress: RecordPlace::NONE,
                };
                let former = self.shared.index().insert(record.id, entry);
                if let Some(former) = former {
                    // The id exists already: the newer message is valid, and its end ends both.
                    self.dead(former.accepted);
                    self.dead(former.progress);
                    self.shadows.insert(former.accepted.segment);
                }
                self.add_live(place);
            }
            RecordKind::Progress => {
                let old = self
                    .shared
                    .index()
                    .get_mut(record.id)
                    .map(|e| std::mem::replace(&mut e.progress, place));
                if let Some(old) = old {
                    self.dead(old);
                    self.add_live(place);
                }
            }
            RecordKind::Done | RecordKind::Aborted => self.add_refs(number, record),
            RecordKind::Seal => {}
        }
    }
}
