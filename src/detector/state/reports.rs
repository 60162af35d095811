//! What recipients and their sites report of a sender's mail: complaints, refusals as spam and
//! delivery reports that come back later. Any recipient of a message can report it, and nobody
//! knows for certain who wrote a report. So:
//!
//! - one message makes one piece of evidence, no matter what is reported about it: the strongest
//!   report counts, not the sum;
//! - a recipient who complains, refuses or is unknown counts once in a month, and so does a site
//!   from which reports come back;
//! - complaints are weighed against what the sender sent: few among many are normal;
//! - all of it together stays within a bound that grows with the mail of the day, with the number
//!   of sites that refuse, and slowly with the number of recipients who complain or refuse: by
//!   reports alone a handful of recipients cannot block a sender of little mail.

#[cfg(test)]
mod tests;

use crate::collections::table::Evict;
use crate::config::tuning::Tuning;
use crate::types::{MessageId, Time};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The reporter of a complaint that does not tell which of several recipients complains. All such
/// reporters count as one.
pub(crate) const SOMEBODY: u64 = 0x736f_6d65_626f_6479;

/// Minutes after which the same reporter counts again.
const REMEMBERED: u32 = Tuning::REPORTER_DAYS * DAY;
/// Minutes of a day.
const DAY: u32 = 24 * 60;
/// Reporters and messages remembered of one sender.
const ENTRIES: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detector) enum ReportKind {
    /// A complaint through a feedback loop.
    Complaint,
    /// A delivery report that came back after the message had been taken.
    Return,
    /// A refusal as spam, in the dialog.
    Refusal,
}

/// What a sender sent, in messages to outside.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::detector) struct Volume {
    /// In the last day.
    pub day: f64,
    /// Lately: what of its past has not faded. The measure for reports about older mail.
    pub lately: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::detector) struct SingleReport {
    pub kind: ReportKind,
    /// The mailbox that reports.
    pub reporter: u64,
    pub site: u64,
    /// When the message was sent.
    pub sent: Time,
}

/// A reporter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Reporter {
    who: u64,
    site: u64,
    minute: u32,
}

/// What the reports about one message have brought, in nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct MessageReports {
    id: MessageId,
    /// The strongest of complaint, return and refusal.
    strongest: f32,
    /// Unknown users in the dialog, which are one piece together.
    unknown: f32,
}

/// The reports about the mail of one hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Hour {
    /// Hours since the epoch; 0 for the sum of older mail.
    hour: u32,
    complaints: f32,
    returns: f32,
    refusals: f32,
    /// Pieces of evidence that these reports have brought.
    granted: f32,
}

impl Hour {
    fn add(&mut self, other: &Self) {
        self.complaints += other.complaints;
        self.returns += other.returns;
        self.refusals += other.refusals;
        self.granted += other.granted;
    }

    fn scale(&mut self, by: f32) {
        for value in [
            &mut self.complaints,
            &mut self.returns,
            &mut self.refusals,
            &mut self.granted,
        ] {
            *value *= by;
        }
    }
}

/// All reports about one sender. Under 5 KB.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detector) struct SenderReports {
    /// Who complained, and sites from which reports came back.
    reporters: VecDeque<Reporter>,
    refusers: VecDeque<Reporter>,
    /// Recipients that do not exist.
    unknown: VecDeque<Reporter>,
    messages: VecDeque<MessageReports>,
    hours: Vec<Hour>,
    earlier: Hour,
    day: u32,
    last: Time,
}

fn minute(time: Time) -> u32 {
    u32::try_from(time.as_secs().div_euclid(60)).unwrap_or(0)
}

impl SenderReports {
    /// Notes a report about the message `id`; returns the nats that it adds, where a whole piece of
    /// evidence has `piece` of them. `None`: the same reporter has reported already.
    pub(in crate::detector) fn count_of_message(
        &mut self,
        now: Time,
        id: MessageId,
        report: &SingleReport,
        volume: Volume,
        piece: f64,
    ) -> Option<f64> {
        let of_message = self.piece(now, id);
        let before = f64::from(of_message.strongest.max(of_message.unknown));
        let room = (of_one(report.kind) - before / piece.max(1e-9)).max(0.0);
        let nats = self.count(now, report, volume, room)? * piece;
        let of_message = self.piece(now, id);
        of_message.strongest = of_message.strongest.max((before + nats) as f32);
        Some(nats)
    }

    /// Notes a report; returns the pieces of evidence that it adds to earlier reports, at most
    /// `room`. `None`: the same reporter has reported already.
    pub(in crate::detector) fn count(
        &mut self,
        now: Time,
        report: &SingleReport,
        volume: Volume,
        room: f64,
    ) -> Option<f64> {
        let SingleReport {
            kind,
            reporter,
            site,
            sent,
        } = *report;
        self.last = self.last.max(now);
        // The reporter of a returned message is its site, no matter which recipient it names.
        let who = match kind {
            ReportKind::Complaint | ReportKind::Refusal => reporter,
            ReportKind::Return => !site,
        };
        let list = if kind == ReportKind::Refusal {
            &mut self.refusers
        } else {
            &mut self.reporters
        };
        let at = minute(now);
        if !note(
            list,
            Reporter {
                who,
                site,
                minute: at,
            },
        ) {
            return None;
        }
        self.age(at);
        let hour = minute(sent).min(at) / 60;
        let recent = self.is_recent(hour, at);
        let place = self.hour(hour, recent);
        match kind {
            ReportKind::Complaint => place.complaints += 1.0,
            ReportKind::Return => place.returns += 1.0,
            ReportKind::Refusal => place.refusals += 1.0,
        }
        let (mut all, messages) = (
            Hour::default(),
            if recent {
                volume.day
            } else {
                volume.day.max(volume.lately)
            },
        );
        self.hours.iter().for_each(|h| all.add(h));
        if !recent {
            all.add(&self.earlier);
        }
        let more = (self.worth(&all, messages, at) - f64::from(all.granted))
            .clamp(0.0, room.min(of_one(kind)));
        self.hour(hour, recent).granted += more as f32;
        Some(more)
    }

