//! What ends: attempts, reports, messages. Pure.

use super::{QueueEffect, QueueMachine, READ_AGAIN, intern};
use crate::delivery::{Reach, Tried};
use crate::queue::entry::{
    DelayNotice, EntrySource, LegState, NEVER, QueueEntry, QueueSender, RecipientGroup,
    RecipientGroups, mark,
};
use crate::queue::progress::{FinalAction, Last, MessageProgress, Stage};
use crate::queue::reports::{QueueReport, QueueReportKind};
use crate::queue::{FailedRecipient, FailureCause, schedule, settle};
use crate::types::replies;
use crate::types::{MessageId, MessageMeta, RecipientOutcome, RecipientStatus, Reply, Time};
use std::sync::Arc;

impl QueueMachine {
    pub(super) fn ended(
        &mut self,
        now: Time,
        dest: u32,
        meta: Arc<MessageMeta>,
        recipients: &[u32],
        tried: Tried,
        out: &mut Vec<QueueEffect>,
    ) {
        let Tried { outcomes, reach } = tried;
        self.running = self.running.saturating_sub(1);
        let nobody = !outcomes.is_empty()
            && outcomes
                .iter()
                .all(|o| o.status == RecipientStatus::Pending);
        if reach == Reach::Door && nobody && self.dests.step_back(dest) {
            return self.step_back(meta.id, dest);
        }
        let last = outcomes
            .iter()
            .find(|o| o.status == RecipientStatus::Pending)
            .map(|o| Last::new(&o.reply, &o.remote));
        let signal = (!recipients.is_empty()).then(|| {
            (
                schedule::signal(&outcomes, reach == Reach::Transaction),
                last,
            )
        });
        self.dests.ended(now, dest, &self.settings, signal);
        let id = meta.id;
        let Some(mut entry) = self.messages.remove(&id) else {
            return;
        };
        entry.running = entry.running.saturating_sub(1);
        let plain = entry.record.is_none() && entry.legs.all().len() == 1 && entry.reports == 0;
        let through = |o: &RecipientOutcome| {
            o.status == RecipientStatus::Delivered && !settle::wants_success(&meta, o)
        };
        if plain && outcomes.len() == meta.envelope.recipients.len() && outcomes.iter().all(through)
        {
            out.push(QueueEffect::Attempted(meta, outcomes, None));
            self.finish(id, *entry, out);
            return;
        }
        let mut progress = entry.progress();
        let settled = settle::settle(
            now,
            &self.settings.delivery,
            &meta,
            &mut progress,
            recipients,
            &outcomes,
        );
        match settled.left {
            None => {
                entry.legs.remove(dest);
                self.dests.leave(dest);
            }
            Some((attempts, next)) => {
                if let Some(leg) = entry.legs.of(dest) {
                    *leg = RecipientGroup {
                        dest,
                        attempts,
                        state: LegState::Parked,
                        next,
                    };
                }
            }
        }
        let next = settled
            .left
            .map(|(_, next)| next)
            .filter(|_| entry.hold.is_none());
        out.push(QueueEffect::Attempted(meta.clone(), outcomes, next));
        let refused = QueueReportKind::Failed(FailureCause::Refused, entry.hold.clone());
        let relayed = QueueReport {
            meta: meta.clone(),
            kind: QueueReportKind::Relayed,
            recipients: settled.relayed,
        };
        let failed = QueueReport {
            meta: meta.clone(),
            kind: refused,
            recipients: settled.failed,
        };
        let mut told: Vec<_> = [relayed, failed]
            .into_iter()
            .filter_map(|r| self.reports.open(&mut entry, r))
            .collect();
        if entry.hold.is_none()
            && entry.fate.is_none()
            && now >= schedule::expires(&self.settings.delivery, entry.since)
        {
            entry.fate = Some(FinalAction::Return(FailureCause::Expired));
        }
        self.slim(&mut entry);
        self.conclude(now, &meta, &mut entry, &mut progress, &mut told);
        self.settle_down(now, id, *entry, progress, told, out);
    }

    /// The host takes no more connections at once than are open. The message has not been tried: it
    /// goes back to its line, and nothing is counted or told.
    fn step_back(&mut self, id: MessageId, dest: u32) {
        let Some(mut entry) = self.messages.remove(&id) else {
            return;
        };
        entry.running = entry.running.saturating_sub(1);
        if let Some(leg) = entry.legs.of(dest) {
            (leg.state, leg.next) = (LegState::Parked, Time(0));
        }
        self.resume(id, &mut entry);
        self.messages.insert(id, entry);
    }

    /// A meta that was needed is here.
    pub(super) fn loaded(
        &mut self,
        now: Time,
        meta: &Arc<MessageMeta>,
        out: &mut Vec<QueueEffect>,
    ) {
        let Some(mut entry) = self.messages.remove(&meta.id) else {
            return;
        };
        entry.loading = false;
        let mut progress = entry.progress();
        let mut told = Vec::new();
        self.conclude(now, meta, &mut entry, &mut progress, &mut told);
        self.settle_down(now, meta.id, *entry, progress, told, out);
    }

