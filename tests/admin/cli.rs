//! The command line.

use super::*;
use std::io::Write;
use std::process::{Command, Stdio};

/// The relay with an admin address that the configuration tells, and the command line without any
/// environment.
struct Told {
    relay: Relay,
    config: String,
}

impl Told {
    fn start(sink: &Sink, extra: &str) -> Self {
        let relay = Relay::start(sink, extra);
        // The relay has its port from the kernel; the command line reads the file.
        let file = common::path(&relay, "outgate.toml");
        let text = std::fs::read_to_string(&file).expect("config");
        let told = text.replace(
            "[admin]\nbind = \"127.0.0.1:0\"",
            &format!("[admin]\nbind = \"{}\"", relay.admin),
        );
        std::fs::write(&file, told).expect("written");
        let config = file.to_str().expect("a path").to_owned();
        Self { relay, config }
    }

    fn run(&self, arguments: &str) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_outgate"))
            .args(arguments.split(' '))
            .args(["--config", &self.config])
            .env_remove("OUTGATE_URL")
            .env_remove("OUTGATE_TOKEN")
            .stdin(Stdio::null())
            .output()
            .expect("the CLI runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code().unwrap_or(-1),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    fn ok(&self, arguments: &str) -> String {
        let (status, out, error) = self.run(arguments);
        assert_eq!((status, error.as_str()), (0, ""), "{arguments}: {out}");
        out
    }

    fn json(&self, arguments: &str) -> Value {
        let out = self.ok(&format!("{arguments} --json"));
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments}: {e}: {out}"))
    }
}

/// The audit has a line of each action with this reason.
fn audited(told: &Told, actions: &[(&str, &str)]) {
    let audit = told.json("audit list");
    let lines = audit["items"].as_array().expect("items");
    for (action, reason) in actions {
        let found = lines.iter().any(|l| {
            l["action"] == *action && l["detail"].as_str().is_some_and(|d| d.contains(reason))
        });
        assert!(found, "{action} in {audit:#}");
    }
}

/// Waits until all these messages were tried and wait for the next attempt.
fn deferred(told: &Told, ids: &[String]) {
    told.relay.until("deferred", |_| {
        let list = told.json("queue list --state deferred")["items"].to_string();
        ids.iter()
            .all(|id| list.contains(id.as_str()))
            .then_some(())
    });
}

#[test]
fn the_command_line_opens_shows_and_releases_blocks_with_nothing_but_the_configuration() {
    let sink = Sink::start();
    let told = Told::start(&sink, NO_RULES);
    let mode = Command::new("stat")
        .args(["-c", "%a"])
        .arg(common::path(&told.relay, "data/admin.token"))
        .output()
        .expect("stat");
    assert_eq!(String::from_utf8_lossy(&mode.stdout).trim(), "600");
    assert_eq!(told.ok("blocks list"), "no blocks\n");
    let added = told.json("blocks add sender Eve@acme.example --reason left");
    let reference = added["ref"].as_str().expect("ref");
    assert!(told.ok("blocks list --state active").contains(reference));
    assert_eq!(
        told.json(&format!("blocks show {reference}"))["subject"],
        "eve@acme.example"
    );
    assert!(
        told.ok(&format!("blocks show {reference}"))
            .contains("eve@acme.example")
    );
    let released = told.json(&format!(
        "blocks release {reference} --verdict mistake --reason back"
    ));
    assert_eq!(
        (&released["state"], &released["note"]),
        (&json!("released"), &json!("back"))
    );
    audited(&told, &[("block.add", "left"), ("block.release", "back")]);
    assert!(told.ok("audit list").contains("block.release"));
    assert_eq!(told.json("audit verify")["intact"], true);
}

