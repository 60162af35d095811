//! Which listener answers what, and under which names.

use super::*;

/// A relay with a public listener and a block; its reference.
fn with_public(sink: &Sink) -> (Relay, String) {
    let extra = "[public]\nbind = \"127.0.0.1:0\"\nurl = \"https://mail.acme.example\"\nhelp = \"help@acme.example\"\n";
    let relay = Relay::start(sink, &format!("{NO_RULES}{extra}"));
    let reference = add_block(&relay, "sender", ALICE);
    (relay, reference)
}

#[test]
fn the_public_listener_has_two_pages() {
    let sink = Sink::start();
    let (relay, reference) = with_public(&sink);
    let reply = send(&relay, "x@elsewhere.example", 1);
    assert!(
        reply.contains(&format!("https://mail.acme.example/blocked/{reference}")),
        "{reply}"
    );
    let get = |path: &str| common::http_full(relay.address("public"), "GET", path, "", "");
    let (status, head, page) = get(&format!("/blocked/{reference}"));
    assert!(
        status == 200
            && head
                .to_ascii_lowercase()
                .contains("content-type: text/html"),
        "{head}"
    );
    assert!(
        page.contains(&reference) && page.contains("help@acme.example"),
        "{page}"
    );
    assert!(
        !page.contains(ALICE),
        "a stranger who guesses a reference learns no address"
    );
    for outside in [
        "http://",
        "https://",
        "src=",
        "<script",
        "<link",
        "<form method=\"post\"",
    ] {
        assert!(!page.contains(outside), "{outside} in {page}");
    }
    assert_eq!(get("/delist").0, 200);
    let (status, head, _) = get(&format!("/delist?ref={}", reference.to_lowercase()));
    assert!(
        status == 303 && head.contains(&format!("/blocked/{reference}")),
        "{head}"
    );
    // An unknown reference looks like any other.
    let (status, _, page) = get("/blocked/OG-0000000000");
    assert!(status == 200 && page.contains("OG-0000000000"));
}

#[test]
fn the_public_listener_acts_on_nothing_and_the_admin_side_not_on_get() {
    let sink = Sink::start();
    let (relay, reference) = with_public(&sink);
    let public = relay.address("public");
    let block = format!("/api/v1/blocks/{reference}");
    // What a reader of the mail with the link opens.
    assert_eq!(
        common::http(public, "GET", &format!("/blocked/{reference}"), "", "").0,
        200
    );
    let operator = format!("Authorization: Bearer {}\r\n", relay.token());
    for path in [
        "/",
        "/metrics",
        "/health/live",
        "/api/v1/blocks",
        "/api/v1/openapi.json",
        "/login",
        "/style.css",
    ] {
        assert_eq!(
            common::http(public, "GET", path, &operator, "").0,
            404,
            "{path}"
        );
    }
    for path in [
        format!("/blocked/{reference}"),
        format!("/blocked/{reference}/release"),
        "/delist".into(),
    ] {
        let (status, _) = common::http(
            public,
            "POST",
            &path,
            &operator,
            r#"{"verdict":"mistake","reason":"x"}"#,
        );
        assert!(status == 404 || status == 405, "POST {path}: {status}");
    }
    assert_eq!(
        relay.json(&block)["state"],
        "active",
        "a link that was mailed opens a page and does nothing"
    );
    // Nothing acts on GET on the admin side either.
    for path in [
        "/blocks/REF/release",
        "/api/v1/blocks/REF/release",
        "/login",
        "/logout",
    ] {
        assert_eq!(
            relay.http("GET", &path.replace("REF", &reference), "").0,
            405,
            "{path}"
        );
    }
}

/// A request as it is written; the whole answer.
fn raw(address: std::net::SocketAddr, request: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).expect("connect");
    stream
        .set_read_timeout(Some(common::PATIENCE))
        .expect("timeout");
    stream
        .write_all(request.replace('\n', "\r\n").as_bytes())
        .expect("request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answer");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn the_admin_side_answers_browsers_under_its_own_names_only() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "[public]\nbind = \"127.0.0.1:0\"\n");
    let ask = |address, host: &str, path: &str, more: &str| {
        raw(
            address,
            &format!("GET {path} HTTP/1.1\nHost: {host}\nConnection: close\n{more}\n"),
        )
    };
    let bearer = format!("Authorization: Bearer {}\n", relay.token());
    for (host, path, more, expected) in [
        ("evil.example", "/", "", "421"),
        ("evil.example:8025", "/api/v1/blocks", "", "421"),
        ("evil.example", "/", &bearer, "421"),
        ("evil.example", "/api/v1/blocks", &bearer, "200"),
        ("evil.example", "/health/live", "", "200"),
        ("evil.example", "/metrics", "", "200"),
        ("localhost:9", "/", "", "200"),
        ("relay.test", "/", "", "200"),
        ("127.0.0.1", "/", "", "200"),
    ] {
        let answer = ask(relay.admin, host, path, more);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{host} {path}: {answer}"
        );
    }
    assert!(
        raw(relay.admin, "GET / HTTP/1.0\n\n").starts_with("HTTP/1.0 421 "),
        "nobody named"
    );
    assert!(
        ask(
            relay.address("public"),
            "blocked.acme.example",
            "/delist",
            ""
        )
        .starts_with("HTTP/1.1 200 ")
    );
}

#[test]
fn a_login_needs_the_login_page_first() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, NO_RULES);
    let form = "token=x&csrf=";
    let post = format!(
        "POST /login HTTP/1.1\nHost: {}\nConnection: close\nContent-Type: application/x-www-form-urlencoded\nContent-Length: {}\n",
        relay.admin,
        form.len()
    );
    let refused = raw(relay.admin, &format!("{post}\n{form}"));
    assert!(
        refused.starts_with("HTTP/1.1 403 ") && refused.contains("did not come from this page"),
        "{refused}"
    );
    let foreign = raw(
        relay.admin,
        &format!("{post}Origin: https://evil.example\n\n{form}"),
    );
    assert!(
        foreign.starts_with("HTTP/1.1 403 ") && foreign.contains("another site"),
        "{foreign}"
    );
}
