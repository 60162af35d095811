use super::*;
use crate::config::settings;
use crate::types::{BlockKind, OutcomeClass, RecipientStatus, ReleaseVerdict, Reply, SenderScope};
use std::time::Duration;

fn open(dir: &tempfile::TempDir) -> Records {
    Records::open(&dir.path().join("records.db")).expect("records open")
}

fn block(n: u64, at: i64) -> Block {
    Block {
        reference: BlockRef::from_random(n),
        kind: BlockKind::Sender,
        subject: "alice@acme.example".into(),
        scope: SenderScope::Account,
        tenant: Some(TenantId::new("acme")),
        sender: None,
        state: BlockState::Active,
        reason: Reason::Evidence,
        explanation: "four messages like spam".into(),
        opened_at: Time::from_secs(at),
        until: None,
        opened_by: "relay".into(),
        evidence: vec![crate::types::Evidence {
            message_id: MessageId(7),
            time: Time::from_secs(at),
            probability: 0.99,
            llr: 4.5,
            symbols: vec![Signal {
                name: "new_recipients".into(),
                weight: 2.5,
            }],
            recipients: 3,
        }],
        ended_at: None,
        released_by: None,
        verdict: None,
        note: None,
    }
}

fn released(n: u64, at: i64, by: &str) -> Block {
    Block {
        state: BlockState::Released,
        ended_at: Some(Time::from_secs(at + 10)),
        released_by: Some(by.into()),
        verdict: Some(ReleaseVerdict::Mistake),
        ..block(n, at)
    }
}

fn judged(secs: i64, low: u32, sender: &str, recipients: &[&str]) -> Judged {
    Judged {
        id: MessageId::from_parts(Time::from_secs(secs), low),
        time: Time::from_secs(secs),
        tenant: Some(TenantId::new("acme")),
        sender_key: format!("acme:{sender}"),
        sender: sender.into(),
        from: sender.into(),
        client: "192.0.2.7".into(),
        recipients: recipients.iter().map(|r| (*r).to_owned()).collect(),
        header_message_id: Some(format!("{low}@mail.acme.example")),
        size: 10_000,
        action: Action::Accept,
        reason: Reason::Clean,
        block: None,
        probability: 0.1,
        llr: -2.0,
        symbols: vec![Signal {
            name: "greeting".into(),
            weight: -0.5,
        }],
        reply: "250 2.0.0 accepted".into(),
    }
}

fn attempted(of: &Judged, status: RecipientStatus, reply: Reply) -> TraceEvent {
    TraceEvent::Attempted {
        id: of.id,
        time: of.time.after(Duration::from_secs(1)),
        outcomes: vec![RecipientOutcome {
            recipient: 0,
            status,
            class: OutcomeClass::Delivered,
            reply,
            remote: "mx.test[192.0.2.9]:25".into(),
            relayed_dsn: false,
        }],
    }
}

const DAY: i64 = 86_400;
const NOW: i64 = 1_795_356_000;

fn query(limit: usize) -> TraceQuery {
    TraceQuery {
        limit,
        ..TraceQuery::default()
    }
}

#[tokio::test]
async fn blocks_survive_a_restart() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    records
        .put_block(Arc::new(block(1, NOW)))
        .await
        .expect("put");
    records
        .put_block(Arc::new(released(2, NOW + 1, "nina")))
        .await
        .expect("put");
    // Not closed: whoever is killed has no time to.
    drop(records);
    let records = open(&dir);
    assert_eq!(
        records.active_blocks().expect("active"),
        vec![block(1, NOW)]
    );
    assert_eq!(
        records.block(BlockRef::from_random(2)).await,
        Ok(released(2, NOW + 1, "nina"))
    );
    assert_eq!(
        records.block(BlockRef::from_random(9)).await,
        Err(RecordsError::NotFound)
    );
}

