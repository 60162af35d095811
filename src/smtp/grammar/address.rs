//! Mailboxes and paths in commands (RFC 5321 sections 4.1.2 and 4.1.3, RFC 6531 section 3.3).

use crate::types::{Address, Domain};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest path, angle brackets included (RFC 5321 section 4.5.3.1.3).
const PATH_OCTETS: usize = 256;

/// The path of MAIL or RCPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path {
    /// `<>` (RFC 5321 section 4.5.5).
    Null,
    /// `<postmaster>` without a domain, in any case (RFC 5321 section 4.1.1.3).
    Postmaster,
    /// A mailbox. A source route before it is parsed and dropped (RFC 5321 section 4.1.1.3,
    /// appendix C).
    Mailbox(Address),
}

/// Parses a path at the start of `text`; returns it and the text after the closing bracket. `None`:
/// no path.
pub(super) fn take_path(text: &str) -> Option<(Path, &str)> {
    let text = text.strip_prefix('<')?;
    let end = closing_bracket(text)?;
    // Spaces inside the brackets are wrong but harmless.
    let (inner, rest) = (text.get(..end)?.trim_matches(' '), text.get(end + 1..)?);
    if inner.is_empty() {
        return Some((Path::Null, rest));
    }
    if inner.eq_ignore_ascii_case("postmaster") {
        return Some((Path::Postmaster, rest));
    }
    let inner = drop_source_route(inner)?;
    Some((Path::Mailbox(mailbox(inner)?), rest))
}

/// Position of the `>` outside of quoted strings.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (i, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(i),
            _ => {}
        }
    }
    None
}

/// `@a,@b:` before a mailbox: parsed and ignored, so that mail goes directly to the mailbox or not
/// at all.
fn drop_source_route(text: &str) -> Option<&str> {
    if !text.starts_with('@') {
        return Some(text);
    }
    // Address literals may contain a colon: `@[IPv6:::1]:user@host`.
    let mut in_literal = false;
    let colon = text.bytes().position(|b| {
        match b {
            b'[' => in_literal = true,
            b']' => in_literal = false,
            _ => {}
        }
        b == b':' && !in_literal
    })?;
    let (route, rest) = (text.get(..colon)?, text.get(colon + 1..)?);
    route
        .split(',')
        .all(|hop| hop.strip_prefix('@').is_some_and(is_domain))
        .then_some(rest)
}

/// A mailbox without brackets, with or without an obsolete source route, as in header fields (RFC
/// 5322 section 4.4).
pub(crate) fn routed_mailbox(text: &str) -> Option<Address> {
    mailbox(drop_source_route(text)?)
}

/// A mailbox without brackets: local part, `@`, domain or address literal. Octets above 127 are
/// accepted here (RFC 6531); the SMTPUTF8 parameter decides whether they are allowed. A dot at the
/// end of the domain is dropped, as other servers do.
pub(crate) fn mailbox(text: &str) -> Option<Address> {
    if text.len() + 2 > PATH_OCTETS {
        return None;
    }
    let text = text
        .strip_suffix('.')
        .filter(|text| !text.ends_with(']'))
        .unwrap_or(text);
    let at = text.rfind('@')?;
    let (local, domain) = (text.get(..at)?, text.get(at + 1..)?);
    (is_local_part(local) && is_domain(domain))
        .then(|| Address::parse(text))
        .flatten()
}

/// `Dot-string / Quoted-string`. The 64 octets of RFC 5321 section 4.5.3.1.1 are what every server
/// must accept, not the most that a client may send: SRS and VERP create longer ones. The limit of
/// the path bounds them.
fn is_local_part(local: &str) -> bool {
    match local.strip_prefix('"') {
        Some(quoted) => is_quoted_tail(quoted),
        None => local
            .split('.')
            .all(|atom| !atom.is_empty() && atom.chars().all(is_atext)),
    }
}

fn is_atext(c: char) -> bool {
    match c {
        // C1 controls are not text (RFC 6531 section 3.3 with RFC 6532 section 3.1).
        _ if !c.is_ascii() => !c.is_control(),
        _ => c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c),
    }
}

/// The part of a quoted string after its opening quote, with the closing quote at the very end.
fn is_quoted_tail(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return chars.as_str().is_empty(),
            '\\' if !chars.next().is_some_and(|c| (' '..='~').contains(&c)) => return false,
            _ if c.is_control() => return false,
            _ => {}
        }
    }
    false
}

