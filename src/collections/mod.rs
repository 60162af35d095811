//! A bounded concurrent map.

pub(crate) mod table;
