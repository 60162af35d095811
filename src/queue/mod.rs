//! The queue: what to try when, by destination. One task owns the state.
//!
//! `state` decides (pure), `task` carries out. Every change is written to the spool first. A
//! recipient that ends with a report is final only when the report has been acknowledged ([`Ack`]).

pub(crate) mod deliver;
mod destinations;
mod entry;
mod orders;
mod own_mail;
mod progress;
mod reports;
mod schedule;
mod settle;
#[cfg(test)]
mod simulation;
mod state;
mod task;
#[cfg(test)]
mod task_tests;
#[cfg(test)]
pub(crate) mod tests;

use crate::api::{QueueItem, QueueRecipient, QueueState};
use crate::blocks::active;
use crate::config::Settings;
use crate::env::Clock;
use crate::spool::{Recovered, Spool};
use crate::types::{
    BlockRef, HoldReason, Identity, MessageId, MessageMeta, RecipientOutcome, RecipientStatus,
    Reply, Time,
};
pub(crate) use deliver::Deliver;
use orders::Order;
pub(crate) use own_mail::OwnMail;
use progress::{MessageProgress, Stage};
use state::{QueueInput, QueueMachine, Rules};
use std::sync::Arc;
use task::{Task, TaskCommand};
use tokio::sync::{mpsc, oneshot};

/// Events between the queue and their consumer.
const EVENTS: usize = 1024;

/// What the queue reports to the rest of the relay.
#[derive(Debug)]
pub(crate) enum QueueEvent {
    /// An attempt ended for these recipients.
    Attempted {
        meta: Arc<MessageMeta>,
        /// One outcome per recipient tried.
        outcomes: Vec<RecipientOutcome>,
        /// When the deferred ones are tried again.
        #[cfg_attr(not(test), expect(dead_code, reason = "the tests wait for it"))]
        next_attempt: Option<Time>,
    },
    /// Recipients failed permanently (refused, expired in the queue, bounced by an admin, held too
    /// long): report it to the sender.
    Failed {
        meta: Arc<MessageMeta>,
        /// The failed recipients.
        recipients: Vec<FailedRecipient>,
        cause: FailureCause,
        /// Why the message was held when it ended.
        hold: Option<HoldReason>,
        /// To be acknowledged once the report is spooled (or none is due).
        ack: Ack,
    },
    /// Still undelivered after `delay_notice`: report it to the sender once.
    Delayed {
        meta: Arc<MessageMeta>,
        recipients: Vec<FailedRecipient>,
        /// When the queue gives up.
        expires: Time,
        /// To be acknowledged once the report is spooled (or none is due).
        ack: Ack,
    },
    /// Delivered to a next hop without DSN although the sender asked for `NOTIFY=SUCCESS` (RFC 3461
    /// section 5.2.2): report "relayed".
    Relayed {
        meta: Arc<MessageMeta>,
        recipients: Vec<FailedRecipient>,
        /// To be acknowledged once the report is spooled (or none is due).
        ack: Ack,
    },
    /// Nothing is left to do for this message; it has left the spool.
    Done {
        #[cfg_attr(not(test), expect(dead_code, reason = "the tests wait for it"))]
        id: MessageId,
    },
}

/// A recipient in a report.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FailedRecipient {
    /// Index into the envelope's recipients.
    pub recipient: u32,
    /// Last reply, from us or from the remote host.
    pub reply: Reply,
    /// Host that sent the reply; empty if none.
    pub remote: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureCause {
    /// A next hop refused permanently, or no next hop can exist.
    Refused,
    Expired,
    /// Held until `held.expire` passed, or a reviewer returned it.
    HeldReturned,
    /// An admin bounced it.
    Admin,
}

/// The messages that a bulk order applies to.
#[derive(Debug, Clone)]
pub(crate) enum Select {
    Id(MessageId),
    /// All messages not held whose identity this block covers (`active::covers`).
    CoveredBy(Arc<crate::types::Block>),
    /// All messages held under this block.
    HeldUnder(BlockRef),
}

