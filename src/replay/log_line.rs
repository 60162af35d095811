//! One line of the relay's own JSON log as an event: what the detector was told of a message, what
//! became of it, who complained, what people released. All other lines say nothing here.

use super::error::LineError;
use super::event::{EventKind, ReplayEvent};
use crate::detector::Addressee;
use crate::types::RecipientFacts;
use crate::types::{
    Action, Address, Domain, Identity, OutcomeClass, ReleaseVerdict, SenderKey, Strength, TenantId,
    Time, stable_hash,
};
use serde::Deserialize;
use std::borrow::Cow;
use std::net::IpAddr;

/// How every line of our own JSON log begins. An event of the contract has a number for its time.
const BEGINNING: &[u8] = b"{\"time\":\"";
/// Hexadecimal digits of a hash.
const DIGITS: usize = 16;

/// A message as the detector was told of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoggedMessage {
    /// Its sender, as the header completed it.
    pub identity: Identity,
    /// Its recipients: external ones, then internal ones.
    pub recipients: Vec<RecipientFacts>,
    /// Content LLR in nats, with what outside sources said.
    pub llr: f64,
    /// The part of it that listings make, nats.
    pub listed: f64,
    pub octets: u64,
    /// It is a multipart/report.
    pub is_report: bool,
    /// Hash over Message-ID and body.
    pub fingerprint: u64,
    /// Fingerprint of its text; 0 = not told.
    pub template: u64,
    /// Where its author was, as far as it is known.
    pub origin: Option<IpAddr>,
    /// Wrong passwords shortly before the login.
    pub failed_logins: u32,
    /// What was done with it.
    pub done: Action,
}

/// What became of one recipient, as the relay understood it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answered {
    /// Whom the site answered about.
    pub recipient: Addressee,
    /// What it says of the sender.
    pub class: OutcomeClass,
    /// It came back after the next hop had taken the message.
    pub returned: bool,
}

/// An active block that a person ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LoggedRelease {
    /// Kind, as in the contract.
    pub kind: String,
    pub subject: String,
    /// Tenant; empty for none.
    pub tenant: String,
}

/// The fields that matter, of any line.
#[derive(Deserialize)]
struct LogLine<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    tenant: Cow<'a, str>,
    #[serde(borrow, default)]
    sender: Cow<'a, str>,
    #[serde(borrow, default)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    domain: Cow<'a, str>,
    strength: Option<Strength>,
    #[serde(default)]
    foreign: bool,
    #[serde(borrow, default)]
    client: Cow<'a, str>,
    action: Option<Action>,
    llr: Option<f64>,
    #[serde(default)]
    listed: f64,
    #[serde(default)]
    octets: u64,
    #[serde(default)]
    report: bool,
    #[serde(borrow, default)]
    fingerprint: Cow<'a, str>,
    #[serde(borrow, default)]
    template: Cow<'a, str>,
    #[serde(borrow, default)]
    origin: Cow<'a, str>,
    #[serde(default)]
    failed_logins: u32,
    #[serde(borrow, default)]
    to_hashes: Cow<'a, str>,
    #[serde(borrow, default)]
    internal_hashes: Cow<'a, str>,
    #[serde(borrow, default)]
    to: Cow<'a, str>,
    #[serde(borrow, default)]
    reporter_hash: Cow<'a, str>,
    class: Option<OutcomeClass>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    subject_of_block: Cow<'a, str>,
    #[serde(borrow, default)]
    by: Cow<'a, str>,
    #[serde(borrow, default)]
    verdict: Cow<'a, str>,
}

/// What kind of line it is; in lines of other kinds the fields above may be anything.
#[derive(Deserialize)]
struct LineKind<'a> {
    #[serde(borrow, default)]
    event: Cow<'a, str>,
}

/// The kinds that say something here.
const EVENTS: [&str; 7] = [
    "judged",
    "delivered",
    "bounced",
    "deferred",
    "came_back",
    "complaint",
    "released",
];

/// Whether the line comes from the relay's log.
pub(crate) fn is_ours(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(BEGINNING)
}

