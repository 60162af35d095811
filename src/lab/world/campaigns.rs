//! Campaigns of the attacks, played to the detector and to the simple ones, with the mail of the
//! accounts' owners between.

use super::attack::{self, AttackKind};
use super::events::Events;
use super::people::{DAY, Mails, PlannedMail, To, WorldClass, WorldSender};
use super::references::References;
use super::report::{Campaign, SimulationReport};
use super::tenant::{WorldTenant, recipient_hash};
use super::{COLD_DAYS, FIRST_DAY};
use crate::types::{Action, Block, Identity, MessageId, OutcomeClass, Time};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// An answer to a campaign's message: time, message, account, address, unknown user.
type CampaignAnswer = (i64, u64, u32, u64, bool);

/// One campaign as it is told.
pub(super) struct Story {
    kind: AttackKind,
    start: i64,
    /// The accounts it uses, and what the references know of each.
    accounts: Vec<Arc<Identity>>,
    references: Vec<References>,
    /// How it went so far, and the blocks it left.
    pub(super) campaign: Campaign,
    open: Vec<Arc<Block>>,
    /// Answers that are to come.
    answers: BinaryHeap<Reverse<CampaignAnswer>>,
}

/// What passes the relay during a campaign.
struct Traffic {
    bad: Mails,
    /// That of the accounts' owners.
    own: Mails,
    /// When the attacker's last message comes.
    last_bad: Option<i64>,
}

impl Traffic {
    /// The attacker's messages, and the owners' from `since` on, until the attacker's last.
    fn in_order(&self, since: i64) -> Vec<(bool, PlannedMail)> {
        let own = self.own.mails.iter().filter(|m| m.time >= since);
        let mut all: Vec<(bool, PlannedMail)> = own.map(|m| (false, *m)).collect();
        all.extend(self.bad.mails.iter().map(|m| (true, *m)));
        all.sort_by_key(|(_, m)| m.time);
        let last_bad = self.last_bad.unwrap_or_default();
        all.truncate(all.partition_point(|(_, m)| m.time <= last_bad));
        all
    }

    fn recipients(&self, is_bad: bool, mail: &PlannedMail) -> &[To] {
        if is_bad {
            self.bad.recipients(mail)
        } else {
            self.own.recipients(mail)
        }
    }
}

/// An account behind one of so many clients; the first is the one it always had.
fn behind(clients: usize, place: usize, who: &Arc<Identity>) -> Arc<Identity> {
    match (place % clients) as u8 {
        0 => Arc::clone(who),
        n => Arc::new(Identity {
            client: IpAddr::V4(Ipv4Addr::new(203, 0, 113, n)),
            ..Identity::clone(who)
        }),
    }
}

