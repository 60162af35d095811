//! Directed tests of the state: one behaviour each.

use super::orders::Order;
use super::progress::Progress;
use super::reports::ReportKind;
use super::state::{Effect, Input, Job, Rules, State};
use super::{FailureCause, QueueState, Select};
use crate::config::Settings;
use crate::config::settings as s;
use crate::delivery::Destination;
use crate::types::{
    Address, Block, BlockKind, BlockRef, BlockState, Domain, Envelope, HoldReason, Identity, MessageId, MessageMeta, Notify,
    OutcomeClass, Pool, Reason, Recipient, RecipientOutcome, RecipientStatus, Reply, ReversePath, SenderKey, SenderScope,
    Strength, TenantId, Time,
};
use std::sync::Arc;
use std::time::Duration;

const T0: Time = Time::from_secs(1_795_356_000);

pub(crate) fn settings() -> Settings {
    let pool = |name: &str| s::PoolSettings {
        addresses: vec![],
        ehlo: Domain::parse(name).expect("domain"),
        connections_per_destination: 20,
    };
    Settings {
        server: s::Server { hostname: Domain::parse("relay.test").expect("domain"), data_dir: "data".into() },
        listeners: vec![],
        tls: None,
        limits: s::Limits {
            message_size_bytes: 52_428_800,
            recipients_per_message: 1000,
            line_bytes: 1_048_576,
            idle_timeout: Duration::from_secs(300),
            sessions: 10_000,
            sessions_per_address: 200,
            body_memory_bytes: 1 << 28,
            header_fields: 1000,
            mime_depth: 30,
            errors_per_session: 20,
            idle_commands: 100,
            received_fields: 50,
        },
        clients: vec![],
        tenants: vec![],
        pool_normal: pool("relay.test"),
        pool_high_risk: pool("risk.relay.test"),
        routes: vec![],
        delivery: s::Delivery {
            retry: vec![Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(3600)],
            expire: Duration::from_secs(5 * 86_400),
            delay_notice: Duration::from_secs(4 * 3600),
            allow_private_addresses: true,
            mx_port: 25,
            connections: 100,
        },
        dns_servers: vec![],
        scoring: s::Scoring { suspicious_probability: 0.9, spam_probability: 0.99, learning_messages: 500 },
        detector: crate::reputation::tuning::Tuning::default(),
        policy: s::Policy {
            recipients_external_per_hour: 0,
            recipients_internal_per_hour: 0,
            recipients_per_day: 0,
            when_exceeded: s::WhenExceeded::Alert,
            spam_rate: 0.5,
            spam_rate_min_messages: 20,
            spam_rate_window: Duration::from_secs(3600),
            false_block_rate: 1e-6,
            suspicious: s::Suspicious::HighRisk,
        },
        blocks: s::Blocks { duration: s::BlockDuration::UntilReleased, releases_by_tenant: 3, allow_internal: true },
        held_expire: Duration::from_secs(5 * 86_400),
        notify: s::NotifySettings {
            from: Address::parse("outgate@relay.test").expect("address"),
            operators: vec![],
            webhook: None,
            webhook_secret: None,
        },
        records: s::Records { trace: Duration::from_secs(1), trace_bytes: 1, evidence: Duration::from_secs(1) },
        admin_bind: ([127, 0, 0, 1], 0).into(),
        public: s::Public { bind: None, url: None, help: None },
        log: s::Log { format: s::LogFormat::Text, level: "info".into(), subjects: false },
    }
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
    let recipients = to.iter().map(|a| Recipient::new(Address::parse(a).expect("address"))).collect();
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
        header_message_id: Some("<m1@acme.example>".into()),
        size: 10_240,
    }
}

pub(super) fn rules() -> Rules {
    let route: super::destinations::Route = |settings, domain| match settings.routes.first() {
        Some(route) => Destination::Route(route.clone()),
        None => Destination::Mx(domain.clone()),
    };
    Rules { route, covers: |block, identity| block.subject == *identity.address }
}

pub(super) fn smart_host() -> Arc<s::Route> {
    let host = "192.0.2.9".to_owned();
    Arc::new(s::Route { domain: s::RouteMatch::Any, host, port: 25, tls: s::TlsMode::None, username: None, password: None })
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
    RecipientOutcome { recipient, status, class, reply: Reply::plain(code, "says so"), remote, relayed_dsn: false }
}

struct Bench {
    state: State,
    now: Time,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self { state: State::new(Arc::new(settings), rules()), now: T0 }
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
        self.step(Input::Ended { dest: job.dest, meta: Arc::new(meta.clone()), recipients, outcomes })
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
    effects.into_iter().filter_map(|e| if let Effect::Attempt(job) = e { Some(*job) } else { None }).collect()
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
    let found = effects.iter().find_map(|e| if let Effect::Report(t, r) = e { Some((*t, r.clone())) } else { None });
    let (token, report) = found.expect("a report");
    (token, report.kind.clone(), report.recipients.iter().map(|r| r.recipient).collect())
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
    let m = message(1, "alice@acme.example", &["x@a.example", "y@b.example", "z@a.example"]);
    let started = jobs(b.enqueue(&m));
    let got: Vec<_> = started.iter().map(|j| j.recipients(&m)).collect();
    assert_eq!(got, [vec![0, 2], vec![1]]);
    assert_eq!(names(&b.end(&started[0], &m, 250)), ["attempted", "progress"]);
    assert_eq!(names(&b.end(&started[1], &m, 250)), ["attempted", "done"]);
}

