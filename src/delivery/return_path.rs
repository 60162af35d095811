//! The return path under which a message leaves.

use crate::config::Settings;
use crate::message_token::TokenKey;
use crate::types::{Address, MessageMeta, ReversePath};

/// The return path under which a message leaves for these recipients, where its tenant wants it:
/// not for forwarded mail, whose sender is not ours to speak for, and not for mail that stays
/// inside. Pure.
pub(super) fn return_path(
    settings: &Settings,
    key: &TokenKey,
    meta: &MessageMeta,
    recipients: &[u32],
) -> Option<ReversePath> {
    let identity = meta
        .identity
        .as_ref()
        .filter(|identity| !identity.foreign)?;
    let tenant = settings
        .tenant(&identity.tenant)
        .filter(|tenant| tenant.verp)?;
    meta.envelope.from.0.as_ref()?;
    let external = |index: &u32| {
        let recipient = usize::try_from(*index)
            .ok()
            .and_then(|i| meta.envelope.recipients.get(i));
        recipient.is_some_and(|r| !tenant.is_internal(r.address.domain()))
    };
    if !recipients.iter().any(external) {
        return None;
    }
    Address::parse(&key.return_path(meta.id, &settings.reports.domain))
        .map(|address| ReversePath(Some(address)))
}
