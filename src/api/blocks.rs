//! Blocks and their evidence.

use super::short;
use crate::types::{
    Block, BlockKind, BlockRef, BlockState, Evidence, MessageId, Reason, ReleaseVerdict, SenderKey,
    SenderScope, Signal, TenantId, Time,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A named reason behind a score or a sum of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SymbolWeight {
    /// A name a postmaster understands, such as `new_recipients`.
    pub name: String,
    /// Weight in nats; positive speaks for spam.
    pub weight: f64,
}

impl From<&Signal> for SymbolWeight {
    fn from(signal: &Signal) -> Self {
        Self {
            name: signal.name.to_string(),
            weight: short(signal.weight),
        }
    }
}

/// One message, or what became of it, that speaks against a sender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct EvidenceItem {
    /// The relay's id of the message.
    pub message_id: MessageId,
    /// When it was judged.
    #[schema(format = DateTime)]
    pub time: String,
    /// Spam probability at even odds, 0-1.
    pub probability: f64,
    /// Log-likelihood ratio of the content in nats.
    pub llr: f64,
    /// The strongest symbols of the content and signals of the sender.
    pub symbols: Vec<SymbolWeight>,
    /// Recipients of that message.
    pub recipients: u32,
}

impl From<&Evidence> for EvidenceItem {
    fn from(e: &Evidence) -> Self {
        Self {
            message_id: e.message_id,
            time: e.time.rfc3339(),
            probability: short(e.probability),
            llr: short(e.llr),
            symbols: e.symbols.iter().map(Into::into).collect(),
            recipients: e.recipients,
        }
    }
}

/// A block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BlockItem {
    /// The reference that stands in the SMTP reply.
    #[serde(rename = "ref")]
    pub reference: BlockRef,
    /// What kind of subject.
    pub kind: BlockKind,
    /// Address, domain, client address or network, tenant, or host name.
    pub subject: String,
    /// Tenant it belongs to.
    #[schema(value_type = Option<String>, required)]
    pub tenant: Option<TenantId>,
    pub state: BlockState,
    /// `reason_code`, or what the admin said who opened it.
    pub reason: String,
    /// When it was opened.
    #[schema(format = DateTime)]
    pub opened_at: String,
    /// Its planned end; null = until it is released.
    #[schema(format = DateTime, required)]
    pub until: Option<String>,
    /// `relay`, or the person.
    pub opened_by: String,
    /// The messages that caused it.
    pub evidence: Vec<EvidenceItem>,
    /// Releases that the tenant's admins have left for this subject.
    pub releases_left: u32,
    /// The machine's name of the reason.
    #[schema(value_type = Reason)]
    pub reason_code: String,
    /// The reason in words.
    pub explanation: String,
    /// For kind `sender`, which senders of that address: `any`, `account`, or `{"claimed": CLIENT}`.
    #[schema(value_type = serde_json::Value)]
    pub scope: SenderScope,
    /// The account it was opened for.
    #[schema(value_type = Option<String>)]
    pub sender: Option<SenderKey>,
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    pub released_by: Option<String>,
    /// Why it was released.
    pub verdict: Option<ReleaseVerdict>,
    /// What was said at the release.
    pub note: Option<String>,
}

impl BlockItem {
    /// The block as the API shows it.
    pub(crate) fn new(b: &Block, releases_left: u32) -> Self {
        let reason = match b.reason {
            Reason::Admin if !b.explanation.is_empty() => b.explanation.as_str(),
            other => other.as_str(),
        };
        Self {
            reference: b.reference,
            kind: b.kind,
            subject: b.subject.clone(),
            tenant: b.tenant.clone(),
            state: b.state,
            reason: reason.into(),
            opened_at: b.opened_at.rfc3339(),
            until: b.until.map(Time::rfc3339),
            opened_by: b.opened_by.clone(),
            evidence: b.evidence.iter().map(Into::into).collect(),
            releases_left,
            reason_code: b.reason.as_str().into(),
            explanation: b.explanation.clone(),
            scope: b.scope.clone(),
            sender: b.sender.clone(),
            ended_at: b.ended_at.map(Time::rfc3339),
            released_by: b.released_by.clone(),
            verdict: b.verdict,
            note: b.note.clone(),
        }
    }
}

/// Which blocks to list.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BlockFilter {
    /// `active`, `released` or `expired`.
    #[param(value_type = Option<BlockState>)]
    pub state: Option<String>,
    pub tenant: Option<String>,
    pub subject: Option<String>,
    /// Items of a page, 1-1000 (100).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// A block to open. A field that is missing or wrong is named in the problem object.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenBlock {
    /// What kind of subject.
    #[schema(value_type = BlockKind, required)]
    pub kind: Option<String>,
    /// Address, domain, client address or network, tenant, or host name.
    #[schema(value_type = String, required)]
    pub subject: Option<String>,
    /// Why; it stands in the record and in the audit.
    #[schema(value_type = String, required)]
    pub reason: Option<String>,
    /// Its end; absent = until it is released.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// Whose subject it is, where that is not clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// The end of a block.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseBlock {
    /// Whether the relay was wrong.
    #[schema(value_type = ReleaseVerdict, required)]
    pub verdict: Option<String>,
    /// Why; it stands in the record and in the audit.
    #[schema(value_type = String, required)]
    pub reason: Option<String>,
}