#[tokio::test]
async fn blocks_are_listed_newest_first_by_state_tenant_subject_and_page() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    for n in 0..5 {
        records
            .put_block(Arc::new(block(n, NOW + i64::try_from(n).expect("small"))))
            .await
            .expect("put");
    }
    records
        .put_block(Arc::new(Block {
            tenant: None,
            subject: "other".into(),
            ..block(9, NOW + 9)
        }))
        .await
        .expect("put");
    let refs = |blocks: Vec<Block>| {
        blocks
            .iter()
            .map(|b| b.opened_at.as_secs() - NOW)
            .collect::<Vec<_>>()
    };
    let acme = BlockQuery {
        tenant: Some(TenantId::new("acme")),
        limit: 2,
        ..BlockQuery::default()
    };
    let first = records.blocks(acme.clone()).await.expect("list");
    let last = first.last().expect("two");
    let next = BlockQuery {
        after: Some((last.opened_at, last.reference)),
        ..acme
    };
    assert_eq!(refs(first), [4, 3]);
    assert_eq!(refs(records.blocks(next).await.expect("list")), [2, 1]);
    let other = BlockQuery {
        subject: Some("other".into()),
        state: Some(BlockState::Active),
        limit: 9,
        ..BlockQuery::default()
    };
    assert_eq!(refs(records.blocks(other).await.expect("list")), [9]);
    let ended = BlockQuery {
        state: Some(BlockState::Released),
        limit: 9,
        ..BlockQuery::default()
    };
    assert_eq!(records.blocks(ended).await, Ok(vec![]));
}

#[tokio::test]
async fn only_releases_by_tenant_admins_count_against_the_quota() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    let token = |name: &str, role| Token {
        name: name.into(),
        role,
        tenant: None,
        sha256: "00".into(),
        created_at: Time(0),
    };
    records
        .token_add(token("nina", Role::Admin))
        .await
        .expect("token");
    records
        .token_add(token("olaf", Role::Operator))
        .await
        .expect("token");
    for (n, by) in [(1, "nina"), (2, "nina"), (3, "olaf"), (4, "operator")] {
        records
            .put_block(Arc::new(released(n, NOW, by)))
            .await
            .expect("put");
    }
    records
        .put_block(Arc::new(released(5, NOW - 40 * DAY, "nina")))
        .await
        .expect("put");
    // A revoked token does not give releases back.
    records.token_remove("nina").await.expect("revoke");
    records
        .put_block(Arc::new(released(1, NOW, "nina")))
        .await
        .expect("put again");
    let tenant = TenantId::new("acme");
    let count = |kind, subject, since| {
        records.tenant_releases(Some(&tenant), kind, subject, Time::from_secs(since))
    };
    assert_eq!(
        count(BlockKind::Sender, "alice@acme.example", NOW - 30 * DAY).await,
        Ok(2)
    );
    assert_eq!(
        count(BlockKind::Sender, "alice@acme.example", 0).await,
        Ok(3)
    );
    assert_eq!(
        count(BlockKind::Domain, "alice@acme.example", 0).await,
        Ok(0)
    );
    // A login of the same name in another tenant has its own quota.
    let other = TenantId::new("other");
    assert_eq!(
        records
            .tenant_releases(
                Some(&other),
                BlockKind::Sender,
                "alice@acme.example",
                Time(0)
            )
            .await,
        Ok(0)
    );
    assert_eq!(
        records
            .tenant_releases(None, BlockKind::Sender, "alice@acme.example", Time(0))
            .await,
        Ok(0)
    );
}

