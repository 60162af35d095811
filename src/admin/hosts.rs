//! Limits for browsers: a request must use one of our names, and may act only if it comes from one
//! of our pages.
//!
//! A stranger's web page can point its own name at this address (DNS rebinding) and then read and
//! write as if it were ours. It can also send forms here. The check of the name stops the first
//! attack, and the browser's statement of where a form comes from stops the second. Programs that
//! bring a bearer token to the API may use any name: no page has that token, and no browser adds it
//! by itself. Monitoring reads `/health` and `/metrics` under names of its own; they show no
//! address.

use super::{Core, Problem};
use crate::config::Settings;
use axum::extract::{Request, State as With};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

/// The host of an authority: lower case, without port, brackets and trailing dot. `None` if it has
/// none.
fn bare(authority: &str) -> Option<String> {
    if authority.contains('@') {
        return None;
    }
    let authority: Authority = authority.parse().ok()?;
    let host = authority.host().to_ascii_lowercase();
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(&host);
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_owned())
}

/// Scheme and authority of a web address.
fn origin_of(url: &str) -> Option<(String, Authority)> {
    let uri: Uri = url.parse().ok()?;
    Some((
        uri.scheme_str()?.to_ascii_lowercase(),
        uri.authority()?.clone(),
    ))
}

/// Whether this is one of our names. Nobody can point an IP address elsewhere: if we listen on all
/// addresses, any address will do.
fn is_ours(settings: &Settings, authority: &str) -> bool {
    let Some(host) = bare(authority) else {
        return false;
    };
    let from_url = || {
        settings
            .admin
            .url
            .as_deref()
            .and_then(origin_of)
            .and_then(|(_, authority)| bare(authority.as_str()))
    };
    let bind = settings.admin.bind.ip();
    let near = match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || bind.is_unspecified() || ip == bind,
        // RFC 6761 section 6.3: these names are loopback, whatever DNS says.
        Err(_) => {
            host == "localhost"
                || host.ends_with(".localhost")
                || host == settings.server.hostname.as_str()
        }
    };
    near || settings.admin.hosts.contains(&host) || from_url().is_some_and(|ours| ours == host)
}

/// The name in a request; `None` if there is none or several. HTTP/2 has it only in the target.
fn asked<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    let mut all = headers.get_all(header::HOST).iter();
    let Some(host) = all.next() else {
        return uri.authority().map(Authority::as_str);
    };
    let host = host.to_str().ok()?;
    all.next().is_none().then_some(host)
}

/// Whether a request that acts comes from one of our pages, according to the browser. A request
/// from a program says nothing about that.
fn is_from_us(settings: &Settings, headers: &HeaderMap, host: &str) -> bool {
    let said = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    if let Some(site) = said("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = said("origin") else {
        return true;
    };
    let Some((scheme, authority)) = origin_of(origin) else {
        return false;
    };
    let known = settings.admin.url.as_deref().and_then(origin_of);
    authority.as_str().eq_ignore_ascii_case(host)
        || known.is_some_and(|(s, a)| {
            s == scheme && a.as_str().eq_ignore_ascii_case(authority.as_str())
        })
}

fn is_bearer(headers: &HeaderMap) -> bool {
    let scheme = headers
        .get(header::AUTHORIZATION)
        .and_then(|h| h.as_bytes().get(..7));
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
}

