//! Names that are not ours, forms of other sites, cookies behind HTTPS.

use super::*;

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
