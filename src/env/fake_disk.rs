//! A disk in memory that loses unsynced data, can be cut after any operation, can fail and can be
//! full.

use super::disk::{Disk, DiskFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a power cut does to writes that were never synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsynced {
    /// All lost: the worst case.
    Lost,
    /// All kept: the process was killed, not the machine.
    Kept,
    /// Some 512-octet sectors kept, chosen by this seed: as real disks do.
    Some(u64),
}

#[derive(Clone, Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    allocated: u64,
    /// A sync failed: unsynced data is lost, and later syncs wrongly succeed.
    poisoned: bool,
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    locked: BTreeSet<PathBuf>,
    operations: u64,
    cut_after: Option<u64>,
    struck: bool,
    fail_syncs: bool,
    failed_syncs_keep: bool,
    fail_writes: bool,
    capacity: Option<u64>,
    syncs: u64,
    no_allocate: bool,
}

impl State {
    fn used(&self) -> u64 {
        self.names
            .values()
            .filter_map(|n| self.inodes.get(*n))
            .map(|i| i.allocated.max(i.now.len() as u64))
            .sum()
    }

    /// Counts one changing operation; fails after the cut.
    fn operation(&mut self) -> io::Result<()> {
        if self.cut_after.is_some_and(|cut| self.operations >= cut) {
            self.struck = true;
            return Err(io::Error::other("power cut"));
        }
        self.operations += 1;
        Ok(())
    }

    fn room_for(&self, inode: usize, len: u64) -> io::Result<()> {
        let has = self.inodes[inode]
            .allocated
            .max(self.inodes[inode].now.len() as u64);
        let more = len.saturating_sub(has);
        match self.capacity {
            Some(capacity) if more > 0 && self.used() + more > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

/// The fake disk; clones share one disk.
#[derive(Clone, Default)]
pub(crate) struct FakeDisk(Arc<Mutex<State>>);

impl FakeDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Changing operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }
    /// Calls of `sync_data` so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }
    /// From this count of operations on, everything fails.
    pub(crate) fn cut_after(&self, operations: u64) {
        self.state().cut_after = Some(operations);
    }
    /// Whether an operation has met the cut.
    pub(crate) fn is_struck(&self) -> bool {
        self.state().struck
    }
    /// Whether `sync_data` fails from now on.
    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.state().fail_syncs = fail;
    }
    /// Whether a failed sync has kept the written data nevertheless: a caller cannot know.
    pub(crate) fn failed_syncs_keep(&self, keep: bool) {
        self.state().failed_syncs_keep = keep;
    }
    /// Whether writes fail from now on.
    pub(crate) fn fail_writes(&self, fail: bool) {
        self.state().fail_writes = fail;
    }
    /// Size of the disk; `None` = unlimited.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }
    /// Octets in use.
    pub(crate) fn used(&self) -> u64 {
        self.state().used()
    }
    /// Makes `allocate` return `false`.
    pub(crate) fn without_allocate(&self) {
        self.state().no_allocate = true;
    }
    /// The names of the files.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }
    /// Contents of a file.
    pub(crate) fn contents(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.inodes[state.names[path]].now.clone()
    }
    /// Changes a file durably, without any open handle.
    pub(crate) fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let inode = state.names[path];
        change(&mut state.inodes[inode].now);
        state.inodes[inode].synced = state.inodes[inode].now.clone();
    }

    /// The disk after the power is back.
    pub(crate) fn after_crash(&self, unsynced: Unsynced) -> Self {
        let state = self.state();
        let mut next = State {
            capacity: state.capacity,
            ..State::default()
        };
        let names = if unsynced == Unsynced::Kept {
            &state.names
        } else {
            &state.durable_names
        };
        for (path, inode) in names {
            let inode = &state.inodes[*inode];
            let contents = match unsynced {
                Unsynced::Lost => inode.synced.clone(),
                Unsynced::Kept => inode.now.clone(),
                Unsynced::Some(seed) => mixed(inode, seed),
            };
            next.names.insert(path.clone(), next.inodes.len());
            next.inodes.push(Inode {
                now: contents.clone(),
                synced: contents,
                ..Inode::default()
            });
        }
        next.durable_names = next.names.clone();
        Self(Arc::new(Mutex::new(next)))
    }
}

