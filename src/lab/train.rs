//! Training: four unlike opinions on a message, each divided by its own spread and added.
//!
//! The weights set beforehand, a plain regression and boosted trees look at the named features,
//! another regression at the hashed text. Each errs in its own way on mail from elsewhere, so their
//! sum errs less than the best of them. The same corpora, recipe and seed give the same octets.

use super::boosting::{self, Boosting, Example};
use super::corpus::CorpusMessage;
use super::regression;
use super::sources::Weight;
use crate::score::dense::{self, Direction};
use crate::score::features::Sample;
use crate::score::model::norm;
use crate::score::text::SPACE;
use crate::score::trees::{self, Tree};
use std::collections::BTreeMap;

/// How a model is trained; written into the manifest.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Recipe {
    /// How much the weights set beforehand count.
    pub priors: f64,
    /// How much the regression on named features counts.
    pub regression: f64,
    /// How much the trees count.
    pub trees: f64,
    /// How much the text counts.
    pub text: f64,
    /// Penalty of the regression.
    pub penalty: f64,
    /// Passes over the text of all messages.
    pub passes: u32,
    /// Step of AdaGrad for the text.
    pub rate: f32,
    /// Order of the messages.
    pub seed: u64,
    /// Settings of the boosted trees.
    pub boosting: Boosting,
    pub bags: usize,
    pub agree: f32,
    pub named_bags: usize,
    pub text_power: f64,
    pub split: bool,
    pub floor: f32,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            priors: 1.0,
            regression: 1.0,
            trees: 1.0,
            text: 1.5,
            penalty: 1.0,
            passes: 2,
            rate: 0.5,
            seed: 20_261_130,
            boosting: Boosting::default(),
            bags: 1,
            agree: 0.0,
            named_bags: 1,
            text_power: 1.0,
            split: false,
            floor: 15.0,
        }
    }
}

/// A message to learn from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lesson<'a> {
    /// The message.
    pub message: &'a CorpusMessage,
    /// How much it counts.
    pub weight: Weight,
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
            + text_margin(&self.hashed, sample)
            + named
                .map(|(feature, value)| of(*feature).unwrap_or_default() * value)
                .sum::<f32>()
            + answers(&self.trees, sample)
    }
}

/// What trees answer.
fn answers(trees: &[Tree], sample: &Sample) -> f32 {
    let row = trees::row(&sample.dense);
    trees.iter().map(|t| t.answer(&row, |_, _| {})).sum()
}

/// The hashed features of a message.
fn hashed(sample: &Sample) -> impl Iterator<Item = usize> {
    let lists = [&sample.words, &sample.pairs, &sample.grams];
    lists.into_iter().flatten().map(|index| *index as usize)
}

/// How many hashed features a message has.
fn count(sample: &Sample) -> usize {
    sample.words.len() + sample.pairs.len() + sample.grams.len()
}

fn in_group(sample: &Sample, group: usize) -> impl Iterator<Item = usize> {
    let lists: [&[u32]; 3] = match group {
        0 => [&sample.words, &sample.pairs, &sample.grams],
        1 => [&sample.words, &sample.pairs, &[]],
        _ => [&[], &[], &sample.grams],
    };
    lists.into_iter().flatten().map(|index| *index as usize)
}

fn group_margin(weights: &[f32], sample: &Sample, group: usize) -> f32 {
    let sum: f32 = in_group(sample, group)
        .filter_map(|index| weights.get(index))
        .sum();
    sum * norm(count(sample))
}

