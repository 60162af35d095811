//! The ends of attempts, reports and messages. Pure.

use super::{QueueEffect, QueueMachine, READ_AGAIN, intern};
use crate::delivery::{AttemptResult, Reached};
use crate::queue::entry::{
    DelayNotice, EntrySource, GroupState, NEVER, QueueEntry, QueueSender, RecipientGroup,
    RecipientGroups, mark,
};
use crate::queue::progress::{FinalAction, Last, MessageProgress, Stage};
use crate::queue::reports::{QueueReport, QueueReportKind};
use crate::queue::{FailedRecipient, FailureCause, schedule, settle};
use crate::types::replies;
use crate::types::{MessageId, MessageMeta, RecipientOutcome, RecipientStatus, Reply, Time};
use std::sync::Arc;

/// Reports opened in one step, with their tokens.
type OpenedReports = Vec<(u64, Arc<QueueReport>)>;

impl QueueMachine {
    /// An attempt on these recipients has ended.
    pub(super) fn ended(
        &mut self,
        now: Time,
        dest: u32,
        meta: Arc<MessageMeta>,
        recipients: &[u32],
        result: AttemptResult,
        out: &mut Vec<QueueEffect>,
    ) {
        let AttemptResult { outcomes, reach } = result;
        self.running = self.running.saturating_sub(1);
        let pending = |o: &RecipientOutcome| o.status == RecipientStatus::Pending;
        let nobody = !outcomes.is_empty() && outcomes.iter().all(pending);
        if reach == Reached::Host && nobody && self.dests.step_back(dest) {
            return self.step_back(meta.id, dest);
        }
        let signal = (!recipients.is_empty()).then(|| {
            let last = outcomes.iter().find(|o| pending(o));
            (
                schedule::signal(&outcomes, reach == Reached::Transaction),
                last.map(|o| Last::new(&o.reply, &o.remote)),
            )
        });
        self.dests.ended(now, dest, &self.settings, signal);
        let id = meta.id;
        let Some(mut entry) = self.messages.remove(&id) else {
            return;
        };
        entry.running = entry.running.saturating_sub(1);
        if is_delivered_at_once(&entry, &meta, &outcomes) {
            out.push(QueueEffect::Attempted(meta, outcomes, None));
            return self.finish(id, *entry, out);
        }
        let mut progress = entry.progress();
        let delivery = &self.settings.delivery;
        let settled = settle::settle(now, delivery, &meta, &mut progress, recipients, &outcomes);
        self.park_or_leave(&mut entry, dest, settled.left);
        let held = entry.hold.is_some();
        let next = settled.left.filter(|_| !held).map(|(_, next)| next);
        out.push(QueueEffect::Attempted(meta.clone(), outcomes, next));
        let mut opened = OpenedReports::new();
        let refused = QueueReportKind::Failed(FailureCause::Refused, entry.hold.clone());
        for (kind, recipients) in [
            (QueueReportKind::Relayed, settled.relayed),
            (refused, settled.failed),
        ] {
            self.open(&mut entry, &meta, kind, recipients, &mut opened);
        }
        let expires = schedule::expires(&self.settings.delivery, entry.since);
        if !held && entry.final_action.is_none() && now >= expires {
            entry.final_action = Some(FinalAction::Return(FailureCause::Expired));
        }
        self.drop_meta(&mut entry);
        self.conclude(now, &meta, &mut entry, &mut progress, &mut opened);
        self.settle_down(now, id, *entry, progress, opened, out);
    }

    /// After an attempt: the recipients left wait for the next one. `left` has the attempts so far
    /// and the next time.
    fn park_or_leave(&mut self, entry: &mut QueueEntry, dest: u32, left: Option<(u16, Time)>) {
        let Some((attempts, next)) = left else {
            entry.groups.remove(dest);
            return self.dests.leave(dest);
        };
        if let Some(group) = entry.groups.of(dest) {
            *group = RecipientGroup {
                dest,
                attempts,
                state: GroupState::Parked,
                next,
            };
        }
    }

