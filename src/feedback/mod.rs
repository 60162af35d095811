//! What others report about our mail after delivery: complaints (ARF, RFC 5965) to one report
//! address, and delivery reports (RFC 3464) to the return paths of tenants that want them. Taken by
//! listeners of kind `reports` only.
//!
//! The token of a report proves which message it is about. The message trace tells who sent that
//! message.

mod complaints;
mod dkim;
mod rate;
pub mod report;

use crate::api::TraceLine;
use crate::message_token::TokenKey;
pub(crate) use dkim::Dkim;

use crate::config::Settings;
use crate::delivery::outcome::outcome;
use crate::detector::{Addressee, Detector};
use crate::env::Clock;
use crate::env::IdSource;
use crate::identity;
use crate::learn::Labels;
use crate::mail::received::{Trace, received};
use crate::moderation::Moderation;
use crate::queue::{OwnMail, Queue};
use crate::records::{MessageTrace, Records, TraceEvent, TraceQuery};
use crate::smtp::client::{ClientStep, StepReply};
use crate::spool::{Spool, SpoolError};
use crate::telemetry::{events, metrics as names};
use crate::types::NewBlock;
use crate::types::block::RELAY;
use crate::types::replies;
use crate::types::{
    Address, Envelope, Identity, MessageId, MessageMeta, Pool, Recipient, RecipientOutcome,
    RecipientStatus, Reply,
};
use rate::Rate;
use report::{FeedbackReport, ReportedFailure};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Everything the reports listener needs. One for the whole relay.
pub(crate) struct Feedback {
    pub settings: watch::Receiver<Arc<Settings>>,
    pub clock: Arc<dyn Clock>,
    /// The secret of the tokens.
    pub key: TokenKey,
    pub records: Records,
    pub detector: Arc<Detector>,
    pub moderation: Arc<Moderation>,
    /// Keeps the features of a message under complaint, so that people can label it.
    pub labels: Labels,
    /// Keeps what is passed on.
    pub spool: Spool,
    /// Sends what is passed on.
    pub queue: Queue,
    pub ids: Arc<IdSource>,
    /// Looks up who signed a complaint.
    pub dkim: Dkim,
    /// Reports of the running minute.
    pub rate: Mutex<Limit>,
}

/// The count behind `[reports] per_minute`.
#[derive(Debug, Default)]
pub(crate) struct Limit(Rate);

/// What a recipient address of the listener means.
enum Mailbox {
    Reports,
    /// The return path of this message.
    ReturnPath(MessageId),
}

impl Feedback {
    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// MAIL: may this address (of IPv6: its network) bring one more report now?
    pub(crate) fn mail(&self, address: IpAddr) -> Result<(), Reply> {
        let per_minute = self.settings().reports.per_minute;
        let mut limit = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if limit.0.take(self.clock.now(), address, per_minute) {
            return Ok(());
        }
        count("any", "too_many");
        Err(replies::TOO_MANY_REPORTS.into())
    }

    /// RCPT: only our report addresses.
    pub(crate) fn rcpt(&self, recipient: &Address) -> Reply {
        match self.addressed(recipient) {
            Some(_) => replies::RCPT_OK.into(),
            None => {
                count("any", "no_such_address");
                replies::ONLY_REPORTS.into()
            }
        }
    }

    fn addressed(&self, recipient: &Address) -> Option<Mailbox> {
        let settings = self.settings();
        if recipient.key() == settings.reports.address.key() {
            return Some(Mailbox::Reports);
        }
        (*recipient.domain() == settings.reports.domain)
            .then(|| self.key.read_return_path(recipient.local()))?
            .map(Mailbox::ReturnPath)
    }

    /// The final dot. The reply is positive only once the mail to pass on is on disk; evidence
    /// counts then.
    pub(crate) async fn message(
        &self,
        trace: &Trace<'_>,
        envelope: Envelope,
        body: Vec<u8>,
    ) -> Reply {
        let settings = self.settings();
        // One recipient per transaction, so that the reply is about one report.
        let Some(to) = envelope
            .recipients
            .first()
            .and_then(|r| self.addressed(&r.address))
        else {
            return replies::ONLY_REPORTS.into();
        };
        if identity::read_headers(&body, None, settings.limits.header_fields).received_count
            > settings.limits.received_fields
        {
            return replies::LOOPING.into();
        }
        let report = tokio::task::block_in_place(|| report::read(&body));
        match to {
            Mailbox::ReturnPath(id) => {
                self.came_back(&settings, trace, id, envelope, body, report)
                    .await
            }
            Mailbox::Reports => {
                if let FeedbackReport::Complaint(complaint) = report
                    && let Some(reply) = self.complained(&settings, trace, complaint, &body).await
                {
                    return reply;
                }
                self.not_a_complaint(&settings, trace, envelope, body).await
            }
        }
    }