/// Reads a line of the log; `None` if it says nothing that the detector was told. The error says what
/// is wrong with it.
pub(crate) fn parse(line: &[u8]) -> Result<Option<ReplayEvent<'_>>, LineError> {
    let kind: LineKind<'_> = serde_json::from_slice(line).map_err(LineError::NoLogLine)?;
    if !EVENTS.contains(&&*kind.event) {
        return Ok(None);
    }
    let line: LogLine<'_> = serde_json::from_slice(line).map_err(LineError::NoLogLine)?;
    let what = match &*line.event {
        "judged" => EventKind::Judged(Box::new(judged(&line)?)),
        // Given up without an attempt, a line has no class: the detector was not told either. Nor of
        // delays but for spam.
        "delivered" | "bounced" | "deferred" | "came_back" => match line.class {
            Some(class) if *line.event != *"deferred" || class == OutcomeClass::SpamRefusal => {
                let unread = || stable_hash(&[line.to.as_bytes()]).into();
                let recipient =
                    Address::parse(&line.to).map_or_else(unread, |to| Addressee::of(&to));
                EventKind::Answered(Answered {
                    recipient,
                    class,
                    returned: line.event == "came_back",
                })
            }
            _ => return Ok(None),
        },
        "complaint" => EventKind::Complaint(u64::from_str_radix(&line.reporter_hash, 16).ok()),
        "released" if line.by != "expired" => {
            let verdict = match &*line.verdict {
                "mistake" => Some(ReleaseVerdict::Mistake),
                "compromised" => Some(ReleaseVerdict::Compromised),
                _ => None,
            };
            let (kind, subject, tenant) = (line.kind, line.subject_of_block, line.tenant);
            let released = LoggedRelease {
                kind: kind.into_owned(),
                subject: subject.into_owned(),
                tenant: tenant.into_owned(),
            };
            EventKind::Released(released, verdict)
        }
        _ => return Ok(None),
    };
    let time =
        Time::parse_rfc3339(&line.time).ok_or(LineError::BadField("time is not RFC 3339"))?;
    Ok(Some(ReplayEvent {
        time,
        id: line.id,
        what,
    }))
}

fn judged(line: &LogLine<'_>) -> Result<LoggedMessage, LineError> {
    let client: IpAddr = line
        .client
        .parse()
        .map_err(|_| LineError::BadField("client is no address"))?;
    let of = |text: &str, internal| {
        hashes(text)
            .map(move |hash| RecipientFacts { hash, internal })
            .collect::<Vec<_>>()
    };
    let mut recipients = of(&line.to_hashes, false);
    recipients.extend(of(&line.internal_hashes, true));
    Ok(LoggedMessage {
        identity: Identity {
            tenant: TenantId::new(&line.tenant),
            key: SenderKey((*line.key).into()),
            address: (*line.sender).into(),
            domain: Domain::parse(&line.domain),
            strength: line.strength.ok_or(LineError::Missing("strength"))?,
            client,
            foreign: line.foreign,
        },
        recipients,
        llr: line.llr.ok_or(LineError::Missing("llr"))?,
        listed: line.listed,
        octets: line.octets,
        is_report: line.report,
        fingerprint: u64::from_str_radix(&line.fingerprint, 16)
            .map_err(|_| LineError::BadField("fingerprint is no hash"))?,
        template: u64::from_str_radix(&line.template, 16).unwrap_or_default(),
        origin: line.origin.parse().ok(),
        failed_logins: line.failed_logins,
        done: line.action.ok_or(LineError::Missing("action"))?,
    })
}

