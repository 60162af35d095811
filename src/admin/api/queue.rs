//! Messages in the queue, including held ones.

use super::request::{Body, Params, cursor, limit, page};
use crate::admin::auth::Caller;
use crate::admin::{Problem, RelayRoutes};
use crate::api::{ActReason, Acted, Page, QueueFilter, QueueItem, QueueState};
use crate::queue::Select;
use crate::records::TraceEvent;
use crate::telemetry::events;
use crate::types::{HoldReason, MessageId, Reason};
use axum::Json;
use axum::extract::{Path, State as With};

/// A tenant's page is filtered from the queue of all tenants. These bound the messages examined for
/// one page, in all and at a time.
const LOOKED_AT: usize = 100_000;
const STEP: usize = 1000;

async fn queue_page(
    relay: &RelayRoutes,
    caller: &Caller,
    state: Option<QueueState>,
    filter: &QueueFilter,
) -> Result<Json<Page<QueueItem>>, Problem> {
    let limit = limit(filter.limit)?;
    let mut after = cursor(filter.cursor.as_deref(), MessageId::parse)?;
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
                items.push(item);
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

/// Queued messages, oldest first.
#[utoipa::path(
    get,
    path = "/queue",
    params(QueueFilter),
    responses((status = 200, body = Page<QueueItem>))
)]
pub(super) async fn list_queue(
    caller: Caller,
    With(relay): With<RelayRoutes>,
    Params(filter): Params<QueueFilter>,
) -> Result<Json<Page<QueueItem>>, Problem> {
    let state = match filter.state.as_deref() {
        None => None,
        Some("active") => Some(QueueState::Active),
        Some("deferred") => Some(QueueState::Deferred),
        Some("held") => Some(QueueState::Held),
        Some(_) => return Err(Problem::field("state", "state is active, deferred or held")),
    };
    queue_page(&relay, &caller, state, &filter).await
}

/// Held messages, oldest first.
#[utoipa::path(
    get,
    path = "/held",
    params(QueueFilter),
    responses((status = 200, body = Page<QueueItem>))
)]
pub(super) async fn list_held(
    caller: Caller,
    With(relay): With<RelayRoutes>,
    Params(filter): Params<QueueFilter>,
) -> Result<Json<Page<QueueItem>>, Problem> {
    queue_page(&relay, &caller, Some(QueueState::Held), &filter).await
}

/// The message of that id, if this caller may see it.
async fn visible(relay: &RelayRoutes, caller: &Caller, id: &str) -> Result<QueueItem, Problem> {
    let unknown = || Problem::not_found("there is no such message in the queue");
    let id = MessageId::parse(id).ok_or_else(unknown)?;
    relay
        .queue
        .show(id)
        .await
        .filter(|item| caller.sees(item.tenant.as_ref()))
        .ok_or_else(unknown)
}

/// One queued message with its recipients.
#[utoipa::path(
    get,
    path = "/queue/{id}",
    params(("id" = MessageId, Path)),
    responses((status = 200, body = QueueItem))
)]
pub(super) async fn show_queued(
    caller: Caller,
    With(relay): With<RelayRoutes>,
    Path(id): Path<String>,
) -> Result<Json<QueueItem>, Problem> {
    Ok(Json(visible(&relay, &caller, &id).await?))
}

/// What a person does to a queued message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueueAct {
    Retry,
    Hold,
    Release,
    Bounce,
    ReleaseHeld,
    DeleteHeld,
}

impl QueueAct {
    /// Name in the audit.
    const fn name(self) -> &'static str {
        match self {
            Self::Retry => "queue.retry",
            Self::Hold => "queue.hold",
            Self::Release => "queue.release",
            Self::Bounce => "queue.bounce",
            Self::ReleaseHeld => "held.release",
            Self::DeleteHeld => "held.delete",
        }
    }

    /// What was done, as it stands in the message's history.
    const fn done(self) -> &'static str {
        match self {
            Self::Retry => "tried at once",
            Self::Hold => "held",
            Self::Release | Self::ReleaseHeld => "released",
            Self::Bounce => "returned to its sender",
            Self::DeleteHeld => "deleted",
        }
    }

    /// Does it; returns the messages it was done to.
    async fn apply(
        self,
        relay: &RelayRoutes,
        caller: &Caller,
        id: MessageId,
    ) -> Result<Vec<MessageId>, Problem> {
        let (queue, select) = (&relay.queue, Select::Id(id));
        Ok(match self {
            Self::Retry => queue.retry(select).await,
            Self::Hold => queue.hold(select, HoldReason::Admin).await,
            Self::Bounce => queue.bounce(select).await,
            Self::DeleteHeld => queue.delete(select).await,
            Self::Release | Self::ReleaseHeld => {
                relay.moderation.release_message(id, &caller.0).await?
            }
        })
    }
}

