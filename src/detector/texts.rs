//! What the accounts of a tenant draw upon themselves with one text.

use super::Detector;
use super::judging::{Step, is_account};
use crate::config::tuning::Tuning;
use crate::detector::evidence::FLAG_NATS;
use crate::detector::group::{self, Group};
use crate::types::MessageFacts;
use crate::types::Time;
use crate::types::hash::hash_text;

impl Detector {
    /// What other accounts of the tenant have drawn upon themselves with the text of this message,
    /// in nats; asked only for flagged content.
    pub(super) fn suspicion_of_text(
        &self,
        now: Time,
        facts: &MessageFacts<'_>,
        tuning: &Tuning,
    ) -> f64 {
        let identity = facts.identity;
        let asked = facts.template != 0
            && tuning.template_hot > 0.0
            && facts.llr > FLAG_NATS
            && is_account(identity);
        if !asked {
            return 0.0;
        }
        let (who, to) = (hash_text(identity.key.as_str()), external(facts));
        let half_life = tuning.pool_half_life_minutes;
        let suspicion_of_others = |g: &Group| {
            g.templates.as_ref().map_or(0.0, |t| {
                t.suspicion_of_others(now, who, facts.template, &to, half_life)
            })
        };
        self.groups
            .read(&group::templates_key(&identity.tenant), suspicion_of_others)
            .unwrap_or_default()
            .min(tuning.template_hot)
    }

    /// Notes what the sender draws upon itself with this text, for others who send the same.
    pub(super) fn count_template(
        &self,
        now: Time,
        facts: &MessageFacts<'_>,
        step: &Step,
        tuning: &Tuning,
    ) {
        let (identity, text) = (facts.identity, facts.template);
        let nats = step.weight.sum() - tuning.template_floor - step.weight.common;
        let joins = (step.weight.counts_for_others || step.weight.newcomer) && nats > 0.0;
        // Of merely claimed senders anybody could invent enough.
        let says = joins || step.by_others || step.verdict.opens;
        if text == 0 || tuning.template_hot <= 0.0 || !says || !is_account(identity) {
            return;
        }
        let who = hash_text(identity.key.as_str());
        self.groups.with(
            &group::templates_key(&identity.tenant),
            Group::default,
            |g| {
                g.last = g.last.max(now);
                let templates = g.templates.get_or_insert_default();
                if joins {
                    let share = (nats, tuning.pool_share);
                    templates.add(
                        now,
                        who,
                        text,
                        &external(facts),
                        share,
                        tuning.pool_half_life_minutes,
                    );
                }
                if step.verdict.opens {
                    templates.met(text);
                }
                if step.by_others {
                    templates.confirm(now, text);
                }
            },
        );
    }
}

/// Hashes of the external recipients.
fn external(facts: &MessageFacts<'_>) -> Vec<u64> {
    facts
        .recipients
        .iter()
        .filter(|r| !r.internal)
        .map(|r| r.hash)
        .collect()
}
