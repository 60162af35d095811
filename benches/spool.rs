//! How fast the spool acknowledges 10 KB messages, and how many syncs that takes: `cargo bench
//! --bench spool`.
//!
//! The directory is that of `TMPDIR`: point it at a real disk, since a sync on tmpfs costs nothing.

use bytes::Bytes;
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use outgate::exports::Spool;
use outgate::exports::{
    Address, BodyType, Envelope, MessageId, MessageMeta, Pool, Recipient, ReversePath, Time,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const MESSAGES: u64 = 2_000;
const BODY_BYTES: usize = 10 * 1024;

static SYNCS: AtomicU64 = AtomicU64::new(0);
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

struct CountSyncs;

impl HistogramFn for CountSyncs {
    fn record(&self, _value: f64) {
        SYNCS.fetch_add(1, Ordering::Relaxed);
    }
}

impl Recorder for CountSyncs {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if key.name() == "outgate_spool_sync_seconds" {
            Histogram::from_arc(Arc::new(Self))
        } else {
            Histogram::noop()
        }
    }
}

fn meta(id: u64) -> MessageMeta {
    let address = |text| Address::parse(text).expect("address");
    MessageMeta {
        id: MessageId(id),
        accepted_at: Time(1_795_356_000_000),
        envelope: Envelope {
            from: ReversePath(Some(address("alice@acme.example"))),
            recipients: vec![Recipient::new(address("bob@elsewhere.example"))],
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        },
        identity: None,
        pool: Pool::Normal,
        hold: None,
        probability: 0.01,
        llr: -4.6,
        symbols: Vec::new(),
        header_message_id: Some("<1234567890@acme.example>".into()),
        size: 10_240,
    }
}

async fn run(spool: &Spool, waiters: u64, body: &Bytes) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..waiters {
        let (spool, body) = (spool.clone(), body.clone());
        tasks.spawn(async move {
            for _ in 0..MESSAGES / waiters {
                let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
                spool
                    .accept(&meta(id), body.clone())
                    .await
                    .expect("accepted");
                spool.done(MessageId(id));
            }
        });
    }
    tasks.join_all().await;
}

#[divan::bench(args = [1, 20, 500], sample_count = 5, sample_size = 1)]
fn accept(bencher: divan::Bencher<'_, '_>, waiters: u64) {
    let dir = tempfile::tempdir().expect("temp dir");
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let spool = Spool::open(dir.path(), &mut |_| ()).expect("spool");
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let (mut messages, mut seconds) = (0u64, 0.0);
    let syncs = SYNCS.load(Ordering::Relaxed);
    bencher
        .counter(divan::counter::ItemsCount::new(MESSAGES))
        .bench_local(|| {
            let begun = Instant::now();
            runtime.block_on(run(&spool, waiters, &body));
            seconds += begun.elapsed().as_secs_f64();
            messages += MESSAGES / waiters * waiters;
        });
    runtime.block_on(spool.close());
    if messages > 0 {
        let (messages, syncs) = (
            messages as f64,
            (SYNCS.load(Ordering::Relaxed) - syncs) as f64,
        );
        report(&format!(
            "{waiters} waiters: {:.0} messages/s, {:.3} syncs per message",
            messages / seconds,
            syncs / messages
        ));
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a benchmark talks to the person who runs it"
)]
fn report(line: &str) {
    eprintln!("{line}");
}

fn main() {
    metrics::set_global_recorder(CountSyncs).expect("the only recorder");
    divan::main();
}
