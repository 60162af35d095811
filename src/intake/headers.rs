//! The message as it leaves: our Received on top, where reports are taken the field that ties them to it, identity headers gone, on submission Date and Message-ID added and Bcc
//! removed. Every other octet passes unchanged.

use super::message::Arrival;
use crate::feedback::Key;
use crate::feedback::token::{FIELD, Purpose};
use crate::identity;
use crate::mail::header::{self, Field, Fields};
use crate::types::{Envelope, MessageId, Time};
use std::net::IpAddr;

/// What the Received field says of the session.
#[derive(Debug, Clone, Copy)]
pub struct Trace<'a> {
    /// The name the client gave in HELO or EHLO, checked by the grammar.
    pub helo: &'a str,
    /// The address that connected.
    pub address: IpAddr,
    /// What stands behind `with` (RFC 3848).
    pub protocol: &'static str,
    /// Submission rules (RFC 6409) apply.
    pub submission: bool,
}

/// The decoded Subject, for the log. Only the first 64 KiB of the message are looked at.
pub(super) fn subject(message: &[u8]) -> Option<String> {
    let head = message.get(..64 << 10).unwrap_or(message);
    let field = Fields::of_message(head).find(|field| field.is("subject"))?;
    mail_parser::MessageParser::default().parse_headers(head.get(field.place)?)?.subject().map(str::to_owned)
}

/// Builds the outgoing bytes.
pub(super) fn outgoing(arrival: &Arrival<'_>, key: &Key, id: MessageId, envelope: &Envelope, now: Time) -> Vec<u8> {
    let mut head = received(arrival.settings.server.hostname.as_str(), arrival.trace, envelope, id, now);
    if arrival.settings.reports.active {
        head.extend_from_slice(format!("{FIELD}: {}\r\n", key.token(Purpose::Complaint, id)).as_bytes());
    }
    let mut body = std::borrow::Cow::Borrowed(arrival.body.as_slice());
    if let Some(client) = arrival.peer.client.as_deref()
        && arrival.facts.header.identity_header_count > 0
    {
        body = identity::strip_identity_headers(body.into_owned(), client).into();
    }
    if arrival.trace.submission {
        // RFC 6409 section 8: a submission server may add Date and Message-ID; Bcc must not travel (RFC 5322 3.6.3, 3.6.6).
        let hidden = |field: &Field<'_>| field.is("bcc") || field.is("resent-bcc");
        body = header::without(&body, hidden).map_or(body, Into::into);
        if !arrival.facts.header.has_date {
            head.extend_from_slice(format!("Date: {}\r\n", now.rfc5322()).as_bytes());
        }
        if arrival.facts.header.message_id.is_none() {
            head.extend_from_slice(format!("Message-ID: <{id}@{}>\r\n", arrival.settings.server.hostname).as_bytes());
        }
    }
    head.reserve_exact(body.len() + 2);
    if header::is_missing(&body) {
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(&body);
    head
}

/// RFC 5321 section 4.4: Received with from, by, with, id, for and date. `for` only with a single recipient, so that no
/// recipient learns of another.
pub(crate) fn received(hostname: &str, trace: &Trace<'_>, envelope: &Envelope, id: MessageId, now: Time) -> Vec<u8> {
    let literal = match trace.address {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    };
    let helo: String = trace.helo.chars().filter(|c| !c.is_control()).take(255).collect();
    let helo = if helo.is_empty() { "unknown".to_owned() } else { helo };
    let mut text = format!("Received: from {helo} ({literal})\r\n\tby {hostname} with {} id {id}", trace.protocol);
    if let [only] = envelope.recipients.as_slice() {
        text.push_str(&format!("\r\n\tfor <{}>", only.address));
    }
    text.push_str(&format!(";\r\n\t{}\r\n", now.rfc5322()));
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Address, Recipient, ReversePath};

    #[test]
    fn the_subject_for_the_log_is_decoded() {
        let mail = "From: a@b.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n from me\r\n\r\nSubject: not this\r\n";
        assert_eq!(subject(mail.as_bytes()).as_deref(), Some("Grüße from me"));
        assert_eq!(subject(b"From: a@b.example\r\n\r\n"), None);
    }

    fn envelope(recipients: &[&str]) -> Envelope {
        Envelope {
            from: ReversePath::NULL,
            recipients: recipients.iter().map(|r| Recipient::new(Address::parse(r).unwrap())).collect(),
            body: Default::default(),
            smtputf8: false,
            ret: None,
            envid: None,
        }
    }

    #[test]
    fn received_names_a_single_recipient_only() {
        let trace =
            Trace { helo: "mail.acme.example", address: "192.0.2.1".parse().unwrap(), protocol: "ESMTPSA", submission: false };
        let id = MessageId(7);
        let one = String::from_utf8(received("relay.test", &trace, &envelope(&["a@b.example"]), id, Time(0))).unwrap();
        assert_eq!(
            one,
            "Received: from mail.acme.example ([192.0.2.1])\r\n\tby relay.test with ESMTPSA id 0000000000007\r\n\t\
             for <a@b.example>;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n"
        );
        let two = received("relay.test", &trace, &envelope(&["a@b.example", "c@d.example"]), id, Time(0));
        assert!(!String::from_utf8(two).unwrap().contains("for <"));
    }
}
