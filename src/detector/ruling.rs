//! What follows from a judgement: the block it opens, whom to tell, what a policy in shadow mode
//! would have done.

use super::judging::{Step, client_explanation, goes};
use super::unsaved::UnsavedRecord;
use super::{DAY, Decision, Detector, HOUR, InternalPart, ShadowDecision};
use crate::blocks::{active, rules};
use crate::config::Settings;
use crate::config::policies::Policy;
use crate::config::settings::BlockDuration;
use crate::detector::evidence::Bounds;
use crate::detector::habits::Circumstances;
use crate::detector::sender::{Sender, Weight};
use crate::policy::alert::Alert;
use crate::policy::decide::PolicyDecision;
use crate::policy::scope::Choice;
use crate::policy::{ceilings, reasons};
use crate::types::fingerprint::template_name;
use crate::types::{
    Action, BlockKind, Evidence, Identity, Reason, SenderScope, Signal, Strength, Time,
};
use crate::types::{MessageFacts, NewBlock};

/// Content symbols kept in a piece of evidence.
const SYMBOLS: usize = 8;

impl Detector {
    pub(super) fn conclude(
        &self,
        now: Time,
        settings: &Settings,
        choice: &Choice<'_>,
        facts: &MessageFacts<'_>,
        step: Step,
        client_open: bool,
    ) -> Decision {
        let (identity, mut verdict) = (facts.identity, step.verdict);
        let by_client = client_open && !verdict.opens && verdict.action != Action::Defer;
        if by_client {
            verdict = PolicyDecision {
                action: Action::Reject,
                reason: Reason::Evidence,
                opens: true,
                until_tomorrow: false,
                ..verdict
            };
            self.take_back(now, facts);
        }
        let signals = signals(&step.weight);
        let weight = step.weight.sum();
        let proof = verdict.opens
            || (weight > 0.0 && step.sum > 0.0)
            || (facts.probability >= settings.scoring.suspicious_probability
                && step.counts.messages > 0);
        if proof && verdict.action != Action::Defer {
            self.recent_messages
                .with(&identity.key, Default::default, |t| {
                    t.push(evidence(now, facts, &signals, step.by_text), step.sum)
                });
        }
        let review = choice.policy.review_copy.clone().filter(|_| step.review);
        let shadow_decision = self.shadow_decision(now, settings, choice, identity, &step);
        let alerts = self.alerts_of(now, settings, choice.policy, identity, &verdict, &step);
        let open = verdict.opens.then(|| {
            let until = verdict
                .until_tomorrow
                .then_some(BlockDuration::UntilTomorrow);
            let explanation = if by_client {
                client_explanation(identity)
            } else {
                step.explanation
            };
            self.new_block(
                now,
                settings,
                identity,
                verdict.reason,
                until,
                explanation,
                by_client,
            )
        });
        let refused = matches!(verdict.action, Action::Defer | Action::Reject) && !verdict.opens;
        let reply = if refused {
            reasons::reply(verdict.reason, verdict.action)
        } else {
            None
        };
        let teaches = step.teaches && !by_client;
        Decision {
            action: verdict.action,
            reason: verdict.reason,
            reply,
            blocked_by: None,
            internal_part: InternalPart::Goes,
            open,
            alerts,
            signals,
            teaches,
            shadow_decision,
            review,
        }
    }

    /// Whom to tell of what ceiling: each once in its window.
    fn alerts_of(
        &self,
        now: Time,
        settings: &Settings,
        policy: &Policy,
        identity: &Identity,
        verdict: &PolicyDecision,
        step: &Step,
    ) -> Vec<Alert> {
        let is_news = |reason, percent| {
            self.unsaved
                .with(&identity.key, UnsavedRecord::default, |a| {
                    a.is_news(now, reason, percent)
                })
        };
        let mut alerts = Vec::new();
        if let Some((why, limit)) = step.ceiling
            && is_news(why, 100)
            && verdict.alert.is_some()
        {
            alerts.push(Alert::of(identity, policy, why, limit));
        }
        let nobody = identity.address.is_empty() || identity.foreign;
        if goes(verdict.action) && !nobody {
            let near = step
                .near
                .iter()
                .filter(|near| is_news(near.reason, near.percent));
            alerts.extend(near.map(|near| Alert::near(identity, settings, policy, near)));
        }
        alerts
    }

    /// Notes a block that a policy in shadow mode would have opened for what became of a message.
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

