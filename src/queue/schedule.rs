//! When to try again, and how many at once. Pure.

use crate::config::settings::DeliverySettings;
use crate::types::{MessageId, RecipientOutcome, RecipientStatus, Time};
use std::time::Duration;

/// Attempts at once at a new destination.
pub(super) const FIRST_WINDOW: u32 = 5;
/// A destination that fails as a whole is probed at least this often.
pub(super) const LONGEST_BACKOFF: Duration = Duration::from_secs(15 * 60);
/// The wait if the settings have none.
const FALLBACK_WAIT: Duration = Duration::from_secs(60);

/// The wait after the `attempts`-th failed attempt (1 = the first): `delivery.retry`, whose last
/// entry repeats, plus up to a tenth more. The extra depends on the message, so that messages that
/// failed together are not tried together.
pub(super) fn wait(settings: &DeliverySettings, attempts: u16, id: MessageId) -> Duration {
    let base = step(&settings.retry, u32::from(attempts));
    // SplitMix64: spreads neighbouring ids; the same message and attempt give the same wait.
    let mut x = id.0 ^ (u64::from(attempts) << 56);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let thousandths = u32::try_from((x >> 33) % 100).unwrap_or(0);
    base + base * thousandths / 1000
}

/// The longest wait between two attempts.
pub(super) fn longest_wait(settings: &DeliverySettings) -> Duration {
    let longest = settings
        .retry
        .iter()
        .max()
        .copied()
        .unwrap_or(FALLBACK_WAIT);
    longest + longest / 10
}

/// How long a destination backs off after it failed as a whole `failures` times in a row.
pub(super) fn backoff(settings: &DeliverySettings, failures: u32) -> Duration {
    step(&settings.retry, failures).min(LONGEST_BACKOFF)
}

fn step(retry: &[Duration], nth: u32) -> Duration {
    let index = usize::try_from(nth.saturating_sub(1)).unwrap_or(usize::MAX);
    retry
        .get(index)
        .or_else(|| retry.last())
        .copied()
        .unwrap_or(FALLBACK_WAIT)
}

/// When the queue gives up on a message in delivery since `since`.
pub(super) fn expires(settings: &DeliverySettings, since: Time) -> Time {
    since.after(settings.expire)
}

/// When its sender gets the delay notice; `None` = never. A notice that would be due after the end
/// is not sent.
pub(super) fn notice(settings: &DeliverySettings, since: Time) -> Option<Time> {
    (!settings.delay_notice.is_zero() && settings.delay_notice < settings.expire)
        .then(|| since.after(settings.delay_notice))
}

/// What an attempt says about its destination as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DestinationSignal {
    /// It accepted or refused mail in a normal way.
    Good,
    /// It answered a transaction, but with a temporary error, or it closed the connection: somewhat
    /// fewer at once.
    Slow,
    /// 421 in a transaction (RFC 5321 section 3.8): it is about to close the connection. Half as
    /// many at once.
    Shed,
    /// No transaction could begin (DNS, connection, greeting, TLS): it backs off.
    Down,
}

/// Derives the signal from the outcomes of one attempt; `reached`: a host took part in a
/// transaction. Only a failure before a transaction concerns the host as a whole. After that, a
/// single message, sender or recipient can cause any answer, and must not stop the others. No
/// outcome at all counts as down: unclear means temporary.
pub(super) fn signal(outcomes: &[RecipientOutcome], reached: bool) -> DestinationSignal {
    let deferred = |o: &RecipientOutcome| o.status == RecipientStatus::Pending;
    if !reached && outcomes.iter().all(deferred) {
        DestinationSignal::Down
    } else if outcomes.iter().any(|o| deferred(o) && o.reply.code == 421) {
        DestinationSignal::Shed
    } else if outcomes.iter().any(deferred) {
        DestinationSignal::Slow
    } else {
        DestinationSignal::Good
    }
}

/// How many attempts may run at once at one destination. It grows by one with each success until
/// the first failure, then by one per window of successes. It shrinks when the other side shows
/// strain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    size: u32,
    credit: u32,
    careful: bool,
    /// Windows of successes needed to grow by one after the first failure.
    patience: u32,
}

/// Most windows of successes before the next attempt to open one connection more.
const MOST_PATIENCE: u32 = 64;

impl Window {
    pub(super) const fn new() -> Self {
        Self {
            size: FIRST_WINDOW,
            credit: 0,
            careful: false,
            patience: 1,
        }
    }

    /// The host accepts only this many connections. The next attempt to open more needs twice as
    /// many successes, until one works.
    pub(super) fn fall_to(&mut self, running: u32) {
        self.patience = (self.patience * 2).min(MOST_PATIENCE);
        self.shrink(running.max(1));
    }

    /// Attempts allowed at once, at least 1.
    pub(super) const fn size(&self) -> u32 {
        self.size
    }

    /// Applies a signal. `full` = the window was used up when the attempt ended; a window that is
    /// not used up does not grow.
    pub(super) fn feed(&mut self, signal: DestinationSignal, full: bool, most: u32) {
        match signal {
            DestinationSignal::Good if full => {
                self.credit += 1;
                if !self.careful || self.credit >= self.size * self.patience {
                    self.size += 1;
                    self.credit = 0;
                    self.patience = (self.patience / 2).max(1);
                }
            }
            DestinationSignal::Good => {}
            DestinationSignal::Slow => self.shrink(self.size.saturating_sub(1)),
            DestinationSignal::Shed | DestinationSignal::Down => self.shrink(self.size / 2),
        }
        self.size = self.size.clamp(1, most.max(1));
    }

