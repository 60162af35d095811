//! The Received field that the relay adds (RFC 5321 section 4.4).

use crate::types::{Address, Envelope, MessageId, Time};
use std::net::IpAddr;

/// What the Received field says of the session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace<'a> {
    /// What the client called itself in HELO or EHLO: any text.
    pub helo: &'a str,
    /// The address that connected.
    pub address: IpAddr,
    /// The protocol after `with` (RFC 3848).
    pub protocol: &'static str,
    /// Submission rules (RFC 6409) apply.
    pub submission: bool,
}

/// RFC 5321 section 4.4: Received with from, by, with, id, for and date. `for` only with a single
/// recipient, so that no recipient learns of another.
pub(crate) fn received(
    hostname: &str,
    trace: &Trace<'_>,
    envelope: &Envelope,
    id: MessageId,
    now: Time,
) -> Vec<u8> {
    let literal = match trace.address {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    };
    let helo = plain_host(trace.helo);
    let mut text = format!(
        "Received: from {helo} ({literal})\r\n\tby {hostname} with {} id {id}",
        trace.protocol
    );
    if let [only] = envelope.recipients.as_slice()
        && is_plain(&only.address)
    {
        text.push_str(&format!("\r\n\tfor <{}>", only.address));
    }
    text.push_str(&format!(";\r\n\t{}\r\n", now.rfc5322()));
    text.into_bytes()
}

/// What the client called itself, as one word that cannot be taken for anything else in the field:
/// letters, digits, `-`, `_` and dots, or an address literal. Everything else becomes `?`, as
/// Postfix has it.
fn plain_host(said: &str) -> String {
    // An IPv6 address without brackets has colons, too, but only a literal may have them.
    let literal = said.strip_prefix('[').and_then(|s| s.strip_suffix(']'));
    if let Some(inner) = literal
        && inner
            .chars()
            .all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.') || "IPv6".contains(c))
    {
        return said.to_owned();
    }
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
            c
        } else {
            '?'
        }
    };
    let mut host: String = said.chars().map(safe).collect();
    if host.is_empty() {
        return "unknown".to_owned();
    }
    if CLAUSES.iter().any(|word| host.eq_ignore_ascii_case(word)) {
        host.push('?');
    }
    host
}

/// The words that begin the clauses of Received.
const CLAUSES: [&str; 7] = ["from", "by", "via", "with", "id", "for", "unknown"];

