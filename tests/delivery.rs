//! Delivery from the real binary: a real name server, real sinks on loopback addresses of their
//! own, real waits.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::dns::NameServer;
use common::sink::Arrived;
use common::tls::Certificate;
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

#[test]
fn exchangers_are_tried_in_order_and_the_next_one_when_one_is_dead() {
    let home = Sink::start();
    let first = Sink::at(on(2, 0), None, |_| None);
    let port = first.address.port();
    let second = Sink::at(on(3, port), None, |_| None);
    let dns = NameServer::start(
        "order.example. MX 20 b.example.
         order.example. MX 10 a.example.
         dead.example. MX 20 b.example.
         dead.example. MX 10 dead4.example.
         plain.example. A 127.0.0.3
         a.example. A 127.0.0.2
         b.example. A 127.0.0.3
         dead4.example. A 127.0.0.4",
    );
    let relay = relay(&dns, &home, port, "allow_private_addresses = true", "");
    send(
        &relay,
        "alice@acme.example",
        &["x@order.example", "y@dead.example", "z@plain.example"],
        HAM,
    );
    first.wait_for("x@order.example");
    second.wait_for("y@dead.example");
    second.wait_for("z@plain.example");
    assert_eq!(
        (first.all().len(), second.all().len()),
        (1, 2),
        "one transaction for each destination"
    );
}

#[test]
fn what_dns_says_for_good_returns_and_what_it_cannot_say_waits() {
    let home = Sink::start();
    let dns = NameServer::start(
        "null.example. MX 0 .
         inside.example. MX 10 loop.example.
         loop.example. A 127.0.0.1",
    );
    let relay = relay(
        &dns,
        &home,
        home.address.port(),
        "allow_private_addresses = false",
        "",
    );
    let to = [
        "x@null.example",
        "x@missing.example",
        "x@inside.example",
        "x@servfail.example",
    ];
    send(&relay, "alice@acme.example", &to, HAM);
    for (recipient, status) in [
        ("x@null.example", "5.1.10"),
        ("x@missing.example", "5.1.2"),
        ("x@inside.example", "5.4.4"),
    ] {
        let fields = report_on(&home, recipient);
        assert!(
            fields.contains("Reporting-MTA: dns; relay.test\r\n"),
            "{fields}"
        );
        assert!(
            fields.contains(&format!("Action: failed\r\nStatus: {status}\r\n")),
            "{fields}"
        );
    }
    let waiting = relay.until("the deferral in the queue", |relay| {
        let queue = relay.json("/api/v1/queue?state=deferred");
        queue["items"]
            .as_array()
            .filter(|items| items.len() == 1)
            .map(|items| items[0]["id"].as_str().expect("id").to_owned())
    });
    let (_, shown, _) = relay.cli(&["queue", "show", &waiting]);
    assert!(
        shown.contains("451 4.4.3 MX of servfail.example"),
        "{shown}"
    );
    assert!(
        home.all()
            .iter()
            .all(|mail| !mail.text().contains("x@servfail.example\r\nAction"))
    );
    assert!(
        home.all()
            .iter()
            .all(|mail| mail.to == ["alice@acme.example"]),
        "nothing went to the private address"
    );
}

