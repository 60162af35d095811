//! Which recipients a sender has written to, in bounded memory: the first 170 by 24 bits of their
//! hash each (one new recipient in 65,000 is taken for a known one), then three generations of a
//! Bloom filter, each twice the size of the one before up to 32 KiB. They remember at least the
//! latest 73,728, and take at most 11 % of new recipients for known ones when all are full (8 % on
//! average for a sender with 200,000). A recipient that is written to again moves to the newest
//! generation. A list of more than 3,528 that comes all at once outgrows its first generations
//! before any recipient is written to again: up to a quarter of it is then forgotten once.

use serde::{Deserialize, Serialize};

/// Recipients kept one by one.
const EXACT: usize = 170;
/// Octets of each of them.
const OCTETS: usize = 3;
/// Words of the first filter generation, and of the largest: 448 octets and 32 KiB.
const FIRST_WORDS: usize = 56;
const MOST_WORDS: usize = 4096;
/// Recipients of one generation for each of its words: at four bits of 32 each, 3.4 % false
/// positives when full.
const PER_WORD: usize = 9;

/// Recipients known to one sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detector) enum KnownRecipients {
    /// Sorted hashes, three octets each, the highest first.
    Exact(Vec<u8>),
    /// Too many for that.
    Sketch(Box<Sketch>),
}

/// Generations of a Bloom filter; when the newest is full the oldest goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detector) struct Sketch {
    newest: Box<[u64]>,
    older: Box<[u64]>,
    oldest: Box<[u64]>,
    filled: u32,
}

impl Default for KnownRecipients {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

/// The part of a hash that is remembered. The caller mixes all its bits well.
const fn short(hash: u64) -> [u8; OCTETS] {
    let [a, b, c, ..] = (hash ^ (hash << 32)).to_be_bytes();
    [a, b, c]
}

/// Position of each of the four bits, one in each quarter of so many words. It uses the remainder
/// because snapshots hold filters of any size; those of older versions are powers of two.
fn bits(short: [u8; OCTETS], words: usize) -> impl Iterator<Item = (usize, u64)> {
    let [a, b, c] = short.map(u64::from);
    let mixed = crate::types::hash::mix((a << 16) | (b << 8) | c, 0x9e37_79b9_7f4a_7c15);
    let quarter = words / 4;
    (0..4_usize).map(move |i| {
        let bit = ((mixed >> (i * 16)) as u32 % (quarter as u32 * 64).max(1)) as usize;
        (i * quarter + bit / 64, 1_u64 << (bit % 64))
    })
}

fn has(words: &[u64], short: [u8; OCTETS]) -> bool {
    !words.is_empty()
        && bits(short, words.len()).all(|(word, bit)| words.get(word).is_some_and(|w| w & bit != 0))
}

fn empty(words: usize) -> Box<[u64]> {
    vec![0; words].into_boxed_slice()
}

impl Sketch {
    fn new() -> Self {
        Self {
            newest: empty(FIRST_WORDS),
            older: Box::default(),
            oldest: Box::default(),
            filled: 0,
        }
    }

    fn insert(&mut self, short: [u8; OCTETS]) {
        if has(&self.newest, short) {
            return;
        }
        if self.filled as usize >= PER_WORD * self.newest.len() {
            let larger = empty((self.newest.len() * 2).clamp(FIRST_WORDS, MOST_WORDS));
            self.oldest =
                std::mem::replace(&mut self.older, std::mem::replace(&mut self.newest, larger));
            self.filled = 0;
        }
        for (word, bit) in bits(short, self.newest.len()) {
            if let Some(w) = self.newest.get_mut(word) {
                *w |= bit;
            }
        }
        self.filled += 1;
    }

    fn contains(&self, short: [u8; OCTETS]) -> bool {
        [&self.newest, &self.older, &self.oldest]
            .into_iter()
            .any(|words| has(words, short))
    }
}

impl KnownRecipients {
    /// Whether the sender has written to this recipient.
    pub(in crate::detector) fn contains(&self, hash: u64) -> bool {
        let short = short(hash);
        match self {
            Self::Exact(list) => list.as_chunks().0.binary_search(&short).is_ok(),
            Self::Sketch(sketch) => sketch.contains(short),
        }
    }

