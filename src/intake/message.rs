//! The final dot: what is found out about the message, what is decided, and what is done with it.

use super::headers;
use super::{Intake, Transaction, is_internal};
use crate::config::Settings;
use crate::detector::{Decision, InternalPart, ShadowDecision};
use crate::external_checks;
use crate::identity::{self, HeaderFacts, Peer};
use crate::learn::{self, Lesson};
use crate::mail::received::Trace;
use crate::moderation::ModerationError;
use crate::notify::Notice;
use crate::policy;
use crate::queue::Select;
use crate::records::{Judged, TraceEvent};
use crate::score::{ReturnPath, Score};
use crate::spool::SpoolError;
use crate::telemetry::events::{self, Refused};
use crate::telemetry::metrics as names;
use crate::types::block::RELAY;
use crate::types::replies;
use crate::types::{
    Action, Block, BlockKind, Domain, Envelope, HoldReason, Identity, MessageId, MessageMeta, Pool,
    Reply, Signal, stable_hash,
};
use crate::types::{MessageFacts, RecipientFacts};
use bytes::Bytes;
use std::sync::Arc;

/// Bodies larger than this are scored off the async threads' normal turn, so that other sessions go
/// on.
const SCORE_INLINE_BYTES: usize = 128 * 1024;

/// A message at the final dot with all that was found out about it.
pub(super) struct Facts {
    pub(super) id: MessageId,
    pub(super) identity: Identity,
    pub(super) header: HeaderFacts,
    score: Score,
    /// The part of the score that listings make, nats.
    listed: f64,
    lesson: Lesson,
    fingerprint: u64,
}

impl Intake {
    /// The final dot. The reply is positive only once the message is on disk.
    pub(crate) async fn message(
        &self,
        peer: &Peer,
        trace: &Trace<'_>,
        mut transaction: Transaction,
        envelope: Envelope,
        body: Vec<u8>,
    ) -> Reply {
        let settings = self.settings();
        let held = std::mem::take(&mut transaction.reservation);
        let mut facts = match self.examine(&settings, peer, trace, &envelope, &body) {
            Ok(facts) => facts,
            Err(reply) => {
                self.detector.give_back(&transaction.identity, held);
                count_message(Action::Reject);
                log_refusal(None, &transaction.identity, &envelope, "message", &reply);
                return reply;
            }
        };
        self.ask_outside(&settings, peer, &envelope, &body, &mut facts)
            .await;
        // The tenant may have become another one through a header: whether a recipient is internal
        // goes by the final one.
        let recipients = recipients_for(&settings, &facts.identity, &envelope);
        let judged = MessageFacts {
            id: facts.id,
            identity: &facts.identity,
            recipients: &recipients,
            fingerprint: facts.fingerprint,
            origin: peer.origin.or(peer.login.is_some().then_some(peer.address)),
            failed_logins: peer.login.as_ref().map_or(0, |login| login.failed_before),
            template: facts.score.template,
            llr: facts.score.llr,
            listed: facts.listed,
            probability: facts.score.probability,
            symbols: &facts.score.symbols,
            link_hosts: &facts.score.link_hosts,
            octets: body.len() as u64,
            is_report: facts.score.is_report,
        };
        let decision = self
            .detector
            .decide(self.clock.now(), &judged, &transaction.identity, held);
        let done = decision.done(settings.blocks.allow_internal, &recipients);
        events::judged(&judged, done, decision.reason);
        for alert in &decision.alerts {
            self.notifier.tell(Notice::Alert(alert.clone()));
        }
        let arrival = Arrival {
            settings: &settings,
            peer,
            trace,
            facts: &facts,
            decision: &decision,
            envelope,
            body,
            recipients: &recipients,
        };
        let reply = self.carry_out(&arrival).await;
        if let Some(reviewer) = &decision.review
            && (reply.is_positive() || reply.is_permanent())
        {
            self.send_review(&arrival, reviewer).await;
        }
        if let Some(shadow_decision) = &decision.shadow_decision {
            self.note_shadow_decision(facts.id, &facts.identity, &decision, shadow_decision);
        }
        if !reply.is_positive() && !matches!(decision.action, Action::Reject | Action::Defer) {
            // Decided to go, but the spool could not take it: the client will come again with the
            // same message.
            self.detector.undo(&judged);
        }
        reply
    }