    /// What is known of the message: from the trace, or from the spool while it is there.
    async fn find(
        &self,
        settings: &Settings,
        id: MessageId,
    ) -> Result<Option<KnownMessage>, Reply> {
        let query = TraceQuery {
            id: Some(id.to_string()),
            limit: 1,
            ..TraceQuery::default()
        };
        let found = self.records.search(query).await.map_err(|error| {
            tracing::error!(%id, %error, "a report waits: the message trace cannot be read");
            Reply::from(replies::LOCAL_ERROR)
        })?;
        if let Some(message) = found.into_iter().find(|m| m.judged.id == id) {
            return Ok(KnownMessage::traced(settings, message));
        }
        let spooled = self.spool.read(id).await.ok();
        Ok(spooled.and_then(|(meta, _)| KnownMessage::spooled(&meta)))
    }

    async fn open(&self, block: Option<NewBlock>) {
        if let Some(block) = block
            && let Err(error) = self.moderation.open(block, RELAY).await
        {
            tracing::error!(?error, "a block could not be opened");
        }
    }

    /// Mail to a return path is passed on to the original sender, and its report counts.
    async fn came_back(
        &self,
        settings: &Settings,
        trace: &Trace<'_>,
        id: MessageId,
        envelope: Envelope,
        body: Vec<u8>,
        report: FeedbackReport,
    ) -> Reply {
        if !envelope.from.is_null() {
            // RFC 3464 section 2: a delivery report has a null sender. Any other mail would reach
            // our users this way.
            count("bounce", "not_a_report");
            return replies::ONLY_DELIVERY_REPORTS.into();
        }
        let known = match self.find(settings, id).await {
            Ok(Some(known)) => known,
            Ok(None) if self.clock.now().since(id.time()) > settings.records.trace => {
                count("bounce", "message_forgotten");
                return replies::RETURN_PATH_EXPIRED.into();
            }
            Ok(None) => {
                count("bounce", "message_unknown");
                return replies::SENDER_NOT_KNOWN.into();
            }
            Err(reply) => return reply,
        };
        let Some(sender) = Address::parse(&known.from) else {
            count("bounce", "message_unknown");
            return replies::NO_SENDER.into();
        };
        let reply = self.pass_on(settings, trace, sender, envelope, body).await;
        if reply.is_positive() {
            match report {
                FeedbackReport::Delivery(failures) => {
                    self.count_failures(&known, &failures, trace).await
                }
                FeedbackReport::Complaint(_) | FeedbackReport::Other => {
                    count("bounce", "passed_on_only")
                }
            }
        }
        reply
    }

    /// Failures become outcomes of the message: once per recipient, and only for recipients that it
    /// went to.
    async fn count_failures(
        &self,
        known: &KnownMessage,
        failures: &[ReportedFailure],
        trace: &Trace<'_>,
    ) {
        let now = self.clock.now();
        let (id, identity) = (known.id, &known.identity);
        let mut outcomes: Vec<RecipientOutcome> = Vec::new();
        let mut blocks = Vec::new();
        for failure in failures {
            let Some((index, address)) = recipient_of(known, failure) else {
                count("bounce", "no_such_recipient");
                continue;
            };
            let repeated = known
                .history
                .iter()
                .any(|line| line.status == "failed" && line.recipient == address.as_str());
            if repeated || outcomes.iter().any(|o| o.recipient == index) {
                count("bounce", "repeated");
                continue;
            }
            let (_, class) = outcome(&StepReply {
                step: ClientStep::Dot,
                reply: failure.reply.clone(),
                lost: false,
            });
            let heard = self
                .detector
                .returned(now, identity, id, class, Addressee::of(&address));
            count("bounce", heard.kind.as_str());
            blocks.extend(heard.block);
            events::came_back(id, identity, &address, class, &failure.reply, trace.address);
            outcomes.push(RecipientOutcome {
                recipient: index,
                status: RecipientStatus::Failed,
                class,
                reply: failure.reply.clone(),
                remote: format!("delivery report from {}", trace.address),
                relayed_dsn: false,
            });
        }
        if !outcomes.is_empty() {
            self.records.trace(TraceEvent::Attempted {
                id,
                time: now,
                outcomes,
            });
        }
        for block in blocks {
            self.open(Some(block)).await;
        }
    }

