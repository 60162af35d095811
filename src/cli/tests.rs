use super::*;
use crate::admin::tests::{Site, settings};
use crate::api::{BlockItem, MessageItem, Page, QueueItem};
use clap::CommandFactory;
use serde_json::json;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

async fn does(line: &str) -> Result<String, Failure> {
    let Command::Admin(command) = parse(line).expect("a good command").command else {
        panic!("{line} is no admin command")
    };
    commands::run(command, load).await
}

/// The path given with `--config` is the data directory.
fn load(path: Option<&Path>) -> Result<Settings, String> {
    path.map(settings)
        .ok_or_else(|| "no configuration here".into())
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_contract_is_understood() {
    let lines = [
        "outgate serve",
        "outgate serve --config f.toml",
        "outgate demo",
        "outgate config check --config f.toml",
        "outgate config show",
        "outgate blocks list --json --state active --limit 5",
        "outgate blocks show OG-0123456789",
        "outgate blocks add sender alice@acme.example --reason spam --until 2026-11-22T14:00:00Z",
        "outgate blocks release OG-0123456789 --verdict mistake --reason checked",
        "outgate senders list --standing blocked --url http://127.0.0.1:1 --token t",
        "outgate senders show alice@acme.example --json",
        "outgate queue list --state held",
        "outgate queue show 0000000000000",
        "outgate queue retry 0000000000000 --reason now",
        "outgate queue hold 0000000000000",
        "outgate queue release 0000000000000",
        "outgate queue bounce 0000000000000 --json",
        "outgate held list",
        "outgate held show 0000000000000",
        "outgate held release 0000000000000 --reason wanted",
        "outgate held delete 0000000000000 --config f.toml",
        "outgate messages search --id x --sender a --recipient b --limit 3",
        "outgate messages label 0000000000000 spam --reason offer",
        "outgate audit list --json",
        "outgate audit verify --config f.toml",
        "outgate audit verify --json --head 12:00",
        "outgate account add alice --role smtp --tenant acme --may-send-as @acme.example --may-send-as b@c.example --password-stdin --config f",
        "outgate account list --json",
        "outgate account remove alice --reason left",
        "outgate token create nina --role admin --tenant acme",
        "outgate token list",
        "outgate token revoke nina",
    ];
    for line in lines {
        assert!(
            parse(line).is_ok(),
            "{line}: {}",
            parse(line).expect_err("seen")
        );
    }
}

#[test]
fn wrong_use_is_told() {
    let lines = [
        "outgate",
        "outgate nonsense",
        "outgate blocks release OG-0123456789 --reason x",
        "outgate blocks release OG-0123456789 --verdict maybe --reason x",
        "outgate blocks release OG-0123456789 --verdict mistake",
        "outgate blocks add sender alice@acme.example",
        "outgate blocks add person alice --reason x",
        "outgate blocks list --limit 0",
        "outgate account add alice --role smtp --tenant acme",
        "outgate account add alice --role king --password-stdin",
    ];
    for line in lines {
        assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
    }
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_told_in_plain_words() {
    // Bound without listening: nobody else gets the port meanwhile.
    let taken = tokio::net::TcpSocket::new_v4().expect("socket");
    taken
        .bind("127.0.0.1:0".parse().expect("address"))
        .expect("bind");
    let port = taken.local_addr().expect("address").port();
    let error = does(&format!(
        "outgate blocks list --url http://127.0.0.1:{port} --token t"
    ))
    .await;
    assert_eq!(
        error,
        Err(Failure::Failed(format!(
            "cannot reach the relay at http://127.0.0.1:{port}/: is it running?"
        )))
    );
    assert!(matches!(
        does("outgate blocks list --url nonsense --token t").await,
        Err(Failure::Usage(_))
    ));
    assert_eq!(
        does("outgate blocks list").await,
        Err(Failure::Usage("no configuration here".into()))
    );
    let dir = tempfile::tempdir().expect("dir");
    let error = does(&format!(
        "outgate blocks list --config {}",
        dir.path().display()
    ))
    .await
    .expect_err("no token");
    assert!(
        matches!(&error, Failure::Failed(why) if why.contains("admin.token")),
        "{error:?}"
    );
}

#[tokio::test]
async fn lists_come_as_tables_or_as_the_api_gives_them() {
    let site = Site::start().await;
    let there = format!("--url {} --token {}", site.url, site.operator);
    let golden = "\
REFERENCE      STATE   KIND    SUBJECT             TENANT  REASON    OPENED                UNTIL
OG-0000000002  active  sender  bob@other.example   other   evidence  2026-11-22T14:00:00Z
OG-0000000001  active  sender  alice@acme.example  acme    evidence  2026-11-22T14:00:00Z
";
    assert_eq!(
        does(&format!("outgate blocks list {there}"))
            .await
            .as_deref(),
        Ok(golden)
    );
    let first = does(&format!("outgate blocks list --limit 1 {there}"))
        .await
        .expect("list");
    assert!(
        first.ends_with("… there is more: raise --limit\n"),
        "{first}"
    );
    let json = does(&format!("outgate blocks list --json {there}"))
        .await
        .expect("list");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (json["items"].as_array().map(Vec::len), &json["next"]),
        (Some(2), &serde_json::Value::Null)
    );
    let golden = "\
Reference      OG-0000000001
State          active
Kind           sender
Subject        alice@acme.example
Tenant         acme
Reason         evidence
Explanation    4 messages <b>like</b> spam
Opened         2026-11-22T14:00:00Z by relay
Releases left  3

Evidence
MESSAGE        TIME                  PROBABILITY  LLR   RECIPIENTS  SYMBOLS
000000000002D  2026-11-22T14:00:00Z  0.990        +4.6  12          new_recipients +2.5
";
    assert_eq!(
        does(&format!("outgate blocks show OG-0000000001 {there}"))
            .await
            .as_deref(),
        Ok(golden)
    );
    assert_eq!(
        does(&format!("outgate messages search --id x {there}"))
            .await
            .as_deref(),
        Ok("no messages found\n")
    );
    assert_eq!(
        does(&format!("outgate audit list {there}"))
            .await
            .as_deref(),
        Ok("nothing was done yet\n")
    );
    let gone = does(&format!("outgate blocks show OG-ZZZZZZZZZZ {there}")).await;
    assert_eq!(gone, Err(Failure::Failed("there is no such block".into())));
    let stranger = does(&format!(
        "outgate blocks list --url {} --token nobody",
        site.url
    ))
    .await
    .expect_err("refused");
    assert!(
        matches!(&stranger, Failure::Failed(why) if why.contains("does not know this token")),
        "{stranger:?}"
    );
    let foreign = does(&format!(
        "outgate audit list --url {} --token anna",
        site.url
    ))
    .await;
    assert_eq!(
        foreign,
        Err(Failure::Failed("not allowed: this is for operators".into()))
    );
}

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

#[test]
fn a_terminal_is_not_told_what_to_do() {
    let block = |subject: &str| -> BlockItem {
        let item = json!({ "ref": "OG-0000000001", "kind": "sender", "subject": subject, "tenant": null,
            "state": "active", "reason": "admin", "opened_at": "", "until": null, "opened_by": "", "evidence": [],
            "releases_left": 0, "reason_code": "admin", "explanation": "", "scope": "any" });
        serde_json::from_value(item).expect("a block")
    };
    let page = Page {
        items: vec![block("a\u{1b}[31m\n")],
        next: None,
    };
    assert!(views::blocks(&page).contains("a?[31m?"));
    assert!(views::block(&block("a\u{7}")).contains("a?"));
}

#[test]
fn queued_and_held_mail_golden() {
    let item = json!({
        "id": "0DG9Z8Z8Z8Z8Z", "from": "alice@acme.example", "tenant": "acme", "state": "held",
        "hold": { "block": "OG-0000000001" }, "accepted_at": "2026-11-22T14:00:00Z", "next_attempt": null, "size": 1234,
        "attempts": 1, "pool": "normal",
        "recipients": [{ "address": "bob@far.example", "status": "pending", "last_reply": "451 4.3.0 later" }],
    });
    let judged = json!({ "id": "0DG9Z8Z8Z8Z8Z", "sender": "alice@acme.example", "recipients": ["bob@far.example"], "action": "hold",
            "reason": "blocked", "probability": 0.97, "llr": 3.5, "symbols": [{ "name": "money", "weight": 1.25 }],
        "time": "", "tenant": null, "sender_key": "", "from": "", "client": "", "size": 1, "reply": "", "history": [],
    });
    let item: QueueItem = serde_json::from_value(item).expect("a message");
    let judged: MessageItem = serde_json::from_value(judged).expect("a message");
    let list = views::queue(
        &Page {
            items: vec![item.clone()],
            next: None,
        },
        "nothing is held",
    );
    assert_eq!(
        list,
        "\
ID             STATE  FROM                TENANT  ACCEPTED              NEXT ATTEMPT  ATTEMPTS  OCTETS  HELD FOR
0DG9Z8Z8Z8Z8Z  held   alice@acme.example  acme    2026-11-22T14:00:00Z                1         1234    block OG-0000000001
"
    );
    assert_eq!(
        views::held(&item, Some(&judged)),
        "\
Id        0DG9Z8Z8Z8Z8Z
State     held
Held for  block OG-0000000001
From      alice@acme.example
Tenant    acme
Accepted  2026-11-22T14:00:00Z
Attempts  1
Pool      normal
Octets    1234

Recipients
ADDRESS          STATUS   LAST REPLY
bob@far.example  pending  451 4.3.0 later

Judgement
Id          0DG9Z8Z8Z8Z8Z
Sender      alice@acme.example
Recipients  bob@far.example
Action      hold (blocked)
Score       probability 0.97, 3.5 nats
Symbols     money +1.2
"
    );
}
