//! What a tenant's own mail adds to the model: a small bounded delta, and a calibration against the
//! tenant's own scores.
//!
//! Nearly all outbound mail is legitimate. So a tenant's unlabelled mail is taken for ham, and each
//! message is paired with replayed spam (the model's prototypes): ham alone would teach that
//! everything is ham. Steps are those of AdaGrad logistic regression on length-normalised binary
//! features (Duchi, Hazan, Singer 2011; for mail Goodman and Yih 2006), towards a margin, so that a
//! message that is already scored well teaches nothing.

mod folded;
#[cfg(test)]
pub(crate) mod numbers;
mod own;
mod saved;
mod tail;

pub use own::SenderShares;
pub use saved::LARGEST_FILE;

use super::features::Sample;
use super::model::{Model, Prototype};
use folded::{FoldedFeatures, Padded};
use tail::{Map, RecentScores};

/// Weights of a delta; hashed features fold into them. Twice as many gained next to nothing
/// (decision 6).
pub(in crate::score) const SLOTS: usize = 1 << 15;
/// What the delta adds stays within ± this (nats).
const MAX_NATS: f32 = 8.0;
/// The most that words of own mail alone take off (nats): else spam could hide among them.
const EXCUSE_NATS: f32 = 1.0;
/// Every label widens that bound: a person reviews the mail, and a mistake must be correctable.
const EXCUSE_NATS_PER_LABEL: f32 = 0.5;
/// How far the shipped model counts beside what was learned (nats): a confident error of it must be
/// correctable.
const SHIPPED_NATS: f32 = 5.0;
/// After this many messages a tenant is known; until then the influence of the delta grows evenly.
const KNOWN_MESSAGES: f32 = 100.0;
/// Learning aims this far past even odds (nats). Beyond that it would only repeat what is known.
const MARGIN: f32 = 1.0;
/// A message scored so well that the slope is below this teaches nothing.
const LEAST_ERROR: f32 = 0.05;
/// AdaGrad steps: for assumptions, and for labels, which outweigh them.
const RATE_ASSUMED: f32 = 0.2;
/// Step for labels, which outweigh assumptions.
const RATE_LABEL: f32 = 0.5;
/// Added to the root of a slot's squared slopes.
const EASE: f32 = 0.02;
/// How often an assumed message is learned, each time paired with another replayed spam, until the
/// tenant is settled.
const PASSES: usize = 3;
/// Once in this many replays the prototype is padded with the words of the own message: own words
/// must not excuse it.
const PADDED_EVERY: u64 = 16;
/// One in this many prototypes is never replayed but kept for calibration.
const KEPT_BACK: usize = 4;
/// An unlabelled message above this by the shipped model alone is not learned (nats): a tenant
/// whose mail is bad from the first day has no influence on the shipped model.
const TRUST_SHIPPED: f32 = 0.0;
/// At this ratio of the shipped model half as much is learned from a message, more below, less
/// above (nats): spam of a bad tenant lies nearer to even odds than its ordinary mail.
const HALF_TRUST: f32 = -1.0;
/// How fast the trust changes around [`HALF_TRUST`] (per nat).
const TRUST_SLOPE: f32 = 2.0;
/// Scores use a mean of the weights over time, because single messages change the weights a lot.
/// The mean moves towards the weights after this many assumed messages.
const MEAN_EVERY: u64 = 8;
/// How far it moves then; at first it is the mean of all so far. The mean covers about the last
/// dozen messages.
const MEAN_STEP: f32 = 0.49;
/// The calibration is fitted anew after so many learned messages.
const FIT_EVERY: u64 = 32;
/// Own messages that the calibration needs.
const FIT_FROM: usize = 50;
/// After this many offered messages the tenant's mail is known. From then on only a message like
/// the nearest nine tenths of own mail is assumed to be ham, it is learned slowly, and the
/// calibration stays fixed. Else the mail of a sender who turns bad would be learned bit by bit.
const SETTLED: u64 = 500;
/// Of those, this many must have been learned.
const SETTLED_ASSUMED: u64 = 200;
/// Step for assumptions once the tenant is settled.
const RATE_SETTLED: f32 = 0.05;
/// The same for the shipped model, see [`TRUST_SHIPPED`].
const TRUST_SETTLED: f32 = -1.0;
/// "Lately" means about so many messages.
const LATELY: f32 = 128.0;
/// The part of the share of mail taken for spam by the shipped model that is left after a day.
const DISAGREEMENT_PER_DAY: f32 = 0.5;
/// What is left of a weight after a day.
const KEEP_PER_DAY: f32 = 0.99;
/// The same of the memory of its slopes.
const KEEP_SQUARES_PER_DAY: f32 = 0.97;

