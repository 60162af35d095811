//! Directed tests of the state: one behaviour each.

use super::orders::Order;
use super::progress::Progress;
use super::reports::ReportKind;
use super::schedule;
use super::state::{Effect, Input, Job, Rules, State};
use super::{FailureCause, QueueState, Select};
use crate::config::Settings;
use crate::config::settings as s;
use crate::delivery::{Attempt, Destination, Reach, Tried};
use crate::queue::Deliver;
use crate::types::{
    Address, Block, BlockKind, BlockRef, BlockState, Domain, Envelope, HoldReason, Identity,
    MessageId, MessageMeta, Notify, OutcomeClass, Pool, Reason, Recipient, RecipientOutcome,
    RecipientStatus, Reply, ReversePath, SenderKey, SenderScope, Strength, TenantId, Time,
};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

const T0: Time = Time::from_secs(1_795_356_000);

/// No tenant's limits, and waits between attempts that one can count with.
pub(crate) fn settings() -> Settings {
    crate::config::testing::settings(
        "[server]\nhostname = \"relay.test\"\n[delivery]\nretry = [\"1m\", \"5m\", \"1h\"]\n",
    )
}

pub(crate) fn identity(address: &str) -> Identity {
    let tenant = TenantId::new("acme");
    Identity {
        key: SenderKey::account(&tenant, address),
        tenant,
        address: address.into(),
        domain: Domain::parse("acme.example"),
        strength: Strength::Authenticated,
        client: [192, 0, 2, 7].into(),
        foreign: false,
    }
}

pub(crate) fn message(n: u32, from: &str, to: &[&str]) -> MessageMeta {
    let recipients = to
        .iter()
        .map(|a| Recipient::new(Address::parse(a).expect("address")))
        .collect();
    MessageMeta {
        id: MessageId::from_parts(T0, n),
        accepted_at: T0,
        envelope: Envelope {
            from: ReversePath(Address::parse(from)),
            recipients,
            body: Default::default(),
            smtputf8: false,
            ret: None,
            envid: None,
        },
        identity: Some(identity(from)),
        pool: Pool::Normal,
        hold: None,
        probability: 0.1,
        llr: -2.0,
        symbols: vec![],
        header_message_id: Some("m1@acme.example".into()),
        size: 10_240,
    }
}

pub(super) fn rules() -> Rules {
    let route: super::destinations::Route = |settings, domain| match settings.routes.first() {
        Some(route) => Destination::Route(route.clone()),
        None => Destination::Mx(domain.clone()),
    };
    Rules {
        route,
        covers: |block, identity| block.subject == *identity.address,
    }
}

pub(super) fn smart_host() -> Arc<s::Route> {
    let host = "192.0.2.9".to_owned();
    Arc::new(s::Route {
        domain: s::RouteMatch::Any,
        host,
        port: 25,
        tls: s::TlsMode::None,
        username: None,
        password: None,
        token: None,
        auth: None,
        allow_unverified: false,
    })
}

pub(super) fn outcome(recipient: u32, code: u16) -> RecipientOutcome {
    let (status, class) = match code {
        200..300 => (RecipientStatus::Delivered, OutcomeClass::Delivered),
        // 499 stands for "never got through".
        499 => (RecipientStatus::Pending, OutcomeClass::Transport),
        500.. => (RecipientStatus::Failed, OutcomeClass::UnknownUser),
        _ => (RecipientStatus::Pending, OutcomeClass::Other),
    };
    let remote = "mx.example[192.0.2.1]:25".to_owned();
    RecipientOutcome {
        recipient,
        status,
        class,
        reply: Reply::plain(code, "says so"),
        remote,
        relayed_dsn: false,
    }
}

/// A host took part unless nobody was found.
pub(super) fn tried(outcomes: Vec<RecipientOutcome>) -> Tried {
    let reached = outcomes.iter().any(|o| o.class != OutcomeClass::Transport);
    Tried {
        outcomes,
        reach: if reached {
            Reach::Transaction
        } else {
            Reach::Nowhere
        },
    }
}

/// A next hop that never answers, for tests of the rooms around the queue.
#[derive(Clone)]
pub(crate) struct Silent;

impl Deliver for Silent {
    fn attempt(&self, _: Attempt) -> Pin<Box<dyn Future<Output = Tried> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

struct Bench {
    state: State,
    now: Time,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self {
            state: State::new(Arc::new(settings), rules()),
            now: T0,
        }
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        self.state.handle(self.now, input, &mut out);
        self.state.handle(self.now, Input::Tick, &mut out);
        self.state.pump(self.now, &mut out);
        out
    }