/// Why a request is not answered; `None` = it may pass.
fn refusal(
    settings: &Settings,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Option<Problem> {
    let path = uri.path();
    let for_programs = path.starts_with("/api/") && is_bearer(headers);
    if for_programs || path == "/metrics" || path.starts_with("/health/") {
        return None;
    }
    let whole = uri
        .authority()
        .is_none_or(|authority| is_ours(settings, authority.as_str()));
    let Some(host) = asked(uri, headers).filter(|host| whole && is_ours(settings, host)) else {
        return Some(Problem::misdirected(
            "the admin side does not answer to this name; set [admin] url to the address people use, or add the name to \
             [admin] hosts",
        ));
    };
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    (!reads && !is_from_us(settings, headers, host)).then(|| {
        Problem::forbidden(
            "this form was sent from a page of another site; open the page here and send it again",
        )
    })
}

/// Passes only requests for our names and from our pages.
pub(super) async fn guard(With(core): With<Arc<Core>>, request: Request, next: Next) -> Response {
    match refusal(
        &core.settings(),
        request.method(),
        request.uri(),
        request.headers(),
    ) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(admin: &str) -> Settings {
        crate::config::testing::settings(&format!(
            "[server]\nhostname = \"relay.test\"\n[admin]\n{admin}\n"
        ))
    }

    #[test]
    fn names_of_ours() {
        let loopback = settings("bind = \"127.0.0.1:8025\"");
        let one =
            settings("bind = \"192.0.2.1:8025\"\nhosts = [\"Relay.internal\", \"[2001:db8::1]\"]");
        let all =
            settings("bind = \"0.0.0.0:8025\"\nurl = \"https://Admin.example:8443/outgate/\"");
        for (host, expected) in [
            ("127.0.0.1:8025", [true; 3]),
            ("127.0.0.1:1", [true; 3]),
            ("[::1]:8025", [true; 3]),
            ("localhost", [true; 3]),
            ("LOCALHOST.:8025", [true; 3]),
            ("outgate.localhost:8025", [true; 3]),
            ("relay.test", [true; 3]),
            ("192.0.2.1:8025", [false, true, true]),
            ("192.0.2.9", [false, false, true]),
            ("relay.internal:80", [false, true, false]),
            ("[2001:db8::1]", [false, true, true]),
            ("admin.example", [false, false, true]),
            ("evil.example:8025", [false; 3]),
            ("127.0.0.1.evil.example", [false; 3]),
            ("localhost.evil.example", [false; 3]),
            ("evillocalhost", [false; 3]),
            ("localhost@evil.example", [false; 3]),
            ("evil.example@localhost", [false; 3]),
            ("", [false; 3]),
            (" ", [false; 3]),
        ] {
            assert_eq!(
                [&loopback, &one, &all].map(|s| is_ours(s, host)),
                expected,
                "{host}"
            );
        }
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, axum::http::HeaderValue::from_static(value));
        }
        map
    }

    /// The status with which a request is refused, if it is.
    fn refused(method: &Method, uri: &str, lines: &[(&'static str, &'static str)]) -> Option<u16> {
        let s = settings("bind = \"127.0.0.1:8025\"\nurl = \"https://admin.example\"");
        let found = refusal(&s, method, &uri.parse().expect("uri"), &headers(lines));
        found.map(|p| p.status.as_u16())
    }

    const HOME: (&str, &str) = ("host", "127.0.0.1:8025");
    const AWAY: (&str, &str) = ("host", "evil.example:8025");

    #[test]
    fn a_request_passes_for_our_names_or_with_a_token() {
        let token = ("authorization", "bearer abc");
        for (method, uri, lines, expected) in [
            (Method::GET, "/", vec![HOME], None),
            (Method::GET, "/", vec![AWAY], Some(421)),
            (Method::GET, "/", vec![], Some(421)),
            (Method::GET, "/", vec![HOME, AWAY], Some(421)),
            (Method::GET, "http://evil.example/", vec![HOME], Some(421)),
            (Method::GET, "http://127.0.0.1:8025/", vec![HOME], None),
            (Method::GET, "http://127.0.0.1:8025/", vec![], None),
            (Method::GET, "http://evil.example/", vec![], Some(421)),
            // Pages take no bearer token, so it opens no door to them.
            (Method::GET, "/", vec![AWAY, token], Some(421)),
            (Method::POST, "/login", vec![AWAY], Some(421)),
            (Method::GET, "/api/v1/blocks", vec![AWAY], Some(421)),
            (Method::GET, "/api/v1/openapi.json", vec![AWAY], Some(421)),
            (Method::GET, "/api/v1/blocks", vec![AWAY, token], None),
            (
                Method::POST,
                "/api/v1/blocks",
                vec![AWAY, token, ("origin", "https://evil.example")],
                None,
            ),
            (Method::GET, "/health/ready", vec![AWAY], None),
            (Method::GET, "/metrics", vec![], None),
            // A link from elsewhere may be followed: nothing acts on a GET.
            (
                Method::GET,
                "/blocks/OG-0000000001",
                vec![HOME, ("sec-fetch-site", "cross-site")],
                None,
            ),
        ] {
            let found = refused(&method, uri, &lines);
            assert_eq!(found, expected, "{method} {uri} {lines:?}");
        }
    }

    #[test]
    fn a_form_passes_from_our_own_pages_only() {
        for (lines, expected) in [
            (vec![HOME], None),
            (vec![HOME, ("origin", "http://127.0.0.1:8025")], None),
            (vec![HOME, ("origin", "https://admin.example")], None),
            (vec![HOME, ("origin", "http://admin.example")], Some(403)),
            (vec![HOME, ("origin", "http://127.0.0.1:9")], Some(403)),
            (vec![HOME, ("origin", "https://evil.example")], Some(403)),
            (vec![HOME, ("origin", "null")], Some(403)),
            (vec![HOME, ("origin", "")], Some(403)),
            (
                vec![HOME, ("sec-fetch-site", "same-origin"), ("origin", "null")],
                None,
            ),
            (vec![HOME, ("sec-fetch-site", "none")], None),
            (vec![HOME, ("sec-fetch-site", "same-site")], Some(403)),
            (
                vec![
                    HOME,
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://127.0.0.1:8025"),
                ],
                Some(403),
            ),
        ] {
            let found = refused(&Method::POST, "/login", &lines);
            assert_eq!(found, expected, "{lines:?}");
        }
    }
}
