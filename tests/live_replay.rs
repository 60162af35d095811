//! The live relay and `outgate replay` judge alike: two made-up days go through a whole relay over
//! SMTP, on a clock that the test sets, and what the relay saw goes through the replay as a stream
//! of events. Every action, reply and block is compared.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::{Client, Sink, until};
use outgate::exports::Clock;
use outgate::exports::Relay;
use outgate::exports::Time;
use outgate::exports::config;
use outgate::exports::metrics;
use serde_json::{Value, json};
use std::cell::Cell;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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

/// What a made-up sender hands in.
struct Step {
    seconds: i64,
    sender: &'static str,
    /// Named by XCLIENT before MAIL; else by the identity header, which is known only after the
    /// dot.
    early: bool,
    to: Vec<String>,
    text: String,
}

impl Step {
    fn address(&self) -> String {
        if self.sender.is_empty() {
            String::new()
        } else {
            format!("{}@acme.example", self.sender)
        }
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

/// The stream under construction.
struct Script {
    steps: Vec<Step>,
    dice: Dice,
}

impl Script {
    fn add(&mut self, seconds: i64, sender: &'static str, to: Vec<String>, body: &str) {
        let number = self.steps.len();
        let address = if sender.is_empty() {
            String::new()
        } else {
            format!("{sender}@acme.example")
        };
        let early = matches!(sender, "ivy" | "carl" | "");
        let header = if early {
            String::new()
        } else {
            format!("X-Authenticated-Sender: {address}\n")
        };
        let from = if sender.is_empty() {
            "From: Mail delivery <mailer-daemon@acme.example>".to_owned()
        } else {
            format!("From: {sender} <{address}>")
        };
        let text = format!(
            "{header}{from}\nTo: {}\nMessage-ID: <{number}.made-up@acme.example>\n{body}",
            to[0]
        );
        self.steps.push(Step {
            seconds,
            sender,
            early,
            to,
            text,
        });
    }

    /// A person's hours of one day: letters to few people, mostly known ones.
    fn person(&mut self, day: i64, sender: &'static str) {
        let mut seconds = day * 86_400 + self.dice.roll(1800) as i64;
        while seconds < day * 86_400 + 9 * 3600 {
            let mut to = Vec::new();
            for _ in 0..[1, 1, 1, 2, 3][self.dice.roll(5)] {
                to.push(match self.dice.roll(12) {
                    0 => format!("new{}.{sender}@far.example", self.dice.roll(10_000)),
                    1 | 2 => "ben@acme.example".to_owned(),
                    n => format!("friend{}.{sender}@partner.example", n % 5),
                });
            }
            to.sort();
            to.dedup();
            let body = letter(&mut self.dice, sender);
            self.add(seconds, sender, to, &body);
            seconds += 900 + self.dice.roll(3600) as i64;
        }
    }

    /// An account that was taken over writes to strangers, a quarter of whom do not exist.
    fn campaign(&mut self, from: i64, gap: i64, messages: usize, sender: &'static str) {
        for n in 0..messages {
            let to = (0..3)
                .map(|i| {
                    let who = self.dice.roll(1_000_000);
                    if (n + i) % 4 == 0 {
                        format!("unknown{who}@elsewhere.example")
                    } else {
                        format!("victim{who}@elsewhere.example")
                    }
                })
                .collect();
            let body = lure(self.dice.roll(100_000));
            self.add(from + n as i64 * gap, sender, to, &body);
        }
    }
}

fn letter(dice: &mut Dice, sender: &str) -> String {
    let greeting = dice.pick(&["Hi", "Hello", "Dear all", "Good morning"]);
    let subject = dice.pick(&[
        "Minutes",
        "Offer for the roof",
        "Lunch on Friday",
        "Delivery dates",
        "Holiday plan",
        "Question",
    ]);
    let mut text = format!("Subject: {subject} {}\n\n{greeting},\n\n", dice.roll(90));
    for _ in 0..2 + dice.roll(4) {
        text += dice.pick(&[
            "The drawings of the second floor are in the folder we share, please have a look before Thursday.\n",
            "I spoke to the carpenter and he can start on Monday if the wood arrives in time.\n",
            "Could you send me the list of what we ordered in October, I cannot find mine.\n",
            "We agreed to move the review to next week since half of the team is away.\n",
            "Thank you for the quick answer, that helps a lot with the planning.\n",
            "The numbers look fine to me, only the third row should be checked again.\n",
        ]);
    }
    text + &format!("\nRegards\n{sender}\n")
}

fn order(number: usize) -> String {
    format!(
        "Subject: Your order {number} is on its way\n\nHello,\n\nyour order {number} left our warehouse today and will be with \
         you within two days.\n\nYour shop\n"
    )
}

fn lure(number: usize) -> String {
    format!(
        "Subject: URGENT: your mailbox will be suspended, verify now!!!\nMIME-Version: 1.0\nContent-Type: text/html; \
         charset=utf-8\n\n<html><body><h1>CONGRATULATIONS WINNER #{number}!!!</h1><p>Dear friend, you have WON $1,500,000.00 USD \
         in our lottery promotion. To claim your FREE cash prize click here immediately and verify your password and bank \
         account: <a href=\"http://203.0.113.9/login/verify.php?id={number}\">https://www.bank.example/</a></p><p>Act now! 100% \
         guaranteed, no risk, limited time offer. Make money fast, work from home.</p></body></html>\n"
    )
}

fn script() -> Vec<Step> {
    let mut script = Script {
        steps: Vec::new(),
        dice: Dice(7),
    };
    for day in 0..2 {
        for sender in ["anna", "ben", "carl", "dora", "emma"] {
            script.person(day, sender);
        }
        let morning = day * 86_400;
        for n in 0..24 {
            let who = script.dice.roll(100_000);
            script.add(
                morning + n * 1300,
                "shop",
                vec![format!("customer{who}@mail.example")],
                &order(who),
            );
        }
        let text = format!(
            "Subject: What is new in week {}\n\nDear readers,\n\nour new hall is open on Saturdays. Come and see it.\n",
            47 + day
        );
        for n in 0..25 + 3 * day {
            script.add(
                morning + 7200 + n * 20,
                "news",
                vec![format!("reader{n}@list.example")],
                &text,
            );
        }
        for n in 0..6 {
            let body = letter(&mut script.dice, "ivy");
            script.add(
                morning + 10_000 + n * 60,
                "ivy",
                vec![format!("guest{n}@partner.example")],
                &body,
            );
        }
        let report =
            "Subject: Undelivered mail\n\nThe mail to this address could not be delivered.\n";
        script.add(
            morning + 12_000,
            "",
            vec!["sender@outside.example".to_owned()],
            report,
        );
    }
    // Carl, twice: the first block ends after an hour, and mail within the house goes on meanwhile.
    script.campaign(6 * 3600 + 60, 30, 14, "carl");
    let body = letter(&mut script.dice, "carl");
    script.add(
        6 * 3600 + 1800,
        "carl",
        vec!["anna@acme.example".to_owned()],
        &body,
    );
    script.campaign(86_400 + 4 * 3600, 30, 12, "carl");
    // Dora to a hundred strangers at once; Emma to her own contacts, one of whom refuses it as
    // spam.
    let crowd = (0..100)
        .map(|n| format!("crowd{n}@elsewhere.example"))
        .collect();
    script.add(86_400 + 3 * 3600 + 7, "dora", crowd, &lure(1));
    for n in 0..8 {
        let to = if n % 2 == 0 {
            "refuser.emma@partner.example".to_owned()
        } else {
            format!("friend{}.emma@partner.example", n % 5)
        };
        script.add(
            86_400 + 5 * 3600 + 11 * n as i64,
            "emma",
            vec![to],
            &lure(n),
        );
    }
    // Ivy passes on what she was sent; what looks bad of an intern is held.
    let passed_on = "Subject: Fwd: cheap pills\n\nBuy Viagra and Cialis online without prescription, lowest prices, 80% off!!!\n\
                     Order now at http://203.0.113.77/pharmacy and get a free bonus. Unsubscribe: reply REMOVE.\n";
    script.add(
        86_400 + 8 * 3600,
        "ivy",
        vec!["guest9@partner.example".to_owned()],
        passed_on,
    );
    // Anna's client did not hear our 250 and brings a message again.
    let again = script
        .steps
        .iter()
        .find(|s| s.sender == "anna")
        .map(|s| (s.to.clone(), s.text.clone()))
        .expect("she wrote");
    script.steps.push(Step {
        seconds: 5 * 3600,
        sender: "anna",
        early: false,
        to: again.0,
        text: again.1,
    });
    script.steps.sort_by_key(|s| s.seconds);
    script.steps
}

thread_local! {
    /// The message of this connection goes to somebody whose filter is strict: each connection of a
    /// sink has a thread.
    static STRICT: Cell<bool> = const { Cell::new(false) };
}

/// What a next hop knows of its mailboxes, and what one of them thinks of the text.
fn sink() -> Sink {
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
struct Told {
    action: String,
    reply: String,
}

impl Told {
    fn new(action: &str, reply: &str) -> Self {
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
struct Door {
    admin: SocketAddr,
    token: String,
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
    fn settled(&self, reply: &str) -> Option<Value> {
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
    fn blocked_if_due(&self, address: &str) {
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
    fn blocks(&self) -> Vec<(String, String, i64)> {
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
fn hand_in(smtp: SocketAddr, step: &Step) -> String {
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
struct Live {
    clock: Arc<SetClock>,
    smtp: SocketAddr,
    door: Door,
    events: Vec<Value>,
    told: Vec<Told>,
    folder: PathBuf,
}

impl Live {
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
    fn step(&mut self, number: usize, step: &Step) {
        self.at(step.seconds);
        let reply = hand_in(self.smtp, step);
        let path = self.folder.join(format!("{number}.eml"));
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
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("outgate.toml");
    std::fs::write(
        &file,
        common::config(&dir.path().join("data"), sink.address, POLICY),
    )
    .expect("written");
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
    let door = Door {
        admin: relay.listening.admin,
        token: relay.admin_token.clone(),
    };
    let smtp = relay.listening.smtp[0].1;
    let mut live = Live {
        clock,
        smtp,
        door,
        events: Vec::new(),
        told: Vec::new(),
        folder: dir.path().to_owned(),
    };
    let steps = script();
    for (number, step) in steps.iter().enumerate() {
        live.step(number, step);
    }
    let blocks = live.door.blocks();
    runtime.block_on(relay.drain());

    let lines = replay(
        &file,
        live.events
            .iter()
            .map(|event| format!("{event}\n"))
            .collect(),
    );
    let answers: Vec<&Value> = lines.iter().filter(|l| l["event"].is_null()).collect();
    assert_eq!(answers.len(), steps.len());
    for (number, ((answer, told), step)) in answers.iter().zip(&live.told).zip(&steps).enumerate() {
        assert_eq!(text(answer, "id"), number.to_string());
        let replayed = Told::new(&text(answer, "action"), &text(answer, "reply"));
        assert_eq!(
            &replayed, told,
            "message {number} of {:?} at {} s to {:?}",
            step.sender, step.seconds, step.to
        );
    }
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
    // The story is the one it was meant to be.
    let count = |action: &str| live.told.iter().filter(|t| t.action == action).count();
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
        "{:?}",
        live.told
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
    let mut script = Script {
        steps: Vec::new(),
        dice: Dice(11),
    };
    script.person(0, "anna");
    script.person(0, "ben");
    script.campaign(5, 1, 10, "carl");
    let crowd = (0..300)
        .map(|n| format!("reader{n}@list.example"))
        .collect();
    script.add(6, "emma", crowd, &letter(&mut Dice(3), "emma"));
    script.steps.sort_by_key(|s| s.seconds);
    for step in &script.steps {
        door.settled(&hand_in(relay.smtp, step));
        door.blocked_if_due(&step.address());
    }
    let log = relay.log();
    let lines = replay(&relay.dir.path().join("outgate.toml"), log.clone());
    let answers = || lines.iter().filter(|l| l["event"].is_null());
    // What was refused at RCPT was not judged, and is in neither.
    assert!(
        answers().count() >= script.steps.len() - 10 && answers().any(|l| l["action"] == "reject"),
        "{lines:?}"
    );
    answers().for_each(|line| assert_eq!(line["action"], line["done"], "{line}"));
    let summary = lines.last().expect("a summary");
    assert_eq!(
        (&summary["changed"], &summary["errors"]),
        (&json!([]), &json!(0)),
        "{summary}"
    );
    let opened = |lines: &[Value]| {
        lines
            .iter()
            .filter(|l| l["event"] == "blocked")
            .map(|l| text(l, "subject"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        opened(&lines),
        door.blocks().into_iter().map(|b| b.0).collect::<Vec<_>>()
    );
    // A stricter policy for the same day.
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
    // No address of a recipient stands in what is kept for the replay.
    let judged = relay.log();
    let mut judged = judged
        .lines()
        .filter(|l| l.contains("\"event\":\"judged\""));
    assert!(judged.all(|l| !l.contains("partner.example") && !l.contains("list.example")));
}
