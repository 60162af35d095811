//! The tables of `records.db`, and the migration of older files (`PRAGMA user_version`).

use super::RecordsError;
use rusqlite::{Connection, TransactionBehavior};

/// One step per version, in order. A released step never changes; new steps are added at the end.
const STEPS: &[&str] = &["
    CREATE TABLE block(
        ref TEXT PRIMARY KEY,
        opened_at INTEGER NOT NULL,
        ended_at INTEGER,
        state TEXT NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        tenant TEXT,
        released_role TEXT,
        evidence TEXT NOT NULL,
        body TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX block_by_time ON block(opened_at, ref);
    CREATE INDEX block_by_subject ON block(subject, kind);
    CREATE INDEX block_active ON block(opened_at) WHERE state = 'active';
    CREATE TABLE audit(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL,
        hash BLOB NOT NULL
    );
    CREATE TABLE account(
        name TEXT PRIMARY KEY COLLATE NOCASE,
        role TEXT NOT NULL,
        tenant TEXT,
        may_send_as TEXT NOT NULL,
        password_hash TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE token(
        name TEXT PRIMARY KEY COLLATE NOCASE,
        role TEXT NOT NULL,
        tenant TEXT,
        sha256 TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE value(
        space TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY(space, key)
    ) WITHOUT ROWID;
"];

/// Migrates the file to the newest version. The file of a newer program is refused rather than
/// damaged. A current file is not written to, so that a relay can start on a full disk and drain
/// its queue.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), RecordsError> {
    let have: usize = connection.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if have == STEPS.len() {
        return Ok(());
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let have: usize = tx.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if have > STEPS.len() {
        return Err(RecordsError::Failed(format!(
            "records.db has version {have}, this program knows versions up to {}: it was written by a newer outgate",
            STEPS.len()
        )));
    }
    for step in STEPS.iter().skip(have) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", STEPS.len())?;
    tx.commit()?;
    Ok(())
}
