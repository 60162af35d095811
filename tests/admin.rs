//! The admin side from end to end: API, command line, held mail, trace, health, public pages.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use common::mail::ham;
use common::{Client, Relay, Sink, until};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const ALICE: &str = "alice@acme.example";
/// Nothing but what an admin does stops anybody.
const NO_RULES: &str = "[policy.default]\nfalse_block_rate = 0\nspam_rate_min_messages = 0\nsuspicious = \"deliver\"\n";
/// Every message is held.
const HOLD_ALL: &str = "[policy.default]\nfalse_block_rate = 0\nspam_rate_min_messages = 0\nsuspicious = \"hold\"\n\
                        [scoring]\nsuspicious_probability = 0.0001\nspam_probability = 0.9999\n";
const OTHER: &str = "[[tenant]]\nname = \"other\"\ndomains = [\"other.example\"]\n";

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

#[test]
fn a_block_has_the_fields_of_the_contract() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        "[policy.default]\nrecipients_external_per_hour = 1\nwhen_exceeded = \"block\"\nfalse_block_rate = 0\n",
    );
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

    // And one that the relay opens.
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
fn lists_go_page_by_page_and_miss_nothing() {
    let (sink, _) = gated();
    let relay = Relay::start(&sink, NO_RULES);
    for n in 0..5 {
        add_block(&relay, "sender", &format!("blocked{n}@acme.example"));
        let mut client = Client::hello(relay.smtp);
        let reply = client.send(
            &format!("s{n}@acme.example"),
            &["x@elsewhere.example"],
            &ham(n),
        );
        assert!(reply.starts_with("250"), "{reply}");
    }
    for (list, key, wanted) in [
        ("blocks", "ref", 5),
        ("senders", "key", 5),
        ("messages", "id", 5),
        ("queue", "id", 5 + 5),
        ("audit", "id", 5),
    ] {
        let (mut seen, mut cursor, mut pages) = (HashSet::new(), String::new(), 0);
        loop {
            let page = relay.json(&format!("/api/v1/{list}?limit=2{cursor}"));
            let some = page["items"].as_array().expect("items");
            assert!(
                some.len() <= 2 && page.as_object().expect("an object").len() == 2,
                "{page}"
            );
            assert!(
                some.iter().all(|item| seen.insert(item[key].to_string())),
                "{list}: an item came twice"
            );
            pages += 1;
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        if list == "queue" {
            assert!(seen.len() >= 5, "the five messages, and the notices");
        } else {
            assert_eq!((seen.len(), pages), (wanted, 3), "{list}");
        }
        let (status, body) =
            relay.http("GET", &format!("/api/v1/{list}?cursor=%00nonsense%00"), "");
        assert!(
            status == 422 || list == "senders",
            "{list}: {status} {body}"
        );
        assert_eq!(
            relay.http("GET", &format!("/api/v1/{list}?limit=0"), "").0,
            422,
            "{list}"
        );
        assert_eq!(
            relay.http("GET", &format!("/api/v1/{list}?nosuch=1"), "").0,
            400,
            "{list}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_a_problem_object() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, &format!("{NO_RULES}{OTHER}"));
    let reference = add_block(&relay, "sender", ALICE);
    let operator = relay.token();
    let (viewer, stranger) = (
        token(&relay, "vera", "viewer", "acme"),
        token(&relay, "otto", "admin", "other"),
    );
    let block = format!("/api/v1/blocks/{reference}");
    let good = r#"{"verdict":"mistake","reason":"x"}"#;
    let long = format!(
        r#"{{"kind":"sender","subject":"a@acme.example","reason":"{}"}}"#,
        "x".repeat(70_000)
    );
    let table = [
        (
            "malformed JSON",
            operator.as_str(),
            "POST",
            "/api/v1/blocks".to_owned(),
            "{\"kind\":",
            400,
        ),
        (
            "JSON of another form",
            &operator,
            "POST",
            "/api/v1/blocks".into(),
            "[]",
            400,
        ),
        (
            "deeply nested",
            &operator,
            "POST",
            "/api/v1/blocks".into(),
            &"[".repeat(10_000),
            400,
        ),
        (
            "unknown field",
            &operator,
            "POST",
            "/api/v1/blocks".into(),
            r#"{"kin":"sender"}"#,
            400,
        ),
        (
            "unknown kind",
            &operator,
            "POST",
            "/api/v1/blocks".into(),
            r#"{"kind":"person","subject":"a@b.example","reason":"x"}"#,
            422,
        ),
        (
            "no reason",
            &operator,
            "POST",
            "/api/v1/blocks".into(),
            r#"{"kind":"sender","subject":"a@b.example"}"#,
            422,
        ),
        (
            "no body",
            &operator,
            "POST",
            "/api/v1/blocks".into(),
            "",
            422,
        ),
        (
            "too large",
            &operator,
            "POST",
            "/api/v1/blocks".into(),
            &long,
            413,
        ),
        (
            "unknown ref",
            &operator,
            "GET",
            "/api/v1/blocks/OG-0000000000".into(),
            "",
            404,
        ),
        (
            "no ref at all",
            &operator,
            "GET",
            "/api/v1/blocks/nonsense".into(),
            "",
            404,
        ),
        (
            "unknown verdict",
            &operator,
            "POST",
            format!("{block}/release"),
            r#"{"verdict":"maybe","reason":"x"}"#,
            422,
        ),
        (
            "unknown sender",
            &operator,
            "GET",
            "/api/v1/senders/nobody@acme.example".into(),
            "",
            404,
        ),
        (
            "unknown message",
            &operator,
            "POST",
            "/api/v1/held/0000000000000/release".into(),
            "",
            404,
        ),
        (
            "unknown verb",
            &operator,
            "POST",
            "/api/v1/held/0000000000000/eat".into(),
            "",
            404,
        ),
        (
            "no such route",
            &operator,
            "GET",
            "/api/v1/nothing".into(),
            "",
            404,
        ),
        (
            "no such method",
            &operator,
            "DELETE",
            block.clone(),
            "",
            405,
        ),
        (
            "GET where only POST acts",
            &operator,
            "GET",
            format!("{block}/release"),
            "",
            405,
        ),
        ("wrong token", "wrong", "GET", block.clone(), "", 401),
        (
            "wrong token",
            "",
            "POST",
            format!("{block}/release"),
            good,
            401,
        ),
        (
            "a viewer acts",
            &viewer,
            "POST",
            format!("{block}/release"),
            good,
            403,
        ),
        (
            "another tenant reads",
            &stranger,
            "GET",
            block.clone(),
            "",
            404,
        ),
        (
            "another tenant releases",
            &stranger,
            "POST",
            format!("{block}/release"),
            good,
            404,
        ),
        (
            "another tenant blocks",
            &stranger,
            "POST",
            "/api/v1/blocks".into(),
            r#"{"kind":"sender","subject":"bob@acme.example","reason":"x"}"#,
            403,
        ),
        (
            "not an operator",
            &stranger,
            "GET",
            "/api/v1/audit".into(),
            "",
            403,
        ),
    ];
    for (what, token, method, path, body, want) in table {
        let (status, head, text) = as_bearer(&relay, token, method, &path, body);
        assert_eq!(status, want, "{what}: {text}");
        assert!(
            head.to_ascii_lowercase()
                .contains("content-type: application/problem+json"),
            "{what}: {head}"
        );
        let problem: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(problem["status"], want, "{what}: {problem}");
        for field in ["type", "title", "detail"] {
            assert!(
                problem[field].as_str().is_some_and(|t| !t.is_empty()),
                "{what}: {field} in {problem}"
            );
        }
        assert_eq!(
            status == 401,
            head.to_ascii_lowercase()
                .contains("www-authenticate: bearer"),
            "{what}: {head}"
        );
    }
    assert_eq!(
        common::http(relay.admin, "GET", &block, "", "").0,
        401,
        "no token at all"
    );
    // The other tenant's lists are empty, not forbidden.
    assert!(send(&relay, "x@elsewhere.example", 1).starts_with("550"));
    for list in ["blocks", "senders", "messages", "held", "queue"] {
        let (status, _, text) = as_bearer(&relay, &stranger, "GET", &format!("/api/v1/{list}"), "");
        assert_eq!(
            (status, text.as_str()),
            (200, r#"{"items":[],"next":null}"#),
            "{list}"
        );
    }
    assert_eq!(
        as_bearer(&relay, &viewer, "GET", &block, "").0,
        200,
        "a viewer of the tenant reads"
    );
    assert_eq!(
        relay.json(&block)["state"],
        "active",
        "nothing of all that has released it"
    );
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
    assert!(
        at_mail
            .cmd(&format!("MAIL FROM:<{ALICE}>"))
            .starts_with("250")
    );
    let mut at_data = Client::hello(relay.smtp);
    assert!(
        at_data
            .cmd(&format!("MAIL FROM:<{ALICE}>"))
            .starts_with("250")
    );
    assert!(
        at_data
            .cmd("RCPT TO:<x@elsewhere.example>")
            .starts_with("250")
    );
    assert!(at_data.cmd("DATA").starts_with("354"));
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
    assert!(
        at_mail
            .cmd("RCPT TO:<x@elsewhere.example>")
            .starts_with("250")
    );
    assert!(
        idle.send(ALICE, &["y@elsewhere.example"], &ham(3))
            .starts_with("250")
    );
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

#[test]
fn held_mail_is_released_deleted_or_returned() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, HOLD_ALL);
    let (go, drop_it) = (
        queued(&relay, "go@elsewhere.example", 1),
        queued(&relay, "drop@elsewhere.example", 2),
    );
    let back = queued(&relay, "back@elsewhere.example", 3);
    let held = items(&relay, "/api/v1/held");
    assert_eq!(
        held.iter()
            .map(|m| m["id"].as_str().expect("id"))
            .collect::<Vec<_>>(),
        [&go, &drop_it, &back]
    );
    assert_eq!(held[0]["state"], "held");
    let (status, answer) = post(
        &relay,
        &format!("/api/v1/held/{go}/release"),
        json!({ "reason": "fine" }),
    );
    assert_eq!((status, answer), (200, json!({ "ids": [go] })));
    sink.wait_for("go@elsewhere.example");
    let label = |id: &str, label: &str| {
        post(
            &relay,
            &format!("/api/v1/messages/{id}/label"),
            json!({ "label": label, "reason": "an offer" }),
        )
        .0
    };
    assert_eq!(
        (
            label(&back, "spam"),
            label(&back, "eggs"),
            label("0000000000000", "spam")
        ),
        (200, 422, 404)
    );
    assert_eq!(
        post(
            &relay,
            &format!("/api/v1/held/{drop_it}/delete"),
            json!({ "reason": "spam" })
        )
        .0,
        200
    );
    let learned = relay.http("GET", "/metrics", "").1;
    for line in [
        "outgate_learned_total{as=\"label_ham\"} 1",
        "outgate_learned_total{as=\"label_spam\"} 2",
    ] {
        assert!(learned.contains(line), "{line}: {learned}");
    }
    assert_eq!(
        post(
            &relay,
            &format!("/api/v1/queue/{back}/bounce"),
            json!({ "reason": "ask first" })
        )
        .0,
        200
    );
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
    // The trace tells all three stories.
    for (id, part) in [(&go, "released"), (&drop_it, "deleted"), (&back, "report")] {
        relay.until(part, |r| {
            items(r, &format!("/api/v1/messages?id={id}"))[0]["history"]
                .to_string()
                .contains(part)
                .then_some(())
        });
    }
    // And so does the log.
    for (id, outcome) in [
        (&go, "released"),
        (&drop_it, "deleted"),
        (&back, "returned"),
    ] {
        assert_eq!(
            logged(&relay, &format!(" unheld id={id} outcome={outcome} by=")),
            1,
            "{outcome}: {}",
            relay.log()
        );
    }
    assert_eq!(logged(&relay, &format!(" bounced id={back} ")), 1);
    let metrics = relay.http("GET", "/metrics", "").1;
    assert!(
        metrics.contains(r#"outgate_delivery_total{outcome="bounced",pool="high_risk"} 1"#),
        "{metrics}"
    );
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
        assert!(
            client
                .send("bob@acme.example", &["z@elsewhere.example"], &ham(2))
                .starts_with("250")
        );
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
            assert_eq!(
                post(
                    &relay,
                    &format!("/api/v1/held/{id}/release"),
                    json!({ "reason": "reviewed" })
                )
                .0,
                200
            );
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

#[test]
fn the_trace_finds_a_message_by_all_its_names() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    let id = queued(&relay, "Bob@Elsewhere.example", 7);
    queued(&relay, "carol@elsewhere.example", 8);
    sink.wait_for("Bob@Elsewhere.example");
    for query in [
        format!("id={id}"),
        "id=ham7@acme.example".into(),
        "id=%3Cham7@acme.example%3E".into(),
        "recipient=bob@elsewhere.example".into(),
        format!("sender={ALICE}&recipient=bob@elsewhere.example"),
        "tenant=acme&recipient=bob@elsewhere.example".into(),
    ] {
        let message = relay.until(&query, |r| {
            let found = items(r, &format!("/api/v1/messages?{query}"));
            assert!(found.len() <= 1, "{query}: {found:#?}");
            // The trace is written a little later than the mail goes.
            found
                .into_iter()
                .find(|m| m["history"].to_string().contains("\"delivered\""))
        });
        assert_eq!(
            (&message["id"], &message["action"]),
            (&json!(id), &json!("accept")),
            "{query}"
        );
        assert!(
            is_time(&message["time"]) && message["probability"].is_f64(),
            "{message}"
        );
        let line = &message["history"][0];
        assert_eq!(
            (&line["recipient"], &line["status"]),
            (&json!("Bob@Elsewhere.example"), &json!("delivered"))
        );
        assert!(
            line["text"]
                .as_str()
                .expect("text")
                .contains("250 2.0.0 Ok"),
            "{line}"
        );
    }
    assert_eq!(
        items(&relay, &format!("/api/v1/messages?sender={ALICE}")).len(),
        2
    );
    assert_eq!(
        items(&relay, "/api/v1/messages?sender=bob@acme.example").len(),
        0
    );
    // A refused message has a trace as well.
    let reference = add_block(&relay, "sender", "eve@acme.example");
    let text = format!("X-Authenticated-Sender: eve@acme.example\n{}", ham(9));
    assert!(
        Client::hello(relay.smtp)
            .send(ALICE, &["x@elsewhere.example"], &text)
            .starts_with("550")
    );
    let refused = &items(&relay, "/api/v1/messages?sender=eve@acme.example")[0];
    assert_eq!(
        (&refused["action"], &refused["block"]),
        (&json!("reject"), &json!(reference)),
        "{refused}"
    );
}

#[test]
fn metrics_health_and_openapi_are_complete_from_the_start() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    let get = |path: &str| common::http(relay.admin, "GET", path, "", "");
    let wanted = [
        "outgate_messages_total{action=\"accept\"}",
        "outgate_recipients_total{scope=\"external\"}",
        "outgate_replies_total{code=\"250\",enhanced=\"2.0.0\"}",
        "outgate_blocks_active{kind=\"sender\"}",
        "outgate_blocks_total{kind=\"sender\",reason=\"admin\"}",
        "outgate_releases_total{by=\"operator\"}",
        "outgate_score_seconds_count",
        "outgate_spool_sync_seconds_count",
        "outgate_spool_batch_messages_count",
        "outgate_queue_messages{state=\"active\"}",
        "outgate_delivery_total{outcome=\"delivered\",pool=\"normal\"}",
        "outgate_sessions_open",
        "outgate_tracked_senders",
    ];
    let value = |text: &str, name: &str| -> f64 {
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is missing in\n{text}"))
            .parse()
            .expect("a number")
    };
    let (status, text) = get("/metrics");
    assert_eq!(status, 200);
    assert!(wanted.iter().all(|name| value(&text, name) >= 0.0));
    let mut client = Client::hello(relay.smtp);
    assert!(
        client
            .send(ALICE, &["x@elsewhere.example", "bob@acme.example"], &ham(1))
            .starts_with("250")
    );
    sink.wait_for("x@elsewhere.example");
    let reference = add_block(&relay, "sender", "eve@acme.example");
    release(&relay, &reference, "mistake");
    let text = relay.until("senders counted", |_| {
        let (_, text) = get("/metrics");
        (value(&text, "outgate_tracked_senders") >= 1.0 && value(&text, wanted[10]) >= 2.0)
            .then_some(text)
    });
    for name in wanted
        .iter()
        .filter(|n| !n.contains("_active") && !n.contains("queue_messages"))
    {
        assert!(value(&text, name) >= 1.0, "{name} did not move\n{text}");
    }
    assert!(
        text.lines().all(|l| l.starts_with('#') || !l.contains('@')),
        "no address in a metric"
    );
    assert!(
        text.contains("# HELP outgate_messages_total ")
            && text.contains("# TYPE outgate_score_seconds histogram")
    );
    assert_eq!((get("/health/live").0, get("/health/ready").0), (200, 200));

    let (status, text) = get("/api/v1/openapi.json");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, document["openapi"].as_str()), (200, Some("3.1.0")));
    for (path, method) in [
        ("/blocks", "get"),
        ("/blocks", "post"),
        ("/blocks/{ref}", "get"),
        ("/blocks/{ref}/release", "post"),
        ("/senders", "get"),
        ("/senders/{key}", "get"),
        ("/messages", "get"),
        ("/held", "get"),
        ("/held/{id}/release", "post"),
        ("/held/{id}/delete", "post"),
        ("/queue", "get"),
        ("/audit", "get"),
    ] {
        assert!(
            document["paths"][path][method].is_object(),
            "{method} {path}"
        );
    }
}

#[test]
fn the_public_listener_has_two_pages_and_neither_acts() {
    let sink = Sink::start();
    let extra = "[public]\nbind = \"127.0.0.1:0\"\nurl = \"https://mail.acme.example\"\nhelp = \"help@acme.example\"\n";
    let relay = Relay::start(&sink, &format!("{NO_RULES}{extra}"));
    let public = relay.address("public");
    let reference = add_block(&relay, "sender", ALICE);
    let reply = send(&relay, "x@elsewhere.example", 1);
    assert!(
        reply.contains(&format!("https://mail.acme.example/blocked/{reference}")),
        "{reply}"
    );
    let get = |path: &str| common::http_full(public, "GET", path, "", "");
    let (status, head, page) = get(&format!("/blocked/{reference}"));
    assert!(
        status == 200
            && head
                .to_ascii_lowercase()
                .contains("content-type: text/html"),
        "{head}"
    );
    assert!(
        page.contains(&reference) && page.contains("help@acme.example"),
        "{page}"
    );
    assert!(
        !page.contains(ALICE),
        "a stranger who guesses a reference learns no address"
    );
    for outside in [
        "http://",
        "https://",
        "src=",
        "<script",
        "<link",
        "<form method=\"post\"",
    ] {
        assert!(!page.contains(outside), "{outside} in {page}");
    }
    assert_eq!(get("/delist").0, 200);
    let (status, head, _) = get(&format!("/delist?ref={}", reference.to_lowercase()));
    assert!(
        status == 303 && head.contains(&format!("/blocked/{reference}")),
        "{head}"
    );
    let operator = format!("Authorization: Bearer {}\r\n", relay.token());
    for path in [
        "/",
        "/metrics",
        "/health/live",
        "/api/v1/blocks",
        "/api/v1/openapi.json",
        "/login",
        "/style.css",
    ] {
        assert_eq!(
            common::http(public, "GET", path, &operator, "").0,
            404,
            "{path}"
        );
    }
    for path in [
        format!("/blocked/{reference}"),
        format!("/blocked/{reference}/release"),
        "/delist".into(),
    ] {
        let (status, _) = common::http(
            public,
            "POST",
            &path,
            &operator,
            r#"{"verdict":"mistake","reason":"x"}"#,
        );
        assert!(status == 404 || status == 405, "POST {path}: {status}");
    }
    let block = format!("/api/v1/blocks/{reference}");
    assert_eq!(
        relay.json(&block)["state"],
        "active",
        "a link that was mailed opens a page and does nothing"
    );
    // Nothing acts on GET on the admin side either.
    for path in [
        "/blocks/REF/release",
        "/api/v1/blocks/REF/release",
        "/login",
        "/logout",
    ] {
        assert_eq!(
            relay.http("GET", &path.replace("REF", &reference), "").0,
            405,
            "{path}"
        );
    }
    // An unknown reference looks like any other.
    let (status, _, page) = get("/blocked/OG-0000000000");
    assert!(status == 200 && page.contains("OG-0000000000"));
}

/// The relay with an admin address that the configuration tells, and the command line without any
/// environment.
struct Told {
    relay: Relay,
    config: String,
}

impl Told {
    fn start(sink: &Sink, extra: &str) -> Self {
        let relay = Relay::start(sink, extra);
        // The relay has its port from the kernel; the command line reads the file.
        let file = common::path(&relay, "outgate.toml");
        let text = std::fs::read_to_string(&file).expect("config");
        let told = text.replace(
            "[admin]\nbind = \"127.0.0.1:0\"",
            &format!("[admin]\nbind = \"{}\"", relay.admin),
        );
        std::fs::write(&file, told).expect("written");
        let config = file.to_str().expect("a path").to_owned();
        Self { relay, config }
    }

    fn run(&self, arguments: &str) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_outgate"))
            .args(arguments.split(' '))
            .args(["--config", &self.config])
            .env_remove("OUTGATE_URL")
            .env_remove("OUTGATE_TOKEN")
            .stdin(std::process::Stdio::null())
            .output()
            .expect("the CLI runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code().unwrap_or(-1),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    fn ok(&self, arguments: &str) -> String {
        let (status, out, error) = self.run(arguments);
        assert_eq!((status, error.as_str()), (0, ""), "{arguments}: {out}");
        out
    }

    fn json(&self, arguments: &str) -> Value {
        let out = self.ok(&format!("{arguments} --json"));
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments}: {e}: {out}"))
    }
}

