//! Recovery at start: builds index and accounts from the segments, and reports every live message,
//! oldest first.
//!
//! A sealed segment is read by the list in its seal, any other one record by record; bodies are not
//! read. A record that ends a message is valid in any segment. Of several progress records the last
//! written is valid. Of two copies of a message (after a crash during cleaning) the one in the
//! newer segment is valid, and the older segment becomes a shadow.

use super::format::{
    FILE_HEADER, FileHeader, Listed, RecordHeader, RecordKind, list_record, targets,
};
use super::index::{IndexEntry, RecordPlace};
use super::segment::{self, Scan};
use super::store::{SegmentAccount, SpoolStore};
use super::{Recovered, SpoolError};
use crate::env::DiskFile;
use crate::types::{MessageId, MessageMeta};
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::io;
use std::time::Instant;

/// Progress records held in memory while the messages are reported; further ones are read again one
/// by one.
const PROGRESS_BYTES_MAX: usize = 128 << 20;

/// The newest progress of a message seen so far.
struct NewestProgress {
    seq: u64,
    place: RecordPlace,
    record: Option<Box<[u8]>>,
}

/// Progress records by id of their message, in the order of the reports. Each is handed over once,
/// so that a million of them are not in memory twice.
type ProgressRecords = std::iter::Peekable<std::vec::IntoIter<(u64, Box<[u8]>)>>;

/// The result of the first pass.
#[derive(Default)]
struct Gathered {
    ended: HashSet<u64>,
    progress: HashMap<u64, NewestProgress>,
    progress_bytes: usize,
    /// Records that end a message: their segment, length, targets.
    ends: Vec<(u32, u64, Vec<u32>)>,
    /// Lists of segments that could not be sealed.
    lists: HashMap<u32, Vec<u8>>,
    seq: u64,
}

impl SpoolStore {
    /// Reads all segments and reports their live messages.
    pub(super) fn recover(&mut self, found: &mut dyn FnMut(Recovered)) -> Result<(), SpoolError> {
        let mut gathered = Gathered::default();
        let mut numbers: Vec<u32> = self
            .files()?
            .iter()
            .filter_map(|p| segment::number_of(p))
            .collect();
        numbers.sort_unstable();
        self.next_number = numbers.last().map_or(1, |n| n.saturating_add(1));
        for number in numbers {
            self.gather(number, &mut gathered)
                .map_err(|e| at_start(number, &e))?;
        }
        self.next_seq = gathered.seq + 1;
        let records = self.settle(&mut gathered);
        let live = self.shared.index().len();
        tracing::info!(
            messages = live,
            segments = self.segments.len(),
            "spool read"
        );
        self.report(&gathered.lists, records, found)
    }

    fn files(&self) -> Result<Vec<std::path::PathBuf>, SpoolError> {
        let files = self
            .disk()
            .list(self.dir())
            .map_err(|e| SpoolError::Failed(format!("cannot list the spool: {e}")))?;
        Ok(files)
    }

    fn gather(&mut self, number: u32, gathered: &mut Gathered) -> io::Result<()> {
        let path = segment::path(self.dir(), number);
        let file = self.disk().open(&path)?;
        let Some(head) = segment::read_file_header(&*file, number)? else {
            return self.headless(number, &*file);
        };
        let mut account = SegmentAccount::new();
        let (list, end) = match segment::read_list(&*file, head.salt)? {
            Some(sealed) => sealed,
            None => self.search(&*file, head, &mut account, gathered)?,
        };
        account.written = u64::from(end.saturating_sub(FILE_HEADER));
        account.closed_at = Some(Instant::now());
        self.segments.insert(number, account);
        self.shared.index().salts.insert(number, head.salt);
        for (offset, header, front) in Listed::new(&list, head.salt) {
            self.take(number, offset, &header, front, gathered);
        }
        Ok(())
    }

    /// A segment whose head cannot be read: empty after a crash during its creation, or badly
    /// damaged.
    fn headless(&mut self, number: u32, file: &dyn DiskFile) -> io::Result<()> {
        let path = segment::path(self.dir(), number);
        let len = file.size()?;
        if segment::last_octet(file, u64::from(FILE_HEADER).min(len), len)?
            <= u64::from(FILE_HEADER)
        {
            tracing::info!(
                segment = number,
                "removing a spool segment that was never begun"
            );
            self.disk().remove(&path)?;
            return self.disk().sync_dir(self.dir());
        }
        let folder = self.dir().join("damaged");
        self.disk().create_dir(&folder)?;
        let target = folder.join(format!("{number:010}.seg"));
        self.disk().rename(&path, &target)?;
        self.disk().sync_dir(&folder)?;
        tracing::error!(segment = number, copy = %target.display(), "the head of a spool segment is damaged: all of it was set aside");
        self.disk().sync_dir(self.dir())
    }

