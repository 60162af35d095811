//! What the writer thread owns: open segments, accounts of live octets, and how a batch becomes durable.

use super::clean::Compaction;
use super::format::{FILE_HEADER, FileHeader, Generation, Kind, encode_targets, targets};
use super::index::{Cache, Entry, Index, Place};
use super::segment::{Appender, Record};
use super::{Command, SpoolError, Waiter};
use crate::env::{Disk, random_u64};
use crate::types::MessageMeta;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sizes and times; other than the defaults only in tests.
#[derive(Debug, Clone)]
pub struct Options {
    /// Octets of a segment.
    pub segment_bytes: u32,
    /// Smallest segment on a small or nearly full disk.
    pub segment_bytes_min: u32,
    /// Part of a segment (1/n) that messages leave to progress records, so that a full disk does not stop delivery.
    pub headroom_share: u32,
    /// Free space below which no message is accepted. The records database and the logs live on the same disk and must
    /// go on while the queue drains; 16 MiB last them for minutes, and a small disk is not wasted.
    pub free_bytes_min: u64,
    /// Size of the reserve file, which gives way to progress records when the disk is full.
    pub reserve_bytes: u32,
    /// Bodies kept in memory.
    pub cache_bytes: usize,
    /// A segment closed for so long, of which little is alive, is cleaned.
    pub compact_after: Duration,
    /// How long a record for which nobody waits may stay unsynced: power loss repeats at most so much.
    pub lazy_sync: Duration,
    /// Wait after the disk failed twice in a row.
    pub retry_after: Duration,
    /// Octets copied between two batches while cleaning.
    pub compact_step: usize,
}

impl Default for Options {
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

/// A list for the seal larger than this closes the segment: bounds memory where messages are tiny.
const LIST_BYTES_MAX: usize = 16 << 20;

/// Looking for garbage costs a walk over all segments: not after every batch.
const CLEAN_EVERY: Duration = Duration::from_millis(100);

/// What readers and the writer share.
pub struct Shared {
    /// Live messages.
    pub index: Mutex<Index>,
    /// Fresh bodies.
    pub cache: Mutex<Cache>,
    /// Whether progress can be recorded.
    pub healthy: AtomicBool,
    /// With less free space no message is accepted once the open segment is full.
    pub free_bytes_needed: u64,
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// Where the segments lie.
    pub dir: PathBuf,
}

impl Shared {
    /// The index, for a moment.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The cache, for a moment.
    pub fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The account of one segment.
#[derive(Debug)]
pub struct Segment {
    /// Octets of records written.
    pub written: u64,
    /// Octets of live records.
    pub live: u64,
    /// Octets of `Done` and `Aborted` records by the segment they refer to: they are needed until that one is gone.
    pub refs: BTreeMap<u32, u64>,
    /// When it was closed; `None` = still appended to.
    pub closed_at: Option<Instant>,
    /// Damage in it could not be set aside: it stays for a person to look at.
    pub keep: bool,
}

impl Segment {
    /// A segment just opened.
    pub const fn new() -> Self {
        Self { written: 0, live: 0, refs: BTreeMap::new(), closed_at: None, keep: false }
    }

    /// Octets that must not go.
    pub fn needed(&self) -> u64 {
        self.live.saturating_add(self.refs.values().sum())
    }

