//! Checks that look at several parts of the configuration together, and warnings about what hardly
//! was meant.

use super::check::Checked;
use super::error::Wrong;
use super::raw::ConfigReader;
use super::settings::{ListenerKind, RouteMatch};
use ipnet::IpNet;
use std::collections::HashMap;

/// Runs all of them.
pub(super) fn check(reader: &ConfigReader<'_>, checked: &Checked) {
    listeners(reader, checked);
    tenants(reader, checked);
    clients(reader, checked);
    routes(reader, checked);
    numbers(reader, checked);
    reports(reader, checked);
    surroundings(reader, checked);
}

fn listeners(reader: &ConfigReader<'_>, checked: &Checked) {
    let settings = &checked.settings;
    let mut seen = HashMap::new();
    for (listener, place) in settings.listeners.iter().zip(&checked.listeners) {
        let needs_tls = listener.kind.is_submission();
        if needs_tls && settings.tls.is_none() {
            let wrong = Wrong::new(
                "submission needs TLS: passwords never cross the network in the clear",
                "set certificate and key in [tls], or make this a relay listener",
            );
            reader.error(&place.at("kind"), wrong);
        }
        if listener.bind.port() != 0
            && let Some(other) = seen.insert(listener.bind, place)
        {
            let wrong = Wrong::new(
                format!("{} is taken by {} already", listener.bind, other.key),
                "choose another address or port",
            );
            reader.error(&place.at("bind"), wrong);
        }
    }
    let others = [
        (Some(settings.admin.bind), &checked.sections.admin),
        (settings.public.bind, &checked.sections.public),
    ];
    let mut taken: Vec<_> = settings.listeners.iter().map(|l| l.bind).collect();
    for (bind, place) in others
        .into_iter()
        .filter_map(|(bind, place)| Some((bind?, place)))
    {
        if bind.port() != 0 && taken.contains(&bind) {
            reader.error(
                &place.at("bind"),
                Wrong::new(
                    format!("{bind} is taken already"),
                    "choose another address or port",
                ),
            );
        }
        taken.push(bind);
    }
}

fn tenants(reader: &ConfigReader<'_>, checked: &Checked) {
    let (mut names, mut domains) = (HashMap::new(), HashMap::new());
    for (tenant, place) in checked.settings.tenants.iter().zip(&checked.tenants) {
        if let Some(first) = names.insert(tenant.id.clone(), place)
            && !tenant.id.as_str().is_empty()
        {
            let wrong = Wrong::new(
                format!("\"{}\" is the name of {} already", tenant.id, first.key),
                "give every tenant its own name",
            );
            reader.error(&place.at("name"), wrong);
        }
        for domain in &tenant.domains {
            if let Some(owner) = domains.insert(domain.clone(), tenant.id.clone()) {
                let wrong = Wrong::new(
                    format!("{domain} belongs to \"{owner}\" already"),
                    "name every domain once, under one tenant",
                );
                reader.error(&place.at("domains"), wrong);
            }
        }
        if tenant.verp && !checked.settings.reports.active {
            let wrong = Wrong::new(
                "nobody takes the delivery reports that would come back",
                "add a [[listener]] of kind \"reports\", or name [reports] address where another machine has it",
            );
            reader.error(&place.at("verp"), wrong);
        }
        if !tenant.accept_foreign_senders && tenant.domains.is_empty() {
            let wrong = Wrong::new(
                "\"reject\" without domains refuses all mail",
                "list the tenant's domains, or accept foreign senders",
            );
            reader.error(&place.at("foreign_senders"), wrong);
        }
    }
}

