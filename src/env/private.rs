//! What lies in the data directory is nobody's business but the relay's: mail, addresses, password
//! hashes, what was learned.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Mode of a private directory, and of a private file.
const DIRECTORY: u32 = 0o700;
const FILE: u32 = 0o600;
/// What the group and everybody else may do.
const OTHERS: u32 = 0o077;

/// From now on whatever this process creates is private to its user.
pub(crate) fn by_default() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(OTHERS));
}

/// Makes a directory and its parents where they are missing, private to this user.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY)
        .create(dir)
}

/// Takes the rights of all others away from a directory and from everything below it. Links are
/// left alone, and so is what they point at.
///
/// # Errors
/// The first file whose mode cannot be changed, with what to do about it.
pub(crate) fn tighten(dir: &Path) -> Result<(), String> {
    let mode = fs::metadata(dir)
        .map_err(|e| told(dir, &e))?
        .permissions()
        .mode();
    set(dir, mode, DIRECTORY)?;
    for entry in fs::read_dir(dir).map_err(|e| told(dir, &e))? {
        let entry = entry.map_err(|e| told(dir, &e))?;
        let path = entry.path();
        let found = match entry.metadata() {
            Ok(found) => found,
            // Gone meanwhile: another process may look into the records.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(told(&path, &error)),
        };
        if found.is_dir() {
            tighten(&path)?;
        } else if found.is_file() {
            set(&path, found.permissions().mode(), FILE)?;
        }
    }
    Ok(())
}

fn set(path: &Path, found: u32, wanted: u32) -> Result<(), String> {
    if found & OTHERS == 0 {
        return Ok(());
    }
    match fs::set_permissions(path, fs::Permissions::from_mode(wanted)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!(
            "{}: others may read it (mode {:04o}), and that cannot be changed to {wanted:04o}: {error}; give the file to the \
             user of the relay, or take the rights away as its owner",
            path.display(),
            found & 0o7777,
        )),
        _ => Ok(()),
    }
}

fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_others_could_read_becomes_private_and_links_are_left_alone() {
        let outside = tempfile::tempdir().unwrap();
        let foreign = outside.path().join("foreign");
        fs::write(&foreign, "x").unwrap();
        fs::set_permissions(&foreign, fs::Permissions::from_mode(0o644)).unwrap();
        let data = tempfile::tempdir().unwrap();
        let deep = data.path().join("learned/acme");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("delta"), "x").unwrap();
        std::os::unix::fs::symlink(&foreign, data.path().join("link")).unwrap();
        for (path, mode) in [
            (deep.join("delta"), 0o644),
            (deep.clone(), 0o755),
            (data.path().to_owned(), 0o755),
        ] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        tighten(data.path()).unwrap();
        assert_eq!(
            [
                mode(data.path()),
                mode(&deep),
                mode(&deep.join("delta")),
                mode(&foreign)
            ],
            [0o700, 0o700, 0o600, 0o644]
        );
    }

    #[test]
    fn what_cannot_be_made_private_is_named() {
        let error = tighten(Path::new("/proc/self/task")).unwrap_err();
        assert!(
            error.starts_with("/proc/self/task: others may read it (mode 0555)"),
            "{error}"
        );
    }
}
