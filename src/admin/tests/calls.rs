//! What programs ask: the API, health and metrics.

use super::*;

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
    let judged = TracedJudgement {
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
