//! Complaints: which count, about which message, and by whom.

use super::dkim::Signed;
use super::report::{Complaint, FeedbackType};
use super::{Feedback, KnownMessage, count};
use crate::config::Settings;
use crate::detector::SOMEBODY;
use crate::detector::mailbox_hash;
use crate::mail::received::Trace;
use crate::message_token::Purpose;
use crate::records::TraceEvent;
use crate::telemetry::events;
use crate::types::replies;
use crate::types::{Address, Domain, Reply};

/// The note of a complaint in the message trace begins with this. A repetition is found by it.
const NOTE: &str = "complaint";

impl Feedback {
    /// A complaint. The reply is 250 even if it proves nothing, so that nobody can try out tokens.
    /// `None`: the message was returned without a feedback part and does not come from a feedback
    /// loop, so it is other mail.
    pub(super) async fn complained(
        &self,
        settings: &Settings,
        trace: &Trace<'_>,
        complaint: Complaint,
        report: &[u8],
    ) -> Option<Reply> {
        let taken = Reply::from(replies::COMPLAINT_TAKEN);
        let otherwise = (!complaint.bare).then(|| taken.clone());
        if !complaint.feedback.is_complaint() {
            count("complaint", "not_against_sender");
            return otherwise;
        }
        let Some(id) = complaint
            .token
            .as_deref()
            .and_then(|token| self.key.read(Purpose::Complaint, token))
        else {
            // Without a feedback part and a token nothing shows that this is about our mail.
            if !complaint.bare {
                count("complaint", "no_valid_token");
            }
            return otherwise;
        };
        let source = match self.source(settings, trace, report).await {
            ComplaintSource::Believed(source) => source,
            ComplaintSource::Unknown(claimed) => {
                count("complaint", "unknown_reporter");
                let claimed: Vec<&str> = claimed.iter().map(Domain::as_str).collect();
                events::complaint_ignored(id, trace.address, &claimed.join(" "));
                return otherwise;
            }
            ComplaintSource::Later => {
                count("complaint", "waits_for_dns");
                return Some(replies::SIGNATURE_WAITS.into());
            }
        };
        let known = match self.find(settings, id).await {
            Ok(Some(known)) => known,
            Ok(None) => {
                count("complaint", "message_forgotten");
                return Some(taken);
            }
            Err(reply) => return Some(reply),
        };
        if known
            .history
            .iter()
            .any(|line| line.status == "note" && line.text.starts_with(NOTE))
        {
            count("complaint", "repeated");
            return Some(taken);
        }
        self.count_complaint(
            &known,
            complaint.feedback,
            reporter(&known, &complaint.recipients),
            &source,
        )
        .await;
        Some(taken)
    }

    /// Who vouches for this report: the network it comes from, or its signer.
    async fn source(
        &self,
        settings: &Settings,
        trace: &Trace<'_>,
        report: &[u8],
    ) -> ComplaintSource {
        let sources = &settings.reports.sources;
        if sources.has_network(trace.address) {
            return ComplaintSource::Believed(trace.address.to_string());
        }
        match self
            .dkim
            .signer(&settings.dns.servers, sources, report)
            .await
        {
            Signed::By(domain) => ComplaintSource::Believed(domain.to_string()),
            Signed::Unknown(claimed) => ComplaintSource::Unknown(claimed),
            Signed::Later => ComplaintSource::Later,
        }
    }

    async fn count_complaint(
        &self,
        known: &KnownMessage,
        feedback: FeedbackType,
        reporter: u64,
        source: &str,
    ) {
        let (now, id, identity) = (self.clock.now(), known.id, &known.identity);
        let heard = self.detector.complaint(now, identity, id, reporter);
        count("complaint", heard.kind.as_str());
        events::complained(id, identity, feedback.as_str(), source, reporter);
        self.records.trace(TraceEvent::Note {
            id,
            time: now,
            text: format!("{NOTE} ({}) from {source}", feedback.as_str()),
        });
        // A complaint alone teaches nothing: else any recipient could teach the tenant's model.
        // People may label the message later, so it must still be known then.
        self.labels.keep(id, &identity.tenant).await;
        self.open(heard.block).await;
    }
}

/// Whether a complaint is believed.
enum ComplaintSource {
    /// It comes from this network or domain.
    Believed(String),
    /// It comes from no configured source; it claims to be signed by these.
    Unknown(Vec<Domain>),
    /// Not known now: a name server does not answer.
    Later,
}

/// Who complains: the mailbox that got the message. Of several it is the one that the report names,
/// else [`SOMEBODY`].
fn reporter(known: &KnownMessage, named: &[String]) -> u64 {
    let mailboxes = |all: &[String]| {
        all.iter()
            .filter_map(|text| Address::parse(text))
            .map(|a| mailbox_hash(&a))
            .collect()
    };
    let mut went_to: Vec<u64> = mailboxes(&known.recipients);
    went_to.sort_unstable();
    went_to.dedup();
    let named: Vec<u64> = mailboxes(named);
    match went_to.as_slice() {
        [only] => *only,
        several => named
            .into_iter()
            .find(|mailbox| several.contains(mailbox))
            .unwrap_or(SOMEBODY),
    }
}
