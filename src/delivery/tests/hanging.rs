//! Servers that hang or never stop talking: each limit ends an attempt.

use super::*;

#[tokio::test]
async fn a_server_that_hangs_at_any_step_is_given_up() {
    let short = Duration::from_millis(30);
    for offers in ["PIPELINING", "DSN"] {
        for (step, words) in STEPS {
            let limits = match *step {
                "BANNER" => TimeLimits {
                    banner: short,
                    ..patient()
                },
                "EHLO" => TimeLimits {
                    session: short,
                    ..patient()
                },
                "MAIL" => TimeLimits {
                    mail: short,
                    ..patient()
                },
                "RCPT" => TimeLimits {
                    rcpt: short,
                    ..patient()
                },
                "DATA" => TimeLimits {
                    data: short,
                    ..patient()
                },
                _ => TimeLimits {
                    dot: short,
                    ..patient()
                },
            };
            let sink = Sink::start(offers, at(step, Do::Hang)).await;
            let outcomes = delivery_with(limits).attempt(attempt(&sink, 2)).await;
            let here = format!("{offers} {step}: {:?}", show(&outcomes));
            assert_eq!(outcomes.len(), 2, "{here}");
            assert!(
                outcomes
                    .iter()
                    .all(|o| o.status == RecipientStatus::Pending
                        && o.class == OutcomeClass::Transport),
                "{here}"
            );
            assert!(
                outcomes[0]
                    .reply
                    .one_line()
                    .starts_with("451 4.4.2 timed out waiting for "),
                "{here}"
            );
            assert!(outcomes[0].reply.one_line().ends_with(words), "{here}");
            assert_eq!(sink.seen().connections, 1, "{here}");
        }
    }
}

#[tokio::test]
async fn a_whole_attempt_has_a_limit_whatever_each_step_may_take() {
    let sink = Sink::start("PIPELINING", at("BANNER", Do::Hang)).await;
    let limits = TimeLimits {
        attempt: Duration::from_millis(30),
        ..patient()
    };
    assert_eq!(
        delivery_with(limits).attempt(attempt(&sink, 1)).await[0].status,
        RecipientStatus::Pending
    );
}

#[tokio::test]
async fn a_server_that_reads_nothing_of_the_message_is_given_up() {
    // More than the buffers of both sockets hold, so that writing stalls.
    let body = Bytes::from(
        b"0123456789012345678901234567890123456789012345678901234567890\r\n".repeat(1 << 19),
    );
    let short = Duration::from_millis(30);
    let limits = TimeLimits {
        block: short,
        quit: short,
        ..patient()
    };
    for (said, expected) in [
        (
            "354 go",
            "r0 Pending Transport 451 4.4.2 connection lost sending the message: timed out",
        ),
        // What it said before it stopped reading is the better answer.
        (
            "354 go\r\n552 5.3.4 too big",
            "r0 Failed Recipient 552 5.3.4 too big",
        ),
    ] {
        let sink = Sink::start("DSN", at("DATA", Do::Deaf(said))).await;
        let mut a = attempt(&sink, 1);
        a.body = body.clone();
        assert_eq!(show(&delivery_with(limits).attempt(a).await), [expected]);
    }
}

#[tokio::test]
async fn endless_replies_are_given_up_at_any_step() {
    for (step, _) in STEPS {
        let sink = Sink::start("PIPELINING", at(step, Do::Endless)).await;
        let outcomes = delivery().attempt(attempt(&sink, 1)).await;
        let shown = show(&outcomes);
        assert_eq!(
            outcomes[0].status,
            RecipientStatus::Pending,
            "{step} {shown:?}"
        );
        assert!(
            shown[0].ends_with("from the next hop") || shown[0].contains("connection"),
            "{step} {shown:?}"
        );
    }
}
