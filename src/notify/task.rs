//! The task that sends notices, one after the other, so that the mail path never waits for them.

use super::dedup::{Dedup, DedupVerdict, Digest};
use super::{Notice, call, compose, webhook};
use crate::config::Settings;
use crate::env::Clock;
use crate::env::IdSource;
use crate::queue::{OwnMail, Queue};
use crate::records::Records;
use crate::spool::Spool;
use crate::types::{Address, BlockRef, BodyType, Envelope, Notify, Pool, Recipient};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Mails that could not be spooled kept at most, to be tried again each minute.
const UNSENT: usize = 1024;
/// Notices waiting at most; more are dropped with a line in the log (the block records themselves
/// are durable).
const BACKLOG: usize = 4096;

/// Where notices are handed in; cheap to clone, never blocks.
#[derive(Clone)]
pub(crate) struct Notifier {
    sender: mpsc::Sender<OutboxItem>,
}

pub(crate) struct Inbox(mpsc::Receiver<OutboxItem>);

enum OutboxItem {
    Notice(Notice),
    /// Answered once everything before it is on disk.
    Flush(oneshot::Sender<()>),
}

impl Notifier {
    /// The notifier and the end that [`Outbox::run`] reads.
    pub(crate) fn new() -> (Self, Inbox) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        (Self { sender }, Inbox(receiver))
    }

    /// Tells whoever should know.
    pub(crate) fn tell(&self, notice: Notice) {
        if let Err(error) = self.sender.try_send(OutboxItem::Notice(notice)) {
            tracing::error!(%error, "a notice was dropped: too many are waiting");
        }
    }

    /// Returns once everything that was told before is on disk: mails in the spool, webhook calls
    /// in records, and what was only counted so far as a digest. For the orderly end: what waits
    /// here in memory would be lost.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.sender.send(OutboxItem::Flush(done)).await.is_ok() {
            // Gone unanswered means that the task has ended: there is nobody left to wait for.
            let _ = flushed.await;
        }
    }
}

/// A mail that is to go out, and the blocks of which people are then told.
struct Outgoing {
    mail: compose::NoticeMail,
    blocks: Vec<BlockRef>,
}

pub(crate) struct Outbox {
    pub settings: watch::Receiver<Arc<Settings>>,
    pub clock: Arc<dyn Clock>,
    /// Durability of the mails.
    pub spool: Spool,
    pub queue: Queue,
    /// Durability of the webhook calls.
    pub records: Records,
    pub ids: Arc<IdSource>,
}

impl Outbox {
    /// Runs until every [`Notifier`] is gone; what waits then is still sent.
    pub(crate) async fn run(self, mut inbox: Inbox) {
        let mut dedup = Dedup::new(self.clock.now());
        let mut unsent = VecDeque::new();
        let mut minute = tokio::time::interval(Duration::from_secs(60));
        loop {
            tokio::select! {
                item = inbox.0.recv() => match item {
                    Some(OutboxItem::Notice(notice)) => self.handle(&mut dedup, &mut unsent, &notice).await,
                    Some(OutboxItem::Flush(done)) => {
                        self.try_again(&mut unsent).await;
                        self.send_digests(&mut unsent, dedup.close(self.clock.now())).await;
                        // Whoever asked may have given up waiting.
                        let _ = done.send(());
                    }
                    None => break,
                },
                _ = minute.tick() => {
                    self.try_again(&mut unsent).await;
                    self.send_digests(&mut unsent, dedup.turn(self.clock.now())).await;
                }
            }
        }
    }

    async fn send_digests(&self, unsent: &mut VecDeque<Outgoing>, digests: Vec<Digest>) {
        let settings = Arc::clone(&self.settings.borrow());
        for digest in digests {
            self.send_or_keep(
                unsent,
                Outgoing {
                    mail: compose::digest(&settings, &digest),
                    blocks: digest.blocks,
                },
            )
            .await;
        }
    }

