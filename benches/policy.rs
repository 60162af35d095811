//! Cost of finding a sender's policy, and of judging a message with it.

use divan::{Bencher, black_box};
use outgate::exports::choose_policy;
use outgate::exports::{Detector, Reservation};
use outgate::exports::{Domain, Identity, MessageId, SenderKey, Strength, TenantId, Time};
use outgate::exports::{MessageFacts, RecipientFacts};
use outgate::exports::{Settings, config};
use std::sync::Arc;

fn main() {
    divan::main();
}

const NOON: i64 = 1_795_356_000_000;

/// So many named policies: each for ten senders and a group of a thousand; the last one is for
/// alice's domain.
fn settings(policies: usize) -> Settings {
    let mut text = String::from(
        "[[tenant]]\nname = \"acme\"\ndomains = [\"acme.example\"]\n[scoring]\nlearning_messages = 0\n",
    );
    for p in 0..policies {
        let list = |n: usize, word: &str| {
            (0..n)
                .map(|i| format!("\"{word}{i}-{p}@acme.example\""))
                .collect::<Vec<_>>()
                .join(", ")
        };
        text.push_str(&format!(
            "[group.g{p}]\naddresses = [{}]\n",
            list(1000, "member")
        ));
        let domains = if p + 1 == policies {
            "domains = [\"acme.example\"]\n"
        } else {
            ""
        };
        text.push_str(&format!(
            "[policy.p{p}]\ngroups = [\"g{p}\"]\nsenders = [{}]\n{domains}",
            list(10, "user")
        ));
    }
    config::parse(&text, "bench.toml", &|_| None)
        .map(|(settings, _)| settings)
        .expect("a good configuration")
}

fn alice() -> Identity {
    let tenant = TenantId::new("acme");
    Identity {
        key: SenderKey::account(&tenant, "alice@acme.example"),
        tenant,
        address: "alice@acme.example".into(),
        domain: Domain::parse("acme.example"),
        strength: Strength::Authenticated,
        client: "192.0.2.7".parse().expect("an address"),
        foreign: false,
    }
}

#[divan::bench(args = [0, 1, 5, 20])]
fn choice(bencher: Bencher<'_, '_>, policies: usize) {
    let (settings, alice) = (settings(policies), alice());
    bencher.bench_local(|| {
        choose_policy(black_box(&settings), black_box(&alice))
            .policy
            .recipients_per_day
    });
}

#[divan::bench(args = [0, 5])]
fn decision(bencher: Bencher<'_, '_>, policies: usize) {
    let detector = Detector::new(Arc::new(settings(policies)));
    let (alice, to) = (
        alice(),
        [RecipientFacts {
            hash: 7,
            internal: false,
        }],
    );
    let mut n = 0_u64;
    bencher.bench_local(|| {
        n += 1;
        // One message a minute, so that no ceiling is ever met.
        let now = Time(NOON + i64::try_from(n).unwrap_or(0) * 60_000);
        let facts = MessageFacts {
            id: MessageId::from_parts(now, 0),
            identity: &alice,
            recipients: &to,
            fingerprint: n,
            origin: None,
            failed_logins: 0,
            template: 0,
            llr: -4.0,
            listed: 0.0,
            probability: 0.02,
            symbols: &[],
            link_hosts: &[],
            octets: 4000,
            is_report: false,
        };
        detector.decide(now, &facts, &alice, Reservation::default())
    });
}
