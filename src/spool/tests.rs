//! The spool against the fake disk: the store is driven without its thread, so that every operation
//! can be counted.

use super::store::{SpoolOptions, SpoolStore};
use super::{Recovered, Spool, SpoolError, WriterCommand, segment};
use crate::env::fake_disk::{FakeDisk, Unsynced};
use crate::types::{
    Address, BodyType, Envelope, MessageId, MessageMeta, Pool, Recipient, ReversePath, Time,
};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

mod cleaning;
mod crashes;
mod damage;
mod failures;
mod real_disk;

const DIR: &str = "/spool";

pub(super) fn meta(id: u64) -> MessageMeta {
    MessageMeta {
        id: MessageId(id),
        accepted_at: Time(1),
        envelope: Envelope {
            from: ReversePath::NULL,
            recipients: vec![Recipient::new(
                Address::parse("bob@b.example").expect("address"),
            )],
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        },
        identity: None,
        pool: Pool::Normal,
        hold: None,
        probability: 0.0,
        llr: 0.0,
        symbols: Vec::new(),
        header_message_id: None,
        size: 7,
    }
}

/// A body that depends on the id alone.
fn body(id: u64, len: usize) -> Bytes {
    (0..len)
        .map(|n| (id as usize).wrapping_mul(31).wrapping_add(n * 7) as u8)
        .collect::<Vec<_>>()
        .into()
}

fn options() -> SpoolOptions {
    SpoolOptions {
        segment_bytes: 40 << 10,
        segment_bytes_min: 16 << 10,
        headroom_share: 8,
        free_bytes_min: 64 << 10,
        reserve_bytes: 32 << 10,
        cache_bytes: 1 << 16,
        compact_after: Duration::ZERO,
        lazy_sync: Duration::from_secs(3600),
        retry_after: Duration::ZERO,
        compact_step: 8 << 10,
    }
}

fn try_open(disk: &FakeDisk) -> Result<(SpoolStore, Vec<Recovered>), SpoolError> {
    let mut found = Vec::new();
    let store = SpoolStore::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        options(),
        &mut |r| found.push(r),
    )?;
    Ok((store, found))
}

fn open(disk: &FakeDisk) -> (SpoolStore, Vec<Recovered>) {
    try_open(disk).expect("the spool opens")
}

fn command(id: u64, len: usize) -> (WriterCommand, oneshot::Receiver<Result<(), SpoolError>>) {
    let (waiter, answer) = oneshot::channel();
    let front = serde_json::to_vec(&meta(id)).expect("json").into();
    let body = body(id, len);
    let body_crc = crc32c::crc32c(&body);
    (
        WriterCommand::Accept {
            id,
            meta: Arc::new(meta(id)),
            front,
            body,
            body_crc,
            waiter,
        },
        answer,
    )
}

fn accept_all(store: &mut SpoolStore, ids: &[u64], len: usize) -> Vec<Result<(), SpoolError>> {
    let (commands, mut answers): (Vec<_>, Vec<_>) = ids.iter().map(|id| command(*id, len)).unzip();
    store.commit(commands);
    answers
        .iter_mut()
        .map(|a| a.try_recv().expect("answered"))
        .collect()
}

fn accept(store: &mut SpoolStore, id: u64, len: usize) -> Result<(), SpoolError> {
    accept_all(store, &[id], len).remove(0)
}

fn progress(store: &mut SpoolStore, id: u64, record: &str) -> Result<(), SpoolError> {
    let (waiter, mut answer) = oneshot::channel();
    store.commit(vec![WriterCommand::Progress {
        id,
        front: record.to_owned().into(),
        waiter: Some(waiter),
    }]);
    answer.try_recv().expect("answered")
}

fn progress_lazy(store: &mut SpoolStore, id: u64, record: &str) {
    store.commit(vec![WriterCommand::Progress {
        id,
        front: record.to_owned().into(),
        waiter: None,
    }]);
}

fn done(store: &mut SpoolStore, id: u64) {
    store.commit(vec![WriterCommand::Done { id }]);
}

/// Cleans until nothing is left to clean.
fn clean(store: &mut SpoolStore) {
    store.sync_lazy();
    for _ in 0..10_000 {
        store.clean();
        if !store.has_garbage() && store.compaction.is_none() {
            return;
        }
    }
    panic!("cleaning does not end");
}

