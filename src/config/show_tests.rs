//! What `config show` writes.

use super::show;
use super::tests::settings;
use crate::types::Secret;

const FULL: &str = r#"
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

const CHOICES: &str = r#"
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

const POLICIES: &str = r#"
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

#[test]
fn what_is_shown_reads_back_to_the_same() {
    let mut texts = vec![
        String::new(),
        "client = []".into(),
        FULL.into(),
        CHOICES.into(),
        POLICIES.into(),
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
