//! Messages: the trace, the queue, what is held, and the audit.

use super::{SymbolWeight, short};
use crate::types::{
    Action, Address, BlockRef, HoldReason, MessageId, Pool, Reason, RecipientStatus, Signal,
    TenantId,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A message in the trace: how it was judged, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MessageItem {
    pub id: MessageId,
    /// When it was judged.
    #[schema(format = DateTime)]
    pub time: String,
    /// Tenant of the sender.
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// Key of the sender.
    pub sender_key: String,
    /// Address or login of the sender.
    pub sender: String,
    pub from: String,
    pub client: String,
    /// Recipients of the envelope.
    pub recipients: Vec<String>,
    pub header_message_id: Option<String>,
    pub size: u32,
    pub action: Action,
    /// Why it was decided.
    pub reason: Reason,
    /// The block that stood in the way or was opened.
    pub block: Option<BlockRef>,
    /// Spam probability at even odds, 0-1.
    pub probability: f64,
    /// Log-likelihood ratio of the content in nats.
    pub llr: f64,
    /// Symbols of the content and signals of the sender.
    pub symbols: Vec<SymbolWeight>,
    /// The reply given, one line.
    pub reply: String,
    /// What happened since, oldest first.
    pub history: Vec<TraceLine>,
}

impl MessageItem {
    /// The numbers of a judgement as they are shown: probability, LLR in nats, symbols.
    pub(crate) fn numbers(
        probability: f32,
        llr: f32,
        symbols: &[Signal],
    ) -> (f64, f64, Vec<SymbolWeight>) {
        let symbols = symbols.iter().map(Into::into).collect();
        (short(probability), short(llr), symbols)
    }
}

/// One line of a message's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TraceLine {
    #[schema(format = DateTime)]
    pub time: String,
    /// Recipient, empty for the whole message.
    pub recipient: String,
    /// `delivered`, `deferred`, `failed` or `note`.
    pub status: String,
    pub text: String,
}

/// Which messages of the trace to list; all given must fit.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MessageFilter {
    /// The relay's id or the Message-ID header.
    pub id: Option<String>,
    /// Address, login, envelope sender or sender key.
    pub sender: Option<String>,
    pub recipient: Option<String>,
    pub tenant: Option<String>,
    /// Items of a page, 1-1000 (100).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// What a message was.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelMessage {
    pub label: String,
    /// Why; it stands in the audit.
    #[serde(default)]
    pub reason: String,
}

/// A message that was labelled.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Labelled {
    pub id: MessageId,
    pub label: String,
}

/// A message in the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct QueueItem {
    pub id: MessageId,
    pub from: String,
    /// Tenant of the sender; null for the relay's own mail.
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    pub state: QueueState,
    /// Why it is held.
    pub hold: Option<HoldReason>,
    /// When it was accepted.
    #[schema(format = DateTime)]
    pub accepted_at: String,
    /// Next attempt, where one is planned.
    #[schema(format = DateTime)]
    pub next_attempt: Option<String>,
    pub size: u32,
    pub attempts: u32,
    /// The pool of source addresses it leaves from.
    pub pool: Pool,
    /// Recipients; empty in lists.
    pub recipients: Vec<QueueRecipient>,
}

/// A recipient of a message in the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct QueueRecipient {
    #[schema(value_type = String)]
    pub address: Address,
    pub status: RecipientStatus,
    /// The last reply, one line; empty if none.
    pub last_reply: String,
}

/// Where a message in the queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum QueueState {
    /// Due or being tried.
    Active,
    /// Waits for its next attempt.
    Deferred,
    /// Waits for a decision.
    Held,
}

/// Which messages of the queue to list.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QueueFilter {
    /// `active`, `deferred` or `held`.
    #[param(value_type = Option<QueueState>)]
    pub state: Option<String>,
    /// Items of a page, 1-1000 (100).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Why something is done to a message.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActReason {
    /// It stands in the audit and in the message's history.
    #[serde(default)]
    pub reason: String,
}

/// The messages something was done to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Acted {
    pub ids: Vec<MessageId>,
}

/// A line of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AuditItem {
    /// Number of the line.
    pub id: i64,
    /// When it was done.
    #[schema(format = DateTime)]
    pub time: String,
    pub actor: String,
    /// What was done, such as `block.release`.
    pub action: String,
    pub subject: String,
    /// Details, often the reason given.
    pub detail: String,
}
