//! A made-up world in which every message's truth is known: tenants of a thousand senders, their
//! ordinary mail, and nine kinds of attack. It is fed to the relay's own judge, without JSON
//! between, and to simple detectors beside it.

pub(crate) mod attack;
mod campaigns;
pub(crate) mod cold;
pub(crate) mod content;
pub(crate) mod events;
pub(crate) mod mailbag;
pub(crate) mod people;
pub(crate) mod references;
pub(crate) mod report;
pub(crate) mod rng;

use crate::config::Settings;
use crate::replay::engine::Engine;
use crate::types::hash::mix;
use crate::types::{
    Action, Block, Domain, Identity, MessageId, OutcomeClass, Reason, SenderKey, Strength,
    TenantId, Time,
};
use crate::types::{MessageFacts, RecipientFacts};
use attack::Kind;
use content::Content;
use events::Events;
use people::{Class, Mail, Mails, Sender, To};
use references::References;
use report::Report;
use rng::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

/// First day of every tenant's life: 2026-06-01, a Monday.
const FIRST_DAY: i64 = 20_605;
/// Days a sender counts as cold.
pub(crate) const COLD_DAYS: i64 = 5;
/// Senders of a tenant: persons, applications, newsletters, and beside them one forwarder, list and
/// source of reports.
const CLASSES: [(Class, usize); 6] = [
    (Class::Person, 900),
    (Class::Application, 80),
    (Class::Newsletter, 20),
    (Class::Forwarder, 1),
    (Class::List, 1),
    (Class::Bounces, 1),
];
/// Chance per day that one sender of a tenant leaves and one without history comes.
const ARRIVALS: f64 = 0.5;

/// What is simulated.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Seeds; each is a world of its own.
    pub seeds: Vec<u64>,
    /// Days of each tenant before the attacks.
    pub days: i64,
    /// Tenants of a thousand senders per seed.
    pub tenants: u64,
    /// Campaigns per attack and seed.
    pub campaigns: u64,
    /// Content of mail; tenants take turns. Without any there is no mail.
    pub contents: Vec<Content>,
    /// The simple detectors run too.
    pub references: bool,
    /// Every false block and hold is told with its proof.
    pub cases: bool,
    /// Attacks to run.
    pub attacks: Vec<Kind>,
    /// Small tenants in their first days, and attacks among their first messages.
    pub cold: bool,
    /// The attacks use accounts that never sent before.
    pub newcomers: bool,
}

/// Runs the plan; the ordinary mail also goes to `events`, and behind it one campaign of each
/// attack. Tenants are worlds of their own, so they are shared out to as many threads as there are
/// cores, unless their events are to be written in order.
pub(crate) fn run(
    settings: &Arc<Settings>,
    plan: &Plan,
    mut events: Option<&mut Events<'_>>,
) -> Report {
    let tenants: Vec<(u64, u64)> = plan
        .seeds
        .iter()
        .flat_map(|seed| (0..plan.tenants).map(|n| (*seed, n)))
        .collect();
    let mut report = Report::default();
    if events.is_some() {
        for (seed, number) in tenants {
            report.join(run_tenant(settings, plan, seed, number, &mut events));
        }
        return report;
    }
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(tenants.len());
    let next = AtomicUsize::new(0);
    let (done, reports) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (done, next, tenants) = (done.clone(), &next, &tenants);
            scope.spawn(move || {
                while let Some((place, (seed, number))) = turn(next, tenants) {
                    // Nobody listens only once the run has failed elsewhere.
                    let _gone =
                        done.send((place, run_tenant(settings, plan, seed, number, &mut None)));
                }
            });
        }
        drop(done);
        // Joined in order, so that the result does not depend on who was first.
        let mut early = BTreeMap::new();
        let mut wanted = 0;
        for (place, part) in reports {
            early.insert(place, part);
            while let Some(part) = early.remove(&wanted) {
                report.join(part);
                wanted += 1;
            }
        }
    });
    report
}

/// The next tenant nobody has taken yet, with its place.
fn turn(next: &AtomicUsize, tenants: &[(u64, u64)]) -> Option<(usize, (u64, u64))> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    tenants.get(place).map(|tenant| (place, *tenant))
}

