//! The events of the log: one table of their names, one function for each.
//!
//! What happens to a message, a block, a session, a login or a person's complaint is an event. Its
//! name and its field names are stable, because people's log searches rely on them; `id` is the
//! relay's message id wherever there is one. `docs/log.md` lists them.
//!
//! How the relay itself fares is no event: that it started, or that a disk is in trouble. Such a
//! line is a sentence without the field `event`, written with `tracing` where it happens, and may
//! change.

use crate::types::MessageFacts;
use crate::types::{
    Action, Address, Block, BlockRef, Identity, MessageId, MessageMeta, OutcomeClass, Reason,
    RecipientOutcome, RecipientStatus, Reply,
};
use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

macro_rules! table {
    ($($name:ident = $text:literal, $fields:literal;)+) => {
        $(const $name: &str = $text;)+
        /// Every event with its fields.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$(($text, $fields)),+];
    };
}

table! {
    LISTENING = "listening", "kind address";
    SESSION_OPENED = "session_opened", "listener client";
    SESSION_CLOSED = "session_closed", "client messages reason";
    LOGIN = "login", "client user outcome";
    ACCEPTED = "accepted", "id tenant sender client from recipients size action reason pool probability llr message_id subject";
    HELD = "held", "id block tenant sender client from recipients size action reason pool probability llr message_id subject";
    JUDGED = "judged", "id tenant sender key domain strength foreign client origin failed_logins action reason llr listed octets report fingerprint template to_hashes internal_hashes";
    CAME_FROM = "came_from", "id client origin";
    REFUSED = "refused", "id client sender from to reason reply";
    SHADOW = "shadow", "id sender policy action reason opens_block done";
    DELIVERED = "delivered", "id from to remote pool delay_seconds class reply";
    DEFERRED = "deferred", "id from to remote pool delay_seconds class reply";
    BOUNCED = "bounced", "id from to remote pool delay_seconds class cause reply";
    UNHELD = "unheld", "id outcome by";
    BLOCKED = "blocked", "id block kind subject_of_block tenant sender reason explanation by until evidence";
    RELEASED = "released", "block kind subject_of_block tenant by verdict note";
    COMPLAINT = "complaint", "id tenant sender feedback reporter reporter_hash";
    COMPLAINT_IGNORED = "complaint_ignored", "id client claims";
    CAME_BACK = "came_back", "id tenant sender to class reply reporter";
}

/// Whether subject lines may be logged. They are the sender's private matter: off unless the
/// settings say otherwise.
static SUBJECTS: AtomicBool = AtomicBool::new(false);

/// Allows or forbids subject lines from now on.
pub(super) fn show_subjects(on: bool) {
    SUBJECTS.store(on, Ordering::Relaxed);
}

/// Whether subject lines are logged: reading them is only worth the while then.
pub(crate) fn subjects_shown() -> bool {
    SUBJECTS.load(Ordering::Relaxed)
}

/// Whether what the judge was told is logged.
static JUDGEMENTS: AtomicBool = AtomicBool::new(false);

/// Logs what the judge was told from now on, or no longer.
pub(super) fn show_judgements(on: bool) {
    JUDGEMENTS.store(on, Ordering::Relaxed);
}

/// The subject if it may be logged.
fn allowed(subject: Option<&str>) -> Option<&str> {
    subject.filter(|_| subjects_shown())
}

/// Prints the value, or nothing.
struct OrEmpty<T>(Option<T>);

impl<T: Display> Display for OrEmpty<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |value| value.fmt(f))
    }
}

/// A listener is open: `kind` is `relay`, `submission`, `submissions`, `reports`, `admin` or
/// `public`.
pub(crate) fn listening(kind: &str, address: SocketAddr) {
    tracing::info!(event = LISTENING, kind, %address);
}

pub(crate) fn session_opened(listener: &str, client: IpAddr) {
    tracing::debug!(event = SESSION_OPENED, listener, %client);
}

/// A session ended: how many messages it brought and why it ended.
pub(crate) fn session_closed(client: IpAddr, messages: u64, reason: &str) {
    tracing::debug!(event = SESSION_CLOSED, %client, messages, reason);
}

