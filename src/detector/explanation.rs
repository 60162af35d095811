//! The sentences and the proof in a block.

use super::evidence::{Bounds, Others, Weight};
use super::state::habits::Circumstances;
use super::state::sender::Sender;
use super::{DAY, HOUR};
use crate::config::policies::Policy;
use crate::policy::ceilings;
use crate::types::fingerprint::template_name;
use crate::types::{Evidence, Identity, MessageFacts, Reason, Signal, Time};

/// Content symbols kept in a piece of evidence.
const SYMBOLS: usize = 8;

/// The sentence with the counters that led to a block.
pub(super) fn explain(
    now: Time,
    policy: &Policy,
    sender: &Sender,
    reason: Reason,
    bounds: &Bounds,
) -> String {
    let hour = sender.windows.sum(now, HOUR);
    let day = sender.windows.sum(now, DAY);
    let head = match reason {
        Reason::Evidence => {
            format!(
                "Evidence of {:.1} nats reached the bound of {:.1}.",
                sender.sum(),
                bounds.block.unwrap_or_default()
            )
        }
        Reason::SpamRate => {
            let sum = sender.windows.sum(now, policy.spam_rate_window);
            format!(
                "{} of {} messages in the window were spam.",
                sum.spam, sum.messages
            )
        }
        _ => format!(
            "The limit is {}.",
            ceilings::figure(reason, ceilings::limit(policy, reason))
        ),
    };
    format!(
        "{head} In the last hour: {} messages, {} of them spam, to {} external ({} new) and {} internal recipients, {} unknown \
         users. In the last day: {} messages to {} recipients.",
        hour.messages,
        hour.spam,
        hour.external,
        hour.new,
        hour.internal,
        hour.bounces,
        day.messages,
        day.recipients()
    )
}

/// The sentence about the evidence of others; empty if the sender's own evidence was enough.
pub(super) fn others_note(by_others: bool, others: &Others) -> String {
    let Others { nats, by_text } = *others;
    match by_others {
        true if by_text >= nats => {
            format!(" Other accounts that sent this text add {nats:.1} nats to it.")
        }
        true => format!(" Other accounts of the client add {nats:.1} nats to it."),
        false => String::new(),
    }
}

/// The sentence for a block of a client's merely claimed senders.
pub(super) fn client_explanation(identity: &Identity) -> String {
    format!(
        "Several senders that are merely claimed through {} turned bad together; the last was {}.",
        identity.client, identity.address
    )
}

/// Evidence of a message by name, in nats.
pub(super) fn signals(weight: &Weight) -> Vec<Signal> {
    let mut signals = Vec::new();
    let Circumstances {
        place,
        hour,
        logins,
    } = weight.circumstances;
    for (name, value) in [
        ("content", weight.content),
        ("listed link", weight.listed),
        ("recipients", weight.recipients),
        ("unusual network", place),
        ("unusual hour", hour),
        ("failed logins before", logins),
    ] {
        if value != 0.0 {
            signals.push(Signal {
                name: name.into(),
                weight: value as f32,
            });
        }
    }
    signals
}

/// Proof: the strongest symbols of the content, what the message added, and its text with what
/// others who sent it add.
pub(super) fn proof(
    now: Time,
    facts: &MessageFacts<'_>,
    signals: &[Signal],
    by_text: f64,
) -> Evidence {
    let text = (facts.template != 0).then(|| Signal {
        name: template_name(facts.template).into(),
        weight: by_text as f32,
    });
    Evidence {
        message_id: facts.id,
        time: now,
        probability: facts.probability as f32,
        llr: facts.llr as f32,
        symbols: facts
            .symbols
            .iter()
            .take(SYMBOLS)
            .chain(signals)
            .cloned()
            .chain(text)
            .collect(),
        recipients: u32::try_from(facts.recipients.len()).unwrap_or(u32::MAX),
    }
}
