//! The whole spool, with its thread, on the disk of this machine.

use super::*;

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
    let mut store = SpoolStore::open(
        disk.clone(),
        dir.path(),
        SpoolOptions::default(),
        &mut |_| (),
    )
    .expect("open");
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
    let store = SpoolStore::open(disk, dir.path(), SpoolOptions::default(), &mut |_| {
        count += 1
    })
    .expect("open");
    println!(
        "{count} messages in {:?}, {} segments",
        begun.elapsed(),
        store.segments.len()
    );
    assert_eq!(count, 100_000);
}
