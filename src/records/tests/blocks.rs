//! Records of blocks, the quota of releases and the evidence that is forgotten.

use super::*;

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

async fn put(records: &Records, block: Block) {
    records.put_block(Arc::new(block)).await.expect("put");
}

#[tokio::test]
async fn blocks_survive_a_restart() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    put(&records, block(1, NOW)).await;
    put(&records, released(2, NOW + 1, "nina")).await;
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
        put(&records, block(n, NOW + i64::try_from(n).expect("small"))).await;
    }
    put(
        &records,
        Block {
            tenant: None,
            subject: "other".into(),
            ..block(9, NOW + 9)
        },
    )
    .await;
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
        put(&records, released(n, NOW, by)).await;
    }
    put(&records, released(5, NOW - 40 * DAY, "nina")).await;
    // A revoked token does not give releases back.
    records.token_remove("nina").await.expect("revoke");
    put(&records, released(1, NOW, "nina")).await;
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
async fn evidence_is_forgotten_long_after_the_end_and_not_before() {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    put(&records, released(1, NOW - 100 * DAY, "nina")).await;
    put(&records, released(2, NOW - 10 * DAY, "nina")).await;
    put(&records, block(3, NOW - 100 * DAY)).await;
    let limits = settings::RecordsSettings {
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
