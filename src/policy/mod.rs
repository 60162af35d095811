//! Decisions and the table of reasons. Pure.

pub(crate) mod alert;
pub(crate) mod allowance;
pub(crate) mod ceilings;
pub(crate) mod decide;
pub(crate) mod explain;
pub(crate) mod reasons;
pub(crate) mod scope;