/// A message was accepted (250): to be delivered, or held from the start. `subject` is logged only
/// where the settings allow it.
pub(crate) fn accepted(meta: &MessageMeta, action: Action, reason: Reason, subject: Option<&str>) {
    let identity = meta.identity.as_ref();
    tracing::info!(
        event = if meta.hold.is_some() { HELD } else { ACCEPTED },
        id = %meta.id,
        tenant = %OrEmpty(identity.map(|i| &i.tenant)),
        sender = identity.map_or("", |i| &i.address),
        client = %OrEmpty(identity.map(|i| i.client)),
        from = meta.envelope.from.as_str(),
        recipients = meta.envelope.recipients.len(),
        size = meta.size,
        action = action.as_str(),
        reason = reason.as_str(),
        pool = meta.pool.as_str(),
        probability = meta.probability,
        llr = meta.llr,
        message_id = meta.header_message_id.as_deref().unwrap_or_default(),
        subject = allowed(subject),
    );
}

/// What the judge was told of a message and said: all that `outgate replay` needs to judge it once
/// more. Recipients are named by the stable hashes of their addresses, 16 hexadecimal digits each
/// without anything between.
pub(crate) fn judged(facts: &MessageFacts<'_>, action: Action, reason: Reason) {
    if !JUDGEMENTS.load(Ordering::Relaxed) {
        return;
    }
    let identity = facts.identity;
    let hashes = |internal: bool| {
        let of = facts.recipients.iter().filter(|r| r.internal == internal);
        of.fold(String::new(), |text, r| text + &format!("{:016x}", r.hash))
    };
    tracing::info!(
        event = JUDGED,
        id = %facts.id,
        tenant = %identity.tenant,
        sender = %identity.address,
        key = %identity.key,
        domain = %OrEmpty(identity.domain.as_ref()),
        strength = identity.strength.as_str(),
        foreign = identity.foreign,
        client = %identity.client,
        origin = %OrEmpty(facts.origin),
        failed_logins = facts.failed_logins,
        action = action.as_str(),
        reason = reason.as_str(),
        llr = facts.llr,
        listed = facts.listed,
        octets = facts.octets,
        report = facts.is_report,
        fingerprint = format!("{:016x}", facts.fingerprint),
        template = format!("{:016x}", facts.template),
        to_hashes = hashes(false),
        internal_hashes = hashes(true),
    );
}

/// Where an accepted message came from, as the client itself says (XCLIENT or XFORWARD ADDR).
pub(crate) fn came_from(id: MessageId, client: IpAddr, origin: IpAddr) {
    tracing::info!(event = CAME_FROM, %id, %client, %origin);
}

/// What is known of mail that was not taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefusedMail<'a> {
    /// The id it was judged under, where it got that far.
    pub id: Option<MessageId>,
    pub client: IpAddr,
    /// Sender as known: address or login; may be empty.
    pub sender: &'a str,
    /// Envelope sender; may be empty.
    pub from: &'a str,
    /// The recipient, where it was refused at RCPT; else empty.
    pub to: &'a str,
    /// Why, as in the table of reasons; or a word of the protocol such as `relay_denied`.
    pub reason: &'a str,
}

/// A recipient or a message was refused, for good or for now.
pub(crate) fn refused(what: &RefusedMail<'_>, reply: &Reply) {
    tracing::info!(
        event = REFUSED,
        id = %OrEmpty(what.id),
        client = %what.client,
        sender = what.sender,
        from = what.from,
        to = what.to,
        reason = what.reason,
        reply = reply.one_line(),
    );
}

/// A policy in shadow mode would have done something else with a message than what was done.
pub(crate) fn shadowed(
    id: MessageId,
    sender: &str,
    done: Action,
    policy: &str,
    (action, reason, opens_block): (Action, Reason, bool),
) {
    tracing::info!(
        event = SHADOW,
        id = %id,
        sender,
        policy,
        action = action.as_str(),
        reason = reason.as_str(),
        opens_block,
        done = done.as_str(),
    );
}

/// The outcome of an attempt for one recipient: `delivered`, `deferred` or `bounced`. `age` counts
/// from acceptance.
pub(crate) fn attempted(meta: &MessageMeta, outcome: &RecipientOutcome, age: Duration) {
    let event = match outcome.status {
        RecipientStatus::Delivered => DELIVERED,
        RecipientStatus::Pending => DEFERRED,
        RecipientStatus::Failed => BOUNCED,
    };
    let to = usize::try_from(outcome.recipient)
        .ok()
        .and_then(|i| meta.envelope.recipients.get(i));
    tracing::info!(
        event,
        id = %meta.id,
        from = meta.envelope.from.as_str(),
        to = to.map_or("", |r| r.address.as_str()),
        remote = outcome.remote,
        pool = meta.pool.as_str(),
        delay_seconds = age.as_secs_f64(),
        class = outcome.class.as_str(),
        reply = outcome.reply.one_line(),
    );
}

