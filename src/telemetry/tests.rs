//! Lines as they come out.

use super::*;
use crate::types::*;
use crate::types::{MessageFacts, RecipientFacts};
use std::sync::Mutex;
use std::time::Duration;

struct At(i64);

impl Clock for At {
    fn now(&self) -> Time {
        Time(self.0)
    }
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .expect("no other test holds it")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The flag for subject lines belongs to the whole process: tests that set it take turns.
static TURN: Mutex<()> = Mutex::new(());

#[derive(Debug, Clone, Copy, PartialEq)]
enum LogFormat {
    Text,
    Json,
}

fn lines(
    format: LogFormat,
    level: &'static str,
    subjects: bool,
    run: impl FnOnce(&LogControl),
) -> Vec<String> {
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let sink = Sink::default();
    let log = LogOptions {
        json: format == LogFormat::Json,
        level,
        subjects,
        judgements: true,
    };
    let out = sink.clone();
    let (subscriber, control) =
        subscriber(log, Arc::new(At(1_795_356_000_007)), move || out.clone());
    tracing::subscriber::with_default(subscriber, || run(&control));
    let bytes = sink.0.lock().expect("no other test holds it").clone();
    let text = String::from_utf8(bytes).expect("UTF-8");
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let line: serde_json::Map<String, _> = serde_json::from_str(line).expect("JSON");
        if let Some(event) = line.get("event").and_then(|e| e.as_str()) {
            let known = events::ALL.iter().find(|(name, _)| *name == event);
            let (_, fields) = known.expect("an event of the table");
            let own = |key: &&String| !["time", "level", "event"].contains(&key.as_str());
            for key in line.keys().filter(own) {
                assert!(fields.split(' ').any(|f| f == key), "{event}: {key}");
            }
        }
    }
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_page_of_the_log_lists_every_event_once_with_its_fields() {
    let page = include_str!("../../docs/log.md");
    let rows: Vec<(&str, String)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(event, rest)| {
            let fields = rest.rsplit(" | ").next().unwrap_or_default();
            (event, fields.trim_end_matches(" |").replace('`', ""))
        })
        .collect();
    let table: Vec<_> = events::ALL
        .iter()
        .map(|(event, fields)| (*event, (*fields).to_owned()))
        .collect();
    assert_eq!(rows, table);
    let names: std::collections::HashSet<_> = events::ALL.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), events::ALL.len());
}

fn meta() -> MessageMeta {
    let tenant = TenantId::new("acme");
    let address = |t: &str| Address::parse(t).expect("test address");
    MessageMeta {
        id: MessageId(1),
        accepted_at: Time(0),
        envelope: Envelope {
            from: ReversePath(Some(address("alice@acme.example"))),
            recipients: vec![Recipient::new(address("bob@example.net"))],
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        },
        identity: Some(Identity {
            key: SenderKey::account(&tenant, "alice@acme.example"),
            tenant,
            address: "alice@acme.example".into(),
            domain: Domain::parse("acme.example"),
            strength: Strength::Authenticated,
            client: [127, 0, 0, 1].into(),
            foreign: false,
        }),
        pool: Pool::Normal,
        hold: None,
        probability: 0.25,
        llr: -1.5,
        symbols: Vec::new(),
        header_message_id: Some("x@y".into()),
        size: 10,
    }
}

#[test]
fn an_accepted_message_is_one_line() {
    let text = lines(LogFormat::Text, "info", false, |_| {
        events::accepted(&meta(), Action::Accept, Reason::Clean, Some("private"));
    });
    assert_eq!(
        text,
        [
            "2026-11-22T14:00:00.007Z INFO accepted id=0000000000001 tenant=acme sender=alice@acme.example client=127.0.0.1 \
          from=alice@acme.example recipients=1 size=10 action=accept reason=clean pool=normal probability=0.25 llr=-1.5 \
          message_id=x@y"
        ]
    );
}

#[test]
fn json_is_one_object_per_line() {
    let text = lines(LogFormat::Json, "info", true, |_| {
        events::accepted(
            &meta(),
            Action::Accept,
            Reason::Clean,
            Some("a \"b\"\r\n\u{1b}[31m\u{202e}c"),
        );
    });
    let value: serde_json::Value = serde_json::from_str(&text[0]).expect("JSON");
    assert_eq!(value["time"], "2026-11-22T14:00:00.007Z");
    assert_eq!(
        (&value["event"], &value["id"]),
        (&"accepted".into(), &"0000000000001".into())
    );
    assert_eq!(value["subject"], "a \"b\"\r\n\u{1b}[31m\u{202e}c");
    assert!(
        !text[0].chars().any(|c| c.is_control() || c == '\u{202e}'),
        "{}",
        text[0]
    );
    assert_eq!(text.len(), 1);
}

