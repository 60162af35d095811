//! The resolver against a real name server on loopback.

use super::choice::{ADDRESSES_PER_HOST, text_of};
use super::*;
use crate::delivery::testing::{domain, loopback, settings};
use crate::dns::testing::{Dns, serve};
use std::sync::atomic::Ordering;

mod late;

fn resolver(dns: &Dns) -> Resolver {
    Resolver::new(&[dns.address], Duration::from_secs(60)).expect("resolver")
}

/// `host[ip]` for each target, or the failure in one line.
async fn mx(dns: &Dns, name: &str, settings: &Settings) -> Vec<String> {
    show(
        resolver(dns)
            .mx(&domain(name), settings, &Own::new(settings))
            .await,
    )
}

fn show(found: Result<Vec<Target>, Unroutable>) -> Vec<String> {
    match found {
        Ok(targets) => targets
            .iter()
            .map(|t| format!("{}[{}]", t.host, t.address.ip()))
            .collect(),
        Err(u) => vec![format!(
            "{:?} {:?} {}",
            u.status,
            u.class,
            u.reply.one_line()
        )],
    }
}

#[tokio::test]
async fn exchangers_by_preference_and_both_families() {
    let dns = serve(
        "a.example. MX 20 second.example.
         a.example. MX 10 First.Example.
         first.example. A 192.0.2.1
         first.example. AAAA 2001:db8::1
         first.example. A 192.0.2.2
         second.example. A 192.0.2.9",
    )
    .await;
    let found = mx(&dns, "a.example", &settings()).await;
    let mut first = found[..3].to_vec();
    first.sort();
    assert_eq!(
        first,
        [
            "first.example[192.0.2.1]",
            "first.example[192.0.2.2]",
            "first.example[2001:db8::1]"
        ]
    );
    assert_eq!(found[1], "first.example[2001:db8::1]", "families alternate");
    assert_eq!(found[3..], ["second.example[192.0.2.9]"]);
}

#[tokio::test]
async fn answers_are_kept() {
    let dns = serve("a.example. MX 10 mx.example.\n mx.example. A 192.0.2.1").await;
    let resolver = resolver(&dns);
    let s = settings();
    let first = show(resolver.mx(&domain("a.example"), &s, &Own::new(&s)).await);
    assert_eq!(first, ["mx.example[192.0.2.1]"]);
    // MX, A and AAAA; on a slow machine some were asked twice. From now on nobody answers.
    assert!(dns.questions.load(Ordering::SeqCst) >= 3);
    drop(dns);
    for _ in 0..4 {
        assert_eq!(
            show(resolver.mx(&domain("a.example"), &s, &Own::new(&s)).await),
            first
        );
    }
}

#[tokio::test]
async fn without_mx_the_domain_itself_and_aliases_are_followed() {
    let dns = serve(
        "bare.example. A 192.0.2.1
         alias.example. CNAME bare.example.
         a.example. MX 10 alias.example.",
    )
    .await;
    assert_eq!(
        mx(&dns, "bare.example", &settings()).await,
        ["bare.example[192.0.2.1]"]
    );
    assert_eq!(
        mx(&dns, "alias.example", &settings()).await,
        ["alias.example[192.0.2.1]"]
    );
    assert_eq!(
        mx(&dns, "a.example", &settings()).await,
        ["alias.example[192.0.2.1]"]
    );
}

/// Domains whose exchangers are wrong or out of order, most of them.
async fn broken() -> Dns {
    serve(
        "null.example. MX 0 .
         empty.example. MX 10 nowhere.example.
         nothing.example. MX 10 servfail.example.
         half.example. MX 10 servfail.example.
         half.example. MX 20 good.example.
         loop.example. MX 10 loop.localhost.example.
         loop.localhost.example. A 127.0.0.1
         inside.example. MX 10 ten.example.
         ten.example. A 10.0.0.1
         mixed.example. MX 10 ten.example.
         mixed.example. MX 20 good.example.
         good.example. A 192.0.2.1
         mail.hollow.example. A 192.0.2.1",
    )
    .await
}

#[tokio::test]
async fn failures_for_good() {
    let dns = broken().await;
    for (name, expected) in [
        (
            "null.example",
            "Failed UnknownUser 556 5.1.10 domain null.example accepts no mail (null MX)",
        ),
        (
            "missing.example",
            "Failed UnknownUser 550 5.1.2 domain missing.example does not exist",
        ),
        (
            "empty.example",
            "Failed UnknownUser 550 5.4.4 no mail exchanger of empty.example has an address",
        ),
        (
            "hollow.example",
            "Failed UnknownUser 550 5.4.4 no mail exchanger of hollow.example has an address",
        ),
        (
            "loop.example",
            "Failed UnknownUser 550 5.4.4 mail exchanger of loop.example has the private address 127.0.0.1",
        ),
        (
            "inside.example",
            "Failed UnknownUser 550 5.4.4 mail exchanger of inside.example has the private address 10.0.0.1",
        ),
        ("mixed.example", "good.example[192.0.2.1]"),
        ("half.example", "good.example[192.0.2.1]"),
    ] {
        assert_eq!(mx(&dns, name, &settings()).await, [expected]);
    }
    let mut lab = settings();
    lab.delivery.allow_private_addresses = true;
    assert_eq!(
        mx(&dns, "loop.example", &lab).await,
        ["loop.localhost.example[127.0.0.1]"]
    );
}

