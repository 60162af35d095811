//! RCPT: is the sender blocked, is a ceiling reached?

use crate::config::Settings;
use crate::config::settings::ClientSettings;
use crate::detector::{Detector, Reservation, Reserve};
use crate::policy::reasons;
use crate::types::{Block, Identity, Reply, Strength, Time};
use std::sync::Arc;

/// What is known at RCPT of the sender and the recipient.
#[derive(Clone, Copy)]
pub(crate) struct RcptFacts<'a> {
    /// The sender, as far as MAIL names it.
    pub identity: &'a Identity,
    /// The header, which comes after RCPT, may name another sender; see [`header_may_name`].
    pub header_may_name: bool,
    /// The recipient belongs to the sender's tenant.
    pub internal: bool,
}

/// What one transaction has taken so far. [`decide_rcpt`] adds to it.
#[derive(Default)]
pub(crate) struct TakenRecipients {
    /// Recipients reserved under the sender's ceilings.
    pub reservation: Reservation,
    /// Internal recipients that were taken although the sender is blocked.
    pub while_blocked: u32,
}

/// The decision on one recipient.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RcptDecision {
    /// The recipient is reserved.
    Taken,
    /// A block stops it.
    Blocked(Arc<Block>, Reply),
    /// A ceiling of the sender is reached. The detector may have an alert about it.
    Throttled(Reply),
}

/// Whether a header of this client's mail may name the sender.
pub(crate) fn header_may_name(client: &ClientSettings) -> bool {
    client.trust_received || !client.identity_headers.is_empty() || client.script_header.is_some()
}

/// Decides on one recipient. A blocked sender may still write within its tenant, where
/// `blocks.allow_internal` says so and its internal limits have room.
pub(crate) fn decide_rcpt(
    settings: &Settings,
    detector: &Detector,
    now: Time,
    facts: RcptFacts<'_>,
    taken: &mut TakenRecipients,
) -> RcptDecision {
    let identity = facts.identity;
    let block = if facts.header_may_name && identity.strength >= Strength::Claimed {
        detector.gate_before_header(now, identity)
    } else {
        detector.gate(now, identity)
    };
    let may_write_within = facts.internal && settings.blocks.allow_internal;
    let stops = block.is_some()
        && !(may_write_within && detector.fits_internal_limits(now, identity, taken.while_blocked));
    let throttled = if stops {
        None
    } else {
        match detector.reserve(now, identity, facts.internal, &mut taken.reservation) {
            Reserve::Granted => None,
            Reserve::Throttled(reply) => Some(reply),
        }
    };
    match (block, throttled) {
        // Never a temporary code for a block.
        (Some(block), throttled) if stops || throttled.is_some() => {
            let reply = reasons::blocked_reply(settings, block.reference);
            RcptDecision::Blocked(block, reply)
        }
        (_, Some(reply)) => RcptDecision::Throttled(reply),
        (block, None) => {
            let blocked = u32::from(block.is_some());
            taken.while_blocked = taken.while_blocked.saturating_add(blocked);
            RcptDecision::Taken
        }
    }
}
