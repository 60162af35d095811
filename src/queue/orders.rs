//! Orders of admins and of blocks: hold, release, retry, bounce, delete. Pure.

use super::entry::{DelayNotice, GroupState, QueueEntry};
use super::progress::FinalAction;
use super::state::{QueueEffect, QueueMachine};
use super::{FailureCause, FindBlock, ReleasedMail, Select};
use crate::types::{BlockRef, HoldReason, Identity, MessageId, Time};
use std::collections::HashMap;

/// An order on the messages of a [`Select`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Hold mail that is not held.
    Hold(HoldReason),
    /// Keep held mail held, for this reason.
    Keep(HoldReason),
    /// Release held mail.
    Release,
    Retry,
    /// Give up and report to the sender.
    Bounce,
    Delete,
}

impl QueueMachine {
    /// Carries out an order; returns the messages it changed. Their new records are among the
    /// effects, marked durable: the caller gets its answer once they are on disk.
    pub(super) fn order(
        &mut self,
        now: Time,
        order: &Order,
        select: &Select,
        out: &mut Vec<QueueEffect>,
    ) -> Vec<MessageId> {
        let mut met = self.selected(select);
        met.retain(|id| self.carry_out(now, *id, order, out));
        met
    }

    /// Releases what the gate lets pass; keeps everything else held under the block that stops it.
    /// Durable like [`QueueMachine::order`].
    pub(super) fn release(
        &mut self,
        now: Time,
        select: &Select,
        gate: &FindBlock,
        out: &mut Vec<QueueEffect>,
    ) -> ReleasedMail {
        // Messages of one sender share one identity, so the gate runs once for each. It runs before
        // any change, because an identity is recognized by its address in memory.
        let mut seen: HashMap<*const Identity, Option<BlockRef>> = HashMap::new();
        let mut stop = |id: &MessageId| {
            let identity = self.messages.get(id)?.identity()?;
            *seen
                .entry(std::ptr::from_ref(identity))
                .or_insert_with(|| gate(identity))
        };
        let selected: Vec<_> = self
            .selected(select)
            .into_iter()
            .map(|id| (id, stop(&id)))
            .collect();
        let mut released = ReleasedMail::default();
        for (id, stop) in selected {
            let order = stop.map_or(Order::Release, |reference| {
                Order::Keep(HoldReason::Block(reference))
            });
            if self.carry_out(now, id, &order, out) {
                match stop {
                    None => released.sent_on.push(id),
                    Some(reference) => released.kept.push((id, reference)),
                }
            }
        }
        released
    }

    /// How many messages are held under this block.
    pub(super) fn held_under(&self, block: BlockRef) -> usize {
        self.selected(&Select::HeldUnder(block)).len()
    }

    fn selected(&self, select: &Select) -> Vec<MessageId> {
        match select {
            Select::Id(id) => vec![*id],
            Select::HeldUnder(reference) => {
                let under = HoldReason::Block(*reference);
                let is_under = |id: &&MessageId| {
                    self.messages
                        .get(id)
                        .is_some_and(|e| e.hold.as_ref() == Some(&under))
                };
                self.held.iter().filter(is_under).copied().collect()
            }
            Select::CoveredBy(block) => {
                // Messages of one sender share one identity, so each is checked once.
                let mut seen: HashMap<*const Identity, bool> = HashMap::new();
                let mut is_covered = |entry: &QueueEntry| {
                    entry.identity().is_some_and(|identity| {
                        let covers = || (self.rules.covers)(block, identity);
                        *seen
                            .entry(std::ptr::from_ref(identity))
                            .or_insert_with(covers)
                    })
                };
                let free = self
                    .messages
                    .iter()
                    .filter(|(_, entry)| entry.hold.is_none());
                free.filter(|(_, entry)| is_covered(entry))
                    .map(|(id, _)| *id)
                    .collect()
            }
        }
    }

    /// Returns whether the order changed the message. It never changes one that has ended or has
    /// only reports left.
    fn carry_out(
        &mut self,
        now: Time,
        id: MessageId,
        order: &Order,
        out: &mut Vec<QueueEffect>,
    ) -> bool {
        let Some(mut entry) = self.messages.remove(&id) else {
            return false;
        };
        let fits = match order {
            Order::Hold(_) | Order::Retry => entry.hold.is_none(),
            Order::Keep(_) | Order::Release | Order::Delete => entry.hold.is_some(),
            Order::Bounce => true,
        };
        if !fits || entry.final_action.is_some() || entry.groups.all().is_empty() {
            self.messages.insert(id, entry);
            return false;
        }
        if *order == Order::Delete
            && entry.running == 0
            && entry.reports == 0
            && !entry.success_report_due
        {
            self.finish(id, *entry, out);
            return true;
        }
        self.change(now, id, order, &mut entry);
        if *order != Order::Retry {
            let progress = entry.progress();
            out.push(QueueEffect::Progress(id, entry.keep(progress), true));
        }
        self.resume(id, &mut entry);
        self.messages.insert(id, entry);
        true
    }

    fn change(&mut self, now: Time, id: MessageId, order: &Order, entry: &mut QueueEntry) {
        match order {
            Order::Hold(reason) => {
                entry.hold = Some(reason.clone());
                entry.since = now;
                self.held.insert(id);
                self.drop_meta(entry);
                entry.park();
            }
            // The time of the hold continues: mail that moves from block to block must not be held
            // for ever.
            Order::Keep(reason) => entry.hold = Some(reason.clone()),
            Order::Release => {
                entry.hold = None;
                // Its delivery time begins now: it must not expire before the first attempt.
                entry.since = now;
                if entry.notice == DelayNotice::Wanted {
                    entry.notice = DelayNotice::None;
                }
                self.held.remove(&id);
                for group in entry.groups.all() {
                    self.dests.open(group.dest);
                }
                at_once(entry);
            }
            Order::Retry => {
                for group in entry.groups.all() {
                    self.dests.open(group.dest);
                }
                at_once(entry);
            }
            Order::Bounce => entry.final_action = Some(FinalAction::Return(FailureCause::Admin)),
            Order::Delete => entry.final_action = Some(FinalAction::Delete),
        }
        if entry.final_action.is_some() {
            entry.park();
        }
    }
}

/// Makes every waiting group due now; groups in line or being tried do not change.
fn at_once(entry: &mut QueueEntry) {
    for group in entry.groups.all_mut() {
        if matches!(group.state, GroupState::Waiting | GroupState::Parked) {
            (group.state, group.next) = (GroupState::Parked, Time(0));
        }
    }
}