#[tokio::test]
async fn failures_for_now() {
    let dns = broken().await;
    for name in ["servfail.example", "nothing.example", "elsewhere.test"] {
        let found = mx(&dns, name, &settings()).await;
        assert!(
            found[0].starts_with("Pending Transport 451 4.4.3"),
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn a_referral_means_later() {
    // A resolver that answered with the name servers of the zone, instead of asking them, was taken
    // to say that the domain has neither MX nor address: its mail came back for good.
    let dns = serve("").await;
    let found = mx(&dns, "referral.example", &settings()).await;
    assert!(
        found[0].starts_with("Pending Transport 451 4.4.3"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_silent_name_server_means_later() {
    let silent = tokio::net::UdpSocket::bind(loopback(0))
        .await
        .expect("bind");
    let resolver = Resolver::new(
        &[silent.local_addr().expect("address")],
        Duration::from_millis(30),
    )
    .expect("resolver");
    let s = settings();
    let found = show(resolver.mx(&domain("a.example"), &s, &Own::new(&s)).await);
    assert_eq!(
        found,
        ["Pending Transport 451 4.4.3 MX of a.example: no answer in time"]
    );
}

#[tokio::test]
async fn what_is_not_better_than_ourselves_is_dropped() {
    let dns = serve(
        "byname.example. MX 10 good.example.
         byname.example. MX 20 us.example.
         byname.example. MX 20 peer.example.
         byname.example. MX 30 peer.example.
         byaddress.example. MX 10 good.example.
         byaddress.example. MX 10 twin.example.
         byaddress.example. MX 20 twin.example.
         only.example. MX 10 us.example.
         twin10.example. MX 10 twin.example.
         twin10.example. MX 20 good.example.
         good.example. A 192.0.2.1
         peer.example. A 192.0.2.2
         twin.example. A 192.0.2.3
         us.example. A 192.0.2.4",
    )
    .await;
    let mut s = settings();
    s.server.hostname = domain("us.example");
    s.listeners[0].bind = "192.0.2.3:25".parse().expect("address");
    assert_eq!(
        mx(&dns, "byname.example", &s).await,
        ["good.example[192.0.2.1]"]
    );
    for name in [
        "only.example",
        "byaddress.example",
        "twin10.example",
        "us.example",
        "twin.example",
        "[192.0.2.3]",
    ] {
        let found = mx(&dns, name, &s).await;
        if name == "us.example" {
            // Without MX and without an address of ours in it, the name alone says nothing; the
            // greeting will.
            assert_eq!(found, ["us.example[192.0.2.4]"]);
        } else {
            assert_eq!(
                found,
                [format!(
                    "Failed Transport 554 5.4.6 mail for {name} loops back to this relay"
                )]
            );
        }
    }
    // A listener at another port than MX delivery goes to is not meant.
    s.listeners[0].bind = "192.0.2.3:2525".parse().expect("address");
    assert_eq!(
        mx(&dns, "twin.example", &s).await,
        ["twin.example[192.0.2.3]"]
    );
}

#[tokio::test]
async fn the_number_of_hosts_and_addresses_is_bounded() {
    let mut zone = String::new();
    for host in 0..30 {
        zone.push_str(&format!("many.example. MX {host} h{host}.example.\n"));
        for ip in 1..9 {
            zone.push_str(&format!("h{host}.example. A 192.0.{host}.{ip}\n"));
        }
    }
    let dns = serve(&zone).await;
    let found = mx(&dns, "many.example", &settings()).await;
    assert_eq!(found.len(), TARGETS);
    assert_eq!(
        found.iter().filter(|t| t.starts_with("h0.")).count(),
        ADDRESSES_PER_HOST
    );
}

#[tokio::test]
async fn address_literals() {
    let dns = serve("").await;
    for (literal, expected) in [
        ("[192.0.2.7]", "192.0.2.7[192.0.2.7]"),
        ("[IPv6:2001:db8::7]", "2001:db8::7[2001:db8::7]"),
        (
            "[127.0.0.1]",
            "Failed UnknownUser 550 5.1.2 [127.0.0.1] is a private address",
        ),
        (
            "[x400:y]",
            "Failed UnknownUser 550 5.1.2 [x400:y] is no address this relay can reach",
        ),
    ] {
        assert_eq!(mx(&dns, literal, &settings()).await, [expected]);
    }
}

#[tokio::test]
async fn smart_hosts_are_never_filtered() {
    let dns = serve("hub.example. A 10.1.1.1").await;
    let resolver = resolver(&dns);
    for (host, expected) in [
        ("127.0.0.1", "127.0.0.1[127.0.0.1]"),
        ("[::1]", "[::1][::1]"),
        ("hub.example", "hub.example[10.1.1.1]"),
        (
            "gone.example",
            "Pending Transport 451 4.4.4 smart host gone.example has no address",
        ),
    ] {
        assert_eq!(show(resolver.smart_host(host, 25).await), [expected]);
    }
    let failed = show(resolver.smart_host("servfail.example", 25).await);
    assert!(
        failed[0].starts_with("Pending Transport 451 4.4.3 smart host servfail.example"),
        "{failed:?}"
    );
}

#[test]
fn the_same_preference_is_shuffled() {
    let name = |n: &str| Name::from_ascii(n).expect("name");
    let records = || {
        vec![
            (20, name("d.example.")),
            (10, name("a.example.")),
            (10, name("b.example.")),
            (10, name("c.example.")),
        ]
    };
    let own = Own::new(&settings());
    let order = |lots: [u64; 4]| {
        let mut lots = lots.into_iter();
        let sorted = exchangers(&domain("x.example"), records(), &own, &mut || {
            lots.next().unwrap_or(0)
        })
        .expect("some");
        sorted
            .iter()
            .map(|(_, n)| text_of(n)[..1].to_owned())
            .collect::<String>()
    };
    assert_eq!(order([0, 1, 2, 3]), "abcd");
    assert_eq!(order([0, 3, 2, 1]), "cbad");
}