/// Whether the address stands in `for` without quotes: quoted text could look like one of our
/// clauses to a careless reader.
fn is_plain(address: &Address) -> bool {
    !address.local().contains(|c: char| {
        c.is_ascii() && !c.is_ascii_alphanumeric() && !"!#$%&'*+-/=?^_`{|}~.".contains(c)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header::Fields;
    use crate::types::{Recipient, ReversePath};
    use proptest::prelude::*;

    fn envelope(recipients: &[&str]) -> Envelope {
        Envelope {
            from: ReversePath::NULL,
            recipients: recipients
                .iter()
                .map(|r| Recipient::new(Address::parse(r).unwrap()))
                .collect(),
            body: Default::default(),
            smtputf8: false,
            ret: None,
            envid: None,
        }
    }

    #[test]
    fn received_names_a_single_recipient_only() {
        let trace = Trace {
            helo: "mail.acme.example",
            address: "192.0.2.1".parse().unwrap(),
            protocol: "ESMTPSA",
            submission: false,
        };
        let id = MessageId(7);
        let one = String::from_utf8(received(
            "relay.test",
            &trace,
            &envelope(&["a@b.example"]),
            id,
            Time(0),
        ))
        .unwrap();
        assert_eq!(
            one,
            "Received: from mail.acme.example ([192.0.2.1])\r\n\tby relay.test with ESMTPSA id 0000000000007\r\n\t\
             for <a@b.example>;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n"
        );
        let two = received(
            "relay.test",
            &trace,
            &envelope(&["a@b.example", "c@d.example"]),
            id,
            Time(0),
        );
        assert!(!String::from_utf8(two).unwrap().contains("for <"));
    }

    /// The parts of a Received field by the letter of RFC 5322: comments and quoted strings are
    /// passed over, a `;` outside of them begins the date. `None` if it is not one whole field.
    fn parts(field: &[u8]) -> Option<(Vec<String>, String)> {
        let mut fields = Fields::of_message(field);
        let (only, end) = (
            fields.next()?,
            fields.next().is_none() && fields.flaw().is_none() && fields.end() == field.len(),
        );
        let text = only.text(10_000);
        let (mut words, mut word, mut comment, mut quoted, mut date) =
            (Vec::new(), String::new(), String::new(), false, None);
        let mut depth = 0;
        for c in text.chars() {
            match (c, depth) {
                _ if date.is_some() => date.get_or_insert_with(String::new).push(c),
                ('\\', _) => return None,
                ('"', 0) => quoted = !quoted,
                _ if quoted => word.push(c),
                ('(', _) => depth += 1,
                (')', 1) => {
                    depth = 0;
                    words.push(format!("({})", std::mem::take(&mut comment)));
                }
                (')', _) => return None,
                (_, 1) => comment.push(c),
                (';', _) => date = Some(String::new()),
                (c, _) if !c.is_whitespace() => word.push(c),
                _ => {}
            }
            if (c.is_whitespace() || date.is_some()) && !word.is_empty() && !quoted {
                words.push(std::mem::take(&mut word));
            }
        }
        (end && only.is("received") && depth == 0 && !quoted)
            .then_some((words, date?.trim().to_owned()))
    }

    fn written(helo: &str, to: &[&str]) -> Vec<u8> {
        let trace = Trace {
            helo,
            address: "192.0.2.1".parse().unwrap(),
            protocol: "ESMTP",
            submission: false,
        };
        received("relay.test", &trace, &envelope(to), MessageId(7), Time(0))
    }

    /// The same by a parser that others use: who wrote the field, for whom, and when.
    fn as_others_read_it(field: &[u8]) -> Option<(String, Option<String>, i64)> {
        let parsed = mail_parser::MessageParser::default().parse_headers(field)?;
        let received = parsed.received()?;
        let by = match received.by()? {
            mail_parser::Host::Name(name) => name.to_string(),
            mail_parser::Host::IpAddr(address) => address.to_string(),
        };
        Some((
            by,
            received.for_().map(str::to_owned),
            received.date()?.to_timestamp(),
        ))
    }

    const DATE: &str = "Thu, 01 Jan 1970 00:00:00 +0000";

    #[test]
    fn whatever_a_client_calls_itself_leaves_our_received_whole() {
        for (helo, wanted) in [
            ("mail.acme.example", "mail.acme.example"),
            ("[192.0.2.9]", "[192.0.2.9]"),
            ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
            ("192.0.2.9", "192.0.2.9"),
            ("2001:db8::1", "2001?db8??1"),
            ("my_pc", "my_pc"),
            ("My PC", "My?PC"),
            ("MÜLLER-PC", "M?LLER-PC"),
            ("M\u{fffd}LLER-PC", "M?LLER-PC"),
            ("буx", "??x"),
            ("", "unknown"),
            ("a(", "a?"),
            ("a\"b", "a?b"),
            ("a\\", "a?"),
            ("a;b,c<d>@e:f", "a?b?c?d??e?f"),
            ("[a(b]", "?a?b?"),
            ("x\r\nBcc: y", "x??Bcc??y"),
            ("(Authenticated sender: eve)", "?Authenticated?sender??eve?"),
            ("by", "by?"),
            ("FOR", "FOR?"),
            ("unknown", "unknown?"),
        ] {
            let field = written(helo, &["b@other.example"]);
            let words = [
                "from",
                wanted,
                "([192.0.2.1])",
                "by",
                "relay.test",
                "with",
                "ESMTP",
                "id",
                "0000000000007",
                "for",
                "<b@other.example>",
            ];
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            assert_eq!(parts(&field), Some((words, DATE.to_owned())), "{helo}");
            let others = as_others_read_it(&field);
            assert_eq!(
                others,
                Some(("relay.test".into(), Some("b@other.example".into()), 0)),
                "{helo}"
            );
        }
    }

    #[test]
    fn only_an_address_without_quotes_stands_in_received() {
        for (to, shown) in [
            ("b+x=y@other.example", true),
            ("jürgen@bücher.example", true),
            ("\"(Authenticated sender: eve)\"@other.example", false),
            ("\"b; c\"@other.example", false),
            ("\"b\"@other.example", false),
        ] {
            let field = String::from_utf8(written("pc", &[to])).unwrap();
            assert_eq!(field.contains(&format!("for <{to}>")), shown, "{field}");
            assert!(shown || !field.contains("for"), "{field}");
        }
    }

    proptest! {
        #[test]
        fn received_has_the_parts_that_were_meant(
            helo in "[ -~\u{80}-\u{ff}\r\n\t]{0,40}|[\\[(\"\\\\;<:a.]{0,12}",
            to in "[a.]{1,5}|\"[ -!#-\\[\\]-~]{0,20}\"",
        ) {
            let field = written(&helo, &[&format!("{to}@other.example")]);
            let (words, date) = parts(&field).expect("one field");
            prop_assert_eq!(as_others_read_it(&field).map(|(by, _, date)| (by, date)), Some(("relay.test".to_owned(), 0)));
            prop_assert_eq!(date, DATE);
            prop_assert_eq!(&words[2..9], ["([192.0.2.1])", "by", "relay.test", "with", "ESMTP", "id", "0000000000007"]);
            prop_assert!(words[0] == "from" && (words.len() == 9 || words[9] == "for" && words.len() == 11), "{:?}", words);
        }
    }
}
