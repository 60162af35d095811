//! The entries that come in numbers: listeners, tenants, clients, pools, routes. As in `check`,
//! every key with its range and its default.

use super::check::{count, end};
use super::error::Wrong;
use super::raw::{Place, Reader, Section, boolean, one_of, string};
use super::route_auth;
use super::settings::*;
use super::values::{self, Env, optional};
use crate::types::{Domain, TenantId};
use ipnet::IpNet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

pub(super) fn listeners(root: &Section<'_, '_>) -> (Vec<Listener>, Vec<Place>) {
    let default_bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 2525));
    let Some(sections) = root.sections("listener") else {
        return (
            vec![Listener {
                bind: default_bind,
                kind: ListenerKind::Relay,
                proxy_protocol: Vec::new(),
            }],
            Vec::new(),
        );
    };
    root.refuse_empty(
        "listener",
        "write at least one [[listener]], or leave the key out",
    );
    let kinds = [
        ("relay", ListenerKind::Relay),
        ("submission", ListenerKind::Submission),
        ("submissions", ListenerKind::Submissions),
        ("reports", ListenerKind::Reports),
    ];
    sections
        .into_iter()
        .map(|s| {
            let bind = s.need(
                "bind",
                "write the address and port to listen on, such as \"127.0.0.1:2525\"",
                |v| values::socket(string(v)?),
            );
            let listener = Listener {
                bind: bind.unwrap_or(default_bind),
                kind: s.get("kind", ListenerKind::Relay, |v| one_of(v, &kinds)),
                proxy_protocol: s.list("proxy_protocol", Vec::new(), values::network),
            };
            (listener, end(s))
        })
        .unzip()
}

pub(super) fn tenants(root: &Section<'_, '_>, hostname: &Domain) -> (Vec<Arc<Tenant>>, Vec<Place>) {
    let Some(sections) = root.sections("tenant") else {
        // Without any, one tenant takes all mail; only our own name is internal.
        let tenant = Tenant {
            id: TenantId::new("default"),
            domains: vec![hostname.clone()],
            admins: Vec::new(),
            time_zone: "UTC".into(),
            accept_foreign_senders: true,
            verp: false,
        };
        return (vec![Arc::new(tenant)], Vec::new());
    };
    root.refuse_empty(
        "tenant",
        "write at least one [[tenant]], or leave the key out",
    );
    sections
        .into_iter()
        .map(|s| {
            let name = s.need("name", "write the tenant's name, such as \"acme\"", |v| {
                values::name(string(v)?)
            });
            let tenant = Tenant {
                id: TenantId::new(name.as_deref().unwrap_or_default()),
                domains: s.list("domains", Vec::new(), values::domain),
                admins: s.list("admins", Vec::new(), values::address),
                time_zone: s.get("time_zone", "UTC".to_owned(), |v| {
                    values::time_zone(string(v)?)
                }),
                accept_foreign_senders: s.get("foreign_senders", true, |v| {
                    one_of(v, &[("accept", true), ("reject", false)])
                }),
                verp: s.get("verp", false, boolean),
            };
            (Arc::new(tenant), end(s))
        })
        .unzip()
}

