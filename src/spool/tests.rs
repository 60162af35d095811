//! The spool against the fake disk: the store is driven without its thread, so that every operation
//! can be counted.

use super::store::{Options, Store};
use super::{Command, Recovered, Spool, SpoolError, segment};
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

fn options() -> Options {
    Options {
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

fn try_open(disk: &FakeDisk) -> Result<(Store, Vec<Recovered>), SpoolError> {
    let mut found = Vec::new();
    let store = Store::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        options(),
        &mut |r| found.push(r),
    )?;
    Ok((store, found))
}

fn open(disk: &FakeDisk) -> (Store, Vec<Recovered>) {
    try_open(disk).expect("the spool opens")
}

fn command(id: u64, len: usize) -> (Command, oneshot::Receiver<Result<(), SpoolError>>) {
    let (waiter, answer) = oneshot::channel();
    let front = serde_json::to_vec(&meta(id)).expect("json").into();
    let body = body(id, len);
    let body_crc = crc32c::crc32c(&body);
    (
        Command::Accept {
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

fn accept_all(store: &mut Store, ids: &[u64], len: usize) -> Vec<Result<(), SpoolError>> {
    let (commands, mut answers): (Vec<_>, Vec<_>) = ids.iter().map(|id| command(*id, len)).unzip();
    store.commit(commands);
    answers
        .iter_mut()
        .map(|a| a.try_recv().expect("answered"))
        .collect()
}

fn accept(store: &mut Store, id: u64, len: usize) -> Result<(), SpoolError> {
    accept_all(store, &[id], len).remove(0)
}

fn progress(store: &mut Store, id: u64, record: &str) -> Result<(), SpoolError> {
    let (waiter, mut answer) = oneshot::channel();
    store.commit(vec![Command::Progress {
        id,
        front: record.to_owned().into(),
        waiter: Some(waiter),
    }]);
    answer.try_recv().expect("answered")
}

fn progress_lazy(store: &mut Store, id: u64, record: &str) {
    store.commit(vec![Command::Progress {
        id,
        front: record.to_owned().into(),
        waiter: None,
    }]);
}

fn done(store: &mut Store, id: u64) {
    store.commit(vec![Command::Done { id }]);
}

/// Cleans until nothing is left to clean.
fn clean(store: &mut Store) {
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

fn read(store: &Store, id: u64) -> Result<Bytes, SpoolError> {
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

#[test]
fn dead_segments_go_and_nothing_comes_back() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    for id in 1..200 {
        accept(&mut store, id, 2000).expect("accept");
        // Ends long after: the record lies in another segment than the message.
        if id > 30 {
            done(&mut store, id - 30);
        }
        if id % 10 == 0 {
            store.sync_lazy();
            store.clean();
            let found = open(&disk.after_crash(Unsynced::Lost)).1;
            assert_eq!(
                ids(&found),
                (id.saturating_sub(30) + 1..=id).collect::<Vec<_>>()
            );
        }
    }
    for id in 170..200 {
        done(&mut store, id);
    }
    clean(&mut store);
    assert!(segments(&disk).len() <= 2, "{:?}", disk.names());
    store.finish();
    let (mut store, found) = open(&disk);
    assert!(found.is_empty());
    clean(&mut store);
    assert!(segments(&disk).is_empty(), "{:?}", store.segments);
}

/// Messages that come and go at once, so that their segments die.
fn filler(store: &mut Store, first: u64) {
    for id in first..first + 80 {
        accept(store, id, 1000).expect("accept");
        done(store, id);
    }
}

#[test]
fn the_record_that_ends_a_message_outlives_its_own_segment() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    for id in 1..=25 {
        accept(&mut store, id, 1000).expect("accept");
    }
    filler(&mut store, 100);
    done(&mut store, 5);
    filler(&mut store, 200);
    clean(&mut store);
    // The first segment stays for the other messages; the one in which the end of message 5 was
    // written is gone.
    let expected: Vec<u64> = (1..=25).filter(|id| *id != 5).collect();
    assert!(segments(&disk).len() <= 3, "{:?}", segments(&disk));
    assert_eq!(ids(&open(&disk.after_crash(Unsynced::Lost)).1), expected);
}

#[test]
fn a_message_that_ends_while_it_is_being_moved_does_not_come_back() {
    let mut caught = 0;
    for steps in 0..60 {
        let disk = FakeDisk::default();
        let (mut store, _) = open(&disk);
        store.options.compact_step = 1100;
        filler(&mut store, 100);
        for id in 1..=7 {
            accept(&mut store, id, 1000).expect("accept");
        }
        filler(&mut store, 200);
        store.sync_lazy();
        while store.compaction.is_none() {
            store.clean();
        }
        (0..steps).for_each(|_| store.clean());
        caught += u32::from(store.compaction.is_some() && store.deferred.is_some());
        for id in [1, 4, 7] {
            done(&mut store, id);
        }
        filler(&mut store, 300);
        clean(&mut store);
        let expected: Vec<u64> = (1..=7).filter(|id| ![1, 4, 7].contains(id)).collect();
        assert_eq!(
            ids(&open(&disk.after_crash(Unsynced::Lost)).1),
            expected,
            "{steps}"
        );
        for id in expected {
            assert_eq!(read(&store, id), Ok(body(id, 1000)));
        }
    }
    assert!(
        caught > 3,
        "some messages were already copied and not yet moved"
    );
}

#[test]
fn a_dead_destination_is_not_copied_around() {
    for stuck_share in [2u64, 5, 20] {
        let disk = FakeDisk::default();
        let (mut store, _) = open(&disk);
        let (mut accepted, mut stuck) = (0, Vec::new());
        for id in 1..3000 {
            accept(&mut store, id, 1000).expect("accept");
            accepted += 1000;
            if id % stuck_share == 0 {
                stuck.push(id);
            } else {
                done(&mut store, id);
            }
            if id % 7 == 0 {
                let victim = stuck
                    .get(id as usize % stuck.len().max(1))
                    .copied()
                    .unwrap_or(0);
                progress_lazy(&mut store, victim, "tried again, still dead");
            }
            store.sync_lazy();
            store.clean();
        }
        clean(&mut store);
        assert!(
            store.rewritten * 2 < accepted,
            "rewrote {} of {accepted}",
            store.rewritten
        );
        assert!(
            disk.used() < stuck.len() as u64 * 2000 * 4 + (200 << 10),
            "{} for {}",
            disk.used(),
            stuck.len()
        );
        let once = store.rewritten;
        clean(&mut store);
        assert_eq!(store.rewritten, once);
        let found = open(&disk.after_crash(Unsynced::Lost)).1;
        assert_eq!(ids(&found), stuck);
        for id in &stuck {
            assert_eq!(read(&store, *id), Ok(body(*id, 1000)));
        }
        // The destination comes back.
        for id in &stuck {
            done(&mut store, *id);
        }
        clean(&mut store);
        assert!(open(&disk.after_crash(Unsynced::Lost)).1.is_empty());
        assert!(segments(&disk).len() <= 3);
    }
}

#[test]
fn a_failed_sync_refuses_its_batch_for_good_and_keeps_everything_else() {
    for keep in [false, true] {
        let disk = FakeDisk::default();
        disk.failed_syncs_keep(keep);
        let (mut store, _) = open(&disk);
        assert!(
            accept_all(&mut store, &[1, 2, 3, 4], 100)
                .iter()
                .all(Result::is_ok)
        );
        done(&mut store, 1);
        progress_lazy(&mut store, 2, "two");
        disk.fail_syncs(true);
        assert!(matches!(
            accept(&mut store, 5, 100),
            Err(SpoolError::Failed(_))
        ));
        assert!(matches!(
            progress(&mut store, 3, "three"),
            Err(SpoolError::Failed(_))
        ));
        done(&mut store, 4);
        store.tick();
        assert!(
            !store
                .shared
                .healthy
                .load(std::sync::atomic::Ordering::Relaxed)
        );
        disk.fail_syncs(false);
        store.tick();
        assert!(
            store
                .shared
                .healthy
                .load(std::sync::atomic::Ordering::Relaxed)
        );
        assert_eq!(accept(&mut store, 6, 100), Ok(()));
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Some(3)] {
            let (store, found) = open(&disk.after_crash(unsynced));
            assert_eq!(ids(&found), [2, 3, 6], "{unsynced:?} {keep}");
            assert_eq!(found[0].progress.as_deref(), Some(b"two".as_slice()));
            assert_eq!(read(&store, 6), Ok(body(6, 100)));
        }
    }
}

#[test]
fn acknowledged_progress_outlives_its_successor_that_was_not_synced() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    for id in 1..=25 {
        accept(&mut store, id, 1000).expect("accept");
    }
    filler(&mut store, 100);
    progress(&mut store, 1, "one").expect("progress");
    filler(&mut store, 200);
    store.sync_lazy();
    progress_lazy(&mut store, 1, "two");
    (0..50).for_each(|_| store.clean());
    let found = open(&disk.after_crash(Unsynced::Lost)).1;
    assert_eq!(found[0].progress.as_deref(), Some(b"one".as_slice()));
    clean(&mut store);
    let found = open(&disk.after_crash(Unsynced::Lost)).1;
    assert_eq!(found[0].progress.as_deref(), Some(b"two".as_slice()));
}

#[test]
fn a_write_that_fails_is_like_a_sync_that_fails() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    accept(&mut store, 1, 100).expect("accept");
    disk.fail_writes(true);
    assert!(matches!(
        accept(&mut store, 2, 100),
        Err(SpoolError::Failed(_))
    ));
    disk.fail_writes(false);
    store.tick();
    assert_eq!(accept(&mut store, 3, 100), Ok(()));
    assert_eq!(ids(&open(&disk.after_crash(Unsynced::Kept)).1), [1, 3]);
}

#[test]
fn a_full_disk_refuses_mail_records_progress_and_heals() {
    for allocate in [true, false] {
        let disk = FakeDisk::default();
        if !allocate {
            disk.without_allocate();
        }
        disk.set_capacity(Some(400 << 10));
        let (mut store, _) = open(&disk);
        let mut accepted = Vec::new();
        let refusal = (1..1000).find_map(|id| match accept(&mut store, id, 1500) {
            Ok(()) => {
                accepted.push(id);
                None
            }
            Err(error) => Some(error),
        });
        assert_eq!(refusal, Some(SpoolError::Full));
        assert!(accepted.len() > 50, "{}", accepted.len());
        // Somebody else takes the rest.
        disk.set_capacity(Some(disk.used()));
        assert_eq!(accept(&mut store, 2000, 10), Err(SpoolError::Full));
        for id in &accepted {
            assert_eq!(
                progress(&mut store, *id, "one of its recipients has it now"),
                Ok(()),
                "{allocate}"
            );
        }
        let found = open(&disk.after_crash(Unsynced::Lost)).1;
        assert_eq!(ids(&found), accepted);
        assert!(found.iter().all(|r| r.progress.is_some()));
        // Until not even the reserve is left: then it says so.
        let mut rounds = 0;
        while store
            .shared
            .healthy
            .load(std::sync::atomic::Ordering::Relaxed)
            && rounds < 5000
        {
            let _ = progress(&mut store, accepted[0], &"x".repeat(500));
            rounds += 1;
        }
        assert!(rounds < 5000, "it must become unhealthy");
        disk.set_capacity(Some(4 << 20));
        store.tick();
        assert!(
            store
                .shared
                .healthy
                .load(std::sync::atomic::Ordering::Relaxed)
        );
        assert_eq!(accept(&mut store, 3000, 1500), Ok(()));
        for id in &accepted {
            done(&mut store, *id);
        }
        clean(&mut store);
        assert_eq!(ids(&open(&disk.after_crash(Unsynced::Lost)).1), [3000]);
    }
}

#[test]
fn a_disk_that_has_room_takes_mail_to_the_last_of_it() {
    // Ready, said the spool, and refused: setting up its reserve had taken what was left above the
    // least free space, or the usual size of a segment was just beyond it although a smaller one
    // would do.
    for free_bytes_min in [64 << 10, 256 << 10] {
        for above in 0..64 {
            let options = Options {
                free_bytes_min,
                ..options()
            };
            let disk = FakeDisk::default();
            disk.set_capacity(Some(
                free_bytes_min + u64::from(options.segment_bytes_min) + (above << 10),
            ));
            let mut store =
                Store::open(Arc::new(disk.clone()), Path::new(DIR), options, &mut |_| ())
                    .expect("the spool opens");
            store.tick();
            assert_eq!(
                accept(&mut store, 1, 1500),
                Ok(()),
                "{above} KiB above {free_bytes_min}"
            );
        }
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

/// What the client side knows.
#[derive(Default, Clone)]
struct Truth {
    /// Answered with Ok and not done: must be there.
    live: BTreeSet<u64>,
    /// Done but perhaps not durably, or answered by a machine that was already dead: may be there.
    perhaps: BTreeSet<u64>,
    /// Must not be there: done durably, or refused.
    gone: BTreeSet<u64>,
    /// Acknowledged progress.
    progress: BTreeMap<u64, u32>,
}

impl Truth {
    fn check(&self, disk: &FakeDisk, what: &str) -> Store {
        let (store, found) = open(disk);
        let there: BTreeSet<u64> = ids(&found).into_iter().collect();
        let lost: Vec<_> = self.live.difference(&there).collect();
        assert!(lost.is_empty(), "{what}: lost {lost:?}");
        let back: Vec<_> = there.intersection(&self.gone).collect();
        assert!(back.is_empty(), "{what}: came back {back:?}");
        for r in &found {
            assert!(
                self.live.contains(&r.id.0) || self.perhaps.contains(&r.id.0),
                "{what}: unknown {}",
                r.id.0
            );
            assert_eq!(read(&store, r.id.0), Ok(body(r.id.0, 1200)), "{what}");
            if let Some(known) = self.progress.get(&r.id.0) {
                let record = r
                    .progress
                    .as_ref()
                    .map(|p| String::from_utf8_lossy(p).parse::<u32>().expect("number"));
                assert!(
                    record >= Some(*known),
                    "{what}: {} has {record:?}, knew {known}",
                    r.id.0
                );
            }
        }
        store
    }
}

/// One step of a workload.
#[derive(Debug, Clone, Copy)]
enum Step {
    Accept(u8),
    Done(u8),
    Progress(u8),
    ProgressLazy(u8),
    Sync,
    /// So many steps of cleaning.
    Clean(u8),
    FailSyncs(bool),
    FailWrites(bool),
}

struct Run {
    disk: FakeDisk,
    store: Store,
    truth: Truth,
    next_id: u64,
    next_progress: u32,
    undone: Vec<u64>,
}

impl Run {
    fn new(disk: FakeDisk, store: Store) -> Self {
        Self {
            disk,
            store,
            truth: Truth::default(),
            next_id: 1,
            next_progress: 1,
            undone: Vec::new(),
        }
    }

    fn pick(&self, n: u8) -> Option<u64> {
        let live: Vec<u64> = self.truth.live.iter().copied().collect();
        live.get(usize::from(n) % live.len().max(1)).copied()
    }

    /// Whatever was lazily done is durable now.
    fn durable(&mut self) {
        if self.store.is_synced() && !self.disk.is_struck() {
            for id in self.undone.drain(..) {
                self.truth.perhaps.remove(&id);
                self.truth.gone.insert(id);
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Accept(n) => {
                let ids: Vec<u64> = (0..u64::from(n % 9) + 1)
                    .map(|k| self.next_id + k)
                    .collect();
                self.next_id += ids.len() as u64;
                for (id, answer) in ids.iter().zip(accept_all(&mut self.store, &ids, 1200)) {
                    let bucket = match answer {
                        Ok(()) => &mut self.truth.live,
                        // A dead machine's answer is heard by nobody; a refusal whose mark is not
                        // on disk yet, because the disk still fails, is as good as the disk lets it
                        // be.
                        Err(_) if self.disk.is_struck() || !self.store.is_synced() => {
                            &mut self.truth.perhaps
                        }
                        Err(_) => &mut self.truth.gone,
                    };
                    bucket.insert(*id);
                    if !self.truth.live.contains(id) && self.truth.perhaps.contains(id) {
                        self.undone.push(*id);
                    }
                }
            }
            Step::Done(n) => {
                // Most mail goes at once, some stays.
                let id = if n % 4 == 3 {
                    self.pick(n)
                } else {
                    self.truth.live.last().copied()
                };
                if let Some(id) = id {
                    done(&mut self.store, id);
                    self.truth.live.remove(&id);
                    self.truth.perhaps.insert(id);
                    self.undone.push(id);
                }
            }
            Step::Progress(n) => {
                if let Some(id) = self.pick(n) {
                    let number = self.next_progress;
                    self.next_progress += 1;
                    if progress(&mut self.store, id, &number.to_string()).is_ok() {
                        self.truth.progress.insert(id, number);
                    }
                }
            }
            Step::ProgressLazy(n) => {
                if let Some(id) = self.pick(n) {
                    progress_lazy(&mut self.store, id, &self.next_progress.to_string());
                    self.next_progress += 1;
                }
            }
            Step::Sync => self.store.sync_lazy(),
            Step::Clean(steps) => {
                self.store.sync_lazy();
                self.store.clean_not_before = None;
                for _ in 0..steps {
                    self.store.clean();
                }
            }
            Step::FailSyncs(fail) => {
                self.disk.failed_syncs_keep(self.next_id.is_multiple_of(2));
                self.disk.fail_syncs(fail);
            }
            Step::FailWrites(fail) => self.disk.fail_writes(fail),
        }
        self.durable();
    }
}

fn script() -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 0..10u8 {
        steps.extend([
            Step::Accept(3),
            Step::Progress(round),
            Step::Done(round.wrapping_mul(5)),
            Step::Accept(8),
            Step::ProgressLazy(round + 1),
            Step::Done(1),
            Step::Done(2),
            Step::Done(4),
            Step::Done(7),
            Step::Done(7),
        ]);
        match round {
            4 => steps.extend([
                Step::FailSyncs(true),
                Step::Accept(2),
                Step::Done(3),
                Step::FailSyncs(false),
                Step::Accept(1),
            ]),
            6 => steps.extend([
                Step::FailWrites(true),
                Step::Accept(2),
                Step::Done(0),
                Step::FailWrites(false),
                Step::Accept(1),
            ]),
            _ => steps.push(Step::Clean(round % 3 * 3 + 1)),
        }
    }
    steps
}

#[test]
fn a_cut_after_any_operation_loses_nothing_that_was_acknowledged() {
    let whole = FakeDisk::default();
    let mut run = Run::new(whole.clone(), open(&whole).0);
    script().into_iter().for_each(|s| run.step(s));
    assert!(
        run.store.rewritten > 0 && whole.operations() > 200,
        "{}",
        whole.operations()
    );
    for cut in 0..=whole.operations() {
        let disk = FakeDisk::default();
        disk.cut_after(cut);
        let Ok((store, _)) = try_open(&disk) else {
            continue;
        };
        let mut run = Run::new(disk.clone(), store);
        for step in script() {
            if disk.is_struck() {
                break;
            }
            run.step(step);
        }
        let other = if cut % 3 == 0 {
            Unsynced::Kept
        } else {
            Unsynced::Some(cut)
        };
        for unsynced in [Unsynced::Lost, other] {
            let what = format!("cut after {cut}, {unsynced:?}");
            let disk = disk.after_crash(unsynced);
            let mut store = run.truth.check(&disk, &what);
            // Life goes on, and what ends now stays ended after another crash.
            let all: Vec<u64> = store.shared.index().iter().map(|(id, _)| id).collect();
            all.iter().for_each(|id| done(&mut store, *id));
            clean(&mut store);
            accept(&mut store, 1_000_000, 1200).expect("accept");
            assert_eq!(
                ids(&open(&disk.after_crash(Unsynced::Lost)).1),
                [1_000_000],
                "{what}"
            );
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<u8>().prop_map(Step::Accept),
        12 => any::<u8>().prop_map(Step::Done),
        3 => any::<u8>().prop_map(Step::Progress),
        3 => any::<u8>().prop_map(Step::ProgressLazy),
        2 => Just(Step::Sync),
        5 => (0..9u8).prop_map(Step::Clean),
        1 => any::<bool>().prop_map(Step::FailSyncs),
        1 => any::<bool>().prop_map(Step::FailWrites),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_life_with_crashes_and_restarts_keeps_its_word(
        lives in proptest::collection::vec((proptest::collection::vec(any_step(), 1..80), any::<u64>(), 0..3u8), 1..4)
    ) {
        let disk = FakeDisk::default();
        let mut run = Run::new(disk.clone(), open(&disk).0);
        for (steps, seed, how) in lives {
            for step in steps {
                run.step(step);
            }
            run.disk.fail_syncs(false);
            run.disk.fail_writes(false);
            let unsynced = match how { 0 => Unsynced::Lost, 1 => Unsynced::Kept, _ => Unsynced::Some(seed) };
            let disk = run.disk.after_crash(unsynced);
            let store = run.truth.check(&disk, "life");
            // What may or may not have been there is known now.
            let there: BTreeSet<u64> = store.shared.index().iter().map(|(id, _)| id).collect();
            let mut truth = run.truth.clone();
            for id in std::mem::take(&mut truth.perhaps) {
                if there.contains(&id) { truth.live.insert(id) } else { truth.gone.insert(id) };
            }
            run = Run { truth, disk, store, undone: Vec::new(), ..run };
        }
    }

    #[test]
    fn flipped_bytes_never_panic_and_never_cost_another_record(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 1..=255u8), 1..6), sealed: bool
    ) {
        let disk = FakeDisk::default();
        let (mut store, _) = open(&disk);
        for id in 1..15 {
            accept(&mut store, id, 700).expect("accept");
        }
        let places: BTreeMap<u64, (u32, u32)> =
            store.shared.index().iter().map(|(id, e)| (id, (e.accepted.offset, e.accepted.offset + e.accepted.len))).collect();
        if sealed {
            store.finish();
        }
        let disk = disk.after_crash(Unsynced::Kept);
        let path = segments(&disk).remove(0);
        let end = places.values().map(|p| p.1).max().unwrap_or(0) as usize;
        let mut hit = BTreeSet::new();
        disk.tamper(&path, |bytes| {
            for (index, change) in &flips {
                let at = index.index(end);
                bytes[at] ^= change;
                hit.insert(at as u32);
            }
        });
        let (store, found) = open(&disk);
        for (id, (from, to)) in &places {
            let harmed = hit.range(from..to).next().is_some();
            let readable = read(&store, *id) == Ok(body(*id, 700));
            // Two flips in one byte may undo each other.
            prop_assert!(readable || harmed, "{id} is lost though nothing in it changed");
            prop_assert!(readable == ids(&found).contains(id) || harmed);
            if harmed && !readable {
                prop_assert!(disk.names().iter().any(|p| p.starts_with("/spool/damaged")), "set aside");
            }
        }
    }
}

/// The last two records were acknowledged; nothing whole lies behind them, so they look like a
/// write that a crash has torn.
#[test]
fn acknowledged_records_damaged_at_the_end_leave_a_copy() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    (1..=4).for_each(|id| accept(&mut store, id, 700).expect("accept"));
    let at = |id| store.shared.index().get(id).expect("live").accepted;
    let (third, fourth) = (at(3), at(4));
    let disk = disk.after_crash(Unsynced::Kept);
    disk.tamper(&segments(&disk)[0], |bytes| {
        bytes[third.offset as usize + 20] ^= 1;
        bytes[fourth.offset as usize + 600] ^= 1;
    });
    assert_eq!(ids(&open(&disk).1), [1, 2]);
    let aside = disk
        .names()
        .into_iter()
        .find(|p| p.starts_with("/spool/damaged"))
        .expect("a copy");
    assert_eq!(disk.contents(&aside).len() as u32, third.len + fourth.len);
}

/// The copy fails for lack of room; half of it once passed for a whole one at the next start, and
/// the seal was written over the original.
#[test]
fn half_a_copy_of_damage_does_not_pass_for_a_whole_one() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    (1..=3).for_each(|id| accept(&mut store, id, 700).expect("accept"));
    let last = store.shared.index().get(3).expect("live").accepted;
    let disk = disk.after_crash(Unsynced::Kept);
    disk.tamper(&segments(&disk)[0], |bytes| {
        bytes[last.offset as usize + 20] ^= 1
    });
    disk.fail_writes(true);
    drop(try_open(&disk));
    disk.fail_writes(false);
    assert_eq!(ids(&open(&disk).1), [1, 2]);
    let aside: Vec<PathBuf> = disk
        .names()
        .into_iter()
        .filter(|p| p.starts_with("/spool/damaged") && p.extension() == Some("bin".as_ref()))
        .collect();
    assert_eq!(
        aside
            .iter()
            .map(|p| disk.contents(p).len() as u32)
            .collect::<Vec<_>>(),
        [last.len]
    );
}

#[test]
fn a_stray_record_in_a_body_is_not_believed() {
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    accept(&mut store, 1, 700).expect("accept");
    store.finish();
    let stolen = disk.contents(&segments(&disk)[0]);
    // Another spool receives the whole segment as a message, which is then damaged.
    let disk = FakeDisk::default();
    let (mut store, _) = open(&disk);
    let (waiter, _answer) = oneshot::channel();
    let front: Bytes = serde_json::to_vec(&meta(2)).expect("json").into();
    let body_crc = crc32c::crc32c(&stolen);
    store.commit(vec![Command::Accept {
        id: 2,
        meta: Arc::new(meta(2)),
        front,
        body: stolen.into(),
        body_crc,
        waiter,
    }]);
    accept(&mut store, 3, 10).expect("accept");
    let disk = disk.after_crash(Unsynced::Kept);
    disk.tamper(&segments(&disk)[0], |bytes| bytes[4096 + 20] ^= 1);
    assert_eq!(ids(&open(&disk).1), [3]);
}

async fn spool(dir: &Path) -> (Spool, Vec<Recovered>) {
    let mut found = Vec::new();
    (
        Spool::open(dir, &mut |r| found.push(r)).expect("open"),
        found,
    )
}

#[tokio::test]
async fn the_real_disk_from_accept_to_done() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (first, found) = spool(dir.path()).await;
    assert!(found.is_empty() && first.is_healthy());
    assert!(
        matches!(Spool::open(dir.path(), &mut |_| ()), Err(SpoolError::Failed(why)) if why.contains("another process"))
    );
    let mut all = tokio::task::JoinSet::new();
    for id in 1..=50 {
        let spool = first.clone();
        all.spawn(async move { spool.accept(&meta(id), body(id, 10_000)).await });
    }
    assert!(all.join_all().await.iter().all(Result::is_ok));
    let (m, b) = first.read(MessageId(7)).await.expect("fresh");
    assert_eq!((m, b), (meta(7), body(7, 10_000)));
    for id in 11..=50 {
        first.done(MessageId(id));
    }
    first.progress_lazy(MessageId(2), "lazy".into());
    first
        .progress(MessageId(1), "sure".into())
        .await
        .expect("progress");
    assert_eq!(first.read(MessageId(50)).await, Err(SpoolError::NotFound));
    first.close().await;
    assert!(matches!(
        first.accept(&meta(99), Bytes::new()).await,
        Err(SpoolError::Failed(_))
    ));
    first.done(MessageId(1));

    let (second, found) = spool(dir.path()).await;
    assert_eq!(ids(&found), (1..=10).collect::<Vec<_>>());
    assert_eq!(found[0].progress.as_deref(), Some(b"sure".as_slice()));
    assert_eq!(found[1].progress.as_deref(), Some(b"lazy".as_slice()));
    assert_eq!(
        second.read(MessageId(3)).await,
        Ok((meta(3), body(3, 10_000))),
        "from the segment"
    );
}

