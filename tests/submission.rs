//! Submission (RFC 6409) and submissions (RFC 8314) with real TLS and real accounts.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::tls::Certificate;
use common::{Client, Relay, Sink};
use serde_json::Value;

const HAM: &str = "From: Alice <alice@acme.example>\nTo: bob@other.example\nSubject: Minutes\n\nSee you on Thursday.\n";

fn base64(octets: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(octets)
}

fn plain(user: &str, password: &str) -> String {
    format!(
        "AUTH PLAIN {}",
        base64(format!("\0{user}\0{password}").as_bytes())
    )
}

struct Lab {
    relay: Relay,
    sink: Sink,
    certificate: Certificate,
    files: tempfile::TempDir,
}

impl Lab {
    /// A relay with all three listeners; loopback is a listed client, trusted with XCLIENT.
    fn new() -> Self {
        let files = tempfile::tempdir().expect("temporary directory");
        let certificate = Certificate::new("relay.test");
        let sink = Sink::start();
        let listeners = "[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"submission\"\n\
                         [[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"submissions\"\n";
        let relay = Relay::start(&sink, &(certificate.section(files.path()) + listeners));
        Self {
            relay,
            sink,
            certificate,
            files,
        }
    }

    fn starttls(&self) -> Client {
        let mut client = Client::hello(self.relay.address("submission"));
        let hello = client.start_tls(&self.certificate);
        assert!(hello.contains("250-AUTH PLAIN LOGIN"), "{hello}");
        client
    }

    fn implicit(&self) -> Client {
        let mut client = Client::tls(self.relay.address("submissions"), &self.certificate);
        let hello = client.cmd("EHLO client.test");
        assert!(
            hello.contains("250-AUTH PLAIN LOGIN") && !hello.contains("STARTTLS"),
            "{hello}"
        );
        client
    }

    fn logged_in(&self, user: &str, password: &str) -> Client {
        let mut client = self.starttls();
        let reply = client.cmd(&plain(user, password));
        assert!(reply.starts_with("235 2.7.0"), "{reply}");
        client
    }

    fn sender(&self, address: &str) -> Option<Value> {
        let senders = self.relay.json("/api/v1/senders");
        senders["items"]
            .as_array()
            .expect("items")
            .iter()
            .find(|s| s["address"] == address)
            .cloned()
    }
}

#[test]
fn both_ways_of_auth_over_both_ways_of_tls() {
    let lab = Lab::new();
    // Made while the relay runs.
    lab.relay
        .add_account("alice@acme.example", "correct horse", &[]);
    let mut client = lab.starttls();
    assert!(
        client
            .cmd(&plain("alice@acme.example", "correct horse"))
            .starts_with("235 2.7.0")
    );
    assert!(
        client
            .send("alice@acme.example", &["plain@other.example"], HAM)
            .starts_with("250 2.0.0")
    );
    let mail = lab.sink.wait_for("plain@other.example").text();
    assert!(
        mail.starts_with(
            "Received: from client.test ([127.0.0.1])\r\n\tby relay.test with ESMTPSA id "
        ),
        "{mail}"
    );

    let mut client = lab.implicit();
    assert_eq!(client.cmd("AUTH LOGIN"), "334 VXNlcm5hbWU6");
    assert_eq!(
        client.cmd(&base64(b"alice@acme.example")),
        "334 UGFzc3dvcmQ6"
    );
    assert!(
        client
            .cmd(&base64(b"correct horse"))
            .starts_with("235 2.7.0")
    );
    assert!(
        client
            .send("alice@acme.example", &["login@other.example"], HAM)
            .starts_with("250 2.0.0")
    );
    lab.sink.wait_for("login@other.example");

    let sender = lab.sender("alice@acme.example").expect("a tracked sender");
    assert_eq!(
        (sender["key"].as_str(), sender["tenant"].as_str()),
        (Some("acme:alice@acme.example"), Some("acme")),
        "{sender}"
    );
}

#[test]
fn without_a_login_nothing_goes_even_from_a_listed_network() {
    let lab = Lab::new();
    lab.relay
        .add_account("alice@acme.example", "correct horse", &[]);
    // The same address may relay at the other listener.
    assert!(
        Client::hello(lab.relay.address("relay"))
            .cmd("MAIL FROM:<alice@acme.example>")
            .starts_with("250")
    );
    let mut client = Client::hello(lab.relay.address("submission"));
    assert!(
        client
            .cmd("MAIL FROM:<alice@acme.example>")
            .starts_with("530 5.7.0")
    );
    assert!(
        client
            .cmd(&plain("alice@acme.example", "correct horse"))
            .starts_with("538 5.7.11")
    );
    for mut client in [lab.starttls(), lab.implicit()] {
        assert!(
            client
                .cmd("MAIL FROM:<alice@acme.example>")
                .starts_with("530 5.7.0")
        );
        assert!(
            client
                .cmd(&plain("alice@acme.example", "wrong horse"))
                .starts_with("535 5.7.8")
        );
        assert!(
            client
                .cmd("MAIL FROM:<alice@acme.example>")
                .starts_with("530 5.7.0")
        );
        assert!(
            client
                .cmd("XCLIENT LOGIN=alice@acme.example")
                .starts_with("550 5.7.0")
        );
    }
    assert!(
        lab.starttls()
            .cmd(&plain("nobody@acme.example", "correct horse"))
            .starts_with("535 5.7.8")
    );
}

