//! What recipients and their sites report: bounded, whoever reports it.

use super::*;

const DAY_SECONDS: u64 = 86_400;
const MALLORY: u64 = 4711;

fn bob() -> Identity {
    identity("bob@acme.example", Strength::Authenticated)
}

/// A recipient at a site of its own.
fn to(recipient: u64) -> Addressee {
    Addressee {
        recipient: external(recipient).hash,
        mailbox: recipient,
        site: recipient,
    }
}

/// An ordinary message of `who` at second `n`; its id.
fn ordinary(detector: &Detector, who: &Identity, n: u64, recipient: u64) -> MessageId {
    let judged = send(detector, who, n, -4.0, &[external(recipient)]);
    assert_eq!(judged.action, Action::Accept, "{judged:?}");
    facts(who, n, -4.0, &[]).id
}

fn sum(detector: &Detector, who: &Identity, n: u64) -> f64 {
    let now = at(i64::try_from(n).expect("small"));
    detector
        .sender(now, who.key.as_str())
        .map_or(0.0, |view| view.evidence_nats)
}

/// Everything that a recipient with a token, a mailbox at a named feedback loop and a mail server
/// can say of a message.
fn all_of_it(detector: &Detector, who: &Identity, now: Time, id: MessageId) -> Vec<NewBlock> {
    let mut blocks = Vec::new();
    for class in [OutcomeClass::SpamRefusal, OutcomeClass::UnknownUser] {
        blocks.extend(detector.returned(now, who, id, class, to(MALLORY)).block);
        // Another one in the same message, whom it may never have seen.
        blocks.extend(
            detector
                .returned(now, who, id, class, to(MALLORY + 1))
                .block,
        );
        blocks.extend(detector.outcome(now, who, id, class, to(MALLORY)));
    }
    for _ in 0..10 {
        blocks.extend(detector.complaint(now, who, id, MALLORY).block);
    }
    blocks
}

/// Three ordinary mails were enough for their recipient to have bob blocked.
#[test]
fn a_recipient_cannot_block_who_writes_to_it_by_any_mix_of_reports() {
    for step in [60, DAY_SECONDS / 8, DAY_SECONDS] {
        let detector = detector_with(|_| ());
        for n in 1..=20 {
            let second = n * step;
            let id = ordinary(&detector, &bob(), second, MALLORY);
            let now = at(i64::try_from(second + 10).expect("small"));
            assert_eq!(all_of_it(&detector, &bob(), now, id), [], "message {n}");
            let sum = sum(&detector, &bob(), second + 20);
            assert!(sum < 7.0, "message {n} of one every {step} s: {sum}");
        }
        assert_eq!(sum(&detector, &alice(), 20 * step), 0.0);
    }
}

#[test]
fn even_several_mailboxes_of_one_hand_do_not_block_who_writes_little() {
    let detector = detector_with(|_| ());
    for n in 0..30 {
        let id = ordinary(&detector, &bob(), n * 600, n % 6);
        let now = at(i64::try_from(n * 600 + 10).expect("small"));
        // Each complains, and their one mail server refuses some and sends reports about others.
        let site = Addressee {
            site: 1,
            ..to(n % 6)
        };
        assert_eq!(detector.complaint(now, &bob(), id, n % 6).block, None);
        assert_eq!(
            detector.outcome(now, &bob(), id, OutcomeClass::SpamRefusal, site),
            None
        );
        assert_eq!(
            detector
                .returned(now, &bob(), id, OutcomeClass::SpamRefusal, site)
                .block,
            None
        );
    }
    let sum = sum(&detector, &bob(), 30 * 600);
    assert!((5.0..12.0).contains(&sum), "it says something: {sum}");
}

#[test]
fn a_message_gives_one_piece_of_evidence_whatever_is_reported_about_it() {
    let refusal = settings().detector.refusal;
    let now = at(100);
    let close = |a: f64, b: f64| assert!((a - b).abs() < 0.1, "{a} {b}");
    let detector = detector_with(|_| ());
    let id = ordinary(&detector, &bob(), 50, 1);
    detector.returned(now, &bob(), id, OutcomeClass::SpamRefusal, to(1));
    close(sum(&detector, &bob(), 100), refusal / 2.0);
    detector.outcome(now, &bob(), id, OutcomeClass::SpamRefusal, to(2));
    close(sum(&detector, &bob(), 100), refusal);
    detector.complaint(now, &bob(), id, 3);
    detector.returned(now, &bob(), id, OutcomeClass::UnknownUser, to(4));
    close(sum(&detector, &bob(), 100), refusal);
    // Fifty recipients at one site whose server refuses the text are one refusal.
    let detector = detector_with(|_| ());
    let id = ordinary(&detector, &bob(), 50, 1);
    (0..50).for_each(|n| {
        drop(detector.outcome(
            now,
            &bob(),
            id,
            OutcomeClass::SpamRefusal,
            Addressee { site: 9, ..to(n) },
        ))
    });
    close(sum(&detector, &bob(), 100), refusal);
}

