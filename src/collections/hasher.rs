//! A quick hasher for the tables on the hot path: eight octets at a step, mixed with a secret drawn
//! per table, so that nobody outside can aim at one shard or bucket.

use crate::types::hash::mix;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes hashers that share one secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quick(u64);

impl Default for Quick {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0))
    }
}

impl BuildHasher for Quick {
    type Hasher = QuickHasher;

    fn build_hasher(&self) -> QuickHasher {
        QuickHasher(self.0)
    }
}

/// The state of one hash.
#[derive(Debug)]
pub(crate) struct QuickHasher(u64);

impl Hasher for QuickHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.0 = mix(self.0, u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let tail = rest
                .iter()
                .fold(rest.len() as u64, |w, b| (w << 8) | u64::from(*b));
            self.0 = mix(self.0, tail);
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.0 = mix(self.0, u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = mix(self.0, n);
    }
}
