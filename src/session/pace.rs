//! The pace of an incoming body.

use std::time::Duration;

/// Octets per second that a body must bring, on average over the window. The slowest lines that
/// carry mail (9,600 bit/s) bring twelve times as many, so such a line may pause for four and a
/// half of five minutes.
const RATE: u64 = 100;
/// Longest window; a shorter idle timeout shortens it.
const WINDOW: Duration = Duration::from_secs(300);
/// Steps of the window.
const STEPS: usize = 10;
/// The first step at whose end the window is complete. Before it, the pace is not checked.
const FIRST_WHOLE: u64 = STEPS as u64 - 1;

/// The octets of the last window. Octets before the window do not count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    step_millis: u64,
    /// Least octets of each window.
    least: u64,
    /// Octets of the newest steps, the newest first.
    octets: [u64; STEPS],
    /// Number of the newest step, from the beginning of the body.
    step: u64,
    /// A complete window has held too little.
    late: bool,
}

impl Pace {
    /// The pace of a new body in a session with this idle timeout.
    pub(super) fn new(idle: Duration) -> Self {
        let millis = u64::try_from(idle.min(WINDOW).as_millis())
            .unwrap_or(u64::MAX)
            .max(1000);
        Self {
            step_millis: millis / STEPS as u64,
            least: millis.saturating_mul(RATE) / 1000,
            octets: [0; STEPS],
            step: 0,
            late: false,
        }
    }

    /// Adds octets that arrived when the body was `age` old.
    pub(super) fn add(&mut self, age: Duration, octets: u64) {
        self.turn(u64::try_from(age.as_millis()).unwrap_or(u64::MAX) / self.step_millis);
        if let Some(newest) = self.octets.first_mut() {
            *newest = newest.saturating_add(octets);
        }
    }

    fn turn(&mut self, step: u64) {
        // A whole window of empty steps is enough to know that it held too little.
        for _ in 0..=STEPS {
            if self.step >= step {
                return;
            }
            self.late |= self.step >= FIRST_WHOLE && self.octets.iter().sum::<u64>() < self.least;
            self.octets.rotate_right(1);
            if let Some(newest) = self.octets.first_mut() {
                *newest = 0;
            }
            self.step += 1;
        }
        self.late |= self.step < step;
        self.step = self.step.max(step);
    }

    /// The age at which the body is given up if no more octets come: the end of the first complete
    /// window that holds too little.
    pub(super) fn ends(&self) -> Duration {
        if self.late {
            return Duration::ZERO;
        }
        let mut sum: u64 = self.octets.iter().sum();
        // With each step, the oldest one leaves the window.
        let mut step = self.step;
        for oldest in self.octets.iter().rev() {
            if step >= FIRST_WHOLE && sum < self.least {
                break;
            }
            sum = sum.saturating_sub(*oldest);
            step = step.saturating_add(1);
        }
        Duration::from_millis(
            step.max(FIRST_WHOLE)
                .saturating_add(1)
                .saturating_mul(self.step_millis),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When a body is given up that brings `octets` every `every` seconds; `None` = not within a
    /// day.
    fn cut_after(first: u64, octets: u64, every: u64) -> Option<u64> {
        let mut pace = Pace::new(WINDOW);
        pace.add(Duration::ZERO, first);
        for second in (every..86_400).step_by(usize::try_from(every).unwrap()) {
            if pace.ends() < SECOND * u32::try_from(second).unwrap() {
                return Some(second);
            }
            pace.add(SECOND * u32::try_from(second).unwrap(), octets);
        }
        None
    }

    #[test]
    fn a_trickle_ends_however_much_came_before() {
        assert_eq!(cut_after(0, 1, 1), Some(301));
        assert_eq!(
            cut_after(40 << 20, 1, 1),
            Some(331),
            "forty mebibytes buy no hours"
        );
        assert_eq!(cut_after(40 << 20, 90, 1), Some(331));
        assert_eq!(
            cut_after(0, 1, 60),
            Some(360),
            "the octet at 300 came too late"
        );
        assert_eq!(cut_after(40 << 20, 1, 3600), Some(3600));
    }

    #[test]
    fn a_slow_line_gets_its_mail_through() {
        assert_eq!(cut_after(0, 1200, 1), None, "9,600 bit/s");
        assert_eq!(cut_after(0, 110, 1), None);
        assert_eq!(
            cut_after(0, 30_000, 240),
            None,
            "in bursts, four minutes apart"
        );
    }

    #[test]
    fn the_window_is_no_longer_than_a_session_may_be_silent() {
        assert_eq!(Pace::new(SECOND).ends(), SECOND);
        assert_eq!(Pace::new(SECOND * 3600).ends(), WINDOW);
    }

    #[test]
    fn a_line_may_stand_still_for_four_minutes() {
        let mut pace = Pace::new(WINDOW);
        (0..600).for_each(|second| pace.add(SECOND * second, 1200));
        assert!(pace.ends() >= SECOND * (600 + 240), "{:?}", pace.ends());
    }
}
