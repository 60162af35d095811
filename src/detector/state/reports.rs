//! What recipients and their sites say of a sender's mail: complaints, refusals as spam, delivery
//! reports that come back later. Whoever got a message can say something of it, and of a report
//! nobody knows for certain who wrote it. So:
//!
//! - one message gives one piece of evidence, whatever is reported about it: the strongest counts,
//!   not the sum;
//! - who complains or refuses, or is unknown, counts once in a month, and so does a site from which
//!   reports come back;
//! - complaints are weighed against what the sender sent: few among many are normal;
//! - all of it together stays within a bound that grows with the mail of the day, with the number
//!   of sites that refuse, and slowly with the number of those who complain or refuse: a handful of
//!   recipients cannot block somebody who writes little by reports alone, whatever they do.

use crate::collections::table::Evict;
use crate::config::tuning::Tuning;
use crate::types::{MessageId, Time};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The reporter of a complaint that does not tell which of several recipients complains: all these
/// are one.
pub(crate) const SOMEBODY: u64 = 0x736f_6d65_626f_6479;

/// Minutes after which the same one is heard again.
const REMEMBERED: u32 = Tuning::REPORTER_DAYS * DAY;
/// Minutes of a day.
const DAY: u32 = 24 * 60;
/// Reporters and messages remembered of one sender.
const ENTRIES: usize = 64;

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detector) enum Saying {
    /// A complaint through a feedback loop.
    Complaint,
    /// A delivery report that came back after the message had been taken.
    Return,
    /// A refusal as spam, in the dialog.
    Refusal,
}

/// What a sender sent, in messages to outside.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::detector) struct Volume {
    /// In the last day.
    pub day: f64,
    /// Lately: what of its past has not faded. For what is said of older mail.
    pub lately: f64,
}

/// One report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::detector) struct Word {
    /// What is said.
    pub saying: Saying,
    /// By whom: a mailbox.
    pub reporter: u64,
    /// At which site.
    pub site: u64,
    /// When the message was sent.
    pub sent: Time,
}

/// Somebody who said something.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Said {
    who: u64,
    site: u64,
    minute: u32,
}

/// What the reports about one message have brought, in nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Piece {
    id: MessageId,
    /// The strongest of complaint, return and refusal.
    strongest: f32,
    /// Unknown users in the dialog, which are one piece together.
    unknown: f32,
}

/// What was said of the mail of an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Hour {
    /// Hours since the epoch; of older mail that is put together: 0.
    hour: u32,
    complaints: f32,
    returns: f32,
    refusals: f32,
    /// Pieces of evidence that came of it.
    granted: f32,
}

impl Hour {
    fn add(&mut self, other: &Self) {
        self.complaints += other.complaints;
        self.returns += other.returns;
        self.refusals += other.refusals;
        self.granted += other.granted;
    }

    fn scale(&mut self, by: f32) {
        for value in [
            &mut self.complaints,
            &mut self.returns,
            &mut self.refusals,
            &mut self.granted,
        ] {
            *value *= by;
        }
    }
}

/// All of it of one sender. Under 5 KB.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detector) struct Reports {
    /// Who complained, and sites from which reports came back.
    reporters: VecDeque<Said>,
    /// Who refused.
    refusers: VecDeque<Said>,
    /// Recipients that there are not.
    unknown: VecDeque<Said>,
    messages: VecDeque<Piece>,
    hours: Vec<Hour>,
    earlier: Hour,
    day: u32,
    last: Time,
}

fn minute(time: Time) -> u32 {
    u32::try_from(time.as_secs().div_euclid(60)).unwrap_or(0)
}

impl Reports {
    /// Hears what somebody says of the message `id`; the nats that it adds, where a whole piece of
    /// evidence has `piece` of them. `None`: the same one has spoken already.
    pub(in crate::detector) fn hear_of(
        &mut self,
        now: Time,
        id: MessageId,
        word: &Word,
        volume: Volume,
        piece: f64,
    ) -> Option<f64> {
        let of_message = self.piece(now, id);
        let before = f64::from(of_message.strongest.max(of_message.unknown));
        let room = (of_one(word.saying) - before / piece.max(1e-9)).max(0.0);
        let nats = self.hear(now, word, volume, room)? * piece;
        let of_message = self.piece(now, id);
        of_message.strongest = of_message.strongest.max((before + nats) as f32);
        Some(nats)
    }

