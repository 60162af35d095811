//! Sender addresses brought to one form: what a mail server adds for its own bookkeeping (sub-address, VERP, BATV, SRS)
//! must not make one sender look like many.

use crate::types::{Address, Domain};

/// Longest login that is believed, in octets.
const MAX_LOGIN: usize = 128;

/// Words after which a VERP address names the recipient: `list-return-17-user=example.org`.
const VERP_WORDS: [&str; 5] = ["bounce", "bounces", "owner", "return", "returns"];

/// An envelope sender in its one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Normal {
    /// Lower case, A-label domain, without sub-address, VERP and BATV parts.
    pub(super) address: String,
    /// Domain of the address.
    pub(super) domain: Domain,
    /// The local part is an SRS rewrite: somebody else's mail, forwarded.
    pub(super) srs: bool,
}

/// Brings an envelope sender to its one form.
pub(super) fn normalise(address: &Address) -> Normal {
    let lower = unquote(address.local()).to_lowercase();
    let local = without_batv(&lower);
    let srs = is_srs(local);
    let base = if srs { local } else { without_tag(without_verp(local)) };
    Normal { address: format!("{base}@{}", address.domain()), domain: address.domain().clone(), srs }
}

/// The content of a quoted local part: `"alice"` and `alice` are one mailbox (RFC 5321 section 4.1.2).
fn unquote(local: &str) -> String {
    let Some(inner) = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) else { return local.to_owned() };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

/// Removes a bounce address tag: `prvs=1234abcdef=alice` (the BATV draft), its older form `prvs=alice/1234abcdef`, and
/// `btv1==1234abcdef==alice`.
fn without_batv(local: &str) -> &str {
    if let Some(rest) = local.strip_prefix("btv1==") {
        return rest.split_once("==").map_or(local, |(_, inner)| if inner.is_empty() { local } else { inner });
    }
    let Some(rest) = local.strip_prefix("prvs=") else { return local };
    let is_tag = |t: &str| (6..=16).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric());
    match rest.split_once('=').or_else(|| rest.rsplit_once('/').map(|(inner, tag)| (tag, inner))) {
        Some((tag, inner)) if is_tag(tag) && !inner.is_empty() => inner,
        _ => local,
    }
}

/// `SRS0=hash=tt=domain=local` and `SRS1=...`, with any of the separators `=`, `+`, `-` after the digit.
fn is_srs(local: &str) -> bool {
    let rest = local.strip_prefix("srs0").or_else(|| local.strip_prefix("srs1"));
    rest.is_some_and(|r| r.starts_with(['=', '+', '-']) && r.matches('=').count() >= 2)
}

/// Removes the recipient from a variable envelope return path: `bounce-123-user=example.org` becomes `bounce`,
/// `list-owner-user=example.org` becomes `list-owner`. With a `+` before the recipient, sub-addressing does it.
fn without_verp(local: &str) -> &str {
    let Some((head, host)) = local.rsplit_once('=') else { return local };
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

/// A login in its one form with its domain: lower case; `None` if it is empty, too long or has control characters. Angle
/// brackets and a host name before it (`mail.acme.example: alice@acme.example`, as hosting panels write) are dropped.
pub(super) fn normalise_login(text: &str) -> Option<(String, Option<Domain>)> {
    let text = text.trim();
    let text = text.rsplit_once(": ").map_or(text, |(_, login)| login.trim());
    let text = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).unwrap_or(text);
    // XCLIENT and Postfix write `[UNAVAILABLE]` where there is none.
    if text.is_empty() || text.len() > MAX_LOGIN || text.starts_with('[') || text.chars().any(char::is_control) {
        return None;
    }
    // `;` parts address and client in a sender key: an account must not look like a claimed sender.
    let text = text.replace(';', ",");
    match Address::parse(&text) {
        Some(address) => Some((address.key(), Some(address.domain().clone()))),
        None => Some((text.to_lowercase(), None)),
    }
}

/// The addresses of an address list such as the value of From, at most `max`; the flag says that something in it could
/// not be read (RFC 5322 section 3.4, groups and obsolete routes included).
pub(super) fn address_list(text: &str, max: usize) -> (Vec<Address>, bool) {
    let mut list = ListReader::default();
    for c in text.chars() {
        list.take(c);
        if list.found.len() > max {
            return (list.found, true);
        }
    }
    list.flush();
    let open = list.quoted || list.comment > 0 || list.angle.is_some();
    let bad = list.bad || open || list.found.is_empty();
    (list.found, bad)
}

#[derive(Default)]
struct ListReader {
    found: Vec<Address>,
    bad: bool,
    bare: String,
    angle: Option<String>,
    had_angle: bool,
    quoted: bool,
    escaped: bool,
    comment: usize,
}

impl ListReader {
    fn push(&mut self, c: char) {
        self.angle.as_mut().unwrap_or(&mut self.bare).push(c);
    }

    fn take(&mut self, c: char) {
        if self.escaped {
            self.escaped = false;
            if self.comment == 0 {
                self.push(c);
            }
        } else if self.comment > 0 {
            match c {
                '\\' => self.escaped = true,
                '(' => self.comment += 1,
                ')' => self.comment -= 1,
                _ => {}
            }
        } else if self.quoted {
            match c {
                '\\' => self.escaped = true,
                '"' => self.quoted = false,
                _ => {}
            }
            self.push(c);
        } else {
            self.take_plain(c);
        }
    }

    fn take_plain(&mut self, c: char) {
        match c {
            '(' => self.comment = 1,
            '"' => {
                self.quoted = true;
                self.push(c);
            }
            '<' if self.angle.is_none() && !self.had_angle => self.angle = Some(String::new()),
            '<' => self.bad = true,
            '>' => match self.angle.take() {
                Some(inner) => {
                    self.had_angle = true;
                    self.found_one(&inner);
                }
                None => self.bad = true,
            },
            ',' | ';' if self.angle.is_none() => self.flush(),
            ':' if self.angle.is_none() && !self.bare.contains('@') => self.bare.clear(),
            c if c.is_whitespace() => {}
            c => self.push(c),
        }
    }

    fn flush(&mut self) {
        let bare = std::mem::take(&mut self.bare);
        if !self.had_angle && !bare.is_empty() {
            self.found_one(&bare);
        }
        self.had_angle = false;
    }

    fn found_one(&mut self, text: &str) {
        // RFC 5322 section 4.4: `<@a,@b:user@c>` routes are accepted and ignored.
        let text = if text.starts_with('@') { text.split_once(':').map_or(text, |(_, last)| last) } else { text };
        match Address::parse(text) {
            Some(address) => self.found.push(address),
            None => self.bad = true,
        }
    }
}
