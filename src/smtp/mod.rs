//! The SMTP protocol, pure: grammar, framing, server and client state machines.

pub mod client;
pub mod reply;
