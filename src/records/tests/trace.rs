//! The trace of messages: searching, pruning, damage.

use super::*;

fn judged(secs: i64, low: u32, sender: &str, recipients: &[&str]) -> TracedJudgement {
    TracedJudgement {
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

fn attempted(of: &TracedJudgement, status: RecipientStatus, reply: Reply) -> TraceEvent {
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

fn query(limit: usize) -> TraceQuery {
    TraceQuery {
        limit,
        ..TraceQuery::default()
    }
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

/// Two messages, one of which has no tenant, in fresh records.
fn two_traced() -> (tempfile::TempDir, Records, MessageId, MessageId) {
    let dir = tempfile::tempdir().expect("dir");
    let records = open(&dir);
    let one = judged(NOW, 1, "alice@acme.example", &["Bob@far.example"]);
    let two = TracedJudgement {
        tenant: None,
        from: "bounce@x.example".into(),
        sender_key: "acme:forwarded;192.0.2.7".into(),
        ..judged(NOW, 2, "carol@b.example", &["bob@far.example"])
    };
    for j in [&one, &two] {
        records.trace(TraceEvent::Judged(Box::new(j.clone())));
    }
    (dir, records, one.id, two.id)
}

/// Each query finds these messages.
async fn found(records: &Records, table: impl IntoIterator<Item = (TraceQuery, Vec<MessageId>)>) {
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

fn text(t: &str) -> Option<String> {
    Some(t.to_owned())
}

#[tokio::test]
async fn messages_are_found_by_id_and_tenant() {
    let (_dir, records, one, two) = two_traced();
    let table = [
        (
            TraceQuery {
                id: text(&one.to_string()),
                ..query(9)
            },
            vec![one],
        ),
        (
            TraceQuery {
                id: text("<1@mail.acme.example>"),
                ..query(9)
            },
            vec![one],
        ),
        (
            TraceQuery {
                tenant: Some(TenantId::new("acme")),
                ..query(9)
            },
            vec![one],
        ),
        (
            TraceQuery {
                id: text(&two.to_string()),
                tenant: Some(TenantId::new("acme")),
                ..query(9)
            },
            vec![],
        ),
    ];
    found(&records, table).await;
}

#[tokio::test]
async fn messages_are_found_by_every_form_of_the_sender() {
    let (_dir, records, one, two) = two_traced();
    let table = [
        (
            TraceQuery {
                sender: text("ALICE@acme.example"),
                ..query(9)
            },
            vec![one],
        ),
        (
            TraceQuery {
                sender: text("acme:alice@acme.example"),
                ..query(9)
            },
            vec![one],
        ),
        (
            TraceQuery {
                sender: text("bounce@x.example"),
                ..query(9)
            },
            vec![two],
        ),
        (
            TraceQuery {
                sender: text("acme:forwarded;192.0.2.7"),
                ..query(9)
            },
            vec![two],
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
                sender: text("nobody"),
                ..query(9)
            },
            vec![],
        ),
    ];
    found(&records, table).await;
}

#[tokio::test]
async fn messages_are_found_by_recipient() {
    let (_dir, records, one, two) = two_traced();
    let table = [
        (
            TraceQuery {
                recipient: text("bob@FAR.example"),
                ..query(9)
            },
            vec![two, one],
        ),
        (
            TraceQuery {
                recipient: text("bob@far.example"),
                ..query(1)
            },
            vec![two],
        ),
        (
            TraceQuery {
                recipient: text("bob@far.example"),
                before: Some(two),
                ..query(9)
            },
            vec![one],
        ),
        (
            TraceQuery {
                recipient: text("bob@far.example"),
                sender: text("alice@acme.example"),
                ..query(9)
            },
            vec![one],
        ),
    ];
    found(&records, table).await;
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
    let limits = |days: u64, octets| settings::RecordsSettings {
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
