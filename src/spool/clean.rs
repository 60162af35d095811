//! Cleaning: segments without needed records are deleted. Segments with few live octets are
//! emptied: what is live is copied into the deferred generation.
//!
//! A closed segment is emptied once, and only when at most [`LIVE_SHARE_MAX`] of it is still
//! needed. So of all octets ever written (accepted A and rewritten R) at most that share is
//! rewritten: R <= s (A + R), which is R <= 0.43 A for 0.3. Mail that stays longer, such as a
//! million messages for a destination that is down, is copied at most once.

use super::format::{Generation, RecordKind, encode_targets, targets};
use super::index::RecordPlace;
use super::segment::{self, Record};
use super::store::SpoolStore;
use crate::env::DiskFile;
use bytes::Bytes;
use std::io;
use std::time::{Duration, Instant};

/// A segment with a larger needed share is not emptied.
pub(super) const LIVE_SHARE_MAX: f64 = 0.3;
/// Octets of copies between two syncs.
const SYNC_BYTES: u32 = 2 << 20;
/// Most segments deleted between two batches.
const DELETE_STEP: usize = 4;
/// Pause after a failed attempt.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(10);

/// A segment being emptied.
pub(super) struct Compaction {
    source: u32,
    salt: u64,
    file: Box<dyn DiskFile>,
    file_len: u64,
    at: u64,
    moved: Vec<Moved>,
    /// Deferred segments that are shadows only because of this cleaning.
    shadowed: Vec<u32>,
}

/// A copied record; the copy becomes valid once it is durable.
struct Moved {
    id: u64,
    kind: RecordKind,
    from: RecordPlace,
    to: RecordPlace,
}

impl SpoolStore {
    /// One step of cleaning. It runs only when everything written is durable: otherwise it could
    /// delete a record whose replacement is not yet on disk.
    pub(super) fn clean(&mut self) {
        if !self.is_synced()
            || self
                .clean_not_before
                .is_some_and(|moment| Instant::now() < moment)
        {
            return;
        }
        self.clean_not_before = None;
        if let Err(error) = self.clean_step() {
            tracing::warn!(%error, "cleaning the spool failed; trying again later");
            self.drop_compaction();
            self.clean_not_before = Some(Instant::now() + PAUSE_AFTER_ERROR);
        }
    }

