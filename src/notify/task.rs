//! The task that sends notices, one after the other, so that the mail path never waits for them.

use super::dedup::{Dedup, Verdict};
use super::{Notice, compose, webhook};
use crate::config::Settings;
use crate::env::Clock;
use crate::intake::IdSource;
use crate::queue::Queue;
use crate::records::Records;
use crate::spool::Spool;
use crate::types::{Address, BodyType, Envelope, MessageMeta, Notify, Pool, Recipient, ReversePath};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Notices waiting at most; more are dropped with a line in the log (the block records themselves are durable).
const BACKLOG: usize = 4096;

/// Where notices are handed in; cheap to clone, never blocks.
#[derive(Clone)]
pub struct Notifier {
    sender: mpsc::Sender<Notice>,
}

impl Notifier {
    /// The notifier and the end that [`Outbox::run`] reads.
    pub fn new() -> (Self, mpsc::Receiver<Notice>) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        (Self { sender }, receiver)
    }

    /// Tells whoever should know.
    pub fn tell(&self, notice: Notice) {
        if let Err(error) = self.sender.try_send(notice) {
            tracing::error!(%error, "a notice was dropped: too many are waiting");
        }
    }
}

/// What sending takes.
pub struct Outbox {
    /// Settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Durability of the mails.
    pub spool: Spool,
    /// Their delivery.
    pub queue: Queue,
    /// Durability of the webhook calls.
    pub records: Records,
    /// Message ids.
    pub ids: Arc<IdSource>,
}

impl Outbox {
    /// Runs until every [`Notifier`] is gone; what waits then is still sent.
    pub async fn run(self, mut notices: mpsc::Receiver<Notice>) {
        let mut dedup = Dedup::new(self.clock.now());
        let mut minute = tokio::time::interval(Duration::from_secs(60));
        loop {
            tokio::select! {
                notice = notices.recv() => match notice {
                    Some(notice) => self.handle(&mut dedup, &notice).await,
                    None => break,
                },
                _ = minute.tick() => {
                    let settings = Arc::clone(&self.settings.borrow());
                    for digest in dedup.turn(self.clock.now()) {
                        self.send(&settings, &compose::digest(&settings, &digest)).await;
                    }
                }
            }
        }
    }

    async fn handle(&self, dedup: &mut Dedup, notice: &Notice) {
        let settings = Arc::clone(&self.settings.borrow());
        if settings.notify.webhook.is_some() {
            // Programs get every event: they do their own counting.
            let now = self.clock.now();
            webhook::store(&self.records, self.ids.next(now), now, &compose::webhook(notice, now)).await;
        }
        if dedup.check(notice, &compose::line(notice)) == Verdict::Send {
            self.send(&settings, &compose::mail(&settings, notice)).await;
        }
        if let Notice::Blocked { block, .. } = notice
            && let Err(error) = self.records.told(block.reference).await
        {
            tracing::error!(block = %block.reference, ?error, "people may be told of this block a second time");
        }
    }

    /// Queues a mail from the null sender: never judged, never blocked, never bounced back to us.
    async fn send(&self, settings: &Settings, mail: &compose::Mail) {
        if mail.to.is_empty() {
            return;
        }
        let id = self.ids.next(self.clock.now());
        let body = Bytes::from(compose::message(settings, mail, &id.to_string(), self.clock.now()));
        let recipient = |address: &Address| Recipient { notify: Some(Notify::NEVER), ..Recipient::new(address.clone()) };
        let envelope = Envelope {
            from: ReversePath::NULL,
            recipients: mail.to.iter().map(recipient).collect(),
            body: BodyType::SevenBit,
            smtputf8: mail.to.iter().any(Address::needs_utf8),
            ret: None,
            envid: None,
        };
        let meta = Arc::new(MessageMeta::of_ours(id, self.clock.now(), envelope, Pool::Normal, body.len()));
        match self.spool.accept(&meta, body).await {
            Ok(()) => self.queue.enqueue(meta),
            Err(error) => tracing::error!(subject = %mail.subject, ?error, "a notice could not be spooled"),
        }
    }
}
