//! Telling people: mail through our own queue, webhook. Deduplicated: a storm gives one notice and
//! a count.

mod call;
mod compose;
#[cfg(test)]
mod compose_tests;
mod dedup;
mod task;
mod webhook;

pub(crate) use task::{Inbox, Notifier, Outbox};
pub(crate) use webhook::run as run_webhook;

use crate::policy::alert::Alert;
use crate::types::{Block, TenantId};
use std::sync::Arc;

/// Something people should hear about.
#[derive(Debug, Clone)]
pub(crate) enum Notice {
    /// A block was opened.
    Blocked {
        block: Arc<Block>,
        /// Messages of the subject that were in the queue and are held now.
        held: usize,
    },
    /// A block was released by a person.
    Released { block: Arc<Block> },
    /// A ceiling was passed without a block, or is nearly reached (then its sender is told too).
    Alert(Alert),
    /// Several accounts of one tenant turned bad within a day: rather a leak of passwords than one
    /// careless user.
    Trouble {
        tenant: TenantId,
        /// Blocks the relay opened for it in the last 24 hours that are still in force.
        blocked: usize,
    },
}

impl Notice {
    /// The tenant whose admins are told; `None` = operators only.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Blocked { block, .. } | Self::Released { block } => block.tenant.as_ref(),
            Self::Alert(alert) => Some(&alert.tenant),
            Self::Trouble { tenant, .. } => Some(tenant),
        }
    }

    /// Name of the event in the webhook.
    pub(crate) const fn event(&self) -> &'static str {
        match self {
            Self::Blocked { .. } => "block.opened",
            Self::Released { .. } => "block.released",
            Self::Alert(alert) if alert.percent.is_some() => "warning",
            Self::Alert(_) => "alert",
            Self::Trouble { .. } => "tenant.trouble",
        }
    }

    /// Notices with the same key within the window are counted, not sent. A block goes by its
    /// reference: when a sender that was released is blocked again, people must hear of it. Storms
    /// are bounded by the number sent; see [`dedup`].
    fn key(&self) -> String {
        let tenant = self.tenant().map_or("", TenantId::as_str);
        match self {
            Self::Blocked { block, .. } | Self::Released { block } => {
                format!("{}|{tenant}|{}", self.event(), block.reference)
            }
            Self::Alert(alert) => {
                let percent = alert.percent.unwrap_or(100);
                format!(
                    "{}|{tenant}|{}|{}|{percent}",
                    self.event(),
                    alert.sender,
                    alert.reason.as_str()
                )
            }
            Self::Trouble { blocked, .. } => format!("{}|{tenant}|{blocked}", self.event()),
        }
    }
}
