//! Data that something else holds.

use super::*;

#[test]
fn a_second_relay_on_the_same_data_is_refused() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let data = relay.dir.path().join("data");
    let (code, said) = refused(&data);
    assert!(
        code == 1
            && said.contains("is in use by another outgate")
            && said.contains(&*data.to_string_lossy()),
        "{code} {said}"
    );
    let mut client = Client::hello(relay.smtp);
    client.accepted(
        "a@acme.example",
        &["b@other.example"],
        "Subject: x\n\nhello\n",
    );
    sink.wait_for("b@other.example");
}

/// How long the relay waits for another process that holds the database.
const WAITS: std::time::Duration = std::time::Duration::from_secs(10);

#[test]
fn a_locked_database_delays_what_needs_it_and_not_the_mail() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let other =
        rusqlite::Connection::open(relay.dir.path().join("data/records.db")).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let add = || {
        relay.cli(&[
            "blocks",
            "add",
            "sender",
            "bad@acme.example",
            "--reason",
            "test",
        ])
    };
    let mut client = Client::hello(relay.smtp);
    client.accepted(
        "a@acme.example",
        &["b@other.example"],
        "Subject: x\n\nhello\n",
    );
    sink.wait_for("b@other.example");
    std::thread::scope(|scope| {
        let asked = std::time::Instant::now();
        let adding = scope.spawn(add);
        // Mail flows while that waits.
        client.accepted(
            "a@acme.example",
            &["c@other.example"],
            "Subject: x\n\nhello\n",
        );
        sink.wait_for("c@other.example");
        other.execute_batch("COMMIT").expect("unlocked");
        let (mut code, _, mut said) = adding.join().expect("the command line");
        if code != 0 {
            // It waits, but not for ever: on a machine as slow as that it is told, and asks again.
            assert!(asked.elapsed() >= WAITS, "{said}");
            (code, _, said) = add();
        }
        assert_eq!(code, 0, "{said}");
    });
    let reply = client.send(
        "bad@acme.example",
        &["c@other.example"],
        "Subject: x\n\nhello\n",
    );
    assert!(reply.starts_with("550 5.1.8"), "{reply}");
}