    /// What the policy in shadow mode would have done, noted for the sender. A block it would have
    /// opened stands: what comes while it would be in force would have been refused.
    fn shadow_decision(
        &self,
        now: Time,
        settings: &Settings,
        choice: &Choice<'_>,
        identity: &Identity,
        step: &Step,
    ) -> Option<ShadowDecision> {
        let (policy, verdict) = (choice.shadow?, step.shadow?);
        self.unsaved
            .with(&identity.key, UnsavedRecord::default, |unsaved| {
                let blocked = unsaved.is_blocked(now);
                let (action, reason) = if blocked {
                    (Action::Reject, Reason::Blocked)
                } else {
                    (verdict.action, verdict.reason)
                };
                let opens = verdict.opens && !blocked;
                if opens {
                    let duration = if verdict.until_tomorrow {
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

    /// A block of this sender, or of its client for merely claimed senders, with the newest proof.
    /// Without a `duration` the settings tell it, by how often the subject was blocked lately.
    #[expect(clippy::too_many_arguments, reason = "all of it is the record")]
    pub(super) fn new_block(
        &self,
        now: Time,
        settings: &Settings,
        identity: &Identity,
        reason: Reason,
        duration: Option<BlockDuration>,
        mut explanation: String,
        client: bool,
    ) -> NewBlock {
        let zone = zone_of(settings, identity);
        let scope = match identity.strength {
            Strength::Authenticated | Strength::Asserted => SenderScope::Account,
            Strength::Claimed | Strength::None => SenderScope::Claimed(identity.client),
        };
        let kind = if client {
            BlockKind::Client
        } else {
            BlockKind::Sender
        };
        let subject = if client {
            identity.client.to_string()
        } else {
            subject(identity)
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

/// The sentence with the counters that led to a block.
pub(super) fn explain(
    now: Time,
    policy: &Policy,
    sender: &Sender,
    reason: Reason,
    bounds: &Bounds,
) -> String {
    let hour = sender.windows.sum(now, HOUR);
    let day = sender.windows.sum(now, DAY);
    let head = match reason {
        Reason::Evidence => {
            format!(
                "Evidence of {:.1} nats reached the bound of {:.1}.",
                sender.sum(),
                bounds.block.unwrap_or_default()
            )
        }
        Reason::SpamRate => {
            let sum = sender.windows.sum(now, policy.spam_rate_window);
            format!(
                "{} of {} messages in the window were spam.",
                sum.spam, sum.messages
            )
        }
        _ => format!(
            "The limit is {}.",
            ceilings::figure(reason, ceilings::limit(policy, reason))
        ),
    };
    format!(
        "{head} In the last hour: {} messages, {} of them spam, to {} external ({} new) and {} internal recipients, {} unknown \
         users. In the last day: {} messages to {} recipients.",
        hour.messages,
        hour.spam,
        hour.external,
        hour.new,
        hour.internal,
        hour.bounces,
        day.messages,
        day.recipients()
    )
}

/// The sentence about what others add; empty where the sender's own evidence was enough.
pub(super) fn others_note(by_others: bool, suspicion_of_others: f64, by_text: f64) -> String {
    match by_others {
        true if by_text >= suspicion_of_others => {
            format!(" Other accounts that sent this text add {suspicion_of_others:.1} nats to it.")
        }
        true => format!(" Other accounts of the client add {suspicion_of_others:.1} nats to it."),
        false => String::new(),
    }
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

fn signals(weight: &Weight) -> Vec<Signal> {
    let mut signals = Vec::new();
    let Circumstances {
        place,
        hour,
        logins,
    } = weight.circumstances;
    for (name, value) in [
        ("content", weight.content),
        ("listed link", weight.listed),
        ("recipients", weight.recipients),
        ("unusual network", place),
        ("unusual hour", hour),
        ("failed logins before", logins),
    ] {
        if value != 0.0 {
            signals.push(Signal {
                name: name.into(),
                weight: value as f32,
            });
        }
    }
    signals
}

/// Proof: the strongest symbols of the content, what the message added, and its text with what
/// others who sent it add.
fn evidence(now: Time, facts: &MessageFacts<'_>, signals: &[Signal], by_text: f64) -> Evidence {
    let text = (facts.template != 0).then(|| Signal {
        name: template_name(facts.template).into(),
        weight: by_text as f32,
    });
    Evidence {
        message_id: facts.id,
        time: now,
        probability: facts.probability as f32,
        llr: facts.llr as f32,
        symbols: facts
            .symbols
            .iter()
            .take(SYMBOLS)
            .chain(signals)
            .cloned()
            .chain(text)
            .collect(),
        recipients: u32::try_from(facts.recipients.len()).unwrap_or(u32::MAX),
    }
}
