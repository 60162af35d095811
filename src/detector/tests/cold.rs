//! The first hours of a new tenant, whose mail the classifier does not know.

use super::*;

fn new_tenant() -> Detector {
    detector_with(|s| s.scoring.learning_messages = 500)
}

/// A text that has nothing to do with others.
fn text(n: u64) -> u64 {
    crate::types::hash::mix(n, 0x7465_7874)
}

fn account(name: &str) -> Identity {
    identity(&format!("{name}@acme.example"), Strength::Authenticated)
}

fn send_text(
    detector: &Detector,
    who: &Identity,
    n: u64,
    llr: f64,
    template: u64,
    to: RecipientFacts,
) -> Decision {
    let to = [to];
    let f = MessageFacts {
        template,
        ..facts(who, n, llr, &to)
    };
    detector.decide(f.id.time(), &f, who, Reservation::default())
}

/// Three hundred messages of twenty people within minutes; nobody may be stopped.
fn twenty_people(detector: &Detector, llr: impl Fn(u64) -> f64) -> Vec<Identity> {
    let people: Vec<Identity> = (0..20).map(|p| account(&format!("p{p}"))).collect();
    for n in 0..300 {
        let who = &people[usize::try_from(n % 20).expect("small")];
        let verdict = send_text(detector, who, n, llr(n), text(n), external(n));
        assert!(
            verdict.open.is_none() && verdict.action != Action::Hold,
            "{n}: {verdict:?}"
        );
    }
    people
}

/// Letters with scores of probability .8 to .98, each another text, a stranger each: how many left.
fn letters(detector: &Detector, who: &Identity, from: u64) -> Option<u64> {
    let llr = |n: u64| 1.4 + (n % 6) as f64 * 0.5;
    (0..20).find(|n| {
        let verdict = send_text(
            detector,
            who,
            from + n,
            llr(*n),
            text(from + n),
            external(from + n),
        );
        if let Some(open) = &verdict.open {
            detector.block(opened(open.clone(), at(1)));
        }
        verdict.open.is_some()
    })
}

#[test]
fn a_change_is_news_however_new_the_tenant_is() {
    // After 300 ordinary messages of 20 people, three accounts sent twelve advance-fee letters
    // each, and nobody was blocked.
    let ordinary = |n: u64| -4.0 + (n % 23) as f64 * 0.1;
    for names in [["p3", "p7", "p11"], ["new1", "new2", "new3"]] {
        let detector = new_tenant();
        let people = twenty_people(&detector, ordinary);
        for (n, name) in names.iter().enumerate() {
            let left = letters(&detector, &account(name), 1000 + n as u64 * 100);
            assert!(left.is_some_and(|left| left <= 6), "{name}: {left:?}");
        }
        assert_eq!(
            send_text(
                &detector,
                &people[0],
                2000,
                -3.0,
                text(2000),
                external(2000)
            )
            .action,
            Action::Accept
        );
    }
}

#[test]
fn mail_that_looks_bad_to_the_model_everywhere_is_how_this_tenant_writes() {
    // A third of the ordinary mail of this house scores like spam.
    let odd = |n: u64| {
        if text(n).is_multiple_of(3) {
            1.5 + (n % 11) as f64 * 0.2
        } else {
            -2.0
        }
    };
    let detector = new_tenant();
    let people = twenty_people(&detector, odd);
    for n in 1000..1180 {
        let who = if n < 1100 {
            &people[4]
        } else {
            &account("new")
        };
        let verdict = send_text(&detector, who, n, odd(n), text(n), external(n));
        assert!(verdict.open.is_none(), "{n}: {verdict:?}");
    }
}

#[test]
fn a_program_with_one_text_that_looks_bad_is_not_blocked_for_it() {
    let (shop, detector) = (account("orders"), new_tenant());
    twenty_people(&detector, |n| -4.0 + (n % 23) as f64 * 0.1);
    for n in 0..150 {
        // Names and numbers change a few bits.
        let template = text(1) ^ (1 << (n % 5));
        let verdict = send_text(
            &detector,
            &shop,
            1000 + n,
            4.0,
            template,
            external(1000 + n),
        );
        assert!(verdict.open.is_none(), "{n}: {verdict:?}");
    }
}

#[test]
fn the_first_account_of_all_is_judged_gently_by_content_alone() {
    let detector = new_tenant();
    let who = alice();
    let n = (0..100).find(|n| {
        send_text(&detector, &who, *n, 9.0, text(*n), internal(1))
            .open
            .is_some()
    });
    assert!(n.is_some_and(|n| (9..=10).contains(&n)), "{n:?}");
    // So is one that sends one text.
    let detector = new_tenant();
    let n = (0..100).find(|n| {
        send_text(&detector, &who, *n, 9.0, text(1), external(*n))
            .open
            .is_some()
    });
    assert!(n.is_some_and(|n| n <= 10), "{n:?}");
}

