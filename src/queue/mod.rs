//! The queue: what is to be tried when, by destination. One task owns the state.
//!
//! `state` decides (pure), `task` carries out. Every change is in the spool first; what ends a
//! recipient by a report is final only when the report has been taken over ([`Ack`]).

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
        /// One per recipient tried.
        outcomes: Vec<RecipientOutcome>,
        /// When the deferred ones are tried again.
        #[cfg_attr(not(test), expect(dead_code, reason = "the tests wait for it"))]
        next_attempt: Option<Time>,
    },
    /// Recipients failed for good (refused, expired in the queue, bounced by an admin, held too
    /// long): tell the sender.
    Failed {
        meta: Arc<MessageMeta>,
        /// Index, last reply, remote host.
        recipients: Vec<FailedRecipient>,
        cause: FailureCause,
        /// What the message was held for when it ended.
        hold: Option<HoldReason>,
        /// To be given once the report is spooled (or none is due).
        ack: Ack,
    },
    /// Still undelivered after `delay_notice`: tell the sender once.
    Delayed {
        meta: Arc<MessageMeta>,
        recipients: Vec<FailedRecipient>,
        /// When we give up.
        expires: Time,
        /// To be given once the report is spooled (or none is due).
        ack: Ack,
    },
    /// Delivered to a next hop without DSN although the sender asked for `NOTIFY=SUCCESS` (RFC 3461
    /// section 5.2.2): report "relayed".
    Relayed {
        meta: Arc<MessageMeta>,
        recipients: Vec<FailedRecipient>,
        /// To be given once the report is spooled (or none is due).
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
    /// Last reply, ours or the remote's.
    pub reply: Reply,
    /// Host that gave it; empty if none.
    pub remote: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureCause {
    /// A next hop refused for good, or no next hop can exist.
    Refused,
    Expired,
    /// Held until `held.expire` passed, or a reviewer returned it.
    HeldReturned,
    /// An admin bounced it.
    Admin,
}

/// Which messages a bulk order means.
#[derive(Debug, Clone)]
pub(crate) enum Select {
    Id(MessageId),
    /// All not yet held whose identity this block covers (`active::covers`).
    CoveredBy(Arc<crate::types::Block>),
    /// All held under this block.
    HeldUnder(BlockRef),
}

/// The block in force that stops mail of this identity, if any.
pub(crate) type FindBlock = Arc<dyn Fn(&Identity) -> Option<BlockRef> + Send + Sync>;

/// What a release of much mail brought about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReleasedMail {
    /// On its way again.
    pub sent_on: Vec<MessageId>,
    /// Held on, now under this block.
    pub kept: Vec<(MessageId, BlockRef)>,
}

/// Somebody must take over what a report says before it is final. Dropped without [`Ack::done`] or
/// [`Ack::put_off`], the report comes again after a minute; after a crash, its recipients are tried
/// again.
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

    /// Nobody may be told before `until`: the event comes again then.
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

/// What the spool held at start, taken in message by message so that a million of them need no
/// million metas at once.
pub(crate) struct Backlog {
    state: QueueMachine,
    now: Time,
}

impl Backlog {
    /// Empty; `now` is the time of the start.
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
    /// Starts the task with what the spool held. Events come out of the receiver; no new attempts
    /// start while it is full.
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

    /// New settings from now on.
    pub(crate) fn reload(&self, settings: Arc<Settings>) {
        let _ = self
            .commands
            .send(TaskCommand::Input(QueueInput::Reload(settings)));
    }

    /// Holds what is selected; what is being tried at this moment is held as far as its attempt
    /// leaves it undecided. On disk when this returns. Gives the ids.
    pub(crate) async fn hold(&self, select: Select, reason: HoldReason) -> Vec<MessageId> {
        self.order(Order::Hold(reason), select).await
    }

    /// Sends held mail on, except what `gate` stops: that is held on under the block which stops
    /// it. On disk when this returns.
    pub(crate) async fn release_unless(&self, select: Select, gate: FindBlock) -> ReleasedMail {
        self.ask(|answer| TaskCommand::Release(select, gate, answer))
            .await
            .unwrap_or_default()
    }

    /// Sends held mail on, whoever sent it; gives the ids. On disk when this returns.
    pub(crate) async fn release(&self, select: Select) -> Vec<MessageId> {
        self.order(Order::Release, select).await
    }

    /// Tries now, whatever was planned; gives the ids. Held mail is left alone.
    pub(crate) async fn retry(&self, select: Select) -> Vec<MessageId> {
        self.order(Order::Retry, select).await
    }

    /// Gives up and tells the sender; gives the ids. On disk when this returns.
    pub(crate) async fn bounce(&self, select: Select) -> Vec<MessageId> {
        self.order(Order::Bounce, select).await
    }

    /// Drops held mail without telling anybody; gives the ids. Only held mail can be deleted.
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

    /// Why a message is held, and whose it is (`None` = the relay's own); `None` if it is not held,
    /// or cannot be read now.
    pub(crate) async fn held_for(&self, id: MessageId) -> Option<(HoldReason, Option<Identity>)> {
        let (item, _) = self.ask(|answer| TaskCommand::Show(id, answer)).await??;
        let (meta, _) = self.spool.read(id).await.ok()?;
        Some((item.hold?, meta.identity))
    }

    /// No new attempts from now on; waits for the running ones and their reports up to the
    /// deadline.
    pub(crate) async fn drain(&self, deadline: std::time::Duration) {
        let _ = tokio::time::timeout(deadline, self.ask(TaskCommand::Drain)).await;
    }

    async fn order(&self, order: Order, select: Select) -> Vec<MessageId> {
        self.ask(|answer| TaskCommand::Order(order, select, answer))
            .await
            .unwrap_or_default()
    }

    /// `None` = the task is gone, as at the end of the process.
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
