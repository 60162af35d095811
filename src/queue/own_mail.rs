//! How mail that the relay writes itself enters the queue: reports, notices, copies for review,
//! forwarded complaints.

use super::Queue;
use crate::spool::{Spool, SpoolError};
use crate::types::{Envelope, MessageId, MessageMeta, Pool, Time};
use bytes::Bytes;
use std::sync::Arc;

/// A mail of our own, ready to be spooled.
pub(crate) struct OwnMail {
    /// Drawn beforehand, because the mail contains its own id.
    pub id: MessageId,
    /// When it was written.
    pub now: Time,
    pub envelope: Envelope,
    /// Which pool carries it.
    pub pool: Pool,
    /// Header and body, CRLF lines. The header has `Auto-Submitted` (RFC 3834), unless the relay
    /// only forwards someone else's mail.
    pub message: Vec<u8>,
}

impl OwnMail {
    /// Spools the mail and queues it. No decision or block applies to it.
    ///
    /// # Errors
    /// The spool does not take it; nothing is sent then.
    pub(crate) async fn submit(self, spool: &Spool, queue: &Queue) -> Result<(), SpoolError> {
        let message = Bytes::from(self.message);
        let meta = MessageMeta::of_ours(self.id, self.now, self.envelope, self.pool, message.len());
        let meta = Arc::new(meta);
        spool.accept(&meta, message).await?;
        queue.enqueue(meta);
        Ok(())
    }
}
