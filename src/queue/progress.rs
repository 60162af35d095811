//! The progress record: the state of each recipient so far, as bytes for the spool and for memory.
//! Pure.
//!
//! Layout, version 1; numbers are LEB128 unless said otherwise: `version u8, flags u8, since i64
//! LE, [hold: length, JSON], [final action u8], recipients, runs…`, where a run is `length, status
//! u8, attempts, next i64 LE` and, where there is a last answer, `code, enhanced (3), text,
//! remote`. Consecutive recipients in the same state share one run: a thousand recipients of one
//! destination take as much space as one.

use super::{FailedRecipient, FailureCause};
use crate::types::replies;
use crate::types::{Enhanced, HoldReason, Reply, Time};
use std::sync::Arc;
use std::time::Duration;

const VERSION: u8 = 1;
const HELD: u8 = 1;
const NOTICE_SENT: u8 = 2;
const FINAL_ACTION: u8 = 4;
/// Reply text kept per recipient, in octets.
const TEXT_MAX: usize = 240;
/// Host name kept per recipient, in octets.
const REMOTE_MAX: usize = 120;
/// No envelope has more recipients. It bounds the memory that a damaged record can make us
/// allocate.
const RECIPIENTS_MAX: usize = 1_000_000;

/// The state of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Still to be tried.
    Pending,
    /// The next hop has accepted it.
    Delivered,
    /// The next hop has accepted it; the report of success that the sender asked for is not yet in
    /// the spool.
    Relaying,
    /// Failed, and the report is in the spool (or none is due).
    Failed,
    /// Failed, and the report is not yet in the spool. After a crash it counts as pending: a second
    /// attempt is better than lost mail.
    Reporting,
}

/// The last answer about a recipient that is still to be tried; text and host are cut to a bounded
/// length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Last {
    /// Reply in one line.
    pub reply: Reply,
    /// Host that sent it; empty if none.
    pub remote: String,
}

impl Last {
    /// Cuts reply and host to the length that is kept.
    pub(super) fn new(reply: &Reply, remote: &str) -> Self {
        let text = reply.lines.join(" ");
        let reply = Reply {
            code: reply.code,
            enhanced: reply.enhanced,
            lines: vec![cut(&text, TEXT_MAX).to_owned()],
        };
        Self {
            reply,
            remote: cut(remote, REMOTE_MAX).to_owned(),
        }
    }
}

fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most))
        .unwrap_or_default()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Track {
    pub stage: Stage,
    /// Attempts that ended without a final outcome.
    pub attempts: u16,
    /// Next attempt; zero = at once.
    pub next: Time,
    pub last: Option<Arc<Last>>,
}

impl Track {
    const FRESH: Self = Self {
        stage: Stage::Pending,
        attempts: 0,
        next: Time(0),
        last: None,
    };
}

/// The end of a message that will not be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FinalAction {
    /// Report to the sender.
    Return(FailureCause),
    /// Drop without a report (held mail only).
    Delete,
}

/// The state of one message that must survive a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MessageProgress {
    /// Why it is held; `None` = it is not.
    pub hold: Option<HoldReason>,
    /// Since when it is in delivery, or held.
    pub since: Time,
    /// The delay notice is sent.
    pub notice_sent: bool,
    /// It has ended, but the report to the sender is not yet in the spool.
    pub final_action: Option<FinalAction>,
    /// By index into the envelope's recipients.
    pub recipients: Vec<Track>,
}

impl MessageProgress {
    /// The progress of a message just accepted.
    pub(super) fn fresh(since: Time, hold: Option<HoldReason>, recipients: usize) -> Self {
        Self {
            hold,
            since,
            notice_sent: false,
            final_action: None,
            recipients: vec![Track::FRESH; recipients.min(RECIPIENTS_MAX)],
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out.push(VERSION);
        out.push(
            flag(self.hold.is_some(), HELD)
                | flag(self.notice_sent, NOTICE_SENT)
                | flag(self.final_action.is_some(), FINAL_ACTION),
        );
        out.extend_from_slice(&self.since.0.to_le_bytes());
        if let Some(hold) = &self.hold {
            put_text(&mut out, &serde_json::to_string(hold).unwrap_or_default());
        }
        if let Some(action) = self.final_action {
            out.push(final_action_code(action));
        }
        put(&mut out, self.recipients.len() as u64);
        for run in self.recipients.chunk_by(|a, b| a == b) {
            if let Some(track) = run.first() {
                put(&mut out, run.len() as u64);
                put_track(&mut out, track);
            }
        }
        out
    }

    /// Reads the bytes; `None` if they are damaged or of a version we do not know.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = ProgressReader(bytes);
        if input.byte()? != VERSION {
            return None;
        }
        let flags = input.byte()?;
        let since = input.time()?;
        let hold = if flags & HELD == 0 {
            None
        } else {
            Some(serde_json::from_str(&input.text()?).ok()?)
        };
        let action = if flags & FINAL_ACTION == 0 {
            None
        } else {
            Some(final_action_of(input.byte()?)?)
        };
        let count = input.size().filter(|n| *n <= RECIPIENTS_MAX)?;
        let mut recipients = Vec::new();
        while recipients.len() < count {
            let run = input
                .size()
                .filter(|n| *n > 0 && *n <= count - recipients.len())?;
            let track = input.track()?;
            recipients.resize(recipients.len() + run, track);
        }
        input.0.is_empty().then_some(Self {
            hold,
            since,
            notice_sent: flags & NOTICE_SENT != 0,
            final_action: action,
            recipients,
        })
    }