    /// Up to so many needed octets the segment is worth emptying.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of octets")]
    pub fn worth(&self) -> u64 {
        (self.written as f64 * super::clean::LIVE_SHARE_MAX) as u64
    }
}

/// A record of a batch and who waits for it.
struct Planned {
    record: Record,
    waiter: Option<Waiter>,
    meta: Option<Arc<MessageMeta>>,
}

/// Records to be written with one call.
#[derive(Default)]
struct Plan {
    items: Vec<Planned>,
    bytes: u64,
}

/// The state of the writer. Synchronous: a test drives it without thread.
pub struct Store {
    /// Shared with readers.
    pub shared: Arc<Shared>,
    /// Sizes.
    pub options: Options,
    /// Accounts by number.
    pub segments: BTreeMap<u32, Segment>,
    /// Open segment of fresh mail.
    pub young: Option<Appender>,
    /// Open segment of what cleaning left.
    pub deferred: Option<Appender>,
    /// Next segment number.
    pub next_number: u32,
    /// Next record's place in the order of all.
    pub next_seq: u64,
    /// Segments that may hold a second copy of a live message: a record that ends a message refers to them too.
    pub shadows: BTreeSet<u32>,
    /// Cleaning in progress.
    pub compaction: Option<Compaction>,
    /// Octets copied by cleaning since the start.
    pub rewritten: u64,
    /// No cleaning before this moment: the last attempt failed.
    pub clean_not_before: Option<Instant>,
    /// Whether the reserve file is in place.
    pub reserve: bool,
    /// Written, nobody waits, not synced; since when.
    unsynced: Vec<Record>,
    unsynced_since: Option<Instant>,
    /// Must still be written, after a failure; not tried again before that moment.
    relog: Vec<Record>,
    retry_not_before: Option<Instant>,
    cleaned_at: Instant,
    free_bytes: u64,
}

impl Store {
    /// A store over what recovery found.
    pub fn new(shared: Arc<Shared>, options: Options) -> Self {
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

    /// The disk.
    pub fn disk(&self) -> &dyn Disk {
        &*self.shared.disk
    }

    /// Directory of the segments.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    fn seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// Learns how much room is left. Where that cannot be told, none is.
    pub fn look_at_disk(&mut self) {
        self.free_bytes = self.disk().free_bytes(self.dir()).unwrap_or(0);
    }

    /// Makes a batch durable and answers all who wait in it.
    pub fn commit(&mut self, batch: Vec<Command>) {
        self.retry_relog();
        self.look_at_disk();
        let mut plan = Plan::default();
        let mut accepted = 0u32;
        for command in batch {
            match command {
                Command::Accept { id, meta, front, body, body_crc, waiter } => {
                    accepted += 1;
                    let seq = self.seq();
                    let record = Record { kind: Kind::Accepted, id, seq, front, body, body_crc };
                    self.plan(&mut plan, Planned { record, waiter: Some(waiter), meta: Some(meta) });
                }
                Command::Progress { id, front, waiter } => {
                    if self.shared.index().get(id).is_none() {
                        answer(waiter, Err(SpoolError::NotFound));
                        continue;
                    }
                    let record = Record::small(Kind::Progress, id, self.seq(), front);
                    self.plan(&mut plan, Planned { record, waiter, meta: None });
                }
                Command::Done { id } => self.end_message(&mut plan, id),
                Command::Close { .. } => {}
            }
        }
        self.flush(plan);
        if accepted > 0 {
            metrics::histogram!("outgate_spool_batch_messages").record(f64::from(accepted));
        }
    }

    /// Forgets a message and plans the record that says so.
    fn end_message(&mut self, plan: &mut Plan, id: u64) {
        let Some(record) = self.forget(id) else { return };
        self.plan(plan, Planned { record, waiter: None, meta: None });
    }

    /// Takes a message out of memory; gives the record that must follow. Its accepted record may have copies in the
    /// segments that cleaning works on: it refers to them as well.
    fn forget(&mut self, id: u64) -> Option<Record> {
        self.shared.cache().remove(id);
        let entry = self.shared.index().remove(id)?;
        self.dead(entry.accepted);
        self.dead(entry.progress);
        let targets: BTreeSet<u32> = self.shadows.iter().copied().chain([entry.accepted.segment]).collect();
        Some(Record::small(Kind::Done, id, self.seq(), encode_targets(targets).into()))
    }

    /// Takes the octets at `place` off the account of their segment.
    pub fn dead(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live = segment.live.saturating_sub(u64::from(place.len));
        }
    }

    /// Adds a record to the batch, after making room for it.
    fn plan(&mut self, plan: &mut Plan, planned: Planned) {
        let message = planned.record.kind == Kind::Accepted;
        let room = if self.relog.is_empty() {
            self.make_room(plan, planned.record.len(), message)
        } else {
            Err(SpoolError::Failed("the spool waits for the disk to recover".into()))
        };
        if let Err(error) = room {
            if !message {
                self.shared.healthy.store(false, Ordering::Relaxed);
            }
            // A record that ends a message or tells of it must come to the disk once there is room; one for which
            // somebody waits is theirs to repeat.
            if planned.waiter.is_none() {
                self.relog.push(planned.record);
            }
            answer(planned.waiter, Err(error));
            return;
        }
        plan.bytes += planned.record.len();
        plan.items.push(planned);
    }