fn mixed(inode: &Inode, seed: u64) -> Vec<u8> {
    let mut out = inode.synced.clone();
    let mut random = seed | 1;
    for (n, sector) in inode.now.chunks(512).enumerate() {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = n * 512;
        if (random >> 33) & 1 == 1 && inode.synced.get(at..at + sector.len()) != Some(sector) {
            if out.len() < at + sector.len() {
                out.resize(at + sector.len(), 0);
            }
            out[at..at + sector.len()].copy_from_slice(sector);
        }
    }
    out
}

struct FakeFile(FakeDisk, usize);

struct FakeLock(FakeDisk, PathBuf);

impl Drop for FakeLock {
    fn drop(&mut self) {
        self.0.state().locked.remove(&self.1);
    }
}

impl Disk for FakeDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.operation()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(path.to_owned(), inode);
        Ok(Box::new(FakeFile(self.clone(), inode)))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = *self
            .state()
            .names
            .get(path)
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(FakeFile(self.clone(), inode)))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        state
            .names
            .remove(path)
            .map(|_| ())
            .ok_or(io::ErrorKind::NotFound.into())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self
            .state()
            .names
            .keys()
            .filter(|p| p.parent() == Some(dir))
            .cloned()
            .collect())
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        let here: Vec<_> = state
            .names
            .iter()
            .filter(|(p, _)| p.parent() == Some(dir))
            .map(|(p, i)| (p.clone(), *i))
            .collect();
        state.durable_names.retain(|p, _| p.parent() != Some(dir));
        state.durable_names.extend(here);
        Ok(())
    }
    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let state = self.state();
        Ok(state
            .capacity
            .map_or(u64::MAX, |c| c.saturating_sub(state.used())))
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send>> {
        if !self.state().locked.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(FakeLock(self.clone(), path.to_owned())))
    }
}

impl DiskFile for FakeFile {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut state = self.0.state();
        state.operation()?;
        if state.fail_writes {
            return Err(io::Error::other("write failed"));
        }
        let mut at = offset as usize;
        for part in parts {
            // The disk fills up during the write: the part that fitted stays, as on a real disk.
            state.room_for(self.1, (at + part.len()) as u64)?;
            let now = &mut state.inodes[self.1].now;
            if now.len() < at + part.len() {
                now.resize(at + part.len(), 0);
            }
            now[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Ok(())
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.0.state();
        let rest = state.inodes[self.1]
            .now
            .get(offset as usize..)
            .unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.state();
        state.operation()?;
        state.syncs += 1;
        let (fail, keep) = (state.fail_syncs, state.failed_syncs_keep);
        let inode = &mut state.inodes[self.1];
        if fail {
            if keep && !inode.poisoned {
                inode.synced = inode.now.clone();
            }
            inode.poisoned = true;
            return Err(io::Error::other("sync failed"));
        }
        if !inode.poisoned {
            inode.synced = inode.now.clone();
        }
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.state();
        state.operation()?;
        state.room_for(self.1, len)?;
        let inode = &mut state.inodes[self.1];
        inode.now.resize(len as usize, 0);
        inode.allocated = inode.allocated.min(len);
        Ok(())
    }
    fn allocate(&self, len: u64) -> io::Result<bool> {
        let mut state = self.0.state();
        state.operation()?;
        if state.no_allocate {
            return Ok(false);
        }
        state.room_for(self.1, len)?;
        let inode = &mut state.inodes[self.1];
        if inode.now.len() < len as usize {
            inode.now.resize(len as usize, 0);
        }
        inode.allocated = inode.allocated.max(len);
        Ok(true)
    }
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.state().inodes[self.1].now.len() as u64)
    }
}
