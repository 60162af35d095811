//! SMTP commands (RFC 5321 section 4.1 and the extensions that the server offers).

pub(crate) mod address;
pub(crate) mod params;

pub(crate) use address::is_rerouting;

use crate::smtp::server::{Attribute, MailCommand};
use crate::types::Secret;
use crate::types::replies::{self, FixedReply};
use crate::types::{Recipient, ReversePath};
use address::Path;
use std::borrow::Cow;

/// A command, checked as far as its line alone permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// `EHLO name`: any text of the client, at most 255 octets, possibly empty; without control
    /// characters.
    Ehlo(String),
    /// `HELO name`, the same.
    Helo(String),
    Mail(MailCommand),
    Rcpt(Recipient),
    /// `RCPT TO:<postmaster>` without a domain: the postmaster of the server itself (RFC 5321
    /// section 4.1.1.3).
    Postmaster(params::RcptParams),
    Data,
    /// `BDAT size [LAST]` (RFC 3030 section 2).
    Bdat {
        /// Octets that follow the line.
        size: u64,
        /// This chunk ends the message.
        last: bool,
    },
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    StartTls,
    /// `AUTH mechanism [initial response]` (RFC 4954).
    Auth {
        /// Mechanism in upper case.
        mechanism: String,
        /// Initial response, still in base64.
        initial: Option<Secret>,
    },
    Xclient(Vec<Attribute>),
    Xforward(Vec<Attribute>),
}

/// Attributes of XCLIENT, as offered in EHLO.
pub(super) const XCLIENT_ATTRIBUTES: &str = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";
/// Attributes of XFORWARD, as offered in EHLO.
pub(super) const XFORWARD_ATTRIBUTES: &str = "NAME ADDR PORT PROTO HELO IDENT SOURCE";

/// Longest command line in octets, CRLF included, for a line that begins with `start`: 512 (RFC
/// 5321 section 4.5.3.1.4) and what each extension adds to its own command.
pub(super) fn line_limit(start: &[u8]) -> usize {
    const BASE: usize = 512;
    // " SIZE=" and 20 digits (RFC 1870 section 3); " BODY=8BITMIME" is within 17 (RFC 6152 section
    // 2); " SMTPUTF8" is within 10 (RFC 6531 section 3.4); " AUTH=" 500 (RFC 4954 section 3); "
    // RET=FULL" 9, " ENVID=" and 100 (RFC 3461 section 4).
    const MAIL: usize = BASE + 26 + 17 + 10 + 500 + 9 + 107;
    // " SMTPUTF8" 10 (RFC 6531 section 3.4); " NOTIFY=SUCCESS,FAILURE,DELAY" 29, " ORCPT=" and 500
    // (RFC 3461 section 4).
    const RCPT: usize = BASE + 10 + 29 + 507;
    let is = |verb: &[u8]| {
        start
            .get(..verb.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(verb))
    };
    if is(b"AUTH ") {
        AUTH_LINE_OCTETS
    } else if is(b"MAIL ") {
        MAIL
    } else if is(b"RCPT ") {
        RCPT
    } else if is(b"XCLIENT ") || is(b"XFORWARD ") {
        // xtext may need three octets for one; DNS bounds names and addresses.
        2048
    } else {
        BASE
    }
}

/// Longest line of AUTH and of its exchange, CRLF included (RFC 4954 section 4).
pub(super) const AUTH_LINE_OCTETS: usize = 12_288;

/// Whether a line is the first line of another protocol, so that the session must end
/// (cross-protocol requests).
pub(super) fn is_foreign_protocol(line: &[u8]) -> bool {
    const VERBS: [&[u8]; 9] = [
        b"GET ",
        b"POST ",
        b"HEAD ",
        b"PUT ",
        b"DELETE ",
        b"OPTIONS ",
        b"CONNECT ",
        b"PATCH ",
        b"PRI ",
    ];
    VERBS.iter().any(|verb| line.starts_with(verb))
}

