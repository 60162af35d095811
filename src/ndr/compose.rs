//! The report as a message (RFC 6522 multipart/report, RFC 3464 message/delivery-status, RFC 6533
//! for UTF-8). Pure.

use super::{DsnKind, ReportFacts, human};
use crate::mail::header;
use crate::queue::{FailedRecipient, FailureCause};
use crate::types::{BodyType, DsnRet, Enhanced, Envelope, Notify, Recipient, Time};
use std::fmt::Write as _;

/// An original up to this size is returned whole, even if the sender did not ask for it.
const SMALL: usize = 64 * 1024;
/// Of larger originals only the header is returned, whatever the sender asked for.
const FULL_MAX: usize = 1024 * 1024;
/// Most octets of the header that are returned.
const HEADER_MAX: usize = 32 * 1024;
/// RFC 5322 section 2.1.1.
const LINE_MAX: usize = 998;
/// Longest value of a field in the machine-readable part.
const VALUE_MAX: usize = 600;

/// A report, ready to be spooled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NdrMessage {
    /// From `<>` to the sender, `NOTIFY=NEVER`.
    pub envelope: Envelope,
    /// The message, CRLF lines.
    pub body: Vec<u8>,
}

/// Writes the report; `None` for a null sender.
pub(crate) fn compose(facts: &ReportFacts<'_>) -> Option<NdrMessage> {
    let sender = facts.meta.envelope.from.0.clone()?;
    let header = header_of(facts.original);
    // RFC 6533 section 3: UTF-8 forms are used only if the sender's own address needs them.
    // Otherwise a next hop of the report may not support them, perhaps the same one that failed,
    // and the sender would never get the report.
    let utf8 = sender.needs_utf8();
    let full = wants_full(facts) && (utf8 || header.is_ascii());
    let eight = utf8 || full && !facts.original.is_ascii();
    let boundary = boundary(facts);
    let mut out = Vec::with_capacity(
        4096 + if full {
            facts.original.len()
        } else {
            header.len()
        },
    );
    out.extend_from_slice(top(facts, sender.as_str(), &boundary).as_bytes());
    notification(
        &mut out,
        &boundary,
        &human::text(facts).replace('\n', "\r\n"),
        utf8,
    );
    let (kind, encoding) = if utf8 {
        ("message/global-delivery-status", "8bit")
    } else {
        ("message/delivery-status", "7bit")
    };
    part(&mut out, &boundary, kind, encoding, "Delivery report");
    out.extend_from_slice(lines(&status(facts, utf8), utf8).as_bytes());
    returned(&mut out, facts, &boundary, header, full, utf8);
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let mut recipient = Recipient::new(sender);
    // RFC 3461 section 5.2: a report asks for no report itself.
    recipient.notify = Some(Notify::NEVER);
    let body_type = if eight {
        BodyType::EightBit
    } else {
        BodyType::SevenBit
    };
    let envelope = Envelope::of_ours(vec![recipient], body_type, utf8);
    Some(NdrMessage {
        envelope,
        body: out,
    })
}

/// One line of printable characters, bounded, so that text of a remote or a client cannot start a
/// field or a part.
pub(super) fn clean(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| {
            if c.is_control() || c == '\u{2028}' || c == '\u{2029}' {
                ' '
            } else {
                c
            }
        })
        .collect();
    let plain = plain.trim();
    plain
        .get(..plain.floor_char_boundary(VALUE_MAX))
        .unwrap_or_default()
        .to_owned()
}

/// The part that people read, CRLF lines.
fn notification(out: &mut Vec<u8>, boundary: &str, text: &str, utf8: bool) {
    const NAME: &str = "Notification";
    if text.is_ascii() && !utf8 {
        part(out, boundary, "text/plain; charset=us-ascii", "7bit", NAME);
        out.extend_from_slice(text.as_bytes());
    } else if utf8 {
        part(out, boundary, "text/plain; charset=utf-8", "8bit", NAME);
        out.extend_from_slice(text.as_bytes());
    } else {
        part(
            out,
            boundary,
            "text/plain; charset=utf-8",
            "quoted-printable",
            NAME,
        );
        quoted_printable(out, text.as_bytes());
    }
}

/// An address of the type `utf-8`: unchanged, or in seven bits (RFC 6533 section 3,
/// utf-8-addr-xtext).
fn utf8_address(address: &str, utf8: bool) -> String {
    if utf8 {
        return address.to_owned();
    }
    let mut out = String::with_capacity(2 * address.len());
    for c in address.chars() {
        if c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\') {
            out.push(c);
        } else {
            let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
        }
    }
    out
}

/// CRLF lines; without UTF-8 everything beyond ASCII becomes `?`.
fn lines(text: &str, utf8: bool) -> String {
    let text = text.replace('\n', "\r\n");
    if utf8 || text.is_ascii() {
        text
    } else {
        text.chars()
            .map(|c| if c.is_ascii() { c } else { '?' })
            .collect()
    }
}

