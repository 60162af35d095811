//! Evidence from the outcome of a message.

use crate::config::tuning::{Prior, Tuning};
use crate::detector::context::Context;
use crate::detector::state::baseline::Baseline;
use crate::detector::state::sender::Sender;
use crate::types::Time;

impl Sender {
    /// Adds the evidence of one outcome to the sums. An unknown user adds only what exceeds the
    /// nats that other reports about the same message have brought `already`. Returns the evidence
    /// alone, and what was added.
    pub(in crate::detector) fn weigh_outcome(
        &mut self,
        now: Time,
        bounced: bool,
        already: f64,
        context: &Context<'_>,
    ) -> (f64, f64) {
        if context.bounds.block.is_none() {
            return (0.0, 0.0);
        }
        let tuning = context.tuning;
        self.base.age(now, tuning.decay_per_day);
        self.sums.fade(now, tuning.half_life_hours);
        let prior = context.prior(self.class(tuning));
        let evidence = of_outcome(&self.base, &prior, bounced, tuning);
        let more = if evidence > 0.0 {
            (evidence - already).max(0.0)
        } else {
            evidence
        };
        self.sums.add_answers(more);
        if !context.bounds.watches(self.sum()) {
            self.base.learn_outcome(bounced);
        }
        (evidence, more)
    }

    /// Adds strong evidence of a fixed weight.
    pub(in crate::detector) fn weigh_fixed(&mut self, now: Time, nats: f64, context: &Context<'_>) {
        if context.bounds.block.is_some() {
            self.sums.fade(now, context.tuning.half_life_hours);
            self.sums.add_answers(nats);
        }
    }
}

/// Evidence of one outcome: an unknown user, or a delivery.
pub(super) fn of_outcome(base: &Baseline, prior: &Prior, bounced: bool, tuning: &Tuning) -> f64 {
    let share = base.bounced_share(prior);
    let value = if bounced {
        Tuning::CAMPAIGN_BOUNCES / share
    } else {
        (1.0 - Tuning::CAMPAIGN_BOUNCES) / (1.0 - share)
    };
    value
        .ln()
        .clamp(Tuning::DELIVERED_LEAST, tuning.bounce_most)
}
