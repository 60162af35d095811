//! Evidence in nats against one sender, each kind bounded and relative to the sender's own past,
//! and the sequential sums (CUSUM) that join it.

use super::baseline::{Baseline, Prior};
use crate::config::tuning::Tuning;

/// A message is flagged, and content speaks against its sender, only from this LLR on (p = 0.73).
/// Below it a model that meets unfamiliar mail says nothing reliable, and a sender of such mail
/// must not add up to a block.
pub(crate) const FLAG_NATS: f64 = 1.0;
/// Share of flagged messages that is assumed of a campaign.
pub(crate) const CAMPAIGN_FLAGGED: f64 = 0.95;
/// The same of a campaign that the model hardly sees.
pub(crate) const SPARSE_FLAGGED: f64 = 0.3;
/// Share of new recipients that is assumed of a campaign.
const CAMPAIGN_NEW: f64 = 0.95;
/// Share of unknown users that is assumed of a campaign.
const CAMPAIGN_BOUNCES: f64 = 0.12;
/// New recipients of one message from which on more of them say more.
const FEW_NEW: f64 = 5.0;
/// Most that one delivery says for its sender.
const DELIVERED_LEAST: f64 = -0.15;
/// Messages of strong content that it takes at least to block while a tenant is new and too little
/// is known of its other mail.
const LEARNING_MESSAGES_TO_BLOCK: f64 = 15.0;

/// Evidence by rank is `ln RANK_SHARE - RANK_SLOPE ln p`: p is uniform for ordinary mail, and near
/// 0 for a campaign.
const RANK_SHARE: f64 = 0.2;
const RANK_SLOPE: f64 = 0.8;
/// What the mail of its tenant is worth beside the sender's own past, in messages: as much as the
/// prior of a person.
const RANK_OF_TENANT: f64 = 20.0;
/// Nats above the flag at which evidence by rank is whole.
const FLAG_BEGINS: f64 = 0.25;

/// The bounds the detector works with, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    /// From here on a sender is blocked; `None` = the detector is off.
    pub block: Option<f64>,
    /// From here on it is watched.
    pub watch: f64,
    /// Largest content evidence of one message.
    pub content: f64,
}

impl Bounds {
    /// From the configured false-block rate (0 = off) and whether the tenant is still new.
    pub(crate) fn new(false_block_rate: f64, learning: bool, tuning: &Tuning) -> Self {
        let block = (false_block_rate > 0.0).then(|| (1.0 / false_block_rate).ln());
        let content = match block {
            Some(block) if learning => tuning.content_most.min(block / LEARNING_MESSAGES_TO_BLOCK),
            _ => tuning.content_most,
        };
        Self {
            block,
            watch: block.map_or(f64::INFINITY, |b| b * tuning.watch_share),
            content,
        }
    }

    /// The bounds of a sender of so many messages in the last day.
    #[must_use]
    pub(crate) fn for_volume(self, messages: u32, tuning: &Tuning) -> Self {
        let more = tuning.more_for_volume(messages);
        Self {
            block: self.block.map(|b| b + more),
            watch: self.watch + more,
            ..self
        }
    }

    /// Whether this sum blocks.
    pub(crate) fn blocks(&self, sum: f64) -> bool {
        self.block.is_some_and(|b| sum >= b)
    }

    /// Whether this sum puts a sender under watch.
    pub(crate) fn watches(&self, sum: f64) -> bool {
        sum >= self.watch
    }
}

/// Content evidence: the calibrated LLR within its bounds, and never more than a flag (or its
/// absence) can say of a sender who is flagged so often anyway, held against a campaign of which
/// this share is flagged ([`CAMPAIGN_FLAGGED`], [`SPARSE_FLAGGED`]): where it is small, a flag says
/// less against the sender and ordinary mail between takes little away.
pub(crate) fn content(
    base: &Baseline,
    prior: &Prior,
    llr: f64,
    most: f64,
    campaign: f64,
    tuning: &Tuning,
) -> f64 {
    if llr.is_nan() {
        return 0.0;
    }
    let share = base.flagged_share(prior);
    if llr > FLAG_NATS {
        (llr - FLAG_NATS)
            .min(most)
            .min((campaign / share).ln())
            .max(0.0)
    } else {
        llr.max(tuning.content_least)
            .max(((1.0 - campaign) / (1.0 - share)).ln())
            .min(0.0)
    }
}

/// Content evidence by rank, in nats: how unusual it is that a message scores so high, where the
/// share `usual` of the tenant's other mail does, and no more than a flag can say of a sender of
/// whose own messages `flagged` were flagged and `clean` were not. The level of a score says little
/// in a tenant whose mail the classifier does not know yet; that it is unlike all other mail says
/// as much as ever. Nothing speaks against a sender where it is not flagged; what scores below even
/// odds like the tenant's other mail speaks for it.
pub(crate) fn by_rank(usual: f64, (flagged, clean): (f64, f64), llr: f64, tuning: &Tuning) -> f64 {
    let nats = RANK_SLOPE.mul_add(-usual.max(1e-9).ln(), RANK_SHARE.ln());
    if llr > FLAG_NATS {
        let share = RANK_OF_TENANT.mul_add(usual, flagged) / (RANK_OF_TENANT + flagged + clean);
        let own = (CAMPAIGN_FLAGGED / share.max(1e-9)).ln();
        // From nothing where the flag begins.
        nats.min(own).clamp(0.0, tuning.content_most) * ((llr - FLAG_NATS) / FLAG_BEGINS).min(1.0)
    } else if llr <= 0.0 {
        nats.clamp(tuning.content_least, 0.0)
    } else {
        0.0
    }
}

