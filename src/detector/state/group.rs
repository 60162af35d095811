//! The record of a domain, a client or a tenant: counters, and for a client the evidence against
//! merely claimed senders, which anybody can invent.

use super::baseline::Classes;
use super::client_campaign::ClientCampaign;
use super::templates::Templates;
use super::window::Windows;
use crate::collections::table::Evict;
use crate::config::tuning::Tuning;
use crate::types::Counts;
use crate::types::hash::{hash_text, mix};
use crate::types::{Domain, TenantId, Time};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Contributors remembered per client; more push out the smallest.
const CONTRIBUTORS: usize = 12;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detector) struct Group {
    pub windows: Windows,
    /// Messages in its life: a tenant's first ones are its learning time.
    pub messages: u64,
    /// Sum of its senders' evidence in nats; never below zero.
    pub sum: f64,
    /// Evidence that each sender (by hash) added to the sum.
    contributors: Vec<(u64, f32)>,
    /// When it was last counted.
    pub last: Time,
    /// For a client: the evidence against its accounts together.
    #[serde(default)]
    pub campaign: Option<Box<ClientCampaign>>,
    /// For a tenant: what is usual for the classes of its senders.
    #[serde(default)]
    pub classes: Option<Box<Classes>>,
    /// In the record beside a tenant's own ([`templates_key`]): texts that its accounts were
    /// flagged with.
    #[serde(default)]
    pub templates: Option<Box<Templates>>,
}

/// Key of a tenant's record.
pub(in crate::detector) fn tenant_key(tenant: &TenantId) -> u64 {
    mix(hash_text(tenant.as_str()), 1)
}

/// Key of the record of a domain within a tenant.
pub(in crate::detector) fn domain_key(tenant: &TenantId, domain: &Domain) -> u64 {
    mix(
        mix(hash_text(tenant.as_str()), 2),
        hash_text(domain.as_str()),
    )
}

/// Key of the record of a client within a tenant.
pub(in crate::detector) fn client_key(tenant: &TenantId, client: IpAddr) -> u64 {
    let address = match client {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    let parts = mix((address >> 64) as u64, address as u64);
    mix(mix(hash_text(tenant.as_str()), 3), parts)
}

/// Key of the record that holds the texts of a tenant. It is apart from the tenant's record, which
/// changes with every message.
pub(in crate::detector) fn templates_key(tenant: &TenantId) -> u64 {
    mix(hash_text(tenant.as_str()), 4)
}

/// Key of the record that counts what a blocked sender, or the blocked senders of a client, write
/// within a tenant.
pub(in crate::detector) fn within_key(tenant: &TenantId, who: u64) -> u64 {
    mix(mix(hash_text(tenant.as_str()), 5), who)
}

impl Group {
    pub(in crate::detector) fn count(&mut self, now: Time, counts: Counts) {
        self.windows.add(now, counts);
        self.messages = self.messages.saturating_add(u64::from(counts.messages));
        self.last = self.last.max(now);
    }

    /// Adds evidence of one claimed sender; true when the client's bound is reached. One sender
    /// alone never reaches it: that sender is blocked by itself.
    pub(in crate::detector) fn add_claimed(
        &mut self,
        sender: u64,
        evidence: f64,
        block: f64,
    ) -> bool {
        let known = self.contributors.iter().position(|(who, _)| *who == sender);
        if evidence <= 0.0 {
            self.sum = (self.sum + evidence).max(0.0);
            if let Some((_, brought)) = known.and_then(|i| self.contributors.get_mut(i)) {
                *brought = (f64::from(*brought) + evidence).max(0.0) as f32;
            }
            if self.sum <= 0.0 {
                self.contributors.clear();
            }
            return false;
        }
        if known.is_none() {
            if self.contributors.len() >= CONTRIBUTORS
                && let Some((place, _)) = self
                    .contributors
                    .iter()
                    .enumerate()
                    .min_by(|a, b| a.1.1.total_cmp(&b.1.1))
            {
                self.contributors.swap_remove(place);
            }
            self.contributors.push((sender, 0.0));
        }
        if let Some((_, brought)) = self.contributors.iter_mut().find(|(who, _)| *who == sender) {
            let more = evidence.min(
                block
                    .mul_add(Tuning::CLAIMED_SHARE, -f64::from(*brought))
                    .max(0.0),
            );
            *brought += more as f32;
            self.sum += more;
        }
        // Shares are kept in single precision: the last bits do not matter.
        self.sum >= block.mul_add(Tuning::CLAIMED_BOUND, -0.01)
    }

    pub(in crate::detector) fn forgive(&mut self) {
        self.sum = 0.0;
        self.contributors.clear();
        self.campaign = None;
        self.windows.forget(false);
    }
}

impl Evict for Group {
    fn rank(&self) -> (u8, i64) {
        let kept = [
            self.sum > 0.0,
            self.messages >= 100,
            self.templates.is_some(),
        ];
        (kept.into_iter().map(u8::from).sum(), self.last.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sender_never_blocks_the_client_but_many_invented_ones_do() {
        let mut group = Group::default();
        assert!((0..1000).all(|_| !group.add_claimed(1, 3.0, 13.8)));
        assert!(group.sum <= 13.8 * 0.25 + 0.01);
        let mut group = Group::default();
        let crossed = (0..100).position(|sender| group.add_claimed(sender, 4.0, 13.8));
        assert_eq!(crossed, Some(7));
    }

    #[test]
    fn good_mail_clears_the_client() {
        let mut group = Group::default();
        (0..6).for_each(|sender| assert!(!group.add_claimed(sender, 4.0, 13.8)));
        (10..30).for_each(|sender| assert!(!group.add_claimed(sender, -2.4, 13.8)));
        assert_eq!((group.sum, group.contributors.len()), (0.0, 0));
    }
}
