//! Directed tests of the state: one behaviour each.

use super::orders::Order;
use super::progress::MessageProgress;
use super::reports::QueueReportKind;
use super::schedule;
use super::state::{DeliveryJob, QueueEffect, QueueInput, QueueMachine, Rules};
use super::{FailureCause, QueueState, Select};
use crate::config::Settings;
use crate::config::settings as s;
use crate::delivery::{Attempt, AttemptResult, Destination, Reached};
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

mod attempts;
mod hosts;
mod orders;
mod reports;
mod restarts;

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
    let route: super::destinations::FindRoute = |settings, domain| match settings.routes.first() {
        Some(route) => Destination::Route(route.clone()),
        None => Destination::Mx(domain.clone()),
    };
    Rules {
        route,
        covers: |block, identity| block.subject == *identity.address,
    }
}

pub(super) fn smart_host() -> Arc<s::RouteSettings> {
    let host = "192.0.2.9".to_owned();
    Arc::new(s::RouteSettings {
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
pub(super) fn result(outcomes: Vec<RecipientOutcome>) -> AttemptResult {
    let reached = outcomes.iter().any(|o| o.class != OutcomeClass::Transport);
    AttemptResult {
        outcomes,
        reach: if reached {
            Reached::Transaction
        } else {
            Reached::Nowhere
        },
    }
}

/// A next hop that never answers, for tests of the rooms around the queue.
#[derive(Clone)]
pub(crate) struct Silent;

impl Deliver for Silent {
    fn attempt(&self, _: Attempt) -> Pin<Box<dyn Future<Output = AttemptResult> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

struct Bench {
    state: QueueMachine,
    now: Time,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self {
            state: QueueMachine::new(Arc::new(settings), rules()),
            now: T0,
        }
    }

    fn step(&mut self, input: QueueInput) -> Vec<QueueEffect> {
        let mut out = Vec::new();
        self.state.handle(self.now, input, &mut out);
        self.state.handle(self.now, QueueInput::Tick, &mut out);
        self.state.pump(self.now, &mut out);
        out
    }

    fn enqueue(&mut self, meta: &MessageMeta) -> Vec<QueueEffect> {
        self.step(QueueInput::Enqueue(Arc::new(meta.clone())))
    }

    fn end(&mut self, job: &DeliveryJob, meta: &MessageMeta, code: u16) -> Vec<QueueEffect> {
        let recipients = job.recipients(meta);
        let outcomes = recipients.iter().map(|r| outcome(*r, code)).collect();
        self.step(QueueInput::Ended {
            dest: job.dest,
            meta: Arc::new(meta.clone()),
            recipients,
            result: result(outcomes),
        })
    }

    fn order(&mut self, order: Order, select: Select) -> (Vec<MessageId>, Vec<QueueEffect>) {
        let mut out = Vec::new();
        let met = self.state.order(self.now, &order, &select, &mut out);
        self.state.pump(self.now, &mut out);
        (met, out)
    }

    fn wait(&mut self, secs: u64) -> Vec<QueueEffect> {
        self.now = self.now.after(Duration::from_secs(secs));
        self.step(QueueInput::Tick)
    }

    fn state_of(&self, id: MessageId) -> Option<QueueState> {
        self.state.show(id).map(|(item, _)| item.state)
    }
}

fn jobs(effects: Vec<QueueEffect>) -> Vec<DeliveryJob> {
    effects
        .into_iter()
        .filter_map(|e| {
            if let QueueEffect::Attempt(job) = e {
                Some(*job)
            } else {
                None
            }
        })
        .collect()
}

fn names(effects: &[QueueEffect]) -> Vec<&'static str> {
    let name = |e: &QueueEffect| match e {
        QueueEffect::Attempt(_) => "attempt",
        QueueEffect::Load(_) => "load",
        QueueEffect::Progress(_, _, false) => "progress",
        QueueEffect::Progress(_, _, true) => "durable",
        QueueEffect::Done(_) => "done",
        QueueEffect::Lost(_) => "lost",
        QueueEffect::Attempted(..) => "attempted",
        QueueEffect::Report(..) => "report",
    };
    effects.iter().map(name).collect()
}

fn report(effects: &[QueueEffect]) -> (u64, QueueReportKind, Vec<u32>) {
    let found = effects.iter().find_map(|e| {
        if let QueueEffect::Report(t, r) = e {
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
fn a_waiting_message_is_small() {
    assert!(
        size_of::<super::entry::QueueEntry>() <= 160,
        "{}",
        size_of::<super::entry::QueueEntry>()
    );
}
