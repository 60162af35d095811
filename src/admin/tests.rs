//! The routes that need records only, over real HTTP on loopback.

use super::*;
use crate::config::{self, Settings};
use crate::records::{Judged, Token, TraceEvent};
use crate::types::Role;
use crate::types::{
    Action, Block, BlockKind, BlockRef, BlockState, Evidence, MessageId, Reason, SenderScope,
    Signal, TenantId, Time,
};
use reqwest::{Client, Method, StatusCode as Code};
use serde_json::{Value, json};

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
            sessions: ui::session::Sessions::default(),
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
            site.records.token_add(token).await.expect("token");
        }
        site.records
            .put_block(Arc::new(block(1, "acme", "alice@acme.example")))
            .await
            .expect("put");
        site.records
            .put_block(Arc::new(block(2, "other", "bob@other.example")))
            .await
            .expect("put");
        site
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

#[tokio::test]
async fn who_may_call() {
    let site = Site::start().await;
    let table = [
        (None, 401),
        (Some("Bearer nobody"), 401),
        (Some("Basic YTpi"), 401),
        (Some("Bearer"), 401),
        (Some("Bearer sam"), 403),
        (Some("Bearer loose"), 403),
        (Some("bearer vera"), 200),
    ];
    for (header, want) in table {
        let mut request = site.client.get(format!("{}/api/v1/blocks", site.url));
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let response = request.send().await.expect("answer");
        assert_eq!(response.status().as_u16(), want, "{header:?}");
        assert_eq!(
            response.headers().contains_key("www-authenticate"),
            want == 401,
            "{header:?}"
        );
        if want != 200 {
            assert_eq!(
                response.headers()["content-type"],
                "application/problem+json"
            );
            let problem: Value = response.json().await.expect("JSON");
            assert_eq!(problem["status"], want);
        }
    }
}

#[tokio::test]
async fn a_block_has_the_fields_of_the_contract() {
    let site = Site::start().await;
    let reference = BlockRef::from_random(1).to_string();
    let (status, got) = site
        .get(&format!("/api/v1/blocks/{reference}"), &site.operator)
        .await;
    assert_eq!(status, Code::OK);
    let want = json!({
        "ref": reference, "kind": "sender", "subject": "alice@acme.example", "tenant": "acme", "state": "active",
        "reason": "evidence", "opened_at": "2026-11-22T14:00:00Z", "until": null, "opened_by": "relay", "releases_left": 3,
        "evidence": [{ "message_id": "000000000002D", "time": "2026-11-22T14:00:00Z", "probability": 0.99, "llr": 4.6,
            "symbols": [{ "name": "new_recipients", "weight": 2.5 }], "recipients": 12 }],
    });
    for (field, value) in want.as_object().expect("object") {
        assert_eq!(&got[field], value, "{field}");
    }
}

#[tokio::test]
async fn another_tenants_block_is_not_there() {
    let site = Site::start().await;
    let (_, all) = site.get("/api/v1/blocks", &site.operator).await;
    assert_eq!(subjects(&all), ["bob@other.example", "alice@acme.example"]);
    let (_, own) = site.get("/api/v1/blocks", "vera").await;
    assert_eq!(subjects(&own), ["alice@acme.example"]);
    let (_, asked) = site.get("/api/v1/blocks?tenant=other", "vera").await;
    assert_eq!(asked, json!({ "items": [], "next": null }));
    let (status, problem) = site
        .get(
            &format!("/api/v1/blocks/{}", BlockRef::from_random(2)),
            "anna",
        )
        .await;
    assert_eq!(
        (status, problem["type"].as_str()),
        (Code::NOT_FOUND, Some("/problems/not-found"))
    );
    assert_eq!(site.get("/api/v1/audit", "anna").await.0, Code::FORBIDDEN);
}

