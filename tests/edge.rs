//! What stands between the socket and the mail: PROXY headers, XCLIENT and XFORWARD, limits, and
//! next hops that cannot take what the relay has taken.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::sink::Arrived;
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
    assert!(client.cmd("EHLO client.test").starts_with("250"));
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
    assert!(client.cmd(all).starts_with("220 relay.test"));
    assert!(
        client.cmd("MAIL FROM:<x@acme.example>").starts_with("503"),
        "EHLO again"
    );
    assert!(client.cmd("EHLO front.test").starts_with("250"));
    assert!(
        client
            .send("forged@acme.example", &["one@other.example"], HAM)
            .starts_with("250")
    );
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
    assert!(
        client
            .cmd("XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.10")
            .starts_with("220")
    );
    assert!(client.cmd("EHLO front.test").starts_with("250"));
    assert!(
        client
            .send("carol@acme.example", &["two@other.example"], HAM)
            .starts_with("250")
    );
    assert_eq!(
        traced(&relay, "two@other.example")["sender"],
        "carol@acme.example"
    );
    assert!(
        client
            .cmd("XCLIENT LOGIN=bob@acme.example")
            .starts_with("220")
    );
    assert!(client.cmd("EHLO front.test").starts_with("250"));
    assert!(client.cmd("XCLIENT LOGIN=[UNAVAILABLE]").starts_with("220"));
    assert!(client.cmd("EHLO front.test").starts_with("250"));
    assert!(
        client
            .send("carol@acme.example", &["three@other.example"], HAM)
            .starts_with("250")
    );
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
    assert!(client.cmd(all).starts_with("250"));
    assert!(
        client
            .send("carol@acme.example", &["one@other.example"], HAM)
            .starts_with("250")
    );
    let first = traced(&relay, "one@other.example");
    assert_eq!(first["sender"], "carol@acme.example");
    sink.wait_for("one@other.example");
    // It holds for one message; the next one did not come from there.
    assert!(
        client
            .send(
                "carol@acme.example",
                &["two@other.example"],
                &HAM.replace("m@acme", "n@acme")
            )
            .starts_with("250")
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
        assert!(
            client
                .send("carol@acme.example", &[to], &named(names))
                .starts_with("250")
        );
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
fn messages_beyond_a_limit_are_refused_with_its_own_code() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        "[limits]\nmessage_size_bytes = 70000\nrecipients_per_message = 2\nline_bytes = 5000\nheader_fields = 50\n\
         received_fields = 10\nmime_depth = 5\nmime_parts = 20\n",
    );
    let mut client = Client::hello(relay.smtp);
    assert!(
        client
            .cmd("MAIL FROM:<a@acme.example> SIZE=70001")
            .starts_with("552 5.3.4")
    );
    assert!(
        client
            .cmd("MAIL FROM:<a@acme.example> SIZE=70000")
            .starts_with("250")
    );
    assert!(client.cmd("RCPT TO:<b@other.example>").starts_with("250"));
    assert!(client.cmd("RCPT TO:<c@other.example>").starts_with("250"));
    assert!(
        client
            .cmd("RCPT TO:<d@other.example>")
            .starts_with("452 4.5.3")
    );
    assert!(client.cmd("RSET").starts_with("250"));

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
    for (what, message, reply) in [
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
    ] {
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
    assert!(first.cmd("MAIL FROM:<a@acme.example>").starts_with("250"));
    assert!(
        first
            .cmd("RCPT TO:<first@other.example>")
            .starts_with("250")
    );
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
    assert!(first.cmd("BDAT 0 LAST").starts_with("250"));
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
        assert!(third.cmd("MAIL FROM:<a@acme.example>").starts_with("250"));
        assert!(
            third
                .cmd("RCPT TO:<third@other.example>")
                .starts_with("250")
        );
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
    assert!(
        client
            .cmd("MAIL FROM:<alice@acme.example> SMTPUTF8")
            .starts_with("250")
    );
    assert!(
        client
            .cmd("RCPT TO:<b\u{fc}cher@other.example>")
            .starts_with("250")
    );
    assert!(
        client
            .cmd("RCPT TO:<plain@other.example>")
            .starts_with("250")
    );
    assert!(client.cmd("DATA").starts_with("354"));
    assert!(client.cmd("Subject: x\r\n\r\nx\r\n.").starts_with("250"));
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
    assert!(
        client
            .cmd("MAIL FROM:<alice@acme.example> BODY=8BITMIME")
            .starts_with("250")
    );
    assert!(
        client
            .cmd("RCPT TO:<eight@other.example>")
            .starts_with("250")
    );
    assert!(client.cmd("DATA").starts_with("354"));
    let message = "From: alice@acme.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                   Content-Transfer-Encoding: 8bit\r\n\r\ngr\u{fc}n\r\n.";
    assert!(client.cmd(message).starts_with("250"));
    let report = sink.wait("the report", is_report);
    assert!(
        report.text().contains("Status: 5.6.") && report.data.is_ascii(),
        "{}",
        report.text()
    );
    // Declared as eight bits, but seven is what it has: it goes.
    assert!(
        client
            .cmd("MAIL FROM:<alice@acme.example> BODY=8BITMIME")
            .starts_with("250")
    );
    assert!(
        client
            .cmd("RCPT TO:<seven@other.example>")
            .starts_with("250")
    );
    assert!(client.cmd("DATA").starts_with("354"));
    assert!(client.cmd("Subject: x\r\n\r\nx\r\n.").starts_with("250"));
    sink.wait_for("seven@other.example");
    assert!(
        sink.all()
            .iter()
            .all(|mail| mail.to != ["eight@other.example"])
    );
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
        assert!(
            client
                .cmd(&format!(
                    "MAIL FROM:<{sender}> ENVID=x+3dy+2b AUTH=alice SIZE="
                ))
                .starts_with("250")
        );
        assert!(
            client
                .cmd(&format!(
                    "RCPT TO:<b{n}@other.example> ORCPT=rfc822;b+2bx@other.example"
                ))
                .starts_with("250")
        );
        assert!(client.cmd("DATA").starts_with("354"));
        assert!(client.cmd("Subject: x\r\n\r\nx\r\n.").starts_with("250"));
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
