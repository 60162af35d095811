//! One place that joins identity, reputation, blocks and policy into decisions. Used alike by the
//! live relay and by `replay`: it is given `now` and facts and returns values; sockets, disk and
//! randomness stay with the caller.

pub(crate) mod baseline;
pub(crate) mod client_campaign;
pub(crate) mod evidence;
pub(crate) mod fork;
pub(crate) mod group;
pub(crate) mod habits;
mod internal_part;
mod judging;
pub(crate) mod known;
pub(crate) mod letters;
mod outcomes;
mod recent_messages;
mod repeats;
pub(crate) mod reports;
mod ruling;
pub(crate) mod scores;
pub(crate) mod seen;
pub(crate) mod sender;
mod snapshot;
pub(crate) mod templates;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod texts;
mod unsaved;
mod views;
pub(crate) mod window;

use crate::blocks::active::{self, ActiveBlocks};
use crate::blocks::history::BlockHistory;
use crate::collections::table::Table;
use crate::config::Settings;
use crate::config::policies::{Policy, WhenExceeded};
use crate::policy::alert::Alert;
use crate::policy::scope::choose;
use crate::policy::{ceilings, reasons};
use crate::types::Counts;
use crate::types::hash::hash_text;
use crate::types::{
    Action, Address, Block, BlockKind, Evidence, Identity, Reason, ReleaseVerdict, Reply,
    SenderKey, SenderScope, Signal, Strength, TenantId, Time,
};
use crate::types::{NewBlock, RecipientFacts};
use group::Group;
use recent_messages::RecentMessages;
use reports::Reports;
use scores::Scores;
use seen::Seen;
use sender::Sender;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use unsaved::UnsavedRecord;

pub(crate) use internal_part::InternalPart;
pub(crate) use outcomes::{Addressee, mailbox_hash};
pub(crate) use unsaved::ShadowCounts;

/// Senders tracked at most.
const SENDERS: usize = 1_000_000;
/// Domains, clients and tenants tracked at most.
const GROUPS: usize = 100_000;
/// Senders whose proof is kept at most.
const TRAILS: usize = 4096;
/// Senders of whom something is kept beside their record at most.
const ASIDES: usize = 65_536;
/// New tenants of which scores are kept at most.
const NEW_TENANTS: usize = 10_000;
/// Senders of whose mail reports are remembered at most.
const REPORTED: usize = 16_384;
/// Alerts waiting to be fetched at most.
const ALERTS: usize = 1000;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// What a policy in shadow mode would have done with a message.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowDecision {
    /// The policy.
    pub policy: String,
    /// What it would have done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// It would have opened a block.
    pub opens: bool,
}

/// The decision on one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What to do. With `open` set: `Reject`.
    pub action: Action,
    /// The one why.
    pub reason: Reason,
    /// For `Defer` and `Reject` without a block: the reply.
    pub reply: Option<Reply>,
    /// An active block that stands in the way.
    pub blocked_by: Option<Arc<Block>>,
    /// Where such a block stands: what becomes of the part that stays within the tenant.
    pub internal_part: InternalPart,
    /// A block this message opens.
    pub open: Option<NewBlock>,
    /// People to be told.
    pub alerts: Vec<Alert>,
    /// Evidence this message added against its sender, in nats, by name.
    pub signals: Vec<Signal>,
    /// The content may be learned as ordinary mail: seen for the first time, taken without reserve,
    /// of a sender in good standing.
    pub teaches: bool,
    /// What the sender's policy in shadow mode would have done.
    pub shadow_decision: Option<ShadowDecision>,
    /// Who gets a copy of it for review: it is suspicious, and was not seen before.
    pub review: Option<Address>,
}

