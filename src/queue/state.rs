//! The queue's state and its steps: `handle(now, input) → effects`. Pure; the task around it only
//! carries out the effects, in their order.

mod ending;
mod pump;
mod timing;

use super::destinations::{self, Destinations, FindRoute};
use super::entry::{
    DelayNotice, EntrySource, GroupState, NEVER, QueueEntry, QueueSender, RecipientGroup,
    RecipientGroups,
};
use super::progress::{MessageProgress, Stage};
use super::reports::{AGAIN, PendingReports, QueueReport};
use super::schedule;
use super::{QueueItem, QueueState};
use crate::config::Settings;
use crate::delivery::{AttemptResult, Destination};
use crate::types::{Block, Identity, MessageId, MessageMeta, RecipientOutcome, Time};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Most metas of untried messages kept in memory; beyond it, they are read back.
const FRESH_MAX: usize = 4096;
/// Most metas read at once for reports and re-sorting.
const LOADS_MAX: usize = 16;
/// The wait after a failed read.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// Pure functions of other rooms that the state calls.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub route: FindRoute,
    pub covers: fn(&Block, &Identity) -> bool,
}

/// One attempt to be made.
#[derive(Debug)]
pub(super) struct DeliveryJob {
    pub id: MessageId,
    /// Destination in the state's table.
    pub dest: u32,
    pub destination: Arc<Destination>,
    /// Meta, if it is still in memory.
    pub meta: Option<Arc<MessageMeta>>,
    record: Option<Box<[u8]>>,
    settings: Option<Arc<Settings>>,
    route: FindRoute,
}

impl DeliveryJob {
    /// The recipients this attempt is for.
    pub(super) fn recipients(&self, meta: &MessageMeta) -> Vec<u32> {
        let recipients = &meta.envelope.recipients;
        // The same key that sorted them: two routes may lead to one destination.
        let key = destinations::key(&self.destination);
        let here = |index: &u32| match (&self.settings, recipients.get(*index as usize)) {
            (_, None) => false,
            (None, Some(_)) => true, // There is only one destination.
            (Some(settings), Some(r)) => {
                destinations::key(&(self.route)(settings, r.address.domain())) == key
            }
        };
        match self.record.as_deref().and_then(MessageProgress::decode) {
            Some(progress) => progress
                .pending()
                .map(|(index, _)| index)
                .filter(here)
                .collect(),
            None => (0..u32::try_from(recipients.len()).unwrap_or(u32::MAX))
                .filter(here)
                .collect(),
        }
    }
}

#[derive(Debug)]
pub(super) enum QueueInput {
    /// The spool has a new message.
    Enqueue(Arc<MessageMeta>),
    Ended {
        /// Destination in the state's table.
        dest: u32,
        meta: Arc<MessageMeta>,
        recipients: Vec<u32>,
        /// The result of the attempt.
        result: AttemptResult,
    },
    /// A requested meta.
    Loaded(Arc<MessageMeta>),
    /// The spool could not be read, for an attempt (`dest`) or for a meta.
    Unread {
        id: MessageId,
        /// Destination of the attempt.
        dest: Option<u32>,
        /// It can never be read; otherwise the read is tried again.
        lost: bool,
    },
    /// A report was acknowledged, or it failed.
    Acked {
        token: u64,
        done: bool,
    },
    /// A report is postponed until that time.
    PutOff {
        token: u64,
        until: Time,
    },
    Reload(Arc<Settings>),
    Tick,
}

/// Effects that the task carries out in this order.
#[derive(Debug)]
pub(super) enum QueueEffect {
    /// Make an attempt, answer with [`QueueInput::Ended`] or [`QueueInput::Unread`].
    Attempt(Box<DeliveryJob>),
    /// Read a meta, answer with [`QueueInput::Loaded`] or [`QueueInput::Unread`].
    Load(MessageId),
    /// Write a progress record; `durable` = on disk before any caller gets its answer.
    Progress(MessageId, Bytes, bool),
    /// The message is done: mark it in the spool and send the event.
    Done(MessageId),
    /// The spool has lost the message.
    Lost(MessageId),
    /// Send the event with the outcomes of an attempt.
    Attempted(Arc<MessageMeta>, Vec<RecipientOutcome>, Option<Time>),
    /// Send a report, answer with [`QueueInput::Acked`].
    Report(u64, Arc<QueueReport>),
}

/// Numbers for the gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct QueueCounts {
    /// Due or being tried. A message for several destinations counts once for each busy one.
    pub active: usize,
    pub deferred: usize,
    pub held: usize,
}

/// Everything the queue knows.
pub(super) struct QueueMachine {
    pub(super) settings: Arc<Settings>,
    pub(super) rules: Rules,
    pub(super) messages: BTreeMap<MessageId, Box<QueueEntry>>,
    pub(super) held: BTreeSet<MessageId>,
    pub(super) dests: Destinations,
    timers: BTreeSet<(Time, MessageId)>,
    senders: HashSet<Arc<QueueSender>>,
    reports: PendingReports,
    /// Messages whose meta is needed.
    work: VecDeque<MessageId>,
    /// Messages whose meta could not be read, or whose report is postponed.
    later: BTreeSet<(Time, MessageId)>,
    /// Messages found at start with nothing left to do.
    ended: Vec<MessageId>,
    running: usize,
    loading: usize,
    fresh: usize,
    open: bool,
}

