//! SQLite: blocks, message trace, audit, accounts, tokens, notices. One writer thread and several
//! readers.
//!
//! `records.db` holds what must be durable before it is announced: blocks, audit, accounts, tokens
//! (WAL, `synchronous=FULL`). The message trace is far larger and less valuable, so it is beside it
//! in `trace/`, in partitions that are dropped whole ([`trace`]). Its load never delays a block
//! record.

pub(crate) mod accounts;
mod audit;
mod blocks;
mod heads;
mod partition;
mod schema;
mod store;
#[cfg(test)]
mod tests;
mod trace;

use audit::Verified;
pub(crate) use heads::AuditHead;

use crate::api::TraceLine;
use crate::env::Vitals;
use crate::types::{
    Action, Block, BlockRef, BlockState, MessageId, Reason, RecipientOutcome, Role, Signal,
    TenantId, Time,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why an operation on records failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecordsError {
    NotFound,
    Exists,
    /// An error of SQLite or the disk; ours, temporary.
    Failed(String),
    /// The file is damaged: an operator must act.
    Damaged(String),
}

impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::Exists => f.write_str("exists already"),
            Self::Failed(what) => write!(f, "records failed: {what}"),
            Self::Damaged(what) => write!(
                f,
                "the database is damaged ({what}): restore it from a backup, or move it away to start without blocks, accounts \
                 and tokens"
            ),
        }
    }
}

impl std::error::Error for RecordsError {}

impl From<rusqlite::Error> for RecordsError {
    fn from(e: rusqlite::Error) -> Self {
        match e {
            rusqlite::Error::QueryReturnedNoRows => Self::NotFound,
            rusqlite::Error::SqliteFailure(f, _)
                if f.code == rusqlite::ErrorCode::ConstraintViolation =>
            {
                Self::Exists
            }
            rusqlite::Error::SqliteFailure(f, _)
                if matches!(
                    f.code,
                    rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase
                ) =>
            {
                Self::Damaged(e.to_string())
            }
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<serde_json::Error> for RecordsError {
    fn from(e: serde_json::Error) -> Self {
        Self::Failed(e.to_string())
    }
}

/// An event of a message for the trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum TraceEvent {
    /// The decision about a message (accepted, held, deferred or refused).
    Judged(Box<TracedJudgement>),
    /// Outcomes of one attempt.
    Attempted {
        id: MessageId,
        time: Time,
        outcomes: Vec<RecipientOutcome>,
    },
    /// Any other event: released, deleted, bounced, expired, NDR sent.
    Note {
        id: MessageId,
        time: Time,
        text: String,
    },
}

/// The decision about a message as traced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TracedJudgement {
    pub id: MessageId,
    pub time: Time,
    pub tenant: Option<TenantId>,
    /// Sender key and address.
    pub sender_key: String,
    pub sender: String,
    pub from: String,
    pub client: String,
    pub recipients: Vec<String>,
    pub header_message_id: Option<String>,
    pub size: u32,
    pub action: Action,
    pub reason: Reason,
    /// The block that stopped it or was opened by it.
    pub block: Option<BlockRef>,
    pub probability: f32,
    pub llr: f32,
    /// Content symbols and sender signals.
    pub symbols: Vec<Signal>,
    /// The reply sent, one line.
    pub reply: String,
}

/// A traced message, as found by a search.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MessageTrace {
    pub judged: TracedJudgement,
    /// Later events, oldest first: time, recipient or empty, text.
    pub history: Vec<TraceLine>,
}

/// A search of the trace; a message must match all given fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TraceQuery {
    /// The relay's id or the Message-ID header.
    pub id: Option<String>,
    /// Sender address, login or envelope sender.
    pub sender: Option<String>,
    pub recipient: Option<String>,
    pub tenant: Option<TenantId>,
    /// Only ids before this one (newest first).
    pub before: Option<MessageId>,
    /// Most results (1-1000).
    pub limit: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub name: String,
    pub role: Role,
    /// Tenant; `None` only for operators.
    pub tenant: Option<TenantId>,
    /// Addresses or `@domains` besides its own name.
    pub may_send_as: Vec<String>,
    /// Argon2id in PHC form.
    #[serde(skip_serializing, default)]
    pub password_hash: String,
}

/// A bearer token; only its SHA-256 is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    pub name: String,
    pub role: Role,
    /// Tenant; `None` = all (operators).
    pub tenant: Option<TenantId>,
    /// SHA-256 of the secret, hex.
    #[serde(skip_serializing, default)]
    pub sha256: String,
    pub created_at: Time,
}

/// One line of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditEntry {
    pub time: Time,
    /// Account, token, `relay` or `cli`.
    pub actor: String,
    /// Verb such as `block.release`.
    pub action: String,
    /// The object of the action.
    pub subject: String,
    pub detail: String,
}

/// Which blocks to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BlockQuery {
    pub state: Option<BlockState>,
    pub tenant: Option<TenantId>,
    pub subject: Option<String>,
    /// After this (opened_at, reference), newest first.
    pub after: Option<(Time, BlockRef)>,
    /// Most results.
    pub limit: usize,
}

