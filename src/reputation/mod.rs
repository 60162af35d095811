//! What the relay remembers of every sender: windows, baselines, evidence, standing.

pub mod baseline;
pub mod evidence;
pub mod group;
pub mod habits;
pub mod hasher;
pub mod known;
pub mod letters;
pub mod pool;
pub mod reports;
pub mod scores;
pub mod seen;
pub mod sender;
pub mod table;
pub mod templates;
pub mod tuning;
pub mod window;

/// Joins two hashes into one that is well mixed. Fixed for good: snapshots hold such hashes.
pub const fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Hash of a text, eight octets at a time. Fixed for good, like [`mix`].
pub fn hash_text(text: &str) -> u64 {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let hash = words.iter().fold(text.len() as u64, |hash, word| {
        mix(hash, u64::from_le_bytes(*word))
    });
    mix(hash, rest.iter().fold(0, |w, b| (w << 8) | u64::from(*b)))
}
