//! Senders as the detector sees them.

use super::request::{Params, limit, page};
use crate::admin::auth::Caller;
use crate::admin::{Problem, RelayRoutes};
use crate::api::{
    Page, PolicyAnswer, PolicyFilter, PolicySource, SenderFilter, SenderItem, ShadowCountsItem,
};
use crate::config::policies::DEFAULT;
use crate::detector::SenderView;
use crate::types::TenantId;
use axum::Json;
use axum::extract::{Path, State as With};
use std::net::IpAddr;

/// A tenant's page is filtered from the senders of all tenants; at most this many are examined for
/// one page.
const LOOKED_AT: usize = 100_000;
const STEP: usize = 1000;

fn shown(view: SenderView) -> SenderItem {
    SenderItem {
        key: view.key,
        tenant: view.tenant,
        address: view.address,
        standing: view.standing,
        evidence_nats: view.evidence_nats,
        block_at_nats: view.block_at_nats,
        messages_hour: view.messages_hour,
        messages_day: view.messages_day,
        recipients_external_hour: view.recipients_external_hour,
        recipients_internal_hour: view.recipients_internal_hour,
        recipients_day: view.recipients_day,
        recipients_new_day: view.recipients_new_day,
        spam_day: view.spam_day,
        bounces_day: view.bounces_day,
        recent: view.recent.iter().map(Into::into).collect(),
    }
}

/// Senders by key.
#[utoipa::path(
    get,
    path = "/senders",
    params(SenderFilter),
    responses((status = 200, body = Page<SenderItem>))
)]
pub(super) async fn list_senders(
    caller: Caller,
    With(relay): With<RelayRoutes>,
    Params(filter): Params<SenderFilter>,
) -> Result<Json<Page<SenderItem>>, Problem> {
    let limit = limit(filter.limit)?;
    let standing = filter.standing.as_deref();
    if standing.is_some_and(|s| !matches!(s, "good" | "watched" | "held" | "blocked")) {
        return Err(Problem::field(
            "standing",
            "standing is good, watched, held or blocked",
        ));
    }
    let now = relay.core.clock.now();
    let (mut items, mut after, mut looked_at) = (Vec::new(), filter.cursor, 0);
    loop {
        let step = if caller.0.tenant.is_none() {
            limit
        } else {
            STEP
        };
        let views = relay
            .detector
            .senders(now, after.as_deref(), step, standing);
        looked_at += views.len();
        let last = views.len() < step;
        for view in views {
            after = Some(view.key.as_str().to_owned());
            if caller.sees(Some(&view.tenant)) {
                items.push(shown(view));
            }
            if items.len() >= limit {
                return Ok(page(items, limit, after));
            }
        }
        if last {
            return Ok(page(items, limit, None));
        }
        if looked_at >= LOOKED_AT {
            let found = items.len();
            return Ok(page(items, found, after));
        }
    }
}

/// Which policy is a sender's, why, and what is used of it.
#[utoipa::path(
    get,
    path = "/policy/{sender}",
    params(("sender" = String, Path, description = "Key, address or login"), PolicyFilter),
    responses((status = 200, body = PolicyAnswer))
)]
pub(super) async fn explain_policy(
    caller: Caller,
    With(relay): With<RelayRoutes>,
    Path(sender): Path<String>,
    Params(filter): Params<PolicyFilter>,
) -> Result<Json<PolicyAnswer>, Problem> {
    let unknown = || Problem::not_found("no such sender or tenant");
    let asked = filter.tenant.as_deref().map(TenantId::new);
    if asked
        .as_ref()
        .is_some_and(|asked| !caller.sees(Some(asked)))
    {
        return Err(unknown());
    }
    let tenant = caller.0.tenant.clone().or(asked);
    let client = match filter.client.as_deref().map(str::parse::<IpAddr>) {
        None => None,
        Some(Ok(client)) => Some(client),
        Some(Err(_)) => return Err(Problem::field("client", "client is an IP address")),
    };
    let view = relay
        .detector
        .explain(relay.core.clock.now(), &sender, tenant.as_ref(), client)
        .ok_or_else(unknown)?;
    let mut explanation = view.explanation;
    if caller.0.tenant.is_some() {
        // People of a tenant must not learn the names of other tenants' policies.
        explanation
            .policies
            .retain(|p| p.applies != "no" || p.policy == DEFAULT);
    }
    Ok(Json(PolicyAnswer {
        explanation,
        used: view.used,
        shadow_counts: view.shadow_counts.map(|counts| ShadowCountsItem {
            high_risk: counts.high_risk,
            hold: counts.hold,
            defer: counts.defer,
            reject: counts.reject,
            blocks: counts.blocks,
            last_block: counts.last_block,
        }),
        counters: view.sender.map(shown),
        source: PolicySource::Relay,
    }))
}

/// One sender by key or address.
#[utoipa::path(
    get,
    path = "/senders/{key}",
    params(("key" = String, Path, description = "Key, address or login")),
    responses((status = 200, body = SenderItem))
)]
pub(super) async fn show_sender(
    caller: Caller,
    With(relay): With<RelayRoutes>,
    Path(key): Path<String>,
) -> Result<Json<SenderItem>, Problem> {
    let view = relay
        .detector
        .sender_of(relay.core.clock.now(), &key, caller.0.tenant.as_ref());
    view.map(|view| Json(shown(view)))
        .ok_or_else(|| Problem::not_found("no sender of that key or address is known"))
}
