//! What lists look like, as tables and as JSON.

use super::*;

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
}

#[tokio::test]
async fn a_block_is_shown_with_its_evidence() {
    let site = Site::start().await;
    let there = format!("--url {} --token {}", site.url, site.operator);
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
    let gone = does(&format!("outgate blocks show OG-ZZZZZZZZZZ {there}")).await;
    assert_eq!(gone, Err(Failure::Failed("there is no such block".into())));
}

#[tokio::test]
async fn who_may_not_ask_is_told_why() {
    let site = Site::start().await;
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