/// One exchanger for `far.example` that answers by a script.
fn far(script: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> (Sink, NameServer) {
    let sink = Sink::at(on(2, 0), None, script);
    (
        sink,
        NameServer::start("far.example. MX 10 mx.far.example.\n mx.far.example. A 127.0.0.2"),
    )
}

#[test]
fn a_deferred_recipient_is_tried_again_and_the_others_are_not() {
    let tries = AtomicUsize::new(0);
    let (sink, dns) = far(move |line| {
        let first = line.contains("later@") && tries.fetch_add(1, Ordering::SeqCst) == 0;
        first.then(|| "451 4.7.1 Greylisted".into())
    });
    let home = Sink::start();
    let relay = relay(
        &dns,
        &home,
        sink.address.port(),
        "allow_private_addresses = true\nretry = [\"1s\"]",
        "",
    );
    send(
        &relay,
        "alice@acme.example",
        &["now@far.example", "later@far.example"],
        HAM,
    );
    let arrived = sink.wait_count(2);
    assert_eq!(arrived[0].to, ["now@far.example"]);
    assert_eq!(arrived[1].to, ["later@far.example"]);
    wait_empty(&relay);
    assert!(home.all().is_empty(), "no report");
}

#[test]
fn a_refused_recipient_is_told_to_the_sender_once_and_to_the_null_sender_never() {
    let (sink, dns) = far(|line| {
        line.contains("no@")
            .then(|| "550 5.1.1 No such user".into())
    });
    let home = Sink::start();
    let relay = relay(
        &dns,
        &home,
        sink.address.port(),
        "allow_private_addresses = true",
        "",
    );
    send(
        &relay,
        "",
        &["no@far.example"],
        &HAM.replace("m@acme", "null@acme"),
    );
    wait_empty(&relay);
    send(
        &relay,
        "alice@acme.example",
        &["no@far.example", "yes@far.example"],
        HAM,
    );
    sink.wait_for("yes@far.example");
    let fields = report_on(&home, "no@far.example");
    assert!(
        fields.contains("Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.far.example\r\n"),
        "{fields}"
    );
    assert!(
        fields.contains("Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n"),
        "{fields}"
    );
    assert!(!fields.contains("yes@far.example"), "{fields}");
    wait_empty(&relay);
    let all = home.all();
    assert_eq!(
        (all.len(), all[0].to.as_slice()),
        (1, &["alice@acme.example".to_owned()][..])
    );
    // Two messages, two refusals; each had a second line, from its report.
    let bounced = relay
        .log()
        .lines()
        .filter(|l| l.contains(" bounced id=") && l.contains(" to=no@far.example "))
        .count();
    assert_eq!(bounced, 2, "{}", relay.log());
}

#[test]
fn success_is_reported_where_the_next_hop_does_not() {
    let (sink, dns) = far(|line| {
        line.starts_with("EHLO")
            .then(|| "250-mx.far.example\r\n250 PIPELINING".into())
    });
    let home = Sink::start();
    let relay = relay(
        &dns,
        &home,
        sink.address.port(),
        "allow_private_addresses = true",
        "",
    );
    let mut client = Client::hello(relay.smtp);
    assert!(
        client
            .cmd("MAIL FROM:<alice@acme.example> RET=HDRS ENVID=QQ+2B1")
            .starts_with("250")
    );
    assert!(
        client
            .cmd("RCPT TO:<x@far.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+2Bs@far.example")
            .starts_with("250")
    );
    assert!(
        client
            .cmd("RCPT TO:<y@far.example> NOTIFY=FAILURE")
            .starts_with("250")
    );
    assert!(
        client
            .cmd("RCPT TO:<z@acme.example> NOTIFY=SUCCESS ORCPT=rfc822;z@acme.example")
            .starts_with("250")
    );
    assert!(client.cmd("DATA").starts_with("354"));
    assert!(client.cmd("Subject: x\r\n\r\nx\r\n.").starts_with("250"));
    let fields = report_on(&home, "x@far.example");
    assert!(
        fields.contains("Original-Envelope-Id: QQ+1\r\n"),
        "{fields}"
    );
    assert!(
        fields.contains("Original-Recipient: rfc822; x+s@far.example\r\n"),
        "{fields}"
    );
    assert!(fields.contains("Action: relayed\r\nStatus: 2."), "{fields}");
    assert!(!fields.contains("y@far.example"), "{fields}");
    // A next hop that knows DSN gets the wish itself.
    let passed = home.wait_for("z@acme.example");
    assert!(
        passed.commands[0].contains("ENVID=QQ+2B1") && passed.commands[0].contains("RET=HDRS"),
        "{:?}",
        passed.commands
    );
    assert!(
        passed.commands[1].contains("NOTIFY=SUCCESS ORCPT=rfc822;z@acme.example"),
        "{:?}",
        passed.commands
    );
    wait_empty(&relay);
    assert_eq!(
        home.all()
            .iter()
            .filter(|mail| mail.from.is_empty())
            .count(),
        1,
        "one report"
    );
}

#[test]
fn a_delay_is_told_and_its_end_as_well() {
    let (sink, dns) = far(|line| {
        line.starts_with("RCPT")
            .then(|| "452 4.2.2 Mailbox full".into())
    });
    let home = Sink::start();
    let delivery =
        "allow_private_addresses = true\nretry = [\"1s\"]\ndelay_notice = \"4h\"\nexpire = \"1d\"";
    let relay = relay(&dns, &home, sink.address.port(), delivery, "");
    // One after the other, however long each takes: the first answer, the notice, the end of its
    // time.
    let change = |from: &str, to: &str| {
        let file = common::path(&relay, "outgate.toml");
        let config = std::fs::read_to_string(&file).expect("config");
        std::fs::write(&file, config.replace(from, to)).expect("written");
        relay.signal("HUP");
    };
    send(&relay, "alice@acme.example", &["x@far.example"], HAM);
    relay.until("the first answer", |_| {
        relay.log().contains(" deferred id=").then_some(())
    });
    change("delay_notice = \"4h\"", "delay_notice = \"1s\"");
    let notice = home.wait_count(1).pop().expect("a notice");
    let delayed = fields(&notice);
    assert!(
        delayed.contains("Action: delayed\r\nStatus: 4.2.2\r\n")
            && delayed.contains("Will-Retry-Until: "),
        "{delayed}"
    );
    // The report has as long to arrive.
    change("expire = \"1d\"", "expire = \"10s\"");
    let failed = fields(&home.wait_count(2).pop().expect("a report"));
    assert!(
        failed.contains("Action: failed\r\nStatus: 4.4.7\r\n"),
        "{failed}"
    );
    assert!(failed.contains("452 4.2.2 Mailbox full"), "{failed}");
    wait_empty(&relay);
    assert_eq!(home.all().len(), 2, "one notice and one report");
}

#[test]
fn recipients_of_one_destination_share_a_transaction_and_messages_a_connection() {
    /// For so long the relay keeps a connection for the next message.
    const KEPT: Duration = Duration::from_secs(10);
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let (sink, dns) = far(move |line| {
        count.fetch_add(usize::from(line.starts_with("EHLO")), Ordering::SeqCst);
        None
    });
    let relay = relay(
        &dns,
        &Sink::start(),
        sink.address.port(),
        "allow_private_addresses = true",
        "",
    );
    let begun = Instant::now();
    for n in 0..3 {
        let to = [
            format!("a{n}@far.example"),
            format!("b{n}@FAR.example"),
            format!("c{n}@far.example"),
        ];
        send(
            &relay,
            "alice@acme.example",
            &to.each_ref().map(String::as_str),
            &HAM.replace("m@acme", &format!("m{n}@acme")),
        );
        let mail = sink.wait_count(n + 1).pop().expect("a message");
        assert_eq!(mail.to.len(), 3, "{:?}", mail.to);
        wait_empty(&relay);
    }
    // On a machine that takes longer for all three it may have been closed in between.
    assert!(
        connections.load(Ordering::SeqCst) == 1 || begun.elapsed() >= KEPT,
        "{connections:?} connections"
    );
}

#[test]
fn a_next_hop_that_hangs_holds_up_nobody_else() {
    let hanging = Sink::at(on(2, 0), None, |line| (line == ".").then(|| "hang".into()));
    let port = hanging.address.port();
    let good = Sink::at(on(3, port), None, |_| None);
    let dns = NameServer::start(
        "hang.example. MX 10 mx2.example.
         good.example. MX 10 mx3.example.
         mx2.example. A 127.0.0.2
         mx3.example. A 127.0.0.3",
    );
    let relay = relay(
        &dns,
        &Sink::start(),
        port,
        "allow_private_addresses = true",
        "",
    );
    for n in 0..20 {
        let message = HAM.replace("m@acme", &format!("m{n}@acme"));
        send(
            &relay,
            "alice@acme.example",
            &[&format!("x{n}@hang.example"), &format!("y{n}@good.example")],
            &message,
        );
    }
    good.wait_count(20);
}

#[test]
fn suspicious_mail_leaves_under_the_name_of_its_pool() {
    let names = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&names);
    let (sink, dns) = far(move |line| {
        if line.starts_with("EHLO") {
            heard.lock().expect("lock").push(line.to_owned());
        }
        None
    });
    let extra = "[[pool]]\nname = \"high_risk\"\nehlo = \"risk.relay.test\"\n[scoring]\nlearning_messages = 0\n";
    let relay = relay(
        &dns,
        &Sink::start(),
        sink.address.port(),
        "allow_private_addresses = true",
        extra,
    );
    send(&relay, "alice@acme.example", &["ham@far.example"], HAM);
    sink.wait_for("ham@far.example");
    send(
        &relay,
        "alice@acme.example",
        &["spam@far.example"],
        &common::mail::spam(1),
    );
    sink.wait_for("spam@far.example");
    assert_eq!(
        *names.lock().expect("lock"),
        ["EHLO relay.test", "EHLO risk.relay.test"]
    );
}

