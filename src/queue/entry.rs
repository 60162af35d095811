//! What the queue keeps in memory of one message. A million waiting messages must fit in little
//! memory: everything else that an attempt, a report or a listing needs is read from the spool.
//! Pure.

use super::progress::{FinalAction, MessageProgress, Stage, Track};
use super::{QueueItem, QueueState};
use crate::types::{HoldReason, Identity, MessageId, MessageMeta, Pool, Time};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Means "no timer".
pub(super) const NEVER: Time = Time(i64::MAX);

/// The state of the recipients of one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupState {
    /// In its destination's line.
    Ready,
    Running,
    Waiting,
    /// Not in a line: held, ended, or to be sorted again.
    Parked,
}

/// The recipients of one message that share a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecipientGroup {
    pub dest: u32,
    /// Attempts that ended without a final outcome.
    pub attempts: u16,
    pub state: GroupState,
    pub next: Time,
}

/// The groups of a message. Nearly always there is one, which then needs no allocation.
#[derive(Debug)]
pub(super) enum RecipientGroups {
    One(RecipientGroup),
    Many(Vec<RecipientGroup>),
}

impl RecipientGroups {
    /// No group: no recipient is left to be tried.
    pub(super) const NONE: Self = Self::Many(Vec::new());

    pub(super) fn all(&self) -> &[RecipientGroup] {
        match self {
            Self::One(group) => std::slice::from_ref(group),
            Self::Many(groups) => groups,
        }
    }

    pub(super) fn all_mut(&mut self) -> &mut [RecipientGroup] {
        match self {
            Self::One(group) => std::slice::from_mut(group),
            Self::Many(groups) => groups,
        }
    }

    /// The group of that destination.
    pub(super) fn of(&mut self, dest: u32) -> Option<&mut RecipientGroup> {
        self.all_mut().iter_mut().find(|l| l.dest == dest)
    }

    /// Removes the group of that destination.
    pub(super) fn remove(&mut self, dest: u32) {
        match self {
            Self::One(group) if group.dest == dest => *self = Self::NONE,
            Self::One(_) => {}
            Self::Many(groups) => groups.retain(|l| l.dest != dest),
        }
    }
}

impl From<Vec<RecipientGroup>> for RecipientGroups {
    fn from(groups: Vec<RecipientGroup>) -> Self {
        if let [group] = groups.as_slice() {
            Self::One(*group)
        } else {
            Self::Many(groups)
        }
    }
}

/// A sender, shared by all its waiting messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct QueueSender {
    /// Envelope sender, empty for `<>`.
    pub from: Box<str>,
    /// Identity; `None` = mail of the relay itself.
    pub identity: Option<Identity>,
}

impl Hash for QueueSender {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.from.hash(state);
        self.identity
            .as_ref()
            .map(|i| (&i.key, i.client))
            .hash(state);
    }
}

