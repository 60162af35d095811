//! Reports to the sender: failures, delays, successes.

use super::*;

#[test]
fn a_failure_is_final_only_when_its_report_is_taken_over() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    let out = b.end(&job, &m, 550);
    assert_eq!(names(&out), ["attempted", "progress", "report"]);
    let (token, kind, who) = report(&out);
    assert_eq!(
        (kind, who),
        (
            QueueReportKind::Failed(FailureCause::Refused, None),
            vec![0]
        )
    );
    // Nobody could take it: it comes again.
    assert!(b.step(QueueInput::Acked { token, done: false }).is_empty());
    assert_eq!(report(&b.wait(61)).0, token);
    assert_eq!(
        names(&b.step(QueueInput::Acked { token, done: true })),
        ["done"]
    );
    assert!(b.step(QueueInput::Acked { token, done: true }).is_empty());
}

/// A message whose only recipient is refused, and nobody can take the report over.
fn refuse_unreported(b: &mut Bench, n: u32) -> MessageMeta {
    let m = message(
        n,
        "alice@acme.example",
        &[&format!("x@d{}.example", n % 500)],
    );
    let job = jobs(b.enqueue(&m)).remove(0);
    let (token, ..) = report(&b.end(&job, &m, 550));
    b.step(QueueInput::Acked { token, done: false });
    m
}

#[test]
fn reports_that_nobody_can_take_over_do_not_stop_delivery() {
    // On a full disk no report could be written, and once 256 of them were open no attempt started
    // any more: mail that could have left, and made room, stayed.
    let mut b = Bench::new(settings());
    for n in 0..300 {
        refuse_unreported(&mut b, n);
    }
    assert_eq!(
        jobs(b.enqueue(&message(1000, "alice@acme.example", &["x@far.example"]))).len(),
        1
    );
}

#[test]
fn of_many_reports_that_nobody_can_take_over_only_so_many_stay_in_memory() {
    let mut b = Bench::new(settings());
    let most = u32::try_from(crate::queue::reports::WAITING_MAX).expect("few");
    let metas: Vec<_> = (0..most + 20)
        .map(|n| refuse_unreported(&mut b, n))
        .collect();
    let mut out = b.wait(60);
    assert_eq!(
        out.iter()
            .filter(|e| matches!(e, QueueEffect::Report(..)))
            .count(),
        metas.len() - 20
    );
    // Somebody takes them over now: those that were put off are tried again and then told of.
    let mut done = 0;
    for _ in 0..20 * metas.len() {
        if done == metas.len() {
            break;
        }
        let mut next = Vec::new();
        for effect in out {
            let of = |id: MessageId| metas.iter().find(|m| m.id == id).expect("known");
            match effect {
                QueueEffect::Report(token, _) => {
                    next.extend(b.step(QueueInput::Acked { token, done: true }))
                }
                QueueEffect::Load(id) => {
                    next.extend(b.step(QueueInput::Loaded(Arc::new(of(id).clone()))))
                }
                QueueEffect::Attempt(job) => next.extend(b.end(&job, of(job.id), 550)),
                QueueEffect::Done(_) => done += 1,
                _ => {}
            }
        }
        out = if next.is_empty() { b.wait(60) } else { next };
    }
    assert_eq!(done, metas.len());
    assert!(b.state.is_idle());
}

#[test]
fn a_return_that_is_put_off_comes_again_then_and_not_before() {
    let mut b = Bench::new(settings());
    let m = MessageMeta {
        hold: Some(HoldReason::Admin),
        ..message(1, "bad@acme.example", &["x@far.example"])
    };
    b.enqueue(&m);
    assert!(names(&b.wait(5 * 86_400)).contains(&"load"));
    let (token, kind, _) = report(&b.step(QueueInput::Loaded(Arc::new(m.clone()))));
    let until = b.now.after(Duration::from_secs(3600));
    assert!(b.step(QueueInput::PutOff { token, until }).is_empty());
    assert_eq!(b.state_of(m.id), Some(QueueState::Held));
    assert!(b.state.is_idle(), "an orderly end does not wait for it");
    assert!(b.wait(3599).is_empty());
    assert_eq!(names(&b.wait(1)), ["load"]);
    let out = b.step(QueueInput::Loaded(Arc::new(m.clone())));
    let (token, again, who) = report(&out);
    assert_eq!((&again, who), (&kind, vec![0]));
    assert_eq!(
        names(&b.step(QueueInput::Acked { token, done: true })),
        ["done"]
    );
}

#[test]
fn the_delay_notice_goes_out_once() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    b.end(&job, &m, 450);
    let out = b.wait(4 * 3600);
    assert!(names(&out).contains(&"load"), "{out:?}");
    let out = b.step(QueueInput::Loaded(Arc::new(m.clone())));
    let (token, kind, who) = report(&out);
    assert_eq!(
        (kind, who),
        (
            QueueReportKind::Delayed(T0.after(Duration::from_secs(5 * 86_400))),
            vec![0]
        )
    );
    let out = b.step(QueueInput::Acked { token, done: true });
    let QueueEffect::Progress(_, record, _) = &out[0] else {
        panic!("{out:?}")
    };
    assert!(MessageProgress::decode(record).expect("record").notice_sent);
    assert!(!names(&b.wait(3600)).contains(&"load"));
}

#[test]
fn an_expired_message_goes_back_with_the_last_reply() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    b.end(&job, &m, 450);
    b.wait(5 * 86_400);
    let out = b.step(QueueInput::Loaded(Arc::new(m.clone())));
    let (token, kind, who) = report(&out);
    assert_eq!(
        (kind, who),
        (
            QueueReportKind::Failed(FailureCause::Expired, None),
            vec![0]
        )
    );
    let Some(QueueEffect::Report(_, r)) = out.iter().find(|e| matches!(e, QueueEffect::Report(..)))
    else {
        panic!("{out:?}")
    };
    assert_eq!(r.recipients[0].reply.code, 450);
    assert_eq!(
        names(&b.step(QueueInput::Acked { token, done: true })),
        ["done"]
    );
}

#[test]
fn success_is_reported_only_where_asked_for_and_nobody_else_does() {
    for (notify, dsn, want) in [
        (true, false, true),
        (true, true, false),
        (false, false, false),
    ] {
        let mut b = Bench::new(settings());
        let mut m = message(1, "alice@acme.example", &["x@far.example"]);
        m.envelope.recipients[0].notify = Some(Notify {
            success: notify,
            failure: true,
            delay: false,
        });
        let job = jobs(b.enqueue(&m)).remove(0);
        let outcomes = vec![RecipientOutcome {
            relayed_dsn: dsn,
            ..outcome(0, 250)
        }];
        let out = b.step(QueueInput::Ended {
            dest: job.dest,
            meta: Arc::new(m.clone()),
            recipients: vec![0],
            result: result(outcomes),
        });
        assert_eq!(names(&out).contains(&"report"), want, "{notify} {dsn}");
    }
}
