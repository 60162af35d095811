//! One line of a replay: an event as JSON.

use super::error::LineError;
use super::log_line::{Answered, LoggedMessage, LoggedRelease};
use crate::detector::mailbox_hash;
use crate::types::fingerprint::read_template;
use crate::types::hash::hash_text;
use crate::types::{Address, ReleaseVerdict, Time};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::net::IpAddr;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReplayEvent<'a> {
    pub time: Time,
    /// The message it concerns, by its unique name.
    pub id: Cow<'a, str>,
    /// What happened to it.
    pub what: EventKind<'a>,
}

/// The kinds of events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum EventKind<'a> {
    /// A message came to the final dot.
    Message(EventMessage<'a>),
    /// Something became of one recipient.
    Outcome(EventOutcome<'a>),
    /// Somebody complained of it: who, as a hash, where that is told.
    Complaint(Option<u64>),
    /// From the relay's log: a message that was judged.
    Judged(Box<LoggedMessage>),
    /// From the relay's log: something became of one recipient.
    Answered(Answered),
    /// From the relay's log: somebody ended a block. `id` says nothing.
    Released(LoggedRelease, Option<ReleaseVerdict>),
}

/// A message that came to the final dot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EventMessage<'a> {
    /// Id of the tenant.
    pub tenant: Cow<'a, str>,
    /// Address or login; empty for the null sender.
    pub sender: Cow<'a, str>,
    /// Address of the mail server that handed it in.
    pub client: IpAddr,
    /// Recipients as in the envelope.
    pub recipients: Vec<Cow<'a, str>>,
    /// Its text or the score of it.
    pub content: EventContent<'a>,
    /// For a message without a file: fingerprint of its text, as `Score::template` gives it; 0 =
    /// not told.
    pub template: u64,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum EventContent<'a> {
    /// A file with the message.
    Path(Cow<'a, str>),
    /// Its log-likelihood ratio in nats.
    Llr(f64),
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EventOutcome<'a> {
    /// Address of the recipient.
    pub recipient: Cow<'a, str>,
    /// What became of it.
    pub status: Status,
    /// Reply code of the remote site.
    pub code: Option<u16>,
    /// Enhanced code of the remote site.
    pub enhanced: Option<Cow<'a, str>>,
    /// Text of its reply.
    pub text: Cow<'a, str>,
}

/// Status of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Taken by the next hop.
    Delivered,
    /// It failed for good.
    Bounced,
    /// To be tried again.
    Deferred,
}

/// Text that is copied only where the JSON has escapes in it.
#[derive(Debug, Default)]
struct EventText<'a>(Cow<'a, str>);

/// The line as it stands, before it is known what kind it is: one pass over the JSON. Unknown
/// fields are passed over.
#[derive(Deserialize)]
struct EventLine<'a> {
    #[serde(rename = "type", borrow)]
    kind: EventText<'a>,
    time: f64,
    #[serde(borrow)]
    id: EventText<'a>,
    #[serde(borrow, default)]
    tenant: Option<EventText<'a>>,
    #[serde(borrow, default)]
    sender: Option<EventText<'a>>,
    client_ip: Option<IpAddr>,
    #[serde(borrow, default)]
    recipients: Option<Vec<EventText<'a>>>,
    #[serde(borrow, default)]
    path: Option<EventText<'a>>,
    llr: Option<f64>,
    /// Whatever stands there: a field that nobody reads must not make the line a bad one.
    template: Option<serde_json::Value>,
    #[serde(borrow, default)]
    recipient: Option<EventText<'a>>,
    status: Option<Status>,
    code: Option<u16>,
    #[serde(borrow, default)]
    enhanced: Option<EventText<'a>>,
    #[serde(borrow, default)]
    text: Option<EventText<'a>>,
}

impl<'a> ReplayEvent<'a> {
    /// Reads a line; the error says what is wrong with it.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, LineError> {
        let line: EventLine<'a> = serde_json::from_slice(line).map_err(LineError::NoEvent)?;
        if !line.time.is_finite() {
            return Err(LineError::BadField("time is not a number"));
        }
        // Seconds in doubles are exact to the microsecond; the cast stays at the ends.
        let time = Time((line.time * 1000.0).round() as i64);
        let what = match &*line.kind.0 {
            "message" => EventKind::Message(EventMessage {
                tenant: line.tenant.ok_or(LineError::Missing("tenant"))?.0,
                sender: line.sender.ok_or(LineError::Missing("sender"))?.0,
                client: line.client_ip.ok_or(LineError::Missing("client_ip"))?,
                recipients: line
                    .recipients
                    .ok_or(LineError::Missing("recipients"))?
                    .into_iter()
                    .map(|r| r.0)
                    .collect(),
                content: match (line.path, line.llr) {
                    (Some(_), Some(_)) => {
                        return Err(LineError::BadField("path and llr are both given"));
                    }
                    (Some(path), None) => EventContent::Path(path.0),
                    (None, Some(llr)) => EventContent::Llr(llr),
                    (None, None) => return Err(LineError::Missing("path or llr")),
                },
                template: line.template.as_ref().map_or(0, template),
            }),
            "outcome" => EventKind::Outcome(EventOutcome {
                recipient: line.recipient.ok_or(LineError::Missing("recipient"))?.0,
                status: line.status.ok_or(LineError::Missing("status"))?,
                code: line.code,
                enhanced: line.enhanced.map(|e| e.0),
                text: line.text.unwrap_or_default().0,
            }),
            "complaint" => EventKind::Complaint(
                line.recipient
                    .and_then(|r| Address::parse(&r.0))
                    .map(|r| mailbox_hash(&r)),
            ),
            other => {
                return Err(LineError::UnknownType(other.to_owned()));
            }
        };
        Ok(Self {
            time,
            id: line.id.0,
            what,
        })
    }
}

