use super::outcomes::ReportEffectKind;
use super::testing::settings;
use super::*;
use crate::blocks::rules;
use crate::config::settings::{BlockDuration, Suspicious, WhenExceeded};
use crate::types::{
    BlockRef, Domain, MessageFacts, MessageId, OutcomeClass, ReleaseVerdict, Strength,
};
use std::net::IpAddr;

mod circumstances;
mod cold;
mod detector;
mod internal_part;
mod policies;
mod reports;
mod templates;

const T0: i64 = 1_795_356_000;

fn at(seconds: i64) -> Time {
    Time::from_secs(T0 + seconds)
}

fn identity(address: &str, strength: Strength) -> Identity {
    let tenant = TenantId::new("acme");
    let client: IpAddr = "192.0.2.7".parse().expect("ip");
    let key = match strength {
        Strength::Authenticated | Strength::Asserted => SenderKey::account(&tenant, address),
        Strength::Claimed | Strength::None => SenderKey::claimed(&tenant, address, client),
    };
    let domain = address.rsplit_once('@').and_then(|(_, d)| Domain::parse(d));
    Identity {
        tenant,
        key,
        address: address.into(),
        domain,
        strength,
        client,
        foreign: false,
    }
}

fn alice() -> Identity {
    identity("alice@acme.example", Strength::Authenticated)
}

fn detector_with(change: impl FnOnce(&mut Settings)) -> Detector {
    let mut s = settings();
    change(&mut s);
    Detector::new(Arc::new(s))
}

fn external(n: u64) -> RecipientFacts {
    RecipientFacts {
        hash: crate::types::hash::mix(n, 99),
        internal: false,
    }
}

fn internal(n: u64) -> RecipientFacts {
    RecipientFacts {
        internal: true,
        ..external(n)
    }
}

/// One message: number `n` of that sender, at second `n`.
fn facts<'a>(
    who: &'a Identity,
    n: u64,
    llr: f64,
    recipients: &'a [RecipientFacts],
) -> MessageFacts<'a> {
    MessageFacts {
        id: MessageId::from_parts(at(i64::try_from(n).expect("small")), 0),
        identity: who,
        recipients,
        fingerprint: crate::types::hash::mix(n, 5),
        origin: None,
        failed_logins: 0,
        template: 0,
        llr,
        listed: 0.0,
        probability: 1.0 / (1.0 + (-llr).exp()),
        symbols: &[],
        link_hosts: &[],
        octets: 0,
        is_report: false,
    }
}

fn send(
    detector: &Detector,
    who: &Identity,
    n: u64,
    llr: f64,
    recipients: &[RecipientFacts],
) -> Decision {
    let now = at(i64::try_from(n).expect("small"));
    detector.decide(
        now,
        &facts(who, n, llr, recipients),
        who,
        Reservation::default(),
    )
}

fn opened(new: NewBlock, now: Time) -> Arc<Block> {
    Arc::new(rules::opened(new, BlockRef::from_random(77), now, "relay"))
}

/// Sends spam to new recipients until a block is opened; gives it and how many messages went
/// before.
fn run_campaign(detector: &Detector, who: &Identity, from: u64) -> (NewBlock, u64) {
    for n in 0..100 {
        let verdict = send(detector, who, from + n, 9.0, &[external(from + n)]);
        if let Some(open) = verdict.open {
            assert_eq!(
                (verdict.action, verdict.reason),
                (Action::Reject, open.reason)
            );
            return (open, n);
        }
    }
    panic!("never stopped");
}

