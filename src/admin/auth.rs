//! Who calls: bearer tokens, roles and tenants.

use super::problem::Problem;
use super::{Core, token};
use crate::moderation::Actor;
use crate::types::Role;
use crate::types::TenantId;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The person or program behind a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller(pub Actor);

impl Caller {
    /// Whether this caller may see objects of that tenant. `None` = belongs to no tenant: only for
    /// callers who see all.
    pub(super) fn sees(&self, tenant: Option<&TenantId>) -> bool {
        self.0.tenant.is_none() || self.0.tenant.as_ref() == tenant
    }

    pub(super) fn sees_all(&self) -> Result<(), Problem> {
        match self.0.tenant {
            None => Ok(()),
            Some(_) => Err(Problem::forbidden("this is for operators")),
        }
    }

    /// May change things: admin or operator.
    pub(super) fn may_act(&self) -> Result<(), Problem> {
        match self.0.role {
            Role::Admin | Role::Operator => Ok(()),
            Role::Viewer | Role::Smtp => Err(Problem::forbidden(format!(
                "the role {} may only read; this needs admin or operator",
                self.0.role.as_str()
            ))),
        }
    }

    pub(super) fn is_operator(&self) -> bool {
        self.0.role == Role::Operator
    }
}

/// Finds the holder of a secret by its SHA-256 (hex). Every stored hash is compared, each in
/// constant time.
pub(super) async fn find(core: &Core, sha256: &str) -> Result<Option<Actor>, Problem> {
    let mut found = None;
    for token in core.records.tokens().await? {
        if bool::from(token.sha256.as_bytes().ct_eq(sha256.as_bytes())) {
            found = Some(Actor {
                name: token.name,
                role: token.role,
                tenant: token.tenant,
            });
        }
    }
    if let Some(operator) = &core.operator_sha256
        && bool::from(operator.as_bytes().ct_eq(sha256.as_bytes()))
    {
        found = Some(Actor {
            name: token::OPERATOR.into(),
            role: Role::Operator,
            tenant: None,
        });
    }
    Ok(found.map(|actor| match actor.role {
        // An operator is bound to no tenant, whatever the record says.
        Role::Operator => Actor {
            tenant: None,
            ..actor
        },
        _ => actor,
    }))
}

/// Whether this role may use the API at all. An admin without a tenant could act on everything and
/// is refused.
pub(super) fn admitted(actor: Actor) -> Result<Caller, Problem> {
    match actor.role {
        Role::Smtp => Err(Problem::forbidden(
            "the role smtp sends mail and nothing else",
        )),
        Role::Admin if actor.tenant.is_none() => {
            Err(Problem::forbidden("an admin token needs a tenant"))
        }
        _ => Ok(Caller(actor)),
    }
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<Core>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let core = Arc::<Core>::from_ref(state);
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .ok_or_else(|| Problem::unauthenticated("a bearer token is needed"))?;
        // RFC 9110 section 11.1: the scheme is case-insensitive.
        let secret = header
            .to_str()
            .ok()
            .and_then(|h| h.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, secret)| secret.trim())
            .ok_or_else(|| {
                Problem::unauthenticated("the Authorization header must be: Bearer TOKEN")
            })?;
        let actor = find(&core, &token::sha256_hex(secret)).await?;
        admitted(actor.ok_or_else(|| Problem::unauthenticated("this token is unknown or revoked"))?)
    }
}
