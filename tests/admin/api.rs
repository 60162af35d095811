//! What the API lists, traces and measures.

use super::*;
use std::collections::HashSet;

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
}

#[test]
fn a_refused_message_has_a_trace_as_well() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
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

/// Metrics of each kind.
const METRICS: [&str; 13] = [
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

#[test]
fn metrics_and_health_are_complete_from_the_start() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    let get = |path: &str| common::http(relay.admin, "GET", path, "", "");
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
    assert!(METRICS.iter().all(|name| value(&text, name) >= 0.0));
    let mut client = Client::hello(relay.smtp);
    client.accepted(ALICE, &["x@elsewhere.example", "bob@acme.example"], &ham(1));
    sink.wait_for("x@elsewhere.example");
    let reference = add_block(&relay, "sender", "eve@acme.example");
    release(&relay, &reference, "mistake");
    let text = relay.until("senders counted", |_| {
        let (_, text) = get("/metrics");
        (value(&text, "outgate_tracked_senders") >= 1.0 && value(&text, METRICS[10]) >= 2.0)
            .then_some(text)
    });
    for name in METRICS
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
}

#[test]
fn the_openapi_document_is_complete() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    let (status, text) = common::http(relay.admin, "GET", "/api/v1/openapi.json", "", "");
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
fn each_operation_of_the_document_is_there() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    let document = relay.json("/api/v1/openapi.json");
    let problem = |method: &str, path: &str| -> (u16, Value) {
        // No operation takes this as a body.
        let (status, text) = relay.http(method, path, "[]");
        let answer = serde_json::from_str(&text);
        (
            status,
            answer.unwrap_or_else(|e| panic!("{method} {path}: {e}: {text}")),
        )
    };
    let (_, nowhere) = problem("GET", "/api/v1/nosuch");
    let mut operations = 0;
    for (template, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            operations += 1;
            let method = method.to_uppercase();
            let parts = template.split('/').map(|part| {
                if part.starts_with('{') {
                    "nosuch"
                } else {
                    part
                }
            });
            let path = format!("/api/v1{}", parts.collect::<Vec<_>>().join("/"));
            let name = format!("{method} {template}");
            let (status, answer) = problem(&method, &path);
            assert_ne!(
                answer["detail"], nowhere["detail"],
                "{name}: there is no such route"
            );
            // A policy applies to senders that nobody knows, too.
            let lists = !template.contains('{') || template.starts_with("/policy/");
            if method == "GET" && lists {
                assert_eq!(status, 200, "{name}: {answer}");
            } else {
                assert!(
                    [400, 404, 422].contains(&status),
                    "{name}: {status} {answer}"
                );
                assert_eq!(answer["status"], json!(status), "{name}: {answer}");
                assert!(answer["detail"].is_string(), "{name}: {answer}");
            }
            let (status, _) = common::http(relay.admin, &method, &path, "", "[]");
            let open = template == "/openapi.json";
            assert_eq!(
                status,
                if open { 200 } else { 401 },
                "{name} without a token"
            );
        }
    }
    assert!(operations >= 20, "{operations}");
}