    /// Hears what somebody says; in pieces of evidence, at most `room`, what it says more than was
    /// said before. `None`: the same one has spoken already.
    pub(in crate::detector) fn hear(
        &mut self,
        now: Time,
        word: &Word,
        volume: Volume,
        room: f64,
    ) -> Option<f64> {
        let Word {
            saying,
            reporter,
            site,
            sent,
        } = *word;
        self.last = self.last.max(now);
        // What comes back is told by a site, whatever it says of whom.
        let who = match saying {
            Saying::Complaint | Saying::Refusal => reporter,
            Saying::Return => !site,
        };
        let list = if saying == Saying::Refusal {
            &mut self.refusers
        } else {
            &mut self.reporters
        };
        let at = minute(now);
        if !note(
            list,
            Said {
                who,
                site,
                minute: at,
            },
        ) {
            return None;
        }
        self.age(at);
        let hour = minute(sent).min(at) / 60;
        let recent = self.is_recent(hour, at);
        let place = self.hour(hour, recent);
        match saying {
            Saying::Complaint => place.complaints += 1.0,
            Saying::Return => place.returns += 1.0,
            Saying::Refusal => place.refusals += 1.0,
        }
        let (mut all, messages) = (
            Hour::default(),
            if recent {
                volume.day
            } else {
                volume.day.max(volume.lately)
            },
        );
        self.hours.iter().for_each(|h| all.add(h));
        if !recent {
            all.add(&self.earlier);
        }
        let more = (self.worth(&all, messages, at) - f64::from(all.granted))
            .clamp(0.0, room.min(of_one(saying)));
        self.hour(hour, recent).granted += more as f32;
        Some(more)
    }

    /// In how many pieces of evidence all that was said results for a sender of so many messages.
    fn worth(&self, all: &Hour, messages: f64, at: u32) -> f64 {
        let beyond = |count: f32, normal: f64| normal.mul_add(-messages, f64::from(count)).max(0.0);
        let complaints = beyond(all.complaints, Tuning::COMPLAINTS_NORMAL);
        let returns = (beyond(all.returns, Tuning::RETURNS_NORMAL) * Tuning::RETURN_WEIGHT)
            .min(Tuning::RETURNS_MOST);
        let mut sites: Vec<u64> = self
            .refusers
            .iter()
            .filter(|said| said.minute.saturating_add(DAY) > at)
            .map(|said| said.site)
            .collect();
        sites.sort_unstable();
        sites.dedup();
        let many = Tuning::REPORTS_BEYOND_FEW
            * (complaints.max(f64::from(all.refusals)) - Tuning::REPORTS_FEW).max(0.0);
        let most = Tuning::REPORTS_FEW
            + many
            + messages / Tuning::MESSAGES_PER_REPORT
            + sites.len().saturating_sub(1) as f64;
        (complaints + returns + f64::from(all.refusals)).min(most)
    }

    /// Hears of an unknown user, who adds to the others of the same message: the recipients of a
    /// message are one piece together. Whom nobody knew a while ago nobody knows today, so that
    /// says nothing. `weigh` is told how many of its nats are not news; it gives the nats of the
    /// unknown user by itself.
    pub(in crate::detector) fn unknown_user(
        &mut self,
        now: Time,
        id: MessageId,
        recipient: u64,
        weigh: impl FnOnce(f64) -> f64,
    ) {
        if !note(
            &mut self.unknown,
            Said {
                who: recipient,
                site: 0,
                minute: minute(now),
            },
        ) {
            weigh(f64::INFINITY);
            return;
        }
        let piece = self.piece(now, id);
        let nats = weigh(f64::from((piece.strongest - piece.unknown).max(0.0)));
        piece.unknown += nats.max(0.0) as f32;
    }