/// What is known about a message that is to be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// An admin or a decision on held mail says spam.
    Spam,
    /// The same, not spam.
    Ham,
    /// Nobody said what the message is.
    Unlabelled,
}

/// What became of a message offered for learning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LearnOutcome {
    /// Learned as ham, assumed.
    Assumed,
    /// Learned by its label.
    Labelled,
    /// Not learned: the shipped model takes it for spam.
    RefusedByModel,
    /// Not learned: it is unlike the tenant's own mail.
    RefusedByTail,
}

impl LearnOutcome {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assumed => "assumed",
            Self::Labelled => "labelled",
            Self::RefusedByModel => "refused_by_model",
            Self::RefusedByTail => "refused_by_own_mail",
        }
    }
}

/// What was learned from one tenant's mail. About 400 KB.
#[derive(Debug, Clone)]
pub struct Delta {
    /// As the last step left them.
    weights: Vec<f32>,
    /// Their mean, see [`MEAN_EVERY`]: scores use it.
    mean: Vec<f32>,
    squares: Vec<f32>,
    assumed: u64,
    labelled: u64,
    refused: u64,
    turn: u64,
    own: RecentScores,
    spam: RecentScores,
    map: Map,
    disagreement: f32,
    cap_nearness: f32,
}

/// A message to be learned.
#[derive(Debug, Clone, Default)]
pub struct Lesson {
    /// The features that the weights are learned for.
    pub sample: Sample,
    /// The shipped model's log-likelihood ratio of it, nats.
    pub shipped: f32,
}

impl Lesson {
    /// From the features that a model is trained with.
    pub fn new(model: &Model, mut sample: Sample) -> Self {
        let shipped = model.llr(model.margin_of(&sample).total()) as f32;
        sample.pairs = Vec::new();
        Self { sample, shipped }
    }
}

/// The sum of the weights for a message, nats.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    text: f32,
    named: f32,
}

impl Sum {
    /// Adds what the shipped model says, each within its bounds; the text may take off at most
    /// `excuse`.
    const fn joined(self, shipped: f32, excuse: f32) -> f32 {
        let learned = self.text.max(-excuse) + self.named;
        shipped.clamp(-SHIPPED_NATS, SHIPPED_NATS) + learned.clamp(-MAX_NATS, MAX_NATS)
    }
}

impl Default for Delta {
    fn default() -> Self {
        Self {
            weights: vec![0.0; SLOTS],
            mean: vec![0.0; SLOTS],
            squares: vec![0.0; SLOTS],
            assumed: 0,
            labelled: 0,
            refused: 0,
            turn: 0,
            own: RecentScores::default(),
            spam: RecentScores::default(),
            map: Map::default(),
            disagreement: 0.0,
            cap_nearness: 0.0,
        }
    }
}

impl Delta {
    /// Messages learned, replays not counted.
    pub const fn learned(&self) -> u64 {
        self.assumed + self.labelled
    }

    /// Unlabelled messages that were not learned.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Share of the messages offered lately without a label that the shipped model took for spam,
    /// 0-1. It is high for a tenant that was bad from its first day.
    pub fn disagreement(&self) -> f64 {
        f64::from(self.disagreement)
    }

    /// How near the delta comes to its cap on messages learned lately, 0-1.
    pub fn cap_nearness(&self) -> f64 {
        f64::from(self.cap_nearness)
    }

    /// The influence of the delta, 0-1.
    pub(in crate::score) fn influence(&self) -> f32 {
        (self.learned() as f32 / KNOWN_MESSAGES).min(1.0)
    }

