//! The task that owns the state: commands in, effects out. Attempts and reads run beside it.

use super::deliver::Deliver;
use super::orders::Order;
use super::progress::MessageProgress;
use super::reports::{QueueReport, QueueReportKind};
use super::state::{DeliveryJob, QueueEffect, QueueInput, QueueMachine};
use super::{Ack, FindBlock, QueueEvent, QueueItem, QueueState, ReleasedMail, Select};
use crate::delivery::{Attempt, AttemptResult, Delivery, Reached};
use crate::env::Clock;
use crate::spool::{Spool, SpoolError};
use crate::telemetry::metrics as names;
use crate::types::{BlockRef, MessageId};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Most events that wait for the consumer; beyond it, no new attempts start.
const OUTBOX_MAX: usize = 256;
/// Most commands taken in one go.
const BATCH: usize = 256;
/// The longest time between two looks at the gauges and the spool's health.
const PULSE: Duration = Duration::from_secs(1);

impl Deliver for Delivery {
    fn attempt(
        &self,
        attempt: Attempt,
    ) -> Pin<Box<dyn Future<Output = AttemptResult> + Send + '_>> {
        Box::pin(self.try_once(attempt))
    }
}

/// Commands to the task.
pub(super) enum TaskCommand {
    /// A step of the state.
    Input(QueueInput),
    /// An order, answered when it is durable.
    Order(Order, Select, oneshot::Sender<Vec<MessageId>>),
    /// A release with a gate, answered when it is durable.
    Release(Select, FindBlock, oneshot::Sender<ReleasedMail>),
    List(
        Option<QueueState>,
        Option<MessageId>,
        usize,
        oneshot::Sender<Vec<QueueItem>>,
    ),
    Show(
        MessageId,
        oneshot::Sender<Option<(QueueItem, MessageProgress)>>,
    ),
    /// Asks how many messages are held under a block.
    HeldUnder(BlockRef, oneshot::Sender<usize>),
    /// Start no new attempts; answered when no attempt, read or report is open.
    Drain(oneshot::Sender<()>),
}

pub(super) struct Task<D> {
    pub state: QueueMachine,
    pub clock: Arc<dyn Clock>,
    pub spool: Spool,
    pub deliver: D,
    /// For answers of attempts, reads and acknowledgements. Weak: the task ends when the last
    /// handle is gone.
    pub own: mpsc::WeakUnboundedSender<TaskCommand>,
    pub commands: mpsc::UnboundedReceiver<TaskCommand>,
    pub events: mpsc::Sender<QueueEvent>,
    /// Events that the channel had no room for yet.
    pub outbox: VecDeque<QueueEvent>,
    /// Callers that wait for the end of running attempts.
    pub draining: Vec<oneshot::Sender<()>>,
    /// Closed to new attempts until the end of the process.
    pub closed: bool,
}

