//! Servers that take only so much over one connection or in one transaction.

use super::*;
use std::sync::Mutex;

/// What the sink says at `at` after three transactions over a connection.
fn tired(
    at: &'static str,
    what: Do,
) -> impl Fn(usize, usize, &str) -> Option<Do> + Send + Sync + 'static {
    let what = Mutex::new(what);
    move |_, transaction, step| {
        (transaction > 3 && step.starts_with(at)).then(|| what.lock().expect("lock").clone())
    }
}

#[tokio::test]
async fn a_server_that_takes_few_messages_over_one_connection_gets_the_next_ones_over_new_ones_at_once()
 {
    // The fourth message read 452 4.4.5 and waited for the retry schedule, and all others with it.
    for (at, what) in [
        ("MAIL", Do::Say("452 4.4.5 Insufficient system resources")),
        ("MAIL", Do::Say("451 4.3.0 enough")),
        ("MAIL", Do::Say("450 enough")),
        ("MAIL", Do::Say("421 4.7.0 enough")),
        ("MAIL", Do::Leave("421 4.4.2 enough")),
        (
            "MAIL",
            Do::Say("550 5.7.0 too many messages in this session"),
        ),
        ("MAIL", Do::Close),
        ("RCPT", Do::Say("452 4.4.5 enough")),
        ("RCPT", Do::Leave("421 4.4.5 enough")),
        ("RCPT", Do::Close),
        ("DATA", Do::Say("452 4.4.5 Insufficient system resources")),
        ("DATA", Do::Say("421 enough")),
        ("DATA", Do::Close),
        (".", Do::Leave("421 4.4.5 enough")),
    ] {
        for offers in ["PIPELINING", "DSN"] {
            let sink = Sink::start(offers, tired(at, what.clone())).await;
            let delivery = delivery();
            for n in 0..12 {
                let tried = delivery.try_once(attempt(&sink, 2)).await;
                let here = format!(
                    "{offers} {at} {what:?}, message {n}: {:?}",
                    show(&tried.outcomes)
                );
                assert!(
                    tried
                        .outcomes
                        .iter()
                        .all(|o| o.status == RecipientStatus::Delivered),
                    "{here}"
                );
                assert!(
                    tried.outcomes.len() == 2 && tried.reach == Reached::Transaction,
                    "{here}"
                );
            }
            assert_eq!(
                sink.seen().connections,
                4,
                "{offers} {at} {what:?}: three messages each"
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_still_counts_the_connection_before_is_asked_once_more() {
    for (refusals, delivered) in [(1, true), (9, false)] {
        let tired = tired("MAIL", Do::Say("452 4.4.5 enough"));
        let script = move |connection, transaction, step: &str| {
            let full = connection > 1 && connection <= 1 + refusals && step == "BANNER";
            if full {
                Some(Do::Leave("421 too many connections"))
            } else {
                tired(connection, transaction, step)
            }
        };
        let sink = Sink::start("PIPELINING", script).await;
        let delivery = delivery();
        for _ in 0..3 {
            delivery.attempt(attempt(&sink, 1)).await;
        }
        let tried = delivery.try_once(attempt(&sink, 1)).await;
        assert_eq!(
            tried.outcomes[0].status == RecipientStatus::Delivered,
            delivered,
            "{:?}",
            show(&tried.outcomes)
        );
        assert_eq!(
            sink.seen().connections,
            if delivered { 3 } else { 4 },
            "not for ever"
        );
        assert_eq!(
            tried.reach,
            if delivered {
                Reached::Transaction
            } else {
                Reached::Host
            }
        );
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_quit_holds_up_nothing() {
    let tired = tired("MAIL", Do::Say("452 4.4.5 enough"));
    let sink = Sink::start("PIPELINING", move |c, t, step: &str| {
        if step == "QUIT" {
            Some(Do::Hang)
        } else {
            tired(c, t, step)
        }
    })
    .await;
    let delivery = delivery();
    for _ in 0..4 {
        let all =
            tokio::time::timeout(Duration::from_secs(60), delivery.attempt(attempt(&sink, 1)))
                .await;
        assert_eq!(
            show(&all.expect("in time")),
            ["r0 Delivered Delivered 250 2.0.0 queued"]
        );
    }
    assert_eq!(sink.seen().connections, 2);
}

#[tokio::test]
async fn a_reset_that_is_refused_makes_a_new_connection_and_no_deferral() {
    // The first recipient is refused, so the transaction stays open and is reset before the next.
    for what in [Do::Say("421 no"), Do::Say("502 unknown"), Do::Close] {
        let script = move |connection, transaction, step: &str| match step {
            "RSET" => Some(what.clone()),
            s if s.starts_with("RCPT") && connection == 1 && transaction == 1 => {
                Some(Do::Say("550 5.1.1 unknown"))
            }
            _ => None,
        };
        let sink = Sink::start("DSN", script).await;
        let delivery = delivery();
        assert_eq!(
            delivery.attempt(attempt(&sink, 1)).await[0].status,
            RecipientStatus::Failed
        );
        assert_eq!(
            show(&delivery.attempt(attempt(&sink, 1)).await),
            ["r0 Delivered Delivered 250 2.0.0 queued"]
        );
        assert_eq!(sink.seen().connections, 2);
    }
}

#[tokio::test]
async fn a_new_connection_that_refuses_at_once_too_has_the_last_word() {
    for (at, said) in [
        ("MAIL", "452 4.4.5 Insufficient system resources"),
        ("MAIL", "421 4.7.0 enough"),
        ("RCPT", "450 4.7.1 greylisted"),
        ("RCPT", "421 4.4.5 enough"),
        ("DATA", "451 4.4.1 later"),
    ] {
        // The first message passes, so that there is a connection to be used again.
        let script = move |connection, transaction, step: &str| {
            ((connection, transaction) != (1, 1) && step.starts_with(at)).then_some(Do::Say(said))
        };
        let sink = Sink::start("PIPELINING", script).await;
        let delivery = delivery();
        delivery.attempt(attempt(&sink, 1)).await;
        let tried = delivery.try_once(attempt(&sink, 1)).await;
        assert_eq!(tried.outcomes[0].reply.one_line(), said);
        assert_eq!(tried.outcomes[0].status, RecipientStatus::Pending, "{said}");
        assert_eq!(
            tried.reach,
            Reached::Transaction,
            "{said}: the host is not down"
        );
        // Greylisting speaks of the recipient: another connection would hear the same.
        assert_eq!(
            sink.seen().connections,
            if at == "RCPT" && said.starts_with("450") {
                1
            } else {
                2
            },
            "{said}"
        );
    }
}

#[tokio::test]
async fn how_far_a_host_was_reached() {
    for (step, what, expected) in [
        ("BANNER", Do::Say("421 4.7.0 busy"), Reached::Host),
        ("BANNER", Do::Say("554 no"), Reached::Host),
        ("EHLO", Do::Leave("421 4.7.0 busy"), Reached::Host),
        ("BANNER", Do::Close, Reached::Nowhere),
        ("EHLO", Do::Close, Reached::Nowhere),
        ("MAIL", Do::Close, Reached::Transaction),
        ("RCPT", Do::Say("421 4.4.1 no"), Reached::Transaction),
        (".", Do::Close, Reached::Transaction),
    ] {
        let sink = Sink::start("PIPELINING", at(step, what)).await;
        assert_eq!(
            delivery().try_once(attempt(&sink, 1)).await.reach,
            expected,
            "{step}"
        );
    }
}

/// Refuses recipients of a transaction beyond the first `most` with `what`.
fn crowded(
    most: usize,
    what: Do,
) -> impl Fn(usize, usize, &str) -> Option<Do> + Send + Sync + 'static {
    let seen = Mutex::new((what, (0, 0), 0));
    move |connection, transaction, step| {
        let mut seen = seen.lock().expect("lock");
        if (connection, transaction) != seen.1 {
            (seen.1, seen.2) = ((connection, transaction), 0);
        }
        seen.2 += usize::from(step.starts_with("RCPT"));
        (seen.2 > most && step.starts_with("RCPT")).then(|| seen.0.clone())
    }
}

#[tokio::test]
async fn recipients_that_are_too_many_for_one_transaction_go_in_the_next_at_once() {
    for (what, connections) in [
        (Do::Say("452 4.5.3 too many recipients"), 1),
        (Do::Say("552 too many recipients"), 1),
        (Do::Say("550 5.5.3 too many recipients"), 1),
        (Do::Say("452 Too many"), 1),
        // Here nothing of the first transaction passes; the next one knows how many may.
        (Do::Leave("421 4.5.3 too many recipients"), 2),
        (Do::Close, 2),
    ] {
        for offers in ["PIPELINING", "DSN"] {
            let sink = Sink::start(offers, crowded(7, what.clone())).await;
            let outcomes = delivery().attempt(attempt(&sink, 30)).await;
            let here = format!("{offers} {what:?}: {:?}", show(&outcomes));
            assert!(
                outcomes.len() == 30
                    && outcomes
                        .iter()
                        .all(|o| o.status == RecipientStatus::Delivered),
                "{here}"
            );
            assert_eq!(
                (sink.seen().messages.len(), sink.seen().connections),
                (5, connections),
                "{here}"
            );
        }
    }
    let sink = Sink::start(
        "PIPELINING",
        crowded(100, Do::Say("452 4.5.3 too many recipients")),
    )
    .await;
    let outcomes = delivery().attempt(attempt(&sink, 101)).await;
    assert!(
        outcomes.len() == 101
            && outcomes
                .iter()
                .all(|o| o.status == RecipientStatus::Delivered)
    );
}

#[tokio::test]
async fn recipients_refused_as_too_many_do_not_go_round_in_circles() {
    // Nobody is let in; or somebody is, and the message does not pass.
    for (most, at, said) in [
        (0, "MAIL", "250 ok"),
        (1, "DATA", "451 4.3.0 no"),
        (1, ".", "451 4.3.0 no"),
    ] {
        let crowd = crowded(most, Do::Say("452 4.5.3 too many recipients"));
        let script = move |c, t, step: &str| {
            let refused = crowd(c, t, step);
            if step.starts_with(at) {
                Some(Do::Say(said))
            } else {
                refused
            }
        };
        let sink = Sink::start("PIPELINING", script).await;
        let outcomes = delivery().attempt(attempt(&sink, 20)).await;
        assert!(
            outcomes.len() == 20
                && outcomes
                    .iter()
                    .all(|o| o.status == RecipientStatus::Pending),
            "{:?}",
            show(&outcomes)
        );
        let transactions = sink
            .commands()
            .iter()
            .filter(|c| c.contains(" MAIL "))
            .count();
        assert_eq!((transactions, sink.seen().connections), (1, 1), "{at}");
    }
}
