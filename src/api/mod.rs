//! What the HTTP API takes and gives, as JSON: the server writes these structs, the command line
//! reads them, and `/api/v1/openapi.json` is made from them. Times are RFC 3339 in UTC.

mod blocks;
mod mail;
mod policy;
mod senders;

pub(crate) use blocks::{
    BlockFilter, BlockItem, EvidenceItem, OpenBlock, ReleaseBlock, SymbolWeight,
};
pub(crate) use mail::{
    ActReason, Acted, AuditItem, LabelMessage, Labelled, MessageFilter, MessageItem, QueueFilter,
    QueueItem, QueueRecipient, QueueState, TraceLine,
};
pub(crate) use policy::{
    AllowanceInForce, CeilingUse, PolicyAnswer, PolicyCandidate, PolicyExplanation, PolicyFilter,
    PolicySource, PolicyValue, ShadowCountsItem,
};
pub(crate) use senders::{SenderFilter, SenderItem};

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Page<T> {
    pub items: Vec<T>,
    /// What to give as `cursor` for the next page; null at the end of the list.
    pub next: Option<String>,
}

/// Which page of a list.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageFilter {
    /// Items of a page, 1-1000 (100).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Why a request failed (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ProblemObject {
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub status: u16,
    /// What this occurrence is about, for people.
    pub detail: String,
    /// The field of the request that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
}

/// A 32-bit number without the digits that only the wider type shows.
fn short(x: f32) -> f64 {
    (f64::from(x) * 1e6).round() / 1e6
}
