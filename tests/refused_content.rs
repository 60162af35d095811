//! What the relay does not take or cannot pass on: messages beyond a limit, bodies beyond the
//! memory, and content that the next hop does not take.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::sink::Arrived;
use common::{Client, Relay, Sink};

const HAM: &str = "From: alice@acme.example\nSubject: Minutes\nMessage-ID: <m@acme.example>\n\nSee you on Thursday.\n";

/// Messages that are each beyond one limit: which, the message, the reply.
fn beyond_limits() -> [(&'static str, String, &'static str); 6] {
    let nested = (0..7).fold(
        "Content-Type: text/plain\n\nhello\n".to_owned(),
        |inner, n| {
            format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n{inner}--b{n}--\n")
        },
    );
    let parts = "--b\n\nhello\n".repeat(20);
    let many = format!(
        "From: a@acme.example\nContent-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n"
    );
    [
        (
            "size",
            format!("{HAM}{}", format!("{}\n", "x".repeat(70)).repeat(1000)),
            "552 5.3.4",
        ),
        ("line", format!("{HAM}{}\n", "x".repeat(5001)), "554 5.6.0"),
        (
            "header",
            format!("{}{HAM}", "X-More: x\n".repeat(50)),
            "554 5.6.0",
        ),
        (
            "loop",
            format!(
                "{}{HAM}",
                "Received: from a by b; Thu, 1 Jan 1970 00:00:00 +0000\n".repeat(11)
            ),
            "554 5.4.6",
        ),
        (
            "depth",
            format!("From: a@acme.example\nMIME-Version: 1.0\n{nested}"),
            "554 5.6.0",
        ),
        ("parts", many, "554 5.6.0"),
    ]
}

#[test]
fn messages_beyond_a_limit_are_refused_with_its_own_code() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        "[limits]\nmessage_size_bytes = 70000\nrecipients_per_message = 2\nline_bytes = 5000\nheader_fields = 50\n\
         received_fields = 10\nmime_depth = 5\nmime_parts = 20\n",
    );
    let mut client = Client::hello(relay.smtp);
    client.expect("MAIL FROM:<a@acme.example> SIZE=70001", "552 5.3.4");
    client.expect("MAIL FROM:<a@acme.example> SIZE=70000", "250");
    client.expect("RCPT TO:<b@other.example>", "250");
    client.expect("RCPT TO:<c@other.example>", "250");
    client.expect("RCPT TO:<d@other.example>", "452 4.5.3");
    client.expect("RSET", "250");

    for (what, message, reply) in beyond_limits() {
        let got = client.send("a@acme.example", &["b@other.example"], &message);
        assert!(got.starts_with(reply), "{what}: {got}");
    }
    assert!(
        client
            .send("a@acme.example", &["good@other.example"], HAM)
            .starts_with("250"),
        "the session goes on"
    );
    sink.wait_for("good@other.example");
    assert_eq!(sink.all().len(), 1);
}

/// The limit means what it says, up to the deepest that may be configured, and far beyond what is
/// followed.
#[test]
fn a_deep_nest_is_refused_and_a_digest_is_not_deep() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let mut client = Client::hello(relay.smtp);
    let nest = |n: usize| {
        let inner: String = (0..n)
            .map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n"))
            .collect();
        format!("From: a@acme.example\n{inner}\nhello\n")
    };
    for depth in [51, 60, 999, 2_000] {
        let got = client.send("a@acme.example", &["b@other.example"], &nest(depth));
        assert!(got.starts_with("554 5.6.0"), "{depth}: {got}");
    }
    let digest = "--b\nContent-Type: message/rfc822\n\nSubject: one of many\n\nThe minutes are in the folder.\n".repeat(60);
    let digest = format!(
        "From: a@acme.example\nContent-Type: multipart/digest; boundary=b\n\n{digest}--b--\n"
    );
    for message in [nest(20), digest] {
        let got = client.send("a@acme.example", &["good@other.example"], &message);
        assert!(got.starts_with("250"), "{got}");
    }
    sink.wait_for("good@other.example");
}

/// Of a report from the null sender the returned message is not held against anybody; an ordinary
/// sender gets no such leave.
#[test]
fn the_returned_message_of_a_report_counts_unless_the_sender_is_null() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let spam = "Dear friend, I am the attorney of the late Mr. Cole, who left the sum of 15,500,000 dollars without next of kin.\n\
        I want to transfer this fund to your account as the beneficiary of the inheritance. This transaction is confidential and\n\
        risk free. Kindly reply urgently with your full name, telephone number and bank account to claim your lottery prize.\n\
        Verify your account and confirm your password within 24 hours, act now: http://192.0.2.44/claim\n";
    let report = format!(
        "From: alice@acme.example\nSubject: Undelivered mail\nContent-Type: multipart/report; boundary=r\n\n--r\n\n\
         Your message could not be delivered.\n--r\nContent-Type: message/rfc822\n\nSubject: For you\n\n{spam}\n--r--\n"
    );
    let mut client = Client::hello(relay.smtp);
    for from in ["", "alice@acme.example"] {
        let got = client.send(from, &["bob@other.example"], &report);
        assert!(got.starts_with("250"), "{got}");
    }
    let probability = |from: &str| {
        let path = format!("/api/v1/messages?from={from}");
        relay.until("the trace", |relay| {
            let items = relay.json("/api/v1/messages")["items"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            items
                .iter()
                .find(|m| m["from"] == from || m["sender"] == from)
                .map(|m| m["probability"].as_f64().expect(&path))
        })
    };
    let (null, named) = (probability(""), probability("alice@acme.example"));
    assert!(null < 0.5 && named > 0.9, "{null} {named}");
}

