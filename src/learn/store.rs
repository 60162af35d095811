//! Deltas by tenant: the newest in memory, all on disk.

use crate::env::{Disk, SystemDisk, replace};
use crate::score::DeltaError;
use crate::score::adapt::{Delta, LARGEST_FILE, SenderShares};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use tokio::runtime::{Handle, RuntimeFlavor};

/// Tenants in memory at most; about 400 KB each.
pub(super) const IN_MEMORY: usize = 384;

/// What was learned from one tenant.
#[derive(Default)]
pub(super) struct LearnedEntry {
    pub(super) delta: Delta,
    pub(super) share: SenderShares,
    /// Day since the epoch up to which it has faded.
    pub(super) day: i64,
    /// Something in it is not on disk.
    pub(super) changed: bool,
}

/// An entry with its lock.
#[derive(Default)]
pub(super) struct LearnedSlot {
    entry: RwLock<LearnedEntry>,
    used: AtomicU64,
    /// Set once it was read from disk.
    loaded: OnceLock<()>,
    /// It is being written back to disk.
    leaving: AtomicBool,
}

impl LearnedSlot {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, LearnedEntry> {
        self.entry.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, LearnedEntry> {
        self.entry.write().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct LearnStore {
    /// `None`: nothing is read or written, and what memory has no room for is forgotten.
    folder: Option<PathBuf>,
    slots: Mutex<HashMap<Box<str>, Arc<LearnedSlot>>>,
    uses: AtomicU64,
    /// One file is written at a time: the save at shutdown may meet one that still runs. True once
    /// the folder exists.
    saving: Mutex<bool>,
}

impl LearnStore {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            slots: Mutex::default(),
            uses: AtomicU64::new(0),
            saving: Mutex::new(false),
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<LearnedSlot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was learned from this tenant; read from disk the first time. The lock of all slots is
    /// never held during disk access, so that a sender of a tenant in memory never waits.
    pub(super) fn get(&self, name: &str) -> Arc<LearnedSlot> {
        let use_number = self.uses.fetch_add(1, Ordering::Relaxed);
        let (slot, leaving) = self.find(name, use_number);
        if slot.loaded.get().is_none() || leaving.is_some() {
            off_the_async_threads(|| {
                slot.loaded.get_or_init(|| {
                    if let Some(path) = self.path(name) {
                        *slot.write() = load(&path);
                    }
                });
                if let Some(name) = leaving {
                    self.put_back(&name);
                }
            });
        }
        slot
    }

    /// The slot, and the tenant that must leave memory to make room.
    fn find(&self, name: &str, use_number: u64) -> (Arc<LearnedSlot>, Option<Box<str>>) {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(name) {
            slot.used.store(use_number, Ordering::Relaxed);
            return (Arc::clone(slot), None);
        }
        let leaving = if slots.len() >= IN_MEMORY {
            oldest(&slots)
        } else {
            None
        };
        let slot = Arc::new(LearnedSlot {
            used: AtomicU64::new(use_number),
            ..LearnedSlot::default()
        });
        slots.insert(name.into(), Arc::clone(&slot));
        (slot, leaving)
    }

    /// Writes a tenant back to disk, and removes it from memory unless it is in use again.
    fn put_back(&self, name: &str) {
        let slot = self.slots().get(name).cloned();
        let Some(slot) = slot else { return };
        self.save_one(name, &slot);
        let mut slots = self.slots();
        // These are our reference and the table's. A later lookup reads the file, which is
        // complete.
        if Arc::strong_count(&slot) == 2 {
            slots.remove(name);
        }
        slot.leaving.store(false, Ordering::Relaxed);
    }

    pub(super) fn each(&self, mut look: impl FnMut(&LearnedEntry)) {
        let slots: Vec<_> = self.slots().values().cloned().collect();
        slots.iter().for_each(|slot| look(&slot.read()));
    }

    pub(super) fn len(&self) -> usize {
        self.slots().len()
    }

    pub(super) fn save(&self) {
        let slots: Vec<_> = self
            .slots()
            .iter()
            .map(|(name, slot)| (name.clone(), Arc::clone(slot)))
            .collect();
        slots
            .iter()
            .for_each(|(name, slot)| self.save_one(name, slot));
    }

    fn save_one(&self, name: &str, slot: &LearnedSlot) {
        let (Some(folder), Some(path)) = (&self.folder, self.path(name)) else {
            return;
        };
        let mut made = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let octets = {
            let mut entry = slot.write();
            if !std::mem::take(&mut entry.changed) {
                return;
            }
            entry.delta.to_bytes(&entry.share, entry.day)
        };
        if let Err(error) = write(folder, &mut made, &path, &octets) {
            tracing::error!(%error, folder = %folder.display(), "what was learned could not be saved");
            *made = false;
            slot.write().changed = true;
        }
    }

    /// Tenants may be named anything: the file is named by a hash.
    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!(
            "{:016x}.delta",
            crate::types::stable_hash(&[name.as_bytes()])
        )))
    }
}

/// The least recently used tenant that is not in use right now: what a tenant in use learns would
/// be lost. It is marked as leaving.
fn oldest(slots: &HashMap<Box<str>, Arc<LearnedSlot>>) -> Option<Box<str>> {
    let idle = |slot: &LearnedSlot| !slot.leaving.load(Ordering::Relaxed);
    let idle = slots
        .iter()
        .filter(|(_, slot)| Arc::strong_count(slot) == 1 && idle(slot));
    let (name, slot) = idle.min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed))?;
    slot.leaving.store(true, Ordering::Relaxed);
    Some(name.clone())
}

/// Runs work that waits for a disk, while the other sessions of this thread continue elsewhere.
fn off_the_async_threads(work: impl FnOnce()) {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn write(folder: &Path, made: &mut bool, path: &Path, octets: &[u8]) -> std::io::Result<()> {
    if !*made {
        SystemDisk.create_dir(folder)?;
        folder
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .map_or(Ok(()), |parent| SystemDisk.sync_dir(parent))?;
        *made = true;
    }
    replace(&SystemDisk, &path.with_extension("new"), path, octets)
}

/// Why a tenant's file is not read.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Io(std::io::Error),
    #[error("file is larger than any that was saved")]
    TooLarge,
    #[error(transparent)]
    Delta(DeltaError),
}

/// A missing file means a new tenant. A damaged file is logged and renamed to `.damaged`, and
/// learning starts anew.
fn load(path: &Path) -> LearnedEntry {
    let mut octets = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(LARGEST_FILE as u64 + 1).read_to_end(&mut octets));
    let parsed = match read {
        Err(error) if error.kind() == ErrorKind::NotFound => return LearnedEntry::default(),
        Err(error) => Err(LoadError::Io(error)),
        Ok(length) if length > LARGEST_FILE => Err(LoadError::TooLarge),
        Ok(_) => Delta::from_bytes(&octets).map_err(LoadError::Delta),
    };
    match parsed {
        Ok((delta, share, day)) => LearnedEntry {
            delta,
            share,
            day,
            changed: false,
        },
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "what was learned is not readable: starting anew, kept as .damaged");
            if let Err(error) = fs::rename(path, path.with_extension("damaged")) {
                tracing::error!(%error, "the damaged file could not be set aside");
            }
            LearnedEntry::default()
        }
    }
}