    async fn handle(&self, dedup: &mut Dedup, unsent: &mut VecDeque<Outgoing>, notice: &Notice) {
        let settings = Arc::clone(&self.settings.borrow());
        if settings.notify.webhook.is_some() {
            // Programs get every event: they do their own counting.
            let now = self.clock.now();
            let (time, name) = match notice {
                // Told again after a crash, it is the same call: same time, same name.
                Notice::Blocked { block, .. } => (block.opened_at, block.reference.to_string()),
                _ => (now, self.ids.next(now).to_string()),
            };
            webhook::store(&self.records, now, (time, &name), &call::body(notice, time)).await;
        }
        if let Some(mail) = compose::mail_to_sender(&settings, notice) {
            self.send_or_keep(
                unsent,
                Outgoing {
                    mail,
                    blocks: Vec::new(),
                },
            )
            .await;
        }
        if dedup.check(notice, &compose::line(notice)) == DedupVerdict::Send {
            let blocks = match notice {
                Notice::Blocked { block, .. } => vec![block.reference],
                _ => Vec::new(),
            };
            self.send_or_keep(
                unsent,
                Outgoing {
                    mail: compose::mail(&settings, notice),
                    blocks,
                },
            )
            .await;
        }
    }

    /// Sends a mail; one that the spool does not take now is kept for the next minute.
    async fn send_or_keep(&self, unsent: &mut VecDeque<Outgoing>, mail: Outgoing) {
        if self.send(&mail).await {
            return;
        }
        if unsent.len() >= UNSENT {
            // People are told of a block at the next start at the latest: its record says that they
            // were not.
            tracing::error!(subject = %mail.mail.subject, "a notice was dropped: too many could not be spooled");
            return;
        }
        unsent.push_back(mail);
    }

    /// Sends what the spool did not take before, up to the first that it does not take now.
    async fn try_again(&self, unsent: &mut VecDeque<Outgoing>) {
        while let Some(mail) = unsent.front() {
            if !self.send(mail).await {
                return;
            }
            unsent.pop_front();
        }
    }

    /// The records of blocks say that people know of them.
    async fn mark_notified(&self, blocks: &[BlockRef]) {
        if let Some(block) = blocks.first()
            && let Err(error) = self.records.notified(blocks.to_vec()).await
        {
            tracing::error!(%block, blocks = blocks.len(), ?error, "people may be told of these blocks a second time");
        }
    }

    /// Spools and queues a mail; false if the spool does not take it.
    async fn send(&self, unsent: &Outgoing) -> bool {
        let settings = Arc::clone(&self.settings.borrow());
        if !unsent.mail.to.is_empty() && !self.spool_mail(&settings, &unsent.mail).await {
            return false;
        }
        self.mark_notified(&unsent.blocks).await;
        true
    }

