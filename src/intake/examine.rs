//! What the relay finds out about a message before it decides: header, sender, score, listings.

use super::Intake;
use crate::config::Settings;
use crate::external_checks;
use crate::identity::{self, HeaderFacts, Peer};
use crate::learn::SharedLesson;
use crate::mail::received::Trace;
use crate::policy;
use crate::score::{ReturnPath, Score};
use crate::telemetry::metrics as names;
use crate::types::{Domain, Envelope, Identity, MessageId, Reply, replies, stable_hash};

/// From this many octets on, a message is scored on a thread that may block, so that other sessions
/// continue.
const SCORE_INLINE_BYTES: usize = 128 * 1024;

/// What the relay knows of a message at the final dot.
pub(super) struct Findings {
    pub(super) id: MessageId,
    pub(super) identity: Identity,
    pub(super) header: HeaderFacts,
    pub(super) score: Score,
    /// The part of the score that comes from listings, in nats.
    pub(super) listed: f64,
    /// What the learner keeps of the content.
    pub(super) lesson: SharedLesson,
    /// Hash over Message-ID and body, by which a repeated message is known.
    pub(super) fingerprint: u64,
}

impl Intake {
    /// Reads header and content. `Err`: the reply to a message that no next hop should see.
    pub(super) fn examine(
        &self,
        settings: &Settings,
        peer: &Peer,
        trace: &Trace<'_>,
        envelope: &Envelope,
        body: &[u8],
    ) -> Result<Findings, Reply> {
        let header =
            identity::read_headers(body, peer.client.as_deref(), settings.limits.header_fields);
        check_header(settings, peer, trace, &header, body)?;
        let identity = identity::at_data(settings, peer, &envelope.from, &header)
            .map_err(|refusal| policy::reasons::refusal(&refusal))?;
        let (score, lesson) = self.score(&identity, envelope, body);
        if score.mime_depth > settings.limits.mime_depth {
            return Err(replies::NESTED_TOO_DEEPLY.into());
        }
        if score.mime_parts > settings.limits.mime_parts {
            return Err(replies::TOO_MANY_PARTS.into());
        }
        let message_id = header.message_id.as_deref().unwrap_or_default();
        let fingerprint = self
            .feedback_key
            .fingerprint(&[message_id.as_bytes(), &score.body_hash.to_le_bytes()]);
        let id = self.ids.next(self.clock.now());
        self.learner.remember(id, &identity.tenant, &lesson);
        let fingerprint = with_odd_body(fingerprint, header.flaw, body);
        Ok(Findings {
            id,
            identity,
            header,
            score,
            lesson,
            listed: 0.0,
            fingerprint,
        })
    }

    /// The score of the content, and what may be learned from it.
    fn score(
        &self,
        identity: &Identity,
        envelope: &Envelope,
        body: &[u8],
    ) -> (Score, SharedLesson) {
        let started = std::time::Instant::now();
        let path = if envelope.from.is_null() {
            ReturnPath::Null
        } else {
            ReturnPath::Named
        };
        let score = || self.learner.score_of(&identity.tenant, body, path);
        let scored = if body.len() > SCORE_INLINE_BYTES {
            tokio::task::block_in_place(score)
        } else {
            score()
        };
        metrics::histogram!(names::SCORE_SECONDS).record(started.elapsed().as_secs_f64());
        scored
    }

    /// Adds what lists and scanners answer within their deadline. No list or scanner is asked about
    /// a blocked sender.
    pub(super) async fn ask_external_checks(
        &self,
        settings: &Settings,
        peer: &Peer,
        envelope: &Envelope,
        body: &[u8],
        findings: &mut Findings,
    ) {
        let now = self.clock.now();
        if self.detector.gate(now, &findings.identity).is_some() {
            return;
        }
        let tenant = settings.tenant(&findings.identity.tenant);
        let own = |host: &str| {
            Domain::parse(host)
                .zip(tenant)
                .is_some_and(|(host, tenant)| tenant.domains.iter().any(|d| host.is_within(d)))
        };
        let client = peer.origin.unwrap_or(peer.address);
        let message = external_checks::CheckedMessage {
            body,
            from: &envelope.from,
            client,
            score: &findings.score,
        };
        let answers = self.outside.ask(now, message, own).await;
        findings.listed = external_checks::combine::combine(&mut findings.score, &answers);
    }
}

/// Refuses a header that loops, is too long or, on submission, is read in different ways.
fn check_header(
    settings: &Settings,
    peer: &Peer,
    trace: &Trace<'_>,
    header: &HeaderFacts,
    body: &[u8],
) -> Result<(), Reply> {
    if header.received_count > settings.limits.received_fields {
        // RFC 5321 section 6.3: loops are found by counting Received fields.
        return Err(replies::LOOPING.into());
    }
    if header.field_count > settings.limits.header_fields {
        return Err(replies::TOO_MANY_FIELDS.into());
    }
    // RFC 6409 section 4 lets a submission server refuse what is not well-formed. A mail server
    // that relays may not be the author, and its mail must not be lost.
    if trace.submission
        && let Some(flaw) = header.flaw
    {
        let before = body.get(..flaw).unwrap_or_default();
        return Err(replies::no_header(
            memchr::memchr_iter(b'\n', before).count() + 1,
        ));
    }
    for (what, count) in [
        ("identity", header.identity_header_count),
        ("script", header.script_count),
    ] {
        if count > 1 {
            tracing::warn!(client = %peer.address, what, count, "several headers that name the sender: none is believed");
        }
    }
    Ok(())
}

/// The fingerprint including what follows a line that is no field: some readers start the body
/// there, and without an empty line there is no other body.
fn with_odd_body(fingerprint: u64, flaw: Option<usize>, message: &[u8]) -> u64 {
    match flaw.and_then(|flaw| message.get(flaw..)) {
        Some(below) => stable_hash(&[&fingerprint.to_le_bytes(), below]),
        None => fingerprint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_without_an_empty_line_differ_by_what_they_say() {
        let of = |message: &str| {
            let header = identity::read_headers(message.as_bytes(), None, usize::MAX);
            with_odd_body(7, header.flaw, message.as_bytes())
        };
        // Nothing of it is body to a parser, but readers show it.
        assert_ne!(
            of("Subject: x\r\nBuy this\r\n"),
            of("Subject: x\r\nBuy that\r\n")
        );
        assert_ne!(of("Buy this\r\n"), of("Buy that\r\n"));
        assert_eq!(
            of("Received: again\r\nSubject: x\r\nBuy this\r\n"),
            of("Received: once\r\nSubject: x\r\nBuy this\r\n")
        );
        assert_eq!(
            of("Subject: x\r\n\r\nx"),
            7,
            "the others are told apart by their bodies"
        );
    }
}
