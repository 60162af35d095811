//! Bounded concurrent maps and the hasher they use.

pub mod hasher;
pub mod table;