#[test]
fn a_taken_over_account_is_stopped_and_nobody_else_is_touched() {
    let detector = detector_with(|_| ());
    let bob = identity("bob@acme.example", Strength::Authenticated);
    for n in 0..50 {
        assert_eq!(
            send(&detector, &alice(), n, -4.0, &[external(n % 5)]).action,
            Action::Accept
        );
        assert_eq!(
            send(&detector, &bob, n, -4.0, &[external(n % 5)]).action,
            Action::Accept
        );
    }
    let (open, leaked) = run_campaign(&detector, &alice(), 1000);
    assert!(leaked <= 4, "{leaked}");
    assert_eq!(
        (open.kind, open.subject.as_str(), open.reason),
        (BlockKind::Sender, "alice@acme.example", Reason::Evidence)
    );
    assert_eq!(
        (open.scope.clone(), open.until, open.evidence.len()),
        (
            SenderScope::Account,
            None,
            usize::try_from(leaked + 1).expect("small")
        )
    );
    // 13.8, and ln(54 / 40) more for its 54 messages of the day.
    assert!(
        open.explanation.contains("bound of 14.1"),
        "{}",
        open.explanation
    );
    let block = opened(open, at(1100));
    detector.block(Arc::clone(&block));
    assert_eq!(detector.gate(at(1101), &alice()), Some(Arc::clone(&block)));
    assert_eq!(
        detector.gate(at(1101), &identity("alice@acme.example", Strength::Claimed)),
        None
    );
    let refused = send(&detector, &alice(), 1102, -9.0, &[external(1)]);
    assert_eq!(
        (refused.action, refused.reason, refused.blocked_by),
        (Action::Reject, Reason::Blocked, Some(block))
    );
    assert_eq!(
        send(&detector, &bob, 1103, -4.0, &[external(1)]).action,
        Action::Accept
    );
    assert_eq!(
        detector
            .sender(at(1104), "alice@acme.example")
            .expect("known")
            .standing,
        "blocked"
    );
}

#[test]
fn a_release_forgets_but_keeps_whom_the_sender_knows() {
    let detector = detector_with(|_| ());
    for n in 0..20 {
        send(&detector, &alice(), n, -4.0, &[external(n % 5)]);
    }
    let (open, leaked) = run_campaign(&detector, &alice(), 1000);
    let bounced = MessageId::from_parts(at(1001), 0);
    let block = opened(open, at(1100));
    detector.block(Arc::clone(&block));
    detector.unblock(at(1200), &block);
    assert_eq!(detector.gate(at(1201), &alice()), None);
    let view = detector
        .sender(at(1201), "acme:alice@acme.example")
        .expect("known");
    assert_eq!(
        (
            view.standing.as_str(),
            view.evidence_nats,
            view.spam_day,
            view.recent.len()
        ),
        ("good", 0.0, 0, 0)
    );
    // Late bounces and retries of mail from before count no more.
    for r in 0..50 {
        assert_eq!(
            detector.outcome(at(1202), &alice(), bounced, OutcomeClass::UnknownUser, r),
            None
        );
    }
    // The refused one comes again; those that left were accepted, and would count as new.
    let (who, recipients) = (alice(), [external(1000 + leaked)]);
    let again = MessageFacts {
        id: MessageId::from_parts(at(1203), 9),
        ..facts(&who, 1000 + leaked, 9.0, &recipients)
    };
    assert_eq!(
        detector
            .decide(at(1203), &again, &alice(), Reservation::default())
            .open,
        None
    );
    assert_eq!(
        detector
            .sender(at(1204), "acme:alice@acme.example")
            .expect("known")
            .evidence_nats,
        0.0
    );
    assert_eq!(
        send(&detector, &alice(), 1205, -4.0, &[external(1)]).action,
        Action::Accept
    );
    let new_day = detector
        .sender(at(1206), "acme:alice@acme.example")
        .expect("known")
        .recipients_new_day;
    assert!(new_day <= 5 + leaked, "{new_day}");
    // And it can be stopped again.
    assert!(run_campaign(&detector, &alice(), 2000).1 <= 4);
}

