//! `/api/v1`: handlers turn requests into typed commands and values into JSON.

mod blocks;
mod json;
mod mail;
mod request;
mod senders;

pub(super) use blocks::{released, visible_block};
pub(super) use json::releases_left;

use super::{Core, Relay, openapi};
use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use std::sync::Arc;

/// Routes that need records only.
pub(super) fn core_routes<S: Clone + Send + Sync + 'static>() -> Router<S>
where
    Arc<Core>: FromRef<S>,
{
    Router::new()
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/api/v1/blocks", get(blocks::list))
        .route("/api/v1/blocks/{ref}", get(blocks::show))
        .route("/api/v1/messages", get(mail::messages))
        .route("/api/v1/audit", get(mail::audit))
}

/// Routes that act on the running relay.
pub(super) fn relay_routes() -> Router<Relay> {
    Router::new()
        .route("/api/v1/blocks", post(blocks::open))
        .route("/api/v1/blocks/{ref}/release", post(blocks::release))
        .route("/api/v1/senders", get(senders::list))
        .route("/api/v1/senders/{key}", get(senders::show))
        .route("/api/v1/policy/{sender}", get(senders::policy))
        .route("/api/v1/held", get(mail::held))
        .route("/api/v1/held/{id}/{verb}", post(mail::act_on_held))
        .route("/api/v1/messages/{id}/label", post(mail::label))
        .route("/api/v1/queue", get(mail::queue))
        .route("/api/v1/queue/{id}", get(mail::show))
        .route("/api/v1/queue/{id}/{verb}", post(mail::act_on_queue))
}
