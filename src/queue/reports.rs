//! Reports to the rest of the relay that somebody must take over before what they tell is final.
//! Pure.

use super::entry::QueueEntry;
use super::{FailedRecipient, FailureCause};
use crate::types::{HoldReason, MessageMeta, Time};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Most reports being taken over at once; no new work starts beyond.
pub(super) const REPORTS_MAX: usize = 256;
/// Most reports kept in memory that nobody could take over, as on a full disk; what comes beyond is
/// put off.
pub(super) const WAITING_MAX: usize = 4096;
/// A report nobody took over comes again after this time.
pub(super) const AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum QueueReportKind {
    /// Failed for good; why, and what it was held for.
    Failed(FailureCause, Option<HoldReason>),
    /// Late; given up at that time.
    Delayed(Time),
    /// Handed to a next hop that will not report.
    Relayed,
}

#[derive(Debug, Clone)]
pub(super) struct QueueReport {
    pub meta: Arc<MessageMeta>,
    pub kind: QueueReportKind,
    pub recipients: Vec<FailedRecipient>,
}

/// Reports not acknowledged yet, by token.
#[derive(Default)]
pub(super) struct PendingReports {
    open: HashMap<u64, Arc<QueueReport>>,
    again: BTreeSet<(Time, u64)>,
    last: u64,
}

impl PendingReports {
    /// Opens a report on this message; none if nobody is concerned.
    pub(super) fn open(
        &mut self,
        entry: &mut QueueEntry,
        report: QueueReport,
    ) -> Option<(u64, Arc<QueueReport>)> {
        if report.recipients.is_empty() {
            return None;
        }
        self.last += 1;
        entry.reports = entry.reports.saturating_add(1);
        let report = Arc::new(report);
        self.open.insert(self.last, report.clone());
        Some((self.last, report))
    }

    /// Somebody has taken it over.
    pub(super) fn close(&mut self, token: u64) -> Option<Arc<QueueReport>> {
        self.open.remove(&token)
    }

    /// Nobody could take it over: it comes again.
    pub(super) fn refused(&mut self, now: Time, token: u64) {
        if self.open.contains_key(&token) {
            self.again.insert((now.after(AGAIN), token));
        }
    }

    /// A report whose time has come again.
    pub(super) fn due(&mut self, now: Time) -> Option<(u64, Arc<QueueReport>)> {
        while let Some((time, token)) = self.again.first().copied().filter(|(time, _)| *time <= now)
        {
            self.again.remove(&(time, token));
            if let Some(report) = self.open.get(&token) {
                return Some((token, report.clone()));
            }
        }
        None
    }

    /// When the next one comes again.
    pub(super) fn next_wake(&self) -> Option<Time> {
        self.again.first().map(|(time, _)| *time)
    }

    /// Being taken over. Those that wait to come again do not count: while nobody can take a report
    /// over, mail that can be delivered still is.
    pub(super) fn busy(&self) -> usize {
        self.open.len().saturating_sub(self.again.len())
    }

    /// Whether there is room for more that nobody takes over.
    pub(super) fn has_room(&self) -> bool {
        self.again.len() < WAITING_MAX
    }

    /// Whether all are acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
