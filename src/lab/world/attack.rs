//! The attacks of the simulated world: what a taken-over account sends, apart from its owner's own
//! mail.

use super::drawn::{AttackHabits, Surroundings};
use super::people::{DAY, Mails, To, WorldSender, near};
use super::rng::Rng;
use crate::types::hash::mix;

/// An attack on accounts of the made-up world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttackKind {
    /// 30 messages a minute.
    Blast,
    /// 5 messages in an hour to 100-1,000 each.
    Bulk,
    /// 300 messages an hour.
    Medium,
    /// 300 a day, among the owner's mail.
    Slow,
    /// 20 a day from each of 50 accounts of one client.
    Snowshoe,
    /// The same from 50 accounts of ten clients.
    Scattered,
    /// 50 in an hour to the owner's contacts.
    Lateral,
    /// 14 days of harmless mail to new recipients, then blast.
    Patient,
    /// Blast with the words of ordinary mail in every message.
    Padded,
    /// Slow, and every second message of the account is ordinary.
    Mixture,
}

impl AttackKind {
    /// All kinds, in the order of the tables.
    pub(crate) const ALL: [Self; 10] = [
        Self::Blast,
        Self::Bulk,
        Self::Medium,
        Self::Slow,
        Self::Snowshoe,
        Self::Scattered,
        Self::Lateral,
        Self::Patient,
        Self::Padded,
        Self::Mixture,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Blast => "blast",
            Self::Bulk => "bulk",
            Self::Medium => "medium",
            Self::Slow => "slow",
            Self::Snowshoe => "snowshoe",
            Self::Scattered => "scattered",
            Self::Lateral => "lateral",
            Self::Patient => "patient",
            Self::Padded => "padded",
            Self::Mixture => "mixture",
        }
    }

    /// How many accounts it uses.
    pub(crate) const fn accounts(self) -> usize {
        if matches!(self, Self::Snowshoe | Self::Scattered) {
            50
        } else {
            1
        }
    }

    /// Clients that they stand behind.
    pub(crate) const fn clients(self) -> usize {
        if matches!(self, Self::Scattered) {
            10
        } else {
            1
        }
    }

    /// Days of preparation, of which no message counts.
    pub(in crate::lab) const fn preparation_days(self, habits: &AttackHabits) -> i64 {
        if matches!(self, Self::Patient) {
            habits.patience
        } else {
            0
        }
    }

    /// Messages after which it counts as never stopped, milliseconds between two of them.
    const fn pace(self) -> (u64, i64) {
        match self {
            Self::Blast | Self::Patient | Self::Padded => (600, 2_000),
            Self::Bulk => (5, 720_000),
            Self::Medium => (600, 12_000),
            Self::Slow | Self::Mixture => (900, DAY / 300),
            Self::Snowshoe | Self::Scattered => (2_000, DAY / 1000),
            Self::Lateral => (50, 72_000),
        }
    }
}

/// How many messages an attack sends from so many accounts, and milliseconds between two of them.
/// Where a tenant has too few accounts, each of them sends as many as it would have.
fn schedule(kind: AttackKind, accounts: usize, habits: &AttackHabits) -> (u64, f64) {
    let (messages, gap) = kind.pace();
    let (all, here) = (kind.accounts() as u64, accounts.max(1) as u64);
    let gap = gap as f64 * (all as f64 / here as f64) / habits.pace;
    (messages * here / all, gap)
}

/// Messages that an attacker sends, in order of time, in `out`; their senders are places in
/// `victims`.
pub(crate) fn mails(
    kind: AttackKind,
    start: i64,
    victims: &mut [WorldSender],
    around: &Surroundings,
    rng: &mut Rng,
    out: &mut Mails,
) {
    let (world, content) = (&around.world, &around.content);
    let (messages, gap) = schedule(kind, victims.len(), &world.attacks);
    let voice = content.campaign(kind == AttackKind::Padded, rng);
    let bounces = rng.between(world.attacks.bounces.0, world.attacks.bounces.1);
    let spread = [1, 5, 20].get(rng.below(3) as usize).copied().unwrap_or(1);
    // One text with small changes.
    let template = mix(start.unsigned_abs(), 0x7370_616d);
    let mut time = start;
    for _ in 0..messages {
        // Evenly but for a little jitter; accounts of a snowshoe take turns in no order.
        time += (gap * rng.between(0.5, 1.5)) as i64;
        let who = if kind.accounts() > 1 {
            rng.below(victims.len() as u64) as usize
        } else {
            0
        };
        let Some(victim) = victims.get_mut(who) else {
            return;
        };
        let first = out.to.len();
        if kind == AttackKind::Lateral {
            let to = unused_contact(victim, &out.to, rng);
            out.to.extend(to);
        } else {
            let count = if kind == AttackKind::Bulk {
                100 + rng.below(901)
            } else {
                spread
            };
            for _ in 0..count {
                let to = target(victim, bounces, &world.attacks, rng);
                out.to.push(to);
            }
        }
        let text = near(
            template,
            mix(template, time.unsigned_abs()),
            world.copy_bits,
        );
        let (llr, text) = around.say(voice, text, rng);
        out.push(time, who as u32, 0, first, llr, text);
    }
}