impl QueueMachine {
    pub(super) fn new(settings: Arc<Settings>, rules: Rules) -> Self {
        Self {
            settings,
            rules,
            messages: BTreeMap::new(),
            held: BTreeSet::new(),
            dests: Destinations::new(rules.route),
            timers: BTreeSet::new(),
            senders: HashSet::new(),
            reports: PendingReports::default(),
            work: VecDeque::new(),
            later: BTreeSet::new(),
            ended: Vec::new(),
            running: 0,
            loading: 0,
            fresh: 0,
            open: true,
        }
    }

    /// Takes in a message found in the spool at start.
    pub(super) fn recover(&mut self, now: Time, meta: &MessageMeta, record: Option<&[u8]>) {
        let count = meta.envelope.recipients.len();
        let decoded = record.map(MessageProgress::decode);
        if matches!(decoded, Some(None)) {
            tracing::error!(id = %meta.id, "the progress record cannot be read; the message starts anew");
        }
        let known = decoded.flatten().map(|mut progress| {
            progress.recover(count, now, schedule::longest_wait(&self.settings.delivery));
            progress
        });
        let fresh = || MessageProgress::fresh(meta.accepted_at.min(now), meta.hold.clone(), count);
        let is_known = known.is_some();
        let progress = known.unwrap_or_else(fresh);
        let owed = progress
            .recipients
            .iter()
            .any(|t| t.stage == Stage::Relaying);
        if !owed && progress.pending().next().is_none() {
            // At most a notice of delay is missing, and a message that has ended needs none.
            self.ended.push(meta.id);
            return;
        }
        let groups = self.sort(meta, &progress);
        let sender = QueueSender {
            from: meta.envelope.from.as_str().into(),
            identity: meta.identity.clone(),
        };
        let mut entry = QueueEntry {
            since: progress.since,
            source: EntrySource::Sender(intern(&mut self.senders, sender)),
            record: is_known.then(|| progress.encode().into_boxed_slice()),
            hold: progress.hold.clone(),
            groups,
            notice: if progress.notice_sent {
                DelayNotice::Sent
            } else {
                DelayNotice::None
            },
            final_action: progress.final_action,
            success_report_due: owed,
            ..QueueEntry::fresh(meta)
        };
        if entry.hold.is_some() {
            self.held.insert(meta.id);
        }
        self.resume(meta.id, &mut entry);
        self.messages.insert(meta.id, Box::new(entry));
    }

    /// Allows or stops new attempts (spool not healthy, draining, events not received).
    pub(super) const fn gate(&mut self, open: bool) {
        self.open = open;
    }

    pub(super) fn handle(&mut self, now: Time, input: QueueInput, out: &mut Vec<QueueEffect>) {
        match input {
            QueueInput::Enqueue(meta) => self.enqueue(meta),
            QueueInput::Ended {
                dest,
                meta,
                recipients,
                result,
            } => self.ended(now, dest, meta, &recipients, result, out),
            QueueInput::Loaded(meta) => {
                self.loading = self.loading.saturating_sub(1);
                self.loaded(now, &meta, out);
            }
            QueueInput::Unread { id, dest, lost } => self.unread(now, id, dest, lost, out),
            QueueInput::Acked { token, done: false } if self.reports.has_room() => {
                self.reports.refused(now, token)
            }
            QueueInput::Acked { token, done: false } => self.put_off(token, now.after(AGAIN), out),
            QueueInput::PutOff { token, until } => self.put_off(token, until, out),
            QueueInput::Acked { token, done: true } => self.acked(now, token, out),
            QueueInput::Reload(settings) => {
                let stale = self.settings.routes != settings.routes;
                self.settings = settings;
                self.dests.reload(stale);
            }
            QueueInput::Tick => self.tick(now, out),
        }
    }

    /// Whether no attempt, read or report is open.
    pub(super) fn is_idle(&self) -> bool {
        self.running == 0 && self.loading == 0 && self.reports.is_empty()
    }

    pub(super) fn counts(&self) -> QueueCounts {
        let held = self.held.len();
        let waiting = self.messages.len().saturating_sub(held);
        let active = self.dests.busy().min(waiting);
        QueueCounts {
            active,
            deferred: waiting - active,
            held,
        }
    }

