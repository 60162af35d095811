//! What the world is like: every number that the made-up mail depends on. The standard world is the
//! fixed one; all others are drawn from their seed, each number from a range of its own, so that
//! nothing can be fitted to one of them.

use super::content::{Voice, WorldContent};
use super::law::ScoreLaw;
use super::people::WorldClass;
use super::ranges::{self, Range};
use super::rng::Rng;

/// The stream of random numbers that worlds are drawn from.
const PART: u64 = 0x776f_726c_6400;

/// How much a class sends: lognormal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ClassVolume {
    /// Messages a day, or recipients of a mailing.
    pub median: f64,
    /// Sigma between two senders.
    pub sigma: f64,
    /// Sigma between two days of one sender.
    pub day_sigma: f64,
}

/// What happens in which share of the cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct WorldShares {
    /// Least share of new recipients of a person.
    pub person_new: f64,
    /// By how much it may be larger.
    pub person_new_more: f64,
    /// Share of new recipients of an application.
    pub application_new: f64,
    /// Share of new recipients of a mailing.
    pub mailing_new: f64,
    /// Share of a person's mail that bounces.
    pub person_bounces: f64,
    /// Share of an application's mail that bounces.
    pub application_bounces: f64,
    /// Share of a mailing that bounces.
    pub mailing_bounces: f64,
    /// Share of a person's days with a message to 20-150.
    pub one_to_many: f64,
    /// Share of mailings that go to an imported list.
    pub imports: f64,
    /// Share of an imported list that bounces.
    pub import_bounces: f64,
}

/// How attacks are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AttackHabits {
    /// Days of history of the accounts; none: more than ten.
    pub history: Option<i64>,
    /// Share of recipients that the account never wrote to.
    pub new: f64,
    /// Least and most share of the new recipients that bounce.
    pub bounces: Range,
    /// By how much they are faster than the table of attacks says.
    pub pace: f64,
    /// Share of its mail that the owner of the account goes on to write.
    pub owner: f64,
    /// Days over which a patient attacker prepares.
    pub patience: i64,
}

/// All numbers of one world.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DrawnWorld {
    /// Persons, applications and newsletters of a tenant.
    pub senders: [usize; 3],
    /// Days of a tenant before the attacks.
    pub days: i64,
    /// Clients that its senders share.
    pub clients: u8,
    /// Senders that are replaced by new ones, a day.
    pub arrivals: f64,
    /// How much persons, applications and newsletters send.
    pub volumes: [ClassVolume; 3],
    /// Messages a day of the forwarder, the list and the delivery reports.
    pub beside: f64,
    /// What persons write on each day of the week, Monday first.
    pub week: [f64; 7],
    /// Applications have the same week.
    pub applications_rest: bool,
    /// Days between two mailings.
    pub burst_days: i64,
    /// Hour of the day around which persons write, and its standard deviation.
    pub hours: Range,
    /// Contacts of a person from the start.
    pub contacts: u64,
    /// Shares of new recipients, bounces and rare events.
    pub shares: WorldShares,
    /// One of so many messages of a person is little more than a footer.
    pub footers: u64,
    /// Bits in which the fingerprints of a text and its copies differ at most.
    pub copy_bits: u32,
    /// Nats by which the scores of copies of a real text differ.
    pub copy_nats: f64,
    /// How mail is scored, unless real mail is sent.
    pub law: ScoreLaw,
    /// How attacks are made.
    pub attacks: AttackHabits,
}

/// What surrounds a sender: the world, and where the scores of its mail come from.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// The numbers of the world.
    pub world: DrawnWorld,
    /// Where scores come from.
    pub content: WorldContent,
}

impl Surroundings {
    /// Score and fingerprint of a message in that voice; `drawn` is the fingerprint of made-up text.
    pub(super) fn say(&self, voice: Voice, drawn: u64, rng: &mut Rng) -> (f64, u64) {
        let world = &self.world;
        let copies = (world.copy_nats, world.copy_bits);
        self.content.say(voice, drawn, copies, rng)
    }
}

/// Which worlds are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorldKind {
    /// The fixed one for every seed.
    Standard,
    /// One for each seed.
    Drawn,
}

impl WorldKind {
    /// The world of a seed.
    pub(crate) fn of(self, seed: u64) -> DrawnWorld {
        match self {
            Self::Standard => DrawnWorld::standard(),
            Self::Drawn => DrawnWorld::drawn(seed),
        }
    }
}

