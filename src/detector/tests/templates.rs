//! One text from many accounts, over clients.

use super::detector::established;
use super::*;

const TEXT: u64 = 0x0123_4567_89ab_cdef;

/// The same account, as its mail comes through client `n`.
fn through(who: &Identity, n: u64) -> Identity {
    let client = IpAddr::from([203, 0, 113, u8::try_from(n % 250).expect("small")]);
    Identity {
        client,
        ..who.clone()
    }
}

/// Message `n` with a text, to a stranger.
fn send_text(detector: &Detector, who: &Identity, n: u64, llr: f64, template: u64) -> Decision {
    let to = [external(n)];
    let facts = MessageFacts {
        template,
        ..facts(who, n, llr, &to)
    };
    detector.decide(
        at(i64::try_from(n).expect("small")),
        &facts,
        who,
        Reservation::default(),
    )
}

/// A message from each of these accounts, each behind a client of its own; how many went, and the
/// blocks.
fn campaign(
    detector: &Detector,
    people: &[Identity],
    text: impl Fn(u64) -> u64,
) -> (u32, Vec<NewBlock>) {
    let (mut left, mut blocks) = (0, Vec::new());
    for (n, who) in (0..).zip(people) {
        let verdict = send_text(detector, &through(who, n), 10_000 + n, 7.0, text(n));
        left += u32::from(matches!(verdict.action, Action::Accept | Action::HighRisk));
        blocks.extend(verdict.open);
    }
    (left, blocks)
}

#[test]
fn one_text_from_accounts_of_many_clients_is_stopped_as_if_it_came_through_one() {
    // No client sees more than one message of it.
    let detector = detector_with(|_| ());
    let people = established(&detector, 20);
    let (left, blocks) = campaign(&detector, &people, |n| TEXT ^ (1 << (n % 60)));
    assert!(left <= 4, "{left}");
    let block = blocks.first().expect("blocked");
    assert!(
        block
            .explanation
            .contains("Other accounts that sent this text add"),
        "{}",
        block.explanation
    );
    let shown = |e: &Evidence| {
        e.symbols
            .iter()
            .any(|s| s.name.starts_with("template:0x0123") && s.weight > 5.0)
    };
    assert!(block.evidence.iter().any(shown), "{:?}", block.evidence);
    // Ordinary mail of the same text is nobody's fault.
    let next = send_text(&detector, &through(&people[0], 0), 11_000, -4.0, TEXT);
    assert_eq!((next.action, next.open), (Action::Accept, None));

    let detector = detector_with(|_| ());
    let people = established(&detector, 20);
    assert_eq!(
        campaign(&detector, &people, |n| crate::types::hash::mix(n, 8)).0,
        20,
        "other texts are no campaign"
    );
    let detector = detector_with(|s| s.detector = s.detector.without("templates").expect("a kind"));
    let people = established(&detector, 20);
    assert_eq!(
        campaign(&detector, &people, |_| TEXT).0,
        20,
        "nor where texts are not compared"
    );
}

#[test]
fn a_foreign_envelope_does_not_take_an_account_out_of_its_campaign() {
    // With SRS0=... or an address of elsewhere in MAIL, neither the text nor the client was
    // counted.
    for through_one_client in [false, true] {
        let detector = detector_with(|s| {
            if through_one_client {
                s.detector = s.detector.without("templates").expect("a kind");
            }
        });
        let people = established(&detector, 20);
        let mut blocks = 0;
        for (n, who) in (0..).zip(&people) {
            let who = Identity {
                foreign: true,
                ..if through_one_client {
                    who.clone()
                } else {
                    through(who, n)
                }
            };
            blocks += u32::from(
                send_text(&detector, &who, 10_000 + n, 7.0, TEXT)
                    .open
                    .is_some(),
            );
        }
        assert!(
            blocks >= 10,
            "{blocks} blocks, through one client: {through_one_client}"
        );
    }
}

#[test]
fn invented_senders_and_unflagged_mail_say_nothing_of_others_with_that_text() {
    let detector = detector_with(|_| ());
    let people = established(&detector, 5);
    for n in 0..200 {
        let invented = identity(&format!("x{n}@acme.example"), Strength::Claimed);
        send_text(&detector, &through(&invented, n), 10_000 + n, 7.0, TEXT);
    }
    for n in 0..5 {
        send_text(&detector, &through(&people[4], 1), 10_300 + n, 0.9, TEXT);
    }
    let verdict = send_text(&detector, &people[0], 10_400, 7.0, TEXT);
    assert!(
        verdict.open.is_none() && verdict.action == Action::HighRisk,
        "{verdict:?}"
    );
}