    /// Reads header and content; refuses what no next hop should see.
    fn examine(
        &self,
        settings: &Settings,
        peer: &Peer,
        trace: &Trace<'_>,
        envelope: &Envelope,
        body: &[u8],
    ) -> Result<Facts, Reply> {
        let header =
            identity::read_headers(body, peer.client.as_deref(), settings.limits.header_fields);
        if header.received_count > settings.limits.received_fields {
            // RFC 5321 section 6.3: loops are found by counting Received fields.
            return Err(replies::LOOPING.into());
        }
        if header.field_count > settings.limits.header_fields {
            return Err(replies::TOO_MANY_FIELDS.into());
        }
        // RFC 6409 section 4 lets a submission server refuse what is not well-formed. A mail server
        // that relays may not be its author, and its mail shall not be lost.
        if trace.submission
            && let Some(flaw) = header.flaw
        {
            let before = body.get(..flaw).unwrap_or_default();
            return Err(replies::no_header(
                memchr::memchr_iter(b'\n', before).count() + 1,
            ));
        }
        for (what, count) in [
            ("identity", header.identity_header_count),
            ("script", header.script_count),
        ] {
            if count > 1 {
                tracing::warn!(client = %peer.address, what, count, "several headers that name the sender: none is believed");
            }
        }
        let identity = identity::at_data(settings, peer, &envelope.from, &header)
            .map_err(|refusal| policy::reasons::refusal(&refusal))?;
        let started = std::time::Instant::now();
        let path = if envelope.from.is_null() {
            ReturnPath::Null
        } else {
            ReturnPath::Named
        };
        let (score, lesson) = if body.len() > SCORE_INLINE_BYTES {
            tokio::task::block_in_place(|| self.learner.score_of(&identity.tenant, body, path))
        } else {
            self.learner.score_of(&identity.tenant, body, path)
        };
        metrics::histogram!(names::SCORE_SECONDS).record(started.elapsed().as_secs_f64());
        if score.mime_depth > settings.limits.mime_depth {
            return Err(replies::NESTED_TOO_DEEPLY.into());
        }
        if score.mime_parts > settings.limits.mime_parts {
            return Err(replies::TOO_MANY_PARTS.into());
        }
        let message_id = header.message_id.as_deref().unwrap_or_default();
        let fingerprint = self
            .feedback_key
            .fingerprint(&[message_id.as_bytes(), &score.body_hash.to_le_bytes()]);
        let id = self.ids.next(self.clock.now());
        self.learner.remember(id, &identity.tenant, &lesson);
        let fingerprint = with_odd_body(fingerprint, header.flaw, body);
        Ok(Facts {
            id,
            identity,
            header,
            score,
            lesson,
            listed: 0.0,
            fingerprint,
        })
    }

    /// Lists and scanners have their say, within their deadline. A blocked sender costs no
    /// question.
    async fn ask_outside(
        &self,
        settings: &Settings,
        peer: &Peer,
        envelope: &Envelope,
        body: &[u8],
        facts: &mut Facts,
    ) {
        let now = self.clock.now();
        if self.detector.gate(now, &facts.identity).is_some() {
            return;
        }
        let tenant = settings.tenant(&facts.identity.tenant);
        let own = |host: &str| {
            Domain::parse(host)
                .zip(tenant)
                .is_some_and(|(host, tenant)| tenant.domains.iter().any(|d| host.is_within(d)))
        };
        let client = peer.origin.unwrap_or(peer.address);
        let message = external_checks::Message {
            body,
            from: &envelope.from,
            client,
            score: &facts.score,
        };
        let answers = self.outside.ask(now, message, own).await;
        facts.listed = external_checks::combine::combine(&mut facts.score, &answers);
    }