    fn piece(&mut self, now: Time, id: MessageId) -> &mut Piece {
        self.last = self.last.max(now);
        let at = self.messages.iter().position(|piece| piece.id == id);
        let piece = at.and_then(|at| self.messages.remove(at)).unwrap_or(Piece {
            id,
            strongest: 0.0,
            unknown: 0.0,
        });
        if self.messages.len() >= ENTRIES {
            self.messages.pop_front();
        }
        self.messages.push_back(piece);
        let last = self.messages.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "it was put there just now")]
        &mut self.messages[last]
    }

    /// Forgets what was said so far, but not by whom nor of which message: it does not count once
    /// more.
    pub(in crate::detector) fn forgive(&mut self) {
        self.hours.clear();
        self.earlier = Hour::default();
    }

    const fn is_recent(&self, hour: u32, at: u32) -> bool {
        (hour + 1).saturating_mul(60).saturating_add(DAY) > at
    }

    fn hour(&mut self, hour: u32, recent: bool) -> &mut Hour {
        if !recent {
            return &mut self.earlier;
        }
        let place = self
            .hours
            .iter()
            .position(|h| h.hour == hour)
            .unwrap_or_else(|| {
                self.hours.push(Hour {
                    hour,
                    ..Hour::default()
                });
                self.hours.len() - 1
            });
        #[expect(
            clippy::indexing_slicing,
            reason = "it was found or put there just now"
        )]
        &mut self.hours[place]
    }

    /// Puts what is older than a day together, and lets it fade.
    fn age(&mut self, at: u32) {
        let today = at / DAY;
        let passed = today.saturating_sub(self.day);
        self.earlier
            .scale(Tuning::REPORTS_KEPT_PER_DAY.powi(i32::try_from(passed).unwrap_or(i32::MAX)));
        self.day = self.day.max(today);
        let hours = std::mem::take(&mut self.hours);
        let (young, old): (Vec<Hour>, Vec<Hour>) =
            hours.into_iter().partition(|h| self.is_recent(h.hour, at));
        self.hours = young;
        old.iter().for_each(|h| self.earlier.add(h));
    }
}

/// Notes who says something; false if the same one is remembered.
fn note(list: &mut VecDeque<Said>, new: Said) -> bool {
    list.retain(|said| said.minute.saturating_add(REMEMBERED) > new.minute);
    if list.iter().any(|said| said.who == new.who) {
        return false;
    }
    if list.len() >= ENTRIES {
        list.pop_front();
    }
    list.push_back(new);
    true
}

/// Most that one report says, in pieces.
const fn of_one(saying: Saying) -> f64 {
    match saying {
        Saying::Complaint | Saying::Refusal => 1.0,
        Saying::Return => Tuning::RETURN_WEIGHT,
    }
}

impl Evict for Reports {
    fn rank(&self) -> (u8, i64) {
        (u8::from(!self.hours.is_empty()), self.last.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(hours: i64) -> Time {
        Time::from_secs(1_795_356_000).after(Duration::from_secs(
            3600 * u64::try_from(hours).expect("later"),
        ))
    }

    fn word(saying: Saying, (reporter, site): (u64, u64), sent: Time) -> Word {
        Word {
            saying,
            reporter,
            site,
            sent,
        }
    }

    fn sum(kinds: &[(Saying, u64, u64)], messages: f64) -> f64 {
        let mut reports = Reports::default();
        let volume = Volume {
            day: messages,
            lately: messages,
        };
        let words = kinds
            .iter()
            .map(|(saying, who, site)| word(*saying, (*who, *site), at(0)));
        words
            .filter_map(|word| reports.hear(at(5), &word, volume, 1.0))
            .sum()
    }

    fn complaints(count: u64, messages: f64) -> f64 {
        sum(
            &(0..count)
                .map(|n| (Saying::Complaint, n, n))
                .collect::<Vec<_>>(),
            messages,
        )
    }

    #[test]
    fn complaints_weigh_against_what_was_sent() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-3, "{a} {b}");
        close(complaints(1, 1000.0), 0.0);
        close(complaints(5, 1000.0), 0.0);
        close(complaints(1, 3.0), 0.985);
        close(complaints(3, 3.0), 2.985);
        close(complaints(10, 200.0), 9.0);
        close(complaints(9, 10.0), 3.25 + 5.95 / 3.0);
        assert!(
            complaints(9, 10.0) * 2.5 < 13.8 && complaints(10, 10.0) * 2.5 > 13.8,
            "ten mailboxes block"
        );
        close(complaints(60, 100_000.0), 0.0);
        assert!(
            complaints(2000, 100_000.0) > 100.0,
            "beyond what is remembered of reporters, too"
        );
    }

    #[test]
    fn the_same_one_is_heard_once_in_a_month() {
        let mut reports = Reports::default();
        let volume = Volume {
            day: 3.0,
            lately: 20.0,
        };
        let mut hear = |hours| {
            reports.hear(
                at(hours),
                &word(Saying::Complaint, (7, 7), at(hours - 1)),
                volume,
                1.0,
            )
        };
        assert!(hear(1).is_some_and(|more| more > 0.9));
        assert!((1..30).all(|day| hear(24 * day).is_none()));
        assert!(hear(24 * 31 + 2).is_some());
    }