fn clients(reader: &ConfigReader<'_>, checked: &Checked) {
    let mut networks = HashMap::new();
    for (client, place) in checked.settings.clients.iter().zip(&checked.clients) {
        for network in &client.networks {
            if let Some(first) = networks.insert(*network, place) {
                let wrong = Wrong::new(
                    format!("{network} stands in {} already", first.key),
                    "name every network once",
                );
                reader.error(&place.at("networks"), wrong);
            }
            if network.prefix_len() == 0 {
                let wrong = Wrong::new(
                    format!("{network} lets everybody who can connect relay"),
                    "list the networks of your mail servers, unless a firewall keeps all others out",
                );
                reader.warning(&place.at("networks"), wrong);
            } else if let (true, Some(widest)) = (client.trusts_headers(), too_wide(network)) {
                let wrong = Wrong::new(
                    format!(
                        "every host of {network} may say whose mail it hands in: a network wider than {widest} holds more than mail servers"
                    ),
                    "list the addresses of the mail servers whose headers are to be believed",
                );
                reader.warning(&place.at("networks"), wrong);
            }
        }
        if client.trust_received && !client.identity_headers.is_empty() {
            let wrong = Wrong::new(
                "an identity header outranks Received: if this client lets its users write that header, they can pose as each other",
                "let the client remove the header from what users send, or leave one of the two out",
            );
            reader.warning(&place.at("identity_headers"), wrong);
        }
        for (i, tenant) in client.tenants.iter().enumerate() {
            if checked.settings.tenant(tenant).is_none() {
                let known: Vec<&str> = checked
                    .settings
                    .tenants
                    .iter()
                    .map(|t| t.id.as_str())
                    .collect();
                let wrong = Wrong::new(
                    format!("there is no tenant \"{tenant}\""),
                    format!("add a [[tenant]] of that name; known: {}", known.join(", ")),
                );
                reader.error(&place.at("tenants"), wrong);
            } else if client.tenants.iter().take(i).any(|t| t == tenant) {
                reader.error(
                    &place.at("tenants"),
                    Wrong::new(format!("\"{tenant}\" stands there twice"), "name it once"),
                );
            }
        }
    }
}

/// The widest network that may be trusted without a word, where this one is wider. Loopback is this
/// machine.
fn too_wide(network: &IpNet) -> Option<&'static str> {
    match network {
        IpNet::V4(v4) if v4.addr().is_loopback() && v4.prefix_len() >= 8 => None,
        IpNet::V4(v4) => (v4.prefix_len() < 16).then_some("/16"),
        IpNet::V6(v6) => (v6.prefix_len() < 48).then_some("/48"),
    }
}

fn routes(reader: &ConfigReader<'_>, checked: &Checked) {
    let routes = &checked.settings.routes;
    for (i, (route, place)) in routes.iter().zip(&checked.routes).enumerate() {
        let earlier = routes.iter().take(i);
        if earlier
            .clone()
            .any(|r| r.domain == RouteMatch::Any || r.domain == route.domain)
        {
            let wrong = Wrong::new(
                "no domain ever gets here",
                "a route above takes it first: put the narrower one before it",
            );
            reader.warning(&place.at("domain"), wrong);
        }
        if route.exposes_password() && !route.allow_unverified {
            let wrong = Wrong::new(
                "the password would go to whoever answers at that host, with any certificate or none",
                "write tls = \"required\", or allow_unverified = true if the way there is yours",
            );
            reader.error(&place.at("tls"), wrong);
        }
        if route.allow_unverified && !route.exposes_password() {
            let wrong = Wrong::new(
                "changes nothing here: no password goes to an unproved host",
                "leave it out",
            );
            reader.warning(&place.at("allow_unverified"), wrong);
        }
    }
}

