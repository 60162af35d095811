//! The model file: weights, calibration, prototypes of spam, manifest.
//!
//! Layout, all numbers little-endian: magic, format version (u32), size of the index space (u32),
//! number of named features (u32), scale of the hashed weights, bias, calibration (slope, offset,
//! even, open; f32 each), named weights (f32 each), hashed weights (i8 each), number of trees (u32) with each
//! tree's questions (two octets each) and answers (f32 each), number of prototypes (u32) with each
//! prototype as its log-likelihood ratio (f32) and counted lists of indices, length and text of the
//! manifest (JSON), SHA-256 of everything before it.

use super::calibrate::Bent;
use super::dense;
use super::errors::ModelError;
use super::features::Sample;
use super::text::SPACE;
use super::trees::{self, MAX_TREES, Split, Tree};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"OUTGATE\x01";
/// Raised whenever features, hashing or layout change: an older model would be misread.
pub(in crate::score) const FORMAT: u32 = 6;
/// Largest model file that is read, octets.
pub(in crate::score) const MAX_FILE: usize = 4 * 1024 * 1024;
const MAX_PROTOTYPES: u32 = 1024;
const MAX_LIST: u32 = 1 << 16;

/// No content is certain: the log-likelihood ratio stays within ± this (nats).
pub(in crate::score) const MAX_LLR: f64 = 12.0;

/// A trained classifier: weights, trees and the calibration of their margin.
#[derive(Debug, Clone)]
pub struct Model {
    /// Hashed weights in units of `scale`.
    pub weights: Vec<i8>,
    /// Value of one unit.
    pub scale: f32,
    /// Weights of the named features.
    pub dense: [f32; dense::COUNT],
    /// The second opinion on the named features.
    pub trees: Vec<Tree>,
    /// Added to every margin.
    pub bias: f32,
    /// From margin to nats.
    pub calibration: Bent,
    /// Spam to replay when a tenant's ordinary mail is learned.
    pub prototypes: Vec<Prototype>,
    /// How the model was made, JSON.
    pub manifest: String,
}

/// A spam message of the training.
#[derive(Debug, Clone)]
pub struct Prototype {
    /// What a model that did not see its source says of it, nats.
    pub llr: f32,
    /// Its features, without pairs of words.
    pub sample: Sample,
}

/// The parts of a margin.
#[derive(Debug, Clone, Copy, Default)]
pub struct Margin {
    /// What hashed text says.
    pub text: f32,
    /// What named features say.
    pub named: f32,
    /// What the trees add for the named features together.
    pub trees: f32,
    /// The constant part of every message.
    pub bias: f32,
}

impl Margin {
    /// The margin of the message: all parts added.
    pub fn total(self) -> f32 {
        self.text + self.named + self.trees + self.bias
    }
}

/// Length normalisation of `n` hashed features. The constant limits the weight of short texts.
pub(crate) fn norm(n: usize) -> f32 {
    1.0 / (n as f32 + 15.0).sqrt()
}

impl Model {
    /// Weight of a hashed feature, in units of the scale.
    #[inline]
    pub fn weight(&self, index: u32) -> f32 {
        f32::from(
            self.weights
                .get(index as usize)
                .copied()
                .unwrap_or_default(),
        )
    }

    /// The margin of a message, by its features: words, and lists of other hashed features.
    pub fn margin(
        &self,
        words: impl ExactSizeIterator<Item = u32>,
        others: [&[u32]; 3],
        named: impl Iterator<Item = (u8, f32)>,
    ) -> Margin {
        let n = words.len() + others.iter().map(|list| list.len()).sum::<usize>();
        let weight = |i: u32| i32::from(self.weights.get(i as usize).copied().unwrap_or_default());
        let sum: i32 = words.map(weight).sum::<i32>()
            + others
                .into_iter()
                .map(|list| list.iter().map(|i| weight(*i)).sum::<i32>())
                .sum::<i32>();
        let text = sum as f32 * self.scale * norm(n);
        let (mut sum, mut row) = (0.0, [0; dense::COUNT]);
        for (feature, value) in named {
            let at = usize::from(feature);
            sum += self.dense.get(at).copied().unwrap_or_default() * value;
            if let Some(slot) = row.get_mut(at) {
                *slot = trees::quantise(value);
            }
        }
        let trees = self
            .trees
            .iter()
            .map(|tree| tree.answer(&row, |_, _| {}))
            .sum();
        Margin {
            text,
            named: sum,
            trees,
            bias: self.bias,
        }
    }