#[test]
fn the_command_line_does_everything_with_nothing_but_the_configuration() {
    let (sink, open) = gated();
    let told = Told::start(&sink, &format!("{NO_RULES}[delivery]\nretry = [\"1h\"]\n"));
    let mode = Command::new("stat")
        .args(["-c", "%a"])
        .arg(common::path(&told.relay, "data/admin.token"))
        .output()
        .expect("stat");
    assert_eq!(String::from_utf8_lossy(&mode.stdout).trim(), "600");

    // blocks
    assert_eq!(told.ok("blocks list"), "no blocks\n");
    let added = told.json("blocks add sender Eve@acme.example --reason left");
    let reference = added["ref"].as_str().expect("ref");
    assert!(told.ok("blocks list --state active").contains(reference));
    assert_eq!(
        told.json(&format!("blocks show {reference}"))["subject"],
        "eve@acme.example"
    );
    assert!(
        told.ok(&format!("blocks show {reference}"))
            .contains("eve@acme.example")
    );
    let released = told.json(&format!(
        "blocks release {reference} --verdict mistake --reason back"
    ));
    assert_eq!(
        (&released["state"], &released["note"]),
        (&json!("released"), &json!("back"))
    );

    // queue
    let ids: Vec<String> = (0..4)
        .map(|n| queued(&told.relay, &format!("q{n}@elsewhere.example"), n))
        .collect();
    told.relay.until("deferred", |_| {
        let list = told.json("queue list --state deferred");
        ids.iter()
            .all(|id| list["items"].to_string().contains(id.as_str()))
            .then_some(())
    });
    assert!(told.ok("queue list").contains(&ids[0]));
    let shown = told.json(&format!("queue show {}", ids[0]));
    assert_eq!(
        shown["recipients"][0]["address"], "q0@elsewhere.example",
        "{shown}"
    );
    assert!(
        told.ok(&format!("queue show {}", ids[0]))
            .contains("451 4.3.0 Later, please")
    );
    told.ok(&format!("queue hold {} --reason wait", ids[0]));
    assert_eq!(
        told.json(&format!("queue hold {} --reason wait", ids[1]))["ids"][0],
        *ids[1]
    );
    told.ok(&format!("queue hold {} --reason wait", ids[2]));
    // held
    assert!(told.ok("held list").contains(&ids[0]));
    assert_eq!(
        told.json("held list")["items"]
            .as_array()
            .expect("items")
            .len(),
        3
    );
    let shown = told.json(&format!("held show {}", ids[0]));
    assert_eq!(shown["judgement"]["sender"], ALICE, "{shown}");
    assert!(told.ok(&format!("held show {}", ids[0])).contains(ALICE));
    open.store(true, Ordering::SeqCst);
    told.ok(&format!("queue release {} --reason fine", ids[0]));
    sink.wait_for("q0@elsewhere.example");
    told.ok(&format!("held release {} --reason fine", ids[1]));
    sink.wait_for("q1@elsewhere.example");
    told.ok(&format!("held delete {} --reason spam", ids[2]));
    told.ok(&format!("queue retry {} --reason now", ids[3]));
    sink.wait_for("q3@elsewhere.example");
    open.store(false, Ordering::SeqCst);
    let bounced = queued(&told.relay, "q9@elsewhere.example", 9);
    told.relay.until("deferred", |_| {
        told.json("queue list --state deferred")["items"]
            .to_string()
            .contains(&bounced)
            .then_some(())
    });
    told.ok(&format!("queue bounce {bounced} --reason never"));
    open.store(true, Ordering::SeqCst);

    // senders, messages, audit
    assert!(told.ok("senders list").contains(ALICE));
    assert_eq!(
        told.json(&format!("senders show {ALICE}"))["address"],
        ALICE
    );
    assert!(told.ok(&format!("senders show {ALICE}")).contains(ALICE));
    assert_eq!(
        told.json("senders list --standing blocked")["items"],
        json!([])
    );
    assert_eq!(
        told.json(&format!("messages search --id {bounced}"))["items"][0]["id"],
        *bounced
    );
    assert!(
        told.ok("messages search --recipient q0@elsewhere.example")
            .contains(&ids[0])
    );
    assert_eq!(
        told.json("messages search --limit 2")["items"]
            .as_array()
            .expect("items")
            .len(),
        2
    );
    let audit = told.json("audit list");
    let lines = audit["items"].as_array().expect("items");
    for (action, reason) in [
        ("block.add", "left"),
        ("block.release", "back"),
        ("queue.hold", "wait"),
        ("queue.release", "fine"),
        ("held.release", "fine"),
        ("held.delete", "spam"),
        ("queue.retry", "now"),
        ("queue.bounce", "never"),
    ] {
        let found = lines.iter().any(|l| {
            l["action"] == action && l["detail"].as_str().is_some_and(|d| d.contains(reason))
        });
        assert!(found, "{action} in {audit:#}");
    }
    assert!(told.ok("audit list").contains("block.release"));
    assert_eq!(told.json("audit verify")["intact"], true);

    // token
    let secret = told.ok("token create tim --role viewer --tenant acme --reason test");
    let read = |secret: &str| as_bearer(&told.relay, secret.trim(), "GET", "/api/v1/blocks", "").0;
    assert_eq!(read(&secret), 200);
    assert_eq!(told.json("token list")["items"][0]["name"], "tim");
    assert!(
        !told.ok("token list --json").contains(secret.trim()),
        "a secret is shown once"
    );
    told.ok("token revoke tim --reason test");
    assert_eq!(read(&secret), 401, "at once");
}

