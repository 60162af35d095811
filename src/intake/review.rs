//! Copies of suspicious mail for a reviewer: the message as it came, attached to a mail of our own.
//! A copy never changes what happens to its original, and never causes another copy.

use super::Intake;
use super::message::Arrival;
use crate::mail::header::Fields;
use crate::queue::OwnMail;
use crate::types::{
    Address, BodyType, Envelope, Identity, MessageId, Notify, Pool, Recipient, Time,
};
use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

/// Copies made in a minute at most: a flood of mail must not flood the reviewer as well.
const COPIES_PER_MINUTE: u32 = 60;
/// Recipients named in the text of a copy.
const RECIPIENTS_NAMED: usize = 20;
/// Octets of a message that are searched for our mark.
const HEADER_OCTETS: usize = 64 << 10;
/// Octets of the value of a mark.
const MARK_OCTETS: usize = 256;
/// Header field that marks a copy: the id of the copy, and a hash of it that only this process can
/// make.
const MARK: &str = "X-Outgate-Review";

/// What the copies of one relay have in common.
#[derive(Default)]
pub(crate) struct Reviews {
    /// A new key at each start.
    secret: RandomState,
    /// Minute since the epoch, and copies made in it.
    made: Mutex<(i64, u32)>,
}

impl Reviews {
    fn mark(&self, id: MessageId) -> u64 {
        self.secret.hash_one(id.0)
    }

    /// Whether the message is one of our own copies that came back, by way of a mailbox that
    /// forwards.
    fn is_copy(&self, message: &[u8]) -> bool {
        let head = message.get(..HEADER_OCTETS).unwrap_or(message);
        let mut marks = Fields::of_message(head)
            .filter(|field| field.is(MARK))
            .map(|field| field.text(MARK_OCTETS));
        marks.any(|value| {
            let mut words = value.split_ascii_whitespace();
            let (id, hash) = (words.next().and_then(MessageId::parse), words.next());
            let hash = hash.and_then(|hash| u64::from_str_radix(hash, 16).ok());
            id.zip(hash).is_some_and(|(id, hash)| self.mark(id) == hash)
        })
    }

    /// Whether there is room for one more in this minute.
    fn admit(&self, now: Time) -> bool {
        let minute = now.as_secs().div_euclid(60);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.0 != minute {
            *made = (minute, 0);
        }
        made.1 = made.1.saturating_add(1);
        made.1 <= COPIES_PER_MINUTE
    }
}

/// Mail from the reviewer, from a sender without an address, or forwarded from elsewhere is not
/// copied: it may be a copy that comes back.
fn may_be_copied(reviewer: &Address, identity: &Identity) -> bool {
    !identity.address.is_empty() && !identity.foreign && *identity.address != *reviewer.key()
}

impl Intake {
    /// Sends the copy that the policy asks for. A failure is only logged.
    pub(super) async fn send_review(&self, arrival: &Arrival<'_>, reviewer: &Address) {
        let now = self.clock.now();
        if !may_be_copied(reviewer, &arrival.findings.identity)
            || self.reviews.is_copy(&arrival.body)
        {
            return;
        }
        if !self.reviews.admit(now) {
            tracing::warn!(id = %arrival.findings.id, "no copy for review: too many in this minute");
            return;
        }
        let id = self.ids.next(now);
        let message = compose(arrival, reviewer, id, self.reviews.mark(id), now);
        let recipient = Recipient {
            notify: Some(Notify::NEVER),
            ..Recipient::new(reviewer.clone())
        };
        let body_type = if message.is_ascii() {
            BodyType::SevenBit
        } else {
            BodyType::EightBit
        };
        let smtputf8 = arrival.envelope.smtputf8 || reviewer.needs_utf8();
        let own = OwnMail {
            id,
            now,
            envelope: Envelope::of_ours(vec![recipient], body_type, smtputf8),
            pool: Pool::HighRisk,
            message,
        };
        match own.submit(&self.spool, &self.queue).await {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(id = %arrival.findings.id, ?error, "no copy for review: it could not be spooled")
            }
        }
    }
}

