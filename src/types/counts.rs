//! What is counted of a sender, a domain, a client or a tenant.

use serde::{Deserialize, Serialize};

pub(crate) const COUNTERS: usize = 7;
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Messages judged (retries left out).
    pub messages: u32,
    /// External recipients of mail that was taken.
    pub external: u32,
    /// Internal recipients of mail that was taken.
    pub internal: u32,
    /// External recipients this sender had not written to before.
    pub new: u32,
    /// Messages that counted as spam.
    pub spam: u32,
    pub bounces: u32,
    /// Size of mail that was taken, in KiB, each message rounded up; only where a policy limits it.
    #[serde(default)]
    pub kib: u32,
}

impl Counts {
    /// In the order in which buckets hold them.
    pub(crate) const fn array(self) -> [u32; COUNTERS] {
        [
            self.messages,
            self.external,
            self.internal,
            self.new,
            self.spam,
            self.bounces,
            self.kib,
        ]
    }

    /// From counters in that order.
    pub(crate) const fn of(
        [messages, external, internal, new, spam, bounces, kib]: [u32; COUNTERS],
    ) -> Self {
        Self {
            messages,
            external,
            internal,
            new,
            spam,
            bounces,
            kib,
        }
    }

    fn each(&mut self, other: Self, f: impl Fn(u32, u32) -> u32) {
        let (mut all, others) = (self.array(), other.array());
        all.iter_mut()
            .zip(others)
            .for_each(|(mine, theirs)| *mine = f(*mine, theirs));
        *self = Self::of(all);
    }

    /// Adds, staying at the far end instead of wrapping.
    pub(crate) fn add(&mut self, other: Self) {
        self.each(other, u32::saturating_add);
    }

    /// Internal and external recipients.
    pub(crate) fn recipients(&self) -> u64 {
        u64::from(self.external) + u64::from(self.internal)
    }

    /// Takes away from `self` what `other` has, as far as it is there; what was not there stays in
    /// `other`.
    pub(crate) fn take(&mut self, other: &mut Self) {
        let mut taken = *self;
        taken.each(*other, u32::min);
        self.each(taken, u32::saturating_sub);
        other.each(taken, u32::saturating_sub);
    }
}