pub(super) fn clients(
    root: &Section<'_, '_>,
    tenants: &[Arc<Tenant>],
) -> (Vec<Arc<Client>>, Vec<Place>) {
    let all = || tenants.iter().map(|t| t.id.clone()).collect::<Vec<_>>();
    let Some(sections) = root.sections("client") else {
        // Without any, only this machine itself may relay.
        let loopback = [
            IpNet::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
            IpNet::new(Ipv6Addr::LOCALHOST.into(), 128),
        ];
        let client = Client {
            networks: loopback.into_iter().flatten().collect(),
            tenants: all(),
            trust_xclient: false,
            trust_received: false,
            identity_headers: Vec::new(),
            script_header: None,
        };
        return (vec![Arc::new(client)], Vec::new());
    };
    sections
        .into_iter()
        .map(|s| {
            if !s.has("networks") {
                s.error(
                    "networks",
                    Wrong::new(
                        "is missing",
                        "write the networks of the client, such as [\"192.0.2.0/24\"]",
                    ),
                );
            }
            s.refuse_empty("networks", "write at least one network");
            s.refuse_empty(
                "tenants",
                "write at least one tenant, or leave the key out for all",
            );
            let client = Client {
                networks: s.list("networks", Vec::new(), values::network),
                tenants: s.list("tenants", all(), |t| Ok(TenantId::new(t))),
                trust_xclient: s.get("trust_xclient", false, boolean),
                trust_received: s.get("trust_received", false, boolean),
                identity_headers: s.list("identity_headers", Vec::new(), values::header_name),
                script_header: s.get("script_header", None, |v| {
                    optional(string(v)?, values::header_name)
                }),
            };
            (Arc::new(client), end(s))
        })
        .unzip()
}

pub(super) fn pools(
    reader: &Reader<'_>,
    root: &Section<'_, '_>,
    hostname: &Domain,
) -> (PoolSettings, PoolSettings, Place) {
    let default = |connections| PoolSettings {
        addresses: Vec::new(),
        ehlo: hostname.clone(),
        connections_per_destination: connections,
    };
    let (mut normal, mut high_risk) = (default(20), default(5));
    let mut high_risk_at = root.place_of("pool");
    let mut seen = Vec::new();
    for s in root.sections("pool").unwrap_or_default() {
        let name = s.need("name", "write \"normal\" or \"high_risk\"", |v| {
            one_of(v, &[("normal", false), ("high_risk", true)])
        });
        let target = if name == Some(true) {
            &mut high_risk
        } else {
            &mut normal
        };
        let pool = PoolSettings {
            addresses: s.list("addresses", Vec::new(), values::ip),
            ehlo: s.get("ehlo", hostname.clone(), |v| {
                optional(string(v)?, values::domain).map(|d| d.unwrap_or_else(|| hostname.clone()))
            }),
            connections_per_destination: count(
                &s,
                "connections_per_destination",
                target.connections_per_destination,
                1,
                10_000,
            ),
        };
        let Some(name) = name else {
            s.finish();
            continue;
        };
        if seen.contains(&name) {
            reader.error(
                &s.place_of("name"),
                Wrong::new("this pool stands above already", "keep one of the two"),
            );
        }
        seen.push(name);
        *target = pool;
        let place = end(s);
        if name {
            high_risk_at = place;
        }
    }
    (normal, high_risk, high_risk_at)
}

pub(super) fn routes(root: &Section<'_, '_>, env: Env<'_>) -> (Vec<Arc<Route>>, Vec<Place>) {
    let modes = [
        ("none", TlsMode::None),
        ("opportunistic", TlsMode::Opportunistic),
        ("required", TlsMode::Required),
    ];
    root.sections("route")
        .unwrap_or_default()
        .into_iter()
        .map(|s| {
            let domain = s.need(
                "domain",
                "write \"*\" for all domains, or the recipient domain",
                |v| values::route_match(string(v)?),
            );
            let host = s.need(
                "host",
                "write the next hop, such as \"smtp.example.com:587\"",
                |v| values::host_port(string(v)?),
            );
            let (host, port) = host.unwrap_or_default();
            let auth = route_auth::read(&s, env);
            let route = Route {
                domain: domain.unwrap_or(RouteMatch::Any),
                host,
                port,
                tls: s.get("tls", TlsMode::Opportunistic, |v| one_of(v, &modes)),
                username: auth.username,
                password: auth.password,
                token: auth.token,
                auth: auth.mechanism,
                allow_unverified: s.get("allow_unverified", false, boolean),
            };
            (Arc::new(route), end(s))
        })
        .unzip()
}
