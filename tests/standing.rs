//! What a session was let in by and is taken away while it is open: a login, a `[[client]]`, a
//! proxy.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::tls::Certificate;
use common::{Client, Relay, Sink};

const HAM: &str = "From: Alice <alice@acme.example>\nTo: bob@other.example\nSubject: Minutes\n\nSee you on Thursday.\n";

/// Changes the file and has the relay read it again.
fn reload(relay: &Relay, change: impl FnOnce(String) -> String) {
    let path = common::path(relay, "outgate.toml");
    let before = std::fs::read_to_string(&path).expect("a file");
    let after = change(before.clone());
    assert_ne!(before, after, "nothing was changed");
    std::fs::write(&path, after).expect("written");
    let reloads = |relay: &Relay| relay.log().matches("settings reloaded").count();
    let so_far = reloads(relay);
    relay.signal("HUP");
    relay.until("the reload", |relay| {
        (reloads(relay) > so_far).then_some(())
    });
}

fn remove_account(relay: &Relay, name: &str) {
    let config = common::path(relay, "outgate.toml");
    let (status, _, err) = relay.cli(&[
        "account",
        "remove",
        name,
        "--reason",
        "left",
        "--config",
        &config.to_string_lossy(),
    ]);
    assert_eq!(status, 0, "{err}");
}

struct Office {
    relay: Relay,
    sink: Sink,
    certificate: Certificate,
    _files: tempfile::TempDir,
}

impl Office {
    fn new() -> Self {
        let files = tempfile::tempdir().expect("temporary directory");
        let certificate = Certificate::new("relay.test");
        let sink = Sink::start();
        let listener = "[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"submission\"\n";
        let relay = Relay::start(&sink, &(certificate.section(files.path()) + listener));
        Self {
            relay,
            sink,
            certificate,
            _files: files,
        }
    }

    fn logged_in(&self, user: &str, password: &str) -> Client {
        use base64::Engine as _;
        let mut client = Client::hello(self.relay.address("submission"));
        client.start_tls(&self.certificate);
        let secret =
            base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0{password}"));
        let reply = client.cmd(&format!("AUTH PLAIN {secret}"));
        assert!(reply.starts_with("235"), "{reply}");
        client
    }
}

/// The session ends with this reply.
fn assert_ended(client: &mut Client, reply: &str) {
    assert!(reply.starts_with("421 4.7.0"), "{reply}");
    assert_eq!(client.reply(), "", "closed");
}

#[test]
fn a_login_that_is_removed_ends_with_the_next_command_of_its_open_sessions() {
    let office = Office::new();
    for name in ["alice@acme.example", "bob@acme.example"] {
        office.relay.add_account(name, "secret", &[]);
    }
    let (mut idle, mut within, mut at_the_dot) = (
        office.logged_in("alice@acme.example", "secret"),
        office.logged_in("alice@acme.example", "secret"),
        office.logged_in("alice@acme.example", "secret"),
    );
    let mut bob = office.logged_in("bob@acme.example", "secret");
    idle.accepted("alice@acme.example", &["before@other.example"], HAM);
    for client in [&mut within, &mut at_the_dot] {
        client.expect("MAIL FROM:<alice@acme.example>", "250");
        client.expect("RCPT TO:<after@other.example>", "250");
    }
    at_the_dot.expect("DATA", "354");
    remove_account(&office.relay, "alice@acme.example");
    for (client, line) in [
        (&mut idle, "NOOP"),
        (&mut within, "DATA"),
        (&mut at_the_dot, "Subject: x\r\n\r\nx\r\n."),
    ] {
        let reply = client.cmd(line);
        assert_ended(client, &reply);
    }
    let mail = HAM.replace("alice@", "bob@");
    assert!(
        bob.send("bob@acme.example", &["bobs@other.example"], &mail)
            .starts_with("250"),
        "nobody else is touched"
    );
    office.sink.wait_for("bobs@other.example");
    office.sink.wait_for("before@other.example");
    assert_eq!(
        office.sink.all().len(),
        2,
        "what was accepted is delivered, and nothing else"
    );
}

