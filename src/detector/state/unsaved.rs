//! What is kept of some senders beside their record, while there is room: how fast they send if
//! that is limited, which alerts were sent, and what a policy in shadow mode would have done. None
//! of it survives a restart.

use crate::collections::table::Evict;
use crate::config::tuning::Tuning;
use crate::policy::ceilings;
use crate::types::fingerprint::is_near;
use crate::types::{Action, Reason, Time};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Texts remembered of a sender: so many flagged ones, and as many others.
const TEXTS: usize = 8;
/// A text that was not met for so long makes room.
const TEXT_LASTS: Duration = Duration::from_secs(Tuning::TEXT_HOURS * 3600);

/// Seconds of one bucket of the pace.
const STEP_SECS: i64 = 10;
/// Buckets that may reach into a minute.
const STEPS: usize = 7;

/// Messages of the last minute in buckets of ten seconds. A bucket that overlaps the minute counts
/// whole, so no true minute ever holds more than the ceiling.
#[derive(Debug, Clone, Copy, Default)]
struct MinuteCounts {
    newest: i64,
    counts: [u32; STEPS],
}

impl MinuteCounts {
    fn turn(&mut self, now: Time) {
        // After a clock step back the time is that of the newest bucket.
        let step = now.as_secs().div_euclid(STEP_SECS).max(self.newest);
        let by = usize::try_from(step - self.newest)
            .unwrap_or(STEPS)
            .min(STEPS);
        self.counts.rotate_right(by);
        self.counts.iter_mut().take(by).for_each(|count| *count = 0);
        self.newest = step;
    }

    fn sum(&self) -> u32 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// What a policy in shadow mode would have done with the mail of one sender since the start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShadowCounts {
    /// Messages it would have delivered through the high-risk pool.
    pub high_risk: u64,
    /// Messages it would have held.
    pub hold: u64,
    /// Messages it would have deferred.
    pub defer: u64,
    /// Messages it would have refused, also under a block it would have opened.
    pub reject: u64,
    /// Blocks it would have opened.
    pub blocks: u64,
    /// The reason for the last of them.
    pub last_block: Option<Reason>,
}

/// How many different texts a sender sent within a day, as far as remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::detector) struct TextCount {
    /// Flagged ones, the present one among them; at least 1.
    pub flagged: u32,
    /// Others; counted in a new tenant only.
    pub clean: u32,
    /// Copies of the present text whose score was like that of the first, the present one among
    /// them; 1 where no text is known.
    pub alike: u32,
}

impl Default for TextCount {
    fn default() -> Self {
        Self {
            flagged: 1,
            clean: 0,
            alike: 1,
        }
    }
}

/// A text of a sender.
#[derive(Debug, Clone, Copy)]
struct SenderText {
    fingerprint: u64,
    flagged: bool,
    last: Time,
    /// The score of the first copy, and copies that scored like it.
    llr: f32,
    alike: u32,
}

/// All of it for one sender.
#[derive(Debug, Clone, Default)]
pub(in crate::detector) struct UnsavedRecord {
    pace: MinuteCounts,
    /// Ceiling, percent reached (100 = passed), minute since the epoch.
    alerted: Vec<(Reason, u8, u32)>,
    pub(in crate::detector) shadow_counts: ShadowCounts,
    texts: Vec<SenderText>,
    /// Until when the shadow's block would stand; `None` = none, `Some(None)` = until released.
    blocked: Option<Option<Time>>,
    last: Time,
}

impl UnsavedRecord {
    /// Notes a text of the sender. Returns how many different texts there were within a day, as far
    /// as remembered: those it was flagged with, including this one, and the others. All texts too
    /// short for a fingerprint count as one.
    pub(in crate::detector) fn texts(
        &mut self,
        now: Time,
        fingerprint: u64,
        llr: f64,
    ) -> TextCount {
        let flagged = llr > Tuning::FLAG_NATS;
        self.last = self.last.max(now);
        self.texts.retain(|text| now.since(text.last) < TEXT_LASTS);
        let near = |text: &SenderText| {
            text.fingerprint == fingerprint || is_near(text.fingerprint, fingerprint)
        };
        let room = self
            .texts
            .iter()
            .filter(|text| text.flagged == flagged)
            .count()
            < TEXTS;
        let mut alike = 1;
        if let Some(text) = self.texts.iter_mut().find(|text| near(text)) {
            text.last = now;
            if (f64::from(text.llr) - llr).abs() < Tuning::TEXT_ALIKE {
                text.alike = text.alike.saturating_add(1);
            }
            if fingerprint != 0 {
                alike = text.alike;
            }
            // A text that was flagged once looks bad, no matter how its copies score.
            text.flagged |= flagged;
        } else if room {
            self.texts.push(SenderText {
                fingerprint,
                flagged,
                last: now,
                llr: llr as f32,
                alike: 1,
            });
        }
        let count = |flagged| {
            u32::try_from(
                self.texts
                    .iter()
                    .filter(|text| text.flagged == flagged)
                    .count(),
            )
            .unwrap_or(1)
        };
        TextCount {
            flagged: count(true).max(1),
            clean: count(false),
            alike,
        }
    }

    /// Messages of the last minute.
    pub(in crate::detector) fn minute_messages(&mut self, now: Time) -> u32 {
        self.pace.turn(now);
        self.pace.sum()
    }

    pub(in crate::detector) fn count(&mut self, now: Time) {
        self.last = self.last.max(now);
        self.pace.turn(now);
        if let Some(count) = self.pace.counts.first_mut() {
            *count = count.saturating_add(1);
        }
    }

