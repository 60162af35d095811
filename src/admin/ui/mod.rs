//! The first pages: who is blocked, why, and the form that releases. They work without JavaScript;
//! only POST acts, and only with the session's own CSRF token.

pub(super) mod session;

use super::auth::{self, Caller};
use super::{Core, Problem, RelayRoutes, api, token};
use crate::records::BlockQuery;
use crate::score::explain::sentence;
use crate::types::Role;
use crate::types::{Block, BlockRef, BlockState, Evidence, Time};
use askama::Template;
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRef, FromRequestParts, Path, State as With};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use session::Session;
use std::sync::Arc;
use subtle::ConstantTimeEq;

const COOKIE: &str = "outgate_session";
/// Identifies a browser that has the login page open: the form of that page carries the same word.
const LOGIN_COOKIE: &str = "outgate_login";
/// Blocks on the first page; the API and the command line show the others.
const SHOWN: usize = 200;
/// The style of all pages, in each of them: the public listener has no other resource than its two
/// pages.
pub(super) const STYLE: &str = include_str!("style.css");

pub(super) fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(e) => Problem::unavailable(&e).into_response(),
    }
}

#[derive(Template)]
#[template(path = "login.html", config = "src/admin/ui/askama.toml")]
struct LoginPage {
    csrf: String,
    error: Option<String>,
    /// Reference of the block to show after the login: a mailed link does not carry a
    /// `SameSite=Strict` cookie.
    then: Option<BlockRef>,
}

/// The block whose page this path is.
fn block_in(path: &str) -> Option<BlockRef> {
    BlockRef::parse(path.strip_prefix("/blocks/")?)
}

/// A time as people read it; in UTC, as the pages say.
fn shown(time: Time) -> String {
    time.rfc3339().replace('T', " ").replace('Z', "")
}

/// A row of the first page.
struct BlockRow {
    reference: String,
    kind: &'static str,
    subject: String,
    tenant: String,
    why: String,
    since: String,
    until: String,
    state: &'static str,
}

impl BlockRow {
    fn of(block: &Block) -> Self {
        Self {
            reference: block.reference.to_string(),
            kind: block.kind.as_str(),
            subject: block.subject.clone(),
            tenant: block
                .tenant
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            why: if block.explanation.is_empty() {
                block.reason.as_str().into()
            } else {
                block.explanation.clone()
            },
            since: shown(block.opened_at),
            until: block.until.map_or_else(|| "it is released".into(), shown),
            state: match block.state {
                BlockState::Active => "active",
                BlockState::Released => "released",
                BlockState::Expired => "expired",
            },
        }
    }
}

#[derive(Template)]
#[template(path = "blocks.html", config = "src/admin/ui/askama.toml")]
struct BlocksPage {
    name: String,
    csrf: String,
    rows: Vec<BlockRow>,
    more: bool,
}

/// One piece of evidence as shown.
struct EvidenceRow {
    message_id: String,
    time: String,
    percent: String,
    llr: String,
    recipients: u32,
    symbols: String,
}

impl EvidenceRow {
    fn of(e: &Evidence) -> Self {
        Self {
            message_id: e.message_id.to_string(),
            time: shown(e.time),
            percent: if e.is_outcome() {
                "later".to_owned()
            } else {
                format!("{:.1} %", e.probability * 100.0)
            },
            llr: if e.is_outcome() {
                String::new()
            } else {
                format!("{:+.1}", e.llr)
            },
            recipients: e.recipients,
            symbols: e
                .symbols
                .iter()
                .map(|s| format!("{} {:+.1}", sentence(&s.name), s.weight))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

#[derive(Template)]
#[template(path = "block.html", config = "src/admin/ui/askama.toml")]
struct BlockPage {
    name: String,
    csrf: String,
    row: BlockRow,
    opened_by: String,
    ended: String,
    released_by: String,
    note: String,
    proofs: Vec<EvidenceRow>,
    releases_left: u32,
    may_release: bool,
    error: Option<String>,
}

/// Who is logged in, with the session. A request without it gets the login page.
struct Visitor {
    caller: Caller,
    session: Session,
}

fn cookie<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    let all = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|h| h.to_str().ok())
        .flat_map(|h| h.split(';'));
    all.filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == wanted)
        .map(|(_, value)| value)
}

