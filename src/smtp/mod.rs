//! The SMTP protocol, pure: grammar, framing, server and client state machines.

pub mod auth;
pub mod bdat;
pub mod client;
pub mod content;
pub mod data;
pub mod grammar;
pub mod proxy;
pub mod replies;
pub mod reply;
pub mod server;
