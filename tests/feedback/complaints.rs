//! Complaints about a sender.

use super::*;

#[test]
fn complaints_stop_the_sender_they_are_about() {
    let sink = Sink::start();
    let relay = relay(&sink, false, "");
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(send(&relay, n, &[&format!("r{n}@far.example")]));
    }
    let arrived = sink.wait_count(12);
    assert!(
        arrived.iter().all(|m| m.from == "alice@acme.example"),
        "the envelope stays"
    );
    let first = arrived
        .iter()
        .find(|m| m.to == ["r0@far.example"])
        .expect("the first")
        .text();
    let token = field(&first, "X-Outgate-Id");
    assert!(token.starts_with(&ids[0]), "{token} names {}", ids[0]);

    what_says_nothing_against_the_sender(&relay, &ids[0], &first, &token);

    the_same_complaint_counts_once(&relay, &ids[0], &first);
    for message in &arrived {
        report(
            &relay,
            "",
            "Reports@Bounce.Example",
            &complaint("abuse", &message.text()),
        );
    }
    let blocks = relay.json("/api/v1/blocks");
    assert_eq!(
        blocks["items"][0]["subject"], "alice@acme.example",
        "{blocks}"
    );
    assert!(
        blocks["items"][0]["evidence"]
            .to_string()
            .contains("complaint"),
        "{blocks}"
    );
    complaints_teach_nothing(&relay, &blocks, &ids[0]);
}

/// Forged tokens, none at all, and reports that are no complaint.
fn what_says_nothing_against_the_sender(relay: &Relay, id: &str, first: &str, token: &str) {
    let forged = first.replace(token, &format!("{}00000000000000000000", id));
    for (feedback, returned) in [
        ("abuse", forged.as_str()),
        ("abuse", "Subject: no token\r\n\r\nx\r\n"),
        ("not-spam", first),
    ] {
        let reply = report(
            relay,
            "fbl@isp.example",
            "reports@bounce.example",
            &complaint(feedback, returned),
        );
        assert!(reply.starts_with("250 2.0.0"), "{reply}");
    }
    assert_eq!(
        (
            metric(relay, "complaint", "no_valid_token"),
            metric(relay, "complaint", "not_against_sender")
        ),
        (2, 1)
    );
    assert!(
        history(relay, id)
            .iter()
            .all(|(status, _)| status == "delivered")
    );
}

/// Twice the same complaint: one is counted, and one blocks nobody.
fn the_same_complaint_counts_once(relay: &Relay, id: &str, first: &str) {
    for _ in 0..2 {
        report(
            relay,
            "fbl@isp.example",
            "reports@bounce.example",
            &complaint("abuse", first),
        );
    }
    assert_eq!(
        (
            metric(relay, "complaint", "counted"),
            metric(relay, "complaint", "repeated")
        ),
        (1, 1)
    );
    assert!(
        history(relay, id)
            .iter()
            .any(|(status, text)| status == "note" && text == "complaint (abuse) from 127.0.0.1")
    );
    assert_eq!(
        relay.json("/api/v1/blocks")["items"]
            .as_array()
            .map(Vec::len),
        Some(0),
        "one complaint blocks nobody"
    );
}

fn complaints_teach_nothing(relay: &Relay, blocks: &serde_json::Value, id: &str) {
    let (_, metrics) = relay.http("GET", "/metrics", "");
    assert!(
        metrics
            .lines()
            .any(|l| l == "outgate_learned_total{as=\"label_spam\"} 0"),
        "complaints do not teach: {metrics}"
    );
    // Nor as the proof of a block that a person confirms: they may be ordinary mail from before.
    let reference = blocks["items"][0]["ref"].as_str().expect("a reference");
    let release = "{\"verdict\":\"compromised\",\"reason\":\"password changed\"}";
    assert_eq!(
        relay
            .http(
                "POST",
                &format!("/api/v1/blocks/{reference}/release"),
                release
            )
            .0,
        200
    );
    let (_, metrics) = relay.http("GET", "/metrics", "");
    assert!(
        metrics
            .lines()
            .any(|l| l == "outgate_learned_total{as=\"label_spam\"} 0"),
        "{metrics}"
    );
    // But a person may label one, although it has long left the relay.
    let (status, _) = relay.http(
        "POST",
        &format!("/api/v1/messages/{}/label", id),
        "{\"label\":\"spam\",\"reason\":\"seen\"}",
    );
    assert!(status < 300, "{status}");
}
