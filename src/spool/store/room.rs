//! Room for records: opens, closes and abandons segments, and keeps a reserve for progress on a
//! full disk.

use super::{SegmentAccount, SpoolStore, WritePlan, spool_error};
use crate::env::random_u64;
use crate::spool::SpoolError;
use crate::spool::format::{FILE_HEADER, FileHeader, Generation};
use crate::spool::segment::Appender;
use std::io;
use std::time::Instant;

/// A larger list for the seal closes the segment. This bounds memory if messages are tiny.
const LIST_BYTES_MAX: usize = 16 << 20;

impl SpoolStore {
    /// Makes sure that the open segment has room for `len` more octets after the planned ones.
    pub(super) fn make_room(
        &mut self,
        plan: &mut WritePlan,
        len: u64,
        message: bool,
    ) -> Result<(), SpoolError> {
        if message && self.free_bytes < self.options.free_bytes_min {
            return Err(SpoolError::Full);
        }
        if self
            .young
            .as_ref()
            .is_some_and(|a| fits(a, plan.bytes + len, message))
        {
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

    /// Creates a segment that has room for `len` octets and leaves `free_bytes_min` on the disk.
    pub(in crate::spool) fn open_segment(
        &mut self,
        generation: Generation,
        len: u64,
    ) -> io::Result<Appender> {
        let (options, free) = (&self.options, self.free_bytes);
        let smallest = u64::from(options.segment_bytes_min);
        let usual = (free / 16).clamp(smallest, u64::from(options.segment_bytes));
        // It is smaller if the usual size would not leave enough free space, but the smallest does.
        let usual = usual.min(free.saturating_sub(options.free_bytes_min).max(smallest));
        let share = u64::from(options.headroom_share);
        let wanted = u64::from(FILE_HEADER) + len + len / (share - 1) + 4096;
        let capacity = usual.max(wanted);
        if free < capacity + options.free_bytes_min {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let capacity =
            u32::try_from(capacity).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let message_limit = match generation {
            Generation::Young => capacity - capacity / options.headroom_share,
            Generation::Deferred => capacity,
        };
        self.create(generation, capacity, message_limit)
    }

    pub(super) fn create(
        &mut self,
        generation: Generation,
        capacity: u32,
        message_limit: u32,
    ) -> io::Result<Appender> {
        let number = self.next_number;
        self.next_number = number
            .checked_add(1)
            .ok_or_else(|| io::Error::other("segment numbers are used up"))?;
        let head = FileHeader {
            number,
            generation,
            salt: random_u64() | 1,
        };
        let made = Appender::create(self.disk(), self.dir(), head, capacity, message_limit)?;
        self.segments.insert(number, SegmentAccount::new());
        self.shared.index().salts.insert(number, head.salt);
        Ok(made)
    }

    /// Opens a segment for progress only, in the space of the reserve file.
    pub(super) fn open_on_reserve(&mut self, len: u64) -> io::Result<Appender> {
        if self.reserve {
            tracing::warn!("the disk is full: the spool uses its reserve to record progress");
            self.reserve = false;
            self.disk().remove(&self.dir().join("reserve"))?;
            self.disk().sync_dir(self.dir())?;
        }
        // Half of it, so that the list of the segment and a second segment have room.
        let capacity = u64::from(self.options.reserve_bytes / 2).max(u64::from(FILE_HEADER) + len);
        let capacity =
            u32::try_from(capacity).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.create(Generation::Young, capacity, FILE_HEADER)
    }

    /// Creates the reserve file if there is ample room: it must not make the disk full for mail.
    pub(in crate::spool) fn keep_reserve(&mut self) {
        if self.reserve {
            return;
        }
        let size = u64::from(self.options.reserve_bytes);
        if self.disk().free_bytes(self.dir()).unwrap_or(0) < size + self.shared.free_bytes_needed {
            return;
        }
        let path = self.dir().join("reserve");
        let made = self.disk().create(&path).and_then(|file| {
            if !file.allocate(size)? {
                file.write_at(
                    &[io::IoSlice::new(&vec![
                        0;
                        self.options.reserve_bytes as usize
                    ])],
                    0,
                )?;
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
    pub(crate) fn close(&mut self, appender: Appender) {
        let number = appender.head.number;
        self.closed(number, appender.end);
        // The seal only makes the next start faster; without it the segment is read record by
        // record.
        if let Err(error) = appender.seal() {
            tracing::warn!(segment = number, %error, "cannot seal a spool segment");
        }
    }

    pub(super) fn closed(&mut self, number: u32, end: u32) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.closed_at = Some(Instant::now());
            segment.written = u64::from(end.saturating_sub(FILE_HEADER));
        }
    }

    /// Abandons a segment after a failed write or sync. It is never synced again.
    pub(crate) fn abandon(&mut self, appender: Appender) {
        let (number, end) = (appender.head.number, appender.synced_to);
        tracing::error!(
            segment = number,
            "giving up a spool segment after a failed write or sync"
        );
        self.closed(number, end);
        appender.abandon();
    }
}

fn fits(appender: &Appender, len: u64, message: bool) -> bool {
    let limit = if message {
        appender.message_limit
    } else {
        appender.capacity
    };
    u64::from(appender.end) + len <= u64::from(limit)
        && (!message || appender.list_len() <= LIST_BYTES_MAX)
}
