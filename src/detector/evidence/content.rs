//! What the content of a message says.

use super::Case;
use crate::config::tuning::{Prior, Tuning};
use crate::detector::state::baseline::{Baseline, SenderClass};
use crate::detector::state::sender::Sender;
use crate::types::Strength;

/// What the content of one message says of its sender, in nats.
pub(super) struct ContentEvidence {
    /// Evidence against this sender, before the bound of its class.
    pub news: f64,
    /// The same by level alone, and by the sender's past, if it has one.
    pub by_level: f64,
    pub by_past: Option<f64>,
    /// Copies of this one text have said by the past all that one text can, and it is unlike it.
    pub one_text: bool,
    /// The evidence that is added to the sum.
    pub whole: f64,
    /// The part of `whole` from the content without listings.
    pub alone: f64,
    /// How far content is trusted, 0-1. It bears strangers out only as far.
    pub trust: f64,
    /// The most that it bears out of other evidence against the sender.
    pub borne_out: f64,
}

impl Sender {
    /// Content and listings together stay within one bound, relative to the sender's own past: a
    /// wrong listing must not block a sender of ordinary mail.
    pub(super) fn weigh_content(&self, case: &Case<'_>, strangers: f64) -> ContentEvidence {
        let (message, context) = (case.message, case.context);
        let content_most = context.tuning.content_most;
        let by_level = self.news_without_past(case, message.llr, strangers);
        let by_past = self.by_own_past(case, message.llr);
        let news = by_past.map_or(by_level, |nats| nats.max(by_level));
        let (bounded, one_text) = within_text(case, by_level, by_past);
        let whole = if message.fresh {
            self.within_class_bound(case, bounded)
        } else {
            0.0
        };
        let alone = if message.fresh && message.listed > 0.0 {
            let without_lists = self.news(case, message.llr - message.listed, strangers);
            self.within_class_bound(case, without_lists).min(whole)
        } else {
            whole
        };
        let ranked = context.is_ranked();
        let most = if ranked {
            content_most
        } else {
            context.bounds.content
        };
        let trusted = if ranked { news } else { most };
        ContentEvidence {
            news,
            by_level,
            by_past,
            one_text,
            whole,
            alone,
            trust: (trusted / content_most.max(1e-9)).clamp(0.0, 1.0),
            borne_out: corroboration(message.llr, news, most),
        }
    }

    /// Evidence of content of this LLR, before the bound of the sender's class.
    fn news(&self, case: &Case<'_>, llr: f64, strangers: f64) -> f64 {
        let others = self.news_without_past(case, llr, strangers);
        self.by_own_past(case, llr)
            .map_or(others, |nats| nats.max(others))
    }

    /// What content of this LLR says of a sender with a past of different texts; `None` if it has
    /// none, or if the score is below even odds.
    fn by_own_past(&self, case: &Case<'_>, llr: f64) -> Option<f64> {
        let varied = case.class == SenderClass::Person || self.past.is_varied();
        // What is under judgement is no past.
        let judged = self.judged_by(case.context.tuning.content_most);
        let texts = self.past.texts() - judged.min(self.past.above_even_odds());
        // Delivery reports and forwarded mail quote other authors.
        let nobody = self.strength == Strength::None;
        if nobody || !varied || texts < Tuning::PAST_LEAST || llr.is_nan() || llr <= 0.0 {
            return None;
        }
        // Where the tenant's other mail is not known, the score is taken at its word.
        let usual = case.context.usual.unwrap_or_else(|| (-llr).exp());
        let high = (self.past.as_high(llr) - judged).max(0.0);
        let tuning = case.context.tuning;
        let nats = by_past(usual, (texts, high), tuning).min(tuning.content_most);
        // Grows from zero at even odds to the whole at the level of the flag.
        Some(
            nats * if nats > 0.0 {
                (llr / Tuning::FLAG_NATS).min(1.0)
            } else {
                1.0
            },
        )
    }

