//! The counts of a whole replay.

use crate::types::Action;
use std::collections::BTreeMap;

/// What a run came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Messages by action: accept, high_risk, hold, defer, reject.
    pub actions: [u64; 5],
    pub answers: u64,
    /// Outcomes and complaints of messages that are not (or no longer) known.
    pub unknown: u64,
    /// Lines that were no event, or whose file could not be read.
    pub errors: u64,
    /// Blocks: reference, kind, subject, reason, messages refused by it (the one that opened it
    /// too).
    pub blocks: Vec<(String, &'static str, String, &'static str, u64)>,
    /// What policies in shadow mode would have done.
    pub shadows: BTreeMap<String, Shadow>,
    /// From the relay's log: messages by what was done with them and what is done now, where these
    /// differ.
    pub changed: BTreeMap<(&'static str, &'static str), u64>,
}

/// What one policy in shadow mode would have done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// Messages by action: accept, high_risk, hold, defer, reject.
    pub actions: [u64; 5],
    /// Messages by what it would have done with those that it would not have let go, and why.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Blocks it would have opened: sender and reason, the first thousand.
    pub blocks: Vec<(String, &'static str)>,
}

/// Blocks of one policy in shadow mode that a summary names.
pub(super) const SHADOW_BLOCKS: usize = 1000;

/// Place of an action in the counts of a summary.
pub(super) const fn place(action: Action) -> usize {
    match action {
        Action::Accept => 0,
        Action::HighRisk => 1,
        Action::Hold => 2,
        Action::Defer => 3,
        Action::Reject => 4,
    }
}
