//! Values as the contract spells them.

use crate::admin::{Core, Problem};
use crate::blocks::rules;
use crate::detector::SenderView;
use crate::records::MessageTrace;
use crate::types::{Block, Evidence, Reason, Signal, Time};
use serde_json::{Value, json};

/// A 32-bit number without the digits that only the wider type shows.
fn short(x: f32) -> f64 {
    (f64::from(x) * 1e6).round() / 1e6
}

fn symbols(list: &[Signal]) -> Vec<Value> {
    list.iter()
        .map(|s| json!({ "name": s.name, "weight": short(s.weight) }))
        .collect()
}

/// One piece of evidence.
pub(super) fn evidence(e: &Evidence) -> Value {
    json!({
        "message_id": e.message_id,
        "time": e.time.rfc3339(),
        "probability": short(e.probability),
        "llr": short(e.llr),
        "symbols": symbols(&e.symbols),
        "recipients": e.recipients,
    })
}

/// Releases that tenant admins have left for this block's subject.
pub(in crate::admin) async fn releases_left(core: &Core, block: &Block) -> Result<u32, Problem> {
    let since = core
        .clock
        .now()
        .before(std::time::Duration::from_secs(rules::QUOTA_DAYS * 86_400));
    let used = core
        .records
        .tenant_releases(block.tenant.as_ref(), block.kind, &block.subject, since)
        .await?;
    Ok(rules::releases_left(
        block,
        used,
        core.settings().blocks.releases_by_tenant,
    ))
}

/// A block. `reason` is the machine name, or what the admin said who opened it.
pub(in crate::admin) fn block(b: &Block, releases_left: u32) -> Value {
    let reason = match b.reason {
        Reason::Admin if !b.explanation.is_empty() => b.explanation.as_str(),
        other => other.as_str(),
    };
    json!({
        "ref": b.reference,
        "kind": b.kind,
        "subject": b.subject,
        "tenant": b.tenant,
        "state": b.state,
        "reason": reason,
        "opened_at": b.opened_at.rfc3339(),
        "until": b.until.map(Time::rfc3339),
        "opened_by": b.opened_by,
        "evidence": b.evidence.iter().map(evidence).collect::<Vec<_>>(),
        "releases_left": releases_left,
        "reason_code": b.reason.as_str(),
        "explanation": b.explanation,
        "scope": b.scope,
        "sender": b.sender,
        "ended_at": b.ended_at.map(Time::rfc3339),
        "released_by": b.released_by,
        "verdict": b.verdict,
        "note": b.note,
    })
}

/// A sender.
pub(super) fn sender(view: &SenderView) -> Value {
    let mut value = serde_json::to_value(view).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.insert("recent".into(), view.recent.iter().map(evidence).collect());
    }
    value
}

/// A traced message.
pub(super) fn message(trace: &MessageTrace) -> Value {
    let mut value = serde_json::to_value(trace).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        let judged = &trace.judged;
        map.insert("time".into(), judged.time.rfc3339().into());
        map.insert("probability".into(), short(judged.probability).into());
        map.insert("llr".into(), short(judged.llr).into());
        map.insert("symbols".into(), symbols(&judged.symbols).into());
    }
    value
}
