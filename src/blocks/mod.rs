//! Blocks: matching, states, release rules. Pure.

pub(crate) mod active;
pub(crate) mod history;
pub(crate) mod rules;
pub(crate) mod subject;
