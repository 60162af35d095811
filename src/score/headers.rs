//! What the writer's own header fields say.

use super::bulk::Bulk;
use super::links::base_domain;
use super::phrases::{self, BRANDS, CHEAP_TLDS, FREE_MAIL, ROLES};
use super::text::is_pictograph;
use crate::mail::charset;
use crate::mail::header::Fields;

/// Recipients that are counted.
const MAX_RECIPIENTS: usize = 1000;

/// Facts of the header.
#[derive(Debug, Default)]
pub(super) struct Headers {
    pub subject: String,
    /// Domain of From, lower case; empty if there is none.
    pub from_domain: String,
    /// Display name and lower-case address of From.
    pub from: (String, String),
    /// The same of the first recipient in To.
    pub to: (String, String),
    pub sender_free_mail: bool,
    pub sender_cheap_tld: bool,
    pub sender_role: bool,
    pub name_decorated: bool,
    pub writes_to_itself: bool,
    pub recipient_own_domain: bool,
    pub subject_pictographs: bool,
    pub subject_random: bool,
    pub name_is_other_address: bool,
    pub name_imitates_brand: bool,
    pub reply_elsewhere: bool,
    pub reply_free_mail: bool,
    pub sender_random: bool,
    pub subject_is_reply: bool,
    pub subject_in_capitals: bool,
    pub subject_shouts: bool,
    pub answers: bool,
    /// There is a To, though it may name nobody.
    pub hides_recipients: bool,
    /// Addresses in To and Cc.
    pub recipients: usize,
    pub bulk: Bulk,
}

impl Headers {
    /// Reads the fields of the root entity; the first of each name counts.
    pub(super) fn read(fields: Fields<'_>) -> Self {
        let mut headers = Self::default();
        let (mut from, mut reply): (Option<&[u8]>, Option<&[u8]>) = (None, None);
        let (mut subject, mut to): (Option<&[u8]>, Option<&[u8]>) = (None, None);
        for field in fields {
            let (name, value) = (field.name, field.trimmed());
            let is = |n: &str| name.eq_ignore_ascii_case(n.as_bytes());
            match name.len() {
                2 if is("to") => {
                    // Scripts leave To out. A writer of `undisclosed-recipients:;` hides recipients
                    // on purpose.
                    headers.hides_recipients |= !value.is_empty();
                    headers.recipients += count_addresses(value);
                    to = to.or(Some(value));
                }
                2 if is("cc") => headers.recipients += count_addresses(value),
                4 if is("from") => from = from.or(Some(value)),
                7 if is("subject") => subject = subject.or(Some(value)),
                8 if is("reply-to") => reply = reply.or(Some(value)),
                10 if is("references") => headers.answers |= value.contains(&b'@'),
                11 if is("in-reply-to") => headers.answers |= value.contains(&b'@'),
                _ => headers.bulk.read(name, value),
            }
        }
        headers.subject = subject.map(charset::words).unwrap_or_default();
        let (name, address) = from.map(mailbox).unwrap_or_default();
        headers.judge_sender(&name, &address);
        headers.to = to
            .map(|field| mailbox(field.get(..field.len().min(2048)).unwrap_or_default()))
            .unwrap_or_default();
        headers.judge_recipient(&address);
        if let Some(reply) = reply {
            headers.judge_reply(&address, &mailbox(reply).1);
        }
        headers.judge_subject();
        headers.from = (name, address);
        headers
    }

