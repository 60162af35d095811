//! Named policies from end to end: groups that are read again, warnings, the shadow mode, and the
//! command that explains.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use common::mail::{ham, spam};
use common::{Client, Relay, Sink};
use serde_json::Value;
use std::process::{Command, Stdio};

const ALICE: &str = "alice@acme.example";
const BOB: &str = "bob@acme.example";

fn send(client: &mut Client, from: &str, n: usize) -> String {
    let text = ham(n)
        .replace(ALICE, from)
        .replace("<m", &format!("<{}", &from[..3]));
    client.send(from, &[&format!("r{n}@elsewhere.example")], &text)
}

fn explain(relay: &Relay, sender: &str) -> Value {
    let (code, out, err) = relay.cli(&["policy", "explain", sender, "--json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).expect("JSON")
}

/// Waits until alice is in the group `sales`; what is told of her then.
fn explained_by_its_group(relay: &Relay) {
    let told = relay.until("the new member", |r| {
        Some(explain(r, ALICE)).filter(|told| told["policy"] == "sales")
    });
    assert_eq!(
        told["used"][0],
        serde_json::json!({ "ceiling": "recipients_external_per_hour", "used": 2, "limit": 4 })
    );
    assert_eq!(
        (&told["source"], &told["counters"]["messages_day"]),
        (&"relay".into(), &2.into())
    );
    let default = told["policies"]
        .as_array()
        .expect("policies")
        .last()
        .expect("the default");
    assert_eq!(
        (&default["applies"], &default["why"]),
        (&"no".into(), &"\"sales\" comes before it".into())
    );
}

#[test]
fn a_group_is_read_again_on_reload_and_explain_tells_what_is_used() {
    let sink = Sink::start();
    let dir = tempfile::tempdir().expect("directory");
    let members = dir.path().join("sales.txt");
    std::fs::write(&members, "# nobody yet\n").expect("written");
    let relay = Relay::start(
        &sink,
        &format!(
            "[policy.default]\nrecipients_external_per_hour = 2\nwhen_exceeded = \"throttle\"\n\
             [policy.sales]\ngroups = [\"sales\"]\nrecipients_external_per_hour = 4\n[group.sales]\nfile = {members:?}\n"
        ),
    );
    let mut client = Client::hello(relay.smtp);
    assert!(send(&mut client, ALICE, 0).starts_with("250"));
    assert!(send(&mut client, ALICE, 1).starts_with("250"));
    assert!(send(&mut client, ALICE, 2).starts_with("450 4.2.1"));
    assert_eq!(explain(&relay, ALICE)["policy"], "default");

    std::fs::write(&members, format!("{ALICE} # since today\n")).expect("written");
    assert!(
        Command::new("kill")
            .args(["-HUP", &relay.pid().to_string()])
            .status()
            .expect("kill")
            .success()
    );
    explained_by_its_group(&relay);
    assert!(send(&mut client, ALICE, 2).starts_with("250"));
    for n in 0..2 {
        assert!(send(&mut client, BOB, n).starts_with("250"));
    }
    assert!(
        send(&mut client, BOB, 2).starts_with("450 4.2.1"),
        "he is not in the group"
    );
    let (code, text, _) = relay.cli(&["policy", "explain", ALICE]);
    assert_eq!(code, 0);
    for part in [
        "sales",
        "it names this sender by group",
        "recipients_external_per_hour  3     4",
        "policy.default",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn people_of_a_tenant_see_their_own_policies_only() {
    let sink = Sink::start();
    let relay = Relay::start(
        &sink,
        "[[tenant]]\nname = \"rival\"\ndomains = [\"rival.example\"]\n[policy.merger]\ntenants = [\"rival\"]\n[policy.ours]\ntenants = [\"acme\"]\n",
    );
    let config = relay.dir.path().join("outgate.toml").display().to_string();
    let (code, secret, err) = relay.cli(&[
        "token", "create", "vera", "--role", "viewer", "--tenant", "acme", "--config", &config,
        "--reason", "test",
    ]);
    assert_eq!(code, 0, "{err}");
    let ask = |path: &str| {
        let bearer = format!("Authorization: Bearer {}\r\n", secret.trim());
        common::http(
            relay.admin,
            "GET",
            &format!("/api/v1/policy/{path}"),
            &bearer,
            "",
        )
    };
    let (status, body) = ask(ALICE);
    assert!(
        status == 200
            && body.contains("\"ours\"")
            && body.contains("\"default\"")
            && !body.contains("merger"),
        "{body}"
    );
    let (status, body) = ask("x@rival.example");
    assert!(
        status == 200 && !body.contains("merger"),
        "as if it were one of hers: {body}"
    );
    assert_eq!(ask(&format!("{ALICE}?tenant=rival")).0, 404);
    assert_eq!(ask(&format!("{ALICE}?client=here")).0, 422);
    assert_eq!(
        explain(&relay, "x@rival.example")["policy"],
        "merger",
        "operators see all"
    );
}

#[test]
fn without_a_relay_the_configuration_answers() {
    let dir = tempfile::tempdir().expect("directory");
    let config = dir.path().join("c.toml");
    let text = "[server]\nhostname = \"relay.example.com\"\ndata_dir = \"DIR\"\n[admin]\nbind = \"127.0.0.1:1\"\n\
                [policy.web]\nclients = [\"192.0.2.0/24\"]\npreset = \"microsoft\"\n";
    std::fs::write(
        &config,
        text.replace("DIR", &dir.path().join("data").display().to_string()),
    )
    .expect("written");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outgate"));
        command
            .args(["policy", "explain", "x@acme.example", "--json", "--config"])
            .arg(&config)
            .args(arguments);
        let output = command
            .env_remove("OUTGATE_URL")
            .env_remove("OUTGATE_TOKEN")
            .output()
            .expect("the binary runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let told = run(&[]);
    assert_eq!(
        (&told["policy"], &told["source"]),
        (&"default".into(), &"configuration".into())
    );
    let told = run(&["--client", "192.0.2.9"]);
    assert_eq!(told["policy"], "web");
    let minute = told["values"]
        .as_array()
        .expect("values")
        .iter()
        .find(|v| v["key"] == "messages_per_minute")
        .expect("that key");
    assert_eq!(
        (&minute["value"], &minute["from"]),
        (&"30".into(), &"preset microsoft".into())
    );
}

#[test]
fn sender_and_admins_are_warned_before_a_ceiling_is_reached() {
    let sink = Sink::start();
    let keys = "[policy.default]\nrecipients_external_per_hour = 4\nrecipients_per_day = 0\nwarn_near_ceiling = true\nwhen_exceeded = \"throttle\"\n";
    let relay = Relay::start(&sink, keys);
    let mut client = Client::hello(relay.smtp);
    for n in 0..4 {
        assert!(send(&mut client, ALICE, n).starts_with("250"));
    }
    // Three of four are 75 %, four of four more than 90 %.
    let to_alice = |part: &str| {
        let part = part.to_owned();
        sink.wait("a warning to the sender", move |m| {
            m.to.iter().any(|t| t == ALICE) && m.text().contains(&part)
        })
    };
    to_alice("75 % of the limit of recipients external per hour");
    let last = to_alice("90 % of the limit of recipients external per hour");
    assert!(
        last.text().contains("change your password"),
        "{}",
        last.text()
    );
    assert!(
        !last.text().contains("outgate "),
        "no commands for those who cannot give them: {}",
        last.text()
    );
    sink.wait("a warning to the admins", |m| {
        m.to.iter().any(|t| t == "postmaster@acme.example")
            && m.text()
                .contains("outgate policy explain alice@acme.example")
    });
    let warnings = sink
        .all()
        .iter()
        .filter(|m| m.to.iter().any(|t| t == ALICE))
        .count();
    assert_eq!(warnings, 2, "once for each level");
}

#[test]
fn a_policy_in_shadow_mode_is_seen_everywhere_and_stops_nothing() {
    let sink = Sink::start();
    let keys = "[policy.trial]\nmode = \"shadow\"\nsenders = [\"alice@acme.example\"]\nrecipients_external_per_hour = 1\nwhen_exceeded = \"block\"\n\
                [scoring]\nsuspicious_probability = 0.5\n";
    let relay = Relay::start(&sink, keys);
    let mut client = Client::hello(relay.smtp);
    for n in 0..3 {
        assert!(send(&mut client, ALICE, n).starts_with("250"));
        sink.wait_for(&format!("r{n}@elsewhere.example"));
    }
    let (_, metrics) = relay.http("GET", "/metrics", "");
    assert!(
        metrics.contains("outgate_shadow_total{policy=\"trial\",action=\"accept\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("outgate_shadow_total{policy=\"trial\",action=\"reject\"} 2"),
        "{metrics}"
    );
    let noted = relay.until("a note in the trace", |r| {
        let found = r.json(&format!("/api/v1/messages?sender={ALICE}"))["items"]
            .as_array()?
            .clone();
        let text = found.iter().map(Value::to_string).collect::<String>();
        text.contains("opened a block").then_some(text)
    });
    assert!(
        noted.contains("policy trial (shadow) would have said reject and opened a block: recipients_external_per_hour"),
        "{noted}"
    );
    assert!(relay.log().contains(" INFO shadow id="), "{}", relay.log());
    let told = explain(&relay, ALICE);
    assert_eq!(
        (&told["policy"], &told["shadow"]),
        (&"default".into(), &"trial".into())
    );
    assert_eq!(
        (
            &told["shadow_counts"]["reject"],
            &told["shadow_counts"]["blocks"]
        ),
        (&2.into(), &1.into())
    );
    assert_eq!(
        relay.json("/api/v1/blocks")["items"],
        serde_json::json!([]),
        "nothing was blocked"
    );
    // The senders of no shadow leave no trace of one.
    assert!(
        client
            .send(BOB, &["x@elsewhere.example"], &spam(1).replace(ALICE, BOB))
            .starts_with("250")
    );
    assert_eq!(explain(&relay, BOB)["shadow"], Value::Null);
}

#[test]
fn a_replay_sums_up_what_a_shadow_would_have_done() {
    let dir = tempfile::tempdir().expect("directory");
    let config = dir.path().join("c.toml");
    let text = "[server]\nhostname = \"relay.example.com\"\n[policy.trial]\nmode = \"shadow\"\nrecipients_per_day = 2\nwhen_exceeded = \"block\"\n";
    std::fs::write(&config, text).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_outgate"))
        .args(["replay", "--summary", "--config"])
        .arg(&config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let lines: String = (0..4)
        .map(|n| {
            format!(
                "{{\"type\":\"message\",\"time\":{},\"id\":\"m{n}\",\"tenant\":\"t\",\"sender\":\"{ALICE}\",\"client_ip\":\"192.0.2.1\",\
                 \"recipients\":[\"r@elsewhere.example\"],\"llr\":-4}}\n",
                1_795_356_000 + n
            )
        })
        .collect();
    std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), lines.as_bytes())
        .expect("written");
    let output = child.wait_with_output().expect("ended");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[..4].iter().all(|l| l["action"] == "accept"), "{text}");
    let trial = serde_json::json!({ "policy": "trial", "action": "reject", "reason": "recipients_per_day", "opens_block": true });
    assert_eq!(lines[2]["shadow"], trial);
    let summed = &lines[4]["shadow"]["trial"];
    assert_eq!(
        (&summed["messages"]["accept"], &summed["messages"]["reject"]),
        (&2.into(), &2.into()),
        "{text}"
    );
    assert_eq!(
        summed["blocks"],
        serde_json::json!([{ "sender": ALICE, "reason": "recipients_per_day" }])
    );
}

/// Waits until nothing but held mail is left in the queue.
fn settled(relay: &Relay) {
    relay.until("a queue at rest", |r| {
        r.json("/api/v1/queue")["items"]
            .as_array()?
            .iter()
            .all(|m| m["state"] == "held")
            .then_some(())
    });
}

#[test]
fn suspicious_mail_is_copied_to_a_reviewer_and_no_copy_leads_to_another() {
    let sink = Sink::start();
    for (what, reply) in [
        ("high_risk", "250"),
        ("hold", "250"),
        ("reject", "550 5.7.1"),
    ] {
        let reviewer = format!("review-{}@acme.example", what.replace('_', "-"));
        let relay = Relay::start(
            &sink,
            &format!(
                "[policy.default]\nfalse_block_rate = 0\nspam_rate_min_messages = 0\nsuspicious = \"{what}\"\nreview_copy = \"{reviewer}\"\n\
                 [scoring]\nsuspicious_probability = 0.5\n"
            ),
        );
        let mut client = Client::hello(relay.smtp);
        let text = spam(1);
        for _ in 0..3 {
            let got = client.send(ALICE, &["bob@elsewhere.example"], &text);
            assert!(got.starts_with(reply), "{what}: {got}");
        }
        assert!(
            client
                .send(ALICE, &["bob@elsewhere.example"], &ham(1))
                .starts_with("250")
        );
        let copy = sink.wait_for(&reviewer).text();
        assert!(
            copy.contains("Content-Type: message/rfc822")
                && copy.contains("Subject: For review: message "),
            "{copy}"
        );
        let whole = text.replace("\r\n", "\n").replace('\n', "\r\n");
        assert!(copy.contains(whole.trim_end()), "as it came: {copy}");
        // A mailbox that forwards brings the copy back as mail of its own.
        let back = copy.replace("\r\n", "\n");
        assert!(
            client
                .send(BOB, &["bob@elsewhere.example"], &back)
                .starts_with(['2', '5'])
        );
        // Whatever was spooled before it is on its way when this one has arrived.
        assert!(
            client
                .send(ALICE, &[&format!("last-{what}@elsewhere.example")], &ham(2))
                .starts_with("250")
        );
        sink.wait_for(&format!("last-{what}@elsewhere.example"));
        settled(&relay);
        let mails = sink.all();
        let copies = mails.iter().filter(|m| m.to.contains(&reviewer)).count();
        assert_eq!(
            copies, 1,
            "{what}: one of a message that came three times, none of ordinary mail and of copies"
        );
    }
}

#[test]
fn a_block_that_comes_again_after_a_restart_lasts_longer() {
    let sink = Sink::start();
    let keys = "[policy.default]\nrecipients_external_per_hour = 1\nwhen_exceeded = \"block\"\n\
                [blocks]\nduration = [\"24h\", \"until_released\"]\n";
    let mut relay = Relay::start(&sink, keys);
    let block = |relay: &Relay, n: usize| {
        let mut client = Client::hello(relay.smtp);
        assert!(send(&mut client, ALICE, n).starts_with("250"));
        assert!(send(&mut client, ALICE, n + 1).starts_with("550 5.1.8 "));
        relay.json("/api/v1/blocks?state=active")["items"][0].clone()
    };
    let first = block(&relay, 0);
    assert!(first["until"].is_string(), "{first}");
    let path = format!(
        "/api/v1/blocks/{}/release",
        first["ref"].as_str().expect("a reference")
    );
    assert_eq!(
        relay
            .http(
                "POST",
                &path,
                r#"{"verdict":"compromised","reason":"cleaned"}"#
            )
            .0,
        200
    );
    relay = relay.restart();
    let second = block(&relay, 2);
    assert_eq!(second["until"], Value::Null, "{second}");
    assert!(
        second["explanation"]
            .as_str()
            .expect("text")
            .ends_with("Block number 2 in 30 days."),
        "{second}"
    );
}