#[test]
fn a_login_that_is_changed_ends_too() {
    let office = Office::new();
    for (password, may) in [("new", &[][..]), ("old", &["sales@acme.example"])] {
        office.relay.add_account("alice@acme.example", "old", &[]);
        let mut client = office.logged_in("alice@acme.example", "old");
        client.expect("NOOP", "250");
        remove_account(&office.relay, "alice@acme.example");
        office
            .relay
            .add_account("alice@acme.example", password, may);
        let reply = client.cmd("MAIL FROM:<alice@acme.example>");
        assert_ended(&mut client, &reply);
        assert!(
            office
                .logged_in("alice@acme.example", password)
                .cmd("MAIL FROM:<alice@acme.example>")
                .starts_with("250")
        );
        remove_account(&office.relay, "alice@acme.example");
    }
}

#[test]
fn a_client_entry_that_is_changed_or_removed_ends_with_the_next_command_of_its_open_sessions() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "");
    let xclient = "XCLIENT LOGIN=alice@acme.example";
    let mut trusted = Client::hello(relay.smtp);
    trusted.expect(xclient, "220");
    // What has nothing to do with the session does not end it.
    reload(&relay, |file| {
        file.replace("noc@relay.test", "desk@relay.test")
    });
    trusted.expect("EHLO client.test", "250");
    trusted.accepted("alice@acme.example", &["before@other.example"], HAM);

    let mut in_body = Client::hello(relay.smtp);
    in_body.expect("MAIL FROM:<alice@acme.example>", "250");
    in_body.expect("RCPT TO:<after@other.example>", "250");
    in_body.expect("DATA", "354");
    reload(&relay, |file| {
        file.replace("trust_xclient = true", "trust_xclient = false")
    });
    let reply = trusted.cmd("MAIL FROM:<ceo@acme.example>");
    assert_ended(&mut trusted, &reply);
    let reply = in_body.cmd("Subject: x\r\n\r\nx\r\n.");
    assert_ended(&mut in_body, &reply);
    assert!(
        Client::hello(relay.smtp)
            .cmd(xclient)
            .starts_with("550 5.7.0")
    );

    let mut listed = Client::hello(relay.smtp);
    listed.expect("MAIL FROM:<alice@acme.example>", "250");
    reload(&relay, |file| {
        file.replace(
            "networks = [\"127.0.0.0/8\", \"::1/128\"]",
            "networks = [\"192.0.2.0/24\"]",
        )
    });
    let reply = listed.cmd("RCPT TO:<after@other.example>");
    assert_ended(&mut listed, &reply);
    let refused =
        Client::hello(relay.smtp).send("alice@acme.example", &["after@other.example"], HAM);
    assert!(refused.starts_with("550 5.7.1"), "{refused}");
    sink.wait_for("before@other.example");
    assert_eq!(sink.all().len(), 1);
}

#[test]
fn proxies_are_believed_by_the_file_as_it_was_read_last() {
    let sink = Sink::start();
    let listener = "[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"relay\"\nproxy_protocol = [\"127.0.0.0/8\"]\n";
    let relay = Relay::start(&sink, listener);
    let address = relay
        .addresses
        .iter()
        .rfind(|(kind, _)| kind == "relay")
        .map(|(_, address)| *address)
        .expect("a listener");
    let proxied = || {
        let mut client = Client::silent(address);
        client.raw(b"PROXY TCP4 127.0.0.9 127.0.0.1 4000 25\r\n");
        client
    };
    let mut through = proxied();
    assert!(through.reply().starts_with("220"));
    through.expect("EHLO client.test", "250");
    reload(&relay, |file| {
        file.replace("proxy_protocol = [\"127.0.0.0/8\"]", "proxy_protocol = []")
    });
    let reply = through.cmd("NOOP");
    assert_ended(&mut through, &reply);
    let mut direct = proxied();
    assert!(direct.reply().starts_with("220"));
    assert!(
        direct.reply().starts_with("500 5.5."),
        "nobody's PROXY header is believed any more"
    );
    assert!(Client::hello(address).cmd("NOOP").starts_with("250"));
    reload(&relay, |file| {
        file.replace("proxy_protocol = []", "proxy_protocol = [\"127.0.0.0/8\"]")
    });
    assert!(proxied().reply().starts_with("220"), "believed again");
    assert!(
        !relay.log().contains("until the next start"),
        "it took effect"
    );
}