#[test]
fn a_deferred_message_comes_back_after_its_wait() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    let out = b.end(&job, &m, 450);
    assert_eq!(names(&out), ["attempted", "progress"]);
    assert!(matches!(&out[0], Effect::Attempted(_, _, Some(next)) if *next >= T0.after(Duration::from_secs(60))));
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
    assert_eq!((kind, who), (ReportKind::Failed(FailureCause::Refused, None), vec![0]));
    // Nobody could take it: it comes again.
    assert!(b.step(Input::Acked { token, done: false }).is_empty());
    assert_eq!(report(&b.wait(61)).0, token);
    assert_eq!(names(&b.step(Input::Acked { token, done: true })), ["done"]);
    assert!(b.step(Input::Acked { token, done: true }).is_empty());
}

#[test]
fn a_crash_before_the_report_tries_the_recipient_again() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example", "y@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    let recipients = job.recipients(&m);
    let outcomes = vec![outcome(0, 250), outcome(1, 550)];
    let out = b.step(Input::Ended { dest: job.dest, meta: Arc::new(m.clone()), recipients, outcomes });
    let record = out.iter().find_map(|e| if let Effect::Progress(_, r, _) = e { Some(r.clone()) } else { None });
    let mut b = Bench::new(settings());
    b.state.recover(&m, record.as_deref());
    let job = jobs(b.step(Input::Tick)).remove(0);
    assert_eq!(job.recipients(&m), [1], "not the one that was delivered");
}

#[test]
fn a_dead_destination_is_probed_by_one_attempt_not_by_all() {
    let mut b = Bench::new(settings());
    let metas: Vec<_> = (0..500).map(|n| message(n, "alice@acme.example", &["x@dead.example"])).collect();
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
fn destinations_take_turns_under_the_overall_limit() {
    let mut set = settings();
    set.delivery.connections = 4;
    let mut b = Bench::new(set);
    b.state.gate(false);
    for n in 0..40 {
        b.enqueue(&message(n, "alice@acme.example", &["x@big.example"]));
    }
    for n in 40..43 {
        b.enqueue(&message(n, "bob@acme.example", &[format!("x@small{n}.example").as_str()]));
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
    assert!(b.enqueue(&message(1, "alice@acme.example", &["x@far.example"])).is_empty());
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
    assert_eq!((kind, who), (ReportKind::Delayed(T0.after(Duration::from_secs(5 * 86_400))), vec![0]));
    let out = b.step(Input::Acked { token, done: true });
    let Effect::Progress(_, record, _) = &out[0] else { panic!("{out:?}") };
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
    assert_eq!((kind, who), (ReportKind::Failed(FailureCause::Expired, None), vec![0]));
    let Some(Effect::Report(_, r)) = out.iter().find(|e| matches!(e, Effect::Report(..))) else { panic!("{out:?}") };
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
    assert_eq!(report(&out).1, ReportKind::Failed(FailureCause::HeldReturned, Some(hold)));
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
    let Effect::Progress(_, record, true) = &out[0] else { panic!("{out:?}") };
    let mut b = Bench::new(settings());
    b.state.recover(&m, Some(record));
    assert_eq!(names(&b.step(Input::Tick)), ["load"]);
    let out = b.step(Input::Loaded(Arc::new(m.clone())));
    assert_eq!(report(&out).1, ReportKind::Failed(FailureCause::Admin, None));
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
    for (notify, dsn, want) in [(true, false, true), (true, true, false), (false, false, false)] {
        let mut b = Bench::new(settings());
        let mut m = message(1, "alice@acme.example", &["x@far.example"]);
        m.envelope.recipients[0].notify = Some(Notify { success: notify, failure: true, delay: false });
        let job = jobs(b.enqueue(&m)).remove(0);
        let outcomes = vec![RecipientOutcome { relayed_dsn: dsn, ..outcome(0, 250) }];
        let out = b.step(Input::Ended { dest: job.dest, meta: Arc::new(m.clone()), recipients: vec![0], outcomes });
        assert_eq!(names(&out).contains(&"report"), want, "{notify} {dsn}");
    }
}

#[test]
fn changed_routes_sort_waiting_mail_anew() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@a.example", "y@b.example"]);
    let started = jobs(b.enqueue(&m));
    b.end(&started[0], &m, 450);
    b.end(&started[1], &m, 499);
    let new = Settings { routes: vec![smart_host()], ..settings() };
    b.step(Input::Reload(Arc::new(new)));
    assert!(names(&b.wait(120)).contains(&"load"));
    let out = jobs(b.step(Input::Loaded(Arc::new(m.clone()))));
    let out = if out.is_empty() { jobs(b.wait(120)) } else { out };
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
    let low = |items: &[super::QueueItem]| items.iter().map(|i| i.id.0 & 0x3f_ffff).collect::<Vec<_>>();
    assert_eq!((low(&first), low(&next)), (vec![1, 2], vec![3, 4]));
}

#[test]
fn an_unreadable_message_is_tried_later_and_a_lost_one_dropped() {
    let mut b = Bench::new(settings());
    let m = message(1, "alice@acme.example", &["x@far.example"]);
    let job = jobs(b.enqueue(&m)).remove(0);
    assert!(b.step(Input::Unread { id: m.id, dest: Some(job.dest), lost: false }).is_empty());
    let job = jobs(b.wait(61)).remove(0);
    assert_eq!(names(&b.step(Input::Unread { id: m.id, dest: Some(job.dest), lost: true })), ["lost"]);
    assert!(b.state.is_idle());
}

#[test]
fn a_waiting_message_is_small() {
    assert!(size_of::<super::entry::Entry>() <= 160, "{}", size_of::<super::entry::Entry>());
}