    /// Does what was decided; gives the reply.
    async fn carry_out(&self, arrival: &Arrival<'_>) -> Reply {
        let decision = arrival.decision;
        let block = match &decision.open {
            // A block record is durable before its reference is spoken.
            Some(new) => match self.moderation.open(new.clone(), RELAY).await {
                Ok(block) => Some(block),
                Err(error) => {
                    let reply = desk_failed(&error);
                    self.refuse(arrival, Action::Defer, None, &reply);
                    return reply;
                }
            },
            None => decision.blocked_by.clone(),
        };
        if let Some(block) = block {
            return self.blocked(arrival, &block).await;
        }
        let part = match decision.action {
            Action::Accept => Part {
                action: Action::Accept,
                pool: Pool::Normal,
                hold: None,
            },
            Action::HighRisk => Part {
                action: Action::HighRisk,
                pool: Pool::HighRisk,
                hold: None,
            },
            Action::Hold => Part {
                action: Action::Hold,
                pool: Pool::HighRisk,
                hold: Some(HoldReason::Policy(decision.reason)),
            },
            Action::Defer | Action::Reject => {
                let reply = decision
                    .reply
                    .clone()
                    .unwrap_or_else(|| replies::TRY_AGAIN_LATER.into());
                self.refuse(arrival, decision.action, None, &reply);
                return reply;
            }
        };
        let reply = self
            .take(arrival, arrival.facts.id, arrival.envelope.clone(), part)
            .await;
        if reply.is_positive() {
            if decision.teaches {
                let facts = arrival.facts;
                let teacher = learn::teacher(&facts.identity);
                self.learner.assume(
                    self.clock.now(),
                    &facts.identity.tenant,
                    teacher,
                    &facts.lesson,
                );
            }
            self.hold_if_blocked_meanwhile(arrival).await;
        }
        reply
    }

