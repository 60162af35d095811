//! The record of one sender.

use super::baseline::{Baseline, SenderClass};
use super::habits::Habits;
use super::known::KnownRecipients;
use super::letters::{Letter, Letters};
use super::past::OwnPast;
use super::reports::Volume;
use super::window::Windows;
use crate::collections::table::Evict;
use crate::config::tuning::Tuning;
use crate::detector::evidence::{AssessedMessage, cusum};
use crate::types::{Identity, Strength, TenantId, Time};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

const KEEP_HALF_LIFE: Duration = Duration::from_secs(Tuning::KEEP_HALF_LIFE_HOURS * 3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The record of one sender. About 420 octets with its key while few of its minutes are in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::detector) struct Sender {
    pub tenant: TenantId,
    /// Address or login; for forwarded mail the last one seen.
    pub address: Box<str>,
    /// How firmly it is known.
    pub strength: Strength,
    /// Client it was last seen through.
    pub client: IpAddr,
    pub windows: Windows,
    /// Recipients it has written to.
    pub known: KnownRecipients,
    /// What is usual for it.
    pub base: Baseline,
    /// How its mail has scored. It has a record of its own on disk.
    #[serde(skip)]
    pub(in crate::detector) past: OwnPast,
    /// From where and when it sends.
    pub(in crate::detector) habits: Habits,
    /// The detector's sums in nats; none is ever below zero.
    pub(in crate::detector) sums: Sums,
    /// Messages in its life that went and were learned from. A sender stays a newcomer while its
    /// mail is held.
    pub(in crate::detector) messages: u32,
    /// When it was last seen.
    pub last: Time,
    /// Outcomes of messages from before this time no longer count.
    pub forgiven: Time,
    /// Recipients reserved by open transactions; not kept over a restart.
    #[serde(skip)]
    pub reserved_external: u32,
    #[serde(skip)]
    pub reserved_internal: u32,
    /// Letters to many that are on their way; `None` for most senders.
    #[serde(skip)]
    letters: Option<Box<Letters>>,
}

/// The detector's sums in nats, by kind of evidence; a sender is blocked by all of them together.
/// They are kept apart because good news of one kind must not outweigh bad news of another:
/// phishing to people whom the sender knows is still phishing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detector) struct Sums {
    content: f32,
    /// Content held against a campaign that the model hardly sees; the larger of the two counts.
    sparse: f32,
    recipients: f32,
    answers: f32,
    /// When they were last added to.
    at: Time,
}

impl Sums {
    fn none(at: Time) -> Self {
        Self {
            at,
            ..Self::default()
        }
    }

    /// Of content, in nats.
    pub(in crate::detector) const fn content(&self) -> f32 {
        self.content
    }

    /// Of recipients, in nats.
    pub(in crate::detector) const fn recipients(&self) -> f32 {
        self.recipients
    }

    /// Adds evidence of content.
    pub(in crate::detector) fn add_content(&mut self, nats: f64) {
        self.content = cusum(self.content.into(), nats) as f32;
    }

    /// Adds evidence of content against a campaign that the model hardly sees.
    pub(in crate::detector) fn add_sparse(&mut self, nats: f64) {
        self.sparse = cusum(self.sparse.into(), nats) as f32;
    }

    /// Adds evidence of recipients.
    pub(in crate::detector) fn add_recipients(&mut self, nats: f64) {
        self.recipients = cusum(self.recipients.into(), nats) as f32;
    }

    /// Adds evidence of outcomes and reports.
    pub(in crate::detector) fn add_answers(&mut self, nats: f64) {
        self.answers = cusum(self.answers.into(), nats) as f32;
    }

    fn total(&self) -> f64 {
        f64::from(self.content.max(self.sparse))
            + f64::from(self.recipients)
            + f64::from(self.answers)
    }

