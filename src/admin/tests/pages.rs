//! What people see: the pages, with and without a login.

use super::*;

/// Logs in and returns the cookie of the session.
async fn session(site: &Site, token: &str) -> String {
    let login = site.log_in(token, "").await;
    assert_eq!(login.status(), Code::SEE_OTHER);
    let cookie = set(&login, COOKIE).expect("a cookie");
    cookie.split(';').next().expect("pair").to_owned()
}

#[tokio::test]
async fn the_page_wants_a_token() {
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
}

#[tokio::test]
async fn the_cookie_of_a_session_is_kept_from_scripts_and_other_sites() {
    let site = Site::start().await;
    let login = site.log_in("anna", "").await;
    assert_eq!(login.status(), Code::SEE_OTHER);
    let cookie = set(&login, COOKIE).expect("a cookie");
    assert!(
        cookie.contains("HttpOnly")
            && cookie.contains("SameSite=Strict")
            && !cookie.contains("Secure"),
        "{cookie}"
    );
}

#[tokio::test]
async fn the_page_shows_the_blocks_of_the_tenant() {
    let site = Site::start().await;
    let cookie = session(&site, "anna").await;
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
}

#[tokio::test]
async fn a_link_does_nothing_and_a_revoked_token_ends_its_sessions() {
    let site = Site::start().await;
    let cookie = session(&site, "anna").await;
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
    let cookie = session(&site, &site.operator).await;
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
