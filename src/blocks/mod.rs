//! Blocks: matching, states, release rules. Pure.

pub mod board;
pub mod past;
pub mod rules;
pub mod subject;
