//! The detector: makes one decision on each message from what is known of senders. The relay and
//! `replay` both use it: it gets `now` and facts, and returns values. `docs/detector.md` explains
//! how it works.
//!
//! - `decide`: the way of one message; `context`: what it is measured by; `assess`: the step under
//!   the lock of its sender's record; `conclude` and `explanation`: what follows; `decision`: the
//!   answer.
//! - `evidence/`: what a message or an outcome adds to the sums of its sender, one file per kind.
//! - `outcomes`: deliveries, bounces, refusals and complaints; `addressee`: whom they are about.
//! - `reservation`: recipients at RCPT; `repeats`: messages that come again; `internal_part`: mail
//!   of a blocked sender within its tenant; `blocks`: blocks that begin and end.
//! - `state/`: the records, with snapshot and journal; `views`: what people see of them.

mod addressee;
mod assess;
mod blocks;
mod conclude;
mod context;
mod decide;
mod decision;
mod evidence;
mod explanation;
mod internal_part;
mod outcomes;
mod repeats;
mod reservation;
mod state;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod views;

use crate::blocks::active::ActiveBlocks;
use crate::blocks::history::BlockHistory;
use crate::collections::table::Table;
use crate::config::Settings;
use crate::policy::alert::Alert;
use crate::types::SenderKey;
use state::group::Group;
use state::recent_messages::RecentMessages;
use state::reports::SenderReports;
use state::scores::Scores;
use state::seen::SeenSet;
use state::sender::Sender;
use state::unsaved::UnsavedRecord;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

pub(crate) use addressee::{Addressee, mailbox_hash};
pub(crate) use decision::{Decision, ShadowDecision};
pub(crate) use internal_part::InternalPart;
pub use reservation::Reservation;
pub(crate) use reservation::Reserve;
pub(crate) use state::reports::SOMEBODY;
use state::unsaved::ShadowCounts;
pub(crate) use views::SenderView;

/// Senders tracked at most.
const SENDERS: usize = 1_000_000;
/// Domains, clients and tenants tracked at most.
const GROUPS: usize = 100_000;
/// Senders whose proof is kept at most.
const PROVEN_AGAINST: usize = 4096;
/// Senders of whom an unsaved record is kept at most.
const UNSAVED: usize = 65_536;
/// Tenants of which scores are kept at most.
const SCORED_TENANTS: usize = 10_000;
/// Senders of whose mail reports are remembered at most.
const REPORTED: usize = 16_384;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The detector: what is kept of all senders, and the settings it decides by.
pub struct Detector {
    settings: RwLock<Arc<Settings>>,
    active_blocks: ActiveBlocks,
    block_history: BlockHistory,
    senders: Table<SenderKey, Sender>,
    groups: Table<u64, Group>,
    recent_messages: Table<SenderKey, RecentMessages>,
    unsaved: Table<SenderKey, UnsavedRecord>,
    scores: Table<u64, Scores>,
    reports: Table<u64, SenderReports>,
    seen: SeenSet,
    alerts: Mutex<Vec<Alert>>,
}

impl Detector {
    /// Empty tables.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings: RwLock::new(settings),
            active_blocks: ActiveBlocks::default(),
            block_history: BlockHistory::default(),
            senders: Table::new(SENDERS),
            groups: Table::new(GROUPS),
            recent_messages: Table::new(PROVEN_AGAINST),
            unsaved: Table::new(UNSAVED),
            scores: Table::new(SCORED_TENANTS),
            reports: Table::new(REPORTED),
            seen: SeenSet::default(),
            alerts: Mutex::default(),
        }
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses new settings from now on.
    pub fn reload(&self, settings: Arc<Settings>) {
        *self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// Number of senders tracked.
    pub fn tracked(&self) -> usize {
        self.senders.len()
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
