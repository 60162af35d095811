//! Saves and restores records, so that a simulation can run many stories with the same beginning.

use super::group::{self, Group};
use super::recent_messages::RecentMessages;
use super::reports::SenderReports;
use super::scores::Scores;
use super::sender::Sender;
use super::unsaved::UnsavedRecord;
use crate::collections::table::{Evict, Table};
use crate::detector::Detector;
use crate::types::hash::hash_text;
use crate::types::{Identity, SenderKey};
use std::hash::Hash;

/// Entries of a table before the change; `None` = there was none.
type KeptEntries<K, V> = Vec<(K, Option<V>)>;

/// The saved records of some senders and of their tenant, domains and clients, with the texts that
/// they were flagged with.
pub(crate) struct Fork {
    senders: KeptEntries<SenderKey, Sender>,
    recent_messages: KeptEntries<SenderKey, RecentMessages>,
    unsaved: KeptEntries<SenderKey, UnsavedRecord>,
    reports: KeptEntries<u64, SenderReports>,
    groups: KeptEntries<u64, Group>,
    scores: KeptEntries<u64, Scores>,
}

/// Copies an entry, once.
fn keep<K: Hash + Eq + Clone, V: Evict + Clone>(
    kept: &mut KeptEntries<K, V>,
    table: &Table<K, V>,
    key: &K,
) {
    if kept.iter().all(|(other, _)| other != key) {
        kept.push((key.clone(), table.read(key, V::clone)));
    }
}

fn put_back<K: Hash + Eq + Clone, V: Evict + Clone>(kept: &KeptEntries<K, V>, table: &Table<K, V>) {
    for (key, value) in kept {
        match value {
            Some(value) => table.replace(key, value.clone()),
            None => table.remove(key),
        }
    }
}

impl Detector {
    /// Saves what is known of these senders and their groups.
    pub(crate) fn fork<'a>(&self, identities: impl Iterator<Item = &'a Identity>) -> Fork {
        let mut fork = Fork {
            senders: Vec::new(),
            recent_messages: Vec::new(),
            unsaved: Vec::new(),
            reports: Vec::new(),
            groups: Vec::new(),
            scores: Vec::new(),
        };
        for who in identities {
            keep(&mut fork.senders, &self.senders, &who.key);
            keep(&mut fork.recent_messages, &self.recent_messages, &who.key);
            keep(&mut fork.unsaved, &self.unsaved, &who.key);
            let hash = hash_text(who.key.as_str());
            keep(&mut fork.reports, &self.reports, &hash);
            let tenant = group::tenant_key(&who.tenant);
            keep(&mut fork.scores, &self.scores, &tenant);
            let domain = who.domain.as_ref();
            let keys = [
                Some(tenant),
                Some(group::templates_key(&who.tenant)),
                Some(group::client_key(&who.tenant, who.client)),
                domain.map(|d| group::domain_key(&who.tenant, d)),
            ];
            for key in keys.into_iter().flatten() {
                keep(&mut fork.groups, &self.groups, &key);
            }
        }
        fork
    }

    /// Restores the records.
    pub(crate) fn put_back(&self, fork: &Fork) {
        put_back(&fork.senders, &self.senders);
        put_back(&fork.recent_messages, &self.recent_messages);
        put_back(&fork.unsaved, &self.unsaved);
        put_back(&fork.reports, &self.reports);
        put_back(&fork.groups, &self.groups);
        put_back(&fork.scores, &self.scores);
    }
}
