//! The policy from end to end: every ceiling, every action, exact under load, and counted once.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod ceilings;
#[path = "../common/mod.rs"]
mod common;
mod counted;
mod judged;

use common::mail::{ham, spam};
use common::{Client, Relay, Sink};
use serde_json::Value;

/// Neither detector nor rate rule: what happens comes from the ceilings alone.
const CEILINGS_ONLY: &str =
    "false_block_rate = 0\nspam_rate_min_messages = 0\nsuspicious = \"deliver\"\n";

const ALICE: &str = "alice@acme.example";

fn policy(keys: &str) -> String {
    format!("[policy.default]\n{CEILINGS_ONLY}{keys}\n")
}

fn external(n: usize) -> String {
    format!("r{n}@elsewhere.example")
}

fn send(client: &mut Client, n: usize) -> String {
    client.send(ALICE, &[&external(n)], &ham(n))
}

fn sender(relay: &Relay) -> Value {
    relay.json(&format!("/api/v1/senders/{ALICE}"))
}

fn items(relay: &Relay, path: &str) -> Vec<Value> {
    relay.json(path)["items"].as_array().expect("items").clone()
}

/// Waits until nothing but held mail is left in the queue.
fn settled(relay: &Relay) {
    relay.until("a queue at rest", |r| {
        items(r, "/api/v1/queue")
            .iter()
            .all(|m| m["state"] == "held")
            .then_some(())
    });
}

/// Mails to the tenant's admin whose text holds `part`, once everything that was told so far has
/// arrived.
fn notices(relay: &Relay, sink: &Sink, part: &str) -> Vec<String> {
    let (status, body) = relay.http(
        "POST",
        "/api/v1/blocks",
        r#"{"kind":"sender","subject":"last@acme.example","reason":"end of the test"}"#,
    );
    assert_eq!(status, 201, "{body}");
    // Notices are sent one after the other: when this one is there, all earlier ones are at least
    // in the queue.
    sink.wait("the last notice", |m| {
        m.text().contains("last@acme.example")
    });
    settled(relay);
    let mails = sink.all();
    let to_admin = mails
        .iter()
        .filter(|m| m.to.iter().any(|t| t == "postmaster@acme.example"));
    // Quoted-printable folds long lines.
    to_admin
        .map(|m| m.text().replace("=\r\n", ""))
        .filter(|t| t.contains(part))
        .collect()
}
