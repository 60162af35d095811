//! The trace of messages, and the labels that people give.

use super::request::{Body, Params, cursor, limit, page};
use crate::admin::auth::Caller;
use crate::admin::{Core, Problem, RelayRoutes};
use crate::api::{LabelMessage, Labelled, MessageFilter, MessageItem, Page};
use crate::records::{MessageTrace, TraceEvent, TraceQuery};
use crate::types::{MessageId, TenantId};
use axum::Json;
use axum::extract::{Path, State as With};
use std::sync::Arc;

/// Messages of the trace that are searched for one id.
const LABEL_LOOKED_AT: usize = 100;

fn shown(trace: MessageTrace) -> MessageItem {
    let MessageTrace { judged, history } = trace;
    let (probability, llr, symbols) =
        MessageItem::numbers(judged.probability, judged.llr, &judged.symbols);
    MessageItem {
        id: judged.id,
        time: judged.time.rfc3339(),
        tenant: judged.tenant,
        sender_key: judged.sender_key,
        sender: judged.sender,
        from: judged.from,
        client: judged.client,
        recipients: judged.recipients,
        header_message_id: judged.header_message_id,
        size: judged.size,
        action: judged.action,
        reason: judged.reason,
        block: judged.block,
        probability,
        llr,
        symbols,
        reply: judged.reply,
        history,
    }
}

/// The trace of messages, newest first.
#[utoipa::path(
    get,
    path = "/messages",
    params(MessageFilter),
    responses((status = 200, body = Page<MessageItem>))
)]
pub(super) async fn search_messages(
    caller: Caller,
    With(core): With<Arc<Core>>,
    Params(filter): Params<MessageFilter>,
) -> Result<Json<Page<MessageItem>>, Problem> {
    let limit = limit(filter.limit)?;
    let before = cursor(filter.cursor.as_deref(), MessageId::parse)?;
    let asked = filter.tenant.as_deref().map(TenantId::new);
    if asked
        .as_ref()
        .is_some_and(|asked| !caller.sees(Some(asked)))
    {
        return Ok(page(Vec::new(), limit, None));
    }
    let query = TraceQuery {
        id: filter.id,
        sender: filter.sender,
        recipient: filter.recipient,
        tenant: caller.0.tenant.clone().or(asked),
        before,
        limit,
    };
    let found = core.records.search(query).await?;
    let next = found.last().map(|m| m.judged.id.to_string());
    Ok(page(found.into_iter().map(shown).collect(), limit, next))
}

/// The tenant of a message, from the trace or, where that is not written yet, from the queue.
async fn tenant_of(relay: &RelayRoutes, id: MessageId) -> Result<Option<TenantId>, Problem> {
    // Anybody may write another message's id into Message-ID, which is searched as well.
    let query = TraceQuery {
        id: Some(id.to_string()),
        limit: LABEL_LOOKED_AT,
        ..TraceQuery::default()
    };
    let found = relay.core.records.search(query).await?;
    let traced = found.into_iter().find(|m| m.judged.id == id);
    Ok(match traced.and_then(|m| m.judged.tenant) {
        Some(tenant) => Some(tenant),
        None => relay.queue.show(id).await.and_then(|item| item.tenant),
    })
}

/// Teach that a message is spam, or is not (admin, operator).
#[utoipa::path(
    post,
    path = "/messages/{id}/label",
    params(("id" = MessageId, Path)),
    request_body = LabelMessage,
    responses((status = 200, body = Labelled))
)]
pub(super) async fn label_message(
    caller: Caller,
    With(relay): With<RelayRoutes>,
    Path(id): Path<String>,
    Body(body): Body<LabelMessage>,
) -> Result<Json<Labelled>, Problem> {
    caller.may_act()?;
    let spam = match body.label.as_str() {
        "spam" => true,
        "ham" => false,
        _ => return Err(Problem::field("label", "label is spam or ham")),
    };
    let unknown = || Problem::not_found("there is no such message");
    let id = MessageId::parse(&id).ok_or_else(unknown)?;
    let tenant = tenant_of(&relay, id)
        .await?
        .filter(|t| caller.sees(Some(t)))
        .ok_or_else(unknown)?;
    relay.labels.teach(id, &tenant, spam).await.map_err(|_| {
        Problem::conflict("this message is neither among the newest nor in the spool any more: there is nothing to learn from")
    })?;
    let by = &caller.0.name;
    let detail = format!("{}: {}", body.label, body.reason);
    let core = &relay.core;
    core.audit(by, "message.label", &id.to_string(), &detail)
        .await?;
    core.records.trace(TraceEvent::Note {
        id,
        time: core.clock.now(),
        text: format!("labelled {} by {by}", body.label),
    });
    Ok(Json(Labelled {
        id,
        label: body.label,
    }))
}
