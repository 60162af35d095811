//! Ceilings, the spam-rate rule and what a policy does with suspicious mail.

use super::*;

#[test]
fn a_deferred_message_leaves_no_trace() {
    let detector = detector_with(|s| {
        s.policy.recipients_external_per_hour = 2;
        s.policy.when_exceeded = WhenExceeded::Throttle;
    });
    let mut held = Reservation::default();
    assert_eq!(
        detector.reserve(at(0), &alice(), false, &mut held),
        Reserve::Granted,
        "another session's"
    );
    // Known only after the dot: nothing was reserved under this identity.
    let claimed = identity("alice@acme.example", Strength::Claimed);
    let two = [external(1), external(2)];
    for n in 0..20 {
        let j = detector.decide(
            at(n),
            &facts(&alice(), 7, 9.0, &two),
            &claimed,
            Reservation::default(),
        );
        assert_eq!(
            (j.action, j.reply.map(|r| r.code)),
            (Action::Defer, Some(450))
        );
        assert_eq!(j.alerts.len(), usize::from(n == 0), "people are told once");
    }
    let view = detector
        .sender(at(30), "acme:alice@acme.example")
        .expect("known");
    assert_eq!(
        (view.messages_day, view.recipients_day, view.evidence_nats),
        (0, 0, 0.0)
    );
}

#[test]
fn what_passes_a_ceiling_by_itself_is_refused_for_good() {
    let detector = detector_with(|s| {
        s.policy.recipients_external_per_hour = 2;
        s.policy.when_exceeded = WhenExceeded::Throttle;
    });
    let claimed = identity("alice@acme.example", Strength::Claimed);
    let three = [external(1), external(2), external(3)];
    let j = detector.decide(
        at(1),
        &facts(&alice(), 7, -5.0, &three),
        &claimed,
        Reservation::default(),
    );
    assert_eq!(
        (j.action, j.reply.map(|r| r.code), j.alerts.len()),
        (Action::Reject, Some(550), 1)
    );
    let j = detector.decide(
        at(2),
        &facts(&alice(), 8, -5.0, &three[..2]),
        &claimed,
        Reservation::default(),
    );
    assert_eq!(j.action, Action::Accept);
}

#[test]
fn ceilings_are_exact_under_fifty_sessions() {
    let detector = Arc::new(detector_with(|s| {
        s.policy.recipients_external_per_hour = 100;
        s.policy.when_exceeded = WhenExceeded::Throttle;
    }));
    let who = identity("alice@acme.example", Strength::Authenticated);
    let threads: Vec<_> = (0..50_u64)
        .map(|t| {
            let (detector, who) = (Arc::clone(&detector), who.clone());
            std::thread::spawn(move || {
                let mut sent = 0_u32;
                for m in 0..20_u64 {
                    let mut held = Reservation::default();
                    let mut recipients = Vec::new();
                    for r in 0..3 {
                        if detector.reserve(at(1), &who, false, &mut held) == Reserve::Granted {
                            recipients.push(external(t * 1000 + m * 10 + r));
                        }
                    }
                    if m % 3 == 0 || recipients.is_empty() {
                        detector.give_back(&who, held);
                        continue;
                    }
                    let j = detector.decide(
                        at(1),
                        &facts(&who, t * 100 + m, -5.0, &recipients),
                        &who,
                        held,
                    );
                    assert_eq!(j.action, Action::Accept);
                    sent += u32::try_from(recipients.len()).expect("small");
                }
                sent
            })
        })
        .collect();
    let sent: u32 = threads.into_iter().map(|t| t.join().expect("thread")).sum();
    assert_eq!(sent, 100);
    let mut held = Reservation::default();
    assert!(
        matches!(detector.reserve(at(2), &who, false, &mut held), Reserve::Throttled(r) if r.code == 450)
    );
    assert_eq!(
        detector.reserve(at(2), &who, true, &mut held),
        Reserve::Granted,
        "internal mail has its own ceiling"
    );
    assert_eq!(detector.take_alerts().len(), 1);
    // The window slides on.
    assert_eq!(
        detector.reserve(at(2 * 3600), &who, false, &mut held),
        Reserve::Granted
    );
}

