//! The spool: holds accepted mail durably until it is done.
//!
//! Append-only segments, one writer, one fdatasync for all waiting callers. [`format`] has the
//! format, `docs/decisions/0003-spool.md` the reasons. A message is `accept`ed, its `progress`
//! recorded, and it ends with `done`.

mod clean;
pub(crate) mod format;
mod index;
mod recover;
mod segment;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use crate::env::{Disk, SystemDisk, Vitals};
use crate::types::{MessageId, MessageMeta};
use bytes::Bytes;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use store::{SpoolOptions, SpoolShared, SpoolStore};
use tokio::sync::{Semaphore, oneshot};

/// Why an operation of the spool failed. The cause is always the relay, never the client.
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

impl std::fmt::Display for SpoolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("the disk is full"),
            Self::Failed(what) => f.write_str(what),
            Self::NotFound => f.write_str("no such message"),
            Self::Damaged(what) => write!(f, "damaged: {what}"),
        }
    }
}

/// A message found at start.
#[derive(Debug, Clone)]
pub struct Recovered {
    pub id: MessageId,
    /// The newest progress record, as the queue wrote it; `None` = none yet.
    pub progress: Option<Bytes>,
    pub meta: MessageMeta,
}

/// The channel for an answer.
type Waiter = oneshot::Sender<Result<(), SpoolError>>;

/// A command to the writer.
enum WriterCommand {
    Accept {
        id: u64,
        meta: Arc<MessageMeta>,
        front: Bytes,
        body: Bytes,
        body_crc: u32,
        waiter: Waiter,
    },
    Progress {
        id: u64,
        front: Bytes,
        waiter: Option<Waiter>,
    },
    Done {
        id: u64,
    },
    Close {
        waiter: Waiter,
    },
}

/// Most octets of bodies that wait for the writer; later callers wait in line.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Handle to the spool; cheap to clone. When the last one is dropped, the writer writes and syncs
/// everything that waits, and ends.
#[derive(Clone)]
pub struct Spool {
    commands: mpsc::Sender<WriterCommand>,
    shared: Arc<SpoolShared>,
    /// Room for waiting bodies, in KiB.
    room: Arc<Semaphore>,
    vitals: Vitals,
}

impl Spool {
    /// Opens or creates the spool under `dir` and passes each message found to `found`, oldest
    /// first.
    ///
    /// # Errors
    /// `Failed` if another process uses it, or if a segment cannot be read (an error of the disk,
    /// not damage).
    pub fn open(dir: &Path, found: &mut dyn FnMut(Recovered)) -> Result<Self, SpoolError> {
        Self::open_watched(dir, &Vitals::default(), found)
    }

