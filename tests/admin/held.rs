//! Held mail, and who may send it on.

use super::*;

/// Every message is held.
const HOLD_ALL: &str = "[policy.default]\nfalse_block_rate = 0\nspam_rate_min_messages = 0\nsuspicious = \"hold\"\n\
                        [scoring]\nsuspicious_probability = 0.0001\nspam_probability = 0.9999\n";

/// What an operator does with one message of the queue; the status and the answer.
fn act(relay: &Relay, list: &str, id: &str, verb: &str, reason: &str) -> (u16, Value) {
    let path = format!("/api/v1/{list}/{id}/{verb}");
    post(relay, &path, json!({ "reason": reason }))
}

#[test]
fn held_mail_is_released_deleted_or_returned() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, HOLD_ALL);
    let [go, drop_it, back] = [("go", 1), ("drop", 2), ("back", 3)]
        .map(|(who, n)| queued(&relay, &format!("{who}@elsewhere.example"), n));
    let held = items(&relay, "/api/v1/held");
    assert_eq!(
        held.iter()
            .map(|m| m["id"].as_str().expect("id"))
            .collect::<Vec<_>>(),
        [&go, &drop_it, &back]
    );
    assert_eq!(held[0]["state"], "held");
    assert_eq!(
        act(&relay, "held", &go, "release", "fine"),
        (200, json!({ "ids": [go] }))
    );
    sink.wait_for("go@elsewhere.example");
    assert_eq!(act(&relay, "held", &drop_it, "delete", "spam").0, 200);
    assert_eq!(act(&relay, "queue", &back, "bounce", "ask first").0, 200);
    let report = sink.wait("the report", |m| m.to == [ALICE]);
    assert!(
        report.from.is_empty() && report.text().contains("back@elsewhere.example"),
        "{}",
        report.text()
    );
    until("an empty queue", || {
        items(&relay, "/api/v1/queue").is_empty().then_some(())
    });
    let arrived = sink.all();
    assert!(!arrived.iter().any(|m| {
        m.to.iter()
            .any(|t| t == "drop@elsewhere.example" || t == "back@elsewhere.example")
    }));
    assert_eq!(
        arrived.iter().filter(|m| m.to == [ALICE]).count(),
        1,
        "nobody is told of what was deleted"
    );
    let (status, problem) = post(
        &relay,
        &format!("/api/v1/held/{drop_it}/release"),
        json!({}),
    );
    assert_eq!(status, 404, "{problem}");
    trace_and_log_tell(&relay, &go, &drop_it, &back);
}

/// The trace, the log and the metrics tell what became of these three held messages.
fn trace_and_log_tell(relay: &Relay, released: &str, deleted: &str, returned: &str) {
    for (id, part, outcome) in [
        (released, "released", "released"),
        (deleted, "deleted", "deleted"),
        (returned, "report", "returned"),
    ] {
        relay.until(part, |r| {
            items(r, &format!("/api/v1/messages?id={id}"))[0]["history"]
                .to_string()
                .contains(part)
                .then_some(())
        });
        assert_eq!(
            logged(relay, &format!(" unheld id={id} outcome={outcome} by=")),
            1,
            "{outcome}: {}",
            relay.log()
        );
    }
    assert_eq!(logged(relay, &format!(" bounced id={returned} ")), 1);
    let metrics = relay.http("GET", "/metrics", "").1;
    assert!(
        metrics.contains(r#"outgate_delivery_total{outcome="bounced",pool="high_risk"} 1"#),
        "{metrics}"
    );
}

#[test]
fn what_people_do_with_held_mail_and_their_labels_are_learned() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, HOLD_ALL);
    let [go, drop_it, back] = [1, 2, 3].map(|n| queued(&relay, "x@elsewhere.example", n));
    assert_eq!(act(&relay, "held", &go, "release", "fine").0, 200);
    sink.wait_for("x@elsewhere.example");
    let label = |id: &str, label: &str| {
        post(
            &relay,
            &format!("/api/v1/messages/{id}/label"),
            json!({ "label": label, "reason": "an offer" }),
        )
        .0
    };
    for (id, word, want) in [
        (back.as_str(), "spam", 200),
        (&back, "eggs", 422),
        ("0000000000000", "spam", 404),
    ] {
        assert_eq!(label(id, word), want, "{id} {word}");
    }
    assert_eq!(act(&relay, "held", &drop_it, "delete", "spam").0, 200);
    let learned = relay.http("GET", "/metrics", "").1;
    for line in [
        "outgate_learned_total{as=\"label_ham\"} 1",
        "outgate_learned_total{as=\"label_spam\"} 2",
    ] {
        assert!(learned.contains(line), "{line}: {learned}");
    }
}