/// A boundary that does not occur in the original, because it contains a new id.
fn boundary(facts: &ReportFacts<'_>) -> String {
    let mut boundary = format!("=_report_{}", facts.id);
    while facts
        .original
        .windows(boundary.len())
        .any(|w| w == boundary.as_bytes())
    {
        boundary.push('_');
    }
    boundary
}

fn top(facts: &ReportFacts<'_>, to: &str, boundary: &str) -> String {
    let host = facts.settings.server.hostname.as_str();
    let mut out = format!(
        "From: Mail Delivery System <{}>\r\nTo: {to}\r\nSubject: {}\r\nDate: {}\r\nMessage-ID: <{}@{host}>\r\n",
        facts.settings.notify.from,
        human::subject(facts.kind),
        facts.now.rfc5322(),
        facts.id,
    );
    // The id is kept without its angle brackets.
    let threads = |id: &&str| {
        !id.is_empty()
            && id
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>')
    };
    if let Some(id) = facts.meta.header_message_id.as_deref().filter(threads) {
        let _ = write!(out, "In-Reply-To: <{id}>\r\nReferences: <{id}>\r\n");
    }
    // RFC 3834 section 5.1.
    out.push_str("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
    let _ = write!(
        out,
        "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n"
    );
    out.push_str("This is a report in MIME format.\r\n");
    out
}

fn part(out: &mut Vec<u8>, boundary: &str, kind: &str, encoding: &str, description: &str) {
    let head = format!(
        "\r\n--{boundary}\r\nContent-Description: {description}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    );
    out.extend_from_slice(head.as_bytes());
}

/// The fields of RFC 3464 section 2, LF lines.
fn status(facts: &ReportFacts<'_>, utf8: bool) -> String {
    let mut out = format!("Reporting-MTA: dns; {}\n", facts.settings.server.hostname);
    if let Some(envid) = facts.meta.envelope.envid.as_deref() {
        // RFC 3464 section 2.2.1: the id as the sender meant it, so it is decoded.
        let _ = writeln!(out, "Original-Envelope-Id: {}", clean(&xtext(envid)));
    }
    let _ = writeln!(out, "Arrival-Date: {}", facts.meta.accepted_at.rfc5322());
    for told in facts.recipients {
        out.push('\n');
        recipient(&mut out, facts, told, utf8);
    }
    out
}

fn recipient(out: &mut String, facts: &ReportFacts<'_>, told: &FailedRecipient, utf8: bool) {
    let Some(to) = facts.meta.envelope.recipients.get(told.recipient as usize) else {
        return;
    };
    if let Some((kind, address)) = to.orcpt.as_deref().and_then(|o| o.split_once(';')) {
        let address = xtext(address);
        let address = if kind.eq_ignore_ascii_case("utf-8") {
            utf8_address(&address, utf8)
        } else {
            address
        };
        let _ = writeln!(
            out,
            "Original-Recipient: {}; {}",
            clean(kind),
            clean(&address)
        );
    }
    // RFC 6533 section 3: the address type of a non-ASCII address is `utf-8`.
    if to.address.needs_utf8() {
        let _ = writeln!(
            out,
            "Final-Recipient: utf-8; {}",
            clean(&utf8_address(to.address.as_str(), utf8))
        );
    } else {
        let _ = writeln!(
            out,
            "Final-Recipient: rfc822; {}",
            clean(to.address.as_str())
        );
    }
    let action = match facts.kind {
        DsnKind::Failed { .. } => "failed",
        DsnKind::Delayed { .. } => "delayed",
        DsnKind::Relayed => "relayed",
    };
    let _ = writeln!(out, "Action: {action}\nStatus: {}", code(facts.kind, told));
    let said = clean(&told.reply.one_line());
    if told.remote.is_empty() {
        // RFC 3464 section 2.3.6: the type names the source; this is no reply of a remote host.
        let _ = writeln!(out, "Diagnostic-Code: X-Outgate; {said}");
    } else {
        let _ = writeln!(out, "Remote-MTA: dns; {}", host(&told.remote));
        let _ = writeln!(out, "Diagnostic-Code: smtp; {said}");
        let _ = writeln!(out, "Last-Attempt-Date: {}", facts.now.rfc5322());
    }
    if let DsnKind::Delayed { expires } = facts.kind {
        let _ = writeln!(out, "Will-Retry-Until: {}", Time::rfc5322(*expires));
    }
}

/// The status of RFC 3463 that fits the action.
fn code(kind: &DsnKind, told: &FailedRecipient) -> Enhanced {
    let of_class = |class: u8| told.reply.enhanced.filter(|e| e.0 == class);
    match kind {
        // RFC 3463 section 3.5: useful only as a persistent transient error.
        DsnKind::Failed {
            cause: FailureCause::Expired,
            ..
        } => Enhanced(4, 4, 7),
        DsnKind::Failed {
            cause: FailureCause::HeldReturned,
            ..
        } => Enhanced(5, 7, 1),
        DsnKind::Failed { .. } => of_class(5).unwrap_or(Enhanced(5, 0, 0)),
        DsnKind::Delayed { .. } => of_class(4).unwrap_or(Enhanced(4, 0, 0)),
        DsnKind::Relayed => of_class(2).unwrap_or(Enhanced(2, 0, 0)),
    }
}

/// `mx.example[192.0.2.1]:25` → `mx.example`; `[192.0.2.1]:25` → `[192.0.2.1]`.
fn host(remote: &str) -> String {
    let name = remote.split('[').next().unwrap_or_default();
    let literal = remote.split_once(']').map_or(remote, |(head, _)| head);
    clean(&if name.is_empty() {
        format!("{literal}]")
    } else {
        name.to_owned()
    })
}

/// Decodes xtext (RFC 3461 section 4); other text stays unchanged.
fn xtext(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.split_at_checked(2).filter(|_| *first == b'+');
        let byte = hex
            .and_then(|(digits, _)| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (byte, hex) {
            (Some(byte), Some((_, after))) => {
                out.push(byte);
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn header_of(original: &[u8]) -> &[u8] {
    let (header, _) = header::split_part(original);
    if header.len() <= HEADER_MAX {
        return header;
    }
    let cut = header.get(..HEADER_MAX).unwrap_or_default();
    let whole = cut
        .windows(2)
        .rposition(|w| w == b"\r\n")
        .map_or(0, |p| p + 2);
    cut.get(..whole).unwrap_or_default()
}

fn wants_full(facts: &ReportFacts<'_>) -> bool {
    // RFC 3461 section 4.3: RET applies to failures only; other reports return the header.
    let failed = matches!(facts.kind, DsnKind::Failed { .. });
    let asked = match facts.meta.envelope.ret {
        Some(DsnRet::Full) => facts.original.len() <= FULL_MAX,
        Some(DsnRet::Headers) => false,
        None => facts.original.len() <= SMALL && facts.original.is_ascii(),
    };
    // message/rfc822 may not be encoded (RFC 2046 section 5.2.1), so its lines must be legal
    // without change.
    failed && asked && has_legal_lines(facts.original)
}

fn has_legal_lines(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|b| *b == b'\n').peekable();
    while let Some(line) = lines.next() {
        // CR and LF only together (RFC 5321 section 2.3.8); the last piece has no LF after it.
        let text = if lines.peek().is_some() {
            line.strip_suffix(b"\r")
        } else {
            Some(line)
        };
        if !text.is_some_and(|t| t.len() <= LINE_MAX && !t.contains(&b'\r') && !t.contains(&0)) {
            return false;
        }
    }
    true
}

/// The third part: the original or its header.
fn returned(
    out: &mut Vec<u8>,
    facts: &ReportFacts<'_>,
    boundary: &str,
    header: &[u8],
    full: bool,
    utf8: bool,
) {
    let legal = has_legal_lines(header);
    if full {
        let kind = if utf8 {
            "message/global"
        } else {
            "message/rfc822"
        };
        let encoding = if facts.original.is_ascii() {
            "7bit"
        } else {
            "8bit"
        };
        part(out, boundary, kind, encoding, "Undelivered message");
        out.extend_from_slice(facts.original);
    } else if utf8 && legal && std::str::from_utf8(header).is_ok() {
        part(
            out,
            boundary,
            "message/global-headers",
            "8bit",
            "Header of the message",
        );
        out.extend_from_slice(header);
    } else if legal && header.is_ascii() {
        part(
            out,
            boundary,
            "text/rfc822-headers",
            "7bit",
            "Header of the message",
        );
        out.extend_from_slice(header);
    } else {
        part(
            out,
            boundary,
            "text/rfc822-headers; charset=utf-8",
            "quoted-printable",
            "Header of the message",
        );
        quoted_printable(out, header);
    }
}

/// RFC 2045 section 6.7 with CRLF as the line end.
fn quoted_printable(out: &mut Vec<u8>, text: &[u8]) {
    for line in text.split_inclusive(|b| *b == b'\n') {
        let (line, end) = line
            .strip_suffix(b"\r\n")
            .map_or((line, false), |l| (l, true));
        let mut width = 0;
        for (at, byte) in line.iter().enumerate() {
            let last = at + 1 == line.len();
            let plain =
                matches!(byte, b'!'..=b'<' | b'>'..=b'~') || matches!(byte, b' ' | b'\t') && !last;
            if width + if plain { 1 } else { 3 } > 75 {
                out.extend_from_slice(b"=\r\n");
                width = 0;
            }
            if plain {
                out.push(*byte);
                width += 1;
            } else {
                out.extend_from_slice(format!("={byte:02X}").as_bytes());
                width += 3;
            }
        }
        if end {
            out.extend_from_slice(b"\r\n");
        }
    }
}