#[test]
fn memory_for_bodies_is_bounded_and_comes_back() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        "[limits]\nmessage_size_bytes = 900000\nbody_memory_bytes = 1048576\n",
    );
    let body = format!("{HAM}{}", format!("{}\n", "x".repeat(59)).repeat(10_000));
    let mut first = Client::hello(relay.smtp);
    first.expect("MAIL FROM:<a@acme.example>", "250");
    first.expect("RCPT TO:<first@other.example>", "250");
    let chunk = body.replace('\n', "\r\n");
    first.raw(format!("BDAT {}\r\n{chunk}", chunk.len()).as_bytes());
    assert!(first.reply().starts_with("250"));
    let mut second = Client::hello(relay.smtp);
    let refused = second.send("a@acme.example", &["second@other.example"], &body);
    assert!(refused.starts_with("452 4.3.1"), "{refused}");
    assert!(
        second
            .send("a@acme.example", &["small@other.example"], HAM)
            .starts_with("250"),
        "small ones have room"
    );
    first.expect("BDAT 0 LAST", "250");
    // A message that was just taken may still be held for its first delivery.
    relay.until("room for the second", |_| {
        second
            .send("a@acme.example", &["second@other.example"], &body)
            .starts_with("250")
            .then_some(())
    });
    for to in [
        "first@other.example",
        "second@other.example",
        "small@other.example",
    ] {
        sink.wait_for(to);
    }
    // A session that goes away in the middle gives back what it held.
    let third = relay.until("room for the third", |_| {
        let mut third = Client::hello(relay.smtp);
        third.expect("MAIL FROM:<a@acme.example>", "250");
        third.expect("RCPT TO:<third@other.example>", "250");
        third.raw(format!("BDAT {}\r\n{chunk}", chunk.len()).as_bytes());
        third.reply().starts_with("250").then_some(third)
    });
    drop(third);
    relay.until("the memory back", |_| {
        second
            .send("a@acme.example", &["fourth@other.example"], &body)
            .starts_with("250")
            .then_some(())
    });
}

/// A sink that offers only these extensions.
fn poor_sink(extensions: &'static str) -> Sink {
    Sink::scripted(move |line| {
        line.starts_with("EHLO")
            .then(|| format!("250-sink.test\r\n250 {extensions}"))
    })
}

fn is_report(mail: &Arrived) -> bool {
    mail.from.is_empty() && mail.text().contains("multipart/report")
}

#[test]
fn an_address_the_next_hop_cannot_take_is_returned_not_mangled() {
    let sink = poor_sink("PIPELINING");
    let relay = Relay::start(&sink, "");
    let mut client = Client::hello(relay.smtp);
    client.expect("MAIL FROM:<alice@acme.example> SMTPUTF8", "250");
    client.expect("RCPT TO:<b\u{fc}cher@other.example>", "250");
    client.expect("RCPT TO:<plain@other.example>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n\r\nx\r\n.", "250");
    let report = sink.wait("the report", is_report);
    assert_eq!(report.to, ["alice@acme.example"]);
    let text = report.text();
    assert!(
        text.contains("Status: 5.6.7") && text.contains("b\u{fc}cher@other.example")
            || text.contains("utf-8;"),
        "{text}"
    );
    assert!(
        sink.all()
            .iter()
            .all(|mail| mail.to.iter().all(|to| to.is_ascii())),
        "{:#?}",
        sink.all()
    );
}

#[test]
fn octets_the_next_hop_cannot_take_are_returned_not_mangled() {
    let sink = poor_sink("PIPELINING");
    let relay = Relay::start(&sink, "");
    let mut client = Client::hello(relay.smtp);
    client.expect("MAIL FROM:<alice@acme.example> BODY=8BITMIME", "250");
    client.expect("RCPT TO:<eight@other.example>", "250");
    client.expect("DATA", "354");
    let message = "From: alice@acme.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                   Content-Transfer-Encoding: 8bit\r\n\r\ngr\u{fc}n\r\n.";
    client.expect(message, "250");
    let report = sink.wait("the report", is_report);
    assert!(
        report.text().contains("Status: 5.6.") && report.data.is_ascii(),
        "{}",
        report.text()
    );
    // Declared as eight bits, but seven is what it has: it goes.
    client.expect("MAIL FROM:<alice@acme.example> BODY=8BITMIME", "250");
    client.expect("RCPT TO:<seven@other.example>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n\r\nx\r\n.", "250");
    sink.wait_for("seven@other.example");
    assert!(
        sink.all()
            .iter()
            .all(|mail| mail.to != ["eight@other.example"])
    );
}
