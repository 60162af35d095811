//! HTTP to the admin API, with errors in plain words.

use super::args::Connect;
use super::{Failure, LoadSettings};
use crate::admin::token;
use crate::api::{Page, PageFilter, ProblemObject};
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

const CONNECT_TIME: Duration = Duration::from_secs(5);
const ANSWER_TIME: Duration = Duration::from_secs(40);
/// Items of one page.
const PAGE: u32 = 1000;

/// What the relay answered.
#[derive(Debug)]
pub(super) struct ApiAnswer<T> {
    /// As it came, for `--json`.
    pub(super) json: Value,
    /// As it is read.
    pub(super) value: T,
}

/// A connection to one relay.
#[derive(Debug)]
pub(super) struct ApiClient {
    http: reqwest::Client,
    base: Url,
    token: String,
}

/// Where to connect for a server bound there: "any address" means this machine.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bind.port())
}

impl ApiClient {
    /// From options, environment and, for what those do not tell, the configuration.
    pub(super) fn new(connect: &Connect, load: LoadSettings) -> Result<Self, Failure> {
        let settings = match (&connect.url, &connect.token) {
            (Some(_), Some(_)) => None,
            _ => Some(load(connect.file.config.as_deref())?),
        };
        let url = match (&connect.url, &settings) {
            (Some(url), _) => url.clone(),
            (None, Some(settings)) => format!("http://{}", reachable(settings.admin.bind)),
            (None, None) => return Err(Failure::Usage("--url is missing".into())),
        };
        let base = Url::parse(&url)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
        let base = base.ok_or_else(|| {
            Failure::Usage(format!("{url} is no URL such as http://127.0.0.1:8025"))
        })?;
        let token = match (&connect.token, &settings) {
            (Some(token), _) => token.trim().to_owned(),
            (None, Some(settings)) => token::read(&settings.server.data_dir).map_err(|e| {
                let path = token::path(&settings.server.data_dir);
                Failure::Failed(format!(
                    "cannot read the token in {}: {e}. The relay makes it at its first start; else give --token",
                    path.display()
                ))
            })?,
            (None, None) => return Err(Failure::Usage("--token is missing".into())),
        };
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME)
            .timeout(ANSWER_TIME)
            // The admin side is a private address; a proxy for the web has no business in between.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Failure::Failed(e.to_string()))?;
        Ok(Self { http, base, token })
    }

    fn url(&self, path: &[&str]) -> Result<Url, Failure> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::Usage(format!("{} cannot be a base", self.base)))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        Ok(url)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<ApiAnswer<T>, Failure> {
        let request = request.bearer_auth(&self.token);
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        let text = response.text().await.map_err(|e| self.unreachable(&e))?;
        if status.is_success()
            && let Ok(json) = serde_json::from_str::<Value>(&text)
            && let Ok(value) = serde_json::from_str(&text)
        {
            return Ok(ApiAnswer { json, value });
        }
        Err(Failure::Failed(match serde_json::from_str(&text) {
            Ok(problem) if !status.is_success() => explain(status, problem),
            _ => format!(
                "{} answered {status}, but not as an outgate relay does",
                self.base
            ),
        }))
    }

    fn unreachable(&self, e: &reqwest::Error) -> Failure {
        Failure::Failed(if e.is_timeout() && !e.is_connect() {
            format!("the relay at {} did not answer in time", self.base)
        } else {
            format!("cannot reach the relay at {}: is it running?", self.base)
        })
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
    ) -> Result<ApiAnswer<T>, Failure> {
        self.send(self.http.get(self.url(path)?)).await
    }

    /// Reads one thing with these parameters; `None` if nobody listens there.
    pub(super) async fn get_if_running<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
    ) -> Result<Option<ApiAnswer<T>>, Failure> {
        let probe = self.http.get(self.base.clone()).send().await;
        if probe.is_err_and(|e| e.is_connect()) {
            return Ok(None);
        }
        let request = self.http.get(self.url(path)?).query(query);
        self.send(request).await.map(Some)
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<ApiAnswer<T>, Failure> {
        self.send(self.http.post(self.url(path)?).json(body)).await
    }

    /// Reads a list up to `limit` items, page by page; gives it in the API's form.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        filter: &impl Serialize,
        limit: u32,
    ) -> Result<ApiAnswer<Page<T>>, Failure> {
        let (mut items, mut json, mut cursor) = (Vec::new(), Vec::new(), None);
        let mut left = limit;
        loop {
            let page = PageFilter {
                limit: usize::try_from(left.min(PAGE)).ok(),
                cursor,
            };
            let request = self.http.get(self.url(path)?).query(filter).query(&page);
            let page: ApiAnswer<Page<T>> = self.send(request).await?;
            if let Some(Value::Array(some)) = page.json.get("items") {
                json.extend(some.iter().cloned());
            }
            let (some, next) = (page.value.items, page.value.next);
            left = left.saturating_sub(u32::try_from(some.len()).unwrap_or(u32::MAX));
            items.extend(some);
            if next.is_none() || left == 0 {
                let json = json!({ "items": json, "next": next });
                let value = Page { items, next };
                return Ok(ApiAnswer { json, value });
            }
            cursor = next;
        }
    }
}

/// A problem object in plain words.
fn explain(status: StatusCode, problem: ProblemObject) -> String {
    let detail = problem.detail;
    match (status, problem.field) {
        (StatusCode::UNAUTHORIZED, _) => format!("the relay does not know this token: {detail}"),
        (StatusCode::FORBIDDEN, _) => format!("not allowed: {detail}"),
        (_, Some(field)) => format!("{field}: {detail}"),
        (_, None) => detail,
    }
}