#[test]
fn a_text_of_programs_that_always_looks_bad_blocks_none_of_them() {
    let detector = detector_with(|_| ());
    established(&detector, 10);
    let programs: Vec<Identity> = (0..6)
        .map(|p| identity(&format!("shop{p}@acme.example"), Strength::Authenticated))
        .collect();
    for n in 0..600 {
        let who = &programs[usize::try_from(n % 6).expect("small")];
        let to = if n % 4 < 2 {
            external(9000 + n)
        } else {
            external(9000)
        };
        let facts = MessageFacts {
            template: TEXT ^ (1 << (n % 60)),
            ..facts(who, 10_000 + n * 600, 6.0, std::slice::from_ref(&to))
        };
        let verdict = detector.decide(
            at(10_000 + i64::try_from(n * 600).expect("small")),
            &facts,
            who,
            Reservation::default(),
        );
        assert!(
            verdict.open.is_none() && verdict.action == Action::HighRisk,
            "{n}: {verdict:?}"
        );
    }
}

#[test]
fn the_end_of_a_block_takes_back_what_it_said_of_the_text() {
    let detector = detector_with(|_| ());
    let people = established(&detector, 20);
    let (_, blocks) = campaign(&detector, &people, |_| TEXT);
    for open in blocks {
        detector.unblock(at(10_100), &opened(open, at(10_050)));
    }
    // A day later nothing of it is left; it would last for a day otherwise.
    let later = send_text(
        &detector,
        &through(&people[1], 77),
        10_000 + 20 * 3600,
        7.0,
        TEXT,
    );
    assert!(later.open.is_none(), "{later:?}");
}

#[test]
fn texts_outlive_a_restart() {
    let detector = detector_with(|_| ());
    let people = established(&detector, 20);
    campaign(&detector, &people[..6], |_| TEXT);
    let mut snapshot = Vec::new();
    detector.snapshot(&mut snapshot).expect("memory");
    let again = detector_with(|_| ());
    again.restore(&mut &snapshot[..]).expect("whole");
    assert!(
        send_text(&again, &through(&people[10], 60), 10_100, 7.0, TEXT)
            .open
            .is_some()
    );
}

#[test]
fn a_text_with_an_allowance_is_held_against_nobody() {
    use crate::config::scopes::{Allowance, Allowed, EvidenceKind};
    let detector = detector_with(|s| {
        s.allowances.push(Arc::new(Allowance {
            who: Allowed::Template(TEXT),
            evidence: EvidenceKind::Content,
            until: "2027-03-31".into(),
            ends: at(1_000_000),
            reason: "the form of our bank".into(),
        }));
    });
    let people = established(&detector, 20);
    let (left, blocks) = campaign(&detector, &people, |n| TEXT ^ (1 << n));
    assert_eq!((left, blocks.len()), (20, 0));
    let other = (0..20).find_map(|n| send_text(&detector, &people[0], 20_000 + n, 7.0, !TEXT).open);
    assert!(other.is_some(), "another text of the same people counts");
}

/// Twenty rounds of one stranger a message over fifty accounts that never sent before; how many
/// left, how many accounts were blocked.
fn new_accounts(detector: &Detector, text: impl Fn(u64) -> u64) -> (u32, u32) {
    let (mut left, mut blocked) = (0, 0);
    let fresh: Vec<Identity> = (0..50)
        .map(|n| identity(&format!("fresh{n}@acme.example"), Strength::Authenticated))
        .collect();
    for n in 0..1000 {
        let who = &fresh[usize::try_from(n % 50).expect("small")];
        if detector.gate(at(20_000), who).is_some() {
            continue;
        }
        let verdict = send_text(detector, who, 20_000 + n * 86, 7.0, text(n));
        left += u32::from(matches!(verdict.action, Action::Accept | Action::HighRisk));
        if let Some(open) = verdict.open {
            blocked += 1;
            detector.block(Arc::new(rules::opened(
                open,
                BlockRef::from_random(n),
                at(20_000),
                "relay",
            )));
        }
    }
    (left, blocked)
}

#[test]
fn one_text_from_accounts_that_never_sent_before_is_stopped() {
    // Of one stranger a message over fifty such accounts a third of the campaigns passed whole:
    // each account alone might be a new program whose text always looks like that.
    let detector = detector_with(|_| ());
    established(&detector, 20);
    let (left, blocked) = new_accounts(&detector, |n| TEXT ^ (1 << (n % 60)));
    assert!(left <= 6 && blocked == 50, "{left} left, {blocked} blocked");
    // Texts that have nothing in common say nothing of each other.
    let detector = detector_with(|_| ());
    established(&detector, 20);
    let (left, _) = new_accounts(&detector, |n| crate::types::hash::mix(n % 50, 8));
    assert!(left >= 50, "{left}");
}

#[test]
fn new_programs_that_write_inside_with_one_text_are_no_campaign() {
    // Printers that send what was scanned to people of the house.
    let detector = detector_with(|_| ());
    established(&detector, 20);
    for n in 0..400 {
        let who = identity(
            &format!("printer{}@acme.example", n % 40),
            Strength::Authenticated,
        );
        let to = [internal(n % 17)];
        let f = MessageFacts {
            template: TEXT,
            ..facts(&who, 20_000 + n * 60, 4.0, &to)
        };
        let verdict = detector.decide(f.id.time(), &f, &who, Reservation::default());
        assert!(verdict.open.is_none(), "{n}: {verdict:?}");
    }
}