    fn clean_step(&mut self) -> io::Result<()> {
        self.delete_dead()?;
        if self.compaction.is_none() {
            let Some(source) = self.candidate() else {
                return Ok(());
            };
            self.compaction = Some(self.begin(source)?);
        }
        let Some(mut compaction) = self.compaction.take() else {
            return Ok(());
        };
        let more = self.copy_some(&mut compaction);
        match more {
            Ok(true) => self.compaction = Some(compaction),
            Ok(false) => self.finish_compaction(compaction)?,
            Err(error) => {
                self.compaction = Some(compaction);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether a segment is or may soon be worth cleaning.
    pub(super) fn has_garbage(&self) -> bool {
        self.segments
            .values()
            .any(|s| s.closed_at.is_some() && !s.keep && s.needed() <= s.worth())
    }

    fn candidate(&self) -> Option<u32> {
        let now = Instant::now();
        let old = |at: Instant| now.saturating_duration_since(at) >= self.options.compact_after;
        self.segments
            .iter()
            .find(|(_, s)| !s.keep && s.closed_at.is_some_and(old) && s.needed() <= s.worth())
            .map(|(n, _)| *n)
    }

    /// Deletes segments in which nothing is needed.
    fn delete_dead(&mut self) -> io::Result<()> {
        let busy = self.compaction.as_ref().map(|c| c.source);
        let dead: Vec<u32> = self
            .segments
            .iter()
            .filter(|(n, s)| {
                s.closed_at.is_some() && !s.keep && s.needed() == 0 && Some(**n) != busy
            })
            .map(|(n, _)| *n)
            .take(DELETE_STEP)
            .collect();
        if dead.is_empty() {
            Ok(())
        } else {
            self.delete(&dead)
        }
    }

    /// Deletes segments. Records that refer to them are no longer needed once their names are
    /// durably removed.
    fn delete(&mut self, numbers: &[u32]) -> io::Result<()> {
        for number in numbers {
            match self.disk().remove(&segment::path(self.dir(), *number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.disk().sync_dir(self.dir())?;
        for number in numbers {
            self.segments.remove(number);
            self.shadows.remove(number);
            self.shared.index().salts.remove(number);
        }
        for segment in self.segments.values_mut() {
            segment.refs.retain(|target, _| !numbers.contains(target));
        }
        Ok(())
    }

    fn begin(&mut self, source: u32) -> io::Result<Compaction> {
        let file = self.disk().open(&segment::path(self.dir(), source))?;
        let file_len = file.size()?;
        let salt = self.shared.index().salts.get(&source).copied().unwrap_or(0);
        self.shadows.insert(source);
        let at = u64::from(super::format::FILE_HEADER);
        Ok(Compaction {
            source,
            salt,
            file,
            file_len,
            at,
            moved: Vec::new(),
            shadowed: Vec::new(),
        })
    }

    /// Copies about `compact_step` octets; `false` at the end of the segment.
    fn copy_some(&mut self, job: &mut Compaction) -> io::Result<bool> {
        let mut batch: Vec<(Record, RecordPlace)> = Vec::new();
        let (mut bytes, mut looked_at, mut more) = (0, 0, true);
        while bytes < self.options.compact_step && looked_at < self.options.compact_step / 512 {
            looked_at += 1;
            let Some((header, front)) =
                segment::read_head(&*job.file, job.salt, job.at, job.file_len)?
            else {
                more = self.skip_damage(job)?;
                if more { continue } else { break }
            };
            if header.kind == RecordKind::Seal {
                more = false;
                break;
            }
            let (Ok(offset), Ok(len)) = (u32::try_from(job.at), u32::try_from(header.total_len()))
            else {
                return Err(io::Error::other("a spool segment is too large"));
            };
            let place = RecordPlace {
                segment: job.source,
                offset,
                len,
            };
            let record = Record {
                kind: header.kind,
                id: header.id,
                seq: header.seq,
                front: front.into(),
                body: Bytes::new(),
                body_crc: header.body_crc,
            };
            job.at += header.total_len();
            if let Some(record) = self.needed_copy(job, record, place)? {
                bytes += usize::try_from(record.len()).unwrap_or(usize::MAX);
                batch.push((record, place));
            }
        }
        self.copy(job, &batch)?;
        // Syncs in small portions, so that no batch of new mail waits for the sync of a whole
        // segment.
        match self.deferred.as_mut() {
            Some(deferred) if deferred.end - deferred.synced_to >= SYNC_BYTES => deferred.sync()?,
            _ => {}
        }
        Ok(more)
    }

    /// The record to copy, with its body; `None` if it is dead.
    fn needed_copy(
        &mut self,
        job: &Compaction,
        mut record: Record,
        place: RecordPlace,
    ) -> io::Result<Option<Record>> {
        let entry = self.shared.index().get(record.id);
        match record.kind {
            RecordKind::Accepted if entry.is_some_and(|e| e.accepted == place) => {
                let whole =
                    segment::read_range(&*job.file, u64::from(place.offset), place.len as usize)?;
                match segment::check_record(&whole, job.salt) {
                    Ok((_, _, body)) => record.body = Bytes::from(whole).slice(body),
                    Err(broken) => {
                        let end = u64::from(place.offset) + u64::from(place.len);
                        self.report_damage(job, u64::from(place.offset), end, broken.0)?;
                        return Ok(None);
                    }
                }
                Ok(Some(record))
            }
            RecordKind::Progress if entry.is_some_and(|e| e.progress == place) => Ok(Some(record)),
            RecordKind::Done | RecordKind::Aborted => {
                let left: Vec<u32> = targets(&record.front)
                    .filter(|t| *t != job.source && self.segments.contains_key(t))
                    .collect();
                record.front = encode_targets(left.iter().copied()).into();
                Ok((!left.is_empty()).then_some(record))
            }
            _ => Ok(None),
        }
    }

    fn copy(&mut self, job: &mut Compaction, batch: &[(Record, RecordPlace)]) -> io::Result<()> {
        let mut rest = batch;
        while let Some(((first, _), _)) = rest.split_first() {
            self.deferred_room(job, first.len())?;
            let Some(deferred) = self.deferred.as_mut() else {
                return Ok(());
            };
            let (number, mut end) = (deferred.head.number, u64::from(deferred.end));
            let fitting = rest
                .iter()
                .take_while(|(r, _)| {
                    end += r.len();
                    end <= u64::from(deferred.capacity)
                })
                .count();
            let (now, later) = rest.split_at(fitting.max(1).min(rest.len()));
            let offsets = deferred.append(now.iter().map(|(r, _)| r))?;
            for ((record, from), offset) in now.iter().zip(offsets) {
                self.rewritten += record.len();
                if matches!(record.kind, RecordKind::Done | RecordKind::Aborted) {
                    self.add_refs(number, record);
                } else {
                    let to = RecordPlace::of(number, offset, record);
                    job.moved.push(Moved {
                        id: record.id,
                        kind: record.kind,
                        from: *from,
                        to,
                    });
                }
            }
            rest = later;
        }
        Ok(())
    }

    fn deferred_room(&mut self, job: &mut Compaction, len: u64) -> io::Result<()> {
        let fits = self
            .deferred
            .as_ref()
            .is_some_and(|d| u64::from(d.end) + len <= u64::from(d.capacity));
        if !fits {
            if let Some(mut full) = self.deferred.take() {
                match full.sync() {
                    Ok(()) => self.close(full),
                    Err(error) => {
                        self.abandon(full);
                        return Err(error);
                    }
                }
            }
            self.look_at_disk();
            self.deferred = Some(self.open_segment(Generation::Deferred, len)?);
        }
        // Until the copies become valid, a record that ends one of these messages must end its
        // copy, too.
        if let Some(number) = self.deferred.as_ref().map(|d| d.head.number)
            && self.shadows.insert(number)
        {
            job.shadowed.push(number);
        }
        Ok(())
    }

    /// Makes the copies durable, replaces the originals by them and deletes the source.
    fn finish_compaction(&mut self, job: Compaction) -> io::Result<()> {
        if let Some(mut deferred) = self.deferred.take() {
            if let Err(error) = deferred.sync() {
                self.deferred = Some(deferred);
                self.compaction = Some(job);
                return Err(error);
            }
            self.deferred = Some(deferred);
        }
        for moved in &job.moved {
            let switched = self.shared.index().get_mut(moved.id).is_some_and(|entry| {
                let slot = if moved.kind == RecordKind::Accepted {
                    &mut entry.accepted
                } else {
                    &mut entry.progress
                };
                let same = *slot == moved.from;
                if same {
                    *slot = moved.to;
                }
                same
            });
            if switched {
                self.dead(moved.from);
                self.add_live(moved.to);
            }
        }
        if let Some(source) = self.segments.get_mut(&job.source) {
            source.refs.clear();
            source.live = 0;
        }
        for number in &job.shadowed {
            self.shadows.remove(number);
        }
        self.delete_dead()
    }

    /// Stops emptying a segment. Its copies remain as second copies, and `shadows` names their
    /// segments.
    pub(super) fn drop_compaction(&mut self) {
        let Some(job) = self.compaction.take() else {
            return;
        };
        self.shadows.remove(&job.source);
        if let Some(deferred) = self.deferred.take() {
            // This segment may be the one that failed, so it must never be synced again.
            self.abandon(deferred);
        }
    }

    /// Skips octets that are no record, after setting them aside; `false` if no record follows.
    fn skip_damage(&mut self, job: &mut Compaction) -> io::Result<bool> {
        let next = segment::next_record(&*job.file, job.salt, job.at + 1, job.file_len)?;
        let end = match next {
            Some(next) => next,
            None => segment::last_octet(&*job.file, job.at, job.file_len)?,
        };
        if end > job.at {
            self.report_damage(job, job.at, end, "no record stands there")?;
        }
        job.at = end;
        Ok(next.is_some())
    }

    /// Sets a damaged stretch aside and removes its messages from index and accounts.
    fn report_damage(&mut self, job: &Compaction, from: u64, to: u64, why: &str) -> io::Result<()> {
        let copy = segment::set_aside(self.disk(), self.dir(), &*job.file, job.source, from, to)?;
        let inside =
            |p: RecordPlace| p.segment == job.source && (from..to).contains(&u64::from(p.offset));
        let lost: Vec<u64> = self
            .shared
            .index()
            .iter()
            .filter(|(_, e)| inside(e.accepted))
            .map(|(id, _)| id)
            .collect();
        tracing::error!(segment = job.source, from, to, why, copy = %copy.display(), messages = lost.len(), "damage in the spool, set aside");
        for id in lost {
            let entry = self.shared.index().remove(id);
            if let Some(entry) = entry {
                self.dead(entry.accepted);
                self.dead(entry.progress);
            }
        }
        Ok(())
    }
}
