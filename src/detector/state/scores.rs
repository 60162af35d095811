//! How the ordinary mail of a new tenant scores. The score of a classifier says little about mail
//! that it does not know; a score unlike the other mail of the tenant says much.

use crate::collections::table::Evict;
use crate::config::tuning::Tuning;
use crate::types::Time;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The newest scores of a tenant's mail, each with the hash of its sender.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detector) struct Scores {
    list: VecDeque<(u64, f32)>,
    last: Time,
}

impl Scores {
    /// Notes the log-likelihood ratio (nats) of a message that went.
    pub(in crate::detector) fn learn(&mut self, now: Time, who: u64, llr: f64) {
        if !llr.is_finite() {
            return;
        }
        self.last = self.last.max(now);
        let score = llr as f32;
        let high = score > 0.0;
        let most = if high {
            Tuning::HIGH_SCORES_OF_ONE
        } else {
            Tuning::SCORES_OF_ONE
        };
        let (mut oldest, mut count, mut copy) = (None, 0, None);
        let own = self
            .list
            .iter()
            .enumerate()
            .filter(|(_, (sender, s))| *sender == who && (*s > 0.0) == high);
        for (place, (_, own)) in own {
            oldest = oldest.or(Some(place));
            count += 1;
            if (own - score).abs() < Tuning::SCORE_COPY {
                copy = Some(place);
            }
        }
        let surplus = copy.or_else(|| oldest.filter(|_| count >= most));
        if let Some(place) = surplus.or((self.list.len() >= Tuning::SCORES).then_some(0)) {
            self.list.remove(place);
        }
        self.list.push_back((who, score));
    }

    /// Forgets the scores of this sender: its mail was not ordinary.
    pub(in crate::detector) fn forget(&mut self, who: u64) {
        self.list.retain(|(sender, _)| *sender != who);
    }

    /// Share of the mail of other senders that scores as high as this, above 0; `None` while too
    /// little is known.
    pub(in crate::detector) fn share_above(&self, who: u64, llr: f64) -> Option<f64> {
        let (mut others, mut senders) = (
            Vec::with_capacity(self.list.len()),
            Vec::with_capacity(Tuning::SCORES_LEAST_SENDERS),
        );
        for (sender, score) in self.list.iter().filter(|(sender, _)| *sender != who) {
            others.push(f64::from(*score));
            if senders.len() < Tuning::SCORES_LEAST_SENDERS && !senders.contains(sender) {
                senders.push(*sender);
            }
        }
        if others.len() < Tuning::SCORES_LEAST || senders.len() < Tuning::SCORES_LEAST_SENDERS {
            return None;
        }
        let all = others.len() as f64;
        let place = ((1.0 - Tuning::SCORE_TAIL) * all) as usize;
        let (_, tenth, above) = others.select_nth_unstable_by(place, f64::total_cmp);
        let tenth = *tenth;
        let scale = if above.is_empty() {
            0.0
        } else {
            above.iter().map(|s| s - tenth).sum::<f64>() / above.len() as f64
        };
        let share = if llr > tenth {
            Tuning::SCORE_TAIL * (-(llr - tenth) / scale.max(Tuning::SCORE_TAIL_LEAST)).exp()
        } else {
            (1 + others.iter().filter(|s| **s >= llr).count()) as f64 / (all + 1.0)
        };
        Some(share.max(Tuning::SCORE_SHARE_LEAST / (all + 1.0)))
    }
}

impl Evict for Scores {
    fn rank(&self) -> (u8, i64) {
        (0, self.last.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordinary(senders: u64, each: u64, score: impl Fn(u64) -> f64) -> Scores {
        let mut scores = Scores::default();
        for n in 0..senders * each {
            scores.learn(Time(0), n % senders, score(n));
        }
        scores
    }

    #[test]
    fn a_score_is_rare_by_what_others_write() {
        let clean = ordinary(20, 15, |n| -4.0 + (n % 37) as f64 * 0.05);
        let share = |scores: &Scores, llr| scores.share_above(99, llr).expect("enough");
        assert!(
            share(&clean, 2.0) < 0.002 && share(&clean, -3.0) > 0.4,
            "{} {}",
            share(&clean, 2.0),
            share(&clean, -3.0)
        );
        // A tenant of whose mail a third looks bad to the model, written by all of its people.
        let odd = ordinary(20, 15, |n| {
            if n % 3 == 0 {
                3.0 + n as f64 * 0.02
            } else {
                -3.0 - n as f64 * 0.02
            }
        });
        assert!(share(&odd, 3.0) > 0.15, "{}", share(&odd, 3.0));
    }

    #[test]
    fn nobody_is_measured_by_himself_nor_by_few() {
        let few = ordinary(3, 15, |n| -4.0 - n as f64 * 0.1);
        assert_eq!(few.share_above(99, 2.0), None, "45 messages of three");
        let mut scores = ordinary(4, 6, |n| -4.0 - n as f64 * 0.1);
        assert_eq!(scores.share_above(99, 2.0), None, "24 messages");
        (0..500).for_each(|n| scores.learn(Time(0), 7, -2.0 - n as f64));
        let share = scores.share_above(99, -600.0).expect("enough");
        assert!(
            share > 0.9 && scores.list.len() == 39,
            "500 letters count as 15"
        );
        assert_eq!(
            scores.share_above(7, 2.0),
            None,
            "its own mail does not excuse it"
        );
        scores.forget(7);
        assert_eq!(scores.share_above(99, 2.0), None);
    }

    #[test]
    fn what_one_sender_writes_makes_no_mail_usual() {
        let mut scores = ordinary(20, 15, |n| -4.0 - n as f64 * 0.1);
        (0..100).for_each(|n| scores.learn(Time(0), 7, 1.0 + n as f64 * 0.1));
        let one = scores.share_above(99, 2.0).expect("enough");
        (0..100).for_each(|n| scores.learn(Time(0), 100 + n % 20, 1.0 + n as f64 * 0.1));
        let many = scores.share_above(99, 2.0).expect("enough");
        assert!(one < 0.02 && many > 0.05, "{one} {many}");
    }

    #[test]
    fn copies_of_one_text_count_once() {
        let mut scores = ordinary(20, 15, |n| -4.0 - n as f64 * 0.1);
        let before = scores.share_above(99, 3.0).expect("enough");
        (0..500).for_each(|_| scores.learn(Time(0), 7, 3.5));
        let after = scores.share_above(99, 3.0).expect("enough");
        assert!(before < 0.005 && after < 0.02, "{before} {after}");
    }

    #[test]
    fn bounded_and_what_is_no_number_is_no_score() {
        let mut scores = ordinary(1000, 2, |n| -4.0 - n as f64 * 0.1);
        assert_eq!(scores.list.len(), Tuning::SCORES);
        [f64::NAN, f64::INFINITY]
            .iter()
            .for_each(|llr| scores.learn(Time(0), 5000, *llr));
        assert!(scores.list.iter().all(|(who, _)| *who != 5000));
        assert!(
            scores
                .share_above(99, f64::MAX)
                .is_some_and(|share| share > 0.0)
        );
    }
}
