//! The first hour of an empty relay, with real mail: wants the unpacked corpora in the directory
//! that `OUTGATE_CORPORA` names, and says so where it is not set.
#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::corpus::messages;
use common::{Client, Relay, Sink};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Three hundred ordinary messages of twenty people, then three accounts with twenty advance-fee
/// letters each, a stranger each. How many letters of each account left, and who was blocked beside
/// them.
fn story(
    ordinary: &[String],
    letters: &[String],
    accounts: [&str; 3],
) -> (Vec<usize>, Vec<String>) {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let send = |user: &str, to: &str, message: &str| {
        let mut client = Client::connect(relay.smtp);
        assert!(client.cmd("EHLO mail.test").starts_with("250"));
        assert!(
            client
                .cmd(&format!("XCLIENT LOGIN={user}"))
                .starts_with("220")
        );
        assert!(client.cmd("EHLO mail.test").starts_with("250"));
        client.send(user, &[to], message)
    };
    for n in 0..300 {
        let (user, to) = (
            format!("person{}@acme.example", n % 20),
            format!("friend{n}@partner.example"),
        );
        let reply = send(&user, &to, ordinary.get(n).expect("enough ordinary mail"));
        assert!(
            reply.starts_with("250") || reply.starts_with("550 5.1.8"),
            "{reply}"
        );
    }
    let mut left = BTreeMap::new();
    for round in 0..20 {
        for (place, account) in accounts.iter().enumerate() {
            let to = format!("stranger{round}-{place}@elsewhere.example");
            let reply = send(
                account,
                &to,
                letters.get(round * 3 + place).expect("enough letters"),
            );
            *left.entry(*account).or_insert(0) += usize::from(reply.starts_with("250"));
        }
    }
    let blocks = relay.json("/api/v1/blocks")["items"]
        .as_array()
        .expect("items")
        .clone();
    let subjects = blocks
        .iter()
        .map(|b| b["subject"].as_str().expect("a subject").to_owned());
    (
        left.into_values().collect(),
        subjects
            .filter(|s| !accounts.contains(&s.as_str()))
            .collect(),
    )
}

/// Mail of a class from several corpora, in turn; `None` where they are not all there.
fn mixed(corpora: &Path, names: &[&str]) -> Option<Vec<String>> {
    let there = names
        .iter()
        .all(|name| corpora.join(name).join("index").exists());
    let all: Vec<Vec<String>> = if there {
        names
            .iter()
            .map(|name| messages(corpora, name, "ham"))
            .collect()
    } else {
        return None;
    };
    let longest = all.iter().map(Vec::len).max()?;
    Some(
        (0..longest)
            .flat_map(|n| all.iter().filter_map(move |list| list.get(n).cloned()))
            .collect(),
    )
}

/// Letters that the shipped model takes for spam with a probability of .8 or more.
fn letters(corpora: &Path) -> Vec<String> {
    let scorer = outgate::exports::Scorer::shipped().expect("the shipped model is sound");
    let mut letters = messages(corpora, "glitchy_spam_archive", "spam");
    letters.retain(|letter| scorer.score(letter.as_bytes()).llr > 1.386);
    letters
}

const PEOPLE: [&str; 3] = [
    "person3@acme.example",
    "person8@acme.example",
    "person13@acme.example",
];
const NEW_ACCOUNTS: [&str; 3] = [
    "first@acme.example",
    "second@acme.example",
    "third@acme.example",
];

#[test]
fn advance_fee_letters_are_stopped_in_the_first_hour_and_nobody_else() {
    let Some(corpora) = std::env::var_os("OUTGATE_CORPORA").map(PathBuf::from) else {
        eprintln!("skipped: OUTGATE_CORPORA is not set");
        return;
    };
    let letters = letters(&corpora);
    let mut all = Vec::new();
    for (name, from) in [
        ("enron_business", 500),
        ("developer_list", 500),
        ("spamassassin", 0),
        ("enron_business", 3000),
    ] {
        let ordinary = messages(&corpora, name, "ham");
        for accounts in [PEOPLE, NEW_ACCOUNTS] {
            let (left, others) = story(&ordinary[from..], &letters, accounts);
            eprintln!(
                "{name}: {accounts:?} sent {left:?} letters before the block; blocked beside them: {others:?}"
            );
            assert_eq!(others, [""; 0], "{name}");
            all.extend(left);
        }
    }
    all.sort_unstable();
    assert!(
        all[all.len() / 2] <= 6 && all[all.len() - 1] <= 10,
        "{all:?}"
    );
}

/// Mail that the model does not know, and that looks bad to it now and then.
#[test]
fn nobody_is_blocked_for_the_ordinary_mail_of_a_newsletter_house_or_a_shop() {
    let Some(corpora) = std::env::var_os("OUTGATE_CORPORA").map(PathBuf::from) else {
        eprintln!("skipped: OUTGATE_CORPORA is not set");
        return;
    };
    let letters = letters(&corpora);
    let newsletters = [
        "foff_milter_old",
        "news_bitcoin",
        "news_rust",
        "news_swift",
        "news_haskell",
    ];
    let orders = [
        "prestashop_mails",
        "shopware_mails",
        "magento_mails",
        "bagisto_mails",
        "html_templates",
    ];
    for (house, names) in [("newsletters", newsletters), ("orders", orders)] {
        let Some(ordinary) = mixed(&corpora, &names) else {
            eprintln!("skipped: {house}: not all of {names:?} are there");
            continue;
        };
        for accounts in [PEOPLE, NEW_ACCOUNTS] {
            let (left, others) = story(&ordinary, &letters, accounts);
            eprintln!(
                "{house}: nobody but {others:?} was blocked; {accounts:?} sent {left:?} letters"
            );
            assert_eq!(others, [""; 0], "{house}");
        }
    }
}
