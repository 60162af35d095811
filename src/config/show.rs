//! The effective settings as TOML that reads back to the same settings; secrets are left out.

use super::route_auth::MECHANISMS;
use super::settings::*;
use super::units::show_duration as time;
use crate::types::fingerprint::template_name;
use std::fmt::{Display, Write as _};

/// What stands in place of a secret. Not of the form `env:NAME`, so that it reads back without an
/// environment.
const REDACTED: &str = "(redacted)";

/// The effective settings as TOML, every key, secrets redacted.
pub(crate) fn show(settings: &Settings) -> String {
    let mut out = Out(String::new());
    server_side(&mut out, settings);
    people(&mut out, settings);
    delivery_side(&mut out, settings);
    judgement(&mut out, settings);
    surroundings(&mut out, settings);
    out.0
}

struct Out(String);

impl Out {
    fn section(&mut self, header: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{gap}{header}");
    }

    fn raw(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn text(&mut self, key: &str, value: impl Display) {
        self.raw(key, quoted(value));
    }

    fn list<T: Display>(&mut self, key: &str, values: impl IntoIterator<Item = T>) {
        let values: Vec<String> = values.into_iter().map(quoted).collect();
        self.raw(key, format_args!("[{}]", values.join(", ")));
    }
}

/// A TOML string.
fn quoted(value: impl Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

/// A float that TOML takes for a float, shortest exact form.
fn float(value: f64) -> String {
    format!("{value:?}")
}

fn server_side(out: &mut Out, s: &Settings) {
    out.section("[server]");
    out.text("hostname", &s.server.hostname);
    out.text("data_dir", s.server.data_dir.display());
    for listener in &s.listeners {
        out.section("[[listener]]");
        out.text("bind", listener.bind);
        let kind = match listener.kind {
            ListenerKind::Relay => "relay",
            ListenerKind::Submission => "submission",
            ListenerKind::Submissions => "submissions",
            ListenerKind::Reports => "reports",
        };
        out.text("kind", kind);
        out.list("proxy_protocol", &listener.proxy_protocol);
    }
    out.section("[tls]");
    out.text(
        "certificate",
        s.tls
            .as_ref()
            .map(|t| t.certificate.display().to_string())
            .unwrap_or_default(),
    );
    out.text(
        "key",
        s.tls
            .as_ref()
            .map(|t| t.key.display().to_string())
            .unwrap_or_default(),
    );
    let l = &s.limits;
    out.section("[limits]");
    out.raw("message_size_bytes", l.message_size_bytes);
    out.raw("recipients_per_message", l.recipients_per_message);
    out.raw("line_bytes", l.line_bytes);
    out.text("idle_timeout", time(l.idle_timeout));
    out.raw("sessions", l.sessions);
    out.raw("sessions_per_address", l.sessions_per_address);
    out.raw("body_memory_bytes", l.body_memory_bytes);
    out.raw("header_fields", l.header_fields);
    out.raw("mime_depth", l.mime_depth);
    out.raw("mime_parts", l.mime_parts);
    out.raw("errors_per_session", l.errors_per_session);
    out.raw("idle_commands", l.idle_commands);
    out.raw("received_fields", l.received_fields);
}

fn people(out: &mut Out, s: &Settings) {
    // Before the tables: an empty list of clients has no table that could say so.
    if s.clients.is_empty() {
        out.0.insert_str(0, "client = []\n\n");
    }
    for client in &s.clients {
        out.section("[[client]]");
        out.list("networks", &client.networks);
        out.list("tenants", &client.tenants);
        out.raw("trust_xclient", client.trust_xclient);
        out.raw("trust_received", client.trust_received);
        out.list("identity_headers", &client.identity_headers);
        out.text(
            "script_header",
            client.script_header.as_deref().unwrap_or_default(),
        );
    }
    for tenant in &s.tenants {
        out.section("[[tenant]]");
        out.text("name", &tenant.id);
        out.list("domains", &tenant.domains);
        out.list("admins", &tenant.admins);
        out.text("time_zone", &tenant.time_zone);
        out.text(
            "foreign_senders",
            if tenant.accept_foreign_senders {
                "accept"
            } else {
                "reject"
            },
        );
        out.raw("verp", tenant.verp);
    }
}

fn delivery_side(out: &mut Out, s: &Settings) {
    for (name, pool) in [("normal", &s.pool_normal), ("high_risk", &s.pool_high_risk)] {
        out.section("[[pool]]");
        out.text("name", name);
        out.list("addresses", &pool.addresses);
        out.text("ehlo", &pool.ehlo);
        out.raw(
            "connections_per_destination",
            pool.connections_per_destination,
        );
    }
    for route in &s.routes {
        out.section("[[route]]");
        out.text("domain", domains(&route.domain));
        let v6 = route.host.contains(':');
        out.text(
            "host",
            if v6 {
                format!("[{}]:{}", route.host, route.port)
            } else {
                format!("{}:{}", route.host, route.port)
            },
        );
        let tls = match route.tls {
            TlsMode::None => "none",
            TlsMode::Opportunistic => "opportunistic",
            TlsMode::Required => "required",
        };
        out.text("tls", tls);
        out.text("username", route.username.as_deref().unwrap_or_default());
        out.text(
            "password",
            if route.password.is_some() {
                REDACTED
            } else {
                ""
            },
        );
        route_token(out, route);
        out.raw("allow_unverified", route.allow_unverified);
    }
    let d = &s.delivery;
    out.section("[delivery]");
    out.list("retry", d.retry.iter().map(|wait| time(*wait)));
    out.text("expire", time(d.expire));
    out.text("delay_notice", time(d.delay_notice));
    out.raw("allow_private_addresses", d.allow_private_addresses);
    out.raw("mx_port", d.mx_port);
    out.raw("connections", d.connections);
    out.section("[dns]");
    out.list("servers", &s.dns_servers);
}

fn judgement(out: &mut Out, s: &Settings) {
    out.section("[scoring]");
    out.raw(
        "suspicious_probability",
        float(s.scoring.suspicious_probability),
    );
    out.raw("spam_probability", float(s.scoring.spam_probability));
    out.raw("learning_messages", s.scoring.learning_messages);
    outside(out, &s.outside);
    out.section("[detector]");
    for (key, value, ..) in { s.detector }.keys() {
        out.raw(key, float(*value));
    }
    policies(out, s);
    out.section("[blocks]");
    if s.blocks.repeated.is_empty() {
        out.text("duration", block_duration(s.blocks.duration));
    } else {
        out.list(
            "duration",
            std::iter::once(&s.blocks.duration)
                .chain(&s.blocks.repeated)
                .map(|d| block_duration(*d)),
        );
    }
    out.raw("releases_by_tenant", s.blocks.releases_by_tenant);
    out.raw("allow_internal", s.blocks.allow_internal);
    out.raw(
        "internal_recipients_per_hour",
        s.blocks.internal_recipients_per_hour,
    );
    out.raw(
        "internal_recipients_per_day",
        s.blocks.internal_recipients_per_day,
    );
    out.section("[held]");
    out.text("expire", time(s.held_expire));
}

fn block_duration(duration: BlockDuration) -> String {
    match duration {
        BlockDuration::UntilReleased => "until_released".to_owned(),
        BlockDuration::UntilTomorrow => "until_tomorrow".to_owned(),
        BlockDuration::For(duration) => time(duration),
    }
}

fn policies(out: &mut Out, s: &Settings) {
    for group in &s.groups {
        out.section(&format!("[group.{}]", quoted(&group.name)));
        out.list("addresses", &group.addresses);
        out.text(
            "file",
            group
                .file
                .as_ref()
                .map(|f| f.display().to_string())
                .unwrap_or_default(),
        );
    }
    out.section("[policy.default]");
    s.policy
        .values()
        .into_iter()
        .for_each(|(key, value)| out.raw(key, value));
    for named in &s.policies {
        out.section(&format!("[policy.{}]", quoted(&named.policy.name)));
        let (scope, names) = (&named.scope, |groups: &[std::sync::Arc<Group>]| {
            groups.iter().map(|g| g.name.clone()).collect::<Vec<_>>()
        });
        out.list("senders", &scope.senders);
        out.list("groups", names(&scope.groups));
        out.list("domains", scope.domains.iter().map(domains));
        out.list("clients", &scope.clients);
        out.list("tenants", &scope.tenants);
        out.list("except_senders", &scope.except_senders);
        out.list("except_groups", names(&scope.except_groups));
        out.raw("priority", named.priority);
        named
            .policy
            .values()
            .into_iter()
            .for_each(|(key, value)| out.raw(key, value));
    }
    for allowance in &s.allowances {
        out.section("[[allowance]]");
        match &allowance.who {
            Allowed::Sender(sender) => out.text("sender", sender),
            Allowed::Domain(domain) => out.text("domain", domain),
            Allowed::Template(fingerprint) => out.text("template", template_name(*fingerprint)),
        }
        out.text("evidence", allowance.evidence.as_str());
        out.text("until", &allowance.until);
        out.text("reason", &allowance.reason);
    }
}

/// How the route proves who we are, beside its password.
fn route_token(out: &mut Out, route: &Route) {
    let auth = MECHANISMS.iter().find(|(_, m)| *m == route.auth);
    out.text("auth", auth.map_or("auto", |(name, _)| name));
    let Some(token) = &route.token else {
        return;
    };
    match &token.source {
        TokenSource::Command(words) => out.list("token_command", words),
        TokenSource::File(path) => out.text("token_file", path.display()),
    }
    out.text("token_refresh", time(token.refresh));
}

/// Domains as a route or a policy names them.
fn domains(which: &RouteMatch) -> String {
    match which {
        RouteMatch::Any => "*".to_owned(),
        RouteMatch::Below(parent) => format!(".{parent}"),
        RouteMatch::Exact(domain) => domain.to_string(),
    }
}

fn outside(out: &mut Out, o: &Outside) {
    out.section("[outside]");
    out.text("deadline", time(o.deadline));
    out.text("pause", time(o.pause));
    let (feed, feed_weight) = o.phishtank.as_ref().map_or((String::new(), None), |p| {
        (p.file.display().to_string(), Some(p.weight))
    });
    out.text("phishtank", feed);
    out.raw(
        "phishtank_weight",
        float(feed_weight.unwrap_or(super::external_checks::PHISHTANK_WEIGHT)),
    );
    for list in &o.lists {
        out.section("[[list]]");
        out.text("name", &list.name);
        out.text("zone", &list.zone);
        out.text("key", if list.key.is_some() { REDACTED } else { "" });
        out.list("asks", list.asks.iter().map(|a| a.as_str()));
        out.raw("weight", float(list.weight));
        out.text("listed_point", &list.listed_point);
    }
    out.section("[rspamd]");
    out.text(
        "url",
        o.rspamd
            .as_ref()
            .map(|r| r.url.as_str())
            .unwrap_or_default(),
    );
    out.raw(
        "weight",
        float(
            o.rspamd
                .as_ref()
                .map_or(super::external_checks::SCANNER_WEIGHT, |r| r.weight),
        ),
    );
    out.section("[spamd]");
    out.text(
        "address",
        o.spamd
            .as_ref()
            .map(|r| r.address.as_str())
            .unwrap_or_default(),
    );
    out.raw(
        "weight",
        float(
            o.spamd
                .as_ref()
                .map_or(super::external_checks::SCANNER_WEIGHT, |r| r.weight),
        ),
    );
}

fn surroundings(out: &mut Out, s: &Settings) {
    let r = &s.reports;
    out.section("[reports]");
    // The default of the address depends on whether there is a listener: only a name that was given
    // is told.
    out.text("address", if r.active { r.address.as_str() } else { "" });
    out.text("domain", &r.domain);
    out.raw("message_size_bytes", r.message_size_bytes);
    out.raw("per_minute", r.per_minute);
    out.text(
        "other_mail_to",
        r.other_mail_to.as_ref().map_or("", |a| a.as_str()),
    );
    out.list("feedback_loops", &r.sources.loops);
    out.list("complaint_networks", &r.sources.networks);
    out.list("complaint_dkim_domains", &r.sources.dkim_domains);
    out.section("[notify]");
    out.text("from", &s.notify.from);
    out.list("operators", &s.notify.operators);
    out.text("webhook", s.notify.webhook.as_deref().unwrap_or_default());
    out.text(
        "webhook_secret",
        if s.notify.webhook_secret.is_some() {
            REDACTED
        } else {
            ""
        },
    );
    out.section("[records]");
    out.text("trace", time(s.records.trace));
    out.raw("trace_bytes", s.records.trace_bytes);
    out.text("evidence", time(s.records.evidence));
    out.section("[admin]");
    out.text("bind", s.admin_bind);
    out.text("url", s.admin_url.as_deref().unwrap_or_default());
    out.list("hosts", &s.admin_hosts);
    out.section("[public]");
    out.text(
        "bind",
        s.public.bind.map(|b| b.to_string()).unwrap_or_default(),
    );
    out.text("url", s.public.url.as_deref().unwrap_or_default());
    out.text("help", s.public.help.as_deref().unwrap_or_default());
    out.section("[log]");
    out.text(
        "format",
        if s.log.format == LogFormat::Json {
            "json"
        } else {
            "text"
        },
    );
    out.text("level", &s.log.level);
    out.raw("subjects", s.log.subjects);
    out.raw("judgements", s.log.judgements);
}
