//! Mailings that a person should decide about before they go.

use super::Case;
use crate::config::tuning::Tuning;
use crate::detector::state::baseline::SenderClass;
use crate::detector::state::sender::Sender;
use crate::types::Strength;

impl Sender {
    /// Whether a person should decide about this message before it goes.
    pub(super) fn is_unusual(&self, case: &Case<'_>, strangers: f64) -> bool {
        let text_held = case.context.text_held
            && case.message.recipients() > 0
            && case.message.llr > case.context.tuning.content_least;
        match case.class {
            // A copy of a text that several accounts are suspected for is held, unless it scores like
            // ordinary mail.
            SenderClass::Person | SenderClass::Newcomer if text_held => true,
            SenderClass::Newcomer => self.is_unusual_of_newcomer(case),
            // While other accounts of the client send a campaign, surprising strangers are held for
            // a person, too.
            SenderClass::Person
                if case.context.campaign && strangers >= Tuning::CAMPAIGN_STRANGERS_NATS =>
            {
                true
            }
            _ => self.is_surprising(case),
        }
    }

    /// A suspicious mailing of a sender without a history.
    fn is_unusual_of_newcomer(&self, case: &Case<'_>) -> bool {
        let (message, context) = (case.message, case.context);
        let known_tenant = context.classes.is_some() || context.learning;
        if self.strength == Strength::None || !known_tenant || !message.is_flagged() {
            return false;
        }
        let tuning = context.tuning;
        // All parts of a letter together. In a new tenant whose mail is not known well enough, many
        // strangers are rare enough.
        let many = tuning.mailing_recipients > 0.0
            && f64::from(self.whole_letter(message).1) > tuning.mailing_recipients
            && (context.is_rare() || context.usual.is_none());
        // A text that other newcomers are flagged with, too, is a campaign or a new program on many
        // hosts.
        let shared =
            context.suspicion_of_text >= Tuning::TEXT_OF_SEVERAL_NATS && message.recipients() > 0;
        let often =
            f64::from(message.in_hour) > tuning.newcomer_mailing && self.base.is_often_flagged();
        many || context.is_rare() && (shared || often)
    }

    /// Many strangers at once from a sender that rarely writes to strangers.
    fn is_surprising(&self, case: &Case<'_>) -> bool {
        let (message, tuning) = (case.message, case.context.tuning);
        let usual = self.base.new_share_at_most(&case.prior);
        let seen = self.base.recipients_seen(&case.prior);
        let surprising = |(all, new): (u32, u32)| {
            f64::from(new) > tuning.mailing_recipients
                && surprise(new.into(), all.into(), usual, seen) > tuning.mailing_nats
        };
        // A message mostly to known people goes, also while a mailing is held. Other mail of the
        // hour does not hide a mailing.
        message.new > message.known
            && tuning.mailing_recipients > 0.0
            && (surprising(message.recipients_hour)
                || message.letter && surprising(self.whole_letter(message)))
    }
}

/// How surprising it is that `new` of `all` recipients are new to a sender whose usual share is
/// `usual`, known from `seen` earlier recipients: nats of the likelihood ratio between two shares
/// and one common share, 0 if they are not more than usual. A share known from few recipients is
/// uncertain, so it surprises less.
pub(super) fn surprise(new: f64, all: f64, usual: f64, seen: f64) -> f64 {
    if all <= 0.0 || seen <= 0.0 {
        return 0.0;
    }
    let (p, q) = (
        (new / all).min(1.0),
        usual.clamp(Tuning::SURPRISE_USUAL_LEAST, Tuning::SURPRISE_USUAL_MOST),
    );
    // If nearly all recipients are new anyway, nothing is surprising.
    if p <= q || q > Tuning::SURPRISE_ENDS {
        return 0.0;
    }
    let common = all.mul_add(p, seen * q) / (all + seen);
    all.mul_add(divergence(p, common), seen * divergence(q, common))
}

/// Kullback-Leibler divergence of two shares in nats; `q` is neither 0 nor 1.
fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(p, q) + part(1.0 - p, 1.0 - q)
}
