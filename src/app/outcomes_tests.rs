//! Reports with the real spool, queue and records; nothing is delivered.

use super::*;
use crate::detector::testing;
use crate::learn::{Labels, Learner};
use crate::notify::Notifier;
use crate::queue::tests::{Silent, message};
use crate::queue::{Backlog, Select};
use crate::score::Scorer;
use crate::types::{HoldReason, Time};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A clock that is set by hand.
struct SetClock(AtomicI64);

impl SetClock {
    fn add(&self, time: Duration) {
        self.0.store(self.now().after(time).0, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

struct Room {
    outcomes: Outcomes,
    clock: Arc<SetClock>,
    events: mpsc::Receiver<QueueEvent>,
    _settings: watch::Sender<Arc<Settings>>,
    dir: tempfile::TempDir,
}

/// One report per sender and hour.
fn room() -> Room {
    let dir = tempfile::tempdir().unwrap();
    let settings = Arc::new(testing::settings());
    let clock = Arc::new(SetClock(AtomicI64::new(Time::from_secs(1_795_356_000).0)));
    let (sender, receiver) = watch::channel(Arc::clone(&settings));
    let records = Records::open(&dir.path().join("records.db")).unwrap();
    let spool = open_spool(&dir.path().join("spool"));
    let detector = Arc::new(Detector::new(Arc::clone(&settings)));
    let (queue, events) = Queue::start(
        clock.clone(),
        spool.clone(),
        Silent,
        Backlog::new(Arc::clone(&settings), clock.now()),
    );
    let (notifier, _) = Notifier::new();
    let (judging, queueing) = (Arc::clone(&detector), queue.clone());
    let learner = Arc::new(Learner::new(
        Scorer::shipped().unwrap(),
        dir.path().join("learned"),
    ));
    let labels = Labels::new(learner, clock.clone(), spool.clone());
    let moderation = Moderation::start(
        receiver.clone(),
        clock.clone(),
        judging,
        records.clone(),
        queueing,
        notifier,
        labels,
    )
    .unwrap();
    let outcomes = Outcomes {
        settings: receiver,
        clock: clock.clone(),
        detector,
        moderation: Arc::new(moderation),
        spool,
        queue,
        records,
        ids: Arc::new(IdSource::new(1)),
        reports: Mutex::new(ndr::RateLimit::new(1)),
    };
    Room {
        outcomes,
        clock,
        events,
        _settings: sender,
        dir,
    }
}

fn open_spool(dir: &Path) -> Spool {
    Spool::open(dir, &mut |_| ()).unwrap()
}

impl Room {
    /// A message that is held from the start.
    async fn hold(&self, n: u32, from: &str) {
        let now = self.clock.now();
        let mut meta = message(n, from, &["x@far.example"]);
        (meta.accepted_at, meta.id, meta.hold) =
            (now, MessageId::from_parts(now, n), Some(HoldReason::Admin));
        self.outcomes
            .spool
            .accept(&meta, Bytes::from_static(b"Subject: x\r\n\r\nx\r\n"))
            .await
            .unwrap();
        self.outcomes.queue.enqueue(Arc::new(meta));
    }

    /// The next failure that the queue reports.
    async fn failure(&mut self) -> WrittenReport {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(120), self.events.recv()).await;
            if let QueueEvent::Failed {
                meta,
                recipients,
                cause,
                hold,
                ack,
            } = event.expect("in time").expect("an event")
            {
                return WrittenReport {
                    meta,
                    recipients,
                    kind: ndr::DsnKind::Failed { cause, hold },
                    ack,
                };
            }
        }
    }

    /// Messages of users, and reports, in the queue.
    async fn queued(&self) -> (usize, usize) {
        let all = self.outcomes.queue.list(None, None, 100).await;
        let reports = all.iter().filter(|item| item.from.is_empty()).count();
        (all.len() - reports, reports)
    }
}

#[tokio::test]
async fn held_mail_beyond_the_limit_of_reports_is_returned_later_and_not_dropped() {
    // Beyond sixty reports in an hour the rest of a sender's held mail was acknowledged as if it
    // had been returned, and was gone. (That another spelling of the address began a new count hid
    // it.)
    let mut room = room();
    room.hold(1, "alice@acme.example").await;
    room.hold(2, "Alice@ACME.example").await;
    room.clock.add(testing::settings().held.expire);
    for _ in 0..2 {
        let report = room.failure().await;
        room.outcomes.report(report).await;
    }
    assert_eq!(
        room.queued().await,
        (1, 1),
        "one is returned, the other waits"
    );
    room.clock.add(Duration::from_secs(3600));
    let report = room.failure().await;
    room.outcomes.report(report).await;
    assert_eq!(room.queued().await, (0, 2));
}

#[tokio::test]
async fn a_report_that_the_spool_refuses_uses_up_nothing() {
    // While the disk was full each retry counted, and when there was room again the report was
    // dropped: too many.
    let mut room = room();
    let closed = open_spool(&room.dir.path().join("closed"));
    closed.close().await;
    room.hold(1, "alice@acme.example").await;
    room.clock.add(testing::settings().held.expire);
    let report = room.failure().await;
    let good = std::mem::replace(&mut room.outcomes.spool, closed);
    room.outcomes.report(report).await;
    assert_eq!(room.queued().await, (1, 0));
    room.outcomes.spool = good;
    room.clock.add(Duration::from_secs(60));
    let report = room.failure().await;
    room.outcomes.report(report).await;
    assert_eq!(room.queued().await, (0, 1));
}

#[tokio::test]
async fn reports_of_failures_beyond_the_limit_come_in_a_later_hour() {
    // They were dropped: a sender whose mail failed learned nothing. And each sub-address was a
    // sender of its own.
    let mut room = room();
    for (n, from) in [(1, "alice@acme.example"), (2, "Alice+news@acme.example")] {
        room.hold(n, from).await;
        room.outcomes
            .queue
            .bounce(Select::Id(MessageId::from_parts(room.clock.now(), n)))
            .await;
    }
    room.clock.add(Duration::from_secs(60));
    for _ in 0..2 {
        let report = room.failure().await;
        assert!(matches!(
            report.kind,
            ndr::DsnKind::Failed {
                cause: FailureCause::Admin,
                ..
            }
        ));
        room.outcomes.report(report).await;
    }
    assert_eq!(room.queued().await, (1, 1), "one is told, the other waits");
    room.clock.add(Duration::from_secs(3600));
    let report = room.failure().await;
    room.outcomes.report(report).await;
    assert_eq!(room.queued().await, (0, 2));
}
