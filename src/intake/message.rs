//! The final dot: what is found in the message, what is decided, and how that is carried out.

use super::examine::Findings;
use super::report::{count_message, log_refusal};
use super::{Intake, Transaction, is_internal};
use crate::config::Settings;
use crate::decisions::{Disposition, Handling, decide_message};
use crate::detector::Decision;
use crate::identity::Peer;
use crate::learn;
use crate::mail::received::Trace;
use crate::moderation::ModerationError;
use crate::notify::Notice;
use crate::queue::Select;
use crate::telemetry::events;
use crate::types::block::RELAY;
use crate::types::{
    Action, Block, Envelope, HoldReason, Identity, MessageFacts, RecipientFacts, Reply, replies,
    stable_hash,
};
use std::sync::Arc;

/// A message that is decided on, with all that is needed to carry out the decision.
pub(super) struct Arrival<'a> {
    pub(super) settings: &'a Settings,
    pub(super) peer: &'a Peer,
    pub(super) trace: &'a Trace<'a>,
    pub(super) findings: &'a Findings,
    pub(super) decision: &'a Decision,
    pub(super) envelope: Envelope,
    pub(super) body: Vec<u8>,
    pub(super) recipients: &'a [RecipientFacts],
}

impl Intake {
    /// The final dot. The reply is positive only once the message is on disk.
    pub(crate) async fn message(
        &self,
        peer: &Peer,
        trace: &Trace<'_>,
        transaction: Transaction,
        envelope: Envelope,
        body: Vec<u8>,
    ) -> Reply {
        let settings = self.settings();
        let Transaction {
            identity: at_mail,
            taken,
            ..
        } = transaction;
        let mut findings = match self.examine(&settings, peer, trace, &envelope, &body) {
            Ok(findings) => findings,
            Err(reply) => {
                self.detector.give_back(&at_mail, taken.reservation);
                count_message(Action::Reject);
                log_refusal(None, &at_mail, &envelope, "message", &reply);
                return reply;
            }
        };
        self.ask_external_checks(&settings, peer, &envelope, &body, &mut findings)
            .await;
        // The header may name a sender of another tenant than MAIL did. Internal recipients are
        // those of that other tenant.
        let recipients = recipients_for(&settings, &findings.identity, &envelope);
        let facts = message_facts(peer, &findings, &recipients, body.len() as u64);
        let decided = decide_message(
            &settings,
            &self.detector,
            self.clock.now(),
            &facts,
            (&at_mail, taken.reservation),
        );
        let decision = &decided.decision;
        events::judged(&facts, decided.done, decision.reason);
        for alert in &decision.alerts {
            self.notifier.tell(Notice::Alert(alert.clone()));
        }
        let arrival = Arrival {
            settings: &settings,
            peer,
            trace,
            findings: &findings,
            decision,
            envelope,
            body,
            recipients: &recipients,
        };
        let reply = match self.open_block(&arrival).await {
            Ok(opened) => {
                let disposition = decided.disposition(&settings, opened, &recipients);
                self.carry_out(&arrival, disposition).await
            }
            Err(reply) => reply,
        };
        if let Some(reviewer) = &decision.review
            && (reply.is_positive() || reply.is_permanent())
        {
            self.send_review(&arrival, reviewer).await;
        }
        if let Some(shadow_decision) = &decision.shadow_decision {
            self.note_shadow_decision(findings.id, &findings.identity, decision, shadow_decision);
        }
        if !reply.is_positive() && !matches!(decision.action, Action::Reject | Action::Defer) {
            // The message should go, but the spool could not take it: the client will send it
            // again.
            self.detector.undo(&facts);
        }
        reply
    }

    /// Opens the block that the message calls for. Its record is durable before a reply names its
    /// reference; if that fails, the message is deferred.
    async fn open_block(&self, arrival: &Arrival<'_>) -> Result<Option<Arc<Block>>, Reply> {
        let Some(new) = &arrival.decision.open else {
            return Ok(None);
        };
        self.moderation
            .open(new.clone(), RELAY)
            .await
            .map(Some)
            .map_err(|error| {
                let reply = not_recorded(&error);
                self.refuse(arrival, Action::Defer, None, &reply);
                reply
            })
    }

