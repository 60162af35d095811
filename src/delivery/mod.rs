//! Delivery: route → MX → TLS policy → pooled connection → outcome.

use crate::config::Settings;
use crate::config::settings::Route;
use crate::types::{Domain, MessageMeta, RecipientOutcome};
use bytes::Bytes;
use std::sync::Arc;

/// Where a recipient's mail goes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    /// A configured smart host.
    Route(Arc<Route>),
    /// The MX of this domain.
    Mx(Domain),
}

impl Destination {
    /// Name for grouping, logs and listings: `[127.0.0.1]:2526` or the domain.
    pub fn name(&self) -> String {
        unimplemented!()
    }
}

/// Where mail for `domain` goes under these settings.
pub fn route(_settings: &Settings, _domain: &Domain) -> Destination {
    unimplemented!()
}

/// One attempt: some recipients of one message that share a destination.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The message.
    pub meta: Arc<MessageMeta>,
    /// The message as it leaves: CRLF lines, not dot-stuffed.
    pub body: Bytes,
    /// Indexes into the envelope's recipients, at least one.
    pub recipients: Vec<u32>,
    /// Where to.
    pub destination: Destination,
}

/// Delivers; cheap to clone.
#[derive(Clone)]
pub struct Delivery {}

impl Delivery {
    /// With resolver, TLS and empty connection pools.
    pub fn new(_settings: Arc<Settings>) -> Result<Self, String> {
        unimplemented!()
    }
    /// New settings from now on; open connections of routes that changed are dropped.
    pub fn reload(&self, _settings: Arc<Settings>) {
        unimplemented!()
    }
    /// Tries once, within the time limits of RFC 5321 section 4.5.3.2. One outcome per recipient, always.
    pub async fn attempt(&self, _attempt: Attempt) -> Vec<RecipientOutcome> {
        unimplemented!()
    }
    /// Closes idle connections with QUIT.
    pub async fn close(&self) {
        unimplemented!()
    }
}
