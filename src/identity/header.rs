//! One pass over the header section: what bears on identity is read, identity fields are cut out
//! before delivery.

use super::HeaderFacts;
use crate::config::settings::ClientSettings;
use crate::mail::addresses;
use crate::mail::header::{self, Field, Fields};

/// Addresses read from From, Sender and the like; more count as unreadable.
const MAX_AUTHORS: usize = 16;
/// Longest value that is looked into, in octets.
const MAX_VALUE: usize = 16 * 1024;
/// Longest Message-ID and script name kept, in octets.
const MAX_ID: usize = 256;

fn is_one_of(name: &[u8], names: &[String]) -> bool {
    names
        .iter()
        .any(|n| n.as_bytes().eq_ignore_ascii_case(name))
}

fn cut(mut text: String, octets: usize) -> String {
    if text.len() > octets {
        let end = (0..=octets)
            .rev()
            .find(|i| text.is_char_boundary(*i))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
}

pub(super) fn read(
    message: &[u8],
    client: Option<&ClientSettings>,
    fields_max: usize,
) -> HeaderFacts {
    let mut facts = HeaderFacts::default();
    let mut fields = Fields::of_message(message);
    while let Some(field) = fields.next() {
        facts.field_count += 1;
        if facts.field_count > fields_max {
            break;
        }
        facts.flaw = facts
            .flaw
            .or_else(|| field.spaced.then_some(field.place.start));
        // The length rules out most fields cheaply.
        match field.name.len() {
            4 if field.is("date") => facts.has_date = true,
            4 if field.is("from") => read_authors(&mut facts, &field, true),
            // Readers show them beside From or instead of it.
            6 if field.is("sender") => read_authors(&mut facts, &field, false),
            11 if field.is("resent-from") => read_authors(&mut facts, &field, false),
            13 if field.is("resent-sender") => read_authors(&mut facts, &field, false),
            8 if field.is("received") => {
                facts.received_count += 1;
                let sound = fields.flaw().is_none() && !field.spaced;
                if facts.received_count == 1 && sound && client.is_some_and(|c| c.trust_received) {
                    facts.received_login = received_login(&field.text(MAX_VALUE));
                }
            }
            10 if field.is("message-id") && facts.message_id.is_none() => {
                let id = field.text(MAX_VALUE);
                let id = id.strip_prefix('<').unwrap_or(&id);
                let id = id.strip_suffix('>').unwrap_or(id);
                facts.message_id = Some(cut(id.to_owned(), MAX_ID));
            }
            _ => {}
        }
        if let Some(client) = client {
            let sound = fields.flaw().is_none() && !field.spaced;
            read_trusted(&mut facts, client, &field, sound);
        }
    }
    facts.flaw = [
        facts.flaw,
        fields.flaw(),
        fields.begins_as_mbox().then_some(0),
    ]
    .into_iter()
    .flatten()
    .min();
    facts
}

/// What a trusted client says of the user counts only if it stands once and in a sound field: above
/// the first line that is no field, with the colon directly after the name. A server may not
/// recognise a field that is not sound, and then passes it on as its user wrote it.
fn read_trusted(facts: &mut HeaderFacts, client: &ClientSettings, field: &Field<'_>, sound: bool) {
    if is_one_of(field.name, &client.identity_headers) {
        facts.identity_header_count += 1;
        let first = facts.identity_header_count == 1 && sound;
        facts.identity_header = first
            .then(|| field.text(MAX_VALUE))
            .filter(|t| !t.is_empty());
    }
    if client
        .script_header
        .as_ref()
        .is_some_and(|h| h.as_bytes().eq_ignore_ascii_case(field.name))
    {
        facts.script_count += 1;
        let first = facts.script_count == 1 && sound;
        facts.script = first
            .then(|| cut(field.text(MAX_VALUE), MAX_ID))
            .filter(|t| !t.is_empty());
    }
}

fn read_authors(facts: &mut HeaderFacts, field: &Field<'_>, is_from: bool) {
    let text = field.text(MAX_VALUE);
    let (found, bad) = addresses::read(&text, MAX_AUTHORS);
    // Some readers take an escape sequence for a change of character set and see other characters
    // after it.
    let controls = text.chars().any(|c| c.is_control() && c != '\t');
    facts.authors_unreadable |= bad
        || controls
        || field.value.len() > MAX_VALUE
        || facts.authors.len() + found.len() > MAX_AUTHORS;
    if is_from && facts.from.is_none() {
        facts.from = found.first().cloned();
    }
    facts.authors.extend(found);
    facts.authors.truncate(MAX_AUTHORS);
}

/// The login in `(Authenticated sender: x)` of a Received value, as Postfix writes it with
/// `smtpd_sasl_authenticated_header = yes`. A comment inside another comment, a quoted string or
/// angle brackets does not count. Of several comments the last counts, because what a peer says of
/// itself (HELO) stands before it.
fn received_login(value: &str) -> Option<String> {
    const MARK: &str = "authenticated sender:";
    let mut found = None;
    let (mut depth, mut quoted, mut angle, mut escaped, mut start) =
        (0_usize, false, false, false, 0);
    for (i, c) in value.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\\' if quoted || depth > 0 => escaped = true,
            '"' if depth == 0 && !angle => quoted = !quoted,
            _ if quoted => {}
            '<' if depth == 0 => angle = true,
            '>' if depth == 0 => angle = false,
            _ if angle => {}
            '(' => {
                depth += 1;
                if depth == 1 {
                    start = i + 1;
                }
            }
            ')' if depth > 0 => {
                depth -= 1;
                let inner = value.get(start..i).unwrap_or_default().trim();
                let head = inner.get(..MARK.len()).unwrap_or_default();
                if depth == 0 && head.eq_ignore_ascii_case(MARK) {
                    found = inner.get(MARK.len()..).map(|login| login.trim().to_owned());
                }
            }
            _ => {}
        }
    }
    found.filter(|login| !login.is_empty())
}

pub(super) fn strip(message: Vec<u8>, client: &ClientSettings) -> Vec<u8> {
    if client.identity_headers.is_empty() {
        return message;
    }
    match header::without(&message, |field| {
        is_one_of(field.name, &client.identity_headers)
    }) {
        Some(without) => without,
        None => message,
    }
}
