//! Complaints and delivery reports against the real binary: what comes in at a listener of kind
//! `reports` reaches the sender it is about, and nobody else.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod bounces;
#[path = "../common/mod.rs"]
mod common;
mod complaints;
mod trust;

use common::dns::NameServer;
use common::{Client, Relay, Sink, config, mail};

/// A relay with a listener for reports, and `verp` for its tenant.
fn relay(sink: &Sink, verp: bool, extra: &str) -> Relay {
    let dir = tempfile::tempdir().expect("temporary directory");
    let listener = format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"reports\"\n[reports]\naddress = \"reports@bounce.example\"\n\
         complaint_networks = [\"127.0.0.1\"]\n{extra}\n"
    );
    let text = config(&dir.path().join("data"), sink.address, &listener);
    let text = text.replace("time_zone =", &format!("verp = {verp}\ntime_zone ="));
    std::fs::write(dir.path().join("outgate.toml"), text).expect("config written");
    Relay::start_in(dir)
}

/// Sends the n-th message of alice through the relay; its id.
fn send(relay: &Relay, n: usize, to: &[&str]) -> String {
    send_as(relay, "alice@acme.example", n, to)
}

/// The same of somebody else.
fn send_as(relay: &Relay, who: &str, n: usize, to: &[&str]) -> String {
    let message = format!("X-Authenticated-Sender: {who}\r\n{}", mail::ham(n));
    let reply = Client::hello(relay.smtp).send(who, to, &message);
    assert!(reply.starts_with("250"), "{reply}");
    reply
        .rsplit_once(" queued as ")
        .expect("an id")
        .1
        .to_owned()
}

/// Brings a report in.
fn report(relay: &Relay, from: &str, to: &str, message: &str) -> String {
    Client::hello(relay.address("reports")).send(from, &[to], message)
}

fn field(message: &str, name: &str) -> String {
    let prefix = format!("{name}: ");
    message
        .lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .expect("the field")
        .trim()
        .to_owned()
}

fn complaint(feedback: &str, returned: &str) -> String {
    format!(
        "From: <fbl@isp.example>\r\nTo: <reports@bounce.example>\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=\"b1\"\r\n\r\n\
         --b1\r\nContent-Type: text/plain\r\n\r\nSomebody complained.\r\n\
         --b1\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {feedback}\r\nVersion: 1\r\nUser-Agent: Loop/1\r\n\
         --b1\r\nContent-Type: message/rfc822\r\n\r\n{returned}\r\n--b1--\r\n"
    )
}

fn delivery_report(recipient: &str, status: &str, diagnostic: &str) -> String {
    format!(
        "From: <mailer-daemon@far.example>\r\nSubject: Undelivered mail\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b1\"\r\n\r\n\
         --b1\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\
         --b1\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.far.example\r\n\r\n\
         Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {diagnostic}\r\n\
         --b1--\r\n"
    )
}

fn history(relay: &Relay, id: &str) -> Vec<(String, String)> {
    let found = relay.json(&format!("/api/v1/messages?id={id}"));
    let lines = found["items"][0]["history"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text =
        |line: &serde_json::Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    lines
        .iter()
        .map(|line| (text(line, "status"), text(line, "text")))
        .collect()
}

fn metric(relay: &Relay, kind: &str, result: &str) -> u64 {
    let (_, text) = relay.http("GET", "/metrics", "");
    let line = format!("outgate_reports_total{{kind=\"{kind}\",result=\"{result}\"}} ");
    text.lines()
        .find_map(|l| l.strip_prefix(&line))
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

#[test]
fn the_listener_takes_reports_and_nothing_else() {
    let sink = Sink::start();
    let relay = relay(
        &sink,
        true,
        "other_mail_to = \"postmaster@acme.example\"\nmessage_size_bytes = 20000\n",
    );
    let mut client = Client::hello(relay.address("reports"));
    let hello = client.cmd("EHLO isp.example");
    assert!(
        !hello.contains("AUTH") && !hello.contains("XCLIENT") && hello.contains("SIZE 20000"),
        "{hello}"
    );
    client.cmd("MAIL FROM:<fbl@isp.example>");
    for to in [
        "bob@far.example",
        "alice@acme.example",
        "bounces@bounce.example",
        "bounces+0000000000000@bounce.example",
    ] {
        let reply = client.cmd(&format!("RCPT TO:<{to}>"));
        assert!(reply.starts_with("550 5.7.1"), "{to}: {reply}");
    }
    assert!(
        client
            .cmd("RCPT TO:<reports@bounce.example>")
            .starts_with("250")
    );
    assert!(
        client
            .cmd("RCPT TO:<reports@bounce.example>")
            .starts_with("452 4.5.3"),
        "one report, one answer"
    );
    client.cmd("RSET");
    assert!(
        client
            .cmd("MAIL FROM:<fbl@isp.example> SIZE=30000")
            .starts_with("552 5.3.4")
    );

    let question = "Subject: please confirm your feedback loop\r\n\r\nCode 4711\r\n";
    assert!(
        report(
            &relay,
            "fbl@isp.example",
            "reports@bounce.example",
            question
        )
        .starts_with("250")
    );
    let passed_on = sink.wait_for("postmaster@acme.example");
    assert!(passed_on.from.is_empty() && passed_on.text().contains("Code 4711"));
}

#[test]
fn the_rate_of_reports_is_bounded() {
    let sink = Sink::start();
    let relay = relay(&sink, false, "per_minute = 4\n");
    let minute = || {
        outgate::exports::Clock::now(&outgate::exports::SystemClock::default())
            .as_secs()
            .div_euclid(60)
    };
    let first = minute();
    let replies: Vec<String> = (0..6)
        .map(|_| {
            report(
                &relay,
                "x@isp.example",
                "reports@bounce.example",
                "Subject: x\r\n\r\nx\r\n",
            )
        })
        .collect();
    // One of this minute, and at most another of each that has begun since: of one address a
    // quarter of the four is taken.
    let minutes = usize::try_from(minute() - first + 1).expect("few");
    let taken = replies
        .iter()
        .filter(|r| !r.starts_with("450 4.7.1"))
        .count();
    assert!(
        (1..=minutes).contains(&taken),
        "{minutes} minutes: {replies:?}"
    );
    assert!(
        replies[0].starts_with("550 5.7.1"),
        "no complaint, and nobody to pass it on to: {replies:?}"
    );
}
