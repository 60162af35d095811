//! The task that sends notices, one after the other, so that the mail path never waits for them.

use super::dedup::{Dedup, Digest, Verdict};
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
use tokio::sync::{mpsc, oneshot, watch};

/// Notices waiting at most; more are dropped with a line in the log (the block records themselves are durable).
const BACKLOG: usize = 4096;

/// Where notices are handed in; cheap to clone, never blocks.
#[derive(Clone)]
pub struct Notifier {
    sender: mpsc::Sender<Item>,
}

/// What [`Outbox::run`] reads.
pub struct Inbox(mpsc::Receiver<Item>);

enum Item {
    Notice(Notice),
    /// Answered once everything before it is on disk.
    Flush(oneshot::Sender<()>),
}

impl Notifier {
    /// The notifier and the end that [`Outbox::run`] reads.
    pub fn new() -> (Self, Inbox) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        (Self { sender }, Inbox(receiver))
    }

    /// Tells whoever should know.
    pub fn tell(&self, notice: Notice) {
        if let Err(error) = self.sender.try_send(Item::Notice(notice)) {
            tracing::error!(%error, "a notice was dropped: too many are waiting");
        }
    }

    /// Returns once everything that was told before is on disk: mails in the spool, webhook calls in records, and what was
    /// only counted so far as a digest. For the orderly end: what waits here in memory would be lost.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.sender.send(Item::Flush(done)).await.is_ok() {
            // Gone unanswered means that the task has ended: there is nobody left to wait for.
            let _ = flushed.await;
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
    pub async fn run(self, mut inbox: Inbox) {
        let mut dedup = Dedup::new(self.clock.now());
        let mut minute = tokio::time::interval(Duration::from_secs(60));
        loop {
            tokio::select! {
                item = inbox.0.recv() => match item {
                    Some(Item::Notice(notice)) => self.handle(&mut dedup, &notice).await,
                    Some(Item::Flush(done)) => {
                        self.send_digests(dedup.close(self.clock.now())).await;
                        // Whoever asked may have given up waiting.
                        let _ = done.send(());
                    }
                    None => break,
                },
                _ = minute.tick() => self.send_digests(dedup.turn(self.clock.now())).await,
            }
        }
    }

    async fn send_digests(&self, digests: Vec<Digest>) {
        let settings = Arc::clone(&self.settings.borrow());
        for digest in digests {
            self.send(&settings, &compose::digest(&settings, &digest)).await;
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
