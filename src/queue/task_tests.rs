//! The task with the real spool and scripted next hops.

use super::tests::{message, outcome, result, rules, settings};
use super::{Ack, Backlog, Queue, QueueEvent, QueueState, Select};
use crate::delivery::{Attempt, AttemptResult};
use crate::env::{Clock, SystemClock};
use crate::queue::Deliver;
use crate::queue::state::QueueMachine;
use crate::spool::{Recovered, Spool};
use crate::types::{HoldReason, MessageId, MessageMeta, RecipientStatus};
use bytes::Bytes;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Answers every recipient with one code, each attempt only once it is let through.
#[derive(Clone)]
struct Script {
    code: u16,
    gate: Arc<Semaphore>,
}

impl Deliver for Script {
    fn attempt(
        &self,
        attempt: Attempt,
    ) -> Pin<Box<dyn Future<Output = AttemptResult> + Send + '_>> {
        Box::pin(async move {
            self.gate.acquire().await.expect("never closed").forget();
            assert_eq!(&attempt.body[..], b"Subject: x\r\n\r\nbody\r\n");
            result(
                attempt
                    .recipients
                    .iter()
                    .map(|r| outcome(*r, self.code))
                    .collect(),
            )
        })
    }
}

fn script(code: u16, attempts: usize) -> Script {
    Script {
        code,
        gate: Arc::new(Semaphore::new(attempts)),
    }
}

struct Relay {
    queue: Queue,
    events: mpsc::Receiver<QueueEvent>,
    spool: Spool,
    found: Vec<Recovered>,
}

fn open(dir: &Path, deliver: Script) -> Relay {
    let mut backlog = Backlog {
        now: SystemClock::new().now(),
        state: QueueMachine::new(Arc::new(settings()), rules()),
    };
    let mut found = Vec::new();
    let spool = Spool::open(dir, &mut |recovered: Recovered| {
        backlog.add(&recovered);
        found.push(recovered);
    });
    let spool = spool.expect("the spool opens");
    let (queue, events) = Queue::start(
        Arc::new(SystemClock::new()),
        spool.clone(),
        deliver,
        backlog,
    );
    Relay {
        queue,
        events,
        spool,
        found,
    }
}

async fn accept(spool: Spool, queue: Queue, n: u32) -> MessageMeta {
    let mut meta = message(n, "alice@acme.example", &["x@far.example"]);
    meta.accepted_at = SystemClock::new().now();
    meta.id = MessageId::from_parts(meta.accepted_at, n);
    let body = Bytes::from_static(b"Subject: x\r\n\r\nbody\r\n");
    spool.accept(&meta, body).await.expect("accepted");
    queue.enqueue(Arc::new(meta.clone()));
    meta
}

impl Relay {
    async fn accept(&self, n: u32) -> MessageMeta {
        accept(self.spool.clone(), self.queue.clone(), n).await
    }

    async fn event(&mut self) -> QueueEvent {
        tokio::time::timeout(Duration::from_secs(120), self.events.recv())
            .await
            .expect("in time")
            .expect("an event")
    }

    async fn failed(&mut self) -> Ack {
        loop {
            if let QueueEvent::Failed { ack, .. } = self.event().await {
                return ack;
            }
        }
    }

    async fn done(&mut self) -> MessageId {
        loop {
            if let QueueEvent::Done { id } = self.event().await {
                return id;
            }
        }
    }
}

#[tokio::test]
async fn what_is_delivered_leaves_the_spool() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut relay = open(dir.path(), script(250, 10));
    let meta = relay.accept(1).await;
    let QueueEvent::Attempted {
        outcomes,
        next_attempt,
        ..
    } = relay.event().await
    else {
        panic!("attempted first")
    };
    assert_eq!(
        (outcomes[0].status, next_attempt),
        (RecipientStatus::Delivered, None)
    );
    assert_eq!(relay.done().await, meta.id);
    relay.queue.drain(Duration::from_secs(120)).await;
    relay.spool.close().await;
    drop(relay);
    assert!(open(dir.path(), script(250, 0)).found.is_empty());
}

#[tokio::test]
async fn a_failure_stays_in_the_spool_until_its_report_is_taken_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut relay = open(dir.path(), script(550, 10));
    let meta = relay.accept(1).await;
    drop(relay.failed().await);
    relay.spool.close().await;
    drop(relay);

    let mut relay = open(dir.path(), script(550, 10));
    assert_eq!(
        relay.found.iter().map(|f| f.id).collect::<Vec<_>>(),
        [meta.id]
    );
    relay.failed().await.done();
    assert_eq!(relay.done().await, meta.id);
    relay.spool.close().await;
    drop(relay);
    assert!(open(dir.path(), script(250, 0)).found.is_empty());
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("it can be read").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).expect("a directory");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}

#[tokio::test]
async fn a_hold_is_on_disk_when_it_is_answered_and_a_release_sends_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let relay = open(dir.path(), script(450, 10));
    let meta = relay.accept(1).await;
    assert_eq!(
        relay
            .queue
            .hold(Select::Id(meta.id), HoldReason::Admin)
            .await,
        [meta.id]
    );
    // What stands on the disk at this moment, as a crash would leave it.
    let crashed = tempfile::tempdir().expect("a directory");
    copy(dir.path(), crashed.path());
    drop(relay);

    let mut relay = open(crashed.path(), script(250, 10));
    let held = relay.queue.list(Some(QueueState::Held), None, 10).await;
    assert_eq!(
        (held.len(), held[0].id, held[0].hold.clone()),
        (1, meta.id, Some(HoldReason::Admin))
    );
    let shown = relay.queue.show(meta.id).await.expect("it is there");
    assert_eq!(shown.recipients[0].address.as_str(), "x@far.example");
    assert_eq!(relay.queue.release(Select::Id(meta.id)).await, [meta.id]);
    assert_eq!(relay.done().await, meta.id);
}

#[tokio::test]
async fn orders_are_answered_while_nobody_takes_events() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut relay = open(dir.path(), script(250, usize::MAX >> 4));
    let (spool, queue) = (relay.spool.clone(), relay.queue.clone());
    let mut accepting = tokio::task::JoinSet::new();
    for n in 0..2000 {
        accepting.spawn(accept(spool.clone(), queue.clone(), n));
    }
    accepting.join_all().await;
    let order = relay
        .queue
        .hold(Select::Id(MessageId(1)), HoldReason::Admin);
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(120), order)
            .await
            .expect("answered"),
        []
    );
    for _ in 0..2000 {
        relay.done().await;
    }
}

#[tokio::test]
async fn draining_waits_for_what_runs_and_starts_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let gate = Arc::new(Semaphore::new(0));
    let mut relay = open(
        dir.path(),
        Script {
            code: 250,
            gate: gate.clone(),
        },
    );
    let first = relay.accept(1).await;
    while relay.queue.list(None, None, 1).await.is_empty() {
        tokio::task::yield_now().await;
    }
    let queue = relay.queue.clone();
    let drained = tokio::spawn(async move { queue.drain(Duration::from_secs(120)).await });
    while relay.queue.list(None, None, 1).await.is_empty() {
        tokio::task::yield_now().await;
    }
    gate.add_permits(10);
    drained.await.expect("drained");
    assert_eq!(relay.done().await, first.id);
    let second = relay.accept(2).await;
    assert_eq!(
        relay.queue.show(second.id).await.map(|item| item.attempts),
        Some(0)
    );
    assert!(relay.events.try_recv().is_err(), "nothing starts any more");
}