#[tokio::test]
async fn a_search_sees_what_was_traced_before_it_and_folds_outcomes() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    let one = judged(
        NOW,
        1,
        "alice@acme.example",
        &["Bob@far.example", "eve@far.example"],
    );
    let two = judged(NOW, 2, "carol@acme.example", &["bob@far.example"]);
    records.trace(attempted(
        &one,
        RecipientStatus::Delivered,
        Reply::new(250, (2, 0, 0), "ok"),
    ));
    records.trace(TraceEvent::Judged(Box::new(one.clone())));
    records.trace(TraceEvent::Judged(Box::new(two.clone())));
    let all = records.search(query(10)).await.expect("search");
    assert_eq!(
        all.iter().map(|m| m.judged.clone()).collect::<Vec<_>>(),
        [two.clone(), one.clone()]
    );
    let history = &all[1].history;
    assert_eq!(
        (
            history.len(),
            history[0].recipient.as_str(),
            history[0].status.as_str()
        ),
        (1, "Bob@far.example", "delivered")
    );
    assert_eq!(history[0].text, "250 2.0.0 ok (mx.test[192.0.2.9]:25)");
    // What comes in a later batch is found too, in order.
    records.trace(TraceEvent::Note {
        id: one.id,
        time: Time::from_secs(NOW + 5),
        text: "released".into(),
    });
    let found = records
        .search(TraceQuery {
            id: Some(one.id.to_string()),
            ..query(10)
        })
        .await
        .expect("search");
    assert_eq!(
        found[0]
            .history
            .iter()
            .map(|l| l.status.as_str())
            .collect::<Vec<_>>(),
        ["delivered", "note"]
    );
}

#[tokio::test]
async fn every_way_to_search() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    let one = judged(NOW, 1, "alice@acme.example", &["Bob@far.example"]);
    let two = Judged {
        tenant: None,
        from: "bounce@x.example".into(),
        sender_key: "acme:forwarded;192.0.2.7".into(),
        ..judged(NOW, 2, "carol@b.example", &["bob@far.example"])
    };
    for j in [&one, &two] {
        records.trace(TraceEvent::Judged(Box::new(j.clone())));
    }
    let text = |t: &str| Some(t.to_owned());
    let table = [
        (
            TraceQuery {
                id: text(&one.id.to_string()),
                ..query(9)
            },
            vec![one.id],
        ),
        (
            TraceQuery {
                id: text("<1@mail.acme.example>"),
                ..query(9)
            },
            vec![one.id],
        ),
        (
            TraceQuery {
                sender: text("ALICE@acme.example"),
                ..query(9)
            },
            vec![one.id],
        ),
        (
            TraceQuery {
                sender: text("acme:alice@acme.example"),
                ..query(9)
            },
            vec![one.id],
        ),
        (
            TraceQuery {
                sender: text("bounce@x.example"),
                ..query(9)
            },
            vec![two.id],
        ),
        (
            TraceQuery {
                sender: text("acme:forwarded;192.0.2.7"),
                ..query(9)
            },
            vec![two.id],
        ),
        (
            TraceQuery {
                sender: text("acme:alice@acme.example;192.0.2.7"),
                ..query(9)
            },
            vec![],
        ),
        (
            TraceQuery {
                recipient: text("bob@FAR.example"),
                ..query(9)
            },
            vec![two.id, one.id],
        ),
        (
            TraceQuery {
                recipient: text("bob@far.example"),
                ..query(1)
            },
            vec![two.id],
        ),
        (
            TraceQuery {
                recipient: text("bob@far.example"),
                before: Some(two.id),
                ..query(9)
            },
            vec![one.id],
        ),
        (
            TraceQuery {
                recipient: text("bob@far.example"),
                sender: text("alice@acme.example"),
                ..query(9)
            },
            vec![one.id],
        ),
        (
            TraceQuery {
                tenant: Some(TenantId::new("acme")),
                ..query(9)
            },
            vec![one.id],
        ),
        (
            TraceQuery {
                id: text(&two.id.to_string()),
                tenant: Some(TenantId::new("acme")),
                ..query(9)
            },
            vec![],
        ),
        (
            TraceQuery {
                sender: text("nobody"),
                ..query(9)
            },
            vec![],
        ),
    ];
    for (query, want) in table {
        let got: Vec<_> = records
            .search(query.clone())
            .await
            .expect("search")
            .iter()
            .map(|m| m.judged.id)
            .collect();
        assert_eq!(got, want, "{query:?}");
    }
}

