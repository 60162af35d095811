//! What a flagged message says of other accounts, and what other accounts say of its sender.

use super::content::ContentEvidence;
use super::{Case, Weight};
use crate::config::tuning::Tuning;
use crate::detector::context::Context;
use crate::detector::state::baseline::SenderClass;
use crate::detector::state::sender::Sender;

/// What a flag on this sender says of other accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::detector) struct Flag {
    /// The sender is a person who is hardly ever flagged: the evidence counts against other
    /// accounts of the client and against other senders of this text.
    pub counts_for_others: bool,
    /// The sender is hardly ever flagged, or never wrote before: the evidence of others counts
    /// against it.
    pub others_count: bool,
    /// The sender has no history: its evidence counts against other senders of this text, and
    /// theirs against it.
    pub newcomer: bool,
    /// How much more common flags are among the tenant's persons than usual, in nats. Each flag
    /// counts that much less against others.
    common: f64,
    /// How much of the content's evidence is not by its level, in nats.
    beyond_level: f64,
    /// How much of it is not by the sender's past, in nats.
    beyond_past: f64,
}

impl Flag {
    /// What evidence of so many nats says of other accounts, above `floor`. Evidence by level
    /// counts the less the more common flags are in the tenant; evidence by the sender's past is
    /// relative to them, and counts `busy` nats less.
    pub(in crate::detector) fn joins(&self, nats: f64, floor: f64, busy: f64) -> f64 {
        nats - floor - (self.common + self.beyond_level).min(busy + self.beyond_past)
    }
}

impl Sender {
    /// Only persons count against others: a program whose template scores badly says nothing of
    /// them. A newcomer counts by its text: else unused accounts would be the best ones to take
    /// over.
    pub(super) fn flag(&self, case: &Case<'_>, content: &ContentEvidence) -> Flag {
        let flagged = case.message.is_flagged() || content.by_past.is_some();
        let (person, newcomer) = (
            flagged && case.class == SenderClass::Person,
            flagged && case.class == SenderClass::Newcomer,
        );
        let share = self.base.flagged_share(&case.prior);
        let usual = SenderClass::Person.prior().flagged.0;
        Flag {
            counts_for_others: person && share < Tuning::COUNTS_FOR_OTHERS_BELOW,
            others_count: (person || newcomer) && share < Tuning::OTHERS_COUNT_BELOW,
            newcomer: newcomer && case.message.recipients() > 0,
            common: case.context.classes.map_or(0.0, |c| {
                (c.prior(SenderClass::Person).flagged.0 / usual)
                    .ln()
                    .max(0.0)
            }),
            beyond_level: (content.whole - content.by_level).max(0.0),
            beyond_past: content
                .by_past
                .map_or(f64::INFINITY, |nats| (content.whole - nats).max(0.0)),
        }
    }
}

/// What other accounts add, in nats, to a message that is itself evidence against its sender.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::detector) struct Others {
    pub nats: f64,
    /// What others with the same text add; at most `nats`.
    pub by_text: f64,
}

impl Others {
    /// The same accounts may be behind client and text, so only the larger evidence counts.
    pub(in crate::detector) fn of(
        weight: &Weight,
        class: SenderClass,
        context: &Context<'_>,
    ) -> Self {
        let above = |floor: f64, recipients: f64, nats: f64| {
            if weight.flag.others_count && weight.content + recipients > floor {
                nats
            } else {
                0.0
            }
        };
        // In a new tenant everybody is a newcomer: what several of them send is held and blocks
        // nobody.
        let by_text = match weight.flag.newcomer {
            true if context.learning => 0.0,
            true => context.suspicion_of_text,
            // That the sender knows its recipients does not excuse a text that others send, too. Of
            // mail that has nothing in common but the client it does.
            false => above(
                context.tuning.template_floor,
                weight.recipients.max(0.0),
                context.suspicion_of_text,
            ),
        };
        // Other accounts of the client count against a newcomer only in a campaign beyond chance.
        let of_client = if class == SenderClass::Newcomer && !context.campaign {
            0.0
        } else {
            context.suspicion_of_others
        };
        Self {
            nats: above(context.tuning.pool_floor, weight.recipients, of_client).max(by_text),
            by_text,
        }
    }
}
