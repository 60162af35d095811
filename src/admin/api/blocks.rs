//! Blocks: list, show, open, release.

use super::request::{Body, Params, cursor, limit, page};
use crate::admin::auth::Caller;
use crate::admin::{Core, Problem, RelayRoutes};
use crate::api::{BlockFilter, BlockItem, OpenBlock, Page, ReleaseBlock};
use crate::blocks::active::NULL_SENDER;
use crate::blocks::rules;
use crate::blocks::subject;
use crate::config::Settings;
use crate::records::{BlockQuery, RecordsError};
use crate::types::NewBlock;
use crate::types::{
    Address, Block, BlockKind, BlockRef, BlockState, Domain, Reason, ReleaseVerdict, SenderScope,
    TenantId, Time,
};
use axum::Json;
use axum::extract::{Path, State as With};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Longest reason a person may give.
const REASON_OCTETS: usize = 2000;

fn parse_cursor(text: &str) -> Option<(Time, BlockRef)> {
    let (time, reference) = text.split_once('~')?;
    Some((Time(time.parse().ok()?), BlockRef::parse(reference)?))
}

/// Releases that tenant admins have left for this block's subject.
pub(in crate::admin) async fn releases_left(core: &Core, block: &Block) -> Result<u32, Problem> {
    let since = core
        .clock
        .now()
        .before(Duration::from_secs(rules::QUOTA_DAYS * 86_400));
    let used = core
        .records
        .tenant_releases(block.tenant.as_ref(), block.kind, &block.subject, since)
        .await?;
    let quota = core.settings().blocks.releases_by_tenant;
    Ok(rules::releases_left(block, used, quota))
}

async fn shown(core: &Core, block: &Block) -> Result<BlockItem, Problem> {
    Ok(BlockItem::new(block, releases_left(core, block).await?))
}

/// Blocks, newest first.
#[utoipa::path(
    get,
    path = "/blocks",
    params(BlockFilter),
    responses((status = 200, body = Page<BlockItem>))
)]
pub(super) async fn list_blocks(
    caller: Caller,
    With(core): With<Arc<Core>>,
    Params(filter): Params<BlockFilter>,
) -> Result<Json<Page<BlockItem>>, Problem> {
    let state = match filter.state.as_deref() {
        None => None,
        Some("active") => Some(BlockState::Active),
        Some("released") => Some(BlockState::Released),
        Some("expired") => Some(BlockState::Expired),
        Some(_) => {
            return Err(Problem::field(
                "state",
                "state is active, released or expired",
            ));
        }
    };
    let asked = filter.tenant.as_deref().map(TenantId::new);
    let tenant = match (&caller.0.tenant, asked) {
        (Some(own), Some(asked)) if *own != asked => return Ok(page(Vec::new(), 1, None)),
        (Some(own), _) => Some(own.clone()),
        (None, asked) => asked,
    };
    let limit = limit(filter.limit)?;
    let after = cursor(filter.cursor.as_deref(), parse_cursor)?;
    let query = BlockQuery {
        state,
        tenant,
        subject: filter.subject,
        after,
        limit,
    };
    let blocks = core.records.blocks(query).await?;
    let next = blocks
        .last()
        .map(|b| format!("{}~{}", b.opened_at.0, b.reference));
    let mut items = Vec::with_capacity(blocks.len());
    for block in &blocks {
        items.push(shown(&core, block).await?);
    }
    Ok(page(items, limit, next))
}

/// The block of that reference, if this caller may see it.
pub(in crate::admin) async fn visible_block(
    core: &Core,
    caller: &Caller,
    reference: &str,
) -> Result<Block, Problem> {
    let unknown = || Problem::not_found("there is no such block");
    let reference = BlockRef::parse(reference).ok_or_else(unknown)?;
    let block = core.records.block(reference).await.map_err(|e| match e {
        RecordsError::NotFound => unknown(),
        other => other.into(),
    })?;
    if caller.sees(block.tenant.as_ref()) {
        Ok(block)
    } else {
        Err(unknown())
    }
}