    fn enqueue(&mut self, meta: &MessageMeta) -> Vec<Effect> {
        self.step(Input::Enqueue(Arc::new(meta.clone())))
    }

    fn end(&mut self, job: &Job, meta: &MessageMeta, code: u16) -> Vec<Effect> {
        let recipients = job.recipients(meta);
        let outcomes = recipients.iter().map(|r| outcome(*r, code)).collect();
        self.step(Input::Ended {
            dest: job.dest,
            meta: Arc::new(meta.clone()),
            recipients,
            tried: tried(outcomes),
        })
    }

    fn order(&mut self, order: Order, select: Select) -> (Vec<MessageId>, Vec<Effect>) {
        let mut out = Vec::new();
        let met = self.state.order(self.now, &order, &select, &mut out);
        self.state.pump(self.now, &mut out);
        (met, out)
    }

    fn wait(&mut self, secs: u64) -> Vec<Effect> {
        self.now = self.now.after(Duration::from_secs(secs));
        self.step(Input::Tick)
    }

    fn state_of(&self, id: MessageId) -> Option<QueueState> {
        self.state.show(id).map(|(item, _)| item.state)
    }
}

fn jobs(effects: Vec<Effect>) -> Vec<Job> {
    effects
        .into_iter()
        .filter_map(|e| {
            if let Effect::Attempt(job) = e {
                Some(*job)
            } else {
                None
            }
        })
        .collect()
}

fn names(effects: &[Effect]) -> Vec<&'static str> {
    let name = |e: &Effect| match e {
        Effect::Attempt(_) => "attempt",
        Effect::Load(_) => "load",
        Effect::Progress(_, _, false) => "progress",
        Effect::Progress(_, _, true) => "durable",
        Effect::Done(_) => "done",
        Effect::Lost(_) => "lost",
        Effect::Attempted(..) => "attempted",
        Effect::Report(..) => "report",
    };
    effects.iter().map(name).collect()
}

fn report(effects: &[Effect]) -> (u64, ReportKind, Vec<u32>) {
    let found = effects.iter().find_map(|e| {
        if let Effect::Report(t, r) = e {
            Some((*t, r.clone()))
        } else {
            None
        }
    });
    let (token, report) = found.expect("a report");
    (
        token,
        report.kind.clone(),
        report.recipients.iter().map(|r| r.recipient).collect(),
    )
}

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
    let route: super::destinations::Route = |settings, domain| {
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
        Arc::new(s::Route {
            domain,
            ..(*smart_host()).clone()
        })
    };
    let routes = vec![
        to_host(s::RouteMatch::Exact(name())),
        to_host(s::RouteMatch::Below(name())),
    ];
    let state = State::new(
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
    let left_out = Input::Ended {
        dest: started[0].dest,
        meta: Arc::new(m.clone()),
        recipients: vec![],
        tried: tried(vec![]),
    };
    assert_eq!(names(&b.step(left_out)), ["attempted", "progress"]);
    assert_eq!(
        names(&b.end(&started[1], &m, 250)),
        ["attempted", "progress", "load"]
    );
    assert!(
        jobs(b.step(Input::Loaded(Arc::new(m.clone())))).is_empty(),
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
        matches!(&out[0], Effect::Attempted(_, _, Some(next)) if *next >= T0.after(Duration::from_secs(60)))
    );
    assert_eq!(b.state_of(m.id), Some(QueueState::Deferred));
    assert!(jobs(b.wait(59)).is_empty());
    let job = jobs(b.wait(8)).remove(0);
    assert!(job.meta.is_none(), "a waiting message keeps no meta");
    assert_eq!(job.recipients(&m), [0]);
    assert_eq!(names(&b.end(&job, &m, 250)), ["attempted", "done"]);
}

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
        (ReportKind::Failed(FailureCause::Refused, None), vec![0])
    );
    // Nobody could take it: it comes again.
    assert!(b.step(Input::Acked { token, done: false }).is_empty());
    assert_eq!(report(&b.wait(61)).0, token);
    assert_eq!(names(&b.step(Input::Acked { token, done: true })), ["done"]);
    assert!(b.step(Input::Acked { token, done: true }).is_empty());
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
    b.step(Input::Acked { token, done: false });
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
    let most = u32::try_from(super::reports::WAITING_MAX).expect("few");
    let metas: Vec<_> = (0..most + 20)
        .map(|n| refuse_unreported(&mut b, n))
        .collect();
    let mut out = b.wait(60);
    assert_eq!(
        out.iter()
            .filter(|e| matches!(e, Effect::Report(..)))
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
                Effect::Report(token, _) => next.extend(b.step(Input::Acked { token, done: true })),
                Effect::Load(id) => next.extend(b.step(Input::Loaded(Arc::new(of(id).clone())))),
                Effect::Attempt(job) => next.extend(b.end(&job, of(job.id), 550)),
                Effect::Done(_) => done += 1,
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
    let (token, kind, _) = report(&b.step(Input::Loaded(Arc::new(m.clone()))));
    let until = b.now.after(Duration::from_secs(3600));
    assert!(b.step(Input::PutOff { token, until }).is_empty());
    assert_eq!(b.state_of(m.id), Some(QueueState::Held));
    assert!(b.state.is_idle(), "an orderly end does not wait for it");
    assert!(b.wait(3599).is_empty());
    assert_eq!(names(&b.wait(1)), ["load"]);
    let out = b.step(Input::Loaded(Arc::new(m.clone())));
    let (token, again, who) = report(&out);
    assert_eq!((&again, who), (&kind, vec![0]));
    assert_eq!(names(&b.step(Input::Acked { token, done: true })), ["done"]);
}

