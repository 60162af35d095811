//! Evidence in nats against one sender, each kind bounded and relative to the sender's own past, and the sequential sum
//! (CUSUM) that joins it. The figures are those of the measured pilot.

use crate::types::Time;
use serde::{Deserialize, Serialize};

/// Bounds of one message's content evidence.
const CONTENT: (f64, f64) = (-2.4, 3.0);
/// A message is flagged, and content speaks against its sender, only from this LLR on (p = 0.73). Below it a model that
/// meets unfamiliar mail says nothing reliable, and a sender of such mail must not add up to a block.
const FLAG_NATS: f64 = 1.0;
/// Share of flagged messages that is assumed of a campaign.
const CAMPAIGN_FLAGGED: f64 = 0.95;
/// Weight of the prior of the flagged share, in messages; its mean is 1 in this many.
const FLAG_STRENGTH: f64 = 200.0;
/// Share of new recipients that is assumed of a campaign.
const CAMPAIGN_NEW: f64 = 0.95;
/// Prior share of new recipients and its weight in recipients.
const NEW_PRIOR: (f64, f64) = (0.3, 50.0);
/// Bound of the evidence of all recipients of one message.
pub const NEW_BOUND: f64 = 3.0;
/// Share of unknown users that is assumed of a campaign.
const CAMPAIGN_BOUNCES: f64 = 0.12;
/// Prior share of unknown users and its weight in outcomes.
const BOUNCE_PRIOR: (f64, f64) = (0.01, 100.0);
/// Bounds of one outcome's evidence.
const BOUNCE: (f64, f64) = (-0.15, 2.5);
/// A remote site's refusal as spam, or a complaint: as strong as one unknown user can be.
pub const SPAM_REFUSAL: f64 = 2.5;
/// Baselines keep this share from day to day, so that half of what they know is 23 days old.
const DECAY_PER_DAY: f64 = 0.97;
/// Messages of strong content that it takes at least to block while a tenant is still new.
const LEARNING_MESSAGES_TO_BLOCK: f64 = 15.0;

/// What is usual for one sender. Learned only while the sender is in good standing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    messages: f32,
    flagged: f32,
    recipients: f32,
    new: f32,
    outcomes: f32,
    bounced: f32,
    /// Day since the epoch up to which these have decayed.
    day: i32,
}

/// The bounds the detector works with, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// From here on a sender is blocked; `None` = the detector is off.
    pub block: Option<f64>,
    /// Largest content evidence of one message.
    pub content: f64,
}

impl Bounds {
    /// From the configured false-block rate (0 = off) and whether the tenant is still new.
    pub fn new(false_block_rate: f64, learning: bool) -> Self {
        let block = (false_block_rate > 0.0).then(|| (1.0 / false_block_rate).ln());
        let content = match block {
            Some(block) if learning => CONTENT.1.min(block / LEARNING_MESSAGES_TO_BLOCK),
            _ => CONTENT.1,
        };
        Self { block, content }
    }

    /// Whether this sum blocks.
    pub fn blocks(&self, sum: f64) -> bool {
        self.block.is_some_and(|b| sum >= b)
    }

    /// Whether this sum puts a sender under watch: half way to the block.
    pub fn watches(&self, sum: f64) -> bool {
        self.block.is_some_and(|b| sum >= b / 2.0)
    }
}

fn day(now: Time) -> i32 {
    i32::try_from(now.as_secs().div_euclid(86_400)).unwrap_or(0)
}

impl Baseline {
    /// Lets the past fade up to `now`; a clock that steps back changes nothing.
    pub fn age(&mut self, now: Time) {
        let today = day(now);
        let passed = today.saturating_sub(self.day);
        if self.day != 0 && passed > 0 {
            let keep = DECAY_PER_DAY.powi(passed.min(10_000)) as f32;
            for value in [
                &mut self.messages,
                &mut self.flagged,
                &mut self.recipients,
                &mut self.new,
                &mut self.outcomes,
                &mut self.bounced,
            ] {
                *value *= keep;
            }
        }
        self.day = self.day.max(today);
    }

