//! `/api/v1/openapi.json`: OpenAPI 3.1, made from one table of operations.

use axum::Json;
use serde_json::{Map, Value, json};

/// One operation of the API.
pub(super) struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    summary: &'static str,
    /// Query parameters: name, what it is.
    query: &'static [(&'static str, &'static str)],
    /// Name of the schema of the body.
    body: Option<&'static str>,
    /// Status and schema of the answer.
    answer: (&'static str, &'static str),
}

const PAGE: [(&str, &str); 2] = [
    ("limit", "items of a page, 1-1000 (100)"),
    ("cursor", "`next` of the page before"),
];

const fn get(
    path: &'static str,
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
    answer: &'static str,
) -> Operation {
    Operation {
        method: "get",
        path,
        summary,
        query,
        body: None,
        answer: ("200", answer),
    }
}

const fn post(
    path: &'static str,
    summary: &'static str,
    body: &'static str,
    answer: (&'static str, &'static str),
) -> Operation {
    Operation {
        method: "post",
        path,
        summary,
        query: &[],
        body: Some(body),
        answer,
    }
}

/// All operations.
pub(super) const OPERATIONS: &[Operation] = &[
    get(
        "/blocks",
        "Blocks, newest first",
        &[
            ("state", "active, released or expired"),
            ("tenant", "only this tenant"),
            ("subject", "exactly this subject"),
            PAGE[0],
            PAGE[1],
        ],
        "BlockList",
    ),
    post(
        "/blocks",
        "Open a block (admin, operator)",
        "OpenBlock",
        ("201", "Block"),
    ),
    get("/blocks/{ref}", "One block with its evidence", &[], "Block"),
    post(
        "/blocks/{ref}/release",
        "End a block (admin, operator)",
        "Release",
        ("200", "Block"),
    ),
    get(
        "/senders",
        "Senders by key",
        &[
            ("standing", "good, watched, held or blocked"),
            PAGE[0],
            PAGE[1],
        ],
        "List",
    ),
    get(
        "/senders/{key}",
        "One sender by key or address",
        &[],
        "Object",
    ),
    get(
        "/policy/{sender}",
        "Which policy is a sender's, why, and what is used of it",
        &[
            ("tenant", "the tenant meant"),
            ("client", "as if it sent through this client address"),
        ],
        "Object",
    ),
    get(
        "/messages",
        "The trace of messages, newest first",
        &[
            ("id", "the relay's id or the Message-ID header"),
            ("sender", "address, login, envelope sender or sender key"),
            ("recipient", "recipient address"),
            ("tenant", "only this tenant"),
            PAGE[0],
            PAGE[1],
        ],
        "List",
    ),
    post(
        "/messages/{id}/label",
        "Teach that a message is spam, or is not (admin, operator)",
        "Label",
        ("200", "Object"),
    ),
    get("/held", "Held messages, oldest first", &PAGE, "List"),
    post(
        "/held/{id}/release",
        "Send a held message on",
        "Act",
        ("200", "Ids"),
    ),
    post(
        "/held/{id}/delete",
        "Drop a held message, nobody is told",
        "Act",
        ("200", "Ids"),
    ),
    get(
        "/queue",
        "Queued messages, oldest first",
        &[("state", "active, deferred or held"), PAGE[0], PAGE[1]],
        "List",
    ),
    get(
        "/queue/{id}",
        "One queued message with its recipients",
        &[],
        "Object",
    ),
    post("/queue/{id}/retry", "Try now", "Act", ("200", "Ids")),
    post("/queue/{id}/hold", "Hold", "Act", ("200", "Ids")),
    post(
        "/queue/{id}/release",
        "Send on what is held",
        "Act",
        ("200", "Ids"),
    ),
    post(
        "/queue/{id}/bounce",
        "Give up and tell the sender",
        "Act",
        ("200", "Ids"),
    ),
    get(
        "/audit",
        "Who did what, newest first (operators)",
        &PAGE,
        "List",
    ),
];

fn parameters(operation: &Operation) -> Vec<Value> {
    let text = json!({ "type": "string" });
    let in_path = operation.path.split(['{', '}']).skip(1).step_by(2);
    let from_path =
        in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": text }));
    let from_query = operation.query.iter().map(|(name, what)| {
        let schema = if *name == "limit" {
            json!({ "type": "integer", "minimum": 1, "maximum": 1000 })
        } else {
            text.clone()
        };
        json!({ "name": name, "in": "query", "description": what, "schema": schema })
    });
    from_path.chain(from_query).collect()
}