#[tokio::test]
async fn the_trace_survives_a_restart_and_is_pruned_by_age_and_octets() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    for day in 0..4 {
        let j = judged(
            NOW + day * DAY,
            1,
            "alice@acme.example",
            &["bob@far.example"],
        );
        records.trace(TraceEvent::Judged(Box::new(j)));
        records.search(query(1)).await.expect("flush");
    }
    records.close().await;
    assert!(records.search(query(1)).await.is_err(), "closed");
    let records = open(&dir);
    let days = |found: Vec<MessageTrace>| {
        found
            .iter()
            .map(|m| (m.judged.time.as_secs() - NOW) / DAY)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        days(records.search(query(9)).await.expect("search")),
        [3, 2, 1, 0]
    );
    let limits = |days: u64, octets| settings::Records {
        trace: Duration::from_secs(days * 86_400),
        trace_bytes: octets,
        evidence: Duration::from_secs(90 * 86_400),
    };
    let now = Time::from_secs(NOW + 3 * DAY + 60);
    records
        .prune(now, limits(2, u64::MAX))
        .await
        .expect("prune");
    assert_eq!(
        days(records.search(query(9)).await.expect("search")),
        [3, 2, 1]
    );
    records.prune(now, limits(30, 1)).await.expect("prune");
    assert_eq!(days(records.search(query(9)).await.expect("search")), [3]);
    // News of a message that was pruned is dropped, not an error.
    let old = judged(NOW, 1, "alice@acme.example", &["bob@far.example"]);
    records.trace(attempted(
        &old,
        RecipientStatus::Failed,
        Reply::new(550, (5, 1, 1), "no"),
    ));
    assert_eq!(days(records.search(query(9)).await.expect("search")), [3]);
}

#[tokio::test]
async fn a_damaged_part_of_the_trace_is_set_aside() {
    let dir = tempfile::tempdir().expect("dir");
    let one = judged(NOW, 1, "alice@acme.example", &["bob@far.example"]);
    let part = dir
        .path()
        .join("trace")
        .join(format!("trace-{:013}.db", NOW * 1000));
    std::fs::create_dir(dir.path().join("trace")).expect("dir");
    std::fs::write(&part, vec![b'x'; 8192]).expect("write");
    let records = open(&dir);
    records.trace(TraceEvent::Judged(Box::new(one.clone())));
    records.search(query(1)).await.expect("flush");
    assert!(part.with_extension("damaged").exists());
    records.trace(TraceEvent::Judged(Box::new(one.clone())));
    assert_eq!(
        records.search(query(1)).await.expect("search")[0].judged,
        one
    );
}

#[tokio::test]
async fn evidence_is_forgotten_long_after_the_end_and_not_before() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    records
        .put_block(Arc::new(released(1, NOW - 100 * DAY, "nina")))
        .await
        .expect("put");
    records
        .put_block(Arc::new(released(2, NOW - 10 * DAY, "nina")))
        .await
        .expect("put");
    records
        .put_block(Arc::new(block(3, NOW - 100 * DAY)))
        .await
        .expect("put");
    let limits = settings::Records {
        trace: Duration::from_secs(1),
        trace_bytes: 1 << 30,
        evidence: Duration::from_secs(90 * 86_400),
    };
    records
        .prune(Time::from_secs(NOW), limits)
        .await
        .expect("prune");
    let mut left = Vec::new();
    for n in 1..=3 {
        left.push(
            records
                .block(BlockRef::from_random(n))
                .await
                .expect("block")
                .evidence
                .len(),
        );
    }
    assert_eq!(left, [0, 1, 1]);
}

fn entry(n: i64) -> AuditEntry {
    AuditEntry {
        time: Time(n),
        actor: "nina".into(),
        action: "block.release".into(),
        subject: format!("OG-{n}"),
        detail: "mistake".into(),
    }
}

