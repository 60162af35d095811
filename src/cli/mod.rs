//! Command line: arguments to admin commands, tables and JSON.
