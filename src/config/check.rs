//! From the raw file to `Settings`, section by section.

use super::entries::{clients, listeners, pools, routes, tenants};
use super::error::Wrong;
use super::external_checks;
use super::policies;
use super::raw::{ConfigPlace, ConfigReader, ConfigSection};
use super::scopes::{self, KnownNames};
use super::settings::*;
use super::tuning::Tuning;
use super::typed::{number, string};
use super::values::optional;
use std::path::PathBuf;
use std::sync::Arc;

/// Most durations of blocks in a list.
const MOST_DURATIONS: usize = 20;

/// Settings with the places their parts came from, for the checks that look at several parts
/// together.
pub(super) struct Checked {
    pub settings: Settings,
    /// `[[listener]]`, in order; empty where the default stands.
    pub listeners: Vec<ConfigPlace>,
    pub clients: Vec<ConfigPlace>,
    pub tenants: Vec<ConfigPlace>,
    pub routes: Vec<ConfigPlace>,
    /// `[[pool]] name = "high_risk"`, or the file.
    pub high_risk: ConfigPlace,
    pub sections: Sections,
}

/// Places of single sections.
pub(super) struct Sections {
    pub server: ConfigPlace,
    pub limits: ConfigPlace,
    pub delivery: ConfigPlace,
    pub scoring: ConfigPlace,
    pub admin: ConfigPlace,
    pub public: ConfigPlace,
    pub reports: ConfigPlace,
}

/// Reads the whole file. What is wrong stands in the reader; the settings mean something only if
/// nothing is.
pub(super) fn settings(reader: &ConfigReader<'_>, root: ConfigSection<'_, '_>) -> Checked {
    let section = |name| root.section(name);
    let s = section("server");
    let (server, server_at) = (ServerSettings::read(&s), end(s));
    let (listeners, listeners_at) = listeners(&root);
    let tls = whole(section("tls"), tls);
    let s = section("limits");
    let (limits, limits_at) = (LimitSettings::read(&s), end(s));
    let (tenants, tenants_at) = tenants(&root, &server.hostname);
    let (clients, clients_at) = clients(&root, &tenants);
    let (pool_normal, pool_high_risk, high_risk) = pools(reader, &root, &server.hostname);
    let (routes, routes_at) = routes(&root);
    let s = section("delivery");
    let (delivery, delivery_at) = (delivery(&s), end(s));
    let s = section("scoring");
    let (scoring, scoring_at) = (ScoringSettings::read(&s), end(s));
    let s = section("admin");
    let (admin, admin_at) = (AdminSettings::read(&s), end(s));
    let s = section("public");
    let (public, public_at) = (PublicSettings::read(&s), end(s));
    let groups = scopes::groups(section("group"));
    let known = KnownNames {
        groups: &groups,
        tenants: &tenants,
    };
    let (policy, policies) = policies::policies(section("policy"), &known);
    let listening = listeners.iter().any(|l| l.kind == ListenerKind::Reports);
    let s = section("reports");
    let reports = ReportSettings::read(&s, &server.hostname, listening);
    let reports_at = end(s);
    let settings = Settings {
        listeners,
        tls,
        limits,
        clients,
        pool_normal,
        pool_high_risk,
        routes,
        delivery,
        dns: whole(section("dns"), DnsSettings::read),
        scoring,
        outside: Arc::new(external_checks::outside(&root)),
        detector: whole(section("detector"), detector),
        policy,
        policies,
        allowances: scopes::allowances(&root, &tenants),
        groups,
        tenants,
        blocks: whole(section("blocks"), blocks),
        held: whole(section("held"), HeldSettings::read),
        reports,
        notify: whole(section("notify"), |s| {
            NotifySettings::read(s, &server.hostname)
        }),
        records: whole(section("records"), RecordsSettings::read),
        admin,
        public,
        log: whole(section("log"), LogSettings::read),
        server,
    };
    root.finish();
    Checked {
        settings,
        listeners: listeners_at,
        clients: clients_at,
        tenants: tenants_at,
        routes: routes_at,
        high_risk,
        sections: Sections {
            server: server_at,
            limits: limits_at,
            delivery: delivery_at,
            scoring: scoring_at,
            admin: admin_at,
            public: public_at,
            reports: reports_at,
        },
    }
}

/// Reads a section and ends it.
fn whole<T>(section: ConfigSection<'_, '_>, read: impl FnOnce(&ConfigSection<'_, '_>) -> T) -> T {
    let value = read(&section);
    section.finish();
    value
}

/// Ends a section: its unknown keys are recorded; gives its place.
pub(super) fn end(section: ConfigSection<'_, '_>) -> ConfigPlace {
    let place = section.place.clone();
    section.finish();
    place
}

fn tls(s: &ConfigSection<'_, '_>) -> Option<TlsFiles> {
    let path = |key| {
        s.get(key, None, |v| {
            optional(string(v)?, |p| Ok(PathBuf::from(p)))
        })
    };
    let (certificate, key) = (path("certificate"), path("key"));
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            s.error(
                "key",
                Wrong::new(
                    "is empty, while certificate is given",
                    "give both, or neither",
                ),
            );
            None
        }
        (None, Some(_)) => {
            s.error(
                "certificate",
                Wrong::new("is empty, while key is given", "give both, or neither"),
            );
            None
        }
    }
}

fn delivery(s: &ConfigSection<'_, '_>) -> DeliverySettings {
    let delivery = DeliverySettings::read(s);
    s.refuse_empty("retry", "write at least one wait, such as [\"5m\"]");
    delivery
}

fn blocks(s: &ConfigSection<'_, '_>) -> BlockSettings {
    let blocks = BlockSettings::read(s);
    s.refuse_empty(
        "duration",
        "write at least one, such as [\"1h\", \"24h\", \"until_released\"]",
    );
    if blocks.durations.len() > MOST_DURATIONS {
        s.error(
            "duration",
            Wrong::new(
                "has too many steps",
                format!("write at most {MOST_DURATIONS}; the last one repeats"),
            ),
        );
    }
    blocks
}

fn detector(s: &ConfigSection<'_, '_>) -> Tuning {
    let mut tuning = Tuning::default();
    for (key, value, least, most) in tuning.keys() {
        *value = s.get(key, *value, |v| number(v, &(least..=most)));
    }
    tuning
}