/// The space for the references of blocks without a notice yet.
const UNTOLD: &str = "untold";

/// Handle to the records; cheap to clone.
#[derive(Clone)]
pub(crate) struct Records {
    store: Arc<store::RecordsStore>,
    trace: Arc<trace::Tracer>,
    heads: PathBuf,
}

impl Records {
    /// Opens or creates `path`, runs migrations. The trace is in the directory `trace` beside it.
    pub(crate) fn open(path: &Path) -> Result<Self, RecordsError> {
        Self::open_watched(path, &Vitals::default())
    }

    /// The same as a part of a relay: the end of its threads is reported to the vitals.
    pub(crate) fn open_watched(path: &Path, vitals: &Vitals) -> Result<Self, RecordsError> {
        let store = store::RecordsStore::open(path, vitals)?;
        let trace = trace::Tracer::start(&path.with_file_name("trace"), vitals)?;
        Ok(Self {
            store: Arc::new(store),
            trace: Arc::new(trace),
            heads: heads::path(path),
        })
    }

    /// Inserts or replaces a block record; returns once it is durable.
    pub(crate) async fn put_block(&self, block: Arc<Block>) -> Result<(), RecordsError> {
        self.store.write(move |tx| blocks::put(tx, &block)).await
    }

    /// Inserts the record of a new block and, in the same transaction, notes that its notice is
    /// due.
    pub(crate) async fn open_block(&self, block: Arc<Block>) -> Result<(), RecordsError> {
        self.store
            .write(move |tx| {
                blocks::put(tx, &block)?;
                store::put_value(tx, UNTOLD, &block.reference.to_string(), Some(""))
            })
            .await
    }

