//! Which recipients a sender has written to, in bounded memory: exact for the first thousand, then two generations of a
//! Bloom filter that remember the latest 27,000 to 54,000 with at most 3 % of new recipients taken for known ones.

use serde::{Deserialize, Serialize};

/// Recipients kept exactly, 4 octets each.
const EXACT: usize = 1024;
/// Words of one filter generation: 32 KiB.
const WORDS: usize = 4096;
/// Recipients of one generation: at four bits each, 1.3 % false positives when full.
const PER_GENERATION: u32 = 27_000;

/// Recipients known to one sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Known {
    /// Sorted hashes.
    Exact(Vec<u32>),
    /// Too many for that.
    Sketch(Box<Sketch>),
}

/// Two generations of a Bloom filter; when the newer is full it becomes the older.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sketch {
    newer: Vec<u64>,
    older: Vec<u64>,
    filled: u32,
}

impl Default for Known {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

/// The upper half carries the exact hash; both halves are well mixed by the caller's hash.
const fn short(hash: u64) -> u32 {
    ((hash >> 32) ^ (hash & 0xffff_ffff)) as u32
}

fn bits(short: u32) -> impl Iterator<Item = (usize, u64)> {
    let mixed = super::mix(u64::from(short), 0x9e37_79b9_7f4a_7c15);
    (0..4_u32).map(move |i| {
        let bit = (mixed >> (i * 16)) as usize & 0xffff;
        // Each of the four looks into its own quarter: 65,536 bits.
        (i as usize * (WORDS / 4) + bit / 64, 1_u64 << (bit % 64))
    })
}

fn has(words: &[u64], short: u32) -> bool {
    bits(short).all(|(word, bit)| words.get(word).is_some_and(|w| w & bit != 0))
}

impl Sketch {
    fn new() -> Self {
        Self { newer: vec![0; WORDS], older: Vec::new(), filled: 0 }
    }

    fn insert(&mut self, short: u32) {
        if has(&self.newer, short) {
            return;
        }
        if self.filled >= PER_GENERATION {
            self.older = std::mem::replace(&mut self.newer, vec![0; WORDS]);
            self.filled = 0;
        }
        for (word, bit) in bits(short) {
            if let Some(w) = self.newer.get_mut(word) {
                *w |= bit;
            }
        }
        self.filled += 1;
    }
}

impl Known {
    /// Whether the sender has written to this recipient.
    pub fn contains(&self, hash: u64) -> bool {
        let short = short(hash);
        match self {
            Self::Exact(list) => list.binary_search(&short).is_ok(),
            Self::Sketch(sketch) => has(&sketch.newer, short) || has(&sketch.older, short),
        }
    }

    /// Memory beside the record itself, in octets.
    pub fn heap_octets(&self) -> usize {
        match self {
            Self::Exact(list) => list.capacity() * 4,
            Self::Sketch(sketch) => std::mem::size_of::<Sketch>() + 8 * (sketch.newer.capacity() + sketch.older.capacity()),
        }
    }

    /// Remembers a recipient.
    pub fn insert(&mut self, hash: u64) {
        let short = short(hash);
        match self {
            Self::Exact(list) => {
                let Err(place) = list.binary_search(&short) else { return };
                if list.len() < EXACT {
                    list.insert(place, short);
                    return;
                }
                let mut sketch = Box::new(Sketch::new());
                list.iter().for_each(|s| sketch.insert(*s));
                sketch.insert(short);
                *self = Self::Sketch(sketch);
            }
            Self::Sketch(sketch) => sketch.insert(short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u64 {
        super::super::mix(n, 7)
    }

    #[test]
    fn few_are_exact_many_are_nearly_so() {
        let mut known = Known::default();
        for n in 0..20_000 {
            known.insert(hash(n));
            assert!(known.contains(hash(n)));
        }
        assert!((0..20_000).all(|n| known.contains(hash(n))));
        let wrong = (100_000..110_000).filter(|n| known.contains(hash(*n))).count();
        assert!(wrong < 300, "{wrong}");
    }

    #[test]
    fn memory_is_bounded_and_the_latest_are_remembered() {
        let mut known = Known::default();
        (0..200_000).for_each(|n| known.insert(hash(n)));
        assert!((180_000..200_000).all(|n| known.contains(hash(n))));
        let wrong = (300_000..310_000).filter(|n| known.contains(hash(*n))).count();
        assert!(wrong < 400, "{wrong}");
    }
}
