//! Senders as the judge sees them.

use super::json;
use super::request::{Params, limit, page};
use crate::admin::auth::Caller;
use crate::admin::{Problem, Relay};
use crate::config::policies::DEFAULT;
use crate::types::TenantId;
use axum::Json;
use axum::extract::{Path, State as With};
use serde::Deserialize;
use serde_json::Value;
use std::net::IpAddr;

/// A tenant's page is gathered from the senders of all tenants; at most so many are looked at for
/// one page.
const LOOKED_AT: usize = 100_000;
const STEP: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    standing: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET senders`.
pub(super) async fn list(
    caller: Caller,
    With(relay): With<Relay>,
    Params(params): Params<ListParams>,
) -> Result<Json<Value>, Problem> {
    let limit = limit(params.limit)?;
    let standing = params.standing.as_deref();
    if standing.is_some_and(|s| !matches!(s, "good" | "watched" | "held" | "blocked")) {
        return Err(Problem::field(
            "standing",
            "standing is good, watched, held or blocked",
        ));
    }
    let now = relay.core.clock.now();
    let (mut items, mut after, mut looked_at) = (Vec::new(), params.cursor, 0);
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
                items.push(json::sender(&view));
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainParams {
    tenant: Option<String>,
    client: Option<String>,
}

/// `GET policy/{sender}`.
pub(super) async fn policy(
    caller: Caller,
    With(relay): With<Relay>,
    Path(sender): Path<String>,
    Params(params): Params<ExplainParams>,
) -> Result<Json<Value>, Problem> {
    let unknown = || Problem::not_found("no such sender or tenant");
    let asked = params.tenant.as_deref().map(TenantId::new);
    if asked
        .as_ref()
        .is_some_and(|asked| !caller.sees(Some(asked)))
    {
        return Err(unknown());
    }
    let tenant = caller.0.tenant.clone().or(asked);
    let client = match params.client.as_deref().map(str::parse::<IpAddr>) {
        None => None,
        Some(Ok(client)) => Some(client),
        Some(Err(_)) => return Err(Problem::field("client", "client is an IP address")),
    };
    let view = relay
        .detector
        .explain(relay.core.clock.now(), &sender, tenant.as_ref(), client)
        .ok_or_else(unknown)?;
    let mut value = serde_json::to_value(&view).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        if caller.0.tenant.is_some()
            && let Some(Value::Array(policies)) = map.get_mut("policies")
        {
            // What others' policies are called is no business of a tenant's people.
            policies.retain(|p| p["applies"] != "no" || p["policy"] == DEFAULT);
        }
        map.insert(
            "counters".into(),
            view.sender.as_ref().map_or(Value::Null, json::sender),
        );
        map.insert("source".into(), "relay".into());
    }
    Ok(Json(value))
}

/// `GET senders/{key}`.
pub(super) async fn show(
    caller: Caller,
    With(relay): With<Relay>,
    Path(key): Path<String>,
) -> Result<Json<Value>, Problem> {
    let view = relay
        .detector
        .sender_of(relay.core.clock.now(), &key, caller.0.tenant.as_ref());
    view.map(|view| Json(json::sender(&view)))
        .ok_or_else(|| Problem::not_found("no sender of that key or address is known"))
}
