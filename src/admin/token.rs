//! Secrets of the admin API: bearer tokens, of which only the SHA-256 is stored, and the operator's
//! token file.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// Name under which the token of the file acts.
pub(crate) const OPERATOR: &str = "operator";
const SECRET_OCTETS: usize = 32;

/// Path of the operator's token file.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.token")
}

/// A fresh secret: 32 random octets as base64url. It begins with no hyphen, so that it may follow
/// `--token` as an argument.
pub(crate) fn fresh() -> io::Result<String> {
    loop {
        let mut secret = [0u8; SECRET_OCTETS];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let text = URL_SAFE_NO_PAD.encode(secret);
        if !text.starts_with('-') {
            return Ok(text);
        }
    }
}

/// Whether this has the form of a [`fresh`] secret.
pub(super) fn is_fresh(text: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|secret| secret.len() == SECRET_OCTETS)
}

/// SHA-256 of a secret, hex: what is stored.
pub(crate) fn sha256_hex(secret: &str) -> String {
    Sha256::digest(secret.as_bytes())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// The token in the file, without the line end.
pub(crate) fn read(data_dir: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(path(data_dir))?;
    let token = text.trim();
    if token.len() < 20 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: too short for a token", path(data_dir).display()),
        ));
    }
    Ok(token.to_owned())
}

/// The operator's token; makes the file (mode 0600) on first start. The file appears whole or not
/// at all.
pub(crate) fn ensure(data_dir: &Path) -> io::Result<String> {
    match read(data_dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    crate::env::private::create_dir(data_dir)?;
    let secret = fresh()?;
    let new = data_dir.join(format!("admin.token.{}", std::process::id()));
    write_private(&new, &secret)?;
    // A link, not a rename: the first writer's file stays.
    let linked = std::fs::hard_link(&new, path(data_dir));
    std::fs::remove_file(&new)?;
    match linked {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => read(data_dir),
    }
}

fn write_private(path: &Path, secret: &str) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("dir");
        let data = dir.path().join("data");
        let first = ensure(&data).expect("made");
        assert_eq!(first.len(), 43);
        assert_eq!(ensure(&data).expect("read"), first);
        let mode = std::fs::metadata(path(&data))
            .expect("file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            std::fs::read_dir(&data).expect("dir").count(),
            1,
            "nothing else left behind"
        );
    }

    #[test]
    fn an_empty_file_is_no_token() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(path(dir.path()), "\n").expect("write");
        assert!(ensure(dir.path()).is_err());
    }

    #[test]
    fn no_secret_looks_like_an_option() {
        // One in 64 began with a hyphen, and `outgate blocks list --token -…` was wrong use.
        assert!((0..2000).all(|_| !fresh().expect("a secret").starts_with('-')));
        assert!(
            is_fresh(&fresh().expect("a secret"))
                && !is_fresh("")
                && !is_fresh("abc")
                && !is_fresh(&"=".repeat(43))
        );
    }

    #[test]
    fn the_hash_is_sha256() {
        assert_eq!(
            sha256_hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
