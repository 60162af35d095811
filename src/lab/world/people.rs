//! The senders of a tenant and their ordinary mail, as the page of the simulated world describes
//! them.

use super::content::Voice;
use super::drawn::{ClassVolume, DrawnWorld, Surroundings};
use super::rng::Rng;
use crate::types::hash::mix;

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;
const HOUR: f64 = 3_600_000.0;

/// How good the classifier is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quality {
    /// Share of spam that is flagged.
    pub tpr: f64,
    /// Share of ordinary mail that is flagged.
    pub fpr: f64,
}

impl Quality {
    /// The LLR of a message, flagged or not: that of the flag, with noise that does not change its
    /// side.
    pub(crate) fn llr(&self, flagged: bool, rng: &mut Rng) -> f64 {
        let noise = rng.normal();
        if flagged {
            ((self.tpr / self.fpr).ln() + noise).max(2.3)
        } else {
            (((1.0 - self.tpr) / (1.0 - self.fpr)).ln() + noise).min(0.5)
        }
    }
}

/// What a sender is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorldClass {
    /// Somebody who writes to people they mostly know.
    Person,
    /// A program with one template.
    Application,
    /// A newsletter: bursts of one text to its subscribers.
    Newsletter,
    /// Mail forwarded from outside, from many addresses, spam among it.
    Forwarder,
    /// Posts of a mailing list.
    List,
    /// Delivery reports, without a sender.
    Bounces,
}

/// One message of a day, its recipients apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlannedMail {
    /// Milliseconds since the epoch.
    pub time: i64,
    /// Place of the sender within its tenant.
    pub who: u32,
    /// For forwarded mail: number of the outside sender; else 0.
    pub outside: u64,
    /// Where its recipients begin in the list of the day.
    pub first: u32,
    /// How many recipients it has.
    pub count: u32,
    /// LLR of the content.
    pub llr: f64,
    /// Fingerprint of the text.
    pub template: u64,
}

/// One recipient of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct To {
    /// Number of the address.
    pub address: u64,
    /// Never written to before by this sender, in truth.
    pub new: bool,
    /// The address does not exist: mail to it bounces.
    pub bounces: bool,
}

/// The mail of some time.
#[derive(Debug, Default)]
pub(crate) struct Mails {
    /// The messages of one day, by time once they are sorted.
    pub mails: Vec<PlannedMail>,
    /// The recipients of all messages, in runs.
    pub to: Vec<To>,
}

impl Mails {
    /// Recipients of a message.
    pub(crate) fn recipients(&self, mail: &PlannedMail) -> &[To] {
        self.to
            .get(mail.first as usize..(mail.first + mail.count) as usize)
            .unwrap_or_default()
    }

    /// Adds a message whose recipients were pushed from `first` on.
    pub(crate) fn push(
        &mut self,
        time: i64,
        who: u32,
        outside: u64,
        first: usize,
        llr: f64,
        template: u64,
    ) {
        let count = self.to.len() - first;
        self.mails.push(PlannedMail {
            time,
            who,
            outside,
            first: first as u32,
            count: count as u32,
            llr,
            template,
        });
    }

    /// Empties it and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.mails.clear();
        self.to.clear();
    }
}

/// A sender of the world.
#[derive(Debug, Clone)]
pub(crate) struct WorldSender {
    /// The class it belongs to, which decides how it sends.
    pub class: WorldClass,
    /// Unique number: names its address.
    pub number: u64,
    /// Its first day, in days since the epoch.
    pub born: i64,
    /// Where the scores of its mail come from.
    pub voice: Voice,
    new_share: f64,
    volume: f64,
    contacts: Vec<u64>,
    fresh: u64,
}

/// Fingerprint of the footer that all persons of a company have.
const FOOTER: u64 = 0x5c3a_96f0_1b7d_e824;

/// The fingerprint of a text that differs a little from one with `template`, by `variation`: in so
/// many bits at most, of which there are ten.
pub(crate) fn near(template: u64, variation: u64, bits: u32) -> u64 {
    (0..bits.min(10)).fold(template, |text, bit| {
        text ^ (1 << ((variation >> (6 * bit)) & 63))
    })
}

