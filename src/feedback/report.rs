//! What a message to a report address is: a complaint (RFC 5965), a delivery report (RFC 3464), or
//! neither. Pure. All of it is outside data: only a token names a message of ours.

use crate::mail::header::{Field, Fields};
use crate::mail::mime::{self, Part, Structured};
use crate::message_token::FIELD;
use crate::smtp::reply::{printable, shorten};
use crate::types::{Enhanced, Reply};
use std::borrow::Cow;

/// Recipients of one delivery report that are looked at.
const RECIPIENTS: usize = 1000;
/// Octets of a field of a returned message that are looked at.
const FIELD_OCTETS: usize = 1000;
/// Octets of one part of a report that are looked at.
const PART_OCTETS: usize = 256 << 10;

/// Names the complaining recipient in the messages that Microsoft returns.
const MICROSOFT_RECIPIENT: &str = "X-HmXmrOriginalRecipient";

/// A message to a report address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedbackReport {
    /// Somebody's feedback about a message.
    Complaint(Complaint),
    /// A delivery report: what became of recipients.
    Delivery(Vec<ReportedFailure>),
    /// Any other kind, or none named.
    Other,
}

/// `Feedback-Type` (RFC 5965 section 3.1; 6430, 6591), as far as it bears on the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedbackType {
    /// Unwanted mail (RFC 5965 section 7.3).
    Abuse,
    /// Phishing or another deceit.
    Fraud,
    /// Mail with a malicious program.
    Virus,
    /// `not-spam`, `opt-out`, `auth-failure`, `other` and later types: says nothing against the
    /// sender.
    Else,
}

impl FeedbackType {
    fn parse(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "abuse" => Self::Abuse,
            "fraud" => Self::Fraud,
            "virus" => Self::Virus,
            _ => Self::Else,
        }
    }

    /// The word of the RFC.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Abuse => "abuse",
            Self::Fraud => "fraud",
            Self::Virus => "virus",
            Self::Else => "other",
        }
    }

    /// Whether it speaks against the sender.
    pub(super) const fn is_complaint(self) -> bool {
        !matches!(self, Self::Else)
    }
}

/// A complaint as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What is complained of.
    pub feedback: FeedbackType,
    /// The token in the message under complaint, topmost field only: the sender wrote the fields
    /// below.
    pub token: Option<String>,
    /// Who complains, as far as the report tells: recipients of the message.
    pub recipients: Vec<String>,
    /// The message came back without a feedback part.
    pub bare: bool,
}

/// What a delivery report says of one recipient that failed permanently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedFailure {
    /// `Original-Recipient`, then `Final-Recipient`, as far as given.
    pub recipients: Vec<String>,
    /// The reply of the far end, or one made from `Status`.
    pub reply: Reply,
}

/// Reads a message.
pub fn read(message: &[u8]) -> FeedbackReport {
    let tree = mime::direct_parts(message);
    let kind = Structured::parse(tree.content_type);
    let is_report = tree.is_report;
    if !is_report && kind.value != "multipart/mixed" {
        return FeedbackReport::Other;
    }
    // The parts decide, not the parameter report-type, which some generators leave out. One level
    // deep: the reports inside a returned message are not about mail of ours.
    let parts = tree.parts.as_slice();
    let find = |ctype: &str| parts.iter().find(|part| part.ctype == ctype);
    if is_report && let Some(part) = find("message/feedback-report") {
        let fields = fields(&contents(part));
        let feedback = fields
            .iter()
            .find(|(name, _)| name == "feedback-type")
            .map_or(FeedbackType::Else, |(_, v)| FeedbackType::parse(v));
        let recipients = fields
            .iter()
            .filter(|(name, _)| name == "original-rcpt-to")
            .map(|(_, v)| bare_address(v));
        let recipients = recipients.take(RECIPIENTS).collect();
        return FeedbackReport::Complaint(complaint(parts, feedback, recipients, false));
    }
    if is_report
        && let Some(part) =
            find("message/delivery-status").or_else(|| find("message/global-delivery-status"))
    {
        return FeedbackReport::Delivery(failures(&contents(part)));
    }
    // Microsoft returns the message in a multipart/mixed, or calls it a report that it is not.
    let bare = if is_report {
        kind.report_type
            .is_some_and(|kind| kind.eq_ignore_ascii_case("feedback-report"))
    } else {
        parts.iter().any(is_returned)
    };
    if bare {
        FeedbackReport::Complaint(complaint(parts, FeedbackType::Abuse, Vec::new(), true))
    } else {
        FeedbackReport::Other
    }
}