#[test]
fn a_judgement_is_a_line_of_json_only_and_names_its_recipients_by_hashes() {
    let meta = meta();
    let identity = meta.identity.as_ref().expect("it has one");
    let recipients: Vec<RecipientFacts> = (0..1000)
        .map(|n| RecipientFacts {
            hash: n,
            internal: n == 1,
        })
        .collect();
    let facts = MessageFacts {
        id: meta.id,
        identity,
        recipients: &recipients,
        fingerprint: 0xabc,
        template: 7,
        origin: None,
        failed_logins: 0,
        llr: -1.25,
        listed: 0.0,
        probability: 0.25,
        symbols: &[],
        link_hosts: &[],
        octets: 10,
        is_report: false,
    };
    let judged = |_: &LogControl| events::judged(&facts, Action::Accept, Reason::Clean);
    assert_eq!(
        lines(LogFormat::Text, "info", false, judged),
        Vec::<String>::new()
    );
    let text = lines(LogFormat::Json, "info", false, judged);
    let value: serde_json::Value = serde_json::from_str(&text[0]).expect("JSON");
    let hashes = value["to_hashes"].as_str().expect("text");
    assert_eq!(hashes.len(), 999 * 16, "all of them, however many");
    assert!(
        hashes.starts_with("00000000000000000000000000000002"),
        "{hashes}"
    );
    assert_eq!(
        (&value["internal_hashes"], &value["fingerprint"]),
        (&"0000000000000001".into(), &"0000000000000abc".into())
    );
    assert_eq!(
        (&value["strength"], &value["llr"]),
        (&"authenticated".into(), &(-1.25).into())
    );
}

#[test]
fn nobody_can_forge_a_line() {
    let text = lines(LogFormat::Text, "info", false, |_| {
        let what = events::RefusedMail {
            id: None,
            client: [127, 0, 0, 1].into(),
            sender: "",
            from: "a\r\n2026 INFO accepted",
            to: "x \"y\"\u{1b}]0;",
            reason: "blocked",
        };
        events::refused(&what, &Reply::new(550, (5, 1, 8), "Access denied"));
        tracing::warn!(path = "a\nb", "cannot\nread");
    });
    assert_eq!(
        text,
        [
            r#"2026-11-22T14:00:00.007Z INFO refused id="" client=127.0.0.1 sender="" from="a\r\n2026 INFO accepted" to="x \"y\"\u{1b}]0;" reason=blocked reply="550 5.1.8 Access denied""#,
            r"2026-11-22T14:00:00.007Z WARN cannot\nread path=a\nb",
        ]
        .map(|l| l.replace(r"path=a\nb", r#"path="a\nb""#))
    );
}

#[test]
fn long_values_are_cut() {
    let long = "ä".repeat(5000);
    for format in [LogFormat::Text, LogFormat::Json] {
        let text = lines(
            format,
            "info",
            false,
            |_| tracing::info!(value = long.as_str(), debug = ?long),
        );
        assert!(
            text[0].len() < 5000 && text[0].contains('…'),
            "{}",
            text[0].len()
        );
    }
}

#[test]
fn sessions_show_only_when_debugging_and_a_reload_changes_level_and_form() {
    let text = lines(LogFormat::Text, "info", false, |control| {
        events::session_opened("relay", [127, 0, 0, 1].into());
        control.reload(LogOptions {
            json: true,
            level: "debug",
            subjects: false,
            judgements: false,
        });
        events::session_closed([127, 0, 0, 1].into(), 3, "quit");
        tracing::info!(target: "hyper", "chatter");
    });
    assert_eq!(text.len(), 1, "{text:?}");
    assert!(
        text[0].contains("\"event\":\"session_closed\",\"client\":\"127.0.0.1\",\"messages\":3"),
        "{text:?}"
    );
}

#[test]
fn outcomes_name_recipient_remote_and_reply() {
    let outcome = |status| RecipientOutcome {
        recipient: 0,
        status,
        class: OutcomeClass::Other,
        reply: Reply::new(250, (2, 0, 0), "ok"),
        remote: "mx.example[192.0.2.1]:25".into(),
        relayed_dsn: false,
    };
    let text = lines(LogFormat::Text, "info", false, |_| {
        for status in [
            RecipientStatus::Delivered,
            RecipientStatus::Pending,
            RecipientStatus::Failed,
        ] {
            events::attempted(&meta(), &outcome(status), Duration::from_millis(1500));
        }
        events::attempted(
            &meta(),
            &RecipientOutcome {
                recipient: 9,
                ..outcome(RecipientStatus::Failed)
            },
            Duration::ZERO,
        );
    });
    let rest = "id=0000000000001 from=alice@acme.example to=bob@example.net remote=mx.example[192.0.2.1]:25 pool=normal \
                delay_seconds=1.5 class=other reply=\"250 2.0.0 ok\"";
    for (line, event) in text.iter().zip(["delivered", "deferred", "bounced"]) {
        assert_eq!(
            line,
            &format!("2026-11-22T14:00:00.007Z INFO {event} {rest}")
        );
    }
    assert!(text[3].contains("to=\"\""), "{}", text[3]);
}
