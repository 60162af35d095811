//! From the raw file to `Settings`: every key, its range and its default, each said once, here and
//! (for what comes in numbers) in `entries`.

use super::entries::{clients, listeners, pools, routes, tenants};
use super::error::Wrong;
use super::external_checks;
use super::policies;
use super::raw::{
    Place, Reader, Section, boolean, duration, in_range, integer, number, one_of, size, string,
};
use super::scopes::{self, Known};
use super::settings::*;
use super::units;
use super::values::{self, Env, optional};
use crate::config::feedback_loops::Sources;
use crate::config::tuning::Tuning;
use crate::score::{MAX_MIME_DEPTH, MAX_MIME_PARTS};
use crate::types::{Address, Domain};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Steps that durations of blocks may grow in.
const MOST_DURATIONS: usize = 20;

/// Settings with the places their parts came from, for the checks that look at several parts
/// together.
pub(super) struct Checked {
    /// The settings.
    pub settings: Settings,
    /// `[[listener]]`, in order; empty where the default stands.
    pub listeners: Vec<Place>,
    /// `[[client]]`, likewise.
    pub clients: Vec<Place>,
    /// `[[tenant]]`, likewise.
    pub tenants: Vec<Place>,
    /// `[[route]]`, likewise.
    pub routes: Vec<Place>,
    /// `[[pool]] name = "high_risk"`, or the file.
    pub high_risk: Place,
    /// Single sections.
    pub sections: Sections,
}

/// Places of single sections.
pub(super) struct Sections {
    pub server: Place,
    pub limits: Place,
    pub delivery: Place,
    pub scoring: Place,
    pub admin: Place,
    pub public: Place,
    pub reports: Place,
}