    /// Sees to it that the open segment takes `len` more octets behind what is planned.
    fn make_room(&mut self, plan: &mut Plan, len: u64, message: bool) -> Result<(), SpoolError> {
        if message && self.free_bytes < self.options.free_bytes_min {
            return Err(SpoolError::Full);
        }
        if self.young.as_ref().is_some_and(|a| fits(a, plan.bytes + len, message)) {
            return Ok(());
        }
        self.flush(std::mem::take(plan));
        if self.young.as_ref().is_some_and(|a| fits(a, len, message)) {
            return Ok(());
        }
        self.look_at_disk();
        let made = self.open_segment(Generation::Young, len);
        let made = match made {
            Err(error) if !message => self.open_on_reserve(len).map_err(|_| error),
            other => other,
        };
        let next = made.map_err(|e| spool_error(&e))?;
        if let Some(full) = self.young.replace(next) {
            self.close(full);
        }
        Ok(())
    }

    /// Makes a segment that takes `len` octets and leaves `free_bytes_min` on the disk.
    pub fn open_segment(&mut self, generation: Generation, len: u64) -> io::Result<Appender> {
        let (options, free) = (&self.options, self.free_bytes);
        let usual = (free / 16).clamp(u64::from(options.segment_bytes_min), u64::from(options.segment_bytes));
        let share = u64::from(options.headroom_share);
        let wanted = u64::from(FILE_HEADER) + len + len / (share - 1) + 4096;
        let capacity = usual.max(wanted);
        if free < capacity + options.free_bytes_min {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let capacity = u32::try_from(capacity).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let message_limit = match generation {
            Generation::Young => capacity - capacity / options.headroom_share,
            Generation::Deferred => capacity,
        };
        self.create(generation, capacity, message_limit)
    }

    fn create(&mut self, generation: Generation, capacity: u32, message_limit: u32) -> io::Result<Appender> {
        let number = self.next_number;
        self.next_number = number.checked_add(1).ok_or_else(|| io::Error::other("segment numbers are used up"))?;
        let head = FileHeader { number, generation, salt: random_u64() | 1 };
        let made = Appender::create(self.disk(), self.dir(), head, capacity, message_limit)?;
        self.segments.insert(number, Segment::new());
        self.shared.index().salts.insert(number, head.salt);
        Ok(made)
    }

    /// Opens a segment for progress alone, on what the reserve file gives up.
    fn open_on_reserve(&mut self, len: u64) -> io::Result<Appender> {
        if self.reserve {
            tracing::warn!("the disk is full: the spool uses its reserve to record progress");
            self.reserve = false;
            self.disk().remove(&self.dir().join("reserve"))?;
            self.disk().sync_dir(self.dir())?;
        }
        // Half, so that the list of the segment and a second one find room.
        let capacity = u64::from(self.options.reserve_bytes / 2).max(u64::from(FILE_HEADER) + len);
        let capacity = u32::try_from(capacity).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.create(Generation::Young, capacity, FILE_HEADER)
    }

    /// Puts the reserve file in place where there is ample room.
    pub fn keep_reserve(&mut self) {
        if self.reserve {
            return;
        }
        let size = u64::from(self.options.reserve_bytes);
        if self.disk().free_bytes(self.dir()).unwrap_or(0) < size + self.options.free_bytes_min {
            return;
        }
        let path = self.dir().join("reserve");
        let made = self.disk().create(&path).and_then(|file| {
            if !file.allocate(size)? {
                file.write_at(&[io::IoSlice::new(&vec![0; self.options.reserve_bytes as usize])], 0)?;
            }
            file.sync_data()?;
            self.disk().sync_dir(self.dir())
        });
        match made {
            Ok(()) => self.reserve = true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.reserve = true,
            Err(error) => {
                tracing::warn!(%error, "cannot set up the reserve of the spool");
                let _ = self.disk().remove(&path);
            }
        }
    }

    /// Ends a segment that was synced.
    pub fn close(&mut self, appender: Appender) {
        let number = appender.head.number;
        self.closed(number, appender.end);
        // The seal only makes the next start faster; without it the segment is read record by record.
        if let Err(error) = appender.seal() {
            tracing::warn!(segment = number, %error, "cannot seal a spool segment");
        }
    }

    fn closed(&mut self, number: u32, end: u32) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.closed_at = Some(Instant::now());
            segment.written = u64::from(end.saturating_sub(FILE_HEADER));
        }
    }

