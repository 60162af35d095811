//! Cleaning: dead segments go, what is alive is moved and stays alive.

use super::*;

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
