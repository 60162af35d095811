//! Subjects of blocks as people type them, brought to the form that the index uses.

use crate::identity::sender_address;
use crate::types::{Address, BlockKind, Domain};
use ipnet::IpNet;
use std::net::IpAddr;

/// Longest subject, in octets.
const MAX: usize = 254;

/// What is wrong with a subject. Who typed it can mend it: the text says what would be right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubjectError {
    #[error("{} must be 1-{MAX} characters without spaces", what(*.0))]
    Characters(BlockKind),
    #[error("`{1}` is not {what}", what = what(*.0))]
    OtherKind(BlockKind, String),
}

/// The subject in its one form.
pub(crate) fn check(kind: BlockKind, text: &str) -> Result<String, SubjectError> {
    let text = text.trim();
    if text.is_empty()
        || text.len() > MAX
        || text.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        return Err(SubjectError::Characters(kind));
    }
    let checked = match kind {
        BlockKind::Sender => sender(text),
        BlockKind::Domain => domain(text.strip_prefix('@').unwrap_or(text)),
        BlockKind::Client => client(text),
        BlockKind::Tenant => Some(text.to_owned()),
        BlockKind::Website => website(text),
    };
    checked.ok_or_else(|| SubjectError::OtherKind(kind, text.to_owned()))
}

const fn what(kind: BlockKind) -> &'static str {
    match kind {
        BlockKind::Sender => {
            "a sender: an address such as alice@acme.example, a login, or <> for the null sender"
        }
        BlockKind::Domain => "a domain such as acme.example",
        BlockKind::Client => {
            "a client: an address such as 192.0.2.7, or a network such as 192.0.2.0/24"
        }
        BlockKind::Tenant => "the name of a tenant",
        BlockKind::Website => "a website: a host name such as shop.example, or a link to it",
    }
}

fn sender(text: &str) -> Option<String> {
    if text == super::active::NULL_SENDER {
        return Some(text.to_owned());
    }
    let text = text
        .strip_prefix('<')
        .and_then(|t| t.strip_suffix('>'))
        .unwrap_or(text);
    if !text.contains('@') {
        let good = !text.is_empty() && !text.contains([';', '<', '>']);
        return good.then(|| text.to_lowercase());
    }
    Address::parse(text).map(|a| sender_address(&a))
}

fn domain(text: &str) -> Option<String> {
    Domain::parse(text)
        .filter(|d| !d.is_literal() && d.as_str().contains('.'))
        .map(|d| d.as_str().to_owned())
}

fn client(text: &str) -> Option<String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => text.parse::<IpNet>().ok()?.trunc(),
    };
    let single = network.prefix_len() == network.max_prefix_len();
    Some(if single {
        network.addr().to_string()
    } else {
        network.to_string()
    })
}

fn website(text: &str) -> Option<String> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') => {
            name
        }
        _ => host,
    };
    domain(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_checked_and_brought_to_one_form() {
        use BlockKind as K;
        for (kind, text, wanted) in [
            (
                K::Sender,
                " Alice@ACME.example ",
                Some("alice@acme.example"),
            ),
            (
                K::Sender,
                "<alice+x@acme.example>",
                Some("alice@acme.example"),
            ),
            (K::Sender, "Alice", Some("alice")),
            (K::Sender, "<>", Some("<>")),
            (K::Sender, "a b@acme.example", None),
            (K::Sender, "alice@", None),
            (K::Domain, "@BÜCHER.example", Some("xn--bcher-kva.example")),
            (K::Domain, "com", None),
            (K::Domain, "[192.0.2.1]", None),
            (K::Client, "192.0.2.7", Some("192.0.2.7")),
            (K::Client, "::ffff:192.0.2.7", Some("192.0.2.7")),
            (K::Client, "192.0.2.7/24", Some("192.0.2.0/24")),
            (K::Client, "192.0.2.7/32", Some("192.0.2.7")),
            (K::Client, "192.0.2", None),
            (K::Tenant, "acme", Some("acme")),
            (K::Tenant, "", None),
            (
                K::Website,
                "https://u:p@Shop.Example:8443/x?y",
                Some("shop.example"),
            ),
            (K::Website, "shop.example.", Some("shop.example")),
            (K::Website, "com", None),
        ] {
            let result = check(kind, text);
            assert_eq!(
                result.as_deref().ok(),
                wanted,
                "{kind:?} {text}: {result:?}"
            );
        }
        for (text, wanted) in [
            ("com", "`com` is not a domain such as acme.example"),
            (
                "",
                "a domain such as acme.example must be 1-254 characters without spaces",
            ),
        ] {
            let error = check(K::Domain, text).unwrap_err();
            assert_eq!(error.to_string(), wanted);
        }
    }
}
