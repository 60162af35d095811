//! Training: three unlike opinions on a message, each divided by its own spread and added.
//!
//! The weights set beforehand and boosted trees look at the named features, a regression at the
//! hashed text. Each errs in its own way on mail from elsewhere, so their sum errs less than the best
//! of them. The same corpora, recipe and seed give the same octets.

use super::boosting::{self, Boosting, Example};
use super::corpus::CorpusMessage;
use super::sources::{CorpusOrigin, TeachingWeight};
use super::text;
use crate::score::dense::{self, Direction};
use crate::score::features::Sample;
use crate::score::trees::{self, Tree};
use std::collections::BTreeMap;

/// How a model is trained; written into the manifest.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Recipe {
    /// How much the weights set beforehand count.
    pub priors: f64,
    /// How much the trees count.
    pub trees: f64,
    /// How much the text counts.
    pub text: f64,
    /// Passes over the text of all messages.
    pub passes: u32,
    /// Step of AdaGrad for the text.
    pub rate: f32,
    /// Order of the messages.
    pub seed: u64,
    /// Settings of the boosted trees.
    pub boosting: Boosting,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            priors: 1.0,
            trees: 1.7,
            text: 2.5,
            passes: 2,
            rate: 0.5,
            seed: 20_261_130,
            boosting: Boosting::default(),
        }
    }
}

/// A message to learn from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrainingMessage<'a> {
    /// The message as it was read.
    pub message: &'a CorpusMessage,
    /// How much it counts.
    pub weight: TeachingWeight,
    /// Where it comes from.
    pub origin: CorpusOrigin,
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
        let of = |feature: u8| self.dense.get(usize::from(feature)).copied();
        let named = sample.dense.iter();
        self.bias
            + text::margin(&self.hashed, sample)
            + named
                .map(|(feature, value)| of(*feature).unwrap_or_default() * value)
                .sum::<f32>()
            + answers(&self.trees, sample)
    }
}

/// What some trees answer together.
fn answers(trees: &[Tree], sample: &Sample) -> f32 {
    let row = trees::row(&sample.dense);
    trees.iter().map(|t| t.answer(&row, |_, _| {})).sum()
}

/// `SplitMix64`: a small generator whose stream never changes with a library.
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

/// How much each message counts: both classes alike, and within a class each corpus by the root of
/// its weight, so that the largest does not decide alone.
fn importance(lessons: &[&TrainingMessage<'_>]) -> Vec<f64> {
    let mut masses: BTreeMap<(bool, u8), f64> = BTreeMap::new();
    for lesson in lessons {
        let key = (lesson.message.spam, lesson.message.source);
        *masses.entry(key).or_default() += lesson.weight.named;
    }
    let total = |spam: bool| {
        let of_class = masses.iter().filter(|((class, _), _)| *class == spam);
        of_class.map(|(_, mass)| mass.sqrt()).sum::<f64>()
    };
    let totals = [total(false), total(true)];
    let half = lessons.len() as f64 / 2.0;
    let of = |lesson: &&TrainingMessage<'_>| {
        let spam = lesson.message.spam;
        let mass = masses.get(&(spam, lesson.message.source));
        let mass = mass.copied().unwrap_or(1.0).max(1e-9);
        let total = totals.get(usize::from(spam)).copied().unwrap_or(1.0);
        half * lesson.weight.named / mass.sqrt() / total.max(1e-9)
    };
    lessons.iter().map(of).collect()
}

/// Trains a model on `lessons`.
pub(crate) fn fit(lessons: &[TrainingMessage<'_>], recipe: &Recipe) -> Weights {
    let named: Vec<&TrainingMessage<'_>> =
        lessons.iter().filter(|l| l.weight.named > 0.0).collect();
    let known = priors();
    let received: Vec<&TrainingMessage<'_>> = named
        .iter()
        .filter(|l| l.origin == CorpusOrigin::Received)
        .copied()
        .collect();
    // Half of the trees never saw written mail: what it has in common would be taken for the class.
    let mut trees = grow(&received, recipe);
    trees.extend(grow(&named, recipe));
    let (mut hashed, constant) = text::fit(lessons, recipe);
    let part = |share: f64, of: &dyn Fn(&Sample) -> f64| {
        let margins: Vec<f64> = named.iter().map(|l| of(&l.message.sample)).collect();
        share / deviation(&margins)
    };
    let prior_part = part(recipe.priors, &|s| sum_of(&known, s));
    let tree_part = part(recipe.trees, &|s| f64::from(answers(&trees, s))) as f32;
    let text_part = part(recipe.text, &|s| f64::from(text::margin(&hashed, s))) as f32;
    trees
        .iter_mut()
        .flat_map(|tree| &mut tree.values)
        .for_each(|value| *value *= tree_part);
    hashed.iter_mut().for_each(|weight| *weight *= text_part);
    Weights {
        hashed,
        dense: known.map(|prior| (prior * prior_part) as f32),
        bias: constant * text_part,
        trees,
    }
}

/// Trees over the named features of some messages.
fn grow(lessons: &[&TrainingMessage<'_>], recipe: &Recipe) -> Vec<Tree> {
    let examples: Vec<Example> = lessons
        .iter()
        .zip(importance(lessons))
        .map(|(l, share)| Example {
            row: trees::row(&l.message.sample.dense),
            spam: l.message.spam,
            share,
        })
        .collect();
    boosting::fit(&examples, &recipe.boosting)
}

pub(in crate::lab) fn sum_of(weights: &[f64; dense::COUNT], sample: &Sample) -> f64 {
    let of = |at: u8| weights.get(usize::from(at)).copied().unwrap_or_default();
    let named = sample.dense.iter();
    named.map(|(at, value)| of(*at) * f64::from(*value)).sum()
}

/// Standard deviation of some values.
fn deviation(values: &[f64]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
    (square / n).sqrt().max(1e-6)
}

/// The weights before training.
pub(crate) fn priors() -> [f64; dense::COUNT] {
    std::array::from_fn::<f64, { dense::COUNT }, _>(|at| match dense::ALL.get(at) {
        Some(feature) if feature.direction() == Direction::Spam => f64::from(feature.prior()),
        Some(feature) if feature.direction() == Direction::Ham => -f64::from(feature.prior()),
        _ => 0.0,
    })
}