    /// Content evidence: the calibrated LLR within its bounds, and never more than a flag (or its absence) can say of a
    /// sender who is flagged so often anyway.
    pub fn content(&self, llr: f64, bounds: &Bounds) -> f64 {
        if llr.is_nan() {
            return 0.0;
        }
        let share = (f64::from(self.flagged) + 1.0) / (f64::from(self.messages) + FLAG_STRENGTH);
        if is_flag(llr) {
            (llr - FLAG_NATS).min(bounds.content).min((CAMPAIGN_FLAGGED / share).ln()).max(0.0)
        } else {
            llr.max(CONTENT.0).max(((1.0 - CAMPAIGN_FLAGGED) / (1.0 - share).max(1e-3)).ln()).min(0.0)
        }
    }

    /// Evidence of the external recipients of one message of that content LLR, `new` of them new to the sender. All of one
    /// message together stay within one bound: a mailing to many is one event, not many. New recipients speak against a
    /// sender only as far as the content does too: somebody who writes ordinary mail to strangers is a new employee or an
    /// application, and must never add up to a block.
    pub fn recipients(&self, known: u32, new: u32, llr: f64) -> f64 {
        let share = (f64::from(self.new) + NEW_PRIOR.0 * NEW_PRIOR.1) / (f64::from(self.recipients) + NEW_PRIOR.1);
        let share = share.clamp(0.01, 0.99);
        let each_new = (CAMPAIGN_NEW / share).ln();
        let each_known = ((1.0 - CAMPAIGN_NEW) / (1.0 - share)).ln();
        f64::from(new).mul_add(each_new, f64::from(known) * each_known).clamp(-NEW_BOUND, NEW_BOUND).min(corroboration(llr))
    }

    /// Evidence of one outcome: an unknown user, or a delivery.
    pub fn outcome(&self, bounced: bool) -> f64 {
        let share = (f64::from(self.bounced) + BOUNCE_PRIOR.0 * BOUNCE_PRIOR.1) / (f64::from(self.outcomes) + BOUNCE_PRIOR.1);
        let share = share.clamp(1e-4, 0.99);
        let value = if bounced { CAMPAIGN_BOUNCES / share } else { (1.0 - CAMPAIGN_BOUNCES) / (1.0 - share) };
        value.ln().clamp(BOUNCE.0, BOUNCE.1)
    }

    /// Learns the content of one message.
    pub fn learn_content(&mut self, llr: f64) {
        self.messages += 1.0;
        if is_flag(llr) {
            self.flagged += 1.0;
        }
    }

    /// Learns the recipients of one message.
    pub fn learn_recipients(&mut self, known: u32, new: u32) {
        self.recipients += (known as f32) + (new as f32);
        self.new += new as f32;
    }

    /// Learns one outcome.
    pub fn learn_outcome(&mut self, bounced: bool) {
        self.outcomes += 1.0;
        if bounced {
            self.bounced += 1.0;
        }
    }
}

/// Whether content of this LLR counts as flagged.
fn is_flag(llr: f64) -> bool {
    llr > FLAG_NATS
}

/// How far content of this LLR bears out what else speaks against the sender.
fn corroboration(llr: f64) -> f64 {
    if llr.is_nan() { 0.0 } else { (llr - FLAG_NATS).clamp(0.0, NEW_BOUND) }
}