/// A number whose logarithm is uniform within the range.
pub(super) fn log_uniform((low, high): Range, rng: &mut Rng) -> f64 {
    rng.between(low.ln(), high.ln()).exp().clamp(low, high)
}

fn uniform((low, high): Range, rng: &mut Rng) -> f64 {
    rng.between(low, high)
}

impl DrawnWorld {
    /// The fixed world.
    pub(crate) const fn standard() -> Self {
        const fn volume(median: f64, sigma: f64, day_sigma: f64) -> ClassVolume {
            ClassVolume {
                median,
                sigma,
                day_sigma,
            }
        }
        Self {
            senders: [900, 80, 20],
            days: 30,
            clients: 1,
            arrivals: 0.5,
            volumes: [
                volume(20.0, 0.9, 0.763),
                volume(100.0, 1.0, 0.663),
                volume(500.0, 0.8, 0.0),
            ],
            beside: 900.0,
            week: [1.0, 1.0, 1.0, 1.0, 1.0, 0.05, 0.05],
            applications_rest: false,
            burst_days: 5,
            hours: (13.0, 2.5),
            contacts: 160,
            shares: WorldShares {
                person_new: 0.02,
                person_new_more: 0.25,
                application_new: 0.5,
                mailing_new: 0.03,
                person_bounces: 0.01,
                application_bounces: 0.02,
                mailing_bounces: 0.01,
                one_to_many: 0.01,
                imports: 0.01,
                import_bounces: 0.03,
            },
            footers: 10,
            copy_bits: 3,
            copy_nats: 0.2,
            law: ScoreLaw::standard(),
            attacks: AttackHabits {
                history: None,
                new: 1.0,
                bounces: (0.05, 0.3),
                pace: 1.0,
                owner: 1.0,
                patience: 14,
            },
        }
    }

    /// The world of a seed: nothing but the seed decides.
    pub(crate) fn drawn(seed: u64) -> Self {
        let rng = &mut Rng::new(seed, PART);
        let history = (rng.unit().powi(2) * (ranges::HISTORY.1 + 1.0)) as i64;
        let days = (uniform(ranges::DAYS, rng) as i64).max(history);
        let senders = drawn_senders(rng);
        let count = senders.iter().sum::<usize>() as f64;
        let clients = if rng.chance(0.5) {
            1
        } else {
            (log_uniform(ranges::CLIENTS, rng) as u8).max(2)
        };
        let arrivals = count * log_uniform(ranges::ARRIVALS, rng);
        let medians = [ranges::PERSON, ranges::APPLICATION, ranges::MAILING];
        let volumes = medians.map(|range| ClassVolume {
            median: log_uniform(range, rng),
            sigma: uniform(ranges::SIGMA, rng),
            day_sigma: uniform(ranges::DAY_SIGMA, rng),
        });
        let week = drawn_week(rng);
        let burst_days = log_uniform(ranges::BURST_DAYS, rng) as i64;
        Self {
            senders,
            days,
            clients,
            arrivals,
            volumes,
            beside: beside(senders, &volumes, week, burst_days),
            week,
            applications_rest: rng.chance(0.5),
            burst_days,
            hours: (uniform(ranges::HOUR, rng), uniform(ranges::HOURS, rng)),
            contacts: log_uniform(ranges::CONTACTS, rng) as u64,
            shares: drawn_shares(rng),
            footers: (1.0 / log_uniform(ranges::FOOTERS, rng)).round() as u64,
            copy_bits: uniform((ranges::COPY_BITS.0, ranges::COPY_BITS.1 + 1.0), rng) as u32,
            copy_nats: log_uniform(ranges::COPY_NATS, rng),
            law: ScoreLaw::drawn(rng),
            attacks: drawn_attacks(history, rng),
        }
    }

    /// Senders of a tenant and how many of each class, those beside them last.
    pub(crate) fn classes(&self) -> Vec<(WorldClass, usize)> {
        let [persons, applications, newsletters] = self.senders;
        vec![
            (WorldClass::Person, persons),
            (WorldClass::Application, applications),
            (WorldClass::Newsletter, newsletters),
            (WorldClass::Forwarder, 1),
            (WorldClass::List, 1),
            (WorldClass::Bounces, 1),
        ]
    }

    /// Sender-days of one tenant.
    pub(crate) fn sender_days(&self) -> u64 {
        let senders: usize = self.classes().iter().map(|(_, count)| count).sum();
        (senders as u64 * self.days.unsigned_abs()).max(1)
    }

