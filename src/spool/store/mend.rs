//! After a failed write or sync: which records are written again, and what the callers are
//! answered.

use super::{Planned, SpoolStore, WritePlan, answer, spool_error};
use crate::spool::SpoolError;
use crate::spool::format::{RecordKind, encode_targets};
use crate::spool::segment::Record;
use bytes::Bytes;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl SpoolStore {
    /// Handles a failed write or sync. It abandons the segment, marks unacknowledged messages as
    /// aborted so that no restart revives them, and writes all other records again in another
    /// segment. Only then the callers get their answers.
    pub(super) fn failed(&mut self, plan: WritePlan, error: &io::Error) {
        tracing::error!(%error, records = plan.items.len(), "the spool could not write: messages are refused for now");
        let number = self.give_up_young();
        let (mut refused, mut rewritten) = (Vec::new(), Vec::new());
        for Planned { record, waiter, .. } in plan.items {
            if record.kind == RecordKind::Accepted {
                let front = encode_targets(number);
                self.relog.push(Record {
                    kind: RecordKind::Aborted,
                    front: front.into(),
                    body: Bytes::new(),
                    body_crc: 0,
                    ..record
                });
                refused.extend(waiter);
            } else {
                self.relog.push(record);
                rewritten.extend(waiter);
            }
        }
        self.retry_relog();
        let error = spool_error(error);
        let rewrite = if self.relog.is_empty() {
            Ok(())
        } else {
            Err(error.clone())
        };
        refused
            .into_iter()
            .for_each(|w| answer(Some(w), Err(error.clone())));
        rewritten
            .into_iter()
            .for_each(|w| answer(Some(w), rewrite.clone()));
    }

    /// Abandons the open segment; its unsynced records are written again.
    pub(super) fn give_up_young(&mut self) -> Option<u32> {
        let young = self.young.take()?;
        let number = young.head.number;
        self.abandon(young);
        let unsynced = std::mem::take(&mut self.unsynced);
        self.unsynced_since = None;
        self.relog.splice(0..0, unsynced);
        Some(number)
    }

    /// Tries to write the records of an earlier failure; the spool is healthy again once they are
    /// on disk.
    pub(super) fn retry_relog(&mut self) {
        let nothing = self.relog.is_empty() && self.shared.healthy.load(Ordering::Relaxed);
        if nothing
            || self
                .retry_not_before
                .is_some_and(|moment| Instant::now() < moment)
        {
            return;
        }
        self.retry_not_before = None;
        if let Err(error) = self.write_relog() {
            tracing::error!(
                ?error,
                records = self.relog.len(),
                "the spool cannot record progress: delivery pauses"
            );
            self.retry_not_before = Some(Instant::now() + self.options.retry_after);
            self.shared.healthy.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn write_relog(&mut self) -> Result<(), SpoolError> {
        // It asks for room for at least one record, because a healthy spool must have that.
        let len: u64 = self.relog.iter().map(Record::len).sum::<u64>().max(1024);
        self.make_room(&mut WritePlan::default(), len, false)?;
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
}
