//! What stands between the socket and the mail: PROXY headers, XCLIENT and XFORWARD, sessions per
//! address, and the odd forms that honest servers send.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::tls::{Certificate, Wire};
use common::{Client, PATIENCE, Relay, Sink};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

const HAM: &str = "From: alice@acme.example\nSubject: Minutes\nMessage-ID: <m@acme.example>\n\nSee you on Thursday.\n";

/// The traced message to this recipient.
fn traced(relay: &Relay, recipient: &str) -> Value {
    relay.until("the trace", |relay| {
        let found = relay.json(&format!("/api/v1/messages?recipient={recipient}"));
        found["items"]
            .as_array()
            .and_then(|items| items.first().cloned())
    })
}

/// The second listener of that kind, or the first if it is the only one.
fn last(relay: &Relay, kind: &str) -> SocketAddr {
    relay
        .addresses
        .iter()
        .rev()
        .find(|(k, _)| k == kind)
        .map(|(_, address)| *address)
        .expect("a listener")
}

fn behind_proxy(address: SocketAddr, header: &[u8]) -> Client {
    let mut client = Client::silent(address);
    client.raw(header);
    let banner = client.reply();
    assert!(banner.starts_with("220"), "banner: {banner:?}");
    client.expect("EHLO client.test", "250");
    client
}

const PROXIED: &str = "[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"relay\"\nproxy_protocol = [\"127.0.0.0/8\"]\n\
                       [[client]]\nnetworks = [\"192.0.2.7/32\", \"2001:db8::7/128\"]\ntenants = [\"acme\"]\n";

#[test]
fn the_address_in_a_proxy_header_is_the_clients() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, PROXIED);
    let address = last(&relay, "relay");
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
    v2.extend(
        "2001:db8::7"
            .parse::<std::net::Ipv6Addr>()
            .expect("address")
            .octets(),
    );
    v2.extend([0; 16]);
    v2.extend([1, 2, 3, 4]);
    let listed: [(&str, &[u8], &str); 2] = [
        (
            "one@other.example",
            b"PROXY TCP4 192.0.2.7 127.0.0.1 4000 25\r\n",
            "[192.0.2.7]",
        ),
        ("two@other.example", &v2, "[IPv6:2001:db8::7]"),
    ];
    for (to, header, literal) in listed {
        assert!(
            behind_proxy(address, header)
                .send("alice@acme.example", &[to], HAM)
                .starts_with("250")
        );
        let text = sink.wait_for(to).text();
        assert!(
            text.starts_with(&format!("Received: from client.test ({literal})")),
            "{text}"
        );
    }
    // The balancer is in a listed network, the client behind it is not; nor is XCLIENT allowed to
    // it.
    let mut stranger = behind_proxy(address, b"PROXY TCP4 192.0.2.8 127.0.0.1 4000 25\r\n");
    assert!(
        stranger
            .send("alice@acme.example", &["no@other.example"], HAM)
            .starts_with("550 5.7.1")
    );
    let mut unknown = behind_proxy(address, b"PROXY UNKNOWN\r\n");
    assert!(
        unknown
            .send("alice@acme.example", &["own@other.example"], HAM)
            .starts_with("250"),
        "the balancer for itself"
    );
    let mut listed = behind_proxy(address, b"PROXY TCP4 192.0.2.7 127.0.0.1 4000 25\r\n");
    assert!(
        listed.cmd("XCLIENT LOGIN=alice").starts_with("550 5.7.0"),
        "trusted is the balancer's network alone"
    );
}

#[test]
fn a_listed_proxy_must_send_its_header_and_others_must_not() {
    let relay = Relay::start(&Sink::start(), PROXIED);
    for bad in [
        "EHLO client.test\r\n",
        "PROXY TCP4 192.0.2.7\r\n",
        "PROXY TCP9 1 2 3 4\r\n",
    ] {
        let mut client = Client::silent(last(&relay, "relay"));
        client.raw(bad.as_bytes());
        assert_eq!(client.reply(), "", "{bad}: closed without a word");
    }
    let mut client = Client::connect(relay.smtp);
    assert!(
        client
            .cmd("PROXY TCP4 192.0.2.7 127.0.0.1 4000 25")
            .starts_with("500 5.5."),
        "no proxy is listed there"
    );
}