/// Hashes without anything between; of a list that was cut off, those that are there.
fn hashes(text: &str) -> impl Iterator<Item = u64> {
    let whole = text.as_bytes().chunks_exact(DIGITS);
    whole.map_while(|digits| {
        std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(line: &str) -> Option<ReplayEvent<'_>> {
        assert!(is_ours(line.as_bytes()));
        parse(line.as_bytes()).expect("a line of the log")
    }

    const JUDGED: &str = r#"{"time":"2026-11-22T14:00:00.007Z","level":"INFO","event":"judged","id":"0000000000001","tenant":"acme","sender":"alice@acme.example","key":"acme:alice@acme.example","domain":"acme.example","strength":"asserted","foreign":false,"client":"192.0.2.7","action":"accept","reason":"clean","llr":-1.25,"listed":0,"octets":10,"report":false,"fingerprint":"0000000000000abc","template":"00000000000000ff","to_hashes":"000000000000000100000000000000ff","internal_hashes":"0000000000000003"}"#;

    #[test]
    fn a_judgement_gives_back_what_the_judge_was_told() {
        let event = event(JUDGED).expect("an event");
        assert_eq!(
            (event.time, &*event.id),
            (Time(1_795_356_000_007), "0000000000001")
        );
        let EventKind::Judged(judged) = event.what else {
            panic!("a judgement")
        };
        let who = &judged.identity;
        assert_eq!(
            (who.key.as_str(), who.strength),
            ("acme:alice@acme.example", Strength::Asserted)
        );
        assert_eq!(
            judged
                .recipients
                .iter()
                .map(|r| (r.hash, r.internal))
                .collect::<Vec<_>>(),
            [(1, false), (255, false), (3, true)]
        );
        assert_eq!(
            (judged.llr, judged.fingerprint, judged.template, judged.done),
            (-1.25, 0xabc, 255, Action::Accept)
        );
        // Cut off at the bound of a value.
        let cut = JUDGED.replace("00000000000000ff\"", "0000\u{2026}\"");
        let EventKind::Judged(judged) = self::event(&cut).expect("an event").what else {
            panic!("a judgement")
        };
        assert_eq!(judged.recipients.len(), 2);
    }

    #[test]
    fn outcomes_are_taken_as_the_relay_understood_them_and_other_lines_say_nothing() {
        let line =
            |rest: &str| format!(r#"{{"time":"2026-11-22T14:00:00.007Z","level":"INFO",{rest}}}"#);
        let bounced = line(
            r#""event":"bounced","id":"m","to":"Bob@Example.NET","remote":"","delay_seconds":1.5,"class":"unknown_user","reply":"550 5.1.1 x""#,
        );
        let recipient = Addressee::of(&Address::parse("Bob@Example.NET").expect("an address"));
        let expected = EventKind::Answered(Answered {
            recipient,
            class: OutcomeClass::UnknownUser,
            returned: false,
        });
        assert_eq!(event(&bounced).expect("an event").what, expected);
        for nothing in [
            r#""event":"deferred","id":"m","to":"a@b.example","class":"transport""#,
            r#""event":"bounced","id":"m","to":"a@b.example","cause":"expired","reply":"x""#,
            r#""event":"released","block":"OG-1","kind":"sender","subject_of_block":"a","tenant":"t","by":"expired""#,
            r#""event":"accepted","id":"m","recipients":3,"size":10,"llr":-1.5"#,
            r#""message":"settings reloaded""#,
            // Fields of other lines may be of other types, or stand there twice.
            r#""message":"stopped","time":"2026-11-22T14:00:01.000Z""#,
            r#""message":"damage in the spool, set aside","segment":3,"from":4096,"to":5000"#,
        ] {
            assert_eq!(event(&line(nothing)), None, "{nothing}");
        }
        assert_eq!(
            event(&line(r#""event":"complaint","id":"m""#))
                .expect("an event")
                .what,
            EventKind::Complaint(None)
        );
        let told = line(r#""event":"complaint","id":"m","reporter_hash":"00000000000000ff""#);
        assert_eq!(
            event(&told).expect("an event").what,
            EventKind::Complaint(Some(255))
        );
        let released = line(
            r#""event":"released","kind":"sender","subject_of_block":"a@b.example","tenant":"t","by":"vera","verdict":"mistake""#,
        );
        let EventKind::Released(released, verdict) = event(&released).expect("an event").what
        else {
            panic!("a release")
        };
        assert_eq!(
            (&*released.subject, verdict),
            ("a@b.example", Some(ReleaseVerdict::Mistake))
        );
        let broken = line(r#""event":"judged","id":"m","client":"nowhere""#);
        assert!(
            parse(broken.as_bytes())
                .expect_err("broken")
                .to_string()
                .contains("client")
        );
        assert!(!is_ours(br#"{"time":1,"type":"complaint","id":"m"}"#));
    }
}
