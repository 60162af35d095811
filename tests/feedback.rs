//! Complaints and delivery reports against the real binary: what comes in at a listener of kind
//! `reports` reaches the sender it is about, and nobody else.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;
#[path = "feedback/trust.rs"]
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

    // The same complaint twice counts once.
    for _ in 0..2 {
        report(
            &relay,
            "fbl@isp.example",
            "reports@bounce.example",
            &complaint("abuse", &first),
        );
    }
    assert_eq!(
        (
            metric(&relay, "complaint", "counted"),
            metric(&relay, "complaint", "repeated")
        ),
        (1, 1)
    );
    assert!(
        history(&relay, &ids[0])
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

#[test]
fn a_bounce_that_comes_back_counts_and_reaches_the_sender() {
    let sink = Sink::start();
    let relay = relay(&sink, true, "");
    let id = send(&relay, 1, &["gone@far.example"]);
    let sent = sink.wait_for("gone@far.example");
    let path = &sent.from;
    assert!(
        path.starts_with(&format!("bounces+{id}")) && path.ends_with("@bounce.example"),
        "{path}"
    );
    assert!(
        !sent.text().contains("bounces+"),
        "the message itself does not change"
    );

    let bounce = delivery_report("gone@far.example", "5.1.1", "550 5.1.1 No such user here");
    let reply = report(&relay, "", path, &bounce);
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    let passed_on = sink.wait_for("alice@acme.example");
    assert_eq!(passed_on.from, "", "a report never brings about another");
    assert!(
        passed_on.text().contains("550 5.1.1 No such user here"),
        "as it came"
    );
    let failed = |(status, text): &(String, String)| {
        status == "failed" && text.contains("550 5.1.1 No such user here")
    };
    assert_eq!(
        history(&relay, &id)
            .iter()
            .filter(|line| failed(line))
            .count(),
        1
    );

    // Again: passed on, but counted once. Case is folded on the way.
    assert!(report(&relay, "", &path.to_uppercase(), &bounce).starts_with("250"));
    sink.wait("the second report", |m| {
        m.from.is_empty() && m.data != passed_on.data && m.to == ["alice@acme.example"]
    });
    assert_eq!(
        history(&relay, &id)
            .iter()
            .filter(|line| failed(line))
            .count(),
        1
    );
    assert_eq!(
        (
            metric(&relay, "bounce", "counted"),
            metric(&relay, "bounce", "repeated")
        ),
        (1, 1)
    );

    // A person's answer is not taken, and an out-of-office note from <> goes on without counting.
    assert!(
        report(
            &relay,
            "eve@far.example",
            path,
            "Subject: hi\r\n\r\nbuy\r\n"
        )
        .starts_with("550 5.7.1")
    );
    assert!(
        report(&relay, "", path, "Subject: away\r\n\r\nBack on Monday.\r\n").starts_with("250")
    );
    sink.wait("the note", |m| {
        m.text().contains("Back on Monday") && m.to == ["alice@acme.example"]
    });
}

#[test]
fn mail_that_stays_inside_keeps_its_return_path() {
    let sink = Sink::start();
    let relay = relay(&sink, true, "");
    send(&relay, 1, &["bob@acme.example"]);
    assert_eq!(sink.wait_for("bob@acme.example").from, "alice@acme.example");
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

/// The return path of a message made at this time, as the relay would make it.
fn return_path(relay: &Relay, time: outgate::exports::Time) -> String {
    let key = outgate::exports::ensure_key(&relay.dir.path().join("data")).expect("the key");
    let domain = outgate::exports::Domain::parse("bounce.example").expect("a domain");
    key.return_path(outgate::exports::MessageId::from_parts(time, 7), &domain)
}

#[test]
fn a_bounce_whose_sender_cannot_be_told_waits_until_it_is_too_old() {
    let sink = Sink::start();
    let relay = relay(&sink, true, "");
    let bounce = delivery_report("gone@far.example", "5.1.1", "550 5.1.1 No such user here");
    let young = outgate::exports::Clock::now(&outgate::exports::SystemClock::default());
    let reply = report(&relay, "", &return_path(&relay, young), &bounce);
    assert!(
        reply.starts_with("451 4.3.0"),
        "its trace may come back: {reply}"
    );
    let reply = report(
        &relay,
        "",
        &return_path(&relay, outgate::exports::Time::from_secs(1_000_000_000)),
        &bounce,
    );
    assert!(reply.starts_with("550 5.1.1"), "{reply}");
    assert!(sink.all().is_empty());
}

#[test]
fn a_bounce_of_whom_the_message_did_not_go_to_counts_nothing() {
    let sink = Sink::start();
    let relay = relay(&sink, true, "");
    let id = send(&relay, 1, &["one@far.example", "two@far.example"]);
    let path = sink.wait_for("one@far.example").from;
    assert!(
        report(
            &relay,
            "",
            &path,
            &delivery_report("three@far.example", "5.1.1", "550 No such user")
        )
        .starts_with("250")
    );
    sink.wait_for("alice@acme.example");
    assert_eq!(
        (
            metric(&relay, "bounce", "no_such_recipient"),
            metric(&relay, "bounce", "counted")
        ),
        (1, 0)
    );
    assert!(
        history(&relay, &id)
            .iter()
            .all(|(status, _)| status == "delivered")
    );
}

#[test]
fn tokens_stay_good_over_a_restart() {
    let sink = Sink::start();
    let mut relay = relay(&sink, true, "");
    let id = send(&relay, 1, &["gone@far.example"]);
    let path = sink.wait_for("gone@far.example").from;
    // The relay waits a tenth of a second for the trace to be written; a slow disk may take longer.
    // What was found is written.
    history(&relay, &id);
    relay = relay.crash_and_restart();
    let reply = report(
        &relay,
        "",
        &path,
        &delivery_report("gone@far.example", "5.1.1", "550 5.1.1 No such user here"),
    );
    assert!(reply.starts_with("250"), "{reply}");
    sink.wait_for("alice@acme.example");
}
