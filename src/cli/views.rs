//! What the API answers, as people read it.

use super::table::{facts, table};
use serde_json::Value;

/// A field as text; nested fields by `/`. Absent and null are empty.
pub(super) fn text(value: &Value, path: &str) -> String {
    let found = path.split('/').try_fold(value, |v, name| v.get(name));
    match found {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn items(value: &Value) -> &[Value] {
    value
        .get("items")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn list(answer: &Value, columns: &[(&str, &str)], nothing: &str) -> String {
    if items(answer).is_empty() {
        return format!("{nothing}\n");
    }
    let headers: Vec<&str> = columns.iter().map(|(h, _)| *h).collect();
    let rows: Vec<Vec<String>> = items(answer)
        .iter()
        .map(|item| columns.iter().map(|(_, path)| text(item, path)).collect())
        .collect();
    let mut out = table(&headers, &rows);
    if answer.get("next").is_some_and(|n| !n.is_null()) {
        out.push_str("… there is more: raise --limit\n");
    }
    out
}

fn symbols(value: &Value) -> String {
    let one = |s: &Value| {
        let weight = s.get("weight").and_then(Value::as_f64).unwrap_or_default();
        format!("{} {weight:+.1}", text(s, "name"))
    };
    let all = value
        .get("symbols")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    all.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn evidence(list: Option<&Value>) -> String {
    let list = list
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    if list.is_empty() {
        return String::new();
    }
    let number = |v: &Value, name: &str| v.get(name).and_then(Value::as_f64).unwrap_or_default();
    let row = |e: &Value| {
        vec![
            text(e, "message_id"),
            text(e, "time"),
            format!("{:.3}", number(e, "probability")),
            format!("{:+.1}", number(e, "llr")),
            text(e, "recipients"),
            symbols(e),
        ]
    };
    let rows: Vec<_> = list.iter().map(row).collect();
    format!(
        "\nEvidence\n{}",
        table(
            &[
                "MESSAGE",
                "TIME",
                "PROBABILITY",
                "LLR",
                "RECIPIENTS",
                "SYMBOLS"
            ],
            &rows
        )
    )
}

/// `blocks list`.
pub(super) fn blocks(answer: &Value) -> String {
    let columns = [
        ("REFERENCE", "ref"),
        ("STATE", "state"),
        ("KIND", "kind"),
        ("SUBJECT", "subject"),
        ("TENANT", "tenant"),
        ("REASON", "reason"),
        ("OPENED", "opened_at"),
        ("UNTIL", "until"),
    ];
    list(answer, &columns, "no blocks")
}

/// `blocks show`.
pub(super) fn block(b: &Value) -> String {
    let head = facts(&[
        ("Reference", text(b, "ref")),
        ("State", text(b, "state")),
        ("Kind", text(b, "kind")),
        ("Subject", text(b, "subject")),
        ("Tenant", text(b, "tenant")),
        ("Reason", text(b, "reason")),
        (
            "Explanation",
            Some(text(b, "explanation"))
                .filter(|e| *e != text(b, "reason"))
                .unwrap_or_default(),
        ),
        (
            "Opened",
            format!("{} by {}", text(b, "opened_at"), text(b, "opened_by")),
        ),
        ("Until", text(b, "until")),
        ("Ended", text(b, "ended_at")),
        ("Released by", text(b, "released_by")),
        ("Verdict", text(b, "verdict")),
        ("Note", text(b, "note")),
        ("Releases left", text(b, "releases_left")),
    ]);
    head + &evidence(b.get("evidence"))
}

/// `senders list`.
pub(super) fn senders(answer: &Value) -> String {
    let columns = [
        ("SENDER", "address"),
        ("STANDING", "standing"),
        ("TENANT", "tenant"),
        ("EVIDENCE", "evidence_nats"),
        ("BLOCK AT", "block_at_nats"),
        ("MESSAGES/H", "messages_hour"),
        ("EXTERNAL/H", "recipients_external_hour"),
        ("SPAM/D", "spam_day"),
        ("BOUNCES/D", "bounces_day"),
        ("KEY", "key"),
    ];
    list(answer, &columns, "no senders")
}

/// `senders show`.
pub(super) fn sender(s: &Value) -> String {
    let head = facts(&[
        ("Sender", text(s, "address")),
        ("Key", text(s, "key")),
        ("Tenant", text(s, "tenant")),
        ("Standing", text(s, "standing")),
        (
            "Evidence",
            format!(
                "{} nats, blocks at {}",
                text(s, "evidence_nats"),
                text(s, "block_at_nats")
            ),
        ),
        (
            "Messages",
            format!(
                "{} in the last hour, {} in the last day",
                text(s, "messages_hour"),
                text(s, "messages_day")
            ),
        ),
        (
            "Recipients",
            format!(
                "{} external and {} internal in the last hour, {} in the last day, {} of them new",
                text(s, "recipients_external_hour"),
                text(s, "recipients_internal_hour"),
                text(s, "recipients_day"),
                text(s, "recipients_new_day")
            ),
        ),
        (
            "Spam",
            format!("{} messages in the last day", text(s, "spam_day")),
        ),
        (
            "Bounces",
            format!("{} in the last day", text(s, "bounces_day")),
        ),
    ]);
    head + &evidence(s.get("recent"))
}

/// Why a message is held: `block OG-…`, `policy watched` or `admin`.
fn hold(item: &Value) -> String {
    match item.get("hold") {
        Some(Value::Object(map)) => map
            .iter()
            .map(|(k, v)| format!("{k} {}", v.as_str().unwrap_or_default()))
            .collect(),
        Some(Value::String(word)) => word.clone(),
        _ => String::new(),
    }
}

/// `queue list` and `held list`.
pub(super) fn queue(answer: &Value, nothing: &str) -> String {
    let mut answer = answer.clone();
    if let Some(Value::Array(items)) = answer.get_mut("items") {
        for item in items {
            let why = hold(item);
            if let Some(map) = item.as_object_mut() {
                map.insert("hold".into(), why.into());
            }
        }
    }
    let columns = [
        ("ID", "id"),
        ("STATE", "state"),
        ("FROM", "from"),
        ("TENANT", "tenant"),
        ("ACCEPTED", "accepted_at"),
        ("NEXT ATTEMPT", "next_attempt"),
        ("ATTEMPTS", "attempts"),
        ("OCTETS", "size"),
        ("HELD FOR", "hold"),
    ];
    list(&answer, &columns, nothing)
}

/// `queue show`.
pub(super) fn queued(item: &Value) -> String {
    let mut out = facts(&[
        ("Id", text(item, "id")),
        ("State", text(item, "state")),
        ("Held for", hold(item)),
        ("From", text(item, "from")),
        ("Tenant", text(item, "tenant")),
        ("Accepted", text(item, "accepted_at")),
        ("Next attempt", text(item, "next_attempt")),
        ("Attempts", text(item, "attempts")),
        ("Pool", text(item, "pool")),
        ("Octets", text(item, "size")),
    ]);
    let recipients = item
        .get("recipients")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    if !recipients.is_empty() {
        let row = |r: &Value| vec![text(r, "address"), text(r, "status"), text(r, "last_reply")];
        let rows: Vec<_> = recipients.iter().map(row).collect();
        out.push_str(&format!(
            "\nRecipients\n{}",
            table(&["ADDRESS", "STATUS", "LAST REPLY"], &rows)
        ));
    }
    out
}

/// The judgement of a message, as it stands in the trace.
fn judgement(m: &Value) -> String {
    let recipients = m
        .get("recipients")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let recipients: Vec<&str> = recipients.iter().filter_map(Value::as_str).collect();
    facts(&[
        ("Id", text(m, "id")),
        ("Message-ID", text(m, "header_message_id")),
        ("Time", text(m, "time")),
        ("Sender", text(m, "sender")),
        ("From", text(m, "from")),
        ("Client", text(m, "client")),
        ("Recipients", recipients.join(", ")),
        (
            "Action",
            format!("{} ({})", text(m, "action"), text(m, "reason")),
        ),
        ("Block", text(m, "block")),
        (
            "Score",
            format!(
                "probability {}, {} nats",
                text(m, "probability"),
                text(m, "llr")
            ),
        ),
        ("Symbols", symbols(m)),
        ("Reply", text(m, "reply")),
    ])
}

/// `messages search`.
pub(super) fn messages(answer: &Value) -> String {
    if items(answer).is_empty() {
        return "no messages found\n".into();
    }
    let mut parts: Vec<String> = Vec::new();
    for message in items(answer) {
        let mut part = judgement(message);
        let history = message
            .get("history")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        if !history.is_empty() {
            let row = |l: &Value| {
                vec![
                    text(l, "time"),
                    text(l, "status"),
                    text(l, "recipient"),
                    text(l, "text"),
                ]
            };
            let rows: Vec<_> = history.iter().map(row).collect();
            part.push_str(&table(&["TIME", "STATUS", "RECIPIENT", "TEXT"], &rows));
        }
        parts.push(part);
    }
    if answer.get("next").is_some_and(|n| !n.is_null()) {
        parts.push("… there is more: raise --limit\n".into());
    }
    parts.join("\n")
}

/// `held show`: where it stands and how it was judged.
pub(super) fn held(item: &Value) -> String {
    let judged = item
        .get("judgement")
        .filter(|j| !j.is_null())
        .map_or_else(String::new, judgement);
    if judged.is_empty() {
        queued(item)
    } else {
        format!("{}\nJudgement\n{judged}", queued(item))
    }
}

/// `audit list`.
pub(super) fn audit(answer: &Value) -> String {
    let columns = [
        ("TIME", "time"),
        ("ACTOR", "actor"),
        ("ACTION", "action"),
        ("SUBJECT", "subject"),
        ("DETAIL", "detail"),
    ];
    list(answer, &columns, "nothing was done yet")
}

/// `account list`.
pub(super) fn accounts(answer: &Value) -> String {
    list(
        answer,
        &[
            ("NAME", "name"),
            ("ROLE", "role"),
            ("TENANT", "tenant"),
            ("MAY SEND AS", "may_send_as"),
        ],
        "no accounts",
    )
}

/// `token list`.
pub(super) fn tokens(answer: &Value) -> String {
    list(
        answer,
        &[
            ("NAME", "name"),
            ("ROLE", "role"),
            ("TENANT", "tenant"),
            ("CREATED", "created_at"),
        ],
        "no tokens",
    )
}
