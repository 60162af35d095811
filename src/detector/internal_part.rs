//! What a blocked sender may still write within its own tenant: little, counted, and nothing that
//! looks like spam.

use super::{DAY, Detector, HOUR, count};
use crate::config::Settings;
use crate::config::policies::WhenExceeded;
use crate::config::tuning::Tuning;
use crate::detector::state::group::{self, Group};
use crate::detector::state::sender::Sender;
use crate::detector::state::window::Windows;
use crate::policy::ceilings::{self, Adding};
use crate::policy::scope::choose;
use crate::types::Counts;
use crate::types::MessageFacts;
use crate::types::hash::hash_text;
use crate::types::{Identity, Time};

/// What becomes of the part of a blocked sender's message that stays within its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InternalPart {
    Goes,
    /// It looks like spam: it is held under the block.
    Held,
    /// It is more than a blocked sender may write: 550 5.1.8.
    Refused,
}

/// The records that count this, each with the factor by which its limits are higher.
fn counters(identity: &Identity) -> impl Iterator<Item = (u64, u64)> {
    let own = group::within_key(&identity.tenant, hash_text(identity.key.as_str()));
    let together = group::within_key(&identity.tenant, hash_text(&identity.client.to_string()));
    let claimed = !identity.strength.is_account();
    std::iter::once((own, 1)).chain(claimed.then_some((together, Tuning::CLAIMED_INTERNAL)))
}

fn fits(settings: &Settings, now: Time, windows: &Windows, times: u64, more: u32) -> bool {
    let blocks = &settings.blocks;
    [
        (blocks.internal_recipients_per_hour, HOUR),
        (blocks.internal_recipients_per_day, DAY),
    ]
    .into_iter()
    .all(|(limit, window)| {
        limit == 0
            || u64::from(windows.sum(now, window).internal.saturating_add(more)) <= limit * times
    })
}

impl Detector {
    /// RCPT of a blocked sender: whether it may write to one more recipient of its own tenant,
    /// after so many in this transaction. The final dot counts the recipients and may still refuse
    /// them.
    pub fn fits_internal_limits(
        &self,
        now: Time,
        identity: &Identity,
        in_transaction: u32,
    ) -> bool {
        let settings = self.settings();
        let more = in_transaction.saturating_add(1);
        let fits_in = |(key, times): (u64, u64)| {
            let none = || fits(&settings, now, &Windows::default(), times, more);
            self.groups
                .read(&key, |g| fits(&settings, now, &g.windows, times, more))
                .unwrap_or_else(none)
        };
        counters(identity).all(fits_in)
    }

    /// The final dot of a blocked sender: counts what stays within its tenant and returns what
    /// becomes of it. The ceilings of the sender's policy apply as well, except those that only
    /// alert people.
    pub(super) fn internal_part(
        &self,
        now: Time,
        settings: &Settings,
        facts: &MessageFacts<'_>,
    ) -> InternalPart {
        let internal = count(facts.recipients.iter().filter(|r| r.internal));
        if internal == 0 || !settings.blocks.allow_internal {
            return InternalPart::Refused;
        }
        let counts = Counts {
            messages: 1,
            internal,
            spam: u32::from(facts.probability >= settings.scoring.spam_probability),
            ..Counts::default()
        };
        let (identity, policy) = (facts.identity, choose(settings, facts.identity).policy);
        let kib = u32::try_from(facts.octets.div_ceil(1024)).unwrap_or(u32::MAX);
        let add = Adding {
            internal,
            messages: 1,
            kib,
            ..Adding::default()
        };
        let minute = self.minute_messages(now, &identity.key, policy);
        let new = || Sender::new(identity, now);
        let over = self.senders.with(&identity.key, new, |sender| {
            let over = ceilings::exceeded(policy, &sender.load(now, minute), add);
            over.is_some_and(|(why, _)| ceilings::response(policy, why) != WhenExceeded::Alert)
        });
        let take = |(key, times): (u64, u64)| {
            self.groups.with(&key, Group::default, |g| {
                let fits = fits(settings, now, &g.windows, times, internal);
                if fits {
                    g.count(now, counts);
                }
                fits
            })
        };
        let taken = !over && counters(identity).all(take);
        if !taken {
            return InternalPart::Refused;
        }
        self.senders
            .get(&identity.key, |sender| sender.windows.add(now, counts));
        let suspicious = facts.probability >= settings.scoring.suspicious_probability;
        if suspicious {
            InternalPart::Held
        } else {
            InternalPart::Goes
        }
    }
}
