//! What a tenant's own mail adds to the model: a small, bounded, decaying delta.

use super::features::Sample;
use super::model::Model;
use super::model::norm;
use super::train::groups;

/// Weights of a delta; hashed features fold into them.
const SLOTS: usize = 1 << 16;
/// A delta's margin on any message stays within ± this, in margin units times the model's slope (nats).
const MAX_NATS: f32 = 6.0;

/// Learned additions to the margin, for one tenant.
#[derive(Debug, Clone)]
pub struct Delta {
    weights: Vec<f32>,
    bias: f32,
    bound: f32,
    learned: u64,
}

/// Where a feature lands in a delta.
#[inline]
const fn slot(index: u32) -> usize {
    // The groups lie apart already; the high bits of a hash are as good as the low ones.
    (index.wrapping_mul(0x9e37_79b1) >> 16) as usize
}

impl Delta {
    /// Nothing learned yet.
    pub fn new(model: &Model) -> Self {
        Self { weights: vec![0.0; SLOTS], bias: 0.0, bound: MAX_NATS / model.slope.max(1e-3), learned: 0 }
    }

    /// Messages learned, replays not counted.
    pub const fn learned(&self) -> u64 {
        self.learned
    }

    /// What is added to the model's margin.
    pub fn margin(&self, words: impl ExactSizeIterator<Item = u32>, pairs: &[u32], grams: &[u32]) -> f32 {
        let sum = |list: &[u32], group| list.iter().map(|i| self.weight(*i)).sum::<f32>() * norm(list.len(), group);
        let n = words.len();
        let words = words.map(|i| self.weight(i)).sum::<f32>() * norm(n, 0);
        let total = self.bias + words + sum(pairs, 1) + sum(grams, 2);
        total.clamp(-self.bound, self.bound)
    }

    #[inline]
    fn weight(&self, index: u32) -> f32 {
        self.weights.get(slot(index)).copied().unwrap_or_default()
    }

    /// The addition for kept features.
    pub fn margin_of(&self, sample: &Sample) -> f32 {
        self.margin(sample.words.iter().copied(), &sample.pairs, &sample.grams)
    }

    /// One bounded step of `rate` towards the label.
    fn step(&mut self, model: &Model, sample: &Sample, spam: bool, rate: f32) {
        let margin = model.margin_of(sample).total() + self.margin_of(sample);
        let probability = 1.0 / (1.0 + (-model.llr(margin)).exp()) as f32;
        let error = probability - if spam { 1.0 } else { 0.0 };
        let step = rate * error;
        for (list, scale) in groups(sample) {
            for index in list {
                if let Some(w) = self.weights.get_mut(slot(*index)) {
                    *w -= step * scale;
                }
            }
        }
        self.bias = (self.bias - 0.05 * step).clamp(-self.bound / 2.0, self.bound / 2.0);
    }
}

/// What is known about a message that is to be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// An admin, a complaint or a decision on held mail says spam.
    Spam,
    /// The same, not spam.
    Ham,
    /// Nobody said anything.
    Unlabelled,
}

/// Nats above which an unlabelled message is not taken for ordinary mail. Asked of the shipped model and of the adapted
/// one: a tenant whose mail was bad from the first day cannot move the first.
const TRUST_SHIPPED: f64 = 0.0;
/// See [`TRUST_SHIPPED`].
const TRUST_ADAPTED: f64 = -0.5;
const RATE_ASSUMED: f32 = 4.0;
const RATE_LABEL: f32 = 12.0;

impl Delta {
    /// Learns one message by its label. Returns whether it was learned.
    pub fn learn(&mut self, model: &Model, sample: &Sample, label: Label) -> bool {
        let shipped = model.margin_of(sample).total();
        let (spam, rate) = match label {
            Label::Spam => (true, RATE_LABEL),
            Label::Ham => (false, RATE_LABEL),
            Label::Unlabelled => {
                let adapted = shipped + self.margin_of(sample);
                if model.llr(shipped) > TRUST_SHIPPED || model.llr(adapted) > TRUST_ADAPTED {
                    return false;
                }
                (false, RATE_ASSUMED)
            }
        };
        self.step(model, sample, spam, rate);
        if !spam && let Some(prototype) = replay(model, self.learned) {
            // Ham alone would teach that everything is ham.
            self.step(model, prototype, true, rate);
        }
        self.learned += 1;
        true
    }
}

fn replay(model: &Model, turn: u64) -> Option<&Sample> {
    let count = model.prototypes.len() as u64;
    turn.checked_rem(count).and_then(|at| model.prototypes.get(at as usize))
}
