//! The audit: who did what, when and why. Each line carries SHA-256 over the hash of the line before and its own content,
//! so that a change in the middle shows.

use super::{AuditEntry, RecordsError};
use crate::types::Time;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use sha2::{Digest, Sha256};

/// The hash "before" the first line.
const START: [u8; 32] = [0; 32];

/// Every field goes in with its length, so that no two different lines give the same bytes.
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

/// Adds a line.
pub(super) fn add(tx: &Transaction<'_>, entry: &AuditEntry) -> Result<(), RecordsError> {
    let previous: Option<Vec<u8>> =
        tx.query_row("SELECT hash FROM audit ORDER BY id DESC LIMIT 1", [], |r| r.get(0)).optional()?;
    let hash = chain(previous.as_deref().unwrap_or(&START), entry);
    tx.execute(
        "INSERT INTO audit(time, actor, action, subject, detail, hash) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        params![entry.time.0, entry.actor, entry.action, entry.subject, entry.detail, hash.as_slice()],
    )?;
    Ok(())
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
pub(super) fn list(connection: &Connection, before: Option<i64>, limit: usize) -> Result<Vec<(i64, AuditEntry)>, RecordsError> {
    let mut query = connection
        .prepare_cached("SELECT id, time, actor, action, subject, detail FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2")?;
    let limit = i64::try_from(limit.clamp(1, 10_000)).unwrap_or(10_000);
    let lines = query.query_map(params![before.unwrap_or(i64::MAX), limit], read)?.collect::<Result<_, _>>()?;
    Ok(lines)
}

/// Follows the chain; gives how many lines it holds. Ids run on without gaps (AUTOINCREMENT and no deletion), so a line
/// removed from the end of the middle shows too.
pub(super) fn verify(connection: &Connection) -> Result<u64, RecordsError> {
    let mut query = connection.prepare("SELECT id, time, actor, action, subject, detail, hash FROM audit ORDER BY id")?;
    let mut rows = query.query([])?;
    let (mut previous, mut count) = (START.to_vec(), 0u64);
    while let Some(row) = rows.next()? {
        let (id, entry) = read(row)?;
        let stored: Vec<u8> = row.get(6)?;
        if stored != chain(&previous, &entry) {
            return Err(RecordsError::Failed(format!(
                "the audit chain is broken at line {id}: it, or the line before it, was changed"
            )));
        }
        previous = stored;
        count += 1;
    }
    Ok(count)
}