/// Evidence of the external recipients of one message, `new` of them new to the sender, before it
/// is known whether the content bears it out. All of one message together stay within one bound,
/// which grows with the logarithm of their number: a mailing to many is one event, not many.
pub(crate) fn recipients(
    base: &Baseline,
    prior: &Prior,
    known: u32,
    new: u32,
    tuning: &Tuning,
) -> f64 {
    let share = base.new_share(prior);
    let each_new = (CAMPAIGN_NEW / share).ln();
    let each_known = ((1.0 - CAMPAIGN_NEW) / (1.0 - share)).ln();
    let most = tuning.recipients_most;
    f64::from(new)
        .mul_add(each_new, f64::from(known) * each_known)
        .clamp(-most, most_recipients(new, most))
}

/// Most that so many new recipients of one message say, in nats, where few say at most `most`.
pub(crate) fn most_recipients(new: u32, most: f64) -> f64 {
    most * (1.0 + (f64::from(new) / FEW_NEW).max(1.0).ln())
}

/// How far content of this LLR, which came to `evidence` against this very sender, bears out what
/// else speaks against it: strangers alone never do. Somebody who writes ordinary mail to strangers
/// is a new employee or an application, and must never add up to a block; nor must a program or a
/// mailing whose template always looks like that, so content counts here as far as it is news.
pub(crate) fn corroboration(llr: f64, evidence: f64, most: f64) -> f64 {
    let over = llr - FLAG_NATS;
    let usual = over.min(most);
    if usual > 0.0 {
        over * (evidence / usual).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// Evidence of one outcome: an unknown user, or a delivery.
pub(crate) fn outcome(base: &Baseline, prior: &Prior, bounced: bool, tuning: &Tuning) -> f64 {
    let share = base.bounced_share(prior);
    let value = if bounced {
        CAMPAIGN_BOUNCES / share
    } else {
        (1.0 - CAMPAIGN_BOUNCES) / (1.0 - share)
    };
    value.ln().clamp(DELIVERED_LEAST, tuning.bounce_most)
}

/// How surprising it is that `new` of `all` recipients are new to a sender of whom the share
/// `usual` is, as `seen` earlier recipients told: nats of the likelihood ratio between two shares
/// and one common share, 0 where they are not more than usual. What is known of a sender by few
/// recipients is not known well, and surprises less.
pub(crate) fn surprise(new: f64, all: f64, usual: f64, seen: f64) -> f64 {
    if all <= 0.0 || seen <= 0.0 {
        return 0.0;
    }
    let (p, q) = ((new / all).min(1.0), usual.clamp(0.05, 0.99));
    // Where nearly all are new anyway nothing is surprising.
    if p <= q || q > 0.8 {
        return 0.0;
    }
    let common = all.mul_add(p, seen * q) / (all + seen);
    all.mul_add(divergence(p, common), seen * divergence(q, common))
}

/// Kullback-Leibler divergence of two shares in nats; `q` is neither 0 nor 1.
fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

/// One step of the sequential sum: it never falls below zero, so good mail buys no credit for
/// later.
pub(crate) fn cusum(sum: f64, evidence: f64) -> f64 {
    let next = sum + evidence;
    if next > 0.0 { next } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::baseline::{ALONE, Class};
    use super::*;
    use proptest::prelude::*;

    fn bounds() -> Bounds {
        Bounds::new(1e-6, false, &Tuning::default())
    }

    fn content_of(base: &Baseline, llr: f64) -> f64 {
        content(
            base,
            &ALONE,
            llr,
            bounds().content,
            CAMPAIGN_FLAGGED,
            &Tuning::default(),
        )
    }

    fn recipients_of(base: &Baseline, known: u32, new: u32) -> f64 {
        recipients(base, &ALONE, known, new, &Tuning::default())
    }

    #[test]
    fn content_alone_needs_fifteen_messages_of_a_new_tenant() {
        let tuning = Tuning::default();
        let learning = Bounds::new(1e-6, true, &tuning);
        let each = content(
            &Baseline::default(),
            &ALONE,
            9.0,
            learning.content,
            CAMPAIGN_FLAGGED,
            &tuning,
        );
        let sum = |n: u32| (0..n).fold(0.0, |s, _| cusum(s, each));
        assert!(!learning.blocks(sum(14)));
        assert!(learning.blocks(sum(15) + 1e-9));
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
            recipients(&base, &Class::Bulk.prior(), 1, 0, &Tuning::default()) <= 0.0,
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
                    content(
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
            run(CAMPAIGN_FLAGGED) < 4.0 && run(SPARSE_FLAGGED) > 13.8,
            "{} {}",
            run(CAMPAIGN_FLAGGED),
            run(SPARSE_FLAGGED)
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
}