#[test]
fn what_a_blocked_account_wrote_is_no_measure_for_others() {
    let detector = new_tenant();
    twenty_people(&detector, |n| -4.0 + (n % 23) as f64 * 0.1);
    let left: Vec<Option<u64>> = (0..15)
        .map(|n| letters(&detector, &account(&format!("taken{n}")), 1000 + n * 100))
        .collect();
    assert!(
        left.iter().all(|left| left.is_some_and(|left| left <= 7)),
        "{left:?}"
    );
}

#[test]
fn scores_of_a_new_tenant_outlive_a_restart() {
    let detector = new_tenant();
    twenty_people(&detector, |n| -4.0 + (n % 23) as f64 * 0.1);
    let mut snapshot = Vec::new();
    detector.snapshot(&mut snapshot).expect("written");
    let again = new_tenant();
    again.restore(&mut snapshot.as_slice()).expect("read");
    assert_eq!(
        letters(&again, &account("new"), 1000),
        letters(&detector, &account("new"), 1000)
    );
    // From the journal, too.
    let (detector, mut snapshot, mut journal) = (new_tenant(), Vec::new(), Vec::new());
    detector.watch_changes();
    detector.snapshot(&mut snapshot).expect("written");
    twenty_people(&detector, |n| -4.0 + (n % 23) as f64 * 0.1);
    detector.journal(&mut journal).expect("written");
    let again = new_tenant();
    again.restore(&mut snapshot.as_slice()).expect("read");
    again.restore_journal(&mut journal.as_slice());
    assert_eq!(
        letters(&again, &account("new"), 1000),
        letters(&detector, &account("new"), 1000)
    );
}

#[test]
fn scores_stay_when_the_tenant_is_no_longer_new() {
    let detector = new_tenant();
    twenty_people(&detector, |_| -4.0);
    (300..520).for_each(|n| {
        drop(send_text(
            &detector,
            &account("p1"),
            n,
            -4.0,
            text(n),
            external(n),
        ))
    });
    assert_eq!(detector.scores.len(), 1);
}

#[test]
fn delivery_reports_that_quote_spam_block_nobody_in_a_new_tenant() {
    // A third of them was flagged from the first hour on, and mail from <> was blocked.
    let detector = new_tenant();
    twenty_people(&detector, |n| -4.0 + (n % 23) as f64 * 0.1);
    let reports = identity("", Strength::None);
    for n in 1000..1190 {
        let llr = if text(n).is_multiple_of(3) { 7.0 } else { -4.0 };
        let verdict = send_text(&detector, &reports, n, llr, text(n), external(n));
        assert!(verdict.open.is_none(), "{n}: {verdict:?}");
    }
}

#[test]
fn ordinary_mail_between_letters_does_not_make_them_usual() {
    // One letter and two ordinary messages, and no later letter said anything, whatever it scored.
    for name in ["p3", "new"] {
        let detector = new_tenant();
        twenty_people(&detector, |n| -4.0 + (n % 23) as f64 * 0.1);
        let who = account(name);
        for (n, llr) in (1000..).zip([3.0, -4.0, -4.0]) {
            send_text(&detector, &who, n, llr, text(n), external(n));
        }
        let left = (2000..2010).position(|n| {
            send_text(&detector, &who, n, 3.0, text(n), external(n))
                .open
                .is_some()
        });
        assert!(left.is_some_and(|left| left <= 6), "{name}: {left:?}");
    }
}

#[test]
fn mail_that_is_not_flagged_adds_up_to_nothing() {
    // Somebody who always scores between even odds and a flag, where everybody else is far below.
    for llr in [0.6, 0.99] {
        let detector = new_tenant();
        twenty_people(&detector, |n| -4.0 + (n % 23) as f64 * 0.1);
        for n in 1000..1100 {
            let verdict = send_text(&detector, &account("new"), n, llr, text(n), external(n));
            assert!(
                verdict.open.is_none() && verdict.action == Action::Accept,
                "{llr} {n}: {verdict:?}"
            );
        }
    }
}

#[test]
fn invented_senders_do_not_make_bad_mail_usual() {
    let detector = new_tenant();
    twenty_people(&detector, |n| -4.0 + (n % 23) as f64 * 0.1);
    for n in 1000..1100 {
        let invented = identity(&format!("x{}@acme.example", n % 40), Strength::Claimed);
        send_text(
            &detector,
            &invented,
            n,
            if n % 2 == 0 { 4.0 } else { -4.0 },
            text(n),
            external(n),
        );
    }
    let left = letters(&detector, &account("p3"), 2000);
    assert!(left.is_some_and(|left| left <= 6), "{left:?}");
}