    /// What persons write on this day, as a share of a working day.
    pub(crate) fn day_share(&self, day: i64) -> f64 {
        // Day 0 of the epoch was a Thursday.
        let weekday = (day + 3).rem_euclid(7) as usize;
        self.week.get(weekday).copied().unwrap_or(1.0)
    }

    /// One line that tells what is special about it.
    pub(crate) fn summary(&self) -> String {
        let [persons, applications, newsletters] = self.senders;
        let [person, application, mailing] = self.volumes.map(|v| v.median);
        let history = self
            .attacks
            .history
            .map_or("10+".to_owned(), |days| days.to_string());
        format!(
            "{persons} + {applications} + {newsletters} senders, {} clients, {person:.0} / {application:.0} / {mailing:.0} messages, \
             history {history} of {} days, {}",
            self.clients,
            self.days,
            self.law.summary()
        )
    }
}

/// Persons, applications and newsletters: each class has one at least.
fn drawn_senders(rng: &mut Rng) -> [usize; 3] {
    let all = log_uniform(ranges::SENDERS, rng).floor();
    let of = |share: f64| ((all * share) as usize).max(1);
    let applications = of(log_uniform(ranges::APPLICATIONS, rng));
    let newsletters = of(log_uniform(ranges::NEWSLETTERS, rng));
    let persons = (all as usize).saturating_sub(applications + newsletters);
    [persons.max(1), applications, newsletters]
}

/// A third of the worlds has no week, one has weekends, one an ebb and flow over the seven days.
fn drawn_week(rng: &mut Rng) -> [f64; 7] {
    let weak = uniform(ranges::WEAK_DAY, rng);
    let kind = rng.below(3);
    let strongest = rng.below(7) as usize;
    std::array::from_fn(|day| match kind {
        0 => 1.0,
        1 if day < 5 => 1.0,
        1 => weak,
        _ => {
            let turn = std::f64::consts::TAU * (day + 7 - strongest) as f64 / 7.0;
            weak + (1.0 - weak) * 0.5 * (1.0 + turn.cos())
        }
    })
}

/// Messages a day of each of those beside the senders: 2 % of the client's mail.
fn beside(senders: [usize; 3], volumes: &[ClassVolume; 3], week: [f64; 7], burst_days: i64) -> f64 {
    let week = week.iter().sum::<f64>() / 7.0;
    let per_day = [week, 1.0, 1.0 / burst_days.max(1) as f64];
    let mail = senders.iter().zip(volumes).zip(per_day);
    let all = mail.map(|((count, v), share)| {
        let variance = v.sigma.powi(2) + v.day_sigma.powi(2);
        *count as f64 * v.median * (variance / 2.0).exp() * share
    });
    (0.02 * all.sum::<f64>()).max(1.0)
}

fn drawn_shares(rng: &mut Rng) -> WorldShares {
    WorldShares {
        person_new: uniform(ranges::PERSON_NEW, rng),
        person_new_more: uniform(ranges::PERSON_NEW_MORE, rng),
        application_new: uniform(ranges::APPLICATION_NEW, rng),
        mailing_new: uniform(ranges::MAILING_NEW, rng),
        person_bounces: log_uniform(ranges::BOUNCES, rng),
        application_bounces: log_uniform(ranges::APPLICATION_BOUNCES, rng),
        mailing_bounces: log_uniform(ranges::BOUNCES, rng),
        one_to_many: log_uniform(ranges::ONE_TO_MANY, rng),
        imports: uniform(ranges::IMPORTS, rng),
        import_bounces: log_uniform(ranges::IMPORT_BOUNCES, rng),
    }
}

