//! Evidence against the accounts of a tenant that send one text. A campaign that is spread over
//! accounts of several clients shows here, where each client has met too little of it.
//!
//! Texts are compared by a 64-bit `SimHash` (Charikar, STOC 2002; for near-duplicates Manku, Jain,
//! Das Sarma, WWW 2007): texts that share most of their words differ in few bits. A tenant has few
//! texts that matter at a time, so they are compared one by one; a banded index would cost more
//! than it saves.

use super::client_campaign::ClientCampaign;
use crate::config::tuning::Tuning;
use crate::types::Time;
use crate::types::fingerprint::NEAR_BITS;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Templates remembered per tenant.
const TEMPLATES: usize = 64;
/// Accounts have been flagged with a template for so long, day by day, and nobody was blocked with
/// it: then people's mail always looks like this.
const FAMILIAR: Duration = Duration::from_secs(Tuning::TEXT_FAMILIAR_HOURS * 3600);
/// A template that was not flagged for so long is over; the same text later counts as new.
const OVER: Duration = Duration::from_secs(Tuning::TEXT_OVER_HOURS * 3600);
/// Recipients remembered of a template.
const RECIPIENTS: usize = 32;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Template {
    /// Its fingerprint when it was met first. Later texts are compared with this one, so that a
    /// template cannot drift.
    fingerprint: u64,
    /// Since when several accounts use it.
    several: Time,
    last: Time,
    /// An account was blocked with it.
    met: bool,
    campaign: ClientCampaign,
    /// Hashes of its first recipients.
    to: Vec<u64>,
}

impl Template {
    fn new(fingerprint: u64, now: Time) -> Self {
        Self {
            fingerprint,
            several: now,
            last: now,
            met: false,
            campaign: ClientCampaign::default(),
            to: Vec::new(),
        }
    }

    fn is_over(&self, now: Time) -> bool {
        now.since(self.last) > OVER
    }

    fn is_familiar(&self, now: Time) -> bool {
        !self.met && now.since(self.several) >= FAMILIAR
    }

    /// Whether all recipients of this message have had the text: several people who send one letter
    /// to the same address (an abuse desk, a colleague) are no campaign.
    fn knows_all(&self, to: &[u64]) -> bool {
        to.iter().all(|recipient| self.to.contains(recipient))
    }
}

/// The texts of one tenant that were flagged lately.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detector) struct Templates {
    list: Vec<Template>,
}

impl Templates {
    /// The place of the nearest template. Fingerprint 0 is that of a text too short to have one.
    fn nearest(&self, fingerprint: u64) -> Option<usize> {
        if fingerprint == 0 {
            return None;
        }
        let distances = self
            .list
            .iter()
            .map(|t| (t.fingerprint ^ fingerprint).count_ones())
            .enumerate();
        distances
            .min_by_key(|(_, bits)| *bits)
            .filter(|(_, bits)| *bits <= NEAR_BITS)
            .map(|(place, _)| place)
    }

    /// Evidence that accounts other than `who` have brought lately with this template, in nats,
    /// against a message to these recipients.
    pub(in crate::detector) fn suspicion_of_others(
        &self,
        now: Time,
        who: u64,
        fingerprint: u64,
        to: &[u64],
        half_life_minutes: f64,
    ) -> f64 {
        let template = self
            .nearest(fingerprint)
            .and_then(|place| self.list.get(place));
        let counts = |t: &&Template| !t.is_over(now) && !t.is_familiar(now) && !t.knows_all(to);
        template.filter(counts).map_or(0.0, |t| {
            t.campaign.suspicion_of_others(now, who, half_life_minutes)
        })
    }

    /// Adds the evidence of an account for a message to these recipients; an account brings at most
    /// `most` nats at a time.
    pub(in crate::detector) fn add(
        &mut self,
        now: Time,
        who: u64,
        fingerprint: u64,
        to: &[u64],
        (nats, most): (f64, f64),
        half_life_minutes: f64,
    ) {
        if fingerprint == 0 {
            return;
        }
        let place = self
            .nearest(fingerprint)
            .unwrap_or_else(|| self.insert(now, fingerprint));
        let Some(template) = self.list.get_mut(place) else {
            return;
        };
        if template.is_over(now) {
            *template = Template::new(template.fingerprint, now);
        }
        if !template.to.is_empty() && template.knows_all(to) {
            return;
        }
        template.last = template.last.max(now);
        template
            .campaign
            .add(now, who, nats, most, half_life_minutes);
        if template.campaign.accounts() < Tuning::TEXT_FAMILIAR_ACCOUNTS {
            template.several = now;
        }
        for recipient in to {
            if template.to.len() < RECIPIENTS && !template.to.contains(recipient) {
                template.to.push(*recipient);
            }
        }
    }

