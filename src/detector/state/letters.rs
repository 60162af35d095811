//! Letters to many, which a mail server splits into transactions. All parts together say as much as
//! the letter would in one transaction.

use crate::config::tuning::Tuning;
use crate::types::Time;
use std::time::Duration;

/// Letters of one sender remembered at a time: a mail server sends several at once.
const LETTERS: usize = 4;
/// After so long a message is another letter.
const LASTS: Duration = Duration::from_secs(Tuning::LETTER_HOURS * 3600);

/// What later parts of a letter need to know of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::detector) struct Letter {
    fingerprint: u64,
    begun: Time,
    /// Recipients outside so far.
    pub all: u32,
    /// A smaller part has come.
    ended: bool,
    /// Evidence of its external recipients so far, in nats.
    pub recipients: f64,
    /// Those of them who were new to the sender.
    pub new: u32,
}

/// The letters of one sender, the newest last.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::detector) struct Letters {
    list: Vec<Letter>,
}

impl Letters {
    /// Notes a message to so many external recipients who have not had it from this sender. For a
    /// part of a letter, returns whether the content of this part is evidence. `None` for any other
    /// message.
    ///
    /// One part may be smaller than the others, and ends the letter: else single messages after a
    /// large one would go unseen.
    pub(in crate::detector) fn part(
        &mut self,
        now: Time,
        fingerprint: u64,
        recipients: u32,
    ) -> Option<bool> {
        self.list.retain(|letter| now.since(letter.begun) < LASTS);
        let step = |recipients: u32| {
            (recipients / Tuning::LETTER_LONG)
                .checked_ilog(4)
                .map_or(0, |step| step + 1)
        };
        let known = self
            .list
            .iter()
            .position(|letter| letter.fingerprint == fingerprint && !letter.ended);
        let (mut letter, evidence) = match known.map(|place| self.list.remove(place)) {
            Some(mut letter) => {
                let before = letter.all;
                letter.all = before.saturating_add(recipients);
                (letter, step(letter.all) > step(before))
            }
            None if recipients < Tuning::LETTER_PART => return None,
            None => (
                Letter {
                    fingerprint,
                    begun: now,
                    all: recipients,
                    ended: false,
                    recipients: 0.0,
                    new: 0,
                },
                true,
            ),
        };
        letter.ended = recipients < Tuning::LETTER_PART;
        if self.list.len() >= LETTERS {
            self.list.remove(0);
        }
        self.list.push(letter);
        Some(evidence)
    }

    /// The newest letter, read-only.
    pub(in crate::detector) fn newest(&self) -> Option<&Letter> {
        self.list.last()
    }

    /// The letter whose part [`Letters::part`] has just noted.
    pub(in crate::detector) fn current(&mut self) -> Option<&mut Letter> {
        self.list.last_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these parts (letter, recipients) are evidence by their content.
    fn evidence(parts: &[(u64, u32)]) -> Vec<bool> {
        let mut letters = Letters::default();
        parts
            .iter()
            .map(|(letter, n)| letters.part(Time(0), *letter, *n).unwrap_or(true))
            .collect()
    }

    #[test]
    fn parts_of_letters_that_interleave_and_a_smaller_last_one_are_one_letter_each() {
        assert_eq!(
            evidence(&[(1, 50), (2, 50), (1, 50), (3, 1), (2, 50), (1, 10), (2, 50)]),
            [true, true, false, true, false, false, false]
        );
    }

    #[test]
    fn a_letter_has_an_end() {
        // Single messages behind a large part are messages of their own.
        assert_eq!(
            evidence(&[(1, 20), (1, 1), (1, 1), (1, 1)]),
            [true, false, true, true]
        );
        let parts = vec![(1, 50); 4000];
        let counted = evidence(&parts)
            .iter()
            .filter(|evidence| **evidence)
            .count();
        assert_eq!(
            counted, 6,
            "at 50, 200, 800, 3,200, 12,800, 51,200 and 204,800 of 200,000"
        );
        let mut letters = Letters::default();
        assert_eq!(letters.part(Time(0), 1, 50), Some(true));
        assert_eq!(
            letters.part(Time(0).after(LASTS), 1, 50),
            Some(true),
            "a day later"
        );
    }

    #[test]
    fn bounded() {
        let mut letters = Letters::default();
        (0..1000).for_each(|n| assert!(letters.part(Time(0), n, 30).is_some()));
        assert_eq!(letters.list.len(), LETTERS);
    }
}
