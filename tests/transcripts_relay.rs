//! The dialogs of `tests/transcripts/*.smtp` against the real relay: real sockets, real TLS, real
//! accounts, and a sink behind it that must get each message as it came in. The form of the files
//! stands in `story`.
//!
//! Left out are stories with `answer`, whose decisions the relay would not take, with a `stranger`,
//! of whom it takes no recipient, with `messages_per_session`, for which there is no setting, and
//! with a `message_size_bytes` smaller than the configuration allows.

#![allow(
    clippy::indexing_slicing,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;
mod story;

use common::sink::Arrived;
use common::tls::{Certificate, Wire};
use common::{PATIENCE, Relay, Sink};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use story::{Exchange, Story};

/// A relay that is what one or more stories want, and how many messages its sink got so far.
struct Stage {
    relay: Relay,
    sink: Sink,
    certificate: Certificate,
    kind: String,
    seen: usize,
}

impl Stage {
    fn new(settings: &[(String, String)]) -> Self {
        let has = |name: &str| settings.iter().any(|(key, _)| key == name);
        let value = |name: &str| {
            settings
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let kind = value("kind").unwrap_or("relay").to_owned();
        let certificate = Certificate::new("relay.test");
        let sink = Sink::start();
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut limits =
            BTreeMap::from([("message_size_bytes", "1000000"), ("line_bytes", "10000")]);
        for name in [
            "message_size_bytes",
            "recipients_per_message",
            "line_bytes",
            "errors_per_session",
            "idle_commands",
        ] {
            // No limit on errors, which the machine has for 0, is a large one here.
            limits.extend(
                value(name).map(|value| (name, if value == "0" { "10000" } else { value })),
            );
        }
        let limits = limits.iter().fold(String::new(), |text, (name, value)| {
            text + &format!("{name} = {value}\n")
        });
        let tls = if has("tls") || kind != "relay" {
            certificate.section(dir.path())
        } else {
            String::new()
        };
        let config = format!(
            "[server]\nhostname = \"relay.test\"\ndata_dir = {:?}\n[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"{kind}\"\n\
             [[client]]\nnetworks = [\"127.0.0.0/8\"]\ntenants = [\"acme\"]\ntrust_xclient = {}\n\
             [[tenant]]\nname = \"acme\"\ndomains = [\"acme.example\"]\n\
             [[route]]\ndomain = \"*\"\nhost = \"{}\"\ntls = \"none\"\n[admin]\nbind = \"127.0.0.1:0\"\n[limits]\n{limits}{tls}",
            dir.path().join("data"),
            has("trusted"),
            sink.address
        );
        std::fs::write(dir.path().join("outgate.toml"), config).expect("config written");
        let relay = Relay::start_in(dir);
        for (_, account) in settings.iter().filter(|(key, _)| key == "account") {
            let (name, password) = account.split_once(' ').expect("account NAME PASSWORD");
            relay.add_account(name, password, &[]);
        }
        Self {
            relay,
            sink,
            certificate,
            kind,
            seen: 0,
        }
    }

    fn play(&mut self, story: &Story) -> Result<(), String> {
        let stream = TcpStream::connect(self.relay.address(&self.kind)).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let wire = if self.kind == "submissions" {
            self.certificate.client(stream)
        } else {
            Wire::Plain(stream)
        };
        let mut wire = BufReader::new(wire);
        for exchange in &story.exchanges {
            self.exchange(&mut wire, exchange)
                .map_err(|error| format!("line {}: {error}", exchange.line))?;
            if exchange.handshake {
                let socket = wire.get_ref().socket().try_clone().expect("socket");
                wire = BufReader::new(self.certificate.client(socket));
            }
        }
        if matches!(wire.get_ref(), Wire::Plain(_)) {
            // Nothing may come that the story does not have. The peer may have closed already.
            let _ = wire.get_ref().socket().shutdown(Shutdown::Write);
            let mut rest = Vec::new();
            let _ = wire.read_to_end(&mut rest);
            if !rest.is_empty() {
                return Err(format!(
                    "more replies: {:?}",
                    String::from_utf8_lossy(&rest)
                ));
            }
        }
        Ok(())
    }

    fn exchange(&mut self, wire: &mut BufReader<Wire>, exchange: &Exchange) -> Result<(), String> {
        // The relay may close while we still write; what it said before tells.
        let _ = wire
            .get_mut()
            .write_all(&exchange.sent)
            .and_then(|()| wire.get_mut().flush());
        let mut got = Vec::new();
        for _ in &exchange.replies {
            let mut line = String::new();
            if wire.read_line(&mut line).unwrap_or(0) == 0 {
                break;
            }
            let line = line
                .strip_suffix("\r\n")
                .ok_or_else(|| format!("no CRLF behind {line:?}"))?;
            // The id is the relay's own addition.
            got.push(
                line.split_once(": queued as ")
                    .map_or(line, |(reply, _)| reply)
                    .to_owned(),
            );
        }
        let lines: Vec<&str> = got.iter().map(String::as_str).collect();
        if !story::are_replies(&lines, &exchange.replies) {
            return Err(format!(
                "replies\n  want {:#?}\n  got {got:#?}",
                exchange.replies
            ));
        }
        if exchange.closed {
            let mut rest = String::new();
            if wire.read_line(&mut rest).unwrap_or(0) > 0 {
                return Err(format!("open still: {rest:?}"));
            }
        }
        for want in exchange.messages.iter().flatten() {
            self.seen += 1;
            let mail = self.sink.wait_count(self.seen).pop().expect("a message");
            if !is_message(&mail, want) {
                return Err(format!(
                    "message\n  want {want}\n  got <{}> {:?} {:?}",
                    mail.from,
                    mail.to,
                    mail.text()
                ));
            }
        }
        Ok(())
    }

    /// Once all is delivered, the sink has seen no more than the stories have.
    fn end(self) -> Result<(), String> {
        self.relay.until("an empty queue", |relay| {
            let items = relay.json("/api/v1/queue")["items"]
                .as_array()
                .map(Vec::len);
            (items == Some(0)).then_some(())
        });
        let all = self.sink.all();
        let texts: Vec<String> = all.iter().map(Arrived::text).collect();
        if all.len() == self.seen {
            Ok(())
        } else {
            Err(format!(
                "{} messages, not {}: {texts:#?}",
                all.len(),
                self.seen
            ))
        }
    }
}

/// What the relay puts on top is taken off: its Received, on submission Date and Message-ID, and
/// the empty line before a body that came without a header. SMTP cannot carry a last line without
/// an end, so that one is added.
fn is_message(mail: &Arrived, want: &str) -> bool {
    let to: Vec<String> = mail.to.iter().map(|to| format!("<{to}>")).collect();
    let envelope = format!("<{}> {}", mail.from, to.join(","));
    let mut body = mail.without_trace();
    for field in [&b"Date: "[..], b"Message-ID: ", b"\r\n"] {
        if body.starts_with(field) {
            let end = body
                .iter()
                .position(|b| *b == b'\n')
                .map_or(body.len(), |at| at + 1);
            body.drain(..end);
        }
    }
    let cut = body.strip_suffix(b"\r\n").unwrap_or(&body);
    story::is_message(&envelope, &body, want) || story::is_message(&envelope, cut, want)
}

fn is_playable(name: &str, value: &str) -> bool {
    match name {
        "answer" | "stranger" | "messages_per_session" => false,
        "message_size_bytes" => value.parse::<u64>().is_ok_and(|octets| octets >= 65_536),
        _ => true,
    }
}

#[test]
fn every_transcript_that_the_relay_can_play() {
    let mut groups: BTreeMap<String, Vec<(String, Story)>> = BTreeMap::new();
    for path in story::files() {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let story = story::parse(&std::fs::read_to_string(&path).expect("readable"));
        if !story
            .settings
            .iter()
            .all(|(name, value)| is_playable(name, value))
        {
            continue;
        }
        // Failed logins slow down those that follow: such stories share no relay.
        let alone = story.settings.iter().any(|(key, _)| key == "account");
        let key = if alone {
            name.clone()
        } else {
            format!("{:?}", story.settings)
        };
        groups.entry(key).or_default().push((name, story));
    }
    let mut report = String::new();
    for stories in groups.values() {
        let settings = stories
            .first()
            .map(|(_, story)| story.settings.as_slice())
            .unwrap_or_default();
        let mut stage = Stage::new(settings);
        let mut good = true;
        for (name, story) in stories {
            if let Err(error) = stage.play(story) {
                good = false;
                let _ = writeln!(report, "{name}: {error}");
                // The rest of the story may have left mail behind.
                stage.seen = stage.sink.all().len();
            }
        }
        let names: Vec<&str> = stories.iter().map(|(name, _)| name.as_str()).collect();
        if good && let Err(error) = stage.end() {
            let _ = writeln!(report, "{names:?}: {error}");
        }
    }
    assert!(report.is_empty(), "\n{report}");
}