#[test]
fn an_account_sends_as_itself_and_as_what_it_was_given() {
    let lab = Lab::new();
    lab.relay.add_account("alice@acme.example", "a", &[]);
    lab.relay.add_account(
        "news@acme.example",
        "n",
        &["info@acme.example", "@letters.example"],
    );
    let mut alice = lab.logged_in("alice@acme.example", "a");
    let refused = alice.cmd("MAIL FROM:<carol@acme.example>");
    assert!(refused.starts_with("550 5.7.1"), "{refused}");
    let forged = HAM.replace("alice@", "carol@");
    let refused = alice.send("alice@acme.example", &["b@other.example"], &forged);
    assert!(refused.starts_with("550 5.7.1"), "{refused}");
    let second = format!("From: carol@acme.example\n{HAM}");
    assert!(
        alice
            .send("alice@acme.example", &["b@other.example"], &second)
            .starts_with("550 5.7.1")
    );
    // Only the envelope of a report is empty; what From says counts all the same.
    assert!(
        alice
            .send("", &["b@other.example"], &forged)
            .starts_with("550 5.7.1")
    );
    assert!(
        alice
            .send("alice+tag@acme.example", &["tagged@other.example"], HAM)
            .starts_with("250")
    );
    lab.sink.wait_for("tagged@other.example");

    let mut news = lab.logged_in("news@acme.example", "n");
    for from in [
        "news@acme.example",
        "info@acme.example",
        "any@letters.example",
    ] {
        let reply = news.send(
            from,
            &["b@other.example"],
            &HAM.replace("alice@acme.example", from),
        );
        assert!(reply.starts_with("250"), "{from}: {reply}");
        lab.sink.wait(from, |mail| mail.from == from);
    }
    assert!(
        news.cmd("MAIL FROM:<alice@acme.example>")
            .starts_with("550 5.7.1")
    );
    assert!(lab.sender("carol@acme.example").is_none());
    assert!(
        lab.sender("info@acme.example").is_none(),
        "the account answers, whatever it sends as"
    );
}

#[test]
fn a_header_section_that_is_none_is_refused_on_submission_and_passes_from_a_mail_server() {
    let lab = Lab::new();
    lab.relay.add_account("alice@acme.example", "a", &[]);
    let mut alice = lab.logged_in("alice@acme.example", "a");
    let mut server = Client::hello(lab.relay.address("relay"));
    for (n, (message, line)) in [
        (
            "Subject: x\nno field\nFrom: CEO <ceo@acme.example>\n\nx\n",
            2,
        ),
        ("From: alice@acme.example\nBad Name: x\n\nx\n", 2),
        ("Subject: x\nFrom : alice@acme.example\n\nx\n", 2),
        ("From: alice@acme.example\n: x\n\nx\n", 2),
        (
            "From: alice@acme.example\n folded\nSubject: x\nno empty line behind it\n",
            4,
        ),
        ("Hello Bob,\n\nFrom: ceo@acme.example\n", 1),
        (" Subject: x\nFrom: ceo@acme.example\n\nx\n", 1),
        (
            "From ceo@acme.example Mon Jan  5 10:00:00 2026\nFrom: alice@acme.example\n\nx\n",
            1,
        ),
        ("\u{feff}From: alice@acme.example\n\nx\n", 1),
        ("From\u{a0}: ceo@acme.example\n\nx\n", 1),
    ]
    .into_iter()
    .enumerate()
    {
        let refused = alice.send("alice@acme.example", &["b@other.example"], message);
        assert!(
            refused.starts_with(&format!("554 5.6.0 Line {line} ")),
            "{message}: {refused}"
        );
        // A mail server that sends such mail on may not be its author: it is not lost, and not
        // changed.
        let to = format!("odd{n}@other.example");
        assert!(
            server
                .send("alice@acme.example", &[&to], message)
                .starts_with("250"),
            "{message}"
        );
        let got = lab.sink.wait_for(&to).without_trace();
        let got = String::from_utf8_lossy(&got).replace("\r\n", "\n");
        assert_eq!(got.trim_start_matches('\n'), message);
        // Without a field at the top all of it is body.
        let is_body = line == 1 && !message.starts_with("From ");
        assert_eq!(got.starts_with('\n'), is_body, "{message}");
    }
    // What only looks odd is a header.
    for message in [
        "From: alice@acme.example\nX-Empty:\n \n\tfolded\nSubject:x\n\nx\n",
        "\nFrom: not a field, the header is empty\n",
    ] {
        let reply = alice.send("alice@acme.example", &["b@other.example"], message);
        assert!(reply.starts_with("250"), "{message}: {reply}");
    }
}

