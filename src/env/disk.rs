//! The disk with only the operations that the spool needs, so that a test can cut the power after
//! any of them, fill the disk, or make it fail.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A directory tree with files. Nothing is durable before `sync_data` (contents) and `sync_dir`
/// (names).
pub(crate) trait Disk: Send + Sync + 'static {
    /// Creates a new file, open for reading and writing; fails if it exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Renames a file within the tree.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Creates a directory and its parents; an existing one is fine.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// The files directly in a directory, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Makes names created, renamed or removed in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes an unprivileged process may still write on the file system of `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// Takes an exclusive lock on a file until the guard is dropped or the process ends; creates
    /// the file if it is missing. `WouldBlock` = another process has the lock.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send>>;
}

pub(crate) trait DiskFile: Send + Sync {
    /// Writes all parts one after the other from `offset` on.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Fills `buf` from `offset` on, up to the end of the file; returns the octets read.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes contents and length durable. After an error the kernel may have dropped unwritten
    /// data, and a second call would wrongly succeed: so never call it again on that file.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves room for the first `len` octets, which read as zero until written. `false` = this
    /// file system cannot.
    fn allocate(&self, len: u64) -> io::Result<bool>;
    fn size(&self) -> io::Result<u64>;
}

/// The operating system's disk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemDisk;

/// Most parts that the kernel takes in one call (`IOV_MAX`).
const MAX_PARTS: usize = 1024;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        // Mail is private: only the relay's own user may read it.
        Ok(Box::new(
            OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?,
        ))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(
            OpenOptions::new().read(true).write(true).open(path)?,
        ))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push(entry.path());
            }
        }
        Ok(files)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        file.try_lock()?;
        Ok(Box::new(file))
    }
}

impl DiskFile for File {
    fn write_at(&self, parts: &[IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        for chunk in parts.chunks(MAX_PARTS) {
            let mut owned: Vec<IoSlice<'_>> = chunk.to_vec();
            let mut rest = owned.as_mut_slice();
            IoSlice::advance_slices(&mut rest, 0);
            while !rest.is_empty() {
                let written = match rustix::io::pwritev(self, rest, offset) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => written,
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(error) => return Err(error.into()),
                };
                offset += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
        }
        Ok(())
    }
    fn read_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<usize> {
        let mut total = 0;
        while !buf.is_empty() {
            let read = match FileExt::read_at(self, buf, offset) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            total += read;
            offset += read as u64;
            buf = buf
                .split_at_mut_checked(read)
                .map_or(&mut [], |(_, rest)| rest);
        }
        Ok(total)
    }
    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }
    fn allocate(&self, len: u64) -> io::Result<bool> {
        use rustix::io::Errno;
        loop {
            return match rustix::fs::fallocate(self, rustix::fs::FallocateFlags::empty(), 0, len) {
                Ok(()) => Ok(true),
                Err(Errno::INTR) => continue,
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(false),
                Err(error) => Err(error.into()),
            };
        }
    }
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_many_parts_and_reads_them_back() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a");
        let file = SystemDisk.create(&path).expect("create");
        assert!(
            SystemDisk.create(&path).is_err(),
            "an existing file is not made anew"
        );
        let parts: Vec<Vec<u8>> = (0..3000u32)
            .map(|n| n.to_le_bytes().to_vec())
            .chain([Vec::new()])
            .collect();
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|p| IoSlice::new(p)).collect();
        file.write_at(&slices, 5).expect("write");
        file.sync_data().expect("sync");
        let mut buf = vec![0; 20_000];
        assert_eq!(file.read_at(&mut buf, 5).expect("read"), 12_000);
        assert_eq!(buf[..12_000], parts.concat());
        assert!(SystemDisk.free_bytes(dir.path()).expect("statvfs") > 0);
    }

    #[test]
    fn a_lock_is_taken_once() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("lock");
        let first = SystemDisk.lock(&path).expect("lock");
        assert_eq!(
            SystemDisk.lock(&path).err().map(|e| e.kind()),
            Some(io::ErrorKind::WouldBlock)
        );
        drop(first);
        assert!(SystemDisk.lock(&path).is_ok());
    }
}