#[tokio::test]
async fn a_body_damaged_on_disk_is_set_aside_when_it_is_read() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (first, _) = spool(dir.path()).await;
    first.accept(&meta(1), body(1, 5000)).await.expect("accept");
    first.accept(&meta(2), body(2, 5000)).await.expect("accept");
    first.close().await;
    let path = segment::path(dir.path(), 1);
    let mut bytes = std::fs::read(&path).expect("segment");
    bytes[4096 + 2000] ^= 1;
    std::fs::write(&path, bytes).expect("write");
    let (second, found) = spool(dir.path()).await;
    assert_eq!(ids(&found), [1, 2]);
    assert!(matches!(
        second.read(MessageId(1)).await,
        Err(SpoolError::Damaged(_))
    ));
    assert!(second.read(MessageId(2)).await.is_ok());
    assert_eq!(
        std::fs::read_dir(dir.path().join("damaged"))
            .expect("damaged")
            .count(),
        1
    );
    second.close().await;
    assert_eq!(ids(&spool(dir.path()).await.1), [2], "reported once");
}

#[test]
#[ignore = "writes a gigabyte; run by hand to see how long a start takes"]
fn a_hundred_thousand_messages_restart() {
    let dir = tempfile::tempdir().expect("temp dir");
    let disk = Arc::new(crate::env::SystemDisk);
    let mut store =
        Store::open(disk.clone(), dir.path(), Options::default(), &mut |_| ()).expect("open");
    for chunk in (1..=100_000u64).collect::<Vec<_>>().chunks(500) {
        assert!(
            accept_all(&mut store, chunk, 10_000)
                .iter()
                .all(Result::is_ok)
        );
        chunk.iter().for_each(|id| {
            progress_lazy(
                &mut store,
                *id,
                "{\"attempts\":3,\"recipients\":[[\"pending\",\"451 4.4.1 refused\"]]}",
            )
        });
    }
    store.finish();
    drop(store);
    let begun = std::time::Instant::now();
    let mut count = 0;
    let store =
        Store::open(disk, dir.path(), Options::default(), &mut |_| count += 1).expect("open");
    println!(
        "{count} messages in {:?}, {} segments",
        begun.elapsed(),
        store.segments.len()
    );
    assert_eq!(count, 100_000);
}
