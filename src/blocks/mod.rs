//! Blocks: matching, states, release rules. Pure.

pub(crate) mod board;
pub(crate) mod past;
pub(crate) mod rules;
pub(crate) mod subject;
