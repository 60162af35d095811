//! Commands of a mail transaction with the parameters that the server offers, and the messages that
//! it cannot accept.

use super::caps::Capabilities;
use crate::types::replies;
use crate::types::{Address, BodyType, DsnRet, Envelope, Notify, Recipient, Reply};

/// The properties of a message's content that affect its transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OutgoingContent {
    /// Octets before dot-stuffing (RFC 1870 section 3).
    pub octets: u64,
    /// The message has octets above 127.
    pub eight_bit: bool,
    /// The header of the message has octets above 127.
    pub eight_bit_header: bool,
}

impl OutgoingContent {
    /// Examines a message once; `header` is its header section.
    pub(crate) fn of(message: &[u8], header: &[u8]) -> Self {
        let eight_bit = !message.is_ascii();
        Self {
            octets: message.len() as u64,
            eight_bit,
            eight_bit_header: eight_bit && !header.is_ascii(),
        }
    }
}

/// Whether a message needs SMTPUTF8 for all its recipients (RFC 6531 section 3.2): it has a
/// non-ASCII sender, or a non-ASCII header and was received with SMTPUTF8. Raw octets in the header
/// of other mail are an error of that mail, not a request for SMTPUTF8.
pub(super) fn needs_smtputf8(envelope: &Envelope, content: OutgoingContent) -> bool {
    envelope.from.0.as_ref().is_some_and(Address::needs_utf8)
        || (envelope.smtputf8 && content.eight_bit_header)
}

/// The failure of a message that this server cannot accept unchanged. The relay returns such a
/// message and does not convert it.
pub(crate) fn refusal(
    caps: &Capabilities,
    needs_smtputf8: bool,
    content: OutgoingContent,
) -> Option<Reply> {
    if let Some(limit) = caps.size.filter(|s| *s > 0)
        && content.octets > limit
    {
        return Some(replies::larger_than_next_hop_takes(content.octets, limit));
    }
    if needs_smtputf8 && !caps.smtputf8 {
        return Some(replies::NO_SMTPUTF8.into());
    }
    // An SMTPUTF8 server also offers 8BITMIME (RFC 6531 section 3.1 item 7).
    if content.eight_bit && !caps.eight_bit_mime && !caps.smtputf8 {
        return Some(replies::NO_8BITMIME.into());
    }
    None
}

/// Whether a value is valid as an ESMTP parameter (RFC 5321 section 4.1.2, `esmtp-value`, with
/// UTF-8 for RFC 6531).
fn is_value(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| !c.is_control() && !c.is_whitespace() && c != '=')
}