/// Whether a line is BDAT, valid or not. If it is invalid, the number of octets that follow and are
/// not commands is unknown.
pub(super) fn is_bdat(line: &[u8]) -> bool {
    line.get(..4)
        .is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

/// Parses one command line, without its CRLF.
pub(crate) fn parse(line: &[u8]) -> Result<Command, FixedReply> {
    let line = text(line)?;
    // White space at the end is allowed (RFC 5321 section 4.1.1), and more than one space after the
    // verb.
    let line = line.trim_end_matches(' ');
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim_start_matches(' ');
    let bare = |command| {
        if rest.is_empty() {
            Ok(command)
        } else {
            Err(replies::NO_ARGUMENT)
        }
    };
    let with = |command| {
        if rest.is_empty() {
            Err(replies::WANT_ARGUMENT)
        } else {
            Ok(command)
        }
    };
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => Ok(Command::Ehlo(host(rest))),
        "HELO" => Ok(Command::Helo(host(rest))),
        "MAIL" => mail(rest),
        "RCPT" => rcpt(rest),
        "DATA" => bare(Command::Data),
        "BDAT" => bdat(rest),
        "RSET" => bare(Command::Rset),
        "NOOP" => Ok(Command::Noop),
        "QUIT" => bare(Command::Quit),
        "VRFY" => with(Command::Vrfy),
        "EXPN" => with(Command::Expn),
        "HELP" => Ok(Command::Help),
        "STARTTLS" => bare(Command::StartTls),
        "AUTH" => auth(rest),
        "XCLIENT" => attributes(rest, XCLIENT_ATTRIBUTES).map(Command::Xclient),
        "XFORWARD" => attributes(rest, XFORWARD_ATTRIBUTES).map(Command::Xforward),
        _ => Err(replies::UNKNOWN_COMMAND),
    }
}

/// The line as text. Tabs between words become spaces. A tab within a path is an error: without it
/// the address would be another one.
fn text(line: &[u8]) -> Result<Cow<'_, str>, FixedReply> {
    let in_path = || {
        let (open, close) = (
            line.iter().position(|b| *b == b'<'),
            line.iter().rposition(|b| *b == b'>'),
        );
        open.is_some_and(|open| {
            line.get(open..close.unwrap_or(line.len()))
                .is_some_and(|path| path.contains(&b'\t'))
        })
    };
    let tabs = line.contains(&b'\t');
    if line.iter().any(|b| b.is_ascii_control() && *b != b'\t') || tabs && in_path() {
        return Err(replies::BAD_OCTETS);
    }
    let text = match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        // A host name is only displayed, so it may be Latin-1 or anything else (`EHLO MÜLLER-PC`).
        Err(_) if is_hello(line) => String::from_utf8_lossy(line),
        Err(_) => return Err(replies::BAD_UTF8),
    };
    Ok(if tabs {
        Cow::Owned(text.replace('\t', " "))
    } else {
        text
    })
}

fn is_hello(line: &[u8]) -> bool {
    [b"EHLO", b"HELO"].iter().any(|verb| {
        line.get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case(*verb))
    }) && matches!(line.get(4), Some(b' ' | b'\t'))
}

/// The name in EHLO. Real clients send invalid names, several words, non-ASCII letters, or nothing.
/// Only the trace uses the name, and writes it safely, so any text is accepted (RFC 5321 section
/// 4.1.4: mail is not refused for this).
fn host(rest: &str) -> String {
    rest.get(..rest.floor_char_boundary(255))
        .unwrap_or_default()
        .to_owned()
}

/// The text after `FROM:` or `TO:`. A space after the colon is wrong but common, so it is accepted.
fn after_keyword<'a>(rest: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, tail) = rest.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword)
        .then(|| tail.trim_start_matches(' '))
}

/// The path and the parameter text after it, which must begin with a space.
fn path(text: &str, bad: FixedReply) -> Result<(Path, &str), FixedReply> {
    let (path, rest) = address::take_path(text).ok_or(bad)?;
    if rest.is_empty() || rest.starts_with(' ') {
        Ok((path, rest))
    } else {
        Err(bad)
    }
}

