//! What the content brings about, and what people are told of it.

use super::*;

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