#[test]
fn a_message_retried_twenty_times_moves_nothing() {
    let detector = detector_with(|s| s.policy.recipients_external_per_hour = 100);
    let recipients = [external(1), external(2), internal(3)];
    // The spool could not take it, so that the client tries it again and again.
    let who = alice();
    let tried = || {
        let again = send(&detector, &who, 1, 2.0, &recipients);
        detector.undo(at(1), &facts(&who, 1, 2.0, &recipients));
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
fn invented_senders_pile_up_on_their_client_and_spare_its_accounts() {
    let detector = detector_with(|_| ());
    let mut open = None;
    for n in 0..50 {
        let invented = identity(&format!("x{n}@acme.example"), Strength::Claimed);
        let j = send(&detector, &invented, n, 9.0, &[external(n)]);
        if let Some(block) = j.open {
            open = Some((n, block));
            break;
        }
    }
    let (n, block) = open.expect("stopped");
    assert_eq!(
        (n, block.kind, block.subject.as_str()),
        (7, BlockKind::Client, "192.0.2.7")
    );
    let block = opened(block, at(100));
    detector.block(Arc::clone(&block));
    assert!(
        detector
            .gate(at(101), &identity("new@acme.example", Strength::Claimed))
            .is_some()
    );
    assert!(detector.gate(at(101), &alice()).is_none());
    detector.unblock(at(200), &block);
    assert!(
        send(
            &detector,
            &identity("y@acme.example", Strength::Claimed),
            300,
            9.0,
            &[external(1)]
        )
        .open
        .is_none()
    );
}

#[test]
fn an_admins_block_of_an_address_meets_and_forgives_all_who_use_it() {
    let detector = detector_with(|_| ());
    let claimed = identity("alice@acme.example", Strength::Claimed);
    for who in [&alice(), &claimed] {
        send(&detector, who, 1, 9.0, &[external(1)]);
    }
    let block = Arc::new(rules::tests::block(BlockKind::Sender, "alice@acme.example"));
    detector.block(Arc::clone(&block));
    assert!(detector.gate(at(2), &alice()).is_some() && detector.gate(at(2), &claimed).is_some());
    assert!(detector.senders(at(2), None, 10, Some("blocked")).len() == 2);
    detector.unblock(at(3), &block);
    assert!(
        detector
            .senders(at(4), None, 10, None)
            .iter()
            .all(|v| v.evidence_nats == 0.0 && v.standing == "good")
    );
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
fn one_claimed_sender_is_blocked_alone() {
    let detector = detector_with(|_| ());
    let (open, _) = run_campaign(
        &detector,
        &identity("mallory@acme.example", Strength::Claimed),
        0,
    );
    assert_eq!(
        (open.kind, open.subject.as_str()),
        (BlockKind::Sender, "mallory@acme.example")
    );
    assert_eq!(
        open.scope,
        SenderScope::Claimed("192.0.2.7".parse().expect("ip"))
    );
    detector.block(opened(open, at(100)));
    assert!(detector.gate(at(101), &alice()).is_none());
    assert!(
        detector
            .gate(at(101), &identity("bob@acme.example", Strength::Claimed))
            .is_none()
    );
}

#[test]
fn forwarded_and_null_mail_answer_for_themselves() {
    let detector = detector_with(|_| ());
    let mut forwarded = identity("bob@elsewhere.example", Strength::None);
    forwarded.key = SenderKey::forwarded(&forwarded.tenant, forwarded.client);
    forwarded.foreign = true;
    let (open, _) = run_campaign(&detector, &forwarded, 0);
    assert_eq!(
        (open.kind, open.subject.as_str()),
        (BlockKind::Sender, "forwarded")
    );
    detector.block(opened(open, at(100)));
    assert!(detector.gate(at(101), &forwarded).is_some());
    let null = identity("", Strength::None);
    assert!(detector.gate(at(101), &null).is_none() && detector.gate(at(101), &alice()).is_none());
    let (open, _) = run_campaign(&detector, &null, 1000);
    assert_eq!(
        (open.kind, open.subject.as_str()),
        (BlockKind::Sender, "<>")
    );
    let client = crate::detector::group::client_key(&null.tenant, null.client);
    // Only the null sender's own share stands against the client.
    assert!(detector.groups.get(&client, |g| g.sum).expect("counted") < 3.5);
}

#[test]
fn outcomes_count_once_and_unknown_users_block() {
    let detector = detector_with(|_| ());
    let id = MessageId::from_parts(at(1), 0);
    let outcome = |n, class| detector.outcome(at(2), &alice(), id, class, n);
    for _ in 0..50 {
        assert_eq!(outcome(1, OutcomeClass::UnknownUser), None);
    }
    let view = || detector.sender(at(3), "alice@acme.example").expect("known");
    assert_eq!(view().bounces_day, 1);
    assert!((view().evidence_nats - 2.4849).abs() < 1e-3);
    assert_eq!(outcome(2, OutcomeClass::Transport), None);
    assert_eq!(outcome(2, OutcomeClass::Delivered), None);
    assert!(view().evidence_nats < 2.48);
    // Of other messages: of one message the strongest counts.
    let other = |n| MessageId::from_parts(at(1), n);
    assert_eq!(
        detector.outcome(at(2), &alice(), other(1), OutcomeClass::SpamRefusal, 3),
        None
    );
    assert_eq!(detector.complaint(at(3), &alice(), other(2), 3).block, None);
    let opened = (10..20)
        .find_map(|n| outcome(n, OutcomeClass::UnknownUser))
        .expect("stopped");
    assert!(
        opened
            .evidence
            .iter()
            .any(|e| e.symbols.iter().any(|s| &*s.name == "unknown_user"))
    );
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
        detector.undo(at(n), &f);
        detector.undo(at(n), &f);
        let view = detector.sender(at(n), "alice@acme.example").expect("known");
        assert_eq!((view.recipients_external_hour, view.messages_day), (0, 1));
    }
}

#[test]
fn a_blocked_website_refuses_the_message_only() {
    let detector = detector_with(|_| ());
    detector.block(Arc::new(rules::tests::block(
        BlockKind::Website,
        "bad.example",
    )));
    let hosts: [Box<str>; 1] = ["www.bad.example".into()];
    let who = alice();
    let recipients = [external(1)];
    let f = MessageFacts {
        link_hosts: &hosts,
        ..facts(&who, 1, -5.0, &recipients)
    };
    let j = detector.decide(at(1), &f, &who, Reservation::default());
    assert_eq!(
        (j.action, j.reason, j.reply.map(|r| r.code)),
        (Action::Reject, Reason::BlockedWebsite, Some(550))
    );
    assert_eq!(
        send(&detector, &who, 2, -5.0, &recipients).action,
        Action::Accept
    );
}

#[test]
fn snapshots_come_back_and_damaged_ones_are_refused() {
    let detector = detector_with(|_| ());
    for n in 0..40 {
        let who = identity(&format!("u{}@acme.example", n % 7), Strength::Claimed);
        send(
            &detector,
            &who,
            n,
            if n % 3 == 0 { 9.0 } else { -4.0 },
            &[external(n), internal(n)],
        );
    }
    let mut bytes = Vec::new();
    detector.snapshot(&mut bytes).expect("written");
    let other = detector_with(|_| ());
    other.restore(&mut bytes.as_slice()).expect("read");
    let list = |j: &Detector| j.senders(at(100), None, 100, None);
    assert_eq!(list(&detector), list(&other));
    assert_eq!((list(&other).len(), other.tracked()), (7, 7));
    // What was counted stays counted.
    let (who, to) = (
        identity("u0@acme.example", Strength::Claimed),
        [external(0), internal(0)],
    );
    assert_eq!(
        other.before(&facts(&who, 0, 9.0, &to)).content,
        crate::detector::seen::Counted::Fully
    );
    assert_eq!(list(&detector), list(&other));

    for damage in [0, 9, bytes.len() / 2, bytes.len() - 2] {
        let mut broken = bytes.clone();
        broken[damage] ^= 0x20;
        assert!(other.restore(&mut broken.as_slice()).is_err(), "{damage}");
        assert_eq!(other.tracked(), 0);
    }
    for length in [0, 5, 20, bytes.len() - 1] {
        assert!(
            other
                .restore(&mut bytes.get(..length).expect("shorter"))
                .is_err(),
            "{length}"
        );
    }
}

#[test]
fn a_journal_over_a_snapshot_brings_back_what_came_after_it_up_to_the_torn_end() {
    let detector = detector_with(|_| ());
    let one = |n: u64| {
        let who = identity(&format!("u{}@acme.example", n % 5), Strength::Authenticated);
        send(
            &detector,
            &who,
            n,
            if n.is_multiple_of(3) { 9.0 } else { -4.0 },
            &[external(n)],
        );
    };
    (0..20).for_each(one);
    let (mut snapshot, mut journal) = (Vec::new(), Vec::new());
    detector.watch_changes();
    detector.snapshot(&mut snapshot).expect("written");
    (20..30).for_each(one);
    assert!(detector.journal(&mut journal).expect("written") > 0);
    let first = journal.len();
    // A program with more recipients than are kept one by one: the journal leaves them to the
    // snapshot.
    let program = identity("program@acme.example", Strength::Authenticated);
    (100..500).for_each(|n| drop(send(&detector, &program, n, -4.0, &[external(n)])));
    (30..35).for_each(one);
    detector.journal(&mut journal).expect("written");
    let restored = |journal: &[u8]| {
        let other = detector_with(|_| ());
        other.restore(&mut snapshot.as_slice()).expect("whole");
        let records = other.restore_journal(&mut &*journal);
        (other, records)
    };
    let list = |j: &Detector| j.senders(at(1000), None, 100, None);
    let (whole, records) = restored(&journal);
    assert_eq!((list(&whole), records > 6), (list(&detector), true));
    assert_eq!(
        detector.journal(&mut Vec::new()).expect("written"),
        0,
        "nothing has changed since"
    );
    // What was counted stays counted.
    let (who, to) = (
        identity("u4@acme.example", Strength::Authenticated),
        [external(34)],
    );
    assert_eq!(
        whole.before(&facts(&who, 34, -4.0, &to)).content,
        crate::detector::seen::Counted::Fully
    );
    // Torn in its second part, the first one counts.
    let torn = journal.get(..journal.len() - 3).expect("shorter");
    let (other, _) = restored(torn);
    assert!(
        other.tracked() >= 5
            && restored(journal.get(..first + 3).expect("shorter"))
                .0
                .tracked()
                == 5
    );
}

#[test]
fn a_release_that_a_crash_took_out_of_the_snapshot_is_done_again() {
    // Released, then the power failed before the next snapshot: the first message after the start
    // blocked the sender again.
    let detector = detector_with(|_| ());
    let bob = identity("bob@acme.example", Strength::Authenticated);
    let (open, _) = run_campaign(&detector, &alice(), 0);
    send(&detector, &bob, 0, 9.0, &[external(500)]);
    let mut snapshot = Vec::new();
    detector.snapshot(&mut snapshot).expect("written");
    let block = opened(open, at(100));
    let released = rules::released(
        &block,
        at(200),
        crate::types::ReleaseVerdict::Compromised,
        "",
        "admin",
    );
    let start = || {
        let detector = detector_with(|_| ());
        detector.restore(&mut snapshot.as_slice()).expect("read");
        detector
    };
    assert!(
        send(&start(), &alice(), 300, 3.0, &[external(1)])
            .open
            .is_some(),
        "what happened without it"
    );
    let again = start();
    again.forgive_again(&released);
    assert!(
        send(&again, &alice(), 300, 3.0, &[external(1)])
            .open
            .is_none()
    );
    assert!(
        again
            .sender(at(301), "bob@acme.example")
            .expect("known")
            .evidence_nats
            > 0.0,
        "nobody else is forgiven"
    );
    // Where the snapshot is newer than the release, what came since stands.
    send(&again, &alice(), 400, 9.0, &[external(600)]);
    let sum = again
        .sender(at(401), "alice@acme.example")
        .expect("known")
        .evidence_nats;
    again.forgive_again(&released);
    assert!(
        sum > 0.0
            && again
                .sender(at(401), "alice@acme.example")
                .is_some_and(|v| v.evidence_nats >= sum)
    );
}

#[test]
fn senders_are_listed_in_pages() {
    let detector = detector_with(|_| ());
    for n in 0..25 {
        send(
            &detector,
            &identity(&format!("u{n:02}@acme.example"), Strength::Asserted),
            n,
            -4.0,
            &[external(1)],
        );
    }
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = detector.senders(at(50), after.as_deref(), 10, None);
        let Some(last) = page.last() else { break };
        after = Some(last.key.to_string());
        seen.extend(page.into_iter().map(|v| v.address));
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted());
    assert!(detector.sender(at(50), "nobody@acme.example").is_none());
}

#[test]
fn a_clock_that_steps_back_is_harmless() {
    let detector = detector_with(|_| ());
    send(&detector, &alice(), 100_000, -4.0, &[external(1)]);
    let j = detector.decide(
        at(-500_000),
        &facts(&alice(), 1, -4.0, &[external(1)]),
        &alice(),
        Reservation::default(),
    );
    assert_eq!(j.action, Action::Accept);
    assert_eq!(
        detector
            .sender(at(-500_000), "alice@acme.example")
            .expect("known")
            .messages_day,
        2
    );
}

#[test]
fn a_tracked_sender_is_small() {
    // 64 octets for the key's text with its counts and the map's slack, one bucket of counters.
    assert!(
        std::mem::size_of::<(SenderKey, Sender)>() + 64 + 40 <= 400,
        "{}",
        std::mem::size_of::<(SenderKey, Sender)>()
    );
}

/// Nanoseconds this thread has spent on a processor: other load on the machine does not matter.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split_whitespace()
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a number")
}

