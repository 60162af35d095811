//! Attempts and their sessions: what is shared, and what holds up nobody else.

use super::*;

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