fn numbers(reader: &ConfigReader<'_>, checked: &Checked) {
    let (s, places) = (&checked.settings, &checked.sections);
    if s.limits.body_memory_bytes < s.limits.message_size_bytes {
        let wrong = Wrong::new(
            format!(
                "{} is less than message_size_bytes ({})",
                s.limits.body_memory_bytes, s.limits.message_size_bytes
            ),
            "a message that is allowed must fit: make it at least as large",
        );
        reader.error(&places.limits.at("body_memory_bytes"), wrong);
    }
    // RFC 5321 section 4.5.3.1.7: at least 64 Ki octets.
    if s.limits.message_size_bytes < 64 << 10 {
        let wrong = Wrong::new(
            "refuses ordinary mail: every server takes 65536 bytes",
            "make it at least 65536",
        );
        reader.warning(&places.limits.at("message_size_bytes"), wrong);
    }
    if s.scoring.spam_probability < s.scoring.suspicious_probability {
        let wrong = Wrong::new(
            format!(
                "{} lies below suspicious_probability ({})",
                s.scoring.spam_probability, s.scoring.suspicious_probability
            ),
            "spam is also suspicious: make it at least as high",
        );
        reader.warning(&places.scoring.at("spam_probability"), wrong);
    }
    if s.delivery.delay_notice > s.delivery.expire {
        let wrong = Wrong::new(
            "comes after expire, so it is never sent",
            "make it shorter than expire, or \"0s\" for none",
        );
        reader.warning(&places.delivery.at("delay_notice"), wrong);
    }
    if s.limits.sessions_per_address > s.limits.sessions {
        let wrong = Wrong::new(
            "is more than sessions, so it changes nothing",
            "make it at most sessions",
        );
        reader.warning(&places.limits.at("sessions_per_address"), wrong);
    }
}

fn reports(reader: &ConfigReader<'_>, checked: &Checked) {
    let (s, place) = (&checked.settings, &checked.sections.reports);
    if s.reports
        .other_mail_to
        .as_ref()
        .is_some_and(|to| to.key() == s.reports.address.key())
    {
        let wrong = Wrong::new(
            "is the report address itself: its mail would go round",
            "write a mailbox that somebody reads",
        );
        reader.error(&place.at("other_mail_to"), wrong);
    }
    let listening = s.listeners.iter().any(|l| l.kind == ListenerKind::Reports);
    if listening && s.reports.sources.is_empty() {
        let wrong = Wrong::new(
            "no source of complaints is named, so none counts",
            "name the feedback loops you are registered with, such as [\"yahoo\", \"microsoft\"] (docs/feedback.md)",
        );
        reader.warning(&place.at("feedback_loops"), wrong);
    }
    if s.reports.message_size_bytes > s.limits.message_size_bytes {
        let wrong = Wrong::new(
            "is more than [limits] message_size_bytes, so it changes nothing",
            "make it at most as large",
        );
        reader.warning(&place.at("message_size_bytes"), wrong);
    }
}

fn surroundings(reader: &ConfigReader<'_>, checked: &Checked) {
    let (s, places) = (&checked.settings, &checked.sections);
    if !s.server.hostname.as_str().contains('.')
        || s.server.hostname.as_str().ends_with(".localhost")
    {
        let wrong = Wrong::new(
            format!(
                "other mail servers may refuse the name {}",
                s.server.hostname
            ),
            "write the public name of this host, the one its address resolves back to",
        );
        reader.warning(&places.server.at("hostname"), wrong);
    }
    if !s.admin.bind.ip().is_loopback() {
        let wrong = Wrong::new(
            format!(
                "{} can be reached from other machines, without TLS",
                s.admin.bind
            ),
            "keep it on 127.0.0.1, or behind a proxy with TLS in a private network",
        );
        reader.warning(&places.admin.at("bind"), wrong);
    }
    if s.public.bind.is_some() && s.public.url.is_none() {
        let wrong = Wrong::new(
            "is empty, so no reply names the page of a block",
            "write how the outside reaches the pages",
        );
        reader.warning(&places.public.at("url"), wrong);
    }
    if s.pool_high_risk.addresses == s.pool_normal.addresses {
        let wrong = Wrong::new(
            "leaves from the same addresses as the normal pool, so it changes nothing for your reputation",
            "give it source addresses of its own",
        );
        reader.warning(&checked.high_risk.at("addresses"), wrong);
    }
}
