//! What is counted, and that it is counted once.

use super::*;

#[test]
fn the_day_counts_internal_and_external_together_and_the_hour_each_alone() {
    let sink = Sink::start();
    let keys = "recipients_internal_per_hour = 2\nrecipients_external_per_hour = 3\nrecipients_per_day = 4\nwhen_exceeded = \"throttle\"";
    let relay = Relay::start(&sink, &policy(keys));
    let mut client = Client::hello(relay.smtp);
    assert!(
        client
            .cmd(&format!("MAIL FROM:<{ALICE}>"))
            .starts_with("250")
    );
    for (to, want) in [
        ("a@acme.example", "250"),
        ("b@acme.example", "250"),
        (
            "c@acme.example",
            "450 4.2.1 Too many internal recipients per hour",
        ),
        ("a@elsewhere.example", "250"),
        ("b@elsewhere.example", "250"),
        (
            "c@elsewhere.example",
            "450 4.2.1 Too many recipients per day",
        ),
    ] {
        let reply = client.cmd(&format!("RCPT TO:<{to}>"));
        assert!(reply.starts_with(want), "{to}: {reply}");
    }
}

/// The same Message-ID and body to somebody else each time was one message for the judge, and all
/// of it left.
#[test]
fn copies_of_an_accepted_message_are_messages() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "[scoring]\nlearning_messages = 0\n");
    let mut client = Client::hello(relay.smtp);
    let mut left = 0;
    let refused = loop {
        let reply = client.send(ALICE, &[&external(left)], &spam(1));
        if !reply.starts_with("250") {
            break reply;
        }
        left += 1;
        assert!(left <= 6, "{left} copies left");
    };
    assert!(refused.starts_with("550 5.1.8 "), "{refused}");
    let view = sender(&relay);
    assert_eq!(
        (&view["messages_hour"], &view["recipients_external_hour"]),
        (&(left + 1).into(), &left.into()),
        "{view}"
    );
    // Ordinary mail that a client sends twice is two messages, and nothing against anybody.
    let ordinary =
        "Subject: Minutes\nMessage-ID: <1@acme.example>\n\nHere are the minutes of Monday.\n";
    let mut client = Client::hello(relay.smtp);
    for _ in 0..2 {
        assert!(
            client
                .send("bob@acme.example", &["carol@elsewhere.example"], ordinary)
                .starts_with("250")
        );
    }
    let views = items(&relay, "/api/v1/senders");
    let bob = views
        .iter()
        .find(|v| v["address"] == "bob@acme.example")
        .expect("bob is known");
    assert_eq!(
        (&bob["messages_hour"], &bob["recipients_external_hour"]),
        (&2.into(), &2.into()),
        "{bob}"
    );
    assert_eq!(bob["evidence_nats"].as_f64(), Some(0.0), "{bob}");
}

/// Evidence only fades, by hardly anything in the minutes that a test takes on a slow machine.
fn assert_no_evidence_added(before: &Value, after: &Value) {
    let nats = |view: &Value| view["evidence_nats"].as_f64().expect("nats");
    assert!(
        (0.9 * nats(before)..=nats(before)).contains(&nats(after)),
        "{before}\n{after}"
    );
}

#[test]
fn a_message_deferred_twenty_times_leaves_no_trace_in_the_counters() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        &policy("recipients_external_per_hour = 1\nwhen_exceeded = \"throttle\""),
    );
    let mut client = Client::hello(relay.smtp);
    // Who sends is known from the header only, so the ceiling is met at the final dot.
    let text = |n| format!("X-Authenticated-Sender: {ALICE}\n{}", ham(n));
    let reply = client.send("office@acme.example", &["a@elsewhere.example"], &text(0));
    assert!(reply.starts_with("250"), "{reply}");
    // What became of it counts as well; it is counted when the trace shows it.
    relay.until("its delivery", |r| {
        let found = items(r, &format!("/api/v1/messages?sender={ALICE}"));
        (found.first()?["history"].as_array()?.len() == 1).then_some(())
    });
    let before = sender(&relay);
    for _ in 0..20 {
        let reply = client.send("office@acme.example", &["b@elsewhere.example"], &text(1));
        assert!(reply.starts_with("450 4.2.1 "), "{reply}");
    }
    let after = sender(&relay);
    for counter in [
        "messages_hour",
        "recipients_external_hour",
        "recipients_day",
        "spam_day",
    ] {
        assert_eq!(before[counter], after[counter], "{counter}");
    }
    assert_no_evidence_added(&before, &after);
    assert!(items(&relay, "/api/v1/blocks").is_empty());
}
