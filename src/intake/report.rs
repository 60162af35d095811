//! What is written about a message to log, metrics and message trace.

use super::message::Arrival;
use super::{Intake, is_internal};
use crate::detector::{Decision, ShadowDecision};
use crate::records::{TraceEvent, TracedJudgement};
use crate::telemetry::events::{self, RefusedMail};
use crate::telemetry::metrics as names;
use crate::types::{Action, Block, Envelope, Identity, MessageId, Recipient, Reply, Signal, Time};

impl Intake {
    /// Records what a policy in shadow mode would have done. It is always counted; log and trace
    /// hold it only if it differs from what was done.
    pub(super) fn note_shadow_decision(
        &self,
        id: MessageId,
        identity: &Identity,
        decision: &Decision,
        shadow_decision: &ShadowDecision,
    ) {
        metrics::counter!(names::SHADOW_TOTAL, "policy" => shadow_decision.policy.clone(), "action" => shadow_decision.action.as_str()).increment(1);
        if shadow_decision.action == decision.action && !shadow_decision.opens {
            return;
        }
        events::shadowed(
            id,
            &identity.address,
            decision.action,
            &shadow_decision.policy,
            (
                shadow_decision.action,
                shadow_decision.reason,
                shadow_decision.opens,
            ),
        );
        let block = if shadow_decision.opens {
            " and opened a block"
        } else {
            ""
        };
        let text = format!(
            "policy {} (shadow) would have said {}{block}: {}",
            shadow_decision.policy,
            shadow_decision.action.as_str(),
            shadow_decision.reason.as_str()
        );
        self.records.trace(TraceEvent::Note {
            id,
            time: self.clock.now(),
            text,
        });
    }

    /// Log, metrics and trace of a message that is not taken.
    pub(super) fn refuse(
        &self,
        arrival: &Arrival<'_>,
        action: Action,
        block: Option<&Block>,
        reply: &Reply,
    ) {
        count_message(action);
        let findings = arrival.findings;
        log_refusal(
            Some(findings.id),
            &findings.identity,
            &arrival.envelope,
            arrival.decision.reason.as_str(),
            reply,
        );
        let judged = arrival.judged(
            findings.id,
            &arrival.envelope,
            action,
            self.clock.now(),
            reply,
        );
        let judged = TracedJudgement {
            block: block.map(|b| b.reference),
            ..judged
        };
        self.records.trace(TraceEvent::Judged(Box::new(judged)));
    }
}

impl Arrival<'_> {
    pub(super) fn count_recipients(&self, envelope: &Envelope) {
        let own = |r: &&Recipient| is_internal(self.settings, &self.findings.identity, &r.address);
        let internal = envelope.recipients.iter().filter(own).count();
        for (scope, count) in [
            ("internal", internal),
            ("external", envelope.recipients.len() - internal),
        ] {
            if count > 0 {
                metrics::counter!(names::RECIPIENTS_TOTAL, "scope" => scope)
                    .increment(count as u64);
            }
        }
    }

    /// What the content and the sender's history say.
    pub(super) fn symbols(&self) -> impl Iterator<Item = &Signal> {
        self.findings
            .score
            .symbols
            .iter()
            .chain(&self.decision.signals)
    }

    /// The entry of the message trace.
    pub(super) fn judged(
        &self,
        id: MessageId,
        envelope: &Envelope,
        action: Action,
        now: Time,
        reply: &Reply,
    ) -> TracedJudgement {
        let findings = self.findings;
        let symbols = self.symbols().cloned().collect();
        TracedJudgement {
            id,
            time: now,
            tenant: Some(findings.identity.tenant.clone()),
            sender_key: findings.identity.key.as_str().to_owned(),
            sender: findings.identity.address.to_string(),
            from: envelope.from.as_str().to_owned(),
            client: findings.identity.client.to_string(),
            recipients: envelope
                .recipients
                .iter()
                .map(|r| r.address.as_str().to_owned())
                .collect(),
            header_message_id: findings.header.message_id.clone(),
            size: u32::try_from(self.body.len()).unwrap_or(u32::MAX),
            action,
            reason: self.decision.reason,
            block: None,
            probability: findings.score.probability as f32,
            llr: findings.score.llr as f32,
            symbols,
            reply: reply.one_line(),
        }
    }
}

/// Counts one message by what is done with it.
pub(super) fn count_message(action: Action) {
    metrics::counter!(names::MESSAGES_TOTAL, "action" => action.as_str()).increment(1);
}

/// Logs that a message is refused; `id` is absent where it never got one.
pub(super) fn log_refusal(
    id: Option<MessageId>,
    identity: &Identity,
    envelope: &Envelope,
    reason: &str,
    reply: &Reply,
) {
    let what = RefusedMail {
        id,
        client: identity.client,
        sender: &identity.address,
        from: envelope.from.as_str(),
        to: envelope
            .recipients
            .first()
            .map_or("", |r| r.address.as_str()),
        reason,
    };
    events::refused(&what, reply);
}