/// One block with its evidence.
#[utoipa::path(
    get,
    path = "/blocks/{ref}",
    params(("ref" = BlockRef, Path)),
    responses((status = 200, body = BlockItem))
)]
pub(super) async fn show_block(
    caller: Caller,
    With(core): With<Arc<Core>>,
    Path(reference): Path<String>,
) -> Result<Json<BlockItem>, Problem> {
    let block = visible_block(&core, &caller, &reference).await?;
    Ok(Json(shown(&core, &block).await?))
}

fn reason(given: Option<String>) -> Result<String, Problem> {
    let text = given.map(|r| r.trim().to_owned()).unwrap_or_default();
    if text.is_empty() {
        return Err(Problem::field(
            "reason",
            "say why: it stands in the record and in the audit",
        ));
    }
    if text.len() > REASON_OCTETS || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Problem::field(
            "reason",
            format!("a reason is plain text of at most {REASON_OCTETS} octets"),
        ));
    }
    Ok(text)
}

/// The tenant that owns the domain of this subject.
fn owner(settings: &Settings, kind: BlockKind, subject: &str) -> Option<TenantId> {
    let domain = match kind {
        BlockKind::Sender => Address::parse(subject)?.domain().clone(),
        BlockKind::Domain => Domain::parse(subject)?,
        BlockKind::Tenant => {
            return settings
                .tenant(&TenantId::new(subject))
                .map(|t| t.id.clone());
        }
        BlockKind::Client | BlockKind::Website => return None,
    };
    settings
        .tenants
        .iter()
        .find(|t| t.is_internal(&domain))
        .map(|t| t.id.clone())
}

/// The tenant a new block belongs to, if this caller may open it.
fn tenant_of(
    settings: &Settings,
    caller: &Caller,
    kind: BlockKind,
    subject: &str,
    asked: Option<&str>,
) -> Result<Option<TenantId>, Problem> {
    let asked = match asked {
        None => None,
        Some(name) => match settings.tenant(&TenantId::new(name)) {
            Some(tenant) => Some(tenant.id.clone()),
            None => {
                return Err(Problem::field(
                    "tenant",
                    "no tenant of that name is configured",
                ));
            }
        },
    };
    let owner = owner(settings, kind, subject);
    if kind == BlockKind::Tenant && owner.is_none() {
        return Err(Problem::field(
            "subject",
            "no tenant of that name is configured",
        ));
    }
    if caller.is_operator() {
        // Each tenant may have an "alice": without a tenant all of them would be stopped.
        let bare = kind == BlockKind::Sender && !subject.contains('@') && subject != NULL_SENDER;
        if bare && asked.is_none() && settings.tenants.len() > 1 {
            return Err(Problem::field(
                "tenant",
                "a login without a domain may exist in several tenants: say whose it is",
            ));
        }
        return Ok(owner.or(asked));
    }
    if !matches!(kind, BlockKind::Sender | BlockKind::Domain) {
        return Err(Problem::forbidden(
            "a tenant admin may block senders and domains; the other kinds are for operators",
        ));
    }
    // A login without domain can only be one of the caller's own tenant: the block applies there.
    let own_login = kind == BlockKind::Sender && !subject.contains('@');
    if caller.0.tenant.is_some() && (owner == caller.0.tenant || own_login) {
        Ok(caller.0.tenant.clone())
    } else {
        Err(Problem::forbidden(
            "this subject does not belong to your tenant",
        ))
    }
}