/// The life of one tenant, and the attacks on it.
fn run_tenant(
    settings: &Arc<Settings>,
    plan: &Plan,
    seed: u64,
    number: u64,
    events: &mut Option<&mut Events<'_>>,
) -> Report {
    let mut report = Report::default();
    let turn = seed
        .wrapping_add(number)
        .checked_rem(plan.contents.len() as u64)
        .unwrap_or_default();
    let Some(content) = plan.contents.get(turn as usize) else {
        return report;
    };
    let mut tenant = Tenant::new(settings, seed, number, plan, content);
    for day in 0..plan.days {
        tenant.day(FIRST_DAY + day, &mut report, events);
    }
    let (records, all) = tenant.engine.detector().memory();
    report.tracked += tenant.engine.detector().tracked() as u64;
    report.octets.0 += records as u64;
    report.octets.1 += all as u64;
    let share = plan.campaigns / plan.tenants + u64::from(number < plan.campaigns % plan.tenants);
    for (place, kind) in (1..).zip(&plan.attacks) {
        for n in 0..share {
            report.campaigns.push(if plan.cold {
                // Each against a tenant of its own.
                cold::campaign(settings, plan, seed, mix(number, place << 32 | n), *kind)
            } else {
                tenant.campaign(*kind, FIRST_DAY + plan.days)
            });
        }
    }
    if events.is_some() && !plan.attacks.is_empty() {
        tenant.written_campaigns(&mut report, events);
    }
    report
}

/// A recipient's hash, mixed so that both halves are random as those of real addresses are.
fn recipient_hash(address: u64) -> u64 {
    mix(address, 0x7265_6369_7069_656e)
}

struct Tenant<'a> {
    plan: &'a Plan,
    content: Content,
    engine: Engine,
    rng: Rng,
    id: TenantId,
    client: IpAddr,
    senders: Vec<Sender>,
    identities: Vec<Arc<Identity>>,
    references: Vec<References>,
    mails: Mails,
    outcomes: VecDeque<Due>,
    next_number: u64,
    turn: u32,
    /// Per sender: the day it was last blocked, held or met by a reference, so that a sender-day
    /// counts once.
    counted: Vec<[i64; 2 + references::COUNT]>,
    blocked: Vec<Arc<Block>>,
    hashes: Vec<RecipientFacts>,
}

/// An outcome that is to come.
#[derive(Debug, Clone)]
struct Due {
    time: i64,
    id: MessageId,
    who: u32,
    identity: Arc<Identity>,
    to: To,
}

