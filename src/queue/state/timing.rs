//! What becomes due with time: next attempts, the delay notice, the end.

use super::{QueueEffect, QueueMachine};
use crate::config::Settings;
use crate::queue::entry::{DelayNotice, GroupState, NEVER, QueueEntry};
use crate::queue::progress::FinalAction;
use crate::queue::{FailureCause, schedule};
use crate::types::{MessageId, Time};

impl QueueMachine {
    /// When the next thing becomes due.
    pub(in crate::queue) fn next_wake(&self) -> Option<Time> {
        let timer = self.timers.first().map(|(time, _)| *time);
        let later = self.later.first().map(|(time, _)| *time);
        [
            timer,
            later,
            self.dests.next_wake(),
            self.reports.next_wake(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Updates the timer of an entry after any change, and its place in the line for its meta.
    pub(in crate::queue) fn reschedule(&mut self, id: MessageId, entry: &mut QueueEntry) {
        let time = timer(entry, &self.settings);
        if time != entry.timer {
            if entry.timer != NEVER {
                self.timers.remove(&(entry.timer, id));
            }
            if time != NEVER {
                self.timers.insert((time, id));
            }
            entry.timer = time;
        }
        if !entry.queued && !entry.loading && entry.needs_meta() {
            entry.queued = true;
            self.work.push_back(id);
        }
    }

    pub(super) fn tick(&mut self, now: Time, out: &mut Vec<QueueEffect>) {
        out.extend(self.ended.drain(..).map(QueueEffect::Done));
        while let Some((time, id)) = self
            .timers
            .first()
            .copied()
            .filter(|(time, _)| *time <= now)
        {
            self.timers.remove(&(time, id));
            let Some(mut entry) = self.messages.remove(&id) else {
                continue;
            };
            entry.timer = NEVER;
            self.fire(now, id, &mut entry);
            self.messages.insert(id, entry);
        }
        while let Some((time, id)) = self.later.first().copied().filter(|(time, _)| *time <= now) {
            self.later.remove(&(time, id));
            self.with(id, |_, _| ());
        }
        while let Some((token, report)) = self.reports.due(now) {
            out.push(QueueEffect::Report(token, report));
        }
    }

    fn fire(&mut self, now: Time, id: MessageId, entry: &mut QueueEntry) {
        let delivery = &self.settings.delivery;
        if entry.hold.is_some() {
            if now >= entry.since.after(self.settings.held.expire) {
                entry.final_action = Some(FinalAction::Return(FailureCause::HeldReturned));
            }
        } else if now >= schedule::expires(delivery, entry.since) {
            entry.final_action = Some(FinalAction::Return(FailureCause::Expired));
        } else if entry.notice == DelayNotice::None
            && schedule::notice(delivery, entry.since).is_some_and(|due| now >= due)
        {
            entry.notice = DelayNotice::Wanted;
        }
        if entry.final_action.is_some() {
            entry.park();
        } else if entry.hold.is_none() {
            for group in entry
                .groups
                .all_mut()
                .iter_mut()
                .filter(|l| l.state == GroupState::Waiting && l.next <= now)
            {
                group.state = GroupState::Ready;
                self.dests.ready(group.dest, id);
            }
        }
        self.reschedule(id, entry);
    }
}

/// When to look at an entry next.
fn timer(entry: &QueueEntry, settings: &Settings) -> Time {
    if entry.final_action.is_some() || entry.groups.all().is_empty() {
        return NEVER;
    }
    if entry.hold.is_some() {
        return entry.since.after(settings.held.expire);
    }
    let notice = schedule::notice(&settings.delivery, entry.since)
        .filter(|_| entry.notice == DelayNotice::None);
    let groups = entry
        .groups
        .all()
        .iter()
        .filter(|l| l.state == GroupState::Waiting)
        .map(|l| l.next);
    groups
        .chain(notice)
        .chain([schedule::expires(&settings.delivery, entry.since)])
        .min()
        .unwrap_or(NEVER)
}
