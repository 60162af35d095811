//! What is usual for one sender, and for all senders of a class in a tenant.

use crate::config::tuning::{Prior, Tuning};
use crate::types::Time;
use serde::{Deserialize, Serialize};

/// What a sender behaves like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::detector) enum SenderClass {
    /// Too little is known.
    Newcomer,
    /// Several recipients now and then.
    Person,
    /// One recipient at a time, all day.
    Application,
    /// One recipient at a time, many in an hour.
    Bulk,
}

impl SenderClass {
    /// What is assumed of the class until its tenant has taught something else.
    pub(in crate::detector) const fn prior(self) -> Prior {
        match self {
            Self::Newcomer => Tuning::PRIOR_NEWCOMER,
            Self::Person => Tuning::PRIOR_PERSON,
            Self::Application => Tuning::PRIOR_APPLICATION,
            Self::Bulk => Tuning::PRIOR_BULK,
        }
    }
}

/// What is usual for one sender. Learned only while the sender is in good standing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detector) struct Baseline {
    messages: f32,
    flagged: f32,
    recipients: f32,
    new: f32,
    outcomes: f32,
    bounced: f32,
    /// Messages to more than one recipient.
    multi: f32,
    /// Most messages in one hour.
    peak: f32,
    /// Day since the epoch up to which these have decayed.
    day: i32,
}

fn day(now: Time) -> i32 {
    i32::try_from(now.as_secs().div_euclid(86_400)).unwrap_or(0)
}

impl Baseline {
    /// Lets the past fade up to `now`, by the factor `keep` a day; a clock that steps back changes
    /// nothing.
    pub(in crate::detector) fn age(&mut self, now: Time, keep: f64) {
        let today = day(now);
        let passed = today.saturating_sub(self.day);
        if self.day != 0 && passed > 0 {
            let keep = keep.powi(passed.min(10_000)) as f32;
            for value in [
                &mut self.messages,
                &mut self.flagged,
                &mut self.outcomes,
                &mut self.bounced,
                &mut self.multi,
                &mut self.peak,
            ] {
                *value *= keep;
            }
        }
        self.day = self.day.max(today);
    }

    /// What this sender behaves like; `messages` in its life.
    pub(in crate::detector) fn class(&self, messages: u32, newcomer_messages: f64) -> SenderClass {
        if f64::from(messages) < newcomer_messages {
            SenderClass::Newcomer
        } else if self.multi >= Tuning::PERSON_MULTI * self.messages {
            SenderClass::Person
        } else if self.peak >= Tuning::BULK_PEAK {
            SenderClass::Bulk
        } else {
            SenderClass::Application
        }
    }

    /// Share of flagged messages, drawn towards the prior.
    pub(in crate::detector) fn flagged_share(&self, prior: &Prior) -> f64 {
        shrink(self.flagged, self.messages, prior.flagged)
            .clamp(Tuning::FLAGGED_LEAST, Tuning::FLAGGED_MOST)
    }

    /// Share of new recipients, drawn towards the prior.
    pub(in crate::detector) fn new_share(&self, prior: &Prior) -> f64 {
        shrink(self.new, self.recipients, prior.new).clamp(Tuning::NEW_LEAST, Tuning::NEW_MOST)
    }

    /// Share of new recipients as observed, or drawn towards the prior if that is more.
    pub(in crate::detector) fn new_share_at_most(&self, prior: &Prior) -> f64 {
        let own = if self.recipients > 0.0 {
            f64::from(self.new / self.recipients)
        } else {
            0.0
        };
        own.max(self.new_share(prior))
    }

    /// The number of recipients behind the share of new ones, including the prior's.
    pub(in crate::detector) fn recipients_seen(&self, prior: &Prior) -> f64 {
        f64::from(self.recipients) + prior.new.1
    }

    /// Share of unknown users, drawn towards the prior.
    pub(in crate::detector) fn bounced_share(&self, prior: &Prior) -> f64 {
        shrink(self.bounced, self.outcomes, prior.bounced)
            .clamp(Tuning::BOUNCED_LEAST, Tuning::BOUNCED_MOST)
    }

    /// Whether a quarter of its messages are flagged: a single chance flag makes no suspicious
    /// mailing.
    pub(in crate::detector) fn is_often_flagged(&self) -> bool {
        self.flagged * Tuning::OFTEN_FLAGGED_RATIO >= self.messages
    }

    /// Whether its mail is known not to look bad in general: at least ten messages were not
    /// flagged, and at most half as many were.
    pub(in crate::detector) fn is_clean(&self) -> bool {
        let clean = self.messages - self.flagged;
        clean >= Tuning::CLEAN_MESSAGES && self.flagged * Tuning::CLEAN_RATIO <= clean
    }

    /// Numbers of flagged and of unflagged messages; `judged` of the flagged ones are under
    /// judgement and left out.
    pub(in crate::detector) fn own(&self, judged: f64) -> (f64, f64) {
        let (flagged, clean) = (
            f64::from(self.flagged),
            f64::from(self.messages - self.flagged),
        );
        ((flagged - judged).max(0.0), clean.max(0.0))
    }

    /// Whether its mail is known not to look bad in a new tenant. Little is known there, so several
    /// ordinary texts are enough, because only people write several.
    pub(in crate::detector) fn began_clean(&self, texts: u32, judged: f64) -> bool {
        let (flagged, clean) = self.own(judged);
        texts >= Tuning::ORDINARY_TEXTS && flagged * f64::from(Tuning::CLEAN_RATIO) <= clean
    }

