//! Which attempts start, when they come again and when a message ends.

use super::*;

#[test]
fn a_fresh_message_goes_at_once_and_is_done() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example", "y@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    assert!(job.meta.is_some());
    assert_eq!(job.recipients(&m), [0, 1]);
    assert_eq!(names(&b.end(&job, &m, 250)), ["attempted", "done"]);
    assert_eq!(b.state.counts().active, 0);
    assert_eq!(b.state.next_wake(), None);
}

#[test]
fn each_destination_gets_its_own_attempt_with_its_own_recipients() {
    let mut b = Bench::new(settings());
    let m = message(
        1,
        "alice@acme.example",
        &["x@a.example", "y@b.example", "z@a.example"],
    );
    let started = jobs(b.enqueue(&m));
    let got: Vec<_> = started.iter().map(|j| j.recipients(&m)).collect();
    assert_eq!(got, [vec![0, 2], vec![1]]);
    assert_eq!(
        names(&b.end(&started[0], &m, 250)),
        ["attempted", "progress"]
    );
    assert_eq!(names(&b.end(&started[1], &m, 250)), ["attempted", "done"]);
}

#[test]
fn two_routes_to_one_next_hop_lose_no_recipient() {
    // `example.com` and `.example.com` led to the same host and so to one destination, which bore
    // the first one's name: the recipient below was in no attempt, and the message ended without
    // it, undelivered and unreported.
    let route: crate::queue::destinations::FindRoute = |settings, domain| {
        let found = settings.routes.iter().find(|r| match &r.domain {
            s::RouteMatch::Any => true,
            s::RouteMatch::Exact(name) => name == domain,
            s::RouteMatch::Below(name) => name != domain && domain.is_within(name),
        });
        found.map_or_else(
            || Destination::Mx(domain.clone()),
            |r| Destination::Route(r.clone()),
        )
    };
    let name = || Domain::parse("example.com").expect("domain");
    let to_host = |domain| {
        Arc::new(s::RouteSettings {
            domain,
            ..(*smart_host()).clone()
        })
    };
    let routes = vec![
        to_host(s::RouteMatch::Exact(name())),
        to_host(s::RouteMatch::Below(name())),
    ];
    let state = QueueMachine::new(
        Arc::new(Settings {
            routes,
            ..settings()
        }),
        Rules { route, ..rules() },
    );
    let mut b = Bench { state, now: T0 };
    let m = message(
        1,
        "alice@acme.example",
        &["a@example.com", "u@sub.example.com", "x@far.example"],
    );
    let started = jobs(b.enqueue(&m));
    let got: Vec<_> = started.iter().map(|j| j.recipients(&m)).collect();
    assert_eq!(got, [vec![0, 1], vec![2]]);
}

#[test]
fn a_message_does_not_end_while_a_recipient_is_left() {
    // Whatever an attempt leaves out is tried again, later: no message is done because nobody
    // looked after a recipient.
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@a.example", "y@b.example"]);
    let started = jobs(b.enqueue(&m));
    let left_out = QueueInput::Ended {
        dest: started[0].dest,
        meta: Arc::new(m.clone()),
        recipients: vec![],
        result: result(vec![]),
    };
    assert_eq!(names(&b.step(left_out)), ["attempted", "progress"]);
    assert_eq!(
        names(&b.end(&started[1], &m, 250)),
        ["attempted", "progress", "load"]
    );
    assert!(
        jobs(b.step(QueueInput::Loaded(Arc::new(m.clone())))).is_empty(),
        "not in a circle"
    );
    let job = jobs(b.wait(60)).remove(0);
    assert_eq!(job.recipients(&m), [0]);
    assert_eq!(names(&b.end(&job, &m, 250)), ["attempted", "done"]);
}

#[test]
fn a_deferred_message_comes_back_after_its_wait() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    let out = b.end(&job, &m, 450);
    assert_eq!(names(&out), ["attempted", "progress"]);
    assert!(
        matches!(&out[0], QueueEffect::Attempted(_, _, Some(next)) if *next >= T0.after(Duration::from_secs(60)))
    );
    assert_eq!(b.state_of(m.id), Some(QueueState::Deferred));
    assert!(jobs(b.wait(59)).is_empty());
    let job = jobs(b.wait(8)).remove(0);
    assert!(job.meta.is_none(), "a waiting message keeps no meta");
    assert_eq!(job.recipients(&m), [0]);
    assert_eq!(names(&b.end(&job, &m, 250)), ["attempted", "done"]);
}

#[test]
fn destinations_take_turns_under_the_overall_limit() {
    let mut set = settings();
    set.delivery.connections = 4;
    let mut b = Bench::new(set);
    b.state.gate(false);
    for n in 0..40 {
        b.enqueue(&message(n, "alice@acme.example", &["x@big.example"]));
    }
    for n in 40..43 {
        b.enqueue(&message(
            n,
            "bob@acme.example",
            &[format!("x@small{n}.example").as_str()],
        ));
    }
    b.state.gate(true);
    let started = jobs(b.step(QueueInput::Tick));
    let hosts: std::collections::HashSet<u32> = started.iter().map(|j| j.dest).collect();
    assert_eq!((started.len(), hosts.len()), (4, 4));
}

#[test]
fn nothing_starts_while_the_gate_is_closed() {
    let mut b = Bench::new(settings());
    b.state.gate(false);
    assert!(
        b.enqueue(&message(1, "alice@acme.example", &["x@far.example"]))
            .is_empty()
    );
    b.state.gate(true);
    assert_eq!(jobs(b.step(QueueInput::Tick)).len(), 1);
}

#[test]
fn changed_routes_sort_waiting_mail_anew() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@a.example", "y@b.example"]);
    let started = jobs(b.enqueue(&m));
    b.end(&started[0], &m, 450);
    b.end(&started[1], &m, 499);
    let new = Settings {
        routes: vec![smart_host()],
        ..settings()
    };
    b.step(QueueInput::Reload(Arc::new(new)));
    assert!(names(&b.wait(120)).contains(&"load"));
    let out = jobs(b.step(QueueInput::Loaded(Arc::new(m.clone()))));
    let out = if out.is_empty() {
        jobs(b.wait(120))
    } else {
        out
    };
    assert_eq!(out.len(), 1, "one smart host, one attempt");
    assert_eq!(out[0].recipients(&m), [0, 1]);
    assert!(matches!(&*out[0].destination, Destination::Route(_)));
}

#[test]
fn an_unreadable_message_is_tried_later_and_a_lost_one_dropped() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    assert!(
        b.step(QueueInput::Unread {
            id: m.id,
            dest: Some(job.dest),
            lost: false
        })
        .is_empty()
    );
    let job = jobs(b.wait(61)).remove(0);
    assert_eq!(
        names(&b.step(QueueInput::Unread {
            id: m.id,
            dest: Some(job.dest),
            lost: true
        })),
        ["lost"]
    );
    assert!(b.state.is_idle());
}