/// A contact of the owner that is not among `used`, as far as there are enough.
fn unused_contact(victim: &WorldSender, used: &[To], rng: &mut Rng) -> Option<To> {
    let mut to = victim.contact(rng);
    for _ in 0..20 {
        if !used.iter().any(|t| Some(t.address) == to) {
            break;
        }
        to = victim.contact(rng);
    }
    to.map(|address| To {
        address,
        new: false,
        bounces: false,
    })
}

/// One recipient of an attack: mostly somebody the account never wrote to.
fn target(victim: &mut WorldSender, bounces: f64, habits: &AttackHabits, rng: &mut Rng) -> To {
    // Where all are new nothing is drawn.
    let known = if habits.new < 1.0 && !rng.chance(habits.new) {
        victim.contact(rng)
    } else {
        None
    };
    let new = known.is_none();
    To {
        address: known.unwrap_or_else(|| victim.fresh()),
        new,
        bounces: new && rng.chance(bounces),
    }
}

/// What stands between the messages of a mixture: after each of them an ordinary one.
pub(super) fn between(
    bad: &Mails,
    victim: &mut WorldSender,
    around: &Surroundings,
    rng: &mut Rng,
    out: &mut Mails,
) {
    for (one, next) in bad.mails.iter().zip(bad.mails.iter().skip(1)) {
        victim.ordinary(i64::midpoint(one.time, next.time), 0, around, rng, out);
    }
}

/// The harmless mail by which a patient attacker prepares: 30 a day to people the owner never wrote
/// to.
pub(in crate::lab) fn preparation(
    start: i64,
    days: i64,
    victim: &mut WorldSender,
    around: &Surroundings,
    rng: &mut Rng,
    out: &mut Mails,
) {
    let (world, content) = (&around.world, &around.content);
    for i in 0..days * 30 {
        let time = start + (i * DAY) / 30 + rng.below(1_000_000) as i64;
        let first = out.to.len();
        let address = victim.fresh();
        out.to.push(To {
            address,
            new: true,
            bounces: rng.chance(world.shares.person_bounces),
        });
        let text = mix(victim.number, time.unsigned_abs());
        let voice = content.harmless(victim.voice);
        let (llr, text) = around.say(voice, text, rng);
        out.push(time, 0, 0, first, llr, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::world::content::WorldContent;
    use crate::lab::world::drawn::DrawnWorld;
    use crate::lab::world::people::WorldClass;

    fn around(world: DrawnWorld) -> Surroundings {
        let content = WorldContent::Drawn(world.law);
        Surroundings { world, content }
    }

    #[test]
    fn every_second_message_of_a_mixture_is_ordinary() {
        let around = around(DrawnWorld::standard());
        let rng = &mut Rng::new(1, 1);
        let owner = WorldSender::new(WorldClass::Person, 1, 0, &around, rng);
        let (mut bad, mut good) = (Mails::default(), Mails::default());
        let mut victims = [owner];
        mails(
            AttackKind::Mixture,
            DAY,
            &mut victims,
            &around,
            rng,
            &mut bad,
        );
        between(&bad, &mut victims[0], &around, rng, &mut good);
        assert_eq!((bad.mails.len(), good.mails.len()), (900, 899));
        for ((one, ordinary), next) in bad.mails.iter().zip(&good.mails).zip(&bad.mails[1..]) {
            assert!(one.time <= ordinary.time && ordinary.time <= next.time);
        }
        let flagged = |mails: &Mails| {
            mails.mails.iter().filter(|m| m.llr > 1.0).count() as f64 / mails.mails.len() as f64
        };
        assert!(flagged(&bad) > 0.3 && flagged(&good) < 0.1);
        let new = good.to.iter().filter(|t| t.new).count();
        assert!(new * 2 < good.to.len(), "{new} of {}", good.to.len());
    }

    #[test]
    fn a_few_accounts_send_what_each_of_many_would() {
        let mut world = DrawnWorld::standard();
        let all = schedule(AttackKind::Snowshoe, 50, &world.attacks);
        assert_eq!(all, (2000, (DAY / 1000) as f64));
        world.attacks.pace = 2.0;
        let few = schedule(AttackKind::Snowshoe, 5, &world.attacks);
        assert_eq!(few, (200, (DAY / 200) as f64));
    }

    #[test]
    fn some_recipients_of_an_attack_are_known() {
        let mut world = DrawnWorld::standard();
        world.attacks.new = 0.5;
        let around = around(world);
        let rng = &mut Rng::new(2, 2);
        let mut victims = [WorldSender::new(WorldClass::Person, 1, 0, &around, rng)];
        let mut out = Mails::default();
        mails(AttackKind::Blast, DAY, &mut victims, &around, rng, &mut out);
        let new = out.to.iter().filter(|t| t.new).count() as f64 / out.to.len() as f64;
        assert!((0.4..0.6).contains(&new), "{new}");
        assert!(out.to.iter().all(|t| t.new || !t.bounces));
    }
}
