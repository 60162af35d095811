//! Tests of the formulas and their bounds.

use super::content::{by_level, by_rank};
use super::mailing::surprise;
use super::outcome::of_outcome as outcome;
use super::recipients::of_strangers as recipients;
use super::*;
use crate::detector::state::baseline::Baseline;
use proptest::prelude::*;

const ALONE: Prior = Tuning::PRIOR_SMALL_TENANT;

fn bounds() -> Bounds {
    Bounds::new(1e-6, false, &Tuning::default())
}

fn content_of(base: &Baseline, llr: f64) -> f64 {
    by_level(
        base,
        &ALONE,
        llr,
        bounds().content,
        Tuning::CAMPAIGN_FLAGGED,
        &Tuning::default(),
    )
}

fn recipients_of(base: &Baseline, known: u32, new: u32) -> f64 {
    recipients(base, &ALONE, known, new, &Tuning::default())
}

#[test]
fn content_alone_needs_ten_messages_of_a_new_tenant() {
    let tuning = Tuning::default();
    let learning = Bounds::new(1e-6, true, &tuning);
    let each = by_level(
        &Baseline::default(),
        &ALONE,
        9.0,
        learning.content,
        Tuning::CAMPAIGN_FLAGGED,
        &tuning,
    );
    let sum = |n: u32| (0..n).fold(0.0, |s, _| cusum(s, each));
    assert!(!learning.blocks(sum(9)));
    assert!(learning.blocks(sum(10) + 1e-9));
}

#[test]
fn by_rank_a_change_is_news_and_what_is_usual_is_not() {
    let of = |usual, own, llr| by_rank(usual, own, llr, &Tuning::default());
    // The tenant's mail never scores so high: fifteen clean messages, none at all, and one flag
    // between ordinary mail.
    assert!(
        of(0.002, (0.0, 15.0), 2.0) > 2.9
            && of(0.002, (0.0, 0.0), 2.0) > 2.9
            && of(0.002, (1.0, 2.0), 2.0) > 2.9
    );
    // What is not flagged says nothing; below even odds, like the other mail, it speaks for the
    // sender.
    assert_eq!(
        [0.1, 0.6, 0.99, f64::NAN].map(|llr| of(0.002, (0.0, 15.0), llr)),
        [0.0; 4]
    );
    assert!(
        of(0.002, (0.0, 15.0), -1.0) == 0.0
            && of(0.5, (0.0, 15.0), -5.0) < -1.0
            && of(1.0, (0.0, 0.0), -9.0) > -1.7
    );
    // A tenth of the tenant's mail scores so high; and so do half of this sender's own
    // messages.
    assert!(of(0.1, (0.0, 0.0), 2.0) < 0.5 && of(0.002, (50.0, 50.0), 6.0) < 1.0);
}

#[test]
fn what_is_usual_is_no_news() {
    let mut base = Baseline::default();
    assert!((content_of(&base, 2.9) - 1.9).abs() < 1e-6);
    for _ in 0..2000 {
        base.learn_content(3.0);
        base.learn_recipients(0, 1, 1);
        base.learn_outcome(true);
    }
    assert!(content_of(&base, 3.0) < 0.1);
    assert!(recipients_of(&base, 0, 1) < 0.3);
    assert!(outcome(&base, &ALONE, true, &Tuning::default()) < 0.0);
    assert!(
        recipients(&base, &SenderClass::Bulk.prior(), 1, 0, &Tuning::default()) <= 0.0,
        "a known recipient never speaks against"
    );
}

#[test]
fn the_pilots_figures() {
    let base = Baseline::default();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
    close(content_of(&base, -50.0), Tuning::default().content_least);
    close(content_of(&base, 50.0), 3.0);
    close(content_of(&base, f64::NAN), 0.0);
    close(recipients_of(&base, 0, 1), (0.95_f64 / 0.3).ln());
    close(recipients_of(&base, 1, 0), (0.05_f64 / 0.7).ln());
    close(recipients_of(&base, 0, 3), 3.0);
    close(recipients_of(&base, 100, 0), -3.0);
    assert!(
        (11.0..13.0).contains(&recipients_of(&base, 0, 100)),
        "a hundred strangers at once are more than three"
    );
    close(
        outcome(&base, &ALONE, true, &Tuning::default()),
        (0.12_f64 / 0.01).ln(),
    );
    close(
        outcome(&base, &ALONE, false, &Tuning::default()),
        (0.88_f64 / 0.99).ln(),
    );
    close(bounds().block.expect("on"), 13.815_510_557_964_274);
    let off = Bounds::new(0.0, false, &Tuning::default());
    assert!(!off.blocks(1e9) && !off.watches(1e9));
}