    fn judge_sender(&mut self, name: &str, address: &str) {
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        self.from_domain = domain.to_owned();
        let name = name.to_lowercase();
        self.name_is_other_address = name
            .split(|c: char| c.is_whitespace() || "<>()\"',;".contains(c))
            .any(|w| {
                w.len() > 4
                    && w.contains('@')
                    && w.rsplit('@')
                        .next()
                        .is_some_and(|d| d.contains('.') && base_domain(d) != base_domain(domain))
            });
        let compact: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
        let own = base_domain(domain);
        self.name_imitates_brand = !domain.is_empty()
            && (phrases::brands(&compact)
                .filter_map(|b| BRANDS.get(b.number))
                .any(|b| b.len() >= 6 && !own.contains(b))
                || name
                    .split(|c: char| !c.is_alphanumeric())
                    .any(|w| w.len() < 6 && BRANDS.contains(&w) && !own.contains(w)));
        let digits = local.bytes().filter(u8::is_ascii_digit).count();
        self.sender_free_mail = FREE_MAIL.contains(&domain);
        self.sender_cheap_tld = domain
            .rsplit('.')
            .next()
            .is_some_and(|tld| CHEAP_TLDS.contains(&tld));
        self.sender_role = local
            .split(['-', '_', '.', '+'])
            .any(|piece| ROLES.contains(&piece));
        self.name_decorated = name
            .chars()
            .any(|c| is_pictograph(c) || matches!(c, '!' | '$' | '*' | '|' | '%'));
        self.sender_random = (local.len() >= 12 && digits >= 6) || local.len() > 40;
    }

    fn judge_recipient(&mut self, from: &str) {
        let to = self.to.1.as_str();
        let domain = |a: &str| {
            a.rsplit_once('@')
                .map(|(_, d)| base_domain(d).to_owned())
                .unwrap_or_default()
        };
        let (own, other) = (domain(from), domain(to));
        if own.is_empty() || other.is_empty() || redacted(&own) || redacted(&other) {
            return;
        }
        self.writes_to_itself = from == to;
        self.recipient_own_domain =
            from != to && own == other && !FREE_MAIL.contains(&own.as_str());
    }

    fn judge_reply(&mut self, from: &str, reply: &str) {
        let domain = |a: &str| {
            a.rsplit_once('@')
                .map(|(_, d)| d.to_owned())
                .unwrap_or_default()
        };
        let (from_domain, reply_domain) = (domain(from), domain(reply));
        if from_domain.is_empty()
            || reply_domain.is_empty()
            || redacted(&from_domain)
            || redacted(&reply_domain)
        {
            return;
        }
        self.reply_elsewhere = base_domain(&from_domain) != base_domain(&reply_domain);
        self.reply_free_mail = from != reply && FREE_MAIL.contains(&reply_domain.as_str());
    }

    fn judge_subject(&mut self) {
        let subject = self.subject.as_str();
        let lower = subject
            .get(..subject.floor_char_boundary(8))
            .unwrap_or_default()
            .to_ascii_lowercase();
        self.subject_is_reply = ["re:", "fw:", "fwd:", "aw:", "sv:"]
            .iter()
            .any(|p| lower.starts_with(p));
        let letters = subject.chars().filter(|c| c.is_alphabetic()).count();
        self.subject_in_capitals =
            letters >= 8 && subject.chars().filter(|c| c.is_uppercase()).count() * 5 >= letters * 4;
        self.subject_pictographs = subject.chars().any(is_pictograph);
        self.subject_random = subject
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(is_random_token);
        self.subject_shouts = subject.contains(['!', '$', '\u{20ac}', '\u{a3}']);
    }
}

/// Whether a message without its envelope came from the null sender: its Return-Path field says so,
/// or, without such a field, its From is empty or the address of a mailer that writes reports.
pub(super) fn from_nobody(fields: Fields<'_>, from: &str) -> bool {
    let daemon = |address: &str| {
        let local = address.split('@').next().unwrap_or_default();
        address.is_empty()
            || ["mailer-daemon", "postmaster"]
                .iter()
                .any(|name| local.eq_ignore_ascii_case(name))
    };
    let path = { fields }.find(|field| field.is("return-path"));
    match path {
        Some(path) => daemon(String::from_utf8_lossy(path.trimmed()).trim_matches(['<', '>', ' '])),
        None => daemon(from),
    }
}