fn mail(rest: &str) -> Result<Command, FixedReply> {
    let text = after_keyword(rest, "FROM:").ok_or(replies::MAIL_SYNTAX)?;
    let (path, text) = path(text, replies::BAD_SENDER)?;
    let from = match path {
        Path::Null => ReversePath::NULL,
        Path::Mailbox(address) => ReversePath(Some(address)),
        Path::Postmaster => return Err(replies::BAD_SENDER),
    };
    let params = params::mail(text)?;
    // Only with SMTPUTF8 may an address contain more than ASCII (RFC 6531 section 3.5: 553 or 550
    // with 5.6.7).
    if !params.smtputf8
        && from
            .0
            .as_ref()
            .is_some_and(crate::types::Address::needs_utf8)
    {
        return Err(replies::NEEDS_SMTPUTF8);
    }
    Ok(Command::Mail(MailCommand {
        from,
        size: params.size,
        body: params.body.unwrap_or_default(),
        smtputf8: params.smtputf8,
        ret: params.ret,
        envid: params.envid,
    }))
}

fn rcpt(rest: &str) -> Result<Command, FixedReply> {
    let text = after_keyword(rest, "TO:").ok_or(replies::RCPT_SYNTAX)?;
    let (path, text) = path(text, replies::BAD_RECIPIENT)?;
    let address = match path {
        Path::Null => return Err(replies::BAD_RECIPIENT),
        Path::Mailbox(address) => address,
        Path::Postmaster => return params::rcpt(text).map(Command::Postmaster),
    };
    let params = params::rcpt(text)?;
    Ok(Command::Rcpt(Recipient {
        address,
        notify: params.notify,
        orcpt: params.orcpt,
    }))
}

fn bdat(rest: &str) -> Result<Command, FixedReply> {
    let (size, last) = match rest.split_once(' ') {
        Some((size, last)) if last.eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return Err(replies::BDAT_SYNTAX),
        None => (rest, false),
    };
    let digits = !size.is_empty() && size.len() <= 20 && size.bytes().all(|b| b.is_ascii_digit());
    let size = size
        .parse()
        .ok()
        .filter(|_| digits)
        .ok_or(replies::BDAT_SYNTAX)?;
    Ok(Command::Bdat { size, last })
}

fn auth(rest: &str) -> Result<Command, FixedReply> {
    let (mechanism, initial) = match rest.split_once(' ') {
        Some((mechanism, initial)) => (
            mechanism,
            Some(Secret(initial.trim_start_matches(' ').to_owned())),
        ),
        None => (rest, None),
    };
    if mechanism.is_empty() {
        return Err(replies::WANT_ARGUMENT);
    }
    Ok(Command::Auth {
        mechanism: mechanism.to_ascii_uppercase(),
        initial,
    })
}

/// `NAME=value ...` of XCLIENT and XFORWARD; values are xtext.
fn attributes(rest: &str, known: &str) -> Result<Vec<Attribute>, FixedReply> {
    let mut out: Vec<Attribute> = Vec::new();
    for word in rest.split(' ').filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').ok_or(replies::BAD_ATTRIBUTE)?;
        let name = name.to_ascii_uppercase();
        if !known.split(' ').any(|k| k == name) || out.iter().any(|(n, _)| *n == name) {
            return Err(replies::BAD_ATTRIBUTE);
        }
        let value = match value.to_ascii_uppercase().as_str() {
            "[UNAVAILABLE]" | "[TEMPUNAVAIL]" => None,
            // The login must be decoded exactly; a host name may be in any character set.
            _ if name == "LOGIN" => Some(params::xtext_decode(value)),
            _ => Some(
                params::xtext_octets(value)
                    .map(|octets| String::from_utf8_lossy(&octets).into_owned()),
            ),
        };
        let value = value
            .map(|v| {
                v.filter(|v| is_attribute_value(v))
                    .ok_or(replies::BAD_ATTRIBUTE)
            })
            .transpose()?;
        out.push((name, value));
    }
    if out.is_empty() {
        Err(replies::WANT_ARGUMENT)
    } else {
        Ok(out)
    }
}

