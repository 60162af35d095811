//! How many reports one sender reads in an hour.

use super::*;

const NOW: Time = Time::from_secs(1_795_363_200);

fn reader(sender: &str) -> ReportReader {
    ReportReader::new("acme", sender)
}

#[test]
fn reports_are_limited_per_sender_and_hour() {
    let mut limit = RateLimit::new(2);
    let later = NOW.after(std::time::Duration::from_secs(3600));
    let (a, b) = (reader("a"), reader("b"));
    assert_eq!(
        [
            limit.take(NOW, a),
            limit.take(NOW, a),
            limit.take(NOW, a),
            limit.take(NOW, b)
        ],
        [true, true, false, true]
    );
    assert!(
        limit.take(NOW, ReportReader::new("other", "a")),
        "the same name in another tenant is somebody else"
    );
    assert!(limit.take(later, a));
    assert!(!RateLimit::new(0).take(NOW, a));
}

#[test]
fn a_report_that_could_not_be_written_does_not_count() {
    // On a full disk each retry of the same report counted, and after an hour's worth of them the
    // rest was dropped.
    let mut limit = RateLimit::new(1);
    for _ in 0..60 {
        assert!(limit.take(NOW, reader("a")));
        limit.give_back(reader("a"));
    }
    assert!(limit.take(NOW, reader("a")) && !limit.take(NOW, reader("a")));
}

#[test]
fn what_must_not_be_dropped_is_spread_over_the_hours_to_come() {
    let mut limit = RateLimit::new(2);
    while limit.take(NOW, reader("a")) {}
    let hour = |time: crate::types::Time| time.as_secs() / 3600 - NOW.as_secs() / 3600;
    let hours: Vec<_> = (0..5)
        .map(|_| hour(limit.put_off(NOW, reader("a"))))
        .collect();
    assert_eq!(hours, [1, 1, 2, 2, 3]);
    assert_eq!(hour(limit.put_off(NOW, reader("unknown"))), 1);
}

/// 50,000 failing senders filled the table, and until the hour was over nobody who was not in it
/// got a report.
#[test]
fn senders_invented_by_the_thousand_cost_other_tenants_no_report_and_their_own_tenant_not_all() {
    let mut limit = RateLimit::new(60);
    let taken = (0..60_000)
        .filter(|n| limit.take(NOW, ReportReader::new("bad", &format!("x{n}@bad.example"))))
        .count();
    assert_eq!(
        taken,
        12_500 + 600,
        "its share of the table, and the rest together"
    );
    assert!(limit.take(NOW, reader("alice@acme.example")));
    for n in 0..4 {
        (0..13_000).for_each(|k| {
            limit.take(NOW, ReportReader::new(&format!("bad{n}"), &format!("{k}")));
        });
    }
    assert!(
        (0..600).all(|n| limit.take(NOW, reader(&format!("u{n}@acme.example")))),
        "also while the table is full"
    );
    assert!(!limit.take(NOW, reader("one more")), "which is bounded");
    assert!(
        limit.take(NOW, reader("alice@acme.example")),
        "and who is in the table stays"
    );
}
