//! Records put aside and back, so that a simulation can tell many stories that begin alike.

use super::Detector;
use super::recent_messages::RecentMessages;
use super::unsaved::UnsavedRecord;
use crate::detector::group::{self, Group};
use crate::detector::reports::Reports;
use crate::detector::scores::Scores;
use crate::detector::sender::Sender;
use crate::types::hash::hash_text;
use crate::types::{Identity, SenderKey};

/// What was kept of one sender.
type Kept = (
    SenderKey,
    Option<Sender>,
    Option<RecentMessages>,
    Option<UnsavedRecord>,
);

/// The records of some senders and of their tenant, domains and clients as they were, with the
/// texts they were flagged with.
pub struct Fork {
    senders: Vec<Kept>,
    reports: Vec<(u64, Option<Reports>)>,
    groups: Vec<(u64, Option<Group>)>,
    scores: Vec<(u64, Option<Scores>)>,
}

impl Detector {
    /// Copies what is known of these senders and their groups.
    pub fn fork<'a>(&self, identities: impl Iterator<Item = &'a Identity>) -> Fork {
        let mut fork = Fork {
            senders: Vec::new(),
            reports: Vec::new(),
            groups: Vec::new(),
            scores: Vec::new(),
        };
        for who in identities {
            let sender = self.senders.read(&who.key, |s| s.clone());
            let recent_messages = self.recent_messages.read(&who.key, |t| t.clone());
            fork.senders.push((
                who.key.clone(),
                sender,
                recent_messages,
                self.unsaved.read(&who.key, |a| a.clone()),
            ));
            let hash = hash_text(who.key.as_str());
            fork.reports
                .push((hash, self.reports.read(&hash, |r| r.clone())));
            let domain = who
                .domain
                .as_ref()
                .map(|d| group::domain_key(&who.tenant, d));
            let key = group::tenant_key(&who.tenant);
            if fork.scores.iter().all(|(k, _)| *k != key) {
                fork.scores
                    .push((key, self.scores.read(&key, |s| s.clone())));
            }
            let tenant = [
                group::tenant_key(&who.tenant),
                group::templates_key(&who.tenant),
            ];
            for key in tenant
                .into_iter()
                .chain([group::client_key(&who.tenant, who.client)])
                .chain(domain)
            {
                if fork.groups.iter().all(|(k, _)| *k != key) {
                    fork.groups
                        .push((key, self.groups.read(&key, |g| g.clone())));
                }
            }
        }
        fork
    }

    /// Puts the records back as they were.
    pub fn put_back(&self, fork: &Fork) {
        for (key, sender, recent_messages, unsaved) in &fork.senders {
            self.unsaved.remove(key);
            if let Some(unsaved) = unsaved {
                self.unsaved.with(key, || unsaved.clone(), |_| ());
            }
            self.senders.remove(key);
            self.recent_messages.remove(key);
            if let Some(sender) = sender {
                self.senders.with(key, || sender.clone(), |_| ());
            }
            if let Some(recent_messages) = recent_messages {
                self.recent_messages
                    .with(key, || recent_messages.clone(), |_| ());
            }
        }
        for (key, scores) in &fork.scores {
            self.scores.remove(key);
            if let Some(scores) = scores {
                self.scores.with(key, || scores.clone(), |_| ());
            }
        }
        for (key, reports) in &fork.reports {
            self.reports.remove(key);
            if let Some(reports) = reports {
                self.reports.with(key, || reports.clone(), |_| ());
            }
        }
        for (key, group) in &fork.groups {
            self.groups.remove(key);
            if let Some(group) = group {
                self.groups.with(key, || group.clone(), |_| ());
            }
        }
    }
}
