//! The hosts of a domain, in their order, and ourselves among them.

use super::*;

/// Settings of a lab whose only name server is this one and whose mail exchangers listen at `port`.
fn lab(dns: &crate::dns::testing::Dns, port: u16) -> Settings {
    let mut s = settings();
    s.dns.servers = vec![dns.address];
    s.delivery.allow_private_addresses = true;
    s.delivery.mx_port = port;
    s
}

fn mx_attempt() -> Attempt {
    attempt_for(meta(1, Pool::Normal), Destination::Mx(domain("b.example")))
}

async fn two_exchangers() -> crate::dns::testing::Dns {
    crate::dns::testing::serve(
        "b.example. MX 10 one.example.
         b.example. MX 20 two.example.
         one.example. A 127.0.0.1
         two.example. A 127.0.0.1",
    )
    .await
}

#[tokio::test]
async fn the_next_exchanger_is_tried_where_one_does_not_take_mail() {
    for (step, what, connections) in [
        ("BANNER", Do::Say("554 5.7.1 no service for you"), 2),
        ("BANNER", Do::Say("421 busy"), 2),
        ("EHLO", Do::Say("421 busy"), 2),
        ("BANNER", Do::Close, 2),
        ("MAIL", Do::Close, 2),
        ("DATA", Do::Close, 2),
        // A host that answers speaks for its domain.
        ("RCPT", Do::Say("550 5.1.1 user unknown"), 1),
        ("RCPT", Do::Say("450 4.7.1 greylisted"), 1),
        ("MAIL", Do::Say("421 busy"), 1),
        (".", Do::Close, 1),
    ] {
        let sink = Sink::start("PIPELINING", move |n, _, s: &str| {
            (n == 1 && s.starts_with(step)).then(|| what.clone())
        })
        .await;
        let dns = two_exchangers().await;
        let delivery = Delivery::with(
            Arc::new(lab(&dns, sink.address.port())),
            patient(),
            Tls::new().expect("tls"),
            key(),
        )
        .expect("delivery");
        let outcomes = delivery.attempt(mx_attempt()).await;
        assert_eq!(
            sink.seen().connections,
            connections,
            "{step} {:?}",
            show(&outcomes)
        );
        if connections == 2 {
            assert_eq!(show(&outcomes), ["r0 Delivered Delivered 250 2.0.0 queued"]);
            assert!(outcomes[0].remote.starts_with("two.example[127.0.0.1]:"));
        } else {
            assert_ne!(outcomes[0].status, RecipientStatus::Delivered);
        }
    }
}

#[tokio::test]
async fn a_refusal_by_all_hosts_at_the_greeting_is_temporary() {
    let sink = Sink::start(
        "PIPELINING",
        at("BANNER", Do::Say("554 5.7.1 blocked by our blocklist")),
    )
    .await;
    let dns = two_exchangers().await;
    let delivery = Delivery::with(
        Arc::new(lab(&dns, sink.address.port())),
        patient(),
        Tls::new().expect("tls"),
        key(),
    )
    .expect("delivery");
    assert_eq!(
        show(&delivery.attempt(mx_attempt()).await),
        ["r0 Pending Reputation 554 5.7.1 blocked by our blocklist"]
    );
    assert_eq!(sink.seen().connections, 2);
}

#[tokio::test]
async fn a_host_with_our_own_name_is_ourselves() {
    let dns = two_exchangers().await;
    let sink = Sink::start("PIPELINING", at("EHLO", Do::Say("250 RELAY.test"))).await;
    let delivery = Delivery::with(
        Arc::new(lab(&dns, sink.address.port())),
        patient(),
        Tls::new().expect("tls"),
        key(),
    )
    .expect("delivery");
    assert_eq!(
        show(&delivery.attempt(mx_attempt()).await),
        ["r0 Failed Transport 554 5.4.6 mail for b.example loops back to this relay"]
    );
    // Where a better exchanger is down and we are the next, mail waits for it.
    let script = |n, _, s: &str| match (n, s) {
        (1, "BANNER") => Some(Do::Close),
        (2, s) if s.starts_with("EHLO") => Some(Do::Say("250 relay.test")),
        _ => None,
    };
    let sink = Sink::start("PIPELINING", script).await;
    let delivery = Delivery::with(
        Arc::new(lab(&dns, sink.address.port())),
        patient(),
        Tls::new().expect("tls"),
        key(),
    )
    .expect("delivery");
    assert_eq!(
        delivery.attempt(mx_attempt()).await[0].status,
        RecipientStatus::Pending
    );
    // A route is the operator's word.
    let sink = Sink::start("PIPELINING", at("EHLO", Do::Say("250 relay.test"))).await;
    assert_eq!(
        delivery.attempt(attempt(&sink, 1)).await[0].status,
        RecipientStatus::Delivered
    );
}

#[tokio::test]
async fn an_address_of_this_machine_is_ourselves_where_we_listen_everywhere() {
    let dns = two_exchangers().await;
    let sink = Sink::start("PIPELINING", polite).await;
    let mut s = lab(&dns, sink.address.port());
    s.listeners[0].bind =
        std::net::SocketAddr::new("0.0.0.0".parse().expect("ip"), sink.address.port());
    let delivery =
        Delivery::with(Arc::new(s), patient(), Tls::new().expect("tls"), key()).expect("delivery");
    assert_eq!(
        show(&delivery.attempt(mx_attempt()).await),
        ["r0 Failed Transport 554 5.4.6 mail for b.example loops back to this relay"]
    );
}
