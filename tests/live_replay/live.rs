//! The relay in this process, and what it tells.

use super::*;
use common::{Client, until};
use outgate::exports::{Clock, Relay, Time, config, metrics};
use script::Step;
use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Monday, 2026-11-23 08:00 UTC.
const START: i64 = 1_795_420_800;

/// A clock that stands still until it is set.
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

thread_local! {
    /// The message of this connection goes to somebody whose filter is strict: each connection of a
    /// sink has a thread.
    static STRICT: Cell<bool> = const { Cell::new(false) };
}

/// What a next hop knows of its mailboxes, and what one of them thinks of the text.
pub(super) fn sink() -> Sink {
    Sink::scripted(|line| {
        if line.starts_with("MAIL") {
            STRICT.set(false);
        } else if line.starts_with("RCPT TO:<refuser") {
            STRICT.set(true);
        } else if line.starts_with("RCPT TO:<unknown") {
            return Some("550 5.1.1 No such user here".to_owned());
        } else if line == "." && STRICT.get() {
            return Some("554 5.7.1 Message rejected as spam".to_owned());
        }
        None
    })
}

/// One message as both tell it: action and reply, references taken out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) action: String,
    reply: String,
}

impl Told {
    pub(super) fn new(action: &str, reply: &str) -> Self {
        // What a positive reply says behind its code names the place in the queue.
        let reply = if reply.starts_with("250 ") {
            "250 2.0.0".to_owned()
        } else {
            without_reference(reply)
        };
        Self {
            action: action.to_owned(),
            reply,
        }
    }
}

fn without_reference(text: &str) -> String {
    match (text.find("OG-"), text.find(']')) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &text[..from], &text[to..]),
        _ => text.to_owned(),
    }
}

/// The admin side of a relay.
pub(super) struct Door {
    pub(super) admin: SocketAddr,
    pub(super) token: String,
}

impl Door {
    fn http(&self, path: &str) -> (u16, Value) {
        let (status, body) = common::http(
            self.admin,
            "GET",
            path,
            &format!("Authorization: Bearer {}\r\n", self.token),
            "",
        );
        (status, serde_json::from_str(&body).expect("JSON"))
    }

    fn items(&self, path: &str) -> Vec<Value> {
        let (status, page) = self.http(path);
        assert_eq!(status, 200, "{path}: {page}");
        page["items"].as_array().expect("items").clone()
    }

    /// Waits until all is known of what became of an accepted message.
    pub(super) fn settled(&self, reply: &str) -> Option<Value> {
        let (_, id) = reply.split_once("queued as ")?;
        Some(until("what became of it", || {
            let message = self
                .items(&format!("/api/v1/messages?id={}", id.trim()))
                .first()?
                .clone();
            let recipients = message["recipients"].as_array().expect("a list").len();
            (message["action"] == "hold" || outcomes(&message).count() == recipients)
                .then_some(message)
        }))
    }

    /// An outcome that opens a block does so a moment after it was traced.
    pub(super) fn blocked_if_due(&self, address: &str) {
        until("the block", || (!self.is_due(address)).then_some(()));
    }

    /// Whether the evidence against a sender is enough for a block, and none is there.
    fn is_due(&self, address: &str) -> bool {
        let (status, sender) = self.http(&format!("/api/v1/senders/{address}"));
        let number = |key: &str| sender[key].as_f64().unwrap_or_default();
        status == 200
            && number("evidence_nats") >= number("block_at_nats")
            && sender["standing"] != "blocked"
    }

    /// Blocks in the order in which they were opened: subject, reason, opened at.
    pub(super) fn blocks(&self) -> Vec<(String, String, i64)> {
        let text = |b: &Value, key: &str| b[key].as_str().unwrap_or_default().to_owned();
        let opened = |b: &Value| {
            Time::parse_rfc3339(&text(b, "opened_at"))
                .expect("a time")
                .as_secs()
        };
        // They come newest first, to the millisecond; two of one second must not change places.
        let items = self.items("/api/v1/blocks?limit=100");
        items
            .iter()
            .rev()
            .map(|b| (text(b, "subject"), text(b, "reason"), opened(b)))
            .collect()
    }
}

fn outcomes(message: &Value) -> impl Iterator<Item = &Value> {
    let history = message["history"].as_array().expect("a list").iter();
    history.filter(|line| line["status"] == "delivered" || line["status"] == "failed")
}

