//! The policy from end to end: every ceiling, every action, exact under load, and counted once.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use common::mail::{ham, spam};
use common::{Client, Relay, Sink};
use serde_json::Value;
use std::process::Command;
use std::sync::Barrier;

/// Neither detector nor rate rule: what happens comes from the ceilings alone.
const CEILINGS_ONLY: &str =
    "false_block_rate = 0\nspam_rate_min_messages = 0\nsuspicious = \"deliver\"\n";
const ALICE: &str = "alice@acme.example";

fn policy(keys: &str) -> String {
    format!("[policy.default]\n{CEILINGS_ONLY}{keys}\n")
}

fn external(n: usize) -> String {
    format!("r{n}@elsewhere.example")
}

fn send(client: &mut Client, n: usize) -> String {
    client.send(ALICE, &[&external(n)], &ham(n))
}

fn sender(relay: &Relay) -> Value {
    relay.json(&format!("/api/v1/senders/{ALICE}"))
}

fn items(relay: &Relay, path: &str) -> Vec<Value> {
    relay.json(path)["items"].as_array().expect("items").clone()
}

/// Waits until nothing but held mail is left in the queue.
fn settled(relay: &Relay) {
    relay.until("a queue at rest", |r| {
        items(r, "/api/v1/queue")
            .iter()
            .all(|m| m["state"] == "held")
            .then_some(())
    });
}

/// Mails to the tenant's admin whose text holds `part`, once everything that was told so far has
/// arrived.
fn notices(relay: &Relay, sink: &Sink, part: &str) -> Vec<String> {
    let (status, body) = relay.http(
        "POST",
        "/api/v1/blocks",
        r#"{"kind":"sender","subject":"last@acme.example","reason":"end of the test"}"#,
    );
    assert_eq!(status, 201, "{body}");
    // Notices are sent one after the other: when this one is there, all earlier ones are at least
    // in the queue.
    sink.wait("the last notice", |m| {
        m.text().contains("last@acme.example")
    });
    settled(relay);
    let mails = sink.all();
    let to_admin = mails
        .iter()
        .filter(|m| m.to.iter().any(|t| t == "postmaster@acme.example"));
    // Quoted-printable folds long lines.
    to_admin
        .map(|m| m.text().replace("=\r\n", ""))
        .filter(|t| t.contains(part))
        .collect()
}

#[test]
fn alert_lets_the_mail_go_and_tells_once() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        &policy("recipients_external_per_hour = 3\nwhen_exceeded = \"alert\""),
    );
    let mut client = Client::hello(relay.smtp);
    for n in 0..8 {
        let reply = send(&mut client, n);
        assert!(reply.starts_with("250"), "{reply}");
        sink.wait_for(&external(n));
    }
    let told = notices(&relay, &sink, "Unusual sending");
    assert_eq!(told.len(), 1, "a storm gives one notice: {told:#?}");
    assert!(
        told[0].contains(ALICE) && told[0].contains("The limit is 3"),
        "{}",
        told[0]
    );
    assert!(told[0].contains("Nothing was stopped"), "{}", told[0]);
    assert!(
        told[0].contains(&format!("outgate blocks add sender {ALICE} --reason")),
        "a command that works: {}",
        told[0]
    );
}

#[test]
fn throttle_refuses_exactly_the_surplus_and_those_accepted_stand() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        &policy("recipients_external_per_hour = 3\nwhen_exceeded = \"throttle\""),
    );
    let mut client = Client::hello(relay.smtp);
    assert!(
        client
            .cmd(&format!("MAIL FROM:<{ALICE}>"))
            .starts_with("250")
    );
    for n in 0..3 {
        assert!(
            client
                .cmd(&format!("RCPT TO:<{}>", external(n)))
                .starts_with("250")
        );
    }
    for n in 3..6 {
        let reply = client.cmd(&format!("RCPT TO:<{}>", external(n)));
        assert!(reply.starts_with("450 4.2.1 "), "{reply}");
    }
    assert!(
        client.cmd("RCPT TO:<bob@acme.example>").starts_with("250"),
        "internal mail has its own ceiling"
    );
    assert!(client.cmd("DATA").starts_with("354"));
    client.raw(common::client::stuffed(&ham(1)).as_bytes());
    assert!(client.reply().starts_with("250"));
    for n in 0..3 {
        sink.wait_for(&external(n));
    }
    assert_eq!(sender(&relay)["recipients_external_hour"], 3);
    let told = notices(&relay, &sink, "Unusual sending");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        !told[0].contains("Nothing was stopped"),
        "something was: {}",
        told[0]
    );
}