/// `0x` and 16 hexadecimal digits are a fingerprint, as the proof of a block shows it; another text
/// or a number is the name of a text, near to no other.
fn template(value: &serde_json::Value) -> u64 {
    let name = match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => number.to_string(),
        _ => return 0,
    };
    if name.is_empty() {
        0
    } else {
        read_template(&name).unwrap_or_else(|| hash_text(&name))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for EventText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> serde::de::Visitor<'de> for TextVisitor {
    type Value = EventText<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(EventText(Cow::Borrowed(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
        Ok(EventText(Cow::Owned(v.to_owned())))
    }

    // An id may be a number.
    fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
        Ok(EventText(Cow::Owned(v.to_string())))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
        Ok(EventText(Cow::Owned(v.to_string())))
    }

    // An enhanced code may have been written as null.
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(EventText(Cow::Borrowed("")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_contract() {
        let line = br#"{"type":"message","time":1795356000.25,"id":7,"tenant":"acme","sender":"a@acme.example","client_ip":"192.0.2.1","recipients":["x@y.example"],"llr":-2.5,"more":[1]}"#;
        let event = ReplayEvent::parse(line).expect("good");
        assert_eq!((event.time, &*event.id), (Time(1_795_356_000_250), "7"));
        let EventKind::Message(m) = event.what else {
            panic!("a message")
        };
        assert_eq!(
            (m.content, m.recipients.len(), &*m.sender),
            (EventContent::Llr(-2.5), 1, "a@acme.example")
        );
        let line = br#"{"type":"outcome","time":1,"id":"m\u0031","recipient":"x@y.example","status":"bounced","code":550,"enhanced":null,"text":"No \"x\""}"#;
        let event = ReplayEvent::parse(line).expect("good");
        let EventKind::Outcome(o) = event.what else {
            panic!("an outcome")
        };
        assert_eq!(
            (&*event.id, o.status, o.code, &*o.text),
            ("m1", Status::Bounced, Some(550), "No \"x\"")
        );
        assert!(o.enhanced.is_none_or(|e| e.is_empty()));
        assert_eq!(
            ReplayEvent::parse(br#"{"type":"complaint","time":1,"id":"m"}"#)
                .expect("good")
                .what,
            EventKind::Complaint(None)
        );
        let told = ReplayEvent::parse(
            br#"{"type":"complaint","time":1,"id":"m","recipient":"x@y.example"}"#,
        )
        .expect("good")
        .what;
        assert_eq!(
            told,
            EventKind::Complaint(Address::parse("x+news@Y.example").map(|a| mailbox_hash(&a))),
            "one mailbox"
        );
    }

    #[test]
    fn a_template_is_a_fingerprint_or_a_name_and_never_makes_a_line_bad() {
        let told = |value: &str| {
            let line = format!(
                r#"{{"type":"message","time":1,"id":"m","tenant":"t","sender":"s","client_ip":"::1","recipients":[],"llr":1,"template":{value}}}"#
            );
            let EventKind::Message(message) =
                ReplayEvent::parse(line.as_bytes()).expect(value).what
            else {
                panic!("a message")
            };
            message.template
        };
        assert_eq!(told(r#""0x00000000000000ff""#), 255);
        assert_eq!(
            (told("7"), told(r#""spring offer""#)),
            (hash_text("7"), hash_text("spring offer"))
        );
        assert_eq!(told("7"), told(r#""7""#));
        for nothing in ["null", "\"\"", "[1]", "{\"a\":1}", "true"] {
            assert_eq!(told(nothing), 0, "{nothing}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, said) in [
            ("{", "EOF"),
            ("[]", "not an event"),
            (
                r#"{"type":"x","time":1,"id":"m"}"#,
                "not message, outcome or complaint",
            ),
            (
                r#"{"type":"message","time":1,"id":"m"}"#,
                "tenant is missing",
            ),
            (
                r#"{"type":"message","time":1,"id":"m","tenant":"t","sender":"s","client_ip":"::1","recipients":[]}"#,
                "path or llr",
            ),
            (
                r#"{"type":"outcome","time":1,"id":"m","recipient":"r","status":"lost"}"#,
                "unknown variant",
            ),
        ] {
            let error = ReplayEvent::parse(line.as_bytes()).expect_err(line);
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
