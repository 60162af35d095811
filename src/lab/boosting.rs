//! Growing boosted trees over the named features (Friedman 2001; histogram splits and second-order
//! leaves as usual since).

use crate::score::dense::{self, Direction};
use crate::score::trees::{DEPTH, FeatureRow, NODES, Split, Tree};

/// The settings that the trees are grown by; written into the manifest of the model.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Boosting {
    /// How many trees are grown, one after the other.
    pub trees: u32,
    /// Share of each tree's answer that is taken.
    pub rate: f64,
    /// Added to the curvature of every leaf.
    pub lambda: f64,
    /// Fewest messages in a leaf.
    pub least_messages: f64,
}

impl Default for Boosting {
    fn default() -> Self {
        Self {
            trees: 200,
            rate: 0.3,
            lambda: 5.0,
            least_messages: 20.0,
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
    pub share: f64,
}

/// Bins of a value.
const BINS: usize = 32;

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

/// Slope and curvature of the loss, and how many messages.
type LossSums = [f64; 3];

/// A node while its tree grows.
#[derive(Clone, Copy)]
struct Growing {
    sums: LossSums,
    /// Answers allowed here by questions above about features of one direction.
    bounds: [f64; 2],
}

/// Messages in the form that trees are grown from.
struct Grown<'a> {
    examples: &'a [Example],
    /// The features of each message that are not zero, with the bin of their value.
    present: Vec<Vec<(u8, u8)>>,
    /// Slope and curvature of the loss at each message.
    slopes: Vec<LossSums>,
    boosting: &'a Boosting,
}

/// Grows the trees one after the other, each on what the ones before it leave wrong.
pub(crate) fn fit(examples: &[Example], boosting: &Boosting) -> Vec<Tree> {
    let mut margins = vec![0.0; examples.len()];
    let mut grown = Grown {
        examples,
        present: examples.iter().map(present).collect(),
        slopes: Vec::new(),
        boosting,
    };
    let mut trees = Vec::new();
    for _ in 0..boosting.trees {
        grown.slopes = slopes(examples, &margins);
        let tree = grown.grow();
        for (margin, example) in margins.iter_mut().zip(examples) {
            *margin += f64::from(tree.answer(&example.row, |_, _| {}));
        }
        trees.push(tree);
    }
    trees
}

/// The features of a message that may be asked for and are not zero.
fn present(example: &Example) -> Vec<(u8, u8)> {
    (0_u8..)
        .zip(dense::ALL)
        .zip(example.row)
        .filter(|((_, feature), value)| feature.is_learned() && *value > 0)
        .map(|((at, _), value)| (at, bin(value) as u8))
        .collect()
}

/// Slope and curvature of the loss at each message.
fn slopes(examples: &[Example], margins: &[f64]) -> Vec<LossSums> {
    examples
        .iter()
        .zip(margins)
        .map(|(e, margin)| {
            let p = 1.0 / (1.0 + (-margin).exp());
            let truth = if e.spam { 1.0 } else { 0.0 };
            [
                (p - truth) * e.share,
                (p * (1.0 - p)).max(1e-6) * e.share,
                1.0,
            ]
        })
        .collect()
}

impl Grown<'_> {
    #[expect(
        clippy::indexing_slicing,
        reason = "places in a heap of fixed size, counted from its own levels"
    )]
    fn grow(&self) -> Tree {
        let mut tree = Tree::default();
        let mut nodes = [Growing {
            sums: [0.0; 3],
            bounds: [f64::NEG_INFINITY, f64::INFINITY],
        }; NODES];
        let mut answers = [0.0; NODES];
        nodes[0].sums = self.slopes.iter().fold([0.0; 3], |t, s| add(t, *s));
        answers[0] = self.answer(&nodes[0]);
        let mut places = vec![0_usize; self.examples.len()];
        for level in 0..DEPTH {
            let first = (1 << level) - 1;
            let width = 1 << level;
            let histogram = self.histogram(&places, first, width);
            for slot in 0..width {
                let at = first + slot;
                let [low, high] = [2 * at + 1, 2 * at + 2];
                match self.best_split(&histogram, slot, &nodes[at]) {
                    Some(found) => {
                        tree.splits[at] = found.split;
                        [nodes[low], nodes[high]] = self.children(&nodes[at], &found);
                    }
                    None => (nodes[low], nodes[high]) = (nodes[at], nodes[at]),
                }
                for child in [low, high] {
                    answers[child] = self.answer(&nodes[child]);
                }
            }
            for (place, example) in places.iter_mut().zip(self.examples) {
                let split = tree.splits[*place];
                let above = example.row[usize::from(split.feature)] > split.threshold;
                *place = 2 * *place + 1 + usize::from(above);
            }
        }
        tree.values = answers.map(|answer| (answer * self.boosting.rate) as f32);
        tree
    }

    fn answer(&self, node: &Growing) -> f64 {
        let [slope, curvature, _] = node.sums;
        (-slope / (curvature + self.boosting.lambda)).clamp(node.bounds[0], node.bounds[1])
    }

    /// The two nodes below a split. A feature that may speak in one direction only bounds the
    /// answers on both sides.
    fn children(&self, node: &Growing, found: &Found) -> [Growing; 2] {
        let child = |sums| Growing {
            sums,
            bounds: node.bounds,
        };
        let [mut low, mut high] = [child(found.low), child(found.high)];
        let middle = f64::midpoint(self.answer(&low), self.answer(&high));
        match direction(found.split.feature) {
            Direction::Spam => (low.bounds[1], high.bounds[0]) = (middle, middle),
            Direction::Ham => (low.bounds[0], high.bounds[1]) = (middle, middle),
            Direction::Context => {}
        }
        [low, high]
    }

    /// Sums per node of a level, feature and bin. Bin 0 is what the others leave of the node.
    fn histogram(&self, places: &[usize], first: usize, width: usize) -> Vec<LossSums> {
        let mut out = vec![[0.0; 3]; width * dense::COUNT * BINS];
        for ((present, place), slope) in self.present.iter().zip(places).zip(&self.slopes) {
            let base = (place - first) * dense::COUNT * BINS;
            for (feature, bin) in present {
                if let Some(sums) =
                    out.get_mut(base + usize::from(*feature) * BINS + usize::from(*bin))
                {
                    *sums = add(*sums, *slope);
                }
            }
        }
        out
    }

    fn best_split(&self, histogram: &[LossSums], slot: usize, node: &Growing) -> Option<Found> {
        let lambda = self.boosting.lambda;
        let score = |s: LossSums| s[0] * s[0] / (s[1] + lambda);
        let answer = |s: LossSums| -s[0] / (s[1] + lambda);
        let whole = score(node.sums);
        let mut best: Option<Found> = None;
        for (number, feature) in (0_u8..).zip(dense::ALL).filter(|(_, f)| f.is_learned()) {
            let at = (slot * dense::COUNT + usize::from(number)) * BINS;
            let bins = histogram.get(at + 1..at + BINS)?;
            let mut high = bins.iter().fold([0.0; 3], |t, s| add(t, *s));
            // The threshold lies above bin b.
            for (b, sums) in bins.iter().enumerate() {
                let low = [0, 1, 2].map(|i| {
                    node.sums.get(i).copied().unwrap_or_default()
                        - high.get(i).copied().unwrap_or_default()
                });
                let enough = self.boosting.least_messages;
                if low[2] >= enough && high[2] >= enough {
                    let allowed = match feature.direction() {
                        Direction::Spam => answer(high) >= answer(low),
                        Direction::Ham => answer(high) <= answer(low),
                        Direction::Context => true,
                    };
                    let gain = score(low) + score(high) - whole;
                    if allowed && gain > best.as_ref().map_or(1e-3, |f| f.gain) {
                        let split = Split {
                            feature: number,
                            threshold: top_of(b),
                        };
                        best = Some(Found {
                            split,
                            gain,
                            low,
                            high,
                        });
                    }
                }
                high = [high[0] - sums[0], high[1] - sums[1], high[2] - sums[2]];
            }
        }
        best
    }
}

fn direction(feature: u8) -> Direction {
    dense::ALL
        .get(usize::from(feature))
        .map_or(Direction::Context, |d| d.direction())
}

fn add(a: LossSums, b: LossSums) -> LossSums {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

struct Found {
    split: Split,
    gain: f64,
    low: LossSums,
    high: LossSums,
}
