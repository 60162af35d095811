//! Bounces that come back.

use super::*;

#[test]
fn a_bounce_that_comes_back_counts_and_reaches_the_sender() {
    let sink = Sink::start();
    let relay = relay(&sink, true, "");
    let id = send(&relay, 1, &["gone@far.example"]);
    let sent = sink.wait_for("gone@far.example");
    let path = &sent.from;
    assert!(
        path.starts_with(&format!("bounces+{id}")) && path.ends_with("@bounce.example"),
        "{path}"
    );
    assert!(
        !sent.text().contains("bounces+"),
        "the message itself does not change"
    );

    let bounce = delivery_report("gone@far.example", "5.1.1", "550 5.1.1 No such user here");
    let reply = report(&relay, "", path, &bounce);
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    let passed_on = sink.wait_for("alice@acme.example");
    assert_eq!(passed_on.from, "", "a report never brings about another");
    assert!(
        passed_on.text().contains("550 5.1.1 No such user here"),
        "as it came"
    );
    let failed = |(status, text): &(String, String)| {
        status == "failed" && text.contains("550 5.1.1 No such user here")
    };
    assert_eq!(
        history(&relay, &id)
            .iter()
            .filter(|line| failed(line))
            .count(),
        1
    );

    // Again: passed on, but counted once. Case is folded on the way.
    assert!(report(&relay, "", &path.to_uppercase(), &bounce).starts_with("250"));
    sink.wait("the second report", |m| {
        m.from.is_empty() && m.data != passed_on.data && m.to == ["alice@acme.example"]
    });
    assert_eq!(
        history(&relay, &id)
            .iter()
            .filter(|line| failed(line))
            .count(),
        1
    );
    assert_eq!(
        (
            metric(&relay, "bounce", "counted"),
            metric(&relay, "bounce", "repeated")
        ),
        (1, 1)
    );
    no_bounce_counts_nothing(&relay, &sink, path);
}

/// A person's answer is not taken, and an out-of-office note from <> goes on without counting.
fn no_bounce_counts_nothing(relay: &Relay, sink: &Sink, path: &str) {
    assert!(
        report(relay, "eve@far.example", path, "Subject: hi\r\n\r\nbuy\r\n")
            .starts_with("550 5.7.1")
    );
    assert!(report(relay, "", path, "Subject: away\r\n\r\nBack on Monday.\r\n").starts_with("250"));
    sink.wait("the note", |m| {
        m.text().contains("Back on Monday") && m.to == ["alice@acme.example"]
    });
}

#[test]
fn mail_that_stays_inside_keeps_its_return_path() {
    let sink = Sink::start();
    let relay = relay(&sink, true, "");
    send(&relay, 1, &["bob@acme.example"]);
    assert_eq!(sink.wait_for("bob@acme.example").from, "alice@acme.example");
}

/// The return path of a message made at this time, as the relay would make it.
fn return_path(relay: &Relay, time: outgate::exports::Time) -> String {
    let key = outgate::exports::ensure_key(&relay.dir.path().join("data")).expect("the key");
    let domain = outgate::exports::Domain::parse("bounce.example").expect("a domain");
    key.return_path(outgate::exports::MessageId::from_parts(time, 7), &domain)
}

#[test]
fn a_bounce_whose_sender_cannot_be_told_waits_until_it_is_too_old() {
    let sink = Sink::start();
    let relay = relay(&sink, true, "");
    let bounce = delivery_report("gone@far.example", "5.1.1", "550 5.1.1 No such user here");
    let young = outgate::exports::Clock::now(&outgate::exports::SystemClock::default());
    let reply = report(&relay, "", &return_path(&relay, young), &bounce);
    assert!(
        reply.starts_with("451 4.3.0"),
        "its trace may come back: {reply}"
    );
    let reply = report(
        &relay,
        "",
        &return_path(&relay, outgate::exports::Time::from_secs(1_000_000_000)),
        &bounce,
    );
    assert!(reply.starts_with("550 5.1.1"), "{reply}");
    assert!(sink.all().is_empty());
}

#[test]
fn a_bounce_of_whom_the_message_did_not_go_to_counts_nothing() {
    let sink = Sink::start();
    let relay = relay(&sink, true, "");
    let id = send(&relay, 1, &["one@far.example", "two@far.example"]);
    let path = sink.wait_for("one@far.example").from;
    assert!(
        report(
            &relay,
            "",
            &path,
            &delivery_report("three@far.example", "5.1.1", "550 No such user")
        )
        .starts_with("250")
    );
    sink.wait_for("alice@acme.example");
    assert_eq!(
        (
            metric(&relay, "bounce", "no_such_recipient"),
            metric(&relay, "bounce", "counted")
        ),
        (1, 0)
    );
    assert!(
        history(&relay, &id)
            .iter()
            .all(|(status, _)| status == "delivered")
    );
}

#[test]
fn tokens_stay_good_over_a_restart() {
    let sink = Sink::start();
    let mut relay = relay(&sink, true, "");
    let id = send(&relay, 1, &["gone@far.example"]);
    let path = sink.wait_for("gone@far.example").from;
    // The relay waits a tenth of a second for the trace to be written; a slow disk may take longer.
    // What was found is written.
    history(&relay, &id);
    relay = relay.crash_and_restart();
    let reply = report(
        &relay,
        "",
        &path,
        &delivery_report("gone@far.example", "5.1.1", "550 5.1.1 No such user here"),
    );
    assert!(reply.starts_with("250"), "{reply}");
    sink.wait_for("alice@acme.example");
}
