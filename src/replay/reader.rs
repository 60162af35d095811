//! `outgate replay`: JSON lines in, the relay's decisions out. Lines, memory and files are bounded;
//! a bad line is told with its number and the run goes on.

use super::engine::{Engine, Ruling};
use super::event::{Content, Event, Message, Outcome, Status, What};
use super::log_line::{self, Answered, Judged, Released};
use super::translate::{class, make_identity, read, recipient};
use crate::blocks::rules;
use crate::config::Settings;
use crate::detector::SOMEBODY;
use crate::detector::{Addressee, ShadowDecision, mailbox_hash};
use crate::identity;
use crate::learn::{self, Learner};
use crate::score::{ReturnPath, Scorer};
use crate::types::hash::{hash_text, mix};
use crate::types::{
    Action, Address, Block, BlockKind, Identity, MessageId, OutcomeClass, SenderKey, Time,
    stable_hash,
};
use crate::types::{MessageFacts, RecipientFacts};
use serde_json::json;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, BufRead, Read as _, Write};
use std::sync::Arc;

/// Longest line, in octets: a thousand recipients of full length.
const MAX_LINE: usize = 1 << 20;
/// Messages remembered for their outcomes, in each of two generations.
const MESSAGES: usize = 1_000_000;
/// Senders whose identity is kept ready.
const IDENTITIES: usize = 200_000;

/// Without a configuration: the detector alone, neither ceilings nor the rule of the spam rate.
pub fn detector_alone() -> Settings {
    let mut settings = crate::config::defaults();
    settings.policy.recipients_external_per_hour = 0;
    settings.policy.recipients_internal_per_hour = 0;
    settings.policy.recipients_per_day = 0;
    settings.policy.spam_rate_min_messages = 0;
    settings
}

/// What a run came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Messages by action: accept, high_risk, hold, defer, reject.
    pub actions: [u64; 5],
    /// Outcomes and complaints.
    pub answers: u64,
    /// Outcomes and complaints of messages that are not (or no longer) known.
    pub unknown: u64,
    /// Lines that were no event, or whose file could not be read.
    pub errors: u64,
    /// Blocks: reference, kind, subject, reason, messages refused by it (the one that opened it
    /// too).
    pub blocks: Vec<(String, &'static str, String, &'static str, u64)>,
    /// What policies in shadow mode would have done.
    pub shadows: BTreeMap<String, Shadow>,
    /// From the relay's log: messages by what was done with them and what is done now, where these
    /// differ.
    pub changed: BTreeMap<(&'static str, &'static str), u64>,
}

/// What one policy in shadow mode would have done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// Messages by action: accept, high_risk, hold, defer, reject.
    pub actions: [u64; 5],
    /// Messages by what it would have done with those that it would not have let go, and why.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Blocks it would have opened: sender and reason, the first thousand.
    pub blocks: Vec<(String, &'static str)>,
}

/// Blocks of one policy in shadow mode that a summary names.
const SHADOW_BLOCKS: usize = 1000;

/// Place of an action in the counts of a summary.
const fn place(action: Action) -> usize {
    match action {
        Action::Accept => 0,
        Action::HighRisk => 1,
        Action::Hold => 2,
        Action::Defer => 3,
        Action::Reject => 4,
    }
}

/// Runs all lines of `input`; answers to `out`, complaints about lines to `err`.
///
/// # Errors
/// Reading or writing failed.
pub fn run(
    settings: Settings,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Summary> {
    let mut replay = Replay::new(settings);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        let read = input.take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(replay.summary);
        }
        number += 1;
        let done = if read == MAX_LINE && !line.ends_with(b"\n") {
            skip_line(input)?;
            Err(format!("longer than {MAX_LINE} octets"))
        } else if line.trim_ascii().is_empty() {
            Ok(())
        } else {
            event(&line).and_then(|event| {
                event.map_or(Ok(()), |e| {
                    replay.event(&e).map_err(|why| format!("{}: {why}", e.id))
                })
            })
        };
        if let Err(problem) = done {
            replay.summary.errors += 1;
            writeln!(err, "outgate replay: line {number}: {problem}")?;
        }
        out.write_all(&replay.out)?;
        replay.out.clear();
    }
}

/// The event of a line, where it says anything: of the contract, or of the relay's own log.
fn event(line: &[u8]) -> Result<Option<Event<'_>>, String> {
    if log_line::is_ours(line) {
        log_line::parse(line)
    } else {
        Event::parse(line).map(Some)
    }
}