fn complaint(
    parts: &[Part<'_>],
    feedback: FeedbackType,
    mut recipients: Vec<String>,
    bare: bool,
) -> Complaint {
    let token = parts.iter().find_map(|part| returned_field(part, FIELD));
    // Topmost, too: the receiver writes it on top.
    recipients.extend(
        parts
            .iter()
            .find_map(|part| returned_field(part, MICROSOFT_RECIPIENT))
            .map(|text| bare_address(&text)),
    );
    Complaint {
        feedback,
        token,
        recipients,
        bare,
    }
}

/// Whether a part is a message that is returned, whole or its header only.
fn is_returned(part: &Part<'_>) -> bool {
    matches!(
        part.ctype.as_str(),
        "message/rfc822" | "message/global" | "text/rfc822-headers" | "message/rfc822-headers"
    )
}

/// The first octets of a part, decoded (RFC 2045 section 6).
fn contents<'a>(part: &Part<'a>) -> Cow<'a, [u8]> {
    let body = part.body.get(..PART_OCTETS).unwrap_or(part.body);
    part.encoding.decode(body)
}

/// The topmost field of this name of the message that a part returns.
fn returned_field(part: &Part<'_>, name: &str) -> Option<String> {
    if !is_returned(part) {
        return None;
    }
    let value = Fields::of_part(&contents(part))
        .find(|field| field.is(name))?
        .text(FIELD_OCTETS);
    Some(value).filter(|value| !value.is_empty())
}

/// An address, in angle brackets or not.
fn bare_address(text: &str) -> String {
    text.trim().trim_matches(['<', '>']).to_owned()
}

/// The fields of a block, names in lower case, values unfolded.
fn fields(block: &[u8]) -> Vec<(String, String)> {
    let field = |field: Field<'_>| {
        let lines = String::from_utf8_lossy(field.value);
        let value = lines
            .trim()
            .lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ");
        (
            String::from_utf8_lossy(field.name).to_ascii_lowercase(),
            value,
        )
    };
    let (mut all, mut rest) = (Vec::new(), block.trim_ascii_start());
    while !rest.is_empty() {
        let mut fields = Fields::of_part(rest);
        all.extend(fields.by_ref().map(field));
        // Some generators put empty lines between the fields.
        rest = rest
            .get(fields.end()..)
            .unwrap_or_default()
            .trim_ascii_start();
    }
    all
}

/// The recipients that failed. The first block is about the message (RFC 3464 section 2.1), so it
/// names none.
fn failures(status: &[u8]) -> Vec<ReportedFailure> {
    let text = String::from_utf8_lossy(status).replace("\r\n", "\n");
    text.split("\n\n")
        .filter_map(|block| failure(&fields(block.as_bytes())))
        .take(RECIPIENTS)
        .collect()
}

fn failure(fields: &[(String, String)]) -> Option<ReportedFailure> {
    let get = |wanted: &str| {
        fields
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    if !get("action")?.eq_ignore_ascii_case("failed") {
        return None;
    }
    // `rfc822; user@example.com`, sometimes in angle brackets.
    let address = |value: &str| bare_address(value.split_once(';').map_or(value, |(_, a)| a));
    let recipients: Vec<String> = ["original-recipient", "final-recipient"]
        .iter()
        .filter_map(|name| Some(address(get(name)?)))
        .collect();
    let status = get("status")
        .and_then(|s| Enhanced::take(s.trim()))
        .map(|(enhanced, _)| enhanced);
    let reply = get("diagnostic-code")
        .and_then(|code| diagnostic(code, status))
        .or_else(|| {
            let status = status?;
            let code = if status.0 == 5 { 550 } else { 450 };
            Some(Reply {
                code,
                enhanced: Some(status),
                lines: vec!["reported by the next hop".into()],
            })
        })?;
    (!recipients.is_empty()).then_some(ReportedFailure { recipients, reply })
}

/// `smtp; 550 5.1.1 No such user`: the reply that the far end got. `Status` is used if it has no
/// enhanced code.
fn diagnostic(text: &str, status: Option<Enhanced>) -> Option<Reply> {
    let (kind, text) = text.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("smtp") {
        return None;
    }
    let (code, rest) = text.trim().split_at_checked(3)?;
    let code: u16 = code.parse().ok().filter(|code| (400..600).contains(code))?;
    let rest = rest.trim_start_matches(['-', ' ']);
    let (enhanced, rest) = match Enhanced::take(rest) {
        Some((enhanced, rest)) => (Some(enhanced), rest),
        None => (status, rest),
    };
    Some(shorten(Reply {
        code,
        enhanced,
        lines: vec![printable(rest.trim().as_bytes())],
    }))
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
