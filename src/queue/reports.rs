//! Reports to other rooms. What a report says is final only when it is acknowledged. Pure.

use super::entry::QueueEntry;
use super::{FailedRecipient, FailureCause};
use crate::types::{HoldReason, MessageMeta, Time};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Most reports sent and not yet acknowledged; beyond it, no new work starts.
pub(super) const REPORTS_MAX: usize = 256;
/// Most unacknowledged reports kept in memory, as on a full disk; beyond it, reports are postponed.
pub(super) const WAITING_MAX: usize = 4096;
/// A report that was not acknowledged is sent again after this time.
pub(super) const AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum QueueReportKind {
    /// Failed permanently; the cause, and why it was held.
    Failed(FailureCause, Option<HoldReason>),
    /// Delayed; the queue gives up at that time.
    Delayed(Time),
    /// Handed to a next hop that will not report success.
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
    /// Opens a report on this message; `None` if it has no recipients.
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

    /// Acknowledges a report.
    pub(super) fn close(&mut self, token: u64) -> Option<Arc<QueueReport>> {
        self.open.remove(&token)
    }

    /// The report could not be taken over: it is sent again later.
    pub(super) fn refused(&mut self, now: Time, token: u64) {
        if self.open.contains_key(&token) {
            self.again.insert((now.after(AGAIN), token));
        }
    }

    /// A report that is to be sent again now.
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

    /// When the next report is to be sent again.
    pub(super) fn next_wake(&self) -> Option<Time> {
        self.again.first().map(|(time, _)| *time)
    }

    /// Reports sent and not yet acknowledged. Those that wait to be sent again do not count, so
    /// that a failure of reports does not stop deliveries.
    pub(super) fn busy(&self) -> usize {
        self.open.len().saturating_sub(self.again.len())
    }

    /// Whether more unacknowledged reports fit in memory.
    pub(super) fn has_room(&self) -> bool {
        self.again.len() < WAITING_MAX
    }

    /// Whether all are acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
