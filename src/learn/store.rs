//! Deltas by tenant: the newest in memory, all on disk.

use crate::score::adapt::{Delta, LARGEST_FILE, Share};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Tenants in memory at most; about 400 KB each.
const IN_MEMORY: usize = 384;

/// What was learned from one tenant.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) delta: Delta,
    pub(super) share: Share,
    /// Day since the epoch up to which it has faded.
    pub(super) day: i64,
    /// Something in it is not on disk.
    pub(super) changed: bool,
}

/// An entry with its lock.
#[derive(Default)]
pub(super) struct Slot {
    entry: RwLock<Entry>,
    used: AtomicU64,
}

impl Slot {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Entry> {
        self.entry.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Entry> {
        self.entry.write().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Store {
    /// `None`: nothing is read or written, and what memory has no room for is forgotten.
    folder: Option<PathBuf>,
    slots: Mutex<HashMap<Box<str>, Arc<Slot>>>,
    uses: AtomicU64,
    /// One file is written at a time: at the end a save may meet one that is still under way.
    saving: Mutex<()>,
}

impl Store {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, slots: Mutex::default(), uses: AtomicU64::new(0), saving: Mutex::default() }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was learned from this tenant; read from disk the first time.
    pub(super) fn get(&self, name: &str) -> Arc<Slot> {
        let use_number = self.uses.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots();
        if let Some(slot) = slots.get(name) {
            slot.used.store(use_number, Ordering::Relaxed);
            return Arc::clone(slot);
        }
        if slots.len() >= IN_MEMORY {
            self.make_room(&mut slots);
        }
        let slot = Arc::new(Slot {
            entry: RwLock::new(self.path(name).map(|path| load(&path)).unwrap_or_default()),
            used: AtomicU64::new(use_number),
        });
        slots.insert(name.into(), Arc::clone(&slot));
        slot
    }

    /// Puts the tenant used longest ago back on disk.
    fn make_room(&self, slots: &mut HashMap<Box<str>, Arc<Slot>>) {
        // One that somebody works with right now stays: what it learns would be lost.
        let idle = slots.iter().filter(|(_, slot)| Arc::strong_count(slot) == 1);
        let oldest = idle.min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed)).map(|(name, _)| name.clone());
        if let Some(name) = oldest
            && let Some(slot) = slots.remove(&name)
        {
            self.save_one(&name, &slot);
        }
    }

    pub(super) fn each(&self, mut look: impl FnMut(&Entry)) {
        let slots: Vec<_> = self.slots().values().cloned().collect();
        slots.iter().for_each(|slot| look(&slot.read()));
    }

    pub(super) fn len(&self) -> usize {
        self.slots().len()
    }

    pub(super) fn save(&self) {
        let slots: Vec<_> = self.slots().iter().map(|(name, slot)| (name.clone(), Arc::clone(slot))).collect();
        slots.iter().for_each(|(name, slot)| self.save_one(name, slot));
    }

    fn save_one(&self, name: &str, slot: &Slot) {
        let (Some(folder), Some(path)) = (&self.folder, self.path(name)) else { return };
        let _one_at_a_time = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let octets = {
            let mut entry = slot.write();
            if !std::mem::take(&mut entry.changed) {
                return;
            }
            entry.delta.to_bytes(&entry.share, entry.day)
        };
        if let Err(error) = write(folder, &path, &octets) {
            tracing::error!(%error, folder = %folder.display(), "what was learned could not be saved");
            slot.write().changed = true;
        }
    }

    /// Tenants may be named anything: the file is named by a hash.
    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{:016x}.delta", crate::types::stable_hash(&[name.as_bytes()]))))
    }
}

fn write(folder: &Path, path: &Path, octets: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(octets)?;
    file.sync_data()?;
    fs::rename(&temporary, path)
}

/// A missing file is a tenant never seen; a damaged one is set aside, loudly, and learning starts anew.
fn load(path: &Path) -> Entry {
    let mut octets = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_FILE as u64 + 1).read_to_end(&mut octets));
    let parsed = match read {
        Err(error) if error.kind() == ErrorKind::NotFound => return Entry::default(),
        Err(error) => Err(error.to_string()),
        Ok(length) if length > LARGEST_FILE => Err("file is larger than any that was saved".to_owned()),
        Ok(_) => Delta::from_bytes(&octets),
    };
    match parsed {
        Ok((delta, share, day)) => Entry { delta, share, day, changed: false },
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "what was learned is not readable: starting anew, kept as .damaged");
            if let Err(error) = fs::rename(path, path.with_extension("damaged")) {
                tracing::error!(%error, "the damaged file could not be set aside");
            }
            Entry::default()
        }
    }
}