#[test]
fn implicit_tls_may_come_in_one_packet_with_the_proxy_header() {
    let files = tempfile::tempdir().expect("temporary directory");
    let certificate = Certificate::new("relay.test");
    let listener = "[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"submissions\"\nproxy_protocol = [\"127.0.0.0/8\"]\n";
    let relay = Relay::start(
        &Sink::start(),
        &(certificate.section(files.path()) + listener),
    );
    let stream = TcpStream::connect(relay.address("submissions")).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let Wire::Client(mut tls) = certificate.client(stream) else {
        unreachable!("the client's side")
    };
    let mut first = b"PROXY TCP4 192.0.2.7 127.0.0.1 4000 25\r\n".to_vec();
    tls.conn.write_tls(&mut first).expect("the first flight");
    tls.sock.write_all(&first).expect("written");
    let mut banner = [0; 4];
    tls.read_exact(&mut banner).expect("a banner");
    assert_eq!(&banner, b"220 ");
}

#[test]
fn xclient_names_the_user_and_each_one_begins_anew() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let mut client = Client::hello(relay.smtp);
    let all = "XCLIENT NAME=spike.example ADDR=192.0.2.9 PORT=4000 PROTO=ESMTP HELO=spike.example LOGIN=alice@acme.example \
               DESTADDR=192.0.2.1 DESTPORT=25";
    client.expect(all, "220 relay.test");
    assert!(
        client.cmd("MAIL FROM:<x@acme.example>").starts_with("503"),
        "EHLO again"
    );
    client.expect("EHLO front.test", "250");
    client.accepted("forged@acme.example", &["one@other.example"], HAM);
    let mail = sink.wait_for("one@other.example");
    assert!(
        mail.text()
            .starts_with("Received: from front.test ([127.0.0.1])"),
        "{}",
        mail.text()
    );
    assert_eq!(
        traced(&relay, "one@other.example")["sender_key"],
        "acme:alice@acme.example"
    );
    // The front end goes on with another client, who has not logged in: nothing of the first one
    // may stay.
    client.expect("XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.10", "220");
    client.expect("EHLO front.test", "250");
    client.accepted("carol@acme.example", &["two@other.example"], HAM);
    assert_eq!(
        traced(&relay, "two@other.example")["sender"],
        "carol@acme.example"
    );
    client.expect("XCLIENT LOGIN=bob@acme.example", "220");
    client.expect("EHLO front.test", "250");
    client.expect("XCLIENT LOGIN=[UNAVAILABLE]", "220");
    client.expect("EHLO front.test", "250");
    client.accepted("carol@acme.example", &["three@other.example"], HAM);
    assert_eq!(
        traced(&relay, "three@other.example")["sender"],
        "carol@acme.example"
    );
}

#[test]
fn xforward_tells_and_changes_nothing() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let mut client = Client::hello(relay.smtp);
    let all = "XFORWARD NAME=spike.example ADDR=192.0.2.9 PORT=4000 PROTO=ESMTP HELO=spike.example IDENT=4F2 SOURCE=REMOTE";
    client.expect(all, "250");
    client.accepted("carol@acme.example", &["one@other.example"], HAM);
    let first = traced(&relay, "one@other.example");
    assert_eq!(first["sender"], "carol@acme.example");
    sink.wait_for("one@other.example");
    // It holds for one message; the next one did not come from there.
    client.accepted(
        "carol@acme.example",
        &["two@other.example"],
        &HAM.replace("m@acme", "n@acme"),
    );
    sink.wait_for("two@other.example");
    let log = relay.log();
    let came: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("came_from"))
        .collect();
    assert_eq!(came.len(), 1, "{log}");
    assert!(
        came[0].contains(first["id"].as_str().expect("id")) && came[0].contains("origin=192.0.2.9"),
        "{came:?}"
    );
}