/// One step of the sequential sum: it never falls below zero, so good mail buys no credit for later.
pub fn cusum(sum: f64, evidence: f64) -> f64 {
    let next = sum + evidence;
    if next > 0.0 { next } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds::new(1e-6, false)
    }

    #[test]
    fn a_campaign_from_a_fresh_account_takes_four_messages() {
        let base = Baseline::default();
        let mut sum = 0.0;
        let mut n = 0;
        while !bounds().blocks(sum) {
            sum = cusum(sum, base.content(9.0, &bounds()) + base.recipients(0, 1, 9.0));
            n += 1;
        }
        assert_eq!(n, 4);
    }

    #[test]
    fn content_alone_needs_fifteen_messages_of_a_new_tenant() {
        let learning = Bounds::new(1e-6, true);
        let base = Baseline::default();
        let sum = |n: u32| (0..n).fold(0.0, |s, _| cusum(s, base.content(9.0, &learning)));
        assert!(!learning.blocks(sum(14)));
        assert!(learning.blocks(sum(15) + 1e-9));
    }

    #[test]
    fn what_is_usual_is_no_news() {
        let mut base = Baseline::default();
        let before = base.content(2.9, &bounds());
        assert!((before - 1.9).abs() < 1e-6);
        for _ in 0..2000 {
            base.learn_content(3.0);
            base.learn_recipients(0, 1);
            base.learn_outcome(true);
        }
        assert!(base.content(3.0, &bounds()) < 0.1);
        assert!(base.recipients(0, 1, 9.0) < 0.1);
        assert!(base.outcome(true) < 0.0);
    }

    #[test]
    fn the_pilots_figures() {
        let base = Baseline::default();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        close(base.content(-50.0, &bounds()), -2.4);
        close(base.content(50.0, &bounds()), 3.0);
        close(base.content(f64::NAN, &bounds()), 0.0);
        close(base.recipients(0, 1, 9.0), (0.95_f64 / 0.3).ln());
        close(base.recipients(1, 0, 9.0), (0.05_f64 / 0.7).ln());
        close(base.recipients(0, 100, 9.0), 3.0);
        close(base.recipients(100, 0, 9.0), -3.0);
        close(base.outcome(true), (0.12_f64 / 0.01).ln());
        close(base.outcome(false), (0.88_f64 / 0.99).ln());
        close(bounds().block.expect("on"), 13.815_510_557_964_274);
        assert!(!Bounds::new(0.0, false).blocks(1e9) && !Bounds::new(0.0, false).watches(1e9));
    }

    #[test]
    fn ordinary_mail_to_strangers_never_adds_up_to_a_block() {
        // Once a fresh sender whose mail the model found neither good nor bad was blocked after a dozen new recipients.
        for llr in [-3.0, -0.5, 0.0, 0.4, 1.0] {
            let base = Baseline::default();
            let sum = (0..10_000).fold(0.0, |s, _| cusum(s, base.content(llr, &bounds()) + base.recipients(0, 5, llr)));
            assert!(sum < 1e-9, "{llr}: {sum}");
        }
    }

    #[test]
    fn baselines_fade() {
        let mut base = Baseline::default();
        let now = Time::from_secs(86_400 * 20_000);
        base.age(now);
        (0..1000).for_each(|_| base.learn_content(3.0));
        base.age(now.before(std::time::Duration::from_secs(86_400 * 50)));
        assert!((base.flagged - 1000.0).abs() < 1e-3, "a clock that steps back changes nothing");
        base.age(now.after(std::time::Duration::from_secs(86_400)));
        assert!((base.flagged - 970.0).abs() < 1e-3);
        base.age(now.after(std::time::Duration::from_secs(86_400 * 3000)));
        assert!(base.flagged < 1e-3);
    }

    proptest::proptest! {
        #[test]
        fn evidence_stays_in_its_bounds(
            llrs in proptest::collection::vec((-1e6_f64..1e6, 0_u32..300, 0_u32..300, proptest::bool::ANY), 0..100)
        ) {
            let mut base = Baseline::default();
            let mut sum = 0.0;
            for (llr, known, new, bounced) in llrs {
                let parts = [base.content(llr, &bounds()), base.recipients(known, new, llr), base.outcome(bounced)];
                proptest::prop_assert!((-2.4..=3.0).contains(&parts[0]));
                proptest::prop_assert!((-3.0..=3.0).contains(&parts[1]));
                proptest::prop_assert!((-0.15..=2.5).contains(&parts[2]));
                sum = cusum(sum, parts.iter().sum());
                proptest::prop_assert!(sum >= 0.0);
                base.learn_content(llr);
                base.learn_recipients(known, new);
                base.learn_outcome(bounced);
            }
        }
    }
}