    /// A copy scored like ordinary mail: it takes so many nats off what was brought with this text.
    pub(in crate::detector) fn ease(
        &mut self,
        now: Time,
        fingerprint: u64,
        nats: f64,
        half_life_minutes: f64,
    ) {
        if let Some(template) = self
            .nearest(fingerprint)
            .and_then(|place| self.list.get_mut(place))
        {
            template.campaign.ease(now, nats, half_life_minutes);
        }
    }

    /// Whether this suspicion of a text is a campaign beyond chance. Others add at most `most` nats
    /// to one account.
    fn is_campaign(&self, now: Time, fingerprint: u64, suspicion: f64, most: f64) -> bool {
        self.nearest(fingerprint)
            .and_then(|place| self.list.get(place))
            .is_some_and(|t| t.campaign.is_campaign(now, suspicion, most))
    }

    /// Evidence of others with this text, in nats, as far as it counts for one account, and whether
    /// its copies are to be held. In a campaign beyond chance it counts more.
    pub(in crate::detector) fn suspicion(
        &self,
        now: Time,
        who: u64,
        fingerprint: u64,
        to: &[u64],
        tuning: &Tuning,
    ) -> (f64, bool) {
        let (most, half_life) = (tuning.template_hot, tuning.pool_half_life_minutes);
        let nats = self.suspicion_of_others(now, who, fingerprint, to, half_life);
        let campaign = self.is_campaign(now, fingerprint, nats, most);
        let most = most
            * if campaign {
                Tuning::TEXT_CAMPAIGN_MORE
            } else {
                1.0
            };
        (nats.min(most), campaign || nats >= Tuning::TEXT_HELD_NATS)
    }

    /// Adds a template. If there is no room, the least important one goes: first one that is over,
    /// then one without a blocked account, then one of a single account, then the oldest. So nobody
    /// pushes out a campaign with texts of their own.
    fn insert(&mut self, now: Time, fingerprint: u64) -> usize {
        if self.list.len() >= TEMPLATES {
            let rank = |t: &Template| (!t.is_over(now), t.met, t.campaign.accounts() > 1, t.last);
            let least = self.list.iter().enumerate().min_by_key(|(_, t)| rank(t));
            if let Some((place, _)) = least {
                self.list.swap_remove(place);
            }
        }
        self.list.push(Template::new(fingerprint, now));
        self.list.len() - 1
    }

    /// Notes that an account was blocked while it sent this.
    pub(in crate::detector) fn met(&mut self, fingerprint: u64) {
        if let Some(template) = self
            .nearest(fingerprint)
            .and_then(|place| self.list.get_mut(place))
        {
            template.met = true;
        }
    }

    /// Forgets the evidence of this account: it was blocked by mistake.
    pub(in crate::detector) fn forget(&mut self, who: u64) {
        self.list.iter_mut().for_each(|t| t.campaign.forget(who));
    }

    /// Notes that an account was blocked with evidence of others with this template.
    pub(in crate::detector) fn confirm(&mut self, now: Time, fingerprint: u64) {
        if let Some(template) = self
            .nearest(fingerprint)
            .and_then(|place| self.list.get_mut(place))
        {
            template.met = true;
            template.campaign.confirm(now);
        }
    }