#[test]
fn the_command_line_holds_releases_retries_and_bounces_mail_with_nothing_but_the_configuration() {
    let (sink, open) = gated();
    let told = Told::start(&sink, &format!("{NO_RULES}[delivery]\nretry = [\"1h\"]\n"));
    let ids: Vec<String> = (0..4)
        .map(|n| queued(&told.relay, &format!("q{n}@elsewhere.example"), n))
        .collect();
    deferred(&told, &ids);
    assert!(told.ok("queue list").contains(&ids[0]));
    let shown = told.json(&format!("queue show {}", ids[0]));
    assert_eq!(
        shown["recipients"][0]["address"], "q0@elsewhere.example",
        "{shown}"
    );
    assert!(
        told.ok(&format!("queue show {}", ids[0]))
            .contains("451 4.3.0 Later, please")
    );
    told.ok(&format!("queue hold {} --reason wait", ids[0]));
    assert_eq!(
        told.json(&format!("queue hold {} --reason wait", ids[1]))["ids"][0],
        *ids[1]
    );
    told.ok(&format!("queue hold {} --reason wait", ids[2]));
    assert!(told.ok("held list").contains(&ids[0]));
    let held = told.json("held list");
    assert_eq!(held["items"].as_array().expect("items").len(), 3);
    let shown = told.json(&format!("held show {}", ids[0]));
    assert_eq!(shown["judgement"]["sender"], ALICE, "{shown}");
    assert!(told.ok(&format!("held show {}", ids[0])).contains(ALICE));
    open.store(true, Ordering::SeqCst);
    told.ok(&format!("queue release {} --reason fine", ids[0]));
    sink.wait_for("q0@elsewhere.example");
    told.ok(&format!("held release {} --reason fine", ids[1]));
    sink.wait_for("q1@elsewhere.example");
    told.ok(&format!("held delete {} --reason spam", ids[2]));
    told.ok(&format!("queue retry {} --reason now", ids[3]));
    sink.wait_for("q3@elsewhere.example");
    open.store(false, Ordering::SeqCst);
    let bounced = queued(&told.relay, "q9@elsewhere.example", 9);
    deferred(&told, std::slice::from_ref(&bounced));
    told.ok(&format!("queue bounce {bounced} --reason never"));
    open.store(true, Ordering::SeqCst);
    let actions = [
        ("queue.hold", "wait"),
        ("queue.release", "fine"),
        ("held.release", "fine"),
        ("held.delete", "spam"),
        ("queue.retry", "now"),
        ("queue.bounce", "never"),
    ];
    audited(&told, &actions);
    assert_eq!(
        told.json(&format!("messages search --id {bounced}"))["items"][0]["id"],
        *bounced
    );
    assert_eq!(told.json("audit verify")["intact"], true);
}

#[test]
fn the_command_line_finds_senders_and_messages_with_nothing_but_the_configuration() {
    let sink = Sink::start();
    let told = Told::start(&sink, NO_RULES);
    let ids: Vec<String> = (0..3)
        .map(|n| queued(&told.relay, &format!("q{n}@elsewhere.example"), n))
        .collect();
    assert!(told.ok("senders list").contains(ALICE));
    assert_eq!(
        told.json(&format!("senders show {ALICE}"))["address"],
        ALICE
    );
    assert!(told.ok(&format!("senders show {ALICE}")).contains(ALICE));
    assert_eq!(
        told.json("senders list --standing blocked")["items"],
        json!([])
    );
    // The trace is written a little later than the answer.
    told.relay.until("the trace", |_| {
        let found = told.json(&format!("messages search --id {}", ids[2]));
        (found["items"][0]["id"] == *ids[2]).then_some(())
    });
    assert!(
        told.ok("messages search --recipient q0@elsewhere.example")
            .contains(&ids[0])
    );
    let found = told.json("messages search --limit 2");
    assert_eq!(found["items"].as_array().expect("items").len(), 2);
}

#[test]
fn the_command_line_makes_and_revokes_tokens_with_nothing_but_the_configuration() {
    let sink = Sink::start();
    let told = Told::start(&sink, NO_RULES);
    let secret = told.ok("token create tim --role viewer --tenant acme --reason test");
    let read = |secret: &str| as_bearer(&told.relay, secret.trim(), "GET", "/api/v1/blocks", "").0;
    assert_eq!(read(&secret), 200);
    assert_eq!(told.json("token list")["items"][0]["name"], "tim");
    assert!(
        !told.ok("token list --json").contains(secret.trim()),
        "a secret is shown once"
    );
    told.ok("token revoke tim --reason test");
    assert_eq!(read(&secret), 401, "at once");
}

/// Each of these commands ends with `status`, prints nothing and says why.
fn end_with(status: i32, commands: &[(&str, &str)]) {
    let sink = Sink::start();
    let told = Told::start(&sink, NO_RULES);
    for (arguments, why) in commands {
        let (got, out, error) = told.run(arguments);
        assert_eq!(got, status, "{arguments}: {out}{error}");
        assert!(
            error.contains(why) && out.is_empty(),
            "{arguments}: {out}{error}"
        );
    }
}

#[test]
fn the_exit_status_of_what_fails_is_1() {
    end_with(
        1,
        &[
            ("blocks show OG-0000000000", "there is no such block"),
            (
                "blocks release OG-0000000000 --verdict mistake --reason x",
                "there is no such block",
            ),
            ("blocks add sender alice@ --reason x", "subject"),
            ("senders show nobody@acme.example", "no sender"),
            ("queue show 0000000000000", "no such message"),
            ("queue retry 0000000000000 --reason x", "no such message"),
            ("held release 0000000000000 --reason x", "no such message"),
            ("held show 0000000000000", "no such message"),
            ("token revoke nobody", "no token nobody"),
            ("account remove nobody", "no account nobody"),
            ("blocks list --token wrong", "does not know this token"),
            ("blocks list --url http://127.0.0.1:1", "is it running?"),
        ],
    );
}