/// Letters and digits mixed in a way that nobody types.
pub(super) fn is_random_token(token: &str) -> bool {
    let switches = token
        .as_bytes()
        .windows(2)
        .filter(|w| matches!(w, [a, b] if a.is_ascii_digit() != b.is_ascii_digit()))
        .count();
    token.len() >= 8 && switches >= 3 && !token.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Domains that replace names removed by the publishers of a corpus.
fn redacted(domain: &str) -> bool {
    domain.contains("redacted") || domain.contains("removed") || domain.starts_with("example.")
}

/// Addresses in an address list: `@` outside quotes.
fn count_addresses(value: &[u8]) -> usize {
    let mut quoted = false;
    let at_signs = value.iter().filter(|&&b| {
        quoted ^= b == b'"';
        b == b'@' && !quoted
    });
    let count = at_signs.take(MAX_RECIPIENTS).count();
    // A corpus that removed the address left this mark.
    count.max(usize::from(
        memchr::memmem::find(value, b"[removed]").is_some()
            || memchr::memmem::find(value, b"edacted").is_some(),
    ))
}

/// Display name and lower-case address of the first mailbox in a field (RFC 5322 section 3.4).
fn mailbox(value: &[u8]) -> (String, String) {
    let text = charset::words(value);
    let (name, address) = match (text.rfind('<'), text.rfind('>')) {
        (Some(open), Some(close)) if open < close => (
            text.get(..open).unwrap_or_default(),
            text.get(open + 1..close).unwrap_or_default(),
        ),
        _ => match text.split_once('(') {
            // The old form: `address (Name)`.
            Some((address, name)) => (name.trim_end_matches(')'), address),
            None => ("", text.as_str()),
        },
    };
    (
        name.trim().trim_matches('"').to_owned(),
        address.trim().trim_end_matches('.').to_lowercase(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Headers {
        Headers::read(Fields::of_part(text.as_bytes()))
    }

    #[test]
    fn imitation_is_noticed() {
        let h = read(
            "From: \"ceo@acme.example\" <x@evil.example>\nReply-To: a@gmail.com\nTo: a@b.example, \"x@y\" <c@d.example>\nSubject: RE: PAYMENT DUE!\n\n",
        );
        assert!(
            h.name_is_other_address && h.reply_elsewhere && h.reply_free_mail && h.subject_is_reply
        );
        assert!(h.subject_in_capitals && h.subject_shouts && !h.answers);
        assert_eq!((h.recipients, h.from_domain.as_str()), (2, "evil.example"));
        assert!(read("From: Pay Pal Service <x@evil.example>\n\n").name_imitates_brand);
        assert!(!read("From: PayPal <service@mail.paypal.com>\n\n").name_imitates_brand);
        assert!(!read("From: \"Bob b@x.example\" <bob@x.example>\n\n").name_is_other_address);
    }

    #[test]
    fn who_came_from_nobody_is_told_without_an_envelope() {
        for (header, nobody) in [
            ("Return-Path: <>\nFrom: a@b.example", true),
            ("From: a@b.example", false),
            ("From: Mailer-Daemon@b.example", true),
            ("From: <>", true),
            ("Subject: x", true),
            (
                "From: postmaster@b.example\nReturn-Path: <a@b.example>",
                false,
            ),
        ] {
            let fields = Fields::of_part(header.as_bytes());
            assert_eq!(
                from_nobody(fields, &Headers::read(fields).from.1),
                nobody,
                "{header}"
            );
        }
    }

    #[test]
    fn trace_fields_change_nothing() {
        let plain = "From: a@b.example\nSubject: Hi\n\nbody";
        let travelled = format!(
            "Received: from x\nX-Spam-Flag: YES\nAuthentication-Results: m; dkim=fail\nReturn-Path: <z@z.example>\n{plain}"
        );
        assert_eq!(
            format!("{:?}", read(plain)),
            format!("{:?}", read(&travelled))
        );
    }
}
