//! The relay under pressure: bodies that never end, floods of logins, a blocked account. Each says
//! what it measured.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking and tell their figures"
)]

mod common;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use common::mail::{ham, spam};
use common::tls::Certificate;
use common::{Client, Relay, Sink};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Peak or present memory of the relay, in MiB.
fn memory(relay: &Relay, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", relay.pid()))
        .expect("status of the process");
    let line = status
        .lines()
        .find(|line| line.starts_with(key))
        .expect("that line");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok())
        .expect("a figure")
        / 1024
}

/// A session that seems to come from `from`, by a PROXY header.
fn from(address: SocketAddr, from: &str) -> Client {
    let mut client = Client::silent(address);
    client.raw(format!("PROXY TCP4 {from} 127.0.0.1 40000 25\r\n").as_bytes());
    assert!(client.reply().starts_with("220"), "the banner");
    client.expect("EHLO client.test", "250");
    client
}

const BEHIND_PROXY: &str = "[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"KIND\"\nproxy_protocol = [\"127.0.0.0/8\"]\n\
                            [[client]]\nnetworks = [\"192.0.2.0/24\"]\ntenants = [\"acme\"]\n";

#[test]
fn eight_bodies_that_never_end_hold_neither_the_memory_nor_other_mail() {
    let sink = Sink::start();
    let extra = BEHIND_PROXY.replace("KIND", "relay")
        + "[limits]\nbody_memory_bytes = \"128 MiB\"\nmessage_size_bytes = \"20 MiB\"\n";
    let relay = Relay::start(&sink, &extra);
    let proxied = relay
        .addresses
        .iter()
        .filter(|(kind, _)| kind == "relay")
        .nth(1)
        .expect("the second listener")
        .1;
    let idle = memory(&relay, "VmHWM");
    let piece = format!("{}\r\n", "x".repeat(70)).repeat(14_000);
    let mut stalled: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = from(proxied, "192.0.2.1");
            client.expect("MAIL FROM:<a@acme.example>", "250");
            client.expect("RCPT TO:<b@other.example>", "250");
            client.expect("DATA", "354");
            client
        })
        .collect();
    for _ in 0..19 {
        stalled
            .iter_mut()
            .for_each(|client| client.raw(piece.as_bytes()));
    }
    let mut other = from(proxied, "192.0.2.2");
    let large = format!(
        "{}{}",
        ham(0),
        format!("{}\n", "y".repeat(70)).repeat(260_000)
    );
    let (begun, mut served) = (Instant::now(), 0);
    for n in 1..=20 {
        other.accepted("bob@acme.example", &["friend@partner.example"], &ham(n));
        served += 1;
    }
    let rate = f64::from(served) / begun.elapsed().as_secs_f64();
    let reply = other.send("bob@acme.example", &["large@partner.example"], &large);
    assert!(
        reply.starts_with("250"),
        "{} octets of somebody else: {reply}",
        large.len()
    );
    let mut same = from(proxied, "192.0.2.1");
    let reply = same.send("carol@acme.example", &["same@partner.example"], &ham(21));
    assert!(
        reply.starts_with("250"),
        "small mail of the same client: {reply}"
    );
    let peak = memory(&relay, "VmHWM");
    eprintln!(
        "stalled bodies: {idle} MiB idle, {peak} MiB at most; {rate:.0} messages a second served to another client"
    );
    assert!(peak - idle < 128, "{idle} MiB idle, {peak} MiB at most");
    sink.wait_for("large@partner.example");
}

const FEW_COLLEAGUES: &str =
    "[blocks]\ninternal_recipients_per_hour = 5\ninternal_recipients_per_day = 8\n";

