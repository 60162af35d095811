//! Telling people: the signed webhook and the mails, over failures and restarts.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use common::{Client, PATIENCE, Relay, Sink};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;

const SECRET: &str = "a shared secret";
const NO_RULES: &str = "[policy.default]\nfalse_block_rate = 0\nspam_rate_min_messages = 0\nsuspicious = \"deliver\"\n";

/// One call as it came.
struct Call {
    timestamp: String,
    signature: String,
    body: String,
}

impl Call {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    fn is_signed(&self) -> bool {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
        mac.update(format!("{}.{}", self.timestamp, self.body).as_bytes());
        let hex: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        self.signature == format!("sha256={hex}")
    }
}

/// The calls as they come.
struct Calls(mpsc::Receiver<Call>);

impl Calls {
    fn next(&self) -> Call {
        self.0.recv_timeout(PATIENCE).expect("a call")
    }

    /// The next that is not one of `seen`: a call whose answer came too late for the relay comes
    /// again.
    fn new_one(&self, seen: &mut HashSet<String>) -> Call {
        let start = std::time::Instant::now();
        while start.elapsed() < PATIENCE {
            let call = self.next();
            if seen.insert(call.body.clone()) {
                return call;
            }
        }
        panic!("only calls that came before")
    }
}

/// A web server that answers each call with the next of `statuses`, then 204.
fn receiver(statuses: &'static [u16]) -> (SocketAddr, Calls) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let (sender, calls) = mpsc::channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter();
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut headers = Vec::new();
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    break;
                }
                headers.push(line.trim().to_owned());
            }
            let header = |name: &str| {
                let found = headers
                    .iter()
                    .filter_map(|h| h.split_once(": "))
                    .find(|(n, _)| n.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_owned()).unwrap_or_default()
            };
            let mut body = vec![0; header("Content-Length").parse().unwrap_or(0)];
            if stream.read_exact(&mut body).is_err() {
                continue;
            }
            let status = statuses.next().unwrap_or(&204);
            let answer =
                format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.get_mut().write_all(answer.as_bytes());
            let call = Call {
                timestamp: header("X-Outgate-Timestamp"),
                signature: header("X-Outgate-Signature"),
                body: String::from_utf8(body).expect("text"),
            };
            if sender.send(call).is_err() {
                return;
            }
        }
    });
    (address, Calls(calls))
}

/// The base configuration with a webhook in its `[notify]`.
fn start(sink: &Sink, webhook: SocketAddr, extra: &str) -> Relay {
    let dir = tempfile::tempdir().expect("directory");
    let text = common::config(&dir.path().join("data"), sink.address, extra);
    let hook =
        format!("[notify]\nwebhook = \"http://{webhook}/hook\"\nwebhook_secret = \"{SECRET}\"\n");
    std::fs::write(
        dir.path().join("outgate.toml"),
        text.replace("[notify]\n", &hook),
    )
    .expect("written");
    Relay::start_in(dir)
}

fn add_block(relay: &Relay, subject: &str) -> String {
    let body = json!({ "kind": "sender", "subject": subject, "reason": "test" }).to_string();
    let (status, answer) = relay.http("POST", "/api/v1/blocks", &body);
    assert_eq!(status, 201, "{answer}");
    let block: Value = serde_json::from_str(&answer).expect("JSON");
    block["ref"].as_str().expect("a reference").to_owned()
}

#[test]
fn the_webhook_is_signed_and_tells_of_blocks_releases_and_alerts() {
    let sink = Sink::start();
    let (address, calls) = receiver(&[]);
    let relay = start(
        &sink,
        address,
        &format!("{NO_RULES}recipients_external_per_hour = 1\nwhen_exceeded = \"alert\"\n"),
    );
    let mut seen = HashSet::new();
    let mut next = |event: &str| {
        let call = calls.new_one(&mut seen);
        assert!(call.is_signed(), "{}", call.signature);
        let value = call.json();
        assert_eq!(value["event"], event, "{value}");
        value
    };
    let reference = add_block(&relay, "eve@acme.example");
    let opened = next("block.opened");
    assert_eq!(
        (&opened["detail"]["block"]["ref"], &opened["tenant"]),
        (&json!(reference), &json!("acme"))
    );
    let path = format!("/api/v1/blocks/{reference}/release");
    assert_eq!(
        relay
            .http(
                "POST",
                &path,
                r#"{"verdict":"compromised","reason":"clean again"}"#
            )
            .0,
        200
    );
    let released = next("block.released");
    assert_eq!(released["detail"]["block"]["verdict"], "compromised");
    let mut client = Client::hello(relay.smtp);
    for n in 0..2 {
        let text = format!("Message-ID: <{n}@acme.example>\nSubject: x\n\nhello {n}\n");
        assert!(
            client
                .send(
                    "alice@acme.example",
                    &[&format!("r{n}@elsewhere.example")],
                    &text
                )
                .starts_with("250")
        );
    }
    let alert = next("alert");
    assert_eq!(
        alert["detail"]["alert"]["address"], "alice@acme.example",
        "{alert}"
    );
    assert_eq!(
        alert["detail"]["alert"]["reason"],
        "recipients_external_per_hour"
    );
}

