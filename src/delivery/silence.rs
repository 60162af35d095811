//! Remembers questions without an answer for a while, so that not every message waits for them.

use hickory_resolver::proto::rr::{Name, RecordType};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a question is remembered. A late answer removes it at once.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Most questions remembered.
const AT_MOST: usize = 4096;

/// A question without an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum SilentQuestion {
    /// Records of this type, for names of this zone.
    Type(Name, RecordType),
    /// Any address of this host.
    Host(Name),
}

#[derive(Default)]
pub(super) struct Silence(Mutex<HashMap<SilentQuestion, Instant>>);

impl Silence {
    fn lock(&self) -> MutexGuard<'_, HashMap<SilentQuestion, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this question had no answer lately.
    pub(super) fn holds(&self, now: Instant, question: &SilentQuestion) -> bool {
        self.lock()
            .get(question)
            .is_some_and(|since| now.duration_since(*since) < REMEMBERED)
    }

    /// Remembers a question that was not answered in time.
    pub(super) fn remember(&self, now: Instant, question: SilentQuestion) {
        let mut all = self.lock();
        if all.len() >= AT_MOST {
            all.retain(|_, since| now.duration_since(*since) < REMEMBERED);
        }
        if all.len() >= AT_MOST {
            // Each forgotten question costs one short wait.
            all.clear();
        }
        all.insert(question, now);
    }

    pub(super) fn forget(&self, question: &SilentQuestion) {
        self.lock().remove(question);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: usize) -> SilentQuestion {
        SilentQuestion::Host(Name::from_ascii(format!("h{n}.example.")).expect("name"))
    }

    #[test]
    fn silence_is_remembered_for_a_while_and_the_table_is_bounded() {
        let (silence, now) = (Silence::default(), Instant::now());
        silence.remember(now, host(0));
        assert!(silence.holds(now, &host(0)) && !silence.holds(now, &host(1)));
        silence.forget(&host(0));
        assert!(!silence.holds(now, &host(0)), "answered after all");
        silence.remember(now, host(0));
        assert!(!silence.holds(now + REMEMBERED, &host(0)), "asked again");
        for n in 0..3 * AT_MOST {
            silence.remember(now, host(n));
            assert!(silence.lock().len() <= AT_MOST && silence.holds(now, &host(n)));
        }
    }
}
