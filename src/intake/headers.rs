//! The message as it leaves: our Received on top, where reports are taken the field that ties them to it, identity headers gone, on submission Date and Message-ID added and Bcc
//! removed. Every other octet passes unchanged.

use super::message::Arrival;
use crate::feedback::Key;
use crate::feedback::token::{FIELD, Purpose};
use crate::identity;
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
    mail_parser::MessageParser::default().parse_headers(head)?.subject().map(str::to_owned)
}

/// Builds the outgoing bytes.
pub(super) fn outgoing(arrival: &Arrival<'_>, key: &Key, id: MessageId, envelope: &Envelope, now: Time) -> Vec<u8> {
    let mut head = received(arrival.settings.server.hostname.as_str(), arrival.trace, envelope, id, now);
    if arrival.settings.reports.active {
        head.extend_from_slice(format!("{FIELD}: {}\r\n", key.token(Purpose::Complaint, id)).as_bytes());
    }
    // Only the header section changes: of the rest one copy is made, the one that goes out.
    let end = memchr::memmem::find(&arrival.body, b"\r\n\r\n").map_or(arrival.body.len(), |at| at + 4);
    let (section, rest) = arrival.body.split_at_checked(end).unwrap_or((&arrival.body, &[]));
    let mut section = std::borrow::Cow::Borrowed(section);
    if let Some(client) = arrival.peer.client.as_deref()
        && arrival.facts.header.identity_header_count > 0
    {
        section = identity::strip_identity_headers(section.into_owned(), client).into();
    }
    if arrival.trace.submission {
        // RFC 6409 section 8: a submission server may add Date and Message-ID; Bcc must not travel (RFC 5322 3.6.3, 3.6.6).
        for name in [&b"bcc"[..], b"resent-bcc"] {
            section = remove_field(&section, name).map_or(section, Into::into);
        }
        if !arrival.facts.header.has_date {
            head.extend_from_slice(format!("Date: {}\r\n", now.rfc5322()).as_bytes());
        }
        if arrival.facts.header.message_id.is_none() {
            head.extend_from_slice(format!("Message-ID: <{id}@{}>\r\n", arrival.settings.server.hostname).as_bytes());
        }
    }
    head.reserve_exact(section.len() + rest.len() + 2);
    if starts_with_body(&section) {
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(&section);
    head.extend_from_slice(rest);
    head
}

/// Whether the message has no header section, so that an empty line must follow the fields we add.
fn starts_with_body(message: &[u8]) -> bool {
    let line = message.split(|b| *b == b'\n').next().unwrap_or_default();
    let name = line.split(|b| *b == b':').next().unwrap_or_default().trim_ascii_end();
    // A line that begins with a space would become a part of our own field; one of mbox is taken for no body by anybody.
    let is_field = line.contains(&b':') && !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
        || line.starts_with(b"From ")
        || line.starts_with(b">From ");
    // A message that begins with the empty line already has its separator.
    !is_field && !message.starts_with(b"\r\n")
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

/// The message without header fields of that name (lower case); `None` if there are none.
fn remove_field(message: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let mut at = 0;
    let mut dropping = false;
    while let Some(rest) = message.get(at..).filter(|r| !r.is_empty()) {
        let end = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |p| p + 1);
        let line = rest.get(..end).unwrap_or(rest);
        if line == b"\r\n" {
            break;
        }
        let folded = line.first().is_some_and(|b| *b == b' ' || *b == b'\t');
        if !folded {
            let field = line.split(|b| *b == b':').next().unwrap_or_default();
            dropping = field.trim_ascii_end().eq_ignore_ascii_case(name) && line.contains(&b':');
        }
        if dropping {
            out.get_or_insert_with(|| message.get(..at).unwrap_or_default().to_vec());
        } else if let Some(out) = &mut out {
            out.extend_from_slice(line);
        }
        at += end;
    }
    if let Some(out) = &mut out {
        out.extend_from_slice(message.get(at..).unwrap_or_default());
    }
    out
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
    fn bcc_goes_with_its_folded_lines_and_nothing_else() {
        let message = b"To: a@b\r\nBCC: x@y,\r\n\tz@y\r\nSubject: Bcc: no\r\n\r\nBcc: stays\r\n";
        let out = remove_field(message, b"bcc").unwrap();
        assert_eq!(out, b"To: a@b\r\nSubject: Bcc: no\r\n\r\nBcc: stays\r\n");
        assert_eq!(remove_field(&out, b"bcc"), None);
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

    #[test]
    fn a_body_without_header_gets_its_empty_line() {
        assert!(starts_with_body(b"hello world\r\n"));
        assert!(starts_with_body(b" Subject: x\r\n\r\nhello"));
        assert!(starts_with_body(b"Hello Bob: x\r\n\r\nhello"));
        assert!(!starts_with_body(b"Subject: x\r\n\r\nhello"));
        assert!(!starts_with_body(b"Subject : x\r\n\r\nhello"));
        assert!(!starts_with_body(b"From bob@b.example Mon Jan  5 10:00:00 2026\r\nSubject: x\r\n\r\nhello"));
        assert!(!starts_with_body(b"\r\nhello"));
    }
}