#[tokio::test]
async fn lists_are_paged_and_say_what_is_wrong_with_a_question() {
    let site = Site::start().await;
    let (_, first) = site.get("/api/v1/blocks?limit=1", &site.operator).await;
    assert_eq!(subjects(&first), ["bob@other.example"]);
    let next = first["next"].as_str().expect("cursor");
    let (_, second) = site
        .get(
            &format!("/api/v1/blocks?limit=2&cursor={next}"),
            &site.operator,
        )
        .await;
    assert_eq!(
        (subjects(&second), &second["next"]),
        (vec!["alice@acme.example"], &Value::Null)
    );
    let table = [
        ("/api/v1/blocks?limit=0", 422, Some("limit")),
        ("/api/v1/blocks?limit=x", 400, None),
        ("/api/v1/blocks?cursor=x", 422, Some("cursor")),
        ("/api/v1/blocks?state=x", 422, Some("state")),
        ("/api/v1/blocks?nonsense=1", 400, None),
        ("/api/v1/blocks/nonsense", 404, None),
        ("/api/v1/blocks/%ff", 400, None),
        ("/api/v1/nonsense", 404, None),
        ("/api/v1/messages?cursor=x", 422, Some("cursor")),
        ("/api/v1/audit?cursor=x", 422, Some("cursor")),
    ];
    for (path, status, field) in table {
        let (got, problem) = site.get(path, &site.operator).await;
        assert_eq!(
            (got.as_u16(), problem["field"].as_str()),
            (status, field),
            "{path}: {problem}"
        );
    }
    let response = site
        .client
        .delete(format!("{}/api/v1/audit", site.url))
        .send()
        .await
        .expect("answer");
    assert_eq!(response.status(), Code::METHOD_NOT_ALLOWED);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
}

#[tokio::test]
async fn messages_are_found_within_the_tenant() {
    let site = Site::start().await;
    let judged = Judged {
        id: MessageId::from_parts(NOW, 1),
        time: NOW,
        tenant: Some(TenantId::new("acme")),
        sender_key: "acme:alice@acme.example".into(),
        sender: "alice@acme.example".into(),
        from: "alice@acme.example".into(),
        client: "192.0.2.7".into(),
        recipients: vec!["bob@far.example".into()],
        header_message_id: None,
        size: 10,
        action: Action::HighRisk,
        reason: Reason::SuspiciousContent,
        block: None,
        probability: 0.93,
        llr: 2.6,
        symbols: vec![],
        reply: "250 2.0.0 ok".into(),
    };
    let id = judged.id.to_string();
    site.records.trace(TraceEvent::Judged(Box::new(judged)));
    let (_, found) = site
        .get("/api/v1/messages?recipient=bob@far.example", "vera")
        .await;
    let item = &found["items"][0];
    assert_eq!(
        (item["id"].as_str(), item["time"].as_str()),
        (Some(id.as_str()), Some("2026-11-22T14:00:00Z"))
    );
    assert_eq!(
        (&item["action"], &item["probability"], &item["history"]),
        (&json!("high_risk"), &json!(0.93), &json!([]))
    );
    let (_, none) = site.get("/api/v1/messages?tenant=other", "vera").await;
    assert_eq!(none["items"], json!([]));
}

#[tokio::test]
async fn health_and_metrics_need_no_token() {
    let site = Site::start().await;
    assert_eq!(
        site.get("/health/live", "").await,
        (Code::OK, json!({ "status": "live" }))
    );
    let not_ready = json!({ "status": "not ready", "reasons": ["the spool cannot be written"] });
    assert_eq!(
        site.get("/health/ready", "").await,
        (Code::SERVICE_UNAVAILABLE, not_ready)
    );
    let metrics = site.page(Method::GET, "/metrics", "", &[]).await;
    assert_eq!(metrics.status(), Code::OK);
}

#[tokio::test]
async fn the_api_describes_itself() {
    let site = Site::start().await;
    let (status, document) = site.get("/api/v1/openapi.json", "").await;
    assert_eq!((status, &document["openapi"]), (Code::OK, &json!("3.1.0")));
}