impl<'a> Tenant<'a> {
    fn new(
        settings: &Arc<Settings>,
        seed: u64,
        number: u64,
        plan: &'a Plan,
        content: &Content,
    ) -> Self {
        let mut tenant = Self {
            plan,
            content: content.clone(),
            engine: Engine::new(Arc::clone(settings)),
            rng: Rng::new(seed, number),
            id: TenantId::new(&format!("tenant{seed}-{number}")),
            client: IpAddr::V4(Ipv4Addr::new(198, 51, 100, (number % 250) as u8 + 1)),
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
            CLASSES.to_vec()
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

    fn make(&mut self, class: Class, born: i64) -> Sender {
        let number = self.next_number;
        self.next_number += 1;
        Sender::new(class, number, born, &self.content, &mut self.rng)
    }

    fn identity(&self, sender: &Sender, outside: u64) -> Arc<Identity> {
        let (local, domain) = match sender.class {
            Class::Bounces => {
                let key = SenderKey::claimed(&self.id, "", self.client);
                let (tenant, client) = (self.id.clone(), self.client);
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
            Class::Forwarder => (format!("o{outside:x}"), "outside.example".to_owned()),
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
            client: self.client,
            foreign: false,
        })
    }

    /// One day of ordinary mail.
    fn day(&mut self, day: i64, report: &mut Report, events: &mut Option<&mut Events<'_>>) {
        if self.rng.chance(ARRIVALS) {
            self.arrival(day);
        }
        let mut mails = std::mem::take(&mut self.mails);
        mails.clear();
        for (who, sender) in (0_u32..).zip(&mut self.senders) {
            sender.day(day, who, &self.content, &mut self.rng, &mut mails);
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
    fn first_of_day(&mut self, day: i64, most: u64, report: &mut Report) -> u64 {
        let mut mails = Mails::default();
        for (who, sender) in (0_u32..).zip(&mut self.senders) {
            sender.day(day, who, &self.content, &mut self.rng, &mut mails);
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
        report: &mut Report,
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

    fn arrival(&mut self, day: i64) {
        let who = self.rng.below(self.senders.len().min(1000) as u64) as usize;
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
        mail: &Mail,
        to: &[To],
        report: &mut Report,
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

    fn outcome(&mut self, day: i64, report: &mut Report, events: &mut Option<&mut Events<'_>>) {
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
    fn case(&self, what: &str, who: usize, day: i64, identity: &Identity, report: &mut Report) {
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
        class: Class,
        cold: bool,
        report: &mut Report,
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

    fn next_id(&mut self, time: i64) -> MessageId {
        self.turn = self.turn.wrapping_add(1);
        MessageId::from_parts(Time(time), self.turn)
    }

    fn judge(
        &mut self,
        id: MessageId,
        identity: &Identity,
        to: &[To],
        mail: &Mail,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::reader;

    fn plan() -> Plan {
        let contents = vec![Content::Drawn(people::Quality {
            tpr: 0.98,
            fpr: 0.001,
        })];
        Plan {
            seeds: vec![7],
            days: 1,
            tenants: 1,
            campaigns: 0,
            contents,
            references: false,
            cases: false,
            attacks: vec![],
            cold: false,
            newcomers: false,
        }
    }

    #[test]
    fn a_replay_of_the_written_events_decides_as_the_simulation_did() {
        let settings = Arc::new(reader::detector_alone());
        let mut written = Vec::new();
        let mut events = Events::new(&mut written);
        let attacks = vec![Kind::Blast, Kind::Lateral];
        run(&settings, &Plan { attacks, ..plan() }, Some(&mut events));
        events.finish().expect("memory");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let summary = reader::run((*settings).clone(), &mut &written[..], &mut out, &mut err)
            .expect("memory");
        assert_eq!((summary.errors, summary.unknown), (0, 0));
        fn lines(text: &[u8]) -> impl Iterator<Item = &str> {
            std::str::from_utf8(text).expect("text").lines()
        }
        let actions = |text: &[u8], key: &str| -> Vec<(String, String)> {
            let lines =
                lines(text).map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON"));
            lines
                .filter_map(|l| Some((l["id"].as_str()?.to_owned(), l[key].as_str()?.to_owned())))
                .collect()
        };
        let (simulated, replayed) = (actions(&written, "decided"), actions(&out, "action"));
        assert!(
            simulated.len() > 20_000 && simulated.iter().any(|(_, a)| a == "high_risk"),
            "{}",
            simulated.len()
        );
        assert_eq!(simulated, replayed);
        // The campaigns stand behind the ordinary mail, marked.
        let of = |kind: &str| {
            let marked: Vec<&str> = lines(&written)
                .filter(|l| l.contains(&format!("\"attack\":\"{kind}\"")))
                .collect();
            (
                marked.len(),
                marked
                    .iter()
                    .filter(|l| l.contains("\"decided\":\"accept\""))
                    .count(),
            )
        };
        let (blast, lateral) = (of("blast"), of("lateral"));
        assert_eq!((blast.0, lateral.0), (600, 50));
        assert!(blast.1 < 30 && lateral.1 < 30, "{blast:?} {lateral:?}");
    }

    #[test]
    fn the_same_comes_out_however_the_tenants_are_shared_out() {
        let settings = Arc::new(reader::detector_alone());
        let plan = Plan {
            seeds: vec![3, 4],
            cases: true,
            ..plan()
        };
        let told = |mut report: Report| {
            report.nanos = 0;
            report.text(false)
        };
        let together = told(run(&settings, &plan, None));
        let (mut written, mut none) = (Vec::new(), Report::default());
        let mut events = Events::new(&mut written);
        none.join(run(&settings, &plan, Some(&mut events)));
        assert_eq!(together, told(none));
    }

    #[test]
    fn attacks_are_stopped_and_leave_no_trace_in_the_next_one() {
        let settings = Arc::new(reader::detector_alone());
        let attacks = vec![Kind::Blast, Kind::Bulk, Kind::Lateral];
        let plan = Plan {
            days: 12,
            campaigns: 6,
            attacks,
            ..plan()
        };
        let report = run(&settings, &plan, None);
        assert_eq!(report.campaigns.len(), 18);
        for campaign in &report.campaigns {
            assert!(campaign.leaked <= 30, "{campaign:?}");
        }
        let text = report.text(false);
        assert!(
            text.contains("newsletter") && text.contains("lateral"),
            "{text}"
        );
    }

    #[test]
    fn new_tenants_and_new_accounts_are_simulated() {
        let settings = Arc::new(reader::detector_alone());
        let plan = Plan {
            tenants: 4,
            campaigns: 8,
            attacks: vec![Kind::Blast, Kind::Patient],
            ..plan()
        };
        let cold = run(
            &settings,
            &Plan {
                days: cold::DAYS,
                cold: true,
                ..plan.clone()
            },
            None,
        );
        assert_eq!(cold.campaigns.len(), 16);
        // Every sender of such a tenant is cold, all of its days.
        let [warm, fresh] = cold.mistakes[0];
        assert!(warm.days == 0 && fresh.days >= 4 * 5 * 3, "{fresh:?}");
        assert!(
            cold.campaigns.iter().all(|c| c.leaked < 600),
            "none passes whole"
        );
        let new = run(
            &settings,
            &Plan {
                newcomers: true,
                tenants: 1,
                ..plan
            },
            None,
        );
        assert_eq!(new.campaigns.len(), 16);
        assert!(
            new.campaigns.iter().any(|c| c.leaked < 30),
            "{:?}",
            new.campaigns
        );
    }
}
