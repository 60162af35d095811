//! No sender teaches more than a bounded share.

use std::collections::HashMap;

/// Messages any sender may teach, no matter what others do.
pub(super) const FREE: f32 = 50.0;
/// Beyond that: share of all that was learned.
pub(super) const SHARE: f32 = 0.1;
/// Counts are halved when this many were learned, so that old messages make room for new ones.
pub(super) const WINDOW: f32 = 2000.0;
/// Senders remembered: more than fit into [`WINDOW`] with one message each.
pub(super) const SENDERS: usize = 4096;

/// How much each sender taught lately.
#[derive(Debug, Clone, Default)]
pub struct SenderShares {
    taught: HashMap<u64, f32>,
    total: f32,
}

impl SenderShares {
    /// Whether this sender may teach one more message.
    pub fn allows(&self, sender: u64) -> bool {
        let taught = self.taught.get(&sender).copied().unwrap_or_default();
        taught < FREE.max(SHARE * self.total)
    }

    /// Notes that it taught one.
    pub fn note(&mut self, sender: u64) {
        if self.total >= WINDOW || self.taught.len() >= SENDERS {
            self.halve();
        }
        *self.taught.entry(sender).or_default() += 1.0;
        self.total += 1.0;
    }

    /// Halves all counts: also once a day, so that a tenant of one sender goes on learning slowly.
    pub fn halve(&mut self) {
        self.taught.values_mut().for_each(|n| *n /= 2.0);
        self.taught.retain(|_, n| *n >= 0.5);
        self.total = self.taught.values().sum();
    }

    /// What is kept on disk.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, f32)> {
        self.taught.iter().map(|(sender, n)| (*sender, *n))
    }

    pub(super) fn from_entries(entries: impl Iterator<Item = (u64, f32)>) -> Self {
        let taught: HashMap<u64, f32> = entries.take(SENDERS).collect();
        let total = taught.values().sum();
        Self { taught, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sender_teaches_a_bounded_share() {
        let mut share = SenderShares::default();
        let mut offer = |sender| {
            let may = share.allows(sender);
            if may {
                share.note(sender);
            }
            may
        };
        assert_eq!((0..1000).filter(|_| offer(7)).count(), 50);
        let others = (0..950).filter(|n| offer(100 + n % 95)).count();
        assert_eq!(others, 950);
        assert_eq!(
            (0..1000).filter(|_| offer(7)).count(),
            56,
            "a tenth of all, itself included"
        );
        share.halve();
        share.halve();
        assert!(share.allows(7), "two days later");
    }

    #[test]
    fn invented_senders_fill_no_memory() {
        let mut share = SenderShares::default();
        for sender in 0..100_000 {
            share.note(sender);
        }
        assert!(share.taught.len() <= SENDERS && share.total <= WINDOW + 1.0);
    }
}