#[tokio::test]
async fn the_page_wants_a_token_shows_blocks_and_never_acts_on_a_link() {
    let site = Site::start().await;
    let outside = site.page(Method::GET, "/", "", &[]).await;
    let policy = outside.headers()["content-security-policy"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(
        policy.contains("default-src 'none'")
            && policy.contains("frame-ancestors 'none'")
            && !policy.contains("unsafe")
    );
    let text = outside.text().await.expect("text");
    assert!(
        text.contains("Access token") && !text.contains("alice"),
        "{text}"
    );
    let wrong = site.log_in("nonsense", "").await;
    assert_eq!(
        (wrong.status(), set(&wrong, COOKIE)),
        (Code::FORBIDDEN, None)
    );

    let login = site.log_in("anna", "").await;
    assert_eq!(login.status(), Code::SEE_OTHER);
    let cookie = set(&login, COOKIE).expect("a cookie");
    assert!(
        cookie.contains("HttpOnly")
            && cookie.contains("SameSite=Strict")
            && !cookie.contains("Secure"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().expect("pair").to_owned();
    let first = site
        .page(Method::GET, "/", &cookie, &[])
        .await
        .text()
        .await
        .expect("text");
    assert!(
        first.contains("alice@acme.example") && !first.contains("bob@other.example"),
        "{first}"
    );
    assert!(
        first.contains("like&#60;/b&#62; spam") && !first.contains("<b>"),
        "escaped: {first}"
    );
    assert!(
        !first.contains("<script") && !first.contains("http://") && !first.contains("https://")
    );

    let one = site
        .page(
            Method::GET,
            &format!("/blocks/{}", BlockRef::from_random(1)),
            &cookie,
            &[],
        )
        .await;
    let one = one.text().await.expect("text");
    assert!(
        one.contains("new_recipients +2.5")
            && one.contains("99.0 %")
            && one.contains("name=\"verdict\""),
        "{one}"
    );
    let foreign = site
        .page(
            Method::GET,
            &format!("/blocks/{}", BlockRef::from_random(2)),
            &cookie,
            &[],
        )
        .await;
    assert_eq!(foreign.status(), Code::NOT_FOUND);

    let forged = site
        .page(Method::POST, "/logout", &cookie, &[("csrf", "guess")])
        .await;
    assert_eq!(forged.status(), Code::FORBIDDEN);
    // A revoked token ends its sessions at once.
    site.records.token_remove("anna").await.expect("revoke");
    let after = site
        .page(Method::GET, "/", &cookie, &[])
        .await
        .text()
        .await
        .expect("text");
    assert!(
        after.contains("revoked") && !after.contains("alice"),
        "{after}"
    );
}

#[tokio::test]
async fn a_mailed_link_leads_to_its_block_by_way_of_the_login() {
    let site = Site::start().await;
    let link = format!("/blocks/{}", BlockRef::from_random(1));
    let text = site
        .page(Method::GET, &link, "", &[])
        .await
        .text()
        .await
        .expect("text");
    assert!(
        text.contains("name=\"then\" value=\"OG-0000000001\"") && !text.contains("alice"),
        "{text}"
    );
    for (then, to) in [
        ("OG-0000000001", link.as_str()),
        ("//evil.example", "/"),
        ("", "/"),
    ] {
        let login = site.log_in("anna", then).await;
        assert_eq!(login.headers()["location"].to_str().expect("text"), to);
    }
}

#[tokio::test]
async fn logging_out_ends_the_session() {
    let site = Site::start().await;
    let login = site.log_in(&site.operator, "").await;
    let cookie = set(&login, COOKIE)
        .expect("a cookie")
        .split(';')
        .next()
        .expect("pair")
        .to_owned();
    let first = site
        .page(Method::GET, "/", &cookie, &[])
        .await
        .text()
        .await
        .expect("text");
    let csrf = hidden(&first, "csrf");
    assert_eq!(
        site.page(Method::POST, "/logout", &cookie, &[("csrf", &csrf)])
            .await
            .status(),
        Code::SEE_OTHER
    );
    let after = site
        .page(Method::GET, "/", &cookie, &[])
        .await
        .text()
        .await
        .expect("text");
    assert!(after.contains("Access token"), "{after}");
}

#[tokio::test]
async fn the_public_page_tells_a_stranger_nothing() {
    let site = Site::start().await;
    let page = |path: String| async move { path };
    let known = page(format!("/public/blocked/{}", BlockRef::from_random(1))).await;
    let known = site.page(Method::GET, &known, "", &[]).await;
    assert_eq!(known.status(), Code::OK);
    let known = known.text().await.expect("text");
    assert!(
        known.contains("a…@acme.example") && known.contains("help@acme.example"),
        "{known}"
    );
    assert!(
        !known.contains("alice") && !known.contains("new_recipients") && !known.contains("0.99"),
        "{known}"
    );
    let unknown = site
        .page(
            Method::GET,
            &format!("/public/blocked/{}", BlockRef::from_random(99)),
            "",
            &[],
        )
        .await;
    assert_eq!(unknown.status(), Code::OK);
    let nonsense = site
        .page(Method::GET, "/public/blocked/%3Cscript%3E", "", &[])
        .await;
    assert!(
        !nonsense.text().await.expect("text").contains("script"),
        "not echoed"
    );
    let asked = site
        .page(Method::GET, "/public/delist?ref=og-0000000001", "", &[])
        .await;
    assert_eq!(
        (
            asked.status(),
            asked.headers()["location"].to_str().expect("text")
        ),
        (Code::SEE_OTHER, "/blocked/OG-0000000001")
    );
    assert_eq!(
        site.page(Method::POST, "/public/delist", "", &[])
            .await
            .status(),
        Code::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn a_name_that_is_not_ours_gets_no_page_and_no_answer() {
    // A stranger's name pointed at loopback served the login page, the API's description and
    // whatever else needs no token.
    let site = Site::start_with("[admin]\nhosts = [\"relay.internal\"]\n").await;
    let ask = async |host: &str, path: &str| {
        let request = site
            .client
            .get(format!("{}{path}", site.url))
            .header("host", host);
        request.send().await.expect("answer")
    };
    for path in [
        "/",
        "/blocks/OG-0000000001",
        "/api/v1/blocks",
        "/api/v1/openapi.json",
    ] {
        let refused = ask("evil.example:8025", path).await;
        assert_eq!(refused.status(), Code::MISDIRECTED_REQUEST, "{path}");
        assert!(refused.headers().contains_key("content-security-policy"));
        let problem: Value = refused.json().await.expect("JSON");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|d| d.contains("[admin] hosts")),
            "{problem}"
        );
    }
    for (host, path) in [
        ("relay.internal", "/"),
        ("localhost:1234", "/"),
        ("evil.example", "/health/live"),
        ("evil.example", "/metrics"),
    ] {
        assert_eq!(ask(host, path).await.status(), Code::OK, "{host} {path}");
    }
    let program = site
        .client
        .get(format!("{}/api/v1/blocks", site.url))
        .header("host", "outgate.cluster.example");
    assert_eq!(
        program
            .bearer_auth("vera")
            .send()
            .await
            .expect("answer")
            .status(),
        Code::OK
    );
}

#[tokio::test]
async fn nobody_is_logged_in_by_a_form_of_another_site() {
    // Such a form logged a browser in under a token of the attacker's choice.
    let site = Site::start().await;
    let page = site.page(Method::GET, "/", "", &[]).await;
    let cookie = set(&page, "outgate_login").expect("a cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().expect("pair").to_owned();
    let csrf = hidden(&page.text().await.expect("text"), "csrf");
    let own = token::fresh().expect("a word");
    for (cookie, csrf) in [
        ("", ""),
        ("", csrf.as_str()),
        (pair.as_str(), ""),
        (&pair, &own),
        ("outgate_login=", ""),
        ("outgate_login=x", "x"),
    ] {
        let refused = site
            .page(
                Method::POST,
                "/login",
                cookie,
                &[("token", "anna"), ("csrf", csrf)],
            )
            .await;
        assert_eq!(
            (refused.status(), set(&refused, COOKIE)),
            (Code::FORBIDDEN, None),
            "{cookie} {csrf}"
        );
    }
    // From another site, even with the right word.
    let form = [("token", "anna"), ("csrf", csrf.as_str())];
    let from = async |name: &str, value: &str| {
        let request = site
            .client
            .post(format!("{}/login", site.url))
            .header("cookie", &pair)
            .header(name, value);
        request.form(&form).send().await.expect("answer").status()
    };
    assert_eq!(
        from("origin", "https://evil.example").await,
        Code::FORBIDDEN
    );
    assert_eq!(from("sec-fetch-site", "same-site").await, Code::FORBIDDEN);
    assert_eq!(from("origin", &site.url).await, Code::SEE_OTHER);
    // A second tab has the same word.
    let second = site
        .page(Method::GET, "/", &pair, &[])
        .await
        .text()
        .await
        .expect("text");
    assert_eq!(hidden(&second, "csrf"), csrf);
}

#[tokio::test]
async fn behind_https_no_cookie_travels_in_the_clear() {
    let site = Site::start_with("[admin]\nurl = \"https://admin.example/\"\n").await;
    let page = site.page(Method::GET, "/", "", &[]).await;
    assert!(
        set(&page, "outgate_login")
            .expect("a cookie")
            .contains("; Secure")
    );
    let login = site.log_in("anna", "").await;
    let cookie = set(&login, COOKIE).expect("a cookie");
    assert!(
        cookie.contains("; Secure")
            && cookie.contains("HttpOnly")
            && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
}
