//! SQLite: blocks, message trace, audit, accounts, tokens, notices. One writer thread; readers beside it.

use crate::types::{Action, Block, BlockRef, BlockState, MessageId, Reason, RecipientOutcome, Signal, TenantId, Time};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Why records could not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordsError {
    /// Not there.
    NotFound,
    /// Exists already.
    Exists,
    /// SQLite or the disk said so; ours, temporary.
    Failed(String),
}

/// What is traced of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TraceEvent {
    /// A message was judged (accepted, held, deferred or refused).
    Judged(Box<Judged>),
    /// Outcomes of one attempt.
    Attempted {
        /// Message.
        id: MessageId,
        /// When.
        time: Time,
        /// Per recipient.
        outcomes: Vec<RecipientOutcome>,
    },
    /// Any other event of its life: released, deleted, bounced, expired, NDR sent.
    Note {
        /// Message.
        id: MessageId,
        /// When.
        time: Time,
        /// One line.
        text: String,
    },
}

/// The judgement of a message as traced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Message.
    pub id: MessageId,
    /// When.
    pub time: Time,
    /// Tenant.
    pub tenant: Option<TenantId>,
    /// Sender key and address.
    pub sender_key: String,
    /// Address or login.
    pub sender: String,
    /// Envelope sender.
    pub from: String,
    /// Client address.
    pub client: String,
    /// Recipients.
    pub recipients: Vec<String>,
    /// Message-ID header.
    pub header_message_id: Option<String>,
    /// Octets.
    pub size: u32,
    /// Decision.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// Block that stood in the way or was opened.
    pub block: Option<BlockRef>,
    /// Probability.
    pub probability: f32,
    /// LLR in nats.
    pub llr: f32,
    /// Content symbols and sender signals.
    pub symbols: Vec<Signal>,
    /// Reply given, one line.
    pub reply: String,
}

/// A traced message as found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageTrace {
    /// Its judgement.
    #[serde(flatten)]
    pub judged: Judged,
    /// What happened since, oldest first: time, recipient or empty, text.
    pub history: Vec<TraceLine>,
}

/// One line of a message's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceLine {
    /// RFC 3339.
    pub time: String,
    /// Recipient, empty for the whole message.
    pub recipient: String,
    /// `delivered`, `deferred`, `failed` or `note`.
    pub status: String,
    /// Reply or note.
    pub text: String,
}

/// What to search the trace for; all given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceQuery {
    /// The relay's id or the Message-ID header.
    pub id: Option<String>,
    /// Sender address, login or envelope sender.
    pub sender: Option<String>,
    /// Recipient address.
    pub recipient: Option<String>,
    /// Only this tenant.
    pub tenant: Option<TenantId>,
    /// Only ids before this one (newest first).
    pub before: Option<MessageId>,
    /// At most so many (1-1000).
    pub limit: usize,
}

/// Role of an account or token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May send mail (AUTH), nothing else.
    Smtp,
    /// Reads its tenant.
    Viewer,
    /// Acts on its tenant.
    Admin,
    /// Acts on everything.
    Operator,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Tenant; `None` only for operators.
    pub tenant: Option<TenantId>,
    /// Addresses or `@domains` beyond its own name.
    pub may_send_as: Vec<String>,
    /// Argon2id in PHC form.
    #[serde(skip_serializing, default)]
    pub password_hash: String,
}

/// A bearer token; only its SHA-256 is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Tenant; `None` = all (operators).
    pub tenant: Option<TenantId>,
    /// SHA-256 of the secret, hex.
    #[serde(skip_serializing, default)]
    pub sha256: String,
    /// When made.
    pub created_at: Time,
}

/// One line of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub time: Time,
    /// Account, token, `relay` or `cli`.
    pub actor: String,
    /// Verb such as `block.release`.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// Reason given, details.
    pub detail: String,
}

