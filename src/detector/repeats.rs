//! What has been counted of a message before: a retry of a message that was not accepted says
//! nothing new.

use super::Detector;
use super::count;
use crate::detector::state::group;
use crate::detector::state::seen::Counted;
use crate::types::Counts;
use crate::types::MessageFacts;
use crate::types::hash::{hash_text, mix};

/// What has been counted of a message before.
pub(super) struct EarlierCounts {
    /// Key of sender and fingerprint.
    message: u64,
    pub(super) content: Counted,
    /// Per recipient, in order.
    pub(super) recipients: Vec<Counted>,
}

impl EarlierCounts {
    /// The message was accepted before and is sent again. A retry of a message that was not
    /// accepted is no repeat.
    pub(super) fn is_repeat(&self) -> bool {
        self.content == Counted::Fully
    }

    /// It counts as a message: it is new, or it was accepted before and is sent again.
    pub(super) fn counts(&self) -> bool {
        self.content != Counted::Evidence
    }

    /// External recipients who have not had it.
    pub(super) fn outside(&self, facts: &MessageFacts<'_>) -> u32 {
        count(
            facts
                .recipients
                .iter()
                .zip(&self.recipients)
                .filter(|(r, counted)| !r.internal && **counted == Counted::Not),
        )
    }

    /// Whether a recipient that was counted so far adds to the counters.
    pub(super) fn adds(&self, counted: Counted) -> bool {
        counted != Counted::Fully || self.is_repeat()
    }

    /// Whether such a recipient adds evidence.
    pub(super) fn tells(&self, counted: Counted) -> bool {
        counted == Counted::Not || (counted == Counted::Fully && self.is_repeat())
    }
}

impl Detector {
    /// What has been counted of this message so far; it is marked as met.
    pub(super) fn before(&self, facts: &MessageFacts<'_>) -> EarlierCounts {
        let message = mix(hash_text(facts.identity.key.as_str()), facts.fingerprint);
        let recipients = facts
            .recipients
            .iter()
            .map(|r| self.seen.mark(mix(message, r.hash)))
            .collect();
        EarlierCounts {
            message,
            content: self.seen.mark(message),
            recipients,
        }
    }

    /// Forgets what was counted of a deferred message.
    pub(super) fn forget(&self, before: &EarlierCounts, facts: &MessageFacts<'_>) {
        if before.content == Counted::Not {
            self.seen.set(before.message, Counted::Not);
        }
        for (r, counted) in facts.recipients.iter().zip(&before.recipients) {
            if *counted == Counted::Not {
                self.seen.set(mix(before.message, r.hash), Counted::Not);
            }
        }
    }

    /// Marks a message that goes as fully counted.
    pub(super) fn mark(&self, before: &EarlierCounts, facts: &MessageFacts<'_>, goes: bool) {
        if !goes {
            return;
        }
        if !before.is_repeat() {
            self.seen.set(before.message, Counted::Fully);
        }
        for (r, counted) in facts.recipients.iter().zip(&before.recipients) {
            if *counted == Counted::Fully {
                self.ignore_outcome(facts.id, r.hash);
            } else {
                self.seen.set(mix(before.message, r.hash), Counted::Fully);
            }
        }
    }

    /// The spool could not take a message that was to go: its recipients are taken back. Its
    /// evidence stays and counts once; when the message is sent again, only the recipients are
    /// counted again.
    pub fn undo(&self, facts: &MessageFacts<'_>) {
        self.take_back(facts);
    }

    pub(super) fn take_back(&self, facts: &MessageFacts<'_>) {
        let identity = facts.identity;
        let message = mix(hash_text(identity.key.as_str()), facts.fingerprint);
        let mut counts = Counts::default();
        if self.seen.mark(message) == Counted::Fully {
            self.seen.set(message, Counted::Evidence);
        }
        for r in facts.recipients {
            let key = mix(message, r.hash);
            if self.seen.mark(key) == Counted::Fully {
                self.seen.set(key, Counted::Evidence);
                *(if r.internal {
                    &mut counts.internal
                } else {
                    &mut counts.external
                }) += 1;
            }
        }
        self.senders
            .get(&identity.key, |s| s.windows.take_back(counts));
        self.groups.get(&group::tenant_key(&identity.tenant), |g| {
            g.windows.take_back(counts)
        });
        self.groups
            .get(&group::client_key(&identity.tenant, identity.client), |g| {
                g.windows.take_back(counts)
            });
        if let Some(domain) = &identity.domain {
            self.groups
                .get(&group::domain_key(&identity.tenant, domain), |g| {
                    g.windows.take_back(counts)
                });
        }
    }
}
