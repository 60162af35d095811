//! Writes a decided message to disk and puts it into the queue.

use super::message::Arrival;
use super::{Intake, headers};
use crate::decisions::Handling;
use crate::records::{TraceEvent, TracedJudgement};
use crate::spool::SpoolError;
use crate::telemetry::events;
use crate::types::{Action, Envelope, HoldReason, MessageId, MessageMeta, Reply, Time, replies};
use bytes::Bytes;
use std::sync::Arc;

impl Intake {
    /// Spools and queues one message, or one part of it.
    pub(super) async fn take(
        &self,
        arrival: &Arrival<'_>,
        id: MessageId,
        envelope: Envelope,
        handling: Handling,
    ) -> Reply {
        let (now, action) = (self.clock.now(), handling.action);
        let (meta, bytes) = self.outgoing(arrival, id, envelope, handling, now);
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
        super::report::count_message(action);
        arrival.count_recipients(&meta.envelope);
        let subject = events::subjects_shown()
            .then(|| headers::subject(&arrival.body))
            .flatten();
        events::accepted(&meta, action, arrival.decision.reason, subject.as_deref());
        if let Some(origin) = arrival.peer.origin {
            events::came_from(id, arrival.peer.address, origin);
        }
        let block = match meta.hold {
            Some(HoldReason::Block(reference)) => Some(reference),
            _ => None,
        };
        let judged = TracedJudgement {
            block,
            ..arrival.judged(id, &meta.envelope, action, now, &reply)
        };
        self.records.trace(TraceEvent::Judged(Box::new(judged)));
        if arrival
            .settings
            .tenant(&arrival.findings.identity.tenant)
            .is_some_and(|tenant| tenant.verp)
        {
            // A bounce to the return path is assigned by the trace, even if the relay dies right
            // after delivery.
            self.records.settle_trace().await;
        }
        self.queue.enqueue(meta);
        reply
    }

    /// The outgoing message, with what the spool records of it.
    fn outgoing(
        &self,
        arrival: &Arrival<'_>,
        id: MessageId,
        envelope: Envelope,
        handling: Handling,
        now: Time,
    ) -> (Arc<MessageMeta>, Bytes) {
        let findings = arrival.findings;
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
            identity: Some(findings.identity.clone()),
            pool: handling.pool,
            hold: handling.hold,
            probability: findings.score.probability as f32,
            llr: findings.score.llr as f32,
            symbols: findings.score.symbols.clone(),
            header_message_id: findings.header.message_id.as_deref().map(Into::into),
            size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        });
        (meta, bytes)
    }
}
