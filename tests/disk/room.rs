//! A disk that is full, read-only or out of reach.

use super::*;
use outgate::exports::Spool;

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

/// Sends until the disk is full: the recipients of what was accepted, and the refusal.
fn send_until_refused(client: &mut Client, body: &str) -> (Vec<String>, String) {
    let mut accepted = Vec::new();
    loop {
        let to = format!("r{}@other.example", accepted.len());
        let reply = client.send("a@acme.example", &[&to], body);
        if !reply.starts_with("250") {
            return (accepted, reply);
        }
        accepted.push(to);
        assert!(accepted.len() < 200, "the disk never fills");
    }
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
    let (mut accepted, refusal) = send_until_refused(&mut client, &body);
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
