//! A disk that is full, read-only, damaged or shared: what was accepted is not lost, and whoever
//! must act is told. Tests that need a small file system of their own mount one, which needs root;
//! elsewhere they say so and pass.
#![allow(
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test may say why it was skipped, and fail by a panic"
)]

mod common;

use common::{Client, Relay, Sink, config, until};
use outgate::exports::Spool;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file system in memory of a few MiB; unmounted at the end.
struct SmallDisk {
    path: PathBuf,
    mounted: bool,
    _dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where we may not mount.
    fn mount(mib: u32) -> Option<Self> {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().to_owned();
        let mut mount = Command::new("mount");
        mount
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={mib}m,mode=700"),
                "outgate-test",
            ])
            .arg(&path);
        let mounted = mount.output().is_ok_and(|o| o.status.success());
        if !mounted {
            eprintln!("skipped: needs the right to mount a small file system");
        }
        let disk = Self {
            path,
            mounted,
            _dir: dir,
        };
        disk.mounted.then_some(disk)
    }

    fn read_only(&self, on: bool) {
        let options = if on { "remount,ro" } else { "remount,rw" };
        assert!(
            Command::new("mount")
                .args(["-o", options])
                .arg(&self.path)
                .status()
                .expect("mount")
                .success()
        );
    }

    /// Takes all room that is left; gives the file that holds it.
    fn fill(&self) -> PathBuf {
        let ballast = self.path.join("ballast");
        let mut file = std::fs::File::create(&ballast).expect("ballast");
        // Fails where it must.
        let _ = std::io::copy(&mut std::io::repeat(0), &mut file);
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: the relay may still be on its way out.
            let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        }
    }
}

/// A sink that says 451 until its gate is opened.
fn gated_sink() -> (Sink, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let sink = Sink::scripted(move |line| {
        (line.starts_with("MAIL") && !gate.load(Ordering::SeqCst))
            .then(|| "451 4.3.0 later".to_owned())
    });
    (sink, open)
}

/// One sender, all recipients new, all messages alike, is not what the detector is there to let
/// pass; and a refusal must be tried again soon.
const EXTRA: &str = "[policy.default]\nfalse_block_rate = 0\n[delivery]\nretry = [\"1s\"]\n";

fn relay_on(data: &Path, sink: &Sink) -> Relay {
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::write(
        dir.path().join("outgate.toml"),
        config(data, sink.address, EXTRA),
    )
    .expect("config");
    // Where the harness looks for the token.
    std::os::unix::fs::symlink(data, dir.path().join("data")).expect("a link");
    Relay::start_in(dir)
}

fn is_ready(relay: &Relay) -> (bool, String) {
    let (status, body) = common::http(relay.admin, "GET", "/health/ready", "", "");
    (status == 200, body)
}

fn empty_queue(relay: &Relay) {
    until("an empty queue", || queued(relay).is_empty().then_some(()));
}

