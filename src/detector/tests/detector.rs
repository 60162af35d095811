//! What the detector does with whole stories of a sender.

use super::*;

/// Warms up a tenant with some persons of a client, each with a history of ordinary mail.
pub(super) fn established(detector: &Detector, persons: u64) -> Vec<Identity> {
    let people: Vec<Identity> = (0..persons)
        .map(|p| identity(&format!("p{p}@acme.example"), Strength::Authenticated))
        .collect();
    let mut n = 0;
    for round in 0..80 {
        for (p, who) in (0_u64..).zip(&people) {
            n += 1;
            let friends = [external(p * 100 + round % 7), external(p * 100 + 8)];
            let recipients = if round % 5 == 0 {
                &friends[..]
            } else {
                &friends[..1]
            };
            assert_eq!(
                send(detector, who, n, -4.0, recipients).action,
                Action::Accept
            );
        }
    }
    people
}

#[test]
fn a_campaign_spread_over_accounts_is_stopped_as_if_it_came_from_one() {
    // Each account alone sent two messages before it was noticed: fifty of them a hundred.
    let detector = detector_with(|_| ());
    let people = established(&detector, 20);
    let mut left = 0;
    for (n, who) in (10_000..).zip(&people) {
        let verdict = send(&detector, who, n, 7.0, &[external(n)]);
        left += u32::from(matches!(verdict.action, Action::Accept | Action::HighRisk));
    }
    assert!(left <= 4, "{left}");
    // Ordinary mail of the others goes on.
    assert_eq!(
        send(
            &detector,
            &identity("p0@acme.example", Strength::Authenticated),
            11_000,
            -4.0,
            &[external(1)]
        )
        .action,
        Action::Accept
    );
}

#[test]
fn whoever_writes_for_the_first_time_is_measured_by_others_only_in_a_campaign() {
    // Three accounts that drew a flag in the same hour by chance had forwarded letters held that
    // looked odd.
    let after = |accounts: usize| {
        let detector = detector_with(|_| ());
        let people = established(&detector, 20);
        for (n, who) in (10_000..).zip(people.iter().take(accounts)) {
            send(&detector, who, n, 7.0, &[external(n)]);
        }
        let first = identity("first@acme.example", Strength::Authenticated);
        send(
            &detector,
            &first,
            11_000,
            9.0,
            &[external(77_000), external(77_001)],
        )
        .reason
    };
    let odd = Reason::SuspiciousContent;
    assert_eq!(
        [0, 2, 3, 4, 5].map(after),
        [odd, odd, odd, Reason::Evidence, Reason::Evidence]
    );
}

#[test]
fn phishing_to_known_people_is_no_less_phishing() {
    // Known recipients once took away what the content had said, and such a campaign was never
    // stopped.
    let detector = detector_with(|_| ());
    let who = &established(&detector, 10)[3];
    let opened = (0..20).position(|n| {
        send(&detector, who, 10_000 + n, 7.0, &[external(300 + n % 7)])
            .open
            .is_some()
    });
    assert!(opened.is_some_and(|n| n <= 5), "{opened:?}");
}

#[test]
fn an_unusual_mailing_is_held_with_a_question_before_it_is_accepted() {
    let detector = detector_with(|_| ());
    let who = &established(&detector, 10)[0];
    let strangers: Vec<RecipientFacts> = (0..100).map(|r| external(5000 + r)).collect();
    let verdict = send(&detector, who, 10_000, -4.0, &strangers);
    assert_eq!(
        (verdict.action, verdict.reason, verdict.open),
        (Action::Hold, Reason::UnusualMailing, None)
    );
    let friends: Vec<RecipientFacts> = (0..8).map(external).collect();
    assert_eq!(
        send(&detector, who, 10_001, -4.0, &friends).action,
        Action::Accept
    );
}

#[test]
fn a_template_that_always_looks_bad_is_learned_and_not_blocked() {
    let detector = detector_with(|_| ());
    established(&detector, 10);
    let shop = identity("shop@acme.example", Strength::Authenticated);
    for n in 0..400 {
        let to = if n % 2 == 0 {
            external(9000 + n)
        } else {
            external(9000)
        };
        let verdict = send(&detector, &shop, 10_000 + n * 600, 6.0, &[to]);
        assert!(
            verdict.open.is_none() && verdict.action == Action::HighRisk,
            "{n}: {verdict:?}"
        );
    }
}

#[test]
fn listings_are_told_apart_and_stay_within_the_bound_of_content() {
    let to = [external(1)];
    let who = alice();
    let judged = |listed: f64, llr: f64| {
        let detector = detector_with(|_| ());
        let facts = MessageFacts {
            listed,
            ..facts(&who, 1, llr, &to)
        };
        let signals = detector
            .decide(at(1), &facts, &who, Reservation::default())
            .signals;
        let weight = |name: &str| {
            signals
                .iter()
                .find(|s| &*s.name == name)
                .map_or(0.0, |s| s.weight)
        };
        (weight("content"), weight("listed link"))
    };
    let (plain, none) = judged(0.0, 3.5);
    assert_eq!(none, 0.0);
    let (content, listed) = judged(5.0, 3.5);
    assert!(listed > 0.0 && content <= 0.0, "{content} {listed}");
    assert!(
        (content + listed - plain).abs() < 1e-5,
        "the same message, however its LLR came about"
    );
    // Ordinary mail with a link that somebody listed says nothing against its sender.
    let (content, listed) = judged(5.0, 0.5);
    assert!(content + listed <= 0.0, "{content} {listed}");
}