#[test]
fn held_mail_that_nobody_looks_at_returns_to_its_sender() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, &format!("{HOLD_ALL}[held]\nexpire = \"1s\"\n"));
    let id = queued(&relay, "x@elsewhere.example", 1);
    let report = sink.wait("the report", |m| m.to == [ALICE]);
    let text = report.text();
    assert!(
        report.from.is_empty() && text.contains("multipart/report"),
        "{text}"
    );
    assert!(
        text.contains("Action: failed") && text.contains("x@elsewhere.example"),
        "{text}"
    );
    until("an empty queue", || {
        items(&relay, "/api/v1/queue").is_empty().then_some(())
    });
    // It is told as what it is, in the trace and in the log.
    relay.until("the trace", |r| {
        let history = items(r, &format!("/api/v1/messages?id={id}"))[0]["history"].to_string();
        history
            .contains("given up (held_returned): x@elsewhere.example")
            .then_some(())
    });
    assert_eq!(
        logged(
            &relay,
            &format!(" unheld id={id} outcome=returned by=relay")
        ),
        1
    );
    assert_eq!(logged(&relay, &format!(" bounced id={id} ")), 1);
}

#[test]
fn mail_that_waits_when_its_sender_is_blocked_is_held_until_the_verdict() {
    for verdict in ["mistake", "compromised"] {
        let (sink, open) = gated();
        let relay = Relay::start(&sink, &format!("{NO_RULES}[delivery]\nretry = [\"1s\"]\n"));
        let id = queued(&relay, "x@elsewhere.example", 1);
        relay.until("a first attempt", |r| {
            r.json(&format!("/api/v1/queue/{id}"))["recipients"][0]["last_reply"]
                .as_str()?
                .contains("Later")
                .then_some(())
        });
        let mut client = Client::hello(relay.smtp);
        client.accepted("bob@acme.example", &["z@elsewhere.example"], &ham(2));
        let reference = add_block(&relay, "sender", ALICE);
        assert_eq!(
            logged(
                &relay,
                &format!(" held id={id} block={reference} reason=admin")
            ),
            1,
            "{}",
            relay.log()
        );
        // The answer to POST comes when the mail is held, on disk: so it is after a crash.
        assert_eq!(items(&relay, "/api/v1/held")[0]["id"], *id);
        let relay = relay.crash_and_restart();
        open.store(true, Ordering::SeqCst);
        sink.wait_for("z@elsewhere.example");
        let held = items(&relay, "/api/v1/held");
        assert_eq!((held.len(), &held[0]["id"]), (1, &json!(id)), "only hers");
        assert!(
            held[0]["hold"].to_string().contains(&reference),
            "{}",
            held[0]
        );
        release(&relay, &reference, verdict);
        if verdict == "compromised" {
            assert_eq!(items(&relay, "/api/v1/held").len(), 1, "left for review");
            assert_eq!(act(&relay, "held", &id, "release", "reviewed").0, 200);
        }
        sink.wait_for("x@elsewhere.example");
        assert_eq!(
            logged(&relay, &format!(" unheld id={id} outcome=released by=")),
            1,
            "{}",
            relay.log()
        );
    }
}

#[test]
fn a_tenant_admin_sends_on_only_what_no_block_stops_that_takes_an_operator() {
    // The network was blocked by the operators, the block was not the tenant's to end; the mail
    // held under it was.
    let (sink, open) = gated();
    // Soon, since the first attempt may still be under way through all of this and end with
    // "later".
    let soon = "[delivery]\nretry = [\"1s\"]\n";
    let relay = Relay::start(
        &sink,
        &format!("{NO_RULES}[blocks]\nreleases_by_tenant = 1\n{soon}"),
    );
    let anna = token(&relay, "anna", "admin", "acme");
    let try_it = |path: String, body: &str| {
        let (status, _, text) = as_bearer(&relay, &anna, "POST", &path, body);
        (status, text)
    };
    let id = queued(&relay, "x@elsewhere.example", 1);
    let network = add_block(&relay, "client", "127.0.0.0/8");
    assert_eq!(items(&relay, "/api/v1/held")[0]["id"], *id);
    for path in [
        format!("/api/v1/held/{id}/release"),
        format!("/api/v1/queue/{id}/release"),
    ] {
        let (status, text) = try_it(path, "{}");
        assert!(status == 403 && text.contains(&network), "{text}");
    }
    release(&relay, &network, "compromised");
    // Nor through a block of her own tenant's whose releases are used up, although the mail is not
    // held under it.
    let first = add_block(&relay, "sender", ALICE);
    let verdict = r#"{"verdict":"compromised","reason":"x"}"#;
    assert_eq!(
        try_it(format!("/api/v1/blocks/{first}/release"), verdict).0,
        200
    );
    let second = add_block(&relay, "sender", ALICE);
    let (status, text) = try_it(format!("/api/v1/held/{id}/release"), "{}");
    assert!(status == 403 && text.contains("/release-quota"), "{text}");
    // Once nothing stops it any more, what was left for review is hers to send on.
    release(&relay, &second, "compromised");
    open.store(true, Ordering::SeqCst);
    let (status, text) = try_it(format!("/api/v1/held/{id}/release"), "{}");
    assert_eq!(status, 200, "{text}");
    sink.wait_for("x@elsewhere.example");
}