fn drawn_attacks(history: i64, rng: &mut Rng) -> AttackHabits {
    let (one, other) = (
        uniform(ranges::ATTACK_BOUNCES, rng),
        uniform(ranges::ATTACK_BOUNCES, rng),
    );
    // In a third of the worlds every recipient is new, in a third the owner writes as ever.
    let new = if rng.chance(1.0 / 3.0) {
        1.0
    } else {
        uniform(ranges::ATTACK_NEW, rng)
    };
    let owner = if rng.chance(1.0 / 3.0) {
        1.0
    } else {
        uniform(ranges::OWNER, rng)
    };
    AttackHabits {
        history: Some(history),
        new,
        bounces: (one.min(other), one.max(other)),
        pace: log_uniform(ranges::PACE, rng),
        owner,
        patience: uniform(ranges::PATIENCE, rng) as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(what: &str, value: f64, (low, high): Range) {
        assert!(low <= value && value <= high, "{what}: {value}");
    }

    #[test]
    fn drawn_numbers_stay_within_their_ranges() {
        for seed in 0..2000 {
            let w = DrawnWorld::drawn(seed);
            let all = w.senders.iter().sum::<usize>() as f64;
            within("senders", all, ranges::SENDERS);
            let [_, applications, newsletters] = w.senders.map(|n| n as f64);
            assert!(applications <= (all * ranges::APPLICATIONS.1).max(1.0));
            assert!(newsletters <= (all * ranges::NEWSLETTERS.1).max(1.0));
            assert!(w.senders.iter().all(|n| *n > 0));
            within("days", w.days as f64, ranges::DAYS);
            within("clients", w.clients.into(), ranges::CLIENTS);
            within("arrivals", w.arrivals / all, ranges::ARRIVALS);
            let medians = [ranges::PERSON, ranges::APPLICATION, ranges::MAILING];
            for (volume, range) in w.volumes.iter().zip(medians) {
                within("volume", volume.median, range);
                within("sigma", volume.sigma, ranges::SIGMA);
                within("day sigma", volume.day_sigma, ranges::DAY_SIGMA);
            }
            within("burst", w.burst_days as f64, ranges::BURST_DAYS);
            assert!(w.week.iter().all(|d| (0.0..=1.0).contains(d)), "{w:?}");
            assert!(w.week.contains(&1.0), "{:?}", w.week);
            within("hour", w.hours.0, ranges::HOUR);
            within("hours", w.hours.1, ranges::HOURS);
            within("contacts", w.contacts as f64, ranges::CONTACTS);
            within("bits", w.copy_bits.into(), ranges::COPY_BITS);
            within("nats", w.copy_nats, ranges::COPY_NATS);
            within("footers", 1.0 / w.footers as f64, (0.019, 0.51));
            shares_are_within(&w.shares);
            let a = w.attacks;
            let history = a.history.expect("drawn");
            within("history", history as f64, ranges::HISTORY);
            assert!(history <= w.days);
            within("new", a.new, ranges::ATTACK_NEW);
            within("least bounces", a.bounces.0, ranges::ATTACK_BOUNCES);
            within("most bounces", a.bounces.1, ranges::ATTACK_BOUNCES);
            assert!(a.bounces.0 <= a.bounces.1);
            within("pace", a.pace, ranges::PACE);
            within("owner", a.owner, ranges::OWNER);
            within("patience", a.patience as f64, ranges::PATIENCE);
        }
    }

    fn shares_are_within(s: &WorldShares) {
        for (value, range) in [
            (s.person_new, ranges::PERSON_NEW),
            (s.person_new_more, ranges::PERSON_NEW_MORE),
            (s.application_new, ranges::APPLICATION_NEW),
            (s.mailing_new, ranges::MAILING_NEW),
            (s.person_bounces, ranges::BOUNCES),
            (s.application_bounces, ranges::APPLICATION_BOUNCES),
            (s.mailing_bounces, ranges::BOUNCES),
            (s.one_to_many, ranges::ONE_TO_MANY),
            (s.imports, ranges::IMPORTS),
            (s.import_bounces, ranges::IMPORT_BOUNCES),
        ] {
            within("share", value, range);
        }
    }

    #[test]
    fn a_seed_is_one_world_and_seeds_reach_all_of_a_range() {
        assert_eq!(DrawnWorld::drawn(7), DrawnWorld::drawn(7));
        assert_ne!(DrawnWorld::drawn(7), DrawnWorld::drawn(8));
        let worlds: Vec<DrawnWorld> = (0..400).map(DrawnWorld::drawn).collect();
        let share = |of: &dyn Fn(&DrawnWorld) -> bool| {
            worlds.iter().filter(|w| of(w)).count() as f64 / worlds.len() as f64
        };
        let history = |w: &DrawnWorld| w.attacks.history.expect("drawn");
        for (what, some) in [
            ("no history", share(&|w| history(w) == 0)),
            ("long history", share(&|w| history(w) > 40)),
            ("small", share(&|w| w.senders.iter().sum::<usize>() < 30)),
            ("large", share(&|w| w.senders.iter().sum::<usize>() > 2000)),
            ("one client", share(&|w| w.clients == 1)),
            ("many clients", share(&|w| w.clients > 5)),
            ("no week", share(&|w| w.week == [1.0; 7])),
            (
                "weekends",
                share(&|w| w.week[..5] == [1.0; 5] && w.week[5] < 1.0),
            ),
            ("all new", share(&|w| w.attacks.new == 1.0)),
        ] {
            assert!((0.05..0.7).contains(&some), "{what}: {some}");
        }
    }
}
