//! One place that joins identity, reputation, blocks and policy into decisions. Used alike by the live relay and by
//! `replay`: it is given `now` and facts and returns values; sockets, disk and randomness stay with the caller.

pub mod fork;
mod judging;
mod outcomes;
mod snapshot;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trail;
mod views;

use crate::blocks::board::{self, Board};
use crate::config::Settings;
use crate::policy::{ceilings, reasons};
use crate::reputation::group::{self, Group};
use crate::reputation::pool::Pool;
use crate::reputation::seen::Seen;
use crate::reputation::sender::Sender;
use crate::reputation::table::Table;
use crate::reputation::window::Counts;
use crate::types::{
    Action, Block, BlockKind, Evidence, Identity, MessageId, Reason, Reply, SenderKey, SenderScope, Signal, TenantId, Time,
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use trail::Trail;

/// Senders tracked at most.
const SENDERS: usize = 1_000_000;
/// Domains, clients and tenants tracked at most.
const GROUPS: usize = 100_000;
/// Senders whose proof is kept at most.
const TRAILS: usize = 4096;
/// Alerts waiting to be fetched at most.
const ALERTS: usize = 1000;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

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
    /// Content LLR in nats, with what outside sources said.
    pub llr: f64,
    /// The part of it that listings make, nats.
    pub listed: f64,
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
    /// The content may be learned as ordinary mail: seen for the first time, taken without reserve, of a sender in good standing.
    pub teaches: bool,
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
pub struct Judge {
    settings: RwLock<Arc<Settings>>,
    board: Board,
    senders: Table<SenderKey, Sender>,
    groups: Table<u64, Group>,
    trails: Table<SenderKey, Trail>,
    seen: Seen,
    alerts: Mutex<Vec<Alert>>,
}

impl Judge {
    /// Empty tables.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings: RwLock::new(settings),
            board: Board::default(),
            senders: Table::new(SENDERS),
            groups: Table::new(GROUPS),
            trails: Table::new(TRAILS),
            seen: Seen::default(),
            alerts: Mutex::default(),
        }
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// New settings from now on.
    pub fn reload(&self, settings: Arc<Settings>) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// The block that stops this identity now, if any (sender, domain, client, tenant).
    pub fn gate(&self, now: Time, identity: &Identity) -> Option<Arc<Block>> {
        self.board.gate(now, identity)
    }

    /// The gate at RCPT where a header may yet name the account behind a merely claimed sender. A block that meets only
    /// claimed senders then waits for the dot if an account of that address or login is known: else whoever gets an
    /// invented envelope blocked would have the account of that name refused before it could show who it is.
    pub fn gate_before_header(&self, now: Time, identity: &Identity) -> Option<Arc<Block>> {
        let block = self.board.gate(now, identity)?;
        let waits = matches!(block.scope, SenderScope::Claimed(_)) && self.knows_account(identity);
        (!waits).then_some(block)
    }

    /// Whether mail of an account of this address, or of its local part as a login, was seen.
    fn knows_account(&self, identity: &Identity) -> bool {
        let local = identity.address.rsplit_once('@').map(|(local, _)| local);
        let names = [Some(&*identity.address), local];
        let mut keys = names.into_iter().flatten().filter(|n| !n.is_empty()).map(|n| SenderKey::account(&identity.tenant, n));
        keys.any(|key| self.senders.read(&key, |_| ()).is_some())
    }

    /// Reserves one recipient and adds it to `held`. Only `when_exceeded = "throttle"` refuses here; the other actions
    /// concern the whole message and come with its judgement.
    pub fn reserve(&self, now: Time, identity: &Identity, internal: bool, held: &mut Reservation) -> Reserve {
        let settings = self.settings();
        let policy = &settings.policy;
        if !throttles(policy) {
            return Reserve::Granted;
        }
        let add = ceilings::Recipients { external: u32::from(!internal), internal: u32::from(internal) };
        let over = self.senders.with(
            &identity.key,
            || Sender::new(identity, now),
            |sender| {
                let over = sender.ceiling(now, policy, add);
                if over.is_none() {
                    sender.reserved_external = sender.reserved_external.saturating_add(add.external);
                    sender.reserved_internal = sender.reserved_internal.saturating_add(add.internal);
                }
                let (which, minutes) = over.map_or((0, 0), |(why, _)| ceilings::place(why));
                over.map(|(why, limit)| (why, limit, sender.alert_due(now, which, minutes)))
            },
        );
        let Some((why, limit, tell)) = over else {
            held.external = held.external.saturating_add(add.external);
            held.internal = held.internal.saturating_add(add.internal);
            return Reserve::Granted;
        };
        if tell {
            let mut alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
            if alerts.len() < ALERTS {
                alerts.push(Alert::of(identity, why, limit));
            }
        }
        reasons::reply(why, Action::Defer).map_or(Reserve::Granted, Reserve::Throttled)
    }

    /// Alerts that came up at RCPT (throttled recipients) since the last call; each sender and ceiling once per window.
    pub fn take_alerts(&self) -> Vec<Alert> {
        std::mem::take(&mut *self.alerts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives a reservation back (RSET, 4xx/5xx, end of session).
    pub fn give_back(&self, identity: &Identity, held: Reservation) {
        if held != Reservation::default() {
            self.senders.get(&identity.key, |sender| sender.release(&held));
        }
    }

    /// Puts a block in force (opened just now, or read at start).
    pub fn block(&self, block: Arc<Block>) {
        self.board.insert(block);
    }

    /// Ends a block: it no longer stops anybody, and evidence from before `now` never counts again for what it covered.
    /// Known recipients stay known, and counters of recipients stay unless a ceiling opened the block: then it would open
    /// the next one at once.
    pub fn unblock(&self, now: Time, block: &Block) {
        self.board.remove(block.reference);
        self.forgive(now, block, false);
    }

    /// After a restart: does once more what the end of `block` did, for records that come from a snapshot taken before it.
    pub fn forgive_again(&self, block: &Block) {
        if let Some(ended) = block.ended_at {
            self.forgive(ended, block, true);
        }
    }

    /// With `again` only records that have not been used since `now` nor forgiven then.
    fn forgive(&self, now: Time, block: &Block, again: bool) {
        let all = matches!(
            block.reason,
            Reason::RecipientsExternalPerHour | Reason::RecipientsInternalPerHour | Reason::RecipientsPerDay
        );
        if block.kind == BlockKind::Website {
            return;
        }
        let forgive = |sender: &mut Sender| {
            let due = !again || (sender.forgiven < now && sender.last <= now);
            if due {
                sender.forgive(now, all);
                let client = group::client_key(&sender.tenant, sender.client);
                self.groups.get(&client, |g| g.pool.as_deref_mut().map(Pool::doubt));
            }
            due
        };
        if let (BlockKind::Sender, SenderScope::Account | SenderScope::Claimed(_), Some(key)) =
            (block.kind, &block.scope, &block.sender)
        {
            if self.senders.get(key, |sender| forgive(sender)) == Some(true) {
                self.trails.remove(key);
            }
            return;
        }
        let mut keys = Vec::new();
        // Most records are ruled out without making an identity of them.
        let other = |address: &str| block.kind == BlockKind::Sender && !address.is_empty() && address != block.subject;
        self.senders.each(|key, sender| {
            if !other(&sender.address) && board::covers(block, &sender.identity(key)) && forgive(sender) {
                keys.push(key.clone());
            }
        });
        keys.iter().for_each(|key| self.trails.remove(key));
        if block.kind == BlockKind::Client
            && let (Some(tenant), Ok(client)) = (&block.tenant, block.subject.parse())
        {
            let forgive = |group: &mut Group| {
                if !again || group.last <= now {
                    group.forgive()
                }
            };
            self.groups.get(&group::client_key(tenant, client), forgive);
        }
    }

    /// Active blocks whose end has come; the caller ends each with [`Judge::unblock`].
    pub fn due(&self, now: Time) -> Vec<Arc<Block>> {
        self.board.due(now)
    }

    /// Whether this block stops mail of that identity.
    pub fn covers(block: &Block, identity: &Identity) -> bool {
        board::covers(block, identity)
    }

    /// Number of senders tracked.
    pub fn tracked(&self) -> usize {
        self.senders.len()
    }
}

/// Whether recipients are counted already at RCPT.
const fn throttles(policy: &crate::config::settings::Policy) -> bool {
    matches!(policy.when_exceeded, crate::config::settings::WhenExceeded::Throttle) && ceilings::any(policy)
}

impl Alert {
    fn of(identity: &Identity, reason: Reason, limit: u64) -> Self {
        let explanation = format!("{} The limit is {limit}.", reasons::help(reason));
        Self {
            tenant: identity.tenant.clone(),
            sender: identity.key.clone(),
            address: identity.address.to_string(),
            reason,
            explanation,
        }
    }
}

impl Sender {
    /// The identity this record stands for, as far as blocks are concerned.
    fn identity(&self, key: &SenderKey) -> Identity {
        Identity {
            tenant: self.tenant.clone(),
            key: key.clone(),
            address: self.address.clone(),
            domain: self.address.rsplit_once('@').and_then(|(_, domain)| crate::types::Domain::parse(domain)),
            strength: self.strength,
            client: self.client,
            foreign: false,
        }
    }

    /// The ceiling that `add` more recipients would pass, with its figure; what is reserved counts.
    fn ceiling(&self, now: Time, policy: &crate::config::settings::Policy, add: ceilings::Recipients) -> Option<(Reason, u64)> {
        if !ceilings::any(policy) {
            return None;
        }
        let reserved = Counts { external: self.reserved_external, internal: self.reserved_internal, ..Counts::default() };
        let (mut hour, mut day) = (self.windows.sum(now, HOUR), self.windows.sum(now, DAY));
        hour.add(reserved);
        day.add(reserved);
        ceilings::exceeded(policy, hour, day, add)
    }

    fn release(&mut self, held: &Reservation) {
        self.reserved_external = self.reserved_external.saturating_sub(held.external);
        self.reserved_internal = self.reserved_internal.saturating_sub(held.internal);
    }
}
