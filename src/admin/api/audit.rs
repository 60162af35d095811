//! Who did what.

use super::request::{Params, cursor, limit, page};
use crate::admin::auth::Caller;
use crate::admin::{Core, Problem};
use crate::api::{AuditItem, Page, PageFilter};
use axum::Json;
use axum::extract::State as With;
use std::sync::Arc;

/// Who did what, newest first (operators).
#[utoipa::path(
    get,
    path = "/audit",
    params(PageFilter),
    responses((status = 200, body = Page<AuditItem>))
)]
pub(super) async fn list_audit(
    caller: Caller,
    With(core): With<Arc<Core>>,
    Params(filter): Params<PageFilter>,
) -> Result<Json<Page<AuditItem>>, Problem> {
    // Lines name no tenant, so only callers who see all may read them.
    caller.sees_all()?;
    let limit = limit(filter.limit)?;
    let before = cursor(filter.cursor.as_deref(), |text| text.parse().ok())?;
    let lines = core.records.audit_list(before, limit).await?;
    let next = lines.last().map(|(id, _)| id.to_string());
    let items = lines.into_iter().map(|(id, line)| AuditItem {
        id,
        time: line.time.rfc3339(),
        actor: line.actor,
        action: line.action,
        subject: line.subject,
        detail: line.detail,
    });
    Ok(page(items.collect(), limit, next))
}
