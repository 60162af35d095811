//! One tenant of the made-up world: its senders, its days of ordinary mail, and what the relay under
//! test makes of them.

use super::drawn::Surroundings;
use super::events::Events;
use super::people::{Mails, PlannedMail, To, WorldClass, WorldSender, whole};
use super::references::{self, References};
use super::report::{self, SimulationReport};
use super::rng::Rng;
use super::{COLD_DAYS, FIRST_DAY, SimulationPlan, cold};
use crate::config::Settings;
use crate::replay::engine::Engine;
use crate::types::hash::mix;
use crate::types::{
    Action, Block, Domain, Identity, MessageFacts, MessageId, OutcomeClass, Reason, RecipientFacts,
    SenderKey, Strength, TenantId, Time,
};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// A recipient's hash, mixed so that both halves are random as those of real addresses are.
pub(super) fn recipient_hash(address: u64) -> u64 {
    mix(address, 0x7265_6369_7069_656e)
}

/// One simulated tenant: its senders, its relay, and what is still to come back.
pub(super) struct WorldTenant<'a> {
    pub(super) plan: &'a SimulationPlan,
    pub(super) around: Surroundings,
    pub(super) engine: Engine,
    pub(super) rng: Rng,
    pub(super) id: TenantId,
    /// Its number, from which the addresses of its clients follow.
    number: u64,
    pub(super) senders: Vec<WorldSender>,
    pub(super) identities: Vec<Arc<Identity>>,
    pub(super) references: Vec<References>,
    mails: Mails,
    pub(super) outcomes: VecDeque<Due>,
    next_number: u64,
    turn: u32,
    /// Per sender: the day it was last blocked, held or met by a reference, so that a sender-day
    /// counts once.
    pub(super) counted: Vec<[i64; 2 + references::COUNT]>,
    blocked: Vec<Arc<Block>>,
    hashes: Vec<RecipientFacts>,
}

/// An outcome that is to come.
#[derive(Debug, Clone)]
pub(super) struct Due {
    time: i64,
    id: MessageId,
    who: u32,
    identity: Arc<Identity>,
    to: To,
}

impl<'a> WorldTenant<'a> {
    pub(super) fn new(
        settings: &Arc<Settings>,
        seed: u64,
        number: u64,
        plan: &'a SimulationPlan,
        around: Surroundings,
    ) -> Self {
        let mut tenant = Self {
            plan,
            around,
            engine: Engine::new(Arc::clone(settings)),
            rng: Rng::new(seed, number),
            id: TenantId::new(&format!("tenant{seed}-{number}")),
            number,
            senders: Vec::new(),
            identities: Vec::new(),
            references: Vec::new(),
            mails: Mails::default(),
            outcomes: VecDeque::new(),
            next_number: 1,
            turn: 0,
            counted: Vec::new(),
            blocked: Vec::new(),
            hashes: Vec::new(),
        };
        let classes = if plan.cold {
            cold::classes(&mut tenant.rng)
        } else {
            tenant.around.world.classes()
        };
        for (class, count) in classes {
            for _ in 0..count {
                let sender = tenant.make(class, FIRST_DAY);
                tenant.identities.push(tenant.identity(&sender, 0));
                tenant.senders.push(sender);
                tenant.references.push(References::default());
                tenant.counted.push([i64::MIN; 2 + references::COUNT]);
            }
        }
        tenant
    }

    pub(super) fn make(&mut self, class: WorldClass, born: i64) -> WorldSender {
        let number = self.next_number;
        self.next_number += 1;
        WorldSender::new(class, number, born, &self.around, &mut self.rng)
    }

    /// The client that a sender stands behind: senders share a tenant's clients evenly.
    pub(super) fn client(&self, sender: &WorldSender) -> IpAddr {
        let clients = u64::from(self.around.world.clients.max(1));
        let place = (sender.number % clients) as u8;
        let tenant = (self.number % 250) as u8 + 1;
        IpAddr::V4(Ipv4Addr::new(198, 51, 100_u8.wrapping_add(place), tenant))
    }

    pub(super) fn identity(&self, sender: &WorldSender, outside: u64) -> Arc<Identity> {
        let (local, domain) = match sender.class {
            WorldClass::Bounces => {
                let client = self.client(sender);
                let key = SenderKey::claimed(&self.id, "", client);
                let tenant = self.id.clone();
                return Arc::new(Identity {
                    tenant,
                    key,
                    address: "".into(),
                    domain: None,
                    strength: Strength::None,
                    client,
                    foreign: false,
                });
            }
            WorldClass::Forwarder => (format!("o{outside:x}"), "outside.example".to_owned()),
            _ => (
                format!("u{}", sender.number),
                format!("{}.example", self.id),
            ),
        };
        let address = format!("{local}@{domain}");
        let key = SenderKey::account(&self.id, &address);
        Arc::new(Identity {
            tenant: self.id.clone(),
            key,
            address: address.into(),
            domain: Domain::parse(&domain),
            strength: Strength::Authenticated,
            client: self.client(sender),
            foreign: false,
        })
    }

