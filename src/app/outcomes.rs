//! What comes out of the queue goes to whom it concerns: reputation, trace, log, metrics, and the
//! sender.

use crate::config::Settings;
use crate::detector::{Addressee, Detector};
use crate::env::Clock;
use crate::env::IdSource;
use crate::identity;
use crate::moderation::Moderation;
use crate::ndr;
use crate::queue::{Ack, FailedRecipient, FailureCause, OwnMail, Queue, QueueEvent};
use crate::records::{Records, TraceEvent};
use crate::spool::Spool;
use crate::telemetry::{events, metrics as names};
use crate::types::NewBlock;
use crate::types::block::RELAY;
use crate::types::{MessageId, MessageMeta, OutcomeClass, Pool, RecipientOutcome, RecipientStatus};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Reports being written at once: beyond it the queue waits.
const PARALLEL_REPORTS: u32 = 64;

/// How long after the end of all attempts a report may wait for its hour.
const REPORTS_WAIT: Duration = Duration::from_secs(7 * 86_400);

/// Recipients named in one line of the trace.
const RECIPIENTS_NAMED: usize = 20;

/// The consumer of the queue's events.
pub(super) struct Outcomes {
    pub settings: watch::Receiver<Arc<Settings>>,
    pub clock: Arc<dyn Clock>,
    pub detector: Arc<Detector>,
    pub moderation: Arc<Moderation>,
    pub spool: Spool,
    pub queue: Queue,
    pub records: Records,
    pub ids: Arc<IdSource>,
    pub reports: Mutex<ndr::RateLimit>,
}

impl Outcomes {
    /// Runs until the queue ends, or until `ending` turns true and every event that waits is taken;
    /// then until all that these brought about is done.
    pub(super) async fn run(
        self,
        mut events: mpsc::Receiver<QueueEvent>,
        mut ending: watch::Receiver<bool>,
    ) {
        let this = Arc::new(self);
        let parallel = Arc::new(Semaphore::new(PARALLEL_REPORTS as usize));
        let mut opening = JoinSet::new();
        loop {
            while opening.try_join_next().is_some() {}
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                _ = ending.wait_for(|ending| *ending) => None,
            };
            let Some(event) = event else { break };
            let report = match event {
                QueueEvent::Attempted { meta, outcomes, .. } => {
                    for block in this.attempted(&meta, outcomes) {
                        opening.spawn(Arc::clone(&this).open(block));
                    }
                    continue;
                }
                QueueEvent::Done { .. } => continue,
                QueueEvent::Failed {
                    meta,
                    recipients,
                    cause,
                    hold,
                    ack,
                } => WrittenReport {
                    meta,
                    recipients,
                    kind: ndr::DsnKind::Failed { cause, hold },
                    ack,
                },
                QueueEvent::Delayed {
                    meta,
                    recipients,
                    expires,
                    ack,
                } => WrittenReport {
                    meta,
                    recipients,
                    kind: ndr::DsnKind::Delayed { expires },
                    ack,
                },
                QueueEvent::Relayed {
                    meta,
                    recipients,
                    ack,
                } => WrittenReport {
                    meta,
                    recipients,
                    kind: ndr::DsnKind::Relayed,
                    ack,
                },
            };
            this.spawn_report(&parallel, report).await;
        }
        while opening.join_next().await.is_some() {}
        // Every report under way holds one.
        drop(parallel.acquire_many(PARALLEL_REPORTS).await);
    }

    /// Opens a block. That waits for the disk and then for the queue, which may itself wait for us
    /// to take its next event: so it must neither stand in the way of that nor take a permit.
    async fn open(self: Arc<Self>, block: NewBlock) {
        if let Err(error) = self.moderation.open(block, RELAY).await {
            tracing::error!(?error, "a block could not be opened");
        }
    }

    /// Feeds reputation, trace, log and metrics; gives the blocks that the outcomes opened.
    fn attempted(&self, meta: &MessageMeta, outcomes: Vec<RecipientOutcome>) -> Vec<NewBlock> {
        let now = self.clock.now();
        let mut blocks = Vec::new();
        for outcome in &outcomes {
            let name = match (outcome.status, outcome.class) {
                (RecipientStatus::Delivered, _) => "delivered",
                (RecipientStatus::Failed, _) => "bounced",
                (RecipientStatus::Pending, _) => "deferred",
            };
            metrics::counter!(names::DELIVERY_TOTAL, "outcome" => name, "pool" => meta.pool.as_str()).increment(1);
            match outcome.class {
                OutcomeClass::SpamRefusal => {
                    metrics::counter!(names::REFUSALS_TOTAL, "blame" => "sender").increment(1)
                }
                OutcomeClass::Reputation => {
                    metrics::counter!(names::REFUSALS_TOTAL, "blame" => "reputation").increment(1)
                }
                _ => {}
            }
            events::attempted(meta, outcome, now.since(meta.accepted_at));
            let says_something = outcome.status != RecipientStatus::Pending
                || outcome.class == OutcomeClass::SpamRefusal;
            let recipient = usize::try_from(outcome.recipient)
                .ok()
                .and_then(|i| meta.envelope.recipients.get(i));
            if let (Some(identity), Some(recipient), true) =
                (&meta.identity, recipient, says_something)
            {
                let to = Addressee::of(&recipient.address);
                blocks.extend(
                    self.detector
                        .outcome(now, identity, meta.id, outcome.class, to),
                );
            }
        }
        self.records.trace(TraceEvent::Attempted {
            id: meta.id,
            time: now,
            outcomes,
        });
        blocks
    }

    /// Writing a report waits for the disk; the next event does not wait for that.
    async fn spawn_report(self: &Arc<Self>, parallel: &Arc<Semaphore>, report: WrittenReport) {
        let (this, permit) = (Arc::clone(self), Arc::clone(parallel).acquire_owned().await);
        tokio::spawn(async move {
            this.report(report).await;
            drop(permit);
        });
    }

    /// Tells the sender, if one is to be told. The queue hears "done" only when the report is on
    /// disk; when it cannot be written, the queue brings the event again.
    async fn report(&self, report: WrittenReport) {
        let settings = Arc::clone(&self.settings.borrow());
        let now = self.clock.now();
        let recipients = ndr::decide(&settings, &report.meta, &report.kind, &report.recipients);
        if recipients.is_empty() {
            self.note(report.meta.id, "no report due".to_owned());
            return self.finish(report);
        }
        let reader = reader(&report.meta);
        if !self.limit().take(now, reader) {
            return self.too_many(&settings, report, reader);
        }
        let original = match self.spool.read(report.meta.id).await {
            Ok((_, body)) => body,
            Err(error) => {
                tracing::error!(id = %report.meta.id, ?error, "the message of a report cannot be read");
                Bytes::new()
            }
        };
        let id = self.ids.next(now);
        let facts = ndr::ReportFacts {
            settings: &settings,
            now,
            id,
            meta: &report.meta,
            original: &original,
            kind: &report.kind,
            recipients: &recipients,
        };
        let Some(ndr) = ndr::compose(&facts) else {
            return self.finish(report);
        };
        let own = OwnMail {
            id,
            now,
            envelope: ndr.envelope,
            pool: Pool::HighRisk,
            message: ndr.body,
        };
        match own.submit(&self.spool, &self.queue).await {
            Ok(()) => {
                self.note(report.meta.id, format!("sender told by report {id}"));
                self.finish(report);
            }
            Err(error) => {
                self.limit().give_back(reader);
                tracing::error!(id = %report.meta.id, ?error, "a report could not be spooled, tried again");
            }
        }
    }

    /// The sender has had an hour's worth of reports: this one comes in a later hour, as long as
    /// that makes sense.
    fn too_many(&self, settings: &Settings, report: WrittenReport, reader: ndr::ReportReader) {
        let now = self.clock.now();
        // What was kept from going its way must go back: later, but never without a word.
        let held = matches!(
            report.kind,
            ndr::DsnKind::Failed {
                cause: FailureCause::HeldReturned,
                ..
            }
        );
        // That something is late is soon told by its end.
        let late = matches!(report.kind, ndr::DsnKind::Delayed { .. });
        let until = self.limit().put_off(now, reader);
        let in_time =
            until.since(report.meta.accepted_at) < settings.delivery.expire + REPORTS_WAIT;
        if held || (!late && in_time) {
            self.note(
                report.meta.id,
                "returned later: too many reports for this sender".to_owned(),
            );
            return report.ack.put_off(until);
        }
        self.note(
            report.meta.id,
            "no report: too many for this sender".to_owned(),
        );
        self.finish(report);
    }

    fn limit(&self) -> MutexGuard<'_, ndr::RateLimit> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The report is out, or none is due: what it is about has come to its end. An attempt's own
    /// refusal was logged, counted and traced as the attempt.
    fn finish(&self, report: WrittenReport) {
        let WrittenReport {
            meta,
            recipients,
            kind,
            ack,
        } = report;
        if let ndr::DsnKind::Failed { cause, .. } = kind
            && cause != FailureCause::Refused
        {
            for failed in &recipients {
                metrics::counter!(names::DELIVERY_TOTAL, "outcome" => "bounced", "pool" => meta.pool.as_str()).increment(1);
                events::bounced(&meta, failed.recipient, &failed.reply, cause_name(cause));
            }
            if cause == FailureCause::HeldReturned {
                events::unheld(meta.id, "returned", RELAY);
            }
            self.note(
                meta.id,
                format!(
                    "given up ({}): {}",
                    cause_name(cause),
                    named(&meta, &recipients)
                ),
            );
        }
        ack.done();
    }

    fn note(&self, id: MessageId, text: String) {
        self.records.trace(TraceEvent::Note {
            id,
            time: self.clock.now(),
            text,
        });
    }
}

