//! Outgate, an outbound SMTP relay: it scores every message, keeps evidence on every sender, stops
//! an account that turns bad within a handful of messages, and delivers all other mail durably and
//! fast.
//!
//! The rooms and their direction stand in `docs/life-of-a-message.md`.

pub mod admin;
pub mod app;
pub mod blocks;
pub mod cli;
pub mod collections;
pub mod config;
pub mod delivery;
pub mod detector;
pub mod dns;
pub mod env;
pub mod external_checks;
pub mod feedback;
pub mod identity;
pub mod intake;
pub mod learn;
pub mod mail;
pub mod message_token;
pub mod moderation;
pub mod ndr;
pub mod notify;
pub mod policy;
pub mod queue;
pub mod records;
pub mod replay;
pub mod score;
pub mod session;
pub mod smtp;
pub mod spool;
pub mod telemetry;
pub mod types;
