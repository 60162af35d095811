//! One pass over the header section: what bears on identity is read, identity fields are cut out before delivery.

use super::HeaderFacts;
use super::address::address_list;
use crate::config::settings::Client;

/// Addresses read from From; more count as unreadable.
const MAX_FROM: usize = 16;
/// Longest From or Received value that is looked into, in octets.
const MAX_VALUE: usize = 16 * 1024;
/// Longest Message-ID and script name kept, in octets.
const MAX_ID: usize = 256;

/// One header field with its place in the message; folded lines and line ends belong to it.
struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
    start: usize,
    end: usize,
}

/// The fields of a header section, topmost first. Ends at the empty line, at the end of the message, or at the first line
/// that is no field: what follows is body for every reader downstream.
struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

/// Index just behind the line that starts at `at`.
fn line_end(message: &[u8], at: usize) -> usize {
    let rest = message.get(at..).unwrap_or_default();
    rest.iter().position(|b| *b == b'\n').map_or(message.len(), |p| at + p + 1)
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let start = self.at;
        let rest = self.message.get(start..)?;
        if rest.is_empty() || rest.starts_with(b"\r\n") || rest.starts_with(b"\n") {
            return None;
        }
        let mut end = line_end(self.message, start);
        while matches!(self.message.get(end), Some(b' ' | b'\t')) {
            end = line_end(self.message, end);
        }
        self.at = end;
        let field = self.message.get(start..end)?;
        let (name, value) = match field.iter().position(|b| *b == b':') {
            Some(colon) => (field.get(..colon)?.trim_ascii_end(), field.get(colon + 1..)?),
            None => (&[][..], &[][..]),
        };
        if name.is_empty() || name.iter().any(|b| !b.is_ascii_graphic()) {
            // An mbox line at the very top is skipped, as every reader does.
            return if start == 0 && (field.starts_with(b"From ") || field.starts_with(b">From ")) {
                self.next_after_mbox()
            } else {
                None
            };
        }
        Some(Field { name, value, start, end })
    }
}

impl<'a> Fields<'a> {
    const fn of(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    /// `at` is above zero here, so this goes no deeper.
    fn next_after_mbox(&mut self) -> Option<Field<'a>> {
        self.next()
    }
}

fn is_one_of(name: &[u8], names: &[String]) -> bool {
    names.iter().any(|n| n.as_bytes().eq_ignore_ascii_case(name))
}

/// The unfolded value as text.
fn text(value: &[u8]) -> String {
    let value = value.get(..MAX_VALUE).unwrap_or(value);
    let mut text = String::from_utf8_lossy(value.trim_ascii()).into_owned();
    text.retain(|c| c != '\r' && c != '\n');
    text
}

fn cut(mut text: String, octets: usize) -> String {
    if text.len() > octets {
        let end = (0..=octets).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// See [`super::read_headers`].
pub(super) fn read(message: &[u8], client: Option<&Client>, fields_max: usize) -> HeaderFacts {
    let mut facts = HeaderFacts::default();
    for field in Fields::of(message) {
        facts.field_count += 1;
        if facts.field_count > fields_max {
            break;
        }
        let name = field.name;
        // The length decides cheaply for most fields that nothing here is meant.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"date") => facts.has_date = true,
            4 if name.eq_ignore_ascii_case(b"from") => read_from(&mut facts, field.value),
            8 if name.eq_ignore_ascii_case(b"received") => {
                facts.received_count += 1;
                if facts.received_count == 1 && client.is_some_and(|c| c.trust_received) {
                    facts.received_login = received_login(&text(field.value));
                }
            }
            10 if name.eq_ignore_ascii_case(b"message-id") && facts.message_id.is_none() => {
                let id = text(field.value);
                let id = id.strip_prefix('<').unwrap_or(&id);
                let id = id.strip_suffix('>').unwrap_or(id);
                facts.message_id = Some(cut(id.to_owned(), MAX_ID));
            }
            _ => {}
        }
        if let Some(client) = client {
            read_trusted(&mut facts, client, &field);
        }
    }
    facts
}

fn read_trusted(facts: &mut HeaderFacts, client: &Client, field: &Field<'_>) {
    if is_one_of(field.name, &client.identity_headers) {
        facts.identity_header_count += 1;
        if facts.identity_header_count == 1 {
            facts.identity_header = Some(text(field.value)).filter(|t| !t.is_empty());
        }
    }
    let is_script = client.script_header.as_ref().is_some_and(|h| h.as_bytes().eq_ignore_ascii_case(field.name));
    if is_script && facts.script.is_none() {
        facts.script = Some(cut(text(field.value), MAX_ID)).filter(|t| !t.is_empty());
    }
}

fn read_from(facts: &mut HeaderFacts, value: &[u8]) {
    let (found, bad) = address_list(&text(value), MAX_FROM);
    facts.from_unreadable |= bad || value.len() > MAX_VALUE || facts.from_all.len() + found.len() > MAX_FROM;
    if facts.from.is_none() {
        facts.from = found.first().cloned();
    }
    facts.from_all.extend(found);
    facts.from_all.truncate(MAX_FROM);
}

/// The login in `(Authenticated sender: x)` of a Received value, as Postfix writes it with
/// `smtpd_sasl_authenticated_header = yes`. Only a comment of its own counts, not one nested in another comment, a quoted
/// string or angle brackets; of several the last, because what a peer says of itself (HELO) stands before it.
fn received_login(value: &str) -> Option<String> {
    const MARK: &str = "authenticated sender:";
    let mut found = None;
    let (mut depth, mut quoted, mut angle, mut escaped, mut start) = (0_usize, false, false, false, 0);
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

/// See [`super::strip_identity_headers`].
pub(super) fn strip(message: Vec<u8>, client: &Client) -> Vec<u8> {
    if client.identity_headers.is_empty() {
        return message;
    }
    let cuts: Vec<(usize, usize)> =
        Fields::of(&message).filter(|f| is_one_of(f.name, &client.identity_headers)).map(|f| (f.start, f.end)).collect();
    if cuts.is_empty() {
        return message;
    }
    let mut out = Vec::with_capacity(message.len());
    let mut kept = 0;
    for (start, end) in cuts {
        out.extend_from_slice(message.get(kept..start).unwrap_or_default());
        kept = end;
    }
    out.extend_from_slice(message.get(kept..).unwrap_or_default());
    out
}
