//! A circuit breaker: who fails again and again is left alone for a while. Pure.

use crate::types::Time;
use std::time::Duration;

/// Failures in a row that shut it: so many messages of one session wait for a source that hangs,
/// once.
const FAILURES: u32 = 3;

/// Whether something may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerGate {
    Open,
    Shut,
    /// Do not wait for it, but ask once beside the mail to see whether it is back.
    Probe,
}

/// The state of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Breaker {
    failures: u32,
    /// It is left alone until then.
    shut_until: Option<Time>,
}

impl Breaker {
    /// Whether to ask now. After [`BreakerGate::Probe`] it stays shut for another `pause` unless a
    /// success is reported.
    pub(super) fn gate(&mut self, now: Time, pause: Duration) -> BreakerGate {
        match self.shut_until {
            None => BreakerGate::Open,
            Some(until) if now < until => BreakerGate::Shut,
            Some(_) => {
                self.shut_until = Some(now.after(pause));
                BreakerGate::Probe
            }
        }
    }

    /// It answered. True if it had been shut.
    pub(super) const fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.shut_until.take().is_some()
    }

    /// It did not answer. True if that shut it.
    pub(super) fn failed(&mut self, now: Time, pause: Duration) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.failures >= FAILURES && self.shut(now, pause)
    }

    /// It refuses: it is left alone at once. True if it had not been shut.
    pub(super) fn shut(&mut self, now: Time, pause: Duration) -> bool {
        self.shut_until.replace(now.after(pause)).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);

    #[test]
    fn three_failures_in_a_row_shut_it_and_one_answer_opens_it() {
        let (mut breaker, now) = (Breaker::default(), Time::from_secs(1000));
        for _ in 0..2 {
            assert!(!breaker.failed(now, PAUSE));
        }
        breaker.succeeded();
        for n in 0..3 {
            assert_eq!(breaker.gate(now, PAUSE), BreakerGate::Open);
            assert_eq!(breaker.failed(now, PAUSE), n == 2);
        }
        assert_eq!(breaker.gate(now, PAUSE), BreakerGate::Shut);
        let later = now.after(PAUSE);
        assert_eq!(breaker.gate(later, PAUSE), BreakerGate::Probe);
        assert_eq!(
            breaker.gate(later, PAUSE),
            BreakerGate::Shut,
            "one probe per pause"
        );
        assert!(breaker.succeeded(), "it had been shut");
        assert_eq!(breaker.gate(later, PAUSE), BreakerGate::Open);
    }
}
