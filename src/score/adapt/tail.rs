//! Calibration against the tenant's own scores: a line fitted to own ham and unseen spam (Platt),
//! bent so that hardly any own ham lies above even odds (the tail of own ham taken as exponential).

use crate::score::calibrate::{self, Bent, UNSURE};

/// How many of the newest scores are kept.
pub(super) const KEPT: usize = 384;
/// Own ham that may lie above even odds.
pub(super) const ABOVE: f32 = 0.0016;
/// Added to [`ABOVE`] if the shipped model takes all mail offered lately for spam, in proportion
/// below: one own message more for every 200 such ones. The fewer of a tenant's messages are its
/// own mail, the weaker is the assumption that its mail is ham.
pub(super) const ABOVE_PER_SPAM: f32 = 0.005;
/// Share of own ham whose excess measures the tail.
pub(super) const TAIL: f32 = 0.1;
/// The bend hides at most this much (nats): what was learned from a bad tenant must not excuse
/// everything.
pub(super) const MAX_BEND: f32 = 5.0;
/// With this many labelled spams the bend is not needed.
pub(super) const LABELS: f32 = 50.0;
/// Bounds of the slope.
const SLOPE: (f32, f32) = (0.2, 3.0);

/// The newest scores, the oldest overwritten.
#[derive(Debug, Clone, Default)]
pub(super) struct RecentScores {
    values: Vec<f32>,
    next: usize,
}

impl RecentScores {
    pub(super) fn push(&mut self, value: f32) {
        if self.values.len() < KEPT {
            self.values.push(value);
        } else if let Some(oldest) = self.values.get_mut(self.next) {
            *oldest = value;
            self.next = (self.next + 1) % KEPT;
        }
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

/// From the raw score to nats. Monotone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Map {
    /// Even odds lie where the tail of own ham says.
    pub(super) bent: Bent,
    /// Raw score below which nine tenths of own ham lie.
    pub(super) usual: f32,
    /// How far the other tenth lies above that, on average.
    pub(super) excess: f32,
    /// Whether anything was fitted yet; until then scores stay as they are.
    pub(super) fitted: bool,
}

impl Default for Map {
    fn default() -> Self {
        Self {
            bent: Bent::line(1.0, 0.0),
            usual: f32::INFINITY,
            excess: 0.0,
            fitted: false,
        }
    }
}

impl Map {
    /// Fits own ham against spam: the prototypes kept back, and `labelled`. If people label spam,
    /// they review the mail and the line alone gives the odds; without labels the bend keeps own
    /// ham below even odds. `missed` is the share of the spam kept back that the shipped model alone
    /// misses: the bend hides no more of it, whatever own mail looks like.
    pub(super) fn fit(own: &[f32], kept_back: &[f32], labelled: &[f32], missed: f32) -> Self {
        let points: Vec<_> = own
            .iter()
            .map(|x| (*x, false, 1.0))
            .chain(kept_back.iter().chain(labelled).map(|x| (*x, true, 1.0)))
            .collect();
        let (slope, offset) = if kept_back.len() + labelled.len() == 0 {
            (1.0, 0.0)
        } else {
            calibrate::platt(&points)
        };
        let slope = slope.clamp(SLOPE.0, SLOPE.1);
        let mut sorted = own.to_vec();
        sorted.sort_by(f32::total_cmp);
        let first = (sorted.len() as f32 * (1.0 - TAIL)) as usize;
        let usual = sorted.get(first).copied().unwrap_or_default();
        let beyond = sorted.get(first..).unwrap_or_default();
        let excess = beyond.iter().map(|x| x - usual).sum::<f32>() / beyond.len().max(1) as f32;
        let even = usual + excess * (TAIL / ABOVE).ln();
        let zero = -offset / slope;
        let bend = MAX_BEND / slope * (1.0 - labelled.len() as f32 / LABELS).max(0.0);
        let mut known = kept_back.to_vec();
        known.sort_by(f32::total_cmp);
        let seen = known.get((known.len() as f32 * missed) as usize);
        let even = even.min(seen.copied().unwrap_or(f32::INFINITY));
        let even = even.clamp(zero, zero + bend);
        let spam: Vec<f32> = kept_back.iter().chain(labelled).copied().collect();
        let open = open_from(&sorted, &spam, zero, even).min(zero + UNSURE / slope);
        let bent = Bent {
            slope,
            offset,
            even,
            open,
        };
        Self {
            bent,
            usual,
            excess,
            fitted: true,
        }
    }

