//! Outside evidence through the real binary: lists on a real name server, real scanners, and all of
//! them away.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::dns::NameServer;
use common::scanner::Scanner;
use common::{Client, Relay, Sink, until};
use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const DBL: &str = "[[list]]\nname = \"spamhaus_dbl\"\nzone = \"dbl.example\"\n";

fn send(client: &mut Client, n: usize, link: &str) {
    let message = format!(
        "From: alice@acme.example\nSubject: Minutes\nMessage-ID: <{n}@acme.example>\n\nHi Bob,\n\nthe minutes are at {link} now.\n"
    );
    let reply = client.send("alice@acme.example", &["bob@far.example"], &message);
    assert!(reply.starts_with("250"), "{reply}");
}

/// The names of the symbols of a message in the trace, and its probability.
fn symbols(relay: &Relay, n: usize) -> (Vec<String>, f64) {
    relay.until("the message in the trace", |relay| {
        let found = relay.json(&format!("/api/v1/messages?id=%3C{n}%40acme.example%3E"));
        let item = found["items"].as_array()?.first()?.clone();
        let names = item["symbols"]
            .as_array()?
            .iter()
            .map(|s| s["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        Some((names, item["probability"].as_f64()?))
    })
}

fn metric(relay: &Relay, source: &str, result: &str) -> String {
    let (_, text) = relay.http("GET", "/metrics", "");
    let has = |l: &&str| {
        l.starts_with("outgate_outside_total")
            && l.contains(&format!("\"{source}\""))
            && l.contains(&format!("\"{result}\""))
    };
    text.lines()
        .find(has)
        .and_then(|l| l.rsplit(' ').next())
        .unwrap_or("none")
        .to_owned()
}

#[test]
fn a_listed_link_stands_in_the_trace_in_words() {
    let sink = Sink::start();
    let dns = NameServer::start(
        "evil.com.dbl.example. A 127.0.1.4\nrefused.com.dbl.example. A 127.255.255.254\ndbltest.com.dbl.example. A 127.0.1.2",
    );
    let relay = Relay::start(
        &sink,
        &format!(
            "[outside]\ndeadline = \"20s\"\n[dns]\nservers = [\"{}\"]\n{DBL}",
            dns.address
        ),
    );
    let mut client = Client::hello(relay.smtp);
    send(&mut client, 1, "http://www.evil.com/minutes");
    send(&mut client, 2, "http://www.good.com/minutes");
    send(&mut client, 3, "http://wiki.acme.example/minutes");
    let (listed, probability) = symbols(&relay, 1);
    assert!(
        listed.contains(&"link host www.evil.com is on Spamhaus DBL (phishing)".to_owned()),
        "{listed:?}"
    );
    let (clear, lower) = symbols(&relay, 2);
    assert!(clear.iter().all(|s| !s.contains("Spamhaus")), "{clear:?}");
    assert!(probability > lower, "{probability} {lower}");
    assert_eq!(
        (
            metric(&relay, "spamhaus_dbl", "listed"),
            metric(&relay, "spamhaus_dbl", "clear")
        ),
        ("1".into(), "1".into())
    );
    send(&mut client, 4, "http://refused.com/");
    let (refused, _) = symbols(&relay, 4);
    assert!(
        refused
            .iter()
            .any(|s| s.starts_with("Spamhaus DBL: the question came through a public resolver")),
        "{refused:?}"
    );
    let (_, text) = relay.http("GET", "/metrics", "");
    assert!(
        text.contains("outgate_outside_shut{source=\"spamhaus_dbl\"} 1"),
        "{text}"
    );
}

#[test]
fn mail_goes_on_when_the_name_server_hangs() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = silent.local_addr().expect("an address");
    let questions = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&questions);
    std::thread::spawn(move || {
        let mut packet = [0; 1500];
        while silent.recv_from(&mut packet).is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        &format!(
            "[outside]\ndeadline = \"50ms\"\npause = \"1d\"\n[dns]\nservers = [\"{address}\"]\n{DBL}"
        ),
    );
    let mut client = Client::hello(relay.smtp);
    for n in 0..60 {
        send(&mut client, n, &format!("http://www.host{n}.com/"));
    }
    // Three messages waited for it, each with one question and at most one retry; the others did
    // not even ask.
    until("a question", || {
        (questions.load(Ordering::SeqCst) > 0).then_some(())
    });
    assert!(questions.load(Ordering::SeqCst) <= 6, "{questions:?}");
    assert_eq!(
        (
            metric(&relay, "spamhaus_dbl", "late"),
            metric(&relay, "spamhaus_dbl", "skipped")
        ),
        ("3".into(), "57".into())
    );
    assert!(
        symbols(&relay, 0)
            .0
            .contains(&"Spamhaus DBL: no answer in time".to_owned())
    );
    assert!(
        symbols(&relay, 59)
            .0
            .contains(&"Spamhaus DBL: left alone for a while after failures".to_owned())
    );
}

fn check(config: &str, json: bool) -> (i32, String) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("outgate.toml");
    std::fs::write(&file, config).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_outgate"));
    command.args(["lists", "check", "--config"]).arg(file);
    if json {
        command.arg("--json");
    }
    let output = command.output().expect("the CLI runs");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[test]
fn lists_check_says_what_is_wrong() {
    let dns = NameServer::start(
        "dbltest.com.dbl.example. A 127.0.1.2\n2.0.0.127.zen.example. A 127.255.255.254",
    );
    let config = format!(
        "[dns]\nservers = [\"{}\"]\n{DBL}key = \"\"\n[[list]]\nname = \"spamhaus_zen\"\nzone = \"zen.example\"\n[spamd]\naddress = \"127.0.0.1:1\"\n",
        dns.address
    );
    let (status, text) = check(&config, false);
    assert_eq!(status, 1);
    assert_eq!(
        text,
        "ok     spamhaus_dbl (dbl.example): dbltest.com is listed (spam), invalid is not\n\
         WRONG  spamhaus_zen (zen.example): it refuses to answer: the question came through a public resolver: use your own\n\
         WRONG  spamd (127.0.0.1:1): cannot be reached\n"
    );
    let (_, text) = check(&config, true);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (
            json["items"][0]["ok"].as_bool(),
            json["items"][1]["ok"].as_bool()
        ),
        (Some(true), Some(false))
    );
    assert_eq!(json["items"][1]["removal"], "https://check.spamhaus.org/");
    let (status, text) = check("", false);
    assert_eq!(status, 0);
    assert!(
        text.starts_with(
            "no list or scanner is configured; config/lists.toml knows: invaluement, "
        ),
        "{text}"
    );
    assert_eq!(check("[[list]]\nname = \"nothing\"\n", false).0, 2);
}