    #[test]
    fn who_writes_little_is_not_blocked_by_any_mix_of_reports_from_one_site() {
        let mix: Vec<_> = (0..9)
            .map(|n| {
                (
                    [Saying::Complaint, Saying::Refusal, Saying::Return][n % 3],
                    n as u64,
                    if n % 3 == 1 { 1 } else { n as u64 },
                )
            })
            .collect();
        // 2.5 nats each: 10 of the 13.8 that block, and under the 11 from which on a sender is
        // watched.
        assert!(
            sum(&mix, 40.0) <= 4.0 && sum(&mix, 3.0) <= 3.1,
            "{} {}",
            sum(&mix, 40.0),
            sum(&mix, 3.0)
        );
        let returns: Vec<_> = (0..500).map(|n| (Saying::Return, n, n)).collect();
        assert!((sum(&returns, 10.0) - 2.0).abs() < 1e-3);
        let sites: Vec<_> = (0..6).map(|n| (Saying::Refusal, n, n)).collect();
        assert!(
            (sum(&sites, 6.0) - 6.0).abs() < 1e-3,
            "six sites that refuse are six witnesses"
        );
        let at_one_site: Vec<_> = (0..12).map(|n| (Saying::Refusal, n, 1)).collect();
        assert!(
            (sum(&at_one_site, 12.0) - 6.3).abs() < 1e-3,
            "a run to one large site is stopped, too"
        );
    }

    /// Day after day with the same cap: what is left of the days before stays below the line of the
    /// block, too.
    #[test]
    fn reports_that_come_every_day_do_not_add_up_to_a_block() {
        let (mut reports, mut sum) = (Reports::default(), 0.0_f64);
        for day in 0..60 {
            sum *= 0.25;
            for n in 0..4 {
                let volume = Volume {
                    day: 10.0,
                    lately: 200.0,
                };
                let complaint = word(
                    Saying::Complaint,
                    (10 * day as u64 + n, 0),
                    at(24 * day + 7),
                );
                let more = reports.hear(at(24 * day + 8), &complaint, volume, 1.0);
                sum += 2.5 * more.expect("somebody else each time");
                assert!(sum < 13.0, "day {day}: {sum}");
            }
        }
    }

    #[test]
    fn one_message_is_one_piece_whatever_is_said_of_it() {
        let mut reports = Reports::default();
        let (now, id, other) = (at(0), MessageId(1), MessageId(2));
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        let volume = Volume::default();
        let hear = |reports: &mut Reports, saying, who, id| {
            reports
                .hear_of(now, id, &word(saying, (who, who), now), volume, 2.5)
                .expect("not heard before")
        };
        close(hear(&mut reports, Saying::Return, 0, id), 1.25);
        close(hear(&mut reports, Saying::Refusal, 1, id), 1.25);
        close(hear(&mut reports, Saying::Refusal, 2, id), 0.0);
        reports.unknown_user(now, id, 1, |already| {
            close(already, 2.5);
            2.0
        });
        reports.unknown_user(now, id, 2, |already| {
            close(already, 0.5);
            2.0
        });
        reports.unknown_user(now, id, 1, |already| {
            assert!(already.is_infinite(), "the same recipient again");
            2.0
        });
        close(hear(&mut reports, Saying::Refusal, 3, id), 0.0);
        close(hear(&mut reports, Saying::Refusal, 4, other), 2.5);
        assert!(reports.messages.len() <= ENTRIES);
    }

    #[test]
    fn what_is_said_of_last_weeks_newsletter_weighs_against_that_newsletter() {
        let mut reports = Reports::default();
        let volume = Volume {
            day: 0.0,
            lately: 10_000.0,
        };
        let heard = (0..40)
            .filter_map(|n| {
                reports.hear(at(60), &word(Saying::Complaint, (n, n), at(0)), volume, 1.0)
            })
            .sum::<f64>();
        assert!(heard < 1e-6, "{heard}");
        let fresh = Volume {
            day: 5.0,
            lately: 10_000.0,
        };
        let heard = (100..104)
            .filter_map(|n| {
                reports.hear(at(61), &word(Saying::Complaint, (n, n), at(60)), fresh, 1.0)
            })
            .sum::<f64>();
        assert!(heard > 2.9, "and of today's against today's: {heard}");
    }
}