    /// Does what waited for the meta: sort anew, notice of delay, the end.
    fn conclude(
        &mut self,
        now: Time,
        meta: &Arc<MessageMeta>,
        entry: &mut QueueEntry,
        progress: &mut MessageProgress,
        told: &mut Vec<(u64, Arc<QueueReport>)>,
    ) {
        if entry.regroup && entry.running == 0 {
            entry.regroup = false;
            self.leave_all(entry);
            entry.legs = self.sort(meta, progress);
        }
        if std::mem::take(&mut entry.owed) {
            let under_way = |r: &FailedRecipient| {
                told.iter()
                    .any(|(_, t)| t.recipients.iter().any(|o| o.recipient == r.recipient))
            };
            let recipients: Vec<_> = progress
                .relaying()
                .into_iter()
                .filter(|r| !under_way(r))
                .collect();
            told.extend(self.reports.open(
                entry,
                QueueReport {
                    meta: meta.clone(),
                    kind: QueueReportKind::Relayed,
                    recipients,
                },
            ));
        }
        let delivery = &self.settings.delivery;
        let late = schedule::notice(delivery, entry.since).is_some_and(|due| now >= due);
        let common = match entry.legs.all() {
            [leg] => self.dests.get(leg.dest).and_then(|d| d.last.clone()),
            _ => None,
        };
        if late
            && entry.notice != DelayNotice::Sent
            && entry.hold.is_none()
            && entry.fate.is_none()
            && !self.reports.has_room()
        {
            entry.notice = DelayNotice::Wanted;
        } else if late
            && entry.notice != DelayNotice::Sent
            && entry.hold.is_none()
            && entry.fate.is_none()
        {
            // RFC 3463 X.4.7: delivery time expired; used here for "not yet".
            let otherwise = replies::NOT_DELIVERED_YET.into();
            let recipients = settle::pending_report(progress, common.as_deref(), &otherwise);
            let kind = QueueReportKind::Delayed(schedule::expires(delivery, entry.since));
            told.extend(self.reports.open(
                entry,
                QueueReport {
                    meta: meta.clone(),
                    kind,
                    recipients,
                },
            ));
            entry.notice = DelayNotice::Sent;
        } else if entry.notice == DelayNotice::Wanted {
            entry.notice = DelayNotice::None;
        }
        let Some(fate) = entry.fate.filter(|_| entry.running == 0) else {
            return;
        };
        let mut recipients = settle::pending_report(progress, common.as_deref(), &last_word(fate));
        if fate == FinalAction::Return(FailureCause::HeldReturned) {
            // Whatever a remote once said: it is we who did not let it go.
            for told in &mut recipients {
                (told.reply, told.remote) = (last_word(fate), String::new());
            }
        }
        let stage = if matches!(fate, FinalAction::Return(_)) {
            Stage::Reporting
        } else {
            Stage::Failed
        };
        mark(progress, recipients.iter().map(|r| r.recipient), stage);
        self.leave_all(entry);
        if let FinalAction::Return(cause) = fate {
            let kind = QueueReportKind::Failed(cause, entry.hold.clone());
            told.extend(self.reports.open(
                entry,
                QueueReport {
                    meta: meta.clone(),
                    kind,
                    recipients,
                },
            ));
        }
    }

    fn leave_all(&mut self, entry: &mut QueueEntry) {
        for leg in entry.legs.all() {
            self.dests.leave(leg.dest);
        }
        entry.legs = RecipientGroups::NONE;
    }

    /// Records an entry after a step, or ends it; reports go out after the record that says they
    /// are under way.
    fn settle_down(
        &mut self,
        now: Time,
        id: MessageId,
        mut entry: QueueEntry,
        mut progress: MessageProgress,
        told: Vec<(u64, Arc<QueueReport>)>,
        out: &mut Vec<QueueEffect>,
    ) {
        if entry.legs.all().is_empty() && entry.reports == 0 && !entry.owed {
            if progress.pending().next().is_none() {
                self.finish(id, entry, out);
                return;
            }
            if !entry.regroup {
                // Never, unless we have miscounted; but then the mail is not lost for it.
                tracing::error!(%id, "recipients were left over; they are tried again");
                progress.put_off(now.after(READ_AGAIN));
                entry.regroup = true;
            }
        }
        out.push(QueueEffect::Progress(id, entry.keep(progress), false));
        out.extend(
            told.into_iter()
                .map(|(token, report)| QueueEffect::Report(token, report)),
        );
        self.resume(id, &mut entry);
        self.messages.insert(id, Box::new(entry));
    }