#[test]
fn a_campaign_that_is_hardly_seen_adds_up_only_against_its_own_measure() {
    let (base, tuning) = (Baseline::default(), Tuning::default());
    let run = |campaign| {
        let step = |sum, n| {
            cusum(
                sum,
                by_level(
                    &base,
                    &ALONE,
                    if n % 3 == 0 { 6.0 } else { -4.0 },
                    3.0,
                    campaign,
                    &tuning,
                ),
            )
        };
        (0..30).fold(0.0, step)
    };
    assert!(
        run(Tuning::CAMPAIGN_FLAGGED) < 4.0 && run(Tuning::SPARSE_FLAGGED) > 13.8,
        "{} {}",
        run(Tuning::CAMPAIGN_FLAGGED),
        run(Tuning::SPARSE_FLAGGED)
    );
}

#[test]
fn surprise_is_for_those_who_hardly_write_to_strangers() {
    assert!(surprise(61.0, 61.0, 0.1, 100.0) > 50.0);
    assert!(surprise(61.0, 61.0, 0.27, 64.0) > 20.0);
    assert_eq!(surprise(61.0, 200.0, 0.5, 100.0), 0.0);
    assert_eq!(surprise(500.0, 500.0, 0.95, 100.0), 0.0);
    assert_eq!(surprise(0.0, 0.0, 0.1, 100.0), 0.0);
    // A program with 400 messages an hour, half of them to new people, of whose last 64 only 23
    // happened to be new.
    assert!(surprise(215.0, 430.0, 0.36, 64.0) < 5.0);
}

proptest! {
    #[test]
    fn evidence_stays_in_its_bounds(
        llrs in prop::collection::vec((-1e6_f64..1e6, 0_u32..300, 0_u32..300, prop::bool::ANY), 0..100)
    ) {
        let mut base = Baseline::default();
        let mut sum = 0.0;
        for (llr, known, new, bounced) in llrs {
            let parts = [content_of(&base, llr), recipients_of(&base, known, new), outcome(&base, &ALONE, bounced, &Tuning::default())];
            prop_assert!((-1.7..=3.0).contains(&parts[0]));
            prop_assert!((-3.0..=16.0).contains(&parts[1]));
            prop_assert!((-0.15..=2.5).contains(&parts[2]));
            sum = cusum(sum, parts.iter().sum());
            prop_assert!(sum >= 0.0);
            base.learn_content(llr);
            base.learn_recipients(known, new, 1);
            base.learn_outcome(bounced);
        }
    }

    /// Two nodes count a sender at the same time. However their evidence is woven together, the
    /// sum lies between what all of it comes to and the sum of what each of them saw alone; one
    /// stretch after the other lies there too, so that it is never further from the truth than
    /// that.
    #[test]
    fn interleaved_stretches_stay_within_a_bound(
        a in prop::collection::vec(-10.0_f64..10.0, 0..40), b in prop::collection::vec(-10.0_f64..10.0, 0..40),
        start in 0.0_f64..30.0, weave in prop::collection::vec(prop::bool::ANY, 80)
    ) {
        let run = |from: f64, steps: &[f64]| steps.iter().fold(from, |s, e| cusum(s, *e));
        let (mut left, mut right, mut woven) = (a.iter(), b.iter(), Vec::new());
        for first in weave {
            let next = if first { left.next().or_else(|| right.next()) } else { right.next().or_else(|| left.next()) };
            woven.extend(next);
        }
        let least = (start + a.iter().sum::<f64>() + b.iter().sum::<f64>()).max(0.0);
        let most = run(start, &a) + run(0.0, &b);
        for sum in [run(start, &woven), run(run(start, &a), &b), run(run(start, &b), &a).min(most)] {
            prop_assert!(sum >= least - 1e-9 && sum <= most + 1e-9, "{least} {sum} {most}");
        }
    }
}