    /// Whether they are few enough to be kept one by one.
    pub(in crate::detector) const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }

    /// Memory beside the record itself, in octets.
    pub(in crate::detector) fn heap_octets(&self) -> usize {
        match self {
            Self::Exact(list) => list.capacity(),
            Self::Sketch(sketch) => {
                std::mem::size_of::<Sketch>()
                    + 8 * (sketch.newest.len() + sketch.older.len() + sketch.oldest.len())
            }
        }
    }

    pub(in crate::detector) fn insert(&mut self, hash: u64) {
        let short = short(hash);
        match self {
            Self::Exact(list) => {
                let Err(place) = list.as_chunks().0.binary_search(&short) else {
                    return;
                };
                if list.len() < EXACT * OCTETS {
                    if list.len() == list.capacity() {
                        // Four more at a time: most senders would leave a larger step unused.
                        list.reserve_exact(OCTETS * 4);
                    }
                    list.splice(place * OCTETS..place * OCTETS, short);
                    return;
                }
                let mut sketch = Box::new(Sketch::new());
                list.as_chunks().0.iter().for_each(|s| sketch.insert(*s));
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
        crate::types::hash::mix(n, 7)
    }

    #[test]
    fn few_are_exact_many_are_nearly_so() {
        let mut known = KnownRecipients::default();
        for n in 0..20_000 {
            known.insert(hash(n));
            assert!(known.contains(hash(n)));
            let wrong = |known: &KnownRecipients| {
                (100_000..101_000)
                    .filter(|n| known.contains(hash(*n)))
                    .count()
            };
            assert!(n != 169 || wrong(&known) <= 1);
            assert!(
                n % 1000 != 0 || wrong(&known) <= 130,
                "{n} {}",
                wrong(&known)
            );
        }
        assert!((10_000..20_000).all(|n| known.contains(hash(n))));
    }

    #[test]
    fn filters_of_snapshots_with_other_sizes_are_read() {
        // They had 64 words, each of four bits masked to its quarter of 16.
        let mut newest = empty(64);
        for n in 0..100 {
            let [a, b, c] = short(hash(n)).map(u64::from);
            let mixed = crate::types::hash::mix((a << 16) | (b << 8) | c, 0x9e37_79b9_7f4a_7c15);
            for quarter in 0..4 {
                let bit = (mixed >> (quarter * 16)) as usize & 1023;
                newest[quarter * 16 + bit / 64] |= 1 << (bit % 64);
            }
        }
        let mut known = KnownRecipients::Sketch(Box::new(Sketch {
            newest,
            older: Box::default(),
            oldest: Box::default(),
            filled: 100,
        }));
        assert!((0..100).all(|n| known.contains(hash(n))));
        (100..2000).for_each(|n| known.insert(hash(n)));
        assert!((0..2000).all(|n| known.contains(hash(n))));
    }

    #[test]
    fn subscribers_stay_known_while_the_filter_grows() {
        // A newsletter of 1,500: its second issue filled the second generation, the first went, and
        // 475 subscribers with it.
        for subscribers in [300, 800, 1_500, 3_000_u64] {
            let mut known = KnownRecipients::default();
            for issue in 0..6 {
                let unknown = (0..subscribers)
                    .filter(|n| !known.contains(hash(*n)))
                    .count();
                assert!(
                    issue == 0 || unknown == 0,
                    "{unknown} of {subscribers}, issue {issue}"
                );
                (0..subscribers).for_each(|n| known.insert(hash(n)));
                (0..subscribers / 30).for_each(|n| known.insert(hash(1_000_000 * (issue + 1) + n)));
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_the_latest_are_remembered() {
        let mut known = KnownRecipients::default();
        (0..200_000).for_each(|n| known.insert(hash(n)));
        assert!((180_000..200_000).all(|n| known.contains(hash(n))));
        let wrong = (300_000..310_000)
            .filter(|n| known.contains(hash(*n)))
            .count();
        assert!(wrong < 1200, "{wrong}");
        assert!(known.heap_octets() <= 98_400);
    }
}
