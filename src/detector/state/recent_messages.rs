//! The newest proof against suspicious senders, kept beside the table so that other senders cost
//! nothing.

use crate::collections::table::Evict;
use crate::config::tuning::Tuning;
use crate::types::{Evidence, Time};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Entries kept per sender.
const ENTRIES: usize = 20;

/// The newest evidence of one sender.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detector) struct RecentMessages {
    entries: VecDeque<Evidence>,
    /// The detector's sum when the last entry came.
    sum: f64,
    last: Time,
}

impl RecentMessages {
    pub(in crate::detector) fn push(&mut self, evidence: Evidence, sum: f64) {
        self.last = self.last.max(evidence.time);
        self.sum = sum;
        if self.entries.len() >= ENTRIES {
            self.entries.pop_back();
        }
        self.entries.push_front(evidence);
    }

    pub(in crate::detector) fn list(&self) -> Vec<Evidence> {
        self.entries.iter().cloned().collect()
    }
}

impl Evict for RecentMessages {
    fn rank(&self) -> (u8, i64) {
        (
            if self.sum >= Tuning::KEEP_PROOF_NATS {
                2
            } else {
                u8::from(self.sum > 0.0)
            },
            self.last.0,
        )
    }
}