impl Decision {
    /// What is done with the message as a whole: a block stops what leaves the tenant; where mail
    /// within it stays allowed, that part goes, through the high-risk pool, unless it is too much
    /// or looks like spam; of the message that opens the block the rest is held.
    pub fn done(&self, allow_internal: bool, recipients: &[RecipientFacts]) -> Action {
        let internal_part = allow_internal && recipients.iter().any(|r| r.internal);
        match (&self.blocked_by, &self.open) {
            (None, None) => self.action,
            (_, Some(_)) if internal_part => Action::Hold,
            (Some(_), None) if internal_part => match self.internal_part {
                InternalPart::Goes => Action::HighRisk,
                InternalPart::Held => Action::Hold,
                InternalPart::Refused => Action::Reject,
            },
            _ => Action::Reject,
        }
    }
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
pub struct Detector {
    settings: RwLock<Arc<Settings>>,
    active_blocks: ActiveBlocks,
    block_history: BlockHistory,
    senders: Table<SenderKey, Sender>,
    groups: Table<u64, Group>,
    recent_messages: Table<SenderKey, RecentMessages>,
    unsaved: Table<SenderKey, UnsavedRecord>,
    scores: Table<u64, Scores>,
    reports: Table<u64, Reports>,
    seen: Seen,
    alerts: Mutex<Vec<Alert>>,
}

impl Detector {
    /// Empty tables.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings: RwLock::new(settings),
            active_blocks: ActiveBlocks::default(),
            block_history: BlockHistory::default(),
            senders: Table::new(SENDERS),
            groups: Table::new(GROUPS),
            recent_messages: Table::new(TRAILS),
            unsaved: Table::new(ASIDES),
            scores: Table::new(NEW_TENANTS),
            reports: Table::new(REPORTED),
            seen: Seen::default(),
            alerts: Mutex::default(),
        }
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// New settings from now on.
    pub fn reload(&self, settings: Arc<Settings>) {
        *self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// The block that stops this identity now, if any (sender, domain, client, tenant).
    pub fn gate(&self, now: Time, identity: &Identity) -> Option<Arc<Block>> {
        self.active_blocks.gate(now, identity)
    }

    /// The gate at RCPT where a header may yet name the account behind a merely claimed sender, or
    /// none. A block that meets only claimed senders then waits for the dot if an account of that
    /// address or login is known: else whoever gets an invented envelope blocked would have the
    /// account of that name refused before it could show who it is.
    pub fn gate_before_header(&self, now: Time, identity: &Identity) -> Option<Arc<Block>> {
        let block = self.active_blocks.gate(now, identity)?;
        // Behind a foreign envelope or none may be any account.
        let open = identity.strength == Strength::None || self.knows_account(identity);
        let waits = matches!(block.scope, SenderScope::Claimed(_)) && open;
        (!waits).then_some(block)
    }

    /// Whether mail of an account of this address, or of its local part as a login, was seen.
    fn knows_account(&self, identity: &Identity) -> bool {
        let local = identity.address.rsplit_once('@').map(|(local, _)| local);
        let names = [Some(&*identity.address), local];
        let mut keys = names
            .into_iter()
            .flatten()
            .filter(|n| !n.is_empty())
            .map(|n| SenderKey::account(&identity.tenant, n));
        keys.any(|key| self.senders.read(&key, |_| ()).is_some())
    }

    /// Reserves one recipient and adds it to `held`. Only `when_exceeded = "throttle"` refuses
    /// here; the other actions concern the whole message and come with its judgement.
    pub fn reserve(
        &self,
        now: Time,
        identity: &Identity,
        internal: bool,
        held: &mut Reservation,
    ) -> Reserve {
        let settings = self.settings();
        let policy = choose(&settings, identity).policy;
        if !throttles(policy) {
            return Reserve::Granted;
        }
        let add = ceilings::Adding {
            external: u32::from(!internal),
            internal: u32::from(internal),
            // The transaction's message comes with its first recipient.
            messages: u32::from(*held == Reservation::default()),
            ..ceilings::Adding::default()
        };
        let in_message = held.external.saturating_add(held.internal);
        let over = self.senders.with(
            &identity.key,
            || Sender::new(identity, now),
            |sender| {
                let load = ceilings::Load {
                    in_message,
                    ..sender.load(now, self.minute_messages(now, &identity.key, policy))
                };
                let over = ceilings::exceeded(policy, &load, add);
                if over.is_none() {
                    sender.reserved_external =
                        sender.reserved_external.saturating_add(add.external);
                    sender.reserved_internal =
                        sender.reserved_internal.saturating_add(add.internal);
                }
                over
            },
        );
        let Some((why, limit)) = over else {
            held.external = held.external.saturating_add(add.external);
            held.internal = held.internal.saturating_add(add.internal);
            return Reserve::Granted;
        };
        // A surplus recipient of one message is told to its client alone: the rest comes in another
        // message.
        if why != Reason::RecipientsPerMessage
            && self
                .unsaved
                .with(&identity.key, UnsavedRecord::default, |a| {
                    a.is_news(now, why, 100)
                })
        {
            let mut alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
            if alerts.len() < ALERTS {
                alerts.push(Alert::of(identity, policy, why, limit));
            }
        }
        reasons::reply(why, Action::Defer).map_or(Reserve::Granted, Reserve::Throttled)
    }

    /// Messages of the sender in the last minute, where anybody asks for them.
    fn minute_messages(&self, now: Time, key: &SenderKey, policy: &Policy) -> u32 {
        let limited = policy.messages_per_minute > 0;
        if limited {
            self.unsaved
                .get(key, |a| a.minute_messages(now))
                .unwrap_or(0)
        } else {
            0
        }
    }

    /// Alerts that came up at RCPT (throttled recipients) since the last call; each sender and
    /// ceiling once per window.
    pub fn take_alerts(&self) -> Vec<Alert> {
        std::mem::take(&mut *self.alerts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives a reservation back (RSET, 4xx/5xx, end of session).
    pub fn give_back(&self, identity: &Identity, held: Reservation) {
        if held != Reservation::default() {
            self.senders
                .get(&identity.key, |sender| sender.release(&held));
        }
    }

    /// Puts a block in force (opened just now, or read at start).
    pub fn block(&self, block: Arc<Block>) {
        self.block_history.note(&block);
        // What a blocked sender wrote is no measure for the rest of its tenant.
        if let (Some(tenant), Some(sender)) = (&block.tenant, &block.sender) {
            self.scores.get(&group::tenant_key(tenant), |s| {
                s.forget(hash_text(sender.as_str()))
            });
        }
        self.active_blocks.insert(block);
    }

    /// Notes a block of the past: the next one of its subject may last longer.
    pub fn remember(&self, block: &Block) {
        self.block_history.note(block);
    }

    /// Ends a block: it no longer stops anybody, and evidence from before `now` never counts again
    /// for what it covered. Known recipients stay known, and counters of recipients stay unless a
    /// ceiling opened the block: then it would open the next one at once.
    pub fn unblock(&self, now: Time, block: &Block) {
        self.active_blocks.remove(block.reference);
        self.block_history.note(block);
        self.forgive(now, block, false);
    }

    /// After a restart: does once more what the end of `block` did, for records that come from a
    /// snapshot taken before it.
    pub fn forgive_again(&self, block: &Block) {
        if let Some(ended) = block.ended_at {
            self.forgive(ended, block, true);
        }
    }

    /// What the end of a block says of the campaign that others may be part of: nothing where the
    /// mailbox was taken over.
    fn unconfirm(&self, sender: &Sender, who: u64, verdict: Option<ReleaseVerdict>) {
        if verdict == Some(ReleaseVerdict::Compromised) {
            return;
        }
        let mistake = verdict == Some(ReleaseVerdict::Mistake);
        self.groups
            .get(&group::client_key(&sender.tenant, sender.client), |g| {
                if let Some(campaign) = &mut g.campaign {
                    campaign.unconfirm();
                    if mistake {
                        campaign.forget(who);
                    }
                }
            });
        self.groups.get(&group::templates_key(&sender.tenant), |g| {
            if let Some(templates) = &mut g.templates {
                templates.unconfirm(who);
                if mistake {
                    templates.forget(who);
                }
            }
        });
    }

    /// With `again` only records that have not been used since `now` nor forgiven then.
    fn forgive(&self, now: Time, block: &Block, again: bool) {
        let all = block.reason.is_ceiling();
        if block.kind == BlockKind::Website {
            return;
        }
        let forgive = |key: &SenderKey, sender: &mut Sender| {
            let due = !again || (sender.forgiven < now && sender.last <= now);
            if due {
                sender.forgive(now, all);
                self.reports.get(&hash_text(key.as_str()), Reports::forgive);
                let mistake = block.verdict == Some(ReleaseVerdict::Mistake);
                if mistake && block.sender.as_ref() == Some(key) {
                    sender.learn_wanted(block.evidence.iter().map(|e| e.llr.into()));
                }
                self.unconfirm(sender, hash_text(key.as_str()), block.verdict);
            }
            due
        };
        if let (BlockKind::Sender, SenderScope::Account | SenderScope::Claimed(_), Some(key)) =
            (block.kind, &block.scope, &block.sender)
        {
            if self.senders.get(key, |sender| forgive(key, sender)) == Some(true) {
                self.recent_messages.remove(key);
            }
            return;
        }
        let mut keys = Vec::new();
        // Most records are ruled out without making an identity of them.
        let other = |address: &str| {
            block.kind == BlockKind::Sender && !address.is_empty() && address != block.subject
        };
        self.senders.each(|key, sender| {
            if !other(&sender.address)
                && active::covers(block, &sender.identity(key))
                && forgive(key, sender)
            {
                keys.push(key.clone());
            }
        });
        keys.iter().for_each(|key| self.recent_messages.remove(key));
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

    /// Active blocks whose end has come; the caller ends each with [`Detector::unblock`].
    pub fn due(&self, now: Time) -> Vec<Arc<Block>> {
        self.active_blocks.due(now)
    }

    /// Whether this block stops mail of that identity.
    pub fn covers(block: &Block, identity: &Identity) -> bool {
        active::covers(block, identity)
    }

    /// Number of senders tracked.
    pub fn tracked(&self) -> usize {
        self.senders.len()
    }
}

/// Whether recipients are counted already at RCPT.
fn throttles(policy: &Policy) -> bool {
    matches!(policy.when_exceeded, WhenExceeded::Throttle) && ceilings::any(policy)
}

impl Sender {
    /// The identity this record stands for, as far as blocks are concerned.
    fn identity(&self, key: &SenderKey) -> Identity {
        Identity {
            tenant: self.tenant.clone(),
            key: key.clone(),
            address: self.address.clone(),
            domain: self
                .address
                .rsplit_once('@')
                .and_then(|(_, domain)| crate::types::Domain::parse(domain)),
            strength: self.strength,
            client: self.client,
            // All forwarded mail of a client is one sender, under the address seen last.
            foreign: *key == SenderKey::forwarded(&self.tenant, self.client),
        }
    }

    /// What this sender has used of its ceilings; what is reserved counts.
    fn load(&self, now: Time, minute_messages: u32) -> ceilings::Load {
        let reserved = Counts {
            external: self.reserved_external,
            internal: self.reserved_internal,
            ..Counts::default()
        };
        let (mut hour, mut day) = (self.windows.sum(now, HOUR), self.windows.sum(now, DAY));
        hour.add(reserved);
        day.add(reserved);
        ceilings::Load {
            in_message: 0,
            minute_messages,
            hour,
            day,
        }
    }

    fn release(&mut self, held: &Reservation) {
        self.reserved_external = self.reserved_external.saturating_sub(held.external);
        self.reserved_internal = self.reserved_internal.saturating_sub(held.internal);
    }
}