    /// Up to `limit` messages after `after`.
    pub(super) fn list(
        &self,
        state: Option<QueueState>,
        after: Option<MessageId>,
        limit: usize,
    ) -> Vec<QueueItem> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = (after.map_or(Unbounded, Excluded), Unbounded);
        let backoff = |dest| self.dests.get(dest).and_then(|d| d.backoff_until);
        if state == Some(QueueState::Held) {
            let held = self
                .held
                .range(from)
                .filter_map(|id| Some((id, self.messages.get(id)?)));
            return held
                .take(limit)
                .map(|(id, entry)| entry.item(*id, backoff))
                .collect();
        }
        let fits = |entry: &QueueEntry| state.is_none_or(|s| entry.state(backoff) == s);
        let all = self.messages.range(from).filter(|(_, entry)| fits(entry));
        all.take(limit)
            .map(|(id, entry)| entry.item(*id, backoff))
            .collect()
    }

    /// One message with its progress.
    pub(super) fn show(&self, id: MessageId) -> Option<(QueueItem, MessageProgress)> {
        let entry = self.messages.get(&id)?;
        let backoff = |dest| self.dests.get(dest).and_then(|d| d.backoff_until);
        Some((entry.item(id, backoff), entry.progress()))
    }

    fn enqueue(&mut self, meta: Arc<MessageMeta>) {
        let id = meta.id;
        if self.messages.contains_key(&id) {
            return;
        }
        let mut entry = QueueEntry::fresh(&meta);
        let progress =
            MessageProgress::fresh(meta.accepted_at, None, meta.envelope.recipients.len());
        entry.groups = self.sort(&meta, &progress);
        entry.source = if self.fresh < FRESH_MAX && meta.hold.is_none() {
            self.fresh += 1;
            EntrySource::Fresh(meta)
        } else {
            let sender = QueueSender {
                from: meta.envelope.from.as_str().into(),
                identity: meta.identity.clone(),
            };
            EntrySource::Sender(intern(&mut self.senders, sender))
        };
        if entry.hold.is_some() {
            self.held.insert(id);
        }
        self.resume(id, &mut entry);
        self.messages.insert(id, Box::new(entry));
    }

    /// Parked groups for the recipients still to be tried, one per destination.
    fn sort(&mut self, meta: &MessageMeta, progress: &MessageProgress) -> RecipientGroups {
        let mut groups: Vec<RecipientGroup> = Vec::with_capacity(1);
        for (recipient, track) in meta.envelope.recipients.iter().zip(&progress.recipients) {
            if track.stage != Stage::Pending {
                continue;
            }
            let dest = self
                .dests
                .of(&self.settings, recipient.address.domain(), meta.pool);
            match groups.iter_mut().find(|l| l.dest == dest) {
                Some(group) => {
                    group.attempts = group.attempts.max(track.attempts);
                    group.next = group.next.min(track.next);
                }
                None => {
                    self.dests.join(dest);
                    groups.push(RecipientGroup {
                        dest,
                        attempts: track.attempts,
                        state: GroupState::Parked,
                        next: track.next,
                    });
                }
            }
        }
        groups.into()
    }

    /// Puts every parked group of an entry into its line or its timer.
    pub(super) fn resume(&mut self, id: MessageId, entry: &mut QueueEntry) {
        if entry.hold.is_none() && entry.final_action.is_none() {
            for group in entry
                .groups
                .all_mut()
                .iter_mut()
                .filter(|l| l.state == GroupState::Parked)
            {
                if group.next == Time(0) {
                    group.state = GroupState::Ready;
                    self.dests.ready(group.dest, id);
                } else {
                    group.state = GroupState::Waiting;
                }
            }
        }
        self.reschedule(id, entry);
    }

    /// Runs `change` on an entry that is out of the map meanwhile, then updates its timer.
    pub(super) fn with<T>(
        &mut self,
        id: MessageId,
        change: impl FnOnce(&mut Self, &mut QueueEntry) -> T,
    ) -> Option<T> {
        let mut entry = self.messages.remove(&id)?;
        let result = change(self, &mut entry);
        self.reschedule(id, &mut entry);
        self.messages.insert(id, entry);
        Some(result)
    }
}

impl QueueEntry {
    /// The entry of a newly accepted message, without groups.
    fn fresh(meta: &MessageMeta) -> Self {
        Self {
            accepted_at: meta.accepted_at,
            since: meta.accepted_at,
            timer: NEVER,
            source: EntrySource::Sender(Arc::new(QueueSender {
                from: Box::default(),
                identity: None,
            })),
            record: None,
            hold: meta.hold.clone(),
            groups: RecipientGroups::NONE,
            size: meta.size,
            recipients: u32::try_from(meta.envelope.recipients.len()).unwrap_or(u32::MAX),
            reports: 0,
            running: 0,
            pool: meta.pool,
            // A null sender gets no reports (RFC 5321 section 4.5.5).
            notice: if meta.envelope.from.is_null() {
                DelayNotice::Sent
            } else {
                DelayNotice::None
            },
            final_action: None,
            loading: false,
            queued: false,
            regroup: false,
            success_report_due: false,
        }
    }
}

fn intern(senders: &mut HashSet<Arc<QueueSender>>, sender: QueueSender) -> Arc<QueueSender> {
    if let Some(known) = senders.get(&sender) {
        return known.clone();
    }
    let sender = Arc::new(sender);
    senders.insert(sender.clone());
    sender
}