#[test]
fn two_fields_that_name_the_sender_name_nobody_and_the_log_says_so() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let mut client = Client::hello(relay.smtp);
    let named = |names: &[&str]| {
        names
            .iter()
            .map(|n| format!("X-Authenticated-Sender: {n}@acme.example\n"))
            .collect::<String>()
            + HAM
    };
    for (to, names, key) in [
        (
            "one@other.example",
            &["alice"][..],
            "acme:alice@acme.example",
        ),
        (
            "two@other.example",
            &["eve", "alice"],
            "acme:carol@acme.example;127.0.0.1",
        ),
    ] {
        client.accepted("carol@acme.example", &[to], &named(names));
        assert_eq!(traced(&relay, to)["sender_key"], key);
        assert!(
            !sink.wait_for(to).text().contains("X-Authenticated-Sender"),
            "all of them are removed"
        );
    }
    let log = relay.log();
    let said: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("several headers that name the sender"))
        .collect();
    assert!(said.len() == 1 && said[0].contains("identity"), "{log}");
}

#[test]
fn sessions_of_one_address_are_counted() {
    let relay = Relay::start(&Sink::start(), "[limits]\nsessions_per_address = 2\n");
    let first = Client::hello(relay.smtp);
    let _second = Client::hello(relay.smtp);
    let mut third = Client::silent(relay.smtp);
    assert!(third.reply().starts_with("421 4.3.2"));
    assert_eq!(third.reply(), "", "closed");
    drop(first);
    relay.until("room for a session", |relay| {
        Client::silent(relay.smtp)
            .reply()
            .starts_with("220")
            .then_some(())
    });
}

#[test]
fn what_honest_servers_send_in_odd_forms_is_taken_and_goes_on() {
    let sink = Sink::scripted(|line| {
        line.starts_with("EHLO")
            .then(|| "250-sink.test\r\n250-PIPELINING\r\n250 DSN".into())
    });
    let relay = Relay::start(&sink, "");
    let sender = format!(
        "SRS0=HHHH=TT=far.example=bounces+{}@acme.example",
        "b".repeat(60)
    );
    for (n, (hello, written)) in [
        ("EHLO MÜLLER-PC".as_bytes(), "M?LLER-PC"),
        (b"EHLO M\xdcLLER-PC", "M?LLER-PC"),
        ("EHLO БУХ".as_bytes(), "???"),
        (b"EHLO a(b\"c", "a?b?c"),
        (b"EHLO", "unknown"),
        (b"HELO 192.0.2.1", "192.0.2.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Client::connect(relay.smtp);
        client.raw(&[hello, b"\r\n"].concat());
        assert!(client.reply().starts_with("250"));
        client.expect(
            &format!("MAIL FROM:<{sender}> ENVID=x+3dy+2b AUTH=alice SIZE="),
            "250",
        );
        client.expect(
            &format!("RCPT TO:<b{n}@other.example> ORCPT=rfc822;b+2bx@other.example"),
            "250",
        );
        client.expect("DATA", "354");
        client.expect("Subject: x\r\n\r\nx\r\n.", "250");
        let mail = sink.wait_for(&format!("b{n}@other.example"));
        let text = mail.text();
        let top = format!("Received: from {written} ([127.0.0.1])\r\n\tby relay.test with ");
        assert!(
            text.starts_with(&top)
                && text.contains(&format!("\r\n\tfor <b{n}@other.example>;\r\n")),
            "{text}"
        );
        assert_eq!(mail.from, sender);
        let has = |part: &str| mail.commands.iter().any(|c| c.contains(part));
        assert!(
            has("ENVID=x+3dy+2b") && has("ORCPT=rfc822;b+2bx@other.example"),
            "{:?}",
            mail.commands
        );
        assert!(!has("AUTH="), "{:?}", mail.commands);
    }
}
