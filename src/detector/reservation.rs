//! Recipients reserved at RCPT, so that parallel transactions do not pass a ceiling together.

use super::state::sender::Sender;
use super::state::unsaved::UnsavedRecord;
use super::{DAY, Detector, HOUR};
use crate::config::policies::{Policy, WhenExceeded};
use crate::policy::alert::Alert;
use crate::policy::scope::choose;
use crate::policy::{ceilings, reasons};
use crate::types::{Action, Counts, Identity, Reason, Reply, SenderKey, Time};
use std::sync::PoisonError;

/// Most alerts that wait to be fetched.
const ALERTS: usize = 1000;

/// Answer to a reservation at RCPT.
#[derive(Debug, Clone, PartialEq)]
pub enum Reserve {
    Granted,
    /// 450 4.2.1 (`when_exceeded = "throttle"`): this recipient is surplus.
    Throttled(Reply),
}

/// Recipients reserved by one transaction; given back unless committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reservation {
    pub(crate) external: u32,
    pub(crate) internal: u32,
}

impl Detector {
    /// Reserves one recipient and adds it to `held`. Only `when_exceeded = "throttle"` refuses
    /// here; the other actions concern the whole message and come with its judgement.
    pub fn reserve(
        &self,
        now: Time,
        identity: &Identity,
        internal: bool,
        held: &mut Reservation,
    ) -> Reserve {
        let settings = self.settings();
        let policy = choose(&settings, identity).policy;
        if !throttles(policy) {
            return Reserve::Granted;
        }
        let add = ceilings::Adding {
            external: u32::from(!internal),
            internal: u32::from(internal),
            // The transaction's message comes with its first recipient.
            messages: u32::from(*held == Reservation::default()),
            ..ceilings::Adding::default()
        };
        let in_message = held.external.saturating_add(held.internal);
        let over = self.senders.with(
            &identity.key,
            || Sender::new(identity, now),
            |sender| {
                let load = ceilings::Load {
                    in_message,
                    ..sender.load(now, self.minute_messages(now, &identity.key, policy))
                };
                let over = ceilings::exceeded(policy, &load, add);
                if over.is_none() {
                    sender.reserved_external =
                        sender.reserved_external.saturating_add(add.external);
                    sender.reserved_internal =
                        sender.reserved_internal.saturating_add(add.internal);
                }
                over
            },
        );
        let Some((why, limit)) = over else {
            held.external = held.external.saturating_add(add.external);
            held.internal = held.internal.saturating_add(add.internal);
            return Reserve::Granted;
        };
        // A surplus recipient of one message causes no alert: only its client is told, which sends
        // the remaining recipients in another message.
        if why != Reason::RecipientsPerMessage
            && self
                .unsaved
                .with(&identity.key, UnsavedRecord::default, |a| {
                    a.is_news(now, why, 100)
                })
        {
            let mut alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
            if alerts.len() < ALERTS {
                alerts.push(Alert::of(identity, policy, why, limit));
            }
        }
        reasons::reply(why, Action::Defer).map_or(Reserve::Granted, Reserve::Throttled)
    }

    /// Messages of the sender in the last minute, if a ceiling needs them.
    pub(super) fn minute_messages(&self, now: Time, key: &SenderKey, policy: &Policy) -> u32 {
        let limited = policy.messages_per_minute > 0;
        if limited {
            self.unsaved
                .get(key, |a| a.minute_messages(now))
                .unwrap_or(0)
        } else {
            0
        }
    }

    /// Alerts from RCPT (throttled recipients) since the last call; once per sender, ceiling and
    /// window.
    pub fn take_alerts(&self) -> Vec<Alert> {
        std::mem::take(&mut *self.alerts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives a reservation back (RSET, 4xx/5xx, end of session).
    pub fn give_back(&self, identity: &Identity, held: Reservation) {
        if held != Reservation::default() {
            self.senders
                .get(&identity.key, |sender| sender.release(&held));
        }
    }
}

/// Whether the policy counts recipients already at RCPT.
fn throttles(policy: &Policy) -> bool {
    matches!(policy.when_exceeded, WhenExceeded::Throttle) && ceilings::any(policy)
}

impl Sender {
    /// What this sender has used of its ceilings, including reservations.
    pub(super) fn load(&self, now: Time, minute_messages: u32) -> ceilings::Load {
        let reserved = Counts {
            external: self.reserved_external,
            internal: self.reserved_internal,
            ..Counts::default()
        };
        let (mut hour, mut day) = (self.windows.sum(now, HOUR), self.windows.sum(now, DAY));
        hour.add(reserved);
        day.add(reserved);
        ceilings::Load {
            in_message: 0,
            minute_messages,
            hour,
            day,
        }
    }

    pub(super) fn release(&mut self, held: &Reservation) {
        self.reserved_external = self.reserved_external.saturating_sub(held.external);
        self.reserved_internal = self.reserved_internal.saturating_sub(held.internal);
    }
}