    /// One day of ordinary mail.
    pub(super) fn day(
        &mut self,
        day: i64,
        report: &mut SimulationReport,
        events: &mut Option<&mut Events<'_>>,
    ) {
        for _ in 0..whole(self.around.world.arrivals, &mut self.rng) {
            let ordinary = self.around.world.senders.iter().sum::<usize>();
            let ordinary = ordinary.min(self.senders.len());
            let who = self.rng.below(ordinary as u64) as usize;
            self.arrival(who, day);
        }
        let mut mails = std::mem::take(&mut self.mails);
        mails.clear();
        for (who, sender) in (0_u32..).zip(&mut self.senders) {
            sender.day(day, who, &self.around, &mut self.rng, &mut mails);
        }
        mails.mails.sort_by_key(|m| m.time);
        let started = report::Stopwatch::start();
        self.play(day, &mails, mails.mails.len(), report, events);
        report.events += mails.mails.len() as u64;
        report.nanos += started.nanos();
        for sender in &self.senders {
            report.sender_day(sender.class, day - sender.born < COLD_DAYS);
        }
        // Whoever was blocked by mistake is released over night, as by an admin.
        for block in std::mem::take(&mut self.blocked) {
            self.engine.release(&block, None);
        }
        self.mails = mails;
    }

    /// The first messages of a day, so many at most; how many there were.
    pub(super) fn first_of_day(
        &mut self,
        day: i64,
        most: u64,
        report: &mut SimulationReport,
    ) -> u64 {
        let mut mails = Mails::default();
        for (who, sender) in (0_u32..).zip(&mut self.senders) {
            sender.day(day, who, &self.around, &mut self.rng, &mut mails);
        }
        mails.mails.sort_by_key(|m| m.time);
        let count = mails.mails.len().min(most as usize);
        self.play(day, &mails, count, report, &mut None);
        count as u64
    }

    /// Tells the first messages of a day, with the outcomes that come between.
    fn play(
        &mut self,
        day: i64,
        mails: &Mails,
        count: usize,
        report: &mut SimulationReport,
        events: &mut Option<&mut Events<'_>>,
    ) {
        for mail in mails.mails.iter().take(count) {
            while self
                .outcomes
                .front()
                .is_some_and(|due| due.time <= mail.time)
            {
                self.outcome(day, report, events);
            }
            self.mail(day, mail, mails.recipients(mail), report, events);
        }
    }

    /// The accounts that will be attacked come, so that they have the history that their world
    /// says.
    pub(super) fn future_victims(&mut self, day: i64) {
        let [persons, ..] = self.around.world.senders;
        for who in 0..persons.min(persons / 10 + 60) {
            self.arrival(who, day);
        }
    }

    /// Somebody leaves, and somebody of the same class comes without history.
    fn arrival(&mut self, who: usize, day: i64) {
        let Some(class) = self.senders.get(who).map(|s| s.class) else {
            return;
        };
        let sender = self.make(class, day);
        let identity = self.identity(&sender, 0);
        if let (Some(s), Some(i), Some(r)) = (
            self.senders.get_mut(who),
            self.identities.get_mut(who),
            self.references.get_mut(who),
        ) {
            (*s, *i, *r) = (sender, identity, References::default());
        }
    }

    fn mail(
        &mut self,
        day: i64,
        mail: &PlannedMail,
        to: &[To],
        report: &mut SimulationReport,
        events: &mut Option<&mut Events<'_>>,
    ) {
        let who = mail.who as usize;
        let Some(sender) = self.senders.get(who) else {
            return;
        };
        let (class, cold) = (sender.class, day - sender.born < COLD_DAYS);
        let identity = match mail.outside {
            0 => self.identities.get(who).map(Arc::clone),
            outside => Some(self.identity(sender, outside)),
        };
        let Some(identity) = identity else { return };
        let id = self.next_id(mail.time);
        self.engine.advance(Time(mail.time));
        let ruling = self.judge(id, &identity, to, mail);
        if let Some(events) = events {
            events.message(mail, id, &identity, to, ruling.0, None);
        }
        if let Some(block) = &ruling.1 {
            if self.count(who, 0, day) {
                report.false_block(class, cold);
                self.case("blocked", who, day, &identity, report);
            }
            self.blocked.push(Arc::clone(block));
        }
        if ruling.0 == Action::Hold && self.count(who, 1, day) {
            report.false_hold(class, cold, ruling.2);
            self.case(ruling.2.as_str(), who, day, &identity, report);
        }
        if self.plan.references {
            let new = to.iter().filter(|t| t.new).count() as u32;
            let hits = self
                .references
                .get_mut(who)
                .map_or(0, |r| r.message(mail.time, to.len() as u32, new, mail.llr));
            self.references_hit(who, hits, day, class, cold, report);
        }
        if matches!(ruling.0, Action::Accept | Action::HighRisk) {
            // Answers come within seconds; in order, since each waits the same time.
            let time = mail.time + 5_000;
            self.outcomes.extend(to.iter().map(|t| Due {
                time,
                id,
                who: mail.who,
                identity: Arc::clone(&identity),
                to: *t,
            }));
        }
    }