    /// Forgets half of everything in each half-life, by whole minutes. A clock that steps back takes
    /// nothing away.
    pub(in crate::detector) fn fade(&mut self, now: Time, half_life_hours: f64) {
        if self.total() <= 0.0 {
            self.at = self.at.max(now);
            return;
        }
        let minutes = now.since(self.at).as_secs() / 60;
        if minutes > 0 {
            let keep = (-(minutes as f64) / 60.0 / half_life_hours).exp2() as f32;
            self.content *= keep;
            self.sparse *= keep;
            self.recipients *= keep;
            self.answers *= keep;
            self.at = self.at.after(Duration::from_secs(minutes * 60));
        }
    }
}

impl Sender {
    /// A sender seen for the first time.
    pub(in crate::detector) fn new(identity: &Identity, now: Time) -> Self {
        Self {
            tenant: identity.tenant.clone(),
            address: identity.address.clone(),
            strength: identity.strength,
            client: identity.client,
            windows: Windows::default(),
            known: KnownRecipients::default(),
            base: Baseline::default(),
            past: OwnPast::default(),
            habits: Habits::default(),
            sums: Sums::none(now),
            messages: 0,
            last: now,
            forgiven: Time(i64::MIN),
            reserved_external: 0,
            reserved_internal: 0,
            letters: None,
        }
    }

    /// Notes that it was seen.
    pub(in crate::detector) fn touch(&mut self, identity: &Identity, now: Time) {
        self.last = self.last.max(now);
        self.client = identity.client;
        if self.address != identity.address {
            self.address.clone_from(&identity.address);
        }
    }

    /// All sums together, in nats.
    pub(in crate::detector) fn sum(&self) -> f64 {
        self.sums.total()
    }

    /// What it behaves like.
    pub(in crate::detector) fn class(&self, tuning: &Tuning) -> SenderClass {
        self.base.class(self.messages, tuning.newcomer_messages)
    }

    /// Sets all sums to nothing.
    pub(in crate::detector) fn forget_sums(&mut self, now: Time) {
        self.sums = Sums::none(now);
    }

    /// Messages of the last day.
    pub(in crate::detector) fn messages_in_day(&self, now: Time) -> u32 {
        self.windows.sum(now, DAY).messages
    }

    /// Notes a message to so many external recipients who have not had it from this sender. Returns
    /// whether it is a part of a letter to many, and whether its content is evidence.
    pub(in crate::detector) fn part(
        &mut self,
        now: Time,
        fingerprint: u64,
        recipients: u32,
    ) -> (bool, bool) {
        if recipients < Tuning::LETTER_PART && self.letters.is_none() {
            return (false, true);
        }
        let letters = self.letters.get_or_insert_default();
        letters
            .part(now, fingerprint, recipients)
            .map_or((false, true), |evidence| (true, evidence))
    }

    /// External recipients, and those of them who are new to the sender. For a letter, both count
    /// all parts so far.
    pub(in crate::detector) fn whole_letter(&self, message: &AssessedMessage) -> (u32, u32) {
        let letter = self
            .letters
            .as_ref()
            .filter(|_| message.letter)
            .and_then(|letters| letters.newest());
        letter.map_or((message.known + message.new, message.new), |letter| {
            (letter.all, letter.new)
        })
    }

    /// The letter whose part [`Sender::part`] has just noted.
    pub(in crate::detector) fn letter_mut(&mut self) -> Option<&mut Letter> {
        self.letters.as_mut().and_then(|letters| letters.current())
    }

    /// What it sent to outside, as a measure for reports about its mail.
    pub(in crate::detector) fn volume(&self, now: Time) -> Volume {
        Volume {
            lately: self.base.messages(),
            ..volume(&self.windows, now)
        }
    }

    /// Learns from a message that went, of a sender in good standing.
    pub(in crate::detector) fn learn(&mut self, message: &AssessedMessage) {
        if message.fresh {
            self.messages = self.messages.saturating_add(1);
            self.base.learn_content(message.llr);
            self.past.learn(message.text, message.llr);
            self.habits.learn(message.setting);
        }
        // Only the first part of a letter is learned: else the letter itself would teach that so
        // many strangers are usual.
        if message.fresh || !message.letter {
            self.base
                .learn_recipients(message.known, message.new, message.in_hour);
        }
    }

