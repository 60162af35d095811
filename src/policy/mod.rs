//! Decisions and the table of reasons. Pure.

pub mod alert;
pub mod allowance;
pub mod ceilings;
pub mod decide;
pub mod explain;
pub mod reasons;
pub mod scope;