    pub(super) fn acked(&mut self, now: Time, token: u64, out: &mut Vec<QueueEffect>) {
        let Some(report) = self.reports.close(token) else {
            return;
        };
        let id = report.meta.id;
        let Some(mut entry) = self.messages.remove(&id) else {
            return;
        };
        entry.reports = entry.reports.saturating_sub(1);
        let mut progress = entry.progress();
        match report.kind {
            QueueReportKind::Failed(..) => mark(
                &mut progress,
                report.recipients.iter().map(|r| r.recipient),
                Stage::Failed,
            ),
            QueueReportKind::Delayed(_) => progress.notice_sent = true,
            QueueReportKind::Relayed => mark(
                &mut progress,
                report.recipients.iter().map(|r| r.recipient),
                Stage::Delivered,
            ),
        }
        self.settle_down(now, id, *entry, progress, Vec::new(), out);
    }

    /// A report is given up for now. What it says stays open, in little memory: it is found anew at
    /// `until`. The record on disk need not change, as it means the same after a crash.
    pub(super) fn put_off(&mut self, token: u64, until: Time, out: &mut Vec<QueueEffect>) {
        let Some(report) = self.reports.close(token) else {
            return;
        };
        let id = report.meta.id;
        let Some(mut entry) = self.messages.remove(&id) else {
            return;
        };
        entry.reports = entry.reports.saturating_sub(1);
        match report.kind {
            QueueReportKind::Failed(..) => {
                let mut progress = entry.progress();
                progress.put_back(&report.recipients, until);
                entry.keep(progress);
                entry.regroup = true;
            }
            QueueReportKind::Delayed(_) => entry.notice = DelayNotice::Wanted,
            QueueReportKind::Relayed => entry.owed = true,
        }
        if entry.legs.all().is_empty() && entry.reports == 0 && !entry.regroup && !entry.owed {
            // A notice of delay, but nothing is delayed any more.
            return self.finish(id, *entry, out);
        }
        // Nothing asks for its meta before.
        self.later.insert((until, id));
        self.messages.insert(id, entry);
    }

    pub(super) fn unread(
        &mut self,
        now: Time,
        id: MessageId,
        dest: Option<u32>,
        lost: bool,
        out: &mut Vec<QueueEffect>,
    ) {
        if let Some(dest) = dest {
            self.running = self.running.saturating_sub(1);
            self.dests.ended(now, dest, &self.settings, None);
        } else {
            self.loading = self.loading.saturating_sub(1);
        }
        let Some(mut entry) = self.messages.remove(&id) else {
            return;
        };
        if lost {
            out.push(QueueEffect::Lost(id));
            self.forget(id, *entry);
            return;
        }
        let again = now.after(READ_AGAIN);
        if let Some(dest) = dest {
            entry.running = entry.running.saturating_sub(1);
            if let Some(leg) = entry.legs.of(dest) {
                (leg.state, leg.next) = (LegState::Parked, again);
            }
            self.resume(id, &mut entry);
        } else {
            entry.loading = false;
            self.later.insert((again, id));
        }
        self.messages.insert(id, entry);
    }

    pub(in crate::queue) fn finish(
        &mut self,
        id: MessageId,
        entry: QueueEntry,
        out: &mut Vec<QueueEffect>,
    ) {
        out.push(QueueEffect::Done(id));
        self.forget(id, entry);
    }

    fn forget(&mut self, id: MessageId, mut entry: QueueEntry) {
        if entry.timer != NEVER {
            self.timers.remove(&(entry.timer, id));
        }
        if entry.hold.is_some() {
            self.held.remove(&id);
        }
        self.leave_all(&mut entry);
        match entry.source {
            EntrySource::Fresh(_) => self.fresh = self.fresh.saturating_sub(1),
            // Two left: the set's own and this one.
            EntrySource::Sender(sender) if Arc::strong_count(&sender) == 2 => {
                self.senders.remove(&sender);
            }
            EntrySource::Sender(_) => {}
        }
    }

    /// A message that waits does so without its meta.
    pub(in crate::queue) fn slim(&mut self, entry: &mut QueueEntry) {
        if let EntrySource::Fresh(meta) = &entry.source {
            self.fresh = self.fresh.saturating_sub(1);
            let sender = QueueSender {
                from: meta.envelope.from.as_str().into(),
                identity: meta.identity.clone(),
            };
            entry.source = EntrySource::Sender(intern(&mut self.senders, sender));
        }
    }
}

/// What is told of a recipient about whom nobody ever answered.
fn last_word(fate: FinalAction) -> Reply {
    match fate {
        FinalAction::Return(FailureCause::Expired) => replies::EXPIRED.into(),
        FinalAction::Return(FailureCause::HeldReturned) => replies::HELD_NOT_RELEASED.into(),
        _ => replies::RETURNED_BY_ADMIN.into(),
    }
}
