//! The detector on virtual time: blocks open, stop mail and end without disk, queue or people.

use crate::blocks::rules;
use crate::config::Settings;
use crate::decisions::{
    Disposition, MessageDecision, RcptDecision, RcptFacts, TakenRecipients, decide_message,
    decide_rcpt, header_may_name,
};
use crate::detector::{Addressee, Detector, Reservation, ShadowDecision};
use crate::identity;
use crate::types::hash::mix;
use crate::types::{
    Action, Block, BlockRef, BlockState, Identity, MessageId, OutcomeClass, Reason, ReleaseVerdict,
    Reply, Strength, Time,
};
use crate::types::{MessageFacts, NewBlock};
use std::sync::Arc;

/// The relay itself, as the actor of its blocks.
const RELAY: &str = "relay";

/// Detector, clock and blocks.
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
    /// Why, in one word of the contract.
    pub reason: Reason,
    /// A block that stood in the way already.
    pub blocked_by: Option<Arc<Block>>,
    /// The block it opened.
    pub opened: Option<Arc<Block>>,
    /// For a refusal: the reply.
    pub reply: Option<Reply>,
    /// The content may be learned as the tenant's ordinary mail.
    pub teaches: bool,
    /// What a policy in shadow mode would have done.
    pub shadow_decision: Option<ShadowDecision>,
}

impl Ruling {
    /// Every recipient is refused for a block.
    fn blocked(block: Arc<Block>, reply: Reply) -> Self {
        Self {
            blocked_by: Some(block),
            ..Self::refused(Action::Reject, Reason::Blocked, reply)
        }
    }

    /// Every recipient is refused for a ceiling.
    fn throttled(reply: Reply) -> Self {
        Self::refused(Action::Defer, Reason::RecipientsPerDay, reply)
    }

    fn refused(action: Action, reason: Reason, reply: Reply) -> Self {
        Self {
            action,
            reason,
            blocked_by: None,
            opened: None,
            reply: Some(reply),
            teaches: false,
            shadow_decision: None,
        }
    }
}

impl Engine {
    /// Starts with nothing known of anybody.
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        Self {
            detector: Detector::new(Arc::clone(&settings)),
            settings,
            now: Time(i64::MIN),
            blocks: 0,
        }
    }

    /// What is known of the senders.
    pub(crate) const fn detector(&self) -> &Detector {
        &self.detector
    }

    /// The settings of this run.
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

    /// Decides on a message as the relay does: on each recipient at RCPT, then on the message for
    /// those that were taken.
    pub(crate) fn message(&mut self, facts: &MessageFacts<'_>) -> Ruling {
        let identity = facts.identity;
        // Only of a claimed sender the relay waits for the header.
        let header_may_name = identity.strength >= Strength::Claimed
            && identity::find_client(&self.settings, identity.client)
                .is_some_and(|client| header_may_name(&client));
        let mut transaction = TakenRecipients::default();
        let mut taken = Vec::with_capacity(facts.recipients.len());
        let mut refusal = None;
        for recipient in facts.recipients {
            let at_rcpt = RcptFacts {
                identity,
                header_may_name,
                internal: recipient.internal,
            };
            match decide_rcpt(
                &self.settings,
                &self.detector,
                self.now,
                at_rcpt,
                &mut transaction,
            ) {
                RcptDecision::Taken => taken.push(*recipient),
                RcptDecision::Blocked(block, reply) => {
                    refusal = refusal.or(Some(Ruling::blocked(block, reply)));
                }
                RcptDecision::Throttled(reply) => {
                    refusal = refusal.or(Some(Ruling::throttled(reply)));
                }
            }
        }
        if let Some(refusal) = refusal.filter(|_| taken.is_empty()) {
            // No recipient, no message: the detector never sees it.
            return refusal;
        }
        let facts = MessageFacts {
            recipients: &taken,
            ..facts.clone()
        };
        self.at_dot(&facts, transaction.reservation)
    }

    /// Decides on a message with the recipients that were taken.
    fn at_dot(&mut self, facts: &MessageFacts<'_>, reservation: Reservation) -> Ruling {
        let decided = decide_message(
            &self.settings,
            &self.detector,
            self.now,
            facts,
            (facts.identity, reservation),
        );
        let opened = decided.decision.open.clone().map(|new| self.open(new));
        let disposition = decided.disposition(&self.settings, opened.clone(), facts.recipients);
        let (reply, teaches) = match disposition {
            Disposition::Refuse { reply, .. } => (Some(reply), false),
            Disposition::Take { learn, .. } => (None, learn),
            Disposition::HoldAll(_) | Disposition::DeliverInternal(_) => (None, false),
        };
        let MessageDecision { decision, done } = decided;
        Ruling {
            action: done,
            reason: decision.reason,
            blocked_by: decision.blocked_by,
            opened,
            reply,
            teaches,
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
