//! Blocks: matching, states, release rules (pure), and the desk that opens and releases them
//! (shell).
pub mod board;
pub mod desk;
pub mod past;
pub mod rules;
pub mod subject;