#[test]
fn the_exit_status_of_wrong_use_is_2() {
    end_with(
        2,
        &[
            ("blocks list --url nonsense", "is no URL"),
            ("blocks", "Usage"),
            ("blocks eat", "unrecognized subcommand"),
            ("blocks add person x --reason x", "possible values"),
            ("blocks add sender alice@acme.example", "--reason"),
            ("blocks release OG-0000000000 --reason x", "--verdict"),
            (
                "blocks release OG-0000000000 --verdict maybe --reason x",
                "possible values",
            ),
            ("queue list --state odd", "possible values"),
            ("queue list --limit 0", "--limit"),
            ("token create tim --role viewer", "--tenant is missing"),
            (
                "token create tim --role admin --tenant nowhere",
                "no tenant nowhere",
            ),
            (
                "account add x --role smtp --tenant acme",
                "--password-stdin",
            ),
        ],
    );
    let output = Command::new(env!("CARGO_BIN_EXE_outgate"))
        .args(["blocks", "list", "--config", "/nowhere.toml"])
        .output();
    assert_eq!(
        output.expect("the CLI runs").status.code(),
        Some(2),
        "no such configuration"
    );
}

/// The command line with something on standard input: its status, output and errors.
fn outgate(config: &str, arguments: &str, input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_outgate"))
        .args(arguments.split(' '))
        .args(["--config", config])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the CLI runs");
    child
        .stdin
        .take()
        .expect("stdin")
        .write_all(input.as_bytes())
        .expect("written");
    let output = child.wait_with_output().expect("output");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn accounts_and_tokens_are_made_before_the_first_start_and_while_it_runs() {
    let sink = Sink::start();
    let dir = tempfile::tempdir().expect("directory");
    let text = common::config(&dir.path().join("data"), sink.address, NO_RULES);
    std::fs::create_dir(dir.path().join("data")).expect("data");
    std::fs::write(dir.path().join("outgate.toml"), text).expect("written");
    let config = dir
        .path()
        .join("outgate.toml")
        .to_str()
        .expect("a path")
        .to_owned();
    let run = |arguments: &str, input: &str| outgate(&config, arguments, input);
    let add = "account add dora@acme.example --role smtp --tenant acme --may-send-as @acme.example --password-stdin --reason new";
    let (status, out, error) = run(add, "secret\n");
    assert_eq!(
        (status, out.as_str()),
        (Some(0), "account dora@acme.example added\n"),
        "{error}"
    );
    let (status, secret, error) = run("token create olaf --role operator --reason new", "");
    assert_eq!(status, Some(0), "{error}");
    let relay = Relay::start_in(dir);
    assert_eq!(
        as_bearer(&relay, secret.trim(), "GET", "/api/v1/audit", "").0,
        200
    );
    let (status, _, error) = run(add, "secret\n");
    assert!(status == Some(1) && error.contains("already"), "{error}");
    let (_, out, _) = run("account list --json", "");
    let list: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(list["items"][0]["may_send_as"], json!(["@acme.example"]));
    assert!(!out.contains("argon2"), "no hash is shown");
    assert_eq!(
        run("account remove dora@acme.example --reason gone", "").0,
        Some(0)
    );
    assert!(
        relay.json("/api/v1/audit")["items"]
            .to_string()
            .contains("account.remove")
    );
}

#[test]
fn lines_cut_from_the_end_of_the_audit_show_and_the_log_has_each_line() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    for name in ["a", "b", "c"] {
        add_block(&relay, "sender", &format!("{name}@acme.example"));
    }
    let config = common::path(&relay, "outgate.toml");
    let verify = |more: &[&str]| {
        let mut arguments = vec![
            "audit",
            "verify",
            "--json",
            "--config",
            config.to_str().expect("a path"),
        ];
        arguments.extend(more);
        relay.cli(&arguments)
    };
    let (status, out, error) = verify(&[]);
    assert_eq!(status, 0, "{error}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    let head = told["head"].as_str().expect("the newest line").to_owned();
    assert_eq!(told["intact"], true);
    assert_eq!(
        logged(&relay, &format!("head={head}")),
        1,
        "{}",
        relay.log()
    );
    let db =
        rusqlite::Connection::open(common::path(&relay, "data/records.db")).expect("the database");
    db.execute("DELETE FROM audit WHERE id > 1", [])
        .expect("cut");
    for (known, what) in [
        (vec![], "audit.heads and the database's count"),
        (vec!["--head", &head], "what was noted"),
    ] {
        let (status, _, error) = verify(&known);
        assert!(
            status == 1 && error.contains("lines were cut from its end"),
            "{what}: {error}"
        );
    }
}
