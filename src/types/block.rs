//! The block record: what was stopped, why, by whom, until when, and how it ended.

use super::{BlockRef, MessageId, Reason, SenderKey, TenantId, Time};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// Who opens a block that the relay opens by itself.
pub(crate) const RELAY: &str = "relay";

/// What a block stops.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// One sender (address or login).
    Sender,
    /// All senders of one domain.
    Domain,
    /// One client address or network (`192.0.2.0/24`).
    Client,
    Tenant,
    /// Messages with a link to this host or below it.
    Website,
}

impl BlockKind {
    /// Name as in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Domain => "domain",
            Self::Client => "client",
            Self::Tenant => "tenant",
            Self::Website => "website",
        }
    }
}

/// Which senders of that address a sender block meets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SenderScope {
    /// Whoever uses the address, proven or claimed: what an admin means.
    Any,
    /// Only the authenticated or asserted account.
    Account,
    /// Only mail that claims the address through this client: a forger elsewhere cannot get it
    /// blocked, nor does this block reach the real account.
    Claimed(IpAddr),
}

/// Where a block stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockState {
    Active,
    /// Ended by a person.
    Released,
    /// Ended by its own duration.
    Expired,
}

/// Why a block was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseVerdict {
    /// The relay was wrong: held mail goes on, the evidence is labelled "not spam".
    Mistake,
    /// The account had been taken over and is clean again: held mail stays for review, labels stay.
    Compromised,
}

/// One named reason behind a score or a sum of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// A name a postmaster understands, such as `new_recipients`.
    pub name: Box<str>,
    /// Weight in nats; positive speaks for spam.
    pub weight: f32,
}

/// One message (or outcome) that stands as proof in a block record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The relay's id of the message.
    pub message_id: MessageId,
    /// When it was judged.
    pub time: Time,
    /// Spam probability at even odds, 0-1.
    pub probability: f32,
    /// Log-likelihood ratio of the content in nats.
    pub llr: f32,
    /// Strongest content symbols and sender signals.
    pub symbols: Vec<Signal>,
    /// Recipients of that message.
    pub recipients: u32,
}

impl Evidence {
    /// What became of a message, told later by a remote server or a complaint: its content says
    /// nothing new.
    pub fn is_outcome(&self) -> bool {
        self.probability == 0.0 && self.llr == 0.0
    }
}

/// A block record. The evidence is bounded to the newest [`Block::MAX_EVIDENCE`] entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Public reference, as spoken in the SMTP reply.
    pub reference: BlockRef,
    /// What kind of subject.
    pub kind: BlockKind,
    /// The subject as text: address, domain, address or network, tenant name, host name.
    pub subject: String,
    /// For `kind = sender`: which senders of that address.
    pub scope: SenderScope,
    /// Tenant it belongs to. Blocks of kind `website` and `client` opened by an operator may have
    /// none.
    pub tenant: Option<TenantId>,
    /// The reputation record whose evidence led to it, where there is one.
    pub sender: Option<SenderKey>,
    pub state: BlockState,
    pub reason: Reason,
    /// Human sentence with the counters that led here.
    pub explanation: String,
    /// When it came into force.
    pub opened_at: Time,
    /// When it ends by itself; `None` = only by a release.
    pub until: Option<Time>,
    /// `relay`, or the name of the admin account.
    pub opened_by: String,
    pub evidence: Vec<Evidence>,
    /// When it ended (released or expired).
    pub ended_at: Option<Time>,
    pub released_by: Option<String>,
    /// Why it was released.
    pub verdict: Option<ReleaseVerdict>,
    /// The note given with the release.
    pub note: Option<String>,
}

impl Block {
    /// Entries of evidence kept per block.
    pub const MAX_EVIDENCE: usize = 50;
}

/// A block that is to be opened; the caller draws the reference, makes it durable, then speaks it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBlock {
    pub kind: BlockKind,
    pub subject: String,
    /// Which senders of that address.
    pub scope: SenderScope,
    pub tenant: Option<TenantId>,
    /// Reputation record behind it.
    pub sender: Option<SenderKey>,
    pub reason: Reason,
    /// Sentence with the counters that led here.
    pub explanation: String,
    /// End; `None` = until released.
    pub until: Option<Time>,
    pub evidence: Vec<Evidence>,
}
