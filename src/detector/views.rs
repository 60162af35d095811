//! Senders as shown to people.

use super::{DAY, Detector, HOUR, ShadowCounts};
use crate::api::{CeilingUse, PolicyExplanation};
use crate::config::Settings;
use crate::detector::evidence::Bounds;
use crate::detector::state::sender::Sender;
use crate::policy::explain;
use crate::policy::scope::choose;
use crate::types::{Evidence, SenderKey, TenantId, Time};
use std::collections::BinaryHeap;
use std::net::IpAddr;

/// A sender as listed by the API.
#[derive(Debug, Clone, PartialEq)]
pub struct SenderView {
    pub key: SenderKey,
    pub tenant: TenantId,
    pub address: String,
    /// `good`, `watched`, `held`, `blocked`.
    pub standing: String,
    /// The detector's sum S in nats.
    pub evidence_nats: f64,
    /// The bound at which it blocks; 0 = off.
    pub block_at_nats: f64,
    /// Messages in the last hour.
    pub messages_hour: u64,
    /// Messages in the last day.
    pub messages_day: u64,
    /// External recipients in the last hour.
    pub recipients_external_hour: u64,
    /// Internal recipients in the last hour.
    pub recipients_internal_hour: u64,
    /// Recipients in the last day.
    pub recipients_day: u64,
    /// New recipients in the last day.
    pub recipients_new_day: u64,
    /// Messages counted as spam in the last day.
    pub spam_day: u64,
    /// Bounces in the last day.
    pub bounces_day: u64,
    /// Newest evidence first, at most 20.
    pub recent: Vec<Evidence>,
}

/// A sender's policy as shown to people.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyView {
    /// Which policy and why.
    pub(crate) explanation: PolicyExplanation,
    /// What is used of its ceilings.
    pub(crate) used: Vec<CeilingUse>,
    /// What its policy in shadow mode would have done since the start.
    pub shadow_counts: Option<ShadowCounts>,
    /// The sender, if it was seen.
    pub sender: Option<SenderView>,
}

impl Detector {
    /// Senders in key order after `after`, at most `limit`; with `standing` only those of that
    /// standing.
    pub fn senders(
        &self,
        now: Time,
        after: Option<&str>,
        limit: usize,
        standing: Option<&str>,
    ) -> Vec<SenderView> {
        let settings = self.settings();
        // The heap holds the smallest keys found so far, the largest of them on top.
        let mut keys: BinaryHeap<SenderKey> = BinaryHeap::new();
        self.senders.each(|key, sender| {
            let late = keys.len() >= limit && keys.peek().is_none_or(|top| key >= top);
            if late || after.is_some_and(|a| key.as_str() <= a) {
                return;
            }
            if standing.is_some_and(|s| s != self.standing(now, &settings, key, sender)) {
                return;
            }
            keys.push(key.clone());
            if keys.len() > limit {
                keys.pop();
            }
        });
        keys.into_sorted_vec()
            .iter()
            .filter_map(|key| self.view(now, &settings, key))
            .collect()
    }

    /// One sender by key, or by plain address: the account of that name first, else the sender that
    /// claims it.
    pub fn sender(&self, now: Time, key: &str) -> Option<SenderView> {
        self.sender_of(now, key, None)
    }

    /// The same among the senders of one tenant: another tenant may have a login of the same name.
    pub fn sender_of(&self, now: Time, key: &str, tenant: Option<&TenantId>) -> Option<SenderView> {
        let settings = self.settings();
        self.view(now, &settings, &self.key_of(&settings, key, tenant)?)
    }

    /// The key for a text that is a key or a plain address.
    fn key_of(
        &self,
        settings: &Settings,
        key: &str,
        tenant: Option<&TenantId>,
    ) -> Option<SenderKey> {
        let meant = |of: &TenantId| tenant.is_none_or(|t| t == of);
        let known =
            |key: &SenderKey| self.senders.read(key, |sender| meant(&sender.tenant)) == Some(true);
        let exact = SenderKey(key.into());
        if known(&exact) {
            return Some(exact);
        }
        let wanted = key.to_lowercase();
        let mut accounts = settings
            .tenants
            .iter()
            .filter(|t| meant(&t.id))
            .map(|t| SenderKey::account(&t.id, &wanted));
        accounts.find(known).or_else(|| {
            let mut best: Option<SenderKey> = None;
            self.senders.each(|key, sender| {
                if *sender.address == *wanted
                    && meant(&sender.tenant)
                    && best.as_ref().is_none_or(|b| key < b)
                {
                    best = Some(key.clone());
                }
            });
            best
        })
    }