    /// Reads a segment without a usable list, record by record, and seals it if possible.
    fn search(
        &self,
        file: &dyn DiskFile,
        head: FileHeader,
        account: &mut SegmentAccount,
        gathered: &mut Gathered,
    ) -> io::Result<(Vec<u8>, u32)> {
        let Scan {
            records,
            mut damaged,
            end,
            torn,
        } = segment::scan(file, head.salt)?;
        if torn > 0 {
            // After a crash these are records that were never acknowledged. But acknowledged
            // records that were damaged later look the same if no intact record follows. The seal
            // overwrites them, so a copy is kept.
            damaged.push((
                end,
                u32::try_from(u64::from(end) + torn).unwrap_or(u32::MAX),
            ));
        }
        for (from, to) in damaged {
            match segment::set_aside(
                self.disk(),
                self.dir(),
                file,
                head.number,
                u64::from(from),
                u64::from(to),
            ) {
                Ok(copy) if torn > 0 && from == end => {
                    tracing::warn!(segment = head.number, from, to, copy = %copy.display(), "the torn end of a spool segment was set aside");
                }
                Ok(copy) => {
                    tracing::error!(segment = head.number, from, to, copy = %copy.display(), "damage in the spool, set aside");
                }
                Err(error) => {
                    account.keep = true;
                    tracing::error!(segment = head.number, from, to, %error, "damage in the spool, which cannot be set aside");
                }
            }
        }
        let mut list = Vec::new();
        for (offset, header, front) in &records {
            list_record(&mut list, *offset, &header.encode(head.salt), front);
        }
        let sealed = !account.keep
            && segment::write_seal(file, head.salt, end, list.clone())
                .inspect_err(|error| tracing::warn!(segment = head.number, %error, "cannot seal a spool segment"))
                .is_ok();
        if !sealed {
            gathered.lists.insert(head.number, list.clone());
        }
        Ok((list, end))
    }

    fn take(
        &mut self,
        number: u32,
        offset: u32,
        header: &RecordHeader,
        front: &[u8],
        gathered: &mut Gathered,
    ) {
        gathered.seq = gathered.seq.max(header.seq);
        let place = RecordPlace {
            segment: number,
            offset,
            len: u32::try_from(header.total_len()).unwrap_or(u32::MAX),
        };
        match header.kind {
            RecordKind::Accepted if !gathered.ended.contains(&header.id) => {
                let entry = IndexEntry {
                    accepted: place,
                    progress: RecordPlace::NONE,
                };
                if let Some(older) = self.shared.index().insert(header.id, entry) {
                    self.shadows.insert(older.accepted.segment);
                }
            }
            RecordKind::Progress => gathered.progress(header, place, front),
            RecordKind::Done | RecordKind::Aborted => {
                gathered.ended.insert(header.id);
                gathered.progress.remove(&header.id);
                self.shared.index().remove(header.id);
                gathered
                    .ends
                    .push((number, header.total_len(), targets(front).collect()));
            }
            RecordKind::Accepted | RecordKind::Seal => {}
        }
    }

    /// Fills the accounts once all records are known; returns the progress of live messages.
    fn settle(&mut self, gathered: &mut Gathered) -> ProgressRecords {
        let shared = std::sync::Arc::clone(&self.shared);
        let mut index = shared.index();
        let mut records = Vec::with_capacity(gathered.progress.len());
        for (id, progress) in std::mem::take(&mut gathered.progress) {
            if let Some(entry) = index.get_mut(id) {
                entry.progress = progress.place;
                records.extend(progress.record.map(|record| (id, record)));
            }
        }
        records.sort_unstable_by_key(|(id, _)| *id);
        for (_, entry) in index.iter() {
            self.add_live(entry.accepted);
            self.add_live(entry.progress);
        }
        drop(index);
        let numbers: HashSet<u32> = self.segments.keys().copied().collect();
        for (holder, len, targets) in std::mem::take(&mut gathered.ends) {
            let Some(segment) = self.segments.get_mut(&holder) else {
                continue;
            };
            for target in targets {
                if target != holder && numbers.contains(&target) {
                    *segment.refs.entry(target).or_default() += len;
                }
            }
        }
        records.into_iter().peekable()
    }