/// Which blocks to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockQuery {
    /// State.
    pub state: Option<BlockState>,
    /// Tenant.
    pub tenant: Option<TenantId>,
    /// Subject, exactly.
    pub subject: Option<String>,
    /// After this (opened_at, reference), newest first.
    pub after: Option<(Time, BlockRef)>,
    /// At most so many.
    pub limit: usize,
}

/// Handle; cheap to clone.
#[derive(Clone)]
pub struct Records {}

impl Records {
    /// Opens or creates `path`, runs migrations.
    pub fn open(_path: &Path) -> Result<Self, RecordsError> {
        unimplemented!()
    }
    /// Inserts or replaces a block record; returns once it is durable.
    pub async fn put_block(&self, _block: Arc<Block>) -> Result<(), RecordsError> {
        unimplemented!()
    }
    /// All active blocks, for the start.
    pub fn active_blocks(&self) -> Result<Vec<Block>, RecordsError> {
        unimplemented!()
    }
    /// One block.
    pub async fn block(&self, _reference: BlockRef) -> Result<Block, RecordsError> {
        unimplemented!()
    }
    /// Lists blocks, newest first.
    pub async fn blocks(&self, _query: BlockQuery) -> Result<Vec<Block>, RecordsError> {
        unimplemented!()
    }
    /// Releases of this kind and subject by tenant admins since `since`.
    pub async fn tenant_releases(
        &self,
        _kind: crate::types::BlockKind,
        _subject: &str,
        _since: Time,
    ) -> Result<u32, RecordsError> {
        unimplemented!()
    }
    /// Adds to the trace; never blocks; batched. Under overload the caller is slowed through a bounded channel of bytes.
    pub fn trace(&self, _event: TraceEvent) {
        unimplemented!()
    }
    /// Searches the trace, newest first. Sees all that was traced before the call.
    pub async fn search(&self, _query: TraceQuery) -> Result<Vec<MessageTrace>, RecordsError> {
        unimplemented!()
    }
    /// Adds an audit line; durable when it returns.
    pub async fn audit(&self, _entry: AuditEntry) -> Result<(), RecordsError> {
        unimplemented!()
    }
    /// Audit lines, newest first, with their row ids, before `before`.
    pub async fn audit_list(&self, _before: Option<i64>, _limit: usize) -> Result<Vec<(i64, AuditEntry)>, RecordsError> {
        unimplemented!()
    }
    /// Adds an account.
    pub async fn account_add(&self, _account: Account) -> Result<(), RecordsError> {
        unimplemented!()
    }
    /// Removes an account.
    pub async fn account_remove(&self, _name: &str) -> Result<(), RecordsError> {
        unimplemented!()
    }
    /// One account.
    pub async fn account(&self, _name: &str) -> Result<Account, RecordsError> {
        unimplemented!()
    }
    /// All accounts.
    pub async fn accounts(&self) -> Result<Vec<Account>, RecordsError> {
        unimplemented!()
    }
    /// Adds a token.
    pub async fn token_add(&self, _token: Token) -> Result<(), RecordsError> {
        unimplemented!()
    }
    /// Revokes a token.
    pub async fn token_remove(&self, _name: &str) -> Result<(), RecordsError> {
        unimplemented!()
    }
    /// All tokens.
    pub async fn tokens(&self) -> Result<Vec<Token>, RecordsError> {
        unimplemented!()
    }
    /// Stores a small value that must survive a restart (webhook outbox, notice counters); `None` removes it.
    pub async fn put(&self, _space: &'static str, _key: &str, _value: Option<String>) -> Result<(), RecordsError> {
        unimplemented!()
    }
    /// All values of a space, by key.
    pub async fn all(&self, _space: &'static str) -> Result<Vec<(String, String)>, RecordsError> {
        unimplemented!()
    }
    /// Removes what is older than the limits, down to `trace_bytes`.
    pub async fn prune(&self, _now: Time, _limits: crate::config::settings::Records) -> Result<(), RecordsError> {
        unimplemented!()
    }
    /// Writes what waits and closes.
    pub async fn close(&self) {
        unimplemented!()
    }
}
