//! One mail transaction as the accept path sees it.

use crate::detector::Reservation;
use crate::types::{Identity, ReversePath};

/// From MAIL to the end of the message.
pub(crate) struct Transaction {
    /// The sender as far as it was known at MAIL.
    pub identity: Identity,
    /// The envelope sender as given.
    pub from: ReversePath,
    /// Recipients reserved under that identity.
    pub reservation: Reservation,
    /// Recipients within the tenant that were taken although the sender is blocked.
    pub internal_part: u32,
}

impl Transaction {
    pub(super) fn new(identity: Identity, from: ReversePath) -> Self {
        Self {
            identity,
            from,
            reservation: Reservation::default(),
            internal_part: 0,
        }
    }
}
