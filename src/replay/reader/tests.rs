//! Whole streams through a replay.

use super::*;
use serde_json::json;

fn replay(
    lines: &str,
    change: impl FnOnce(&mut Settings),
) -> (Vec<serde_json::Value>, String, Summary) {
    let mut settings = detector_alone();
    settings.scoring.learning_messages = 0;
    change(&mut settings);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let summary = run(settings, &mut lines.as_bytes(), &mut out, &mut err).expect("memory");
    let out = String::from_utf8(out).expect("text");
    let lines = out
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    (lines, String::from_utf8(err).expect("text"), summary)
}

fn message(time: u32, id: &str, sender: &str, to: &str, llr: f64) -> String {
    json!({ "type": "message", "time": 1_795_356_000 + i64::from(time), "id": id, "tenant": "acme", "sender": sender,
        "client_ip": "192.0.2.1", "recipients": [to], "llr": llr })
    .to_string()
        + "\n"
}

/// Of a report from the null sender the returned message is not held against anybody, as in the
/// relay.
#[test]
fn the_returned_message_of_a_report_counts_unless_the_sender_is_null() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("report.eml");
    let report = "From: alice@acme.example\r\nSubject: Undelivered mail\r\nContent-Type: multipart/report; boundary=r\r\n\r\n--r\r\n\r\n\
        Your message could not be delivered.\r\n--r\r\nContent-Type: message/rfc822\r\n\r\nSubject: For you\r\n\r\n\
        Dear friend, I am the attorney of the late Mr. Cole, who left 15,500,000 dollars without next of kin. I want to transfer\r\n\
        this fund to your account as the beneficiary of the inheritance. This transaction is confidential and risk free. Kindly\r\n\
        reply urgently with your full name, telephone number and bank account to claim your lottery prize. Verify your account\r\n\
        and confirm your password within 24 hours, act now: http://192.0.2.44/claim\r\n--r--\r\n";
    std::fs::write(&path, report).expect("written");
    let line = |time: u32, sender: &str| {
        json!({ "type": "message", "time": 1_795_356_000 + i64::from(time), "id": time.to_string(), "tenant": "acme",
            "sender": sender, "client_ip": "192.0.2.1", "recipients": ["x@y.example"], "path": path })
        .to_string()
            + "\n"
    };
    let (out, err, _) = replay(&(line(1, "") + &line(2, "alice@acme.example")), |_| ());
    assert_eq!(err, "");
    assert_eq!(
        out.iter().map(|l| l["action"].as_str()).collect::<Vec<_>>(),
        [Some("accept"), Some("high_risk")]
    );
}

#[test]
fn a_taken_over_account_is_blocked_and_the_block_stands_before_the_message_that_opens_it() {
    let mut lines = String::new();
    for n in 0..20 {
        lines += &message(
            n,
            &format!("h{n}"),
            "Alice@acme.example",
            "friend@y.example",
            -4.0,
        );
    }
    for n in 0..10 {
        lines += &message(
            100 + n,
            &format!("s{n}"),
            "alice@acme.example",
            &format!("x{n}@y.example"),
            7.0,
        );
    }
    lines += "{\"type\":\"outcome\",\"time\":1795356200,\"id\":\"h1\",\"recipient\":\"friend@y.example\",\"status\":\"delivered\"}\n";
    let (out, err, summary) = replay(&lines, |_| ());
    assert_eq!(err, "");
    let at = out
        .iter()
        .position(|l| l["event"] == "blocked")
        .expect("blocked");
    assert!((21..=25).contains(&at), "{at}");
    let block = &out[at];
    assert_eq!(
        (&block["kind"], &block["subject"], &block["tenant"]),
        (
            &json!("sender"),
            &json!("alice@acme.example"),
            &json!("acme")
        )
    );
    assert_eq!(
        (&block["sender"], &block["reason"]),
        (&json!("alice@acme.example"), &json!("evidence"))
    );
    assert!(block["time"].is_i64() && !block["evidence"].as_array().expect("a list").is_empty());
    let opener = &out[at + 1];
    assert_eq!(
        (&opener["id"], &opener["action"]),
        (&json!(format!("s{}", at - 20)), &json!("reject"))
    );
    let reference = block["ref"].as_str().expect("text");
    assert!(
        opener["reply"]
            .as_str()
            .expect("text")
            .starts_with(&format!(
                "550 5.1.8 Access denied, bad outbound sender [{reference}]"
            ))
    );
    assert_eq!(out.len(), 31);
    assert!(out[at + 2..].iter().all(|l| l["action"] == "reject"));
    assert_eq!(
        (summary.blocks.len(), summary.blocks[0].4),
        (1, 30 - u64::try_from(at).expect("small"))
    );
}

#[test]
fn a_bad_line_is_told_with_its_number_and_the_run_goes_on() {
    let long = "x".repeat(MAX_LINE + 10);
    let lines = format!(
        "nonsense\n\n{}{long}\n{}",
        message(1, "a", "", "x@y.example", 0.0),
        message(2, "b", "<>", "x@y.example", 0.0)
    );
    let missing = json!({ "type": "message", "time": 3, "id": "c", "tenant": "t", "sender": "s@t.example", "client_ip": "::1",
        "recipients": [], "path": "/nonexistent/file" });
    let (out, err, summary) = replay(&format!("{lines}{missing}\n"), |_| ());
    assert_eq!(out.len(), 2);
    assert!(
        out.iter().all(|l| l["action"] == "accept"
            && l["reply"].as_str().is_some_and(|r| r.starts_with("250 ")))
    );
    let told: Vec<&str> = err.lines().collect();
    assert!(
        told[0].starts_with("outgate replay: line 1: not an event"),
        "{err}"
    );
    assert!(
        told[1].starts_with("outgate replay: line 4: longer than"),
        "{err}"
    );
    assert!(
        told[2].starts_with("outgate replay: line 6: c: /nonexistent/file"),
        "{err}"
    );
    assert_eq!(summary.errors, 3);
}

#[test]
fn blocks_end_by_themselves_and_ceilings_throttle() {
    use crate::config::settings::{BlockDuration, WhenExceeded};
    let change = |s: &mut Settings| {
        s.policy.recipients_external_per_hour = 2;
        s.policy.when_exceeded = WhenExceeded::Block;
        s.blocks.durations = vec![BlockDuration::For(std::time::Duration::from_secs(3600))];
    };
    let lines: String = (0..3)
        .map(|n| message(n, &n.to_string(), "a@acme.example", "x@y.example", -4.0))
        .collect();
    let (out, ..) = replay(
        &(lines.clone() + &message(9000, "later", "a@acme.example", "x@y.example", -4.0)),
        change,
    );
    let events: Vec<_> = out
        .iter()
        .map(|l| {
            l["event"]
                .as_str()
                .or(l["action"].as_str())
                .expect("either")
        })
        .collect();
    assert_eq!(
        events,
        [
            "accept", "accept", "blocked", "reject", "released", "accept"
        ]
    );
    let throttle = |s: &mut Settings| {
        change(s);
        s.policy.when_exceeded = WhenExceeded::Throttle;
    };
    let (out, ..) = replay(&lines, throttle);
    assert_eq!(
        (
            &out[2]["action"],
            out[2]["reply"].as_str().map(|r| r.starts_with("450 4.2.1"))
        ),
        (&json!("defer"), Some(true))
    );
}
