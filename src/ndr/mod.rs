//! Non-delivery reports (RFC 3464, RFC 6522): when and what to tell the sender. Pure.

mod compose;
mod human;
mod limit;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod tests;

pub(crate) use compose::compose;
pub(crate) use limit::{RateLimit, ReportReader};

use crate::config::Settings;
use crate::queue::{FailedRecipient, FailureCause};
use crate::types::{HoldReason, MessageId, MessageMeta, Notify, Time};

/// What is to be reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DsnKind {
    Failed {
        cause: FailureCause,
        /// What it was held for when it ended.
        hold: Option<HoldReason>,
    },
    /// Late, still being tried until then.
    Delayed {
        /// When we give up.
        expires: Time,
    },
    /// Handed to a next hop that does not report successes.
    Relayed,
}

/// Everything a report is made of.
#[derive(Debug)]
pub(crate) struct ReportFacts<'a> {
    /// Settings: names, addresses, help.
    pub settings: &'a Settings,
    pub now: Time,
    /// Id of the report itself.
    pub id: MessageId,
    /// The message reported on.
    pub meta: &'a MessageMeta,
    /// The message as spooled.
    pub original: &'a [u8],
    pub kind: &'a DsnKind,
    /// To whom: what [`decide`] gave.
    pub recipients: &'a [FailedRecipient],
}

/// The recipients of which the sender is to be told; none = no report is due.
pub(crate) fn decide(
    settings: &Settings,
    meta: &MessageMeta,
    kind: &DsnKind,
    recipients: &[FailedRecipient],
) -> Vec<FailedRecipient> {
    // RFC 5321 section 4.5.5, RFC 3464 section 2: never a report on a report.
    if meta.envelope.from.is_null() || is_backscatter(settings, meta, kind) {
        return Vec::new();
    }
    let wanted = |r: &&FailedRecipient| {
        let notify = meta
            .envelope
            .recipients
            .get(r.recipient as usize)
            .map(|to| to.notify);
        match (kind, notify) {
            (_, None) => false,
            // RFC 3461 section 4.1: not given means failures, and delays as we see fit.
            (DsnKind::Failed { .. } | DsnKind::Delayed { .. }, Some(None)) => true,
            (DsnKind::Relayed, Some(None)) => false,
            (DsnKind::Failed { .. }, Some(Some(Notify { failure, .. }))) => failure,
            (DsnKind::Delayed { .. }, Some(Some(Notify { delay, .. }))) => delay,
            (DsnKind::Relayed, Some(Some(Notify { success, .. }))) => success,
        }
    };
    recipients.iter().filter(wanted).cloned().collect()
}

/// A sender outside the tenant's domains may be forged; what looked like spam, or was held, is not
/// thrown at them.
fn is_backscatter(settings: &Settings, meta: &MessageMeta, kind: &DsnKind) -> bool {
    let held = meta.hold.is_some() || matches!(kind, DsnKind::Failed { hold: Some(_), .. });
    let spam = f64::from(meta.probability) >= settings.scoring.spam_probability;
    meta.identity.as_ref().is_some_and(|i| i.foreign) && (held || spam)
}
