//! Outgate, an outbound SMTP relay: it scores every message, keeps evidence on every sender, stops an
//! account that turns bad within a handful of messages, and delivers all other mail durably and
//! fast.
//!
//! `docs/architecture.md` draws the rooms of this library and says what each holds;
//! `docs/life-of-a-message.md` follows one message through them.
//!
//! The library is for its own program: everything is private but [`main`] and what [`exports`]
//! hands to benchmarks, fuzz targets and tests.

mod admin;
mod api;
mod app;
mod blocks;
mod cli;
mod collections;
mod config;
mod decisions;
mod delivery;
mod detector;
mod dns;
mod env;
mod external_checks;
mod feedback;
mod identity;
mod intake;
mod lab;
mod learn;
mod mail;
mod message_token;
mod moderation;
mod ndr;
mod notify;
mod policy;
mod queue;
mod records;
mod replay;
mod score;
mod session;
mod smtp;
mod spool;
mod telemetry;
mod types;

pub mod exports;

pub use cli::main;
