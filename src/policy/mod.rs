//! Decisions and the table of reasons. Pure.

pub mod ceilings;
pub mod decide;
pub mod reasons;
pub mod scope;