/// What hashed text says.
fn text_margin(weights: &[f32], sample: &Sample) -> f32 {
    let sum: f32 = hashed(sample).filter_map(|index| weights.get(index)).sum();
    sum * norm(count(sample))
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

/// How much each message counts: both classes alike, and within a class each corpus by its weight to
/// a power. At 1 every message counts alike; at a half the largest corpus does not decide alone.
fn importance(lessons: &[Lesson<'_>], power: f64) -> Vec<f64> {
    let mut masses: BTreeMap<(bool, u8), f64> = BTreeMap::new();
    for lesson in lessons {
        let key = (lesson.message.spam, lesson.message.source);
        *masses.entry(key).or_default() += lesson.weight.named;
    }
    let total = |spam: bool| {
        let of_class = masses.iter().filter(|((class, _), _)| *class == spam);
        of_class.map(|(_, mass)| mass.powf(power)).sum::<f64>()
    };
    let totals = [total(false), total(true)];
    let half = lessons.len() as f64 / 2.0;
    let of = |lesson: &Lesson<'_>| {
        let spam = lesson.message.spam;
        let mass = masses.get(&(spam, lesson.message.source));
        let mass = mass.copied().unwrap_or(1.0).max(1e-9);
        let total = totals.get(usize::from(spam)).copied().unwrap_or(1.0);
        half * lesson.weight.named * mass.powf(power) / total.max(1e-9) / mass
    };
    lessons.iter().map(of).collect()
}

/// Trains on `lessons`.
pub(crate) fn fit(lessons: &[Lesson<'_>], recipe: &Recipe) -> Weights {
    let named: Vec<Lesson<'_>> = lessons
        .iter()
        .filter(|l| l.weight.named > 0.0)
        .copied()
        .collect();
    let known = priors();
    let mut lines = Vec::new();
    let mut trees = Vec::new();
    for bag in 0..recipe.named_bags {
        let named = in_bag(&named, bag, recipe.named_bags);
        let rows: Vec<regression::Row<'_>> = named
            .iter()
            .zip(importance(&named, 1.0))
            .map(|(l, share)| (l.message.sample.dense.as_slice(), l.message.spam, share))
            .collect();
        lines.push(regression::fit(&rows, recipe.penalty));
        let examples: Vec<Example> = named
            .iter()
            .zip(importance(&named, 0.5))
            .map(|(l, share)| Example {
                row: trees::row(&l.message.sample.dense),
                spam: l.message.spam,
                share,
            })
            .collect();
        let boosting = Boosting {
            trees: recipe.boosting.trees / recipe.named_bags as u32,
            ..recipe.boosting
        };
        trees.extend(boosting::fit(&examples, &boosting));
    }
    let mut line = regression::Line {
        weights: [0.0; dense::COUNT],
        constant: 0.0,
    };
    for l in &lines {
        let n = lines.len() as f64;
        for (w, x) in line.weights.iter_mut().zip(l.weights) {
            *w += x / n;
        }
        line.constant += l.constant / n;
    }
    let (mut hashed, mut bias) = (vec![0.0_f32; SPACE], 0.0);
    let groups: &[usize] = if recipe.split { &[1, 2] } else { &[0] };
    for group in groups {
        let (mut hashed_g, mut bias_g) = (vec![0.0_f32; SPACE], 0.0);
        let mut signs = vec![0_i8; SPACE];
        for bag in 0..recipe.bags {
            let lessons = in_bag(lessons, bag, recipe.bags);
            let (w, b) = fit_text(&lessons, recipe, *group);
            bias_g += b / recipe.bags as f32;
            for ((h, x), s) in hashed_g.iter_mut().zip(w).zip(&mut signs) {
                *h += x / recipe.bags as f32;
                *s += if x > 0.0 {
                    1
                } else if x < 0.0 {
                    -1
                } else {
                    0
                };
            }
        }
        if recipe.agree > 0.0 {
            for (h, s) in hashed_g.iter_mut().zip(signs) {
                if (f32::from(s) * h.signum()) < recipe.agree * recipe.bags as f32 {
                    *h = 0.0;
                }
            }
        }
        let d: Vec<f64> = named
            .iter()
            .map(|l| f64::from(group_margin(&hashed_g, &l.message.sample, *group)))
            .collect();
        let d = deviation(&d) as f32;
        hashed
            .iter_mut()
            .zip(hashed_g)
            .for_each(|(h, g)| *h += g / d);
        bias += bias_g / d;
    }
    let part = |share: f64, of: &dyn Fn(&Sample) -> f64| {
        let margins: Vec<f64> = named.iter().map(|l| of(&l.message.sample)).collect();
        share / deviation(&margins)
    };
    let prior_part = part(recipe.priors, &|s| sum_of(&known, s));
    let line_part = part(recipe.regression, &|s| line.margin(&s.dense));
    let tree_part = part(recipe.trees, &|s| f64::from(answers(&trees, s))) as f32;
    let text_part = part(recipe.text, &|s| f64::from(text_margin(&hashed, s))) as f32;
    trees
        .iter_mut()
        .flat_map(|tree| &mut tree.values)
        .for_each(|value| *value *= tree_part);
    hashed.iter_mut().for_each(|weight| *weight *= text_part);
    bias = bias * text_part + (line.constant * line_part) as f32;
    let mut dense = [0.0; dense::COUNT];
    for ((weight, prior), learned) in dense.iter_mut().zip(known).zip(line.weights) {
        *weight = (prior * prior_part + learned * line_part) as f32;
    }
    Weights {
        hashed,
        dense,
        bias,
        trees,
    }
}

pub(in crate::lab) fn sum_of(weights: &[f64; dense::COUNT], sample: &Sample) -> f64 {
    let of = |at: u8| weights.get(usize::from(at)).copied().unwrap_or_default();
    let named = sample.dense.iter();
    named.map(|(at, value)| of(*at) * f64::from(*value)).sum()
}

fn in_bag<'a>(lessons: &[Lesson<'a>], bag: usize, bags: usize) -> Vec<Lesson<'a>> {
    if bags < 2 {
        return lessons.to_vec();
    }
    let mut sources: Vec<(bool, u8)> = lessons
        .iter()
        .map(|l| (l.message.spam, l.message.source))
        .collect();
    sources.sort_unstable();
    sources.dedup();
    lessons
        .iter()
        .filter(|l| {
            sources
                .iter()
                .position(|s| *s == (l.message.spam, l.message.source))
                .unwrap()
                % bags
                != bag
        })
        .copied()
        .collect()
}