    /// While the disk was busy with this message, another session may have had its sender blocked.
    /// The block's own order to the queue comes after the block is in force: so what that order did
    /// not find there yet is found blocked here.
    async fn hold_if_blocked_meanwhile(&self, arrival: &Arrival<'_>) {
        let Some(block) = self
            .detector
            .gate(self.clock.now(), &arrival.facts.identity)
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
                Select::Id(arrival.facts.id),
                HoldReason::Block(block.reference),
            )
            .await;
        if !held.is_empty() {
            self.moderation.note_held(&held, &block);
            self.moderation.catch_up(&block).await;
        }
    }

    /// The sender (or a website in the message) is blocked: external recipients are refused, or
    /// held where the same message also has internal ones, which are delivered, or held with them
    /// where the message looks like spam.
    async fn blocked(&self, arrival: &Arrival<'_>, block: &Block) -> Reply {
        let internal_part = if arrival.decision.blocked_by.is_some() {
            arrival.decision.internal_part
        } else {
            InternalPart::Goes
        };
        let allowed =
            arrival.settings.blocks.allow_internal && internal_part != InternalPart::Refused;
        let passes = |r: &RecipientFacts| r.internal && allowed;
        if !arrival.recipients.iter().any(passes) {
            let refusal = match block.kind {
                BlockKind::Website => {
                    policy::reasons::website_reply(arrival.settings, block.reference)
                }
                _ => policy::reasons::blocked_reply(arrival.settings, block.reference),
            };
            self.refuse(arrival, Action::Reject, Some(block), &refusal);
            return refusal;
        }
        let kept = Part {
            action: Action::Hold,
            pool: Pool::HighRisk,
            hold: Some(HoldReason::Block(block.reference)),
        };
        if internal_part == InternalPart::Held {
            let reply = self
                .take(arrival, arrival.facts.id, arrival.envelope.clone(), kept)
                .await;
            if reply.is_positive() {
                self.moderation.catch_up(block).await;
            }
            return reply;
        }
        let split = |wanted: bool| {
            let mut envelope = arrival.envelope.clone();
            let mut flags = arrival.recipients.iter().map(|r| passes(r) == wanted);
            envelope
                .recipients
                .retain(|_| flags.next().unwrap_or(false));
            envelope
        };
        let external = split(false);
        let held = (!external.recipients.is_empty()).then(|| self.ids.next(self.clock.now()));
        if let Some(id) = held {
            self.learner
                .remember(id, &arrival.facts.identity.tenant, &arrival.facts.lesson);
            let reply = self.take(arrival, id, external, kept).await;
            if !reply.is_positive() {
                return reply;
            }
            self.moderation.catch_up(block).await;
        }
        let part = Part {
            action: Action::HighRisk,
            pool: Pool::HighRisk,
            hold: None,
        };
        let reply = self
            .take(arrival, arrival.facts.id, split(true), part)
            .await;
        if let Some(id) = held.filter(|_| !reply.is_positive()) {
            // The client will bring the whole message again: its external recipients must not get
            // it twice.
            self.queue.delete(Select::Id(id)).await;
        }
        reply
    }

    /// Spools and queues one message, or one part of it.
    async fn take(
        &self,
        arrival: &Arrival<'_>,
        id: MessageId,
        envelope: Envelope,
        part: Part,
    ) -> Reply {
        let now = self.clock.now();
        let facts = arrival.facts;
        let bytes = Bytes::from(headers::outgoing(
            arrival,
            &self.feedback_key,
            id,
            &envelope,
            now,
        ));
        let meta = Arc::new(MessageMeta {
            id,
            accepted_at: now,
            envelope,
            identity: Some(facts.identity.clone()),
            pool: part.pool,
            hold: part.hold,
            probability: facts.score.probability as f32,
            llr: facts.score.llr as f32,
            symbols: facts.score.symbols.clone(),
            header_message_id: facts.header.message_id.as_deref().map(Into::into),
            size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        });
        let reply = match self.spool.accept(&meta, bytes).await {
            Ok(()) => replies::queued(id),
            Err(SpoolError::Full) => replies::STORAGE_FULL.into(),
            Err(error) => {
                tracing::error!(%id, ?error, "spool failed");
                replies::LOCAL_ERROR.into()
            }
        };
        if !reply.is_positive() {
            self.refuse(arrival, Action::Defer, None, &reply);
            return reply;
        }
        count_message(part.action);
        arrival.count_recipients(&meta.envelope);
        let subject = events::subjects_shown()
            .then(|| headers::subject(&arrival.body))
            .flatten();
        events::accepted(
            &meta,
            part.action,
            arrival.decision.reason,
            subject.as_deref(),
        );
        if let Some(origin) = arrival.peer.origin {
            events::came_from(id, arrival.peer.address, origin);
        }
        let block = match meta.hold {
            Some(HoldReason::Block(reference)) => Some(reference),
            _ => None,
        };
        let judged = Judged {
            block,
            ..arrival.judged(id, &meta.envelope, part.action, now, &reply)
        };
        self.records.trace(TraceEvent::Judged(Box::new(judged)));
        if arrival
            .settings
            .tenant(&facts.identity.tenant)
            .is_some_and(|tenant| tenant.verp)
        {
            // A bounce to its return path finds its way by the trace, even if the relay dies right
            // after delivery.
            self.records.settle_trace().await;
        }
        self.queue.enqueue(meta);
        reply
    }

    /// What a policy in shadow mode would have done: counted always, told where it is something
    /// else than what was done.
    fn note_shadow_decision(
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
    fn refuse(&self, arrival: &Arrival<'_>, action: Action, block: Option<&Block>, reply: &Reply) {
        count_message(action);
        let facts = arrival.facts;
        log_refusal(
            Some(facts.id),
            &facts.identity,
            &arrival.envelope,
            arrival.decision.reason.as_str(),
            reply,
        );
        let judged = arrival.judged(facts.id, &arrival.envelope, action, self.clock.now(), reply);
        let judged = Judged {
            block: block.map(|b| b.reference),
            ..judged
        };
        self.records.trace(TraceEvent::Judged(Box::new(judged)));
    }
}