#[tokio::test]
async fn the_audit_is_chained_and_a_change_shows() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    for n in 1..=4 {
        records.audit(entry(n)).await.expect("audit");
    }
    let newest = records.audit_list(None, 2).await.expect("list");
    assert_eq!(newest, [(4, entry(4)), (3, entry(3))]);
    assert_eq!(
        records.audit_list(Some(2), 9).await.expect("list"),
        [(1, entry(1))]
    );
    let verified = records.audit_verify(None).await.expect("intact");
    assert_eq!(
        (verified.lines, verified.head.map(|head| head.line)),
        (4, Some(4))
    );
    let by_hand = rusqlite::Connection::open(dir.path().join("records.db")).expect("open");
    by_hand
        .execute("UPDATE audit SET actor = 'olaf' WHERE id = 3", [])
        .expect("forge");
    let error = records.audit_verify(None).await.expect_err("shows");
    assert!(error.to_string().contains("line 3"), "{error}");
}

#[tokio::test]
async fn lines_cut_from_the_end_of_the_audit_show() {
    // A chain proves what stands in it; the end could be cut off and all was "intact".
    let cut = async |also: &str, spare: &[&str], known: bool| {
        let dir = tempfile::tempdir().expect("dir");
        let records = open(&dir);
        for n in 1..=4 {
            records.audit(entry(n)).await.expect("audit");
        }
        let head = records.audit_verify(None).await.expect("intact").head;
        for name in spare {
            std::fs::remove_file(dir.path().join(name)).expect("removed");
        }
        let by_hand = rusqlite::Connection::open(dir.path().join("records.db")).expect("open");
        by_hand
            .execute_batch(&format!("DELETE FROM audit WHERE id > 2; {also}"))
            .expect("cut");
        records
            .audit_verify(head.filter(|_| known))
            .await
            .map(|v| v.lines)
            .map_err(|e| e.to_string())
    };
    let sequence = "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'audit';";
    let marker = "DELETE FROM value WHERE space = 'audit';";
    let ends = |last: i64| {
        Err(format!(
            "records failed: the audit ends at line {last}, but line 4 was written: lines were cut from its end"
        ))
    };
    assert_eq!(cut("", &[], false).await, ends(2));
    assert_eq!(cut(sequence, &[], false).await, ends(2), "by audit.heads");
    assert_eq!(
        cut(marker, &["audit.heads"], false).await,
        ends(2),
        "by the database's own count"
    );
    let both = cut(sequence, &["audit.heads"], false)
        .await
        .expect_err("no second place");
    assert!(both.contains("audit.heads is missing"), "{both}");
    let all = format!("{sequence}{marker}");
    assert_eq!(
        cut(&all, &["audit.heads"], true).await,
        ends(2),
        "by what somebody has noted"
    );
    assert_eq!(
        cut(&format!("DELETE FROM audit; {sequence}"), &[], false).await,
        ends(0)
    );
}

#[tokio::test]
async fn an_audit_that_was_cut_and_written_anew_shows() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    for n in 1..=4 {
        records.audit(entry(n)).await.expect("audit");
    }
    let by_hand = rusqlite::Connection::open(dir.path().join("records.db")).expect("open");
    by_hand
        .execute_batch("DELETE FROM audit WHERE id > 2; UPDATE sqlite_sequence SET seq = 2 WHERE name = 'audit'")
        .expect("cut");
    // The program itself goes on from there, in good faith.
    records.audit(entry(7)).await.expect("audit");
    let error = records
        .audit_verify(None)
        .await
        .expect_err("shows")
        .to_string();
    assert!(error.contains("two different lines 3"), "{error}");
}

#[tokio::test]
async fn an_audit_from_before_there_was_a_second_place_is_intact() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    records.audit(entry(1)).await.expect("audit");
    std::fs::remove_file(dir.path().join("audit.heads")).expect("removed");
    let by_hand = rusqlite::Connection::open(dir.path().join("records.db")).expect("open");
    by_hand
        .execute("DELETE FROM value WHERE space = 'audit'", [])
        .expect("as it was");
    assert_eq!(records.audit_verify(None).await.expect("intact").lines, 1);
    records.audit(entry(2)).await.expect("audit");
    assert_eq!(records.audit_verify(None).await.expect("intact").lines, 2);
}

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