    /// Messages that have not faded.
    pub(in crate::detector) const fn messages(&self) -> f64 {
        self.messages as f64
    }

    /// Learns the content of one message.
    pub(in crate::detector) fn learn_content(&mut self, llr: f64) {
        self.messages += 1.0;
        if llr > Tuning::FLAG_NATS {
            self.flagged += 1.0;
        }
    }

    /// Learns the recipients of one message, and that it was one of so many in its hour.
    pub(in crate::detector) fn learn_recipients(&mut self, known: u32, new: u32, in_hour: u32) {
        if known + new > 1 {
            self.multi += 1.0;
        } else {
            self.peak = self.peak.max(in_hour as f32);
        }
        self.recipients += (known as f32) + (new as f32);
        self.new += new as f32;
        if self.recipients > Tuning::RECIPIENTS_REMEMBERED {
            let keep = Tuning::RECIPIENTS_REMEMBERED / 2.0 / self.recipients;
            self.recipients *= keep;
            self.new *= keep;
        }
    }

    pub(in crate::detector) fn learn_outcome(&mut self, bounced: bool) {
        self.outcomes += 1.0;
        if bounced {
            self.bounced += 1.0;
        }
    }
}

fn shrink(hits: f32, of: f32, (mean, strength): (f64, f64)) -> f64 {
    (f64::from(hits) + mean * strength) / (f64::from(of) + strength)
}

/// Baselines of the classes of one tenant, learned from its senders in good standing. They are the
/// measure for a sender without much history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detector) struct Classes {
    person: Baseline,
    application: Baseline,
    bulk: Baseline,
}

impl Classes {
    fn of(&mut self, class: SenderClass) -> Option<&mut Baseline> {
        match class {
            SenderClass::Newcomer => None,
            SenderClass::Person => Some(&mut self.person),
            SenderClass::Application => Some(&mut self.application),
            SenderClass::Bulk => Some(&mut self.bulk),
        }
    }

    /// Learns a message of a sender of that class.
    pub(in crate::detector) fn learn(
        &mut self,
        now: Time,
        class: SenderClass,
        llr: f64,
        keep: f64,
    ) {
        if let Some(base) = self.of(class) {
            base.age(now, keep);
            base.learn_content(llr);
        }
    }

    /// The tenant's prior of a class: the world's, until the tenant's own mail of the class is
    /// known. It is at most ten times as generous, so that nobody can teach a tenant that all mail
    /// is flagged.
    pub(in crate::detector) fn prior(&self, class: SenderClass) -> Prior {
        let world = class.prior();
        let base = match class {
            SenderClass::Newcomer | SenderClass::Application => &self.application,
            SenderClass::Person => &self.person,
            SenderClass::Bulk => &self.bulk,
        };
        let mean = shrink(
            base.flagged,
            base.messages,
            (world.flagged.0, f64::from(Tuning::CLASS_STRENGTH)),
        );
        Prior {
            flagged: (
                mean.clamp(
                    world.flagged.0 / Tuning::CLASS_RANGE,
                    world.flagged.0 * Tuning::CLASS_RANGE,
                ),
                world.flagged.1,
            ),
            ..world
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn baselines_fade() {
        let mut base = Baseline::default();
        let now = Time::from_secs(86_400 * 20_000);
        base.age(now, 0.97);
        (0..1000).for_each(|_| base.learn_content(3.0));
        base.age(now.before(Duration::from_secs(86_400 * 50)), 0.97);
        assert!(
            (base.flagged - 1000.0).abs() < 1e-3,
            "a clock that steps back changes nothing"
        );
        base.age(now.after(Duration::from_secs(86_400)), 0.97);
        assert!((base.flagged - 970.0).abs() < 1e-3);
        base.age(now.after(Duration::from_secs(86_400 * 3000)), 0.97);
        assert!(base.flagged < 1e-3);
    }

    #[test]
    fn classes_are_seen_by_behaviour() {
        let learn = |base: &mut Baseline, recipients: &[(u32, u32)], hour: u32| {
            recipients.iter().for_each(|(known, new)| {
                base.learn_content(-3.0);
                base.learn_recipients(*known, *new, hour);
            });
        };
        let mut base = Baseline::default();
        assert_eq!(base.class(10, 50.0), SenderClass::Newcomer);
        learn(&mut base, &[(1, 0); 95], 3);
        assert_eq!(base.class(95, 50.0), SenderClass::Application);
        learn(&mut base, &[(4, 1); 5], 3);
        assert_eq!(base.class(100, 50.0), SenderClass::Person);
        let mut base = Baseline::default();
        learn(&mut base, &[(0, 1); 500], 400);
        assert_eq!(base.class(500, 50.0), SenderClass::Bulk);
    }

    #[test]
    fn a_tenant_teaches_its_classes_within_bounds() {
        let now = Time::from_secs(86_400 * 20_000);
        let mut classes = Classes::default();
        assert_eq!(
            classes.prior(SenderClass::Person),
            SenderClass::Person.prior()
        );
        (0..100_000).for_each(|i| {
            classes.learn(
                now,
                SenderClass::Person,
                if i % 200 == 0 { 5.0 } else { -3.0 },
                0.97,
            )
        });
        assert!((classes.prior(SenderClass::Person).flagged.0 - 0.005).abs() < 2e-4);
        (0..1_000_000).for_each(|_| classes.learn(now, SenderClass::Person, 5.0, 0.97));
        assert!((classes.prior(SenderClass::Person).flagged.0 - 0.01).abs() < 1e-9);
    }
}