    /// Queues a mail from the null sender: never judged, never blocked, never bounced back to us.
    async fn spool_mail(&self, settings: &Settings, mail: &compose::NoticeMail) -> bool {
        let now = self.clock.now();
        let id = self.ids.next(now);
        let recipient = |address: &Address| Recipient {
            notify: Some(Notify::NEVER),
            ..Recipient::new(address.clone())
        };
        let own = OwnMail {
            id,
            now,
            envelope: Envelope::of_ours(
                mail.to.iter().map(recipient).collect(),
                BodyType::SevenBit,
                mail.to.iter().any(Address::needs_utf8),
            ),
            pool: Pool::Normal,
            message: compose::message(settings, mail, &id.to_string(), now),
        };
        match own.submit(&self.spool, &self.queue).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(subject = %mail.subject, ?error, "a notice could not be spooled, tried again");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::rules::tests::block;
    use crate::detector::testing;
    use crate::env::SystemClock;
    use crate::queue::Backlog;
    use crate::queue::tests::Silent;
    use crate::types::BlockKind;

    fn settings() -> Settings {
        let mut settings = testing::settings();
        settings.notify.operators = vec![Address::parse("noc@relay.test").expect("address")];
        settings
    }

    fn outbox(
        dir: &std::path::Path,
        settings: Settings,
        spool: Spool,
        queued_in: &Spool,
    ) -> Outbox {
        let settings = Arc::new(settings);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let backlog = Backlog::new(Arc::clone(&settings), clock.now());
        let (queue, _events) = Queue::start(Arc::clone(&clock), queued_in.clone(), Silent, backlog);
        let (_sender, receiver) = watch::channel(settings);
        let records = Records::open(&dir.join("records.db")).expect("records");
        Outbox {
            settings: receiver,
            clock,
            spool,
            queue,
            records,
            ids: Arc::new(IdSource::new(1)),
        }
    }

    #[tokio::test]
    async fn a_block_told_a_second_time_is_the_same_webhook_call() {
        // A crash between the webhook's store and the mail's left two calls for one block, each
        // with a time of its own: the receiver could not know that they were one.
        let dir = tempfile::tempdir().expect("directory");
        let spool = Spool::open(&dir.path().join("spool"), &mut |_| ()).expect("spool");
        let mut settings = settings();
        settings.notify.webhook = Some("http://127.0.0.1:9/".into());
        let outbox = outbox(dir.path(), settings, spool.clone(), &spool);
        let block = Arc::new(block(BlockKind::Sender, "alice@acme.example"));
        let mut dedup = Dedup::new(outbox.clock.now());
        let mut unsent = VecDeque::new();
        outbox
            .handle(
                &mut dedup,
                &mut unsent,
                &Notice::Blocked {
                    block: Arc::clone(&block),
                    held: 4,
                },
            )
            .await;
        let first = webhook::waiting(&outbox.records, "").await;
        outbox
            .handle(
                &mut dedup,
                &mut unsent,
                &Notice::Blocked {
                    block: Arc::clone(&block),
                    held: 0,
                },
            )
            .await;
        let second = webhook::waiting(&outbox.records, "").await;
        assert_eq!(
            (first.len(), &first),
            (1, &second),
            "the first stays as it is, with what it held"
        );
        assert!(
            first[0].1.contains(r#"\"held_messages\":4"#)
                && first[0].1.contains(&block.opened_at.rfc3339()),
            "{first:?}"
        );
        outbox
            .handle(&mut dedup, &mut unsent, &Notice::Released { block })
            .await;
        let names: Vec<_> = webhook::waiting(&outbox.records, "")
            .await
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(
            (names.len(), &names[0]),
            (2, &first[0].0),
            "in the order of what happened"
        );
    }

    #[tokio::test]
    async fn people_count_as_told_of_a_block_in_a_digest_only_once_that_is_on_disk() {
        // They counted as told while the digest was in memory: after a crash nobody ever was.
        let dir = tempfile::tempdir().expect("directory");
        let spool = Spool::open(&dir.path().join("spool"), &mut |_| ()).expect("spool");
        let outbox = outbox(dir.path(), settings(), spool.clone(), &spool);
        let (mut dedup, mut unsent) = (Dedup::new(outbox.clock.now()), VecDeque::new());
        for n in 0..12 {
            let mut block = block(BlockKind::Sender, &format!("u{n}@acme.example"));
            block.reference = BlockRef::from_random(n);
            let block = Arc::new(block);
            outbox
                .records
                .open_block(Arc::clone(&block))
                .await
                .expect("recorded");
            outbox
                .handle(&mut dedup, &mut unsent, &Notice::Blocked { block, held: 0 })
                .await;
        }
        assert_eq!(
            outbox.records.untold().await.expect("read").len(),
            2,
            "these wait for the digest"
        );
        outbox
            .send_digests(&mut unsent, dedup.close(outbox.clock.now()))
            .await;
        assert_eq!(outbox.records.untold().await.expect("read"), []);
        assert_eq!(
            outbox.queue.list(None, None, 20).await.len(),
            11,
            "ten notices and a digest"
        );
    }

    #[tokio::test]
    async fn people_count_as_told_of_a_block_only_once_the_notice_is_on_disk() {
        // On a full disk the notice was lost with a line in the log, and the record of the block
        // said that people knew: nobody was ever told, not even at the next start.
        let dir = tempfile::tempdir().expect("directory");
        let spool = Spool::open(&dir.path().join("spool"), &mut |_| ()).expect("spool");
        let broken = Spool::open(&dir.path().join("broken"), &mut |_| ()).expect("spool");
        broken.close().await;
        let mut outbox = outbox(dir.path(), settings(), broken, &spool);

        let block = Arc::new(block(BlockKind::Sender, "alice@acme.example"));
        outbox
            .records
            .open_block(Arc::clone(&block))
            .await
            .expect("recorded");
        let (mut dedup, mut unsent) = (Dedup::new(outbox.clock.now()), VecDeque::new());
        outbox
            .handle(
                &mut dedup,
                &mut unsent,
                &Notice::Blocked {
                    block: Arc::clone(&block),
                    held: 0,
                },
            )
            .await;
        assert_eq!(
            outbox.records.untold().await.expect("read"),
            [block.reference]
        );
        outbox.try_again(&mut unsent).await;
        assert_eq!(unsent.len(), 1, "still no room");
        outbox.spool = spool;
        outbox.try_again(&mut unsent).await;
        assert_eq!(outbox.records.untold().await.expect("read"), []);
        assert_eq!(
            outbox.queue.list(None, None, 10).await.len(),
            1,
            "the notice is on its way"
        );
        outbox.try_again(&mut unsent).await;
        assert_eq!(outbox.queue.list(None, None, 10).await.len(), 1, "once");
    }
}
