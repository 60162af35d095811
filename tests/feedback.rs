//! Complaints and delivery reports against the real binary: what comes in at a listener of kind
//! `reports` reaches the sender it is about, and nobody else.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

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

    // Neither of these says anything against anybody.
    let forged = first.replace(&token, &format!("{}00000000000000000000", ids[0]));
    for (feedback, returned) in [
        ("abuse", forged.as_str()),
        ("abuse", "Subject: no token\r\n\r\nx\r\n"),
        ("not-spam", &first),
    ] {
        let reply = report(
            &relay,
            "fbl@isp.example",
            "reports@bounce.example",
            &complaint(feedback, returned),
        );
        assert!(reply.starts_with("250 2.0.0"), "{reply}");
    }
    assert_eq!(
        (
            metric(&relay, "complaint", "no_valid_token"),
            metric(&relay, "complaint", "not_against_sender")
        ),
        (2, 1)
    );
    assert!(
        history(&relay, &ids[0])
            .iter()
            .all(|(status, _)| status == "delivered")
    );

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
        &format!("/api/v1/messages/{}/label", ids[0]),
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

fn blocks(relay: &Relay) -> Vec<serde_json::Value> {
    relay.json("/api/v1/blocks")["items"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// The content scores that the relay gave these messages, by its trace.
fn scores(relay: &Relay, ids: &[String]) -> Vec<f64> {
    let of = |id: &String| {
        relay.json(&format!("/api/v1/messages?id={id}"))["items"][0]["llr"]
            .as_f64()
            .expect("a score")
    };
    ids.iter().map(of).collect()
}

/// Three ordinary mails were enough: their recipient forged complaints with the tokens in them, and
/// bob was blocked; one of them, learned as spam, moved the scores of the whole tenant.
#[test]
fn the_recipient_of_three_ordinary_mails_cannot_have_their_sender_blocked_nor_move_the_scores_of_others()
 {
    let sink = Sink::start();
    let relay = relay(&sink, true, "");
    let before: Vec<String> = (0..5)
        .map(|n| {
            send_as(
                &relay,
                &format!("u{n}@acme.example"),
                n,
                &["bob@far.example"],
            )
        })
        .collect();
    for n in 10..13 {
        send_as(&relay, "bob@acme.example", n, &["mallory@far.example"]);
    }
    let got = relay.until("three to mallory", |_| {
        let got: Vec<_> = sink
            .all()
            .into_iter()
            .filter(|m| m.to == ["mallory@far.example"])
            .collect();
        (got.len() == 3).then_some(got)
    });
    for message in &got {
        for feedback in ["abuse", "fraud", "virus", "abuse"] {
            let reply = report(
                &relay,
                "m@far.example",
                "reports@bounce.example",
                &complaint(feedback, &message.text()),
            );
            assert!(reply.starts_with("250"), "{reply}");
        }
        for (status, text) in [
            ("5.7.1", "554 5.7.1 refused as spam"),
            ("5.1.1", "550 5.1.1 No such user"),
        ] {
            let reply = report(
                &relay,
                "",
                &message.from,
                &delivery_report("mallory@far.example", status, text),
            );
            assert!(reply.starts_with("250"), "{reply}");
        }
    }
    assert_eq!(blocks(&relay), Vec::<serde_json::Value>::new());
    // One complaint of one mailbox, through a network that is named; the report of its site about
    // the same message adds nothing.
    assert_eq!(
        (
            metric(&relay, "complaint", "counted"),
            metric(&relay, "bounce", "counted")
        ),
        (1, 0)
    );
    let sender = relay.json("/api/v1/senders/bob@acme.example");
    let nats = sender["evidence_nats"].as_f64().expect("bob is known");
    assert!((1.0..5.0).contains(&nats), "{sender}");
    // The same mail again: what the tenant's other accounts write looks as it did.
    let after: Vec<String> = (0..5)
        .map(|n| {
            send_as(
                &relay,
                &format!("u{n}@acme.example"),
                n,
                &["carol@far.example"],
            )
        })
        .collect();
    sink.wait_for("carol@far.example");
    relay.until("the trace", |relay| {
        (!history(relay, &after[4]).is_empty()).then_some(())
    });
    for (was, is) in scores(&relay, &before)
        .into_iter()
        .zip(scores(&relay, &after))
    {
        assert!((was - is).abs() < 0.5, "{was} {is}");
    }
}

#[test]
fn complaints_from_nobody_who_is_named_count_nothing_and_the_log_says_whom_they_claim_to_come_from()
{
    let sink = Sink::start();
    let dir = tempfile::tempdir().expect("temporary directory");
    let text = config(
        &dir.path().join("data"),
        sink.address,
        "[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"reports\"\n[reports]\naddress = \"reports@bounce.example\"\n\
         complaint_networks = [\"192.0.2.0/24\"]\nother_mail_to = \"postmaster@acme.example\"\n",
    );
    std::fs::write(dir.path().join("outgate.toml"), text).expect("config written");
    let relay = Relay::start_in(dir);
    for n in 0..12 {
        send(&relay, n, &[&format!("r{n}@far.example")]);
    }
    let id = send(&relay, 20, &["last@far.example"]);
    for message in sink.wait_count(13) {
        let claim =
            "DKIM-Signature: v=1; a=rsa-sha256; d=isp.example; s=x; h=from; bh=AAAA; b=AAAA\r\n";
        let reply = report(
            &relay,
            "fbl@isp.example",
            "reports@bounce.example",
            &(claim.to_owned() + &complaint("abuse", &message.text())),
        );
        assert!(
            reply.starts_with("250 2.0.0"),
            "nobody can try out what counts: {reply}"
        );
    }
    assert_eq!(
        (
            metric(&relay, "complaint", "unknown_reporter"),
            metric(&relay, "complaint", "counted")
        ),
        (13, 0)
    );
    assert_eq!(blocks(&relay), Vec::<serde_json::Value>::new());
    assert!(
        history(&relay, &id)
            .iter()
            .all(|(status, _)| status != "note"),
        "the trace is left alone"
    );
    let log = relay.log();
    assert!(
        log.lines().any(|l| l.contains("complaint_ignored")
            && l.contains(&id)
            && l.contains("isp.example")),
        "{log}"
    );
    // What comes back without a word of feedback is a complaint only from a feedback loop; else it
    // is a mail like any other.
    let sent = sink.wait_for("last@far.example").text();
    let bare = complaint("abuse", &sent).replace(
        "multipart/report; report-type=feedback-report",
        "multipart/mixed",
    );
    let bare = bare.replace(
        "Content-Type: message/feedback-report",
        "Content-Type: text/plain",
    );
    assert!(report(&relay, "eve@far.example", "reports@bounce.example", &bare).starts_with("250"));
    assert!(
        sink.wait_for("postmaster@acme.example")
            .text()
            .contains("Somebody complained.")
    );
}

/// Microsoft's reports have no feedback part: the message lies in a multipart/mixed, and a field on
/// top of it names who complains.
#[test]
fn a_message_in_a_multipart_mixed_of_a_named_loop_is_a_complaint() {
    let sink = Sink::start();
    let relay = relay(&sink, false, "");
    let id = send(&relay, 1, &["bob@hotmail.example", "eve@hotmail.example"]);
    let text = sink.wait_for("bob@hotmail.example").text();
    let returned = format!("X-HmXmrOriginalRecipient: <eve@hotmail.example>\r\n{text}");
    let bare = complaint("abuse", &returned).replace(
        "multipart/report; report-type=feedback-report",
        "multipart/mixed",
    );
    let bare = bare.replace(
        "Content-Type: message/feedback-report",
        "Content-Type: text/plain",
    );
    assert!(
        report(
            &relay,
            "staff@hotmail.example",
            "reports@bounce.example",
            &bare
        )
        .starts_with("250 2.0.0")
    );
    assert_eq!(metric(&relay, "complaint", "counted"), 1);
    assert!(
        history(&relay, &id)
            .iter()
            .any(|(status, text)| status == "note" && text.starts_with("complaint (abuse)"))
    );
    // Eve again, about another message: she has been heard.
    send(&relay, 2, &["eve@hotmail.example"]);
    let text = sink
        .wait("the second", |m| m.text().contains("ham2@"))
        .text();
    assert!(
        report(
            &relay,
            "staff@hotmail.example",
            "reports@bounce.example",
            &complaint("abuse", &text)
        )
        .starts_with("250")
    );
    assert_eq!(
        (
            metric(&relay, "complaint", "counted"),
            metric(&relay, "complaint", "repeated")
        ),
        (1, 1)
    );
}

#[test]
fn a_signed_complaint_counts_wherever_it_comes_from_and_waits_for_a_name_server_that_fails() {
    use base64::Engine as _;
    use mail_auth::common::{crypto::Ed25519Key, headers::HeaderWriter as _};
    let key = Ed25519Key::generate_pkcs8().expect("a key");
    let key = || Ed25519Key::from_pkcs8_der(&key).expect("a key");
    let public = base64::engine::general_purpose::STANDARD.encode(key().public_key());
    let dns = NameServer::start(&format!(
        "s1._domainkey.isp.example. TXT v=DKIM1;k=ed25519;p={public}\n"
    ));
    let sink = Sink::start();
    let dir = tempfile::tempdir().expect("temporary directory");
    let text = config(
        &dir.path().join("data"),
        sink.address,
        &format!(
            "[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"reports\"\n[reports]\naddress = \"reports@bounce.example\"\n\
             complaint_dkim_domains = [\"isp.example\"]\n[dns]\nservers = [\"{}\"]\n",
            dns.address
        ),
    );
    std::fs::write(dir.path().join("outgate.toml"), text).expect("config written");
    let relay = Relay::start_in(dir);
    let sent = send(&relay, 1, &["bob@isp.example"]);
    let complaint = complaint("abuse", &sink.wait_for("bob@isp.example").text());
    let signed = |selector: &str| {
        let signer = mail_auth::dkim::DkimSigner::from_key(key())
            .domain("isp.example")
            .selector(selector)
            .headers(["From"]);
        signer
            .sign(complaint.as_bytes())
            .expect("signed")
            .to_header()
            + &complaint
    };
    let bring =
        |message: &str| report(&relay, "fbl@isp.example", "reports@bounce.example", message);
    let reply = bring(&signed("servfail"));
    assert!(
        reply.starts_with("451 4.4.3"),
        "the report comes again: {reply}"
    );
    assert!(
        bring(&signed("s1").replacen("Somebody complained", "Everybody complained", 1))
            .starts_with("250")
    );
    assert_eq!(
        (
            metric(&relay, "complaint", "unknown_reporter"),
            metric(&relay, "complaint", "counted")
        ),
        (1, 0)
    );
    assert!(bring(&signed("s1")).starts_with("250"));
    assert_eq!(metric(&relay, "complaint", "counted"), 1);
    assert!(
        history(&relay, &sent)
            .iter()
            .any(|(_, text)| text == "complaint (abuse) from isp.example")
    );
}

/// Whoever guesses a text could confirm it: the fingerprint in the log was a plain hash of
/// Message-ID and body.
#[test]
fn the_log_confirms_no_guess_of_a_text() {
    let sink = Sink::start();
    let relay = relay(&sink, false, "[log]\nformat = \"json\"\n");
    send(&relay, 1, &["bob@far.example"]);
    let scorer = outgate::exports::Scorer::shipped().expect("the model");
    let body_hash = scorer
        .score(mail::ham(1).replace('\n', "\r\n").as_bytes())
        .body_hash;
    let guess = outgate::exports::stable_hash(&[b"ham1@acme.example", &body_hash.to_le_bytes()]);
    let guess_in_brackets =
        outgate::exports::stable_hash(&[b"<ham1@acme.example>", &body_hash.to_le_bytes()]);
    let log = relay.log();
    assert!(log.contains("fingerprint"), "{log}");
    assert!(
        !log.contains(&format!("{guess:016x}"))
            && !log.contains(&format!("{guess_in_brackets:016x}")),
        "{log}"
    );
    assert!(!log.contains(&format!("{body_hash:016x}")));
}

/// An ordinary message of somebody, the n-th.
fn varied(n: usize) -> String {
    let topics = [
        "budget", "garden", "printer", "holiday", "invoice", "meeting", "contract", "kitchen",
        "heating",
    ];
    let (a, b, c) = (topics[n % 9], topics[(n / 9) % 9], topics[(n / 3) % 9]);
    format!(
        "From: Somebody <u{}@acme.example>\nSubject: Notes on the {a}\nMessage-ID: <v{n}@acme.example>\n\nHi Bob,\n\nthe {a} is settled, \
         number {n}; we look at the {b} on Tuesday, and Carol asked for the {c} again. Thanks for your comments.\n\nRegards\n",
        n % 10
    )
}

/// With 400 messages learned, 25 complaints moved the median score of the tenant by ten nats.
#[test]
fn twenty_five_complaints_do_not_move_the_scores_of_a_tenant() {
    let sink = Sink::start();
    let relay = relay(&sink, false, "");
    let mut client = Client::hello(relay.smtp);
    let mut send = |n: usize, text: usize| {
        let (who, to) = (
            format!("u{}@acme.example", n % 10),
            format!("r{n}@far.example"),
        );
        let message = format!(
            "X-Authenticated-Sender: {who}\r\n{}",
            varied(text).replace("<v", &format!("<v{n}."))
        );
        let reply = client.send(&who, &[&to], &message);
        reply
            .rsplit_once(" queued as ")
            .unwrap_or_else(|| panic!("{reply}"))
            .1
            .to_owned()
    };
    (0..400).for_each(|n| drop(send(n, n)));
    let median = |ids: &[String]| {
        relay.until("the trace", |relay| {
            (!history(relay, ids.last().expect("some")).is_empty()).then_some(())
        });
        let mut all = scores(&relay, ids);
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let before: Vec<String> = (400..440).map(|n| send(n, n - 400)).collect();
    let before = median(&before);
    for message in sink.wait_count(440).iter().take(25) {
        report(
            &relay,
            "fbl@isp.example",
            "reports@bounce.example",
            &complaint("abuse", &message.text()),
        );
    }
    let counted = metric(&relay, "complaint", "counted");
    assert!(counted >= 20, "{counted}");
    let after: Vec<String> = (440..480).map(|n| send(n, n - 440)).collect();
    let after = median(&after);
    assert!((before - after).abs() < 0.5, "{before} {after}");
    assert_eq!(blocks(&relay), Vec::<serde_json::Value>::new());
}
