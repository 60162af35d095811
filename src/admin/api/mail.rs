//! Messages: the trace, the queue, what is held, and the audit.

use super::json;
use super::request::{Body, Params, cursor, limit, page};
use crate::admin::auth::Caller;
use crate::admin::{Core, Problem, Relay};
use crate::queue::{QueueItem, QueueState, Select};
use crate::records::{TraceEvent, TraceQuery};
use crate::telemetry::events;
use crate::types::{HoldReason, MessageId, Reason, TenantId};
use axum::Json;
use axum::extract::{Path, State as With};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// A tenant's page is gathered from the queue of all tenants; at most so many messages are looked
/// at for one page.
const LOOKED_AT: usize = 100_000;
const STEP: usize = 1000;
/// Messages of a trace that are looked at for the one of an id.
const LABEL_LOOKED_AT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchParams {
    id: Option<String>,
    sender: Option<String>,
    recipient: Option<String>,
    tenant: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET messages`.
pub(super) async fn messages(
    caller: Caller,
    With(core): With<Arc<Core>>,
    Params(params): Params<SearchParams>,
) -> Result<Json<Value>, Problem> {
    let limit = limit(params.limit)?;
    let before = cursor(params.cursor.as_deref(), MessageId::parse)?;
    let asked = params.tenant.as_deref().map(TenantId::new);
    if asked
        .as_ref()
        .is_some_and(|asked| !caller.sees(Some(asked)))
    {
        return Ok(page(Vec::new(), limit, None));
    }
    let tenant = caller.0.tenant.clone().or(asked);
    let query = TraceQuery {
        id: params.id,
        sender: params.sender,
        recipient: params.recipient,
        tenant,
        before,
        limit,
    };
    let found = core.records.search(query).await?;
    let next = found.last().map(|m| m.judged.id.to_string());
    Ok(page(found.iter().map(json::message).collect(), limit, next))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditParams {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET audit`.
pub(super) async fn audit(
    caller: Caller,
    With(core): With<Arc<Core>>,
    Params(params): Params<AuditParams>,
) -> Result<Json<Value>, Problem> {
    // Lines name no tenant, so they are for those who see all.
    caller.sees_all()?;
    let limit = limit(params.limit)?;
    let before = cursor(params.cursor.as_deref(), |text| text.parse().ok())?;
    let lines = core.records.audit_list(before, limit).await?;
    let next = lines.last().map(|(id, _)| id.to_string());
    let line = |(id, e): &(i64, crate::records::AuditEntry)| json!({ "id": id, "time": e.time.rfc3339(), "actor": e.actor, "action": e.action, "subject": e.subject, "detail": e.detail });
    Ok(page(lines.iter().map(line).collect(), limit, next))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueueParams {
    state: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn queue_page(
    relay: &Relay,
    caller: &Caller,
    state: Option<QueueState>,
    params: &QueueParams,
) -> Result<Json<Value>, Problem> {
    let limit = limit(params.limit)?;
    let mut after = cursor(params.cursor.as_deref(), MessageId::parse)?;
    let (mut items, mut looked_at) = (Vec::new(), 0);
    let step = if caller.0.tenant.is_none() {
        limit
    } else {
        STEP
    };
    loop {
        let some = relay.queue.list(state, after, step).await;
        looked_at += some.len();
        let last = some.len() < step;
        for item in some {
            after = Some(item.id);
            if caller.sees(item.tenant.as_ref()) {
                items.push(serde_json::to_value(&item).unwrap_or_default());
            }
            if items.len() >= limit {
                return Ok(page(items, limit, after.map(|id| id.to_string())));
            }
        }
        if last {
            return Ok(page(items, limit, None));
        }
        if looked_at >= LOOKED_AT {
            let found = items.len();
            return Ok(page(items, found, after.map(|id| id.to_string())));
        }
    }
}

/// `GET queue`.
pub(super) async fn queue(
    caller: Caller,
    With(relay): With<Relay>,
    Params(params): Params<QueueParams>,
) -> Result<Json<Value>, Problem> {
    let state = match params.state.as_deref() {
        None => None,
        Some("active") => Some(QueueState::Active),
        Some("deferred") => Some(QueueState::Deferred),
        Some("held") => Some(QueueState::Held),
        Some(_) => return Err(Problem::field("state", "state is active, deferred or held")),
    };
    queue_page(&relay, &caller, state, &params).await
}

/// `GET held`.
pub(super) async fn held(
    caller: Caller,
    With(relay): With<Relay>,
    Params(params): Params<QueueParams>,
) -> Result<Json<Value>, Problem> {
    queue_page(&relay, &caller, Some(QueueState::Held), &params).await
}

async fn visible(relay: &Relay, caller: &Caller, id: &str) -> Result<QueueItem, Problem> {
    let unknown = || Problem::not_found("there is no such message in the queue");
    let id = MessageId::parse(id).ok_or_else(unknown)?;
    relay
        .queue
        .show(id)
        .await
        .filter(|item| caller.sees(item.tenant.as_ref()))
        .ok_or_else(unknown)
}

/// `GET queue/{id}`.
pub(super) async fn show(
    caller: Caller,
    With(relay): With<Relay>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let item = visible(&relay, &caller, &id).await?;
    Ok(Json(serde_json::to_value(&item).unwrap_or_default()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LabelBody {
    label: String,
    #[serde(default)]
    reason: String,
}

/// `POST messages/{id}/label`.
pub(super) async fn label(
    caller: Caller,
    With(relay): With<Relay>,
    Path(id): Path<String>,
    Body(body): Body<LabelBody>,
) -> Result<Json<Value>, Problem> {
    caller.may_act()?;
    let spam = match body.label.as_str() {
        "spam" => true,
        "ham" => false,
        _ => return Err(Problem::field("label", "label is spam or ham")),
    };
    let unknown = || Problem::not_found("there is no such message");
    let id = MessageId::parse(&id).ok_or_else(unknown)?;
    // Anybody may write another message's id into Message-ID, which is searched as well.
    let query = TraceQuery {
        id: Some(id.to_string()),
        limit: LABEL_LOOKED_AT,
        ..TraceQuery::default()
    };
    let traced = relay
        .core
        .records
        .search(query)
        .await?
        .into_iter()
        .find(|m| m.judged.id == id);
    let tenant = match traced.and_then(|m| m.judged.tenant) {
        Some(tenant) => Some(tenant),
        // The trace is written a little later than the message.
        None => relay.queue.show(id).await.and_then(|item| item.tenant),
    };
    let tenant = tenant
        .filter(|t| caller.sees(Some(t)))
        .ok_or_else(unknown)?;
    relay.labels.teach(id, &tenant, spam).await.map_err(|_| {
        Problem::conflict("this message is neither among the newest nor in the spool any more: there is nothing to learn from")
    })?;
    relay
        .core
        .audit(
            &caller.0.name,
            "message.label",
            &id.to_string(),
            &format!("{}: {}", body.label, body.reason),
        )
        .await?;
    let text = format!("labelled {} by {}", body.label, caller.0.name);
    relay.core.records.trace(TraceEvent::Note {
        id,
        time: relay.core.clock.now(),
        text,
    });
    Ok(Json(json!({ "id": id, "label": body.label })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActBody {
    #[serde(default)]
    reason: String,
}

async fn done(
    relay: &Relay,
    caller: &Caller,
    item: &QueueItem,
    action: &str,
    reason: &str,
    ids: &[MessageId],
) -> Result<Json<Value>, Problem> {
    if ids.is_empty() {
        return Err(Problem::conflict(
            "the message is no longer in a state that allows this, or is being tried right now",
        ));
    }
    let by = &caller.0.name;
    let verb = match action.rsplit_once('.') {
        Some((_, "release")) => "released",
        Some((_, "delete")) => "deleted",
        Some((_, "hold")) => "held",
        Some((_, "bounce")) => "returned to its sender",
        _ => "tried at once",
    };
    let because = if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    };
    for id in ids {
        match verb {
            "held" => events::held(*id, None, Reason::Admin.as_str()),
            "released" | "deleted" => events::unheld(*id, verb, by),
            _ if item.hold.is_some() => events::unheld(*id, "returned", by),
            _ => {}
        }
        let text = format!("{verb} by {by}{because}");
        relay.core.records.trace(TraceEvent::Note {
            id: *id,
            time: relay.core.clock.now(),
            text,
        });
    }
    relay
        .core
        .audit(
            by,
            action,
            &item.id.to_string(),
            &format!("{}: {reason}", item.from),
        )
        .await?;
    Ok(Json(json!({ "ids": ids })))
}

/// `POST held/{id}/release` and `POST held/{id}/delete`.
pub(super) async fn act_on_held(
    caller: Caller,
    With(relay): With<Relay>,
    Path((id, verb)): Path<(String, String)>,
    Body(body): Body<ActBody>,
) -> Result<Json<Value>, Problem> {
    if !matches!(verb.as_str(), "release" | "delete") {
        return Err(Problem::not_found("held mail can be released or deleted"));
    }
    caller.may_act()?;
    let item = visible(&relay, &caller, &id).await?;
    if item.state != QueueState::Held {
        return Err(Problem::conflict("this message is not held"));
    }
    let select = Select::Id(item.id);
    if let Some(tenant) = &item.tenant {
        // First, since what is deleted or delivered can no longer be read.
        relay.labels.keep(item.id, tenant).await;
    }
    let (action, ids) = if verb == "delete" {
        ("held.delete", relay.queue.delete(select).await)
    } else {
        (
            "held.release",
            relay.moderation.release_message(item.id, &caller.0).await?,
        )
    };
    if let (Some(tenant), false) = (&item.tenant, ids.is_empty()) {
        relay.labels.put(item.id, tenant, verb == "delete").await;
    }
    done(&relay, &caller, &item, action, &body.reason, &ids).await
}

/// `POST queue/{id}/retry`, `hold`, `release` and `bounce`.
pub(super) async fn act_on_queue(
    caller: Caller,
    With(relay): With<Relay>,
    Path((id, verb)): Path<(String, String)>,
    Body(body): Body<ActBody>,
) -> Result<Json<Value>, Problem> {
    if !matches!(verb.as_str(), "retry" | "hold" | "release" | "bounce") {
        return Err(Problem::not_found(
            "queued mail can be retried, held, released or bounced",
        ));
    }
    caller.may_act()?;
    let item = visible(&relay, &caller, &id).await?;
    let select = Select::Id(item.id);
    let (action, ids) = match verb.as_str() {
        "retry" => ("queue.retry", relay.queue.retry(select).await),
        "hold" => (
            "queue.hold",
            relay.queue.hold(select, HoldReason::Admin).await,
        ),
        "release" => (
            "queue.release",
            relay.moderation.release_message(item.id, &caller.0).await?,
        ),
        _ => ("queue.bounce", relay.queue.bounce(select).await),
    };
    done(&relay, &caller, &item, action, &body.reason, &ids).await
}
