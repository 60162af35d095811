//! A campaign of one text, spread over accounts that come through clients of their own, in a replay
//! of the messages themselves.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and says why"
)]

#[path = "common/mail.rs"]
mod mail;

use outgate::exports as reader;
use serde_json::{Value, json};
use std::path::Path;

/// People of the tenant.
const PEOPLE: usize = 20;

fn line(
    time: usize,
    id: &str,
    who: usize,
    client: usize,
    to: &[String],
    content: (&str, Value),
) -> String {
    let mut line = json!({ "type": "message", "time": 1_795_356_000 + time, "id": id, "tenant": "acme",
        "sender": format!("p{who}@acme.example"), "client_ip": format!("203.0.113.{client}"), "recipients": to });
    line[content.0] = content.1;
    line.to_string() + "\n"
}

/// Ordinary mail of everybody, to friends.
fn history() -> String {
    let friend = |who: usize, n: usize| format!("f{who}-{n}@friends.example");
    let mut lines = String::new();
    for round in 0..80 {
        for who in 0..PEOPLE {
            let to = [friend(who, round % 7), friend(who, 8)];
            let to = if round % 5 == 0 { &to[..] } else { &to[..1] };
            lines += &line(
                round * PEOPLE + who,
                &format!("h{round}-{who}"),
                who,
                who,
                to,
                ("llr", json!(-4.0)),
            );
        }
    }
    lines
}

/// A message from each account to a stranger.
fn mailing(folder: &Path, name: &str, text: impl Fn(usize) -> String) -> String {
    let one = |who: usize| {
        let path = folder.join(format!("{name}{who}.eml"));
        std::fs::write(&path, text(who)).expect("written");
        let to = [format!("s{who}@strangers.example")];
        line(
            5000 + who,
            &format!("{name}{who}"),
            who,
            who,
            &to,
            ("path", json!(path)),
        )
    };
    (0..PEOPLE).map(one).collect()
}

/// How many of the messages after the history went, and the explanations of the blocks.
fn went(
    lines: &str,
    change: impl FnOnce(&mut outgate::exports::config::Settings),
) -> (usize, Vec<String>) {
    let mut settings = reader::detector_alone();
    outgate::exports::set_learning_messages(&mut settings, 0);
    change(&mut settings);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    reader::replay(settings, &mut lines.as_bytes(), &mut out, &mut err).expect("memory");
    assert_eq!(String::from_utf8_lossy(&err), "");
    let out: Vec<Value> = std::str::from_utf8(&out)
        .expect("text")
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let after = out
        .iter()
        .filter(|l| l["id"].as_str().is_some_and(|id| !id.starts_with('h')));
    let went = after
        .filter(|l| matches!(l["action"].as_str(), Some("accept" | "high_risk")))
        .count();
    let blocks = out.iter().filter(|l| l["event"] == "blocked");
    (
        went,
        blocks
            .map(|l| l["explanation"].as_str().expect("text").to_owned())
            .collect(),
    )
}

#[test]
fn one_text_from_many_accounts_is_stopped_though_no_client_sees_two_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = history() + &mailing(folder.path(), "spam", mail::spam);
    let (left, blocks) = went(&lines, |_| ());
    assert!(left <= 5, "{left} went");
    assert!(
        blocks
            .iter()
            .all(|b| b.contains("Other accounts that sent this text add")),
        "{blocks:?}"
    );
    let (left, blocks) = went(&lines, |s| {
        assert!(
            outgate::exports::take_evidence_out(s, "templates"),
            "a kind"
        )
    });
    assert_eq!(
        (left, blocks.len()),
        (PEOPLE, 0),
        "without comparing texts each of them looks harmless"
    );
}

#[test]
fn ordinary_mail_of_one_text_is_a_newsletter_and_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = history() + &mailing(folder.path(), "news", mail::ham);
    let (left, blocks) = went(&lines, |_| ());
    assert_eq!((left, blocks.len()), (PEOPLE, 0));
}
