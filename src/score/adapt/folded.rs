//! A message as a delta sees it: its features folded into slots. Also a prototype padded with words
//! of own mail.

use super::{SLOTS, Sum};
use crate::score::dense::{self, Direction};
use crate::score::features::Sample;
use crate::score::model::norm;

/// How much runs of four octets and named features count beside words. Pairs of words gained
/// nothing.
pub(super) const GRAMS: f32 = 1.5;
/// How much named features count beside words.
pub(super) const NAMED: f32 = 2.0;
/// An everyday feature (direction ham) weaker than this is ignored by the delta: padding words
/// bring many such features, each weak because the weakest stretch decides about them.
pub(super) const LEAST_EVERYDAY: f32 = 0.05;
/// Words that are added to a prototype, and runs of four octets: about what 150 words of text hold.
const PADDING: (usize, usize) = (150, 750);

/// A message's folded features: slots by group, each group with its scale.
#[derive(Clone, Copy)]
pub(super) struct FoldedFeatures<'a> {
    groups: [(&'a [u32], f32); 2],
    named: (&'a [(u8, f32)], f32),
}

/// The hashed text of a prototype padded with words of an own message. The lists of a prototype are
/// sorted.
pub(super) struct Padded {
    words: Vec<u32>,
    grams: Vec<u32>,
}

impl Padded {
    pub(super) fn new(prototype: &Sample, own: &Sample) -> Self {
        let behind = |text: &[u32], own: &[u32], most: usize| {
            let new = own
                .iter()
                .take(most)
                .filter(|index| text.binary_search(index).is_err());
            text.iter().chain(new).copied().collect()
        };
        Self {
            words: behind(&prototype.words, &own.words, PADDING.0),
            grams: behind(&prototype.grams, &own.grams, PADDING.1),
        }
    }

    /// The whole with the prototype's named features, and the padding part of it.
    pub(super) fn folded<'a>(&'a self, prototype: &'a Sample) -> [FoldedFeatures<'a>; 2] {
        let mut whole = FoldedFeatures::new(prototype);
        whole.groups = FoldedFeatures::text(&self.words, &self.grams);
        let mut padding = whole;
        for ((list, _), text) in padding
            .groups
            .iter_mut()
            .zip([&prototype.words, &prototype.grams])
        {
            *list = list.get(text.len()..).unwrap_or_default();
        }
        padding.named.0 = &[];
        [whole, padding]
    }
}

/// Where a feature lands in a delta.
#[inline]
const fn slot(index: u32) -> usize {
    // Multiplicative hashing: the high bits are the good ones.
    (index.wrapping_mul(0x9e37_79b1) >> (32 - SLOTS.trailing_zeros())) as usize
}

/// Named features come after the hashed ones.
#[inline]
fn named_slot(feature: u8) -> usize {
    slot(0x7000_0000 + u32::from(feature))
}

/// Whether the delta looks at a named feature of this value.
fn counts(feature: u8, value: f32) -> bool {
    let everyday = dense::ALL
        .get(usize::from(feature))
        .is_some_and(|f| f.direction() == Direction::Ham);
    !everyday || value >= LEAST_EVERYDAY
}

impl<'a> FoldedFeatures<'a> {
    pub(super) fn new(sample: &'a Sample) -> Self {
        let named = sample
            .dense
            .iter()
            .filter(|(feature, value)| counts(*feature, *value))
            .count();
        Self {
            groups: Self::text(&sample.words, &sample.grams),
            named: (&sample.dense, NAMED / (named as f32 + 4.0).sqrt()),
        }
    }

    fn text(words: &'a [u32], grams: &'a [u32]) -> [(&'a [u32], f32); 2] {
        [
            (words, norm(words.len())),
            (grams, GRAMS / (grams.len() as f32 + 60.0).sqrt()),
        ]
    }

    /// The sum that some weights give for the message.
    pub(super) fn sum(&self, weights: &[f32]) -> Sum {
        let weight = |slot: usize| weights.get(slot).copied().unwrap_or_default();
        let mut sum = Sum::default();
        self.each_of_text(|slot, scale| sum.text += weight(slot) * scale);
        self.each_named(|slot, scale| sum.named += weight(slot) * scale);
        sum
    }

    pub(super) fn each_of_text(&self, mut visit: impl FnMut(usize, f32)) {
        for (list, scale) in &self.groups {
            list.iter().for_each(|index| visit(slot(*index), *scale));
        }
    }

    pub(super) fn each_named(&self, mut visit: impl FnMut(usize, f32)) {
        let (named, scale) = self.named;
        let counted = named
            .iter()
            .filter(|(feature, value)| counts(*feature, *value));
        counted.for_each(|(feature, _)| visit(named_slot(*feature), scale));
    }
}
