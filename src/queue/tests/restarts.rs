//! What a new start makes of the recorded progress.

use super::*;

#[test]
fn a_crash_before_the_report_tries_the_recipient_again() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example", "y@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    let recipients = job.recipients(&m);
    let outcomes = vec![outcome(0, 250), outcome(1, 550)];
    let out = b.step(QueueInput::Ended {
        dest: job.dest,
        meta: Arc::new(m.clone()),
        recipients,
        result: result(outcomes),
    });
    let record = out.iter().find_map(|e| {
        if let QueueEffect::Progress(_, r, _) = e {
            Some(r.clone())
        } else {
            None
        }
    });
    let mut b = Bench::new(settings());
    b.state.recover(b.now, &m, record.as_deref());
    let job = jobs(b.step(QueueInput::Tick)).remove(0);
    assert_eq!(job.recipients(&m), [1], "not the one that was delivered");
}

fn record(effects: &[QueueEffect]) -> bytes::Bytes {
    let found = effects.iter().rev().find_map(|e| {
        if let QueueEffect::Progress(_, r, _) = e {
            Some(r.clone())
        } else {
            None
        }
    });
    found.expect("a record")
}

#[test]
fn a_crash_before_the_report_of_success_reports_it_then() {
    // All recipients were delivered and only the report was open: after the crash the message had
    // nothing left to be tried and nothing to be reported, so it stayed for ever, and no order
    // could end it.
    let mut b = Bench::new(settings());
    let mut m = message(1, "alice@acme.example", &["x@far.example", "y@far.example"]);
    m.envelope.recipients[1].notify = Some(Notify {
        success: true,
        failure: true,
        delay: false,
    });
    let job = jobs(b.enqueue(&m)).remove(0);
    let out = b.end(&job, &m, 250);
    assert_eq!(names(&out), ["attempted", "progress", "report"]);
    let mut b = Bench::new(settings());
    b.state.recover(b.now, &m, Some(&record(&out)));
    assert_eq!(names(&b.step(QueueInput::Tick)), ["load"]);
    let out = b.step(QueueInput::Loaded(Arc::new(m.clone())));
    let (token, kind, who) = report(&out);
    assert_eq!((kind, who), (QueueReportKind::Relayed, vec![1]));
    assert_eq!(
        names(&b.step(QueueInput::Acked { token, done: true })),
        ["done"]
    );
}

#[test]
fn a_crash_after_the_last_delivery_leaves_nothing_behind() {
    // As above, with a notice of delay under way when the last recipient was delivered: that notice
    // is moot.
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    b.end(&job, &m, 450);
    let due = jobs(b.wait(5 * 3600)).remove(0);
    let late = b.end(&due, &m, 450);
    assert!(matches!(report(&late).1, QueueReportKind::Delayed(_)));
    let out = jobs(b.wait(2 * 3600)).remove(0);
    let out = b.end(&out, &m, 250);
    assert_eq!(
        names(&out),
        ["attempted", "progress"],
        "the notice is not taken over yet"
    );
    let mut b = Bench::new(settings());
    b.state.recover(b.now, &m, Some(&record(&out)));
    assert_eq!(names(&b.step(QueueInput::Tick)), ["done"]);
    assert!(b.state.show(m.id).is_none() && b.state.next_wake().is_none());
}

#[test]
fn a_clock_set_back_over_a_restart_does_not_make_mail_wait_for_the_old_time() {
    // The machine came up with its clock a year behind: the next attempt lay a year ahead, and
    // nothing ever went.
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    let out = b.end(&job, &m, 450);
    let record = out.iter().find_map(|e| {
        if let QueueEffect::Progress(_, r, _) = e {
            Some(r.clone())
        } else {
            None
        }
    });
    assert!(record.is_some());
    let year_before = T0.before(Duration::from_secs(365 * 86_400));
    let mut b = Bench::new(settings());
    b.now = year_before;
    b.state.recover(b.now, &m, record.as_deref());
    b.step(QueueInput::Tick);
    let wake = b.state.next_wake().expect("it waits");
    assert!(
        wake <= year_before.after(schedule::longest_wait(&settings().delivery)),
        "{wake:?}"
    );
    b.now = wake;
    assert_eq!(jobs(b.step(QueueInput::Tick)).len(), 1);
}