impl WorldSender {
    /// A sender without history.
    pub(crate) fn new(
        class: WorldClass,
        number: u64,
        born: i64,
        around: &Surroundings,
        rng: &mut Rng,
    ) -> Self {
        let (world, content) = (&around.world, &around.content);
        let shares = &world.shares;
        let [person, application, mailing] = world.volumes;
        let of = |v: ClassVolume, rng: &mut Rng| rng.lognormal(v.median, v.sigma);
        let (voice, new_share, volume, contacts) = match class {
            WorldClass::Person => {
                let new = shares
                    .person_new_more
                    .mul_add(rng.beta(0.264, 3.8), shares.person_new);
                let voice = content.voice(class, rng);
                (voice, new, of(person, rng), world.contacts)
            }
            WorldClass::Application => {
                let voice = content.voice(class, rng);
                (voice, shares.application_new, of(application, rng), 20)
            }
            WorldClass::Newsletter => {
                let voice = content.voice(class, rng);
                let volume = of(mailing, rng).clamp(10.0, 20_000.0);
                (voice, shares.mailing_new, volume, 0)
            }
            WorldClass::Forwarder => (content.voice(class, rng), 0.0, world.beside, 30),
            WorldClass::List => (content.voice(class, rng), 0.01, world.beside, 200),
            WorldClass::Bounces => (content.voice(class, rng), 1.0, world.beside, 0),
        };
        let contacts = (0..contacts).map(|i| number << 24 | i).collect::<Vec<_>>();
        Self {
            class,
            number,
            born,
            voice,
            new_share,
            volume,
            fresh: number << 24 | contacts.len() as u64,
            contacts,
        }
    }

    /// An address never used before.
    pub(crate) const fn fresh(&mut self) -> u64 {
        self.fresh += 1;
        self.fresh
    }

    /// Somebody it has written to; the first contacts are written to most.
    pub(crate) fn contact(&self, rng: &mut Rng) -> Option<u64> {
        let n = self.contacts.len() as f64;
        self.contacts
            .get((n * rng.unit().powi(2)) as usize)
            .copied()
    }

    fn recipient(&mut self, rng: &mut Rng, bounces: f64) -> To {
        let known = if rng.chance(self.new_share) {
            None
        } else {
            self.contact(rng)
        };
        let new = known.is_none();
        let address = known.unwrap_or_else(|| self.fresh());
        if new && self.contacts.len() < 2000 && rng.chance(0.3) {
            self.contacts.push(address);
        }
        To {
            address,
            new,
            bounces: rng.chance(bounces),
        }
    }

    /// Fingerprint of what it writes at this time. Drawn from nothing but number and time: the mail
    /// is the same with it.
    fn text(&self, time: i64, world: &DrawnWorld) -> u64 {
        let own = mix(self.number, 0x7465_7874);
        let variation = mix(own, time.unsigned_abs());
        match self.class {
            WorldClass::Person if variation.is_multiple_of(world.footers.max(1)) => {
                near(FOOTER, variation / world.footers.max(1), world.copy_bits)
            }
            WorldClass::Application => near(own, variation, world.copy_bits),
            WorldClass::Newsletter => {
                let mailing = mix(own, (time / DAY).unsigned_abs());
                near(mailing, variation, world.copy_bits)
            }
            _ => variation,
        }
    }

    /// The mail of one day, not sorted by time.
    pub(crate) fn day(
        &mut self,
        day: i64,
        who: u32,
        around: &Surroundings,
        rng: &mut Rng,
        out: &mut Mails,
    ) {
        let start = day * DAY;
        let world = &around.world;
        let [person, application, _] = world.volumes;
        match self.class {
            WorldClass::Person => {
                let mean =
                    self.volume * rng.lognormal(1.0, person.day_sigma) * world.day_share(day);
                self.letters(start, whole(mean, rng), who, around, rng, out);
            }
            WorldClass::Application => {
                let rest = if world.applications_rest {
                    world.day_share(day)
                } else {
                    1.0
                };
                let mean = self.volume * rng.lognormal(1.0, application.day_sigma) * rest;
                for _ in 0..whole(mean, rng) {
                    let time = start + rng.below(DAY as u64) as i64;
                    let bounces = world.shares.application_bounces;
                    self.message(time, who, 1, bounces, around, rng, out);
                }
            }
            WorldClass::Newsletter if (day + self.number as i64) % world.burst_days == 0 => {
                self.burst(start, who, around, rng, out)
            }
            WorldClass::Newsletter => {}
            WorldClass::Forwarder | WorldClass::List | WorldClass::Bounces => {
                self.beside(start, who, around, rng, out)
            }
        }
    }

