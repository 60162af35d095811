//! The queue on virtual time against scripted next hops, a spool in memory, crashes and orders. The
//! seed alone determines a run; a failure names the seed.

use super::orders::Order;
use super::reports::{QueueReport, QueueReportKind};
use super::state::{DeliveryJob, QueueEffect, QueueInput, QueueMachine};
use super::tests::{message, outcome, result, rules, settings, smart_host};
use super::{FailureCause, Select};
use crate::types::{HoldReason, MessageId, MessageMeta, Notify, RecipientOutcome, Time};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % n
    }
}

enum Coming {
    Attempt(Box<DeliveryJob>),
    Load(MessageId),
    Report(u64, Arc<QueueReport>),
}

struct World {
    seed: u64,
    random: Random,
    now: Time,
    state: QueueMachine,
    spool: BTreeMap<MessageId, (Arc<MessageMeta>, Option<Bytes>)>,
    coming: BTreeMap<(Time, u64), Coming>,
    order: u64,
    accepted: Vec<Arc<MessageMeta>>,
    delivered: BTreeSet<(MessageId, u32)>,
    failed: BTreeSet<(MessageId, u32)>,
    noticed: BTreeSet<MessageId>,
    /// Successes that the sender asked for and that were reported.
    relayed: BTreeSet<(MessageId, u32)>,
    deleted: BTreeSet<MessageId>,
    running: BTreeMap<u32, usize>,
    routed: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let state = QueueMachine::new(Arc::new(settings()), rules());
        Self {
            seed,
            random: Random(seed),
            now: Time::from_secs(1_795_356_000),
            state,
            spool: BTreeMap::new(),
            coming: BTreeMap::new(),
            order: 0,
            accepted: vec![],
            delivered: BTreeSet::new(),
            failed: BTreeSet::new(),
            noticed: BTreeSet::new(),
            relayed: BTreeSet::new(),
            deleted: BTreeSet::new(),
            running: BTreeMap::new(),
            routed: false,
        }
    }

    fn settings(&self) -> Arc<crate::config::Settings> {
        Arc::new(crate::config::Settings {
            routes: if self.routed {
                vec![smart_host()]
            } else {
                vec![]
            },
            ..settings()
        })
    }

    fn accept(&mut self, n: u32) {
        let count = 1 + self.random.below(4);
        let to: Vec<String> = (0..count)
            .map(|i| format!("u{i}@d{}.example", self.random.below(5)))
            .collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let mut meta = message(n, &format!("s{}@acme.example", n % 3), &to);
        meta.accepted_at = self.now;
        meta.id = MessageId::from_parts(self.now, n);
        if self.random.below(10) == 0 {
            meta.hold = Some(HoldReason::Admin);
        }
        for recipient in &mut meta.envelope.recipients {
            if self.random.below(4) == 0 {
                recipient.notify = Some(Notify {
                    success: true,
                    failure: true,
                    delay: true,
                });
            }
        }
        let meta = Arc::new(meta);
        self.accepted.push(meta.clone());
        self.spool.insert(meta.id, (meta.clone(), None));
        self.feed(QueueInput::Enqueue(meta));
    }

    fn feed(&mut self, input: QueueInput) {
        let mut out = Vec::new();
        self.state.handle(self.now, input, &mut out);
        self.state.handle(self.now, QueueInput::Tick, &mut out);
        self.state.pump(self.now, &mut out);
        self.carry_out(out);
    }

    fn come(&mut self, most_secs: u64, what: Coming) {
        let at = self.now.after(Duration::from_millis(
            1 + self.random.below(most_secs * 1000),
        ));
        self.order += 1;
        self.coming.insert((at, self.order), what);
    }

    fn carry_out(&mut self, effects: Vec<QueueEffect>) {
        let seed = self.seed;
        for effect in effects {
            match effect {
                QueueEffect::Attempt(job) => {
                    let running = self.running.entry(job.dest).or_default();
                    *running += 1;
                    assert!(
                        *running <= 20,
                        "seed {seed}: more than the pool allows at one destination"
                    );
                    self.come(30, Coming::Attempt(job));
                }
                QueueEffect::Load(id) => self.come(1, Coming::Load(id)),
                QueueEffect::Progress(id, record, _) => {
                    let slot = self
                        .spool
                        .get_mut(&id)
                        .unwrap_or_else(|| panic!("seed {seed}: progress after done, {id}"));
                    slot.1 = Some(record);
                }
                QueueEffect::Done(id) => {
                    assert!(
                        self.spool.remove(&id).is_some(),
                        "seed {seed}: done twice, {id}"
                    );
                }
                QueueEffect::Lost(id) => panic!("seed {seed}: lost {id}"),
                QueueEffect::Attempted(..) => {}
                QueueEffect::Report(token, report) => self.come(5, Coming::Report(token, report)),
            }
        }
        assert!(
            self.running.values().sum::<usize>() <= 100,
            "seed {seed}: more than delivery.connections"
        );
    }

    fn happen(&mut self, what: Coming) {
        match what {
            Coming::Attempt(job) => self.attempt(&job),
            Coming::Load(id) => {
                let input = match self.random.below(10) {
                    0 => QueueInput::Unread {
                        id,
                        dest: None,
                        lost: false,
                    },
                    _ => QueueInput::Loaded(self.spool[&id].0.clone()),
                };
                self.feed(input);
            }
            Coming::Report(token, report) => {
                if self.random.below(10) == 0 {
                    let until = self.now.after(Duration::from_secs(self.random.below(7200)));
                    return self.feed(QueueInput::PutOff { token, until });
                }
                let done = self.random.below(5) > 0;
                if done {
                    self.reported(&report);
                }
                self.feed(QueueInput::Acked { token, done });
            }
        }
    }

    fn attempt(&mut self, job: &DeliveryJob) {
        *self.running.get_mut(&job.dest).expect("it runs") -= 1;
        if self.random.below(20) == 0 {
            return self.feed(QueueInput::Unread {
                id: job.id,
                dest: Some(job.dest),
                lost: false,
            });
        }
        let meta = self.spool[&job.id].0.clone();
        let recipients = job.recipients(&meta);
        // Without routes d4 fails permanently, and an attempt at another destination may find no
        // host.
        let dead = !self.routed
            && recipients.iter().any(|r| {
                meta.envelope.recipients[*r as usize]
                    .address
                    .domain()
                    .as_str()
                    == "d4.example"
            });
        let down = dead || self.random.below(10) == 0;
        let mut outcomes: Vec<RecipientOutcome> = Vec::new();
        for r in &recipients {
            let code = match self.random.below(10) {
                _ if down => 499,
                0 => 421,
                1 | 2 => 450,
                3 => 550,
                _ => 250,
            };
            if code == 250 {
                assert!(
                    self.delivered.insert((job.id, *r)),
                    "seed {}: {} #{r} delivered twice",
                    self.seed,
                    job.id
                );
            }
            outcomes.push(outcome(*r, code));
        }
        self.feed(QueueInput::Ended {
            dest: job.dest,
            meta,
            recipients,
            result: result(outcomes),
        });
    }

    fn reported(&mut self, report: &QueueReport) {
        let id = report.meta.id;
        match &report.kind {
            QueueReportKind::Failed(cause, _) => {
                for told in &report.recipients {
                    assert!(
                        self.failed.insert((id, told.recipient)),
                        "seed {}: {id} reported twice ({cause:?})",
                        self.seed
                    );
                }
                let limit = self.state_limit(*cause);
                assert!(
                    self.now.since(report.meta.accepted_at) >= limit,
                    "seed {}: {cause:?} too early",
                    self.seed
                );
            }
            QueueReportKind::Delayed(_) => assert!(
                self.noticed.insert(id),
                "seed {}: {id} noticed twice",
                self.seed
            ),
            QueueReportKind::Relayed => self
                .relayed
                .extend(report.recipients.iter().map(|told| (id, told.recipient))),
        }
    }

    fn state_limit(&self, cause: FailureCause) -> Duration {
        match cause {
            FailureCause::Expired | FailureCause::HeldReturned => settings().delivery.expire,
            FailureCause::Refused | FailureCause::Admin => Duration::ZERO,
        }
    }

    fn meddle(&mut self) {
        let Some(id) = self
            .accepted
            .get(self.random.below(self.accepted.len() as u64) as usize)
            .map(|m| m.id)
        else {
            return;
        };
        let order = match self.random.below(9) {
            0 | 1 => Order::Hold(HoldReason::Admin),
            2 | 3 => Order::Release,
            4 => Order::Retry,
            5 => Order::Bounce,
            6 => Order::Delete,
            7 => return self.crash(),
            _ => {
                self.routed = !self.routed;
                return self.feed(QueueInput::Reload(self.settings()));
            }
        };
        let mut out = Vec::new();
        let met = self
            .state
            .order(self.now, &order, &Select::Id(id), &mut out);
        if order == Order::Delete {
            self.deleted.extend(met);
        }
        self.state.pump(self.now, &mut out);
        self.carry_out(out);
    }

    fn crash(&mut self) {
        self.coming.clear();
        self.running.clear();
        self.state = QueueMachine::new(self.settings(), rules());
        for (meta, record) in self.spool.values() {
            self.state.recover(self.now, meta, record.as_deref());
        }
        self.feed(QueueInput::Tick);
    }

    /// Advances to the next event; false if there is none.
    fn go(&mut self) -> bool {
        let coming = self.coming.first_key_value().map(|(key, _)| *key);
        let wake = self.state.next_wake();
        match (coming, wake) {
            (Some((at, _)), wake) if wake.is_none_or(|w| at <= w) => {
                self.now = self.now.max(at);
                if let Some((_, what)) = self.coming.pop_first() {
                    self.happen(what);
                }
            }
            (_, Some(wake)) => {
                self.now = self.now.max(wake);
                self.feed(QueueInput::Tick);
            }
            _ => return false,
        }
        true
    }

    fn run(mut self, messages: u32, meddling: bool) {
        for n in 0..messages {
            self.accept(n);
            for _ in 0..self.random.below(8) {
                self.go();
            }
            if meddling && self.random.below(4) == 0 {
                self.meddle();
            }
        }
        let mut steps = 0u32;
        while self.go() {
            steps += 1;
            assert!(
                steps < 200_000,
                "seed {}: it never ends; {} left",
                self.seed,
                self.spool.len()
            );
        }
        self.check();
    }

    fn check(&self) {
        let seed = self.seed;
        assert!(
            self.spool.is_empty(),
            "seed {seed}: left in the spool: {:?}",
            self.spool.keys()
        );
        assert!(self.state.is_idle(), "seed {seed}");
        let counts = self.state.counts();
        assert_eq!(
            (counts.active, counts.deferred, counts.held),
            (0, 0, 0),
            "seed {seed}"
        );
        for meta in &self.accepted {
            for r in 0..meta.envelope.recipients.len() as u32 {
                let (delivered, failed) = (
                    self.delivered.contains(&(meta.id, r)),
                    self.failed.contains(&(meta.id, r)),
                );
                assert!(
                    !(delivered && failed),
                    "seed {seed}: {} #{r} delivered and failed",
                    meta.id
                );
                let deleted = self.deleted.contains(&meta.id);
                assert!(
                    delivered || failed || deleted,
                    "seed {seed}: {} #{r} vanished",
                    meta.id
                );
                let asked = meta.envelope.recipients[r as usize].notify.is_some();
                let told = self.relayed.contains(&(meta.id, r));
                assert_eq!(
                    told,
                    delivered && asked,
                    "seed {seed}: {} #{r} told of its success",
                    meta.id
                );
            }
        }
    }
}

#[test]
fn nothing_is_lost_or_done_twice() {
    for seed in 0..150 {
        World::new(seed).run(30, false);
    }
}

#[test]
fn nor_with_orders_reloads_and_crashes_in_between() {
    for seed in 1000..1250 {
        World::new(seed).run(40, true);
    }
}