/// Fifty sessions ask for four recipients each at the same time.
fn rush(sessions: &mut [Client], round: usize) -> usize {
    let barrier = Barrier::new(sessions.len());
    let ask = |(who, client): (usize, &mut Client)| {
        assert!(
            client
                .cmd(&format!("MAIL FROM:<{ALICE}>"))
                .starts_with("250")
        );
        barrier.wait();
        let taken = |n: usize| {
            let reply = client.cmd(&format!("RCPT TO:<x{round}-{who}-{n}@elsewhere.example>"));
            assert!(
                reply.starts_with("250") || reply.starts_with("450 4.2.1 "),
                "{reply}"
            );
            usize::from(reply.starts_with("250"))
        };
        (0..4).map(taken).sum::<usize>()
    };
    let ask = &ask;
    std::thread::scope(|scope| {
        let running: Vec<_> = sessions
            .iter_mut()
            .enumerate()
            .map(|job| scope.spawn(move || ask(job)))
            .collect();
        running
            .into_iter()
            .map(|r| r.join().expect("a session"))
            .sum()
    })
}

#[test]
fn throttle_is_exact_under_fifty_sessions_and_what_is_not_used_is_given_back() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        &policy("recipients_external_per_hour = 90\nwhen_exceeded = \"throttle\""),
    );
    let mut sessions: Vec<_> = (0..50).map(|_| Client::hello(relay.smtp)).collect();
    assert_eq!(rush(&mut sessions, 0), 90);
    sessions
        .iter_mut()
        .for_each(|c| assert!(c.cmd("RSET").starts_with("250")));
    assert_eq!(rush(&mut sessions, 1), 90, "RSET gives back");
    sessions
        .iter_mut()
        .for_each(|c| assert!(c.cmd("EHLO again.test").starts_with("250")));
    assert_eq!(rush(&mut sessions, 2), 90, "so does EHLO");
    drop(sessions);
    // The end of the sessions gives back as well; the relay hears of it in its own time.
    let mut client = Client::hello(relay.smtp);
    relay.until("all given back", |_| {
        assert!(
            client
                .cmd(&format!("MAIL FROM:<{ALICE}>"))
                .starts_with("250")
        );
        let taken = (0..90)
            .take_while(|n| {
                client
                    .cmd(&format!("RCPT TO:<{}>", external(*n)))
                    .starts_with("250")
            })
            .count();
        if taken < 90 {
            client.cmd("RSET");
        }
        (taken == 90).then_some(())
    });
    assert!(client.cmd("DATA").starts_with("354"));
    client.raw(common::client::stuffed(&ham(1)).as_bytes());
    assert!(client.reply().starts_with("250"));
    assert!(send(&mut client, 91).starts_with("450 4.2.1 "));
    assert_eq!(sender(&relay)["recipients_external_hour"], 90);
}

#[test]
fn hold_answers_250_and_holds_exactly_the_surplus_under_fifty_sessions() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        &policy("recipients_external_per_hour = 20\nwhen_exceeded = \"hold\""),
    );
    let barrier = Barrier::new(50);
    std::thread::scope(|scope| {
        for n in 0..50 {
            let (barrier, address) = (&barrier, relay.smtp);
            scope.spawn(move || {
                let mut client = Client::hello(address);
                barrier.wait();
                let reply = send(&mut client, n);
                assert!(reply.starts_with("250"), "{reply}");
            });
        }
    });
    settled(&relay);
    let held = items(&relay, "/api/v1/held");
    assert_eq!(held.len(), 30);
    assert!(
        held[0]["hold"]
            .to_string()
            .contains("recipients_external_per_hour"),
        "{}",
        held[0]
    );
    let delivered = sink
        .all()
        .iter()
        .filter(|m| m.to[0].ends_with("@elsewhere.example"))
        .count();
    assert_eq!(delivered, 20);
}