/// A live scanner has its say, and its absence is seen and does no harm.
fn with_scanner(program: &str, title: &str, section: impl Fn(&Scanner) -> String) {
    let Some(scanner) = Scanner::start(program) else {
        return;
    };
    let sink = Sink::start();
    let config = format!(
        "[outside]\ndeadline = \"30s\"\npause = \"1d\"\n{}",
        section(&scanner)
    );
    // Its first message of all takes a scanner far longer than the next.
    until("the scanner's first answer", || {
        (check(&config, false).0 == 0).then_some(())
    });
    let relay = Relay::start(&sink, &config);
    let mut client = Client::hello(relay.smtp);
    send(&mut client, 1, "http://www.good.com/minutes");
    let opinion = |n| {
        symbols(&relay, n)
            .0
            .into_iter()
            .find(|s| s.starts_with(title))
            .expect("a symbol of the scanner")
    };
    let first = opinion(1);
    assert!(
        first.contains(" of ") && first.starts_with(&format!("{title}: ")),
        "{first}"
    );
    let (status, text) = check(&config, false);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("answers; a test message got "), "{text}");
    let address = scanner.address;
    drop(scanner);
    until("the scanner's end", || {
        std::net::TcpStream::connect(address).err()
    });
    send(&mut client, 2, "http://www.good.com/minutes");
    assert_eq!(opinion(2), format!("{title}: cannot be reached"));
    for n in 3..12 {
        send(&mut client, n, "http://www.good.com/minutes");
    }
    assert_eq!(
        opinion(11),
        format!("{title}: left alone for a while after failures")
    );
}

#[test]
fn rspamd_gives_a_second_opinion() {
    with_scanner("rspamd", "rspamd", |s| {
        format!("[rspamd]\nurl = \"http://{}\"\n", s.address)
    });
}

#[test]
fn spamassassin_gives_a_second_opinion() {
    with_scanner("spamd", "SpamAssassin", |s| {
        format!("[spamd]\naddress = \"{}\"\n", s.address)
    });
}