    /// Opens a report on this message, if it has recipients.
    fn open(
        &mut self,
        entry: &mut QueueEntry,
        meta: &Arc<MessageMeta>,
        kind: QueueReportKind,
        recipients: Vec<FailedRecipient>,
        opened: &mut OpenedReports,
    ) {
        let report = QueueReport {
            meta: meta.clone(),
            kind,
            recipients,
        };
        opened.extend(self.reports.open(entry, report));
    }

    /// The host accepts no more connections at once than are open. The message has not been tried:
    /// it goes back to its line, and no attempt is counted or reported.
    fn step_back(&mut self, id: MessageId, dest: u32) {
        let Some(mut entry) = self.messages.remove(&id) else {
            return;
        };
        entry.running = entry.running.saturating_sub(1);
        if let Some(group) = entry.groups.of(dest) {
            (group.state, group.next) = (GroupState::Parked, Time(0));
        }
        self.resume(id, &mut entry);
        self.messages.insert(id, entry);
    }

    /// Takes in a requested meta.
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
        let mut opened = OpenedReports::new();
        self.conclude(now, meta, &mut entry, &mut progress, &mut opened);
        self.settle_down(now, meta.id, *entry, progress, opened, out);
    }

    /// Does what waited for the meta: sorting, report of success, notice of delay, the end.
    fn conclude(
        &mut self,
        now: Time,
        meta: &Arc<MessageMeta>,
        entry: &mut QueueEntry,
        progress: &mut MessageProgress,
        opened: &mut OpenedReports,
    ) {
        if entry.regroup && entry.running == 0 {
            entry.regroup = false;
            self.leave_all(entry);
            entry.groups = self.sort(meta, progress);
        }
        if std::mem::take(&mut entry.success_report_due) {
            self.report_success(meta, entry, progress, opened);
        }
        self.report_delay(now, meta, entry, progress, opened);
        if let Some(action) = entry.final_action.filter(|_| entry.running == 0) {
            self.end(action, meta, entry, progress, opened);
        }
    }

    /// Opens the report of success again, for recipients without an open one.
    fn report_success(
        &mut self,
        meta: &Arc<MessageMeta>,
        entry: &mut QueueEntry,
        progress: &MessageProgress,
        opened: &mut OpenedReports,
    ) {
        let mut recipients = progress.relaying();
        recipients.retain(|r| {
            let mut under_way = opened.iter().flat_map(|(_, report)| &report.recipients);
            !under_way.any(|o| o.recipient == r.recipient)
        });
        self.open(entry, meta, QueueReportKind::Relayed, recipients, opened);
    }

    /// Opens the notice of delay if it is due and has room; otherwise notes that it is wanted.
    fn report_delay(
        &mut self,
        now: Time,
        meta: &Arc<MessageMeta>,
        entry: &mut QueueEntry,
        progress: &MessageProgress,
        opened: &mut OpenedReports,
    ) {
        let delivery = &self.settings.delivery;
        let due = schedule::notice(delivery, entry.since).is_some_and(|due| now >= due)
            && entry.notice != DelayNotice::Sent
            && entry.hold.is_none()
            && entry.final_action.is_none();
        if due && self.reports.has_room() {
            // RFC 3463 X.4.7: delivery time expired; used here for "not yet".
            let otherwise = replies::NOT_DELIVERED_YET.into();
            let kind = QueueReportKind::Delayed(schedule::expires(delivery, entry.since));
            let recipients = self.pending_report(entry, progress, &otherwise);
            self.open(entry, meta, kind, recipients, opened);
            entry.notice = DelayNotice::Sent;
        } else if due {
            entry.notice = DelayNotice::Wanted;
        } else if entry.notice == DelayNotice::Wanted {
            entry.notice = DelayNotice::None;
        }
    }

    /// Ends the message for all recipients that are still to be tried.
    fn end(
        &mut self,
        action: FinalAction,
        meta: &Arc<MessageMeta>,
        entry: &mut QueueEntry,
        progress: &mut MessageProgress,
        opened: &mut OpenedReports,
    ) {
        let reply = final_reply(action);
        let mut recipients = self.pending_report(entry, progress, &reply);
        if action == FinalAction::Return(FailureCause::HeldReturned) {
            // Any earlier answer of a remote host does not count: the relay itself returns the
            // mail.
            for failed in &mut recipients {
                (failed.reply, failed.remote) = (reply.clone(), String::new());
            }
        }
        let stage = match action {
            FinalAction::Return(_) => Stage::Reporting,
            FinalAction::Delete => Stage::Failed,
        };
        mark(progress, recipients.iter().map(|r| r.recipient), stage);
        self.leave_all(entry);
        if let FinalAction::Return(cause) = action {
            let kind = QueueReportKind::Failed(cause, entry.hold.clone());
            self.open(entry, meta, kind, recipients, opened);
        }
    }

    /// The recipients still to be tried, each with its last answer. Those without one get the last
    /// answer of the destination if there is only one, else `otherwise`.
    fn pending_report(
        &self,
        entry: &QueueEntry,
        progress: &MessageProgress,
        otherwise: &Reply,
    ) -> Vec<FailedRecipient> {
        let common = match entry.groups.all() {
            [group] => self.dests.get(group.dest).and_then(|d| d.last.as_deref()),
            _ => None,
        };
        settle::pending_report(progress, common, otherwise)
    }

    fn leave_all(&mut self, entry: &mut QueueEntry) {
        for group in entry.groups.all() {
            self.dests.leave(group.dest);
        }
        entry.groups = RecipientGroups::NONE;
    }

    /// Records an entry after a step, or ends it. Reports are sent after the record that says they
    /// are open.
    fn settle_down(
        &mut self,
        now: Time,
        id: MessageId,
        mut entry: QueueEntry,
        mut progress: MessageProgress,
        opened: OpenedReports,
        out: &mut Vec<QueueEffect>,
    ) {
        if entry.groups.all().is_empty() && entry.reports == 0 && !entry.success_report_due {
            if progress.pending().next().is_none() {
                self.finish(id, entry, out);
                return;
            }
            if !entry.regroup {
                // This happens only after a counting error of ours; the mail is not lost even then.
                tracing::error!(%id, "recipients were left over; they are tried again");
                progress.put_off(now.after(READ_AGAIN));
                entry.regroup = true;
            }
        }
        out.push(QueueEffect::Progress(id, entry.keep(progress), false));
        out.extend(
            opened
                .into_iter()
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

    /// Postpones a report. Its content stays open in the entry, and is reported again at `until`.
    /// The record on disk need not change, as it means the same after a crash.
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
            QueueReportKind::Relayed => entry.success_report_due = true,
        }
        if entry.groups.all().is_empty()
            && entry.reports == 0
            && !entry.regroup
            && !entry.success_report_due
        {
            // It was a notice of delay, but no recipient is delayed any more.
            return self.finish(id, *entry, out);
        }
        // No other step needs its meta before.
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
            if let Some(group) = entry.groups.of(dest) {
                (group.state, group.next) = (GroupState::Parked, again);
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
            // Two left: the one in the set and this one.
            EntrySource::Sender(sender) if Arc::strong_count(&sender) == 2 => {
                self.senders.remove(&sender);
            }
            EntrySource::Sender(_) => {}
        }
    }

    /// A waiting message keeps no meta in memory.
    pub(in crate::queue) fn drop_meta(&mut self, entry: &mut QueueEntry) {
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

/// Whether this single attempt delivered the message to all its recipients, and no report is due.
fn is_delivered_at_once(
    entry: &QueueEntry,
    meta: &MessageMeta,
    outcomes: &[RecipientOutcome],
) -> bool {
    let through = |o: &RecipientOutcome| {
        o.status == RecipientStatus::Delivered && !settle::wants_success(meta, o)
    };
    entry.record.is_none()
        && entry.groups.all().len() == 1
        && entry.reports == 0
        && outcomes.len() == meta.envelope.recipients.len()
        && outcomes.iter().all(through)
}

/// The reply in the report for recipients that never had an answer.
fn final_reply(action: FinalAction) -> Reply {
    match action {
        FinalAction::Return(FailureCause::Expired) => replies::EXPIRED.into(),
        FinalAction::Return(FailureCause::HeldReturned) => replies::HELD_NOT_RELEASED.into(),
        _ => replies::RETURNED_BY_ADMIN.into(),
    }
}
