//! Disks that fail or are full.

use super::*;

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
            let options = SpoolOptions {
                free_bytes_min,
                ..options()
            };
            let disk = FakeDisk::default();
            disk.set_capacity(Some(
                free_bytes_min + u64::from(options.segment_bytes_min) + (above << 10),
            ));
            let mut store =
                SpoolStore::open(Arc::new(disk.clone()), Path::new(DIR), options, &mut |_| ())
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
