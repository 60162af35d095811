//! Command line: arguments to admin commands, tables and JSON.

pub mod config;
