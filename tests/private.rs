//! What lies in the data directory is readable to nobody but the relay's user.

mod common;

use common::mail::ham;
use common::{Client, Relay, Sink, config};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Everything below a directory, itself included.
fn walk(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a directory");
        found.extend(entries.flat_map(|entry| walk(&entry.expect("an entry").path())));
    }
    found
}

/// Files and directories that others may read.
fn open_to_others(data: &Path) -> Vec<PathBuf> {
    let open = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
    };
    walk(data).into_iter().filter(open).collect()
}

fn mail(relay: &Relay, sink: &Sink, to: &str) {
    let mut client = Client::hello(relay.smtp);
    assert!(
        client
            .send("alice@acme.example", &[to], &ham(1))
            .starts_with("250")
    );
    sink.wait_for(to);
}

#[test]
fn what_the_relay_writes_is_private_and_what_was_not_becomes_so() {
    let sink = Sink::start();
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::write(
        dir.path().join("outgate.toml"),
        config(&dir.path().join("data"), sink.address, ""),
    )
    .expect("config written");
    let data = dir.path().join("data");
    fs::create_dir(&data).expect("as an earlier version left it");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("mode");
    let mut relay = Relay::start_in(dir);
    relay.add_account("alice@acme.example", "correct horse", &[]);
    mail(&relay, &sink, "first@other.example");
    assert_eq!(open_to_others(&data), Vec::<PathBuf>::new());
    relay.signal("TERM");
    assert_eq!(relay.wait(), Some(0));
    let files = walk(&data);
    for name in [
        "records.db",
        "reputation.snapshot",
        "spool",
        "trace",
        "admin.token",
    ] {
        assert!(
            files.iter().any(|path| path.ends_with(name)),
            "{name} in {files:?}"
        );
    }
    assert_eq!(
        open_to_others(&data),
        Vec::<PathBuf>::new(),
        "nor what is saved at the end"
    );
    for path in &files {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
    }
    let dir = std::mem::replace(
        &mut relay.dir,
        tempfile::tempdir().expect("temporary directory"),
    );
    let relay = Relay::start_in(dir);
    assert_eq!(open_to_others(&data), Vec::<PathBuf>::new());
    mail(&relay, &sink, "second@other.example");
    assert_eq!(open_to_others(&data), Vec::<PathBuf>::new());
}
