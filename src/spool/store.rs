//! The state of the writer thread: open segments, accounts of live octets, and how a batch becomes
//! durable.

mod accounts;
mod mend;
mod room;

use super::clean::Compaction;
use super::format::{RecordKind, encode_targets};
use super::index::{Cache, Index};
use super::segment::{Appender, Record};
use super::{SpoolError, Waiter, WriterCommand};
use crate::env::Disk;
use crate::telemetry::metrics as names;
use crate::types::MessageMeta;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sizes and times; only tests change the defaults.
#[derive(Debug, Clone)]
pub(super) struct SpoolOptions {
    /// Octets of a segment.
    pub segment_bytes: u32,
    /// Smallest segment on a small or nearly full disk.
    pub segment_bytes_min: u32,
    /// Part of a segment (1/n) reserved for progress records, so that a full disk does not stop
    /// delivery.
    pub headroom_share: u32,
    /// Free space below which no message is accepted. The records database and the logs are on the
    /// same disk and must go on while the queue drains. 16 MiB last them for minutes, and waste
    /// little of a small disk.
    pub free_bytes_min: u64,
    /// Size of the reserve file, which is deleted to make room for progress records when the disk
    /// is full.
    pub reserve_bytes: u32,
    /// Bodies kept in memory.
    pub cache_bytes: usize,
    /// A segment closed for this time is cleaned if little of it is live.
    pub compact_after: Duration,
    /// Longest time that a record without a waiting caller stays unsynced. A power loss repeats at
    /// most the work of this time.
    pub lazy_sync: Duration,
    /// Wait after a second failure of the disk in a row.
    pub retry_after: Duration,
    /// Octets copied between two batches while cleaning.
    pub compact_step: usize,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            segment_bytes_min: 1 << 20,
            headroom_share: 16,
            free_bytes_min: 16 << 20,
            reserve_bytes: 4 << 20,
            cache_bytes: 64 << 20,
            compact_after: Duration::from_secs(60),
            lazy_sync: Duration::from_secs(1),
            retry_after: Duration::from_secs(1),
            compact_step: 1 << 20,
        }
    }
}

/// The search for garbage walks over all segments, so it does not run after every batch.
const CLEAN_EVERY: Duration = Duration::from_millis(100);

pub(super) use accounts::SegmentAccount;

/// State that readers and the writer share.
pub(super) struct SpoolShared {
    pub index: Mutex<Index>,
    pub cache: Mutex<Cache>,
    /// Whether progress can be recorded.
    pub healthy: AtomicBool,
    /// Below this free space no message is accepted once the open segment is full.
    pub free_bytes_needed: u64,
    pub disk: Arc<dyn Disk>,
    /// Directory of the segments.
    pub dir: PathBuf,
}

impl SpoolShared {
    /// Locks the index; hold it only briefly.
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Locks the cache; hold it only briefly.
    pub(super) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record of a batch and the caller that waits for it.
struct Planned {
    record: Record,
    waiter: Option<Waiter>,
    meta: Option<Arc<MessageMeta>>,
}

/// Records to write with one call.
#[derive(Default)]
struct WritePlan {
    items: Vec<Planned>,
    bytes: u64,
}

/// The state of the writer. Synchronous: a test can drive it without a thread.
pub(super) struct SpoolStore {
    pub shared: Arc<SpoolShared>,
    pub options: SpoolOptions,
    pub segments: BTreeMap<u32, SegmentAccount>,
    /// Open segment of fresh mail.
    pub young: Option<Appender>,
    /// Open segment for the copies of cleaning.
    pub deferred: Option<Appender>,
    pub next_number: u32,
    /// Number of the next record in the order of all.
    pub next_seq: u64,
    /// Segments that may hold a second copy of a live message: a record that ends the message names
    /// them, too.
    pub shadows: BTreeSet<u32>,
    pub compaction: Option<Compaction>,
    /// Octets copied by cleaning since the start.
    pub rewritten: u64,
    /// No cleaning before this moment, because the last attempt failed.
    pub clean_not_before: Option<Instant>,
    /// Whether the reserve file exists.
    pub reserve: bool,
    /// Records written but not synced, without a waiting caller; since when.
    unsynced: Vec<Record>,
    unsynced_since: Option<Instant>,
    /// Records to write again after a failure, not before `retry_not_before`.
    relog: Vec<Record>,
    retry_not_before: Option<Instant>,
    cleaned_at: Instant,
    free_bytes: u64,
}

impl SpoolStore {
    /// A store over what recovery found.
    pub(super) fn new(shared: Arc<SpoolShared>, options: SpoolOptions) -> Self {
        Self {
            shared,
            options,
            segments: BTreeMap::new(),
            young: None,
            deferred: None,
            next_number: 1,
            next_seq: 1,
            shadows: BTreeSet::new(),
            compaction: None,
            rewritten: 0,
            clean_not_before: None,
            reserve: false,
            unsynced: Vec::new(),
            unsynced_since: None,
            relog: Vec::new(),
            retry_not_before: None,
            cleaned_at: Instant::now(),
            free_bytes: 0,
        }
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.shared.disk
    }