/// Blocks a sender; the reference.
fn block(relay: &Relay, subject: &str) -> String {
    let body = format!(r#"{{"kind":"sender","subject":"{subject}","reason":"test"}}"#);
    let (status, answer) = relay.http("POST", "/api/v1/blocks", &body);
    assert_eq!(status, 201, "{answer}");
    serde_json::from_str::<serde_json::Value>(&answer).expect("JSON")["ref"]
        .as_str()
        .expect("ref")
        .to_owned()
}

#[test]
fn a_blocked_account_writes_to_a_few_colleagues_and_spams_none() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, FEW_COLLEAGUES);
    let reference = block(&relay, "alice@acme.example");
    let mut client = Client::hello(relay.smtp);
    let begun = Instant::now();
    let (mut taken, mut refused) = (0, 0);
    for n in 0..300 {
        let reply = client.send(
            "alice@acme.example",
            &[&format!("colleague{n}@acme.example")],
            &spam(n),
        );
        if reply.starts_with("250") {
            taken += 1;
        } else {
            assert!(
                reply.starts_with("550 5.1.8 Access denied, bad outbound sender")
                    && reply.contains(&reference),
                "{reply}"
            );
            refused += 1;
        }
    }
    eprintln!(
        "blocked account: {taken} of 300 taken, {refused} refused, in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    assert_eq!((taken, refused), (5, 295));
    let held = relay.json("/api/v1/held")["items"]
        .as_array()
        .expect("items")
        .len();
    assert_eq!(held, 5, "what looks like spam is held under the block");
    // Somebody else is not counted with it.
    client.accepted("bob@acme.example", &["colleague@acme.example"], &ham(1));
    sink.wait_for("colleague@acme.example");
    assert!(
        sink.all()
            .iter()
            .all(|mail| mail.from != "alice@acme.example"),
        "none was delivered"
    );
}

#[test]
fn a_blocked_account_gets_no_temporary_code_for_its_colleagues() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, FEW_COLLEAGUES);
    let mut client = Client::hello(relay.smtp);
    // An ordinary message of another blocked sender still goes, through RCPT and the dot.
    block(&relay, "carol@acme.example");
    let reply = client.send(
        "carol@acme.example",
        &["help@acme.example"],
        &ham(2).replace("alice", "carol"),
    );
    assert!(
        reply.starts_with("250") || reply.starts_with("550 5.1.8"),
        "{reply}"
    );
    // In one transaction the surplus is refused recipient by recipient.
    client.expect("MAIL FROM:<dave@acme.example>", "250");
    block(&relay, "dave@acme.example");
    let replies: Vec<String> = (0..40)
        .map(|n| client.cmd(&format!("RCPT TO:<c{n}@acme.example>")))
        .collect();
    assert!(
        replies
            .iter()
            .all(|r| r.starts_with("250") || r.starts_with("550 5.1.8")),
        "never a temporary code: {replies:?}"
    );
}

#[test]
fn a_blocked_account_beyond_its_ceiling_reads_its_block_and_never_a_temporary_code() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        "[policy.default]\nwhen_exceeded = \"throttle\"\nrecipients_internal_per_hour = 2\n",
    );
    let mut client = Client::hello(relay.smtp);
    client.expect("MAIL FROM:<alice@acme.example>", "250");
    let recipients = |client: &mut Client| -> Vec<String> {
        (0..4)
            .map(|n| client.cmd(&format!("RCPT TO:<c{n}@acme.example>"))[..9].to_owned())
            .collect()
    };
    assert_eq!(
        recipients(&mut client),
        ["250 2.1.5", "250 2.1.5", "450 4.2.1", "450 4.2.1"],
        "in good standing it waits"
    );
    client.cmd("RSET");
    let body = r#"{"kind":"sender","subject":"alice@acme.example","reason":"test"}"#;
    assert_eq!(relay.http("POST", "/api/v1/blocks", body).0, 201);
    client.expect("MAIL FROM:<alice@acme.example>", "250");
    assert_eq!(
        recipients(&mut client),
        ["250 2.1.5", "250 2.1.5", "550 5.1.8", "550 5.1.8"]
    );
}