    /// The map for a tenant of whose recent mail the shipped model took this share for spam, 0-1.
    /// Even odds move down along the exponential tail of own ham, unless they are lower already,
    /// but never below the line. The open range shrinks with the bend.
    pub(super) fn eased(&self, spam: f32) -> Self {
        if !self.fitted {
            return *self;
        }
        let bent = self.bent;
        let zero = -bent.offset / bent.slope;
        let even = self.usual + self.excess * (TAIL / (ABOVE + ABOVE_PER_SPAM * spam)).ln();
        let even = even.min(bent.even).max(zero);
        let left = if bent.even > zero {
            (even - zero) / (bent.even - zero)
        } else {
            1.0
        };
        let top = zero + UNSURE / bent.slope;
        let bent = Bent {
            even,
            open: top - (top - bent.open) * left,
            ..bent
        };
        Self { bent, ..*self }
    }

    /// The calibrated ratio, nats.
    pub(super) fn apply(&self, raw: f32) -> f32 {
        let calibrated = if self.fitted {
            self.bent.apply(raw)
        } else {
            raw
        };
        calibrated.clamp(
            -crate::score::model::MAX_LLR as f32,
            crate::score::model::MAX_LLR as f32,
        )
    }

    /// Whether a message of this score lies outside the nearest nine tenths of own mail.
    pub(super) fn is_unusual(&self, raw: f32) -> bool {
        raw > self.usual
    }
}

/// The score from which, up to `even`, the ratio is left open. The ratio of spam between even odds
/// by the line and by the tail is held just below even odds, to protect own ham. This is correct
/// only if an equally large share of own ham lies in the open range. `own` is sorted.
fn open_from(own: &[f32], spam: &[f32], zero: f32, even: f32) -> f32 {
    let held =
        spam.iter().filter(|x| **x > zero && **x < even).count() as f32 / spam.len().max(1) as f32;
    let below = own.partition_point(|x| *x < even);
    let first = below.saturating_sub((held * own.len() as f32) as usize);
    own.get(first).copied().unwrap_or(zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<f32> {
        // An exponential tail with mean excess 1 above -4.
        (0..384)
            .map(|n| -4.0 - (1.0 - (n as f32 + 0.5) / 384.0).ln())
            .collect()
    }

    #[test]
    fn hardly_any_own_ham_lies_above_even_odds_and_the_map_is_monotone() {
        let spam: Vec<f32> = (0..150).map(|n| -4.5 + n as f32 / 15.0).collect();
        let map = Map::fit(&own(), &spam, &[], 1.0);
        let exact = -4.0 + (1.0 / ABOVE).ln();
        assert!(
            (map.bent.even - exact).abs() < 0.4,
            "{} {exact}",
            map.bent.even
        );
        assert!(map.apply(map.bent.even - 0.01) < 0.0 && map.apply(map.bent.even + 0.01) > 0.0);
        let values: Vec<f32> = (-200..200).map(|n| map.apply(n as f32 / 20.0)).collect();
        assert!(values.is_sorted(), "{map:?}");
        assert!(map.is_unusual(0.0) && !map.is_unusual(-3.5));
        // As much own ham is left open as spam is held below even odds.
        let share = |list: &[f32], from: f32| {
            list.iter()
                .filter(|x| **x >= from && **x < map.bent.even)
                .count() as f32
                / list.len() as f32
        };
        let (ham, spam_held) = (
            share(&own(), map.bent.open),
            share(&spam, -map.bent.offset / map.bent.slope),
        );
        assert!(
            (ham - spam_held).abs() < 0.01 && ham > 0.05,
            "{ham} {spam_held}"
        );
        let labelled: Vec<f32> = spam.iter().copied().cycle().take(60).collect();
        let plain = Map::fit(&own(), &spam, &labelled, 1.0);
        assert!(
            (plain.bent.slope * plain.bent.even + plain.bent.offset).abs() < 1e-3,
            "labels make the bend superfluous"
        );
    }

    /// Spam among the first messages of a tenant makes a long tail; even odds do not follow it over
    /// all spam.
    #[test]
    fn the_bend_hides_no_more_known_spam_than_is_missed_anyway() {
        let mut poisoned = own();
        poisoned.truncate(300);
        poisoned.extend((0..40).map(|n| 1.0 + n as f32 / 20.0));
        let spam: Vec<f32> = (0..200).map(|n| n as f32 / 40.0).collect();
        let held = |map: &Map| spam.iter().filter(|x| **x < map.bent.even).count();
        let free = Map::fit(&poisoned, &spam, &[], 1.0);
        let bound = Map::fit(&poisoned, &spam, &[], 0.25);
        assert!(held(&free) > 100, "{free:?}");
        assert!(held(&bound) <= 50, "{bound:?}");
    }

    #[test]
    fn refused_mail_takes_the_bend_back_within_bounds() {
        let spam: Vec<f32> = (0..150).map(|n| -4.5 + n as f32 / 15.0).collect();
        let map = Map::fit(&own(), &spam, &[], 1.0);
        assert_eq!(map.eased(0.0).bent.even, map.bent.even);
        let evens: Vec<f32> = (0..=10)
            .map(|n| map.eased(n as f32 / 10.0).bent.even)
            .collect();
        assert!(evens.is_sorted_by(|more, less| more > less), "{evens:?}");
        let all = map.eased(1.0);
        // Whatever is refused, by its tail hardly any own ham lies above even odds.
        let above = (-(all.bent.even + 4.0)).exp();
        assert!(
            (0.9..1.3).contains(&(above / (ABOVE + ABOVE_PER_SPAM))),
            "{above}"
        );
        let values: Vec<f32> = (-200..200).map(|n| all.apply(n as f32 / 20.0)).collect();
        assert!(
            values.is_sorted()
                && all.apply(all.bent.even - 0.01) < 0.0
                && all.apply(all.bent.even + 0.01) > 0.0,
            "{all:?}"
        );
        assert!(
            all.bent.open > map.bent.open && all.bent.open < all.bent.even,
            "{all:?}"
        );
        // The line stays the limit, and so does the bend where the tail reaches beyond it: what lay
        // above it already is not multiplied. A map that is not bent stays as it is.
        let near = Map {
            usual: -10.0,
            excess: 0.1,
            ..map
        }
        .eased(1.0);
        assert!(
            (near.bent.slope * near.bent.even + near.bent.offset).abs() < 1e-3
                && near.bent.open <= near.bent.even,
            "{near:?}"
        );
        assert_eq!(
            Map {
                excess: 50.0,
                ..map
            }
            .eased(1.0),
            Map {
                excess: 50.0,
                ..map
            }
        );
        assert_eq!(Map::default().eased(1.0).apply(0.7), 0.7);
    }

    #[test]
    fn a_bad_tenants_tail_hides_a_bounded_part() {
        // Half of what it calls its own scores like spam.
        let own: Vec<f32> = (0..200)
            .map(|n| {
                if n % 2 == 0 {
                    -4.0
                } else {
                    6.0 + n as f32 / 100.0
                }
            })
            .collect();
        let spam: Vec<f32> = (0..150).map(|n| 2.0 + n as f32 / 20.0).collect();
        let map = Map::fit(&own, &spam, &[], 1.0);
        assert!(map.bent.slope * map.bent.even + map.bent.offset <= MAX_BEND + 1e-3);
        let none = Map::fit(&own, &[], &[], 1.0);
        assert!(none.apply(50.0) <= 12.0);
    }
}
