//! What happens beyond a ceiling.

use super::*;
use std::process::Command;
use std::sync::Barrier;

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
