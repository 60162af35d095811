//! Command line: arguments to admin commands, tables and JSON.

pub mod model;
pub mod score;