#[test]
fn a_smart_host_gets_the_password_under_tls_only() {
    let tls = AtomicBool::new(false);
    let logins = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&logins);
    let smart = Sink::at(
        on(2, 0),
        Some(Certificate::new("smart.test")),
        move |line| {
            let word = line.split(' ').next().unwrap_or_default();
            match word {
                "EHLO" if tls.load(Ordering::SeqCst) => {
                    Some("250-smart.test\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN".into())
                }
                "EHLO" => Some(
                    "250-smart.test\r\n250-PIPELINING\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS"
                        .into(),
                ),
                "STARTTLS" => {
                    tls.store(true, Ordering::SeqCst);
                    None
                }
                "AUTH" => {
                    heard
                        .lock()
                        .expect("lock")
                        .push((tls.load(Ordering::SeqCst), line.to_owned()));
                    Some("235 2.7.0 Welcome".into())
                }
                _ => None,
            }
        },
    );
    let home = Sink::start();
    let dns = NameServer::start("");
    let route = format!(
        "[[route]]\ndomain = \"*\"\nhost = \"{}\"\ntls = \"opportunistic\"\nusername = \"relay\"\npassword = \"secret\"\n",
        smart.address
    );
    let relay = relay(&dns, &home, 25, "", &route);
    send(&relay, "alice@acme.example", &["x@far.example"], HAM);
    smart.wait_for("x@far.example");
    assert_eq!(
        *logins.lock().expect("lock"),
        [(true, "AUTH PLAIN AHJlbGF5AHNlY3JldA==".to_owned())]
    );
    assert!(!relay.log().contains("secret"));
}

