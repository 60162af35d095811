//! The public page for a blocked sender or for a person who got the bounce. It shows no score, no
//! evidence and no full address, looks the same for a reference that does not exist, and nothing on
//! it acts.

use super::Core;
use super::ui::html;
use crate::types::{Address, Block, BlockKind, BlockRef, BlockState};
use askama::Template;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State as With};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "blocked.html", config = "src/admin/ui/askama.toml")]
struct BlockedPage {
    reference: Option<BlockRef>,
    /// Masked; empty where the reference is unknown or the block is not about an address.
    who: String,
    ended: bool,
    /// The contact for help; `None` = the sender's own administrator.
    help: Option<Help>,
}

#[derive(Template)]
#[template(path = "delist.html", config = "src/admin/ui/askama.toml")]
struct DelistPage {
    help: Option<Help>,
}

/// Address or URL of the contact.
struct Help {
    text: String,
    link: String,
}

fn help(core: &Core) -> Option<Help> {
    let text = core.settings().public.help.clone()?;
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    let link = if is_url {
        text.clone()
    } else {
        format!("mailto:{text}")
    };
    Some(Help { text, link })
}

/// `a…@acme.example`: enough to recognise one's own address, too little to learn somebody else's.
fn mask(subject: &str) -> String {
    match Address::parse(subject) {
        Some(address) => {
            let first = address
                .local()
                .chars()
                .next()
                .map(String::from)
                .unwrap_or_default();
            format!("{first}…@{}", address.domain())
        }
        None => subject
            .chars()
            .next()
            .map(|c| format!("{c}…"))
            .unwrap_or_default(),
    }
}

fn page(core: &Core, reference: Option<BlockRef>, block: Option<&Block>) -> BlockedPage {
    let who = block
        .filter(|b| b.kind == BlockKind::Sender)
        .map(|b| mask(&b.subject))
        .unwrap_or_default();
    BlockedPage {
        reference,
        who,
        ended: block.is_some_and(|b| b.state != BlockState::Active),
        help: help(core),
    }
}

async fn blocked(With(core): With<Arc<Core>>, Path(reference): Path<String>) -> Response {
    let reference = BlockRef::parse(&reference);
    let block = match reference {
        Some(reference) => core.records.block(reference).await.ok(),
        None => None,
    };
    html(&page(&core, reference, block.as_ref()))
}

#[derive(Deserialize)]
struct DelistQuery {
    #[serde(default, rename = "ref")]
    reference: String,
}

async fn delist(
    With(core): With<Arc<Core>>,
    query: Result<Query<DelistQuery>, QueryRejection>,
) -> Response {
    match query
        .ok()
        .and_then(|Query(asked)| BlockRef::parse(asked.reference.trim()))
    {
        Some(reference) => Redirect::to(&format!("/blocked/{reference}")).into_response(),
        None => html(&DelistPage { help: help(&core) }),
    }
}

pub(super) fn routes() -> Router<Arc<Core>> {
    Router::new()
        .route("/blocked/{ref}", get(blocked))
        .route("/delist", get(delist))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_masked() {
        let table = [
            ("alice@acme.example", "a…@acme.example"),
            ("é@acme.example", "é…@acme.example"),
            ("login", "l…"),
            ("", ""),
        ];
        for (subject, want) in table {
            assert_eq!(mask(subject), want);
        }
    }
}