fn new_block(
    settings: &Settings,
    now: Time,
    caller: &Caller,
    body: OpenBlock,
) -> Result<NewBlock, Problem> {
    let kind = body
        .kind
        .ok_or_else(|| Problem::field("kind", "kind is missing"))?;
    let kind: BlockKind = serde_json::from_value(Value::String(kind))
        .map_err(|_| Problem::field("kind", "kind is sender, domain, client, tenant or website"))?;
    let subject = subject::check(kind, body.subject.as_deref().unwrap_or_default())
        .map_err(|why| Problem::field("subject", why.to_string()))?;
    let explanation = reason(body.reason)?;
    let until = match body.until.as_deref() {
        None => None,
        Some(text) => {
            let time = Time::parse_rfc3339(text).ok_or_else(|| {
                Problem::field(
                    "until",
                    "until is an RFC 3339 time such as 2026-11-22T14:00:00Z",
                )
            })?;
            if time <= now {
                return Err(Problem::field("until", "until lies in the past"));
            }
            Some(time)
        }
    };
    let tenant = tenant_of(settings, caller, kind, &subject, body.tenant.as_deref())?;
    Ok(NewBlock {
        kind,
        subject,
        scope: SenderScope::Any,
        tenant,
        sender: None,
        reason: Reason::Admin,
        explanation,
        until,
        evidence: Vec::new(),
    })
}

/// Open a block (admin, operator).
#[utoipa::path(
    post,
    path = "/blocks",
    request_body = OpenBlock,
    responses(
        (status = 201, body = BlockItem, headers(("Location", description = "The block"))),
        (status = 200, body = BlockItem, description = "The subject was blocked already"),
    )
)]
pub(super) async fn open_block(
    caller: Caller,
    With(relay): With<RelayRoutes>,
    Body(body): Body<OpenBlock>,
) -> Result<Response, Problem> {
    caller.may_act()?;
    let new = new_block(
        &relay.core.settings(),
        relay.core.clock.now(),
        &caller,
        body,
    )?;
    let (why, until) = (new.explanation.clone(), new.until);
    let asked_at = relay.core.clock.now();
    let block = relay.moderation.open(new, &caller.0.name).await?;
    if block.opened_at < asked_at {
        // The subject was blocked already, and that record stays unchanged: the reply must say so.
        if block.until != until {
            let end = block.until.map_or_else(
                || "until it is released".to_owned(),
                |t| format!("until {}", t.rfc3339()),
            );
            return Err(Problem::conflict(format!(
                "blocked already by {} {end}; release that first",
                block.reference
            )));
        }
        return Ok((StatusCode::OK, Json(shown(&relay.core, &block).await?)).into_response());
    }
    relay
        .core
        .audit(
            &caller.0.name,
            "block.add",
            &block.reference.to_string(),
            &format!("{}: {why}", block.subject),
        )
        .await?;
    let item = shown(&relay.core, &block).await?;
    let at = [(
        header::LOCATION,
        format!("/api/v1/blocks/{}", block.reference),
    )];
    Ok((StatusCode::CREATED, at, Json(item)).into_response())
}

/// Releases a block for both the API and the page.
pub(in crate::admin) async fn released(
    relay: &RelayRoutes,
    caller: &Caller,
    reference: &str,
    verdict: Option<&str>,
    why: Option<String>,
) -> Result<Arc<Block>, Problem> {
    caller.may_act()?;
    let block = visible_block(&relay.core, caller, reference).await?;
    let verdict = match verdict {
        Some("mistake") => ReleaseVerdict::Mistake,
        Some("compromised") => ReleaseVerdict::Compromised,
        _ => {
            return Err(Problem::field(
                "verdict",
                "verdict is mistake or compromised",
            ));
        }
    };
    let why = reason(why)?;
    let block = relay
        .moderation
        .release(block.reference, verdict, &why, &caller.0)
        .await?;
    let name = if verdict == ReleaseVerdict::Mistake {
        "mistake"
    } else {
        "compromised"
    };
    let detail = format!("{} ({name}): {why}", block.subject);
    relay
        .core
        .audit(
            &caller.0.name,
            "block.release",
            &block.reference.to_string(),
            &detail,
        )
        .await?;
    Ok(block)
}

