//! The recipient that an outcome or a report is about.

use crate::identity::sender_address;
use crate::types::{Address, stable_hash};

/// The recipient that an outcome is about, as hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addressee {
    /// The address, as in [`RecipientFacts`](crate::types::RecipientFacts).
    pub recipient: u64,
    /// The mailbox behind it: sub-addresses are one.
    pub mailbox: u64,
    /// The site that answers for it: the registrable domain.
    pub site: u64,
}

impl Addressee {
    /// Of an address.
    pub fn of(address: &Address) -> Self {
        let domain = address.domain().as_str();
        let site = psl::domain_str(domain).unwrap_or(domain);
        Self {
            recipient: stable_hash(&[address.key().as_bytes()]),
            mailbox: mailbox_hash(address),
            site: stable_hash(&[site.as_bytes()]),
        }
    }
}

impl From<u64> for Addressee {
    /// Of a recipient of whom only the hash is known.
    fn from(recipient: u64) -> Self {
        Self {
            recipient,
            mailbox: recipient,
            site: recipient,
        }
    }
}

/// The hash of the mailbox behind an address; it identifies who complains.
pub(crate) fn mailbox_hash(address: &Address) -> u64 {
    stable_hash(&[sender_address(address).as_bytes()])
}
