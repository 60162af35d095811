//! Alerts: events that are not blocks and that admins should know of. Pure.

use super::{ceilings, reasons};
use crate::config::Settings;
use crate::config::policies::{Policy, WhenExceeded};
use crate::types::{Address, Identity, Reason, SenderKey, Strength, TenantId};
use serde::{Deserialize, Serialize};

/// An event that is not a block and that admins should know of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub tenant: TenantId,
    pub sender: SenderKey,
    /// Address or login, for people.
    pub address: String,
    /// Which ceiling or rule.
    pub reason: Reason,
    /// Sentence with the counters.
    pub explanation: String,
    /// Policy whose ceiling it is.
    #[serde(default)]
    pub policy: String,
    /// What that policy does with mail beyond it.
    pub when_exceeded: WhenExceeded,
    /// How much of the ceiling is used up: 75 or 90; `None` = it was passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// The sender's own mailbox, if the sender is alerted too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<Address>,
}

impl Alert {
    /// A ceiling was passed.
    pub fn of(identity: &Identity, policy: &Policy, reason: Reason, limit: u64) -> Self {
        let explanation = format!(
            "{} The limit is {}.",
            reasons::help(reason),
            ceilings::figure(reason, limit)
        );
        Self {
            tenant: identity.tenant.clone(),
            sender: identity.key.clone(),
            address: identity.address.to_string(),
            reason,
            explanation,
            policy: policy.name.to_string(),
            when_exceeded: ceilings::response(policy, reason),
            percent: None,
            mailbox: None,
        }
    }

    /// A ceiling is nearly reached.
    pub fn near(
        identity: &Identity,
        settings: &Settings,
        policy: &Policy,
        near: &ceilings::Near,
    ) -> Self {
        let what = near.reason.as_str().replace('_', " ");
        let (used, limit) = (
            ceilings::figure(near.reason, near.used),
            ceilings::figure(near.reason, near.limit),
        );
        Self {
            explanation: format!(
                "{} % of the limit of {what} are used up: {used} of {limit}.",
                near.percent
            ),
            percent: Some(near.percent),
            mailbox: mailbox(identity, settings),
            ..Self::of(identity, policy, near.reason, near.limit)
        }
    }
}

/// The mailbox of the sender itself; none for the null sender. A merely claimed address is used
/// only if it is one of the tenant's own.
fn mailbox(identity: &Identity, settings: &Settings) -> Option<Address> {
    let address = Address::parse(&identity.address).or_else(|| {
        let login =
            Some(&*identity.address).filter(|login| !login.is_empty() && !login.contains('@'))?;
        Address::parse(&format!("{login}@{}", identity.domain.as_ref()?))
    })?;
    let own = || {
        settings
            .tenant(&identity.tenant)
            .is_some_and(|t| t.is_internal(address.domain()))
    };
    let proven = matches!(
        identity.strength,
        Strength::Authenticated | Strength::Asserted
    );
    (!identity.foreign && (proven || own())).then_some(address)
}