/// One message after the other, `seconds` apart, of the same suspicious kind, to one recipient
/// each: how many left before the first that was held, and before the block.
fn until_stopped(
    detector: &Detector,
    who: &Identity,
    seconds: u64,
    to: impl Fn(u64) -> u64,
) -> (Option<u64>, Option<u64>) {
    let (mut held, mut blocked) = (None, None);
    for n in 0..100 {
        let verdict = send(
            detector,
            who,
            2_000_000 + n * seconds,
            6.0,
            &[external(to(n))],
        );
        if verdict.action == Action::Hold {
            held = held.or(Some(n));
        }
        if verdict.open.is_some() {
            blocked = Some(n);
            break;
        }
    }
    (held, blocked)
}

#[test]
fn a_mailbox_that_is_hardly_used_is_blocked_when_it_turns_bad() {
    // Twenty messages of single recipients make nobody an application, but they are a clean past:
    // such an account once sent spam for ever, since a newcomer's template may always look bad.
    let detector = detector_with(|_| ());
    established(&detector, 20);
    let quiet = identity("quiet@acme.example", Strength::Authenticated);
    (0..20).for_each(|n| {
        assert_eq!(
            send(
                &detector,
                &quiet,
                10_000 + n * 86_400,
                -4.0,
                &[external(n % 7)]
            )
            .action,
            Action::Accept
        )
    });
    let (held, blocked) = until_stopped(&detector, &quiet, 5, |n| n % 7);
    assert!(
        held.is_some_and(|n| n <= 5) && blocked.is_some_and(|n| n <= 8),
        "{held:?} {blocked:?}"
    );
}

#[test]
fn a_program_that_turns_to_strangers_is_held_and_unknown_users_block_it() {
    // What the template of a bulk sender can say is bounded; the strangers it suddenly writes to
    // speak all the same. They once were borne out only until that bound was reached, and sixty of
    // sixty left. An imported list with a template that looks bad is the same so far: that is a
    // question, and no block.
    [1e-3, 1e-6, 1e-9].into_iter().for_each(turn_a_program);
}

/// Wherever the policy draws the lines.
fn turn_a_program(false_block_rate: f64) {
    let detector = detector_with(|s| s.policy.false_block_rate = false_block_rate);
    established(&detector, 20);
    let program = identity("program@acme.example", Strength::Authenticated);
    for n in 0..400 {
        let day = n / 100;
        let verdict = send(
            &detector,
            &program,
            10_000 + day * 86_400 + n % 100 * 30,
            -4.0,
            &[external(n % 15)],
        );
        assert_eq!(verdict.action, Action::Accept);
    }
    let (held, blocked) = until_stopped(&detector, &program, 5, |n| 900_000 + n);
    assert!(
        held.is_some_and(|n| n <= 6) && blocked.is_none(),
        "{false_block_rate} {held:?} {blocked:?}"
    );
    let bounced = |n: u64| {
        let id = MessageId::from_parts(at(i64::try_from(2_000_000 + n * 5).expect("small")), 0);
        detector.outcome(
            at(2_000_600),
            &program,
            id,
            OutcomeClass::UnknownUser,
            external(900_000 + n).hash,
        )
    };
    assert!((0..3).any(|n| bounced(n).is_some()), "{false_block_rate}");
}

#[test]
fn a_new_account_that_only_sends_spam_waits_for_an_answer() {
    let detector = detector_with(|_| ());
    established(&detector, 20);
    let fresh = identity("fresh@acme.example", Strength::Authenticated);
    let (held, _) = until_stopped(&detector, &fresh, 60, |n| 900_000 + n);
    assert!(held.is_some_and(|n| n <= 10), "{held:?}");
    // What is held makes nobody an old acquaintance: nothing of it leaves in the hour.
    let more = send(
        &detector,
        &fresh,
        2_000_000 + 3600,
        6.0,
        &[external(990_000)],
    );
    assert_eq!(
        (more.action, more.reason),
        (Action::Hold, Reason::UnusualMailing)
    );
}

#[test]
fn a_block_that_people_call_a_mistake_teaches_what_is_usual() {
    let left_after = |verdict: Option<ReleaseVerdict>| {
        let detector = detector_with(|_| ());
        let who = established(&detector, 10)[3].clone();
        let (mut start, mut left) = (1_000_000, Vec::new());
        for _ in 0..3 {
            let opened_at = (0..200).find_map(|n| {
                send(&detector, &who, start + n, 4.0, &[external(300 + n % 7)])
                    .open
                    .map(|b| (n, b))
            });
            let Some((n, open)) = opened_at else {
                left.push(200);
                break;
            };
            let mut block = Block::clone(&opened(open, at(2_000_000)));
            block.verdict = verdict;
            detector.unblock(at(i64::try_from(start).expect("small") + 500), &block);
            left.push(n);
            start += 100_000;
        }
        left
    };
    let (mistake, compromised) = (
        left_after(Some(ReleaseVerdict::Mistake)),
        left_after(Some(ReleaseVerdict::Compromised)),
    );
    assert!(
        mistake[1] > mistake[0] && mistake[2] > mistake[1],
        "{mistake:?}"
    );
    assert!(
        compromised[2] <= compromised[0] + 1 && mistake[2] > compromised[2] + 1,
        "{mistake:?} {compromised:?}"
    );
}