    /// The margin of kept features, pairs of words included.
    pub(crate) fn margin_of(&self, sample: &Sample) -> Margin {
        self.margin(
            sample.words.iter().copied(),
            [&sample.pairs, &sample.grams, &[]],
            sample.dense.iter().copied(),
        )
    }

    /// Calibrated log-likelihood ratio of a margin, within ± [`MAX_LLR`].
    pub fn llr(&self, margin: f32) -> f64 {
        let llr = f64::from(self.calibration.apply(margin));
        if llr.is_finite() {
            llr.clamp(-MAX_LLR, MAX_LLR)
        } else {
            0.0
        }
    }

    /// The model as the octets of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for number in [FORMAT, SPACE as u32, dense::COUNT as u32] {
            out.extend(number.to_le_bytes());
        }
        let Bent {
            slope,
            offset,
            even,
            open,
        } = self.calibration;
        let floats = [self.scale, self.bias, slope, offset, even, open];
        let floats = floats.iter().chain(&self.dense);
        out.extend(floats.flat_map(|f| f.to_le_bytes()));
        out.extend(
            self.weights
                .iter()
                .map(|w| w.to_le_bytes())
                .flat_map(IntoIterator::into_iter),
        );
        out.extend((self.trees.len() as u32).to_le_bytes());
        for tree in &self.trees {
            out.extend(
                tree.splits
                    .iter()
                    .flat_map(|split| [split.feature, split.threshold]),
            );
            out.extend(tree.values.iter().flat_map(|value| value.to_le_bytes()));
        }
        out.extend((self.prototypes.len() as u32).to_le_bytes());
        for prototype in &self.prototypes {
            out.extend(prototype.llr.to_le_bytes());
            let sample = &prototype.sample;
            for list in [&sample.words, &sample.grams] {
                write_list(&mut out, list);
            }
            out.extend((sample.dense.len() as u32).to_le_bytes());
            for (feature, value) in &sample.dense {
                out.push(*feature);
                out.push((value * 255.0).round() as u8);
            }
        }
        out.extend((self.manifest.len() as u32).to_le_bytes());
        out.extend(self.manifest.as_bytes());
        let sum = Sha256::digest(&out);
        out.extend(sum);
        out
    }

    /// Reads a model file. The error says what is wrong with it.
    pub fn from_bytes(file: &[u8]) -> Result<Self, ModelError> {
        if file.len() > MAX_FILE {
            return Err(ModelError::TooLarge(file.len()));
        }
        let body = file.strip_prefix(MAGIC).ok_or(ModelError::NotAModel)?;
        let (content, sum) = file
            .split_at_checked(file.len().saturating_sub(32))
            .ok_or(ModelError::Truncated)?;
        let mut r = ModelReader {
            rest: body
                .get(..body.len().saturating_sub(32))
                .unwrap_or_default(),
        };
        let format = r.u32()?;
        if format != FORMAT {
            return Err(ModelError::OtherFormat(format));
        }
        if Sha256::digest(content).as_slice() != sum {
            return Err(ModelError::Checksum);
        }
        Self::from_unsigned(r.rest)
    }

    /// Reads what stands between format version and checksum: every count, index and weight is
    /// checked by itself.
    pub fn from_unsigned(content: &[u8]) -> Result<Self, ModelError> {
        let mut r = ModelReader { rest: content };
        let (hashed, named) = (r.u32()?, r.u32()?);
        if hashed as usize != SPACE || named as usize != dense::COUNT {
            return Err(ModelError::OtherFeatures { hashed, named });
        }
        let scale = r.f32()?;
        let bias = r.f32()?;
        let calibration = Bent {
            slope: r.f32()?,
            offset: r.f32()?,
            even: r.f32()?,
            open: r.f32()?,
        };
        if calibration.slope <= 0.0 || calibration.open > calibration.even {
            return Err(ModelError::Impossible("has a calibration that falls"));
        }
        let mut named = [0.0; dense::COUNT];
        for slot in &mut named {
            *slot = r.f32()?;
        }
        let weights = r
            .take(SPACE)?
            .iter()
            .map(|b| i8::from_le_bytes([*b]))
            .collect();
        let trees = (0..r.bounded(MAX_TREES as u32)?)
            .map(|_| r.tree())
            .collect::<Result<_, _>>()?;
        let prototypes = (0..r.bounded(MAX_PROTOTYPES)?)
            .map(|_| r.prototype())
            .collect::<Result<_, _>>()?;
        let length = r.bounded(MAX_LIST)? as usize;
        let manifest = String::from_utf8(r.take(length)?.to_vec())
            .map_err(|_| ModelError::Impossible("has a manifest that is no text"))?;
        if !r.rest.is_empty() {
            return Err(ModelError::Impossible("has octets behind its end"));
        }
        Ok(Self {
            weights,
            scale,
            dense: named,
            trees,
            bias,
            calibration,
            prototypes,
            manifest,
        })
    }
}

