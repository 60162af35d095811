//! The spool: what has been accepted, durably, until it is done.

use crate::types::{MessageId, MessageMeta};
use bytes::Bytes;
use std::path::Path;

/// Why the spool could not do something. All of these are ours, none the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolError {
    /// No room: 452 4.3.1, try later.
    Full,
    /// Write or sync failed: 451 4.3.0, try later.
    Failed(String),
    /// No such message (or already done).
    NotFound,
    /// The record is damaged; it has been set aside.
    Damaged(String),
}

/// A message found at start.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// Id.
    pub id: MessageId,
    /// The newest progress record, as the queue wrote it; `None` = none yet.
    pub progress: Option<Bytes>,
    /// Meta as accepted.
    pub meta: MessageMeta,
}

/// Handle to the spool; cheap to clone.
#[derive(Clone)]
pub struct Spool {}

impl Spool {
    /// Opens or creates the spool under `dir` and gives what was found in it through `found`, oldest first.
    pub fn open(_dir: &Path, _found: &mut dyn FnMut(Recovered)) -> Result<Self, SpoolError> {
        unimplemented!()
    }
    /// Appends meta and body; returns once both are on disk (one fdatasync serves all that wait).
    pub async fn accept(&self, _meta: &MessageMeta, _body: Bytes) -> Result<(), SpoolError> {
        unimplemented!()
    }
    /// Replaces the progress record of a message; returns once it is on disk.
    pub async fn progress(&self, _id: MessageId, _record: Bytes) -> Result<(), SpoolError> {
        unimplemented!()
    }
    /// Replaces the progress record; written at once, synced with the next batch, nobody waits.
    pub fn progress_lazy(&self, _id: MessageId, _record: Bytes) {
        unimplemented!()
    }
    /// Marks a message as done; written at once, synced with the next batch, nobody waits.
    pub fn done(&self, _id: MessageId) {
        unimplemented!()
    }
    /// Meta and body of a message; fresh ones come from memory.
    pub async fn read(&self, _id: MessageId) -> Result<(MessageMeta, Bytes), SpoolError> {
        unimplemented!()
    }
    /// Whether progress can be recorded at present; when not, delivery pauses.
    pub fn is_healthy(&self) -> bool {
        unimplemented!()
    }
    /// Writes and syncs everything that waits and ends the writer.
    pub async fn close(&self) {
        unimplemented!()
    }
}
