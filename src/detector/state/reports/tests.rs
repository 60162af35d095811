//! Tests of what reports bring.

use super::*;
use std::time::Duration;

fn at(hours: i64) -> Time {
    Time::from_secs(1_795_356_000).after(Duration::from_secs(
        3600 * u64::try_from(hours).expect("later"),
    ))
}

fn report(kind: ReportKind, (reporter, site): (u64, u64), sent: Time) -> SingleReport {
    SingleReport {
        kind,
        reporter,
        site,
        sent,
    }
}

fn sum(kinds: &[(ReportKind, u64, u64)], messages: f64) -> f64 {
    let mut reports = SenderReports::default();
    let volume = Volume {
        day: messages,
        lately: messages,
    };
    let words = kinds
        .iter()
        .map(|(kind, who, site)| report(*kind, (*who, *site), at(0)));
    words
        .filter_map(|report| reports.count(at(5), &report, volume, 1.0))
        .sum()
}

fn complaints(count: u64, messages: f64) -> f64 {
    sum(
        &(0..count)
            .map(|n| (ReportKind::Complaint, n, n))
            .collect::<Vec<_>>(),
        messages,
    )
}

#[test]
fn complaints_weigh_against_what_was_sent() {
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-3, "{a} {b}");
    close(complaints(1, 1000.0), 0.0);
    close(complaints(5, 1000.0), 0.0);
    close(complaints(1, 3.0), 0.985);
    close(complaints(3, 3.0), 2.985);
    close(complaints(10, 200.0), 9.0);
    close(complaints(9, 10.0), 3.25 + 5.95 / 3.0);
    assert!(
        complaints(9, 10.0) * 2.5 < 13.8 && complaints(10, 10.0) * 2.5 > 13.8,
        "ten mailboxes block"
    );
    close(complaints(60, 100_000.0), 0.0);
    assert!(
        complaints(2000, 100_000.0) > 100.0,
        "beyond what is remembered of reporters, too"
    );
}

#[test]
fn the_same_one_is_heard_once_in_a_month() {
    let mut reports = SenderReports::default();
    let volume = Volume {
        day: 3.0,
        lately: 20.0,
    };
    let mut count = |hours| {
        reports.count(
            at(hours),
            &report(ReportKind::Complaint, (7, 7), at(hours - 1)),
            volume,
            1.0,
        )
    };
    assert!(count(1).is_some_and(|more| more > 0.9));
    assert!((1..30).all(|day| count(24 * day).is_none()));
    assert!(count(24 * 31 + 2).is_some());
}

#[test]
fn who_writes_little_is_not_blocked_by_any_mix_of_reports_from_one_site() {
    let mix: Vec<_> = (0..9)
        .map(|n| {
            (
                [
                    ReportKind::Complaint,
                    ReportKind::Refusal,
                    ReportKind::Return,
                ][n % 3],
                n as u64,
                if n % 3 == 1 { 1 } else { n as u64 },
            )
        })
        .collect();
    // 2.5 nats each: 10 of the 13.8 that block, and under the 11 from which on a sender is
    // watched.
    assert!(
        sum(&mix, 40.0) <= 4.0 && sum(&mix, 3.0) <= 3.1,
        "{} {}",
        sum(&mix, 40.0),
        sum(&mix, 3.0)
    );
    let returns: Vec<_> = (0..500).map(|n| (ReportKind::Return, n, n)).collect();
    assert!((sum(&returns, 10.0) - 2.0).abs() < 1e-3);
    let sites: Vec<_> = (0..6).map(|n| (ReportKind::Refusal, n, n)).collect();
    assert!(
        (sum(&sites, 6.0) - 6.0).abs() < 1e-3,
        "six sites that refuse are six witnesses"
    );
    let at_one_site: Vec<_> = (0..12).map(|n| (ReportKind::Refusal, n, 1)).collect();
    assert!(
        (sum(&at_one_site, 12.0) - 6.3).abs() < 1e-3,
        "a run to one large site is stopped, too"
    );
}

/// Day after day with the same cap: what is left of the days before stays below the line of the
/// block, too.
#[test]
fn reports_that_come_every_day_do_not_add_up_to_a_block() {
    let (mut reports, mut sum) = (SenderReports::default(), 0.0_f64);
    for day in 0..60 {
        sum *= 0.25;
        for n in 0..4 {
            let volume = Volume {
                day: 10.0,
                lately: 200.0,
            };
            let complaint = report(
                ReportKind::Complaint,
                (10 * day as u64 + n, 0),
                at(24 * day + 7),
            );
            let more = reports.count(at(24 * day + 8), &complaint, volume, 1.0);
            sum += 2.5 * more.expect("somebody else each time");
            assert!(sum < 13.0, "day {day}: {sum}");
        }
    }
}

#[test]
fn one_message_is_one_piece_whatever_is_said_of_it() {
    let mut reports = SenderReports::default();
    let (now, id, other) = (at(0), MessageId(1), MessageId(2));
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
    let volume = Volume::default();
    let count = |reports: &mut SenderReports, kind, who, id| {
        reports
            .count_of_message(now, id, &report(kind, (who, who), now), volume, 2.5)
            .expect("not heard before")
    };
    close(count(&mut reports, ReportKind::Return, 0, id), 1.25);
    close(count(&mut reports, ReportKind::Refusal, 1, id), 1.25);
    close(count(&mut reports, ReportKind::Refusal, 2, id), 0.0);
    reports.unknown_user(now, id, 1, |already| {
        close(already, 2.5);
        2.0
    });
    reports.unknown_user(now, id, 2, |already| {
        close(already, 0.5);
        2.0
    });
    reports.unknown_user(now, id, 1, |already| {
        assert!(already.is_infinite(), "the same recipient again");
        2.0
    });
    close(count(&mut reports, ReportKind::Refusal, 3, id), 0.0);
    close(count(&mut reports, ReportKind::Refusal, 4, other), 2.5);
    assert!(reports.messages.len() <= ENTRIES);
}

#[test]
fn what_is_said_of_last_weeks_newsletter_weighs_against_that_newsletter() {
    let mut reports = SenderReports::default();
    let volume = Volume {
        day: 0.0,
        lately: 10_000.0,
    };
    let heard = (0..40)
        .filter_map(|n| {
            reports.count(
                at(60),
                &report(ReportKind::Complaint, (n, n), at(0)),
                volume,
                1.0,
            )
        })
        .sum::<f64>();
    assert!(heard < 1e-6, "{heard}");
    let fresh = Volume {
        day: 5.0,
        lately: 10_000.0,
    };
    let heard = (100..104)
        .filter_map(|n| {
            reports.count(
                at(61),
                &report(ReportKind::Complaint, (n, n), at(60)),
                fresh,
                1.0,
            )
        })
        .sum::<f64>();
    assert!(heard > 2.9, "and of today's against today's: {heard}");
}