/// Writes what was done into the log, the trace and the audit.
async fn record(
    relay: &RelayRoutes,
    caller: &Caller,
    item: &QueueItem,
    act: QueueAct,
    reason: &str,
    ids: Vec<MessageId>,
) -> Result<Json<Acted>, Problem> {
    if ids.is_empty() {
        return Err(Problem::conflict(
            "the message is no longer in a state that allows this, or is being tried right now",
        ));
    }
    let (by, core) = (&caller.0.name, &relay.core);
    let mut text = format!("{} by {by}", act.done());
    if !reason.is_empty() {
        text = format!("{text}: {reason}");
    }
    for id in &ids {
        match act {
            QueueAct::Hold => events::held(*id, None, Reason::Admin.as_str()),
            QueueAct::Release | QueueAct::ReleaseHeld | QueueAct::DeleteHeld => {
                events::unheld(*id, act.done(), by);
            }
            QueueAct::Bounce | QueueAct::Retry if item.hold.is_some() => {
                events::unheld(*id, "returned", by);
            }
            QueueAct::Bounce | QueueAct::Retry => {}
        }
        core.records.trace(TraceEvent::Note {
            id: *id,
            time: core.clock.now(),
            text: text.clone(),
        });
    }
    let detail = format!("{}: {reason}", item.from);
    core.audit(by, act.name(), &item.id.to_string(), &detail)
        .await?;
    Ok(Json(Acted { ids }))
}

async fn act_on_held(
    relay: &RelayRoutes,
    caller: &Caller,
    id: &str,
    act: QueueAct,
    reason: &str,
) -> Result<Json<Acted>, Problem> {
    caller.may_act()?;
    let item = visible(relay, caller, id).await?;
    if item.state != QueueState::Held {
        return Err(Problem::conflict("this message is not held"));
    }
    if let Some(tenant) = &item.tenant {
        // Done first, because a deleted or delivered message can no longer be read.
        relay.labels.keep(item.id, tenant).await;
    }
    let ids = act.apply(relay, caller, item.id).await?;
    if let (Some(tenant), false) = (&item.tenant, ids.is_empty()) {
        let spam = act == QueueAct::DeleteHeld;
        relay.labels.put(item.id, tenant, spam).await;
    }
    record(relay, caller, &item, act, reason, ids).await
}

async fn act_on_queued(
    relay: &RelayRoutes,
    caller: &Caller,
    id: &str,
    act: QueueAct,
    reason: &str,
) -> Result<Json<Acted>, Problem> {
    caller.may_act()?;
    let item = visible(relay, caller, id).await?;
    let ids = act.apply(relay, caller, item.id).await?;
    record(relay, caller, &item, act, reason, ids).await
}

/// The handler of one act: its summary, its path and its action.
macro_rules! act {
    ($(#[doc = $summary:literal])+ $name:ident, $path:literal, $perform:ident, $act:ident) => {
        $(#[doc = $summary])+
        #[utoipa::path(
            post,
            path = $path,
            params(("id" = MessageId, Path)),
            request_body = Option<ActReason>,
            responses((status = 200, body = Acted))
        )]
        pub(super) async fn $name(
            caller: Caller,
            With(relay): With<RelayRoutes>,
            Path(id): Path<String>,
            Body(body): Body<ActReason>,
        ) -> Result<Json<Acted>, Problem> {
            $perform(&relay, &caller, &id, QueueAct::$act, &body.reason).await
        }
    };
}

act! {
    /// Send a held message on (admin, operator).
    release_held, "/held/{id}/release", act_on_held, ReleaseHeld
}
act! {
    /// Drop a held message; nobody is told (admin, operator).
    delete_held, "/held/{id}/delete", act_on_held, DeleteHeld
}
act! {
    /// Try a queued message now (admin, operator).
    retry_queued, "/queue/{id}/retry", act_on_queued, Retry
}
act! {
    /// Hold a queued message (admin, operator).
    hold_queued, "/queue/{id}/hold", act_on_queued, Hold
}
act! {
    /// Send on a message that is held (admin, operator).
    release_queued, "/queue/{id}/release", act_on_queued, Release
}
act! {
    /// Give up on a queued message and tell its sender (admin, operator).
    bounce_queued, "/queue/{id}/bounce", act_on_queued, Bounce
}
