//! The effective settings as TOML that reads back to the same settings; secrets are left out.

use super::form::{Out, quoted, shown_or_empty};
use super::settings::*;

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

fn server_side(out: &mut Out, s: &Settings) {
    out.section("[server]");
    s.server.show(out);
    for listener in &s.listeners {
        out.section("[[listener]]");
        listener.show(out);
    }
    out.section("[tls]");
    let tls = s.tls.as_ref();
    out.raw(
        "certificate",
        shown_or_empty(tls.map(|t| t.certificate.display())),
    );
    out.raw("key", shown_or_empty(tls.map(|t| t.key.display())));
    out.section("[limits]");
    s.limits.show(out);
}

fn people(out: &mut Out, s: &Settings) {
    // Before the tables: an empty list of clients has no table that could say so.
    if s.clients.is_empty() {
        out.0.insert_str(0, "client = []\n\n");
    }
    for client in &s.clients {
        out.section("[[client]]");
        client.show(out);
    }
    for tenant in &s.tenants {
        out.section("[[tenant]]");
        tenant.show(out);
    }
}

fn delivery_side(out: &mut Out, s: &Settings) {
    for (name, pool) in [("normal", &s.pool_normal), ("high_risk", &s.pool_high_risk)] {
        out.section("[[pool]]");
        out.text("name", name);
        pool.show(out);
    }
    for route in &s.routes {
        out.section("[[route]]");
        route.show(out);
    }
    out.section("[delivery]");
    s.delivery.show(out);
    out.section("[dns]");
    s.dns.show(out);
}

fn judgement(out: &mut Out, s: &Settings) {
    out.section("[scoring]");
    s.scoring.show(out);
    s.outside.show(out);
    out.section("[detector]");
    for (key, value, ..) in { s.detector }.keys() {
        out.raw(key, super::form::float(*value));
    }
    for group in &s.groups {
        out.section(&format!("[group.{}]", quoted(&group.name)));
        group.show(out);
    }
    out.section("[policy.default]");
    s.policy.show(out);
    for named in &s.policies {
        out.section(&format!("[policy.{}]", quoted(&named.policy.name)));
        named.scope.show(out);
        out.raw("priority", named.priority);
        named.policy.show(out);
    }
    for allowance in &s.allowances {
        out.section("[[allowance]]");
        allowance.show(out);
    }
    out.section("[blocks]");
    s.blocks.show(out);
    out.section("[held]");
    s.held.show(out);
}

fn surroundings(out: &mut Out, s: &Settings) {
    out.section("[reports]");
    s.reports.show(out);
    out.section("[notify]");
    s.notify.show(out);
    out.section("[records]");
    s.records.show(out);
    out.section("[admin]");
    s.admin.show(out);
    out.section("[public]");
    s.public.show(out);
    out.section("[log]");
    s.log.show(out);
}