fn skip_line(input: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (used, found) = buffer
            .iter()
            .position(|b| *b == b'\n')
            .map_or((buffer.len(), false), |at| (at + 1, true));
        input.consume(used);
        if found {
            return Ok(());
        }
    }
}

/// The message a later outcome speaks of, and who complains of it unless that is told.
type Known = (Arc<Identity>, MessageId, u64);

struct Replay {
    engine: Engine,
    out: Vec<u8>,
    summary: Summary,
    /// Place of a block in the summary.
    places: HashMap<String, usize>,
    messages: [HashMap<u64, Known>; 2],
    identities: HashMap<u64, Arc<Identity>>,
    /// Accounts told of a wider block.
    told: HashSet<(String, SenderKey)>,
    /// Blocks in force, as a log names them.
    open: HashMap<Released, Arc<Block>>,
    learner: Option<Learner>,
    turn: u32,
}

impl Replay {
    fn new(settings: Settings) -> Self {
        Self {
            engine: Engine::new(Arc::new(settings)),
            out: Vec::new(),
            summary: Summary::default(),
            places: HashMap::new(),
            messages: [HashMap::new(), HashMap::new()],
            identities: HashMap::new(),
            told: HashSet::new(),
            open: HashMap::new(),
            learner: None,
            turn: 0,
        }
    }

    fn event(&mut self, event: &Event<'_>) -> Result<(), String> {
        for ended in self.engine.advance(event.time) {
            self.ended(&ended);
        }
        match &event.what {
            What::Message(message) => self.message(&event.id, message),
            What::Outcome(outcome) => {
                self.outcome(&event.id, outcome);
                Ok(())
            }
            What::Complaint(reporter) => {
                self.complaint(&event.id, *reporter);
                Ok(())
            }
            What::Judged(judged) => {
                self.judged(&event.id, judged);
                Ok(())
            }
            What::Answered(answered) => {
                self.answered(&event.id, answered);
                Ok(())
            }
            What::Released(released, verdict) => {
                if let Some(block) = self.open.get(released).cloned() {
                    self.engine.release(&block, *verdict);
                    self.ended(&rules::expired(&block, self.engine.now()));
                }
                Ok(())
            }
        }
    }

    /// A complaint is evidence. As in the relay it teaches nothing: that is left to people.
    fn complaint(&mut self, name: &str, reporter: Option<u64>) {
        self.summary.answers += 1;
        let Some((who, id, recipient)) = self.known(name) else {
            return;
        };
        if let Some(block) = self
            .engine
            .complaint(&who, id, reporter.unwrap_or(recipient))
        {
            self.blocked(&block, &who);
        }
    }

    /// A message as the log tells it.
    fn judged(&mut self, name: &str, judged: &Judged) {
        let who = Arc::new(judged.identity.clone());
        let id = self.next_id();
        let ruling = self.engine.message(&MessageFacts {
            id,
            identity: &who,
            recipients: &judged.recipients,
            fingerprint: judged.fingerprint,
            template: judged.template,
            origin: judged.origin,
            failed_logins: judged.failed_logins,
            llr: judged.llr,
            listed: judged.listed,
            probability: 1.0 / (1.0 + (-judged.llr).exp()),
            symbols: &[],
            link_hosts: &[],
            octets: judged.octets,
            is_report: judged.is_report,
        });
        if ruling.action != judged.done {
            *self
                .summary
                .changed
                .entry((judged.done.as_str(), ruling.action.as_str()))
                .or_default() += 1;
        }
        let reporter = match judged.recipients.as_slice() {
            [only] => only.hash,
            _ => SOMEBODY,
        };
        self.remember(name, &who, id, reporter);
        self.answer(name, &who, &ruling, Some(judged.done));
    }

    /// What became of a recipient, as the log tells it.
    fn answered(&mut self, name: &str, answered: &Answered) {
        self.summary.answers += 1;
        let Some((who, id, _)) = self.known(name) else {
            return;
        };
        let block = if answered.returned {
            self.engine
                .returned(&who, id, answered.class, answered.recipient)
        } else {
            self.engine
                .outcome(&who, id, answered.class, answered.recipient)
        };
        if let Some(block) = block {
            self.blocked(&block, &who);
        }
    }

