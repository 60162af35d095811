//! What the server offers: sizes, DSN, eight bits.

use super::*;

#[tokio::test]
async fn limits_of_the_server_are_kept() {
    let sink = Sink::start("PIPELINING,LIMITS RCPTMAX=2 MAILMAX=2", polite).await;
    let outcomes = delivery().attempt(attempt(&sink, 5)).await;
    assert!(
        outcomes
            .iter()
            .all(|o| o.status == RecipientStatus::Delivered)
            && outcomes.len() == 5,
        "{:?}",
        show(&outcomes)
    );
    // Three transactions, two on the first connection.
    assert_eq!(
        (sink.seen().connections, sink.seen().messages.len()),
        (2, 3)
    );
    let sink = Sink::start("SIZE 10", polite).await;
    assert_eq!(
        delivery().attempt(attempt(&sink, 1)).await[0]
            .reply
            .one_line()
            .get(..9),
        Some("552 5.3.4")
    );
}

#[tokio::test]
async fn dsn_is_carried_on_and_reported() {
    let mut m = meta(1, Pool::Normal);
    m.envelope.recipients[0].notify = Some(Notify {
        success: true,
        failure: false,
        delay: false,
    });
    for (offers, relayed, parameter) in [
        ("PIPELINING,DSN", true, " NOTIFY=SUCCESS"),
        ("PIPELINING", false, ""),
    ] {
        let sink = Sink::start(offers, polite).await;
        let outcomes = delivery()
            .attempt(attempt_for(
                m.clone(),
                Destination::Route(Arc::new(to(&sink, TlsMode::None))),
            ))
            .await;
        assert_eq!(
            (outcomes[0].status, outcomes[0].relayed_dsn),
            (RecipientStatus::Delivered, relayed)
        );
        assert!(
            sink.commands()
                .contains(&format!("1 RCPT TO:<r0@b.example>{parameter}"))
        );
    }
}

#[tokio::test]
async fn eight_bit_mail_is_returned_where_it_cannot_pass() {
    for (offers, code) in [("PIPELINING", "554 5.6.3"), ("8BITMIME", "250 2.0.0")] {
        let sink = Sink::start(offers, polite).await;
        let mut a = attempt(&sink, 1);
        a.body = Bytes::from("Subject: x\r\n\r\nü\r\n");
        let outcomes = delivery().attempt(a).await;
        assert_eq!(outcomes[0].reply.one_line().get(..9), Some(code));
        assert_eq!(
            sink.seen().messages.len(),
            usize::from(code.starts_with('2'))
        );
    }
}
