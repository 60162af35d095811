//! Files that are damaged.

use super::*;

#[test]
fn a_damaged_record_is_set_aside_and_the_others_are_delivered() {
    let (sink, open) = gated_sink();
    let mut relay = Relay::start(&sink, EXTRA);
    let mut client = Client::hello(relay.smtp);
    for n in 0..5 {
        let text = format!("Subject: x\n\nmarker number {n}\n{}", "text\n".repeat(200));
        let reply = client.send("a@acme.example", &[&format!("r{n}@other.example")], &text);
        assert!(reply.starts_with("250"), "{reply}");
    }
    drop(client);
    relay.signal("TERM");
    assert_eq!(relay.wait(), Some(0));
    let spool = relay.dir.path().join("data/spool");
    flip(&spool, b"marker number 2");
    let relay = relay.crash_and_restart();
    open.store(true, Ordering::SeqCst);
    for n in [0, 1, 3, 4] {
        sink.wait_for(&format!("r{n}@other.example"));
    }
    empty_queue(&relay);
    assert!(
        sink.all()
            .iter()
            .all(|m| !m.to.contains(&"r2@other.example".to_owned())),
        "what is damaged is not sent"
    );
    let aside = std::fs::read_dir(relay.dir.path().join("data/spool/damaged"))
        .expect("spool/damaged")
        .count();
    assert_eq!(aside, 1);
    let log = relay.log();
    assert!(
        log.lines()
            .any(|l| l.contains(" ERROR ") && l.contains("damaged and was set aside")),
        "{log}"
    );
}

/// Changes one octet of `marker` where it stands in a segment.
fn flip(spool: &Path, marker: &[u8]) {
    let mut done = false;
    for entry in std::fs::read_dir(spool).expect("spool") {
        let path = entry.expect("entry").path();
        if path.extension().is_none_or(|e| e != "seg") {
            continue;
        }
        let mut bytes = std::fs::read(&path).expect("segment");
        if let Some(at) = bytes.windows(marker.len()).position(|w| w == marker) {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).expect("written");
            done = true;
        }
    }
    assert!(done, "the marker stands in no segment");
}

#[test]
fn a_damaged_reputation_snapshot_is_kept_aside_and_the_relay_starts() {
    let sink = Sink::start();
    let mut relay = Relay::start(&sink, "");
    let mut client = Client::hello(relay.smtp);
    client.accepted(
        "a@acme.example",
        &["b@other.example"],
        "Subject: x\n\nhello\n",
    );
    drop(client);
    relay.signal("TERM");
    assert_eq!(relay.wait(), Some(0));
    let snapshot = relay.dir.path().join("data/reputation.snapshot");
    let mut bytes = std::fs::read(&snapshot).expect("a snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    std::fs::write(&snapshot, &bytes).expect("written");
    let relay = relay.crash_and_restart();
    let log = relay.log();
    assert!(
        log.lines()
            .any(|l| l.contains(" ERROR ") && l.contains("reputation snapshot")),
        "{log}"
    );
    assert_eq!(
        std::fs::read(snapshot.with_extension("damaged")).expect("kept"),
        bytes
    );
    let mut client = Client::hello(relay.smtp);
    client.accepted(
        "a@acme.example",
        &["c@other.example"],
        "Subject: x\n\nhello\n",
    );
}

#[test]
fn a_damaged_database_is_named_at_start() {
    let sink = Sink::start();
    let mut relay = Relay::start(&sink, "");
    let (code, _, said) = relay.cli(&[
        "blocks",
        "add",
        "sender",
        "bad@acme.example",
        "--reason",
        "test",
    ]);
    assert_eq!(code, 0, "{said}");
    relay.signal("TERM");
    assert_eq!(relay.wait(), Some(0));
    let data = relay.dir.path().join("data");
    let database = data.join("records.db");
    let good = std::fs::read(&database).expect("records.db");
    // The head; and pages further behind, which no look at the head would notice.
    for (from, to) in [(0, 100), (4096, good.len())] {
        let mut bad = good.clone();
        bad[from..to].iter_mut().for_each(|b| *b ^= 0x5a);
        std::fs::write(&database, bad).expect("written");
        let (code, said) = refused(&data);
        assert!(
            code == 1
                && said.contains("records.db")
                && said.contains("damaged")
                && said.contains("backup"),
            "{code} {said}"
        );
    }
    std::fs::write(&database, good).expect("written");
    let relay = relay.crash_and_restart();
    let mut client = Client::hello(relay.smtp);
    let reply = client.send(
        "bad@acme.example",
        &["c@other.example"],
        "Subject: x\n\nhello\n",
    );
    assert!(
        reply.starts_with("550 5.1.8"),
        "nothing was changed by the refusals: {reply}"
    );
}
