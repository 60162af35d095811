//! A disk that is full, read-only, damaged or shared: what was accepted is not lost, and whoever
//! must act is told. Tests that need a small file system of their own mount one, which needs root;
//! elsewhere they say so and pass.
#![allow(
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test may say why it was skipped, and fail by a panic"
)]

#[path = "../common/mod.rs"]
mod common;
mod damaged;
mod room;
mod shared;

use common::{Client, Relay, Sink, config, until};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

fn empty_queue(relay: &Relay) {
    until("an empty queue", || queued(relay).is_empty().then_some(()));
}

fn queued(relay: &Relay) -> Vec<serde_json::Value> {
    relay.json("/api/v1/queue")["items"]
        .as_array()
        .cloned()
        .unwrap_or_default()
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
