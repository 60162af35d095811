//! A client that nobody here wrote: mail-send against the real binary, and `outgate send`, which
//! uses it.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::tls::Certificate;
use common::{PATIENCE, Relay, Sink};
use mail_send::smtp::message::Message;
use mail_send::{Credentials, Error, SmtpClient, SmtpClientBuilder};
use std::io::Write;
use std::process::{Command, Stdio};

const LETTER: &str = "From: alice@acme.example\r\nTo: bob@other.example\r\nSubject: Minutes\r\n\r\nSee you.\r\n.\r\n..dots";
const ALICE: &str = "alice@acme.example";
const PASSWORD: &str = "correct horse battery";

/// A relay with a listener for submission and an account.
fn relay(sink: &Sink, certificate: &Certificate, dir: &std::path::Path) -> Relay {
    let listener = "[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"submission\"\n";
    let relay = Relay::start(sink, &(certificate.section(dir) + listener));
    relay.add_account(ALICE, PASSWORD, &[]);
    relay
}

/// Runs `outgate send`; exit status, standard output, standard error.
fn outgate_send(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_outgate"))
        .arg("send")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("outgate runs");
    let mut stdin = child.stdin.take().expect("standard input");
    // A command that fails early reads nothing.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("outgate ends");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[tokio::test]
async fn mail_send_submits_over_starttls_with_a_login() {
    let (sink, certificate) = (Sink::start(), Certificate::new("relay.test"));
    let dir = tempfile::tempdir().expect("temporary directory");
    let relay = relay(&sink, &certificate, dir.path());
    let builder = |password: &'static str| {
        let mut builder =
            SmtpClientBuilder::new_with_tls_connector("relay.test", 0, certificate.trust().into())
                .implicit_tls(false)
                .timeout(PATIENCE)
                .credentials(Credentials::Plain {
                    username: ALICE,
                    secret: password,
                });
        builder.addr = relay.address("submission").to_string();
        builder
    };
    let refused = builder("wrong").connect().await.err().expect("a refusal");
    assert!(
        matches!(&refused, Error::AuthenticationFailed(reply) if reply.code == 535),
        "{refused}"
    );
    let mut client = builder(PASSWORD).connect().await.expect("a session");
    let letter = || Message::new(ALICE, ["bob@other.example"], LETTER.as_bytes());
    let reply = client.send(letter()).await.expect("accepted");
    assert_eq!(reply.code, 250);
    let arrived = sink.wait_for("bob@other.example");
    assert!(
        arrived.text().ends_with("\r\nSee you.\r\n.\r\n..dots\r\n"),
        "{}",
        arrived.text()
    );
    client.send(letter()).await.expect("a second message");
    client.quit().await.expect("a farewell");
    sink.wait_count(2);
}

#[tokio::test]
async fn mail_send_pipelines_to_the_relay() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let mut client = SmtpClient::connect(relay.smtp, PATIENCE)
        .await
        .expect("a connection");
    client.read().await.expect("a greeting");
    let hello = client.ehlo("client.test").await.expect("EHLO");
    assert!(hello.has_capability(smtp_proto::EXT_PIPELINING));
    let commands = [
        "MAIL FROM:<alice@acme.example>\r\n",
        "RCPT TO:<bob@other.example>\r\n",
        "RCPT TO:<no address>\r\n",
        "DATA\r\n",
    ];
    let replies = client.cmds(commands).await.expect("replies");
    let codes: Vec<u16> = replies.iter().map(|reply| reply.code).collect();
    assert_eq!(codes, [250, 250, 501, 354]);
    let stuffed = LETTER.replace("\r\n.", "\r\n..");
    let reply = client.cmd(format!("{stuffed}\r\n.\r\n")).await;
    assert_eq!(reply.expect("a reply").code, 250);
    sink.wait_for("bob@other.example");
}

