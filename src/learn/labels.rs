//! Labels by message id: from admins, from decisions on blocks and held mail.

use super::{Forgotten, Learner};
use crate::env::Clock;
use crate::spool::Spool;
use crate::types::{MessageId, TenantId};
use std::sync::Arc;

/// Finds the message of a label and teaches it.
#[derive(Clone)]
pub(crate) struct Labels {
    learner: Arc<Learner>,
    clock: Arc<dyn Clock>,
    spool: Spool,
}

impl Labels {
    /// Looks for messages among the newest, then in `spool`.
    pub(crate) fn new(learner: Arc<Learner>, clock: Arc<dyn Clock>, spool: Spool) -> Self {
        Self {
            learner,
            clock,
            spool,
        }
    }

    /// Teaches that this message of `tenant` is spam, or is not. An error if nothing is known of it
    /// any more.
    pub(crate) async fn teach(
        &self,
        id: MessageId,
        tenant: &TenantId,
        spam: bool,
    ) -> Result<(), Forgotten> {
        let now = self.clock.now();
        if self.learner.label(now, id, tenant, spam, None).is_ok() {
            return Ok(());
        }
        match self.spool.read(id).await {
            Ok((meta, body)) if meta.identity.as_ref().is_some_and(|i| i.tenant == *tenant) => {
                self.learner.label(now, id, tenant, spam, Some(&body))
            }
            Ok(_) | Err(_) => Err(Forgotten),
        }
    }

    /// Keeps what is needed to label this message, which may be gone from the spool when the label
    /// comes.
    pub(crate) async fn keep(&self, id: MessageId, tenant: &TenantId) {
        if let Ok((_, body)) = self.spool.read(id).await {
            self.learner.keep(id, tenant, &body);
        }
    }

    /// The same for a label that is a by-product: it is no failure if the message is gone.
    pub(crate) async fn put(&self, id: MessageId, tenant: &TenantId, spam: bool) {
        if self.teach(id, tenant, spam).await.is_err() {
            tracing::debug!(%id, "a label came too late to teach");
        }
    }
}