#[test]
fn a_webhook_call_that_fails_comes_again_even_over_a_crash() {
    let sink = Sink::start();
    let (address, calls) = receiver(&[500, 302]);
    let relay = start(&sink, address, NO_RULES);
    let reference = add_block(&relay, "eve@acme.example");
    let first = calls.next();
    relay.until("the failure is noted", |r| {
        r.log().contains("webhook call failed").then_some(())
    });
    // It is stored before it is tried, and a block of which nobody was told by mail yet is the same
    // call again.
    let relay = relay.crash_and_restart();
    let second = calls.next();
    assert!(second.is_signed());
    assert_eq!(second.body, first.body, "the same call");
    assert_eq!(second.json()["detail"]["block"]["ref"], json!(reference));
    // A redirect is no success: the notice must not go where it was not meant to.
    relay.until("the second failure", |r| {
        r.log().contains("status 302").then_some(())
    });
}

#[test]
fn a_block_of_which_nobody_was_told_before_the_end_is_told_of_after_the_start() {
    let sink = Sink::scripted(|line| {
        line.starts_with("RCPT TO:<later@")
            .then(|| "451 4.0.0 later".into())
    });
    let mut relay = Relay::start(&sink, NO_RULES);
    let mut client = Client::hello(relay.smtp);
    assert!(
        client
            .send(
                "eve@acme.example",
                &["later@elsewhere.example"],
                "Subject: x\n\nhello\n"
            )
            .starts_with("250")
    );
    relay.until("mail in the queue", |r| {
        r.log().contains(" deferred id=").then_some(())
    });
    let reference = add_block(&relay, "eve@acme.example");
    let is_notice = |m: &common::sink::Arrived| {
        m.text().contains(&reference) && m.text().contains("held now: 1.")
    };
    sink.wait("the notice", is_notice);
    let told = |records: &std::path::Path| {
        let db = rusqlite::Connection::open(records).expect("records");
        db.query_row(
            "SELECT COUNT(*) FROM value WHERE space = 'untold'",
            [],
            |r| r.get::<_, u32>(0),
        )
        .expect("a count")
    };
    let path = common::path(&relay, "data/records.db");
    relay.until("told, and known to be", |_| {
        (told(&path) == 0).then_some(())
    });
    relay.signal("TERM");
    assert_eq!(relay.wait(), Some(0));
    // As it is when the process ends between the block and the notice.
    rusqlite::Connection::open(&path)
        .and_then(|db| {
            db.execute(
                "INSERT INTO value(space, key, value) VALUES ('untold', ?1, '')",
                [&reference],
            )
        })
        .expect("inserted");
    let relay = relay.crash_and_restart();
    relay.until("the notice again", |_| {
        (sink.all().iter().filter(|m| is_notice(m)).count() == 2).then_some(())
    });
    relay.until("that it is known", |_| (told(&path) == 0).then_some(()));
}

#[test]
fn a_storm_of_blocks_gives_some_notices_and_not_one_each() {
    let sink = Sink::start();
    let (address, calls) = receiver(&[]);
    let relay = start(&sink, address, NO_RULES);
    let references: Vec<_> = (0..30)
        .map(|n| add_block(&relay, &format!("u{n}@acme.example")))
        .collect();
    // Programs hear of every one of them ...
    let mut seen = HashSet::new();
    for _ in &references {
        assert_eq!(calls.new_one(&mut seen).json()["event"], "block.opened");
    }
    // ... and only then people: mail comes behind the webhook's store.
    relay.until("all mail gone", |r| {
        r.json("/api/v1/queue")["items"]
            .as_array()?
            .is_empty()
            .then_some(())
    });
    let mails = sink
        .all()
        .iter()
        .filter(|m| m.text().contains("Subject: Blocked: "))
        .count();
    assert_eq!(mails, 10, "ten, the rest goes into a digest");
}