#[test]
fn reports_about_the_thirty_recipients_of_one_message_are_one() {
    let detector = detector_with(|_| ());
    let everybody: Vec<_> = (0..30).map(external).collect();
    send(&detector, &bob(), 50, -4.0, &everybody);
    let id = facts(&bob(), 50, -4.0, &[]).id;
    for n in 0..30 {
        assert_eq!(
            detector
                .returned(at(60), &bob(), id, OutcomeClass::UnknownUser, to(n))
                .block,
            None
        );
    }
    assert!(sum(&detector, &bob(), 61) < 1.3);
    let view = detector.sender(at(61), bob().key.as_str()).expect("known");
    assert_eq!(
        view.bounces_day, 0,
        "nor do they come near a ceiling of bounces"
    );
}

#[test]
fn a_spam_run_with_ten_complaints_is_stopped_and_a_newsletter_with_three_is_not() {
    let run = |messages: u64, complaints: u64| {
        let detector = detector_with(|_| ());
        let ids: Vec<_> = (0..messages)
            .map(|n| ordinary(&detector, &bob(), n, n))
            .collect();
        let now = at(i64::try_from(messages).expect("small") + 3600);
        let every = ids.len() / usize::try_from(complaints).expect("small");
        let heard: Vec<_> = ids
            .iter()
            .step_by(every)
            .zip(0..complaints)
            .map(|(id, n)| detector.complaint(now, &bob(), *id, n))
            .collect();
        let counted = heard
            .iter()
            .filter(|h| h.kind == ReportEffectKind::Counted)
            .count();
        (
            sum(&detector, &bob(), messages + 3600),
            counted,
            heard.into_iter().find_map(|h| h.block),
        )
    };
    let (sum, counted, block) = run(200, 10);
    assert!(sum > 13.8 && counted >= 8, "{sum} {counted}");
    let block = block.expect("ten of two hundred complain: that is no newsletter");
    assert!(
        block
            .evidence
            .iter()
            .any(|e| e.symbols.iter().any(|s| &*s.name == "complaint")),
        "{block:?}"
    );
    let (sum, counted, block) = run(1000, 3);
    assert!((sum < 0.01, counted, block) == (true, 0, None), "{sum}");
}

/// Eight colleagues without a login write to mallory: their reports would have blocked the mail
/// server of all of them.
#[test]
fn one_recipient_does_not_speak_against_the_mail_server_of_all_who_write_to_it() {
    let detector = detector_with(|_| ());
    for n in 0..40 {
        let who = identity(&format!("u{n}@acme.example"), Strength::Claimed);
        let id = ordinary(&detector, &who, n * 60, MALLORY);
        let now = at(i64::try_from(n * 60 + 10).expect("small"));
        assert_eq!(all_of_it(&detector, &who, now, id), [], "sender {n}");
    }
}

#[test]
fn a_reporter_is_known_again_after_a_restart_and_after_a_release() {
    let detector = detector_with(|_| ());
    let id = ordinary(&detector, &bob(), 50, MALLORY);
    assert_eq!(
        detector.complaint(at(60), &bob(), id, MALLORY).kind,
        ReportEffectKind::Counted
    );
    let (mut snapshot, mut journal) = (Vec::new(), Vec::new());
    detector.watch_changes();
    detector.snapshot(&mut snapshot).expect("written");
    assert_eq!(
        detector
            .complaint(at(61), &bob(), ordinary(&detector, &bob(), 55, 7), 7)
            .kind,
        ReportEffectKind::Counted
    );
    detector.journal(&mut journal).expect("written");
    let again = detector_with(|_| ());
    again.restore(&mut snapshot.as_slice()).expect("read");
    again.restore_journal(&mut journal.as_slice());
    for reporter in [MALLORY, 7] {
        let next = ordinary(&again, &bob(), 70 + reporter, reporter);
        assert_eq!(
            again.complaint(at(6000), &bob(), next, reporter).kind,
            ReportEffectKind::Repeated
        );
    }
    let block = opened(run_campaign(&again, &bob(), 7000).0, at(7100));
    again.block(Arc::clone(&block));
    again.unblock(at(7200), &rules::expired(&block, at(7200)));
    let next = ordinary(&again, &bob(), 7300, MALLORY);
    assert_eq!(
        again.complaint(at(7310), &bob(), next, MALLORY).kind,
        ReportEffectKind::Repeated
    );
    let next = ordinary(&again, &bob(), 7400, 8);
    assert_eq!(
        again.complaint(at(7410), &bob(), next, 8).kind,
        ReportEffectKind::Counted,
        "somebody else is heard"
    );
}

#[test]
fn an_address_that_does_not_exist_is_no_news_the_next_time() {
    let detector = detector_with(|_| ());
    for n in 0..24 {
        let id = ordinary(&detector, &bob(), n * 3600, 5);
        let now = at(i64::try_from(n * 3600 + 1).expect("small"));
        assert_eq!(
            detector.outcome(now, &bob(), id, OutcomeClass::UnknownUser, to(5)),
            None
        );
        assert!(sum(&detector, &bob(), n * 3600 + 2) < 2.5);
    }
}
