//! Decisions and the table of reasons.