/// Prints figures; run it with optimisation: `CARGO_PROFILE_TEST_OPT_LEVEL=3 cargo test --lib
/// judge_speed -- --ignored --nocapture`.
#[test]
#[ignore = "measures, asserts nothing"]
fn judge_speed() {
    const EVENTS: u64 = 400_000;
    const SENDERS: u64 = 20_000;
    let detector = detector_with(|s| {
        s.scoring.learning_messages = 500;
        s.policy.recipients_external_per_hour = 500;
        s.policy.recipients_per_day = 1000;
        s.policy.spam_rate_min_messages = 20;
    });
    let who: Vec<Identity> = (0..SENDERS)
        .map(|n| identity(&format!("user{n}@acme.example"), Strength::Authenticated))
        .collect();
    let start = cpu_nanos();
    for n in 0..EVENTS {
        let who = &who[usize::try_from(crate::types::hash::mix(n, 3) % SENDERS).expect("small")];
        let recipients = [external(n % 1000)];
        let f = facts(who, n, -3.0, &recipients);
        detector.decide(
            at(i64::try_from(n / 10).expect("small")),
            &f,
            who,
            Reservation::default(),
        );
    }
    println!("judge: {} ns a message", (cpu_nanos() - start) / EVENTS);
    let start = cpu_nanos();
    for n in 0..EVENTS {
        let id = MessageId(n);
        detector.outcome(
            at(40_000),
            &who[usize::try_from(n % SENDERS).expect("small")],
            id,
            OutcomeClass::Delivered,
            n,
        );
    }
    println!("outcome: {} ns", (cpu_nanos() - start) / EVENTS);
    for n in 0..1000 {
        let mut b = rules::tests::block(BlockKind::Sender, &format!("blocked{n}@acme.example"));
        b.reference = BlockRef::from_random(n);
        detector.block(Arc::new(b));
    }
    for (n, subject) in [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "198.51.100.0/24",
        "203.0.113.7",
    ]
    .iter()
    .enumerate()
    {
        let mut b = rules::tests::block(BlockKind::Client, subject);
        b.reference = BlockRef::from_random(5000 + n as u64);
        detector.block(Arc::new(b));
    }
    let start = cpu_nanos();
    let hits = (0..EVENTS)
        .filter(|n| {
            detector
                .gate(at(1), &who[usize::try_from(n % SENDERS).expect("small")])
                .is_some()
        })
        .count();
    println!("gate: {} ns, {hits} hits", (cpu_nanos() - start) / EVENTS);
    println!(
        "record: {} octets inline",
        std::mem::size_of::<(SenderKey, Sender)>()
    );
}

