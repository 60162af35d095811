//! Hosts that are down, or take few connections.

use super::*;

#[test]
fn a_dead_destination_is_probed_by_one_attempt_not_by_all() {
    let mut b = Bench::new(settings());
    let metas: Vec<_> = (0..500)
        .map(|n| message(n, "alice@acme.example", &["x@dead.example"]))
        .collect();
    let mut running: Vec<DeliveryJob> = metas.iter().flat_map(|m| jobs(b.enqueue(m))).collect();
    assert_eq!(running.len(), 5, "it starts low");
    for job in running.drain(..) {
        let m = metas.iter().find(|m| m.id == job.id).expect("known");
        assert!(jobs(b.end(&job, m, 499)).is_empty());
    }
    assert_eq!(b.state_of(metas[400].id), Some(QueueState::Deferred));
    assert_eq!(b.state.counts().deferred, 500);
    for _ in 0..3 {
        let probes = jobs(b.wait(16 * 60));
        assert_eq!(probes.len(), 1);
        let m = metas.iter().find(|m| m.id == probes[0].id).expect("known");
        assert!(jobs(b.end(&probes[0], m, 499)).is_empty());
    }
    // It is back: mail flows, more and more at once.
    let probe = jobs(b.wait(16 * 60)).remove(0);
    let m = metas.iter().find(|m| m.id == probe.id).expect("known");
    assert_eq!(jobs(b.end(&probe, m, 250)).len(), 5);
}

#[test]
fn what_is_said_in_a_transaction_never_makes_a_destination_rest() {
    // One sender that met 421 at MAIL, or one recipient that met 451 4.4.1, stopped all mail to
    // that host.
    for code in [421, 450, 451, 452] {
        let mut b = Bench::new(settings());
        let metas: Vec<_> = (0..40)
            .map(|n| message(n, "alice@acme.example", &["x@far.example"]))
            .collect();
        let mut waiting: VecDeque<DeliveryJob> =
            metas.iter().flat_map(|m| jobs(b.enqueue(m))).collect();
        let mut tried = 0;
        while let Some(job) = waiting.pop_front() {
            let m = metas.iter().find(|m| m.id == job.id).expect("known");
            tried += 1;
            assert!(waiting.len() < 5, "no more at once than at the start");
            waiting.extend(jobs(b.end(&job, m, code)));
        }
        assert_eq!(
            tried, 40,
            "{code}: each has its own try, and then its own wait"
        );
        assert!(
            b.state
                .next_wake()
                .is_some_and(|wake| wake >= b.now.after(Duration::from_secs(60)))
        );
    }
}

#[test]
fn a_host_that_takes_few_connections_is_used_with_so_many_and_nobody_waits_for_the_schedule() {
    // It takes two at once and answers others 421 in its greeting: those waited for the retry
    // schedule, and after three of them all others with them.
    let mut b = Bench::new(settings());
    let metas: Vec<_> = (0..60)
        .map(|n| message(n, "alice@acme.example", &["x@far.example"]))
        .collect();
    let mut waiting: VecDeque<DeliveryJob> =
        metas.iter().flat_map(|m| jobs(b.enqueue(m))).collect();
    let (mut open, mut refused, mut delivered) = (VecDeque::new(), 0, 0);
    while delivered < metas.len() {
        while let Some(job) = waiting.pop_front() {
            if open.len() < 2 {
                open.push_back(job);
                continue;
            }
            refused += 1;
            let outcomes = vec![RecipientOutcome {
                reply: Reply::plain(421, "enough"),
                ..outcome(0, 499)
            }];
            let result = AttemptResult {
                outcomes,
                reach: Reached::Host,
            };
            let meta = Arc::new(
                metas
                    .iter()
                    .find(|m| m.id == job.id)
                    .expect("known")
                    .clone(),
            );
            let out = b.step(QueueInput::Ended {
                dest: job.dest,
                meta,
                recipients: vec![0],
                result,
            });
            assert!(
                !names(&out).contains(&"attempted"),
                "nothing was tried, nothing is told"
            );
            waiting.extend(jobs(out));
        }
        let job = open.pop_front().expect("nobody waits for the schedule");
        let m = metas.iter().find(|m| m.id == job.id).expect("known");
        waiting.extend(jobs(b.end(&job, m, 250)));
        delivered += 1;
    }
    assert!(
        refused <= 10,
        "{refused} connections in vain for {delivered} messages"
    );
}

#[test]
fn a_host_that_lets_nobody_in_rests_as_one_that_is_down() {
    let mut b = Bench::new(settings());
    let metas: Vec<_> = (0..20)
        .map(|n| message(n, "alice@acme.example", &["x@far.example"]))
        .collect();
    let mut waiting: VecDeque<DeliveryJob> =
        metas.iter().flat_map(|m| jobs(b.enqueue(m))).collect();
    let mut tries = 0;
    while let Some(job) = waiting.pop_front() {
        tries += 1;
        let result = AttemptResult {
            outcomes: vec![outcome(0, 499)],
            reach: Reached::Host,
        };
        let meta = Arc::new(
            metas
                .iter()
                .find(|m| m.id == job.id)
                .expect("known")
                .clone(),
        );
        waiting.extend(jobs(b.step(QueueInput::Ended {
            dest: job.dest,
            meta,
            recipients: vec![0],
            result,
        })));
    }
    assert_eq!(tries, 5, "those that had begun, and no more");
    assert_eq!(b.state.counts().deferred, 20);
    assert_eq!(jobs(b.wait(70)).len(), 1, "a probe");
}

#[test]
fn a_probe_that_meets_a_farewell_in_a_transaction_has_found_the_host() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    assert!(jobs(b.end(&job, &m, 499)).is_empty());
    assert!(
        jobs(b.enqueue(&message(2, "alice@acme.example", &["x@far.example"]))).is_empty(),
        "it backs off"
    );
    let probe = jobs(b.wait(70)).remove(0);
    let probed = message(
        if probe.id == m.id { 1 } else { 2 },
        "alice@acme.example",
        &["x@far.example"],
    );
    assert_eq!(
        jobs(b.end(&probe, &probed, 421)).len(),
        1,
        "the other one goes at once"
    );
}
