//! The live relay and `outgate replay` judge alike: two made-up days go through a whole relay over
//! SMTP, on a clock that the test sets, and what the relay saw goes through the replay as a stream
//! of events. Every action, reply and block is compared.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

#[path = "../common/mod.rs"]
mod common;
mod live;
mod script;

use common::Sink;
use live::{Door, Live, Told, hand_in, sink};
use script::{Dice, Script, Step, letter, script};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the program says to these events or lines of a log, a summary last.
fn replay(config: &Path, lines: String) -> Vec<Value> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_outgate"))
        .args(["replay", "--summary", "--config"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut input = child.stdin.take().expect("stdin");
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).expect("written"));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("written");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

const POLICY: &str = "[scoring]\nlearning_messages = 60\n[blocks]\nduration = [\"1h\", \"24h\"]\n[policy.interns]\n\
                      senders = [\"ivy@acme.example\"]\nrecipients_external_per_hour = 4\nwhen_exceeded = \"throttle\"\nsuspicious = \"hold\"\n";

fn text(line: &Value, key: &str) -> String {
    line[key].as_str().unwrap_or_default().to_owned()
}

#[test]
fn two_days_through_the_relay_and_through_the_replay_end_alike() {
    let sink = sink();
    let mut live = Live::start(&sink, POLICY);
    let steps = script();
    for (number, step) in steps.iter().enumerate() {
        live.step(number, step);
    }
    let blocks = live.door.blocks();
    live.drain();

    let lines = replay(
        &live.file,
        live.events
            .iter()
            .map(|event| format!("{event}\n"))
            .collect(),
    );
    replayed_alike(&lines, &live.told, &steps);
    let replayed: Vec<_> = lines
        .iter()
        .filter(|l| l["event"] == "blocked")
        .map(|l| {
            (
                text(l, "subject"),
                text(l, "reason"),
                l["time"].as_i64().expect("whole seconds"),
            )
        })
        .collect();
    assert_eq!(replayed, blocks);
    is_the_story(&live.told, &blocks);
}

/// Each message has the same action and reply in the replay as in the relay.
fn replayed_alike(lines: &[Value], told: &[Told], steps: &[Step]) {
    let answers: Vec<&Value> = lines.iter().filter(|l| l["event"].is_null()).collect();
    assert_eq!(answers.len(), steps.len());
    for (number, ((answer, told), step)) in answers.iter().zip(told).zip(steps).enumerate() {
        assert_eq!(text(answer, "id"), number.to_string());
        let replayed = Told::new(&text(answer, "action"), &text(answer, "reply"));
        assert_eq!(
            &replayed, told,
            "message {number} of {:?} at {} s to {:?}",
            step.sender, step.seconds, step.to
        );
    }
}

/// The story is the one it was meant to be.
fn is_the_story(told: &[Told], blocks: &[(String, String, i64)]) {
    let count = |action: &str| told.iter().filter(|t| t.action == action).count();
    let mut stopped: Vec<&str> = blocks.iter().map(|b| b.0.as_str()).collect();
    stopped.dedup();
    assert!(
        stopped.iter().all(|who| who.starts_with("carl")
            || who.starts_with("dora")
            || who.starts_with("emma")),
        "{blocks:?}"
    );
    assert!(
        blocks.iter().filter(|b| b.0.starts_with("carl")).count() >= 2,
        "{blocks:?}"
    );
    assert!(
        count("reject") > 5 && count("hold") > 0 && count("defer") > 0 && count("accept") > 200,
        "{told:?}"
    );
}

#[test]
fn the_log_of_the_binary_replays_alike_and_a_stricter_policy_tells_what_it_would_change() {
    let sink = sink();
    let keys = "[log]\nformat = \"json\"\n[scoring]\nlearning_messages = 0\n[blocks]\nduration = \"24h\"\n";
    let relay = common::Relay::start(&sink, keys);
    let door = Door {
        admin: relay.admin,
        token: relay.token(),
    };
    let mut script = Script::new(11);
    script.person(0, "anna");
    script.person(0, "ben");
    script.campaign(5, 1, 10, "carl");
    let crowd = (0..300)
        .map(|n| format!("reader{n}@list.example"))
        .collect();
    script.add(6, "emma", crowd, &letter(&mut Dice(3), "emma"));
    let steps = script.sorted();
    for step in &steps {
        door.settled(&hand_in(relay.smtp, step));
        door.blocked_if_due(&step.address());
    }
    let log = relay.log();
    let lines = replay(&relay.dir.path().join("outgate.toml"), log.clone());
    let answers = || lines.iter().filter(|l| l["event"].is_null());
    // What was refused at RCPT was not judged, and is in neither.
    assert!(
        answers().count() >= steps.len() - 10 && answers().any(|l| l["action"] == "reject"),
        "{lines:?}"
    );
    answers().for_each(|line| assert_eq!(line["action"], line["done"], "{line}"));
    let summary = lines.last().expect("a summary");
    assert_eq!(
        (&summary["changed"], &summary["errors"]),
        (&json!([]), &json!(0)),
        "{summary}"
    );
    let opened = lines.iter().filter(|l| l["event"] == "blocked");
    assert_eq!(
        opened.map(|l| text(l, "subject")).collect::<Vec<_>>(),
        door.blocks().into_iter().map(|b| b.0).collect::<Vec<_>>()
    );
    a_stricter_policy_changes(&relay, &sink, log);
    // No address of a recipient stands in what is kept for the replay.
    let judged = relay.log();
    let mut judged = judged
        .lines()
        .filter(|l| l.contains("\"event\":\"judged\""));
    assert!(judged.all(|l| !l.contains("partner.example") && !l.contains("list.example")));
}

/// A stricter policy for the same day holds what was accepted.
fn a_stricter_policy_changes(relay: &common::Relay, sink: &Sink, log: String) {
    let strict = relay.dir.path().join("strict.toml");
    let ceiling = "[policy.default]\nrecipients_external_per_hour = 4\nwhen_exceeded = \"hold\"\n";
    std::fs::write(
        &strict,
        common::config(&relay.dir.path().join("data"), sink.address, ceiling),
    )
    .expect("written");
    let summary = replay(&strict, log).pop().expect("a summary");
    let changed = summary["changed"].as_array().expect("a list");
    assert!(
        changed
            .iter()
            .any(|c| c["done"] == "accept" && c["now"] == "hold"),
        "{summary}"
    );
}
