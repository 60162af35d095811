//! TLS as the route wants it.

use super::*;

#[tokio::test]
async fn tls_by_mode() {
    let (acceptor, roots) = self_signed();
    let offers = "PIPELINING,STARTTLS";
    let run = async |delivery: &Delivery, mode| {
        let sink = Sink::start_tls(offers, Some(acceptor.clone()), polite).await;
        let a = attempt_for(
            meta(1, Pool::Normal),
            Destination::Route(Arc::new(to(&sink, mode))),
        );
        let first = show(&delivery.attempt(a.clone()).await).remove(0);
        let encrypted = sink.commands().contains(&"1 (TLS)".to_owned());
        if first.contains("Delivered") {
            // An encrypted connection is used again as well.
            delivery.attempt(a).await;
            assert_eq!(
                (sink.seen().connections, sink.seen().messages.len()),
                (1, 2)
            );
        }
        (first, encrypted)
    };
    let delivered = || "r0 Delivered Delivered 250 2.0.0 queued".to_owned();
    assert_eq!(run(&delivery(), TlsMode::None).await, (delivered(), false));
    assert_eq!(
        run(&delivery(), TlsMode::Opportunistic).await,
        (delivered(), true)
    );
    let trusting = Delivery::with(
        Arc::new(settings()),
        patient(),
        Tls::with_roots(roots),
        key(),
    )
    .expect("delivery");
    assert_eq!(run(&trusting, TlsMode::Required).await, (delivered(), true));
    let (_, others) = self_signed();
    let doubting = Delivery::with(
        Arc::new(settings()),
        patient(),
        Tls::with_roots(others),
        key(),
    )
    .expect("delivery");
    let (refused, _) = run(&doubting, TlsMode::Required).await;
    assert!(
        refused.starts_with("r0 Pending Transport 451 4.7.5 TLS is required and failed"),
        "{refused}"
    );
}

#[tokio::test]
async fn required_tls_that_is_not_offered_means_later() {
    let sink = Sink::start("PIPELINING", polite).await;
    let a = attempt_for(
        meta(1, Pool::Normal),
        Destination::Route(Arc::new(to(&sink, TlsMode::Required))),
    );
    let outcomes = delivery().attempt(a).await;
    assert!(
        show(&outcomes)[0].starts_with("r0 Pending Transport 451 4.7.5 TLS is required"),
        "{:?}",
        show(&outcomes)
    );
    assert!(sink.seen().messages.is_empty());
}

#[tokio::test]
async fn broken_opportunistic_tls_falls_back_to_plain_text() {
    // The first says 220 and then closes, so that there is no handshake; the others do not get as
    // far.
    for what in [
        None,
        Some(Do::Close),
        Some(Do::Say("421 no")),
        Some(Do::Say("220 go\r\n250 injected")),
    ] {
        let sink = Sink::start("PIPELINING,STARTTLS", move |_, _, s: &str| {
            what.clone().filter(|_| s == "STARTTLS")
        })
        .await;
        let a = attempt_for(
            meta(1, Pool::Normal),
            Destination::Route(Arc::new(to(&sink, TlsMode::Opportunistic))),
        );
        assert_eq!(
            show(&delivery().attempt(a).await),
            ["r0 Delivered Delivered 250 2.0.0 queued"]
        );
        assert_eq!(sink.seen().connections, 2);
        assert!(!sink.commands().contains(&"2 STARTTLS".to_owned()));
    }
}

#[tokio::test]
async fn a_password_is_not_given_to_a_host_that_does_not_prove_its_name() {
    let (acceptor, _) = self_signed();
    let (_, others) = self_signed();
    let doubting = Delivery::with(
        Arc::new(settings()),
        patient(),
        Tls::with_roots(others),
        key(),
    )
    .expect("delivery");
    let sink = Sink::start_tls("AUTH PLAIN,STARTTLS", Some(acceptor), polite).await;
    let login = RouteSettings {
        username: Some("u".into()),
        password: Some(Secret("p".into())),
        ..to(&sink, TlsMode::Required)
    };
    let outcomes = doubting
        .attempt(attempt_for(
            meta(1, Pool::Normal),
            Destination::Route(Arc::new(login)),
        ))
        .await;
    assert!(
        show(&outcomes)[0].starts_with("r0 Pending Transport 451 4.7.5 TLS is required and failed"),
        "{:?}",
        show(&outcomes)
    );
    assert_eq!(sink.commands(), ["1 EHLO relay.test", "1 STARTTLS"]);
}