#[test]
fn an_account_sends_as_itself_wherever_the_message_names_somebody() {
    let lab = Lab::new();
    lab.relay.add_account("alice@acme.example", "a", &[]);
    let mut alice = lab.logged_in("alice@acme.example", "a");
    for fields in [
        "From: <alice@acme.example> ceo@bank.example",
        "From: <alice+,ceo@bank.example,x@acme.example>",
        "From: ceo@bank.example <alice@acme.example>",
        "From: alice@acme.example\nSender: ceo@acme.example",
        "From: alice@acme.example\nResent-From: ceo@acme.example",
        "From: alice@acme.example\nFrom: ceo@acme.example",
        "From: alice@acme.example\n \nFrom: ceo@acme.example",
    ] {
        let refused = alice.send(
            "alice@acme.example",
            &["b@other.example"],
            &format!("{fields}\nSubject: x\n\nx\n"),
        );
        assert!(refused.starts_with("550 5.7.1"), "{fields}: {refused}");
    }
    let mine = "From: \"CEO\" <alice@acme.example>\nSender: alice+x@acme.example\nSubject: x\n\nFrom: ceo@acme.example\n";
    assert!(
        alice
            .send("alice@acme.example", &["mine@other.example"], mine)
            .starts_with("250")
    );
    lab.sink.wait_for("mine@other.example");
}

#[test]
fn a_submitted_message_is_made_whole_and_a_relayed_one_is_left_alone() {
    let lab = Lab::new();
    lab.relay.add_account("alice@acme.example", "a", &[]);
    let message = "From: alice@acme.example\nBcc: secret@other.example,\n\tmore@other.example\nSubject: x\n\
                   Resent-Bcc: again@other.example\n\nBcc: text\n";
    assert!(
        lab.logged_in("alice@acme.example", "a")
            .send("alice@acme.example", &["one@other.example"], message)
            .starts_with("250")
    );
    let mail = lab.sink.wait_for("one@other.example");
    let text = String::from_utf8(mail.without_trace()).expect("text");
    let (date, rest) = text.split_once("\r\n").expect("a line");
    let (id, rest) = rest.split_once("\r\n").expect("a line");
    assert!(
        date.starts_with("Date: ") && date.ends_with(" +0000"),
        "{text}"
    );
    assert!(
        id.starts_with("Message-ID: <") && id.ends_with("@relay.test>"),
        "{text}"
    );
    assert_eq!(
        rest,
        "From: alice@acme.example\r\nSubject: x\r\n\r\nBcc: text\r\n"
    );

    let mut relayed = Client::hello(lab.relay.address("relay"));
    assert!(
        relayed
            .send("alice@acme.example", &["two@other.example"], message)
            .starts_with("250")
    );
    let mail = lab.sink.wait_for("two@other.example");
    assert_eq!(
        String::from_utf8_lossy(&mail.without_trace()).replace("\r\n", "\n"),
        message
    );
}

#[test]
fn what_is_pipelined_behind_starttls_is_never_taken_as_said_under_tls() {
    let lab = Lab::new();
    let mut client = Client::hello(lab.relay.address("submission"));
    client.raw(b"STARTTLS\r\nEHLO evil.test\r\n");
    assert!(client.reply().starts_with("554 5.5.1"));
    assert_eq!(client.reply(), "", "closed");
}

#[test]
fn plain_text_at_the_port_of_implicit_tls_gets_no_session() {
    let lab = Lab::new();
    let mut client = Client::silent(lab.relay.address("submissions"));
    client.raw(b"EHLO client.test\r\n");
    assert!(!client.reply().contains("250"));
    lab.implicit();
}

#[test]
fn a_new_certificate_is_used_after_sighup_and_a_bad_one_is_not() {
    let lab = Lab::new();
    let mut before = lab.implicit();
    let renewed = Certificate::new("relay.test");
    renewed.write(lab.files.path());
    lab.relay.signal("HUP");
    lab.relay.until("the reload", |relay| {
        relay.log().contains("settings reloaded").then_some(())
    });
    assert!(before.cmd("NOOP").starts_with("250"), "open sessions go on");
    Client::tls(lab.relay.address("submissions"), &renewed);
    Client::hello(lab.relay.address("submission")).start_tls(&renewed);

    std::fs::write(lab.files.path().join("cert.pem"), "no certificate").expect("written");
    lab.relay.signal("HUP");
    lab.relay.until("the refusal", |relay| {
        relay.log().contains("settings not reloaded").then_some(())
    });
    Client::tls(lab.relay.address("submissions"), &renewed);
}