    /// Mail to the report address that is no complaint: the questions that feedback loops ask at
    /// registration, and spam.
    async fn not_a_complaint(
        &self,
        settings: &Settings,
        trace: &Trace<'_>,
        envelope: Envelope,
        body: Vec<u8>,
    ) -> Reply {
        match &settings.reports.other_mail_to {
            Some(to) => {
                count("other", "passed_on_only");
                self.pass_on(settings, trace, to.clone(), envelope, body)
                    .await
            }
            None => {
                count("other", "not_a_report");
                replies::ONLY_FEEDBACK.into()
            }
        }
    }

    /// Spools the message as it came, for this recipient, with our Received on top. Its envelope
    /// sender is null, so that it never causes another report.
    async fn pass_on(
        &self,
        settings: &Settings,
        trace: &Trace<'_>,
        to: Address,
        envelope: Envelope,
        body: Vec<u8>,
    ) -> Reply {
        let now = self.clock.now();
        let id = self.ids.next(now);
        let smtputf8 = envelope.smtputf8 || to.needs_utf8();
        let envelope = Envelope::of_ours(vec![Recipient::new(to)], envelope.body, smtputf8);
        let mut message = received(settings.server.hostname.as_str(), trace, &envelope, id, now);
        message.extend_from_slice(&body);
        let own = OwnMail {
            id,
            now,
            envelope,
            pool: Pool::Normal,
            message,
        };
        match own.submit(&self.spool, &self.queue).await {
            Ok(()) => replies::queued(id),
            Err(SpoolError::Full) => replies::STORAGE_FULL.into(),
            Err(error) => {
                tracing::error!(%id, ?error, "spool failed");
                replies::LOCAL_ERROR.into()
            }
        }
    }
}

/// A message of ours that a report is about.
struct KnownMessage {
    id: MessageId,
    /// Envelope sender; empty for none.
    from: String,
    recipients: Vec<String>,
    history: Vec<TraceLine>,
    /// The sender it was judged under.
    identity: Identity,
}

impl KnownMessage {
    fn traced(settings: &Settings, message: MessageTrace) -> Option<Self> {
        let MessageTrace { judged, history } = message;
        let client = judged.client.parse().ok()?;
        let identity = identity::recorded(
            settings,
            judged.tenant.as_ref()?,
            &judged.sender_key,
            &judged.sender,
            &judged.from,
            client,
        );
        Some(Self {
            id: judged.id,
            from: judged.from,
            recipients: judged.recipients,
            history,
            identity,
        })
    }

    fn spooled(meta: &MessageMeta) -> Option<Self> {
        Some(Self {
            id: meta.id,
            from: meta.envelope.from.as_str().to_owned(),
            recipients: meta
                .envelope
                .recipients
                .iter()
                .map(|r| r.address.as_str().to_owned())
                .collect(),
            history: Vec::new(),
            identity: meta.identity.clone()?,
        })
    }
}

/// The recipient that a report is about. A message to one recipient can only have failed for that
/// one, even if its site reports another address.
fn recipient_of(known: &KnownMessage, failure: &ReportedFailure) -> Option<(u32, Address)> {
    let all: Vec<Address> = known
        .recipients
        .iter()
        .filter_map(|r| Address::parse(r))
        .collect();
    let named = failure
        .recipients
        .iter()
        .filter_map(|text| Address::parse(text))
        .find_map(|address| {
            let at = all.iter().position(|r| r.key() == address.key())?;
            Some((at, all.get(at)?.clone()))
        });
    let only = || match all.as_slice() {
        [only] => Some((0, only.clone())),
        _ => None,
    };
    let (index, address) = named.or_else(only)?;
    Some((u32::try_from(index).ok()?, address))
}

fn count(kind: &'static str, result: &'static str) {
    metrics::counter!(names::REPORTS_TOTAL, "kind" => kind, "result" => result).increment(1);
}