#[test]
fn the_exit_status_tells_failure_from_wrong_use() {
    let sink = Sink::start();
    let told = Told::start(&sink, NO_RULES);
    for (arguments, status, why) in [
        ("blocks show OG-0000000000", 1, "there is no such block"),
        (
            "blocks release OG-0000000000 --verdict mistake --reason x",
            1,
            "there is no such block",
        ),
        ("blocks add sender alice@ --reason x", 1, "subject"),
        ("senders show nobody@acme.example", 1, "no sender"),
        ("queue show 0000000000000", 1, "no such message"),
        ("queue retry 0000000000000 --reason x", 1, "no such message"),
        (
            "held release 0000000000000 --reason x",
            1,
            "no such message",
        ),
        ("held show 0000000000000", 1, "no such message"),
        ("token revoke nobody", 1, "no token nobody"),
        ("account remove nobody", 1, "no account nobody"),
        ("blocks list --token wrong", 1, "does not know this token"),
        ("blocks list --url http://127.0.0.1:1", 1, "is it running?"),
        ("blocks list --url nonsense", 2, "is no URL"),
        ("blocks", 2, "Usage"),
        ("blocks eat", 2, "unrecognized subcommand"),
        ("blocks add person x --reason x", 2, "possible values"),
        ("blocks add sender alice@acme.example", 2, "--reason"),
        ("blocks release OG-0000000000 --reason x", 2, "--verdict"),
        (
            "blocks release OG-0000000000 --verdict maybe --reason x",
            2,
            "possible values",
        ),
        ("queue list --state odd", 2, "possible values"),
        ("queue list --limit 0", 2, "--limit"),
        ("token create tim --role viewer", 2, "--tenant is missing"),
        (
            "token create tim --role admin --tenant nowhere",
            2,
            "no tenant nowhere",
        ),
        (
            "account add x --role smtp --tenant acme",
            2,
            "--password-stdin",
        ),
    ] {
        let (got, out, error) = told.run(arguments);
        assert_eq!(got, status, "{arguments}: {out}{error}");
        assert!(
            error.contains(why) && out.is_empty(),
            "{arguments}: {out}{error}"
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_outgate"))
        .args(["blocks", "list", "--config", "/nowhere.toml"])
        .output();
    assert_eq!(
        output.expect("the CLI runs").status.code(),
        Some(2),
        "no such configuration"
    );
}

#[test]
fn accounts_and_tokens_are_made_before_the_first_start_and_while_it_runs() {
    let sink = Sink::start();
    let dir = tempfile::tempdir().expect("directory");
    let text = common::config(&dir.path().join("data"), sink.address, NO_RULES);
    std::fs::create_dir(dir.path().join("data")).expect("data");
    std::fs::write(dir.path().join("outgate.toml"), text).expect("written");
    let config = dir
        .path()
        .join("outgate.toml")
        .to_str()
        .expect("a path")
        .to_owned();
    let run = |arguments: &str, input: &str| {
        use std::io::Write;
        let mut child = Command::new(env!("CARGO_BIN_EXE_outgate"))
            .args(arguments.split(' '))
            .args(["--config", &config])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the CLI runs");
        child
            .stdin
            .take()
            .expect("stdin")
            .write_all(input.as_bytes())
            .expect("written");
        let output = child.wait_with_output().expect("output");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let add = "account add dora@acme.example --role smtp --tenant acme --may-send-as @acme.example --password-stdin --reason new";
    let (status, out, error) = run(add, "secret\n");
    assert_eq!(
        (status, out.as_str()),
        (Some(0), "account dora@acme.example added\n"),
        "{error}"
    );
    let (status, secret, error) = run("token create olaf --role operator --reason new", "");
    assert_eq!(status, Some(0), "{error}");
    let relay = Relay::start_in(dir);
    assert_eq!(
        as_bearer(&relay, secret.trim(), "GET", "/api/v1/audit", "").0,
        200
    );
    let (status, _, error) = run(add, "secret\n");
    assert!(status == Some(1) && error.contains("already"), "{error}");
    let (_, out, _) = run("account list --json", "");
    let list: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(list["items"][0]["may_send_as"], json!(["@acme.example"]));
    assert!(!out.contains("argon2"), "no hash is shown");
    assert_eq!(
        run("account remove dora@acme.example --reason gone", "").0,
        Some(0)
    );
    assert!(
        relay.json("/api/v1/audit")["items"]
            .to_string()
            .contains("account.remove")
    );
}

/// A request as it is written; the whole answer.
fn raw(address: std::net::SocketAddr, request: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).expect("connect");
    stream
        .set_read_timeout(Some(common::PATIENCE))
        .expect("timeout");
    stream
        .write_all(request.replace('\n', "\r\n").as_bytes())
        .expect("request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answer");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn the_admin_side_answers_browsers_under_its_own_names_only() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "[public]\nbind = \"127.0.0.1:0\"\n");
    let ask = |address, host: &str, path: &str, more: &str| {
        raw(
            address,
            &format!("GET {path} HTTP/1.1\nHost: {host}\nConnection: close\n{more}\n"),
        )
    };
    let bearer = format!("Authorization: Bearer {}\n", relay.token());
    for (host, path, more, expected) in [
        ("evil.example", "/", "", "421"),
        ("evil.example:8025", "/api/v1/blocks", "", "421"),
        ("evil.example", "/", &bearer, "421"),
        ("evil.example", "/api/v1/blocks", &bearer, "200"),
        ("evil.example", "/health/live", "", "200"),
        ("evil.example", "/metrics", "", "200"),
        ("localhost:9", "/", "", "200"),
        ("relay.test", "/", "", "200"),
        ("127.0.0.1", "/", "", "200"),
    ] {
        let answer = ask(relay.admin, host, path, more);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{host} {path}: {answer}"
        );
    }
    assert!(
        raw(relay.admin, "GET / HTTP/1.0\n\n").starts_with("HTTP/1.0 421 "),
        "nobody named"
    );
    assert!(
        ask(
            relay.address("public"),
            "blocked.acme.example",
            "/delist",
            ""
        )
        .starts_with("HTTP/1.1 200 ")
    );
    // A login needs the login page first.
    let form = "token=x&csrf=";
    let post = format!(
        "POST /login HTTP/1.1\nHost: {}\nConnection: close\nContent-Type: application/x-www-form-urlencoded\nContent-Length: {}\n",
        relay.admin,
        form.len()
    );
    let refused = raw(relay.admin, &format!("{post}\n{form}"));
    assert!(
        refused.starts_with("HTTP/1.1 403 ") && refused.contains("did not come from this page"),
        "{refused}"
    );
    let foreign = raw(
        relay.admin,
        &format!("{post}Origin: https://evil.example\n\n{form}"),
    );
    assert!(
        foreign.starts_with("HTTP/1.1 403 ") && foreign.contains("another site"),
        "{foreign}"
    );
}