    /// A person's letters of one day, and now and then one to many.
    fn letters(
        &mut self,
        start: i64,
        letters: u64,
        who: u32,
        around: &Surroundings,
        rng: &mut Rng,
        out: &mut Mails,
    ) {
        let (hour, spread) = around.world.hours;
        let bounces = around.world.shares.person_bounces;
        for _ in 0..letters {
            let time =
                start + (HOUR * spread.mul_add(rng.normal(), hour)).clamp(0.0, 86_399_000.0) as i64;
            let count = match rng.unit() {
                u if u < 0.85 => 1,
                u if u < 0.92 => 2,
                _ => 3 + (34.0 * rng.unit().powi(8)) as u64,
            };
            self.message(time, who, count, bounces, around, rng, out);
        }
        if rng.chance(around.world.shares.one_to_many) {
            let time = start + (HOUR * rng.between(8.0, 18.0)) as i64;
            let count = 20 + rng.below(131);
            self.message(time, who, count, bounces, around, rng, out);
        }
    }

    /// An ordinary message at this time.
    pub(super) fn ordinary(
        &mut self,
        time: i64,
        who: u32,
        around: &Surroundings,
        rng: &mut Rng,
        out: &mut Mails,
    ) {
        let bounces = around.world.shares.person_bounces;
        self.message(time, who, 1, bounces, around, rng, out);
    }

    #[expect(clippy::too_many_arguments, reason = "all of it is the message")]
    fn message(
        &mut self,
        time: i64,
        who: u32,
        count: u64,
        bounces: f64,
        around: &Surroundings,
        rng: &mut Rng,
        out: &mut Mails,
    ) {
        let first = out.to.len();
        for _ in 0..count {
            let to = self.recipient(rng, bounces);
            if out
                .to
                .get(first..)
                .unwrap_or_default()
                .iter()
                .all(|t| t.address != to.address)
            {
                out.to.push(to);
            }
        }
        let (llr, text) = around.say(self.voice, self.text(time, &around.world), rng);
        out.push(time, who, 0, first, llr, text);
    }

    /// One mailing: one template, one recipient each, within minutes to an hour.
    fn burst(
        &mut self,
        start: i64,
        who: u32,
        around: &Surroundings,
        rng: &mut Rng,
        out: &mut Mails,
    ) {
        let shares = &around.world.shares;
        let import = !self.contacts.is_empty() && rng.chance(shares.imports);
        let voice = around.content.mailing(self.voice, rng);
        let begins = start + (HOUR * rng.between(7.0, 18.0)) as i64;
        let takes = rng.between(300_000.0, HOUR);
        let size = self.volume as usize;
        for i in 0..size {
            let known = self
                .contacts
                .get(i)
                .copied()
                .filter(|_| !import && !rng.chance(self.new_share));
            let to = To {
                address: known.unwrap_or_else(|| self.fresh()),
                new: known.is_none(),
                bounces: rng.chance(if import {
                    shares.import_bounces
                } else {
                    shares.mailing_bounces
                }),
            };
            if known.is_none() && !import {
                match self.contacts.get_mut(i) {
                    Some(place) => *place = to.address,
                    None => self.contacts.push(to.address),
                }
            }
            let first = out.to.len();
            out.to.push(to);
            let time = begins + (takes * i as f64 / size as f64) as i64;
            let (llr, text) = around.say(voice, self.text(time, &around.world), rng);
            out.push(time, who, 0, first, llr, text);
        }
    }

    fn beside(
        &mut self,
        start: i64,
        who: u32,
        around: &Surroundings,
        rng: &mut Rng,
        out: &mut Mails,
    ) {
        for _ in 0..self.volume as u64 {
            let time = start + rng.below(DAY as u64) as i64;
            if self.class != WorldClass::Forwarder {
                self.message(
                    time,
                    who,
                    1,
                    if self.class == WorldClass::Bounces {
                        0.0
                    } else {
                        0.01
                    },
                    around,
                    rng,
                    out,
                );
                continue;
            }
            let first = out.to.len();
            let to = self.recipient(rng, 0.01);
            out.to.push(to);
            // A tenth is spam, from addresses seen once; the rest comes from a few hundred
            // correspondents.
            let spam = rng.chance(0.1);
            let outside = if spam {
                self.fresh()
            } else {
                1 + (400.0 * rng.unit().powi(2)) as u64
            };
            let voice = if spam {
                around.content.spam(rng)
            } else {
                self.voice
            };
            let (llr, text) = around.say(voice, self.text(time, &around.world), rng);
            out.push(time, who, outside, first, llr, text);
        }
    }
}

/// A whole number of that mean.
pub(super) fn whole(mean: f64, rng: &mut Rng) -> u64 {
    mean as u64 + u64::from(rng.chance(mean.fract()))
}
