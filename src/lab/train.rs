//! Training: logistic regression by AdaGrad on length-normalised binary features, another on the
//! named ones that begins at what is known of them, and boosted trees.
//!
//! The same corpora, recipe and seed give the same octets. Nothing here runs in parallel or asks
//! the clock.

use super::corpus::CorpusMessage;
use crate::lab::boosting::{self, Boosting, Example};
use crate::score::dense::{self, Direction};
use crate::score::features::Sample;
use crate::score::model::norm;
use crate::score::text::SPACE;
use crate::score::trees::{self, Tree};

/// The knobs, written into the manifest.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Recipe {
    /// Passes over the data.
    pub epochs: u32,
    /// Step of AdaGrad for hashed features.
    pub rate: f32,
    /// Step for named features.
    pub named_rate: f32,
    /// How strongly named weights are held to what was known before.
    pub hold: f32,
    /// Shrinking of every touched hashed weight per step, against the step.
    pub shrink: f32,
    /// Share of the hashed text's own margin that joins the whole.
    pub text_share: f32,
    /// Messages a hashed feature must occur in.
    pub min_messages: u16,
    /// Corpora a hashed feature must occur in.
    pub min_sources: u32,
    /// Order of the messages.
    pub seed: u64,
    /// Settings of the boosted trees.
    pub boosting: Boosting,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            epochs: 4,
            rate: 0.3,
            named_rate: 0.01,
            hold: 0.2,
            shrink: 5e-2,
            text_share: 0.1,
            min_messages: 4,
            min_sources: 2,
            seed: 20_261_122,
            boosting: Boosting::default(),
        }
    }
}

/// What training yields, before it is quantised for the model file.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    /// A weight for each hashed feature.
    pub hashed: Vec<f32>,
    /// A weight for each named feature.
    pub dense: [f32; dense::COUNT],
    /// Added to the margin of every message.
    pub bias: f32,
    /// Boosted trees over the named features; their answers join the margin.
    pub trees: Vec<Tree>,
}

impl Weights {
    /// The margin of a message.
    pub(crate) fn margin(&self, sample: &Sample) -> f32 {
        let row = trees::row(&sample.dense);
        self.text(sample)
            + self.named(sample)
            + self
                .trees
                .iter()
                .map(|t| t.answer(&row, |_, _| {}))
                .sum::<f32>()
    }

    /// What hashed text says.
    fn text(&self, sample: &Sample) -> f32 {
        groups(sample)
            .into_iter()
            .map(|(list, scale)| scale * self.sum(list))
            .sum()
    }

    /// What named features say, bias included.
    fn named(&self, sample: &Sample) -> f32 {
        let of = |feature: u8| {
            self.dense
                .get(usize::from(feature))
                .copied()
                .unwrap_or_default()
        };
        self.bias
            + sample
                .dense
                .iter()
                .map(|(feature, value)| of(*feature) * value)
                .sum::<f32>()
    }

    fn sum(&self, list: &[u32]) -> f32 {
        list.iter()
            .map(|i| self.hashed.get(*i as usize).copied().unwrap_or_default())
            .sum()
    }
}

/// The three hashed groups with their normalisation.
pub(crate) fn groups(sample: &Sample) -> [(&[u32], f32); 3] {
    [
        (&sample.words, norm(sample.words.len(), 0)),
        (&sample.pairs, norm(sample.pairs.len(), 1)),
        (&sample.grams, norm(sample.grams.len(), 2)),
    ]
}

/// SplitMix64: a small generator whose stream never changes with a library.
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice that roll the same for the same seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub(crate) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Puts a list in random order (Fisher and Yates 1938).
    pub(in crate::lab) fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, (self.roll() % (i as u64 + 1)) as usize);
        }
    }
}

/// How much each message counts: both classes alike, and within a class each corpus by the square
/// root of its size, so that neither the largest decides alone nor the smallest shouts.
pub(in crate::lab) fn importance(items: &[&CorpusMessage]) -> Vec<f32> {
    let mut counts = vec![[0_f32; 2]; 256];
    for item in items {
        if let Some(slot) = counts
            .get_mut(usize::from(item.source))
            .and_then(|c| c.get_mut(usize::from(item.spam)))
        {
            *slot += 1.0;
        }
    }
    let count = |source: u8, spam: bool| {
        counts
            .get(usize::from(source))
            .and_then(|c| c.get(usize::from(spam)))
            .copied()
            .unwrap_or_default()
    };
    let total = |spam: bool| (0..=255).map(|s| count(s, spam).sqrt()).sum::<f32>();
    let totals = [total(false), total(true)];
    let half = items.len() as f32 / 2.0;
    items
        .iter()
        .map(|i| {
            half / totals
                .get(usize::from(i.spam))
                .copied()
                .unwrap_or(1.0)
                .max(1e-6)
                / count(i.source, i.spam).max(1.0).sqrt()
        })
        .collect()
}

