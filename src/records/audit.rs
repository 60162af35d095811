//! The audit: who did what, when and why. Each line has a SHA-256 over the hash of the previous
//! line and its own content, so that a change in the middle is detected. [`heads`](super::heads)
//! detects missing lines at the end.

use super::heads::AuditHead;
use super::{AuditEntry, RecordsError, store};
use crate::types::Time;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The hash "before" the first line.
const START: [u8; 32] = [0; 32];

/// Every field is hashed with its length, so that different lines never give the same bytes.
fn chain(previous: &[u8], entry: &AuditEntry) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(entry.time.0.to_be_bytes());
    for field in [&entry.actor, &entry.action, &entry.subject, &entry.detail] {
        hash.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(field.as_bytes());
    }
    hash.finalize().into()
}

/// The space that notes that `audit.heads` has lines, so that its absence is detected.
const SPACE: &str = "audit";
const HAS_HEADS: &str = "heads";

pub(super) fn add(tx: &Transaction<'_>, entry: &AuditEntry) -> Result<AuditHead, RecordsError> {
    let previous: Option<Vec<u8>> = tx
        .query_row("SELECT hash FROM audit ORDER BY id DESC LIMIT 1", [], |r| {
            r.get(0)
        })
        .optional()?;
    let hash = chain(previous.as_deref().unwrap_or(&START), entry);
    tx.execute(
        "INSERT INTO audit(time, actor, action, subject, detail, hash) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        params![entry.time.0, entry.actor, entry.action, entry.subject, entry.detail, hash.as_slice()],
    )?;
    store::put_new_value(tx, SPACE, HAS_HEADS, "")?;
    Ok(AuditHead {
        line: tx.last_insert_rowid(),
        hash,
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<(i64, AuditEntry)> {
    let entry = AuditEntry {
        time: Time(row.get(1)?),
        actor: row.get(2)?,
        action: row.get(3)?,
        subject: row.get(4)?,
        detail: row.get(5)?,
    };
    Ok((row.get(0)?, entry))
}

/// Lines before row `before`, newest first.
pub(super) fn list(
    connection: &Connection,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<(i64, AuditEntry)>, RecordsError> {
    let mut query = connection
        .prepare_cached("SELECT id, time, actor, action, subject, detail FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2")?;
    let limit = i64::try_from(limit.clamp(1, 10_000)).unwrap_or(10_000);
    let lines = query
        .query_map(params![before.unwrap_or(i64::MAX), limit], read)?
        .collect::<Result<_, _>>()?;
    Ok(lines)
}

/// The result of a check of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    pub lines: u64,
    /// The newest line.
    pub head: Option<AuditHead>,
}

/// Checks the chain and compares it with other copies of its hashes: `heads` from `audit.heads`
/// (`None`: no such file), `known` as an operator noted it.
pub(super) fn verify(
    connection: &Connection,
    heads: Option<&HashMap<i64, [u8; 32]>>,
    known: Option<AuditHead>,
) -> Result<Verified, RecordsError> {
    let failed = |why: String| Err(RecordsError::Failed(why));
    let mut query = connection
        .prepare("SELECT id, time, actor, action, subject, detail, hash FROM audit ORDER BY id")?;
    let mut rows = query.query([])?;
    let mut found = Verified {
        lines: 0,
        head: None,
    };
    while let Some(row) = rows.next()? {
        let (line, entry) = read(row)?;
        let stored: Vec<u8> = row.get(6)?;
        let hash = chain(
            found.head.as_ref().map_or(&START, |head| &head.hash),
            &entry,
        );
        if stored != hash {
            return failed(format!(
                "the audit chain is broken at line {line}: it, or the line before it, was changed"
            ));
        }
        let elsewhere = heads.and_then(|heads| heads.get(&line)).into_iter();
        let noted = known
            .iter()
            .filter(|known| known.line == line)
            .map(|known| &known.hash);
        if elsewhere.chain(noted).any(|other| *other != hash) {
            return failed(format!(
                "line {line} is not the one that was written: the audit was rewritten up to there"
            ));
        }
        found = Verified {
            lines: found.lines + 1,
            head: Some(AuditHead { line, hash }),
        };
    }
    let last = found.head.map_or(0, |head| head.line);
    // SQLite remembers the highest id ever assigned (AUTOINCREMENT).
    let given: Option<i64> = connection
        .query_row(
            "SELECT seq FROM sqlite_sequence WHERE name = 'audit'",
            [],
            |r| r.get(0),
        )
        .optional()?;
    let written = heads
        .and_then(|heads| heads.keys().max())
        .copied()
        .into_iter();
    let newest = written
        .chain(given)
        .chain(known.map(|known| known.line))
        .max()
        .unwrap_or(0);
    if newest > last {
        return failed(format!(
            "the audit ends at line {last}, but line {newest} was written: lines were cut from its end"
        ));
    }
    let has_heads = store::all_values(connection, SPACE)?
        .iter()
        .any(|(key, _)| key == HAS_HEADS);
    if has_heads && heads.is_none() && known.is_none() {
        return failed(format!(
            "audit.heads is missing, so nothing tells whether lines were cut from the end; the log has each line: compare with \
             --head LINE:HASH{}",
            found
                .head
                .map(|head| format!(" (the newest here is {head})"))
                .unwrap_or_default()
        ));
    }
    Ok(found)
}
