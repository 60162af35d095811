//! Makes the data directory private to the relay: it holds mail, addresses, password hashes and
//! learned data.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Mode of a private directory, and of a private file.
const DIRECTORY: u32 = 0o700;
const FILE: u32 = 0o600;
/// The rights of the group and of all other users.
const OTHERS: u32 = 0o077;

/// Why others may still read a file. The operator of this machine can repair it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivacyError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The mode is `found` and should be `wanted`.
    #[error(
        "{}: others may read it (mode {found:04o}), and that cannot be changed to {wanted:04o}: {source}; give the file to the \
         user of the relay, or take the rights away as its owner",
        path.display()
    )]
    Unchanged {
        path: PathBuf,
        found: u32,
        wanted: u32,
        source: io::Error,
    },
}

impl PrivacyError {
    fn unreadable(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Unreadable {
            path: path.to_owned(),
            source,
        }
    }
}

/// Makes every file that this process creates from now on private to its user.
pub(crate) fn by_default() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(OTHERS));
}

/// Creates a directory and its parents if they are missing, private to this user.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY)
        .create(dir)
}

/// Removes the rights of all other users from a directory and everything below it. Links and their
/// targets are not touched.
///
/// # Errors
/// The first file whose mode cannot be changed, and what to do about it.
pub(crate) fn tighten(dir: &Path) -> Result<(), PrivacyError> {
    let unreadable = PrivacyError::unreadable(dir);
    let mode = fs::metadata(dir).map_err(&unreadable)?.permissions().mode();
    set(dir, mode, DIRECTORY)?;
    for entry in fs::read_dir(dir).map_err(&unreadable)? {
        let entry = entry.map_err(&unreadable)?;
        let path = entry.path();
        let found = match entry.metadata() {
            Ok(found) => found,
            // Removed meanwhile: another process may read the records.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(PrivacyError::unreadable(&path)(error)),
        };
        if found.is_dir() {
            tighten(&path)?;
        } else if found.is_file() {
            set(&path, found.permissions().mode(), FILE)?;
        }
    }
    Ok(())
}

fn set(path: &Path, found: u32, wanted: u32) -> Result<(), PrivacyError> {
    if found & OTHERS == 0 {
        return Ok(());
    }
    match fs::set_permissions(path, fs::Permissions::from_mode(wanted)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(PrivacyError::Unchanged {
            path: path.to_owned(),
            found: found & 0o7777,
            wanted,
            source,
        }),
        _ => Ok(()),
    }
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
        for (path, wanted) in [
            (
                "/proc/self/task",
                "/proc/self/task: others may read it (mode 0555), and that cannot be changed to 0700: ",
            ),
            ("/nowhere", "/nowhere: No such file"),
        ] {
            let error = tighten(Path::new(path)).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}
