//! Sender addresses brought to one form: what a mail server adds for its own bookkeeping
//! (sub-address, VERP, BATV, SRS) must not make one sender look like many.

use crate::types::{Address, Domain};

/// Longest login that is believed, in octets.
const MAX_LOGIN: usize = 128;

/// What the keys of scripts begin with.
const SCRIPT: &str = "script:";

/// Words after which a VERP address names the recipient: `list-return-17-user=example.org`.
const VERP_WORDS: [&str; 5] = ["bounce", "bounces", "owner", "return", "returns"];

/// An envelope sender in its one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Normal {
    /// Lower case, A-label domain, without sub-address, VERP and BATV parts.
    pub(super) address: String,
    /// Domain of the address.
    pub(super) domain: Domain,
    /// The local part is an SRS rewrite, by SRS0, SRS1 or Exchange Online: somebody else's mail,
    /// forwarded.
    pub(super) srs: bool,
}

/// Brings an envelope sender to its one form.
pub(super) fn normalise(address: &Address) -> Normal {
    let lower = unquote(address.local()).to_lowercase();
    let local = without_batv(&lower);
    let srs = is_srs(local);
    let base = if srs {
        local
    } else {
        without_tag(without_verp(local))
    };
    Normal {
        address: format!("{base}@{}", address.domain()),
        domain: address.domain().clone(),
        srs,
    }
}

/// The content of a quoted local part: `"alice"` and `alice` are one mailbox (RFC 5321 section
/// 4.1.2).
fn unquote(local: &str) -> String {
    let Some(inner) = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) else {
        return local.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

/// Removes a bounce address tag: `prvs=1234abcdef=alice` (the BATV draft), its older form
/// `prvs=alice/1234abcdef`, and `btv1==1234abcdef==alice`.
fn without_batv(local: &str) -> &str {
    if let Some(rest) = local.strip_prefix("btv1==") {
        return rest.split_once("==").map_or(
            local,
            |(_, inner)| if inner.is_empty() { local } else { inner },
        );
    }
    let Some(rest) = local.strip_prefix("prvs=") else {
        return local;
    };
    let is_tag =
        |t: &str| (6..=16).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric());
    match rest
        .split_once('=')
        .or_else(|| rest.rsplit_once('/').map(|(inner, tag)| (tag, inner)))
    {
        Some((tag, inner)) if is_tag(tag) && !inner.is_empty() => inner,
        _ => local,
    }
}

/// `SRS0=hash=tt=domain=local` and `SRS1=...`, with any of the separators `=`, `+`, `-` after the
/// digit; and what Exchange Online makes of a mailbox that forwards:
/// `user+SRS=hash=tt=domain=local`.
fn is_srs(local: &str) -> bool {
    let rest = local
        .strip_prefix("srs0")
        .or_else(|| local.strip_prefix("srs1"));
    rest.is_some_and(|r| r.starts_with(['=', '+', '-']) && r.matches('=').count() >= 2)
        || local
            .split_once("+srs=")
            .is_some_and(|(user, rest)| !user.is_empty() && is_srs_tail(rest))
}

fn is_srs_tail(text: &str) -> bool {
    let mut parts = text.splitn(4, '=');
    let full = |part: Option<&str>| part.is_some_and(|part| !part.is_empty());
    full(parts.next())
        && full(parts.next())
        && parts.next().is_some_and(|d| Domain::parse(d).is_some())
        && full(parts.next())
}

/// Removes the recipient from a variable envelope return path: `bounce-123-user=example.org`
/// becomes `bounce`, `list-owner-user=example.org` becomes `list-owner`. With a `+` before the
/// recipient, sub-addressing does it.
fn without_verp(local: &str) -> &str {
    let Some((head, host)) = local.rsplit_once('=') else {
        return local;
    };
    if !host.contains('.') || head.contains('+') || Domain::parse(host).is_none() {
        return local;
    }
    let mut end = 0;
    for part in head.split('-') {
        let start = end;
        end += part.len();
        if start > 0 && !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            return head.get(..start - 1).unwrap_or(local);
        }
        if VERP_WORDS.contains(&part) && end < head.len() {
            return head.get(..end).unwrap_or(local);
        }
        end += 1;
    }
    match head.rsplit_once('-') {
        Some((list, _)) if !list.is_empty() => list,
        _ => local,
    }
}

/// Removes a sub-address: `alice+news` becomes `alice`.
fn without_tag(local: &str) -> &str {
    match local.split_once('+') {
        Some((base, _)) if !base.is_empty() => base,
        _ => local,
    }
}

/// The name of a sending script in its one form. A script is never an account and has no domain.
/// `None` if the name is empty or has control characters.
pub(super) fn normalise_script(text: &str) -> Option<String> {
    let text = text.trim();
    let good = !text.is_empty() && !text.chars().any(char::is_control);
    good.then(|| format!("{SCRIPT}{}", text.replace(';', ",").to_lowercase()))
}

/// A login in its one form with its domain: lower case; `None` if it is empty, too long or has
/// control characters. Angle brackets and a host name before it (`mail.acme.example:
/// alice@acme.example`, as hosting panels write) are dropped.
pub(super) fn normalise_login(text: &str) -> Option<(String, Option<Domain>)> {
    let text = text.trim();
    let text = text
        .rsplit_once(": ")
        .map_or(text, |(_, login)| login.trim());
    let text = text
        .strip_prefix('<')
        .and_then(|t| t.strip_suffix('>'))
        .unwrap_or(text);
    // XCLIENT and Postfix write `[UNAVAILABLE]` where there is none.
    if text.is_empty()
        || text.len() > MAX_LOGIN
        || text.starts_with('[')
        || text.chars().any(char::is_control)
    {
        return None;
    }
    // `;` separates address and client in a sender key. An account must look neither like a claimed
    // sender nor like a script.
    let text = text.replace(';', ",");
    let text = match text.get(..SCRIPT.len()) {
        Some(head) if head.eq_ignore_ascii_case(SCRIPT) => text.replacen(':', ",", 1),
        _ => text,
    };
    match Address::parse(&text) {
        Some(address) => Some((address.key(), Some(address.domain().clone()))),
        None => Some((text.to_lowercase(), None)),
    }
}
