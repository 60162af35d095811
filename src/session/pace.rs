//! How fast a body comes in.

use std::time::Duration;

/// A body must bring so many octets in each window: 100 a second on average. The slowest lines that carry mail (9,600 bit/s)
/// bring twelve times as much, so that such a line may stand still for four and a half minutes of the five.
const OCTETS: u64 = 30_000;
/// One step of the window.
const STEP: Duration = Duration::from_secs(30);
/// Steps of the window: five minutes, which is also the time of grace at the beginning.
const STEPS: usize = 10;
/// The first step at whose end the window is whole.
const FIRST_WHOLE: u64 = STEPS as u64 - 1;

/// What came in the last five minutes. What came before buys no time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// Octets of the newest steps, the newest first.
    octets: [u64; STEPS],
    /// Number of the newest step since the beginning.
    step: u64,
    /// A whole window has held too little.
    late: bool,
}

const fn step_of(age: Duration) -> u64 {
    age.as_secs() / STEP.as_secs()
}

impl Pace {
    /// So many octets came when the body was `age` old.
    pub fn add(&mut self, age: Duration, octets: u64) {
        self.turn(step_of(age));
        if let Some(newest) = self.octets.first_mut() {
            *newest = newest.saturating_add(octets);
        }
    }

    fn turn(&mut self, step: u64) {
        // After a whole window without anything, it is known that it was too little.
        for _ in 0..=STEPS {
            if self.step >= step {
                return;
            }
            self.late |= self.step >= FIRST_WHOLE && self.octets.iter().sum::<u64>() < OCTETS;
            self.octets.rotate_right(1);
            if let Some(newest) = self.octets.first_mut() {
                *newest = 0;
            }
            self.step += 1;
        }
        self.late = true;
        self.step = step;
    }

    /// The age at which the body is given up if nothing more of it comes by then: the end of the first whole window that holds
    /// too little.
    pub fn ends(&self) -> Duration {
        if self.late {
            return Duration::ZERO;
        }
        let mut sum: u64 = self.octets.iter().sum();
        // With each step that passes, the oldest of the window falls out of it.
        let mut step = self.step;
        for oldest in self.octets.iter().rev() {
            if step >= FIRST_WHOLE && sum < OCTETS {
                break;
            }
            sum = sum.saturating_sub(*oldest);
            step = step.saturating_add(1);
        }
        let last = step.max(FIRST_WHOLE);
        STEP * u32::try_from(last.saturating_add(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When a body is given up that brings `octets` every `every` seconds; `None` = not within a day.
    fn cut_after(first: u64, octets: u64, every: u64) -> Option<u64> {
        let mut pace = Pace::default();
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
        assert_eq!(cut_after(40 << 20, 1, 1), Some(331), "forty mebibytes buy no hours");
        assert_eq!(cut_after(40 << 20, 90, 1), Some(331));
        assert_eq!(cut_after(0, 1, 60), Some(360), "the octet at 300 came too late");
        assert_eq!(cut_after(40 << 20, 1, 3600), Some(3600));
    }

    #[test]
    fn a_slow_line_gets_its_mail_through() {
        assert_eq!(cut_after(0, 1200, 1), None, "9,600 bit/s");
        assert_eq!(cut_after(0, 110, 1), None);
        assert_eq!(cut_after(0, 30_000, 240), None, "in bursts, four minutes apart");
    }

    #[test]
    fn a_line_may_stand_still_for_four_minutes() {
        let mut pace = Pace::default();
        (0..600).for_each(|second| pace.add(SECOND * second, 1200));
        assert!(pace.ends() >= SECOND * (600 + 240), "{:?}", pace.ends());
    }
}