impl<D: Deliver> Task<D> {
    /// Runs until all handles are gone.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut effects = Vec::new();
        let mut pulse = Instant::now();
        loop {
            let now = self.clock.now();
            self.state.handle(now, QueueInput::Tick, &mut effects);
            self.state
                .gate(!self.closed && self.outbox.len() < OUTBOX_MAX && self.spool.is_healthy());
            self.state.pump(now, &mut effects);
            self.carry_out(&mut effects).await;
            if pulse <= Instant::now() {
                pulse = Instant::now() + PULSE;
                self.gauges();
            }
            if self.state.is_idle() && self.outbox.is_empty() {
                for done in self.draining.drain(..) {
                    let _ = done.send(());
                }
            }
            let wait = self
                .state
                .next_wake()
                .map_or(PULSE, |wake| wake.since(self.clock.now()).min(PULSE));
            tokio::select! {
                taken = self.commands.recv_many(&mut batch, BATCH) => if taken == 0 { return },
                permit = self.events.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => if let Some(event) = self.outbox.pop_front() { permit.send(event) },
                    // The receiver is gone: a dropped report counts as failed (see `Ack`).
                    Err(_) => self.outbox.clear(),
                },
                () = tokio::time::sleep(wait.max(Duration::from_millis(1))) => {}
            }
            for command in batch.drain(..) {
                self.command(command, &mut effects).await;
            }
        }
    }

    async fn command(&mut self, command: TaskCommand, effects: &mut Vec<QueueEffect>) {
        let now = self.clock.now();
        match command {
            TaskCommand::Input(input) => self.state.handle(now, input, effects),
            TaskCommand::Order(order, select, answer) => {
                self.carry_out(effects).await;
                let met = self.state.order(now, &order, &select, effects);
                self.carry_out(effects).await;
                let _ = answer.send(met);
            }
            TaskCommand::Release(select, gate, answer) => {
                self.carry_out(effects).await;
                let released = self.state.release(now, &select, &gate, effects);
                self.carry_out(effects).await;
                let _ = answer.send(released);
            }
            TaskCommand::List(state, after, limit, answer) => {
                let _ = answer.send(self.state.list(state, after, limit));
            }
            TaskCommand::Show(id, answer) => {
                let _ = answer.send(self.state.show(id));
            }
            TaskCommand::HeldUnder(block, answer) => {
                let _ = answer.send(self.state.held_under(block));
            }
            TaskCommand::Drain(done) => {
                self.closed = true;
                self.draining.push(done);
            }
        }
    }

    /// Carries out effects in their order; returns once every durable record among them is on disk.
    async fn carry_out(&mut self, effects: &mut Vec<QueueEffect>) {
        // The spool writes in order: the sync of the last record covers those before.
        let mut durable = None;
        for effect in effects.drain(..) {
            match effect {
                QueueEffect::Attempt(job) => self.attempt(job),
                QueueEffect::Load(id) => self.load(id),
                QueueEffect::Progress(id, record, false) => self.spool.progress_lazy(id, record),
                QueueEffect::Progress(id, record, true) => {
                    if let Some((id, record)) = durable.replace((id, record)) {
                        self.spool.progress_lazy(id, record);
                    }
                }
                QueueEffect::Done(id) => {
                    self.spool.done(id);
                    self.tell(QueueEvent::Done { id });
                }
                QueueEffect::Lost(id) => {
                    tracing::error!(%id, "the spool no longer holds this message; it has left the queue");
                    self.tell(QueueEvent::Done { id });
                }
                QueueEffect::Attempted(meta, outcomes, next_attempt) => {
                    self.tell(QueueEvent::Attempted {
                        meta,
                        outcomes,
                        next_attempt,
                    });
                }
                QueueEffect::Report(token, report) => {
                    let ack = Ack::new(token, self.own.clone());
                    self.tell(event(&report, ack));
                }
            }
        }
        if let Some((id, record)) = durable
            && let Err(error) = self.spool.progress(id, record).await
        {
            tracing::error!(%id, ?error, "an order could not be written; it holds until a restart only");
        }
    }

    fn tell(&mut self, event: QueueEvent) {
        if !self.outbox.is_empty() {
            self.outbox.push_back(event);
            return;
        }
        match self.events.try_send(event) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(event)) => self.outbox.push_back(event),
        }
    }

    fn attempt(&self, job: Box<DeliveryJob>) {
        let Some(own) = self.own.upgrade() else {
            return;
        };
        let (spool, deliver) = (self.spool.clone(), self.deliver.clone());
        // If the attempt panics, the message must not hang: it is tried again.
        let answer = AnswerOnDrop {
            own,
            input: Some(QueueInput::Unread {
                id: job.id,
                dest: Some(job.dest),
                lost: false,
            }),
        };
        tokio::spawn(async move {
            let (read, body) = match spool.read(job.id).await {
                Ok(found) => found,
                Err(error) => {
                    return answer.give(QueueInput::Unread {
                        id: job.id,
                        dest: Some(job.dest),
                        lost: is_lost(job.id, &error),
                    });
                }
            };
            let meta = job.meta.clone().unwrap_or_else(|| Arc::new(read));
            let recipients = job.recipients(&meta);
            let result = if recipients.is_empty() {
                AttemptResult {
                    outcomes: Vec::new(),
                    reach: Reached::Nowhere,
                }
            } else {
                let destination = (*job.destination).clone();
                deliver
                    .attempt(Attempt {
                        meta: meta.clone(),
                        body,
                        recipients: recipients.clone(),
                        destination,
                    })
                    .await
            };
            answer.give(QueueInput::Ended {
                dest: job.dest,
                meta,
                recipients,
                result,
            });
        });
    }

    fn load(&self, id: MessageId) {
        let Some(own) = self.own.upgrade() else {
            return;
        };
        let spool = self.spool.clone();
        let answer = AnswerOnDrop {
            own,
            input: Some(QueueInput::Unread {
                id,
                dest: None,
                lost: false,
            }),
        };
        tokio::spawn(async move {
            answer.give(match spool.read(id).await {
                Ok((meta, _)) => QueueInput::Loaded(Arc::new(meta)),
                Err(error) => QueueInput::Unread {
                    id,
                    dest: None,
                    lost: is_lost(id, &error),
                },
            });
        });
    }

    fn gauges(&self) {
        let counts = self.state.counts();
        for (state, count) in [
            ("active", counts.active),
            ("deferred", counts.deferred),
            ("held", counts.held),
        ] {
            metrics::gauge!(names::QUEUE_MESSAGES, "state" => state).set(count as f64);
        }
    }
}

/// Sends its input to the task when it is dropped, also after a panic.
struct AnswerOnDrop {
    own: mpsc::UnboundedSender<TaskCommand>,
    input: Option<QueueInput>,
}

impl AnswerOnDrop {
    fn give(mut self, input: QueueInput) {
        self.input = Some(input);
    }
}

impl Drop for AnswerOnDrop {
    fn drop(&mut self) {
        if let Some(input) = self.input.take() {
            let _ = self.own.send(TaskCommand::Input(input));
        }
    }
}

fn is_lost(id: MessageId, error: &SpoolError) -> bool {
    tracing::warn!(%id, ?error, "a queued message cannot be read");
    matches!(error, SpoolError::NotFound | SpoolError::Damaged(_))
}

fn event(report: &QueueReport, ack: Ack) -> QueueEvent {
    let (meta, recipients) = (report.meta.clone(), report.recipients.clone());
    match report.kind.clone() {
        QueueReportKind::Failed(cause, hold) => QueueEvent::Failed {
            meta,
            recipients,
            cause,
            hold,
            ack,
        },
        QueueReportKind::Delayed(expires) => QueueEvent::Delayed {
            meta,
            recipients,
            expires,
            ack,
        },
        QueueReportKind::Relayed => QueueEvent::Relayed {
            meta,
            recipients,
            ack,
        },
    }
}