    /// The pieces of evidence that all reports are worth, for a sender of so many messages.
    fn worth(&self, all: &Hour, messages: f64, at: u32) -> f64 {
        let beyond = |count: f32, normal: f64| normal.mul_add(-messages, f64::from(count)).max(0.0);
        let complaints = beyond(all.complaints, Tuning::COMPLAINTS_NORMAL);
        let returns = (beyond(all.returns, Tuning::RETURNS_NORMAL) * Tuning::RETURN_WEIGHT)
            .min(Tuning::RETURNS_MOST);
        let mut sites: Vec<u64> = self
            .refusers
            .iter()
            .filter(|said| said.minute.saturating_add(DAY) > at)
            .map(|said| said.site)
            .collect();
        sites.sort_unstable();
        sites.dedup();
        let many = Tuning::REPORTS_BEYOND_FEW
            * (complaints.max(f64::from(all.refusals)) - Tuning::REPORTS_FEW).max(0.0);
        let most = Tuning::REPORTS_FEW
            + many
            + messages / Tuning::MESSAGES_PER_REPORT
            + sites.len().saturating_sub(1) as f64;
        (complaints + returns + f64::from(all.refusals)).min(most)
    }

    /// Notes an unknown user. The unknown users of one message are one piece of evidence together.
    /// A repetition for the same recipient adds nothing. `weigh` gets the nats that other reports
    /// about the message have brought already and returns the nats of the unknown user alone.
    pub(in crate::detector) fn unknown_user(
        &mut self,
        now: Time,
        id: MessageId,
        recipient: u64,
        weigh: impl FnOnce(f64) -> f64,
    ) {
        if !note(
            &mut self.unknown,
            Reporter {
                who: recipient,
                site: 0,
                minute: minute(now),
            },
        ) {
            weigh(f64::INFINITY);
            return;
        }
        let piece = self.piece(now, id);
        let nats = weigh(f64::from((piece.strongest - piece.unknown).max(0.0)));
        piece.unknown += nats.max(0.0) as f32;
    }

    fn piece(&mut self, now: Time, id: MessageId) -> &mut MessageReports {
        self.last = self.last.max(now);
        let at = self.messages.iter().position(|piece| piece.id == id);
        let piece = at
            .and_then(|at| self.messages.remove(at))
            .unwrap_or(MessageReports {
                id,
                strongest: 0.0,
                unknown: 0.0,
            });
        if self.messages.len() >= ENTRIES {
            self.messages.pop_front();
        }
        self.messages.push_back(piece);
        let last = self.messages.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "it was put there just now")]
        &mut self.messages[last]
    }

    /// Forgets the evidence of earlier reports, but not their reporters and messages: the same
    /// report does not count again.
    pub(in crate::detector) fn forgive(&mut self) {
        self.hours.clear();
        self.earlier = Hour::default();
    }

    const fn is_recent(&self, hour: u32, at: u32) -> bool {
        (hour + 1).saturating_mul(60).saturating_add(DAY) > at
    }

    fn hour(&mut self, hour: u32, recent: bool) -> &mut Hour {
        if !recent {
            return &mut self.earlier;
        }
        let place = self
            .hours
            .iter()
            .position(|h| h.hour == hour)
            .unwrap_or_else(|| {
                self.hours.push(Hour {
                    hour,
                    ..Hour::default()
                });
                self.hours.len() - 1
            });
        #[expect(
            clippy::indexing_slicing,
            reason = "it was found or put there just now"
        )]
        &mut self.hours[place]
    }

    /// Sums up what is older than a day, and lets the sum fade.
    fn age(&mut self, at: u32) {
        let today = at / DAY;
        let passed = today.saturating_sub(self.day);
        self.earlier
            .scale(Tuning::REPORTS_KEPT_PER_DAY.powi(i32::try_from(passed).unwrap_or(i32::MAX)));
        self.day = self.day.max(today);
        let hours = std::mem::take(&mut self.hours);
        let (young, old): (Vec<Hour>, Vec<Hour>) =
            hours.into_iter().partition(|h| self.is_recent(h.hour, at));
        self.hours = young;
        old.iter().for_each(|h| self.earlier.add(h));
    }
}

/// Notes a reporter; false if it is remembered already.
fn note(list: &mut VecDeque<Reporter>, new: Reporter) -> bool {
    list.retain(|said| said.minute.saturating_add(REMEMBERED) > new.minute);
    if list.iter().any(|said| said.who == new.who) {
        return false;
    }
    if list.len() >= ENTRIES {
        list.pop_front();
    }
    list.push_back(new);
    true
}

/// The most that one report is worth, in pieces.
const fn of_one(kind: ReportKind) -> f64 {
    match kind {
        ReportKind::Complaint | ReportKind::Refusal => 1.0,
        ReportKind::Return => Tuning::RETURN_WEIGHT,
    }
}

impl Evict for SenderReports {
    fn rank(&self) -> (u8, i64) {
        (u8::from(!self.hours.is_empty()), self.last.0)
    }
}
