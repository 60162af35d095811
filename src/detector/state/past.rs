//! How the mail of one sender has scored so far, in a few octets: how many different texts scored
//! in each band, and whether it writes different texts at all.

use crate::config::tuning::Tuning;
use serde::{Deserialize, Serialize};

/// Upper ends of the bands, in nats; the last band has none. Below even odds one is enough.
const ENDS: [f64; 11] = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0];
/// Texts remembered to tell copies.
const TEXTS: usize = 2;
/// Parts of a nat in which the last score is kept.
const PARTS: f64 = 8.0;

/// The past scores of one sender. A counter that is full halves all of them, so the past fades.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detector) struct OwnPast {
    /// Different texts by the band of their score.
    bands: [u8; ENDS.len() + 1],
    /// Messages with a text unlike the last ones, and copies of those.
    different: u8,
    copies: u8,
    /// The last score, in parts of a nat.
    last: i8,
    /// The newest texts: halves of their fingerprints.
    texts: [u32; TEXTS],
}

/// The band of a score.
fn band(llr: f64) -> usize {
    ENDS.iter().take_while(|end| llr > **end).count()
}

/// One half of a fingerprint is enough to tell copies from other texts.
const fn half(text: u64) -> u32 {
    (text >> 32) as u32
}

impl OwnPast {
    /// Whether this is a copy of a text that was met lately. Where the text is not known, a score
    /// like the last one is taken for a copy.
    fn is_copy(&self, text: u64, llr: f64) -> bool {
        if self.different == 0 {
            return false;
        }
        if text == 0 {
            let last = f64::from(self.last) / PARTS;
            return (last - llr).abs() < Tuning::PAST_COPY;
        }
        let near = |known: &u32| {
            *known != 0 && (known ^ half(text)).count_ones() <= Tuning::PAST_COPY_BITS
        };
        self.texts.iter().any(near)
    }

    /// Learns a message that went. Copies of one text count once.
    pub(in crate::detector) fn learn(&mut self, text: u64, llr: f64) {
        if !llr.is_finite() {
            return;
        }
        let copy = self.is_copy(text, llr);
        self.last = (llr * PARTS).round() as i8;
        if copy {
            self.copies = self.copies.saturating_add(1);
        } else {
            self.different = self.different.saturating_add(1);
            self.count(llr);
            if text != 0 {
                let [newest, _] = self.texts;
                self.texts = [half(text), newest];
            }
        }
        if self.copies == u8::MAX || self.different == u8::MAX {
            self.copies /= 2;
            self.different = self.different.div_ceil(2);
        }
    }

    fn count(&mut self, llr: f64) {
        let Some(counter) = self.bands.get_mut(band(llr)) else {
            return;
        };
        *counter = counter.saturating_add(1);
        if *counter == u8::MAX {
            // A single high score is rounded up: it is not forgotten.
            self.bands
                .iter_mut()
                .for_each(|counter| *counter = counter.div_ceil(2));
        }
    }

    /// Notes that mail with this score was wanted.
    pub(in crate::detector) fn learn_wanted(&mut self, llr: f64) {
        if llr.is_finite() {
            self.count(llr);
        }
    }

    /// Different texts of the past.
    pub(in crate::detector) fn texts(&self) -> f64 {
        self.bands.iter().map(|n| f64::from(*n)).sum()
    }

    /// Those of them that scored as high as this, its whole band among them.
    pub(in crate::detector) fn as_high(&self, llr: f64) -> f64 {
        self.bands
            .iter()
            .skip(band(llr))
            .map(|n| f64::from(*n))
            .sum()
    }

    /// Those that scored above even odds.
    pub(in crate::detector) fn above_even_odds(&self) -> f64 {
        self.as_high(f64::MIN_POSITIVE)
    }

    /// Whether it writes different texts: of a program with one template, and of a mailing, the
    /// scores are those of a text and no measure of the sender.
    pub(in crate::detector) const fn is_varied(&self) -> bool {
        self.different >= self.copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::hash::mix;

    fn past(messages: u64, text: impl Fn(u64) -> u64, llr: impl Fn(u64) -> f64) -> OwnPast {
        let mut past = OwnPast::default();
        (0..messages).for_each(|n| past.learn(text(n), llr(n)));
        past
    }

    #[test]
    fn scores_are_counted_by_band() {
        let own = past(40, |n| mix(n, 1), |n| if n < 4 { 2.2 } else { -3.0 });
        assert_eq!(
            [0.1, 1.9, 2.1, 2.6].map(|llr| own.as_high(llr)),
            [4.0, 4.0, 4.0, 0.0]
        );
        assert!((own.texts() - 40.0).abs() < 1e-9 && own.is_varied());
    }

    #[test]
    fn copies_of_one_text_are_one_score() {
        let template = mix(7, 1);
        let program = past(500, |n| template ^ (1 << (n % 60)), |_| 3.0);
        assert!(!program.is_varied());
        assert!(program.texts() < 1.5, "{}", program.texts());
        // Where no text is known, scores alike are taken for copies.
        assert!(!past(50, |_| 0, |_| -4.0).is_varied());
        let unknown = past(
            200,
            |_| 0,
            |n| -8.0 + mix(n, 3) as f64 / u64::MAX as f64 * 8.0,
        );
        assert!(unknown.is_varied() && unknown.texts() > 100.0);
    }

    #[test]
    fn the_past_fades_and_a_rare_high_score_stays() {
        let mut own = past(1, |_| 1 << 40, |_| 4.5);
        (0..100_000).for_each(|n| own.learn(mix(n, 1), -3.0));
        assert!(own.texts() < 256.0 && own.as_high(4.2) >= 1.0);
        own.learn(5, f64::NAN);
        assert!(own.texts() < 256.0);
    }
}