    /// The same as a part of a relay: the end of its writer is reported to the vitals, and the end
    /// of any part pauses delivery.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_watched(
        dir: &Path,
        vitals: &Vitals,
        found: &mut dyn FnMut(Recovered),
    ) -> Result<Self, SpoolError> {
        Self::open_with(
            Arc::new(SystemDisk),
            dir,
            SpoolOptions::default(),
            vitals,
            found,
        )
    }

    fn open_with(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: SpoolOptions,
        vitals: &Vitals,
        found: &mut dyn FnMut(Recovered),
    ) -> Result<Self, SpoolError> {
        let failed = |what: &str, e: &std::io::Error| {
            SpoolError::Failed(format!("{what} {}: {e}", dir.display()))
        };
        disk.create_dir(dir)
            .map_err(|e| failed("cannot make the spool directory", &e))?;
        let lock = disk.lock(&dir.join("lock")).map_err(|e| match e.kind() {
            std::io::ErrorKind::WouldBlock => failed("another process uses the spool", &e),
            _ => failed("cannot lock the spool", &e),
        })?;
        let store = SpoolStore::open(disk, dir, options, found)?;
        let shared = Arc::clone(&store.shared);
        let (commands, inbox) = mpsc::channel();
        let pulse = vitals.watch("spool");
        std::thread::Builder::new()
            .name("outgate-spool".into())
            .spawn(move || writer::run(store, &inbox, lock, pulse))
            .map_err(|e| failed("cannot start the writer of the spool", &e))?;
        Ok(Self {
            commands,
            shared,
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX >> 10)),
            vitals: vitals.clone(),
        })
    }

    /// Appends meta and body; returns once both are on disk (one fdatasync serves all waiting
    /// callers).
    ///
    /// Do not drop the future early: the message is then removed again, unless the answer was
    /// already sent.
    ///
    /// # Errors
    /// `Full` (452 4.3.1) or `Failed` (451 4.3.0): the message is not in the spool and will not come back.
    pub async fn accept(&self, meta: &MessageMeta, body: Bytes) -> Result<(), SpoolError> {
        let failed = |e: &dyn std::fmt::Display| SpoolError::Failed(e.to_string());
        let front = Bytes::from(serde_json::to_vec(meta).map_err(|e| failed(&e))?);
        let body_crc = crc32c::crc32c(&body);
        let kib = ((body.len() + front.len()) >> 10).clamp(1, WAITING_BYTES_MAX >> 10);
        let room = self
            .room
            .acquire_many(u32::try_from(kib).unwrap_or(u32::MAX))
            .await
            .map_err(|e| failed(&e))?;
        let (waiter, answer) = oneshot::channel();
        let id = meta.id.0;
        self.send(WriterCommand::Accept {
            id,
            meta: Arc::new(meta.clone()),
            front,
            body,
            body_crc,
            waiter,
        })?;
        let result = answer.await.unwrap_or_else(|_| Err(closed()));
        drop(room);
        result
    }

    /// Replaces the progress record of a message; returns once it is on disk.
    ///
    /// # Errors
    /// `NotFound` for a message that is done; `Full` or `Failed`: the old record may or may not have been replaced.
    pub async fn progress(&self, id: MessageId, record: Bytes) -> Result<(), SpoolError> {
        let (waiter, answer) = oneshot::channel();
        self.send(WriterCommand::Progress {
            id: id.0,
            front: record,
            waiter: Some(waiter),
        })?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Replaces the progress record. It is written at once and synced with the next batch or within
    /// a second; the caller does not wait.
    pub fn progress_lazy(&self, id: MessageId, record: Bytes) {
        if self
            .send(WriterCommand::Progress {
                id: id.0,
                front: record,
                waiter: None,
            })
            .is_err()
        {
            tracing::warn!(%id, "progress after the spool was closed is not recorded");
        }
    }

    /// Marks a message as done. It is written at once and synced with the next batch or within a
    /// second; the caller does not wait.
    pub fn done(&self, id: MessageId) {
        if self.send(WriterCommand::Done { id: id.0 }).is_err() {
            tracing::warn!(%id, "a message done after the spool was closed will be delivered again");
        }
    }

    /// Meta and body of a message; new ones come from memory.
    ///
    /// # Errors
    /// `NotFound`; `Failed` if the disk could not be read: try again; `Damaged`: the record is
    /// permanently set aside.
    pub async fn read(&self, id: MessageId) -> Result<(MessageMeta, Bytes), SpoolError> {
        let fresh = self.shared.cache().get(id.0);
        if let Some((meta, body)) = fresh {
            return Ok((MessageMeta::clone(&meta), body));
        }
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || shared.read(id));
        let (result, is_aside) = read.await.map_err(|e| SpoolError::Failed(e.to_string()))?;
        if is_aside {
            self.done(id);
        }
        result
    }

    /// Whether progress can be recorded now; if not, delivery pauses. It recovers without help,
    /// except when a part of the relay has ended: then outcomes could not be recorded.
    pub fn is_healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Relaxed) && self.vitals.ended().is_none()
    }

    /// The running parts of the relay that owns this spool.
    pub const fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// Why the spool cannot work now, in words; `None` = it works. Looks at the disk.
    pub fn trouble(&self) -> Option<&'static str> {
        let shared = &self.shared;
        if !shared.healthy.load(Ordering::Relaxed) {
            return Some("progress cannot be recorded: delivery pauses");
        }
        let free = shared.disk.free_bytes(&shared.dir).unwrap_or(0);
        (free < shared.free_bytes_needed).then_some("the disk is full: no mail is accepted")
    }

    /// Writes and syncs everything that waits and ends the writer. Later calls fail.
    pub async fn close(&self) {
        let (waiter, answer) = oneshot::channel();
        if self.send(WriterCommand::Close { waiter }).is_ok() {
            // No answer means that the writer has already ended.
            let _ = answer.await;
        }
    }

    fn send(&self, command: WriterCommand) -> Result<(), SpoolError> {
        self.commands.send(command).map_err(|_| closed())
    }
}

