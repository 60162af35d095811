//! Commands that work on the records without a relay.

use super::*;

#[tokio::test]
async fn tokens_are_made_listed_and_revoked_without_a_relay() {
    let dir = tempfile::tempdir().expect("dir");
    let there = format!("--config {}", dir.path().display());
    let secret = does(&format!(
        "outgate token create nina --role admin --tenant acme --reason new {there}"
    ))
    .await
    .expect("made");
    assert_eq!(secret.trim().len(), 43);
    let list = does(&format!("outgate token list {there}"))
        .await
        .expect("list");
    assert!(
        list.contains("nina") && list.contains("acme") && !list.contains(secret.trim()),
        "{list}"
    );
    let json = does(&format!("outgate token list --json {there}"))
        .await
        .expect("list");
    assert!(
        json.contains("\"next\":null") && !json.contains("sha256"),
        "{json}"
    );
    assert_eq!(
        does(&format!("outgate token revoke nina {there}"))
            .await
            .as_deref(),
        Ok("token nina revoked\n")
    );
    let records = crate::records::Records::open(&dir.path().join("records.db")).expect("records");
    let audit = records.audit_list(None, 9).await.expect("audit");
    let told: Vec<_> = audit
        .iter()
        .map(|(_, e)| (e.actor.as_str(), e.action.as_str(), e.detail.as_str()))
        .collect();
    assert_eq!(
        told,
        [("cli", "token.revoke", ""), ("cli", "token.create", "new")]
    );
}

#[tokio::test]
async fn tokens_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let there = format!("--config {}", dir.path().display());
    does(&format!(
        "outgate token create nina --role admin --tenant acme --reason new {there}"
    ))
    .await
    .expect("made");
    let table = [
        (
            format!("outgate token create nina --role admin --tenant acme {there}"),
            "there is a token nina already; revoke it first",
        ),
        (
            format!("outgate token revoke olaf {there}"),
            "there is no token olaf",
        ),
    ];
    for (line, want) in table {
        assert_eq!(does(&line).await, Err(Failure::Failed(want.into())));
    }
    for wrong in [
        "x --role admin --tenant nowhere",
        "x --role viewer",
        "x --role smtp --tenant acme",
        "operator --role operator",
    ] {
        let error = does(&format!("outgate token create {wrong} {there}")).await;
        assert!(
            matches!(error, Err(Failure::Usage(_))),
            "{wrong}: {error:?}"
        );
    }
}

#[tokio::test]
async fn the_audit_is_verified_without_a_relay() {
    let dir = tempfile::tempdir().expect("dir");
    let there = format!("--config {}", dir.path().display());
    does(&format!(
        "outgate token create nina --role admin --tenant acme --reason new {there}"
    ))
    .await
    .expect("made");
    does(&format!("outgate token revoke nina {there}"))
        .await
        .expect("revoked");
    let intact = does(&format!("outgate audit verify {there}"))
        .await
        .expect("intact");
    let head = intact
        .strip_prefix("2 lines, chain intact\nhead 2:")
        .expect("the newest line")
        .trim();
    assert_eq!(
        does(&format!("outgate audit verify --head 2:{head} {there}"))
            .await
            .as_deref(),
        Ok(intact.as_str())
    );
    let later = does(&format!("outgate audit verify --head 3:{head} {there}"))
        .await
        .expect_err("cut");
    assert!(
        matches!(&later, Failure::Failed(why) if why.contains("ends at line 2, but line 3")),
        "{later:?}"
    );
    assert!(matches!(
        does(&format!("outgate audit verify --head 2 {there}")).await,
        Err(Failure::Usage(_))
    ));
    let by_hand = rusqlite::Connection::open(dir.path().join("records.db")).expect("open");
    by_hand
        .execute("DELETE FROM audit WHERE id = 1", [])
        .expect("removed");
    let broken = does(&format!("outgate audit verify {there}"))
        .await
        .expect_err("shows");
    assert!(
        matches!(&broken, Failure::Failed(why) if why.contains("line 2")),
        "{broken:?}"
    );
}

#[tokio::test]
async fn a_relay_without_accounts_says_so() {
    let dir = tempfile::tempdir().expect("dir");
    let there = format!("--config {}", dir.path().display());
    assert_eq!(
        does(&format!("outgate account list {there}"))
            .await
            .as_deref(),
        Ok("no accounts\n")
    );
    assert_eq!(
        does(&format!("outgate account remove bob {there}")).await,
        Err(Failure::Failed("there is no account bob".into()))
    );
}
