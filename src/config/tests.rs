//! What files mean.

use super::settings::*;
use super::*;
use crate::types::{Domain, Pool, TenantId};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn read(text: &str) -> (Settings, Vec<Warning>) {
    parse(text, "test.toml", &|name| {
        (name == "HOOK").then(|| "s3cret".to_owned())
    })
    .expect("a good configuration")
}

pub(super) fn settings(text: &str) -> Settings {
    read(text).0
}

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("test address")
}

#[test]
fn the_shipped_file_holds_exactly_the_defaults() {
    assert_eq!(defaults(), settings(""));
}

#[test]
fn without_config_the_shipped_file_is_found() {
    // Tests run in the package's directory.
    assert_eq!(load(None).expect("no file"), defaults());
}

#[test]
fn the_shipped_file_names_every_key() {
    let mut all = defaults();
    let route = "[[route]]\ndomain = \"*\"\nhost = \"127.0.0.1\"";
    all.routes = settings(route).routes;
    let more = settings(concat!(
        "[policy.sales]\ngroups = [\"sales\"]\n[group.sales]\nfile = \"sales.txt\"\n",
        "[[allowance]]\nsender = \"a@b.example\"\nevidence = \"content\"\nuntil = \"2027-03-31\"\nreason = \"x\"\n",
        "[[allowance]]\ndomain = \"b.example\"\nevidence = \"content\"\nuntil = 2027-03-31\nreason = \"x\"\n"
    ));
    (all.policies, all.groups, all.allowances) = (more.policies, more.groups, more.allowances);
    all.outside = settings("[[list]]\nname = \"spamhaus_dbl\"\nkey = \"k\"").outside;
    let shown = show(&all);
    let keys = shown
        .lines()
        .filter_map(|l| l.split_once(" = "))
        .map(|(key, _)| key);
    for key in keys {
        let stands = DEFAULT_TEXT
            .lines()
            .any(|l| l.trim_start_matches("# ").starts_with(&format!("{key} = ")));
        assert!(stands, "{key} is missing in config/outgate.toml");
    }
}

#[test]
fn without_a_file_nothing_listens_beyond_this_machine() {
    let s = defaults();
    assert_eq!(s.listeners.len(), 1);
    assert!(
        s.listeners
            .iter()
            .all(|l| l.bind.ip().is_loopback() && l.kind == ListenerKind::Relay)
    );
    assert!(s.admin.bind.ip().is_loopback());
    assert_eq!(
        (s.public.bind, s.tls.clone(), s.server.data_dir.clone()),
        (None, None, PathBuf::from("data"))
    );
    assert!(s.clients[0].networks.iter().all(|n| n.addr().is_loopback()));
    assert!(
        s.tenant(&s.clients[0].tenants[0])
            .is_some_and(|t| t.accept_foreign_senders)
    );
    assert_eq!(s.notify.from.as_str(), "outgate@outgate.localhost");
}

#[test]
fn the_contract_means_what_its_comments_say() {
    let (s, warnings) = read(include_str!("../../tests/contract/relay.toml"));
    let domain = |t: &str| Domain::parse(t).expect("test domain");
    assert_eq!(s.server.hostname, domain("relay.test"));
    assert_eq!(s.tls, None);
    assert_eq!(s.limits.message_size_bytes, 52_428_800);
    assert_eq!(s.limits.idle_timeout, HOUR / 12);
    let client = &s.clients[0];
    assert_eq!(client.networks.len(), 2);
    assert_eq!(client.tenants, [TenantId::new("acme")]);
    assert!(client.trust_xclient && client.trust_received);
    assert_eq!(client.identity_headers, ["x-authenticated-sender"]);
    let tenant = &s.tenants[0];
    assert!(tenant.is_internal(&domain("acme.example")) && tenant.accept_foreign_senders);
    assert_eq!(tenant.time_zone, "Europe/Berlin");
    assert_eq!(s.pool(Pool::HighRisk).ehlo, domain("risk.relay.test"));
    assert_eq!(s.pool(Pool::Normal).ehlo, domain("relay.test"));
    let route = &s.routes[0];
    assert_eq!(
        (&route.domain, route.host.as_str(), route.port, route.tls),
        (&RouteMatch::Any, "127.0.0.1", 2526, TlsMode::None)
    );
    assert_eq!(s.delivery.retry.last(), Some(&(4 * HOUR)));
    assert_eq!(s.delivery.expire, 120 * HOUR);
    assert_eq!(s.dns.servers, []);
    assert_eq!(s.policy.false_block_rate, 1e-6);
    assert_eq!(s.policy.when_exceeded, WhenExceeded::Alert);
    assert_eq!(s.blocks.durations, [BlockDuration::UntilReleased]);
    assert!(s.blocks.allow_internal);
    assert_eq!((s.notify.webhook, s.notify.webhook_secret), (None, None));
    assert_eq!(s.records.trace, 720 * HOUR);
    assert_eq!(
        (s.public.bind, s.public.url, s.public.help),
        (None, None, None)
    );
    let said: Vec<&str> = warnings.iter().map(|w| w.key.as_str()).collect();
    assert_eq!(
        said,
        ["client[1].identity_headers", "pool[1].addresses"],
        "{warnings:?}"
    );
}

