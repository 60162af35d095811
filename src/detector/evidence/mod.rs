//! Evidence in nats: what a message or an outcome adds to the sums of its sender. Each kind is
//! bounded and relative to the sender's own past; `docs/detector.md` gives the formulas.

mod circumstances;
mod content;
mod mailing;
mod others;
mod outcome;
mod recipients;
#[cfg(test)]
mod tests;

use super::context::Context;
use super::state::baseline::SenderClass;
use super::state::habits::{Circumstances, Setting};
use super::state::sender::Sender;
use super::state::unsaved::TextCount;
use crate::config::tuning::{Prior, Tuning};
use crate::types::Time;
pub(super) use others::{Flag, Others};

/// The bounds the detector works with, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::detector) struct Bounds {
    /// From this sum on a sender is blocked; `None` = the detector is off.
    pub block: Option<f64>,
    /// From this sum on it is watched.
    pub watch: f64,
    /// Largest content evidence of one message.
    pub content: f64,
}

impl Bounds {
    /// From the configured false-block rate (0 = off) and whether the tenant is still new.
    pub(in crate::detector) fn new(false_block_rate: f64, learning: bool, tuning: &Tuning) -> Self {
        let block = (false_block_rate > 0.0).then(|| (1.0 / false_block_rate).ln());
        let content = match block {
            Some(block) if learning => tuning
                .content_most
                .min(block / Tuning::LEARNING_MESSAGES_TO_BLOCK),
            _ => tuning.content_most,
        };
        Self {
            block,
            watch: block.map_or(f64::INFINITY, |b| b * tuning.watch_share),
            content,
        }
    }

    /// The bounds of a sender of so many messages in the last day.
    #[must_use]
    pub(in crate::detector) fn for_volume(self, messages: u32, tuning: &Tuning) -> Self {
        let more = tuning.more_for_volume(messages);
        Self {
            block: self.block.map(|b| b + more),
            watch: self.watch + more,
            ..self
        }
    }

    /// Whether this sum blocks.
    pub(in crate::detector) fn blocks(&self, sum: f64) -> bool {
        self.block.is_some_and(|b| sum >= b)
    }

    /// Whether this sum puts a sender under watch.
    pub(in crate::detector) fn watches(&self, sum: f64) -> bool {
        sum >= self.watch
    }
}

/// One message as the detector sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct AssessedMessage {
    /// Content LLR in nats, including what outside sources said.
    pub llr: f64,
    /// Fingerprint of the text; 0 = too short to tell.
    pub text: u64,
    /// The part of it that comes from listings, in nats.
    pub listed: f64,
    /// Its content counts as evidence: not that of a retried message or of the later parts of a
    /// letter.
    pub fresh: bool,
    /// It is a part of a letter to many.
    pub letter: bool,
    /// External recipients, not counted before, that the sender knows.
    pub known: u32,
    /// The same, new to the sender.
    pub new: u32,
    /// The sender's texts of the last day.
    pub texts: TextCount,
    /// The network and the time it comes from.
    pub setting: Setting,
    /// Messages of the sender in the last hour, this one among them.
    pub in_hour: u32,
    /// External recipients in the last hour, including those of this message, and how many of them
    /// are new.
    pub recipients_hour: (u32, u32),
}

impl AssessedMessage {
    /// The content speaks against its sender.
    pub(super) fn is_flagged(&self) -> bool {
        self.llr > Tuning::FLAG_NATS
    }

    /// External recipients, not counted before.
    const fn recipients(&self) -> u32 {
        self.known + self.new
    }
}

/// What a message adds to the sums of its sender, in nats, and what else follows from it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Weight {
    /// By its content without listings.
    pub content: f64,
    /// By listed links and addresses, beyond the content alone.
    pub listed: f64,
    pub recipients: f64,
    /// By the circumstances of flagged content.
    pub circumstances: Circumstances,
    /// A mailing unlike the sender's past: a person should decide.
    pub unusual: bool,
    /// What it says of other accounts, and what they say of its sender.
    pub flag: Flag,
}

impl Weight {
    /// What the message says of others with its text, in nats: that the sender knows its recipients
    /// does not excuse the text.
    pub(super) fn against_text(&self) -> f64 {
        self.sum() - self.recipients.min(0.0)
    }

    /// All evidence of the message.
    pub(super) fn sum(&self) -> f64 {
        self.content + self.listed + self.recipients + self.circumstances.sum()
    }
}

/// A message with all that the kinds of evidence need to know of its sender.
struct Case<'a> {
    message: &'a AssessedMessage,
    context: &'a Context<'a>,
    class: SenderClass,
    /// It goes to several recipients.
    multi: bool,
    /// What is assumed of the sender.
    prior: Prior,
}

impl<'a> Case<'a> {
    fn new(sender: &Sender, message: &'a AssessedMessage, context: &'a Context<'a>) -> Self {
        let class = sender.class(context.tuning);
        // A newcomer that writes to several at once is no application, whose template may always
        // look bad.
        let multi = message.recipients() > 1;
        let assumed = if class == SenderClass::Newcomer && multi {
            SenderClass::Person
        } else {
            class
        };
        Self {
            message,
            context,
            class,
            multi,
            prior: context.prior(assumed),
        }
    }
}

impl Sender {
    /// Adds the evidence of one message to the sums.
    pub(super) fn weigh(
        &mut self,
        now: Time,
        message: &AssessedMessage,
        context: &Context<'_>,
    ) -> Weight {
        if context.bounds.block.is_none() {
            self.forget_sums(now);
            return Weight::default();
        }
        let tuning = context.tuning;
        self.base.age(now, tuning.decay_per_day);
        self.sums.fade(now, tuning.half_life_hours);
        let case = Case::new(self, message, context);
        let strangers =
            recipients::of_strangers(&self.base, &case.prior, message.known, message.new, tuning);
        let content = self.weigh_content(&case, strangers);
        let strangers = if message.is_flagged() && strangers > 0.0 {
            strangers * content.trust
        } else {
            strangers
        };
        let recipients = self.weigh_recipients(now, &case, strangers, content.borne_out);
        let most = (content.borne_out * content.trust).min(content.whole);
        let circumstances = self.weigh_circumstances(&case, most);
        self.sums.add_content(content.whole + circumstances.sum());
        self.sums.add_recipients(recipients);
        if message.fresh && case.class == SenderClass::Person {
            self.sums.add_sparse(self.weigh_sparse(&case, &content));
        }
        Weight {
            content: content.alone,
            listed: content.whole - content.alone,
            recipients,
            circumstances,
            unusual: self.is_unusual(&case, strangers)
                || content.one_text && case.class == SenderClass::Person,
            flag: self.flag(&case, &content),
        }
    }
}

/// One step of the sequential sum. It never falls below zero, so good mail earns no credit for
/// later bad mail.
pub(in crate::detector) fn cusum(sum: f64, evidence: f64) -> f64 {
    let next = sum + evidence;
    if next > 0.0 { next } else { 0.0 }
}
