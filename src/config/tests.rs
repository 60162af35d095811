//! What files mean.

use super::scopes::Allowed;
use super::settings::*;
use super::*;
use crate::config::policies::{Mode, Origin};
use crate::types::Secret;
use crate::types::{Domain, Pool, TenantId};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn read(text: &str) -> (Settings, Vec<Warning>) {
    parse(text, "test.toml", &|name| {
        (name == "HOOK").then(|| "s3cret".to_owned())
    })
    .expect("a good configuration")
}

fn settings(text: &str) -> Settings {
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
    assert_eq!(load(None), Ok(defaults()));
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
fn what_is_shown_reads_back_to_the_same() {
    let full = r#"
        [server]
        hostname = "relay.example.com"
        data_dir = 'C:\odd "dir"'
        [[listener]]
        bind = "[::1]:465"
        kind = "submissions"
        proxy_protocol = ["10.0.0.0/8", "2001:db8::7"]
        [tls]
        certificate = "chain.pem"
        key = "key.pem"
        [limits]
        idle_timeout = "90s"
        message_size_bytes = 52_428_800
        [[tenant]]
        name = "acme"
        domains = ["bücher.example"]
        foreign_senders = "reject"
        [[route]]
        domain = ".example.com"
        host = "[2001:db8::1]:587"
        tls = "required"
        [delivery]
        delay_notice = "0s"
        [dns]
        servers = ["::1", "127.0.0.1:5353"]
        [reports]
        feedback_loops = ["yahoo", "microsoft"]
        complaint_networks = ["192.0.2.0/24"]
        complaint_dkim_domains = ["isp.example"]
        [policy.default]
        spam_rate = 1
        when_exceeded = "block_until_tomorrow"
        [blocks]
        duration = "36h"
        [admin]
        url = "https://admin.example.com/"
        hosts = ["Relay.internal", "[2001:db8::1]", "192.0.2.1"]
        [public]
        bind = "0.0.0.0:8080"
        url = "https://relay.example.com/"
        help = "help@example.com"
        [log]
        format = "json"
        level = "debug"
    "#;
    let choices = r#"
        [[listener]]
        bind = "127.0.0.1:2525"
        kind = "reports"
        [[listener]]
        bind = "127.0.0.1:587"
        kind = "submission"
        [tls]
        certificate = "chain.pem"
        key = "key.pem"
        [[route]]
        domain = "exactly.example"
        host = "mx.example"
        tls = "none"
        allow_unverified = true
    "#;
    let policies = r#"
        [[tenant]]
        name = "acme"
        domains = ["acme.example"]
        time_zone = "Europe/Berlin"
        [group."big.list"]
        addresses = ["Alice@acme.example", "bob"]
        file = "members.txt"
        [policy.default]
        preset = "strict"
        bytes_per_day = "200 MiB"
        [policy.vip]
        preset = "microsoft"
        senders = ["ceo@acme.example"]
        groups = ["big.list"]
        domains = ["acme.example", ".acme.example"]
        clients = ["192.0.2.0/24"]
        tenants = ["acme"]
        except_senders = ["intern@acme.example"]
        except_groups = ["big.list"]
        priority = 7
        recipients_per_day = 5000
        [policy.trial]
        mode = "shadow"
        bounce_share = 0.25
        [[allowance]]
        sender = "news@acme.example"
        evidence = "content"
        until = 2027-03-31
        reason = "yearly \"mailing\""
    "#;
    let mut texts = vec![
        String::new(),
        "client = []".into(),
        full.into(),
        choices.into(),
        policies.into(),
    ];
    for (section, key, values) in [
        (
            "policy.default",
            "when_exceeded",
            &["alert", "throttle", "hold", "block", "block_until_tomorrow"][..],
        ),
        (
            "policy.default",
            "suspicious",
            &["deliver", "high_risk", "hold", "reject"],
        ),
        (
            "blocks",
            "duration",
            &["until_released", "until_tomorrow", "24h"],
        ),
        ("log", "format", &["text", "json"]),
    ] {
        texts
            .push("[blocks]\nduration = [\"1h\", \"until_tomorrow\", \"until_released\"]\n".into());
        texts.extend(
            values
                .iter()
                .map(|value| format!("[{section}]\n{key} = \"{value}\"\n")),
        );
    }
    for text in texts {
        let first = settings(&text);
        assert_eq!(settings(&show(&first)), first, "{}", show(&first));
    }
}

#[test]
fn secrets_come_from_the_environment_and_are_never_shown() {
    let text = "[notify]\nwebhook_secret = \"env:HOOK\"\n[[route]]\ndomain = \"*\"\nhost = \"h.example\"\nusername = \"u\"\npassword = \"hunter2\"\ntls = \"required\"";
    let s = settings(text);
    assert_eq!(s.notify.webhook_secret, Some(Secret("s3cret".into())));
    assert_eq!(s.routes[0].password, Some(Secret("hunter2".into())));
    let shown = format!("{}{s:?}", show(&s));
    assert!(
        !shown.contains("hunter2") && !shown.contains("s3cret"),
        "{shown}"
    );
}

#[test]
fn several_tenants_behind_one_client_are_all_its_own_unless_named() {
    let tenants = "[[tenant]]\nname = \"a\"\n[[tenant]]\nname = \"b\"\n";
    assert_eq!(settings(tenants).clients[0].tenants.len(), 2);
    let named = format!("{tenants}[[client]]\nnetworks = [\"10.0.0.1\"]\ntenants = [\"b\"]");
    assert_eq!(settings(&named).clients[0].tenants, [TenantId::new("b")]);
}

#[test]
fn settings_that_hardly_were_meant_are_warned_about() {
    for (text, line, key) in [
        ("[admin]\nbind = \"0.0.0.0:8025\"", 2, "admin.bind"),
        (
            "[[client]]\nnetworks = [\"0.0.0.0/0\"]",
            2,
            "client[1].networks",
        ),
        ("[public]\nbind = \"0.0.0.0:80\"", 1, "public.url"),
        ("[delivery]\nexpire = \"1h\"", 1, "delivery.delay_notice"),
        (
            "[[listener]]\nbind = \"127.0.0.1:25\"\nkind = \"reports\"",
            1,
            "reports.feedback_loops",
        ),
        ("[limits]\nsessions = 10", 1, "limits.sessions_per_address"),
        (
            "[limits]\nmessage_size_bytes = 10000",
            2,
            "limits.message_size_bytes",
        ),
        // Either key alone meets the other's default.
        (
            "[scoring]\nsuspicious_probability = 1.0",
            1,
            "scoring.spam_probability",
        ),
        (
            "[scoring]\nspam_probability = 0.5",
            2,
            "scoring.spam_probability",
        ),
        ("[server]\nhostname = \"relay\"", 2, "server.hostname"),
        (
            "[[route]]\ndomain = \"*\"\nhost = \"a.example\"\n[[route]]\ndomain = \"b.example\"\nhost = \"b.example\"",
            5,
            "route[2].domain",
        ),
        (
            "[[route]]\ndomain = \"*\"\nhost = \"a.example\"\nallow_unverified = true",
            4,
            "route[1].allow_unverified",
        ),
        (
            "[[pool]]\nname = \"high_risk\"\naddresses = []",
            3,
            "pool[1].addresses",
        ),
        (
            "[[client]]\nnetworks = [\"192.0.2.0/24\"]\ntrust_received = true\nidentity_headers = [\"X-User\"]",
            4,
            "client[1].identity_headers",
        ),
    ] {
        let warnings = read(text).1;
        assert!(
            warnings.iter().any(|w| w.line == line && w.key == key),
            "{text}: {warnings:?}"
        );
    }
    for (network, trust, warned) in [
        ("10.0.0.0/8", "trust_received = true", true),
        ("172.16.0.0/12", "trust_xclient = true", true),
        ("10.0.0.0/15", "identity_headers = [\"X-User\"]", true),
        ("10.0.0.0/15", "script_header = \"X-Script\"", true),
        ("2001:db8::/47", "trust_received = true", true),
        ("126.0.0.0/7", "trust_received = true", true),
        // Not wider, not trusting, or this machine.
        ("10.0.0.0/16", "trust_received = true", false),
        ("2001:db8::/48", "trust_received = true", false),
        ("10.0.0.0/8", "", false),
        ("127.0.0.0/8", "trust_xclient = true", false),
    ] {
        let warnings = read(&format!("[[client]]\nnetworks = [\"{network}\"]\n{trust}")).1;
        let told = warnings
            .iter()
            .any(|w| w.key == "client[1].networks" && w.line == 2 && w.problem.contains(network));
        assert_eq!(told, warned, "{network} {trust}: {warnings:?}");
    }
    let own = read("[[pool]]\nname = \"high_risk\"\naddresses = [\"192.0.2.1\"]\n[server]\nhostname = \"relay.example.com\"").1;
    assert_eq!(own, [], "nothing to say");
    let reports = "[[listener]]\nbind = \"127.0.0.1:25\"\nkind = \"reports\"\n[reports]\n";
    for named in [
        "feedback_loops = [\"yahoo\"]",
        "complaint_networks = [\"192.0.2.1\"]",
        "complaint_dkim_domains = [\"isp.example\"]",
    ] {
        let warnings = read(&format!("{reports}{named}")).1;
        assert!(
            warnings.iter().all(|w| w.key != "reports.feedback_loops"),
            "{warnings:?}"
        );
    }
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

#[test]
fn a_policy_takes_what_it_does_not_say_from_its_preset_and_then_from_the_default_one() {
    let s = settings(
        r#"
        [policy.default]
        recipients_per_day = 50
        when_exceeded = "throttle"
        [policy.office]
        senders = ["a@b.example"]
        messages_per_day = 7
        [policy.firm]
        preset = "microsoft"
        senders = ["c@b.example"]
        recipients_external_per_hour = 9
        "#,
    );
    let named = |name: &str| {
        &s.policies
            .iter()
            .find(|p| &*p.policy.name == name)
            .expect("that policy")
            .policy
    };
    let (office, firm) = (named("office"), named("firm"));
    assert_eq!(
        (
            office.recipients_per_day,
            office.messages_per_day,
            office.recipients_external_per_hour
        ),
        (50, 7, 500)
    );
    assert_eq!(
        (
            firm.recipients_per_day,
            firm.recipients_external_per_hour,
            firm.messages_per_minute
        ),
        (1000, 9, 30)
    );
    assert_eq!(firm.when_exceeded, WhenExceeded::Block);
    let origins = |p: &Policy| {
        [
            "recipients_per_day",
            "messages_per_day",
            "recipients_external_per_hour",
            "spam_rate",
        ]
        .map(|key| p.origins.of(key))
    };
    assert_eq!(
        origins(office),
        [
            Origin::Default,
            Origin::Own,
            Origin::BuiltIn,
            Origin::BuiltIn
        ]
    );
    let preset = Origin::Preset("microsoft");
    assert_eq!(
        origins(firm),
        [preset, Origin::BuiltIn, Origin::Own, Origin::BuiltIn]
    );
    assert_eq!(
        origins(&s.policy),
        [
            Origin::Own,
            Origin::BuiltIn,
            Origin::BuiltIn,
            Origin::BuiltIn
        ]
    );
}

#[test]
fn a_shadow_default_does_not_make_its_heirs_shadows() {
    let s =
        settings("[policy.default]\nmode = \"shadow\"\n[policy.a]\nsenders = [\"a@b.example\"]\n");
    assert_eq!(
        (s.policy.mode, s.policies[0].policy.mode),
        (Mode::Shadow, Mode::Enforce)
    );
}

#[test]
fn an_allowance_ends_with_its_last_day_where_its_sender_is_at_home() {
    let s = settings(
        r#"
        [[tenant]]
        name = "acme"
        domains = ["acme.example"]
        time_zone = "Europe/Berlin"
        [[allowance]]
        sender = "News@acme.example"
        evidence = "content"
        until = 2027-01-31
        reason = "x"
        [[allowance]]
        domain = "elsewhere.example"
        evidence = "mailing"
        until = "2027-01-31"
        reason = "x"
        "#,
    );
    let ends: Vec<_> = s.allowances.iter().map(|a| a.ends.rfc3339()).collect();
    assert_eq!(ends, ["2027-01-31T23:00:00Z", "2027-02-01T00:00:00Z"]);
    assert_eq!(
        s.allowances[0].who,
        Allowed::Sender("news@acme.example".into())
    );
}
