//! The queue: what is to be tried when, by destination. One task owns the state.

use crate::config::Settings;
use crate::delivery::Delivery;
use crate::env::Clock;
use crate::spool::{Recovered, Spool};
use crate::types::{
    Address, BlockRef, HoldReason, MessageId, MessageMeta, Pool, RecipientOutcome, RecipientStatus, Reply, TenantId, Time,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What the queue reports to the rest of the relay.
#[derive(Debug, Clone)]
pub enum QueueEvent {
    /// An attempt ended for these recipients.
    Attempted {
        /// The message.
        meta: Arc<MessageMeta>,
        /// One per recipient tried.
        outcomes: Vec<RecipientOutcome>,
        /// When the deferred ones are tried again.
        next_attempt: Option<Time>,
    },
    /// Recipients failed for good (refused, expired in the queue, bounced by an admin, held too long): tell the sender.
    Failed {
        /// The message.
        meta: Arc<MessageMeta>,
        /// Index, last reply, remote host.
        recipients: Vec<FailedRecipient>,
        /// Why it ended.
        cause: FailureCause,
    },
    /// Still undelivered after `delay_notice`: tell the sender once.
    Delayed {
        /// The message.
        meta: Arc<MessageMeta>,
        /// Recipients still pending.
        recipients: Vec<FailedRecipient>,
        /// When we give up.
        expires: Time,
    },
    /// Delivered to a next hop without DSN although the sender asked for `NOTIFY=SUCCESS` (RFC 3461 section 5.2.2): report "relayed".
    Relayed {
        /// The message.
        meta: Arc<MessageMeta>,
        /// Recipients concerned.
        recipients: Vec<FailedRecipient>,
    },
    /// Nothing is left to do for this message; it has left the spool.
    Done {
        /// The message.
        id: MessageId,
    },
}

/// A recipient in a report.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedRecipient {
    /// Index into the envelope's recipients.
    pub recipient: u32,
    /// Last reply, ours or the remote's.
    pub reply: Reply,
    /// Host that gave it; empty if none.
    pub remote: String,
}

/// Why recipients failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCause {
    /// A next hop refused for good, or no next hop can exist.
    Refused,
    /// `delivery.expire` passed.
    Expired,
    /// Held until `held.expire` passed, or a reviewer returned it.
    HeldReturned,
    /// An admin bounced it.
    Admin,
}

/// Which messages a bulk order means.
#[derive(Debug, Clone)]
pub enum Select {
    /// One message.
    Id(MessageId),
    /// All not yet held whose identity this block covers (`Judge::covers`).
    CoveredBy(Arc<crate::types::Block>),
    /// All held under this block.
    HeldUnder(BlockRef),
}

/// One message as listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueueItem {
    /// Id.
    pub id: MessageId,
    /// Envelope sender.
    pub from: String,
    /// Tenant; absent for the relay's own mail.
    pub tenant: Option<TenantId>,
    /// `active`, `deferred` or `held`.
    pub state: QueueState,
    /// Why it is held.
    pub hold: Option<HoldReason>,
    /// When it was accepted.
    #[serde(serialize_with = "as_rfc3339", deserialize_with = "from_rfc3339")]
    pub accepted_at: Time,
    /// Next attempt, where one is planned.
    pub next_attempt: Option<String>,
    /// Octets.
    pub size: u32,
    /// Attempts so far.
    pub attempts: u32,
    /// Pool.
    pub pool: Pool,
    /// Recipients with their state and last reply. Filled by `show`, empty in lists.
    pub recipients: Vec<QueueRecipient>,
}

/// A recipient as shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueueRecipient {
    /// Address.
    pub address: Address,
    /// State.
    pub status: RecipientStatus,
    /// Last reply, one line; empty if none.
    pub last_reply: String,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    /// Due or being tried.
    Active,
    /// Waits for its next attempt.
    Deferred,
    /// Held.
    Held,
}

fn as_rfc3339<S: serde::Serializer>(t: &Time, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&t.rfc3339())
}

fn from_rfc3339<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
    let text = String::deserialize(d)?;
    Time::parse_rfc3339(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
}

/// Handle to the queue; cheap to clone.
#[derive(Clone)]
pub struct Queue {}

impl Queue {
    /// Starts the task with what the spool held. Events come out of the receiver; the queue waits when it is full.
    pub fn start(
        _settings: Arc<Settings>,
        _clock: Arc<dyn Clock>,
        _spool: Spool,
        _delivery: Delivery,
        _recovered: Vec<Recovered>,
    ) -> (Self, mpsc::Receiver<QueueEvent>) {
        unimplemented!()
    }
    /// Takes over a message that the spool holds. Never blocks.
    pub fn enqueue(&self, _meta: Arc<MessageMeta>) {
        unimplemented!()
    }
    /// New settings from now on.
    pub fn reload(&self, _settings: Arc<Settings>) {
        unimplemented!()
    }
    /// Holds what is selected and not being tried at this moment (that is held when its attempt ends); gives the ids.
    pub async fn hold(&self, _select: Select, _reason: HoldReason) -> Vec<MessageId> {
        unimplemented!()
    }
    /// Sends held mail on; gives the ids.
    pub async fn release(&self, _select: Select) -> Vec<MessageId> {
        unimplemented!()
    }
    /// Tries now, whatever was planned; gives the ids.
    pub async fn retry(&self, _select: Select) -> Vec<MessageId> {
        unimplemented!()
    }
    /// Gives up and tells the sender; gives the ids.
    pub async fn bounce(&self, _select: Select) -> Vec<MessageId> {
        unimplemented!()
    }
    /// Drops held mail without telling anybody; gives the ids. Only held mail can be deleted.
    pub async fn delete(&self, _select: Select) -> Vec<MessageId> {
        unimplemented!()
    }
    /// Up to `limit` messages after `after`, oldest first, of one state or all.
    pub async fn list(&self, _state: Option<QueueState>, _after: Option<MessageId>, _limit: usize) -> Vec<QueueItem> {
        unimplemented!()
    }
    /// One message with its recipients.
    pub async fn show(&self, _id: MessageId) -> Option<QueueItem> {
        unimplemented!()
    }
    /// No new attempts; waits for the running ones up to the deadline.
    pub async fn drain(&self, _deadline: std::time::Duration) {
        unimplemented!()
    }
}
