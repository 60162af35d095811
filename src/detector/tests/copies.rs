//! Messages that come again, and letters in several transactions.

use super::*;

#[test]
fn a_message_retried_twenty_times_moves_nothing() {
    let detector = detector_with(|s| s.policy.recipients_external_per_hour = 100);
    let recipients = [external(1), external(2), internal(3)];
    // The spool could not take it, so that the client tries it again and again.
    let who = alice();
    let tried = || {
        let again = send(&detector, &who, 1, 2.0, &recipients);
        detector.undo(&facts(&who, 1, 2.0, &recipients));
        again
    };
    tried();
    let view = || {
        detector
            .sender(at(2), "acme:alice@acme.example")
            .expect("known")
    };
    let first = view();
    for _ in 0..20 {
        let again = tried();
        assert_eq!((again.open, again.signals.len()), (None, 0));
    }
    assert_eq!(first, view());
    // The last try is accepted.
    send(&detector, &who, 1, 2.0, &recipients);
    let last = view();
    assert_eq!(
        (
            last.messages_day,
            last.recipients_external_hour,
            last.recipients_internal_hour
        ),
        (1, 2, 1)
    );
    assert_eq!(last.evidence_nats, first.evidence_nats);
}

/// Sends one message (the same Message-ID and text) again and again until it is stopped: how many
/// copies left.
fn copies(detector: &Detector, to: impl Fn(u64) -> Vec<RecipientFacts>) -> u64 {
    let who = alice();
    for n in 0..1000 {
        let to = to(n);
        let copy = MessageFacts {
            fingerprint: 77,
            ..facts(&who, 1000 + n, 9.0, &to)
        };
        let verdict = detector.decide(at(1000), &copy, &who, Reservation::default());
        if !matches!(verdict.action, Action::Accept | Action::HighRisk) {
            return n;
        }
    }
    1000
}

#[test]
fn an_accepted_message_that_comes_again_is_another_message() {
    // The same message to a new recipient each time, 300 of 300, and 1,000 times to one victim: all
    // of it left, and the sender had written one message.
    let detector = || {
        let detector = detector_with(|_| ());
        (0..20).for_each(|n| drop(send(&detector, &alice(), n, -4.0, &[external(n % 5)])));
        detector
    };
    for (name, most, to) in [
        (
            "strangers",
            4,
            (|n| vec![external(5000 + n)]) as fn(u64) -> Vec<RecipientFacts>,
        ),
        ("one victim", 6, |_| vec![external(5000)]),
        ("somebody it knows", 6, |_| vec![external(1)]),
        ("a colleague", 6, |_| vec![internal(1)]),
        ("strangers and a colleague", 4, |n| {
            vec![external(5000 + n), internal(1)]
        }),
        ("strangers by tens", 4, |n| {
            (0..10).map(|r| external(5000 + n * 10 + r)).collect()
        }),
        ("one stranger among nineteen friends", 5, |n| {
            (0..19).map(external).chain([external(5000 + n)]).collect()
        }),
        ("one stranger among nineteen colleagues", 4, |n| {
            (0..19).map(internal).chain([external(5000 + n)]).collect()
        }),
        ("one stranger twenty times", 4, |n| {
            vec![external(5000 + n); 20]
        }),
        ("twenty and then one by one", 5, |n| {
            let first = if n == 0 { 20 } else { 1 };
            (0..first).map(|r| external(5000 + n * 100 + r)).collect()
        }),
        ("strangers by twenties", 10, |n| {
            (0..20).map(|r| external(5000 + n * 50 + r)).collect()
        }),
        ("strangers by fifties", 6, |n| {
            (0..50).map(|r| external(5000 + n * 50 + r)).collect()
        }),
    ] {
        let left = copies(&detector(), to);
        assert!(left <= most, "{name}: {left}");
    }
}

#[test]
fn accepted_copies_count_in_every_ceiling() {
    let detector = detector_with(|s| s.policy.bytes_per_day = 1 << 40);
    let (who, to) = (alice(), [external(1), internal(2)]);
    for n in 0..10 {
        let copy = MessageFacts {
            fingerprint: 77,
            octets: 2048,
            ..facts(&who, n, -4.0, &to)
        };
        assert_eq!(
            detector
                .decide(at(10), &copy, &who, Reservation::default())
                .action,
            Action::Accept
        );
    }
    let view = detector
        .sender(at(11), "acme:alice@acme.example")
        .expect("known");
    assert_eq!(
        (
            view.messages_hour,
            view.recipients_external_hour,
            view.recipients_internal_hour
        ),
        (10, 10, 10)
    );
    assert_eq!(
        detector
            .senders
            .get(&who.key, |s| s.windows.sum(at(11), DAY).kib),
        Some(20)
    );
    // Another recipient of the same text is another message, too.
    let third = [external(3)];
    let more = MessageFacts {
        fingerprint: 77,
        ..facts(&who, 20, -4.0, &third)
    };
    detector.decide(at(11), &more, &who, Reservation::default());
    let view = detector
        .sender(at(12), "acme:alice@acme.example")
        .expect("known");
    assert_eq!(
        (view.messages_hour, view.recipients_external_hour),
        (11, 11)
    );
}

