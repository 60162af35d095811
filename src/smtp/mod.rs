//! The SMTP protocol, pure: grammar, framing, server and client state machines.

pub(crate) mod auth;
pub(crate) mod bdat;
pub(crate) mod client;
pub(crate) mod content;
pub(crate) mod data;
pub(crate) mod grammar;
pub(crate) mod proxy;
pub(crate) mod reply;
pub(crate) mod server;
