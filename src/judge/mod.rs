//! One place that joins identity, reputation, blocks and policy into decisions. Used alike by the live relay and by
//! `replay`: it is given `now` and facts and returns values; sockets, disk and randomness stay with the caller.

#[cfg(test)]
pub(crate) mod testing;

use crate::config::Settings;
use crate::types::{
    Action, Block, BlockKind, Evidence, Identity, MessageId, OutcomeClass, Reason, Reply, SenderKey, SenderScope, Signal,
    TenantId, Time,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A recipient as the judge sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecipientFacts {
    /// Stable hash of the normalised address (`Address::key`).
    pub hash: u64,
    /// In one of the tenant's own domains.
    pub internal: bool,
}

/// What the judge is told of a message at the final dot.
#[derive(Debug, Clone)]
pub struct MessageFacts<'a> {
    /// The relay's id.
    pub id: MessageId,
    /// Final identity.
    pub identity: &'a Identity,
    /// Recipients accepted at RCPT.
    pub recipients: &'a [RecipientFacts],
    /// Hash over Message-ID header and body hash: a retried message is not new evidence.
    pub fingerprint: u64,
    /// Content LLR in nats.
    pub llr: f64,
    /// Probability at even odds.
    pub probability: f64,
    /// Strongest content symbols.
    pub symbols: &'a [Signal],
    /// Hosts of links in the message, normalised.
    pub link_hosts: &'a [Box<str>],
    /// The message is a multipart/report.
    pub is_report: bool,
}

/// A block that is to be opened; the caller draws the reference, makes it durable, then speaks it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBlock {
    /// Kind.
    pub kind: BlockKind,
    /// Subject as text.
    pub subject: String,
    /// Which senders of that address.
    pub scope: SenderScope,
    /// Tenant.
    pub tenant: Option<TenantId>,
    /// Reputation record behind it.
    pub sender: Option<SenderKey>,
    /// Reason.
    pub reason: Reason,
    /// Sentence with the counters that led here.
    pub explanation: String,
    /// End; `None` = until released.
    pub until: Option<Time>,
    /// Proof.
    pub evidence: Vec<Evidence>,
}

/// Something the admins should hear about that is not a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Tenant concerned.
    pub tenant: TenantId,
    /// Sender concerned.
    pub sender: SenderKey,
    /// Address or login, for people.
    pub address: String,
    /// Which ceiling or rule.
    pub reason: Reason,
    /// Sentence with the counters.
    pub explanation: String,
}

/// The decision on one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// What to do. With `open` set: `Reject`.
    pub action: Action,
    /// The one why.
    pub reason: Reason,
    /// For `Defer` and `Reject` without a block: the reply.
    pub reply: Option<Reply>,
    /// An active block that stands in the way.
    pub blocked_by: Option<Arc<Block>>,
    /// A block this message opens.
    pub open: Option<NewBlock>,
    /// People to be told.
    pub alerts: Vec<Alert>,
    /// Evidence this message added against its sender, in nats, by name.
    pub signals: Vec<Signal>,
}

/// Answer to a reservation at RCPT.
#[derive(Debug, Clone, PartialEq)]
pub enum Reserve {
    /// Go on.
    Granted,
    /// 450 4.2.1 (`when_exceeded = "throttle"`): this recipient is surplus.
    Throttled(Reply),
}

/// Recipients reserved by one transaction; given back unless committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reservation {
    /// External recipients.
    pub external: u32,
    /// Internal recipients.
    pub internal: u32,
}

/// A sender as listed by the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SenderView {
    /// Key.
    pub key: SenderKey,
    /// Tenant.
    pub tenant: TenantId,
    /// Address or login.
    pub address: String,
    /// `good`, `watched`, `held`, `blocked`.
    pub standing: String,
    /// The detector's sum S in nats.
    pub evidence_nats: f64,
    /// The bound at which it blocks; 0 = off.
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
    /// Newest evidence first, at most 20.
    pub recent: Vec<Evidence>,
}

/// The judge.
pub struct Judge {}

impl Judge {
    /// Empty tables.
    pub fn new(_settings: Arc<Settings>) -> Self {
        unimplemented!()
    }
    /// New settings from now on.
    pub fn reload(&self, _settings: Arc<Settings>) {
        unimplemented!()
    }
    /// The block that stops this identity now, if any (sender, domain, client, tenant).
    pub fn gate(&self, _now: Time, _identity: &Identity) -> Option<Arc<Block>> {
        unimplemented!()
    }
    /// Reserves one recipient and adds it to `held`.
    pub fn reserve(&self, _now: Time, _identity: &Identity, _internal: bool, _held: &mut Reservation) -> Reserve {
        unimplemented!()
    }
    /// Gives a reservation back (RSET, 4xx/5xx, end of session).
    pub fn give_back(&self, _identity: &Identity, _held: Reservation) {
        unimplemented!()
    }
    /// Judges a message. The reservation, made under `reserved_as` (the identity known at RCPT), is taken over in the same
    /// step; nothing is counted for a message that does not go (`Defer`, `Reject`).
    pub fn judge(&self, _now: Time, _facts: &MessageFacts<'_>, _reserved_as: &Identity, _held: Reservation) -> Judgement {
        unimplemented!()
    }
    /// The spool could not take a message that was judged to go: what it counted is taken back.
    pub fn undo(&self, _now: Time, _facts: &MessageFacts<'_>) {
        unimplemented!()
    }
    /// A delivery outcome of a message of this sender. May open a block.
    pub fn outcome(
        &self,
        _now: Time,
        _identity: &Identity,
        _id: MessageId,
        _class: OutcomeClass,
        _recipient_hash: u64,
    ) -> Option<NewBlock> {
        unimplemented!()
    }
    /// A complaint about a message of this sender. May open a block.
    pub fn complaint(&self, _now: Time, _identity: &Identity, _id: MessageId) -> Option<NewBlock> {
        unimplemented!()
    }
    /// Puts a block in force (opened just now, or read at start).
    pub fn block(&self, _block: Arc<Block>) {
        unimplemented!()
    }
    /// Ends a block: it no longer stops anybody, and evidence from before `now` never counts again for what it covered.
    pub fn unblock(&self, _now: Time, _block: &Block) {
        unimplemented!()
    }
    /// Active blocks whose end has come; the caller ends each with [`Judge::unblock`].
    pub fn due(&self, _now: Time) -> Vec<Arc<Block>> {
        unimplemented!()
    }
    /// Whether this block stops mail of that identity.
    pub fn covers(_block: &Block, _identity: &Identity) -> bool {
        unimplemented!()
    }
    /// Senders in key order after `after`, at most `limit`; with `standing` only those of that standing.
    pub fn senders(&self, _now: Time, _after: Option<&str>, _limit: usize, _standing: Option<&str>) -> Vec<SenderView> {
        unimplemented!()
    }
    /// One sender by key, or by plain address.
    pub fn sender(&self, _now: Time, _key: &str) -> Option<SenderView> {
        unimplemented!()
    }
    /// Number of senders tracked.
    pub fn tracked(&self) -> usize {
        unimplemented!()
    }
    /// Writes the tables (not the blocks: those live in records).
    pub fn snapshot(&self, _out: &mut dyn std::io::Write) -> std::io::Result<()> {
        unimplemented!()
    }
    /// Reads what `snapshot` wrote; a damaged or foreign snapshot is an error and leaves the tables empty.
    pub fn restore(&self, _input: &mut dyn std::io::Read) -> std::io::Result<()> {
        unimplemented!()
    }
}