/// Values are written to logs and Received: no controls, 255 octets at most.
fn is_attribute_value(value: &str) -> bool {
    value.len() <= 255 && !value.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn line_limits_follow_the_command() {
        for (start, want) in [
            ("NOOP", 512),
            ("mail FROM", 1181),
            ("RCPT TO", 1058),
            ("AUTH PLAIN", 12_288),
            ("AUTHX", 512),
            ("", 512),
        ] {
            assert_eq!(line_limit(start.as_bytes()), want, "{start}");
        }
    }

    #[test]
    fn chunk_sizes() {
        for (text, want) in [
            ("BDAT 0", Ok((0, false))),
            ("bdat 10 last", Ok((10, true))),
            ("BDAT 18446744073709551615", Ok((u64::MAX, false))),
            ("BDAT 18446744073709551616", Err(())),
            ("BDAT", Err(())),
            ("BDAT +1", Err(())),
            ("BDAT -1", Err(())),
            ("BDAT 1 LAST LAST", Err(())),
            ("BDAT 1  LAST", Err(())),
            ("BDAT LAST", Err(())),
        ] {
            let got = match parse(text.as_bytes()) {
                Ok(Command::Bdat { size, last }) => Ok((size, last)),
                _ => Err(()),
            };
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn whatever_a_client_calls_itself_is_taken() {
        let long = format!("EHLO {}\u{fc}", "x".repeat(254));
        for (line, want) in [
            (&b"EHLO client.example"[..], "client.example"),
            (b"EHLO 192.0.2.1", "192.0.2.1"),
            (b"helo [192.0.2.1] ", "[192.0.2.1]"),
            (b"EHLO my_pc", "my_pc"),
            (b"EHLO My  PC", "My  PC"),
            (b"EHLO\tpc\t", "pc"),
            (b"EHLO  pc", "pc"),
            (b"EHLO", ""),
            (b"HELO ", ""),
            (b"EHLO a(b\"c", "a(b\"c"),
            ("EHLO MÜLLER-PC".as_bytes(), "MÜLLER-PC"),
            (b"EHLO M\xdcLLER-PC", "M\u{fffd}LLER-PC"),
            ("EHLO БУХГАЛТЕРИЯ".as_bytes(), "БУХГАЛТЕРИЯ"),
            (long.as_bytes(), &"x".repeat(254)),
        ] {
            match parse(line) {
                Ok(Command::Ehlo(name) | Command::Helo(name)) => assert_eq!(name, want),
                other => panic!("{other:?}"),
            }
        }
        for bad in [&b"EHLO a\x00b"[..], b"EHLO a\rb", b"EHLO a\x1bb"] {
            assert_eq!(parse(bad), Err(replies::BAD_OCTETS));
        }
        assert_eq!(parse(b"EHLOx\xff"), Err(replies::BAD_UTF8));
    }

    #[test]
    fn blanks_and_tabs_part_words_but_are_no_part_of_an_address() {
        for line in [
            "MAIL  FROM:<a@b.example>",
            "MAIL\tFROM:\t<a@b.example>\tSIZE=5\t",
            "MAIL FROM: < a@b.example >",
            "MAIL FROM:< >",
        ] {
            assert!(parse(line.as_bytes()).is_ok(), "{line}");
        }
        for line in [
            "MAIL FROM:<a\tb@b.example>",
            "MAIL FROM:<\"a\tb\"@b.example>",
            "MAIL FROM:<a@b.example\t",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(replies::BAD_OCTETS), "{line}");
        }
        assert!(parse(b"MAIL FROM:<a b@b.example>").is_err());
    }

    #[test]
    fn attributes_are_decoded() {
        let got = parse(b"XCLIENT name=[unavailable] LOGIN=a+40b");
        assert_eq!(
            got,
            Ok(Command::Xclient(vec![
                ("NAME".into(), None),
                ("LOGIN".into(), Some("a@b".into()))
            ]))
        );
        let got = parse(b"XFORWARD HELO=M+DCLLER-PC");
        assert_eq!(
            got,
            Ok(Command::Xforward(vec![(
                "HELO".into(),
                Some("M\u{fffd}LLER-PC".into())
            )]))
        );
        for bad in [
            "XCLIENT LOGIN=M+DCLLER",
            "XCLIENT HELO=a+0Ab",
            "XCLIENT HELO=a+",
            "XCLIENT LOGIN=a+00",
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(replies::BAD_ATTRIBUTE), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_borne(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }

        #[test]
        fn any_path_is_borne(text in "(MAIL FROM:|RCPT TO:)<?[@a.\"\\\\:,\\[\\]<> ü1]{0,30}>? ?[A-Z=+;]{0,10}") {
            let _ = parse(text.as_bytes());
        }
    }
}