    const fn shrink(&mut self, to: u32) {
        self.size = to;
        self.credit = 0;
        self.careful = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{OutcomeClass, Reply};

    fn settings() -> DeliverySettings {
        DeliverySettings {
            retry: vec![
                Duration::from_secs(60),
                Duration::from_secs(300),
                Duration::from_secs(3600),
            ],
            expire: Duration::from_secs(5 * 86_400),
            delay_notice: Duration::from_secs(4 * 3600),
            allow_private_addresses: true,
            mx_port: 25,
            connections: 100,
        }
    }

    #[test]
    fn waits_follow_the_list_and_the_last_repeats() {
        let s = settings();
        for (attempts, secs) in [(1, 60), (2, 300), (3, 3600), (4, 3600), (u16::MAX, 3600)] {
            for id in 0..200 {
                let wait = wait(&s, attempts, MessageId(id << 22));
                let base = Duration::from_secs(secs);
                assert!(
                    wait >= base && wait < base * 11 / 10,
                    "attempt {attempts}: {wait:?}"
                );
            }
        }
    }

    #[test]
    fn waits_differ_between_messages_but_not_between_runs() {
        let s = settings();
        assert_eq!(wait(&s, 1, MessageId(7)), wait(&s, 1, MessageId(7)));
        let distinct: std::collections::HashSet<_> =
            (0..50).map(|id| wait(&s, 1, MessageId(id << 22))).collect();
        assert!(distinct.len() > 20, "{} different waits", distinct.len());
    }

    #[test]
    fn no_retry_list_still_waits() {
        let s = DeliverySettings {
            retry: vec![],
            ..settings()
        };
        assert!(wait(&s, 3, MessageId(1)) >= FALLBACK_WAIT);
    }

    #[test]
    fn backoff_is_bounded() {
        assert_eq!(backoff(&settings(), 1), Duration::from_secs(60));
        assert_eq!(backoff(&settings(), 3), LONGEST_BACKOFF);
    }

    #[test]
    fn a_notice_needs_time_before_the_end() {
        let t = Time::from_secs(1000);
        assert_eq!(
            notice(&settings(), t),
            Some(t.after(Duration::from_secs(4 * 3600)))
        );
        assert_eq!(
            notice(
                &DeliverySettings {
                    delay_notice: Duration::ZERO,
                    ..settings()
                },
                t
            ),
            None
        );
        assert_eq!(
            notice(
                &DeliverySettings {
                    expire: Duration::from_secs(60),
                    ..settings()
                },
                t
            ),
            None
        );
    }

    fn outcome(status: RecipientStatus, class: OutcomeClass, code: u16) -> RecipientOutcome {
        let reply = Reply::plain(code, "x");
        RecipientOutcome {
            recipient: 0,
            status,
            class,
            reply,
            remote: String::new(),
            relayed_dsn: false,
        }
    }

    #[test]
    fn signals() {
        use OutcomeClass as C;
        use RecipientStatus::{Delivered, Failed, Pending};
        let refused = outcome(Pending, C::Transport, 451);
        let grey = outcome(Pending, C::Other, 450);
        let ok = outcome(Delivered, C::Delivered, 250);
        let shed = outcome(Pending, C::Transport, 421);
        for (outcomes, reached, want) in [
            (vec![ok.clone()], true, DestinationSignal::Good),
            (
                vec![outcome(Failed, C::UnknownUser, 550)],
                true,
                DestinationSignal::Good,
            ),
            // DNS said so.
            (
                vec![outcome(Failed, C::UnknownUser, 550)],
                false,
                DestinationSignal::Good,
            ),
            (vec![ok.clone(), grey], true, DestinationSignal::Slow),
            (vec![shed.clone()], true, DestinationSignal::Shed),
            (vec![shed], false, DestinationSignal::Down),
            (
                vec![refused.clone(), refused.clone()],
                false,
                DestinationSignal::Down,
            ),
            // What looks like trouble on the way and came in a transaction is about that session.
            (
                vec![refused.clone(), refused.clone()],
                true,
                DestinationSignal::Slow,
            ),
            (vec![refused, ok], true, DestinationSignal::Slow),
            (vec![], false, DestinationSignal::Down),
        ] {
            assert_eq!(signal(&outcomes, reached), want, "{outcomes:?}");
        }
    }

    #[test]
    fn the_window_grows_with_success_and_sinks_with_strain() {
        let mut w = Window::new();
        for _ in 0..100 {
            w.feed(DestinationSignal::Good, true, 20);
        }
        assert_eq!(w.size(), 20);
        w.feed(DestinationSignal::Down, true, 20);
        assert_eq!(w.size(), 10);
        w.feed(DestinationSignal::Slow, true, 20);
        assert_eq!(w.size(), 9);
        for _ in 0..8 {
            w.feed(DestinationSignal::Good, true, 20);
        }
        assert_eq!(
            w.size(),
            9,
            "after a failure it takes a whole window of successes"
        );
        w.feed(DestinationSignal::Good, true, 20);
        assert_eq!(w.size(), 10);
        w.feed(DestinationSignal::Good, false, 20);
        assert_eq!(w.size(), 10, "not needed, not grown");
        for _ in 0..100 {
            w.feed(DestinationSignal::Shed, true, 20);
        }
        assert_eq!(w.size(), 1);
        w.fall_to(0);
        assert_eq!(w.size(), 1);
        let grows_after = |w: &mut Window| {
            let size = w.size();
            (1..1000).find(|_| {
                w.feed(DestinationSignal::Good, true, 20);
                w.size() > size
            })
        };
        assert_eq!(grows_after(&mut w), Some(2), "twice as careful");
        assert_eq!(
            grows_after(&mut w),
            Some(2),
            "and as ever once it went well"
        );
        w.fall_to(1);
        w.fall_to(1);
        assert_eq!(grows_after(&mut w), Some(4));
    }
}
