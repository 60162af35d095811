//! The secret of the tokens: `feedback.key` in the data directory, mode 0600, made on first start.

use super::TokenKey;
use crate::env::{SystemDisk, replace};
use std::io;
use std::path::Path;

/// Name of the file.
const FILE: &str = "feedback.key";

/// The key of this data directory; made where there is none. A file that is no key is an error:
/// another key would turn every report under way into one without a valid token.
pub fn ensure(data_dir: &Path) -> io::Result<TokenKey> {
    let path = data_dir.join(FILE);
    match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let mut octets = [0u8; TokenKey::OCTETS];
    getrandom::fill(&mut octets).map_err(io::Error::other)?;
    // It appears whole or not at all, and is there before the first token is made with it.
    replace(
        &SystemDisk,
        &data_dir.join(format!("{FILE}.{}", std::process::id())),
        &path,
        &octets,
    )?;
    read(&path)
}

fn read(path: &Path) -> io::Result<TokenKey> {
    let octets = std::fs::read(path)?;
    let wrong = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{}: not a key of {} octets",
                path.display(),
                TokenKey::OCTETS
            ),
        )
    };
    octets.try_into().map(TokenKey::new).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message_token::Purpose;
    use crate::types::MessageId;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("dir");
        let first = ensure(dir.path()).expect("made");
        let token = first.token(Purpose::Bounce, MessageId(1));
        assert_eq!(
            ensure(dir.path())
                .expect("read")
                .read(Purpose::Bounce, &token),
            Some(MessageId(1))
        );
        let mode = std::fs::metadata(dir.path().join(FILE))
            .expect("file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            std::fs::read_dir(dir.path()).expect("dir").count(),
            1,
            "nothing else left behind"
        );
    }

    #[test]
    fn a_damaged_key_is_not_replaced() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join(FILE), "short").expect("write");
        assert_eq!(
            ensure(dir.path()).map(drop).map_err(|e| e.kind()),
            Err(io::ErrorKind::InvalidData)
        );
        assert_eq!(
            std::fs::read(dir.path().join(FILE)).expect("there"),
            b"short"
        );
    }
}
