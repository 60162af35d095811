//! The admin side from end to end: API, command line, held mail, trace, health, public pages.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod api;
mod blocks;
mod cli;
#[path = "../common/mod.rs"]
mod common;
mod held;
mod listeners;
mod problems;

use common::mail::ham;
use common::{Client, Relay, Sink, until};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const ALICE: &str = "alice@acme.example";

/// Nothing but what an admin does stops anybody.
const NO_RULES: &str = "[policy.default]\nfalse_block_rate = 0\nspam_rate_min_messages = 0\nsuspicious = \"deliver\"\n";

fn send(relay: &Relay, to: &str, n: usize) -> String {
    Client::hello(relay.smtp).send(ALICE, &[to], &ham(n))
}

/// Sends a message that is taken; its id.
fn queued(relay: &Relay, to: &str, n: usize) -> String {
    let reply = send(relay, to, n);
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
    reply.rsplit(' ').next().expect("an id").to_owned()
}

fn post(relay: &Relay, path: &str, body: Value) -> (u16, Value) {
    let (status, text) = relay.http("POST", path, &body.to_string());
    (status, serde_json::from_str(&text).expect("JSON"))
}

fn add_block(relay: &Relay, kind: &str, subject: &str) -> String {
    let (status, block) = post(
        relay,
        "/api/v1/blocks",
        json!({ "kind": kind, "subject": subject, "reason": "test" }),
    );
    assert_eq!(status, 201, "{block}");
    block["ref"].as_str().expect("a reference").to_owned()
}

fn release(relay: &Relay, reference: &str, verdict: &str) {
    let path = format!("/api/v1/blocks/{reference}/release");
    let (status, block) = post(
        relay,
        &path,
        json!({ "verdict": verdict, "reason": "looked into it" }),
    );
    assert_eq!(
        (status, &block["state"], &block["verdict"]),
        (200, &json!("released"), &json!(verdict)),
        "{block}"
    );
}

fn items(relay: &Relay, path: &str) -> Vec<Value> {
    relay.json(path)["items"].as_array().expect("items").clone()
}

fn token(relay: &Relay, name: &str, role: &str, tenant: &str) -> String {
    let config = common::path(relay, "outgate.toml");
    let config = config.to_str().expect("a path");
    let (status, out, error) = relay.cli(&[
        "token", "create", name, "--role", role, "--tenant", tenant, "--config", config,
        "--reason", "test",
    ]);
    assert_eq!(status, 0, "{error}");
    out.trim().to_owned()
}

fn as_bearer(
    relay: &Relay,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String, String) {
    common::http_full(
        relay.admin,
        method,
        path,
        &format!("Authorization: Bearer {token}\r\n"),
        body,
    )
}

/// A next hop that says "later" until it is opened.
fn gated() -> (Sink, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let refuse = move |line: &str| {
        (line.starts_with("MAIL") && !gate.load(Ordering::SeqCst))
            .then(|| "451 4.3.0 Later, please".to_owned())
    };
    (Sink::scripted(refuse), open)
}

/// Lines of the log with that in them.
fn logged(relay: &Relay, part: &str) -> usize {
    relay
        .log()
        .lines()
        .filter(|line| line.contains(part))
        .count()
}

fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
}
