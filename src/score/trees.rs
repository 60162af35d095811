//! The second opinion: boosted regression trees over the named features (Friedman 2001; histogram
//! splits and second-order leaves as usual since). They see combinations that a weighted sum
//! cannot: a lure counts more beside a link, and a congratulation without a link counts nothing. A
//! feature that may only speak for spam may not speak against it in any branch.

use super::dense;

/// Levels of questions in a tree.
pub(crate) const DEPTH: usize = 4;
/// Inner nodes of a tree, laid out as a heap: the children of `n` are `2n + 1` and `2n + 2`.
const INNER: usize = (1 << DEPTH) - 1;
/// Nodes of a tree, leaves included.
pub(crate) const NODES: usize = (1 << (DEPTH + 1)) - 1;
/// Most trees in a model.
pub(in crate::score) const MAX_TREES: usize = 512;

/// Quantised values of the named features, 0-255.
pub(crate) type FeatureRow = [u8; dense::COUNT];

/// One question: is the value of `feature` above `threshold`?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Split {
    /// Number of the feature.
    pub feature: u8,
    /// 255 asks nothing: all values take the lower branch.
    pub threshold: u8,
}

/// A tree of four questions. Every node has an answer of its own, so that an answer can be
/// explained by its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// Questions of the inner nodes.
    pub splits: [Split; INNER],
    /// Answers of all nodes, margin units.
    pub values: [f32; NODES],
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            splits: [Split {
                feature: 0,
                threshold: 255,
            }; INNER],
            values: [0.0; NODES],
        }
    }
}

impl Tree {
    /// The answer; `reason` gets each feature that was asked, with the change of the answer.
    #[inline]
    pub fn answer(&self, row: &FeatureRow, mut reason: impl FnMut(u8, f32)) -> f32 {
        let mut node = 0;
        let mut value = self.values.first().copied().unwrap_or_default();
        for _ in 0..DEPTH {
            let Some(split) = self.splits.get(node) else {
                break;
            };
            let above = row
                .get(usize::from(split.feature))
                .is_some_and(|v| *v > split.threshold);
            node = 2 * node + 1 + usize::from(above);
            let next = self.values.get(node).copied().unwrap_or(value);
            reason(split.feature, next - value);
            value = next;
        }
        value
    }
}

/// Quantises one value (0-1).
#[inline]
pub(crate) fn quantise(value: f32) -> u8 {
    (value * 255.0).round().clamp(0.0, 255.0) as u8
}

/// The row of a sparse list of values.
pub(crate) fn row(dense: &[(u8, f32)]) -> FeatureRow {
    let mut row = [0; dense::COUNT];
    for (feature, value) in dense {
        if let Some(slot) = row.get_mut(usize::from(*feature)) {
            *slot = quantise(*value);
        }
    }
    row
}
