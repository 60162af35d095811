//! Replaces a file atomically.

use super::disk::Disk;
use std::io::{self, IoSlice};
use std::path::Path;

/// Replaces `path` by these octets, wholly or not at all; durable when this returns. `temporary` is
/// in the same directory; the remains of an earlier attempt are overwritten.
pub(crate) fn replace(
    disk: &dyn Disk,
    temporary: &Path,
    path: &Path,
    octets: &[u8],
) -> io::Result<()> {
    match disk.remove(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(temporary)?;
    file.write_at(&[IoSlice::new(octets)], 0)?;
    file.sync_data()?;
    disk.rename(temporary, path)?;
    // Without this, a power cut may bring the old file back, or leave none.
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}

#[cfg(test)]
mod tests {
    use super::super::fake_disk::{FakeDisk, Unsynced};
    use super::*;

    fn contents(disk: &FakeDisk, path: &Path) -> Option<Vec<u8>> {
        let mut octets = vec![0; 100];
        let read = disk.open(path).ok()?.read_at(&mut octets, 0).expect("read");
        octets.truncate(read);
        Some(octets)
    }

    /// The rename alone was not durable: a key of tokens, or what was learned, was gone after a
    /// power cut.
    #[test]
    fn a_power_cut_leaves_the_old_file_or_the_new_one_and_the_new_one_once_it_was_said() {
        let (dir, path, temporary) = (Path::new("d"), Path::new("d/key"), Path::new("d/key.new"));
        for old in [None, Some(&b"old"[..])] {
            for cut in 0..12 {
                for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Some(cut)] {
                    let disk = FakeDisk::default();
                    disk.create_dir(dir).expect("made");
                    if let Some(old) = old {
                        replace(&disk, temporary, path, old).expect("there is no cut yet");
                    }
                    disk.cut_after(disk.operations() + cut);
                    let said = replace(&disk, temporary, path, b"new").is_ok();
                    let after = disk.after_crash(unsynced);
                    let found = contents(&after, path);
                    let new = found.as_deref() == Some(b"new");
                    assert!(
                        new || (!said && found.as_deref() == old),
                        "cut {cut} {unsynced:?}: {found:?}"
                    );
                    assert!(
                        replace(&after, temporary, path, b"again").is_ok(),
                        "what was left does not stand in the way"
                    );
                }
            }
        }
    }
}
