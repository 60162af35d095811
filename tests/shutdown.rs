//! The orderly end: what people are to be told is not lost with the process.

mod common;

use common::{Client, Relay, Sink};

fn add_block(relay: &Relay, subject: &str) {
    let body =
        serde_json::json!({ "kind": "sender", "subject": subject, "reason": "test" }).to_string();
    let (status, answer) = relay.http("POST", "/api/v1/blocks", &body);
    assert_eq!(status, 201, "{answer}");
}

/// Blocks of which people are still to be told.
fn untold(relay: &Relay) -> u32 {
    let db = rusqlite::Connection::open(common::path(relay, "data/records.db")).expect("records");
    db.query_row(
        "SELECT COUNT(*) FROM value WHERE space = 'untold'",
        [],
        |r| r.get(0),
    )
    .expect("a count")
}

#[test]
fn notices_and_the_digest_of_a_storm_survive_a_restart() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    for n in 0..13 {
        add_block(&relay, &format!("user{n}@acme.example"));
    }
    for n in 0..10 {
        let subject = format!("Blocked: sender user{n}@acme.example");
        sink.wait(&subject, |m| m.text().contains(&subject));
    }
    // All are dealt with: the end has only to write what was counted, which it does within its few
    // seconds.
    relay.until("only the digest waits", |r| (untold(r) == 3).then_some(()));
    let relay = relay.restart();
    // Ten were told one by one; the digest of the rest was due in an hour, and the process has
    // ended before.
    let digest = sink.wait("the digest", |m| m.text().contains("3 more notices"));
    for n in 10..13 {
        assert!(
            digest.text().contains(&format!("user{n}@acme.example")),
            "{}",
            digest.text()
        );
    }
    relay.until("and it is known that people know", |r| {
        (untold(r) == 0).then_some(())
    });
}

#[test]
fn the_trace_of_what_was_delivered_just_before_the_end_is_complete() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let mut client = Client::hello(relay.smtp);
    let mut ids = Vec::new();
    for n in 0..50 {
        let reply = client.send(
            "a@acme.example",
            &[&format!("r{n}@far.example")],
            &format!("Subject: {n}\n\nhello\n"),
        );
        assert!(reply.starts_with("250"), "{reply}");
        ids.push(reply.rsplit(' ').next().expect("an id").to_owned());
    }
    drop(client);
    let relay = relay.restart();
    for (n, id) in ids.iter().enumerate() {
        sink.wait_for(&format!("r{n}@far.example"));
        relay.until("the delivery in the trace", |r| {
            let found = r.json(&format!("/api/v1/messages?id={id}"));
            found.to_string().contains("delivered").then_some(())
        });
    }
}