    /// Carries out the decision and returns the reply.
    async fn carry_out(&self, arrival: &Arrival<'_>, disposition: Disposition) -> Reply {
        let (id, envelope) = (arrival.findings.id, &arrival.envelope);
        match disposition {
            Disposition::Refuse {
                action,
                reply,
                block,
            } => {
                self.refuse(arrival, action, block.as_deref(), &reply);
                reply
            }
            Disposition::Take { handling, learn } => {
                let reply = self.take(arrival, id, envelope.clone(), handling).await;
                if reply.is_positive() {
                    if learn {
                        self.learn(arrival.findings);
                    }
                    self.hold_if_blocked_meanwhile(arrival).await;
                }
                reply
            }
            Disposition::HoldAll(block) => {
                let held = Handling::held_under(&block);
                let reply = self.take(arrival, id, envelope.clone(), held).await;
                if reply.is_positive() {
                    self.moderation.catch_up(&block).await;
                }
                reply
            }
            Disposition::DeliverInternal(block) => self.deliver_internal(arrival, &block).await,
        }
    }

    /// The content is ordinary mail of its tenant.
    fn learn(&self, findings: &Findings) {
        let identity = &findings.identity;
        self.learner.assume(
            self.clock.now(),
            &identity.tenant,
            learn::teacher(identity),
            &findings.lesson,
        );
    }

    /// While the message was written to disk, another session may have blocked its sender. A block
    /// is in force before its order goes to the queue, so a message that this order missed is found
    /// blocked here.
    async fn hold_if_blocked_meanwhile(&self, arrival: &Arrival<'_>) {
        let Some(block) = self
            .detector
            .gate(self.clock.now(), &arrival.findings.identity)
        else {
            return;
        };
        if arrival
            .recipients
            .iter()
            .all(|r| r.internal && arrival.settings.blocks.allow_internal)
        {
            return;
        }
        let held = self
            .queue
            .hold(
                Select::Id(arrival.findings.id),
                HoldReason::Block(block.reference),
            )
            .await;
        if !held.is_empty() {
            self.moderation.note_held(&held, &block);
            self.moderation.catch_up(&block).await;
        }
    }

    /// Holds the message for its external recipients under the block and delivers it to the internal
    /// ones.
    async fn deliver_internal(&self, arrival: &Arrival<'_>, block: &Block) -> Reply {
        let external = arrival.envelope_for(|r| !r.internal);
        let held = (!external.recipients.is_empty()).then(|| self.ids.next(self.clock.now()));
        if let Some(id) = held {
            let findings = arrival.findings;
            self.learner
                .remember(id, &findings.identity.tenant, &findings.lesson);
            let kept = Handling::held_under(block);
            let reply = self.take(arrival, id, external, kept).await;
            if !reply.is_positive() {
                return reply;
            }
            self.moderation.catch_up(block).await;
        }
        let internal = arrival.envelope_for(|r| r.internal);
        let reply = self
            .take(arrival, arrival.findings.id, internal, Handling::HIGH_RISK)
            .await;
        if let Some(id) = held.filter(|_| !reply.is_positive()) {
            // The client will send the whole message again, and its external recipients must not
            // get it twice.
            self.queue.delete(Select::Id(id)).await;
        }
        reply
    }
}

impl Arrival<'_> {
    /// The envelope with those recipients alone.
    fn envelope_for(&self, wanted: impl Fn(&RecipientFacts) -> bool) -> Envelope {
        let mut envelope = self.envelope.clone();
        let mut flags = self.recipients.iter().map(wanted);
        envelope
            .recipients
            .retain(|_| flags.next().unwrap_or(false));
        envelope
    }
}

/// The facts of the message for the detector.
fn message_facts<'a>(
    peer: &Peer,
    findings: &'a Findings,
    recipients: &'a [RecipientFacts],
    octets: u64,
) -> MessageFacts<'a> {
    let score = &findings.score;
    MessageFacts {
        id: findings.id,
        identity: &findings.identity,
        recipients,
        fingerprint: findings.fingerprint,
        origin: peer.origin.or(peer.login.is_some().then_some(peer.address)),
        failed_logins: peer.login.as_ref().map_or(0, |login| login.failed_before),
        template: score.template,
        llr: score.llr,
        listed: findings.listed,
        probability: score.probability,
        symbols: &score.symbols,
        link_hosts: &score.link_hosts,
        octets,
        is_report: score.is_report,
    }
}

fn recipients_for(
    settings: &Settings,
    identity: &Identity,
    envelope: &Envelope,
) -> Vec<RecipientFacts> {
    envelope
        .recipients
        .iter()
        .map(|r| RecipientFacts {
            hash: stable_hash(&[r.address.key().as_bytes()]),
            internal: is_internal(settings, identity, &r.address),
        })
        .collect()
}

fn not_recorded(error: &ModerationError) -> Reply {
    tracing::error!(?error, "a block could not be recorded");
    replies::LOCAL_ERROR.into()
}