#[test]
fn a_crash_before_the_report_tries_the_recipient_again() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example", "y@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    let recipients = job.recipients(&m);
    let outcomes = vec![outcome(0, 250), outcome(1, 550)];
    let out = b.step(Input::Ended {
        dest: job.dest,
        meta: Arc::new(m.clone()),
        recipients,
        tried: tried(outcomes),
    });
    let record = out.iter().find_map(|e| {
        if let Effect::Progress(_, r, _) = e {
            Some(r.clone())
        } else {
            None
        }
    });
    let mut b = Bench::new(settings());
    b.state.recover(b.now, &m, record.as_deref());
    let job = jobs(b.step(Input::Tick)).remove(0);
    assert_eq!(job.recipients(&m), [1], "not the one that was delivered");
}

#[test]
fn a_dead_destination_is_probed_by_one_attempt_not_by_all() {
    let mut b = Bench::new(settings());
    let metas: Vec<_> = (0..500)
        .map(|n| message(n, "alice@acme.example", &["x@dead.example"]))
        .collect();
    let mut running: Vec<Job> = metas.iter().flat_map(|m| jobs(b.enqueue(m))).collect();
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
        let mut waiting: VecDeque<Job> = metas.iter().flat_map(|m| jobs(b.enqueue(m))).collect();
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
    let mut waiting: VecDeque<Job> = metas.iter().flat_map(|m| jobs(b.enqueue(m))).collect();
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
            let tried = Tried {
                outcomes,
                reach: Reach::Door,
            };
            let meta = Arc::new(
                metas
                    .iter()
                    .find(|m| m.id == job.id)
                    .expect("known")
                    .clone(),
            );
            let out = b.step(Input::Ended {
                dest: job.dest,
                meta,
                recipients: vec![0],
                tried,
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
    let mut waiting: VecDeque<Job> = metas.iter().flat_map(|m| jobs(b.enqueue(m))).collect();
    let mut tries = 0;
    while let Some(job) = waiting.pop_front() {
        tries += 1;
        let tried = Tried {
            outcomes: vec![outcome(0, 499)],
            reach: Reach::Door,
        };
        let meta = Arc::new(
            metas
                .iter()
                .find(|m| m.id == job.id)
                .expect("known")
                .clone(),
        );
        waiting.extend(jobs(b.step(Input::Ended {
            dest: job.dest,
            meta,
            recipients: vec![0],
            tried,
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
        "it rests"
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
    let started = jobs(b.step(Input::Tick));
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
    assert_eq!(jobs(b.step(Input::Tick)).len(), 1);
}

#[test]
fn the_delay_notice_goes_out_once() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    b.end(&job, &m, 450);
    let out = b.wait(4 * 3600);
    assert!(names(&out).contains(&"load"), "{out:?}");
    let out = b.step(Input::Loaded(Arc::new(m.clone())));
    let (token, kind, who) = report(&out);
    assert_eq!(
        (kind, who),
        (
            ReportKind::Delayed(T0.after(Duration::from_secs(5 * 86_400))),
            vec![0]
        )
    );
    let out = b.step(Input::Acked { token, done: true });
    let Effect::Progress(_, record, _) = &out[0] else {
        panic!("{out:?}")
    };
    assert!(Progress::decode(record).expect("record").notice_sent);
    assert!(!names(&b.wait(3600)).contains(&"load"));
}

#[test]
fn an_expired_message_goes_back_with_the_last_reply() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    b.end(&job, &m, 450);
    b.wait(5 * 86_400);
    let out = b.step(Input::Loaded(Arc::new(m.clone())));
    let (token, kind, who) = report(&out);
    assert_eq!(
        (kind, who),
        (ReportKind::Failed(FailureCause::Expired, None), vec![0])
    );
    let Some(Effect::Report(_, r)) = out.iter().find(|e| matches!(e, Effect::Report(..))) else {
        panic!("{out:?}")
    };
    assert_eq!(r.recipients[0].reply.code, 450);
    assert_eq!(names(&b.step(Input::Acked { token, done: true })), ["done"]);
}

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
    let gate: super::Gate = Arc::new(move |identity| {
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
    let out = b.step(Input::Loaded(Arc::new(metas[0].clone())));
    assert_eq!(
        report(&out).1,
        ReportKind::Failed(FailureCause::HeldReturned, Some(HoldReason::Block(second)))
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
    let out = b.step(Input::Loaded(Arc::new(m.clone())));
    assert_eq!(
        report(&out).1,
        ReportKind::Failed(FailureCause::HeldReturned, Some(hold))
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
    let Effect::Progress(_, record, true) = &out[0] else {
        panic!("{out:?}")
    };
    let mut b = Bench::new(settings());
    b.state.recover(b.now, &m, Some(record));
    assert_eq!(names(&b.step(Input::Tick)), ["load"]);
    let out = b.step(Input::Loaded(Arc::new(m.clone())));
    assert_eq!(
        report(&out).1,
        ReportKind::Failed(FailureCause::Admin, None)
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
        let out = b.step(Input::Ended {
            dest: job.dest,
            meta: Arc::new(m.clone()),
            recipients: vec![0],
            tried: tried(outcomes),
        });
        assert_eq!(names(&out).contains(&"report"), want, "{notify} {dsn}");
    }
}

fn record(effects: &[Effect]) -> bytes::Bytes {
    let found = effects.iter().rev().find_map(|e| {
        if let Effect::Progress(_, r, _) = e {
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
    assert_eq!(names(&b.step(Input::Tick)), ["load"]);
    let out = b.step(Input::Loaded(Arc::new(m.clone())));
    let (token, kind, who) = report(&out);
    assert_eq!((kind, who), (ReportKind::Relayed, vec![1]));
    assert_eq!(names(&b.step(Input::Acked { token, done: true })), ["done"]);
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
    assert!(matches!(report(&late).1, ReportKind::Delayed(_)));
    let out = jobs(b.wait(2 * 3600)).remove(0);
    let out = b.end(&out, &m, 250);
    assert_eq!(
        names(&out),
        ["attempted", "progress"],
        "the notice is not taken over yet"
    );
    let mut b = Bench::new(settings());
    b.state.recover(b.now, &m, Some(&record(&out)));
    assert_eq!(names(&b.step(Input::Tick)), ["done"]);
    assert!(b.state.show(m.id).is_none() && b.state.next_wake().is_none());
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
    b.step(Input::Reload(Arc::new(new)));
    assert!(names(&b.wait(120)).contains(&"load"));
    let out = jobs(b.step(Input::Loaded(Arc::new(m.clone()))));
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
fn lists_page_in_order_of_ids() {
    let mut b = Bench::new(settings());
    b.state.gate(false);
    for n in [3, 1, 2, 5, 4] {
        b.enqueue(&message(n, "alice@acme.example", &["x@far.example"]));
    }
    let first = b.state.list(None, None, 2);
    let next = b.state.list(Some(QueueState::Active), Some(first[1].id), 2);
    let low =
        |items: &[super::QueueItem]| items.iter().map(|i| i.id.0 & 0x3f_ffff).collect::<Vec<_>>();
    assert_eq!((low(&first), low(&next)), (vec![1, 2], vec![3, 4]));
}

#[test]
fn an_unreadable_message_is_tried_later_and_a_lost_one_dropped() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    assert!(
        b.step(Input::Unread {
            id: m.id,
            dest: Some(job.dest),
            lost: false
        })
        .is_empty()
    );
    let job = jobs(b.wait(61)).remove(0);
    assert_eq!(
        names(&b.step(Input::Unread {
            id: m.id,
            dest: Some(job.dest),
            lost: true
        })),
        ["lost"]
    );
    assert!(b.state.is_idle());
}

#[test]
fn a_waiting_message_is_small() {
    assert!(
        size_of::<super::entry::Entry>() <= 160,
        "{}",
        size_of::<super::entry::Entry>()
    );
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
        if let Effect::Progress(_, r, _) = e {
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
    b.step(Input::Tick);
    let wake = b.state.next_wake().expect("it waits");
    assert!(
        wake <= year_before.after(schedule::longest_wait(&settings().delivery)),
        "{wake:?}"
    );
    b.now = wake;
    assert_eq!(jobs(b.step(Input::Tick)).len(), 1);
}
