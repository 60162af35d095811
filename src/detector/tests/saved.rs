//! Snapshot and journal.

use super::*;

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
        crate::detector::state::seen::Counted::Fully
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
        crate::detector::state::seen::Counted::Fully
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
