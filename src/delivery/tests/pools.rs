//! Pools of source addresses, and the connections they keep.

use super::*;

#[tokio::test]
async fn each_pool_has_its_own_name_addresses_and_connections() {
    let sink = Sink::start("PIPELINING", polite).await;
    let mut s = settings();
    s.pool_high_risk.addresses = vec![
        "127.0.0.2".parse().expect("ip"),
        "127.0.0.3".parse().expect("ip"),
        "::1".parse().expect("ip"),
    ];
    let delivery = Delivery::with(
        Arc::new(s),
        TimeLimits {
            idle: Duration::ZERO,
            ..patient()
        },
        Tls::new().expect("tls"),
        key(),
    )
    .expect("delivery");
    for pool in [Pool::Normal, Pool::HighRisk, Pool::HighRisk] {
        let outcomes = delivery
            .attempt(attempt_for(
                meta(1, pool),
                Destination::Route(Arc::new(to(&sink, TlsMode::None))),
            ))
            .await;
        assert_eq!(outcomes[0].status, RecipientStatus::Delivered);
    }
    let seen = sink.seen();
    let mut peers: Vec<String> = seen.peers.iter().map(|p| p.ip().to_string()).collect();
    peers[1..].sort();
    assert_eq!(peers, ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    assert!(
        seen.commands.contains(&"2 EHLO risk.relay.test".to_owned()),
        "{:?}",
        seen.commands
    );
}

#[tokio::test]
async fn a_pool_without_address_of_the_family_waits() {
    let sink = Sink::start("PIPELINING", polite).await;
    let mut s = settings();
    s.pool_normal.addresses = vec!["::1".parse().expect("ip")];
    let delivery =
        Delivery::with(Arc::new(s), patient(), Tls::new().expect("tls"), key()).expect("delivery");
    let outcomes = delivery.attempt(attempt(&sink, 1)).await;
    assert_eq!(
        show(&outcomes),
        ["r0 Pending Transport 451 4.3.5 the pool has no source address of this family"]
    );
}

#[tokio::test]
async fn idle_connections_end_with_quit() {
    let sink = Sink::start("PIPELINING", polite).await;
    let delivery = delivery_with(TimeLimits {
        idle: Duration::from_millis(20),
        ..patient()
    });
    delivery.attempt(attempt(&sink, 1)).await;
    sink.wait(|s| s.commands.last().is_some_and(|c| c == "1 QUIT"))
        .await;
    assert_eq!(delivery.shared.pool.len(), 0);
}

#[tokio::test]
async fn a_reload_with_other_pools_drops_idle_connections() {
    let sink = Sink::start("PIPELINING", polite).await;
    let delivery = delivery();
    delivery.attempt(attempt(&sink, 1)).await;
    delivery.reload(Arc::new(settings()));
    assert_eq!(delivery.shared.pool.len(), 1);
    let mut other = settings();
    other.pool_normal.ehlo = domain("new.relay.test");
    delivery.reload(Arc::new(other));
    assert_eq!(delivery.shared.pool.len(), 0);
    delivery.attempt(attempt(&sink, 1)).await;
    assert!(
        sink.commands()
            .contains(&"2 EHLO new.relay.test".to_owned())
    );
}

#[tokio::test]
async fn many_attempts_at_once() {
    let sink = Sink::start("PIPELINING", polite).await;
    let delivery = delivery();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (delivery, a) = (delivery.clone(), attempt(&sink, 1));
        tasks.spawn(async move { delivery.attempt(a).await[0].status });
    }
    assert!(
        tasks
            .join_all()
            .await
            .into_iter()
            .all(|s| s == RecipientStatus::Delivered)
    );
    assert_eq!(sink.seen().messages.len(), 50);
    assert!(delivery.shared.pool.len() <= 20);
}
