//! The writer of the message trace: a bounded channel, one thread, hundreds of events per
//! transaction. Events of one message in one batch become one row, so that a message delivered at
//! once costs one insert.

use super::partition::{Fold, HistoryLine, Partitions};
use super::{RecordsError, TraceEvent};
use crate::env::Vitals;
use crate::env::vitals::Pulse;
use crate::telemetry::metrics as names;
use crate::types::{MessageId, RecipientStatus, Time};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Most events that wait.
const WAITING_EVENTS: usize = 16_384;
/// Most octets that wait.
const WAITING_OCTETS: usize = 32 << 20;
/// A batch with this many events is written at once.
const BATCH_EVENTS: usize = 1024;
/// How long a smaller batch waits for more events; a search ends the wait.
const LINGER: Duration = Duration::from_millis(250);
/// How long a full channel slows a caller before its event is dropped.
const SLOWED_AT_MOST: Duration = Duration::from_millis(100);

type PartitionJob = Box<dyn FnOnce(&mut Partitions) + Send>;

enum TraceItem {
    Event(TraceEvent),
    Job(PartitionJob),
}

#[derive(Default)]
struct Waiting {
    items: Vec<TraceItem>,
    octets: usize,
    /// A caller waits for these events.
    urgent: bool,
    /// A caller has waited in vain since the writer last took events: no other caller waits until
    /// it takes some.
    behind: bool,
    closed: bool,
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.items.len() >= WAITING_EVENTS || self.octets >= WAITING_OCTETS
    }
}

#[derive(Default)]
struct TraceShared {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    drained: Condvar,
}

impl TraceShared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handle to the writer.
pub(super) struct Tracer {
    shared: Arc<TraceShared>,
    dir: PathBuf,
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // The last handle is dropped: waiting events are written, then the thread ends.
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
    }
}

impl Tracer {
    /// Starts the thread; files are created with the first event.
    pub(super) fn start(dir: &Path, vitals: &Vitals) -> Result<Self, RecordsError> {
        let shared = Arc::new(TraceShared::default());
        let (for_thread, at, pulse) = (
            Ended(Arc::clone(&shared)),
            dir.to_owned(),
            vitals.watch("trace"),
        );
        std::thread::Builder::new()
            .name("trace".into())
            .spawn(move || run(&for_thread.0, Partitions::new(at), pulse))
            .map_err(|e| RecordsError::Failed(e.to_string()))?;
        Ok(Self {
            shared,
            dir: dir.to_owned(),
        })
    }

    /// The directory of the partitions.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Adds an event. It slows the caller if the writer is behind, and drops the event if the
    /// writer stays behind.
    pub(super) fn push(&self, event: TraceEvent) {
        let octets = octets(&event);
        let mut waiting = self.shared.lock();
        if waiting.is_full() && !waiting.closed && !waiting.behind {
            let waited = self
                .shared
                .drained
                .wait_timeout_while(waiting, SLOWED_AT_MOST, |w| w.is_full() && !w.closed);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if waiting.is_full() || waiting.closed {
            waiting.behind = true;
            metrics::counter!(names::TRACE_DROPPED_TOTAL).increment(1);
            return;
        }
        waiting.octets = waiting.octets.saturating_add(octets);
        waiting.items.push(TraceItem::Event(event));
        // The writer sleeps until there is any event, or a whole batch; only these two moments need
        // a wake-up.
        if matches!(waiting.items.len(), 1 | BATCH_EVENTS) {
            self.shared.filled.notify_one();
        }
    }

    async fn job<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Partitions) -> T + Send + 'static,
    ) -> Result<T, RecordsError> {
        let (answer, result) = oneshot::channel();
        {
            let mut waiting = self.shared.lock();
            if waiting.closed {
                return Err(RecordsError::Failed("records are closed".into()));
            }
            waiting
                .items
                .push(TraceItem::Job(Box::new(move |partitions| {
                    drop(answer.send(work(partitions)))
                })));
            waiting.urgent = true;
        }
        self.shared.filled.notify_one();
        result
            .await
            .map_err(|_| RecordsError::Failed("the trace has ended".into()))
    }

    /// Returns once every event traced before the call can be found.
    pub(super) async fn flush(&self) -> Result<(), RecordsError> {
        self.job(|_| ()).await
    }

    /// Drops the oldest partitions.
    pub(super) async fn prune(&self, before: Time, octets: u64) -> Result<(), RecordsError> {
        self.job(move |partitions| partitions.prune(before, octets))
            .await?
    }

    /// Writes everything that waits; drops every later event.
    pub(super) async fn close(&self) {
        drop(self.job(Partitions::close).await);
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
        self.shared.drained.notify_all();
    }
}

/// However the thread ends, its waiting callers get an answer, and no more events are kept for it.
struct Ended(Arc<TraceShared>);

impl Drop for Ended {
    fn drop(&mut self) {
        let left = {
            let mut waiting = self.0.lock();
            waiting.closed = true;
            waiting.octets = 0;
            std::mem::take(&mut waiting.items)
        };
        drop(left);
        self.0.drained.notify_all();
    }
}

