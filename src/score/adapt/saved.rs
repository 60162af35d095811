//! The form of a delta on disk: magic, version, format of the model's features, counters, weights,
//! recent scores, shares, CRC32C of all before. Numbers are little-endian.

use super::own::SenderShares;
use super::tail::{Map, RecentScores};
use super::{Delta, SLOTS};
use crate::score::calibrate::Bent;
use crate::score::errors::DeltaError;
use crate::score::model;

const MAGIC: &[u8; 8] = b"OUTGATE\x02";
const VERSION: u32 = 5;
/// No saved delta is larger, octets.
pub const LARGEST_FILE: usize = 512 * 1024;

impl Delta {
    /// The octets to keep; `day` is the day since the epoch up to which it has faded.
    pub fn to_bytes(&self, share: &SenderShares, day: i64) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for number in [VERSION, model::FORMAT, SLOTS as u32] {
            out.extend(number.to_le_bytes());
        }
        for number in [self.assumed, self.labelled, self.refused, self.turn] {
            out.extend(number.to_le_bytes());
        }
        out.extend(day.to_le_bytes());
        let map = &self.map;
        let fitted = f32::from(u8::from(map.fitted));
        // An infinite bound means "none yet" and is kept as zero beside `fitted`.
        let usual = if map.fitted { map.usual } else { 0.0 };
        let floats = [
            fitted,
            map.bent.slope,
            map.bent.offset,
            map.bent.even,
            map.bent.open,
            usual,
            map.excess,
            self.disagreement,
        ];
        out.extend(
            floats
                .iter()
                .chain(&self.weights)
                .chain(&self.mean)
                .chain(&self.squares)
                .flat_map(|f| f.to_le_bytes()),
        );
        for recent in [&self.own, &self.spam] {
            out.extend((recent.len() as u32).to_le_bytes());
            out.extend(recent.values().iter().flat_map(|f| f.to_le_bytes()));
        }
        let entries: Vec<_> = share.entries().collect();
        out.extend((entries.len() as u32).to_le_bytes());
        for (sender, taught) in entries {
            out.extend(sender.to_le_bytes());
            out.extend(taught.to_le_bytes());
        }
        out.extend(crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// Reads them back. The error says why they cannot be used.
    pub fn from_bytes(file: &[u8]) -> Result<(Self, SenderShares, i64), DeltaError> {
        let body = file.strip_prefix(MAGIC).ok_or(DeltaError::NotADelta)?;
        let (content, sum) = file
            .split_at_checked(file.len().saturating_sub(4))
            .ok_or(DeltaError::Truncated)?;
        let mut r = SavedReader(body.get(..body.len().saturating_sub(4)).unwrap_or_default());
        if crc32c::crc32c(content).to_le_bytes() != *sum {
            return Err(DeltaError::Checksum);
        }
        let found = (r.u32()?, r.u32()?, r.u32()?);
        if found != (VERSION, model::FORMAT, SLOTS as u32) {
            return Err(DeltaError::OtherFeatures);
        }
        let (assumed, labelled, refused, turn) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
        let day = i64::from_le_bytes(r.take()?);
        let fitted = r.f32()? != 0.0;
        let (slope, offset, even, open, usual) = (r.f32()?, r.f32()?, r.f32()?, r.f32()?, r.f32()?);
        let (excess, disagreement) = (r.f32()?, r.f32()?);
        let map = if fitted {
            Map {
                bent: Bent {
                    slope,
                    offset,
                    even,
                    open,
                },
                usual,
                excess,
                fitted,
            }
        } else {
            Map::default()
        };
        let (weights, mean, squares) = (r.floats(SLOTS)?, r.floats(SLOTS)?, r.floats(SLOTS)?);
        let (own, spam) = (r.recent()?, r.recent()?);
        let mut entries = Vec::new();
        for _ in 0..r.u32()? {
            entries.push((r.u64()?, r.f32()?));
        }
        let possible =
            (0.0..=1.0).contains(&disagreement) && excess >= 0.0 && slope > 0.0 && even >= open;
        if !r.0.is_empty() || squares.iter().any(|s| *s < 0.0) || !possible {
            return Err(DeltaError::Impossible);
        }
        let delta = Self {
            weights,
            mean,
            squares,
            assumed,
            labelled,
            refused,
            turn,
            own,
            spam,
            map,
            disagreement,
            ..Self::default()
        };
        Ok((delta, SenderShares::from_entries(entries.into_iter()), day))
    }
}

struct SavedReader<'a>(&'a [u8]);

impl SavedReader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DeltaError> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(DeltaError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, DeltaError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, DeltaError> {
        self.take().map(u64::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, DeltaError> {
        let value = f32::from_le_bytes(self.take()?);
        if value.is_finite() {
            Ok(value)
        } else {
            Err(DeltaError::Impossible)
        }
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>, DeltaError> {
        // No more is allocated than the file holds.
        if count.saturating_mul(4) > self.0.len() {
            return Err(DeltaError::Truncated);
        }
        (0..count).map(|_| self.f32()).collect()
    }

    fn recent(&mut self) -> Result<RecentScores, DeltaError> {
        let count = self.u32()? as usize;
        let mut recent = RecentScores::default();
        self.floats(count)?
            .into_iter()
            .for_each(|value| recent.push(value));
        Ok(recent)
    }
}
