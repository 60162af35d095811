//! Where complaints may come from: networks and DKIM domains that the configuration names, and the
//! table of known feedback loops. Pure.

use crate::types::{Address, Domain};
use ipnet::IpNet;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The table of known feedback loops, part of the program.
pub(crate) const TABLE: &str = include_str!("../../config/feedback_loops.toml");

/// An entry of the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Loop {
    /// Name for people: whose users complain through it.
    pub title: String,
    /// Domains that sign its reports.
    pub dkim_domains: Vec<String>,
    /// From addresses of its reports; none = any.
    pub from: Vec<String>,
    /// Page to register at.
    pub register: String,
}

/// The known feedback loops by name.
pub(crate) fn known() -> BTreeMap<String, Loop> {
    toml::from_str(TABLE)
        .expect("the table of feedback loops is part of the program and a test reads it")
}

/// Who is believed when complaints come, as the configuration names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Names out of the table.
    pub loops: Vec<String>,
    /// Networks from which reports are brought.
    pub networks: Vec<IpNet>,
    /// Domains whose DKIM signature counts, whatever the From.
    pub dkim_domains: Vec<Domain>,
    /// What the named loops sign with: domain and From addresses.
    signers: Vec<(Domain, Vec<Address>)>,
}

impl Sources {
    /// From what the configuration says; names that the table does not know sign nothing.
    pub(crate) fn new(loops: Vec<String>, networks: Vec<IpNet>, dkim_domains: Vec<Domain>) -> Self {
        let known = known();
        let signers = loops
            .iter()
            .filter_map(|name| known.get(name))
            .flat_map(|entry| {
                let from: Vec<Address> = entry
                    .from
                    .iter()
                    .filter_map(|text| Address::parse(text))
                    .collect();
                entry
                    .dkim_domains
                    .iter()
                    .filter_map(move |text| Some((Domain::parse(text)?, from.clone())))
            });
        let signers = signers.collect();
        Self {
            loops,
            networks,
            dkim_domains,
            signers,
        }
    }

    /// Whether nobody is named: no complaint counts.
    pub(crate) const fn is_empty(&self) -> bool {
        self.loops.is_empty() && self.networks.is_empty() && self.dkim_domains.is_empty()
    }

    /// Whether a report that this address brings is believed.
    pub(crate) fn has_network(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// Whether a report with a valid signature of `domain` and this From is believed. Without
    /// `from`: whether it may be.
    pub(crate) fn has_signer(&self, domain: &Domain, from: Option<&Address>) -> bool {
        let by_loop = |(signer, senders): &(Domain, Vec<Address>)| {
            let right = |from: &Address| {
                senders.is_empty() || senders.iter().any(|s| s.key() == from.key())
            };
            signer == domain && from.is_none_or(right)
        };
        self.dkim_domains.contains(domain) || self.signers.iter().any(by_loop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_and_every_loop_says_by_what_it_is_known() {
        let known = known();
        assert!(known.len() >= 5);
        for (name, entry) in &known {
            assert!(
                !entry.dkim_domains.is_empty() && entry.register.starts_with("https://"),
                "{name}"
            );
            assert!(
                entry
                    .dkim_domains
                    .iter()
                    .all(|d| Domain::parse(d).is_some()),
                "{name}"
            );
            assert!(
                entry.from.iter().all(|a| Address::parse(a).is_some()),
                "{name}"
            );
        }
    }

    #[test]
    fn only_who_is_named_is_believed_and_a_providers_users_are_not_the_provider() {
        let domain = |text: &str| Domain::parse(text).expect("a domain");
        let address = |text: &str| Address::parse(text).expect("an address");
        let sources = Sources::new(
            vec!["microsoft".into(), "yahoo".into()],
            vec![],
            vec![domain("isp.example")],
        );
        for (signer, from, believed) in [
            ("hotmail.com", "staff@hotmail.com", true),
            ("hotmail.com", "mallory@hotmail.com", false),
            ("yahoo.com", "mallory@yahoo.com", false),
            ("arf.mail.yahoo.com", "feedback@arf.mail.yahoo.com", true),
            ("isp.example", "anybody@isp.example", true),
            ("sub.isp.example", "anybody@isp.example", false),
            (
                "senderscore.net",
                "feedbackloop@comcastfbl.senderscore.net",
                false,
            ),
        ] {
            assert_eq!(
                sources.has_signer(&domain(signer), Some(&address(from))),
                believed,
                "{signer} {from}"
            );
        }
        assert!(
            sources.has_signer(&domain("hotmail.com"), None),
            "worth a look"
        );
        assert!(!sources.has_network([127, 0, 0, 1].into()) && Sources::default().is_empty());
    }
}