#[test]
fn block_stops_with_the_first_message_over_the_ceiling_under_fifty_sessions() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        &policy("recipients_external_per_hour = 20\nwhen_exceeded = \"block\""),
    );
    let barrier = Barrier::new(50);
    let one = |n: usize| {
        let mut client = Client::hello(relay.smtp);
        barrier.wait();
        let reply = send(&mut client, n);
        let refused = reply.starts_with("550 5.1.8 Access denied, bad outbound sender [OG-");
        assert!(refused || reply.starts_with("250"), "{reply}");
        usize::from(!refused)
    };
    let one = &one;
    let accepted: usize = std::thread::scope(|scope| {
        let running: Vec<_> = (0..50).map(|n| scope.spawn(move || one(n))).collect();
        running
            .into_iter()
            .map(|r| r.join().expect("a session"))
            .sum()
    });
    assert_eq!(accepted, 20);
    let blocks = items(&relay, "/api/v1/blocks");
    assert_eq!(
        blocks.len(),
        1,
        "one block, however many sessions ask for it: {blocks:#?}"
    );
    assert_eq!(blocks[0]["reason"], "recipients_external_per_hour");
    assert_eq!(blocks[0]["until"], Value::Null);
    // A release as a mistake sends on what the block held, and the ceiling starts anew.
    let path = format!(
        "/api/v1/blocks/{}/release",
        blocks[0]["ref"].as_str().expect("a reference")
    );
    let (status, body) = relay.http(
        "POST",
        &path,
        r#"{"verdict":"mistake","reason":"a mailing we knew of"}"#,
    );
    assert_eq!(status, 200, "{body}");
    let reply = send(&mut Client::hello(relay.smtp), 100);
    assert!(reply.starts_with("250"), "{reply}");
    settled(&relay);
    assert!(items(&relay, "/api/v1/held").is_empty());
    assert_eq!(
        sink.all()
            .iter()
            .filter(|m| m.to[0].ends_with("@elsewhere.example"))
            .count(),
        21
    );
}

#[test]
fn block_until_tomorrow_ends_at_midnight_in_the_tenants_zone() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        &policy("recipients_external_per_hour = 1\nwhen_exceeded = \"block_until_tomorrow\""),
    );
    let mut client = Client::hello(relay.smtp);
    assert!(send(&mut client, 0).starts_with("250"));
    assert!(send(&mut client, 1).starts_with("550 5.1.8 "));
    let block = &items(&relay, "/api/v1/blocks")[0];
    let (opened, until) = (
        block["opened_at"].as_str().expect("opened"),
        block["until"].as_str().expect("until"),
    );
    let date = |zone: &str, time: &str, format: &str| {
        let output = Command::new("date")
            .env("TZ", zone)
            .args(["-d", time, format])
            .output()
            .expect("date");
        String::from_utf8(output.stdout)
            .expect("text")
            .trim()
            .to_owned()
    };
    assert_eq!(date("Europe/Berlin", until, "+%T"), "00:00:00");
    let day = |time: &str| date("Europe/Berlin", time, "+%F");
    assert_eq!(
        day(until),
        day(&format!("{} +1 day", day(opened))),
        "{opened} {until}"
    );
}

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

