//! A fingerprint of a text that is close to those of similar texts: a campaign is one template with
//! small changes.
//!
//! `SimHash` (Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002)
//! over the pairs of words that the scorer has read off the visible text, each once. Numbers count
//! by their length and links are one mark there, so that other amounts and other link paths change
//! little.

/// A text with fewer pairs than this cannot be told from another.
const LEAST_PAIRS: usize = 16;
/// Levels of the counter: enough for all pairs of a text (2^21).
const LEVELS: usize = 22;

/// The fingerprint; 0 for a text too short to tell. Two texts that share the part `s` of their
/// pairs differ in about `64 · arccos(s) / π` bits; texts that have nothing in common in 32.
pub(super) fn fingerprint(pairs: &[u32]) -> u64 {
    if pairs.len() < LEAST_PAIRS {
        return 0;
    }
    let mut counts = Counter::default();
    let (sevens, rest) = pairs.as_chunks();
    sevens
        .iter()
        .for_each(|seven| counts.add_seven(seven.map(spread)));
    rest.iter().for_each(|pair| counts.carry(0, spread(*pair)));
    // 0 means that there is no text.
    counts.more_than(pairs.len() / 2).max(1)
}

/// 64 random bits of a pair, by the first 18 bits of its index. They must never change, because
/// fingerprints are stored.
const fn spread(pair: u32) -> u64 {
    let x = (pair as u64 >> 3)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let wide = (x as u128).wrapping_mul(0xbf58_476d_1ce4_e5b9_94d0_49bb_1331_11eb);
    let x = (wide >> 64) as u64 ^ wide as u64;
    (x ^ (x >> 32)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// Three bits of one weight in each place: their sum, and the carry of twice the weight.
const fn full_adder(a: u64, b: u64, c: u64) -> (u64, u64) {
    let half = a ^ b;
    (half ^ c, (a & b) | (half & c))
}

/// 64 counters, one for each bit, stored by level: bit `n` of level `k` is bit `k` of counter `n`.
/// Adding to all of them takes a few operations.
#[derive(Default)]
struct Counter([u64; LEVELS]);

impl Counter {
    /// Adds bits of the weight of this level.
    fn carry(&mut self, from: usize, bits: u64) {
        let mut carry = bits;
        for level in self.0.iter_mut().skip(from) {
            if carry == 0 {
                return;
            }
            let next = *level & carry;
            *level ^= carry;
            carry = next;
        }
    }

    /// Adds seven at once: together they make one number of three bits in each place.
    fn add_seven(&mut self, [a, b, c, d, e, f, g]: [u64; 7]) {
        let ((one, two), (other, also_two)) = (full_adder(a, b, c), full_adder(d, e, f));
        let (one, third_two) = full_adder(one, other, g);
        let (two, four) = full_adder(two, also_two, third_two);
        let [zeroth, first, second, ..] = &mut self.0;
        let carry = *zeroth & one;
        *zeroth ^= one;
        let (sum, carry) = full_adder(*first, two, carry);
        *first = sum;
        let (sum, carry) = full_adder(*second, four, carry);
        *second = sum;
        self.carry(3, carry);
    }

    /// The counters above `limit`.
    fn more_than(&self, limit: usize) -> u64 {
        // From the highest level down: a counter is above, or equal so far.
        let (mut above, mut equal) = (0, u64::MAX);
        for (k, level) in self.0.iter().enumerate().rev() {
            if limit >> k & 1 == 1 {
                equal &= level;
            } else {
                above |= equal & level;
                equal &= !level;
            }
        }
        above
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_counters_count(bits in prop::collection::vec(any::<u64>(), 0..200), limit in 0_usize..120) {
            let mut counter = Counter::default();
            let (sevens, rest) = bits.as_chunks();
            sevens.iter().for_each(|seven| counter.add_seven(*seven));
            rest.iter().for_each(|b| counter.carry(0, *b));
            let plain = (0..64).filter(|n| bits.iter().filter(|b| *b >> n & 1 == 1).count() > limit);
            prop_assert_eq!(counter.more_than(limit), plain.fold(0, |all, n| all | 1 << n));
        }
    }

    fn distance(a: &[u32], b: &[u32]) -> u32 {
        (fingerprint(a) ^ fingerprint(b)).count_ones()
    }

    #[test]
    fn small_changes_stay_near_and_other_texts_are_far() {
        let pairs = |of: std::ops::Range<u32>| of.map(|n| n << 3);
        let text: Vec<u32> = pairs(0..400).collect();
        let changed: Vec<u32> = pairs(0..388).chain(pairs(1000..1012)).collect();
        let other: Vec<u32> = pairs(5000..5400).collect();
        assert_eq!(distance(&text, &text), 0);
        assert!(
            distance(&text, &changed) <= 9,
            "{}",
            distance(&text, &changed)
        );
        assert!(
            (20..45).contains(&distance(&text, &other)),
            "{}",
            distance(&text, &other)
        );
        assert_eq!(fingerprint(&text[..10]), 0);
    }
}
