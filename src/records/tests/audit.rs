//! The audit: its chain, and what was cut from it.

use super::*;

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
