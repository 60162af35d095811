//! Bounded concurrent maps and the hasher they use.

pub(crate) mod hasher;
pub(crate) mod table;