/// Standard deviation.
fn deviation(values: &[f64]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
    (square / n).sqrt().max(1e-6)
}

/// Logistic regression on hashed text by AdaGrad (Duchi, Hazan, Singer 2011): weights and constant.
/// There is no shrinkage, no balance of classes and no least number of messages: each of them
/// costs on mail from elsewhere.
fn fit_text(lessons: &[Lesson<'_>], recipe: &Recipe, group: usize) -> (Vec<f32>, f32) {
    let (mut weights, mut squares) = (vec![0.0_f32; SPACE], vec![0.0_f32; SPACE]);
    let mut bias = 0.0_f32;
    let balanced: Vec<Lesson<'_>>;
    let lessons = if recipe.text_power < 1.0 {
        let mut masses: BTreeMap<(bool, u8), f64> = BTreeMap::new();
        for l in lessons {
            *masses
                .entry((l.message.spam, l.message.source))
                .or_default() += l.weight.text;
        }
        let most = masses.values().copied().fold(0.0, f64::max);
        balanced = lessons
            .iter()
            .map(|l| {
                let m = masses[&(l.message.spam, l.message.source)];
                let mut l = *l;
                l.weight.text *= (m / most).powf(recipe.text_power - 1.0).min(4.0);
                l
            })
            .collect();
        &balanced
    } else {
        lessons
    };
    let mut order: Vec<&Lesson<'_>> = lessons.iter().filter(|l| l.weight.text > 0.0).collect();
    let mut dice = Dice::new(recipe.seed);
    for _ in 0..recipe.passes {
        dice.shuffle(&mut order);
        for lesson in &order {
            let sample = &lesson.message.sample;
            let target = if lesson.message.spam { 1.0 } else { 0.0 };
            let margin = bias + group_margin(&weights, sample, group);
            let error = (sigmoid(margin) - target) * lesson.weight.text as f32;
            bias -= 0.01 * error;
            let slope = error * norm(count(sample));
            for index in in_group(sample, group) {
                if let (Some(weight), Some(square)) =
                    (weights.get_mut(index), squares.get_mut(index))
                {
                    *square += slope * slope;
                    *weight -= recipe.rate * slope / (square.sqrt() + 1e-4);
                }
            }
        }
    }
    (weights, bias)
}

/// The weights before training.
pub(crate) fn priors() -> [f64; dense::COUNT] {
    std::array::from_fn::<f64, { dense::COUNT }, _>(|at| match dense::ALL.get(at) {
        Some(feature) if feature.direction() == Direction::Spam => f64::from(feature.prior()),
        Some(feature) if feature.direction() == Direction::Ham => -f64::from(feature.prior()),
        _ => 0.0,
    })
}

/// The logistic function, from log odds to a probability.
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