/// The block in force that stops mail of this identity, if any.
type FindBlock = Arc<dyn Fn(&Identity) -> Option<BlockRef> + Send + Sync>;

/// The result of a bulk release.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReleasedMail {
    /// In delivery again.
    pub sent_on: Vec<MessageId>,
    /// Still held, now under this block.
    pub kept: Vec<(MessageId, BlockRef)>,
}

/// Acknowledges a report; until then its content is not final. If it is dropped without
/// [`Ack::done`] or [`Ack::put_off`], the report is sent again after a minute. After a crash, its
/// recipients are tried again.
#[derive(Debug)]
pub(crate) struct Ack {
    token: u64,
    own: Option<mpsc::WeakUnboundedSender<TaskCommand>>,
}

impl Ack {
    const fn new(token: u64, own: mpsc::WeakUnboundedSender<TaskCommand>) -> Self {
        Self {
            token,
            own: Some(own),
        }
    }

    /// The report is in the spool, or none is due.
    pub(crate) fn done(mut self) {
        self.answer(QueueInput::Acked {
            token: self.token,
            done: true,
        });
    }

    /// The report may not be sent before `until`: the event is sent again then.
    pub(crate) fn put_off(mut self, until: Time) {
        self.answer(QueueInput::PutOff {
            token: self.token,
            until,
        });
    }

    fn answer(&mut self, input: QueueInput) {
        if let Some(own) = self.own.take().and_then(|own| own.upgrade()) {
            let _ = own.send(TaskCommand::Input(input));
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.answer(QueueInput::Acked {
            token: self.token,
            done: false,
        });
    }
}

/// What the spool held at start. It is taken in message by message, so that a million messages do
/// not need a million metas in memory at once.
pub(crate) struct Backlog {
    state: QueueMachine,
    now: Time,
}

impl Backlog {
    /// An empty backlog; `now` is the time of the start.
    pub(crate) fn new(settings: Arc<Settings>, now: Time) -> Self {
        Self {
            now,
            state: QueueMachine::new(
                settings,
                Rules {
                    route: crate::delivery::route,
                    covers: active::covers,
                },
            ),
        }
    }

    /// Takes in one message; oldest first is fastest.
    pub(crate) fn add(&mut self, found: &Recovered) {
        self.state
            .recover(self.now, &found.meta, found.progress.as_deref());
    }
}

/// Handle to the queue; cheap to clone.
#[derive(Clone)]
pub(crate) struct Queue {
    commands: mpsc::UnboundedSender<TaskCommand>,
    spool: Spool,
}

impl Queue {
    /// Starts the task with the backlog of the spool. Events come out of the receiver; no new
    /// attempts start while it is full.
    pub(crate) fn start(
        clock: Arc<dyn Clock>,
        spool: Spool,
        deliver: impl Deliver,
        backlog: Backlog,
    ) -> (Self, mpsc::Receiver<QueueEvent>) {
        let (commands, taken) = mpsc::unbounded_channel();
        let (events, out) = mpsc::channel(EVENTS);
        let task = Task {
            state: backlog.state,
            clock,
            spool: spool.clone(),
            deliver,
            own: commands.downgrade(),
            commands: taken,
            events,
            outbox: std::collections::VecDeque::new(),
            draining: Vec::new(),
            closed: false,
        };
        spool.vitals().spawn("queue", task.run());
        (Self { commands, spool }, out)
    }

    /// Takes over a message that the spool holds. Never blocks.
    pub(crate) fn enqueue(&self, meta: Arc<MessageMeta>) {
        let _ = self
            .commands
            .send(TaskCommand::Input(QueueInput::Enqueue(meta)));
    }

    /// Applies new settings.
    pub(crate) fn reload(&self, settings: Arc<Settings>) {
        let _ = self
            .commands
            .send(TaskCommand::Input(QueueInput::Reload(settings)));
    }

    /// Holds the selected messages. If an attempt is running, only the recipients that it leaves
    /// undecided are held. On disk when this returns. Returns the ids.
    pub(crate) async fn hold(&self, select: Select, reason: HoldReason) -> Vec<MessageId> {
        self.order(Order::Hold(reason), select).await
    }