    pub(super) fn outcome(
        &mut self,
        day: i64,
        report: &mut SimulationReport,
        events: &mut Option<&mut Events<'_>>,
    ) {
        let Some(due) = self.outcomes.pop_front() else {
            return;
        };
        if let Some(events) = events {
            events.outcome(due.time, due.id, &due.to);
        }
        self.engine.advance(Time(due.time));
        let class = if due.to.bounces {
            OutcomeClass::UnknownUser
        } else {
            OutcomeClass::Delivered
        };
        let block =
            self.engine
                .outcome(&due.identity, due.id, class, recipient_hash(due.to.address));
        let who = due.who as usize;
        let Some((class, born)) = self.senders.get(who).map(|s| (s.class, s.born)) else {
            return;
        };
        let cold = day - born < COLD_DAYS;
        if let Some(block) = block {
            if self.count(who, 0, day) {
                report.false_block(class, cold);
                self.case("blocked", who, day, &due.identity, report);
            }
            self.blocked.push(block);
        }
        if self.plan.references {
            let hits = self
                .references
                .get_mut(who)
                .map_or(0, |r| r.outcome(due.time, due.to.bounces));
            self.references_hit(who, hits, day, class, cold, report);
        }
    }

    /// Tells one mistake with what is known of its sender.
    fn case(
        &self,
        what: &str,
        who: usize,
        day: i64,
        identity: &Identity,
        report: &mut SimulationReport,
    ) {
        let (true, Some(sender)) = (self.plan.cases, self.senders.get(who)) else {
            return;
        };
        let view = self
            .engine
            .detector()
            .sender(self.engine.now(), identity.key.as_str());
        report.cases.push(report::case(
            what,
            &self.id,
            sender,
            day,
            self.engine.now(),
            view,
        ));
    }

    fn references_hit(
        &mut self,
        who: usize,
        hits: u32,
        day: i64,
        class: WorldClass,
        cold: bool,
        report: &mut SimulationReport,
    ) {
        if hits == 0 {
            return;
        }
        for place in 0..references::COUNT {
            if hits & (1 << place) != 0 {
                if self.count(who, 2 + place, day) {
                    report.reference_block(place, class, cold);
                }
                if let Some(r) = self.references.get_mut(who) {
                    r.forgive(place as u32);
                }
            }
        }
    }

    /// Whether this is the first of its kind on that sender's day.
    fn count(&mut self, who: usize, place: usize, day: i64) -> bool {
        let Some(last) = self.counted.get_mut(who).and_then(|c| c.get_mut(place)) else {
            return false;
        };
        let first = *last != day;
        *last = day;
        first
    }

    pub(super) fn next_id(&mut self, time: i64) -> MessageId {
        self.turn = self.turn.wrapping_add(1);
        MessageId::from_parts(Time(time), self.turn)
    }

    pub(super) fn judge(
        &mut self,
        id: MessageId,
        identity: &Identity,
        to: &[To],
        mail: &PlannedMail,
    ) -> (Action, Option<Arc<Block>>, Reason) {
        self.hashes.clear();
        self.hashes.extend(to.iter().map(|t| RecipientFacts {
            hash: recipient_hash(t.address),
            internal: false,
        }));
        let facts = MessageFacts {
            id,
            identity,
            recipients: &self.hashes,
            fingerprint: mix(id.0, 0x6669_6e67),
            origin: None,
            failed_logins: 0,
            template: mail.template,
            llr: mail.llr,
            probability: 1.0 / (1.0 + (-mail.llr).exp()),
            symbols: &[],
            link_hosts: &[],
            octets: 0,
            is_report: false,
            listed: 0.0,
        };
        let ruling = self.engine.message(&facts);
        (ruling.action, ruling.opened, ruling.reason)
    }
}
