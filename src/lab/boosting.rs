//! Growing the boosted trees of the second opinion (Friedman 2001; histogram splits and second-order
//! leaves as usual since).

use super::train::Dice;
use crate::score::dense::{self, Direction};
use crate::score::trees::{DEPTH, FeatureRow, NODES, Split, Tree};

/// The settings that the trees are grown by; written into the manifest of the model.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Boosting {
    /// How many trees are grown, one after the other.
    pub trees: u32,
    /// Share of each tree's answer that is taken.
    pub rate: f32,
    /// Added to the curvature of every leaf.
    pub lambda: f32,
    /// Least weight of messages in a leaf.
    pub min_weight: f32,
    /// Of 16 features, so many may be asked by a tree.
    pub features_of_16: u64,
    /// Of 16 messages, so many are shown to a tree.
    pub messages_of_16: u64,
    /// Share of the trees' opinion that joins the whole: they know the training corpora better than
    /// they should.
    pub share: f32,
}

impl Default for Boosting {
    fn default() -> Self {
        Self {
            trees: 60,
            rate: 0.1,
            lambda: 50.0,
            min_weight: 100.0,
            features_of_16: 5,
            messages_of_16: 10,
            share: 0.2,
        }
    }
}

/// One message to learn from.
#[derive(Debug, Clone)]
pub(crate) struct Example {
    /// Its named features, each quantised to an octet.
    pub row: FeatureRow,
    /// Whether it is spam.
    pub spam: bool,
    /// How much it counts.
    pub share: f32,
    /// The margin that others give it: trees learn what is missing.
    pub margin: f32,
}

const BINS: usize = 16;

#[inline]
const fn bin(value: u8) -> usize {
    // Zero stands alone: most features are absent from most messages.
    if value == 0 {
        0
    } else {
        1 + (value as usize * (BINS - 1)) / 256
    }
}

/// The largest value that falls into a bin.
const fn top_of(bin: usize) -> u8 {
    if bin == 0 {
        0
    } else {
        ((bin * 256 - 1) / (BINS - 1)) as u8
    }
}

/// Slope and curvature of the loss.
type LossSums = [f32; 2];

/// A node while its tree grows.
#[derive(Clone, Copy)]
struct Growing {
    sums: LossSums,
    /// Answers allowed here by questions above about features of one direction.
    bounds: [f32; 2],
}

/// Grows the trees one after the other, each on what the ones before it leave wrong.
pub(crate) fn fit(examples: &[Example], boosting: &Boosting, seed: u64) -> Vec<Tree> {
    let mut margins: Vec<f32> = examples.iter().map(|e| e.margin).collect();
    let mut dice = Dice::new(seed ^ 0x7265_6573);
    let mut trees = Vec::new();
    for _ in 0..boosting.trees {
        let learned = (0_u8..)
            .zip(dense::ALL)
            .filter(|(_, feature)| feature.is_learned())
            .map(|(at, _)| at);
        let features: Vec<u8> = learned
            .filter(|_| dice.roll() % 16 < boosting.features_of_16)
            .collect();
        let shown: Vec<usize> = (0..examples.len())
            .filter(|_| dice.roll() % 16 < boosting.messages_of_16)
            .collect();
        let tree = grow(examples, &margins, &shown, &features, boosting);
        for (margin, example) in margins.iter_mut().zip(examples) {
            *margin += tree.answer(&example.row, |_, _| {});
        }
        trees.push(tree);
    }
    for value in trees.iter_mut().flat_map(|tree| &mut tree.values) {
        *value *= boosting.share;
    }
    trees
}

#[expect(
    clippy::indexing_slicing,
    reason = "places in a heap of fixed size, counted from its own levels"
)]
fn grow(
    examples: &[Example],
    margins: &[f32],
    shown: &[usize],
    features: &[u8],
    boosting: &Boosting,
) -> Tree {
    let mut tree = Tree::default();
    let slopes = slopes(examples, margins, shown);
    let mut nodes = [Growing {
        sums: [0.0; 2],
        bounds: [f32::NEG_INFINITY, f32::INFINITY],
    }; NODES];
    let total = slopes.iter().fold([0.0; 2], |t, s| add(t, *s));
    let value_of =
        |n: &Growing| (-n.sums[0] / (n.sums[1] + boosting.lambda)).clamp(n.bounds[0], n.bounds[1]);
    nodes[0].sums = total;
    tree.values[0] = value_of(&nodes[0]);
    let mut places = vec![0_usize; shown.len()];
    for level in 0..DEPTH {
        let first = (1 << level) - 1;
        let width = 1 << level;
        let histogram = histograms(examples, shown, &places, &slopes, features, first, width);
        for slot in 0..width {
            let at = first + slot;
            let node = nodes[at];
            let best = best_split(&histogram, features, slot, width, &node, boosting);
            let [low, high] = [2 * at + 1, 2 * at + 2];
            match best {
                Some(found) => {
                    tree.splits[at] = found.split;
                    [nodes[low], nodes[high]] = children(&node, &found, value_of);
                }
                None => (nodes[low], nodes[high]) = (node, node),
            }
            for child in [low, high] {
                tree.values[child] = value_of(&nodes[child]);
            }
        }
        for (place, at) in places.iter_mut().zip(shown) {
            let split = tree.splits[*place];
            let above = examples.get(*at).is_some_and(|e| {
                e.row
                    .get(usize::from(split.feature))
                    .is_some_and(|v| *v > split.threshold)
            });
            *place = 2 * *place + 1 + usize::from(above);
        }
    }
    for value in &mut tree.values {
        *value *= boosting.rate;
    }
    tree
}