#[test]
fn outgate_send_shows_the_conversation_without_its_secrets() {
    let (sink, certificate) = (Sink::start(), Certificate::new("relay.test"));
    let dir = tempfile::tempdir().expect("temporary directory");
    let relay = relay(&sink, &certificate, dir.path());
    let server = relay.address("submission").to_string();
    let common = [
        "--server",
        &server,
        "--from",
        ALICE,
        "--to",
        "bob@other.example",
    ];
    let with_login = [&common[..], &["--auth", ALICE, "--password-stdin", "--tls"]].concat();
    let (status, out, err) = outgate_send(&with_login, &format!("{PASSWORD}\n"));
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    let mut rest = out.as_str();
    for line in [
        "S: 220 relay.test",
        "C: EHLO [127.0.0.1]",
        "C: STARTTLS",
        "-- TLS",
        "C: AUTH PLAIN (secret)",
        "S: 235 ",
        "C: MAIL FROM:<alice@acme.example>",
        "C: RCPT TO:<bob@other.example>",
        "C: DATA",
        "S: 354 ",
        " octets of message)",
        "S: 250 ",
        "C: QUIT",
    ] {
        let (_, after) = rest
            .split_once(line)
            .unwrap_or_else(|| panic!("{line:?} is not in its place:\n{out}"));
        rest = after;
    }
    let arrived = sink.wait_for("bob@other.example").text();
    assert!(
        arrived.contains("Subject: Test of the outbound relay\r\n"),
        "{arrived}"
    );

    let (status, out, err) = outgate_send(&with_login, "wrong\n");
    assert_eq!(
        (status, err.as_str()),
        (1, "outgate: the message was refused\n"),
        "{out}"
    );
    assert!(out.contains("S: 535 "), "{out}");
    assert!(!out.contains("wrong"), "{out}");

    let (status, out, _) = outgate_send(&common, "");
    assert_eq!(status, 1, "without a login");
    assert!(out.contains("S: 530 "), "{out}");
}

#[test]
fn outgate_send_takes_a_message_and_the_address_of_the_configuration() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let letter = file("letter", &format!("{}\n", LETTER.replace("\r\n", "\n")));
    let listener = format!(
        "[[listener]]\nbind = \"{}\"\nkind = \"relay\"\n",
        relay.smtp
    );
    let config = file("outgate.toml", &listener);
    let both = [
        "--from",
        ALICE,
        "--to",
        "x@a.example",
        "--to",
        "y@b.example",
    ];
    let (status, out, err) = outgate_send(
        &[&both[..], &["--config", &config, "--file", &letter]].concat(),
        "",
    );
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    let arrived = sink.wait_for("y@b.example");
    assert!(
        arrived.text().ends_with("\r\nSee you.\r\n.\r\n..dots\r\n"),
        "{}",
        arrived.text()
    );
}

#[test]
fn outgate_send_says_what_is_wrong_with_its_arguments() {
    let server = "127.0.0.1:1";
    let to = ["--to", "x@a.example"];
    for (arguments, told) in [
        (
            &["--from", "no address", "--server", server][..],
            "is no mail address",
        ),
        (
            &["--from", ALICE, "--server", "127.0.0.1"],
            "is no HOST:PORT",
        ),
        (
            &["--from", ALICE, "--server", server, "--file", "/nowhere"],
            "/nowhere: ",
        ),
        (
            &[
                "--from",
                ALICE,
                "--server",
                "192.0.2.1:25",
                "--auth",
                "u",
                "--password-stdin",
            ],
            "write --tls",
        ),
    ] {
        let (status, _, err) = outgate_send(&[&to[..], arguments].concat(), "p");
        assert_eq!(status, 2, "{err}");
        assert!(err.contains(told), "{err}");
    }
}

#[test]
fn outgate_send_fails_where_nobody_listens() {
    let closed = common::free_port();
    let server = format!("127.0.0.1:{closed}");
    let (status, _, err) = outgate_send(
        &["--to", "x@a.example", "--from", ALICE, "--server", &server],
        "",
    );
    assert_eq!(status, 1, "{err}");
}
