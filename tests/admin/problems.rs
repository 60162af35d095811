//! Requests that the API refuses: each answer is a problem object.

use super::*;

const BLOCKS: &str = "/api/v1/blocks";
const VERDICT: &str = r#"{"verdict":"mistake","reason":"x"}"#;

/// A relay with a block of one tenant, and tokens of people who may do more or less.
struct Desk {
    relay: Relay,
    block: String,
    operator: String,
    /// Of the tenant with the block.
    viewer: String,
    /// An admin of another tenant.
    stranger: String,
}

impl Desk {
    fn start() -> Self {
        let sink = Sink::start();
        let other = "[[tenant]]\nname = \"other\"\ndomains = [\"other.example\"]\n";
        let relay = Relay::start(&sink, &format!("{NO_RULES}{other}"));
        let reference = add_block(&relay, "sender", ALICE);
        Self {
            block: format!("{BLOCKS}/{reference}"),
            operator: relay.token(),
            viewer: token(&relay, "vera", "viewer", "acme"),
            stranger: token(&relay, "otto", "admin", "other"),
            relay,
        }
    }

    /// Asks `METHOD PATH`; the answer is a problem with the status `want`.
    fn refuses(&self, what: &str, token: &str, request: &str, body: &str, want: u16) {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let (status, head, text) = as_bearer(&self.relay, token, method, path, body);
        assert_eq!(status, want, "{what}: {text}");
        let head = head.to_ascii_lowercase();
        assert!(
            head.contains("content-type: application/problem+json"),
            "{what}: {head}"
        );
        let problem: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(problem["status"], want, "{what}: {problem}");
        for field in ["type", "title", "detail"] {
            assert!(
                problem[field].as_str().is_some_and(|t| !t.is_empty()),
                "{what}: {field} in {problem}"
            );
        }
        assert_eq!(
            status == 401,
            head.contains("www-authenticate: bearer"),
            "{what}: {head}"
        );
    }

    fn block_is_in_force(&self) {
        assert_eq!(
            self.relay.json(&self.block)["state"],
            "active",
            "nothing of all that has released it"
        );
    }
}

#[test]
fn what_is_wrong_with_a_body_is_said_in_a_problem_object() {
    let desk = Desk::start();
    let long = format!(
        r#"{{"kind":"sender","subject":"a@acme.example","reason":"{}"}}"#,
        "x".repeat(70_000)
    );
    for (what, body, want) in [
        ("malformed JSON", "{\"kind\":", 400),
        ("JSON of another form", "[]", 400),
        ("deeply nested", &"[".repeat(10_000), 400),
        ("unknown field", r#"{"kin":"sender"}"#, 400),
        (
            "unknown kind",
            r#"{"kind":"person","subject":"a@b.example","reason":"x"}"#,
            422,
        ),
        (
            "no reason",
            r#"{"kind":"sender","subject":"a@b.example"}"#,
            422,
        ),
        ("no body", "", 422),
        ("too large", &long, 413),
    ] {
        desk.refuses(what, &desk.operator, &format!("POST {BLOCKS}"), body, want);
    }
    let maybe = r#"{"verdict":"maybe","reason":"x"}"#;
    let release = format!("POST {}/release", desk.block);
    desk.refuses("unknown verdict", &desk.operator, &release, maybe, 422);
    desk.block_is_in_force();
}

#[test]
fn what_is_wrong_with_a_path_is_said_in_a_problem_object() {
    let desk = Desk::start();
    let block = &desk.block;
    for (what, request, want) in [
        ("unknown ref", "GET /api/v1/blocks/OG-0000000000", 404),
        ("no ref at all", "GET /api/v1/blocks/nonsense", 404),
        (
            "unknown sender",
            "GET /api/v1/senders/nobody@acme.example",
            404,
        ),
        (
            "unknown message",
            "POST /api/v1/held/0000000000000/release",
            404,
        ),
        ("unknown verb", "POST /api/v1/held/0000000000000/eat", 404),
        ("no such route", "GET /api/v1/nothing", 404),
        ("no such method", &format!("DELETE {block}"), 405),
        (
            "GET where only POST acts",
            &format!("GET {block}/release"),
            405,
        ),
    ] {
        desk.refuses(what, &desk.operator, request, "", want);
    }
    desk.block_is_in_force();
}

#[test]
fn what_somebody_may_not_do_is_said_in_a_problem_object() {
    let desk = Desk::start();
    let (viewer, stranger, block) = (&desk.viewer, &desk.stranger, &desk.block);
    let (get, release) = (format!("GET {block}"), format!("POST {block}/release"));
    let add = format!("POST {BLOCKS}");
    let bob = r#"{"kind":"sender","subject":"bob@acme.example","reason":"x"}"#;
    let audit = "GET /api/v1/audit";
    desk.refuses("wrong token", "wrong", &get, "", 401);
    desk.refuses("empty token", "", &release, VERDICT, 401);
    desk.refuses("a viewer acts", viewer, &release, VERDICT, 403);
    desk.refuses("another tenant reads", stranger, &get, "", 404);
    desk.refuses("another tenant releases", stranger, &release, VERDICT, 404);
    desk.refuses("another tenant blocks", stranger, &add, bob, 403);
    desk.refuses("not an operator", stranger, audit, "", 403);
    assert_eq!(
        common::http(desk.relay.admin, "GET", block, "", "").0,
        401,
        "no token at all"
    );
    assert_eq!(
        as_bearer(&desk.relay, viewer, "GET", block, "").0,
        200,
        "a viewer of the tenant reads"
    );
    desk.block_is_in_force();
}

#[test]
fn the_lists_of_another_tenant_are_empty_and_not_forbidden() {
    let desk = Desk::start();
    assert!(send(&desk.relay, "x@elsewhere.example", 1).starts_with("550"));
    for list in ["blocks", "senders", "messages", "held", "queue"] {
        let path = format!("/api/v1/{list}");
        let (status, _, text) = as_bearer(&desk.relay, &desk.stranger, "GET", &path, "");
        assert_eq!(
            (status, text.as_str()),
            (200, r#"{"items":[],"next":null}"#),
            "{list}"
        );
    }
}