impl WorldTenant<'_> {
    /// One campaign of each attack for those who read the events: one after the other from the
    /// first day on which accounts have a history, each from accounts of its own, and none is put
    /// back or released.
    pub(super) fn written_campaigns(
        &mut self,
        report: &mut SimulationReport,
        events: &mut Option<&mut Events<'_>>,
    ) {
        let mut day = FIRST_DAY + self.around.world.days.max(2 * COLD_DAYS + 1);
        while !self.outcomes.is_empty() {
            self.outcome(day, report, events);
        }
        let mut used: Vec<usize> = Vec::new();
        for kind in &self.plan.attacks {
            let places = self.victims(*kind, day, &used);
            let (_, last) = self.tell(*kind, day, &places, None, events);
            used.extend(places);
            day = last.div_euclid(DAY) + 1;
        }
    }

    /// One campaign from accounts with a history, on the day after the last; everything is put back
    /// afterwards.
    pub(super) fn campaign(&mut self, kind: AttackKind, day: i64) -> Campaign {
        let places = self.victims(kind, day, &[]);
        let identities = self.accounts(kind, &places);
        let fork = self.engine.detector().fork(identities.iter().map(|i| &**i));
        let begun = self.engine.now();
        let (Story { campaign, open, .. }, _) = self.tell(kind, day, &places, None, &mut None);
        for block in open {
            self.engine.release(&block, None);
        }
        self.engine.detector().put_back(&fork);
        self.engine.rewind(begun);
        // Those who never sent before are gone with it.
        self.senders.truncate(self.counted.len());
        self.identities.truncate(self.counted.len());
        self.references.truncate(self.counted.len());
        campaign
    }

    /// Accounts of persons, none of them `used`: with the history that the world says, or without
    /// one where the plan says so. A new tenant's are as they are, and where there are too few the
    /// others never sent before.
    pub(super) fn victims(&mut self, kind: AttackKind, day: i64, used: &[usize]) -> Vec<usize> {
        if let Some(history) = self
            .around
            .world
            .attacks
            .history
            .filter(|_| !self.plan.cold)
        {
            return self.victims_with(kind, day, history, used);
        }
        let mut places: Vec<usize> = Vec::new();
        let persons = self
            .senders
            .iter()
            .filter(|s| s.class == WorldClass::Person)
            .count();
        while places.len() < kind.accounts() {
            if self.plan.newcomers || (self.plan.cold && places.len() >= persons) {
                places.push(self.newcomer(day));
                continue;
            }
            let who = self.rng.below(persons as u64) as usize;
            let taken = places.contains(&who) || used.contains(&who);
            let old = |s: &WorldSender| self.plan.cold || day - s.born > 2 * COLD_DAYS;
            if !taken && self.senders.get(who).is_some_and(old) {
                places.push(who);
            }
        }
        places
    }

    /// An account of a person that never sent before.
    fn newcomer(&mut self, day: i64) -> usize {
        let sender = self.make(WorldClass::Person, day);
        self.identities.push(self.identity(&sender, 0));
        self.senders.push(sender);
        self.references.push(References::default());
        self.senders.len() - 1
    }

    /// Accounts with so many days of history, of one client for an attack that uses one. Where
    /// there are fewer than the attack uses, it makes do with them.
    fn victims_with(
        &mut self,
        kind: AttackKind,
        day: i64,
        history: i64,
        used: &[usize],
    ) -> Vec<usize> {
        if history == 0 || self.plan.newcomers {
            return (0..kind.accounts()).map(|_| self.newcomer(day)).collect();
        }
        // Those who came so many days before the attacks.
        let born = FIRST_DAY + (self.around.world.days - history).max(0);
        let persons = self.senders.iter().enumerate();
        let mut places: Vec<usize> = persons
            .filter(|(who, s)| {
                s.class == WorldClass::Person && s.born == born && !used.contains(who)
            })
            .map(|(who, _)| who)
            .collect();
        // In any order.
        for place in (1..places.len()).rev() {
            places.swap(place, self.rng.below(place as u64 + 1) as usize);
        }
        let client = |who: &usize| self.senders.get(*who).map(|s| self.client(s));
        if let (1, Some(first)) = (kind.clients(), places.first().copied()) {
            let one = client(&first);
            places.retain(|who| client(who) == one);
        }
        places.truncate(kind.accounts());
        if places.is_empty() {
            places.push(self.newcomer(day));
        }
        places
    }

    /// Those accounts as the attack uses them.
    fn accounts(&self, kind: AttackKind, places: &[usize]) -> Vec<Arc<Identity>> {
        let known = places.iter().filter_map(|p| self.identities.get(*p));
        known
            .enumerate()
            .map(|(n, who)| behind(kind.clients(), n, who))
            .collect()
    }

    /// Tells one campaign, which begins at `start` or at some hour of the day; what came of it with
    /// the blocks that stand, and when its last message came.
    pub(super) fn tell(
        &mut self,
        kind: AttackKind,
        day: i64,
        places: &[usize],
        start: Option<i64>,
        events: &mut Option<&mut Events<'_>>,
    ) -> (Story, i64) {
        let mut victims: Vec<WorldSender> = places
            .iter()
            .filter_map(|p| self.senders.get(*p).cloned())
            .collect();
        let accounts = self.accounts(kind, places);
        let references = places
            .iter()
            .filter_map(|p| self.references.get(*p).cloned())
            .collect();
        let days = kind.preparation_days(&self.around.world.attacks);
        let drawn = (day + days) * DAY + self.rng.between(8.0, 16.0) as i64 * 3_600_000;
        let (start, since) = start.map_or((drawn, day * DAY), |now| (now + days * DAY, now));
        // Who never sent before did not write that morning either; a patient attacker prepares
        // first.
        let since = if self.plan.newcomers && days == 0 {
            start
        } else {
            since
        };
        let traffic = self.traffic(kind, day, start, &mut victims);
        let end = traffic.last_bad.unwrap_or(start);
        let all = traffic.in_order(since);
        let campaign = Campaign::new(kind, accounts.len());
        let (open, answers) = (Vec::new(), BinaryHeap::new());
        let mut story = Story {
            kind,
            start,
            accounts,
            references,
            campaign,
            open,
            answers,
        };
        for (is_bad, mail) in all {
            self.answers_until(mail.time, &mut story, events);
            let to = traffic.recipients(is_bad, &mail);
            if !to.is_empty() {
                self.sent(is_bad, &mail, to, &mut story, events);
            }
        }
        let expire = self.engine.settings().held.expire;
        story.campaign.close(expire.as_millis() as i64);
        (story, end)
    }

    /// The mail of a campaign that begins at `start`, and what its accounts' owners write from that
    /// day on until it ends.
    fn traffic(
        &mut self,
        kind: AttackKind,
        day: i64,
        start: i64,
        victims: &mut [WorldSender],
    ) -> Traffic {
        let (mut bad, mut own) = (Mails::default(), Mails::default());
        let Self { around, rng, .. } = self;
        let days = kind.preparation_days(&around.world.attacks);
        if let (true, Some(victim)) = (days > 0, victims.first_mut()) {
            attack::preparation(day * DAY, days, victim, around, rng, &mut own);
        }
        let prepared = own.mails.len();
        attack::mails(kind, start, victims, around, rng, &mut bad);
        let last_bad = bad.mails.last().map(|m| m.time);
        let end = last_bad.unwrap_or(start);
        let mixture = kind == AttackKind::Mixture;
        for (who, victim) in (0_u32..).zip(victims.iter_mut()) {
            for d in day..=end.div_euclid(DAY) {
                victim.day(d, who, around, rng, &mut own);
            }
        }
        let goes_on = around.world.attacks.owner;
        if goes_on < 1.0 || mixture {
            let mut place = 0;
            own.mails.retain(|mail| {
                place += 1;
                // What the owner wrote before is not touched; in a mixture nobody else writes.
                place <= prepared || mail.time < start || (!mixture && rng.chance(goes_on))
            });
        }
        if let (true, Some(victim)) = (mixture, victims.first_mut()) {
            attack::between(&bad, victim, around, rng, &mut own);
        }
        Traffic { bad, own, last_bad }
    }

    /// Tells what the world answers by this time.
    fn answers_until(
        &mut self,
        until: i64,
        story: &mut Story,
        events: &mut Option<&mut Events<'_>>,
    ) {
        while let Some(Reverse((time, id, place, address, bounced))) = story.answers.peek().copied()
        {
            if time > until {
                break;
            }
            story.answers.pop();
            self.engine.advance(Time(time));
            if let Some(events) = events {
                events.outcome(
                    time,
                    MessageId(id),
                    &To {
                        address,
                        new: true,
                        bounces: bounced,
                    },
                );
            }
            let class = if bounced {
                OutcomeClass::UnknownUser
            } else {
                OutcomeClass::Delivered
            };
            let account = place as usize;
            if let Some(identity) = story.accounts.get(account)
                && let Some(block) =
                    self.engine
                        .outcome(identity, MessageId(id), class, recipient_hash(address))
            {
                story.campaign.blocked(account, time - story.start);
                story.open.push(block);
            }
            if self.plan.references
                && let Some(r) = story.references.get_mut(account)
            {
                story
                    .campaign
                    .reference_hits(account, r.outcome(time, bounced));
            }
        }
    }

    /// Tells one message of an account, of the campaign or of its owner.
    fn sent(
        &mut self,
        is_bad: bool,
        mail: &PlannedMail,
        to: &[To],
        story: &mut Story,
        events: &mut Option<&mut Events<'_>>,
    ) {
        let account = mail.who as usize;
        let Some(identity) = story.accounts.get(account).map(Arc::clone) else {
            return;
        };
        let id = self.next_id(mail.time);
        self.engine.advance(Time(mail.time));
        let (action, block, _) = self.judge(id, &identity, to, mail);
        if let Some(events) = events {
            events.message(
                mail,
                id,
                &identity,
                to,
                action,
                is_bad.then_some(story.kind),
            );
        }
        if let Some(block) = block {
            story.campaign.blocked(account, mail.time - story.start);
            story.open.push(block);
        }
        if is_bad {
            story
                .campaign
                .message(action, to.len(), account, mail.time - story.start);
        }
        if self.plan.references
            && let Some(r) = story.references.get_mut(account)
        {
            let new = to.iter().filter(|t| t.new).count() as u32;
            let hits = r.message(mail.time, to.len() as u32, new, mail.llr);
            story.campaign.reference_hits(account, hits);
            if is_bad {
                story.campaign.reference_message(account);
            }
        }
        if matches!(action, Action::Accept | Action::HighRisk) {
            for t in to {
                let wait = 1_000 + self.rng.below(59_000) as i64;
                story.answers.push(Reverse((
                    mail.time + wait,
                    id.0,
                    mail.who,
                    t.address,
                    t.bounces,
                )));
            }
        }
    }
}
