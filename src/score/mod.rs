//! The content score: features → classifier → calibrated log-likelihood ratio.

use crate::types::Signal;

/// What scoring a message yields.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Log-likelihood ratio in nats; positive speaks for spam.
    pub llr: f64,
    /// sigmoid(llr): the probability of spam at even odds.
    pub probability: f64,
    /// Strongest symbols, largest absolute weight first, at most 12.
    pub symbols: Vec<Signal>,
    /// Hosts of links, lower case, A-label form, without duplicates, at most 64.
    pub link_hosts: Vec<Box<str>>,
    /// Hash of the body, stable over retries (header changes do not matter).
    pub body_hash: u64,
    /// The message is a multipart/report; only its human part was scored.
    pub is_report: bool,
    /// Deepest MIME nesting.
    pub mime_depth: usize,
}

/// A loaded model.
pub struct Scorer {}

impl Scorer {
    /// The model built into the binary; an error if it is damaged.
    pub fn shipped() -> Result<Self, String> {
        unimplemented!()
    }
    /// Scores a raw message. Never fails: a message that cannot be read is scored by what could be read.
    pub fn score(&self, _message: &[u8]) -> Score {
        unimplemented!()
    }
}