    /// Whether people are to be alerted now that `percent` of a ceiling is reached: once in its
    /// window. After an alert about a higher percentage, a lower one is not sent.
    pub(in crate::detector) fn is_news(&mut self, now: Time, reason: Reason, percent: u8) -> bool {
        self.last = self.last.max(now);
        let minute = u32::try_from(now.as_secs().div_euclid(60)).unwrap_or(0);
        self.alerted.retain(|(reason, _, at)| {
            minute < at.saturating_add(ceilings::window_minutes(*reason))
        });
        let alerted = self
            .alerted
            .iter()
            .any(|(r, p, _)| *r == reason && *p >= percent);
        if !alerted {
            self.alerted.push((reason, percent, minute));
        }
        !alerted
    }

    /// Whether the policy in shadow mode would have blocked this sender.
    pub(in crate::detector) fn is_blocked(&mut self, now: Time) -> bool {
        if self.blocked.flatten().is_some_and(|until| until <= now) {
            self.blocked = None;
        }
        self.blocked.is_some()
    }

    /// Notes a block that the policy in shadow mode would have opened.
    pub(in crate::detector) fn would_block(
        &mut self,
        now: Time,
        until: Option<Time>,
        reason: Reason,
    ) {
        self.last = self.last.max(now);
        self.blocked = Some(until);
        self.shadow_counts.blocks += 1;
        self.shadow_counts.last_block = Some(reason);
    }

    /// Notes what the policy in shadow mode would have done with a message.
    pub(in crate::detector) fn would(&mut self, now: Time, action: Action) {
        self.last = self.last.max(now);
        match action {
            Action::Accept => {}
            Action::HighRisk => self.shadow_counts.high_risk += 1,
            Action::Hold => self.shadow_counts.hold += 1,
            Action::Defer => self.shadow_counts.defer += 1,
            Action::Reject => self.shadow_counts.reject += 1,
        }
    }
}

impl Evict for UnsavedRecord {
    fn rank(&self) -> (u8, i64) {
        (
            u8::from(self.shadow_counts != ShadowCounts::default()),
            self.last.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_holds_more_than_was_counted_and_old_ones_go() {
        let mut unsaved = UnsavedRecord::default();
        let at = |second: i64| Time::from_secs(1_795_356_000 + second);
        (0..5_i64).for_each(|n| unsaved.count(at(n * 10)));
        assert_eq!(unsaved.minute_messages(at(49)), 5);
        assert_eq!(
            unsaved.minute_messages(at(69)),
            5,
            "the first may be 60 seconds old"
        );
        assert_eq!(unsaved.minute_messages(at(70)), 4);
        assert_eq!(
            unsaved.minute_messages(at(40)),
            4,
            "a clock that steps back brings nothing back"
        );
        assert_eq!(unsaved.minute_messages(at(1000)), 0);
        unsaved.count(at(0));
        assert_eq!(unsaved.minute_messages(at(0)), 1, "and counts on");
    }

    #[test]
    fn texts_are_told_apart_and_bounded() {
        let mut unsaved = UnsavedRecord::default();
        let at = |second: i64| Time::from_secs(1_795_356_000 + second);
        let text = 0x0123_4567_89ab_cdef_u64;
        assert_eq!(
            [text, text ^ 3, 0, 0, !text].map(|t| unsaved.texts(at(0), t, 3.0).flagged),
            [1, 1, 2, 2, 3]
        );
        let clean = |n: u64| crate::types::hash::mix(n, 2);
        assert_eq!(
            [1, 1, 2, 3].map(|n| unsaved.texts(at(0), clean(n), -3.0).clean),
            [1, 1, 2, 3]
        );
        // A mailing of which one copy is flagged is no ordinary mail.
        assert_eq!(
            unsaved.texts(at(0), clean(2), 3.0),
            TextCount {
                flagged: 4,
                clean: 2,
                alike: 1
            }
        );
        assert_eq!(
            unsaved.texts(at(0), clean(2), -3.0),
            TextCount {
                flagged: 4,
                clean: 2,
                alike: 2
            }
        );
        for n in 0..1000 {
            let TextCount { flagged, clean, .. } = unsaved.texts(
                at(0),
                crate::types::hash::mix(n, 1),
                if n % 2 == 0 { 3.0 } else { -3.0 },
            );
            assert!(flagged <= 8 && clean <= 8);
        }
        assert_eq!(
            unsaved.texts(at(86_400), text, 3.0),
            TextCount {
                flagged: 1,
                clean: 0,
                alike: 1
            },
            "a day later it begins anew"
        );
    }

    #[test]
    fn people_are_told_once_in_a_window_and_of_more_when_it_gets_worse() {
        let mut unsaved = UnsavedRecord::default();
        let (hour, day) = (Reason::RecipientsExternalPerHour, Reason::RecipientsPerDay);
        let at = |minutes: i64| Time::from_secs(1_795_356_000 + minutes * 60);
        assert!(unsaved.is_news(at(0), hour, 75) && !unsaved.is_news(at(1), hour, 75));
        assert!(
            unsaved.is_news(at(2), hour, 90) && !unsaved.is_news(at(3), hour, 75),
            "who knows of 90 % is not told of 75 %"
        );
        assert!(unsaved.is_news(at(3), hour, 100) && unsaved.is_news(at(3), day, 75));
        assert!(unsaved.is_news(at(64), hour, 75) && !unsaved.is_news(at(64), day, 75));
        assert!(unsaved.is_news(at(3 + 24 * 60), day, 75));
    }
}