    fn next_id(&mut self) -> MessageId {
        self.turn = self.turn.wrapping_add(1);
        MessageId::from_parts(self.engine.now(), self.turn)
    }

    fn message(&mut self, name: &str, message: &Message<'_>) -> Result<(), String> {
        let who = self.identity(message);
        let recipients: Vec<RecipientFacts> = message
            .recipients
            .iter()
            .map(|r| recipient(self.engine.settings(), &who.tenant, r))
            .collect();
        let id = self.next_id();
        let mut facts = MessageFacts {
            id,
            identity: &who,
            recipients: &recipients,
            fingerprint: hash_text(name),
            origin: None,
            failed_logins: 0,
            template: message.template,
            llr: 0.0,
            probability: 0.5,
            symbols: &[],
            link_hosts: &[],
            octets: 0,
            is_report: false,
            listed: 0.0,
        };
        let (score, lesson);
        let mut content = None;
        match &message.content {
            Content::Llr(llr) => {
                facts.llr = *llr;
                facts.probability = 1.0 / (1.0 + (-llr).exp());
            }
            Content::Path(path) => {
                let raw = read(path)?;
                let path = if message.sender.is_empty() {
                    ReturnPath::Null
                } else {
                    ReturnPath::Named
                };
                (score, lesson) = self.learner()?.score_of(&who.tenant, &raw, path);
                self.learner()?.remember(id, &who.tenant, &lesson);
                content = Some(&lesson);
                let fields_max = self.engine.settings().limits.header_fields;
                let header = identity::read_headers(&raw, None, fields_max);
                let message_id = header.message_id.unwrap_or_default();
                facts.fingerprint =
                    stable_hash(&[message_id.as_bytes(), &score.body_hash.to_le_bytes()]);
                facts.template = score.template;
                facts.llr = score.llr;
                facts.probability = score.probability;
                facts.symbols = &score.symbols;
                facts.link_hosts = &score.link_hosts;
                facts.is_report = score.is_report;
                facts.octets = raw.len() as u64;
            }
        }
        let ruling = self.engine.message(&facts);
        if let (Some(lesson), true) = (content, ruling.teaches) {
            let now = self.engine.now();
            self.learner()?
                .assume(now, &who.tenant, learn::teacher(&who), lesson);
        }
        let reporter = match message.recipients.as_slice() {
            [only] => Address::parse(only).map_or_else(|| hash_text(only), |to| mailbox_hash(&to)),
            _ => SOMEBODY,
        };
        self.remember(name, &who, id, reporter);
        self.answer(name, &who, &ruling, None);
        Ok(())
    }

    /// The shipped model and what the tenants' own mail has added so far, made when the first
    /// message with text comes.
    fn learner(&mut self) -> Result<&Learner, String> {
        if self.learner.is_none() {
            self.learner = Some(Learner::in_memory(
                Scorer::shipped().map_err(|e| e.to_string())?,
            ));
        }
        self.learner.as_ref().ok_or_else(|| "no model".into())
    }

    fn outcome(&mut self, name: &str, outcome: &Outcome<'_>) {
        self.summary.answers += 1;
        let Some((who, id, _)) = self.known(name) else {
            return;
        };
        let class = class(outcome);
        let hash = recipient(self.engine.settings(), &who.tenant, &outcome.recipient).hash;
        let to =
            Address::parse(&outcome.recipient).map_or_else(|| hash.into(), |to| Addressee::of(&to));
        // As in the relay: a delay speaks only where it is a refusal as spam.
        if outcome.status == Status::Deferred && class != OutcomeClass::SpamRefusal {
            return;
        }
        if let Some(block) = self.engine.outcome(&who, id, class, to) {
            self.blocked(&block, &who);
        }
    }

    fn remember(&mut self, name: &str, who: &Arc<Identity>, id: MessageId, reporter: u64) {
        let [newer, older] = &mut self.messages;
        if newer.len() >= MESSAGES {
            *older = std::mem::take(newer);
        }
        newer.insert(hash_text(name), (Arc::clone(who), id, reporter));
    }

    fn known(&mut self, name: &str) -> Option<Known> {
        let key = hash_text(name);
        let known = self
            .messages
            .iter()
            .find_map(|generation| generation.get(&key))
            .cloned();
        self.summary.unknown += u64::from(known.is_none());
        known
    }