    /// The log-likelihood ratio with what was learned, from the shipped model's `shipped` (nats).
    pub fn llr(&self, shipped: f64, sample: &Sample) -> f64 {
        if self.learned() == 0 {
            return shipped;
        }
        let known = f64::from(self.influence());
        let learned = f64::from(
            self.map
                .eased(self.disagreement)
                .apply(self.raw(shipped as f32, &FoldedFeatures::new(sample))),
        );
        let joined = known * learned + (1.0 - known) * shipped;
        // Replays outweigh the few messages learned at first. Until the map is fitted, assumptions
        // may only lower the ratio.
        if self.map.fitted || self.labelled > 0 {
            joined
        } else {
            joined.min(shipped)
        }
    }

    fn excuse(&self) -> f32 {
        EXCUSE_NATS + EXCUSE_NATS_PER_LABEL * self.labelled as f32
    }

    /// The score before it is calibrated.
    fn raw(&self, shipped: f32, folded: &FoldedFeatures<'_>) -> f32 {
        folded.sum(&self.mean).joined(shipped, self.excuse())
    }

    /// One bounded step of `rate` towards spam or ham. What is learned `by_label` affects scores at
    /// once.
    fn step(
        &mut self,
        shipped: f32,
        folded: &FoldedFeatures<'_>,
        spam: bool,
        rate: f32,
        by_label: bool,
    ) {
        self.step_of(shipped, [folded, folded], spam, rate, by_label);
    }

