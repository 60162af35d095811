//! A second copy of the audit's hashes: `audit.heads` beside `records.db` gets the number and the
//! hash of each line, so that lines cut from the end of the audit are detected. The file is only
//! ever appended to. `chattr +a` protects it from a user that may write the database. The log has
//! each line, too, and may be on another machine.

use super::RecordsError;
use std::collections::HashMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Longest line that is read; those of the relay are shorter.
const LINE_OCTETS: u64 = 256;

/// One line of the audit: its number and its hash. Written `12:5f…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AuditHead {
    /// Number of the line, from 1.
    pub line: i64,
    /// Its hash, which covers all lines up to it.
    pub hash: [u8; 32],
}

impl fmt::Display for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.line)?;
        self.hash
            .iter()
            .try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl AuditHead {
    /// Parses the form that [`Display`](fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (line, hex) = text.split_once(':')?;
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        let mut hash = [0; 32];
        for (octet, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            *octet = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self {
            line: line.parse().ok().filter(|n| *n > 0)?,
            hash,
        })
    }
}

/// The path of the file.
pub(super) fn path(records: &Path) -> PathBuf {
    records.with_file_name("audit.heads")
}

/// Adds a line; it is on disk when this returns. Several processes may write at once: each line is
/// written whole.
pub(super) fn add(path: &Path, head: AuditHead) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(format!("{head}\n").as_bytes())?;
    file.sync_data()?;
    if let Some(dir) = path.parent().filter(|_| is_new) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// All lines of the file, by their number; `None`: there is no file. Lines that cannot be parsed
/// (torn by a crash) are skipped.
pub(super) fn read(path: &Path) -> Result<Option<HashMap<i64, [u8; 32]>>, RecordsError> {
    let failed = |e: io::Error| RecordsError::Failed(format!("{}: {e}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let (mut reader, mut heads, mut line) = (BufReader::new(file), HashMap::new(), Vec::new());
    loop {
        line.clear();
        if io::Read::take(&mut reader, LINE_OCTETS)
            .read_until(b'\n', &mut line)
            .map_err(failed)?
            == 0
        {
            return Ok(Some(heads));
        }
        let Some(head) = std::str::from_utf8(&line)
            .ok()
            .and_then(|l| AuditHead::parse(l.trim_end()))
        else {
            continue;
        };
        if heads
            .insert(head.line, head.hash)
            .is_some_and(|known| known != head.hash)
        {
            return Err(RecordsError::Failed(format!(
                "audit.heads knows two different lines {}: the audit was rewritten from there on",
                head.line
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_read_back_and_torn_lines_are_passed_over() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("audit.heads");
        assert_eq!(read(&path), Ok(None));
        for n in 1..=3u8 {
            add(
                &path,
                AuditHead {
                    line: n.into(),
                    hash: [n; 32],
                },
            )
            .expect("added");
        }
        let mut file = OpenOptions::new().append(true).open(&path).expect("open");
        file.write_all(b"4:0404").expect("torn");
        file.write_all(&[b'x'; 2000]).expect("noise");
        file.write_all(b"\n").expect("noise");
        add(
            &path,
            AuditHead {
                line: 5,
                hash: [5; 32],
            },
        )
        .expect("added");
        let heads = read(&path).expect("read").expect("there");
        assert_eq!(
            (heads.len(), heads.get(&3), heads.get(&5)),
            (4, Some(&[3; 32]), Some(&[5; 32]))
        );
        add(
            &path,
            AuditHead {
                line: 3,
                hash: [9; 32],
            },
        )
        .expect("added");
        assert!(
            read(&path)
                .expect_err("rewritten")
                .to_string()
                .contains("lines 3")
        );
        for wrong in [
            "",
            "1",
            "1:",
            "x:00",
            "0:00",
            "-1:00",
            &format!("1:{}", "é".repeat(32)),
            &format!("1:{}", "0".repeat(66)),
        ] {
            assert_eq!(AuditHead::parse(wrong), None, "{wrong}");
        }
    }
}