    fn identity(&mut self, message: &Message<'_>) -> Arc<Identity> {
        let client = match message.client {
            std::net::IpAddr::V4(v4) => u64::from(u32::from(v4)),
            std::net::IpAddr::V6(v6) => mix((u128::from(v6) >> 64) as u64, u128::from(v6) as u64),
        };
        let key = mix(
            mix(hash_text(&message.tenant), hash_text(&message.sender)),
            client,
        );
        if let Some(known) = self.identities.get(&key) {
            return Arc::clone(known);
        }
        if self.identities.len() >= IDENTITIES {
            self.identities.clear();
        }
        let made = Arc::new(make_identity(self.engine.settings(), message));
        self.identities.insert(key, Arc::clone(&made));
        made
    }

    /// The line of a message, behind the block it opened or met; of one from the log with what was
    /// `done` with it then.
    fn answer(&mut self, name: &str, who: &Identity, ruling: &Ruling, done: Option<Action>) {
        if let Some(block) = &ruling.opened {
            self.blocked(block, who);
        }
        if let Some(block) = ruling
            .blocked_by
            .as_ref()
            .filter(|_| ruling.action == Action::Reject)
        {
            if block.kind != BlockKind::Sender {
                self.stopped(block, who);
            }
            if let Some(entry) = self
                .places
                .get(&block.reference.to_string())
                .and_then(|at| self.summary.blocks.get_mut(*at))
            {
                entry.4 += 1;
            }
        }
        let reply = match &ruling.reply {
            Some(reply) => reply.one_line(),
            None => "250 2.0.0 Accepted".to_owned(),
        };
        if let Some(count) = self.summary.actions.get_mut(place(ruling.action)) {
            *count += 1;
        }
        self.out.extend_from_slice(b"{\"id\":");
        write_text(&mut self.out, name);
        self.out.extend_from_slice(b",\"action\":\"");
        self.out
            .extend_from_slice(ruling.action.as_str().as_bytes());
        self.out.extend_from_slice(b"\",\"reply\":");
        write_text(&mut self.out, &reply);
        if let Some(done) = done {
            self.out
                .extend_from_slice(format!(",\"done\":\"{}\"", done.as_str()).as_bytes());
        }
        if let Some(shadow_decision) = &ruling.shadow_decision {
            self.shadow(who, shadow_decision);
        }
        self.out.extend_from_slice(b"}\n");
    }

    /// What a policy in shadow mode would have done, in the line of the message and in the summary.
    fn shadow(&mut self, who: &Identity, shadow_decision: &ShadowDecision) {
        let word = json!({ "policy": shadow_decision.policy, "action": shadow_decision.action, "reason": shadow_decision.reason, "opens_block": shadow_decision.opens });
        self.out
            .extend_from_slice(format!(",\"shadow\":{word}").as_bytes());
        let shadow = self
            .summary
            .shadows
            .entry(shadow_decision.policy.clone())
            .or_default();
        if let Some(count) = shadow.actions.get_mut(place(shadow_decision.action)) {
            *count += 1;
        }
        if shadow_decision.action != Action::Accept {
            *shadow
                .reasons
                .entry(shadow_decision.reason.as_str())
                .or_default() += 1;
        }
        if shadow_decision.opens && shadow.blocks.len() < SHADOW_BLOCKS {
            shadow
                .blocks
                .push((who.address.to_string(), shadow_decision.reason.as_str()));
        }
    }

    /// A block was opened.
    fn blocked(&mut self, block: &Arc<Block>, who: &Identity) {
        self.open.insert(named(block), Arc::clone(block));
        let reference = block.reference.to_string();
        self.places
            .insert(reference.clone(), self.summary.blocks.len());
        self.summary.blocks.push((
            reference.clone(),
            block.kind.as_str(),
            block.subject.clone(),
            block.reason.as_str(),
            1,
        ));
        self.told.insert((reference, who.key.clone()));
        self.block_line("blocked", block, Some(who));
    }

    /// An account is stopped by a wider block: told once.
    fn stopped(&mut self, block: &Block, who: &Identity) {
        if self
            .told
            .insert((block.reference.to_string(), who.key.clone()))
        {
            self.block_line("blocked", block, Some(who));
        }
    }

    fn ended(&mut self, block: &Block) {
        let reference = block.reference.to_string();
        self.open.remove(&named(block));
        self.told.retain(|(r, _)| *r != reference);
        self.block_line("released", block, None);
    }