/// Hashed features worth a weight: seen often enough and in enough corpora.
fn supported(items: &[&CorpusMessage], recipe: &Recipe) -> Vec<bool> {
    let (mut messages, mut sources) = (vec![0_u16; SPACE], vec![0_u32; SPACE]);
    for item in items {
        for index in groups(&item.sample).into_iter().flat_map(|(list, _)| list) {
            if let (Some(m), Some(s)) = (
                messages.get_mut(*index as usize),
                sources.get_mut(*index as usize),
            ) {
                *m = m.saturating_add(1);
                *s |= 1 << (item.source % 32);
            }
        }
    }
    messages
        .iter()
        .zip(&sources)
        .map(|(m, s)| *m >= recipe.min_messages && s.count_ones() >= recipe.min_sources)
        .collect()
}

/// Trains on `items`. Hashed text and named features learn apart: together, the words of a corpus
/// would explain away what holds everywhere. The trees then learn what the named weights miss.
pub(crate) fn fit(items: &[&CorpusMessage], recipe: &Recipe) -> Weights {
    let keep = supported(items, recipe);
    let importance = importance(items);
    let known = priors();
    let mut weights = Weights {
        hashed: vec![0.0; SPACE],
        dense: known,
        bias: 0.0,
        trees: Vec::new(),
    };
    let mut squares = vec![0.0_f32; SPACE];
    let mut named_squares = [0.0_f32; dense::COUNT];
    let mut order: Vec<usize> = (0..items.len()).collect();
    let mut dice = Dice::new(recipe.seed);
    for _ in 0..recipe.epochs {
        dice.shuffle(&mut order);
        for &at in &order {
            let (Some(item), Some(share)) = (items.get(at), importance.get(at)) else {
                continue;
            };
            let target = if item.spam { 1.0 } else { 0.0 };
            let error = |margin: f32| (sigmoid(margin) - target) * share;
            let text_error = error(weights.text(&item.sample));
            for (list, scale) in groups(&item.sample) {
                for index in list
                    .iter()
                    .map(|i| *i as usize)
                    .filter(|i| keep.get(*i).copied().unwrap_or(false))
                {
                    if let (Some(w), Some(s)) =
                        (weights.hashed.get_mut(index), squares.get_mut(index))
                    {
                        let slope = text_error * scale + recipe.shrink * *w * share.min(1.0);
                        *s += slope * slope;
                        *w -= recipe.rate * slope / (s.sqrt() + 1e-4);
                    }
                }
            }
            let named_error = error(weights.named(&item.sample));
            step_named(
                &mut weights,
                &mut named_squares,
                &known,
                item,
                named_error,
                *share,
                recipe,
            );
            weights.bias -= 0.002 * named_error;
        }
    }
    for weight in &mut weights.hashed {
        *weight *= recipe.text_share;
    }
    let examples: Vec<Example> = items
        .iter()
        .zip(&importance)
        .map(|(i, share)| Example {
            row: trees::row(&i.sample.dense),
            spam: i.spam,
            share: *share,
            margin: weights.named(&i.sample),
        })
        .collect();
    weights.trees = boosting::fit(&examples, &recipe.boosting, recipe.seed);
    weights
}

/// The weights before training.
fn priors() -> [f32; dense::COUNT] {
    std::array::from_fn::<f32, { dense::COUNT }, _>(|at| match dense::ALL.get(at) {
        Some(feature) if feature.direction() == Direction::Spam => feature.prior(),
        Some(feature) if feature.direction() == Direction::Ham => -feature.prior(),
        _ => 0.0,
    })
}

fn step_named(
    weights: &mut Weights,
    squares: &mut [f32; dense::COUNT],
    priors: &[f32; dense::COUNT],
    item: &CorpusMessage,
    error: f32,
    share: f32,
    recipe: &Recipe,
) {
    for (feature, value) in &item.sample.dense {
        let at = usize::from(*feature);
        let (Some(w), Some(s), Some(name), Some(prior)) = (
            weights.dense.get_mut(at),
            squares.get_mut(at),
            dense::ALL.get(at),
            priors.get(at),
        ) else {
            continue;
        };
        let slope = error * value + recipe.hold * (*w - prior) * share;
        *s += slope * slope;
        *w -= recipe.named_rate * slope / (s.sqrt() + 1e-1);
        *w = match name.direction() {
            Direction::Spam => w.clamp(0.0, MAX_NAMED),
            Direction::Ham => w.clamp(-MAX_NAMED, 0.0),
            Direction::Context => 0.0,
        };
    }
}

/// No named feature alone may decide: each is easily imitated or met by accident.
const MAX_NAMED: f32 = 3.0;

/// The logistic function, from log odds to a probability.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
