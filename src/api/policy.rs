//! Which policy is a sender's, and why.

use super::SenderItem;
use crate::types::Reason;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::{IntoParams, ToSchema};

/// The answer to "which policy, and why?".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PolicyAnswer {
    /// Which policy and why.
    #[serde(flatten)]
    pub explanation: PolicyExplanation,
    /// What is used of its ceilings.
    pub used: Vec<CeilingUse>,
    /// What its policy in shadow mode would have done since the start.
    pub shadow_counts: Option<ShadowCountsItem>,
    /// The sender, where it was seen.
    pub counters: Option<SenderItem>,
    pub source: PolicySource,
}

/// Who explains a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PolicySource {
    Relay,
    Configuration,
}

/// Which policy acts on a sender, why every other does not, and where each value comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PolicyExplanation {
    pub sender: String,
    pub tenant: String,
    /// The client it was last seen through, or asked for; null = not known.
    #[schema(value_type = Option<String>)]
    pub client: Option<IpAddr>,
    /// The policy that acts.
    pub policy: String,
    /// The policy in shadow mode that would act otherwise.
    pub shadow: Option<String>,
    /// All policies in the order in which they are tried.
    pub policies: Vec<PolicyCandidate>,
    /// Every value in force.
    pub values: Vec<PolicyValue>,
    /// Every value of the policy in shadow mode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow_values: Vec<PolicyValue>,
    /// What is not held against the sender.
    pub allowances: Vec<AllowanceInForce>,
}

/// One policy and why it is the sender's, or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PolicyCandidate {
    pub policy: String,
    pub mode: String,
    /// Its priority; null = that of the default policy, below all others.
    pub priority: Option<i64>,
    /// `acts`, `shadow` (it would act) or `no`.
    pub applies: String,
    /// Why, in plain words.
    pub why: String,
}

/// One value of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PolicyValue {
    /// Key as in the configuration.
    pub key: String,
    /// As it would stand there.
    pub value: String,
    /// Where it comes from.
    pub from: String,
}

/// One allowance of the sender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AllowanceInForce {
    /// The kind of evidence that does not count.
    pub evidence: String,
    pub until: String,
    /// That day is over.
    pub expired: bool,
    /// Why it was given.
    pub reason: String,
}

/// How much of a ceiling is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct CeilingUse {
    /// The reason that is given when it is passed.
    pub ceiling: Reason,
    /// Used so far; sizes in KiB.
    pub used: u64,
    pub limit: u64,
}

/// What a policy in shadow mode would have done with the mail of one sender since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ShadowCountsItem {
    /// Messages it would have delivered through the high-risk pool.
    pub high_risk: u64,
    /// Messages it would have held.
    pub hold: u64,
    /// Messages it would have put off.
    pub defer: u64,
    /// Messages it would have refused, also under a block it would have opened.
    pub reject: u64,
    /// Blocks it would have opened.
    pub blocks: u64,
    /// Why the last of them.
    pub last_block: Option<Reason>,
}

/// Whose policy to explain.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PolicyFilter {
    pub tenant: Option<String>,
    /// As if it sent through this client address.
    pub client: Option<String>,
}
