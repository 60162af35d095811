//! Non-delivery reports (RFC 3464, RFC 6522): when to send a report to the sender, and what it
//! says. Pure.

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

/// The event to report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DsnKind {
    Failed {
        cause: FailureCause,
        /// Why the message was held when it ended.
        hold: Option<HoldReason>,
    },
    /// Delayed; tried again until then.
    Delayed {
        /// When the relay gives up.
        expires: Time,
    },
    /// Handed to a next hop that does not report success.
    Relayed,
}

/// The contents of a report.
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
    /// The recipients that [`decide`] returned.
    pub recipients: &'a [FailedRecipient],
}

/// The recipients to report to the sender; none = no report is due.
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
            // RFC 3461 section 4.1: without NOTIFY, failures are reported, and delays at the
            // relay's choice.
            (DsnKind::Failed { .. } | DsnKind::Delayed { .. }, Some(None)) => true,
            (DsnKind::Relayed, Some(None)) => false,
            (DsnKind::Failed { .. }, Some(Some(Notify { failure, .. }))) => failure,
            (DsnKind::Delayed { .. }, Some(Some(Notify { delay, .. }))) => delay,
            (DsnKind::Relayed, Some(Some(Notify { success, .. }))) => success,
        }
    };
    recipients.iter().filter(wanted).cloned().collect()
}

/// A sender outside the tenant's domains may be forged. Mail that looked like spam or was held is
/// not returned to it.
fn is_backscatter(settings: &Settings, meta: &MessageMeta, kind: &DsnKind) -> bool {
    let held = meta.hold.is_some() || matches!(kind, DsnKind::Failed { hold: Some(_), .. });
    let spam = f64::from(meta.probability) >= settings.scoring.spam_probability;
    meta.identity.as_ref().is_some_and(|i| i.foreign) && (held || spam)
}
