//! What follows from an assessment: the proof that is kept, the block that is opened, the alerts,
//! and what a policy in shadow mode would have done.

use super::assess::Assessment;
use super::explanation::{client_explanation, proof, signals};
use super::state::unsaved::UnsavedRecord;
use super::{Decision, Detector, InternalPart, ShadowDecision};
use crate::blocks::{active, rules};
use crate::config::Settings;
use crate::config::policies::Policy;
use crate::config::settings::BlockDuration;
use crate::policy::alert::Alert;
use crate::policy::decide::PolicyDecision;
use crate::policy::reasons;
use crate::policy::scope::Choice;
use crate::types::{
    Action, BlockKind, Identity, MessageFacts, NewBlock, Reason, SenderScope, Signal, Strength,
    Time,
};

/// A block that is to be opened.
pub(super) struct Opening {
    pub(super) reason: Reason,
    /// The sentence with the counters.
    pub(super) explanation: String,
    /// Its duration; `None` = as configured, by how often the subject was blocked lately.
    pub(super) duration: Option<BlockDuration>,
    /// It stops all merely claimed senders of the client, not only this sender.
    pub(super) client: bool,
}

impl Detector {
    /// Makes the decision of an assessment. With `client_blocks`, the claimed senders of the client
    /// together crossed its bound.
    pub(super) fn conclude(
        &self,
        now: Time,
        settings: &Settings,
        choice: &Choice<'_>,
        facts: &MessageFacts<'_>,
        assessment: Assessment,
        client_blocks: bool,
    ) -> Decision {
        let (identity, mut decision) = (facts.identity, assessment.decision);
        let by_client = client_blocks && !decision.opens && decision.action != Action::Defer;
        if by_client {
            decision = PolicyDecision {
                action: Action::Reject,
                reason: Reason::Evidence,
                opens: true,
                until_tomorrow: false,
                ..decision
            };
            self.take_back(facts);
        }
        let signals = signals(&assessment.weight);
        self.keep_proof(now, settings, facts, &assessment, &decision, &signals);
        let shadow_decision = self.shadow_decision(now, settings, choice, identity, &assessment);
        let alerts = self.alerts_of(
            now,
            settings,
            choice.policy,
            identity,
            &decision,
            &assessment,
        );
        let refused = matches!(decision.action, Action::Defer | Action::Reject) && !decision.opens;
        Decision {
            action: decision.action,
            reason: decision.reason,
            reply: refused
                .then(|| reasons::reply(decision.reason, decision.action))
                .flatten(),
            blocked_by: None,
            internal_part: InternalPart::Goes,
            alerts,
            signals,
            teaches: assessment.teaches && !by_client,
            shadow_decision,
            review: choice
                .policy
                .review_copy
                .clone()
                .filter(|_| assessment.review),
            open: decision.opens.then(|| {
                let explanation = if by_client {
                    client_explanation(identity)
                } else {
                    assessment.explanation
                };
                let opening = Opening {
                    reason: decision.reason,
                    explanation,
                    duration: decision
                        .until_tomorrow
                        .then_some(BlockDuration::UntilTomorrow),
                    client: by_client,
                };
                self.new_block(now, settings, identity, opening)
            }),
        }
    }

    /// Keeps the message as proof if it is evidence against its sender.
    fn keep_proof(
        &self,
        now: Time,
        settings: &Settings,
        facts: &MessageFacts<'_>,
        assessment: &Assessment,
        decision: &PolicyDecision,
        signals: &[Signal],
    ) {
        let adds = assessment.weight.sum() > 0.0 && assessment.sum > 0.0;
        let suspicious = facts.probability >= settings.scoring.suspicious_probability
            && assessment.counts.messages > 0;
        if (decision.opens || adds || suspicious) && decision.action != Action::Defer {
            self.recent_messages
                .with(&facts.identity.key, Default::default, |kept| {
                    let proof = proof(now, facts, signals, assessment.others.by_text);
                    kept.push(proof, assessment.sum);
                });
        }
    }