    /// Releases held mail, except what `gate` stops: that stays held, under the block that stops
    /// it. On disk when this returns.
    pub(crate) async fn release_unless(&self, select: Select, gate: FindBlock) -> ReleasedMail {
        self.ask(|answer| TaskCommand::Release(select, gate, answer))
            .await
            .unwrap_or_default()
    }

    /// Releases held mail of any sender; returns the ids. On disk when this returns.
    pub(crate) async fn release(&self, select: Select) -> Vec<MessageId> {
        self.order(Order::Release, select).await
    }

    /// Tries now instead of at the planned time; returns the ids. Held mail is not touched.
    pub(crate) async fn retry(&self, select: Select) -> Vec<MessageId> {
        self.order(Order::Retry, select).await
    }

    /// Gives up and reports to the sender; returns the ids. On disk when this returns.
    pub(crate) async fn bounce(&self, select: Select) -> Vec<MessageId> {
        self.order(Order::Bounce, select).await
    }

    /// Drops held mail without a report; returns the ids. Only held mail can be deleted.
    pub(crate) async fn delete(&self, select: Select) -> Vec<MessageId> {
        self.order(Order::Delete, select).await
    }

    /// Up to `limit` messages after `after`, oldest first, of one state or all.
    pub(crate) async fn list(
        &self,
        state: Option<QueueState>,
        after: Option<MessageId>,
        limit: usize,
    ) -> Vec<QueueItem> {
        self.ask(|answer| TaskCommand::List(state, after, limit, answer))
            .await
            .unwrap_or_default()
    }

    /// How many messages are held under this block.
    pub(crate) async fn held_under(&self, block: BlockRef) -> usize {
        self.ask(|answer| TaskCommand::HeldUnder(block, answer))
            .await
            .unwrap_or_default()
    }

    /// One message with its recipients.
    pub(crate) async fn show(&self, id: MessageId) -> Option<QueueItem> {
        let (mut item, progress) = self.ask(|answer| TaskCommand::Show(id, answer)).await??;
        let (meta, _) = self.spool.read(id).await.ok()?;
        item.recipients = shown(&meta, &progress);
        Some(item)
    }

    /// Why a message is held, and the identity of its sender (`None` = the relay's own mail).
    /// `None` if it is not held, or cannot be read now.
    pub(crate) async fn held_for(&self, id: MessageId) -> Option<(HoldReason, Option<Identity>)> {
        let (item, _) = self.ask(|answer| TaskCommand::Show(id, answer)).await??;
        let (meta, _) = self.spool.read(id).await.ok()?;
        Some((item.hold?, meta.identity))
    }

    /// Starts no new attempts; waits for the running ones and their reports until the deadline.
    pub(crate) async fn drain(&self, deadline: std::time::Duration) {
        let _ = tokio::time::timeout(deadline, self.ask(TaskCommand::Drain)).await;
    }

    async fn order(&self, order: Order, select: Select) -> Vec<MessageId> {
        self.ask(|answer| TaskCommand::Order(order, select, answer))
            .await
            .unwrap_or_default()
    }

    /// `None` = the task has ended, as at the end of the process.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> TaskCommand) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).ok()?;
        answered.await.ok()
    }
}

fn shown(meta: &MessageMeta, progress: &MessageProgress) -> Vec<QueueRecipient> {
    let recipients = meta.envelope.recipients.iter().zip(&progress.recipients);
    let one = |(recipient, track): (&crate::types::Recipient, &progress::Track)| QueueRecipient {
        address: recipient.address.clone(),
        status: match track.stage {
            Stage::Pending => RecipientStatus::Pending,
            Stage::Delivered | Stage::Relaying => RecipientStatus::Delivered,
            Stage::Failed | Stage::Reporting => RecipientStatus::Failed,
        },
        last_reply: track
            .last
            .as_ref()
            .map(|last| last.reply.one_line())
            .unwrap_or_default(),
    };
    recipients.map(one).collect()
}