fn queued(relay: &Relay) -> Vec<serde_json::Value> {
    relay.json("/api/v1/queue")["items"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// How many messages a relay would find that starts on this spool as it lies there now; `None` if
/// it changed meanwhile.
fn waiting_in(spool: &Path) -> Option<usize> {
    let copy = tempfile::tempdir().expect("temporary directory");
    for entry in std::fs::read_dir(spool)
        .ok()?
        .flatten()
        .filter(|e| e.path().is_file())
    {
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).ok()?;
    }
    let mut count = 0;
    Spool::open(copy.path(), &mut |_| count += 1).ok()?;
    Some(count)
}

#[test]
fn a_full_disk_refuses_for_now_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(48) else {
        return;
    };
    let (sink, open) = gated_sink();
    let relay = relay_on(&disk.path.join("data"), &sink);
    assert!(is_ready(&relay).0);
    let mut client = Client::hello(relay.smtp);
    let body = format!(
        "Subject: large\n\n{}",
        format!("{}\n", "text ".repeat(15)).repeat(5000)
    );
    let mut accepted = Vec::new();
    let refusal = loop {
        let to = format!("r{}@other.example", accepted.len());
        let reply = client.send("a@acme.example", &[&to], &body);
        if !reply.starts_with("250") {
            break reply;
        }
        accepted.push(to);
        assert!(accepted.len() < 200, "the disk never fills");
    };
    assert!(refusal.starts_with("452 4.3.1"), "{refusal}");
    assert!(
        accepted.len() > 20,
        "a small disk is used, not wasted: {}",
        accepted.len()
    );
    let (ready, why) = is_ready(&relay);
    assert!(!ready && why.contains("disk is full"), "{why}");

    // Others on the same disk take what is left: not one octet is free now.
    let ballast = disk.fill();
    let reply = client.send(
        "a@acme.example",
        &["late@other.example"],
        "Subject: small\n\nhello\n",
    );
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    open.store(true, Ordering::SeqCst);
    for to in &accepted {
        sink.wait_for(to);
    }
    empty_queue(&relay);
    assert!(!relay.log().contains("panicked"), "{}", relay.log());

    // What was delivered on the full disk is recorded there: a crash does not send it again. It is
    // written a moment after it has left the queue.
    relay.until("the records of delivery", |_| {
        (waiting_in(&disk.path.join("data/spool")) == Some(0)).then_some(())
    });
    let relay = relay.crash_and_restart();
    assert!(queued(&relay).is_empty(), "{:?}", queued(&relay));
    std::fs::remove_file(ballast).expect("room again");
    until("readiness", || is_ready(&relay).0.then_some(()));
    let mut client = Client::hello(relay.smtp);
    let reply = client.send("a@acme.example", &["healed@other.example"], &body);
    assert!(reply.starts_with("250"), "{reply}");
    sink.wait_for("healed@other.example");
    let mut arrived: Vec<String> = sink.all().into_iter().flat_map(|m| m.to).collect();
    accepted.push("healed@other.example".into());
    arrived.sort();
    accepted.sort();
    assert_eq!(arrived, accepted, "each once");
}

#[test]
fn a_full_disk_heals_without_a_restart() {
    let Some(disk) = SmallDisk::mount(32) else {
        return;
    };
    let sink = Sink::start();
    let relay = relay_on(&disk.path.join("data"), &sink);
    let ballast = disk.fill();
    let mut client = Client::hello(relay.smtp);
    let reply = client.send(
        "a@acme.example",
        &["full@other.example"],
        "Subject: x\n\nhello\n",
    );
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    assert!(!is_ready(&relay).0);
    std::fs::remove_file(ballast).expect("room again");
    assert!(is_ready(&relay).0, "{}", is_ready(&relay).1);
    let reply = client.send(
        "a@acme.example",
        &["room@other.example"],
        "Subject: x\n\nhello\n",
    );
    assert!(reply.starts_with("250"), "{reply}");
    sink.wait_for("room@other.example");
    empty_queue(&relay);
}

/// `outgate serve` that must not start; its exit code and what it said.
fn refused(data: &Path) -> (i32, String) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("outgate.toml");
    std::fs::write(&file, config(data, ([127, 0, 0, 1], 9).into(), "")).expect("config");
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_outgate"))
        .arg("serve")
        .arg("--config")
        .arg(&file)
        .output()
        .expect("outgate runs");
    (
        status.code().unwrap_or(-1),
        String::from_utf8_lossy(&stderr).into_owned(),
    )
}

#[test]
fn a_read_only_disk_is_named_at_start() {
    let Some(disk) = SmallDisk::mount(32) else {
        return;
    };
    let data = disk.path.join("data");
    disk.read_only(true);
    let (code, said) = refused(&data);
    assert!(
        code == 1
            && said.contains("outgate: cannot start: data_dir")
            && said.contains("Read-only file system"),
        "{code} {said}"
    );
    disk.read_only(false);
    let sink = Sink::start();
    drop(relay_on(&data, &sink));
    disk.read_only(true);
    let (code, said) = refused(&data);
    assert!(
        code == 1
            && said.contains(&*data.to_string_lossy())
            && said.contains("Read-only file system"),
        "{code} {said}"
    );
    disk.read_only(false);
}

