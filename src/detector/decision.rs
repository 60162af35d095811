//! The decision on one message, as other rooms see it.

use super::InternalPart;
use crate::policy::alert::Alert;
use crate::types::{Action, Address, Block, NewBlock, Reason, RecipientFacts, Reply, Signal};
use std::sync::Arc;

/// What a policy in shadow mode would have done with a message.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowDecision {
    pub policy: String,
    /// What it would have done.
    pub action: Action,
    pub reason: Reason,
    /// It would have opened a block.
    pub opens: bool,
}

/// The decision on one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What to do. With `open` set: `Reject`.
    pub action: Action,
    pub reason: Reason,
    /// For `Defer` and `Reject` without a block: the reply.
    pub reply: Option<Reply>,
    /// An active block that stops the message.
    pub blocked_by: Option<Arc<Block>>,
    /// With such a block: what becomes of the part that stays within the tenant.
    pub internal_part: InternalPart,
    /// A block this message opens.
    pub open: Option<NewBlock>,
    /// Alerts to people.
    pub alerts: Vec<Alert>,
    /// Evidence this message added against its sender, in nats, by name.
    pub signals: Vec<Signal>,
    /// The content may be learned as ordinary mail: seen for the first time, accepted without
    /// conditions, from a sender in good standing.
    pub teaches: bool,
    /// What the sender's policy in shadow mode would have done.
    pub shadow_decision: Option<ShadowDecision>,
    /// The reviewer who gets a copy: the message is suspicious and was not seen before.
    pub review: Option<Address>,
}

impl Decision {
    /// What is done with the message as a whole. A block stops the part that leaves the tenant. If
    /// mail within the tenant stays allowed, that part goes through the high-risk pool, unless it
    /// is too much or looks like spam. The external part of the message that opens the block is
    /// held.
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
