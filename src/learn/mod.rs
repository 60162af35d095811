//! What the relay learns from its own mail: one delta per tenant and one for the whole node, kept
//! on disk.
//!
//! While a tenant's own delta has little influence, the node's delta adds to its scores. Files lie
//! in `learned/` below `data_dir`, one per tenant. Memory holds the tenants used last; the others
//! are read again when they send.

mod labels;
mod recent;
mod store;
#[cfg(test)]
mod tests;

use crate::score::adapt::{self, Delta, Label, LearnOutcome, SenderShares};
use crate::score::features::Extractor;
use crate::score::{ReturnPath, Score, Scorer};
use crate::telemetry::metrics as names;
use crate::types::{Identity, MessageId, Strength, TenantId, Time, stable_hash};
pub(crate) use labels::Labels;
use recent::RecentLessons;
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use store::{LearnStore, LearnedEntry};

/// Name of the node's own delta; no tenant has an empty name.
const NODE: &str = "";

thread_local! {
    /// Buffers of the thread, so that scoring allocates next to nothing.
    static EXTRACTOR: RefCell<Extractor> = RefCell::new(Extractor::default());
}

/// What is needed to learn a scored message.
pub(crate) type SharedLesson = Arc<adapt::Lesson>;

/// Scores messages with what was learned, and learns. One for the whole relay.
pub(crate) struct Learner {
    scorer: Scorer,
    store: LearnStore,
    recent: Mutex<RecentLessons>,
    /// What tenants teach is learned for the whole node, too.
    shares: bool,
}

/// This message can no longer be labelled: its features are no longer kept, and it is no longer in
/// the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing is known of this message any more")]
pub(crate) struct Forgotten;

impl Learner {
    /// Keeps its files in `folder`, which is created at the first write.
    pub(crate) fn new(scorer: Scorer, folder: PathBuf) -> Self {
        Self {
            scorer,
            store: LearnStore::new(Some(folder)),
            recent: Mutex::default(),
            shares: true,
        }
    }

    /// Touches no disk: for a replay of events.
    pub(crate) fn in_memory(scorer: Scorer) -> Self {
        Self {
            scorer,
            store: LearnStore::new(None),
            recent: Mutex::default(),
            shares: true,
        }
    }

    /// The same with strictly separate tenants: nothing is learned for the node.
    pub(crate) fn apart(scorer: Scorer) -> Self {
        Self {
            shares: false,
            ..Self::in_memory(scorer)
        }
    }

    /// Scores a message of a tenant by the shipped model and what was learned.
    pub(crate) fn score(&self, tenant: &TenantId, message: &[u8]) -> (Score, SharedLesson) {
        self.score_of(tenant, message, ReturnPath::Unknown)
    }

    /// The same with what is known of its envelope sender.
    pub(crate) fn score_of(
        &self,
        tenant: &TenantId,
        message: &[u8],
        path: ReturnPath,
    ) -> (Score, SharedLesson) {
        let (own, node) = (self.store.get(tenant.as_str()), self.store.get(NODE));
        extracted(message, path, |extractor| {
            let own = own.read();
            let node = node.read();
            let (score, lesson) = self.scorer.judge_among(extractor, &own.delta, &node.delta);
            (score, Arc::new(lesson))
        })
    }

    /// Keeps the features of a message for a while, so that it can be labelled by its id.
    pub(crate) fn remember(&self, id: MessageId, tenant: &TenantId, lesson: &SharedLesson) {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(id, tenant, lesson);
    }

    /// The same from the message itself.
    fn keep(&self, id: MessageId, tenant: &TenantId, body: &[u8]) {
        self.remember(id, tenant, &self.lesson(body));
    }

    /// What is needed to learn a message that is not scored now.
    fn lesson(&self, body: &[u8]) -> SharedLesson {
        let nothing = Delta::default();
        extracted(body, ReturnPath::Unknown, |extractor| {
            Arc::new(self.scorer.judge_among(extractor, &nothing, &nothing).1)
        })
    }

    /// Learns an unlabelled message that went out, of a sender in good standing. A message that
    /// scores as spam is not learned. Each sender teaches its tenant, and each tenant the node, at
    /// most a bounded share.
    pub(crate) fn assume(&self, now: Time, tenant: &TenantId, sender: u64, lesson: &SharedLesson) {
        self.assume_of(now, tenant, Some(sender), lesson);
    }

    /// The same for any sender; only the score decides.
    pub(crate) fn assume_of_anybody(&self, now: Time, tenant: &TenantId, lesson: &SharedLesson) {
        self.assume_of(now, tenant, None, lesson);
    }

