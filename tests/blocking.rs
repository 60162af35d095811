//! Blocks from end to end: opened by the relay or an admin, spoken at RCPT, told, released, kept
//! over a restart.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::mail::{ham, spam};
use common::{Client, Relay, Sink};

fn reference(reply: &str) -> String {
    reply
        .split(['[', ']'])
        .nth(1)
        .unwrap_or_else(|| panic!("no reference in {reply}"))
        .to_owned()
}

fn add_block(relay: &Relay, kind: &str, subject: &str) -> String {
    let body =
        serde_json::json!({ "kind": kind, "subject": subject, "reason": "test" }).to_string();
    let (status, answer) = relay.http("POST", "/api/v1/blocks", &body);
    assert_eq!(status, 201, "{answer}");
    let block: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    block["ref"].as_str().expect("a reference").to_owned()
}

#[test]
fn a_compromised_sender_is_stopped_within_a_handful_and_nobody_else_is() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "[scoring]\nlearning_messages = 0\n");
    let mut client = Client::hello(relay.smtp);
    for n in 0..5 {
        client.accepted(
            "bob@acme.example",
            &[&format!("friend{n}@partner.example")],
            &ham(n),
        );
    }
    let mut sent = 0;
    let refusal = loop {
        let reply = client.send(
            "alice@acme.example",
            &[&format!("stranger{sent}@elsewhere.example")],
            &spam(sent),
        );
        if !reply.starts_with("250") {
            break reply;
        }
        sent += 1;
        assert!(sent <= 10, "still not stopped");
    };
    assert!(
        refusal.starts_with("550 5.1.8 Access denied, bad outbound sender"),
        "{refusal}"
    );
    let reference = reference(&refusal);
    // The same reference at RCPT from now on, on this and on other sessions.
    let mut other = Client::hello(relay.smtp);
    for session in [&mut client, &mut other] {
        session.expect("MAIL FROM:<alice@acme.example>", "250");
        let reply = session.cmd("RCPT TO:<x@elsewhere.example>");
        assert!(
            reply.starts_with("550 5.1.8 Access denied, bad outbound sender")
                && reply.contains(&reference),
            "{reply}"
        );
        assert!(
            session
                .cmd("RCPT TO:<colleague@acme.example>")
                .starts_with("250"),
            "internal mail stays allowed"
        );
        session.cmd("RSET");
    }
    client.accepted("bob@acme.example", &["friend@partner.example"], &ham(9));
    let notice = sink.wait("the notice", |m| {
        m.to.iter().any(|t| t == "postmaster@acme.example")
    });
    let text = notice.text();
    assert!(
        text.contains(&reference) && text.contains("alice@acme.example"),
        "{text}"
    );
    assert_eq!(notice.from, "", "notices leave from the null sender");
    assert!(text.contains("Auto-Submitted: auto-generated"), "{text}");
    the_record_tells_why(&relay, &reference);
}

/// The record of alice's block has all fields and its evidence.
fn the_record_tells_why(relay: &Relay, reference: &str) {
    let block = relay.json(&format!("/api/v1/blocks/{reference}"));
    assert_eq!(block["kind"], "sender");
    assert_eq!(block["subject"], "alice@acme.example");
    assert_eq!(block["tenant"], "acme");
    assert_eq!(block["state"], "active");
    assert_eq!(block["opened_by"], "relay");
    assert!(
        !block["evidence"].as_array().expect("evidence").is_empty(),
        "{block}"
    );
    assert!(
        block["evidence"][0]["probability"]
            .as_f64()
            .expect("probability")
            > 0.5,
        "{block}"
    );
    assert_eq!(block["releases_left"], 3);
}

#[test]
fn a_release_lets_the_next_message_through_and_old_evidence_never_counts_again() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "[scoring]\nlearning_messages = 0\n");
    let mut client = Client::hello(relay.smtp);
    let refusal = (0..10)
        .map(|n| {
            client.send(
                "alice@acme.example",
                &[&format!("s{n}@elsewhere.example")],
                &spam(n),
            )
        })
        .find(|reply| reply.starts_with("550 5.1.8"))
        .expect("stopped");
    let reference = reference(&refusal);
    let (status, _, error) = relay.cli(&[
        "blocks",
        "release",
        &reference,
        "--verdict",
        "compromised",
        "--reason",
        "password changed",
    ]);
    assert_eq!(status, 0, "{error}");
    let block = relay.json(&format!("/api/v1/blocks/{reference}"));
    assert_eq!(
        (block["state"].as_str(), block["verdict"].as_str()),
        (Some("released"), Some("compromised"))
    );
    let reply = client.send("alice@acme.example", &["bob@partner.example"], &ham(1));
    assert!(reply.starts_with("250"), "{reply}");
    sink.wait_for("bob@partner.example");
    // One more spam is one message of evidence, not the last straw on top of the old ones.
    let reply = client.send("alice@acme.example", &["z@elsewhere.example"], &spam(77));
    assert!(!reply.starts_with("550 5.1.8"), "{reply}");
    let (status, _) = relay.http(
        "POST",
        &format!("/api/v1/blocks/{reference}/release"),
        r#"{"verdict":"mistake","reason":"x"}"#,
    );
    assert_eq!(status, 409, "a released block cannot be released again");
}