/// The mail with the original attached, octet by octet (RFC 2046 section 5.2.1; RFC 6532 section
/// 3.7 for UTF-8 headers).
fn compose(
    arrival: &Arrival<'_>,
    reviewer: &Address,
    id: MessageId,
    mark: u64,
    now: Time,
) -> Vec<u8> {
    let hostname = &arrival.settings.server.hostname;
    let boundary = format!("review-{id}-{mark:016x}");
    let kind = if arrival.envelope.smtputf8 {
        "message/global"
    } else {
        "message/rfc822"
    };
    let encoding = if arrival.body.is_ascii() {
        "7bit"
    } else {
        "8bit"
    };
    let words = words(arrival);
    let words_encoding = if words.is_ascii() { "7bit" } else { "8bit" };
    let mut out = format!(
        "From: Outgate <{}>\r\nTo: <{reviewer}>\r\nSubject: For review: message {} ({})\r\nDate: {}\r\n\
         Message-ID: <{id}@{hostname}>\r\nAuto-Submitted: auto-generated\r\n{MARK}: {id} {mark:016x}\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {words_encoding}\r\n\r\n{words}\r\n--{boundary}\r\n\
         Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\nContent-Disposition: attachment\r\n\r\n",
        arrival.settings.notify.from,
        arrival.findings.id,
        arrival.decision.reason.as_str(),
        now.rfc5322(),
    )
    .into_bytes();
    out.extend_from_slice(&arrival.body);
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    out
}

/// What the reviewer should know, CRLF lines.
fn words(arrival: &Arrival<'_>) -> String {
    let (findings, decision) = (arrival.findings, arrival.decision);
    let recipients = &arrival.envelope.recipients;
    let named: Vec<&str> = recipients
        .iter()
        .take(RECIPIENTS_NAMED)
        .map(|r| r.address.as_str())
        .collect();
    let more = recipients.len().saturating_sub(named.len());
    let mut text = format!(
        "The attached message looked suspicious. What was done with it: {}, because of {}.\r\nThis copy changes nothing about \
         that.\r\n\r\nMessage:     {}\r\nSender:      {}\r\nFrom:        {}\r\nClient:      {}\r\nRecipients:  {}",
        decision.action.as_str(),
        decision.reason.as_str(),
        findings.id,
        plain(&findings.identity.address),
        arrival.envelope.from.as_str(),
        findings.identity.client,
        named.join(", "),
    );
    if more > 0 {
        let _written = write!(text, " and {more} more");
    }
    text.push_str("\r\nWhy:         ");
    let signals: Vec<String> = arrival
        .symbols()
        .take(12)
        .map(|s| format!("{} {:+.1}", plain(&s.name), s.weight))
        .collect();
    text.push_str(&signals.join(", "));
    text.push_str("\r\n");
    text
}

/// Outside text without control characters, so that it cannot start a line.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(320)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::explain::stranger;

    #[test]
    fn a_copy_that_comes_back_is_known_by_a_mark_that_nobody_can_make() {
        let reviews = Reviews::default();
        let id = MessageId(4711);
        let copy = |mark: u64| {
            format!("Received: x\r\nx-outgate-review: {id} {mark:016x}\r\n\r\nhello\r\n")
        };
        assert!(reviews.is_copy(copy(reviews.mark(id)).as_bytes()));
        assert!(
            !reviews.is_copy(copy(reviews.mark(id) ^ 1).as_bytes()),
            "a spammer's own"
        );
        assert!(
            !reviews.is_copy(format!("Subject: x\r\n\r\n{}", copy(reviews.mark(id))).as_bytes()),
            "only in the header"
        );
        assert!(
            !Reviews::default().is_copy(copy(reviews.mark(id)).as_bytes()),
            "another relay's"
        );
        for broken in [
            &b""[..],
            b"X-Outgate-Review",
            b"X-Outgate-Review: \xff\r\n\r\n",
            b"X-Outgate-Review: 1\r\n",
        ] {
            assert!(!reviews.is_copy(broken));
        }
    }

    #[test]
    fn a_flood_does_not_reach_the_reviewer() {
        let reviews = Reviews::default();
        let at = |minute: i64| Time::from_secs(minute * 60);
        assert_eq!((0..100).filter(|_| reviews.admit(at(5))).count(), 60);
        assert!(reviews.admit(at(6)));
    }

    #[test]
    fn what_may_be_a_copy_on_its_way_round_is_not_copied() {
        let settings = crate::detector::testing::settings();
        let reviewer = Address::parse("Review@acme.example").expect("an address");
        let who = |text: &str| stranger(&settings, text, None, None).expect("a sender");
        assert!(may_be_copied(&reviewer, &who("alice@acme.example")));
        assert!(!may_be_copied(&reviewer, &who("review@acme.example")));
        assert!(!may_be_copied(
            &reviewer,
            &Identity {
                foreign: true,
                ..who("alice@acme.example")
            }
        ));
        assert!(!may_be_copied(
            &reviewer,
            &Identity {
                address: "".into(),
                ..who("alice@acme.example")
            }
        ));
    }
}