#[test]
fn a_next_hop_that_takes_three_messages_per_session_gets_all_without_waiting() {
    // Three of twelve were delivered: the fourth read 452 4.4.5 over the same connection, and the
    // destination rested.
    for (at, said) in [
        ("MAIL", "452 4.4.5 Insufficient system resources"),
        ("DATA", "452 4.4.5 Enough"),
        ("RCPT", "421 4.4.5 Enough"),
    ] {
        // One connection at a time, so that what comes after EHLO is of one session.
        let taken = AtomicUsize::new(0);
        let sessions = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sessions);
        let (sink, dns) = far(move |line| {
            if line.starts_with("EHLO") {
                count.fetch_add(1, Ordering::SeqCst);
                taken.store(0, Ordering::SeqCst);
            }
            let enough = taken.fetch_add(usize::from(line == "."), Ordering::SeqCst) >= 3;
            (enough && line.starts_with(at)).then(|| said.into())
        });
        let pool = "[[pool]]\nname = \"normal\"\nconnections_per_destination = 1\n";
        let delivery = "allow_private_addresses = true\nretry = [\"24h\"]";
        let relay = relay(&dns, &Sink::start(), sink.address.port(), delivery, pool);
        for n in 0..12 {
            send(
                &relay,
                "alice@acme.example",
                &[&format!("x{n}@far.example")],
                &HAM.replace("m@acme", &format!("m{n}@acme")),
            );
        }
        sink.wait_count(12);
        wait_empty(&relay);
        assert_eq!(sink.all().len(), 12, "{at} {said}");
        // A connection that lay idle for too long makes one more.
        assert!(sessions.load(Ordering::SeqCst) >= 4, "{at} {said}");
    }
}

#[test]
fn what_one_sender_meets_at_mail_stops_nobody_else() {
    for said in [
        "451 4.4.1 Not you",
        "421 4.7.0 Not you",
        "450 4.1.8 Not you",
    ] {
        let (sink, dns) = far(move |line| line.starts_with("MAIL FROM:<bad@").then(|| said.into()));
        let delivery = "allow_private_addresses = true\nretry = [\"24h\"]";
        let relay = relay(&dns, &Sink::start(), sink.address.port(), delivery, "");
        for n in 0..6 {
            send(
                &relay,
                "bad@acme.example",
                &["x@far.example"],
                &HAM.replace("m@acme", &format!("bad{n}@acme")),
            );
        }
        relay.until("six deferrals", |relay| {
            (relay.log().matches(" deferred id=").count() == 6).then_some(())
        });
        for n in 0..6 {
            send(
                &relay,
                "alice@acme.example",
                &["x@far.example"],
                &HAM.replace("m@acme", &format!("m{n}@acme")),
            );
        }
        assert!(
            sink.wait_count(6)
                .iter()
                .all(|mail| mail.from == "alice@acme.example"),
            "{said}"
        );
    }
}

#[test]
fn a_name_server_that_never_answers_about_aaaa_does_not_hold_up_mail() {
    // Each message waited fifteen seconds.
    let sink = Sink::at(on(2, 0), None, |_| None);
    let dns =
        NameServer::start("far.example. MX 10 no6.far.example.\n no6.far.example. A 127.0.0.2");
    let relay = relay(
        &dns,
        &Sink::start(),
        sink.address.port(),
        "allow_private_addresses = true",
        "",
    );
    let begun = Instant::now();
    for n in 0..5 {
        send(
            &relay,
            "alice@acme.example",
            &["x@far.example"],
            &HAM.replace("m@acme", &format!("m{n}@acme")),
        );
        sink.wait_count(n + 1);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}
