//! Where mail goes: what DNS says of a destination, and the smart host of a route.

use super::*;
use common::tls::Certificate;

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
