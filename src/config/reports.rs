//! `[reports]`: where feedback from outside comes in. The keys decide together about what the
//! relay works with, so they are read and shown by hand.

use super::feedback_loops::Sources;
use super::form::{Out, count, list, optional, shown_or_empty, size};
use super::raw::ConfigSection;
use super::settings::own_address;
use super::values;
use crate::types::{Address, Domain};

/// `[reports]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReportSettings {
    /// Whether outgoing mail carries the token that complaints bring back: there is a listener for
    /// reports here, or the address is named (the listener may be another machine's).
    pub active: bool,
    /// Complaints (ARF) are taken for this address.
    pub address: Address,
    /// Domain of the return paths.
    pub domain: Domain,
    /// Largest report, in octets.
    pub message_size_bytes: u64,
    /// Reports taken in a minute, a quarter of them from one address; 0 = no limit.
    pub per_minute: u32,
    /// Who gets mail to `address` that is no complaint; `None` = it is refused.
    pub other_mail_to: Option<Address>,
    pub sources: Sources,
}

impl ReportSettings {
    /// Reads all keys. `listening`: there is a listener for reports.
    pub(super) fn read(s: &ConfigSection<'_, '_>, hostname: &Domain, listening: bool) -> Self {
        let named = optional(values::address).read(s, "address", None);
        let active = listening || named.is_some();
        let address = named.unwrap_or_else(|| own_address("reports", hostname));
        let domain = optional(values::domain).read(s, "domain", None);
        Self {
            active,
            domain: domain.unwrap_or_else(|| address.domain().clone()),
            address,
            message_size_bytes: size(16 << 10..=1 << 30).read(s, "message_size_bytes", 10 << 20),
            per_minute: count(0..=1_000_000).read(s, "per_minute", 600),
            other_mail_to: optional(values::address).read(s, "other_mail_to", None),
            sources: Sources::new(
                list(values::feedback_loop).read(s, "feedback_loops", Vec::new()),
                list(values::network).read(s, "complaint_networks", Vec::new()),
                list(values::domain).read(s, "complaint_dkim_domains", Vec::new()),
            ),
        }
    }

    /// Writes all keys. The default of the address depends on whether there is a listener, so only
    /// an address in use is written.
    pub(super) fn show(&self, out: &mut Out) {
        out.raw(
            "address",
            shown_or_empty(self.active.then_some(&self.address)),
        );
        out.text("domain", &self.domain);
        out.raw("message_size_bytes", self.message_size_bytes);
        out.raw("per_minute", self.per_minute);
        out.raw("other_mail_to", shown_or_empty(self.other_mail_to.as_ref()));
        out.list("feedback_loops", &self.sources.loops);
        out.list("complaint_networks", &self.sources.networks);
        out.list("complaint_dkim_domains", &self.sources.dkim_domains);
    }
}