fn plain(user: &str, password: &str) -> String {
    format!(
        "AUTH PLAIN {}",
        BASE64_STANDARD.encode(format!("\0{user}\0{password}"))
    )
}

struct Logins {
    relay: Relay,
    certificate: Certificate,
    _sink: Sink,
    _files: tempfile::TempDir,
}

impl Logins {
    fn new() -> Self {
        let files = tempfile::tempdir().expect("temporary directory");
        let certificate = Certificate::new("relay.test");
        let sink = Sink::start();
        let extra = certificate.section(files.path()) + &BEHIND_PROXY.replace("KIND", "submission");
        let relay = Relay::start(&sink, &extra);
        relay.add_account("alice@acme.example", "correct horse", &[]);
        Self {
            relay,
            certificate,
            _sink: sink,
            _files: files,
        }
    }

    /// A session from `address` under TLS.
    fn session(&self, address: &str) -> Client {
        let mut client = from(self.relay.address("submission"), address);
        client.start_tls(&self.certificate);
        client
    }

    /// A login from `address`: the reply, and how long it took.
    fn login(&self, address: &str, password: &str) -> (String, Duration) {
        let mut client = self.session(address);
        let begun = Instant::now();
        let reply = client.cmd(&plain("alice@acme.example", password));
        (reply, begun.elapsed())
    }
}

#[test]
fn wrong_passwords_from_many_addresses_do_not_keep_the_owner_out() {
    let lab = Logins::new();
    for n in 0..12 {
        let (reply, _) = lab.login(&format!("198.51.{n}.1"), "guess");
        assert!(reply.starts_with("535 5.7.8"), "{reply}");
    }
    let (reply, took) = lab.login("203.0.113.1", "correct horse");
    assert!(reply.starts_with("235"), "{reply}");
    eprintln!(
        "login flood: the right password took {:.2} s behind 12 wrong ones of 12 networks",
        took.as_secs_f64()
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
    // A hundred networks: a second for a network that is not known, nothing where the owner logs in
    // every day.
    for n in 12..40 {
        lab.login(&format!("198.51.{n}.1"), "guess");
    }
    let (reply, home) = lab.login("203.0.113.77", "correct horse");
    assert!(reply.starts_with("235"), "{reply}");
    let (reply, away) = lab.login("192.0.2.200", "correct horse");
    assert!(reply.starts_with("235"), "{reply}");
    eprintln!(
        "login flood: behind 40, {:.2} s at home and {:.2} s elsewhere",
        home.as_secs_f64(),
        away.as_secs_f64()
    );
    assert!(
        away >= Duration::from_secs(1) && away < Duration::from_secs(6),
        "{away:?}"
    );
    assert!(home < away, "{home:?} {away:?}");
}

#[test]
fn guesses_of_one_network_are_spaced_and_a_flood_of_them_is_put_off_unseen() {
    let lab = Logins::new();
    let mut sessions: Vec<Client> = (0..20)
        .map(|n| lab.session(&format!("198.51.100.{n}")))
        .collect();
    let begun = Instant::now();
    for session in &mut sessions {
        session.raw(format!("{}\r\n", plain("alice@acme.example", "guess")).as_bytes());
    }
    let replies: Vec<String> = sessions.iter_mut().map(Client::reply).collect();
    let count = |code: &str| {
        replies
            .iter()
            .filter(|reply| reply.starts_with(code))
            .count()
    };
    assert_eq!(
        (count("535 5.7.8"), count("454 4.7.0")),
        (7, 13),
        "{replies:?}"
    );
    assert!(
        begun.elapsed() >= Duration::from_secs(15),
        "the seventh waits for 1, 2, 4 and 8 seconds: {:?}",
        begun.elapsed()
    );
    let (reply, took) = lab.login("203.0.113.1", "correct horse");
    assert!(
        reply.starts_with("235") && took < Duration::from_secs(5),
        "{reply} after {took:?}"
    );
}