    /// The same, with the error of a `whole` but moving only the weights of a `part` of it.
    fn step_of(
        &mut self,
        shipped: f32,
        [whole, part]: [&FoldedFeatures<'_>; 2],
        spam: bool,
        rate: f32,
        by_label: bool,
    ) {
        // A label is about the score that was given, and that used the mean.
        let sum = whole.sum(if by_label { &self.mean } else { &self.weights });
        let (target, aim) = if spam { (1.0, MARGIN) } else { (0.0, -MARGIN) };
        // Without the caps of the sum: with them, a message at the cap would be learned again and
        // again without effect.
        let now = shipped.clamp(-SHIPPED_NATS, SHIPPED_NATS) + sum.text + sum.named;
        let error = 1.0 / (1.0 + (aim - now).exp()) - target;
        if error.abs() < LEAST_ERROR {
            return;
        }
        let mut move_weight = |slot: usize, scale: f32| {
            let slots = (
                self.weights.get_mut(slot),
                self.mean.get_mut(slot),
                self.squares.get_mut(slot),
            );
            if let (Some(weight), Some(mean), Some(square)) = slots {
                let slope = error * scale;
                *square += slope * slope;
                let change = rate * slope / (square.sqrt() + EASE);
                *weight -= change;
                *mean -= if by_label { change } else { 0.0 };
            }
        };
        part.each_of_text(&mut move_weight);
        part.each_named(&mut move_weight);
    }

    /// Learns one message by its label, unless it is unlabelled and looks like spam.
    pub fn learn(&mut self, model: &Model, lesson: &Lesson, label: Label) -> LearnOutcome {
        let shipped = lesson.shipped;
        let folded = FoldedFeatures::new(&lesson.sample);
        let sum = folded.sum(&self.mean);
        let raw = sum.joined(shipped, self.excuse());
        let (settled, by_label) = (self.is_settled(), label != Label::Unlabelled);
        let (spam, rate, passes) = match label {
            Label::Spam => (true, RATE_LABEL, 1),
            Label::Ham => (false, RATE_LABEL, 1),
            Label::Unlabelled => {
                lately(
                    &mut self.disagreement,
                    f32::from(u8::from(shipped > TRUST_SHIPPED)),
                );
                if let Some(refusal) = self.refusal(shipped, raw, settled) {
                    self.refused += 1;
                    return refusal;
                }
                let (rate, passes) = if settled {
                    (RATE_SETTLED, 1)
                } else {
                    (RATE_ASSUMED, PASSES)
                };
                (false, rate * trust(shipped), passes)
            }
        };
        lately(
            &mut self.cap_nearness,
            ((sum.text + sum.named).abs() / MAX_NATS).min(1.0),
        );
        let calibrates = by_label || !settled;
        if calibrates {
            (if spam { &mut self.spam } else { &mut self.own }).push(raw);
        }
        for _ in 0..passes {
            self.step(shipped, &folded, spam, rate, by_label);
            if !spam {
                self.replay(model, &lesson.sample, rate, by_label);
            }
        }
        *(if by_label {
            &mut self.labelled
        } else {
            &mut self.assumed
        }) += 1;
        if !by_label && self.assumed.is_multiple_of(MEAN_EVERY) {
            self.follow();
        }
        if calibrates && self.learned().is_multiple_of(FIT_EVERY) {
            self.fit(model);
        }
        if by_label {
            LearnOutcome::Labelled
        } else {
            LearnOutcome::Assumed
        }
    }

    /// Moves the mean towards the weights.
    fn follow(&mut self) {
        let step = (MEAN_EVERY as f32 / self.assumed as f32).max(MEAN_STEP);
        self.mean
            .iter_mut()
            .zip(&self.weights)
            .for_each(|(mean, weight)| *mean += step * (weight - *mean));
    }

    /// Enough was offered and learned that the tenant's mail is known.
    const fn is_settled(&self) -> bool {
        self.assumed + self.refused >= SETTLED && self.assumed >= SETTLED_ASSUMED
    }

    /// Why an unlabelled message is not learned.
    fn refusal(&self, shipped: f32, raw: f32, settled: bool) -> Option<LearnOutcome> {
        if shipped
            > if settled {
                TRUST_SETTLED
            } else {
                TRUST_SHIPPED
            }
        {
            Some(LearnOutcome::RefusedByModel)
        } else if settled && self.map.is_unusual(raw) {
            Some(LearnOutcome::RefusedByTail)
        } else {
            None
        }
    }

    fn replay(&mut self, model: &Model, own: &Sample, rate: f32, by_label: bool) {
        let Some(turn) = self.turn.checked_rem(model.prototypes.len() as u64) else {
            return;
        };
        self.turn += 1;
        // The last of every few is kept back.
        let at = if turn as usize % KEPT_BACK == KEPT_BACK - 1 {
            (turn as usize + 1) % model.prototypes.len()
        } else {
            turn as usize
        };
        if let Some(Prototype {
            llr,
            sample: prototype,
        }) = model.prototypes.get(at)
        {
            if !by_label && self.turn.is_multiple_of(PADDED_EVERY) {
                // Only the weights of the padding move: else own words would keep their excuse and
                // only spam would gain weight. A labelled message is not padded, so its words keep
                // what the label says.
                let padded = Padded::new(prototype, own);
                let [whole, padding] = padded.folded(prototype);
                self.step_of(*llr, [&whole, &padding], true, rate, by_label);
            } else {
                self.step(*llr, &FoldedFeatures::new(prototype), true, rate, by_label);
            }
        }
    }

    /// Fits the calibration to what was seen lately.
    fn fit(&mut self, model: &Model) {
        if self.own.len() < FIT_FROM {
            return;
        }
        let kept_back = || {
            let prototypes = model.prototypes.iter();
            prototypes.skip(KEPT_BACK - 1).step_by(KEPT_BACK)
        };
        let missed = kept_back().filter(|p| p.llr < 0.0).count() as f32;
        let missed = missed / kept_back().count().max(1) as f32;
        let kept_back: Vec<f32> = kept_back()
            .map(|p| self.raw(p.llr, &FoldedFeatures::new(&p.sample)))
            .collect();
        self.map = Map::fit(self.own.values(), &kept_back, self.spam.values(), missed);
    }

    /// Lets what was learned fade.
    pub fn fade(&mut self, days: u32) {
        let keep = |share: f32| share.powi(i32::try_from(days).unwrap_or(i32::MAX));
        let left = keep(KEEP_PER_DAY);
        self.weights
            .iter_mut()
            .chain(&mut self.mean)
            .for_each(|w| *w *= left);
        self.squares
            .iter_mut()
            .for_each(|s| *s *= keep(KEEP_SQUARES_PER_DAY));
        // An outbreak ends some day, also if too little mail is sent to show that.
        self.disagreement *= keep(DISAGREEMENT_PER_DAY);
    }
}

/// Moves a running mean, which reaches back [`LATELY`] messages, towards `value`.
fn lately(mean: &mut f32, value: f32) {
    *mean += (value - *mean) / LATELY;
}

/// How much an unlabelled message may teach, 0-1, by what the shipped model alone says of it.
fn trust(shipped: f32) -> f32 {
    1.0 / (1.0 + (TRUST_SLOPE * (shipped - HALF_TRUST)).exp())
}