    /// Indexes of recipients still to be tried.
    pub(super) fn pending(&self) -> impl Iterator<Item = (u32, &Track)> {
        (0u32..)
            .zip(&self.recipients)
            .filter(|(_, t)| t.stage == Stage::Pending)
    }

    /// Delays the next attempt of every pending recipient to `next` at the earliest.
    pub(super) fn put_off(&mut self, next: Time) {
        for track in self
            .recipients
            .iter_mut()
            .filter(|t| t.stage == Stage::Pending)
        {
            track.next = track.next.max(next);
        }
    }

    /// Recipients that a report of success is still due for, each with the answer of the next hop.
    pub(super) fn relaying(&self) -> Vec<FailedRecipient> {
        let owed = (0u32..)
            .zip(&self.recipients)
            .filter(|(_, t)| t.stage == Stage::Relaying);
        owed.map(|(recipient, track)| match track.last.as_deref() {
            Some(last) => FailedRecipient {
                recipient,
                reply: last.reply.clone(),
                remote: last.remote.clone(),
            },
            None => FailedRecipient {
                recipient,
                reply: replies::taken_by_next_hop(),
                remote: String::new(),
            },
        })
        .collect()
    }

    /// A report on these recipients is postponed: they are tried again, or reported again, after
    /// `next`.
    pub(super) fn put_back(&mut self, told: &[FailedRecipient], next: Time) {
        for told in told {
            let track = self
                .recipients
                .get_mut(told.recipient as usize)
                .filter(|t| t.stage == Stage::Reporting);
            if let Some(track) = track {
                let last = Some(Arc::new(Last::new(&told.reply, &told.remote)));
                *track = Track {
                    stage: Stage::Pending,
                    attempts: track.attempts,
                    next,
                    last,
                };
            }
        }
    }

    /// Adjusts the progress after a restart. Open reports are lost, so their recipients are tried
    /// again. If the clock was set back, the message would wait for a time far ahead: so `since` is
    /// at most `now`, and the wait is at most `longest_wait`.
    pub(super) fn recover(&mut self, recipients: usize, now: Time, longest_wait: Duration) {
        self.since = self.since.min(now);
        self.recipients
            .resize(recipients.min(RECIPIENTS_MAX), Track::FRESH);
        for track in self
            .recipients
            .iter_mut()
            .filter(|t| t.stage == Stage::Reporting)
        {
            *track = Track {
                stage: Stage::Pending,
                next: Time(0),
                ..track.clone()
            };
        }
        for track in &mut self.recipients {
            track.next = track.next.min(now.after(longest_wait));
        }
    }
}

const fn final_action_code(action: FinalAction) -> u8 {
    match action {
        FinalAction::Delete => 0,
        FinalAction::Return(FailureCause::Refused) => 1,
        FinalAction::Return(FailureCause::Expired) => 2,
        FinalAction::Return(FailureCause::HeldReturned) => 3,
        FinalAction::Return(FailureCause::Admin) => 4,
    }
}

const fn final_action_of(code: u8) -> Option<FinalAction> {
    Some(match code {
        0 => FinalAction::Delete,
        1 => FinalAction::Return(FailureCause::Refused),
        2 => FinalAction::Return(FailureCause::Expired),
        3 => FinalAction::Return(FailureCause::HeldReturned),
        4 => FinalAction::Return(FailureCause::Admin),
        _ => return None,
    })
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_track(out: &mut Vec<u8>, track: &Track) {
    let stage = match track.stage {
        Stage::Pending => 0,
        Stage::Delivered => 1,
        Stage::Failed => 2,
        Stage::Reporting => 3,
        Stage::Relaying => 4,
    };
    out.push(stage | if track.last.is_some() { 0x10 } else { 0 });
    put(out, u64::from(track.attempts));
    out.extend_from_slice(&track.next.0.to_le_bytes());
    if let Some(last) = &track.last {
        put(out, u64::from(last.reply.code));
        let Enhanced(class, subject, detail) = last.reply.enhanced.unwrap_or(Enhanced(0, 0, 0));
        out.push(class);
        put(out, u64::from(subject));
        put(out, u64::from(detail));
        put_text(out, last.reply.lines.first().map_or("", String::as_str));
        put_text(out, &last.remote);
    }
}

struct ProgressReader<'a>(&'a [u8]);

impl ProgressReader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn size(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    fn time(&mut self) -> Option<Time> {
        let (head, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(Time(i64::from_le_bytes(*head)))
    }

    fn text(&mut self) -> Option<String> {
        let size = self.size()?;
        let (head, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        String::from_utf8(head.to_vec()).ok()
    }

    fn track(&mut self) -> Option<Track> {
        let head = self.byte()?;
        let stage = match head & 0x0f {
            0 => Stage::Pending,
            1 => Stage::Delivered,
            2 => Stage::Failed,
            3 => Stage::Reporting,
            4 => Stage::Relaying,
            _ => return None,
        };
        let attempts = u16::try_from(self.number()?).ok()?;
        let next = self.time()?;
        let last = if head & 0x10 == 0 {
            None
        } else {
            Some(Arc::new(self.last()?))
        };
        Some(Track {
            stage,
            attempts,
            next,
            last,
        })
    }

    fn last(&mut self) -> Option<Last> {
        let code = u16::try_from(self.number()?).ok()?;
        let class = self.byte()?;
        let (subject, detail) = (
            u16::try_from(self.number()?).ok()?,
            u16::try_from(self.number()?).ok()?,
        );
        let enhanced = (class != 0).then_some(Enhanced(class, subject, detail));
        let reply = Reply {
            code,
            enhanced,
            lines: vec![self.text()?],
        };
        Some(Last {
            reply,
            remote: self.text()?,
        })
    }
}

#[cfg(test)]
mod tests;
