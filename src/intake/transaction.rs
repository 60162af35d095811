//! One mail transaction as the accept path sees it.

use crate::decisions::TakenRecipients;
use crate::types::{Identity, ReversePath};

/// From MAIL to the end of the message.
pub(crate) struct Transaction {
    /// The sender as far as MAIL names it.
    pub(super) identity: Identity,
    /// The envelope sender as given.
    pub(super) from: ReversePath,
    /// The recipients that RCPT took.
    pub(super) taken: TakenRecipients,
}

impl Transaction {
    pub(super) fn new(identity: Identity, from: ReversePath) -> Self {
        Self {
            identity,
            from,
            taken: TakenRecipients::default(),
        }
    }
}