/// Reads the whole file. What is wrong stands in the reader; the settings mean something only if
/// nothing is.
pub(super) fn settings(reader: &Reader<'_>, root: Section<'_, '_>, env: Env<'_>) -> Checked {
    let (server, server_at) = server(root.section("server"));
    let (listeners, listeners_at) = listeners(&root);
    let tls = tls(root.section("tls"));
    let (limits, limits_at) = limits(root.section("limits"));
    let (tenants, tenants_at) = tenants(&root, &server.hostname);
    let (clients, clients_at) = clients(&root, &tenants);
    let (pool_normal, pool_high_risk, high_risk) = pools(reader, &root, &server.hostname);
    let (routes, routes_at) = routes(&root, env);
    let (delivery, delivery_at) = delivery(root.section("delivery"));
    let (scoring, scoring_at) = scoring(root.section("scoring"));
    let ((admin_bind, admin_url, admin_hosts), admin_at) = admin(root.section("admin"));
    let (public, public_at) = public(root.section("public"));
    let groups = scopes::groups(root.section("group"));
    let (policy, policies) = policies::policies(
        root.section("policy"),
        &Known {
            groups: &groups,
            tenants: &tenants,
        },
    );
    let listening = listeners.iter().any(|l| l.kind == ListenerKind::Reports);
    let (reports, reports_at) = reports(root.section("reports"), &server.hostname, listening);
    let settings = Settings {
        listeners,
        tls,
        limits,
        clients,
        pool_normal,
        pool_high_risk,
        routes,
        delivery,
        dns_servers: dns(root.section("dns")),
        scoring,
        outside: Arc::new(external_checks::outside(&root, env)),
        detector: detector(root.section("detector")),
        policy,
        policies,
        allowances: scopes::allowances(&root, &tenants),
        groups,
        tenants,
        blocks: blocks(root.section("blocks")),
        held_expire: held(root.section("held")),
        reports,
        notify: notify(root.section("notify"), &server.hostname, env),
        records: records(root.section("records")),
        admin_bind,
        admin_url,
        admin_hosts,
        public,
        log: log(root.section("log")),
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

/// Ends a section: its unknown keys are recorded; gives its place.
pub(super) fn end(section: Section<'_, '_>) -> Place {
    let place = section.place.clone();
    section.finish();
    place
}

/// A count that fits `usize`; the ranges used are far below.
pub(super) fn count(
    section: &Section<'_, '_>,
    key: &'static str,
    default: usize,
    least: u64,
    most: u64,
) -> usize {
    section.get(key, default, |v| {
        integer(v, &(least..=most)).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
    })
}

/// A count that fits `u32`.
fn count32(
    section: &Section<'_, '_>,
    key: &'static str,
    default: u32,
    least: u32,
    most: u32,
) -> u32 {
    section.get(key, default, |v| {
        integer(v, &(u64::from(least)..=u64::from(most)))
            .map(|n| u32::try_from(n).unwrap_or(u32::MAX))
    })
}

fn server(s: Section<'_, '_>) -> (Server, Place) {
    let server = Server {
        // A name below .localhost can never be somebody else's (RFC 6761 section 6.3).
        hostname: s.get("hostname", default_hostname(), |v| {
            values::domain(string(v)?)
        }),
        data_dir: s.get("data_dir", PathBuf::from("data"), |v| match string(v)? {
            "" => Err(Wrong::new(
                "is empty",
                "write a directory, such as \"data\"",
            )),
            path => Ok(PathBuf::from(path)),
        }),
    };
    (server, end(s))
}

fn default_hostname() -> Domain {
    Domain::parse("outgate.localhost").expect("the default host name is a domain")
}

fn tls(s: Section<'_, '_>) -> Option<TlsFiles> {
    let path = |key| {
        s.get(key, None, |v| {
            optional(string(v)?, |p| Ok(PathBuf::from(p)))
        })
    };
    let (certificate, key) = (path("certificate"), path("key"));
    let files = match (certificate, key) {
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
    };
    s.finish();
    files
}

fn limits(s: Section<'_, '_>) -> (Limits, Place) {
    // Sizes are kept in 32 bits.
    let message_size_bytes = s.get("message_size_bytes", 50 << 20, |v| {
        size(v, &(1 << 10..=1 << 30))
    });
    let limits = Limits {
        message_size_bytes,
        recipients_per_message: count32(&s, "recipients_per_message", 1000, 1, 100_000),
        // RFC 5321 section 4.5.3.1.6: at least 1000 octets.
        line_bytes: s.get("line_bytes", 1 << 20, |v| size(v, &(1000..=1 << 30))),
        idle_timeout: s.get("idle_timeout", 5 * MINUTE, |v| {
            duration(v, &(SECOND..=HOUR))
        }),
        sessions: count(&s, "sessions", 10_000, 1, 1_000_000),
        sessions_per_address: count(&s, "sessions_per_address", 200, 1, 1_000_000),
        body_memory_bytes: s.get(
            "body_memory_bytes",
            message_size_bytes.max(256 << 20),
            |v| size(v, &(1 << 20..=1 << 40)),
        ),
        header_fields: count(&s, "header_fields", 1000, 10, 100_000),
        mime_depth: count(&s, "mime_depth", 50, 5, MAX_MIME_DEPTH as u64),
        mime_parts: count(&s, "mime_parts", MAX_MIME_PARTS, 10, MAX_MIME_PARTS as u64),
        errors_per_session: count32(&s, "errors_per_session", 20, 1, 10_000),
        idle_commands: count32(&s, "idle_commands", 100, 5, 100_000),
        // RFC 5321 section 6.3: the limit should be no lower than 100.
        received_fields: count(&s, "received_fields", 100, 10, 10_000),
    };
    (limits, end(s))
}

fn delivery(s: Section<'_, '_>) -> (Delivery, Place) {
    let waits = [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR];
    let delivery = Delivery {
        retry: s.list("retry", waits.to_vec(), |t| {
            units::duration(t).and_then(|d| in_range(d, &(Duration::from_millis(1)..=7 * DAY)))
        }),
        expire: s.get("expire", 5 * DAY, |v| duration(v, &(SECOND..=30 * DAY))),
        delay_notice: s.get("delay_notice", 4 * HOUR, |v| {
            duration(v, &(Duration::ZERO..=30 * DAY))
        }),
        allow_private_addresses: s.get("allow_private_addresses", false, boolean),
        mx_port: s.get("mx_port", 25, |v| {
            integer(v, &(1..=65_535)).map(|n| u16::try_from(n).unwrap_or(25))
        }),
        connections: count(&s, "connections", 500, 1, 100_000),
    };
    s.refuse_empty("retry", "write at least one wait, such as [\"5m\"]");
    (delivery, end(s))
}

fn dns(s: Section<'_, '_>) -> Vec<SocketAddr> {
    let servers = s.list("servers", Vec::new(), values::dns_server);
    s.finish();
    servers
}

fn scoring(s: Section<'_, '_>) -> (Scoring, Place) {
    let scoring = Scoring {
        suspicious_probability: s.get("suspicious_probability", 0.9, |v| number(v, &(0.0..=1.0))),
        spam_probability: s.get("spam_probability", 0.99, |v| number(v, &(0.0..=1.0))),
        learning_messages: s.get("learning_messages", 500, |v| integer(v, &(0..=1_000_000))),
    };
    (scoring, end(s))
}

fn detector(s: Section<'_, '_>) -> Tuning {
    let mut tuning = Tuning::default();
    for (key, value, least, most) in tuning.keys() {
        *value = s.get(key, *value, |v| number(v, &(least..=most)));
    }
    s.finish();
    tuning
}

fn blocks(s: Section<'_, '_>) -> Blocks {
    let mut durations = s.get(
        "duration",
        vec![BlockDuration::UntilReleased],
        |v| match v.as_array() {
            None => values::block_duration(string(v)?).map(|one| vec![one]),
            Some(list) => list
                .iter()
                .map(|one| values::block_duration(string(one.get_ref())?))
                .collect(),
        },
    );
    s.refuse_empty(
        "duration",
        "write at least one, such as [\"1h\", \"24h\", \"until_released\"]",
    );
    if durations.len() > MOST_DURATIONS {
        s.error(
            "duration",
            Wrong::new(
                "has too many steps",
                format!("write at most {MOST_DURATIONS}; the last one repeats"),
            ),
        );
    }
    let repeated = durations.split_off(durations.len().min(1));
    let blocks = Blocks {
        duration: durations
            .first()
            .copied()
            .unwrap_or(BlockDuration::UntilReleased),
        repeated,
        releases_by_tenant: count32(&s, "releases_by_tenant", 3, 0, 1000),
        allow_internal: s.get("allow_internal", true, boolean),
        internal_recipients_per_hour: s.get("internal_recipients_per_hour", 30, |v| {
            integer(v, &(0..=1_000_000))
        }),
        internal_recipients_per_day: s.get("internal_recipients_per_day", 100, |v| {
            integer(v, &(0..=1_000_000))
        }),
    };
    s.finish();
    blocks
}

fn held(s: Section<'_, '_>) -> Duration {
    let expire = s.get("expire", 5 * DAY, |v| duration(v, &(SECOND..=YEAR)));
    s.finish();
    expire
}

fn reports(s: Section<'_, '_>, hostname: &Domain, listening: bool) -> (Reports, Place) {
    let own = || {
        Address::parse(&format!("reports@{hostname}"))
            .expect("a short local part at a checked domain is an address")
    };
    let named = s.get("address", None, |v| optional(string(v)?, values::address));
    let active = listening || named.is_some();
    let address = named.unwrap_or_else(own);
    let reports = Reports {
        active,
        domain: s
            .get("domain", None, |v| optional(string(v)?, values::domain))
            .unwrap_or_else(|| address.domain().clone()),
        address,
        message_size_bytes: s.get("message_size_bytes", 10 << 20, |v| {
            size(v, &(16 << 10..=1 << 30))
        }),
        per_minute: count32(&s, "per_minute", 600, 0, 1_000_000),
        other_mail_to: s.get("other_mail_to", None, |v| {
            optional(string(v)?, values::address)
        }),
        sources: Sources::new(
            s.list("feedback_loops", Vec::new(), values::feedback_loop),
            s.list("complaint_networks", Vec::new(), values::network),
            s.list("complaint_dkim_domains", Vec::new(), values::domain),
        ),
    };
    (reports, end(s))
}

fn notify(s: Section<'_, '_>, hostname: &Domain, env: Env<'_>) -> NotifySettings {
    let own = || {
        Address::parse(&format!("outgate@{hostname}"))
            .expect("a short local part at a checked domain is an address")
    };
    let notify = NotifySettings {
        from: s.get("from", own(), |v| {
            optional(string(v)?, values::address).map(|a| a.unwrap_or_else(own))
        }),
        operators: s.list("operators", Vec::new(), values::address),
        webhook: s.get("webhook", None, |v| optional(string(v)?, values::url)),
        webhook_secret: s.get("webhook_secret", None, |v| {
            optional(string(v)?, |t| values::secret(t, env))
        }),
    };
    s.finish();
    notify
}

fn records(s: Section<'_, '_>) -> Records {
    let records = Records {
        trace: s.get("trace", 30 * DAY, |v| duration(v, &(SECOND..=10 * YEAR))),
        trace_bytes: s.get("trace_bytes", 10 << 30, |v| size(v, &(64 << 10..=1 << 50))),
        evidence: s.get("evidence", 90 * DAY, |v| duration(v, &(SECOND..=10 * YEAR))),
    };
    s.finish();
    records
}

fn admin(s: Section<'_, '_>) -> ((SocketAddr, Option<String>, Vec<String>), Place) {
    let bind = s.get("bind", SocketAddr::from((Ipv4Addr::LOCALHOST, 8025)), |v| {
        values::socket(string(v)?)
    });
    let url = s.get("url", None, |v| optional(string(v)?, values::base_url));
    let hosts = s.list("hosts", Vec::new(), values::host);
    ((bind, url, hosts), end(s))
}

fn public(s: Section<'_, '_>) -> (Public, Place) {
    let public = Public {
        bind: s.get("bind", None, |v| optional(string(v)?, values::socket)),
        // Paths are put behind it.
        url: s.get("url", None, |v| optional(string(v)?, values::base_url)),
        help: s.get("help", None, |v| optional(string(v)?, values::help)),
    };
    (public, end(s))
}

fn log(s: Section<'_, '_>) -> Log {
    let levels = ["error", "warn", "info", "debug", "trace"].map(|l| (l, l));
    let log = Log {
        format: s.get("format", LogFormat::Text, |v| {
            one_of(v, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
        }),
        level: s.get("level", "info", |v| one_of(v, &levels)).to_owned(),
        subjects: s.get("subjects", false, boolean),
        judgements: s.get("judgements", true, boolean),
    };
    s.finish();
    log
}
