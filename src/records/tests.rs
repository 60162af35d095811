//! Records on disk: accounts, tokens, values and the file itself.

use super::*;
use crate::config::settings;
use crate::types::{BlockKind, OutcomeClass, RecipientStatus, ReleaseVerdict, Reply, SenderScope};
use std::time::Duration;

mod audit;
mod blocks;
mod trace;

fn open(dir: &tempfile::TempDir) -> Records {
    Records::open(&dir.path().join("records.db")).expect("records open")
}

const DAY: i64 = 86_400;
const NOW: i64 = 1_795_356_000;

#[tokio::test]
async fn accounts_tokens_and_values() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    let account = Account {
        name: "Alice@acme.example".into(),
        role: Role::Smtp,
        tenant: Some(TenantId::new("acme")),
        may_send_as: vec!["@acme.example".into()],
        password_hash: "h".into(),
    };
    records.account_add(account.clone()).await.expect("add");
    assert_eq!(
        records.account_add(account.clone()).await,
        Err(RecordsError::Exists)
    );
    assert_eq!(
        records.account("alice@ACME.example").await,
        Ok(account.clone())
    );
    assert_eq!(records.accounts().await, Ok(vec![account]));
    // A second handle stands for the command line beside a running relay.
    let other = open(&dir);
    other
        .account_remove("alice@acme.example")
        .await
        .expect("remove");
    assert_eq!(
        records.account("alice@acme.example").await,
        Err(RecordsError::NotFound)
    );
    assert_eq!(
        records.account_remove("nobody").await,
        Err(RecordsError::NotFound)
    );
    records
        .put("outbox", "b", Some("2".into()))
        .await
        .expect("put");
    records
        .put("outbox", "a", Some("1".into()))
        .await
        .expect("put");
    records
        .put("outbox", "b", Some("3".into()))
        .await
        .expect("put");
    records.put("outbox", "a", None).await.expect("remove");
    assert_eq!(
        records.all("outbox").await,
        Ok(vec![("b".into(), "3".into())])
    );
    assert_eq!(records.all("other").await, Ok(vec![]));
}

#[test]
fn passwords_are_verified_and_absurd_ones_refused() {
    let hash = accounts::hash_password(b"correct horse").expect("hash");
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
    assert!(accounts::verify_password(&hash, b"correct horse"));
    assert!(!accounts::verify_password(&hash, b"Correct horse"));
    assert!(!accounts::verify_password("nonsense", b"correct horse"));
    assert!(!accounts::verify(None, b"correct horse"));
    assert!(accounts::hash_password(b"").is_err());
    assert!(accounts::hash_password(&[b'a'; 1025]).is_err());
}

#[test]
fn a_file_of_a_newer_program_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("records.db");
    rusqlite::Connection::open(&path)
        .expect("open")
        .pragma_update(None, "user_version", 99)
        .expect("set");
    let error = Records::open(&path).err().expect("refused");
    assert!(error.to_string().contains("newer"), "{error}");
}

#[test]
fn the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("dir");
    drop(open(&dir));
    let mode = std::fs::metadata(dir.path().join("records.db"))
        .expect("file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
