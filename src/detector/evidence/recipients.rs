//! Evidence from the recipients of a message.

use super::Case;
use crate::config::tuning::{Prior, Tuning};
use crate::detector::state::baseline::{Baseline, SenderClass};
use crate::detector::state::sender::Sender;
use crate::types::Time;

impl Sender {
    /// The recipients' evidence, within the bound of a bulk sender. That bound rises with its
    /// volume like the others, so a mailing that is held stays held.
    pub(super) fn weigh_recipients(
        &mut self,
        now: Time,
        case: &Case<'_>,
        strangers: f64,
        borne_out: f64,
    ) -> f64 {
        let recipients = self.of_whole_letter(case, strangers, borne_out);
        let context = case.context;
        let bulk = case.class == SenderClass::Bulk && !case.multi && context.classes.is_some();
        if !bulk || recipients <= 0.0 {
            return recipients;
        }
        let tuning = context.tuning;
        let most = (context.bounds.watch - tuning.bulk_content).max(0.0) + Tuning::BULK_OVER_WATCH;
        let most = most + tuning.more_for_volume(self.messages_in_day(now));
        recipients.min((most - f64::from(self.sums.recipients())).max(0.0))
    }

    /// All recipients of one message stay within one bound, also those of a letter in several
    /// transactions. Returns what this part adds to the evidence of the earlier ones.
    fn of_whole_letter(&mut self, case: &Case<'_>, strangers: f64, borne_out: f64) -> f64 {
        let (message, tuning) = (case.message, case.context.tuning);
        if message.recipients() == 0 {
            return 0.0;
        }
        let most = tuning.recipients_most;
        let letter = if message.letter {
            self.letter_mut()
        } else {
            None
        };
        let (earlier, new) = letter.as_ref().map_or((0.0, message.new), |l| {
            (l.recipients, l.new.saturating_add(message.new))
        });
        let (part, limit) = if message.is_flagged() {
            (
                strangers.min(borne_out),
                most_of_strangers(new, most).min(borne_out.max(0.0)),
            )
        } else {
            // Ordinary content does not bear strangers out: all of them together count as if no
            // recipient were new.
            ((strangers - most).clamp(-most, 0.0), 0.0)
        };
        let whole = (earlier + part).clamp(-most, limit.max(earlier).max(-most));
        if let Some(letter) = letter {
            (letter.recipients, letter.new) = (whole, new);
        }
        whole - earlier
    }
}

/// Evidence of the external recipients of one message, `new` of them new to the sender, before the
/// content bears it out. The bound of one message grows with the logarithm of their number, because
/// a mailing to many is one event.
pub(super) fn of_strangers(
    base: &Baseline,
    prior: &Prior,
    known: u32,
    new: u32,
    tuning: &Tuning,
) -> f64 {
    let share = base.new_share(prior);
    let each_new = (Tuning::CAMPAIGN_NEW / share).ln();
    let each_known = ((1.0 - Tuning::CAMPAIGN_NEW) / (1.0 - share)).ln();
    let most = tuning.recipients_most;
    f64::from(new)
        .mul_add(each_new, f64::from(known) * each_known)
        .clamp(-most, most_of_strangers(new, most))
}

/// The most nats for so many new recipients of one message; `most` is the bound for a few.
pub(super) fn most_of_strangers(new: u32, most: f64) -> f64 {
    most * (1.0 + (f64::from(new) / Tuning::FEW_NEW).max(1.0).ln())
}