impl<S> FromRequestParts<S> for Visitor
where
    S: Send + Sync,
    Arc<Core>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let core = Arc::<Core>::from_ref(state);
        let session = cookie(&parts.headers, COOKIE)
            .and_then(|cookie| core.sessions.find(core.clock.now(), cookie));
        let then = block_in(parts.uri.path());
        let Some(session) = session else {
            return Err(login_page(
                &core,
                &parts.headers,
                StatusCode::OK,
                None,
                then,
            ));
        };
        let actor = auth::find(&core, &session.sha256)
            .await
            .map_err(IntoResponse::into_response)?;
        let caller = actor.and_then(|actor| auth::admitted(actor).ok());
        match caller {
            Some(caller) => Ok(Self { caller, session }),
            None => Err(login_page(
                &core,
                &parts.headers,
                StatusCode::OK,
                Some("This token has been revoked."),
                then,
            )),
        }
    }
}

/// The login page. It sets a random word in a cookie and puts the same word into its form, so that
/// no other site can log this browser in under a token of its choice.
fn login_page(
    core: &Core,
    headers: &HeaderMap,
    status: StatusCode,
    error: Option<&str>,
    then: Option<BlockRef>,
) -> Response {
    // All open login pages share one word: else a second tab would invalidate the first.
    let known = cookie(headers, LOGIN_COOKIE)
        .filter(|word| token::is_fresh(word))
        .map(str::to_owned);
    let csrf = match known.map_or_else(token::fresh, Ok) {
        Ok(word) => word,
        Err(e) => return Problem::unavailable(&e).into_response(),
    };
    let set = set_cookie(core, LOGIN_COOKIE, &csrf);
    let page = LoginPage {
        csrf,
        error: error.map(Into::into),
        then,
    };
    with_cookie((status, html(&page)).into_response(), &set)
}

/// A cookie for these pages alone. If people reach the pages by https, it is never sent in the
/// clear.
fn set_cookie(core: &Core, name: &str, value: &str) -> String {
    let https = core
        .settings()
        .admin
        .url
        .as_deref()
        .is_some_and(|url| url.starts_with("https://"));
    format!(
        "{name}={value}; Path=/; HttpOnly; SameSite=Strict{}",
        if https { "; Secure" } else { "" }
    )
}

#[derive(Deserialize)]
struct LoginForm {
    token: String,
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    then: String,
}

