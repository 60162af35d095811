//! What the world answers: deliveries, unknown users, spam refusals, complaints.

use super::judging::{bounds_of, client_explanation, pile, volume_bounds};
use super::ruling::explain;
use super::{Judge, NewBlock};
use crate::config::scopes::EvidenceKind;
use crate::policy::allowance::Allowances;
use crate::policy::scope::choose;
use crate::reputation::group::{self, Group};
use crate::reputation::mix;
use crate::reputation::seen::Counted;
use crate::reputation::sender::Sender;
use crate::reputation::window::Counts;
use crate::types::{Evidence, Identity, MessageId, OutcomeClass, Reason, Signal, Time};

/// Keeps keys of outcomes apart from those of messages.
const OUTCOME: u64 = 0x6f75_7463_6f6d_6531;
/// The same for complaints.
const COMPLAINT: u64 = 0x636f_6d70_6c61_696e;

/// The same for what comes back after the first hop has taken the message.
const RETURNED: u64 = 0x7265_7475_726e_6564;

/// What an event says of the sender.
#[derive(Clone, Copy, PartialEq)]
enum Event {
    Delivered,
    UnknownUser,
    SpamRefusal,
    Complaint,
}

impl Event {
    /// What an allowance calls it.
    const fn kind(self) -> Option<EvidenceKind> {
        match self {
            Self::Delivered => None,
            Self::UnknownUser => Some(EvidenceKind::Bounces),
            Self::SpamRefusal | Self::Complaint => Some(EvidenceKind::Refusals),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::UnknownUser => "unknown_user",
            Self::SpamRefusal => "spam_refusal",
            Self::Complaint => "complaint",
        }
    }
}

/// Key of the outcome of one message at one recipient.
fn outcome_key(id: MessageId, recipient_hash: u64) -> u64 {
    mix(mix(id.0, OUTCOME), recipient_hash)
}

impl Judge {
    /// The message `id` is a copy of one that went to this recipient before: what becomes of it there says nothing new.
    /// Else good news could be had by sending one message to a friend again and again.
    pub(super) fn ignore_outcome(&self, id: MessageId, recipient_hash: u64) {
        self.seen.mark(outcome_key(id, recipient_hash));
    }

    /// A delivery outcome of a message of this sender, once per message and recipient. May open a block.
    pub fn outcome(
        &self,
        now: Time,
        identity: &Identity,
        id: MessageId,
        class: OutcomeClass,
        recipient_hash: u64,
    ) -> Option<NewBlock> {
        let event = match class {
            OutcomeClass::Delivered => Event::Delivered,
            OutcomeClass::UnknownUser => Event::UnknownUser,
            OutcomeClass::SpamRefusal => Event::SpamRefusal,
            // These speak of the recipient or of the way there, not of the sender.
            OutcomeClass::Reputation | OutcomeClass::Recipient | OutcomeClass::Transport | OutcomeClass::Other => return None,
        };
        self.event(now, identity, id, event, outcome_key(id, recipient_hash))
    }

    /// A delivery report that came back about a recipient at whom the message had seemed delivered: once per message and
    /// recipient, beside what the first hop said. May open a block.
    pub fn returned(
        &self,
        now: Time,
        identity: &Identity,
        id: MessageId,
        class: OutcomeClass,
        recipient_hash: u64,
    ) -> Option<NewBlock> {
        let event = match class {
            OutcomeClass::UnknownUser => Event::UnknownUser,
            OutcomeClass::SpamRefusal => Event::SpamRefusal,
            // No good news comes from a report that anybody can write who got the message.
            OutcomeClass::Delivered
            | OutcomeClass::Reputation
            | OutcomeClass::Recipient
            | OutcomeClass::Transport
            | OutcomeClass::Other => return None,
        };
        self.event(now, identity, id, event, mix(outcome_key(id, recipient_hash), RETURNED))
    }

    /// A complaint about a message of this sender, once per message. May open a block.
    pub fn complaint(&self, now: Time, identity: &Identity, id: MessageId) -> Option<NewBlock> {
        self.event(now, identity, id, Event::Complaint, mix(id.0, COMPLAINT))
    }

    fn event(&self, now: Time, identity: &Identity, id: MessageId, event: Event, key: u64) -> Option<NewBlock> {
        if self.seen.mark(key) != Counted::Not || self.board.gate(now, identity).is_some() {
            return None;
        }
        let settings = self.settings();
        let choice = choose(&settings, identity);
        let ground = self.ground(now, &settings, identity, &choice);
        let bounds = bounds_of(choice.policy, &ground);
        // The id carries its time of acceptance.
        let sent = Time(i64::try_from(id.0 >> 22).unwrap_or(i64::MAX));
        let counts = Counts { bounces: u32::from(event == Event::UnknownUser), ..Counts::default() };
        let (nats, sum, explanation, shadow_blocks) = self.senders.with(
            &identity.key,
            || Sender::new(identity, now),
            |sender| {
                if sent < sender.forgiven {
                    return (0.0, sender.sum(), None, false);
                }
                sender.windows.add(now, counts);
                let allowed = Allowances::new(&settings, identity, 0, now);
                let nats = match event {
                    _ if event.kind().is_some_and(|kind| allowed.leave_out(kind)) => return (0.0, sender.sum(), None, false),
                    Event::Delivered | Event::UnknownUser => sender.weigh_outcome(now, event == Event::UnknownUser, &ground),
                    Event::SpamRefusal | Event::Complaint => {
                        sender.weigh_fixed(now, settings.detector.refusal, &ground);
                        settings.detector.refusal
                    }
                };
                let bounds = volume_bounds(now, sender, sender.sum(), &bounds, ground.tuning);
                let shadow_blocks = choice.shadow.is_some_and(|shadow| {
                    let bounds = volume_bounds(now, sender, sender.sum(), &bounds_of(shadow, &ground), ground.tuning);
                    nats > 0.0 && bounds.blocks(sender.sum())
                });
                // Good news never opens a block, even where the bound has been lowered since.
                let opens = nats > 0.0 && bounds.blocks(sender.sum());
                let explanation = opens.then(|| explain(now, choice.policy, sender, Reason::Evidence, &bounds) + &allowed.note());
                (nats, sender.sum(), explanation, shadow_blocks)
            },
        );
        // What the policy in shadow mode would have made of it.
        if shadow_blocks {
            self.would_block(now, &settings, identity, Reason::Evidence);
        }
        if nats > 0.0 {
            let symbols = vec![Signal { name: event.name().into(), weight: nats as f32 }];
            let evidence = Evidence { message_id: id, time: now, probability: 0.0, llr: 0.0, symbols, recipients: 1 };
            self.trails.with(&identity.key, Default::default, |t| t.push(evidence, sum));
        }
        let client = group::client_key(&identity.tenant, identity.client);
        let by_client = nats != 0.0
            && self.groups.with(&client, Group::default, |g| {
                g.windows.add(now, counts);
                pile(g, identity, nats, &bounds)
            });
        if counts.bounces > 0 && nats != 0.0 {
            self.groups.get(&group::tenant_key(&identity.tenant), |g| g.windows.add(now, counts));
            if let Some(domain) = &identity.domain {
                self.groups.get(&group::domain_key(&identity.tenant, domain), |g| g.windows.add(now, counts));
            }
        }
        let client_text = || by_client.then(|| client_explanation(identity));
        let by_client = by_client && explanation.is_none();
        let text = explanation.or_else(client_text)?;
        Some(self.new_block(now, &settings, identity, Reason::Evidence, None, text, by_client))
    }
}
