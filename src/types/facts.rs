//! The facts of one message that the detector decides on.

use super::{Identity, MessageId, Signal};
use std::net::IpAddr;

/// A recipient as the judge sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecipientFacts {
    /// Stable hash of the normalised address (`Address::key`).
    pub hash: u64,
    /// In one of the tenant's own domains.
    pub internal: bool,
}

/// What the judge is told of a message at the final dot.
#[derive(Debug, Clone)]
pub struct MessageFacts<'a> {
    /// The id the relay gave it.
    pub id: MessageId,
    /// Who sent it, as far as the header tells, too.
    pub identity: &'a Identity,
    /// Where its author was, as far as it is known: the peer of a session with AUTH, or what a
    /// trusted client said by XCLIENT.
    pub origin: Option<IpAddr>,
    /// Wrong passwords for this account shortly before the login of this session.
    pub failed_logins: u32,
    /// Recipients accepted at RCPT.
    pub recipients: &'a [RecipientFacts],
    /// Hash over Message-ID header and body hash: a retried message is not new evidence.
    pub fingerprint: u64,
    /// Fingerprint of the text, near to those of texts like it (`Score::template`); 0 = too short
    /// to tell.
    pub template: u64,
    /// Content LLR in nats, with what outside sources said.
    pub llr: f64,
    /// The part of it that listings make, nats.
    pub listed: f64,
    /// Probability at even odds.
    pub probability: f64,
    /// The strongest symbols of the content score.
    pub symbols: &'a [Signal],
    /// Hosts of links in the message, normalised.
    pub link_hosts: &'a [Box<str>],
    /// Octets of the message.
    pub octets: u64,
    /// The message is a multipart/report.
    pub is_report: bool,
}
