//! Blocks that people open and release.

use super::*;

#[test]
fn a_block_has_the_fields_of_the_contract() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    let soon = "2999-01-01T00:00:00+01:00";
    let body = json!({ "kind": "sender", "subject": "Bob@ACME.example", "reason": "left the company", "until": soon });
    let (status, block) = post(&relay, "/api/v1/blocks", body);
    assert_eq!(status, 201);
    let reference = block["ref"].as_str().expect("ref");
    let (prefix, random) = reference.split_at(3);
    assert!(
        prefix == "OG-"
            && random.len() == 10
            && random
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    );
    for (field, value) in [
        ("kind", json!("sender")),
        ("subject", json!("bob@acme.example")),
        ("tenant", json!("acme")),
        ("state", json!("active")),
        ("reason", json!("left the company")),
        ("until", json!("2998-12-31T23:00:00Z")),
        ("opened_by", json!("operator")),
        ("evidence", json!([])),
        ("releases_left", json!(3)),
    ] {
        assert_eq!(block[field], value, "{field}");
    }
    assert!(is_time(&block["opened_at"]));
    assert_eq!(relay.json(&format!("/api/v1/blocks/{reference}")), block);
}

#[test]
fn a_block_that_the_relay_opens_has_its_evidence() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        "[policy.default]\nrecipients_external_per_hour = 1\nwhen_exceeded = \"block\"\nfalse_block_rate = 0\n",
    );
    assert!(send(&relay, "a@elsewhere.example", 1).starts_with("250"));
    assert!(send(&relay, "b@elsewhere.example", 2).starts_with("550 5.1.8 "));
    let block = &items(
        &relay,
        "/api/v1/blocks?state=active&subject=alice@acme.example",
    )[0];
    assert_eq!(
        (&block["opened_by"], &block["until"]),
        (&json!("relay"), &Value::Null)
    );
    let evidence = &block["evidence"][0];
    assert!(
        is_time(&evidence["time"]) && evidence["message_id"].is_string(),
        "{evidence}"
    );
    assert!(
        evidence["probability"].is_f64() && evidence["llr"].is_f64(),
        "{evidence}"
    );
    assert_eq!(evidence["recipients"], 1);
    for symbol in evidence["symbols"].as_array().expect("symbols") {
        assert!(
            symbol["name"].is_string() && symbol["weight"].is_number(),
            "{symbol}"
        );
    }
}

#[test]
fn the_quota_of_releases_is_a_problem_of_its_own() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    let anna = token(&relay, "anna", "admin", "acme");
    let try_release = |reference: &str| {
        let path = format!("/api/v1/blocks/{reference}/release");
        as_bearer(
            &relay,
            &anna,
            "POST",
            &path,
            r#"{"verdict":"mistake","reason":"x"}"#,
        )
    };
    for left in (0..3).rev() {
        let (status, _, text) = try_release(&add_block(&relay, "sender", ALICE));
        assert_eq!(status, 200, "{text}");
        let block: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(block["releases_left"], left);
    }
    let reference = add_block(&relay, "sender", ALICE);
    let (status, _, text) = try_release(&reference);
    let problem: Value = serde_json::from_str(&text).expect("JSON");
    assert!(
        status == 403
            && problem["type"]
                .as_str()
                .expect("type")
                .ends_with("/release-quota"),
        "{problem}"
    );
    assert!(
        send(&relay, "x@elsewhere.example", 1).contains(&reference),
        "it is still in force"
    );
    // Another subject has its own quota, and an operator has none.
    assert_eq!(
        try_release(&add_block(&relay, "sender", "bob@acme.example")).0,
        200
    );
    release(&relay, &reference, "mistake");
    assert!(send(&relay, "x@elsewhere.example", 1).starts_with("250"));
}

