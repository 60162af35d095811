//! The routes that need records only, over real HTTP on loopback.

use super::*;
use crate::config::{self, Settings};
use crate::records::{Token, TraceEvent, TracedJudgement};
use crate::types::Role;
use crate::types::{
    Action, Block, BlockKind, BlockRef, BlockState, Evidence, MessageId, Reason, SenderScope,
    Signal, TenantId, Time,
};
use reqwest::{Client, Method, StatusCode as Code};
use serde_json::{Value, json};

mod calls;
mod pages;
mod strangers;

const NOW: Time = Time::from_secs(1_795_356_000);
const COOKIE: &str = "outgate_session";

struct FixedClock;
impl Clock for FixedClock {
    fn now(&self) -> Time {
        NOW
    }
}

/// Two tenants and nothing else of interest.
pub(crate) fn settings(data_dir: &std::path::Path) -> Settings {
    config::testing::settings(&text(data_dir))
}

fn text(data_dir: &std::path::Path) -> String {
    let tenant = |name| format!("[[tenant]]\nname = \"{name}\"\ndomains = [\"{name}.example\"]\n");
    let rest =
        format!("[server]\ndata_dir = {data_dir:?}\n[public]\nhelp = \"help@acme.example\"\n");
    tenant("acme") + &tenant("other") + &rest
}

fn block(n: u64, tenant: &str, subject: &str) -> Block {
    Block {
        reference: BlockRef::from_random(n),
        kind: BlockKind::Sender,
        subject: subject.into(),
        scope: SenderScope::Account,
        tenant: Some(TenantId::new(tenant)),
        sender: None,
        state: BlockState::Active,
        reason: Reason::Evidence,
        explanation: "4 messages <b>like</b> spam".into(),
        opened_at: Time(NOW.0 + i64::try_from(n).expect("small")),
        until: None,
        opened_by: "relay".into(),
        evidence: vec![Evidence {
            message_id: MessageId(77),
            time: NOW,
            probability: 0.99,
            llr: 4.6,
            symbols: vec![Signal {
                name: "new_recipients".into(),
                weight: 2.5,
            }],
            recipients: 12,
        }],
        ended_at: None,
        released_by: None,
        verdict: None,
        note: None,
    }
}

/// A running server over the records of a fresh directory: two blocks, four tokens whose secrets
/// are their names.
pub(crate) struct Site {
    _dir: tempfile::TempDir,
    pub(crate) url: String,
    pub(crate) operator: String,
    records: Records,
    client: Client,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// With more configuration.
    async fn start_with(more: &str) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let operator = token::ensure(dir.path()).expect("token");
        let records = Records::open(&dir.path().join("records.db")).expect("records");
        let settings = config::testing::settings(&(text(dir.path()) + more));
        let (_keep, settings) = watch::channel(Arc::new(settings));
        let core = Arc::new(Core {
            settings,
            clock: Arc::new(FixedClock),
            records: records.clone(),
            metrics: metrics_exporter_prometheus::PrometheusBuilder::new()
                .build_recorder()
                .handle(),
            health: Arc::new(|| vec!["the spool cannot be written".into()]),
            operator_sha256: Some(token::sha256_hex(&operator)),
            sessions: ui::session::UiSessions::default(),
        });
        let public = Router::new().nest("/public", public::routes());
        let routes = bounded(for_us(
            core_routes::<Arc<Core>>()
                .merge(api::core_routes())
                .merge(public)
                .with_state(Arc::clone(&core)),
            core,
        ));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("client");
        let site = Self {
            _dir: dir,
            url,
            operator,
            records,
            client,
        };
        site.fill().await;
        site
    }

    /// Four tokens and two blocks.
    async fn fill(&self) {
        for (name, role, tenant) in [
            ("anna", Role::Admin, Some("acme")),
            ("vera", Role::Viewer, Some("acme")),
            ("sam", Role::Smtp, Some("acme")),
            ("loose", Role::Admin, None),
        ] {
            let token = Token {
                name: name.into(),
                role,
                tenant: tenant.map(TenantId::new),
                sha256: token::sha256_hex(name),
                created_at: NOW,
            };
            self.records.token_add(token).await.expect("token");
        }
        self.records
            .put_block(Arc::new(block(1, "acme", "alice@acme.example")))
            .await
            .expect("put");
        self.records
            .put_block(Arc::new(block(2, "other", "bob@other.example")))
            .await
            .expect("put");
    }

    async fn get(&self, path: &str, token: &str) -> (Code, Value) {
        let response = self
            .client
            .get(format!("{}{path}", self.url))
            .bearer_auth(token)
            .send()
            .await
            .expect("answer");
        let status = response.status();
        (status, response.json().await.expect("JSON"))
    }

    /// The login page's answer to a form that this page has given.
    async fn log_in(&self, token: &str, then: &str) -> reqwest::Response {
        let page = self.page(Method::GET, "/", "", &[]).await;
        let cookie = set(&page, "outgate_login").expect("a cookie");
        let pair = cookie.split(';').next().expect("pair").to_owned();
        let csrf = hidden(&page.text().await.expect("text"), "csrf");
        self.page(
            Method::POST,
            "/login",
            &pair,
            &[("csrf", &csrf), ("token", token), ("then", then)],
        )
        .await
    }

    async fn page(
        &self,
        method: Method,
        path: &str,
        cookie: &str,
        form: &[(&str, &str)],
    ) -> reqwest::Response {
        let request = self
            .client
            .request(method.clone(), format!("{}{path}", self.url))
            .header("cookie", cookie);
        let request = if method == Method::POST {
            request.form(form)
        } else {
            request
        };
        request.send().await.expect("answer")
    }
}

/// The `Set-Cookie` of that name.
fn set(response: &reqwest::Response, name: &str) -> Option<String> {
    let all = response
        .headers()
        .get_all("set-cookie")
        .iter()
        .filter_map(|c| c.to_str().ok());
    all.map(str::to_owned)
        .find(|c| c.starts_with(&format!("{name}=")))
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    let mark = format!("name=\"{name}\" value=\"");
    page.split(&mark)
        .nth(1)
        .and_then(|t| t.split('"').next())
        .expect("a hidden field")
        .to_owned()
}

fn subjects(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|b| b["subject"].as_str())
        .collect()
}

#[test]
fn no_two_routes_collide() {
    // Building panics if they do, and that must not happen at the start of a relay.
    let _routes = all_routes();
}