/// End a block (admin, operator).
#[utoipa::path(
    post,
    path = "/blocks/{ref}/release",
    params(("ref" = BlockRef, Path)),
    request_body = ReleaseBlock,
    responses((status = 200, body = BlockItem))
)]
pub(super) async fn release_block(
    caller: Caller,
    With(relay): With<RelayRoutes>,
    Path(reference): Path<String>,
    Body(body): Body<ReleaseBlock>,
) -> Result<Json<BlockItem>, Problem> {
    let block = released(
        &relay,
        &caller,
        &reference,
        body.verdict.as_deref(),
        body.reason,
    )
    .await?;
    Ok(Json(shown(&relay.core, &block).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moderation::Actor;
    use crate::types::Role;
    use serde_json::json;

    fn caller(role: Role, tenant: Option<&str>) -> Caller {
        Caller(Actor {
            name: "x".into(),
            role,
            tenant: tenant.map(TenantId::new),
        })
    }

    fn try_open(
        caller: &Caller,
        body: Value,
    ) -> Result<Option<String>, (u16, Option<&'static str>)> {
        let settings = crate::admin::tests::settings(std::path::Path::new("data"));
        let body: OpenBlock = serde_json::from_value(body).expect("fields");
        new_block(&settings, Time::from_secs(1_795_356_000), caller, body)
            .map(|new| new.tenant.map(|t| t.to_string()))
            .map_err(|p| (p.status.as_u16(), p.field))
    }

    #[test]
    fn who_may_block_what() {
        let anna = caller(Role::Admin, Some("acme"));
        let olaf = caller(Role::Operator, None);
        let body = |kind: &str, subject: &str| json!({ "kind": kind, "subject": subject, "reason": "spam" });
        let acme = Ok(Some("acme".to_owned()));
        let table = [
            (&anna, body("sender", "alice@acme.example"), acme.clone()),
            (&anna, body("sender", "alice"), acme.clone()),
            (&anna, body("domain", "ACME.example"), acme.clone()),
            (&anna, body("sender", "bob@other.example"), Err((403, None))),
            (
                &anna,
                body("sender", "bob@sub.acme.example"),
                Err((403, None)),
            ),
            (&anna, body("domain", "other.example"), Err((403, None))),
            (&anna, body("client", "192.0.2.1"), Err((403, None))),
            (&anna, body("tenant", "acme"), Err((403, None))),
            (&anna, body("website", "bad.example"), Err((403, None))),
            (&olaf, body("sender", "alice@acme.example"), acme.clone()),
            (&olaf, body("tenant", "acme"), acme),
            (&olaf, body("tenant", "nobody"), Err((422, Some("subject")))),
            (&olaf, body("client", "192.0.2.1"), Ok(None)),
            // Each tenant may have an "alice"; nobody is meant by the null sender.
            (&olaf, body("sender", "alice"), Err((422, Some("tenant")))),
            (&olaf, body("sender", "<>"), Ok(None)),
            (&olaf, body("website", "bad.example"), Ok(None)),
        ];
        for (who, body, want) in table {
            assert_eq!(try_open(who, body.clone()), want, "{:?} {body}", who.0.role);
        }
        let forwarded = json!({ "kind": "sender", "subject": "x@far.example", "reason": "r", "tenant": "other" });
        assert_eq!(try_open(&olaf, forwarded), Ok(Some("other".into())));
        let nowhere = json!({ "kind": "sender", "subject": "x@far.example", "reason": "r", "tenant": "nowhere" });
        assert_eq!(try_open(&olaf, nowhere), Err((422, Some("tenant"))));
    }

    #[test]
    fn a_bad_field_is_named() {
        let olaf = caller(Role::Operator, None);
        let good = json!({ "kind": "sender", "subject": "a@acme.example", "reason": "r", "until": "2026-11-22T14:00:01Z" });
        assert!(try_open(&olaf, good.clone()).is_ok());
        let table = [
            ("kind", json!("person")),
            ("kind", Value::Null),
            ("subject", json!(" ")),
            ("subject", json!("a\u{0}b")),
            ("subject", json!("a".repeat(321))),
            ("reason", json!("")),
            ("reason", json!("r".repeat(2001))),
            ("reason", json!("\u{1b}[31m")),
            ("until", json!("tomorrow")),
            ("until", json!("2026-11-22T14:00:00Z")),
        ];
        for (field, value) in table {
            let mut body = good.clone();
            body[field] = value;
            assert_eq!(
                try_open(&olaf, body.clone()),
                Err((422, Some(field))),
                "{body}"
            );
        }
    }
}