#[test]
fn a_spool_out_of_reach_refuses_for_now_and_heals() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, EXTRA);
    let mut client = Client::hello(relay.smtp);
    let spool = relay.dir.path().join("data/spool");
    let aside = relay.dir.path().join("data/aside");
    std::fs::rename(&spool, &aside).expect("renamed");
    std::fs::write(&spool, "").expect("a file in the way");
    let reply = client.send(
        "a@acme.example",
        &["x@other.example"],
        "Subject: x\n\nhello\n",
    );
    assert!(
        reply.starts_with("451 4.3.0") || reply.starts_with("452 4.3.1"),
        "{reply}"
    );
    std::fs::remove_file(&spool).expect("out of the way");
    std::fs::rename(&aside, &spool).expect("back");
    let reply = client.send(
        "a@acme.example",
        &["y@other.example"],
        "Subject: x\n\nhello\n",
    );
    assert!(reply.starts_with("250"), "{reply}");
    sink.wait_for("y@other.example");
}

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
    assert!(
        client
            .send(
                "a@acme.example",
                &["b@other.example"],
                "Subject: x\n\nhello\n"
            )
            .starts_with("250")
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
    assert!(
        client
            .send(
                "a@acme.example",
                &["c@other.example"],
                "Subject: x\n\nhello\n"
            )
            .starts_with("250")
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

#[test]
fn a_second_relay_on_the_same_data_is_refused() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let data = relay.dir.path().join("data");
    let (code, said) = refused(&data);
    assert!(
        code == 1
            && said.contains("is in use by another outgate")
            && said.contains(&*data.to_string_lossy()),
        "{code} {said}"
    );
    let mut client = Client::hello(relay.smtp);
    assert!(
        client
            .send(
                "a@acme.example",
                &["b@other.example"],
                "Subject: x\n\nhello\n"
            )
            .starts_with("250")
    );
    sink.wait_for("b@other.example");
}

/// How long the relay waits for another process that holds the database.
const WAITS: std::time::Duration = std::time::Duration::from_secs(10);

#[test]
fn a_locked_database_delays_what_needs_it_and_not_the_mail() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let other =
        rusqlite::Connection::open(relay.dir.path().join("data/records.db")).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let add = || {
        relay.cli(&[
            "blocks",
            "add",
            "sender",
            "bad@acme.example",
            "--reason",
            "test",
        ])
    };
    let mut client = Client::hello(relay.smtp);
    assert!(
        client
            .send(
                "a@acme.example",
                &["b@other.example"],
                "Subject: x\n\nhello\n"
            )
            .starts_with("250")
    );
    sink.wait_for("b@other.example");
    std::thread::scope(|scope| {
        let asked = std::time::Instant::now();
        let adding = scope.spawn(add);
        // Mail flows while that waits.
        assert!(
            client
                .send(
                    "a@acme.example",
                    &["c@other.example"],
                    "Subject: x\n\nhello\n"
                )
                .starts_with("250")
        );
        sink.wait_for("c@other.example");
        other.execute_batch("COMMIT").expect("unlocked");
        let (mut code, _, mut said) = adding.join().expect("the command line");
        if code != 0 {
            // It waits, but not for ever: on a machine as slow as that it is told, and asks again.
            assert!(asked.elapsed() >= WAITS, "{said}");
            (code, _, said) = add();
        }
        assert_eq!(code, 0, "{said}");
    });
    let reply = client.send(
        "bad@acme.example",
        &["c@other.example"],
        "Subject: x\n\nhello\n",
    );
    assert!(reply.starts_with("550 5.1.8"), "{reply}");
}
