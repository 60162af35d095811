//! A part of the relay panics: it says so, takes no more mail, and ends with status 1 to be started
//! again. The faults exist in debug builds only.

#![cfg(debug_assertions)]
#![allow(
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking and tells what it saw"
)]

mod common;

use common::mail::ham;
use common::{Client, Relay, Sink, http};
use std::time::Instant;

/// A thread meets its fault with its next piece of work.
fn work_for(relay: &Relay, part: &str) {
    let mut other = Client::hello(relay.smtp);
    let mut work = || other.send("bob@acme.example", &["work@other.example"], &ham(1));
    let mut reply = work();
    if part == "spool" && reply.starts_with("250") {
        // It looked for its fault just before the fault was there: it meets it with the next.
        reply = work();
    }
    assert!(
        part != "spool" || reply.starts_with("451") || reply.starts_with("421"),
        "{part}: {reply}"
    );
    if part == "records" {
        let body = r#"{"kind":"sender","subject":"eve@acme.example","reason":"test"}"#;
        assert!(relay.http("POST", "/api/v1/blocks", body).0 >= 500);
    }
}

/// Starts a relay, has one part of it panic, and follows it to its end; then starts it again and
/// looks for the mail.
fn panics(part: &str) {
    let sink = Sink::start();
    let mut relay = Relay::start(&sink, "");
    assert_eq!(relay.http("GET", "/health/ready", "").0, 200);
    let mut client = Client::hello(relay.smtp);
    client.accepted("alice@acme.example", &["before@other.example"], &ham(0));
    sink.wait_for("before@other.example");
    // A transaction that is open keeps the relay from ending before everything was seen.
    client.expect("MAIL FROM:<alice@acme.example>", "250");
    client.expect("RCPT TO:<during@other.example>", "250");
    client.expect("DATA", "354");
    let begun = Instant::now();
    relay.strike(part);
    if matches!(part, "spool" | "records" | "trace") {
        work_for(&relay, part);
    }
    if part != "admin" {
        let body = relay.until("readiness turns red", |relay| {
            let (status, body) = http(relay.admin, "GET", "/health/ready", "", "");
            (status == 503).then_some(body)
        });
        assert!(
            body.contains(&format!("{part}: has ended")),
            "{part}: {body}"
        );
    } else {
        relay.until("the log", |relay| {
            relay
                .log()
                .contains("a part of the relay has ended")
                .then_some(())
        });
    }
    let red = begun.elapsed();
    client.raw(b"Subject: x\r\n\r\nx\r\n.\r\n");
    let reply = client.reply();
    assert!(reply.starts_with("451 4.3.0"), "{part}: {reply}");
    let reply = client.cmd("MAIL FROM:<alice@acme.example>");
    assert!(
        reply.is_empty() || reply.starts_with("421 4.3.2") || reply.starts_with("451"),
        "{part}: {reply}"
    );
    drop(client);
    assert_eq!(relay.wait(), Some(1), "{part}: systemd starts it again");
    eprintln!(
        "{part}: red after {:.2} s, ended after {:.2} s",
        red.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    let relay = relay.heal();
    let mut client = Client::hello(relay.smtp);
    client.accepted("alice@acme.example", &["after@other.example"], &ham(2));
    sink.wait_for("after@other.example");
}

#[test]
fn a_panic_of_the_queue_ends_the_relay() {
    panics("queue");
}

#[test]
fn a_panic_of_the_spool_ends_the_relay() {
    panics("spool");
}

#[test]
fn a_panic_of_the_records_ends_the_relay() {
    panics("records");
}

#[test]
fn a_panic_of_the_trace_ends_the_relay() {
    panics("trace");
}

#[test]
fn a_panic_of_the_outcomes_ends_the_relay() {
    panics("outcomes");
}

#[test]
fn a_panic_of_the_housekeeping_ends_the_relay() {
    panics("housekeeping");
}

#[test]
fn a_panic_of_what_runs_beside_the_mail_ends_the_relay() {
    for part in ["notices", "webhook", "metrics", "feed", "listener", "admin"] {
        panics(part);
    }
}