    /// Directory of the segments.
    pub(super) fn dir(&self) -> &Path {
        &self.shared.dir
    }

    fn seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// Reads the free space of the disk. If that fails, it counts as none.
    pub(super) fn look_at_disk(&mut self) {
        self.free_bytes = self.disk().free_bytes(self.dir()).unwrap_or(0);
    }

    /// Makes a batch durable and answers all its callers.
    pub(super) fn commit(&mut self, batch: Vec<WriterCommand>) {
        self.retry_relog();
        self.look_at_disk();
        let mut plan = WritePlan::default();
        let mut accepted = 0u32;
        for command in batch {
            match command {
                WriterCommand::Accept {
                    id,
                    meta,
                    front,
                    body,
                    body_crc,
                    waiter,
                } => {
                    accepted += 1;
                    let seq = self.seq();
                    let record = Record {
                        kind: RecordKind::Accepted,
                        id,
                        seq,
                        front,
                        body,
                        body_crc,
                    };
                    self.plan(
                        &mut plan,
                        Planned {
                            record,
                            waiter: Some(waiter),
                            meta: Some(meta),
                        },
                    );
                }
                WriterCommand::Progress { id, front, waiter } => {
                    if self.shared.index().get(id).is_none() {
                        answer(waiter, Err(SpoolError::NotFound));
                        continue;
                    }
                    let record = Record::small(RecordKind::Progress, id, self.seq(), front);
                    self.plan(
                        &mut plan,
                        Planned {
                            record,
                            waiter,
                            meta: None,
                        },
                    );
                }
                WriterCommand::Done { id } => self.end_message(&mut plan, id),
                WriterCommand::Close { .. } => {}
            }
        }
        self.flush(plan);
        if accepted > 0 {
            metrics::histogram!(names::SPOOL_BATCH_MESSAGES).record(f64::from(accepted));
        }
    }

    /// Removes a message from memory and plans its `Done` record.
    fn end_message(&mut self, plan: &mut WritePlan, id: u64) {
        let Some(record) = self.forget(id) else {
            return;
        };
        self.plan(
            plan,
            Planned {
                record,
                waiter: None,
                meta: None,
            },
        );
    }

    /// Removes a message from memory; returns its `Done` record. Cleaning may have copied the
    /// accepted record, so the `Done` record names those segments, too.
    fn forget(&mut self, id: u64) -> Option<Record> {
        self.shared.cache().remove(id);
        let entry = self.shared.index().remove(id)?;
        self.dead(entry.accepted);
        self.dead(entry.progress);
        let targets: BTreeSet<u32> = self
            .shadows
            .iter()
            .copied()
            .chain([entry.accepted.segment])
            .collect();
        Some(Record::small(
            RecordKind::Done,
            id,
            self.seq(),
            encode_targets(targets).into(),
        ))
    }

    /// Adds a record to the batch, after making room for it.
    fn plan(&mut self, plan: &mut WritePlan, planned: Planned) {
        let message = planned.record.kind == RecordKind::Accepted;
        let room = if self.relog.is_empty() {
            self.make_room(plan, planned.record.len(), message)
        } else {
            Err(SpoolError::Failed(
                "the spool waits for the disk to recover".into(),
            ))
        };
        if let Err(error) = room {
            if !message {
                self.shared.healthy.store(false, Ordering::Relaxed);
            }
            // A progress or `Done` record without a waiting caller must be written once there is
            // room. A waiting caller gets the error and repeats the call.
            if planned.waiter.is_none() {
                self.relog.push(planned.record);
            }
            answer(planned.waiter, Err(error));
            return;
        }
        plan.bytes += planned.record.len();
        plan.items.push(planned);
    }

    /// Writes the plan, syncs if a caller waits, answers.
    fn flush(&mut self, plan: WritePlan) {
        if plan.items.is_empty() {
            return;
        }
        let must_sync = plan.items.iter().any(|p| p.waiter.is_some());
        match self.write(plan.items.iter().map(|p| &p.record), must_sync) {
            Ok(offsets) => self.flushed(plan, &offsets, must_sync),
            Err(error) => self.failed(plan, &error),
        }
    }

