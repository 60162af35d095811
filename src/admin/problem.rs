//! Errors of the HTTP API as problem objects (RFC 9457).

use crate::api::ProblemObject;
use crate::moderation::ModerationError;
use crate::records::RecordsError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// One problem object with its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub status: StatusCode,
    /// Last part of the type URI; `None` = `about:blank`.
    pub kind: Option<&'static str>,
    /// What this occurrence is about, for people.
    pub detail: String,
    /// The field of the request that is wrong.
    pub field: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, kind: Option<&'static str>, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            field: None,
        }
    }

    /// 400: the request cannot be read.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("bad-request"), detail)
    }

    /// 422: it can be read, but this field makes no sense.
    pub(super) fn field(field: &'static str, detail: impl Into<String>) -> Self {
        Self {
            field: Some(field),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                Some("invalid-field"),
                detail,
            )
        }
    }

    /// 401: the caller is unknown.
    pub(super) fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Some("unauthenticated"), detail)
    }

    /// 403: known, but not allowed.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, Some("forbidden"), detail)
    }

    /// 404. Also for what belongs to another tenant.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Some("not-found"), detail)
    }

    /// 409: the object is no longer in the state that this needs.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, Some("conflict"), detail)
    }

    /// 421: it came under a name that is not ours (RFC 9110 section 15.5.20).
    pub(super) fn misdirected(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, Some("misdirected"), detail)
    }

    /// 413.
    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Some("too-large"), detail)
    }

    /// A status that the framework set, without details.
    pub(super) fn of_status(status: StatusCode) -> Self {
        Self::new(status, None, "the request cannot be read")
    }

    /// 405.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            None,
            "this resource does not take that method",
        )
    }

    /// 503: our fault and temporary; the log names the cause, the reply does not.
    pub(super) fn unavailable(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "the admin API could not do its work");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Some("unavailable"),
            "the relay could not do this now; try again",
        )
    }

    /// As it goes over the wire.
    fn object(&self) -> ProblemObject {
        let kind = self
            .kind
            .map_or_else(|| "about:blank".to_owned(), |k| format!("/problems/{k}"));
        ProblemObject {
            kind,
            title: self.status.canonical_reason().unwrap_or("Error").into(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            field: self.field.map(Into::into),
        }
    }
}

impl From<RecordsError> for Problem {
    fn from(e: RecordsError) -> Self {
        match e {
            RecordsError::NotFound => Self::not_found("there is nothing of that name"),
            RecordsError::Exists => Self::conflict("that exists already"),
            RecordsError::Failed(_) | RecordsError::Damaged(_) => Self::unavailable(&e),
        }
    }
}

impl From<ModerationError> for Problem {
    fn from(e: ModerationError) -> Self {
        match e {
            ModerationError::NotFound => Self::not_found("there is no such block"),
            ModerationError::NotActive => Self::conflict("this block has ended already"),
            ModerationError::QuotaUsedUp => Self::new(
                StatusCode::FORBIDDEN,
                Some("release-quota"),
                "the releases a tenant may make for this subject in 30 days are used up; an operator must release it",
            ),
            ModerationError::OperatorOnly(reference) => Self::forbidden(format!(
                "block {reference} stops this message, and only an operator may end that block"
            )),
            ModerationError::Failed(why) => Self::unavailable(&why),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.object())).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 11.6.1, RFC 6750 section 3.
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"outgate\""),
            );
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moderation_errors_have_their_status_and_type() {
        let table = [
            (ModerationError::NotFound, 404, "/problems/not-found"),
            (ModerationError::NotActive, 409, "/problems/conflict"),
            (ModerationError::QuotaUsedUp, 403, "/problems/release-quota"),
            (
                ModerationError::OperatorOnly(crate::types::BlockRef::from_random(1)),
                403,
                "/problems/forbidden",
            ),
            (
                ModerationError::Failed("disk".into()),
                503,
                "/problems/unavailable",
            ),
        ];
        for (error, status, kind) in table {
            let problem = Problem::from(error.clone()).object();
            assert_eq!(
                (problem.status, problem.kind.as_str()),
                (status, kind),
                "{error:?}"
            );
            assert!(!problem.detail.contains("disk"), "causes stay in the log");
        }
    }
}