/// The memory of an event in octets, roughly.
fn octets(event: &TraceEvent) -> usize {
    match event {
        TraceEvent::Judged(j) => {
            512 + j.recipients.iter().map(|r| r.len() + 24).sum::<usize>()
                + j.symbols.iter().map(|s| s.name.len() + 24).sum::<usize>()
                + j.reply.len()
        }
        TraceEvent::Attempted { outcomes, .. } => {
            64 + outcomes
                .iter()
                .map(|o| {
                    128 + o.remote.len() + o.reply.lines.iter().map(String::len).sum::<usize>()
                })
                .sum::<usize>()
        }
        TraceEvent::Note { text, .. } => 64 + text.len(),
    }
}

fn run(shared: &TraceShared, mut partitions: Partitions, pulse: Pulse) {
    loop {
        let (items, closed) = {
            let mut waiting = shared.lock();
            waiting = shared
                .filled
                .wait_while(waiting, |w| w.items.is_empty() && !w.closed)
                .unwrap_or_else(PoisonError::into_inner);
            waiting = shared
                .filled
                .wait_timeout_while(waiting, LINGER, |w| {
                    !w.urgent && !w.closed && w.items.len() < BATCH_EVENTS
                })
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            waiting.urgent = false;
            waiting.behind = false;
            waiting.octets = 0;
            let room = Vec::with_capacity(waiting.items.len().min(BATCH_EVENTS * 2));
            (std::mem::replace(&mut waiting.items, room), waiting.closed)
        };
        shared.drained.notify_all();
        pulse.beat();
        let done = items.is_empty() && closed;
        write(items, &mut partitions);
        if done {
            return pulse.over();
        }
    }
}

/// Writes the events before each job, then runs the job.
fn write(items: Vec<TraceItem>, partitions: &mut Partitions) {
    let mut batch = Batch::default();
    for item in items {
        match item {
            TraceItem::Event(event) => batch.add(event),
            TraceItem::Job(job) => {
                partitions.write(std::mem::take(&mut batch).folds);
                job(partitions);
            }
        }
    }
    partitions.write(batch.folds);
}

/// Events of one message merged into one entry; messages in the order of arrival.
#[derive(Default)]
struct Batch {
    folds: Vec<Fold>,
    by_id: HashMap<MessageId, usize>,
}

impl Batch {
    fn of(&mut self, id: MessageId) -> Option<&mut Fold> {
        let next = self.folds.len();
        let at = *self.by_id.entry(id).or_insert(next);
        if at == next {
            self.folds.push(Fold {
                id,
                judged: None,
                lines: Vec::new(),
            });
        }
        self.folds.get_mut(at)
    }

    fn add(&mut self, event: TraceEvent) {
        match event {
            TraceEvent::Judged(judged) => {
                if let Some(fold) = self.of(judged.id) {
                    fold.judged = Some(judged);
                }
            }
            TraceEvent::Attempted { id, time, outcomes } => {
                if let Some(fold) = self.of(id) {
                    fold.lines.extend(outcomes.iter().map(|o| {
                        let status = match o.status {
                            RecipientStatus::Pending => "deferred",
                            RecipientStatus::Delivered => "delivered",
                            RecipientStatus::Failed => "failed",
                        };
                        let reply = o.reply.one_line();
                        let text = if o.remote.is_empty() {
                            reply
                        } else {
                            format!("{reply} ({})", o.remote)
                        };
                        HistoryLine(time.0, i64::from(o.recipient), status.into(), text)
                    }));
                }
            }
            TraceEvent::Note { id, time, text } => {
                if let Some(fold) = self.of(id) {
                    fold.lines
                        .push(HistoryLine(time.0, -1, "note".into(), text));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_writer_that_hangs_costs_events_but_neither_memory_nor_mail() {
        let dir = tempfile::tempdir().expect("dir");
        let tracer =
            Arc::new(Tracer::start(&dir.path().join("trace"), &Vitals::default()).expect("start"));
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let (entered, hangs) = oneshot::channel();
        let other = Arc::clone(&tracer);
        let job = tokio::spawn(async move {
            other
                .job(move |_| {
                    let _seen = entered.send(());
                    wait.recv().expect("told to go on");
                })
                .await
        });
        hangs.await.expect("the writer hangs");
        for n in 0..WAITING_EVENTS + 100 {
            let id = MessageId(u64::try_from(n).expect("small"));
            tracer.push(TraceEvent::Note {
                id,
                time: Time(0),
                text: "x".into(),
            });
        }
        {
            let waiting = tracer.shared.lock();
            assert_eq!(
                (waiting.items.len(), waiting.behind),
                (WAITING_EVENTS, true)
            );
        }
        go_on.send(()).expect("the writer listens");
        job.await.expect("job").expect("done");
        tracer.flush().await.expect("flush");
        assert!(!tracer.shared.lock().behind);
    }
}