fn closed() -> SpoolError {
    SpoolError::Failed("the spool is closed".into())
}

impl SpoolStore {
    /// Reads the spool in `dir`, which must be locked.
    fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: SpoolOptions,
        found: &mut dyn FnMut(Recovered),
    ) -> Result<Self, SpoolError> {
        let shared = Arc::new(SpoolShared {
            index: Mutex::default(),
            cache: Mutex::new(index::Cache::new(options.cache_bytes)),
            healthy: AtomicBool::new(true),
            free_bytes_needed: options.free_bytes_min + u64::from(options.segment_bytes_min),
            disk,
            dir: dir.to_owned(),
        });
        let mut store = Self::new(shared, options);
        store.recover(found)?;
        store.look_at_disk();
        store.keep_reserve();
        Ok(store)
    }
}

impl SpoolShared {
    /// Reads a message from its segment. The flag says that the record is damaged and set aside.
    fn read(&self, id: MessageId) -> (Result<(MessageMeta, Bytes), SpoolError>, bool) {
        // Cleaning may move the record after the look-up and before the file is opened. Then the
        // next look-up finds its new place.
        for _ in 0..3 {
            let (place, salt) = {
                let index = self.index();
                let Some(entry) = index.get(id.0) else {
                    return (Err(SpoolError::NotFound), false);
                };
                (
                    entry.accepted,
                    index
                        .salts
                        .get(&entry.accepted.segment)
                        .copied()
                        .unwrap_or(0),
                )
            };
            let file = match self.disk.open(&segment::path(&self.dir, place.segment)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return (Err(store::spool_error(&error)), false),
                Ok(file) => file,
            };
            let bytes =
                match segment::read_range(&*file, u64::from(place.offset), place.len as usize) {
                    Err(error) => return (Err(store::spool_error(&error)), false),
                    Ok(bytes) => bytes,
                };
            let why = match segment::check_record(&bytes, salt) {
                Ok((header, front, body)) if header.id == id.0 => {
                    let meta = serde_json::from_slice(bytes.get(front).unwrap_or_default());
                    return (
                        meta.map(|meta| (meta, Bytes::from(bytes).slice(body)))
                            .map_err(|e| SpoolError::Failed(e.to_string())),
                        false,
                    );
                }
                Ok(_) => "another message stands in its place",
                Err(broken) => broken.0,
            };
            let (from, to) = (
                u64::from(place.offset),
                u64::from(place.offset) + u64::from(place.len),
            );
            let copy = segment::set_aside(&*self.disk, &self.dir, &*file, place.segment, from, to);
            match &copy {
                Ok(copy) => {
                    tracing::error!(%id, segment = place.segment, from, to, why, copy = %copy.display(), "a spooled message is damaged and was set aside")
                }
                Err(error) => {
                    tracing::error!(%id, segment = place.segment, from, to, why, %error, "a spooled message is damaged and cannot be set aside")
                }
            }
            return (Err(SpoolError::Damaged(why.into())), copy.is_ok());
        }
        (
            Err(SpoolError::Failed(
                "the segment of the message is missing".into(),
            )),
            false,
        )
    }
}