    /// Notes in one transaction that the notices of these blocks were sent.
    pub(crate) async fn notified(&self, blocks: Vec<BlockRef>) -> Result<(), RecordsError> {
        let set = move |tx: &rusqlite::Transaction<'_>| {
            blocks
                .iter()
                .try_for_each(|block| store::put_value(tx, UNTOLD, &block.to_string(), None))
        };
        self.store.write(set).await
    }

    /// Blocks whose notice was not sent before the process ended.
    pub(crate) async fn untold(&self) -> Result<Vec<BlockRef>, RecordsError> {
        Ok(self
            .all(UNTOLD)
            .await?
            .iter()
            .filter_map(|(key, _)| BlockRef::parse(key))
            .collect())
    }

    /// All active blocks, for the start.
    pub(crate) fn active_blocks(&self) -> Result<Vec<Block>, RecordsError> {
        self.store.read_now(blocks::active)
    }

    /// Blocks opened at or after `since`, for the start, oldest first and without their evidence.
    pub(crate) fn opened_blocks(&self, since: Time) -> Result<Vec<Block>, RecordsError> {
        self.store.read_now(|c| blocks::opened(c, since))
    }

    /// Blocks that ended at or after `since`, for the start, in the order of their ends.
    pub(crate) fn ended_blocks(&self, since: Time) -> Result<Vec<Block>, RecordsError> {
        self.store.read_now(|c| blocks::ended(c, since))
    }

    pub(crate) async fn block(&self, reference: BlockRef) -> Result<Block, RecordsError> {
        self.store.read(move |c| blocks::get(c, reference)).await
    }

    /// Lists blocks, newest first.
    pub(crate) async fn blocks(&self, query: BlockQuery) -> Result<Vec<Block>, RecordsError> {
        self.store.read(move |c| blocks::list(c, &query)).await
    }

    /// Releases of this tenant's blocks of that kind and subject by tenant admins since `since`.
    /// Two tenants may have a login of the same name: each has its own quota. A person counts as a
    /// tenant admin by the role of their account or token at the time of the release.
    pub(crate) async fn tenant_releases(
        &self,
        tenant: Option<&TenantId>,
        kind: crate::types::BlockKind,
        subject: &str,
        since: Time,
    ) -> Result<u32, RecordsError> {
        let (tenant, subject) = (tenant.cloned(), subject.to_owned());
        self.store
            .read(move |c| blocks::tenant_releases(c, tenant.as_ref(), kind, &subject, since))
            .await
    }

    /// Adds to the trace; batched. Under overload a channel bounded in events and octets slows the
    /// caller, 100 ms at most. Then the event is dropped and counted
    /// (`outgate_trace_dropped_total`): mail matters more than its trace.
    pub(crate) fn trace(&self, event: TraceEvent) {
        self.trace.push(event);
    }

    /// Returns once all events traced before the call would survive the end of the process, or
    /// after a tenth of a second: mail matters more.
    pub(crate) async fn settle_trace(&self) {
        // Events not written by then are written later.
        let _ =
            tokio::time::timeout(std::time::Duration::from_millis(100), self.trace.flush()).await;
    }

    /// Searches the trace, newest first. Sees all events traced before the call.
    pub(crate) async fn search(
        &self,
        query: TraceQuery,
    ) -> Result<Vec<MessageTrace>, RecordsError> {
        self.trace.flush().await?;
        let dir = self.trace.dir().to_owned();
        self.store
            .blocking(move || partition::search(&dir, &query))
            .await
    }

    /// Adds an audit line; durable when it returns. A SHA-256 chains each line to the previous one.
    /// Its hash is also written to a second file and to the log.
    pub(crate) async fn audit(&self, entry: AuditEntry) -> Result<(), RecordsError> {
        let (actor, action) = (entry.actor.clone(), entry.action.clone());
        let head = self.store.write(move |tx| audit::add(tx, &entry)).await?;
        tracing::info!(%head, actor, action, "audit");
        let path = self.heads.clone();
        let added = tokio::task::spawn_blocking(move || heads::add(&path, head)).await;
        if let Err(error) = added.map_err(std::io::Error::other).flatten() {
            // The line itself is on disk, and its action was carried out.
            tracing::error!(%error, %head, path = %self.heads.display(), "the hash of an audit line could not be written");
        }
        Ok(())
    }

    /// Audit lines, newest first, with their row ids, before `before`.
    pub(crate) async fn audit_list(
        &self,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<(i64, AuditEntry)>, RecordsError> {
        self.store
            .read(move |c| audit::list(c, before, limit))
            .await
    }

    /// Checks the chain of the audit from its start, and compares its end with `audit.heads` and
    /// with a line that is `known` from elsewhere. An error names the first line that was changed,
    /// removed or inserted, or the lines missing at the end.
    pub(crate) async fn audit_verify(
        &self,
        known: Option<AuditHead>,
    ) -> Result<Verified, RecordsError> {
        let path = self.heads.clone();
        self.store
            .read(move |c| {
                // The file is read first: a line added meanwhile is in the database before it is in
                // the file.
                let heads = heads::read(&path)?;
                audit::verify(c, heads.as_ref(), known)
            })
            .await
    }

    pub(crate) async fn account_add(&self, account: Account) -> Result<(), RecordsError> {
        self.store
            .write(move |tx| accounts::add(tx, &account))
            .await
    }

    pub(crate) async fn account_remove(&self, name: &str) -> Result<(), RecordsError> {
        let name = name.to_owned();
        self.store
            .write(move |tx| accounts::remove(tx, &name))
            .await
    }

    /// One account. Names compare without regard to ASCII case.
    pub(crate) async fn account(&self, name: &str) -> Result<Account, RecordsError> {
        let name = name.to_owned();
        self.store.read(move |c| accounts::get(c, &name)).await
    }

    /// All accounts, by name.
    pub(crate) async fn accounts(&self) -> Result<Vec<Account>, RecordsError> {
        self.store.read(accounts::list).await
    }

    pub(crate) async fn token_add(&self, token: Token) -> Result<(), RecordsError> {
        self.store
            .write(move |tx| accounts::token_add(tx, &token))
            .await
    }

    pub(crate) async fn token_remove(&self, name: &str) -> Result<(), RecordsError> {
        let name = name.to_owned();
        self.store
            .write(move |tx| accounts::token_remove(tx, &name))
            .await
    }

    /// All tokens, by name.
    pub(crate) async fn tokens(&self) -> Result<Vec<Token>, RecordsError> {
        self.store.read(accounts::tokens).await
    }

    /// Stores a small value that must survive a restart (webhook outbox, notice counters); `None`
    /// removes it.
    pub(crate) async fn put(
        &self,
        space: &'static str,
        key: &str,
        value: Option<String>,
    ) -> Result<(), RecordsError> {
        let key = key.to_owned();
        self.store
            .write(move |tx| store::put_value(tx, space, &key, value.as_deref()))
            .await
    }

    /// Sets a value unless it exists.
    pub(crate) async fn put_new(
        &self,
        space: &'static str,
        key: &str,
        value: String,
    ) -> Result<(), RecordsError> {
        let key = key.to_owned();
        self.store
            .write(move |tx| store::put_new_value(tx, space, &key, &value))
            .await
    }

    /// The first `limit` values of a space with keys after `after`, by key.
    pub(crate) async fn page(
        &self,
        space: &'static str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, String)>, RecordsError> {
        let after = after.to_owned();
        self.store
            .read(move |c| store::page_of_values(c, space, &after, limit))
            .await
    }

    /// All values of a space, by key.
    pub(crate) async fn all(
        &self,
        space: &'static str,
    ) -> Result<Vec<(String, String)>, RecordsError> {
        self.store.read(move |c| store::all_values(c, space)).await
    }

    /// Removes what is beyond the limits: the evidence of blocks that ended long ago (the record
    /// itself stays), and the oldest partitions of the trace until it fits `trace_bytes`.
    pub(crate) async fn prune(
        &self,
        now: Time,
        limits: crate::config::settings::RecordsSettings,
    ) -> Result<(), RecordsError> {
        let ended_before = now.before(limits.evidence);
        self.store
            .write(move |tx| blocks::prune(tx, ended_before))
            .await?;
        self.trace
            .prune(now.before(limits.trace), limits.trace_bytes)
            .await
    }

    /// Writes everything that waits and closes. Later calls fail.
    pub(crate) async fn close(&self) {
        self.trace.close().await;
        self.store.close().await;
    }
}