#[test]
fn each_of_suspicious_does_what_it_says() {
    for (what, reply, action) in [
        ("deliver", "250", "accept"),
        ("high_risk", "250", "high_risk"),
        ("hold", "250", "hold"),
        ("reject", "550 5.7.1", "reject"),
    ] {
        let sink = Sink::start();
        let keys = format!(
            "[policy.default]\nfalse_block_rate = 0\nspam_rate_min_messages = 0\nsuspicious = \"{what}\"\n"
        );
        let pool = "[[pool]]\nname = \"high_risk\"\nehlo = \"risk.relay.test\"\n";
        let relay = Relay::start(
            &sink,
            &format!(
                "{keys}{pool}[scoring]\nsuspicious_probability = 0.5\nspam_probability = 0.6\n"
            ),
        );
        let mut client = Client::hello(relay.smtp);
        let got = client.send(ALICE, &["bob@elsewhere.example"], &spam(1));
        assert!(got.starts_with(reply), "{what}: {got}");
        settled(&relay);
        let traced = &items(&relay, &format!("/api/v1/messages?sender={ALICE}"))[0];
        assert_eq!(traced["action"], action, "{traced}");
        let held = items(&relay, "/api/v1/held").len();
        assert_eq!(
            (held, sink.all().len()),
            (
                usize::from(what == "hold"),
                usize::from(matches!(what, "deliver" | "high_risk"))
            )
        );
        let delivered = |pool: &str| {
            let (_, metrics) = relay.http("GET", "/metrics", "");
            metrics.contains(&format!(
                "outgate_delivery_total{{outcome=\"delivered\",pool=\"{pool}\"}} 1"
            ))
        };
        // What was delivered is counted a moment after it has left the queue.
        let pools = ["normal", "high_risk"];
        let left = matches!(what, "deliver" | "high_risk")
            .then(|| relay.until(what, |_| pools.into_iter().find(|p| delivered(p))));
        assert_eq!(
            left == Some("high_risk"),
            what == "high_risk",
            "{what}: high-risk mail leaves from its own pool: {left:?}"
        );
        assert!(
            items(&relay, "/api/v1/blocks").is_empty(),
            "content alone opens no block here"
        );
    }
}

#[test]
fn the_spam_rate_blocks_at_its_share_among_enough_messages_and_not_before() {
    let sink = Sink::start();
    let keys = "[policy.default]\nfalse_block_rate = 0\nspam_rate = 0.5\nspam_rate_min_messages = 10\nspam_rate_window = \"1h\"\n\
                suspicious = \"deliver\"\n[scoring]\nsuspicious_probability = 0.5\nspam_probability = 0.6\n";
    let relay = Relay::start(&sink, keys);
    let mut client = Client::hello(relay.smtp);
    for n in 0..5 {
        assert!(
            client
                .send(ALICE, &[&external(n)], &spam(n))
                .starts_with("250"),
            "too few messages for a rate"
        );
    }
    for n in 5..9 {
        assert!(
            send(&mut client, n).starts_with("250"),
            "message {n} of at least 10"
        );
    }
    let view = sender(&relay);
    assert_eq!(
        (&view["messages_day"], &view["spam_day"]),
        (&9.into(), &5.into()),
        "{view}"
    );
    // The tenth: 5 of 10 are spam.
    let reply = send(&mut client, 9);
    assert!(reply.starts_with("550 5.1.8 "), "{reply}");
    let block = &items(&relay, "/api/v1/blocks")[0];
    assert_eq!(block["reason"], "spam_rate");
    assert!(
        block["explanation"]
            .as_str()
            .expect("text")
            .starts_with("5 of 10 messages"),
        "{block}"
    );
    assert!(
        block["evidence"].as_array().expect("evidence").len() >= 5,
        "{block}"
    );
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

#[test]
fn several_accounts_blocked_within_a_day_are_told_of_as_one_trouble() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        &policy("recipients_external_per_hour = 1\nwhen_exceeded = \"block\""),
    );
    let mut client = Client::hello(relay.smtp);
    for who in ["alice", "bob", "carol"] {
        let from = format!("{who}@acme.example");
        let text = |n: usize| {
            ham(n)
                .replace(ALICE, &from)
                .replace("<m", &format!("<{who}"))
        };
        assert!(
            client
                .send(&from, &[&external(1)], &text(1))
                .starts_with("250")
        );
        let reply = client.send(&from, &[&external(2)], &text(2));
        assert!(reply.starts_with("550 5.1.8 "), "{reply}");
    }
    let told = notices(&relay, &sink, "were blocked in the last 24 hours");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("3 senders of acme"), "{}", told[0]);
}