    /// The same of a sender without a past.
    fn news_without_past(&self, case: &Case<'_>, llr: f64, strangers: f64) -> f64 {
        let context = case.context;
        if let (true, Some(usual)) = (context.learning, context.usual) {
            return by_rank(usual, self.base.own(self.judged()), llr, context.tuning);
        }
        let content = by_level(
            &self.base,
            &case.prior,
            llr,
            context.bounds.content,
            Tuning::CAMPAIGN_FLAGGED,
            context.tuning,
        );
        // Ordinary mail counts less for its sender if it goes to strangers: half of a campaign may
        // look ordinary.
        if content <= 0.0 {
            (content + strangers.max(0.0)).min(0.0)
        } else {
            content
        }
    }

    /// Content against a campaign that the model hardly sees.
    pub(super) fn weigh_sparse(&self, case: &Case<'_>, content: &ContentEvidence) -> f64 {
        let sparse = by_level(
            &self.base,
            &case.prior,
            case.message.llr,
            case.context.bounds.content,
            Tuning::SPARSE_FLAGGED,
            case.context.tuning,
        );
        if case.message.texts.alike > 1 && content.by_past.is_some() {
            // Copies that score alike are one event here, too.
            sparse.min(content.whole)
        } else if case.context.is_ranked() {
            sparse.min(content.news)
        } else {
            sparse
        }
    }

    /// Flagged messages that may have brought the content sum to its present value. They are under
    /// judgement and do not count as past yet.
    fn judged(&self) -> f64 {
        self.judged_by(Tuning::NATS_PER_JUDGED_FLAG)
    }

    /// The same if each has brought so many nats.
    fn judged_by(&self, nats: f64) -> f64 {
        (f64::from(self.sums.content()) / nats.max(1e-9)).ceil()
    }

    /// Content evidence up to the bound of the sender's class. One template a thousand times proves
    /// no more than once; several texts prove more.
    fn within_class_bound(&self, case: &Case<'_>, content: f64) -> f64 {
        let (context, texts) = (case.context, case.message.texts);
        let tuning = context.tuning;
        let clean = self.base.is_clean()
            || (context.learning && self.base.began_clean(texts.clean, self.judged()));
        let newcomer =
            case.class == SenderClass::Newcomer && context.classes.is_some() && !case.multi;
        // In a new tenant of which too little is known, the bound of `Bounds::content` stands alone.
        let ranked = context.is_ranked();
        // A program whose template has changed.
        let program = case.class == SenderClass::Application
            && context.classes.is_some()
            && !case.multi
            && !self.past.is_varied();
        let most = if program || !clean && (newcomer || ranked) {
            tuning.content_most.mul_add(
                f64::from(texts.flagged.saturating_sub(1)),
                tuning.newcomer_content,
            )
        } else if case.class == SenderClass::Bulk && context.classes.is_some() {
            tuning.bulk_content
        } else {
            return content;
        };
        content.min((most - f64::from(self.sums.content())).max(0.0))
    }
}

/// Content evidence: the calibrated LLR within its bounds. A flag (or its absence) says at most
/// what the sender's own share of flags allows, compared with a campaign of which this share is
/// flagged (`CAMPAIGN_FLAGGED` or `SPARSE_FLAGGED`). If that share is small, a flag says less
/// against the sender, and ordinary mail in between takes little away.
pub(super) fn by_level(
    base: &Baseline,
    prior: &Prior,
    llr: f64,
    most: f64,
    campaign: f64,
    tuning: &Tuning,
) -> f64 {
    if llr.is_nan() {
        return 0.0;
    }
    let share = base.flagged_share(prior);
    if llr > Tuning::FLAG_NATS {
        (llr - Tuning::FLAG_NATS)
            .min(most)
            .min((campaign / share).ln())
            .max(0.0)
    } else {
        llr.max(tuning.content_least)
            .max(((1.0 - campaign) / (1.0 - share)).ln())
            .min(0.0)
    }
}