/// Count, then gaps in seven-bit groups. The list must rise.
fn write_list(out: &mut Vec<u8>, list: &[u32]) {
    out.extend((list.len() as u32).to_le_bytes());
    let mut last = 0;
    for &index in list {
        let mut gap = index.wrapping_sub(last);
        last = index;
        while gap >= 0x80 {
            out.push(gap as u8 | 0x80);
            gap >>= 7;
        }
        out.push(gap as u8);
    }
}

struct ModelReader<'a> {
    rest: &'a [u8],
}

impl<'a> ModelReader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], ModelError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(ModelError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(ModelError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, ModelError> {
        self.array::<1>().map(|[octet]| octet)
    }

    fn u32(&mut self) -> Result<u32, ModelError> {
        self.array().map(u32::from_le_bytes)
    }

    fn bounded(&mut self, most: u32) -> Result<u32, ModelError> {
        let found = self.u32()?;
        if found > most {
            return Err(ModelError::TooMany { found, most });
        }
        Ok(found)
    }

    fn f32(&mut self) -> Result<f32, ModelError> {
        let value = f32::from_le_bytes(self.array()?);
        if value.is_finite() && value.abs() < 1e4 {
            Ok(value)
        } else {
            Err(ModelError::Impossible("holds an impossible weight"))
        }
    }

    fn list(&mut self) -> Result<Vec<u32>, ModelError> {
        let count = self.bounded(MAX_LIST)?;
        let mut list = Vec::with_capacity((count as usize).min(self.rest.len()));
        let mut last = 0_u32;
        for _ in 0..count {
            let (mut gap, mut shift) = (0_u32, 0);
            loop {
                let byte = self.u8()?;
                gap |= u32::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 || shift > 21 {
                    break;
                }
            }
            last = last.wrapping_add(gap);
            if last as usize >= SPACE {
                return Err(ModelError::Impossible(
                    "names a feature that does not exist",
                ));
            }
            list.push(last);
        }
        Ok(list)
    }

    fn tree(&mut self) -> Result<Tree, ModelError> {
        let mut tree = Tree::default();
        for split in &mut tree.splits {
            *split = Split {
                feature: self.u8()?,
                threshold: self.u8()?,
            };
            if usize::from(split.feature) >= dense::COUNT {
                return Err(ModelError::Impossible(
                    "asks for a feature that does not exist",
                ));
            }
        }
        for value in &mut tree.values {
            *value = self.f32()?;
        }
        Ok(tree)
    }

    fn prototype(&mut self) -> Result<Prototype, ModelError> {
        let llr = self.f32()?;
        let (words, grams) = (self.list()?, self.list()?);
        let mut named = Vec::new();
        for _ in 0..self.bounded(dense::COUNT as u32)? {
            named.push((self.u8()?, f32::from(self.u8()?) / 255.0));
        }
        let sample = Sample {
            words,
            pairs: Vec::new(),
            grams,
            dense: named,
        };
        Ok(Prototype { llr, sample })
    }
}
