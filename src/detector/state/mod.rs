//! What is kept of senders, clients, domains, tenants and texts, and how it is saved.

pub(super) mod baseline;
pub(super) mod client_campaign;
mod fork;
pub(super) mod group;
pub(super) mod habits;
mod known;
pub(super) mod letters;
pub(super) mod past;
pub(super) mod recent_messages;
pub(super) mod reports;
pub(super) mod scores;
pub(super) mod seen;
pub(super) mod sender;
mod snapshot;
pub(super) mod templates;
pub(super) mod unsaved;
pub(super) mod window;