    /// Which policy applies to this sender and what it has used of it. A sender that was never seen
    /// counts as an account of that name. `client` replaces the client that it was last seen
    /// through. `None` if the text names no sender.
    pub fn explain(
        &self,
        now: Time,
        key: &str,
        tenant: Option<&TenantId>,
        client: Option<IpAddr>,
    ) -> Option<PolicyView> {
        let settings = self.settings();
        let found = self.key_of(&settings, key, tenant);
        let seen = found
            .as_ref()
            .and_then(|key| self.senders.read(key, |sender| sender.identity(key)));
        let mut identity = seen.or_else(|| explain::stranger(&settings, key, tenant, client))?;
        identity.client = client.unwrap_or(identity.client);
        let choice = choose(&settings, &identity);
        let minute = self.minute_messages(now, &identity.key, choice.policy);
        let load = self
            .senders
            .read(&identity.key, |sender| sender.load(now, minute));
        Some(PolicyView {
            explanation: explain::explain(&settings, &identity, now),
            used: explain::used(choice.policy, &load.unwrap_or_default()),
            shadow_counts: self
                .unsaved
                .get(&identity.key, |a| a.shadow_counts.clone())
                .filter(|_| choice.shadow.is_some()),
            sender: self.view(now, &settings, &identity.key),
        })
    }

    /// Memory of all tracked senders in octets, without and with their known recipients; keys and
    /// texts are included.
    pub fn memory(&self) -> (usize, usize) {
        let (mut records, mut recipients) = (0, 0);
        self.senders.each(|key, sender| {
            let texts = key.as_str().len() + sender.address.len() + 16;
            records +=
                std::mem::size_of::<(SenderKey, Sender)>() + texts + sender.windows.heap_octets();
            recipients += sender.known.heap_octets();
        });
        (records, records + recipients)
    }

    /// `good`, `watched` or `blocked`.
    fn standing(
        &self,
        now: Time,
        settings: &Settings,
        key: &SenderKey,
        sender: &Sender,
    ) -> &'static str {
        let bounds = bounds(now, settings, key, sender);
        if self
            .active_blocks
            .gate(now, &sender.identity(key))
            .is_some()
        {
            "blocked"
        } else if bounds.watches(sender.sum()) {
            "watched"
        } else {
            "good"
        }
    }

    fn view(&self, now: Time, settings: &Settings, key: &SenderKey) -> Option<SenderView> {
        let mut view = self.senders.read(key, |sender| {
            let hour = sender.windows.sum(now, HOUR);
            let day = sender.windows.sum(now, DAY);
            SenderView {
                key: key.clone(),
                tenant: sender.tenant.clone(),
                address: sender.address.to_string(),
                standing: self.standing(now, settings, key, sender).into(),
                evidence_nats: sender.sum(),
                block_at_nats: bounds(now, settings, key, sender).block.unwrap_or(0.0),
                messages_hour: hour.messages.into(),
                messages_day: day.messages.into(),
                recipients_external_hour: hour.external.into(),
                recipients_internal_hour: hour.internal.into(),
                recipients_day: day.recipients(),
                recipients_new_day: day.new.into(),
                spam_day: day.spam.into(),
                bounces_day: day.bounces.into(),
                recent: Vec::new(),
            }
        })?;
        view.recent = self
            .recent_messages
            .read(key, |t| t.list())
            .unwrap_or_default();
        Some(view)
    }
}

/// The bounds of the policy that acts on this sender.
fn bounds(now: Time, settings: &Settings, key: &SenderKey, sender: &Sender) -> Bounds {
    let messages = sender.windows.sum(now, DAY).messages;
    let rate = choose(settings, &sender.identity(key))
        .policy
        .false_block_rate;
    Bounds::new(rate, false, &settings.detector).for_volume(messages, &settings.detector)
}
