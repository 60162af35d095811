//! Senders and their standing.

use super::EvidenceItem;
use crate::types::{SenderKey, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A sender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SenderItem {
    /// The key of the sender.
    #[schema(value_type = String)]
    pub key: SenderKey,
    #[schema(value_type = String)]
    pub tenant: TenantId,
    pub address: String,
    /// `good`, `watched`, `held` or `blocked`.
    pub standing: String,
    /// The detector's sum in nats.
    pub evidence_nats: f64,
    /// The sum at which it blocks; 0 = never.
    pub block_at_nats: f64,
    /// Messages in the last hour.
    pub messages_hour: u64,
    /// Messages in the last day.
    pub messages_day: u64,
    /// External recipients in the last hour.
    pub recipients_external_hour: u64,
    /// Internal recipients in the last hour.
    pub recipients_internal_hour: u64,
    /// Recipients in the last day.
    pub recipients_day: u64,
    /// New recipients in the last day.
    pub recipients_new_day: u64,
    /// Messages counted as spam in the last day.
    pub spam_day: u64,
    /// Bounces in the last day.
    pub bounces_day: u64,
    /// The newest evidence first, at most 20.
    pub recent: Vec<EvidenceItem>,
}

/// Which senders to list.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SenderFilter {
    /// `good`, `watched`, `held` or `blocked`.
    pub standing: Option<String>,
    /// Items of a page, 1-1000 (100).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}