    /// Reports the live messages in order of their ids, which is the order of acceptance. The list
    /// of a segment is loaded for its first message and dropped after its last, so that few lists
    /// are in memory at a time.
    fn report(
        &self,
        lists: &HashMap<u32, Vec<u8>>,
        mut records: ProgressRecords,
        found: &mut dyn FnMut(Recovered),
    ) -> Result<(), SpoolError> {
        let mut first: BTreeMap<u32, u64> = BTreeMap::new();
        for (id, entry) in self.shared.index().iter() {
            first
                .entry(entry.accepted.segment)
                .and_modify(|f| *f = (*f).min(id))
                .or_insert(id);
        }
        let mut heap: BinaryHeap<Reverse<(u64, u32)>> = first
            .into_iter()
            .map(|(segment, id)| Reverse((id, segment)))
            .collect();
        let mut open: HashMap<u32, std::vec::IntoIter<(u64, Vec<u8>)>> = HashMap::new();
        while let Some(Reverse((id, number))) = heap.pop() {
            let fronts = match open.entry(number) {
                std::collections::hash_map::Entry::Occupied(slot) => slot.into_mut(),
                std::collections::hash_map::Entry::Vacant(slot) => slot.insert(
                    self.live_fronts(number, lists)
                        .map_err(|e| at_start(number, &e))?,
                ),
            };
            if let Some((_, front)) = fronts.next()
                && let Some(message) = self.recovered(id, &front, &mut records)?
            {
                found(message);
            }
            match fronts.as_slice().first() {
                Some((next, _)) => heap.push(Reverse((*next, number))),
                None => {
                    open.remove(&number);
                }
            }
        }
        Ok(())
    }

    /// Metas of the live messages of a segment, by id.
    fn live_fronts(
        &self,
        number: u32,
        lists: &HashMap<u32, Vec<u8>>,
    ) -> io::Result<std::vec::IntoIter<(u64, Vec<u8>)>> {
        let salt = self.shared.index().salts.get(&number).copied().unwrap_or(0);
        let read;
        let list = match lists.get(&number) {
            Some(list) => list,
            None => {
                let file = self.disk().open(&segment::path(self.dir(), number))?;
                read = segment::read_list(&*file, salt)?
                    .map(|(list, _)| list)
                    .unwrap_or_default();
                &read
            }
        };
        let index = self.shared.index();
        let mut fronts: Vec<(u64, Vec<u8>)> = Listed::new(list, salt)
            .filter(|(offset, header, _)| {
                let here =
                    |e: IndexEntry| e.accepted.segment == number && e.accepted.offset == *offset;
                header.kind == RecordKind::Accepted && index.get(header.id).is_some_and(here)
            })
            .map(|(_, header, front)| (header.id, front.to_vec()))
            .collect();
        fronts.sort_unstable_by_key(|(id, _)| *id);
        Ok(fronts.into_iter())
    }

    fn recovered(
        &self,
        id: u64,
        front: &[u8],
        records: &mut ProgressRecords,
    ) -> Result<Option<Recovered>, SpoolError> {
        let meta: MessageMeta = match serde_json::from_slice(front) {
            Ok(meta) => meta,
            Err(error) => {
                // The sum is correct, so another version wrote this envelope. It stays in the
                // spool.
                tracing::error!(id = %MessageId(id), %error, "the envelope of a spooled message cannot be read: it is left alone");
                return Ok(None);
            }
        };
        while records.next_if(|(other, _)| *other < id).is_some() {}
        let place = self
            .shared
            .index()
            .get(id)
            .map_or(RecordPlace::NONE, |entry| entry.progress);
        let progress = match records.next_if(|(other, _)| *other == id) {
            Some((_, record)) => Some(Bytes::from(record)),
            None if place == RecordPlace::NONE => None,
            None => self
                .read_progress(place)
                .map_err(|e| at_start(place.segment, &e))?,
        };
        Ok(Some(Recovered {
            id: MessageId(id),
            progress,
            meta,
        }))
    }

    fn read_progress(&self, place: RecordPlace) -> io::Result<Option<Bytes>> {
        let salt = self
            .shared
            .index()
            .salts
            .get(&place.segment)
            .copied()
            .unwrap_or(0);
        let file = self
            .disk()
            .open(&segment::path(self.dir(), place.segment))?;
        let bytes = segment::read_range(&*file, u64::from(place.offset), place.len as usize)?;
        Ok(match segment::check_record(&bytes, salt) {
            Ok((_, front, _)) => Some(Bytes::from(bytes).slice(front)),
            Err(broken) => {
                tracing::error!(
                    segment = place.segment,
                    offset = place.offset,
                    why = broken.0,
                    "a progress record is damaged"
                );
                None
            }
        })
    }
}

impl Gathered {
    fn progress(&mut self, header: &RecordHeader, place: RecordPlace, front: &[u8]) {
        if self.ended.contains(&header.id) {
            return;
        }
        let newer = self
            .progress
            .get(&header.id)
            .is_none_or(|known| header.seq >= known.seq);
        if newer {
            self.progress_bytes += front.len();
            let record = (self.progress_bytes <= PROGRESS_BYTES_MAX).then(|| front.into());
            let old = self.progress.insert(
                header.id,
                NewestProgress {
                    seq: header.seq,
                    place,
                    record,
                },
            );
            if let Some(old) = old.and_then(|o| o.record) {
                self.progress_bytes = self.progress_bytes.saturating_sub(old.len());
            }
        }
    }
}

fn at_start(number: u32, error: &io::Error) -> SpoolError {
    SpoolError::Failed(format!("cannot read spool segment {number}: {error}"))
}
