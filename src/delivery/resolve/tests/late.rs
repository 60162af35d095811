//! Name servers that answer late, not at all or with failures.

use super::*;

/// Less than the name server's own limit for one question (three tries of five seconds), and far
/// more than what is waited for a family or a host.
const SOON: Duration = Duration::from_secs(4);

/// The resolver's answer for the domain, and whether it came soon.
async fn timed(resolver: &Resolver, name: &str) -> (Vec<String>, bool) {
    let begun = std::time::Instant::now();
    let s = settings();
    let found = show(resolver.mx(&domain(name), &s, &Own::new(&s)).await);
    (found, begun.elapsed() < SOON)
}

#[tokio::test]
async fn a_name_server_that_leaves_one_family_unanswered_holds_up_nothing() {
    // Every message waited fifteen seconds for the answer about AAAA that never came.
    let dns = serve(
        "a.example. MX 10 no6.a.example.
         no6.a.example. A 192.0.2.1
         a2.example. MX 10 no6too.a.example.
         no6too.a.example. A 192.0.2.2
         b.example. MX 10 no4.b.example.
         no4.b.example. AAAA 2001:db8::1
         c.example. MX 10 servfail6.c.example.
         servfail6.c.example. A 192.0.2.3",
    )
    .await;
    let resolver = resolver(&dns);
    for (name, zone, kind, expected) in [
        (
            "a.example",
            "a.example.",
            RecordType::AAAA,
            "no6.a.example[192.0.2.1]",
        ),
        (
            "b.example",
            "b.example.",
            RecordType::A,
            "no4.b.example[2001:db8::1]",
        ),
    ] {
        assert_eq!(
            timed(&resolver, name).await,
            (vec![expected.to_owned()], true)
        );
        let zone = Name::from_ascii(zone).expect("name");
        assert!(
            resolver
                .silence
                .holds(Instant::now(), &SilentQuestion::Type(zone, kind)),
            "remembered: {name}"
        );
    }
    // It is not asked again about that family, for any host of the zone.
    assert_eq!(
        timed(&resolver, "a2.example").await,
        (vec!["no6too.a.example[192.0.2.2]".to_owned()], true)
    );
    assert_eq!(
        *dns.unanswered.lock().expect("lock"),
        ["no4.b.example.", "no6.a.example."]
            .map(str::to_owned)
            .into()
    );
    assert_eq!(
        timed(&resolver, "c.example").await,
        (vec!["servfail6.c.example[192.0.2.3]".to_owned()], true)
    );
}

#[tokio::test]
async fn a_family_whose_answer_is_late_is_there_for_the_next_message() {
    let dns = serve(
        "a.example. MX 10 slow6.a.example.
         slow6.a.example. A 192.0.2.1
         slow6.a.example. AAAA 2001:db8::1",
    )
    .await;
    let resolver = resolver(&dns);
    let first = timed(&resolver, "a.example").await.0;
    assert!(
        first.contains(&"slow6.a.example[192.0.2.1]".to_owned()),
        "{first:?}"
    );
    let zone = Name::from_ascii("a.example.").expect("name");
    while resolver.silence.holds(
        Instant::now(),
        &SilentQuestion::Type(zone.clone(), RecordType::AAAA),
    ) {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        timed(&resolver, "a.example").await.0,
        ["slow6.a.example[192.0.2.1]", "slow6.a.example[2001:db8::1]"]
    );
}

#[tokio::test]
async fn ipv4_addresses_that_come_a_little_later_are_waited_for() {
    // Without them a machine without IPv6 could not deliver.
    let dns = serve(
        "a.example. MX 10 slow4.a.example.
         slow4.a.example. A 192.0.2.1
         slow4.a.example. AAAA 2001:db8::1",
    )
    .await;
    let found = timed(&resolver(&dns), "a.example").await.0;
    assert_eq!(
        found,
        ["slow4.a.example[192.0.2.1]", "slow4.a.example[2001:db8::1]"]
    );
}