async fn login(
    With(core): With<Arc<Core>>,
    headers: HeaderMap,
    form: Result<Form<LoginForm>, FormRejection>,
) -> Result<Response, Problem> {
    let Ok(Form(form)) = form else {
        return Err(Problem::bad_request("the form wants a token"));
    };
    let then = BlockRef::parse(&form.then);
    let again = |error| {
        Ok(login_page(
            &core,
            &headers,
            StatusCode::FORBIDDEN,
            Some(error),
            then,
        ))
    };
    let word = cookie(&headers, LOGIN_COOKIE)
        .filter(|word| token::is_fresh(word))
        .unwrap_or_default();
    if word.is_empty() || !bool::from(word.as_bytes().ct_eq(form.csrf.as_bytes())) {
        return again(
            "The form did not come from this page, or the browser keeps no cookies. Send it again.",
        );
    }
    let sha256 = token::sha256_hex(form.token.trim());
    let caller = auth::find(&core, &sha256)
        .await?
        .and_then(|actor| auth::admitted(actor).ok());
    if caller.is_none() {
        return again("This token is unknown, revoked, or not made for this page.");
    }
    let cookie = core
        .sessions
        .open(core.clock.now(), sha256)
        .map_err(|e| Problem::unavailable(&e))?;
    let to = then.map_or_else(
        || "/".to_owned(),
        |reference| format!("/blocks/{reference}"),
    );
    Ok(with_cookie(
        Redirect::to(&to).into_response(),
        &set_cookie(&core, COOKIE, &cookie),
    ))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

fn csrf_holds(session: &Session, given: &str) -> Result<(), Problem> {
    if bool::from(session.csrf.as_bytes().ct_eq(given.as_bytes())) {
        Ok(())
    } else {
        Err(Problem::forbidden(
            "this form is not from your session; reload the page and send it again",
        ))
    }
}

#[derive(Deserialize)]
struct LogoutForm {
    csrf: String,
}

async fn logout(
    visitor: Visitor,
    With(core): With<Arc<Core>>,
    headers: HeaderMap,
    form: Result<Form<LogoutForm>, FormRejection>,
) -> Result<Response, Problem> {
    let Ok(Form(form)) = form else {
        return Err(Problem::bad_request("the form is incomplete"));
    };
    csrf_holds(&visitor.session, &form.csrf)?;
    if let Some(cookie) = cookie(&headers, COOKIE) {
        core.sessions.close(cookie);
    }
    let gone = format!("{}; Max-Age=0", set_cookie(&core, COOKIE, ""));
    Ok(with_cookie(Redirect::to("/").into_response(), &gone))
}

async fn first_page(visitor: Visitor, With(core): With<Arc<Core>>) -> Result<Response, Problem> {
    let query = BlockQuery {
        state: Some(BlockState::Active),
        tenant: visitor.caller.0.tenant.clone(),
        limit: SHOWN,
        ..BlockQuery::default()
    };
    let blocks = core.records.blocks(query).await?;
    Ok(html(&BlocksPage {
        name: visitor.caller.0.name,
        csrf: visitor.session.csrf,
        more: blocks.len() >= SHOWN,
        rows: blocks.iter().map(BlockRow::of).collect(),
    }))
}

async fn block_page(
    core: &Core,
    visitor: Visitor,
    block: &Block,
    error: Option<String>,
) -> Result<Response, Problem> {
    let releases_left = api::releases_left(core, block).await?;
    let acts = visitor.caller.may_act().is_ok();
    Ok(html(&BlockPage {
        row: BlockRow::of(block),
        opened_by: block.opened_by.clone(),
        ended: block.ended_at.map(shown).unwrap_or_default(),
        released_by: block.released_by.clone().unwrap_or_default(),
        note: block.note.clone().unwrap_or_default(),
        proofs: block.evidence.iter().map(EvidenceRow::of).collect(),
        may_release: acts
            && block.state == BlockState::Active
            && (visitor.caller.0.role == Role::Operator || releases_left > 0),
        releases_left,
        name: visitor.caller.0.name,
        csrf: visitor.session.csrf,
        error,
    }))
}

async fn show_block(
    visitor: Visitor,
    With(core): With<Arc<Core>>,
    Path(reference): Path<String>,
) -> Result<Response, Problem> {
    let block = api::visible_block(&core, &visitor.caller, &reference).await?;
    block_page(&core, visitor, &block, None).await
}

#[derive(Deserialize)]
struct ReleaseForm {
    csrf: String,
    #[serde(default)]
    verdict: String,
    #[serde(default)]
    reason: String,
}

async fn release(
    visitor: Visitor,
    With(relay): With<RelayRoutes>,
    Path(reference): Path<String>,
    form: Result<Form<ReleaseForm>, FormRejection>,
) -> Result<Response, Problem> {
    let Ok(Form(form)) = form else {
        return Err(Problem::bad_request("the form is incomplete"));
    };
    csrf_holds(&visitor.session, &form.csrf)?;
    match api::released(
        &relay,
        &visitor.caller,
        &reference,
        Some(&form.verdict),
        Some(form.reason),
    )
    .await
    {
        Ok(block) => Ok(Redirect::to(&format!("/blocks/{}", block.reference)).into_response()),
        Err(problem) if problem.status == StatusCode::NOT_FOUND => Err(problem),
        Err(problem) => {
            let block = api::visible_block(&relay.core, &visitor.caller, &reference).await?;
            let page = block_page(&relay.core, visitor, &block, Some(problem.detail)).await?;
            Ok((problem.status, page).into_response())
        }
    }
}

/// Pages that only read.
pub(super) fn core_routes<S: Clone + Send + Sync + 'static>() -> Router<S>
where
    Arc<Core>: FromRef<S>,
{
    Router::new()
        .route("/", get(first_page))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/blocks/{ref}", get(show_block))
}

pub(super) fn relay_routes() -> Router<RelayRoutes> {
    Router::new().route("/blocks/{ref}/release", post(release))
}