#[test]
fn a_block_takes_effect_on_open_sessions_and_so_does_its_release() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    let mut idle = Client::hello(relay.smtp);
    let mut at_mail = Client::hello(relay.smtp);
    at_mail.expect(&format!("MAIL FROM:<{ALICE}>"), "250");
    let mut at_data = Client::hello(relay.smtp);
    at_data.expect(&format!("MAIL FROM:<{ALICE}>"), "250");
    at_data.expect("RCPT TO:<x@elsewhere.example>", "250");
    at_data.expect("DATA", "354");
    let reference = add_block(&relay, "sender", ALICE);
    let refused = |reply: String| {
        assert!(
            reply.starts_with("550 5.1.8 ") && reply.contains(&reference),
            "{reply}"
        )
    };
    refused(idle.send(ALICE, &["x@elsewhere.example"], &ham(1)));
    refused(at_mail.cmd("RCPT TO:<x@elsewhere.example>"));
    at_data.raw(common::client::stuffed(&ham(2)).as_bytes());
    refused(at_data.reply());
    release(&relay, &reference, "compromised");
    at_mail.expect("RCPT TO:<x@elsewhere.example>", "250");
    idle.accepted(ALICE, &["y@elsewhere.example"], &ham(3));
    sink.wait_for("y@elsewhere.example");
}

#[test]
fn a_block_with_an_end_expires_by_itself() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    // An end that has passed before the relay hears of it is refused: on a slow machine the next
    // one lies further ahead.
    let mut ahead = jiff::SignedDuration::from_secs(1);
    let block = relay.until("a block with an end", |relay| {
        ahead *= 2;
        let soon = jiff::Timestamp::now() + ahead;
        let body = json!({ "kind": "domain", "subject": "acme.example", "reason": "a pause", "until": soon.to_string() });
        let (status, block) = post(relay, "/api/v1/blocks", body);
        assert!(matches!(status, 201 | 422), "{block}");
        (status == 201).then_some(block)
    });
    let path = format!(
        "/api/v1/blocks/{}",
        block["ref"].as_str().expect("a reference")
    );
    relay.until("the next message passes", |r| {
        send(r, "x@elsewhere.example", 1)
            .starts_with("250")
            .then_some(())
    });
    relay.until("the record says so", |r| {
        (r.json(&path)["state"] == "expired").then_some(())
    });
    assert!(is_time(&relay.json(&path)["ended_at"]));
    relay.until("the gauge", |r| {
        r.http("GET", "/metrics", "")
            .1
            .contains("outgate_blocks_active{kind=\"domain\"} 0")
            .then_some(())
    });
}

#[test]
fn a_subject_that_is_blocked_already_keeps_its_block() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let block = |until: Option<&str>| {
        let mut body = json!({"kind": "sender", "subject": "alice@acme.example", "reason": "test"});
        if let Some(until) = until {
            body["until"] = until.into();
        }
        post(&relay, "/api/v1/blocks", body)
    };
    let (status, first) = block(None);
    assert_eq!(status, 201, "{first}");
    let (status, again) = block(None);
    assert_eq!((status, &again["ref"]), (200, &first["ref"]));
    // Another end cannot be promised by a record that stays as it is.
    let (status, problem) = block(Some("2099-01-01T00:00:00Z"));
    assert_eq!(status, 409, "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|d| d.contains(first["ref"].as_str().expect("a reference"))),
        "{problem}"
    );
    let audit = relay.json("/api/v1/audit")["items"].to_string();
    assert_eq!(audit.matches("block.add").count(), 1, "{audit}");
}

#[test]
fn a_website_block_stops_messages_with_its_links_and_nobody_else() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    let reference = add_block(&relay, "website", "https://Bad.example/path");
    assert_eq!(
        relay.json(&format!("/api/v1/blocks/{reference}"))["subject"],
        "bad.example"
    );
    let linked = "From: alice@acme.example\nSubject: look\nContent-Type: text/html\n\n<a href=\"https://www.bad.example/x\">x</a>\n";
    let try_it = || Client::hello(relay.smtp).send(ALICE, &["x@elsewhere.example"], linked);
    let reply = try_it();
    assert!(
        reply.starts_with("550 ") && reply.contains(&reference),
        "{reply}"
    );
    let mixed =
        Client::hello(relay.smtp).send(ALICE, &["x@elsewhere.example", "bob@acme.example"], linked);
    assert!(mixed.starts_with("250"), "{mixed}");
    sink.wait_for("bob@acme.example");
    assert!(send(&relay, "y@elsewhere.example", 1).starts_with("250"));
    let notice = sink
        .wait("the notice", |m| m.text().contains(&reference))
        .text();
    assert!(
        notice.contains("bad.example") && notice.contains("550 5.1.8"),
        "{notice}"
    );
    release(&relay, &reference, "mistake");
    sink.wait_for("x@elsewhere.example");
    assert!(try_it().starts_with("250"));
}