#[test]
fn lines_cut_from_the_end_of_the_audit_show_and_the_log_has_each_line() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    for name in ["a", "b", "c"] {
        add_block(&relay, "sender", &format!("{name}@acme.example"));
    }
    let config = common::path(&relay, "outgate.toml");
    let verify = |more: &[&str]| {
        let mut arguments = vec![
            "audit",
            "verify",
            "--json",
            "--config",
            config.to_str().expect("a path"),
        ];
        arguments.extend(more);
        relay.cli(&arguments)
    };
    let (status, out, error) = verify(&[]);
    assert_eq!(status, 0, "{error}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    let head = told["head"].as_str().expect("the newest line").to_owned();
    assert_eq!(told["intact"], true);
    assert_eq!(
        logged(&relay, &format!("head={head}")),
        1,
        "{}",
        relay.log()
    );
    let db =
        rusqlite::Connection::open(common::path(&relay, "data/records.db")).expect("the database");
    db.execute("DELETE FROM audit WHERE id > 1", [])
        .expect("cut");
    for (known, what) in [
        (vec![], "audit.heads and the database's count"),
        (vec!["--head", &head], "what was noted"),
    ] {
        let (status, _, error) = verify(&known);
        assert!(
            status == 1 && error.contains("lines were cut from its end"),
            "{what}: {error}"
        );
    }
}
