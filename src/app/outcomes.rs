//! What comes out of the queue goes to whom it concerns: reputation, trace, log, metrics, and the sender.

use crate::blocks::desk::Desk;
use crate::config::Settings;
use crate::env::Clock;
use crate::intake::IdSource;
use crate::judge::{Judge, NewBlock};
use crate::ndr;
use crate::queue::{Queue, QueueEvent};
use crate::records::{Records, TraceEvent};
use crate::spool::Spool;
use crate::telemetry::{events, metrics as names};
use crate::types::{MessageMeta, OutcomeClass, Pool, RecipientOutcome, RecipientStatus, stable_hash};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};

/// Reports being written at once: beyond it the queue waits.
const PARALLEL_REPORTS: usize = 64;

/// The consumer of the queue's events.
pub(super) struct Outcomes {
    pub settings: watch::Receiver<Arc<Settings>>,
    pub clock: Arc<dyn Clock>,
    pub judge: Arc<Judge>,
    pub desk: Arc<Desk>,
    pub spool: Spool,
    pub queue: Queue,
    pub records: Records,
    pub ids: Arc<IdSource>,
}

impl Outcomes {
    /// Runs until the queue ends.
    pub(super) async fn run(self, mut events: mpsc::Receiver<QueueEvent>) {
        let this = Arc::new(self);
        let parallel = Arc::new(Semaphore::new(PARALLEL_REPORTS));
        while let Some(event) = events.recv().await {
            match event {
                QueueEvent::Attempted { meta, outcomes, .. } => {
                    for block in this.attempted(&meta, outcomes) {
                        // Opening waits for the disk and then for the queue, which may itself be waiting for us to take
                        // the next event: so it must never stand in this loop's way, nor take a permit.
                        let this = Arc::clone(&this);
                        tokio::spawn(async move {
                            if let Err(error) = this.desk.open(block, "relay").await {
                                tracing::error!(?error, "a block could not be opened");
                            }
                        });
                    }
                }
                QueueEvent::Done { .. } => {}
                report => {
                    let (this, permit) = (Arc::clone(&this), Arc::clone(&parallel).acquire_owned().await);
                    tokio::spawn(async move {
                        this.report(report).await;
                        drop(permit);
                    });
                }
            }
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
            events::attempted(meta, outcome, now.since(meta.accepted_at));
            let says_something = outcome.status != RecipientStatus::Pending || outcome.class == OutcomeClass::SpamRefusal;
            let recipient = usize::try_from(outcome.recipient).ok().and_then(|i| meta.envelope.recipients.get(i));
            if let (Some(identity), Some(recipient), true) = (&meta.identity, recipient, says_something) {
                let hash = stable_hash(&[recipient.address.key().as_bytes()]);
                blocks.extend(self.judge.outcome(now, identity, meta.id, outcome.class, hash));
            }
        }
        self.records.trace(TraceEvent::Attempted { id: meta.id, time: now, outcomes });
        blocks
    }
}
