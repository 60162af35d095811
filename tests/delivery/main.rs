//! Delivery from the real binary: a real name server, real sinks on loopback addresses of their
//! own, real waits.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

#[path = "../common/mod.rs"]
mod common;
mod exchangers;
mod reports;
mod sessions;

use common::dns::NameServer;
use common::sink::Arrived;
use common::{Client, Relay, Sink};
use mail_parser::{MessageParser, MimeHeaders};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const HAM: &str = "From: alice@acme.example\nSubject: Minutes\nMessage-ID: <m@acme.example>\n\nSee you on Thursday.\n";

/// A relay that finds its next hops by DNS; only mail to `acme.example`, where the senders are, has
/// a route. `delivery` are further lines of `[delivery]`.
fn relay(dns: &NameServer, home: &Sink, mx_port: u16, delivery: &str, extra: &str) -> Relay {
    let dir = tempfile::tempdir().expect("temporary directory");
    let config = format!(
        "[server]\nhostname = \"relay.test\"\ndata_dir = {:?}\n[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"relay\"\n\
         [[client]]\nnetworks = [\"127.0.0.0/8\"]\ntenants = [\"acme\"]\n[[tenant]]\nname = \"acme\"\ndomains = [\"acme.example\"]\n\
         [admin]\nbind = \"127.0.0.1:0\"\n[dns]\nservers = [\"{}\"]\n\
         [[route]]\ndomain = \"acme.example\"\nhost = \"{}\"\ntls = \"none\"\n{extra}\n\
         [delivery]\nmx_port = {mx_port}\n{delivery}\n",
        dir.path().join("data"),
        dns.address,
        home.address
    );
    std::fs::write(dir.path().join("outgate.toml"), config).expect("config written");
    Relay::start_in(dir)
}

fn send(relay: &Relay, from: &str, to: &[&str], message: &str) {
    let reply = Client::hello(relay.smtp).send(from, to, message);
    assert!(reply.starts_with("250"), "{reply}");
}

fn on(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], port))
}

/// The machine-readable part of a report, with its structure looked at.
fn fields(report: &Arrived) -> String {
    assert_eq!(report.from, "");
    let parsed = MessageParser::default()
        .parse(&report.data)
        .expect("a message");
    let kind = parsed.content_type().expect("a type");
    assert_eq!(
        (kind.ctype(), kind.subtype()),
        ("multipart", Some("report")),
        "{}",
        report.text()
    );
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
    let parts = parsed
        .part(0)
        .and_then(|part| part.sub_parts())
        .expect("parts");
    assert_eq!(parts.len(), 3, "{}", report.text());
    let status = parts
        .get(1)
        .and_then(|at| parsed.part(*at))
        .expect("the status");
    String::from_utf8_lossy(status.contents()).into_owned()
}

/// The report on this recipient that has come home.
fn report_on(home: &Sink, recipient: &str) -> String {
    let line = format!("Final-Recipient: rfc822; {recipient}\r\n");
    fields(&home.wait(recipient, |mail| {
        mail.from.is_empty() && mail.text().contains(&line)
    }))
}

fn wait_empty(relay: &Relay) {
    relay.until("an empty queue", |relay| {
        (relay.json("/api/v1/queue")["items"].as_array()?.is_empty()).then_some(())
    });
}

/// One exchanger for `far.example` that answers by a script.
fn far(script: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> (Sink, NameServer) {
    let sink = Sink::at(on(2, 0), None, script);
    (
        sink,
        NameServer::start("far.example. MX 10 mx.far.example.\n mx.far.example. A 127.0.0.2"),
    )
}