/// A report to be written.
struct WrittenReport {
    meta: Arc<MessageMeta>,
    recipients: Vec<FailedRecipient>,
    kind: ndr::DsnKind,
    ack: Ack,
}

/// Who reads the reports about this message. Sub-addresses and the like do not make many readers of
/// one.
fn reader(meta: &MessageMeta) -> ndr::ReportReader {
    let tenant = meta
        .identity
        .as_ref()
        .map_or("", |identity| identity.tenant.as_str());
    let sender = meta
        .envelope
        .from
        .0
        .as_ref()
        .map(identity::sender_address)
        .unwrap_or_default();
    ndr::ReportReader::new(tenant, &sender)
}

/// The first few of these recipients.
fn named(meta: &MessageMeta, recipients: &[FailedRecipient]) -> String {
    let address = |failed: &FailedRecipient| {
        Some(
            meta.envelope
                .recipients
                .get(failed.recipient as usize)?
                .address
                .as_str(),
        )
    };
    let shown: Vec<&str> = recipients
        .iter()
        .take(RECIPIENTS_NAMED)
        .filter_map(address)
        .collect();
    let more = recipients.len().saturating_sub(RECIPIENTS_NAMED);
    if more == 0 {
        shown.join(", ")
    } else {
        format!("{} and {more} more", shown.join(", "))
    }
}

const fn cause_name(cause: FailureCause) -> &'static str {
    match cause {
        FailureCause::Refused => "refused",
        FailureCause::Expired => "expired",
        FailureCause::HeldReturned => "held_returned",
        FailureCause::Admin => "admin",
    }
}

#[cfg(test)]
#[path = "outcomes_tests.rs"]
mod tests;
