//! The return path of an outgoing message.

use crate::config::Settings;
use crate::message_token::TokenKey;
use crate::types::{Address, MessageMeta, ReversePath};

/// The return path for these recipients, if the tenant wants its own. There is none for forwarded
/// mail, whose sender belongs to someone else, and none if all recipients are internal. Pure.
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