/// Content evidence by rank, in nats: how unusual such a high score is if the share `usual` of the
/// tenant's other mail scores as high. It is at most what a flag can say of a sender of whose own
/// messages `flagged` were flagged and `clean` were not. In a tenant whose mail the classifier does
/// not know, the level of a score says little, but its rank says as much as in any other tenant.
/// Without a flag there is no evidence against the sender. A score below even odds that is like the
/// tenant's other mail speaks for the sender.
pub(super) fn by_rank(usual: f64, (flagged, clean): (f64, f64), llr: f64, tuning: &Tuning) -> f64 {
    let nats = Tuning::RANK_SLOPE.mul_add(-usual.max(1e-9).ln(), Tuning::RANK_SHARE.ln());
    if llr > Tuning::FLAG_NATS {
        let share = Tuning::RANK_OF_TENANT.mul_add(usual, flagged)
            / (Tuning::RANK_OF_TENANT + flagged + clean);
        let own = (Tuning::CAMPAIGN_FLAGGED / share.max(1e-9)).ln();
        // Grows from zero at the level of the flag.
        nats.min(own).clamp(0.0, tuning.content_most)
            * ((llr - Tuning::FLAG_NATS) / Tuning::RANK_WHOLE_ABOVE_FLAG).min(1.0)
    } else if llr <= 0.0 {
        nats.clamp(tuning.content_least, 0.0)
    } else {
        0.0
    }
}

/// Evidence of content within what one text can say in all its copies that score alike: they are
/// one event, and how rare that is says how much. Also whether it has said all of that, and is
/// unlike the past. A sender without a past has other bounds.
fn within_text(case: &Case<'_>, by_level: f64, by_past: Option<f64>) -> (f64, bool) {
    let (copies, llr) = (case.message.texts.alike, case.message.llr);
    let news = by_past.map_or(by_level, |nats| nats.max(by_level));
    let Some(past) = by_past.filter(|_| news > 0.0 && copies > 1) else {
        return (news, false);
    };
    let usual = case.context.usual.unwrap_or_else(|| (-llr).exp());
    let most = Tuning::TEXT_SAYS * (-usual.max(1e-9).ln()).max(llr);
    let said = |copies: u32| (f64::from(copies) * news).min(most);
    let nats = (said(copies) - said(copies - 1)).max(0.0);
    let unlike = past >= case.context.tuning.content_most - Tuning::TEXT_UNLIKE;
    (nats, nats <= 0.0 && unlike)
}

/// Content evidence by rank, in nats, against a sender of whose different `texts` of the past
/// `high` scored as high, in a tenant where the share `usual` of others' mail does.
pub(super) fn by_past(usual: f64, (texts, high): (f64, f64), tuning: &Tuning) -> f64 {
    let part = (Tuning::PAST_MOST / texts.max(1.0)).min(1.0);
    let share = Tuning::PAST_OF_TENANT.mul_add(usual, high * part)
        / (Tuning::PAST_OF_TENANT + texts * part);
    Tuning::RANK_SLOPE
        .mul_add(-share.max(1e-9).ln(), Tuning::RANK_SHARE.ln())
        .max(tuning.content_least)
}

/// How far content of this LLR, with `evidence` nats against this sender, bears out other evidence
/// against it. Strangers alone never block: a sender of ordinary mail to strangers is a new
/// employee or an application. A program or a mailing whose template always scores badly must not
/// be blocked either, so content counts here only as far as it is new for the sender.
pub(super) fn corroboration(llr: f64, evidence: f64, most: f64) -> f64 {
    let over = llr - Tuning::FLAG_NATS;
    let usual = over.min(most);
    if usual > 0.0 {
        over * (evidence / usual).clamp(0.0, 1.0)
    } else {
        0.0
    }
}
