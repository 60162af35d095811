//! Bytes that change on disk.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

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
    store.commit(vec![WriterCommand::Accept {
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
