//! `/api/v1`: handlers turn requests into commands, and values into the structs of `crate::api`.
//! Each route is listed here once; its handler holds its text for the OpenAPI document.

mod audit;
mod blocks;
mod messages;
mod openapi;
mod queue;
mod request;
mod senders;

pub(super) use blocks::{released, releases_left, visible_block};

use super::{Core, RelayRoutes};
use axum::Router;
use axum::extract::FromRef;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where the routes lie.
const BASE: &str = "/api/v1";

/// Routes that need records only.
fn core_api<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S>
where
    Arc<Core>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(openapi::show_document))
        .routes(routes!(blocks::list_blocks))
        .routes(routes!(blocks::show_block))
        .routes(routes!(messages::search_messages))
        .routes(routes!(audit::list_audit))
}

/// Routes that act on the running relay.
fn relay_api() -> OpenApiRouter<RelayRoutes> {
    OpenApiRouter::new()
        .routes(routes!(blocks::open_block))
        .routes(routes!(blocks::release_block))
        .routes(routes!(senders::list_senders))
        .routes(routes!(senders::show_sender))
        .routes(routes!(senders::explain_policy))
        .routes(routes!(messages::label_message))
        .routes(routes!(queue::list_held))
        .routes(routes!(queue::release_held))
        .routes(routes!(queue::delete_held))
        .routes(routes!(queue::list_queue))
        .routes(routes!(queue::show_queued))
        .routes(routes!(queue::retry_queued))
        .routes(routes!(queue::hold_queued))
        .routes(routes!(queue::release_queued))
        .routes(routes!(queue::bounce_queued))
}

/// All routes below [`BASE`].
pub(super) fn routes() -> Router<RelayRoutes> {
    Router::new().nest(BASE, core_api().merge(relay_api()).into())
}

/// Those of the routes that need records only.
#[cfg(test)]
pub(super) fn core_routes() -> Router<Arc<Core>> {
    Router::new().nest(BASE, core_api().into())
}
