//! Block records in SQLite: the searched columns, and the record as JSON.

use super::{BlockQuery, RecordsError, store};
use crate::types::Role;
use crate::types::{Block, BlockKind, BlockRef, BlockState, Evidence, TenantId, Time};
use rusqlite::{Connection, Row, Transaction, params, params_from_iter, types::Value};

const fn state_name(state: BlockState) -> &'static str {
    match state {
        BlockState::Active => "active",
        BlockState::Released => "released",
        BlockState::Expired => "expired",
    }
}

/// Inserts or replaces a record.
pub(super) fn put(tx: &Transaction<'_>, block: &Block) -> Result<(), RecordsError> {
    let evidence = serde_json::to_string(
        block
            .evidence
            .get(..Block::MAX_EVIDENCE)
            .unwrap_or(&block.evidence),
    )?;
    let body = serde_json::to_string(&Block {
        evidence: Vec::new(),
        ..block.clone()
    })?;
    let released_role = match &block.released_by {
        Some(name) => store::role_of(tx, name)?,
        None => None,
    };
    tx.execute(
        "INSERT INTO block(ref, opened_at, ended_at, state, kind, subject, tenant, released_role, evidence, body)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT(ref) DO UPDATE SET ended_at = excluded.ended_at, state = excluded.state,
           released_role = COALESCE(block.released_role, excluded.released_role), evidence = excluded.evidence, body = excluded.body",
        params![
            block.reference.to_string(),
            block.opened_at.0,
            block.ended_at.map(|t| t.0),
            state_name(block.state),
            block.kind.as_str(),
            block.subject,
            block.tenant.as_ref().map(|t| t.as_str()),
            released_role,
            evidence,
            body
        ],
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Block, RecordsError> {
    let (body, evidence): (String, String) = (row.get(0)?, row.get(1)?);
    let evidence: Vec<Evidence> = serde_json::from_str(&evidence)?;
    Ok(Block {
        evidence,
        ..serde_json::from_str(&body)?
    })
}

fn collect(
    connection: &Connection,
    sql: &str,
    with: Vec<Value>,
) -> Result<Vec<Block>, RecordsError> {
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query(params_from_iter(with))?;
    let mut blocks = Vec::new();
    while let Some(row) = rows.next()? {
        blocks.push(read(row)?);
    }
    Ok(blocks)
}

/// All active blocks, oldest first.
pub(super) fn active(connection: &Connection) -> Result<Vec<Block>, RecordsError> {
    collect(
        connection,
        "SELECT body, evidence FROM block WHERE state = 'active' ORDER BY opened_at",
        Vec::new(),
    )
}

/// Blocks opened at or after `since`, oldest first, without their evidence.
pub(super) fn opened(connection: &Connection, since: Time) -> Result<Vec<Block>, RecordsError> {
    collect(
        connection,
        "SELECT body, '[]' FROM block WHERE opened_at >= ?1 ORDER BY opened_at",
        vec![since.0.into()],
    )
}

/// Blocks that ended at or after `since`, in the order of their ends.
pub(super) fn ended(connection: &Connection, since: Time) -> Result<Vec<Block>, RecordsError> {
    let sql = "SELECT body, evidence FROM block WHERE state <> 'active' AND ended_at >= ?1 ORDER BY ended_at";
    collect(connection, sql, vec![since.0.into()])
}

pub(super) fn get(connection: &Connection, reference: BlockRef) -> Result<Block, RecordsError> {
    let found = collect(
        connection,
        "SELECT body, evidence FROM block WHERE ref = ?1",
        vec![reference.to_string().into()],
    )?;
    found.into_iter().next().ok_or(RecordsError::NotFound)
}

/// Blocks that match the query, newest first.
pub(super) fn list(
    connection: &Connection,
    query: &BlockQuery,
) -> Result<Vec<Block>, RecordsError> {
    let mut sql = String::from("SELECT body, evidence FROM block WHERE 1");
    let mut with: Vec<Value> = Vec::new();
    if let Some(state) = query.state {
        sql.push_str(" AND state = ?");
        with.push(state_name(state).to_owned().into());
    }
    if let Some(tenant) = &query.tenant {
        sql.push_str(" AND tenant = ?");
        with.push(tenant.as_str().to_owned().into());
    }
    if let Some(subject) = &query.subject {
        sql.push_str(" AND subject = ?");
        with.push(subject.clone().into());
    }
    if let Some((time, reference)) = &query.after {
        sql.push_str(" AND (opened_at, ref) < (?, ?)");
        with.push(time.0.into());
        with.push(reference.to_string().into());
    }
    sql.push_str(" ORDER BY opened_at DESC, ref DESC LIMIT ?");
    with.push(
        i64::try_from(query.limit.clamp(1, 10_000))
            .unwrap_or(10_000)
            .into(),
    );
    collect(connection, &sql, with)
}

/// Releases of this subject of that tenant by tenant admins since then.
pub(super) fn tenant_releases(
    connection: &Connection,
    tenant: Option<&TenantId>,
    kind: BlockKind,
    subject: &str,
    since: Time,
) -> Result<u32, RecordsError> {
    let count = connection.query_row(
        "SELECT COUNT(*) FROM block WHERE subject = ?1 AND kind = ?2 AND state = 'released' AND released_role = ?3
         AND ended_at >= ?4 AND tenant IS ?5",
        params![subject, kind.as_str(), Role::Admin.as_str(), since.0, tenant.map(TenantId::as_str)],
        |r| r.get(0),
    )?;
    Ok(count)
}

/// Deletes the evidence of blocks that ended before then; the records themselves stay.
pub(super) fn prune(tx: &Transaction<'_>, ended_before: Time) -> Result<(), RecordsError> {
    tx.execute(
        "UPDATE block SET evidence = '[]' WHERE state <> 'active' AND ended_at < ?1 AND evidence <> '[]'",
        [ended_before.0],
    )?;
    Ok(())
}
