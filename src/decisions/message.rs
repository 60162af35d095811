//! The final dot: what the detector decides of a message, and what becomes of its recipients.

use crate::config::Settings;
use crate::detector::{Decision, Detector, InternalPart, Reservation};
use crate::policy::reasons;
use crate::types::{
    Action, Block, BlockKind, HoldReason, Identity, MessageFacts, Pool, RecipientFacts, Reply,
    Time, replies,
};
use std::sync::Arc;

/// The decision on one message. Besides what [`Self::disposition`] says, the caller opens the block
/// `decision.open`, sends the alerts and the copy for review, and records what a policy in shadow
/// mode would have done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MessageDecision {
    /// What the detector says.
    pub decision: Decision,
    /// What is done with the message as a whole: of a message in two parts the stricter one.
    pub done: Action,
}

/// How a message, or a part of it, goes into the queue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Handling {
    /// What is done with it.
    pub action: Action,
    /// The source addresses it leaves from.
    pub pool: Pool,
    /// Why it is held, if it is.
    pub hold: Option<HoldReason>,
}

impl Handling {
    /// It goes from the addresses for high-risk mail.
    pub(crate) const HIGH_RISK: Self = Self {
        action: Action::HighRisk,
        pool: Pool::HighRisk,
        hold: None,
    };

    /// It goes from the addresses for ordinary mail.
    const NORMAL: Self = Self {
        action: Action::Accept,
        pool: Pool::Normal,
        hold: None,
    };

    const fn held(hold: HoldReason) -> Self {
        Self {
            action: Action::Hold,
            pool: Pool::HighRisk,
            hold: Some(hold),
        }
    }

    /// It is held until the block ends.
    pub(crate) const fn held_under(block: &Block) -> Self {
        Self::held(HoldReason::Block(block.reference))
    }
}

/// What becomes of the recipients of a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Disposition {
    /// No recipient gets it.
    Refuse {
        /// `Reject`, or `Defer`: the client tries again.
        action: Action,
        /// The reply to the client.
        reply: Reply,
        /// The block that stops it.
        block: Option<Arc<Block>>,
    },
    /// All recipients, as one message.
    Take {
        /// How it goes into the queue.
        handling: Handling,
        /// Once it is on disk, its content is learned as the tenant's ordinary mail.
        learn: bool,
    },
    /// All recipients, held under this block.
    HoldAll(Arc<Block>),
    /// Internal recipients get it, as high-risk mail; for the external ones it is held under this
    /// block.
    DeliverInternal(Arc<Block>),
}

/// Decides on a message that was taken for these recipients. The reservation was made under
/// `reserved_as`, the identity known at RCPT.
pub(crate) fn decide_message(
    settings: &Settings,
    detector: &Detector,
    now: Time,
    facts: &MessageFacts<'_>,
    (reserved_as, reservation): (&Identity, Reservation),
) -> MessageDecision {
    let decision = detector.decide(now, facts, reserved_as, reservation);
    let done = decision.done(settings.blocks.allow_internal, facts.recipients);
    MessageDecision { decision, done }
}

impl MessageDecision {
    /// What becomes of the recipients. `opened` is the block that this message opened, which has
    /// its reference by now.
    pub(crate) fn disposition(
        &self,
        settings: &Settings,
        opened: Option<Arc<Block>>,
        recipients: &[RecipientFacts],
    ) -> Disposition {
        let decision = &self.decision;
        // The internal part of the message that opens a block still goes.
        let (block, internal_part) = match (opened, &decision.blocked_by) {
            (Some(opened), _) => (opened, InternalPart::Goes),
            (None, Some(block)) => (Arc::clone(block), decision.internal_part),
            (None, None) => return self.without_block(),
        };
        let some_pass = settings.blocks.allow_internal
            && internal_part != InternalPart::Refused
            && recipients.iter().any(|r| r.internal);
        if !some_pass {
            let reply = match block.kind {
                BlockKind::Website => reasons::website_reply(settings, block.reference),
                _ => reasons::blocked_reply(settings, block.reference),
            };
            return Disposition::Refuse {
                action: Action::Reject,
                reply,
                block: Some(block),
            };
        }
        match internal_part {
            InternalPart::Held => Disposition::HoldAll(block),
            _ => Disposition::DeliverInternal(block),
        }
    }

    fn without_block(&self) -> Disposition {
        let decision = &self.decision;
        let handling = match decision.action {
            Action::Accept => Handling::NORMAL,
            Action::HighRisk => Handling::HIGH_RISK,
            Action::Hold => Handling::held(HoldReason::Policy(decision.reason)),
            action @ (Action::Defer | Action::Reject) => {
                let reply = decision.reply.clone();
                return Disposition::Refuse {
                    action,
                    reply: reply.unwrap_or_else(|| replies::TRY_AGAIN_LATER.into()),
                    block: None,
                };
            }
        };
        Disposition::Take {
            handling,
            learn: decision.teaches,
        }
    }
}