    /// Alerts about ceilings: each once in its window.
    fn alerts_of(
        &self,
        now: Time,
        settings: &Settings,
        policy: &Policy,
        identity: &Identity,
        decision: &PolicyDecision,
        assessment: &Assessment,
    ) -> Vec<Alert> {
        let is_news = |reason, percent| {
            self.unsaved
                .with(&identity.key, UnsavedRecord::default, |u| {
                    u.is_news(now, reason, percent)
                })
        };
        let mut alerts = Vec::new();
        if let Some((why, limit)) = assessment.ceiling
            && is_news(why, 100)
            && decision.alert.is_some()
        {
            alerts.push(Alert::of(identity, policy, why, limit));
        }
        let nobody = identity.address.is_empty() || identity.foreign;
        if decision.action.goes() && !nobody {
            let near = assessment
                .near
                .iter()
                .filter(|near| is_news(near.reason, near.percent));
            alerts.extend(near.map(|near| Alert::near(identity, settings, policy, near)));
        }
        alerts
    }

    /// Notes a block that a policy in shadow mode would have opened for an outcome.
    pub(super) fn would_block(
        &self,
        now: Time,
        settings: &Settings,
        identity: &Identity,
        reason: Reason,
    ) {
        let until = rules::until(
            settings.blocks.duration_after(0),
            now,
            zone_of(settings, identity),
        );
        self.unsaved
            .with(&identity.key, UnsavedRecord::default, |unsaved| {
                if !unsaved.is_blocked(now) {
                    unsaved.would_block(now, until, reason);
                }
            });
    }

    /// What the policy in shadow mode would have done, noted for the sender. During a block that it
    /// would have opened, all mail counts as refused.
    fn shadow_decision(
        &self,
        now: Time,
        settings: &Settings,
        choice: &Choice<'_>,
        identity: &Identity,
        assessment: &Assessment,
    ) -> Option<ShadowDecision> {
        let (policy, decision) = (choice.shadow?, assessment.shadow?);
        self.unsaved
            .with(&identity.key, UnsavedRecord::default, |unsaved| {
                let blocked = unsaved.is_blocked(now);
                let (action, reason) = if blocked {
                    (Action::Reject, Reason::Blocked)
                } else {
                    (decision.action, decision.reason)
                };
                let opens = decision.opens && !blocked;
                if opens {
                    let duration = if decision.until_tomorrow {
                        BlockDuration::UntilTomorrow
                    } else {
                        settings.blocks.duration_after(0)
                    };
                    unsaved.would_block(
                        now,
                        rules::until(duration, now, zone_of(settings, identity)),
                        reason,
                    );
                }
                unsaved.would(now, action);
                Some(ShadowDecision {
                    policy: policy.name.to_string(),
                    action,
                    reason,
                    opens,
                })
            })
    }

    /// A block of this sender, or of the claimed senders of its client, with the newest proof.
    pub(super) fn new_block(
        &self,
        now: Time,
        settings: &Settings,
        identity: &Identity,
        opening: Opening,
    ) -> NewBlock {
        let Opening {
            reason,
            mut explanation,
            duration,
            client,
        } = opening;
        let zone = zone_of(settings, identity);
        let scope = if identity.strength.is_account() {
            SenderScope::Account
        } else {
            SenderScope::Claimed(identity.client)
        };
        let (kind, subject) = if client {
            (BlockKind::Client, identity.client.to_string())
        } else {
            (BlockKind::Sender, subject(identity))
        };
        let earlier =
            self.block_history
                .earlier(now, kind, &subject, &scope, Some(&identity.tenant));
        if earlier > 0 && settings.blocks.has_steps() {
            explanation.push_str(&format!(
                " Block number {} in 30 days.",
                earlier.saturating_add(1)
            ));
        }
        let duration = duration.unwrap_or_else(|| settings.blocks.duration_after(earlier));
        NewBlock {
            kind,
            subject,
            scope,
            tenant: Some(identity.tenant.clone()),
            sender: (!client).then(|| identity.key.clone()),
            reason,
            explanation,
            until: rules::until(duration, now, zone),
            evidence: self
                .recent_messages
                .read(&identity.key, |t| t.list())
                .unwrap_or_default(),
        }
    }
}

/// The time zone in which the sender's days end.
fn zone_of<'s>(settings: &'s Settings, identity: &Identity) -> &'s str {
    settings
        .tenant(&identity.tenant)
        .map_or("UTC", |t| t.time_zone.as_str())
}

/// The subject of a block of this sender.
fn subject(identity: &Identity) -> String {
    if identity.foreign && identity.strength == Strength::None {
        "forwarded".into()
    } else if identity.address.is_empty() {
        active::NULL_SENDER.into()
    } else {
        identity.address.to_string()
    }
}
