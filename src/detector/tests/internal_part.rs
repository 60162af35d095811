//! What a blocked sender still writes within its tenant.

use super::*;

/// A judge with three internal recipients an hour and five a day, and this sender blocked.
fn blocked(who: &Identity) -> Detector {
    let detector = detector_with(|s| {
        s.blocks.internal_recipients_per_hour = 3;
        s.blocks.internal_recipients_per_day = 5;
    });
    block(&detector, who);
    detector
}

fn block(detector: &Detector, who: &Identity) {
    detector.block(Arc::new(rules::tests::block(
        BlockKind::Sender,
        &who.address,
    )));
}

fn sends(
    detector: &Detector,
    who: &Identity,
    second: u64,
    llr: f64,
    recipients: &[RecipientFacts],
) -> Action {
    let decision = detector.decide(
        at(i64::try_from(second).expect("small")),
        &facts(who, second, llr, recipients),
        who,
        Reservation::default(),
    );
    assert!(decision.blocked_by.is_some() && decision.open.is_none());
    decision.done(true, recipients)
}

#[test]
fn little_goes_within_an_hour_and_within_a_day() {
    let who = alice();
    let detector = blocked(&who);
    let actions: Vec<Action> = (0..5)
        .map(|n| sends(&detector, &who, n, -5.0, &[internal(n)]))
        .collect();
    assert_eq!(
        actions,
        [
            Action::HighRisk,
            Action::HighRisk,
            Action::HighRisk,
            Action::Reject,
            Action::Reject
        ]
    );
    assert!(!detector.fits_internal_limits(at(5), &who, 0));
    let later: Vec<Action> = (7300..7304)
        .map(|n| sends(&detector, &who, n, -5.0, &[internal(n)]))
        .collect();
    assert_eq!(
        later,
        [
            Action::HighRisk,
            Action::HighRisk,
            Action::Reject,
            Action::Reject
        ],
        "five a day"
    );
    assert!(detector.fits_internal_limits(at(90_000), &who, 0));
}

#[test]
fn many_recipients_of_one_message_count_each() {
    let who = alice();
    let detector = blocked(&who);
    assert!(
        detector.fits_internal_limits(at(0), &who, 2)
            && !detector.fits_internal_limits(at(0), &who, 3),
        "at RCPT"
    );
    let four: Vec<RecipientFacts> = (0..4).map(internal).collect();
    assert_eq!(
        sends(&detector, &who, 0, -5.0, &four),
        Action::Reject,
        "at the dot, whatever RCPT had said"
    );
    assert_eq!(
        sends(&detector, &who, 1, -5.0, &[internal(1), external(2)]),
        Action::HighRisk,
        "and a refusal counts nothing"
    );
}

#[test]
fn what_looks_like_spam_is_held_and_counts() {
    let who = alice();
    let detector = blocked(&who);
    assert_eq!(sends(&detector, &who, 0, 5.0, &[internal(0)]), Action::Hold);
    assert_eq!(
        sends(&detector, &who, 1, 5.0, &[internal(1), external(1)]),
        Action::Hold
    );
    assert_eq!(
        sends(&detector, &who, 2, -5.0, &[internal(2)]),
        Action::HighRisk
    );
    assert_eq!(
        sends(&detector, &who, 3, 5.0, &[internal(3)]),
        Action::Reject
    );
}

#[test]
fn the_senders_own_ceilings_hold_while_it_is_blocked() {
    let who = alice();
    let detector = detector_with(|s| {
        (
            s.blocks.internal_recipients_per_hour,
            s.blocks.internal_recipients_per_day,
        ) = (0, 0);
        s.policy.recipients_internal_per_hour = 2;
        s.policy.when_exceeded = WhenExceeded::Throttle;
    });
    block(&detector, &who);
    let actions: Vec<Action> = (0..3)
        .map(|n| sends(&detector, &who, n, -5.0, &[internal(n)]))
        .collect();
    assert_eq!(
        actions,
        [Action::HighRisk, Action::HighRisk, Action::Reject],
        "and never put off: a block is permanent"
    );
}

#[test]
fn invented_senders_of_a_blocked_client_write_ten_times_what_one_may_and_no_more() {
    let detector = detector_with(|s| s.blocks.internal_recipients_per_hour = 3);
    detector.block(Arc::new(rules::tests::block(
        BlockKind::Client,
        "192.0.2.7",
    )));
    let went = (0..200)
        .filter(|n| {
            let who = identity(&format!("invented{n}@acme.example"), Strength::Claimed);
            sends(&detector, &who, *n, -5.0, &[internal(*n)]) == Action::HighRisk
        })
        .count();
    assert_eq!(went, 30);
    let one = identity("one@acme.example", Strength::Claimed);
    let detector = detector_with(|s| s.blocks.internal_recipients_per_hour = 3);
    detector.block(Arc::new(rules::tests::block(
        BlockKind::Client,
        "192.0.2.7",
    )));
    assert_eq!(
        (0..20)
            .filter(|n| sends(&detector, &one, *n, -5.0, &[internal(*n)]) == Action::HighRisk)
            .count(),
        3
    );
}

#[test]
fn what_it_wrote_before_the_block_is_not_held_against_it() {
    let who = alice();
    let detector = detector_with(|s| s.blocks.internal_recipients_per_hour = 3);
    for n in 0..50 {
        assert_eq!(
            detector
                .decide(
                    at(0),
                    &facts(&who, n, -5.0, &[internal(n)]),
                    &who,
                    Reservation::default()
                )
                .action,
            Action::Accept
        );
    }
    block(&detector, &who);
    assert_eq!(
        sends(&detector, &who, 60, -5.0, &[internal(60)]),
        Action::HighRisk
    );
}

#[test]
fn a_link_to_a_blocked_website_is_bounded_within_the_tenant_as_well() {
    let who = alice();
    let detector = detector_with(|s| s.blocks.internal_recipients_per_hour = 3);
    detector.block(Arc::new(rules::tests::block(
        BlockKind::Website,
        "bad.example",
    )));
    let hosts = [Box::from("bad.example")];
    let went = (0..20)
        .filter(|n| {
            let recipients = [internal(*n)];
            let message = MessageFacts {
                link_hosts: &hosts,
                ..facts(&who, *n, -5.0, &recipients)
            };
            detector
                .decide(at(0), &message, &who, Reservation::default())
                .done(true, &recipients)
                == Action::HighRisk
        })
        .count();
    assert_eq!(went, 3);
}