#[test]
fn a_letter_to_many_weighs_the_same_in_one_transaction_and_in_parts() {
    let sum = |parts: u64| {
        let detector = detector_with(|_| ());
        (0..20).for_each(|n| drop(send(&detector, &alice(), n, -4.0, &[external(n % 5)])));
        let who = alice();
        for part in 0..parts {
            let to: Vec<RecipientFacts> = (0..120 / parts)
                .map(|r| external(5000 + part * 1000 + r))
                .collect();
            let f = MessageFacts {
                fingerprint: 77,
                ..facts(&who, 1000, 2.5, &to)
            };
            assert_eq!(
                detector
                    .decide(at(1000), &f, &who, Reservation::default())
                    .open,
                None
            );
        }
        detector
            .sender(at(1001), "acme:alice@acme.example")
            .expect("known")
            .evidence_nats
    };
    let (one, three) = (sum(1), sum(3));
    assert!((one - three).abs() < 0.5, "{one} {three}");
}

#[test]
fn a_letter_in_parts_is_asked_about_like_one() {
    // One message to a thousand people was held; the same in fifty parts of twenty went, since each
    // part taught that strangers are usual. An account with a history, and one without.
    for (history, learning) in [(300, 0), (300, 500), (0, 500), (20, 500)] {
        let detector = detector_with(|s| s.scoring.learning_messages = learning);
        let who = alice();
        (0..history).for_each(|n| drop(send(&detector, &who, n, -4.0, &[external(n % 5)])));
        let left = (0..50).position(|n| {
            let to: Vec<RecipientFacts> = (0..20).map(|r| external(5000 + n * 20 + r)).collect();
            let part = MessageFacts {
                fingerprint: 77,
                ..facts(&who, 1000, 4.6, &to)
            };
            let verdict = detector.decide(at(1000), &part, &who, Reservation::default());
            !matches!(verdict.action, Action::Accept | Action::HighRisk)
        });
        assert!(
            left.is_some_and(|left| left <= 20),
            "{history} {learning}: {left:?}"
        );
    }
}

#[test]
fn letters_that_a_server_sends_at_the_same_time_are_not_twenty() {
    // Postfix delivers the parts of two letters in turn, and ordinary mail between.
    let detector = detector_with(|_| ());
    (0..20).for_each(|n| drop(send(&detector, &alice(), n, -4.0, &[external(n % 5)])));
    let who = alice();
    for n in 0..20 {
        let to: Vec<RecipientFacts> = (0..50).map(|r| external(10_000 + n * 100 + r)).collect();
        let part = MessageFacts {
            fingerprint: 77 + n % 2,
            ..facts(&who, 1000, 2.5, &to)
        };
        let verdict = detector.decide(at(1000), &part, &who, Reservation::default());
        assert!(verdict.open.is_none(), "part {n}: {verdict:?}");
        send(&detector, &who, 2000 + n, -0.1, &[external(n % 5)]);
    }
}

#[test]
fn one_mailing_in_several_transactions_weighs_as_one() {
    let detector = detector_with(|_| ());
    for part in 0..20_u64 {
        let recipients: Vec<RecipientFacts> = (0..50).map(|r| external(part * 100 + r)).collect();
        assert_eq!(send(&detector, &alice(), 1, -0.5, &recipients).open, None);
    }
    let view = detector.sender(at(2), "alice@acme.example").expect("known");
    assert_eq!((view.messages_day, view.recipients_day), (20, 1000));
    // Beyond 170 recipients a few new ones are taken for known ones.
    assert!(
        (950..=1000).contains(&view.recipients_new_day),
        "{}",
        view.recipients_new_day
    );
    assert!(view.evidence_nats <= 3.0);
}

#[test]
fn what_becomes_of_copies_says_nothing_new() {
    let detector = detector_with(|_| {});
    let who = alice();
    send(&detector, &who, 1, 4.0, &[external(1)]);
    let sum = |detector: &Detector| {
        detector
            .sender(at(30), "alice@acme.example")
            .expect("known")
            .evidence_nats
    };
    assert!(sum(&detector) > 0.0);
    let first = facts(&who, 1, 4.0, &[]).id;
    let hash = external(1).hash;
    // The same message under another id, as a client sends it that lost our 250.
    let (id, to) = (facts(&who, 2, 0.0, &[]).id, [external(1)]);
    let copy = MessageFacts {
        id,
        ..facts(&who, 1, 4.0, &to)
    };
    detector.decide(at(20), &copy, &who, Reservation::default());
    let after = sum(&detector);
    detector.outcome(at(21), &who, copy.id, OutcomeClass::UnknownUser, hash);
    assert_eq!(sum(&detector), after);
    detector.outcome(at(22), &who, first, OutcomeClass::UnknownUser, hash);
    assert!(
        sum(&detector) > after + 2.0,
        "the first one's own outcome counts"
    );
}