/// A recipient was given up without an attempt: expired, held too long, or bounced by an admin.
pub(crate) fn bounced(meta: &MessageMeta, recipient: u32, reply: &Reply, cause: &str) {
    let to = usize::try_from(recipient)
        .ok()
        .and_then(|i| meta.envelope.recipients.get(i));
    tracing::info!(
        event = BOUNCED,
        id = %meta.id,
        from = meta.envelope.from.as_str(),
        to = to.map_or("", |r| r.address.as_str()),
        cause,
        reply = reply.one_line(),
    );
}

/// Somebody complained about a message of this sender, by a report with a valid token through a
/// feedback loop that the configuration names: a network or DKIM domain. `reporter` is the hash of
/// the mailbox that complains.
pub(crate) fn complained(
    id: MessageId,
    identity: &Identity,
    feedback: &str,
    source: &str,
    reporter: u64,
) {
    tracing::info!(
        event = COMPLAINT,
        %id,
        tenant = %identity.tenant,
        sender = %identity.address,
        feedback,
        reporter = source,
        reporter_hash = format!("{reporter:016x}"),
    );
}

/// A complaint with a valid token came from nobody whom the configuration names, so it counts
/// nothing. `claims` are domains by which it claims to be signed, unverified.
pub(crate) fn complaint_ignored(id: MessageId, client: IpAddr, claims: &str) {
    tracing::info!(event = COMPLAINT_IGNORED, %id, %client, claims);
}

/// A delivery report with a valid token said that a recipient failed at whom the message had seemed
/// delivered.
pub(crate) fn came_back(
    id: MessageId,
    identity: &Identity,
    to: &Address,
    class: OutcomeClass,
    reply: &Reply,
    reporter: IpAddr,
) {
    tracing::info!(
        event = CAME_BACK,
        %id,
        tenant = %identity.tenant,
        sender = %identity.address,
        to = to.as_str(),
        class = class.as_str(),
        reply = reply.one_line(),
        %reporter,
    );
}

/// A message in the queue was held, or held on: under a block (`reason` is the block's, or
/// `another_block` where the one it was held under has ended), or by hand (`admin`).
pub(crate) fn held(id: MessageId, block: Option<BlockRef>, reason: &str) {
    tracing::info!(event = HELD, id = %id, block = %OrEmpty(block), reason);
}

/// A held message goes on, returns to its sender or is deleted: `outcome` is `released`, `returned`
/// or `deleted`.
pub(crate) fn unheld(id: MessageId, outcome: &str, by: &str) {
    tracing::info!(event = UNHELD, id = %id, outcome, by);
}

/// A block came into force. `id` is the message that opened it, where one did.
pub(crate) fn blocked(block: &Block, id: Option<MessageId>) {
    tracing::warn!(
        event = BLOCKED,
        id = %OrEmpty(id),
        block = %block.reference,
        kind = block.kind.as_str(),
        subject_of_block = block.subject,
        tenant = %OrEmpty(block.tenant.as_ref()),
        sender = %OrEmpty(block.sender.as_ref()),
        reason = block.reason.as_str(),
        explanation = block.explanation,
        by = block.opened_by,
        until = %OrEmpty(block.until.map(|t| t.rfc3339())),
        evidence = block.evidence.len(),
    );
}

/// A block ended: released by a person, or expired (`by` is then `expired`).
pub(crate) fn released(block: &Block, by: &str) {
    let verdict = match block.verdict {
        Some(crate::types::ReleaseVerdict::Mistake) => "mistake",
        Some(crate::types::ReleaseVerdict::Compromised) => "compromised",
        None => "",
    };
    tracing::info!(
        event = RELEASED,
        block = %block.reference,
        kind = block.kind.as_str(),
        subject_of_block = block.subject,
        tenant = %OrEmpty(block.tenant.as_ref()),
        by,
        verdict,
        note = block.note.as_deref().unwrap_or_default(),
    );
}

/// An AUTH attempt ended: `outcome` is `accepted`, `refused` or `put off`. No password is logged.
pub(crate) fn login(client: IpAddr, user: &str, outcome: &str) {
    tracing::info!(event = LOGIN, %client, user, outcome);
}
