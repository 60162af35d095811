//! Servers that close, or were never there.

use super::*;

#[tokio::test]
async fn a_server_that_closes_at_any_step_means_later() {
    for offers in ["PIPELINING", "DSN"] {
        for (step, _) in STEPS {
            let sink = Sink::start(offers, at(step, Do::Close)).await;
            let outcomes = delivery().attempt(attempt(&sink, 2)).await;
            assert_eq!(outcomes.len(), 2, "{step}");
            for o in &outcomes {
                assert_eq!(
                    (o.status, o.reply.code),
                    (RecipientStatus::Pending, 451),
                    "{offers} {step}: {:?}",
                    show(&outcomes)
                );
            }
            assert_eq!(sink.seen().connections, 1, "{offers} {step}");
        }
    }
}

#[tokio::test]
async fn nobody_listens() {
    // Bound without listening: nobody else gets the port meanwhile.
    let taken = tokio::net::TcpSocket::new_v4().expect("socket");
    taken
        .bind(crate::delivery::testing::loopback(0))
        .expect("bind");
    let port = taken.local_addr().expect("address").port();
    let route = route_to("127.0.0.1", port);
    let outcomes = delivery()
        .attempt(attempt_for(
            meta(1, Pool::Normal),
            Destination::Route(Arc::new(route)),
        ))
        .await;
    assert!(
        outcomes[0]
            .reply
            .one_line()
            .starts_with("451 4.4.1 cannot connect"),
        "{:?}",
        show(&outcomes)
    );
    assert_eq!(
        (outcomes[0].status, outcomes[0].class),
        (RecipientStatus::Pending, OutcomeClass::Transport)
    );
}

#[tokio::test]
async fn a_reused_connection_that_turns_out_dead_is_replaced_once() {
    let dies = |what: Do| {
        move |connection, transaction, step: &str| {
            (connection == 1 && transaction == 2 && step.starts_with("MAIL")).then(|| what.clone())
        }
    };
    for what in [Do::Close, Do::Say("421 4.4.2 idle too long")] {
        for offers in ["PIPELINING", "DSN"] {
            let sink = Sink::start(offers, dies(what.clone())).await;
            let delivery = delivery();
            for _ in 0..2 {
                assert_eq!(
                    show(&delivery.attempt(attempt(&sink, 1)).await),
                    ["r0 Delivered Delivered 250 2.0.0 queued"]
                );
            }
            assert_eq!(
                (sink.seen().connections, sink.seen().messages.len()),
                (2, 2)
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_leaves_after_each_message_costs_no_message() {
    for farewell in ["250 2.0.0 queued", "250 2.0.0 queued\r\n421 4.3.2 bye"] {
        let sink = Sink::start("PIPELINING", at(".", Do::Leave(farewell))).await;
        let delivery = delivery();
        for _ in 0..5 {
            assert_eq!(
                show(&delivery.attempt(attempt(&sink, 1)).await),
                ["r0 Delivered Delivered 250 2.0.0 queued"]
            );
        }
        assert_eq!(
            (sink.seen().connections, sink.seen().messages.len()),
            (5, 5)
        );
    }
}

#[tokio::test]
async fn after_the_end_of_the_message_nothing_is_sent_twice() {
    let script =
        |_, transaction, step: &str| (transaction == 2 && step == ".").then_some(Do::Close);
    let sink = Sink::start("PIPELINING", script).await;
    let delivery = delivery();
    delivery.attempt(attempt(&sink, 1)).await;
    let outcomes = delivery.attempt(attempt(&sink, 1)).await;
    assert_eq!(outcomes[0].status, RecipientStatus::Pending);
    assert!(
        outcomes[0]
            .reply
            .one_line()
            .contains("may have been delivered"),
        "{:?}",
        show(&outcomes)
    );
    assert_eq!(
        (sink.seen().connections, sink.seen().messages.len()),
        (1, 2)
    );
}

#[tokio::test]
async fn a_farewell_defers_what_is_left() {
    let script = |_, _, step: &str| match step {
        s if s.contains("r0@") => Some(Do::Say("550 5.1.1 user unknown")),
        s if s.contains("r1@") => Some(Do::Say("421 4.3.2 closing")),
        _ => None,
    };
    let sink = Sink::start("LIMITS RCPTMAX=2", script).await;
    assert_eq!(
        show(&delivery().attempt(attempt(&sink, 4)).await),
        [
            "r0 Failed UnknownUser 550 5.1.1 user unknown",
            "r1 Pending Transport 421 4.3.2 closing",
            "r2 Pending Transport 421 4.3.2 closing",
            "r3 Pending Transport 421 4.3.2 closing"
        ]
    );
    assert_eq!(sink.seen().connections, 1);
}