/// The fingerprint with what stands below a line that is no field: some readers see the body
/// already there, and where the empty line is missing it is all the body there is.
fn with_odd_body(fingerprint: u64, flaw: Option<usize>, message: &[u8]) -> u64 {
    match flaw.and_then(|flaw| message.get(flaw..)) {
        Some(below) => stable_hash(&[&fingerprint.to_le_bytes(), below]),
        None => fingerprint,
    }
}

/// How a message, or a part of it, is taken.
struct Part {
    action: Action,
    pool: Pool,
    hold: Option<HoldReason>,
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

fn count_message(action: Action) {
    metrics::counter!(names::MESSAGES_TOTAL, "action" => action.as_str()).increment(1);
}

fn log_refusal(
    id: Option<MessageId>,
    identity: &Identity,
    envelope: &Envelope,
    reason: &str,
    reply: &Reply,
) {
    let what = Refused {
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

fn desk_failed(error: &ModerationError) -> Reply {
    tracing::error!(?error, "a block could not be recorded");
    replies::LOCAL_ERROR.into()
}

/// A message in the last step, borrowed together.
pub(super) struct Arrival<'a> {
    pub(super) settings: &'a Settings,
    pub(super) peer: &'a Peer,
    pub(super) trace: &'a Trace<'a>,
    pub(super) facts: &'a Facts,
    pub(super) decision: &'a Decision,
    pub(super) envelope: Envelope,
    pub(super) body: Vec<u8>,
    pub(super) recipients: &'a [RecipientFacts],
}

impl Arrival<'_> {
    fn count_recipients(&self, envelope: &Envelope) {
        let own = |r: &&crate::types::Recipient| {
            is_internal(self.settings, &self.facts.identity, &r.address)
        };
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

    /// What the content and the sender's past say.
    pub(super) fn symbols(&self) -> impl Iterator<Item = &Signal> {
        self.facts
            .score
            .symbols
            .iter()
            .chain(&self.decision.signals)
    }

    /// The line of the trace.
    fn judged(
        &self,
        id: MessageId,
        envelope: &Envelope,
        action: Action,
        now: crate::types::Time,
        reply: &Reply,
    ) -> Judged {
        let facts = self.facts;
        let symbols = self.symbols().cloned().collect();
        Judged {
            id,
            time: now,
            tenant: Some(facts.identity.tenant.clone()),
            sender_key: facts.identity.key.as_str().to_owned(),
            sender: facts.identity.address.to_string(),
            from: envelope.from.as_str().to_owned(),
            client: facts.identity.client.to_string(),
            recipients: envelope
                .recipients
                .iter()
                .map(|r| r.address.as_str().to_owned())
                .collect(),
            header_message_id: facts.header.message_id.clone(),
            size: u32::try_from(self.body.len()).unwrap_or(u32::MAX),
            action,
            reason: self.decision.reason,
            block: None,
            probability: facts.score.probability as f32,
            llr: facts.score.llr as f32,
            symbols,
            reply: reply.one_line(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_without_an_empty_line_differ_by_what_they_say() {
        let of = |message: &str| {
            let header = identity::read_headers(message.as_bytes(), None, usize::MAX);
            with_odd_body(7, header.flaw, message.as_bytes())
        };
        // Nothing of it is body to a parser, but readers show it.
        assert_ne!(
            of("Subject: x\r\nBuy this\r\n"),
            of("Subject: x\r\nBuy that\r\n")
        );
        assert_ne!(of("Buy this\r\n"), of("Buy that\r\n"));
        assert_eq!(
            of("Received: again\r\nSubject: x\r\nBuy this\r\n"),
            of("Received: once\r\nSubject: x\r\nBuy this\r\n")
        );
        assert_eq!(
            of("Subject: x\r\n\r\nx"),
            7,
            "the others are told apart by their bodies"
        );
    }
}