#[test]
fn each_way_to_exceed_a_ceiling() {
    for (when, action, opens) in [
        (WhenExceeded::Alert, Action::Accept, false),
        (WhenExceeded::Throttle, Action::Defer, false),
        (WhenExceeded::Hold, Action::Hold, false),
        (WhenExceeded::Block, Action::Reject, true),
        (WhenExceeded::BlockUntilTomorrow, Action::Reject, true),
    ] {
        let detector = detector_with(|s| {
            s.policy.recipients_per_day = 2;
            s.policy.when_exceeded = when;
            s.blocks.durations = vec![BlockDuration::For(Duration::from_secs(60))];
        });
        let before = send(&detector, &alice(), 1, -5.0, &[external(1), internal(2)]);
        assert_eq!((before.action, before.alerts.len()), (Action::Accept, 0));
        let over = send(&detector, &alice(), 2, -5.0, &[external(3)]);
        assert_eq!(
            (over.action, over.open.is_some(), over.alerts.len()),
            (action, opens, usize::from(!opens)),
            "{when:?}"
        );
        let Some(open) = over.open else { continue };
        let tomorrow = when == WhenExceeded::BlockUntilTomorrow;
        assert_eq!(
            open.until,
            Some(if tomorrow {
                at(2).next_midnight("Europe/Berlin")
            } else {
                at(62)
            })
        );
        // The refused message did not count, and after a release the ceiling does not open the next
        // block at once.
        assert_eq!(
            detector
                .sender(at(3), "acme:alice@acme.example")
                .expect("known")
                .recipients_day,
            2
        );
        let block = opened(open, at(3));
        detector.block(Arc::clone(&block));
        detector.unblock(at(4), &block);
        assert_eq!(
            send(&detector, &alice(), 5, -5.0, &[external(4)]).action,
            Action::Accept
        );
    }
}

#[test]
fn each_way_to_treat_suspicious_mail() {
    for (what, action) in [
        (Suspicious::Deliver, Action::Accept),
        (Suspicious::HighRisk, Action::HighRisk),
        (Suspicious::Hold, Action::Hold),
        (Suspicious::Reject, Action::Reject),
    ] {
        let detector = detector_with(|s| s.policy.suspicious = what);
        let j = send(&detector, &alice(), 1, 3.0, &[external(1)]);
        assert_eq!(
            (j.action, j.reply.is_some()),
            (action, action == Action::Reject)
        );
    }
    let detector = detector_with(|_| ());
    // Two messages come to 8.3 nats; the watch begins at 11.
    send(&detector, &alice(), 0, 9.0, &[external(0)]);
    send(&detector, &alice(), 1, 9.0, &[external(1)]);
    let watched = send(&detector, &alice(), 2, 9.0, &[external(2)]);
    assert_eq!(
        (watched.action, watched.reason),
        (Action::Hold, Reason::Watched)
    );
    assert_eq!(
        detector
            .sender(at(3), "alice@acme.example")
            .expect("known")
            .standing,
        "watched"
    );
    assert_eq!(detector.senders(at(3), None, 10, Some("watched")).len(), 1);
    assert_eq!(detector.senders(at(3), None, 10, Some("good")).len(), 0);
    assert_eq!(
        send(&detector, &alice(), 3, -9.0, &[external(1)]).action,
        Action::Accept
    );
}

#[test]
fn the_spam_rate_rule_blocks_with_the_detector_off() {
    let detector = detector_with(|s| {
        s.policy.false_block_rate = 0.0;
        s.policy.spam_rate_min_messages = 20;
        s.policy.suspicious = Suspicious::Deliver;
    });
    let mut opened = None;
    for n in 0..60 {
        let llr = if n < 15 { -5.0 } else { 9.0 };
        let j = send(&detector, &alice(), n, llr, &[external(n)]);
        if let Some(open) = j.open {
            opened = Some((n, open.reason));
            break;
        }
    }
    assert_eq!(opened, Some((29, Reason::SpamRate)), "15 of 30");
}

#[test]
fn undo_gives_the_ceiling_back_and_counts_the_retry_once() {
    let detector = detector_with(|s| s.policy.recipients_external_per_hour = 2);
    let two = [external(1), external(2)];
    for n in 0..5 {
        let who = alice();
        let f = facts(&who, 1, -1.0, &two);
        assert_eq!(
            detector
                .decide(at(n), &f, &who, Reservation::default())
                .alerts,
            []
        );
        assert_eq!(
            detector
                .sender(at(n), "alice@acme.example")
                .expect("known")
                .recipients_external_hour,
            2
        );
        detector.undo(&f);
        detector.undo(&f);
        let view = detector.sender(at(n), "alice@acme.example").expect("known");
        assert_eq!((view.recipients_external_hour, view.messages_day), (0, 1));
    }
}
