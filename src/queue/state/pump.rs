//! What may start now: attempts in the turns of their destinations, and reads of requested metas.

use super::{DeliveryJob, LOADS_MAX, QueueEffect, QueueMachine};
use crate::queue::entry::{EntrySource, GroupState};
use crate::queue::reports::REPORTS_MAX;
use crate::types::{MessageId, Time};

impl QueueMachine {
    /// Starts everything that may start now. Called once after a batch of inputs.
    pub(in crate::queue) fn pump(&mut self, now: Time, out: &mut Vec<QueueEffect>) {
        self.dests.wake(now);
        // An attempt may turn out to need its meta first, and a loaded meta may allow attempts.
        self.pump_attempts(out);
        if self.pump_work(now, out) {
            self.pump_attempts(out);
        }
    }

    fn pump_attempts(&mut self, out: &mut Vec<QueueEffect>) {
        while self.open
            && self.running < self.settings.delivery.connections
            && self.reports.busy() < REPORTS_MAX
        {
            let Some((dest, id)) = self.dests.next(&self.settings) else {
                break;
            };
            self.start(dest, id, out);
        }
    }

    fn pump_work(&mut self, now: Time, out: &mut Vec<QueueEffect>) -> bool {
        let mut any = false;
        while self.open
            && self.loading < LOADS_MAX
            && self.reports.busy() < REPORTS_MAX
            && self.reports.has_room()
        {
            let Some(id) = self.work.pop_front() else {
                break;
            };
            let Some(entry) = self.messages.get_mut(&id) else {
                continue;
            };
            entry.queued = false;
            if entry.loading || !entry.needs_meta() {
                continue;
            }
            any = true;
            if let EntrySource::Fresh(meta) = &entry.source {
                let meta = meta.clone();
                self.loaded(now, &meta, out);
            } else {
                entry.loading = true;
                self.loading += 1;
                out.push(QueueEffect::Load(id));
            }
        }
        any
    }

    fn start(&mut self, dest: u32, id: MessageId, out: &mut Vec<QueueEffect>) {
        let Some(entry) = self.messages.get_mut(&id) else {
            return;
        };
        let only = entry.groups.all().len() == 1;
        let (held, ending) = (entry.hold.is_some(), entry.final_action.is_some());
        let Some(group) = entry
            .groups
            .of(dest)
            .filter(|l| l.state == GroupState::Ready && !held && !ending)
        else {
            return;
        };
        let Some(target) = self.dests.get(dest) else {
            return;
        };
        if target.stale {
            group.state = GroupState::Parked;
            entry.regroup = true;
            self.with(id, |_, _| ());
            return;
        }
        let destination = target.destination.clone();
        group.state = GroupState::Running;
        entry.running += 1;
        self.running += 1;
        self.dests.started(dest);
        let meta = if let EntrySource::Fresh(meta) = &entry.source {
            Some(meta.clone())
        } else {
            None
        };
        let settings = (!only).then(|| self.settings.clone());
        let (record, route) = (entry.record.clone(), self.rules.route);
        out.push(QueueEffect::Attempt(Box::new(DeliveryJob {
            id,
            dest,
            destination,
            meta,
            record,
            settings,
            route,
        })));
    }
}