    fn assume_of(&self, now: Time, tenant: &TenantId, sender: Option<u64>, lesson: &SharedLesson) {
        let learned = self.teach(now, tenant.as_str(), sender, lesson, Label::Unlabelled);
        if self.shares && learned == Some(LearnOutcome::Assumed) {
            self.teach(
                now,
                NODE,
                Some(crate::types::hash::hash_text(tenant.as_str())),
                lesson,
                Label::Unlabelled,
            );
        }
        metrics::counter!(names::LEARNED_TOTAL, "as" => learned.map_or("refused_by_share", LearnOutcome::as_str)).increment(1);
    }

    /// Learns a label at once, no matter who sent the message. `body` is the message if the spool
    /// still has it; its features are kept for a while after that.
    pub(crate) fn label(
        &self,
        now: Time,
        id: MessageId,
        tenant: &TenantId,
        spam: bool,
        body: Option<&[u8]>,
    ) -> Result<(), Forgotten> {
        let kept = self
            .recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id, tenant);
        let lesson = match (kept, body) {
            (Some(lesson), _) => lesson,
            (None, Some(body)) => self.lesson(body),
            (None, None) => return Err(Forgotten),
        };
        self.tell(now, tenant, &lesson, spam);
        Ok(())
    }

    /// Learns the label of a message whose features the caller has.
    pub(crate) fn tell(&self, now: Time, tenant: &TenantId, lesson: &SharedLesson, spam: bool) {
        let label = if spam { Label::Spam } else { Label::Ham };
        self.teach(now, tenant.as_str(), None, lesson, label);
        if self.shares {
            self.teach(now, NODE, None, lesson, label);
        }
        metrics::counter!(names::LEARNED_TOTAL, "as" => if spam { "label_spam" } else { "label_ham" }).increment(1);
    }

    /// `None`: this sender has taught its share already.
    fn teach(
        &self,
        now: Time,
        name: &str,
        sender: Option<u64>,
        lesson: &adapt::Lesson,
        label: Label,
    ) -> Option<LearnOutcome> {
        let slot = self.store.get(name);
        let mut entry = slot.write();
        let LearnedEntry {
            delta,
            share,
            day,
            changed,
        } = &mut *entry;
        age(delta, share, day, now);
        if sender.is_some_and(|s| !share.allows(s)) {
            return None;
        }
        let learned = delta.learn(self.scorer.model(), lesson, label);
        if let (Some(sender), LearnOutcome::Assumed) = (sender, learned) {
            share.note(sender);
        }
        *changed = true;
        drop(entry);
        Some(learned)
    }

    /// Writes what has changed. Problems are logged and tried again at the next call.
    pub(crate) fn save(&self) {
        self.store.save();
        let (mut worst, mut fullest) = (0.0_f64, 0.0_f64);
        self.store.each(|entry| {
            worst = worst.max(entry.delta.disagreement());
            fullest = fullest.max(entry.delta.cap_nearness());
        });
        metrics::gauge!(names::LEARNED_DISAGREEMENT).set(worst);
        metrics::gauge!(names::LEARNED_STRAIN).set(fullest);
        metrics::gauge!(names::LEARNED_TENANTS).set(self.store.len() as f64);
    }
}

/// The key of the one whose share of teaching is bounded. All merely claimed senders of a client
/// count as one, because anybody can invent them.
pub(crate) fn teacher(identity: &Identity) -> u64 {
    match identity.strength {
        Strength::Authenticated | Strength::Asserted => {
            stable_hash(&[identity.key.as_str().as_bytes()])
        }
        Strength::Claimed | Strength::None => {
            stable_hash(&[identity.client.to_string().as_bytes()])
        }
    }
}

/// Runs `read` on the features of a message, with the buffers of the thread.
fn extracted<T>(message: &[u8], path: ReturnPath, read: impl FnOnce(&mut Extractor) -> T) -> T {
    EXTRACTOR.with(|cell| {
        let mut extractor = cell.borrow_mut();
        extractor.extract_of(message, path, "");
        read(&mut extractor)
    })
}

/// Lets the past fade once a day; a clock that steps back changes nothing.
fn age(delta: &mut Delta, share: &mut SenderShares, day: &mut i64, now: Time) {
    let today = now.as_secs().div_euclid(86_400);
    let passed = today.saturating_sub(*day);
    if *day != 0 && passed > 0 {
        delta.fade(u32::try_from(passed).unwrap_or(u32::MAX));
        share.halve();
    }
    *day = (*day).max(today);
}