/// A domain name (A-labels or U-labels) or an address literal (RFC 5321 section 4.1.3).
fn is_domain(text: &str) -> bool {
    match text.strip_prefix('[') {
        Some(literal) => literal.strip_suffix(']').is_some_and(is_literal),
        // A trailing dot is not part of the SMTP grammar.
        None => !text.ends_with('.') && Domain::parse(text).is_some(),
    }
}

/// IPv4 or `IPv6:` literals. The general form needs a registered tag, and `IPv6` is the only one.
fn is_literal(text: &str) -> bool {
    match text.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => {
            address.parse::<Ipv6Addr>().is_ok()
        }
        _ => text.parse::<Ipv4Addr>().is_ok(),
    }
}

/// Whether a local part asks its own host to send the mail elsewhere: the percent hack
/// `user%other`, a bang path `other!user`, an `@` in quotes. Only the domain of an address may
/// interpret its local part (RFC 5321 section 2.3.11). So a relay passes such an address on
/// unchanged to a foreign domain. For a domain of its own it refuses the address, since a server
/// behind it might obey the route.
pub(crate) fn is_rerouting(local: &str) -> bool {
    local.contains(['%', '!', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Option<String> {
        take_path(text).map(|(path, rest)| match path {
            Path::Null => format!("null|{rest}"),
            Path::Postmaster => format!("postmaster|{rest}"),
            Path::Mailbox(a) => format!("{a}|{rest}"),
        })
    }

    #[test]
    fn good_paths() {
        let long_local = format!("SRS0=HHHH=TT=far.example=bounces+{}", "a".repeat(60));
        for (text, want) in [
            ("<>", "null|"),
            ("<> SIZE=1", "null| SIZE=1"),
            ("<PostMaster>", "postmaster|"),
            ("<a@b.example>", "a@b.example|"),
            ("<a.b+c@B.example> X", "a.b+c@B.example| X"),
            ("<\"a b\"@b.example>", "\"a b\"@b.example|"),
            ("<\"a>b\"@b.example>", "\"a>b\"@b.example|"),
            ("<\"a\\\"@>b\"@b.example>", "\"a\\\"@>b\"@b.example|"),
            ("<\"\"@b.example>", "\"\"@b.example|"),
            ("<a@[192.0.2.1]>", "a@[192.0.2.1]|"),
            ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]|"),
            ("<@one.example,@two.example:a@b.example>", "a@b.example|"),
            ("<@[IPv6:::1]:a@b.example>", "a@b.example|"),
            ("<a%c@b.example>", "a%c@b.example|"),
            ("<c!a@b.example>", "c!a@b.example|"),
            ("< >", "null|"),
            ("< a@b.example >", "a@b.example|"),
            ("<a@b.example.>", "a@b.example|"),
            ("<a@b_c.example>", "a@b_c.example|"),
            (
                &format!("<{long_local}@b.example>"),
                &format!("{long_local}@b.example|"),
            ),
            ("<jürgen@bücher.example>", "jürgen@bücher.example|"),
        ] {
            assert_eq!(path(text).as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn bad_paths() {
        let long_local = format!("<{}@b.example>", "a".repeat(250));
        let long_path = format!("<a@{}.example>", vec!["a".repeat(60); 5].join("."));
        for text in [
            "",
            "<",
            "a@b.example",
            "<a>",
            "<@>",
            "<a@>",
            "<@b.example>",
            "<a@b.example",
            "<a b@b.example>",
            "<a@b@c.example>",
            "<.a@b.example>",
            "<a.@b.example>",
            "<a..b@b.example>",
            "<a@b.example..>",
            "<a@.>",
            "<a@b.example .>",
            "<a@[192.0.2.1].>",
            "<a@b..example>",
            "<a@-b.example>",
            "<a@b_.exa mple>",
            "<a@[192.0.2]>",
            "<a@[192.0.2.1>",
            "<a@[IPv6:zz]>",
            "<a@[tag:x]>",
            "<\"a@b.example>",
            "<\"a\"b@b.example>",
            "<@a:>",
            "<@a,b:c@d.example>",
            "<a,b@c.example>",
            "<<a@b.example>>",
            "<a(comment)@b.example>",
            &long_local,
            &long_path,
        ] {
            assert_eq!(path(text), None, "{text}");
        }
    }

    #[test]
    fn rerouting_local_parts() {
        for (local, want) in [
            ("a", false),
            ("a%b", true),
            ("b!a", true),
            ("\"a@b\"", true),
            ("a+b", false),
            ("\"a b\"", false),
        ] {
            assert_eq!(is_rerouting(local), want, "{local}");
        }
    }
}
