//! Reading requests: query strings and JSON bodies, with problem objects for what is wrong in them.

use crate::admin::problem::Problem;
use crate::api::Page;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// Items of a page where no `limit` is given.
const DEFAULT_LIMIT: usize = 100;
/// Most items of a page.
const LARGEST_LIMIT: usize = 1000;

/// Query parameters; unknown ones and wrong types are a 400.
pub(super) struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(value)| Self(value))
            .map_err(|e| Problem::bad_request(e.body_text()))
    }
}

/// A JSON body, whatever content type was declared; an empty body reads as `{}`.
pub(super) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|e: BytesRejection| {
                if e.status() == StatusCode::PAYLOAD_TOO_LARGE {
                    Problem::too_large("a body has at most 65536 octets")
                } else {
                    Problem::bad_request(e.body_text())
                }
            })?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text)
            .map(Self)
            .map_err(|e| Problem::bad_request(format!("the body is not the JSON wanted here: {e}")))
    }
}

pub(super) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked.unwrap_or(DEFAULT_LIMIT) {
        n @ 1..=LARGEST_LIMIT => Ok(n),
        _ => Err(Problem::field(
            "limit",
            format!("limit is 1 to {LARGEST_LIMIT}"),
        )),
    }
}

/// Reads `cursor` with `parse`.
pub(super) fn cursor<T>(
    asked: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    asked
        .map(|text| {
            parse(text).ok_or_else(|| {
                Problem::field("cursor", "this cursor was not given out by this list")
            })
        })
        .transpose()
}

/// A page of a list. `next` is given only when the page is full: there may be more.
pub(super) fn page<T>(items: Vec<T>, limit: usize, next: Option<String>) -> Json<Page<T>> {
    let next = next.filter(|_| items.len() >= limit);
    Json(Page { items, next })
}
