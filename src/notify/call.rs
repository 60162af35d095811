//! The body of a webhook call: the words of a notice for programs. Pure.

use super::{Notice, compose};
use crate::types::{Block, Time};
use serde_json::{Value, json};

/// What happened at `time`.
pub(super) fn body(notice: &Notice, time: Time) -> Value {
    let detail = match notice {
        Notice::Blocked { block, held } => {
            json!({ "block": block_json(block), "held_messages": held })
        }
        Notice::Released { block } => json!({ "block": block_json(block) }),
        Notice::Alert(alert) => json!({ "alert": alert }),
        Notice::Trouble { tenant, blocked } => {
            json!({ "trouble": { "tenant": tenant, "blocked": blocked } })
        }
    };
    json!({
        "event": notice.event(),
        "time": time.rfc3339(),
        "tenant": notice.tenant(),
        "summary": compose::line(notice),
        "detail": detail,
    })
}

fn block_json(block: &Block) -> Value {
    json!({
        "ref": block.reference,
        "kind": block.kind,
        "subject": block.subject,
        "tenant": block.tenant,
        "state": block.state,
        "reason": block.reason,
        "explanation": block.explanation,
        "opened_at": block.opened_at.rfc3339(),
        "until": block.until.map(Time::rfc3339),
        "opened_by": block.opened_by,
        "released_by": block.released_by,
        "verdict": block.verdict,
        "note": block.note,
        "evidence": block.evidence.iter().map(|e| json!({
            "message_id": e.message_id,
            "time": e.time.rfc3339(),
            "probability": e.probability,
            "llr": e.llr,
            "symbols": e.symbols,
            "recipients": e.recipients,
        })).collect::<Vec<_>>(),
    })
}
