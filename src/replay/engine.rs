//! The judge on virtual time: blocks open, stop mail and end without disk, queue or people.

use crate::blocks::rules;
use crate::config::Settings;
use crate::detector::{Addressee, Detector, Reservation, Reserve, ShadowDecision};
use crate::types::hash::mix;
use crate::types::{
    Action, Block, BlockRef, BlockState, Identity, MessageId, OutcomeClass, Reason, ReleaseVerdict,
    Reply, Time,
};
use crate::types::{MessageFacts, NewBlock};
use std::sync::Arc;

/// The relay itself, as the actor of its blocks.
const RELAY: &str = "relay";

/// Judge, clock and blocks.
pub(crate) struct Engine {
    detector: Detector,
    settings: Arc<Settings>,
    now: Time,
    blocks: u64,
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ruling {
    /// What is done with it; the message that opens a block: `Reject`.
    pub action: Action,
    /// The one why.
    pub reason: Reason,
    /// A block that stood in the way already.
    pub blocked_by: Option<Arc<Block>>,
    /// The block it opened.
    pub opened: Option<Arc<Block>>,
    /// For `Defer` and `Reject` without a block: the reply.
    pub reply: Option<Reply>,
    /// The content may be learned as the tenant's ordinary mail.
    pub teaches: bool,
    /// What a policy in shadow mode would have done.
    pub shadow_decision: Option<ShadowDecision>,
}

impl Engine {
    /// With empty tables.
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        Self {
            detector: Detector::new(Arc::clone(&settings)),
            settings,
            now: Time(i64::MIN),
            blocks: 0,
        }
    }

    /// The judge.
    pub(crate) const fn detector(&self) -> &Detector {
        &self.detector
    }

    /// The settings.
    pub(crate) const fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Moves the clock on (never back, as the relay's own) and ends the blocks whose end has come,
    /// oldest end first.
    pub(crate) fn advance(&mut self, to: Time) -> Vec<Arc<Block>> {
        self.now = self.now.max(to);
        let due = self.detector.due(self.now);
        due.into_iter()
            .map(|block| {
                let ended = Arc::new(rules::expired(&block, block.until.unwrap_or(self.now)));
                self.detector.unblock(self.now, &block);
                ended
            })
            .collect()
    }

    /// The time of the last event.
    pub(crate) const fn now(&self) -> Time {
        self.now
    }

    /// Judges a message as the relay does from MAIL to the final dot: the gate and the ceilings at
    /// RCPT, then the rest.
    pub(crate) fn message(&mut self, facts: &MessageFacts<'_>) -> Ruling {
        let identity = facts.identity;
        if let Some(block) = self.detector.gate(self.now, identity) {
            // At RCPT only external recipients are refused, and what is too much within the tenant;
            // the rest is counted, held or goes as in the relay.
            let mut internal = Vec::new();
            for recipient in facts
                .recipients
                .iter()
                .filter(|r| r.internal && self.settings.blocks.allow_internal)
            {
                if self.detector.fits_internal_limits(
                    self.now,
                    identity,
                    u32::try_from(internal.len()).unwrap_or(u32::MAX),
                ) {
                    internal.push(*recipient);
                }
            }
            let action = if internal.is_empty() {
                Action::Reject
            } else {
                let facts = MessageFacts {
                    recipients: &internal,
                    ..facts.clone()
                };
                self.detector
                    .decide(self.now, &facts, identity, Reservation::default())
                    .done(true, &internal)
            };
            return Ruling {
                action,
                reason: Reason::Blocked,
                blocked_by: Some(block),
                opened: None,
                reply: None,
                teaches: false,
                shadow_decision: None,
            };
        }
        let mut held = Reservation::default();
        let mut taken = Vec::new();
        let mut throttled = None;
        for recipient in facts.recipients {
            match self
                .detector
                .reserve(self.now, identity, recipient.internal, &mut held)
            {
                Reserve::Granted if throttled.is_none() => {}
                Reserve::Granted => taken.push(*recipient),
                Reserve::Throttled(reply) if throttled.is_none() => {
                    taken = facts
                        .recipients
                        .iter()
                        .take_while(|r| !std::ptr::eq(*r, recipient))
                        .copied()
                        .collect();
                    throttled = Some(reply);
                }
                Reserve::Throttled(_) => {}
            }
        }
        let decision = match throttled {
            None => self.detector.decide(self.now, facts, identity, held),
            Some(reply) if taken.is_empty() => {
                self.detector.give_back(identity, held);
                let reason = Reason::RecipientsPerDay;
                return Ruling {
                    action: Action::Defer,
                    reason,
                    blocked_by: None,
                    opened: None,
                    reply: Some(reply),
                    teaches: false,
                    shadow_decision: None,
                };
            }
            Some(_) => self.detector.decide(
                self.now,
                &MessageFacts {
                    recipients: &taken,
                    ..facts.clone()
                },
                identity,
                held,
            ),
        };
        let action = decision.done(self.settings.blocks.allow_internal, facts.recipients);
        let opened = decision.open.map(|new| self.open(new));
        Ruling {
            action,
            reason: decision.reason,
            blocked_by: decision.blocked_by,
            opened,
            reply: decision.reply,
            teaches: decision.teaches,
            shadow_decision: decision.shadow_decision,
        }
    }

    /// An outcome of a message of this sender; the block it opened.
    pub(crate) fn outcome(
        &mut self,
        identity: &Identity,
        id: MessageId,
        class: OutcomeClass,
        to: impl Into<Addressee>,
    ) -> Option<Arc<Block>> {
        let new = self.detector.outcome(self.now, identity, id, class, to)?;
        Some(self.open(new))
    }

    /// A delivery report that came back after the next hop had taken the message; the block it
    /// opened.
    pub(crate) fn returned(
        &mut self,
        identity: &Identity,
        id: MessageId,
        class: OutcomeClass,
        to: Addressee,
    ) -> Option<Arc<Block>> {
        let new = self
            .detector
            .returned(self.now, identity, id, class, to)
            .block?;
        Some(self.open(new))
    }

    /// A complaint of this reporter about a message of this sender; the block it opened.
    pub(crate) fn complaint(
        &mut self,
        identity: &Identity,
        id: MessageId,
        reporter: u64,
    ) -> Option<Arc<Block>> {
        let new = self
            .detector
            .complaint(self.now, identity, id, reporter)
            .block?;
        Some(self.open(new))
    }

    /// Ends a block as a release with this verdict does.
    pub(crate) fn release(&mut self, block: &Block, verdict: Option<ReleaseVerdict>) {
        let ended = Block {
            state: BlockState::Released,
            ended_at: Some(self.now),
            verdict,
            ..block.clone()
        };
        self.detector.unblock(self.now, &ended);
    }

    /// Sets the clock back, for a simulation that tells many stories from the same day on.
    pub(crate) const fn rewind(&mut self, to: Time) {
        self.now = to;
    }

    fn open(&mut self, new: NewBlock) -> Arc<Block> {
        self.blocks += 1;
        // The same stream gives the same references.
        let block = Arc::new(rules::opened(
            new,
            BlockRef::from_random(mix(self.blocks, 0x4f47)),
            self.now,
            RELAY,
        ));
        self.detector.block(Arc::clone(&block));
        block
    }
}
