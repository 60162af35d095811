//! With real mail: wants the unpacked corpora in the directory that `OUTGATE_CORPORA` names, and
//! says so where it is not set.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::corpus::messages;
use common::postfix::Postfix;
use common::{Client, Relay, Sink};
use std::path::PathBuf;

/// Mail of an authenticated user through Postfix, whose own Received field names the user.
fn submit(postfix: &Postfix, user: &str, to: &str, message: &str) {
    let mut client = Client::connect(postfix.smtp);
    assert!(client.cmd("EHLO user.test").starts_with("250"));
    assert!(
        client
            .cmd(&format!("XCLIENT LOGIN={user}"))
            .starts_with("220")
    );
    assert!(client.cmd("EHLO user.test").starts_with("250"));
    let reply = client.send(user, &[to], message);
    assert!(reply.starts_with("250"), "{reply}");
}

fn blocks(relay: &Relay) -> Vec<serde_json::Value> {
    relay.json("/api/v1/blocks")["items"]
        .as_array()
        .expect("items")
        .clone()
}

/// The account hears of its block by a bounce, the tenant by a notice; the line of Postfix's log.
fn everybody_is_told(sink: &Sink, postfix: &Postfix, reference: &str) -> String {
    let line = postfix.wait_log(&[
        "status=bounced",
        "550 5.1.8 Access denied, bad outbound sender",
        reference,
    ]);
    sink.wait("Postfix's bounce", |m| {
        m.from.is_empty() && m.to == ["alice@acme.example"] && m.text().contains(reference)
    });
    sink.wait("the notice", |m| {
        m.to.iter().any(|t| t == "postmaster@acme.example") && m.text().contains(reference)
    });
    line
}

#[test]
fn one_taken_over_account_among_fifty_is_stopped_and_nobody_else() {
    let Some(corpora) = std::env::var_os("OUTGATE_CORPORA").map(PathBuf::from) else {
        eprintln!("skipped: OUTGATE_CORPORA is not set");
        return;
    };
    let sink = Sink::start();
    let relay = Relay::start(&sink, "[scoring]\nlearning_messages = 100\n");
    let Some(postfix) = Postfix::start(relay.smtp) else {
        return;
    };
    let ham = messages(&corpora, "enron_business", "ham");
    let spam = messages(&corpora, "glitchy_spam_archive", "spam");
    let mut ordinary = ham.iter();
    let mut round = |name: &str| {
        for n in 0..50 {
            let (user, to) = (
                format!("user{n}@acme.example"),
                format!("{name}{n}@partner.example"),
            );
            submit(&postfix, &user, &to, ordinary.next().expect("enough ham"));
            sink.wait_for(&to);
        }
    };
    for name in ["a", "b", "c"] {
        round(name);
    }
    let blocks = || blocks(&relay);
    let mut sent = 0;
    while blocks().is_empty() {
        let to = format!("stranger{sent}@elsewhere.example");
        submit(
            &postfix,
            "alice@acme.example",
            &to,
            spam.get(sent).expect("stopped before the spam runs out"),
        );
        postfix.wait_log(&[&format!("to=<{to}>"), "status="]);
        sent += 1;
    }
    round("d");
    let blocks = blocks();
    assert_eq!(blocks.len(), 1, "{blocks:?}");
    assert_eq!(blocks[0]["subject"], "alice@acme.example");
    let reference = blocks[0]["ref"].as_str().expect("a reference");
    let line = everybody_is_told(&sink, &postfix, reference);
    let (status, _, error) = relay.cli(&[
        "blocks",
        "release",
        reference,
        "--verdict",
        "compromised",
        "--reason",
        "clean again",
    ]);
    assert_eq!(status, 0, "{error}");
    submit(
        &postfix,
        "alice@acme.example",
        "bob@partner.example",
        ham.last().expect("ham"),
    );
    sink.wait_for("bob@partner.example");
    eprintln!("{sent} messages of the taken-over account until the block; Postfix: {line}");
}

/// The shipped model has seen nothing of this corpus: after 300 of its messages hardly any of its
/// ham may lie above even odds, and spam stays where it was.
#[test]
fn a_tenants_own_mail_is_learned_without_labels() {
    use outgate::exports::{Extractor, Scorer, adapt};
    let Some(corpora) = std::env::var_os("OUTGATE_CORPORA").map(PathBuf::from) else {
        eprintln!("skipped: OUTGATE_CORPORA is not set");
        return;
    };
    let scorer = Scorer::shipped().expect("the shipped model is sound");
    let (mut delta, mut extractor) = (adapt::Delta::default(), Extractor::default());
    let ham = messages(&corpora, "enron_business", "ham");
    for message in &ham[..300] {
        extractor.extract(message.as_bytes());
        delta.learn(
            scorer.model(),
            &adapt::Lesson::new(scorer.model(), extractor.sample()),
            adapt::Label::Unlabelled,
        );
    }
    let mut above = |messages: &[String]| {
        let hits = messages.iter().filter(|message| {
            extractor.extract(message.as_bytes());
            scorer.judge(&extractor, Some(&delta)).llr > 0.0
        });
        hits.count() as f64 / messages.len() as f64
    };
    let (ham, spam) = (
        above(&ham[300..1300]),
        above(&messages(&corpora, "cwl_email_corpus", "spam")[..300]),
    );
    assert!(ham <= 0.01, "{ham} of own mail lies above even odds");
    assert!(spam >= 0.8, "{spam} of spam is caught");
}
