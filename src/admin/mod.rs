//! HTTP API and pages over typed commands: `/api/v1`, `/metrics`, `/health`, the admin's first
//! page, and the public page a blocked sender may open. Nothing acts on a GET.

mod api;
mod auth;
mod hosts;
mod listener;
mod problem;
mod public;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod token;
mod ui;

use problem::Problem;

use crate::config::Settings;
use crate::detector::Detector;
use crate::env::Clock;
use crate::learn::Labels;
use crate::moderation::Moderation;
use crate::queue::Queue;
use crate::records::{AuditEntry, Records};
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, Request, State as With};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use metrics_exporter_prometheus::PrometheusHandle;
use sha2::{Digest as _, Sha256};
use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::watch;

/// Largest body a request may have.
const BODY_OCTETS: usize = 64 * 1024;
/// Longest a request may take.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// What the admin side works with.
#[derive(Clone)]
pub(crate) struct AdminState {
    pub settings: watch::Receiver<Arc<Settings>>,
    pub clock: Arc<dyn Clock>,
    pub records: Records,
    /// The detector: standing of senders.
    pub detector: Arc<Detector>,
    pub queue: Queue,
    /// Where blocks are opened and released.
    pub moderation: Arc<Moderation>,
    /// Teaches labels of messages.
    pub labels: Labels,
    pub metrics: PrometheusHandle,
    /// Why the relay is not ready; empty = ready.
    pub health: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// What every request needs: identity of the caller, records, time.
struct Core {
    settings: watch::Receiver<Arc<Settings>>,
    clock: Arc<dyn Clock>,
    records: Records,
    metrics: PrometheusHandle,
    health: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// SHA-256 of the token in `<data_dir>/admin.token`, read when the server starts.
    operator_sha256: Option<String>,
    sessions: ui::session::UiSessions,
}

impl Core {
    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    async fn audit(
        &self,
        actor: &str,
        action: &str,
        subject: &str,
        detail: &str,
    ) -> Result<(), Problem> {
        let entry = AuditEntry {
            time: self.clock.now(),
            actor: actor.into(),
            action: action.into(),
            subject: subject.into(),
            detail: detail.into(),
        };
        Ok(self.records.audit(entry).await?)
    }
}

/// State of the routes that act on the running relay.
#[derive(Clone)]
struct RelayRoutes {
    core: Arc<Core>,
    detector: Arc<Detector>,
    queue: Queue,
    moderation: Arc<Moderation>,
    labels: Labels,
}

impl FromRef<RelayRoutes> for Arc<Core> {
    fn from_ref(relay: &RelayRoutes) -> Self {
        Self::clone(&relay.core)
    }
}

fn core(state: &AdminState) -> Arc<Core> {
    let settings = Arc::clone(&state.settings.borrow());
    let operator = token::read(&settings.server.data_dir).map_err(|e| {
        tracing::warn!(path = %token::path(&settings.server.data_dir).display(), error = %e, "no operator token");
    });
    Arc::new(Core {
        settings: state.settings.clone(),
        clock: Arc::clone(&state.clock),
        records: state.records.clone(),
        metrics: state.metrics.clone(),
        health: Arc::clone(&state.health),
        operator_sha256: operator.ok().map(|t| token::sha256_hex(&t)),
        sessions: ui::session::UiSessions::default(),
    })
}

/// Everything on `[admin] bind`. Reads `<data_dir>/admin.token`, which [`token::ensure`] must have
/// made before.
fn router(state: AdminState) -> Router {
    let core = core(&state);
    let relay = RelayRoutes {
        core: Arc::clone(&core),
        detector: state.detector,
        queue: state.queue,
        moderation: state.moderation,
        labels: state.labels,
    };
    bounded(for_us(all_routes().with_state(relay), core))
}

/// Answers browsers only under one of our names, and acts only on requests from our own pages. The
/// public pages need neither: they show the same under any name, have no session and never act.
fn for_us(router: Router, core: Arc<Core>) -> Router {
    router.layer(middleware::from_fn_with_state(core, hosts::guard))
}

fn all_routes() -> Router<RelayRoutes> {
    core_routes().merge(api::routes()).merge(ui::relay_routes())
}

/// Routes that need records only, without those of the API.
fn core_routes<S: Clone + Send + Sync + 'static>() -> Router<S>
where
    Arc<Core>: FromRef<S>,
{
    Router::new()
        .route("/metrics", get(metrics_text))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .merge(ui::core_routes())
}

/// Limits and headers that hold for every route, and problem objects for what no route answers.
fn bounded(router: Router) -> Router {
    router
        .fallback(|| async { Problem::not_found("there is no such resource") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(DefaultBodyLimit::max(BODY_OCTETS))
        .layer(middleware::from_fn(guard))
}

/// Pages load nothing and run nothing; their one style is allowed by its hash.
static SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(ui::STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// Ends requests that take too long, and sets the headers that keep pages from being framed,
/// sniffed or cached.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable(&"a request took too long").into_response(),
    };
    let plain = |r: &Response| {
        r.headers()
            .get(header::CONTENT_TYPE)
            .is_none_or(|t| t.as_bytes().starts_with(b"text/plain"))
    };
    if (response.status().is_client_error() || response.status().is_server_error())
        && plain(&response)
    {
        // What the framework refuses by itself (a path that is no UTF-8) gets the same form as our
        // own problems.
        response = Problem::of_status(response.status()).into_response();
    }
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, SECURITY_POLICY.clone());
    // Not "no-referrer": browsers would then hide where a form comes from even from the site it
    // comes from.
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn metrics_text(With(core): With<Arc<Core>>) -> Response {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        core.metrics.render(),
    )
        .into_response()
}

async fn live() -> Response {
    axum::Json(serde_json::json!({ "status": "live" })).into_response()
}

async fn ready(With(core): With<Arc<Core>>) -> Response {
    let reasons = (core.health)();
    let (status, word) = if reasons.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    (
        status,
        axum::Json(serde_json::json!({ "status": word, "reasons": reasons })),
    )
        .into_response()
}

/// Serves [`router`] until `shutdown` ends, then lets running requests finish.
pub(crate) async fn serve(
    listener: tokio::net::TcpListener,
    state: AdminState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener::Limited::new(listener), router(state))
        .with_graceful_shutdown(shutdown)
        .await
}

/// Serves [`public_router`] until `shutdown` ends, then lets running requests finish.
pub(crate) async fn serve_public(
    listener: tokio::net::TcpListener,
    state: AdminState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener::Limited::new(listener), public_router(state))
        .with_graceful_shutdown(shutdown)
        .await
}

/// Everything on `[public] bind`: `/blocked/{ref}` and `/delist`, which show and never act.
fn public_router(state: AdminState) -> Router {
    bounded(public::routes().with_state(core(&state)))
}
