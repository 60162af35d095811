//! What many queued messages cost: memory, and the time of a start. Run by hand, on a disk with 12
//! GB to spare: `cargo test --release --test scale -- --ignored --nocapture`.
//! `OUTGATE_SCALE_MESSAGES` sets a number other than a million, `TMPDIR` the disk.

mod common;

use bytes::Bytes;
use common::{Relay, Sink, config};
use outgate::exports::Spool;
use outgate::exports::{
    Address, BodyType, Envelope, Identity, MessageId, MessageMeta, Pool, Recipient, ReversePath,
    SenderKey, Strength, TenantId, Time,
};
use std::time::Instant;

/// Accepts that wait together for one sync.
const TOGETHER: u64 = 2000;
const BODY_OCTETS: usize = 10_000;

/// The nth of many: 5,000 senders, 20,000 domains of recipients.
fn meta(n: u64, now: Time) -> MessageMeta {
    let from = format!("user{}@acme.example", n % 5000);
    let tenant = TenantId::new("acme");
    let to = format!("customer{n}@domain{}.example", n % 20_000);
    let sender = Address::parse(&from).expect("an address");
    MessageMeta {
        id: MessageId::from_parts(
            Time(now.0 + i64::try_from(n / 10).expect("a time")),
            u32::try_from(n % 10).expect("small"),
        ),
        accepted_at: now,
        identity: Some(Identity {
            key: SenderKey::account(&tenant, &from),
            tenant,
            address: from.into(),
            domain: Some(sender.domain().clone()),
            strength: Strength::Authenticated,
            client: "192.0.2.7".parse().expect("an address"),
            foreign: false,
        }),
        envelope: Envelope {
            from: ReversePath(Some(sender)),
            recipients: vec![Recipient::new(Address::parse(&to).expect("an address"))],
            body: BodyType::EightBit,
            smtputf8: false,
            ret: None,
            envid: None,
        },
        pool: Pool::Normal,
        hold: None,
        probability: 0.01,
        llr: -4.5,
        symbols: Vec::new(),
        header_message_id: Some(format!("<{n}.abcdef@acme.example>").into()),
        size: u32::try_from(BODY_OCTETS).expect("small"),
    }
}

/// A progress record as the queue writes it after a first refusal (layout in `queue::progress`):
/// next attempt in two days.
fn deferred_once(now: Time) -> Bytes {
    let text = b"4.7.1 Greylisted, please try again in 300 seconds";
    let remote = b"mx1.domain.example[192.0.2.25]:25";
    let mut record = vec![1, 0];
    record.extend(now.0.to_le_bytes());
    record.extend([1, 1, 0x10, 1]);
    record.extend((now.0 + 2 * 86_400_000).to_le_bytes());
    record.extend([
        0xc3,
        0x03,
        4,
        7,
        1,
        u8::try_from(text.len()).expect("short"),
    ]);
    record.extend(text);
    record.push(u8::try_from(remote.len()).expect("short"));
    record.extend(remote);
    record.into()
}

/// A spool of `count` messages, each with a progress record: the dearest case.
fn fill(spool: &std::path::Path, count: u64) {
    let now = Time(
        i64::try_from(
            std::time::UNIX_EPOCH
                .elapsed()
                .expect("a clock")
                .as_millis(),
        )
        .expect("now"),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let body = Bytes::from(
        "A line of sixty-two octets, as ordinary mail has many of them.\r\n"
            .repeat(BODY_OCTETS / 64),
    );
    runtime.block_on(async {
        let store = Spool::open(spool, &mut |_| ()).expect("an empty spool");
        let numbers: Vec<u64> = (0..count).collect();
        for some in numbers.chunks(usize::try_from(TOGETHER).expect("small")) {
            let mut all = tokio::task::JoinSet::new();
            for n in some.iter().copied() {
                let (store, body) = (store.clone(), body.clone());
                all.spawn(async move {
                    let meta = meta(n, now);
                    store.accept(&meta, body).await.expect("accepted");
                    store.progress_lazy(meta.id, deferred_once(now));
                });
            }
            all.join_all().await;
        }
        store.close().await;
    });
}

/// A figure of `/proc/<pid>/status`, in MiB.
fn memory(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status
        .lines()
        .find(|l| l.starts_with(what))
        .expect("the line");
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse::<u64>().ok())
        .expect("a number")
        / 1024
}

#[test]
#[ignore = "writes ten gigabytes; run by hand, see above"]
fn a_million_queued_messages() {
    let count: u64 = std::env::var("OUTGATE_SCALE_MESSAGES")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(1_000_000);
    let sink = Sink::scripted(|line| {
        line.starts_with("MAIL")
            .then(|| "451 4.3.0 later".to_owned())
    });
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::write(
        dir.path().join("outgate.toml"),
        config(&dir.path().join("data"), sink.address, ""),
    )
    .expect("config");
    let begun = Instant::now();
    fill(&dir.path().join("data/spool"), count);
    eprintln!("{count} messages spooled in {:?}", begun.elapsed());
    let mut relay = Relay::start_in(dir);
    for life in ["started again", "killed and started again"] {
        let old = relay.pid();
        let begun = Instant::now();
        // The harness waits until the relay says where it listens.
        relay = if life.starts_with("killed") {
            relay.crash_and_restart()
        } else {
            relay.restart()
        };
        assert_ne!(relay.pid(), old);
        let (took, now, peak) = (
            begun.elapsed(),
            memory(relay.pid(), "VmRSS:"),
            memory(relay.pid(), "VmHWM:"),
        );
        eprintln!(
            "{life}: {took:?} with the end of the old one, memory {now} MiB, at most {peak} MiB"
        );
    }
    let listed = relay.json("/api/v1/queue?limit=5")["items"]
        .as_array()
        .map(Vec::len);
    assert_eq!(listed, Some(5));
}
