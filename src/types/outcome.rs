//! What became of a recipient in one delivery attempt.

use super::Reply;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// State of one recipient of a queued message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecipientStatus {
    /// Not yet decided: still to be tried.
    Pending,
    /// The next hop took responsibility.
    Delivered,
    /// Failed for good; the sender is told.
    Failed,
}

/// What a reply or error says about sender and recipient, for the sender's evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeClass {
    /// Accepted by the next hop.
    Delivered,
    /// No such mailbox or domain.
    UnknownUser,
    /// Refused for what the message says, or for its sender by name.
    SpamRefusal,
    /// Refused for the standing of our address, or of a whole domain: says nothing about this
    /// sender.
    Reputation,
    /// Mailbox full, too large, policy, missing authentication: the recipient's side, says nothing
    /// about the sender.
    Recipient,
    /// Connection, DNS, TLS or protocol trouble.
    Transport,
    Other,
}

impl OutcomeClass {
    /// Name as in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::UnknownUser => "unknown_user",
            Self::SpamRefusal => "spam_refusal",
            Self::Reputation => "reputation",
            Self::Recipient => "recipient",
            Self::Transport => "transport",
            Self::Other => "other",
        }
    }
}

/// Result of one attempt for one recipient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecipientOutcome {
    /// Index into the envelope's recipients.
    pub recipient: u32,
    /// `Pending` = deferred: try again later.
    pub status: RecipientStatus,
    /// What it says about the sender.
    pub class: OutcomeClass,
    /// The remote's reply, or one of ours that describes the failure (`451 4.4.1 connection
    /// refused`).
    pub reply: Reply,
    /// Host that answered, or that we failed to reach: `mx.example[192.0.2.1]:25`; empty if none.
    pub remote: String,
    /// Whether the next hop offered DSN, so that it took over the duty to report success (RFC 3461
    /// section 5.2.2).
    pub relayed_dsn: bool,
}