    /// Gives up a segment after a failed write or sync. It is never synced again.
    pub fn abandon(&mut self, appender: Appender) {
        let (number, end) = (appender.head.number, appender.synced_to);
        tracing::error!(segment = number, "giving up a spool segment after a failed write or sync");
        self.closed(number, end);
        appender.abandon();
    }

    /// Writes the plan, syncs where somebody waits, answers.
    fn flush(&mut self, plan: Plan) {
        if plan.items.is_empty() {
            return;
        }
        let must_sync = plan.items.iter().any(|p| p.waiter.is_some());
        match self.write(plan.items.iter().map(|p| &p.record), must_sync) {
            Ok(offsets) => self.flushed(plan, &offsets, must_sync),
            Err(error) => self.failed(plan, &error),
        }
    }

    fn write<'a>(&mut self, records: impl Iterator<Item = &'a Record> + Clone, sync: bool) -> io::Result<Vec<u32>> {
        let young = self.young.as_mut().ok_or_else(|| io::Error::other("no open segment"))?;
        let offsets = young.append(records)?;
        if sync {
            let begun = Instant::now();
            young.sync()?;
            metrics::histogram!("outgate_spool_sync_seconds").record(begun.elapsed().as_secs_f64());
        }
        Ok(offsets)
    }

    fn flushed(&mut self, plan: Plan, offsets: &[u32], synced: bool) {
        let Some(number) = self.young.as_ref().map(|y| y.head.number) else { return };
        let mut unwanted = Vec::new();
        for (planned, offset) in plan.items.into_iter().zip(offsets) {
            let Planned { record, waiter, meta } = planned;
            self.account(number, *offset, &record);
            match (waiter, meta) {
                (Some(waiter), Some(meta)) => {
                    self.shared.cache().insert(record.id, meta, record.body.clone());
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
        // Nobody was told of these, so the client will send them again.
        for id in unwanted {
            let mut plan = Plan::default();
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

    /// Brings a written record into index and accounts.
    fn account(&mut self, number: u32, offset: u32, record: &Record) {
        let place = Place::of(number, offset, record);
        match record.kind {
            Kind::Accepted => {
                let entry = Entry { accepted: place, progress: Place::NONE };
                let former = self.shared.index().insert(record.id, entry);
                if let Some(former) = former {
                    // The same id again: the newer message counts, and ending it ends both.
                    self.dead(former.accepted);
                    self.dead(former.progress);
                    self.shadows.insert(former.accepted.segment);
                }
                self.add_live(place);
            }
            Kind::Progress => {
                let old = self.shared.index().get_mut(record.id).map(|e| std::mem::replace(&mut e.progress, place));
                if let Some(old) = old {
                    self.dead(old);
                    self.add_live(place);
                }
            }
            Kind::Done | Kind::Aborted => self.add_refs(number, record),
            Kind::Seal => {}
        }
    }

    /// Puts the octets at `place` on the account of their segment.
    pub fn add_live(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live += u64::from(place.len);
        }
    }

    /// Notes that `number` holds a record that is needed while other segments exist.
    pub fn add_refs(&mut self, number: u32, record: &Record) {
        for target in targets(&record.front) {
            // What refers to its own segment goes with it.
            if target == number || !self.segments.contains_key(&target) {
                continue;
            }
            if let Some(segment) = self.segments.get_mut(&number) {
                *segment.refs.entry(target).or_default() += record.len();
            }
        }
    }

    /// After a failed write or sync: the segment is given up, marks keep unacknowledged messages from reviving, what
    /// nobody waited for is written again elsewhere, and only then the waiters hear of it.
    fn failed(&mut self, plan: Plan, error: &io::Error) {
        tracing::error!(%error, records = plan.items.len(), "the spool could not write: messages are refused for now");
        let number = self.give_up_young();
        let (mut refused, mut rewritten) = (Vec::new(), Vec::new());
        for Planned { record, waiter, .. } in plan.items {
            if record.kind == Kind::Accepted {
                let front = encode_targets(number);
                self.relog.push(Record { kind: Kind::Aborted, front: front.into(), body: Bytes::new(), body_crc: 0, ..record });
                refused.extend(waiter);
            } else {
                self.relog.push(record);
                rewritten.extend(waiter);
            }
        }
        self.retry_relog();
        let error = spool_error(error);
        let rewrite = if self.relog.is_empty() { Ok(()) } else { Err(error.clone()) };
        refused.into_iter().for_each(|w| answer(Some(w), Err(error.clone())));
        rewritten.into_iter().for_each(|w| answer(Some(w), rewrite.clone()));
    }

    /// Abandons the open segment; what was in it unsynced is to be written again.
    fn give_up_young(&mut self) -> Option<u32> {
        let young = self.young.take()?;
        let number = young.head.number;
        self.abandon(young);
        let unsynced = std::mem::take(&mut self.unsynced);
        self.unsynced_since = None;
        self.relog.splice(0..0, unsynced);
        Some(number)
    }

    /// Tries to write what a failure left behind; the spool is healthy again once that is on disk.
    fn retry_relog(&mut self) {
        let nothing = self.relog.is_empty() && self.shared.healthy.load(Ordering::Relaxed);
        if nothing || self.retry_not_before.is_some_and(|moment| Instant::now() < moment) {
            return;
        }
        self.retry_not_before = None;
        if let Err(error) = self.write_relog() {
            tracing::error!(?error, records = self.relog.len(), "the spool cannot record progress: delivery pauses");
            self.retry_not_before = Some(Instant::now() + self.options.retry_after);
            self.shared.healthy.store(false, Ordering::Relaxed);
        }
    }

    fn write_relog(&mut self) -> Result<(), SpoolError> {
        // At least one record's worth of room is asked for: that is what healthy means.
        let len: u64 = self.relog.iter().map(Record::len).sum::<u64>().max(1024);
        self.make_room(&mut Plan::default(), len, false)?;
        let records = std::mem::take(&mut self.relog);
        let written = self.write(records.iter(), true);
        match written {
            Ok(offsets) => {
                let number = self.young.as_ref().map_or(0, |y| y.head.number);
                for (record, offset) in records.iter().zip(offsets) {
                    self.account(number, offset, record);
                }
                self.synced();
                Ok(())
            }
            Err(error) => {
                self.relog = records;
                self.give_up_young();
                Err(spool_error(&error))
            }
        }
    }

    /// Syncs what nobody waits for.
    pub fn sync_lazy(&mut self) {
        if self.unsynced_since.is_none() {
            return;
        }
        match self.write(std::iter::empty(), true) {
            Ok(_) => self.synced(),
            Err(error) => self.failed(Plan::default(), &error),
        }
    }

    /// Whether everything written is durable.
    pub const fn is_synced(&self) -> bool {
        self.unsynced_since.is_none() && self.relog.is_empty()
    }

    /// What is due between batches.
    pub fn tick(&mut self) {
        if self.unsynced_since.is_some_and(|since| since.elapsed() >= self.options.lazy_sync) {
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

    /// How long the writer may sleep while no command comes; `None` = until one comes.
    pub fn sleep(&self) -> Option<Duration> {
        if self.compaction.is_some() && self.is_synced() {
            return Some(Duration::ZERO);
        }
        if let Some(since) = self.unsynced_since {
            return Some(self.options.lazy_sync.saturating_sub(since.elapsed()));
        }
        let restless = !self.relog.is_empty() || !self.shared.healthy.load(Ordering::Relaxed) || !self.reserve;
        (restless || self.has_garbage()).then_some(Duration::from_secs(1))
    }

    /// Writes and syncs everything and seals the open segments.
    pub fn finish(&mut self) {
        self.sync_lazy();
        self.retry_relog();
        // Copies made so far stay as second copies, which the next start sees.
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

fn fits(appender: &Appender, len: u64, message: bool) -> bool {
    let limit = if message { appender.message_limit } else { appender.capacity };
    u64::from(appender.end) + len <= u64::from(limit) && (!message || appender.list_len() <= LIST_BYTES_MAX)
}

/// Gives the waiter, if there is one, its answer; one that has gone away is no matter.
fn answer(waiter: Option<Waiter>, result: Result<(), SpoolError>) {
    if let Some(waiter) = waiter {
        let _ = waiter.send(result);
    }
}

/// Whether the disk was full or failed.
pub fn spool_error(error: &io::Error) -> SpoolError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SpoolError::Full,
        _ => SpoolError::Failed(error.to_string()),
    }
}