#[tokio::test]
async fn a_name_server_that_never_answers_about_the_only_family_means_later() {
    // That there is no A is no proof that there is nothing: the host may have IPv6 alone.
    let dns = serve(
        "a.example. MX 10 no6.a.example.
         no6.a.example. MX 10 x.example.",
    )
    .await;
    let resolver = Resolver::new(&[dns.address], Duration::from_millis(200)).expect("resolver");
    for _ in 0..2 {
        let found = timed(&resolver, "a.example").await.0;
        assert_eq!(
            found,
            ["Pending Transport 451 4.4.3 address of no6.a.example: no answer in time"]
        );
    }
}

#[tokio::test]
async fn an_exchanger_nobody_answers_about_holds_up_the_others_once_and_briefly() {
    let dns = serve(
        "a.example. MX 10 mute.a.example.
         a.example. MX 20 good.a.example.
         good.a.example. A 192.0.2.1
         all.example. MX 10 mute1.all.example.
         all.example. MX 20 mute2.all.example.",
    )
    .await;
    let resolver = resolver(&dns);
    assert_eq!(
        timed(&resolver, "a.example").await,
        (vec!["good.a.example[192.0.2.1]".to_owned()], true)
    );
    assert!(resolver.silence.holds(
        Instant::now(),
        &SilentQuestion::Host(Name::from_ascii("mute.a.example.").expect("name"))
    ));
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(
            timed(&resolver, "a.example").await,
            (vec!["good.a.example[192.0.2.1]".to_owned()], true)
        );
    }
    assert!(
        begun.elapsed() < 10 * HOST_DELAY,
        "not once more for each message"
    );
    // Where it is all there is, it is asked all the same, and its silence means later.
    let brief = Resolver {
        time_limit: Duration::from_millis(200),
        ..resolver
    };
    let found = timed(&brief, "all.example").await.0;
    assert!(
        found[0].starts_with("Pending Transport 451 4.4.3 address of mute"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_dead_first_name_server_is_not_waited_for() {
    let dead = tokio::net::UdpSocket::bind(loopback(0))
        .await
        .expect("bind");
    let dns = serve("a.example. MX 10 mx.example.\n mx.example. A 192.0.2.1").await;
    let servers = [dead.local_addr().expect("address"), dns.address];
    let resolver = Resolver::new(&servers, Duration::from_secs(60)).expect("resolver");
    assert_eq!(
        timed(&resolver, "a.example").await,
        (vec!["mx.example[192.0.2.1]".to_owned()], true)
    );
}

/// A name server that gives every question back with this response code.
async fn failing(code: u8) -> SocketAddr {
    let socket = tokio::net::UdpSocket::bind(loopback(0))
        .await
        .expect("bind");
    let address = socket.local_addr().expect("address");
    tokio::spawn(async move {
        let mut question = [0; 1500];
        while let Ok((octets, from)) = socket.recv_from(&mut question).await {
            question[2] |= 0x80;
            question[3] = (question[3] & 0xf0) | code;
            let _ = socket.send_to(&question[..octets], from).await;
        }
    });
    address
}

#[tokio::test]
async fn a_name_server_that_fails_does_not_hide_one_that_answers() {
    let dns = serve("a.example. MX 10 mx.example.\n mx.example. A 192.0.2.1").await;
    let dead = tokio::net::UdpSocket::bind(loopback(0))
        .await
        .expect("bind");
    for code in [2, 5] {
        let servers = [
            failing(code).await,
            dead.local_addr().expect("address"),
            dns.address,
        ];
        let resolver = Resolver::new(&servers, Duration::from_secs(60)).expect("resolver");
        assert_eq!(
            timed(&resolver, "a.example").await,
            (vec!["mx.example[192.0.2.1]".to_owned()], true),
            "{code}"
        );
        let alone = Resolver::new(&servers[..1], Duration::from_secs(60)).expect("resolver");
        let found = timed(&alone, "a.example").await;
        assert!(
            found.0[0].starts_with("Pending Transport 451 4.4.3") && found.1,
            "{found:?}"
        );
    }
}