    fn write<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record> + Clone,
        sync: bool,
    ) -> io::Result<Vec<u32>> {
        let young = self
            .young
            .as_mut()
            .ok_or_else(|| io::Error::other("no open segment"))?;
        let offsets = young.append(records)?;
        if sync {
            let begun = Instant::now();
            young.sync()?;
            metrics::histogram!(names::SPOOL_SYNC_SECONDS).record(begun.elapsed().as_secs_f64());
        }
        Ok(offsets)
    }

    fn flushed(&mut self, plan: WritePlan, offsets: &[u32], synced: bool) {
        let Some(number) = self.young.as_ref().map(|y| y.head.number) else {
            return;
        };
        let mut unwanted = Vec::new();
        for (planned, offset) in plan.items.into_iter().zip(offsets) {
            let Planned {
                record,
                waiter,
                meta,
            } = planned;
            self.account(number, *offset, &record);
            match (waiter, meta) {
                (Some(waiter), Some(meta)) => {
                    self.shared
                        .cache()
                        .insert(record.id, meta, record.body.clone());
                    if waiter.send(Ok(())).is_err() {
                        unwanted.push(record.id);
                    }
                }
                (waiter @ Some(_), None) => answer(waiter, Ok(())),
                (None, _) if !synced => {
                    self.unsynced_since.get_or_insert_with(Instant::now);
                    self.unsynced.push(record);
                }
                (None, _) => {}
            }
        }
        if synced {
            self.synced();
        }
        // The answer did not reach the callers of these messages, so the client will send them
        // again.
        for id in unwanted {
            let mut plan = WritePlan::default();
            self.end_message(&mut plan, id);
            self.flush(plan);
        }
    }

    fn synced(&mut self) {
        self.unsynced.clear();
        self.unsynced_since = None;
        if self.relog.is_empty() {
            self.shared.healthy.store(true, Ordering::Relaxed);
        }
    }

    /// Syncs the records without a waiting caller.
    pub(super) fn sync_lazy(&mut self) {
        if self.unsynced_since.is_none() {
            return;
        }
        match self.write(std::iter::empty(), true) {
            Ok(_) => self.synced(),
            Err(error) => self.failed(WritePlan::default(), &error),
        }
    }

    /// Whether everything written is durable.
    pub(super) const fn is_synced(&self) -> bool {
        self.unsynced_since.is_none() && self.relog.is_empty()
    }

    /// Does the work that is due between batches.
    pub(super) fn tick(&mut self) {
        if self
            .unsynced_since
            .is_some_and(|since| since.elapsed() >= self.options.lazy_sync)
        {
            self.sync_lazy();
        }
        self.retry_relog();
        if self.compaction.is_some() || self.cleaned_at.elapsed() >= CLEAN_EVERY {
            self.cleaned_at = Instant::now();
            self.look_at_disk();
            self.keep_reserve();
            self.clean();
        }
    }

    /// How long the writer may sleep without a command; `None` = until one comes.
    pub(super) fn sleep(&self) -> Option<Duration> {
        if self.compaction.is_some() && self.is_synced() {
            return Some(Duration::ZERO);
        }
        if let Some(since) = self.unsynced_since {
            return Some(self.options.lazy_sync.saturating_sub(since.elapsed()));
        }
        let restless =
            !self.relog.is_empty() || !self.shared.healthy.load(Ordering::Relaxed) || !self.reserve;
        (restless || self.has_garbage()).then_some(Duration::from_secs(1))
    }

    /// Writes and syncs everything and seals the open segments.
    pub(super) fn finish(&mut self) {
        self.sync_lazy();
        self.retry_relog();
        // Copies made so far remain as second copies, which the next start finds.
        self.compaction = None;
        if let Some(young) = self.young.take() {
            self.close(young);
        }
        if let Some(mut deferred) = self.deferred.take() {
            match deferred.sync() {
                Ok(()) => self.close(deferred),
                Err(_) => self.abandon(deferred),
            }
        }
    }
}

/// Answers the waiter, if there is one; it may have gone away.
fn answer(waiter: Option<Waiter>, result: Result<(), SpoolError>) {
    if let Some(waiter) = waiter {
        let _ = waiter.send(result);
    }
}

/// Whether the disk was full or failed.
pub(super) fn spool_error(error: &io::Error) -> SpoolError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SpoolError::Full,
        _ => SpoolError::Failed(error.to_string()),
    }
}
