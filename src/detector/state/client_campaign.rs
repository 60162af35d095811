//! Evidence against several accounts together: those of one client, or those that send one text. A
//! campaign over many accounts shows here while each of them alone still looks harmless.

use crate::config::tuning::Tuning;
use crate::types::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Accounts remembered; more push out the smallest.
const ACCOUNTS: usize = 64;

const CAMPAIGN: Duration = Duration::from_secs(Tuning::CAMPAIGN_HOURS * 3600);

/// Evidence that accounts have brought lately, as a sum that fades.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detector) struct ClientCampaign {
    sum: f32,
    at: Time,
    /// When an account was last blocked with evidence of others.
    #[serde(default)]
    confirmed: Option<Time>,
    /// Evidence that each account (by hash) brought.
    brought: Vec<(u64, f32)>,
}

impl ClientCampaign {
    /// Whether an account was blocked for this campaign lately.
    fn is_met(&self, now: Time) -> bool {
        self.confirmed.is_some_and(|at| now.since(at) < CAMPAIGN)
    }

    /// Whether this suspicion is a campaign beyond chance. The accounts of a client add at most
    /// `most` nats to one of them.
    pub(in crate::detector) fn is_campaign(
        &self,
        now: Time,
        suspicion_of_others: f64,
        most: f64,
    ) -> bool {
        most > 0.0
            && suspicion_of_others
                >= most
                    * if self.is_met(now) {
                        Tuning::CAMPAIGN_CONFIRMED
                    } else {
                        Tuning::CAMPAIGN_UNCONFIRMED
                    }
    }

    /// The part of the sum that is left at `now`.
    fn keep(&self, now: Time, half_life_minutes: f64) -> f64 {
        // Blocked accounts add nothing any more, while the next ones still wait.
        let half_life_minutes = if self.is_met(now) {
            half_life_minutes * Tuning::CAMPAIGN_LASTS_LONGER
        } else {
            half_life_minutes
        };
        (-now.since(self.at).as_secs_f64() / 60.0 / half_life_minutes).exp2()
    }

    /// Evidence that accounts other than `who` have brought lately, in nats.
    pub(in crate::detector) fn suspicion_of_others(
        &self,
        now: Time,
        who: u64,
        half_life_minutes: f64,
    ) -> f64 {
        if self.sum <= 0.0 {
            return 0.0;
        }
        let own = self
            .brought
            .iter()
            .find(|(account, _)| *account == who)
            .map_or(0.0, |(_, nats)| *nats);
        f64::from((self.sum - own).max(0.0)) * self.keep(now, half_life_minutes)
    }

    /// Adds evidence of an account, at most `share` nats at a time.
    pub(in crate::detector) fn add(
        &mut self,
        now: Time,
        who: u64,
        nats: f64,
        share: f64,
        half_life_minutes: f64,
    ) {
        self.fade(now, half_life_minutes);
        let place = self
            .brought
            .iter()
            .position(|(account, _)| *account == who)
            .unwrap_or_else(|| {
                if self.brought.len() >= ACCOUNTS
                    && let Some((smallest, _)) = self
                        .brought
                        .iter()
                        .enumerate()
                        .min_by(|a, b| a.1.1.total_cmp(&b.1.1))
                {
                    self.brought.swap_remove(smallest);
                }
                self.brought.push((who, 0.0));
                self.brought.len() - 1
            });
        if let Some((_, brought)) = self.brought.get_mut(place) {
            let more = (nats as f32).min(share as f32 - *brought).max(0.0);
            *brought += more;
            self.sum += more;
        }
    }

    fn fade(&mut self, now: Time, half_life_minutes: f64) {
        let keep = self.keep(now, half_life_minutes) as f32;
        self.at = self.at.max(now);
        self.scale(keep);
    }

    /// Leaves this part of all evidence.
    fn scale(&mut self, keep: f32) {
        self.sum *= keep;
        self.brought
            .iter_mut()
            .for_each(|(_, brought)| *brought *= keep);
        if self.sum < Tuning::CAMPAIGN_OVER_NATS {
            self.forgive();
        }
    }

    /// Takes so many nats off the sum: ordinary mail in between.
    pub(in crate::detector) fn ease(&mut self, now: Time, nats: f64, half_life_minutes: f64) {
        self.fade(now, half_life_minutes);
        if self.sum > 0.0 {
            self.scale((1.0 - nats as f32 / self.sum).max(0.0));
        }
    }

    /// Accounts that have brought something lately.
    pub(in crate::detector) const fn accounts(&self) -> usize {
        self.brought.len()
    }

    /// Whether this account is one of them.
    pub(in crate::detector) fn has(&self, who: u64) -> bool {
        self.brought.iter().any(|(account, _)| *account == who)
    }

    /// Takes back the evidence of this account.
    pub(in crate::detector) fn forget(&mut self, who: u64) {
        if let Some(place) = self.brought.iter().position(|(account, _)| *account == who) {
            let (_, nats) = self.brought.swap_remove(place);
            self.sum = (self.sum - nats).max(0.0);
        }
    }

    /// Notes that an account was blocked with evidence of others.
    pub(in crate::detector) const fn confirm(&mut self, now: Time) {
        self.confirmed = Some(now);
    }

    /// That block ended: it is no longer evidence against others.
    pub(in crate::detector) const fn unconfirm(&mut self) {
        self.confirmed = None;
    }

    pub(in crate::detector) fn forgive(&mut self) {
        self.sum = 0.0;
        self.brought.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_accounts_are_no_campaign_until_one_was_met() {
        // Three persons whose letters to strangers were flagged within an hour: all 900 of the
        // house were asked about theirs.
        let mut campaign = ClientCampaign::default();
        let now = Time::from_secs(0);
        let is = |campaign: &ClientCampaign| {
            campaign.is_campaign(now, campaign.suspicion_of_others(now, 9, 60.0), 10.0)
        };
        (1..4).for_each(|who| campaign.add(now, who, 9.0, 5.0, 60.0));
        assert!(!is(&campaign));
        campaign.confirm(now);
        assert!(is(&campaign), "an account was blocked for it");
        campaign.unconfirm();
        campaign.add(now, 4, 9.0, 5.0, 60.0);
        assert!(is(&campaign), "more than chance");
    }

    #[test]
    fn one_account_makes_no_heat_many_do_and_it_passes() {
        let mut campaign = ClientCampaign::default();
        let at = Time::from_secs;
        (0..100).for_each(|n| campaign.add(at(n), 1, 3.0, 3.0, 30.0));
        assert_eq!(campaign.suspicion_of_others(at(100), 1, 30.0), 0.0);
        assert!(campaign.suspicion_of_others(at(100), 2, 30.0) <= 3.0);
        (2..5).for_each(|who| campaign.add(at(100), who, 3.0, 3.0, 30.0));
        assert!(campaign.suspicion_of_others(at(100), 9, 30.0) > 11.0);
        assert!(
            campaign.suspicion_of_others(at(0), 9, 30.0) < 12.1,
            "a clock that steps back makes no heat"
        );
        assert!(campaign.suspicion_of_others(at(100 + 4 * 3600), 9, 30.0) < 0.1);
        (1..5).for_each(|who| campaign.forget(who));
        assert_eq!(
            campaign.suspicion_of_others(at(100), 9, 30.0),
            0.0,
            "taken back"
        );
        (0..10_000).for_each(|who| campaign.add(at(200), who, 3.0, 3.0, 30.0));
        assert!(campaign.brought.len() <= ACCOUNTS);
    }
}