    /// The block of an account ended: what it sent is weaker evidence against others.
    pub(in crate::detector) fn unconfirm(&mut self, who: u64) {
        for template in self.list.iter_mut().filter(|t| t.campaign.has(who)) {
            template.met = false;
            template.campaign.unconfirm();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time::from_secs(1_795_356_000 + second)
    }

    fn add(templates: &mut Templates, second: i64, who: u64, fingerprint: u64) {
        let to = crate::types::hash::mix(who, second.unsigned_abs());
        templates.add(at(second), who, fingerprint, &[to], (3.0, 3.0), 60.0);
    }

    const TEXT: u64 = 0x0123_4567_89ab_cdef;
    const HOUR: i64 = 3600;

    #[test]
    fn others_with_a_text_like_it_make_heat_oneself_and_other_texts_do_not() {
        let mut templates = Templates::default();
        (1..=4).for_each(|who| add(&mut templates, 0, who, TEXT ^ (1 << who)));
        let suspicion_of_others =
            |who, text| templates.suspicion_of_others(at(60), who, text, &[1], 60.0);
        assert!(
            suspicion_of_others(9, TEXT) > 11.0
                && (8.0..9.1).contains(&suspicion_of_others(1, TEXT ^ 0b111)),
            "{} {}",
            suspicion_of_others(9, TEXT),
            suspicion_of_others(1, TEXT)
        );
        assert_eq!(
            (suspicion_of_others(9, !TEXT), suspicion_of_others(9, 0)),
            (0.0, 0.0)
        );
        assert!(templates.suspicion_of_others(at(6 * HOUR), 9, TEXT, &[1], 60.0) < 0.2);
        let mut alone = Templates::default();
        (0..50).for_each(|n| add(&mut alone, n, 1, TEXT));
        assert_eq!(
            alone.suspicion_of_others(at(60), 1, TEXT, &[1], 60.0),
            0.0,
            "one account's mail never counts twice"
        );
        assert!(alone.suspicion_of_others(at(60), 2, TEXT, &[1], 60.0) <= 3.0);
    }

    #[test]
    fn a_text_wanders_no_further_than_it_may() {
        let mut templates = Templates::default();
        add(&mut templates, 0, 1, TEXT);
        // Each step is near to the last one, but no longer to the first.
        add(&mut templates, 1, 2, TEXT ^ 0xff);
        add(&mut templates, 2, 3, TEXT ^ 0xffff);
        assert_eq!(templates.list.len(), 2);
    }

    #[test]
    fn what_always_looks_like_that_grows_familiar_unless_somebody_was_blocked_with_it() {
        let mut templates = Templates::default();
        for hour in 0..100 {
            (1..=5).for_each(|who| add(&mut templates, hour * HOUR, who, TEXT));
        }
        assert_eq!(
            templates.suspicion_of_others(at(100 * HOUR), 9, TEXT, &[1], 60.0),
            0.0
        );
        templates.confirm(at(100 * HOUR), TEXT);
        assert!(templates.suspicion_of_others(at(100 * HOUR), 9, TEXT, &[1], 60.0) > 7.0);
        templates.unconfirm(77);
        assert!(
            templates.suspicion_of_others(at(100 * HOUR), 9, TEXT, &[1], 60.0) > 7.0,
            "somebody else's block"
        );
        templates.unconfirm(3);
        assert_eq!(
            templates.suspicion_of_others(at(100 * HOUR), 9, TEXT, &[1], 60.0),
            0.0
        );
    }

    #[test]
    fn bounded_and_nobody_pushes_out_a_campaign_with_texts_of_his_own() {
        let mut templates = Templates::default();
        (1..=4).for_each(|who| add(&mut templates, 0, who, TEXT));
        for n in 1..10_000 {
            add(
                &mut templates,
                n,
                7,
                crate::types::hash::mix(n.unsigned_abs(), 1),
            );
        }
        assert_eq!(templates.list.len(), TEMPLATES);
        assert!(templates.suspicion_of_others(at(0), 9, TEXT, &[1], 60.0) > 11.0);
    }

    #[test]
    fn one_flag_of_long_ago_does_not_silence_a_text() {
        // Twenty of twenty copies of a campaign went where one had been flagged four days before.
        let mut templates = Templates::default();
        add(&mut templates, 0, 1, TEXT);
        (2..=5).for_each(|who| add(&mut templates, 96 * HOUR, who, TEXT));
        assert!(templates.suspicion_of_others(at(96 * HOUR), 9, TEXT, &[1], 60.0) > 11.0);
        // Nor does one account alone that sends it every day.
        let mut templates = Templates::default();
        (0..100).for_each(|hour| add(&mut templates, hour * HOUR, 1, TEXT));
        (2..=5).for_each(|who| add(&mut templates, 100 * HOUR, who, TEXT));
        assert!(templates.suspicion_of_others(at(100 * HOUR), 9, TEXT, &[1], 60.0) > 11.0);
    }

    #[test]
    fn texts_that_are_over_make_room() {
        let mut templates = Templates::default();
        for n in 0..2 * TEMPLATES as u64 {
            [1, 2].into_iter().for_each(|who| {
                add(
                    &mut templates,
                    n as i64 * HOUR,
                    who,
                    crate::types::hash::mix(n, 1),
                )
            });
        }
        for n in 0..5 {
            let now = 1000 * HOUR + n;
            [TEXT, !TEXT]
                .into_iter()
                .for_each(|text| add(&mut templates, now, n.unsigned_abs(), text));
        }
        for text in [TEXT, !TEXT] {
            assert!(templates.suspicion_of_others(at(1000 * HOUR), 9, text, &[1], 60.0) > 11.0);
        }
    }

    #[test]
    fn people_who_pass_a_letter_on_to_one_address_are_no_campaign() {
        let mut templates = Templates::default();
        (1..=9).for_each(|who| templates.add(at(0), who, TEXT, &[7], (3.0, 3.0), 60.0));
        assert_eq!(
            templates.suspicion_of_others(at(1), 10, TEXT, &[7], 60.0),
            0.0
        );
        assert!(
            templates.suspicion_of_others(at(1), 10, TEXT, &[7, 8], 60.0) <= 3.0,
            "what the first of them brought"
        );
    }
}
