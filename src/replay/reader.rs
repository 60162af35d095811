//! `outgate replay`: JSON lines in, the relay's decisions out. Lines, memory and files are bounded;
//! a bad line is told with its number and the run goes on.

use super::engine::Engine;
use super::error::LineError;
use super::event::{EventContent, EventKind, EventMessage, EventOutcome, ReplayEvent, Status};
use super::log_line::{self, Answered, LoggedMessage, LoggedRelease};
pub(crate) use super::summary::Summary;
use super::translate::{class, make_identity, read, recipient};
use crate::blocks::rules;
use crate::config::Settings;
use crate::detector::SOMEBODY;
use crate::detector::{Addressee, mailbox_hash};
use crate::identity;
use crate::learn::{self, Learner};
use crate::score::{ReturnPath, Scorer};
use crate::types::hash::{hash_text, mix};
use crate::types::{Address, Block, Identity, MessageId, OutcomeClass, SenderKey, stable_hash};
use crate::types::{MessageFacts, RecipientFacts};
use std::collections::{HashMap, HashSet};
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
            Err(LineError::TooLong(MAX_LINE))
        } else if line.trim_ascii().is_empty() {
            Ok(())
        } else {
            event(&line).and_then(|event| {
                event.map_or(Ok(()), |e| {
                    replay
                        .event(&e)
                        .map_err(|why| LineError::OfEvent(e.id.to_string(), Box::new(why)))
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
fn event(line: &[u8]) -> Result<Option<ReplayEvent<'_>>, LineError> {
    if log_line::is_ours(line) {
        log_line::parse(line)
    } else {
        ReplayEvent::parse(line).map(Some)
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
type EarlierMessage = (Arc<Identity>, MessageId, u64);

/// A replay under way.
pub(super) struct Replay {
    pub(super) engine: Engine,
    pub(super) out: Vec<u8>,
    pub(super) summary: Summary,
    /// Place of a block in the summary.
    pub(super) places: HashMap<String, usize>,
    pub(super) messages: [HashMap<u64, EarlierMessage>; 2],
    pub(super) identities: HashMap<u64, Arc<Identity>>,
    /// Accounts told of a wider block.
    pub(super) told: HashSet<(String, SenderKey)>,
    /// Blocks in force, as a log names them.
    pub(super) open: HashMap<LoggedRelease, Arc<Block>>,
    pub(super) learner: Option<Learner>,
    pub(super) turn: u32,
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

    fn event(&mut self, event: &ReplayEvent<'_>) -> Result<(), LineError> {
        for ended in self.engine.advance(event.time) {
            self.ended(&ended);
        }
        match &event.what {
            EventKind::Message(message) => self.message(&event.id, message),
            EventKind::Outcome(outcome) => {
                self.outcome(&event.id, outcome);
                Ok(())
            }
            EventKind::Complaint(reporter) => {
                self.complaint(&event.id, *reporter);
                Ok(())
            }
            EventKind::Judged(judged) => {
                self.judged(&event.id, judged);
                Ok(())
            }
            EventKind::Answered(answered) => {
                self.answered(&event.id, answered);
                Ok(())
            }
            EventKind::Released(released, verdict) => {
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
    fn judged(&mut self, name: &str, judged: &LoggedMessage) {
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

    fn message(&mut self, name: &str, message: &EventMessage<'_>) -> Result<(), LineError> {
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
            EventContent::Llr(llr) => {
                facts.llr = *llr;
                facts.probability = 1.0 / (1.0 + (-llr).exp());
            }
            EventContent::Path(path) => {
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
    fn learner(&mut self) -> Result<&Learner, LineError> {
        let learner = match self.learner.take() {
            Some(learner) => learner,
            None => Learner::in_memory(Scorer::shipped()?),
        };
        Ok(self.learner.insert(learner))
    }

    fn outcome(&mut self, name: &str, outcome: &EventOutcome<'_>) {
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

    fn known(&mut self, name: &str) -> Option<EarlierMessage> {
        let key = hash_text(name);
        let known = self
            .messages
            .iter()
            .find_map(|generation| generation.get(&key))
            .cloned();
        self.summary.unknown += u64::from(known.is_none());
        known
    }

    fn identity(&mut self, message: &EventMessage<'_>) -> Arc<Identity> {
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
}

#[cfg(test)]
mod tests;
