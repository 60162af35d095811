//! Evidence in nats against one sender, each kind bounded and relative to the sender's own past, and the sequential sums
//! (CUSUM) that join it.

use super::baseline::{Baseline, Prior};
use super::tuning::Tuning;
use serde::{Deserialize, Serialize};

/// A message is flagged, and content speaks against its sender, only from this LLR on (p = 0.73). Below it a model that
/// meets unfamiliar mail says nothing reliable, and a sender of such mail must not add up to a block.
pub const FLAG_NATS: f64 = 1.0;
/// Share of flagged messages that is assumed of a campaign.
const CAMPAIGN_FLAGGED: f64 = 0.95;
/// Share of new recipients that is assumed of a campaign.
const CAMPAIGN_NEW: f64 = 0.95;
/// Share of unknown users that is assumed of a campaign.
const CAMPAIGN_BOUNCES: f64 = 0.12;
/// Bounds of one outcome's evidence.
const BOUNCE: (f64, f64) = (-0.15, 2.5);
/// Messages of strong content that it takes at least to block while a tenant is still new.
const LEARNING_MESSAGES_TO_BLOCK: f64 = 15.0;

/// The bounds the detector works with, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// From here on a sender is blocked; `None` = the detector is off.
    pub block: Option<f64>,
    /// From here on it is watched.
    pub watch: f64,
    /// Largest content evidence of one message.
    pub content: f64,
}

impl Bounds {
    /// From the configured false-block rate (0 = off) and whether the tenant is still new.
    pub fn new(false_block_rate: f64, learning: bool, tuning: &Tuning) -> Self {
        let block = (false_block_rate > 0.0).then(|| (1.0 / false_block_rate).ln());
        let content = match block {
            Some(block) if learning => tuning.content_most.min(block / LEARNING_MESSAGES_TO_BLOCK),
            _ => tuning.content_most,
        };
        Self { block, watch: block.map_or(f64::INFINITY, |b| b * tuning.watch_share), content }
    }

    /// Whether this sum blocks.
    pub fn blocks(&self, sum: f64) -> bool {
        self.block.is_some_and(|b| sum >= b)
    }

    /// Whether this sum puts a sender under watch.
    pub fn watches(&self, sum: f64) -> bool {
        sum >= self.watch
    }
}

/// Content evidence: the calibrated LLR within its bounds, and never more than a flag (or its absence) can say of a sender
/// who is flagged so often anyway.
pub fn content(base: &Baseline, prior: &Prior, llr: f64, most: f64, tuning: &Tuning) -> f64 {
    if llr.is_nan() {
        return 0.0;
    }
    let share = base.flagged_share(prior);
    if llr > FLAG_NATS {
        (llr - FLAG_NATS).min(most).min((CAMPAIGN_FLAGGED / share).ln()).max(0.0)
    } else {
        llr.max(tuning.content_least).max(((1.0 - CAMPAIGN_FLAGGED) / (1.0 - share)).ln()).min(0.0)
    }
}

/// Evidence of the external recipients of one message, `new` of them new to the sender, before it is known whether the
/// content bears it out. All of one message together stay within one bound,
/// which grows with the logarithm of their number: a mailing to many is one event, not many.
pub fn recipients(base: &Baseline, prior: &Prior, known: u32, new: u32, tuning: &Tuning) -> f64 {
    let share = base.new_share(prior);
    let each_new = (CAMPAIGN_NEW / share).ln();
    let each_known = ((1.0 - CAMPAIGN_NEW) / (1.0 - share)).ln();
    let most = tuning.recipients_most;
    f64::from(new).mul_add(each_new, f64::from(known) * each_known).clamp(-most, most * (f64::from(new) / 20.0).ln_1p().max(1.0))
}

/// How far content of this LLR bears out what else speaks against the sender: strangers alone never do. Somebody who
/// writes ordinary mail to strangers is a new employee or an application, and must never add up to a block.
pub fn corroboration(llr: f64) -> f64 {
    if llr.is_nan() { 0.0 } else { (llr - FLAG_NATS).max(0.0) }
}

/// Evidence of one outcome: an unknown user, or a delivery.
pub fn outcome(base: &Baseline, prior: &Prior, bounced: bool) -> f64 {
    let share = base.bounced_share(prior);
    let value = if bounced { CAMPAIGN_BOUNCES / share } else { (1.0 - CAMPAIGN_BOUNCES) / (1.0 - share) };
    value.ln().clamp(BOUNCE.0, BOUNCE.1)
}

/// How surprising it is that `new` of `all` recipients are new to a sender of whom the share `usual` is: nats of the
/// Chernoff bound, 0 where they are not more than usual.
pub fn surprise(new: f64, all: f64, usual: f64) -> f64 {
    if all <= 0.0 {
        return 0.0;
    }
    let (p, q) = ((new / all).min(1.0), usual.clamp(0.05, 0.99));
    // Where nearly all are new anyway nothing is surprising.
    if p <= q || q > 0.8 {
        return 0.0;
    }
    let rest = if p < 1.0 { (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln() } else { 0.0 };
    all * p.mul_add((p / q).ln(), rest)
}

/// One step of the sequential sum: it never falls below zero, so good mail buys no credit for later.
pub fn cusum(sum: f64, evidence: f64) -> f64 {
    let next = sum + evidence;
    if next > 0.0 { next } else { 0.0 }
}

/// What a stretch of evidence does to a sum that stood at `s` before: `max(s · factor + total, least)`. Such pairs join to
/// pairs, exactly, so a stretch can be counted elsewhere and added later (max-plus algebra).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// What time leaves of the sum before.
    pub factor: f64,
    /// Sum of the evidence, as far as time leaves it.
    pub total: f64,
    /// The sum that comes out where it stood at zero before, or lower than the stretch could lift it.
    pub least: f64,
}

impl Default for Stretch {
    fn default() -> Self {
        Self { factor: 1.0, total: 0.0, least: 0.0 }
    }
}

impl Stretch {
    /// One piece of evidence, after `factor` of what was there before is left.
    pub const fn of(factor: f64, evidence: f64) -> Self {
        Self { factor, total: evidence, least: 0.0 }
    }

    /// This stretch and then `next`.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        Self {
            factor: self.factor * next.factor,
            total: self.total.mul_add(next.factor, next.total),
            least: self.least.mul_add(next.factor, next.total).max(next.least),
        }
    }

    /// The sum after it.
    pub fn apply(&self, sum: f64) -> f64 {
        sum.mul_add(self.factor, self.total).max(self.least)
    }
}
