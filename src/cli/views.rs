//! What the API answers, as people read it.

use super::table::{facts, table};
use crate::api::{
    AuditItem, BlockItem, EvidenceItem, MessageItem, Page, QueueItem, SenderItem, SymbolWeight,
};
use crate::types::HoldReason;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Display;

/// A number, name or enum as it stands in JSON, without quotes; `None` is empty.
pub(super) fn text(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        Ok(Value::Null) | Err(_) => String::new(),
        Ok(other) => other.to_string(),
    }
}

fn or_empty(value: Option<&impl Display>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// A page as a table of these columns.
pub(super) fn list<T, const N: usize>(
    page: &Page<T>,
    headers: [&str; N],
    row: impl Fn(&T) -> [String; N],
    nothing: &str,
) -> String {
    if page.items.is_empty() {
        return format!("{nothing}\n");
    }
    let mut out = table(&headers, page.items.iter().map(row));
    if page.next.is_some() {
        out.push_str("… there is more: raise --limit\n");
    }
    out
}

fn symbols(list: &[SymbolWeight]) -> String {
    let one = |s: &SymbolWeight| format!("{} {:+.1}", s.name, s.weight);
    list.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn evidence(list: &[EvidenceItem]) -> String {
    if list.is_empty() {
        return String::new();
    }
    let headers = [
        "MESSAGE",
        "TIME",
        "PROBABILITY",
        "LLR",
        "RECIPIENTS",
        "SYMBOLS",
    ];
    let row = |e: &EvidenceItem| {
        [
            e.message_id.to_string(),
            e.time.clone(),
            format!("{:.3}", e.probability),
            format!("{:+.1}", e.llr),
            e.recipients.to_string(),
            symbols(&e.symbols),
        ]
    };
    format!("\nEvidence\n{}", table(&headers, list.iter().map(row)))
}

pub(super) fn blocks(page: &Page<BlockItem>) -> String {
    let headers = [
        "REFERENCE",
        "STATE",
        "KIND",
        "SUBJECT",
        "TENANT",
        "REASON",
        "OPENED",
        "UNTIL",
    ];
    let row = |b: &BlockItem| {
        [
            b.reference.to_string(),
            text(&b.state),
            text(&b.kind),
            b.subject.clone(),
            or_empty(b.tenant.as_ref()),
            b.reason.clone(),
            b.opened_at.clone(),
            or_empty(b.until.as_ref()),
        ]
    };
    list(page, headers, row, "no blocks")
}

pub(super) fn block(b: &BlockItem) -> String {
    let explanation = Some(&b.explanation).filter(|e| **e != b.reason);
    let head = facts(&[
        ("Reference", b.reference.to_string()),
        ("State", text(&b.state)),
        ("Kind", text(&b.kind)),
        ("Subject", b.subject.clone()),
        ("Tenant", or_empty(b.tenant.as_ref())),
        ("Reason", b.reason.clone()),
        ("Explanation", or_empty(explanation)),
        ("Opened", format!("{} by {}", b.opened_at, b.opened_by)),
        ("Until", or_empty(b.until.as_ref())),
        ("Ended", or_empty(b.ended_at.as_ref())),
        ("Released by", or_empty(b.released_by.as_ref())),
        ("Verdict", text(&b.verdict)),
        ("Note", or_empty(b.note.as_ref())),
        ("Releases left", b.releases_left.to_string()),
    ]);
    head + &evidence(&b.evidence)
}

pub(super) fn senders(page: &Page<SenderItem>) -> String {
    let headers = [
        "SENDER",
        "STANDING",
        "TENANT",
        "EVIDENCE",
        "BLOCK AT",
        "MESSAGES/H",
        "EXTERNAL/H",
        "SPAM/D",
        "BOUNCES/D",
        "KEY",
    ];
    let row = |s: &SenderItem| {
        [
            s.address.clone(),
            s.standing.clone(),
            s.tenant.to_string(),
            text(&s.evidence_nats),
            text(&s.block_at_nats),
            s.messages_hour.to_string(),
            s.recipients_external_hour.to_string(),
            s.spam_day.to_string(),
            s.bounces_day.to_string(),
            s.key.to_string(),
        ]
    };
    list(page, headers, row, "no senders")
}

pub(super) fn sender(s: &SenderItem) -> String {
    let (sum, bound) = (text(&s.evidence_nats), text(&s.block_at_nats));
    let head = facts(&[
        ("Sender", s.address.clone()),
        ("Key", s.key.to_string()),
        ("Tenant", s.tenant.to_string()),
        ("Standing", s.standing.clone()),
        ("Evidence", format!("{sum} nats, blocks at {bound}")),
        (
            "Messages",
            format!(
                "{} in the last hour, {} in the last day",
                s.messages_hour, s.messages_day
            ),
        ),
        (
            "Recipients",
            format!(
                "{} external and {} internal in the last hour, {} in the last day, {} of them new",
                s.recipients_external_hour,
                s.recipients_internal_hour,
                s.recipients_day,
                s.recipients_new_day
            ),
        ),
        ("Spam", format!("{} messages in the last day", s.spam_day)),
        ("Bounces", format!("{} in the last day", s.bounces_day)),
    ]);
    head + &evidence(&s.recent)
}

/// Why a message is held: `block OG-…`, `policy watched` or `admin`.
fn hold(item: &QueueItem) -> String {
    match &item.hold {
        Some(HoldReason::Block(reference)) => format!("block {reference}"),
        Some(HoldReason::Policy(reason)) => format!("policy {}", reason.as_str()),
        Some(HoldReason::Admin) => "admin".into(),
        None => String::new(),
    }
}

/// `queue list` and `held list`.
pub(super) fn queue(page: &Page<QueueItem>, nothing: &str) -> String {
    let headers = [
        "ID",
        "STATE",
        "FROM",
        "TENANT",
        "ACCEPTED",
        "NEXT ATTEMPT",
        "ATTEMPTS",
        "OCTETS",
        "HELD FOR",
    ];
    let row = |item: &QueueItem| {
        [
            item.id.to_string(),
            text(&item.state),
            item.from.clone(),
            or_empty(item.tenant.as_ref()),
            item.accepted_at.clone(),
            or_empty(item.next_attempt.as_ref()),
            item.attempts.to_string(),
            item.size.to_string(),
            hold(item),
        ]
    };
    list(page, headers, row, nothing)
}

pub(super) fn queued(item: &QueueItem) -> String {
    let mut out = facts(&[
        ("Id", item.id.to_string()),
        ("State", text(&item.state)),
        ("Held for", hold(item)),
        ("From", item.from.clone()),
        ("Tenant", or_empty(item.tenant.as_ref())),
        ("Accepted", item.accepted_at.clone()),
        ("Next attempt", or_empty(item.next_attempt.as_ref())),
        ("Attempts", item.attempts.to_string()),
        ("Pool", text(&item.pool)),
        ("Octets", item.size.to_string()),
    ]);
    if !item.recipients.is_empty() {
        let rows = item
            .recipients
            .iter()
            .map(|r| [r.address.to_string(), text(&r.status), r.last_reply.clone()]);
        let recipients = table(&["ADDRESS", "STATUS", "LAST REPLY"], rows);
        out.push_str(&format!("\nRecipients\n{recipients}"));
    }
    out
}

/// How a message was judged, as it stands in the trace.
fn judgement(m: &MessageItem) -> String {
    let (probability, llr) = (text(&m.probability), text(&m.llr));
    facts(&[
        ("Id", m.id.to_string()),
        ("Message-ID", or_empty(m.header_message_id.as_ref())),
        ("Time", m.time.clone()),
        ("Sender", m.sender.clone()),
        ("From", m.from.clone()),
        ("Client", m.client.clone()),
        ("Recipients", m.recipients.join(", ")),
        (
            "Action",
            format!("{} ({})", text(&m.action), m.reason.as_str()),
        ),
        ("Block", or_empty(m.block.as_ref())),
        ("Score", format!("probability {probability}, {llr} nats")),
        ("Symbols", symbols(&m.symbols)),
        ("Reply", m.reply.clone()),
    ])
}

pub(super) fn messages(page: &Page<MessageItem>) -> String {
    if page.items.is_empty() {
        return "no messages found\n".into();
    }
    let mut parts: Vec<String> = Vec::new();
    for message in &page.items {
        let mut part = judgement(message);
        if !message.history.is_empty() {
            let rows = message.history.iter().map(|line| {
                [&line.time, &line.status, &line.recipient, &line.text].map(Clone::clone)
            });
            part.push_str(&table(&["TIME", "STATUS", "RECIPIENT", "TEXT"], rows));
        }
        parts.push(part);
    }
    if page.next.is_some() {
        parts.push("… there is more: raise --limit\n".into());
    }
    parts.join("\n")
}

/// `held show`: where it stands and how it was judged.
pub(super) fn held(item: &QueueItem, judged: Option<&MessageItem>) -> String {
    match judged {
        Some(judged) => format!("{}\nJudgement\n{}", queued(item), judgement(judged)),
        None => queued(item),
    }
}

pub(super) fn audit(page: &Page<AuditItem>) -> String {
    let headers = ["TIME", "ACTOR", "ACTION", "SUBJECT", "DETAIL"];
    let row = |line: &AuditItem| {
        [
            &line.time,
            &line.actor,
            &line.action,
            &line.subject,
            &line.detail,
        ]
        .map(Clone::clone)
    };
    list(page, headers, row, "nothing was done yet")
}
