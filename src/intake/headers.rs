//! The outgoing message: our Received on top, a field that ties reports to the message if reports
//! are taken, identity headers removed; on submission Date and Message-ID are added and Bcc is
//! removed. Every other octet passes unchanged.

use super::message::Arrival;
use crate::identity;
use crate::mail::charset;
use crate::mail::header::{self, Field, Fields};
use crate::mail::received::received;
use crate::message_token::TokenKey;
use crate::message_token::{FIELD, Purpose};
use crate::types::{Envelope, MessageId, Time};

/// The decoded Subject, for the log. Only the first 64 KiB of the message are looked at.
pub(super) fn subject(message: &[u8]) -> Option<String> {
    let head = message.get(..64 << 10).unwrap_or(message);
    let field = Fields::of_message(head).find(|field| field.is("subject"))?;
    Some(charset::words(field.value))
}

/// Builds the outgoing bytes.
pub(super) fn outgoing(
    arrival: &Arrival<'_>,
    key: &TokenKey,
    id: MessageId,
    envelope: &Envelope,
    now: Time,
) -> Vec<u8> {
    let mut head = received(
        arrival.settings.server.hostname.as_str(),
        arrival.trace,
        envelope,
        id,
        now,
    );
    if arrival.settings.reports.active {
        head.extend_from_slice(
            format!("{FIELD}: {}\r\n", key.token(Purpose::Complaint, id)).as_bytes(),
        );
    }
    // Only the header section changes. The rest is copied once, into the outgoing message.
    let end = header::split_message(&arrival.body).0.len();
    let (section, rest) = arrival
        .body
        .split_at_checked(end)
        .unwrap_or((&arrival.body, &[]));
    let mut section = std::borrow::Cow::Borrowed(section);
    if let Some(client) = arrival.peer.client.as_deref()
        && arrival.findings.header.identity_header_count > 0
    {
        section = identity::strip_identity_headers(section.into_owned(), client).into();
    }
    if arrival.trace.submission {
        // RFC 6409 section 8: a submission server may add Date and Message-ID; Bcc must not travel
        // (RFC 5322 3.6.3, 3.6.6).
        let hidden = |field: &Field<'_>| field.is("bcc") || field.is("resent-bcc");
        section = header::without(&section, hidden).map_or(section, Into::into);
        if !arrival.findings.header.has_date {
            head.extend_from_slice(format!("Date: {}\r\n", now.rfc5322()).as_bytes());
        }
        if arrival.findings.header.message_id.is_none() {
            head.extend_from_slice(
                format!(
                    "Message-ID: <{id}@{}>\r\n",
                    arrival.settings.server.hostname
                )
                .as_bytes(),
            );
        }
    }
    head.reserve_exact(section.len() + rest.len() + 2);
    // The remaining section may begin with a line that is no field, like the message.
    if header::is_missing(&section) || header::is_missing(&arrival.body) {
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(&section);
    head.extend_from_slice(rest);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_for_the_log_is_decoded() {
        let mail = "From: a@b.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n from me\r\n\r\nSubject: not this\r\n";
        assert_eq!(subject(mail.as_bytes()).as_deref(), Some("Grüße from me"));
        assert_eq!(subject(b"From: a@b.example\r\n\r\n"), None);
    }
}
