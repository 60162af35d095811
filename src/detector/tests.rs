//! Whole stories of senders, decided by the detector.

use super::outcomes::ReportEffectKind;
use super::testing::settings;
use super::*;
use crate::blocks::rules;
use crate::config::settings::{BlockDuration, Suspicious, WhenExceeded};
use crate::types::{
    Action, Block, BlockKind, BlockRef, Domain, Evidence, Identity, MessageFacts, MessageId,
    NewBlock, OutcomeClass, Reason, RecipientFacts, ReleaseVerdict, SenderScope, Strength,
    TenantId, Time,
};
use std::net::IpAddr;

mod ceilings;
mod circumstances;
mod cold;
mod copies;
mod detector;
mod internal_part;
mod policies;
mod reports;
mod saved;
mod subjects;
mod templates;
mod weak_scores;

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