#[test]
fn the_container_file_is_right() {
    let (s, warnings) = read(include_str!("../../docker/outgate.toml"));
    assert_eq!(s.listeners[0].bind, socket("0.0.0.0:2525"));
    let said: Vec<&str> = warnings.iter().map(|w| w.key.as_str()).collect();
    assert_eq!(
        said,
        ["pool.addresses", "server.hostname", "admin.bind"],
        "{warnings:?}"
    );
}

#[test]
fn examples_list_mail_servers_and_no_networks() {
    // The container's file listed all networks docker makes. Behind a published port every client
    // comes from one of them: whoever reached the port could relay.
    for text in [
        include_str!("../../docker/outgate.toml"),
        super::DEFAULT_TEXT,
    ] {
        let networks = settings(text)
            .clients
            .iter()
            .flat_map(|c| c.networks.clone())
            .collect::<Vec<_>>();
        let single = |n: &IpNet| n.addr().is_loopback() || n.prefix_len() == n.max_prefix_len();
        assert!(
            !networks.is_empty() && networks.iter().all(single),
            "{networks:?}"
        );
    }
}

#[test]
fn a_password_goes_to_a_proved_host_or_where_it_was_said() {
    let route = |host: &str, rest: &str| {
        let text = format!(
            "[[route]]\ndomain = \"*\"\nhost = \"{host}\"\nusername = \"u\"\npassword = \"p\"\n{rest}"
        );
        super::parse(&text, "F", &|_| None)
            .map(|(settings, _)| settings.routes[0].clone())
            .map_err(|e| e.to_string())
    };
    for (host, rest) in [
        ("a.example", "tls = \"required\""),
        ("a.example", "allow_unverified = true"),
        ("a.example", "tls = \"none\"\nallow_unverified = true"),
        ("127.0.0.1:2525", "tls = \"none\""),
        ("[::1]:25", ""),
    ] {
        assert!(route(host, rest).is_ok(), "{host} {rest}");
    }
    for (host, rest) in [
        ("a.example", ""),
        ("a.example", "tls = \"opportunistic\""),
        ("a.example", "tls = \"none\""),
        ("192.0.2.1", "tls = \"opportunistic\""),
        ("localhost", "tls = \"none\""),
        ("a.example", "tls = \"none\"\nallow_unverified = false"),
    ] {
        let error = route(host, rest).expect_err(host);
        assert!(
            error.contains("route[1].tls: the password would go to whoever answers"),
            "{error}"
        );
    }
}

#[test]
fn several_tenants_behind_one_client_are_all_its_own_unless_named() {
    let tenants = "[[tenant]]\nname = \"a\"\n[[tenant]]\nname = \"b\"\n";
    assert_eq!(settings(tenants).clients[0].tenants.len(), 2);
    let named = format!("{tenants}[[client]]\nnetworks = [\"10.0.0.1\"]\ntenants = [\"b\"]");
    assert_eq!(settings(&named).clients[0].tenants, [TenantId::new("b")]);
}

#[test]
fn listeners_may_all_leave_the_port_to_the_kernel() {
    let s = settings(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[[listener]]\nbind = \"127.0.0.1:0\"\n[admin]\nbind = \"127.0.0.1:0\"",
    );
    assert_eq!(s.listeners[1].bind, socket("127.0.0.1:0"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,200}") {
        let _ = parse(&text, "p", &|_| None);
    }

    #[test]
    fn no_value_makes_it_panic(line in 0usize..200, value in "[-+0-9a-z.\"\\[\\]{}=, €]{0,20}") {
        let spoilt: Vec<String> = DEFAULT_TEXT.lines().enumerate().map(|(i, l)| match l.split_once(" = ") {
            Some((key, _)) if i == line => format!("{key} = {value}"),
            _ => l.to_owned(),
        }).collect();
        let _ = parse(&spoilt.join("\n"), "p", &|_| None);
    }
}

#[test]
fn a_list_takes_what_is_known_of_it_and_a_key_chooses_the_zone() {
    let s = settings(
        "[[list]]\nname = \"spamhaus_dbl\"\n[[list]]\nname = \"spamhaus_zen\"\nkey = \"env:HOOK\"\nweight = 1\n\
         [[list]]\nname = \"own\"\nzone = \"BL.example.com\"\nasks = [\"client_addresses\"]\n",
    );
    let [dbl, zen, own] = s.outside.lists.as_slice() else {
        panic!("three lists")
    };
    assert_eq!(
        (dbl.title.as_str(), dbl.zone.as_str(), dbl.weight),
        ("Spamhaus DBL", "dbl.spamhaus.org", 5.0)
    );
    assert_eq!(
        (zen.zone.as_str(), zen.weight),
        ("zen.dq.spamhaus.net", 1.0)
    );
    assert_eq!(
        (own.title.as_str(), own.zone.as_str(), own.codes.len()),
        ("own", "bl.example.com", 0)
    );
    let shown = show(&s);
    assert!(
        !shown.contains("s3cret") && shown.contains("key = \"(redacted)\""),
        "{shown}"
    );
}