    /// Learns the content of a newcomer's held mailing. Else only the messages let through in
    /// between would count as its past, and the held ones would always look new. It stays a
    /// newcomer.
    pub(in crate::detector) fn learn_held(&mut self, message: &AssessedMessage) {
        if message.fresh {
            self.base.learn_content(message.llr);
        }
    }

    /// Learns content that people released as a mistake: this sender's mail may look like that.
    /// Else it would be blocked for the same again, because nothing is learned from a watched
    /// sender.
    pub(in crate::detector) fn learn_wanted(&mut self, llrs: impl Iterator<Item = f64>) {
        for llr in llrs.filter(|llr| *llr > Tuning::FLAG_NATS) {
            self.base.learn_content(llr);
            self.past.learn_wanted(llr);
        }
    }

    /// Forgets all evidence from before `now`; with `all` the ceilings start at zero too. Known
    /// recipients stay known.
    pub(in crate::detector) fn forgive(&mut self, now: Time, all: bool) {
        self.sums = Sums::none(self.sums.at);
        self.windows.forget(all);
        self.forgiven = self.forgiven.max(now);
        self.letters = None;
    }
}

/// Messages to outside in the last day.
pub(in crate::detector) fn volume(windows: &Windows, now: Time) -> Volume {
    let day = windows.sum(now, DAY);
    let messages = f64::from(day.messages.min(day.external));
    Volume {
        day: messages,
        lately: messages,
    }
}

impl Evict for Sender {
    /// Records with open transactions are kept first, then those with the most evidence against
    /// them today: `sum · 2^-(age / half-life)` has the order of `time + half-life · log2(sum)`,
    /// which does not need the present time. Then those with a past.
    fn rank(&self) -> (u8, i64) {
        let sum = self.sum();
        if self.reserved_external > 0 || self.reserved_internal > 0 {
            (3, self.last.0)
        } else if sum >= Tuning::KEEP_NATS {
            (
                2,
                self.sums
                    .at
                    .after(KEEP_HALF_LIFE.mul_f64(sum.log2().clamp(0.0, 100.0)))
                    .0,
            )
        } else {
            (
                u8::from(self.messages >= Tuning::KEEP_MESSAGES),
                self.last.0,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SenderKey;

    fn sender(sum: f32, hours: u64, messages: u32) -> Sender {
        let tenant = TenantId::new("acme");
        let who = Identity {
            key: SenderKey::account(&tenant, "a@acme.example"),
            tenant,
            address: "a@acme.example".into(),
            domain: None,
            strength: Strength::Claimed,
            client: [192, 0, 2, 1].into(),
            foreign: false,
        };
        let now = Time::from_secs(1_795_356_000).after(Duration::from_secs(hours * 3600));
        let sums = Sums {
            content: sum,
            at: now,
            ..Sums::default()
        };
        Sender {
            sums,
            messages,
            ..Sender::new(&who, now)
        }
    }

    /// Invented senders with a nat each must not push out one who is watched, however low the
    /// policy puts that line; nor may they push out people with a past by harmless mail.
    #[test]
    fn the_harmless_and_idle_are_given_up_first() {
        let open = Sender {
            reserved_external: 1,
            ..sender(0.0, 0, 0)
        };
        let in_order = [
            ("invented and harmless, long ago", sender(0.0, 0, 1)),
            ("the same, just now", sender(0.5, 90, 4)),
            ("somebody with a past", sender(0.0, 0, 200)),
            ("somebody with a past, seen lately", sender(0.9, 50, 5)),
            ("evidence long ago", sender(3.0, 0, 200)),
            ("invented with one bad message", sender(2.0, 80, 1)),
            ("watched a day ago", sender(11.0, 60, 200)),
            ("watched now", sender(4.0, 90, 1)),
            ("nearly blocked", sender(13.0, 90, 200)),
            ("in a transaction", open),
        ];
        for pair in in_order.windows(2) {
            assert!(
                pair[0].1.rank() < pair[1].1.rank(),
                "{} before {}",
                pair[0].0,
                pair[1].0
            );
        }
    }
}
