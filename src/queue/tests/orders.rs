//! Orders of people and of blocks: hold, release, retry, bounce, delete, list.

use super::*;

fn block(subject: &str) -> Block {
    Block {
        reference: BlockRef::from_random(7),
        kind: BlockKind::Sender,
        subject: subject.into(),
        scope: SenderScope::Account,
        tenant: None,
        sender: None,
        state: BlockState::Active,
        reason: Reason::Evidence,
        explanation: String::new(),
        opened_at: T0,
        until: None,
        opened_by: "relay".into(),
        evidence: vec![],
        ended_at: None,
        released_by: None,
        verdict: None,
        note: None,
    }
}

#[test]
fn a_block_holds_the_senders_mail_and_a_release_sends_it_on() {
    let mut b = Bench::new(settings());
    b.state.gate(false);
    let bad = message(1, "bad@acme.example", &["x@far.example"]);
    let good = message(2, "good@acme.example", &["x@far.example"]);
    b.enqueue(&bad);
    b.enqueue(&good);
    b.state.gate(true);
    let under = BlockRef::from_random(7);
    let select = Select::CoveredBy(Arc::new(block("bad@acme.example")));
    let (met, out) = b.order(Order::Hold(HoldReason::Block(under)), select);
    assert_eq!(met, [bad.id]);
    assert_eq!(names(&out), ["durable", "attempt"], "the good one goes");
    assert_eq!(b.state_of(bad.id), Some(QueueState::Held));
    assert_eq!(b.state.list(Some(QueueState::Held), None, 10).len(), 1);
    let (met, out) = b.order(Order::Release, Select::HeldUnder(under));
    assert_eq!(met, [bad.id]);
    assert_eq!(names(&out), ["durable", "attempt"]);
    assert_eq!(b.order(Order::Release, Select::HeldUnder(under)).0, []);
}

#[test]
fn a_release_keeps_what_another_block_stops_and_does_not_begin_its_time_anew() {
    let mut b = Bench::new(settings());
    let (first, second) = (BlockRef::from_random(7), BlockRef::from_random(8));
    let metas: Vec<_> = (0..4)
        .map(|n| {
            let from = if n < 2 {
                "bad@acme.example"
            } else {
                "good@acme.example"
            };
            MessageMeta {
                hold: Some(HoldReason::Block(first)),
                ..message(n, from, &["x@far.example"])
            }
        })
        .collect();
    for m in &metas {
        b.enqueue(m);
    }
    b.wait(86_400);
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    let gate: crate::queue::FindBlock = Arc::new(move |identity| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (&*identity.address == "bad@acme.example").then_some(second)
    });
    let mut out = Vec::new();
    let released = b
        .state
        .release(b.now, &Select::HeldUnder(first), &gate, &mut out);
    b.state.pump(b.now, &mut out);
    assert_eq!(released.sent_on, [metas[2].id, metas[3].id]);
    assert_eq!(
        released.kept,
        [(metas[0].id, second), (metas[1].id, second)]
    );
    assert_eq!(
        names(&out),
        [
            "durable", "durable", "durable", "durable", "attempt", "attempt"
        ]
    );
    assert_eq!(
        asked.load(std::sync::atomic::Ordering::Relaxed),
        2,
        "once for each sender"
    );
    assert!(
        names(&b.wait(4 * 86_400)).contains(&"load"),
        "held for five days in all"
    );
    let out = b.step(QueueInput::Loaded(Arc::new(metas[0].clone())));
    assert_eq!(
        report(&out).1,
        QueueReportKind::Failed(FailureCause::HeldReturned, Some(HoldReason::Block(second)))
    );
}

#[test]
fn a_hold_during_an_attempt_keeps_what_is_left() {
    let mut b = Bench::new(settings());
    let m = message(1, "bad@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    let (met, _) = b.order(Order::Hold(HoldReason::Admin), Select::Id(m.id));
    assert_eq!(met, [m.id]);
    b.end(&job, &m, 450);
    assert!(jobs(b.wait(3600)).is_empty());
    assert_eq!(b.state_of(m.id), Some(QueueState::Held));
    assert_eq!(jobs(b.order(Order::Release, Select::Id(m.id)).1).len(), 1);
}

#[test]
fn held_mail_goes_back_after_its_time_with_the_reference() {
    let mut b = Bench::new(settings());
    let mut m = message(1, "bad@acme.example", &["x@far.example"]);
    let hold = HoldReason::Block(BlockRef::from_random(7));
    m.hold = Some(hold.clone());
    assert!(b.enqueue(&m).is_empty());
    assert!(names(&b.wait(5 * 86_400)).contains(&"load"));
    let out = b.step(QueueInput::Loaded(Arc::new(m.clone())));
    assert_eq!(
        report(&out).1,
        QueueReportKind::Failed(FailureCause::HeldReturned, Some(hold))
    );
}

#[test]
fn only_held_mail_can_be_deleted() {
    let mut b = Bench::new(settings());
    let m = message(1, "bad@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    assert_eq!(b.order(Order::Delete, Select::Id(m.id)).0, []);
    b.end(&job, &m, 450);
    b.order(Order::Hold(HoldReason::Admin), Select::Id(m.id));
    let (met, out) = b.order(Order::Delete, Select::Id(m.id));
    assert_eq!((met.len(), names(&out)), (1, vec!["done"]));
    assert_eq!(b.state.counts().held, 0);
}

#[test]
fn a_bounce_survives_a_crash_and_is_told() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    b.end(&job, &m, 450);
    let (_, out) = b.order(Order::Bounce, Select::Id(m.id));
    let QueueEffect::Progress(_, record, true) = &out[0] else {
        panic!("{out:?}")
    };
    let mut b = Bench::new(settings());
    b.state.recover(b.now, &m, Some(record));
    assert_eq!(names(&b.step(QueueInput::Tick)), ["load"]);
    let out = b.step(QueueInput::Loaded(Arc::new(m.clone())));
    assert_eq!(
        report(&out).1,
        QueueReportKind::Failed(FailureCause::Admin, None)
    );
}

#[test]
fn retry_does_not_wait() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    b.end(&job, &m, 499);
    assert_eq!(jobs(b.order(Order::Retry, Select::Id(m.id)).1).len(), 1);
}

#[test]
fn lists_page_in_order_of_ids() {
    let mut b = Bench::new(settings());
    b.state.gate(false);
    for n in [3, 1, 2, 5, 4] {
        b.enqueue(&message(n, "alice@acme.example", &["x@far.example"]));
    }
    let first = b.state.list(None, None, 2);
    let next = b.state.list(Some(QueueState::Active), Some(first[1].id), 2);
    let low = |items: &[crate::queue::QueueItem]| {
        items.iter().map(|i| i.id.0 & 0x3f_ffff).collect::<Vec<_>>()
    };
    assert_eq!((low(&first), low(&next)), (vec![1, 2], vec![3, 4]));
}
