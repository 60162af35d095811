//! Decisions and the table of reasons. Pure.

pub mod reasons;