#[test]
fn an_admins_block_holds_over_a_restart_and_a_crash() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let reference = add_block(&relay, "sender", "Carol@ACME.example");
    let refused = |relay: &Relay| {
        let mut client = Client::hello(relay.smtp);
        let reply = client.send("carol@acme.example", &["x@elsewhere.example"], &ham(1));
        assert!(
            reply.starts_with("550 5.1.8") && reply.contains(&reference),
            "{reply}"
        );
    };
    refused(&relay);
    let relay = relay.restart();
    refused(&relay);
    let relay = relay.crash_and_restart();
    refused(&relay);
    assert_eq!(
        relay.json("/api/v1/blocks")["items"]
            .as_array()
            .expect("items")
            .len(),
        1
    );
}

#[test]
fn a_block_of_each_kind_stops_what_it_names() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let send = |from: &str, text: &str| {
        Client::hello(relay.smtp).send(from, &["x@elsewhere.example"], text)
    };
    for (kind, subject) in [
        ("domain", "acme.example"),
        ("client", "127.0.0.0/8"),
        ("tenant", "acme"),
    ] {
        let reference = add_block(&relay, kind, subject);
        let reply = send("carol@acme.example", &ham(1));
        assert!(
            reply.starts_with("550 5.1.8") && reply.contains(&reference),
            "{kind}: {reply}"
        );
        let (status, body) = relay.http(
            "POST",
            &format!("/api/v1/blocks/{reference}/release"),
            r#"{"verdict":"mistake","reason":"test"}"#,
        );
        assert_eq!(status, 200, "{body}");
        let reply = send("carol@acme.example", &ham(2));
        assert!(reply.starts_with("250"), "{kind}: {reply}");
    }
    let reference = add_block(&relay, "website", "bad.example");
    let linked = "From: carol@acme.example\nSubject: look\n\nhttp://www.bad.example/x\n";
    let reply = send("carol@acme.example", linked);
    assert!(
        reply.starts_with("550") && reply.contains(&reference),
        "{reply}"
    );
    assert!(send("carol@acme.example", &ham(3)).starts_with("250"));
}

#[test]
fn mixed_mail_of_a_sender_known_only_after_the_dot_reaches_colleagues_and_is_held_for_the_rest() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let reference = add_block(&relay, "sender", "carol@acme.example");
    let text = format!("X-Authenticated-Sender: carol@acme.example\n{}", ham(1));
    let mut client = Client::hello(relay.smtp);
    // The envelope names somebody else: only the header tells who it is.
    let reply = client.send(
        "office@acme.example",
        &["dave@acme.example", "x@elsewhere.example"],
        &text,
    );
    assert!(reply.starts_with("250"), "{reply}");
    sink.wait_for("dave@acme.example");
    let held = relay.json("/api/v1/held");
    assert_eq!(held["items"].as_array().expect("items").len(), 1, "{held}");
    let all_external = client.send("office@acme.example", &["x@elsewhere.example"], &text);
    assert!(all_external.starts_with("550 5.1.8"), "{all_external}");
    // Released as a mistake: what was held goes on.
    let (status, body) = relay.http(
        "POST",
        &format!("/api/v1/blocks/{reference}/release"),
        r#"{"verdict":"mistake","reason":"test"}"#,
    );
    assert_eq!(status, 200, "{body}");
    let mail = sink.wait_for("x@elsewhere.example");
    assert!(
        !mail.text().contains("X-Authenticated-Sender"),
        "identity headers do not leave"
    );
}

#[test]
fn tenant_admins_have_a_quota_of_releases_and_operators_have_not() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "[blocks]\nreleases_by_tenant = 1\n");
    let config = common::path(&relay, "outgate.toml");
    let config = config.to_str().expect("a path");
    let (status, token, error) = relay.cli(&[
        "token",
        "create",
        "alice-admin",
        "--role",
        "admin",
        "--tenant",
        "acme",
        "--reason",
        "test",
        "--config",
        config,
    ]);
    assert_eq!(status, 0, "{error}");
    let bearer = format!(
        "Authorization: Bearer {}\r\n",
        token.trim().lines().last().expect("the token")
    );
    let release = |reference: &str| {
        let path = format!("/api/v1/blocks/{reference}/release");
        common::http(
            relay.admin,
            "POST",
            &path,
            &bearer,
            r#"{"verdict":"mistake","reason":"test"}"#,
        )
    };
    let first = add_block(&relay, "sender", "dora@acme.example");
    assert_eq!(release(&first).0, 200);
    let second = add_block(&relay, "sender", "dora@acme.example");
    let (status, body) = release(&second);
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("/release-quota"), "{body}");
    let (status, _, error) = relay.cli(&[
        "blocks",
        "release",
        &second,
        "--verdict",
        "mistake",
        "--reason",
        "operator",
    ]);
    assert_eq!(status, 0, "{error}");
}
