//! Message ids: unique over threads and restarts, sorted by time.

use crate::types::{MessageId, Time};
use std::sync::atomic::{AtomicU32, Ordering};

/// Draws message ids. The low bits start at a random number and count up. So two ids of one
/// millisecond differ, and two runs of the relay within one millisecond almost certainly do.
pub(crate) struct IdSource {
    next: AtomicU32,
}

impl IdSource {
    /// Starts counting at `seed` (random).
    pub(crate) const fn new(seed: u32) -> Self {
        Self {
            next: AtomicU32::new(seed),
        }
    }

    pub(crate) fn next(&self, now: Time) -> MessageId {
        MessageId::from_parts(now, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_millisecond_differ() {
        let ids = IdSource::new(u32::MAX);
        assert_ne!(ids.next(Time(5)), ids.next(Time(5)));
    }
}