/// Who sent the message: the whole meta before the first attempt, afterwards only what bulk orders
/// and lists need.
#[derive(Debug, Clone)]
pub(super) enum EntrySource {
    Fresh(Arc<MessageMeta>),
    Sender(Arc<QueueSender>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DelayNotice {
    None,
    Wanted,
    /// The notice is sent, or its report is open.
    Sent,
}

#[derive(Debug)]
pub(super) struct QueueEntry {
    pub accepted_at: Time,
    /// Since when it is in delivery, or held.
    pub since: Time,
    /// Its time in the timers; [`NEVER`] = none.
    pub timer: Time,
    pub source: EntrySource,
    /// Newest progress record; `None` = nothing has happened yet.
    pub record: Option<Box<[u8]>>,
    /// Why it is held.
    pub hold: Option<HoldReason>,
    /// Recipients still to be tried.
    pub groups: RecipientGroups,
    pub size: u32,
    /// Recipients in the envelope.
    pub recipients: u32,
    /// Reports not acknowledged yet.
    pub reports: u16,
    pub running: u16,
    pub pool: Pool,
    pub notice: DelayNotice,
    /// It has ended, but is still in the queue.
    pub final_action: Option<FinalAction>,
    /// Its meta is being read.
    pub loading: bool,
    /// It waits for its meta to be read.
    pub queued: bool,
    /// Its recipients must be sorted again: their routes are gone, or a report on them is
    /// postponed.
    pub regroup: bool,
    /// A report of success must be opened again.
    pub success_report_due: bool,
}

impl QueueEntry {
    /// The identity it was judged under.
    pub(super) fn identity(&self) -> Option<&Identity> {
        match &self.source {
            EntrySource::Fresh(meta) => meta.identity.as_ref(),
            EntrySource::Sender(sender) => sender.identity.as_ref(),
        }
    }

    /// Envelope sender, empty for `<>`.
    pub(super) fn from(&self) -> &str {
        match &self.source {
            EntrySource::Fresh(meta) => meta.envelope.from.as_str(),
            EntrySource::Sender(sender) => &sender.from,
        }
    }

    /// Its progress. A record that cannot be read counts as none: mail may be sent twice, but is
    /// never lost.
    pub(super) fn progress(&self) -> MessageProgress {
        let read = self.record.as_deref().and_then(MessageProgress::decode);
        read.unwrap_or_else(|| {
            MessageProgress::fresh(self.since, self.hold.clone(), self.recipients as usize)
        })
    }

    /// Copies hold, start and end into `progress` and keeps its bytes; returns them for the spool.
    pub(super) fn keep(&mut self, mut progress: MessageProgress) -> bytes::Bytes {
        progress.hold.clone_from(&self.hold);
        (progress.since, progress.final_action) = (self.since, self.final_action);
        let record = progress.encode();
        let bytes = bytes::Bytes::copy_from_slice(&record);
        self.record = Some(record.into_boxed_slice());
        bytes
    }

    /// Whether the next step needs its meta.
    pub(super) fn needs_meta(&self) -> bool {
        let left = !self.groups.all().is_empty();
        self.success_report_due
            || self.running == 0 && (self.regroup || left && self.final_action.is_some())
            || left
                && self.notice == DelayNotice::Wanted
                && self.hold.is_none()
                && self.final_action.is_none()
    }

    /// Takes all groups out of their lines, except those with a running attempt.
    pub(super) fn park(&mut self) {
        for group in self
            .groups
            .all_mut()
            .iter_mut()
            .filter(|l| l.state != GroupState::Running)
        {
            group.state = GroupState::Parked;
        }
    }

    /// The message as lists show it; `backoff` returns when the backoff of a destination ends.
    pub(super) fn item(&self, id: MessageId, backoff: impl Fn(u32) -> Option<Time>) -> QueueItem {
        let planned = |l: &RecipientGroup| match l.state {
            GroupState::Waiting => Some(l.next),
            GroupState::Ready => backoff(l.dest),
            GroupState::Running | GroupState::Parked => None,
        };
        let next = self
            .groups
            .all()
            .iter()
            .filter_map(planned)
            .min()
            .filter(|_| self.hold.is_none());
        QueueItem {
            id,
            from: self.from().to_owned(),
            tenant: self.identity().map(|i| i.tenant.clone()),
            state: self.state(backoff),
            hold: self.hold.clone(),
            accepted_at: self.accepted_at.rfc3339(),
            next_attempt: next.map(Time::rfc3339),
            size: self.size,
            attempts: self
                .groups
                .all()
                .iter()
                .map(|l| u32::from(l.attempts))
                .max()
                .unwrap_or(0),
            pool: self.pool,
            recipients: Vec::new(),
        }
    }

    pub(super) fn state(&self, backoff: impl Fn(u32) -> Option<Time>) -> QueueState {
        let active = |l: &RecipientGroup| match l.state {
            GroupState::Running | GroupState::Parked => true,
            GroupState::Ready => backoff(l.dest).is_none(),
            GroupState::Waiting => false,
        };
        if self.hold.is_some() {
            QueueState::Held
        } else if self.groups.all().is_empty() || self.groups.all().iter().any(active) {
            QueueState::Active
        } else {
            QueueState::Deferred
        }
    }
}

/// Gives each track that `pick` names the stage `to`.
pub(super) fn mark(
    progress: &mut MessageProgress,
    recipients: impl Iterator<Item = u32>,
    to: Stage,
) {
    for index in recipients {
        if let Some(track) = progress.recipients.get_mut(index as usize) {
            *track = Track {
                stage: to,
                attempts: 0,
                next: Time(0),
                last: None,
            };
        }
    }
}