/// Slope and curvature of the loss at each message shown.
fn slopes(examples: &[Example], margins: &[f32], shown: &[usize]) -> Vec<LossSums> {
    let of = |at: &usize| match (examples.get(*at), margins.get(*at)) {
        (Some(e), Some(margin)) => {
            let p = 1.0 / (1.0 + (-margin).exp());
            [
                (p - if e.spam { 1.0 } else { 0.0 }) * e.share,
                (p * (1.0 - p)).max(1e-4) * e.share,
            ]
        }
        _ => [0.0; 2],
    };
    shown.iter().map(of).collect()
}

/// The two nodes below a split. A feature that may speak in one direction only bounds the answers
/// on both sides.
fn children(node: &Growing, found: &Found, value_of: impl Fn(&Growing) -> f32) -> [Growing; 2] {
    let child = |sums| Growing {
        sums,
        bounds: node.bounds,
    };
    let [mut low, mut high] = [child(found.low), child(found.high)];
    let middle = (value_of(&low) + value_of(&high)) / 2.0;
    match dense::ALL
        .get(usize::from(found.split.feature))
        .map(|d| d.direction())
    {
        Some(Direction::Spam) => (low.bounds[1], high.bounds[0]) = (middle, middle),
        Some(Direction::Ham) => (low.bounds[0], high.bounds[1]) = (middle, middle),
        _ => {}
    }
    [low, high]
}

fn add(a: LossSums, b: LossSums) -> LossSums {
    [a[0] + b[0], a[1] + b[1]]
}

/// Sums per node of a level, feature and bin.
fn histograms(
    examples: &[Example],
    shown: &[usize],
    places: &[usize],
    slopes: &[LossSums],
    features: &[u8],
    first: usize,
    width: usize,
) -> Vec<LossSums> {
    let mut out = vec![[0.0; 2]; width * features.len() * BINS];
    for ((at, place), slope) in shown.iter().zip(places).zip(slopes) {
        let Some(example) = examples.get(*at) else {
            continue;
        };
        let base = (place - first) * features.len() * BINS;
        for (n, feature) in features.iter().enumerate() {
            let value = example
                .row
                .get(usize::from(*feature))
                .copied()
                .unwrap_or_default();
            if let Some(sums) = out.get_mut(base + n * BINS + bin(value)) {
                *sums = add(*sums, *slope);
            }
        }
    }
    out
}

struct Found {
    split: Split,
    gain: f32,
    low: LossSums,
    high: LossSums,
}

fn best_split(
    histogram: &[LossSums],
    features: &[u8],
    slot: usize,
    width: usize,
    node: &Growing,
    boosting: &Boosting,
) -> Option<Found> {
    debug_assert!(slot < width);
    let score = |s: LossSums| s[0] * s[0] / (s[1] + boosting.lambda);
    let answer = |s: LossSums| -s[0] / (s[1] + boosting.lambda);
    let whole = score(node.sums);
    let mut best: Option<Found> = None;
    for (n, feature) in features.iter().enumerate() {
        let at = (slot * features.len() + n) * BINS;
        let bins = histogram.get(at..at + BINS)?;
        let direction = dense::ALL.get(usize::from(*feature))?.direction();
        let mut low = [0.0; 2];
        for (b, sums) in bins.iter().enumerate().take(BINS - 1) {
            low = add(low, *sums);
            let high = [node.sums[0] - low[0], node.sums[1] - low[1]];
            if low[1] < boosting.min_weight * 0.25 || high[1] < boosting.min_weight * 0.25 {
                continue;
            }
            let (below, above) = (answer(low), answer(high));
            let allowed = match direction {
                Direction::Spam => above >= below,
                Direction::Ham => above <= below,
                Direction::Context => true,
            };
            let gain = score(low) + score(high) - whole;
            if allowed && gain > best.as_ref().map_or(1e-3, |f| f.gain) {
                best = Some(Found {
                    split: Split {
                        feature: *feature,
                        threshold: top_of(b),
                    },
                    gain,
                    low,
                    high,
                });
            }
        }
    }
    best
}
