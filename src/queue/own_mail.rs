//! The way of mail that the relay writes itself: reports, notices, copies for review, forwarded
//! complaints.

use super::Queue;
use crate::spool::{Spool, SpoolError};
use crate::types::{Envelope, MessageId, MessageMeta, Pool, Time};
use bytes::Bytes;
use std::sync::Arc;

/// A mail of our own, complete but for its way out.
pub(crate) struct OwnMail {
    /// Drawn before, because the mail names itself by it.
    pub id: MessageId,
    /// When it was written.
    pub now: Time,
    pub envelope: Envelope,
    /// Which pool carries it.
    pub pool: Pool,
    /// Header and body, CRLF lines. The header says `Auto-Submitted` (RFC 3834), unless the mail is
    /// somebody else's that is passed on.
    pub message: Vec<u8>,
}

impl OwnMail {
    /// Spools the mail and queues it. It is never judged nor blocked.
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