/// Hands one message in; the reply.
pub(super) fn hand_in(smtp: SocketAddr, step: &Step) -> String {
    let mut client = Client::hello(smtp);
    let address = step.address();
    if step.early && !step.sender.is_empty() {
        assert!(
            client
                .cmd(&format!("XCLIENT LOGIN={address}"))
                .starts_with("220")
        );
        assert!(client.cmd("EHLO client.test").starts_with("250"));
    }
    let to: Vec<&str> = step.to.iter().map(String::as_str).collect();
    client.send(&address, &to, &step.text)
}

/// A whole relay in this process, and what it saw.
pub(super) struct Live {
    pub(super) file: PathBuf,
    relay: Option<Relay>,
    runtime: tokio::runtime::Runtime,
    clock: Arc<SetClock>,
    smtp: SocketAddr,
    pub(super) door: Door,
    pub(super) events: Vec<Value>,
    pub(super) told: Vec<Told>,
    dir: tempfile::TempDir,
}

impl Live {
    /// A relay with these keys whose clock stands at the start.
    pub(super) fn start(sink: &Sink, keys: &str) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let file = dir.path().join("outgate.toml");
        let text = common::config(&dir.path().join("data"), sink.address, keys);
        std::fs::write(&file, text).expect("written");
        let clock = Arc::new(SetClock(AtomicI64::new(Time::from_secs(START).0)));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let settings = config::load(Some(&file)).expect("a good configuration");
        let metrics = metrics::install().expect("metrics");
        let relay = runtime
            .block_on(Relay::start(
                settings,
                Arc::clone(&clock) as Arc<dyn Clock>,
                metrics,
            ))
            .expect("it starts");
        Self {
            smtp: relay.listening.smtp[0].1,
            door: Door {
                admin: relay.listening.admin,
                token: relay.admin_token.clone(),
            },
            file,
            relay: Some(relay),
            runtime,
            clock,
            events: Vec::new(),
            told: Vec::new(),
            dir,
        }
    }

    /// Ends the relay once all is written.
    pub(super) fn drain(&mut self) {
        let relay = self.relay.take().expect("it runs");
        self.runtime.block_on(relay.drain());
    }

    /// Sets the clock, and waits until the blocks whose end has come are taken down and what they
    /// were for is forgiven.
    fn at(&self, seconds: i64) {
        self.clock
            .0
            .store(Time::from_secs(START + seconds).0, Ordering::SeqCst);
        let active = || self.door.items("/api/v1/blocks?state=active&limit=100");
        let over = |b: &Value| {
            b["until"]
                .as_str()
                .and_then(Time::parse_rfc3339)
                .is_some_and(|t| t <= self.clock.now())
        };
        for block in active().into_iter().filter(over) {
            until("the block ends", || {
                (!active().iter().any(|b| b["ref"] == block["ref"])).then_some(())
            });
            let (path, none) = (
                format!("/api/v1/senders/{}", text(&block, "subject")),
                json!(0.0),
            );
            until("its evidence is forgiven", || {
                (self.door.http(&path).1["evidence_nats"] == none).then_some(())
            });
        }
    }

    /// Hands in one message, waits until all that follows from it is known, and notes all of it.
    pub(super) fn step(&mut self, number: usize, step: &Step) {
        self.at(step.seconds);
        let reply = hand_in(self.smtp, step);
        let path = self.dir.path().join(format!("{number}.eml"));
        let octets: String = step
            .text
            .lines()
            .map(|line| format!("{line}\r\n"))
            .collect();
        std::fs::write(&path, octets).expect("written");
        let time = START + step.seconds;
        self.events.push(json!({ "type": "message", "time": time, "id": number, "tenant": "acme", "sender": step.address(),
            "client_ip": "127.0.0.1", "recipients": step.to, "path": path }));
        let action = match self.door.settled(&reply) {
            Some(message) => {
                outcomes(&message).for_each(|line| self.events.push(outcome(time, number, line)));
                message["action"].as_str().expect("an action").to_owned()
            }
            None if reply.starts_with('4') => "defer".to_owned(),
            None => "reject".to_owned(),
        };
        self.told.push(Told::new(&action, &reply));
        if !step.sender.is_empty() {
            self.door.blocked_if_due(&step.address());
        }
    }
}

/// A line of a message's history as an event.
fn outcome(time: i64, number: usize, line: &Value) -> Value {
    let status = if line["status"] == "delivered" {
        "delivered"
    } else {
        "bounced"
    };
    let mut reply = line["text"].as_str().expect("a reply").splitn(3, ' ');
    let code: u16 = reply.next().and_then(|c| c.parse().ok()).expect("a code");
    json!({ "type": "outcome", "time": time, "id": number, "recipient": line["recipient"], "status": status, "code": code,
        "enhanced": reply.next(), "text": reply.next() })
}