    fn block_line(&mut self, event: &str, block: &Block, who: Option<&Identity>) {
        let time = if event == "released" {
            block.ended_at.unwrap_or(block.opened_at)
        } else {
            self.engine.now()
        };
        let sender = who
            .map(|w| &*w.address)
            .or_else(|| (block.kind == BlockKind::Sender).then_some(block.subject.as_str()));
        let line = json!({
            "event": event, "ref": block.reference, "kind": block.kind, "subject": block.subject, "tenant": block.tenant,
            "sender": sender, "time": seconds(time), "reason": block.reason, "explanation": block.explanation,
            "evidence": block.evidence,
        });
        self.out.extend_from_slice(line.to_string().as_bytes());
        self.out.push(b'\n');
    }
}

/// How a log names a block.
fn named(block: &Block) -> Released {
    let tenant = block
        .tenant
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    Released {
        kind: block.kind.as_str().to_owned(),
        subject: block.subject.clone(),
        tenant,
    }
}

/// Seconds since the epoch, without a fraction where there is none.
fn seconds(time: Time) -> serde_json::Value {
    if time.0 % 1000 == 0 {
        json!(time.as_secs())
    } else {
        json!(time.0 as f64 / 1000.0)
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    // Writing text to memory cannot fail.
    let _written = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(
        lines: &str,
        change: impl FnOnce(&mut Settings),
    ) -> (Vec<serde_json::Value>, String, Summary) {
        let mut settings = detector_alone();
        settings.scoring.learning_messages = 0;
        change(&mut settings);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let summary = run(settings, &mut lines.as_bytes(), &mut out, &mut err).expect("memory");
        let out = String::from_utf8(out).expect("text");
        let lines = out
            .lines()
            .map(|l| serde_json::from_str(l).expect("JSON"))
            .collect();
        (lines, String::from_utf8(err).expect("text"), summary)
    }

    fn message(time: u32, id: &str, sender: &str, to: &str, llr: f64) -> String {
        json!({ "type": "message", "time": 1_795_356_000 + i64::from(time), "id": id, "tenant": "acme", "sender": sender,
            "client_ip": "192.0.2.1", "recipients": [to], "llr": llr })
        .to_string()
            + "\n"
    }

    /// Of a report from the null sender the returned message is not held against anybody, as in the
    /// relay.
    #[test]
    fn the_returned_message_of_a_report_counts_unless_the_sender_is_null() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("report.eml");
        let report = "From: alice@acme.example\r\nSubject: Undelivered mail\r\nContent-Type: multipart/report; boundary=r\r\n\r\n--r\r\n\r\n\
            Your message could not be delivered.\r\n--r\r\nContent-Type: message/rfc822\r\n\r\nSubject: For you\r\n\r\n\
            Dear friend, I am the attorney of the late Mr. Cole, who left 15,500,000 dollars without next of kin. I want to transfer\r\n\
            this fund to your account as the beneficiary of the inheritance. This transaction is confidential and risk free. Kindly\r\n\
            reply urgently with your full name, telephone number and bank account to claim your lottery prize. Verify your account\r\n\
            and confirm your password within 24 hours, act now: http://192.0.2.44/claim\r\n--r--\r\n";
        std::fs::write(&path, report).expect("written");
        let line = |time: u32, sender: &str| {
            json!({ "type": "message", "time": 1_795_356_000 + i64::from(time), "id": time.to_string(), "tenant": "acme",
                "sender": sender, "client_ip": "192.0.2.1", "recipients": ["x@y.example"], "path": path })
            .to_string()
                + "\n"
        };
        let (out, err, _) = replay(&(line(1, "") + &line(2, "alice@acme.example")), |_| ());
        assert_eq!(err, "");
        assert_eq!(
            out.iter().map(|l| l["action"].as_str()).collect::<Vec<_>>(),
            [Some("accept"), Some("high_risk")]
        );
    }

    #[test]
    fn a_taken_over_account_is_blocked_and_the_block_stands_before_the_message_that_opens_it() {
        let mut lines = String::new();
        for n in 0..20 {
            lines += &message(
                n,
                &format!("h{n}"),
                "Alice@acme.example",
                "friend@y.example",
                -4.0,
            );
        }
        for n in 0..10 {
            lines += &message(
                100 + n,
                &format!("s{n}"),
                "alice@acme.example",
                &format!("x{n}@y.example"),
                7.0,
            );
        }
        lines += "{\"type\":\"outcome\",\"time\":1795356200,\"id\":\"h1\",\"recipient\":\"friend@y.example\",\"status\":\"delivered\"}\n";
        let (out, err, summary) = replay(&lines, |_| ());
        assert_eq!(err, "");
        let at = out
            .iter()
            .position(|l| l["event"] == "blocked")
            .expect("blocked");
        assert!((21..=25).contains(&at), "{at}");
        let block = &out[at];
        assert_eq!(
            (&block["kind"], &block["subject"], &block["tenant"]),
            (
                &json!("sender"),
                &json!("alice@acme.example"),
                &json!("acme")
            )
        );
        assert_eq!(
            (&block["sender"], &block["reason"]),
            (&json!("alice@acme.example"), &json!("evidence"))
        );
        assert!(
            block["time"].is_i64() && !block["evidence"].as_array().expect("a list").is_empty()
        );
        let opener = &out[at + 1];
        assert_eq!(
            (&opener["id"], &opener["action"]),
            (&json!(format!("s{}", at - 20)), &json!("reject"))
        );
        let reference = block["ref"].as_str().expect("text");
        assert!(
            opener["reply"]
                .as_str()
                .expect("text")
                .starts_with(&format!(
                    "550 5.1.8 Access denied, bad outbound sender [{reference}]"
                ))
        );
        assert_eq!(out.len(), 31);
        assert!(out[at + 2..].iter().all(|l| l["action"] == "reject"));
        assert_eq!(
            (summary.blocks.len(), summary.blocks[0].4),
            (1, 30 - u64::try_from(at).expect("small"))
        );
    }

    #[test]
    fn a_bad_line_is_told_with_its_number_and_the_run_goes_on() {
        let long = "x".repeat(MAX_LINE + 10);
        let lines = format!(
            "nonsense\n\n{}{long}\n{}",
            message(1, "a", "", "x@y.example", 0.0),
            message(2, "b", "<>", "x@y.example", 0.0)
        );
        let missing = json!({ "type": "message", "time": 3, "id": "c", "tenant": "t", "sender": "s@t.example", "client_ip": "::1",
            "recipients": [], "path": "/nonexistent/file" });
        let (out, err, summary) = replay(&format!("{lines}{missing}\n"), |_| ());
        assert_eq!(out.len(), 2);
        assert!(out.iter().all(|l| l["action"] == "accept"
            && l["reply"].as_str().is_some_and(|r| r.starts_with("250 "))));
        let told: Vec<&str> = err.lines().collect();
        assert!(
            told[0].starts_with("outgate replay: line 1: not an event"),
            "{err}"
        );
        assert!(
            told[1].starts_with("outgate replay: line 4: longer than"),
            "{err}"
        );
        assert!(
            told[2].starts_with("outgate replay: line 6: c: /nonexistent/file"),
            "{err}"
        );
        assert_eq!(summary.errors, 3);
    }

    #[test]
    fn blocks_end_by_themselves_and_ceilings_throttle() {
        use crate::config::settings::{BlockDuration, WhenExceeded};
        let change = |s: &mut Settings| {
            s.policy.recipients_external_per_hour = 2;
            s.policy.when_exceeded = WhenExceeded::Block;
            s.blocks.durations = vec![BlockDuration::For(std::time::Duration::from_secs(3600))];
        };
        let lines: String = (0..3)
            .map(|n| message(n, &n.to_string(), "a@acme.example", "x@y.example", -4.0))
            .collect();
        let (out, ..) = replay(
            &(lines.clone() + &message(9000, "later", "a@acme.example", "x@y.example", -4.0)),
            change,
        );
        let events: Vec<_> = out
            .iter()
            .map(|l| {
                l["event"]
                    .as_str()
                    .or(l["action"].as_str())
                    .expect("either")
            })
            .collect();
        assert_eq!(
            events,
            [
                "accept", "accept", "blocked", "reject", "released", "accept"
            ]
        );
        let throttle = |s: &mut Settings| {
            change(s);
            s.policy.when_exceeded = WhenExceeded::Throttle;
        };
        let (out, ..) = replay(&lines, throttle);
        assert_eq!(
            (
                &out[2]["action"],
                out[2]["reply"].as_str().map(|r| r.starts_with("450 4.2.1"))
            ),
            (&json!("defer"), Some(true))
        );
    }
}