#[test]
fn a_login_of_two_tenants_is_two_senders() {
    let detector = detector_with(|_| {});
    let mine = identity("info", Strength::Asserted);
    let tenant = TenantId::new("other");
    let theirs = Identity {
        key: SenderKey::account(&tenant, "info"),
        tenant: tenant.clone(),
        ..mine.clone()
    };
    send(&detector, &mine, 1, -3.0, &[external(1)]);
    send(&detector, &theirs, 2, -3.0, &[external(1)]);
    let of = |key: &str, tenant: &TenantId| {
        detector
            .sender_of(at(3), key, Some(tenant))
            .map(|view| view.tenant)
    };
    assert_eq!(of("info", &mine.tenant), Some(mine.tenant.clone()));
    assert_eq!(of("info", &tenant), Some(tenant.clone()));
    assert_eq!(
        of(mine.key.as_str(), &tenant),
        None,
        "nobody sees another tenant's sender"
    );
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

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

    /// Who of several senders comes first makes no difference to any of them, as long as none draws
    /// suspicion on the client they share; no evidence takes a sum below zero, and a clock that
    /// steps back is harmless.
    #[test]
    fn independent_senders_in_any_order(
        mail in proptest::collection::vec((0_usize..4, -6.0_f64..8.0, 0_u64..12, 0_i64..3600), 1..120)
    ) {
        let sender = |i: usize| {
            let mut who = identity(&format!("s{i}@acme.example"), Strength::Authenticated);
            who.client = IpAddr::from([192, 0, 2, u8::try_from(i).expect("small")]);
            who
        };
        let run = |order: &[usize]| {
            let detector = detector_with(|_| ());
            let mut decided = vec![None; mail.len()];
            for at_index in order {
                let (who, llr, to, time) = mail[*at_index];
                let (who, recipients) = (sender(who), [external(to)]);
                let n = *at_index as u64;
                let verdict = detector.decide(at(time), &facts(&who, n, llr, &recipients), &who, Reservation::default());
                decided[*at_index] = Some((verdict.action, verdict.reason));
            }
            let sums: Vec<Option<f64>> = (0..4).map(|i| detector.sender(at(3600), sender(i).key.as_str()).map(|v| v.evidence_nats)).collect();
            (decided, sums)
        };
        let straight: Vec<usize> = (0..mail.len()).collect();
        let mut by_sender = straight.clone();
        by_sender.sort_by_key(|i| mail[*i].0);
        let (first, second) = (run(&straight), run(&by_sender));
        proptest::prop_assert!(first.1.iter().flatten().all(|s| *s >= 0.0));
        proptest::prop_assert_eq!(first, second);
    }
}

#[test]
fn what_is_done_with_mail_that_also_stays_in_the_house() {
    let detector = detector_with(|_| ());
    let (_, _) = run_campaign(&detector, &alice(), 0);
    let opens = send(&detector, &alice(), 500, 9.0, &[external(500), internal(1)]);
    assert!(opens.open.is_some());
    let done = |decision: &Decision, to: &[RecipientFacts]| {
        (decision.done(true, to), decision.done(false, to))
    };
    assert_eq!(
        done(&opens, &[external(500), internal(1)]),
        (Action::Hold, Action::Reject)
    );
    assert_eq!(
        done(&opens, &[external(500)]),
        (Action::Reject, Action::Reject)
    );
    let (open, blocked) = (opens.open.expect("checked"), [internal(1)]);
    detector.block(opened(open, at(501)));
    let refused = send(&detector, &alice(), 502, -4.0, &blocked);
    assert_eq!(done(&refused, &blocked), (Action::HighRisk, Action::Reject));
    let bob = identity("bob@acme.example", Strength::Authenticated);
    assert_eq!(
        done(&send(&detector, &bob, 503, -4.0, &blocked), &blocked),
        (Action::Accept, Action::Accept)
    );
}
