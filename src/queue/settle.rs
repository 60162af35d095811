//! What an attempt changes in a message's progress. Pure.

use super::FailedRecipient;
use super::progress::{Last, MessageProgress, Stage, Track};
use super::schedule;
use crate::config::settings::DeliverySettings;
use crate::types::{MessageMeta, RecipientOutcome, RecipientStatus, Reply, Time};
use std::sync::Arc;

/// The result of one attempt.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Failed permanently, not yet reported.
    pub failed: Vec<FailedRecipient>,
    /// Delivered to a next hop that will not send the report of success that the sender asked for.
    pub relayed: Vec<FailedRecipient>,
    /// Attempts so far and time of the next one, if recipients are left.
    pub left: Option<(u16, Time)>,
}

/// Writes the outcomes of an attempt on `recipients` into `progress`. A recipient without an
/// outcome counts as deferred.
pub(super) fn settle(
    now: Time,
    settings: &DeliverySettings,
    meta: &MessageMeta,
    progress: &mut MessageProgress,
    recipients: &[u32],
    outcomes: &[RecipientOutcome],
) -> Settled {
    let mut settled = Settled::default();
    let mut last: Option<Arc<Last>> = None;
    let tried = recipients
        .iter()
        .filter_map(|r| progress.recipients.get(*r as usize))
        .map(|t| t.attempts)
        .max();
    let attempts = tried.unwrap_or(0).saturating_add(1);
    // The next attempt is not after the expiry: then the message is returned, not tried.
    let expires = schedule::expires(settings, progress.since);
    let mut next = now.after(schedule::wait(settings, attempts, meta.id));
    if now < expires {
        next = next.min(expires);
    }
    for (nth, index) in recipients.iter().enumerate() {
        // Outcomes come in the order of the recipients; the search finds those in another order,
        // too.
        let same = |o: &&RecipientOutcome| o.recipient == *index;
        let outcome = outcomes
            .get(nth)
            .filter(same)
            .or_else(|| outcomes.iter().find(same));
        let Some(track) = progress
            .recipients
            .get_mut(*index as usize)
            .filter(|t| t.stage == Stage::Pending)
        else {
            continue;
        };
        match outcome {
            Some(o) if o.status == RecipientStatus::Delivered => {
                *track = Track {
                    stage: Stage::Delivered,
                    attempts,
                    next: Time(0),
                    last: None,
                };
                if wants_success(meta, o) {
                    (track.stage, track.last) = (
                        Stage::Relaying,
                        Some(Arc::new(Last::new(&o.reply, &o.remote))),
                    );
                    settled.relayed.push(failed(*index, o));
                }
            }
            Some(o) if o.status == RecipientStatus::Failed => {
                *track = Track {
                    stage: Stage::Reporting,
                    attempts,
                    next: Time(0),
                    last: None,
                };
                settled.failed.push(failed(*index, o));
            }
            other => {
                if let Some(o) = other {
                    let new = Last::new(&o.reply, &o.remote);
                    // Recipients with the same answer share it.
                    if last.as_deref() != Some(&new) {
                        last = Some(Arc::new(new));
                    }
                    track.last.clone_from(&last);
                }
                (track.attempts, track.next) = (attempts, next);
                settled.left = Some((attempts, next));
            }
        }
    }
    settled
}

/// Whether the sender asked for a report of success and the next hop will not send it (RFC 3461
/// section 5.2.2).
pub(super) fn wants_success(meta: &MessageMeta, outcome: &RecipientOutcome) -> bool {
    let recipient = meta.envelope.recipients.get(outcome.recipient as usize);
    !outcome.relayed_dsn && recipient.and_then(|r| r.notify).is_some_and(|n| n.success)
}

fn failed(recipient: u32, outcome: &RecipientOutcome) -> FailedRecipient {
    FailedRecipient {
        recipient,
        reply: outcome.reply.clone(),
        remote: outcome.remote.clone(),
    }
}

/// The recipients still to be tried, each with its last answer. Without one, it gets the answer of
/// the destination, or else `otherwise`.
pub(super) fn pending_report(
    progress: &MessageProgress,
    common: Option<&Last>,
    otherwise: &Reply,
) -> Vec<FailedRecipient> {
    let told = |(recipient, track): (u32, &Track)| match track.last.as_deref().or(common) {
        Some(last) => FailedRecipient {
            recipient,
            reply: last.reply.clone(),
            remote: last.remote.clone(),
        },
        None => FailedRecipient {
            recipient,
            reply: otherwise.clone(),
            remote: String::new(),
        },
    };
    progress.pending().map(told).collect()
}