fn content(kind: &str, schema: &str) -> Value {
    let mut content = Map::new();
    content.insert(
        kind.into(),
        json!({ "schema": { "$ref": format!("#/components/schemas/{schema}") } }),
    );
    content.into()
}

fn operation(o: &Operation) -> Value {
    let (status, schema) = o.answer;
    let mut responses = Map::new();
    responses.insert(
        status.into(),
        json!({ "description": o.summary, "content": content("application/json", schema) }),
    );
    let problem = json!({ "description": "A problem (RFC 9457)", "content": content("application/problem+json", "Problem") });
    responses.insert("default".into(), problem);
    let mut value =
        json!({ "summary": o.summary, "parameters": parameters(o), "responses": responses });
    if let (Some(body), Some(map)) = (o.body, value.as_object_mut()) {
        map.insert(
            "requestBody".into(),
            json!({ "required": body != "Act", "content": content("application/json", body) }),
        );
    }
    value
}

fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let time = json!({ "type": "string", "format": "date-time" });
    let maybe_time = json!({ "type": ["string", "null"], "format": "date-time" });
    let kind =
        json!({ "type": "string", "enum": ["sender", "domain", "client", "tenant", "website"] });
    let verdict = json!({ "type": "string", "enum": ["mistake", "compromised"] });
    let evidence = json!({ "type": "object", "properties": {
        "message_id": text, "time": time, "probability": { "type": "number" }, "llr": { "type": "number" },
        "symbols": { "type": "array", "items": { "type": "object", "properties": { "name": text, "weight": { "type": "number" } } } },
        "recipients": { "type": "integer" } } });
    let block = json!({ "type": "object",
        "required": ["ref", "kind", "subject", "tenant", "state", "reason", "opened_at", "until", "opened_by", "evidence", "releases_left"],
        "properties": {
            "ref": { "type": "string", "pattern": "^OG-[0-9A-HJKMNP-TV-Z]{10}$" }, "kind": kind, "subject": text,
            "tenant": { "type": ["string", "null"] }, "state": { "type": "string", "enum": ["active", "released", "expired"] },
            "reason": text, "opened_at": time, "until": maybe_time, "opened_by": text,
            "evidence": { "type": "array", "items": evidence }, "releases_left": { "type": "integer", "minimum": 0 },
            "reason_code": text, "explanation": text, "ended_at": maybe_time,
            "released_by": { "type": ["string", "null"] }, "verdict": { "type": ["string", "null"] }, "note": { "type": ["string", "null"] } } });
    let list = |items: Value| {
        json!({ "type": "object", "required": ["items", "next"], "properties": {
            "items": { "type": "array", "items": items }, "next": { "type": ["string", "null"] } } })
    };
    json!({
        "Block": block,
        "BlockList": list(json!({ "$ref": "#/components/schemas/Block" })),
        "List": list(json!({ "type": "object" })),
        "Object": { "type": "object" },
        "Ids": { "type": "object", "properties": { "ids": { "type": "array", "items": text } } },
        "OpenBlock": { "type": "object", "required": ["kind", "subject", "reason"], "properties": {
            "kind": kind, "subject": text, "reason": text, "until": maybe_time, "tenant": { "type": ["string", "null"] } } },
        "Release": { "type": "object", "required": ["verdict", "reason"], "properties": { "verdict": verdict, "reason": text } },
        "Label": { "type": "object", "required": ["label"], "properties": {
            "label": { "type": "string", "enum": ["spam", "ham"] }, "reason": text } },
        "Act": { "type": "object", "properties": { "reason": text } },
        "Problem": { "type": "object", "required": ["type", "title", "status", "detail"], "properties": {
            "type": text, "title": text, "status": { "type": "integer" }, "detail": text, "field": text } },
    })
}

/// The whole document.
pub(super) fn build() -> Value {
    let mut paths = Map::new();
    for o in OPERATIONS {
        let path = paths.entry(o.path).or_insert_with(|| json!({}));
        if let Some(map) = path.as_object_mut() {
            map.insert(o.method.into(), operation(o));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Outgate", "version": env!("CARGO_PKG_VERSION"), "description": "Admin API of the outbound mail relay." },
        "servers": [{ "url": "/api/v1" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas(),
        },
    })
}

/// `GET openapi.json`; needs no token, it says nothing about this relay.
pub(super) async fn document() -> Json<Value> {
    Json(build())
}
