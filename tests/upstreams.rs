//! Real mail servers and clients in front of the relay.

#![allow(
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test that is skipped says why; this file is nothing but tests"
)]

mod common;

use common::exim::Exim;
use common::mail::{ham, spam};
use common::postfix::Postfix;
use common::{Client, Relay, Sink};
use std::path::Path;
use std::process::Command;

/// Mail of an authenticated user through Postfix: the login is given to Postfix by XCLIENT, so that
/// its own Received field names the user as it does after SASL.
fn submit(postfix: &Postfix, login: &str, from: &str, to: &str, message: &str) -> String {
    let mut client = Client::connect(postfix.smtp);
    client.expect("EHLO user.test", "250");
    let reply = client.cmd(&format!("XCLIENT LOGIN={login}"));
    assert!(reply.starts_with("220"), "{reply}");
    client.expect("EHLO user.test", "250");
    client.send(from, &[to], message)
}

/// Ordinary mail of ten users, numbered from `first`; the recipients.
fn ten_users_write(postfix: &Postfix, name: &str, first: usize) -> Vec<String> {
    let write = |n| {
        let user = format!("user{n}@acme.example");
        let to = format!("{name}{n}@partner.example");
        let reply = submit(postfix, &user, &user, &to, &ham(first + n));
        assert!(reply.starts_with("250"), "{to}: {reply}");
        to
    };
    (0..10).map(write).collect()
}

/// Alice's account sends spam until the relay blocks it; the block.
fn block_after_spam(relay: &Relay, postfix: &Postfix) -> serde_json::Value {
    let mut count = 0;
    loop {
        let to = format!("stranger{count}@elsewhere.example");
        assert!(
            submit(
                postfix,
                "alice@acme.example",
                "alice@acme.example",
                &to,
                &spam(count)
            )
            .starts_with("250")
        );
        postfix.wait_log(&[&format!("to=<{to}>"), "status="]);
        let blocks = relay.json("/api/v1/blocks");
        if let Some(block) = blocks["items"].as_array().and_then(|items| items.first()) {
            return block.clone();
        }
        count += 1;
        assert!(count < 12, "still not stopped");
    }
}

#[test]
fn a_taken_over_account_behind_postfix_is_stopped_and_everybody_is_told() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "[scoring]\nlearning_messages = 0\n");
    let Some(postfix) = Postfix::start(relay.smtp) else {
        return;
    };
    ten_users_write(&postfix, "friend", 0);
    let block = block_after_spam(&relay, &postfix);
    assert_eq!(
        (block["kind"].as_str(), block["subject"].as_str()),
        (Some("sender"), Some("alice@acme.example"))
    );
    let reference = block["ref"].as_str().expect("a reference");
    let line = postfix.wait_log(&[
        "status=bounced",
        "550 5.1.8 Access denied, bad outbound sender",
        reference,
    ]);
    assert!(line.contains("stranger"), "{line}");
    // Postfix's own bounce reaches the sender, through us.
    let bounce = sink.wait("Postfix's bounce", |m| {
        m.from.is_empty() && m.to == ["alice@acme.example"]
    });
    assert!(bounce.text().contains(reference), "{}", bounce.text());
    sink.wait("the notice", |m| {
        m.to.iter().any(|t| t == "postmaster@acme.example") && m.text().contains(reference)
    });
    for to in ten_users_write(&postfix, "again", 100) {
        sink.wait_for(&to);
    }
    let (status, _, error) = relay.cli(&[
        "blocks",
        "release",
        reference,
        "--verdict",
        "compromised",
        "--reason",
        "clean again",
    ]);
    assert_eq!(status, 0, "{error}");
    assert!(
        submit(
            &postfix,
            "alice@acme.example",
            "alice@acme.example",
            "bob@partner.example",
            &ham(200)
        )
        .starts_with("250")
    );
    sink.wait_for("bob@partner.example");
}

#[test]
fn postfix_names_the_user_in_received_and_a_forged_envelope_does_not_touch_him() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let Some(postfix) = Postfix::start(relay.smtp) else {
        return;
    };
    let body = "From: x@acme.example\nSubject: 8bit gr\u{fc}\u{df}e\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
                Content-Transfer-Encoding: 8bit\n\nz\u{e4}hler\n.dots\n";
    assert!(
        submit(
            &postfix,
            "alice@acme.example",
            "carol@acme.example",
            "bob@partner.example",
            body
        )
        .starts_with("250")
    );
    let mail = sink.wait_for("bob@partner.example");
    assert!(
        mail.text()
            .contains("(Authenticated sender: alice@acme.example)"),
        "{}",
        mail.text()
    );
    assert!(
        mail.text().contains("z\u{e4}hler\r\n.dots\r\n"),
        "{}",
        mail.text()
    );
    assert!(
        mail.commands.iter().any(|c| c.contains("BODY=8BITMIME")),
        "{:?}",
        mail.commands
    );
    let senders = relay.json("/api/v1/senders");
    let addresses: Vec<_> = senders["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|s| s["address"].as_str())
        .collect();
    assert!(addresses.contains(&Some("alice@acme.example")), "{senders}");
    assert!(
        !addresses.contains(&Some("carol@acme.example")),
        "{senders}"
    );
    // XFORWARD told where it came from.
    assert!(
        relay
            .log()
            .lines()
            .any(|line| line.contains("came_from") && line.contains("origin=127.0.0.1")),
        "{}",
        relay.log()
    );
}

const EIGHT_BIT: &str = "From: x@acme.example\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <e@acme.example>\r\n\
                Subject: gr\u{fc}\u{df}e\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                Content-Transfer-Encoding: 8bit\r\n\r\nz\u{e4}hler\r\n.dot\r\n..dots\r\n\ttab and trailing space \r\nend\r\n";