fn ids(found: &[Recovered]) -> Vec<u64> {
    found.iter().map(|r| r.id.0).collect()
}

fn read(store: &SpoolStore, id: u64) -> Result<Bytes, SpoolError> {
    store.shared.read(MessageId(id)).0.map(|(m, b)| {
        assert_eq!(m, meta(id));
        b
    })
}

fn segments(disk: &FakeDisk) -> Vec<PathBuf> {
    disk.names()
        .into_iter()
        .filter(|p| segment::number_of(p).is_some() && p.parent() == Some(Path::new(DIR)))
        .collect()
}

#[test]
fn what_was_accepted_is_found_again_oldest_first_with_its_newest_progress() {
    for crash in [None, Some(Unsynced::Lost), Some(Unsynced::Kept)] {
        let disk = FakeDisk::default();
        let (mut store, found) = open(&disk);
        assert!(found.is_empty());
        assert!(
            accept_all(&mut store, &[5, 3, 9, 4], 3000)
                .iter()
                .all(Result::is_ok)
        );
        for id in 20..60 {
            accept(&mut store, id, 3000).expect("accept");
        }
        progress(&mut store, 3, "old").expect("progress");
        progress(&mut store, 3, "new").expect("progress");
        done(&mut store, 4);
        assert_eq!(progress(&mut store, 4, "x"), Err(SpoolError::NotFound));
        progress(&mut store, 9, "nine").expect("progress");
        let disk = match crash {
            None => {
                store.finish();
                disk
            }
            Some(unsynced) => disk.after_crash(unsynced),
        };
        let (store, found) = open(&disk);
        let expected: Vec<u64> = [3, 5, 9].into_iter().chain(20..60).collect();
        assert_eq!(ids(&found), expected, "{crash:?}");
        let records: Vec<_> = found
            .iter()
            .take(3)
            .map(|r| r.progress.as_deref())
            .collect();
        assert_eq!(records, [Some(b"new".as_slice()), None, Some(b"nine")]);
        for id in expected {
            assert_eq!(read(&store, id), Ok(body(id, 3000)));
        }
        assert_eq!(read(&store, 4), Err(SpoolError::NotFound));
    }
}

#[test]
fn one_sync_serves_a_batch_and_a_record_nobody_waits_for_causes_none() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    accept(&mut store, 1, 10).expect("accept");
    let before = disk.syncs();
    assert!(
        accept_all(&mut store, &(2..30).collect::<Vec<_>>(), 10)
            .iter()
            .all(Result::is_ok)
    );
    assert_eq!(disk.syncs(), before + 1);
    done(&mut store, 1);
    progress_lazy(&mut store, 2, "p");
    assert_eq!(disk.syncs(), before + 1);
    assert!(!store.is_synced() && store.sleep().is_some());
    assert_eq!(
        ids(&open(&disk.after_crash(Unsynced::Lost)).1).first(),
        Some(&1),
        "not yet durable"
    );
    store.sync_lazy();
    assert_eq!(disk.syncs(), before + 2);
    let found = open(&disk.after_crash(Unsynced::Lost)).1;
    assert_eq!(
        (found[0].id.0, found[0].progress.as_deref()),
        (2, Some(b"p".as_slice()))
    );
}

/// Messages that come and go at once, so that their segments die.
fn filler(store: &mut SpoolStore, first: u64) {
    for id in first..first + 80 {
        accept(store, id, 1000).expect("accept");
        done(store, id);
    }
}

#[test]
fn a_message_larger_than_a_segment_gets_one_of_its_own() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    accept(&mut store, 1, 500_000).expect("accept");
    accept(&mut store, 2, 10).expect("accept");
    let (store, found) = open(&disk.after_crash(Unsynced::Lost));
    assert_eq!(ids(&found), [1, 2]);
    assert_eq!(read(&store, 1), Ok(body(1, 500_000)));
}

#[test]
fn a_message_whose_client_has_gone_is_taken_back() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    let (first, answer) = command(1, 10);
    drop(answer);
    store.commit(vec![first]);
    assert_eq!(read(&store, 1), Err(SpoolError::NotFound));
    store.sync_lazy();
    assert!(open(&disk.after_crash(Unsynced::Lost)).1.is_empty());
}