/// `MAIL FROM`, with its CRLF.
pub(crate) fn mail(
    out: &mut Vec<u8>,
    caps: &Capabilities,
    envelope: &Envelope,
    needs_smtputf8: bool,
    content: OutgoingContent,
) {
    out.extend_from_slice(b"MAIL FROM:<");
    out.extend_from_slice(envelope.from.as_str().as_bytes());
    out.push(b'>');
    if caps.size.is_some() {
        out.extend_from_slice(format!(" SIZE={}", content.octets).as_bytes());
    }
    if caps.eight_bit_mime && (content.eight_bit || envelope.body == BodyType::EightBit) {
        out.extend_from_slice(b" BODY=8BITMIME");
    }
    if needs_smtputf8 {
        out.extend_from_slice(b" SMTPUTF8");
    }
    if caps.dsn {
        match envelope.ret {
            Some(DsnRet::Full) => out.extend_from_slice(b" RET=FULL"),
            Some(DsnRet::Headers) => out.extend_from_slice(b" RET=HDRS"),
            None => {}
        }
        if let Some(envid) = envelope.envid.as_deref().filter(|v| is_value(v)) {
            out.extend_from_slice(b" ENVID=");
            out.extend_from_slice(envid.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// `RCPT TO`, with its CRLF.
pub(crate) fn rcpt(out: &mut Vec<u8>, caps: &Capabilities, recipient: &Recipient) {
    out.extend_from_slice(b"RCPT TO:<");
    out.extend_from_slice(recipient.address.as_str().as_bytes());
    out.push(b'>');
    if caps.dsn {
        if let Some(notify) = recipient.notify {
            out.extend_from_slice(b" NOTIFY=");
            out.extend_from_slice(notify_value(notify).as_bytes());
        }
        if let Some(orcpt) = recipient.orcpt.as_deref().filter(|v| is_value(v)) {
            out.extend_from_slice(b" ORCPT=");
            out.extend_from_slice(orcpt.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// RFC 3461 section 4.1.
fn notify_value(notify: Notify) -> String {
    if notify == Notify::NEVER {
        return "NEVER".to_owned();
    }
    let words = [
        (notify.success, "SUCCESS"),
        (notify.failure, "FAILURE"),
        (notify.delay, "DELAY"),
    ];
    words
        .iter()
        .filter(|(wanted, _)| *wanted)
        .map(|(_, word)| *word)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ReversePath;

    fn address(text: &str) -> Address {
        Address::parse(text).expect("test address")
    }

    fn envelope(from: &str) -> Envelope {
        Envelope {
            from: ReversePath((!from.is_empty()).then(|| address(from))),
            recipients: vec![Recipient::new(address("b@example.com"))],
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        }
    }

    fn all() -> Capabilities {
        Capabilities {
            eight_bit_mime: true,
            smtputf8: true,
            dsn: true,
            size: Some(0),
            ..Capabilities::default()
        }
    }

    fn mail_line(
        caps: &Capabilities,
        envelope: &Envelope,
        utf8: bool,
        content: OutgoingContent,
    ) -> String {
        let mut out = Vec::new();
        mail(&mut out, caps, envelope, utf8, content);
        String::from_utf8(out).expect("utf-8")
    }

    #[test]
    fn parameters_go_only_where_they_are_offered() {
        let mut e = envelope("a@example.org");
        e.ret = Some(DsnRet::Headers);
        e.envid = Some("id+2B1".into());
        e.body = BodyType::EightBit;
        let content = OutgoingContent {
            octets: 77,
            ..OutgoingContent::default()
        };
        assert_eq!(
            mail_line(&all(), &e, true, content),
            "MAIL FROM:<a@example.org> SIZE=77 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+2B1\r\n"
        );
        assert_eq!(
            mail_line(&Capabilities::default(), &e, false, content),
            "MAIL FROM:<a@example.org>\r\n"
        );
        assert_eq!(
            mail_line(&Capabilities::default(), &envelope(""), false, content),
            "MAIL FROM:<>\r\n"
        );
        let mut r = Recipient::new(address("b@example.com"));
        r.notify = Some(Notify {
            success: true,
            failure: false,
            delay: true,
        });
        r.orcpt = Some("rfc822;b@example.com".into());
        let mut out = Vec::new();
        rcpt(&mut out, &all(), &r);
        r.notify = Some(Notify::NEVER);
        r.orcpt = Some("rfc822;x\r\nDATA".into());
        rcpt(&mut out, &all(), &r);
        rcpt(&mut out, &Capabilities::default(), &r);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "RCPT TO:<b@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@example.com\r\n\
             RCPT TO:<b@example.com> NOTIFY=NEVER\r\nRCPT TO:<b@example.com>\r\n"
        );
    }

    #[test]
    fn what_the_next_hop_cannot_take_is_refused_not_mangled() {
        let small = Capabilities {
            size: Some(10),
            ..Capabilities::default()
        };
        let code = |caps: &Capabilities, utf8, content| {
            refusal(caps, utf8, content).map(|r| r.one_line()[..9].to_owned())
        };
        let ascii = OutgoingContent {
            octets: 11,
            ..OutgoingContent::default()
        };
        let eight = OutgoingContent {
            octets: 5,
            eight_bit: true,
            eight_bit_header: false,
        };
        assert_eq!(code(&small, false, ascii).as_deref(), Some("552 5.3.4"));
        assert_eq!(
            code(
                &Capabilities {
                    size: Some(0),
                    ..small.clone()
                },
                false,
                ascii
            ),
            None
        );
        assert_eq!(code(&small, false, eight).as_deref(), Some("554 5.6.3"));
        assert_eq!(code(&small, true, eight).as_deref(), Some("550 5.6.7"));
        assert_eq!(code(&all(), true, eight), None);
    }

    #[test]
    fn smtputf8_is_asked_for_only_where_needed() {
        let ascii = OutgoingContent::of(b"Subject: x\r\n\r\ny\r\n", b"Subject: x\r\n");
        let body = OutgoingContent::of(
            "Subject: x\r\n\r\nü\r\n".as_bytes(),
            "Subject: x\r\n".as_bytes(),
        );
        let header = OutgoingContent::of(
            "Subject: ü\r\n\r\ny\r\n".as_bytes(),
            "Subject: ü\r\n".as_bytes(),
        );
        assert_eq!(
            (
                ascii.eight_bit,
                body.eight_bit,
                body.eight_bit_header,
                header.eight_bit_header
            ),
            (false, true, false, true)
        );
        let mut e = envelope("a@example.org");
        assert!(!needs_smtputf8(&e, header));
        e.smtputf8 = true;
        assert!(
            !needs_smtputf8(&e, ascii) && !needs_smtputf8(&e, body) && needs_smtputf8(&e, header)
        );
        assert!(needs_smtputf8(&envelope("ü@example.org"), ascii));
    }
}