/// A session with Exim in which alice has logged in.
fn alice_at(exim: &Exim) -> Client {
    let mut client = Client::hello(exim.smtp);
    // \0alice@acme.example\0secret
    client.expect("AUTH PLAIN AGFsaWNlQGFjbWUuZXhhbXBsZQBzZWNyZXQ=", "235");
    client
}

#[test]
fn exim_set_up_by_the_book_names_the_user_and_passes_mail_unchanged() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let Some(exim) = Exim::start(relay.smtp) else {
        return;
    };
    let mut client = alice_at(&exim);
    client.expect(
        "MAIL FROM:<carol@acme.example> BODY=8BITMIME RET=HDRS ENVID=QQ314",
        "250",
    );
    client.expect(
        "RCPT TO:<bob@partner.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@p.example",
        "250",
    );
    client.expect("DATA", "354");
    client.raw(
        common::client::stuffed(&format!(
            "X-Authenticated-Sender: forged@acme.example\r\n{EIGHT_BIT}"
        ))
        .as_bytes(),
    );
    assert!(client.reply().starts_with("250"));
    let mail = sink.wait_for("bob@partner.example");
    assert!(
        mail.text().ends_with(&format!(" +0000\r\n{EIGHT_BIT}")),
        "{}",
        mail.text()
    );
    assert!(
        !mail.text().contains("X-Authenticated-Sender"),
        "{}",
        mail.text()
    );
    assert!(
        ["BODY=8BITMIME", "RET=HDRS", "ENVID=QQ314"]
            .iter()
            .all(|w| mail.commands[0].contains(w)),
        "{:?}",
        mail.commands
    );
    assert!(
        mail.commands[1].contains("NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@p.example"),
        "{:?}",
        mail.commands
    );
    let senders = relay.json("/api/v1/senders");
    let keys: Vec<_> = senders["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|s| s["key"].as_str())
        .collect();
    assert_eq!(keys, [Some("acme:alice@acme.example")], "{senders}");
}

#[test]
fn exim_set_up_by_the_book_tells_the_user_of_a_block() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let Some(exim) = Exim::start(relay.smtp) else {
        return;
    };
    let mut client = alice_at(&exim);
    let (status, _, error) = relay.cli(&[
        "blocks",
        "add",
        "sender",
        "alice@acme.example",
        "--reason",
        "taken over",
    ]);
    assert_eq!(status, 0, "{error}");
    client.accepted("alice@acme.example", &["no@partner.example"], EIGHT_BIT);
    exim.wait_log(&[
        "** no@partner.example",
        "550 5.1.8 Access denied, bad outbound sender [OG-",
    ]);
    let bounce = sink.wait("Exim's report", |m| {
        m.from.is_empty() && m.to == ["alice@acme.example"]
    });
    assert!(
        bounce
            .text()
            .contains("550 5.1.8 Access denied, bad outbound sender [OG-"),
        "{}",
        bounce.text()
    );
}

/// Runs a client program with the message on standard input; skipped where it is not installed.
fn send_with(program: &str, arguments: &[String], input: &[u8]) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|paths| {
        std::env::split_paths(&paths).any(|dir| Path::new(&dir).join(program).exists())
    });
    if !found {
        eprintln!("skipped: {program} is not installed");
        return false;
    }
    use std::io::Write;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the client starts");
    child
        .stdin
        .take()
        .expect("stdin")
        .write_all(input)
        .expect("written");
    let output = child.wait_with_output().expect("the client ends");
    assert!(
        output.status.success(),
        "{program}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

#[test]
fn clients_of_all_kinds_are_served_byte_for_byte() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let address = relay.smtp;
    let message = "From: a@acme.example\r\nTo: b@other.example\r\nSubject: from a client\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n\
                   Message-ID: <client@acme.example>\r\n\r\n.dot\r\n..dots\r\n\ttab and trailing space \r\nend\r\n";
    let to = |name: &str| format!("{name}@other.example");
    let python = format!(
        "import smtplib,sys\ns=smtplib.SMTP('127.0.0.1',{})\ns.sendmail('a@acme.example',['{}'],sys.stdin.buffer.read())\ns.quit()",
        address.port(),
        to("python")
    );
    let words = |line: String| line.split(' ').map(str::to_owned).collect();
    let mail = "--mail-from a@acme.example --mail-rcpt";
    let curl = format!(
        "-sS --crlf smtp://{address}/client.test {mail} {} -T -",
        to("curl")
    );
    let swaks = format!(
        "--server {address} --from a@acme.example --to {} --data -",
        to("swaks")
    );
    let msmtp = format!(
        "--host={} --port={} --from=a@acme.example {}",
        address.ip(),
        address.port(),
        to("msmtp")
    );
    let clients: [(&str, &str, Vec<String>); 4] = [
        ("python", "python3", vec!["-c".into(), python]),
        ("curl", "curl", words(curl)),
        ("swaks", "swaks", words(swaks)),
        ("msmtp", "msmtp", words(msmtp)),
    ];
    for (name, program, arguments) in clients {
        // curl and msmtp read LF lines and make CRLF of them; Python wants CRLF as it is; swaks
        // adds an end of line.
        let lines = message.replace("\r\n", "\n");
        let input = match name {
            "python" => message.to_owned(),
            "swaks" => lines.trim_end().to_owned(),
            _ => lines,
        };
        if send_with(program, &arguments, input.as_bytes()) {
            let mail = sink.wait_for(&to(name));
            assert_eq!(
                String::from_utf8_lossy(&mail.without_trace()),
                message,
                "{name}"
            );
        }
    }
}
