//! The attacks of the simulated world: what a taken-over account sends, apart from its owner's own
//! mail.

use super::content::WorldContent;
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
}

impl AttackKind {
    /// All kinds, in the order of the tables.
    pub(crate) const ALL: [Self; 9] = [
        Self::Blast,
        Self::Bulk,
        Self::Medium,
        Self::Slow,
        Self::Snowshoe,
        Self::Scattered,
        Self::Lateral,
        Self::Patient,
        Self::Padded,
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
    pub(in crate::lab) const fn preparation_days(self) -> i64 {
        if matches!(self, Self::Patient) { 14 } else { 0 }
    }

    /// Messages after which it counts as never stopped, milliseconds between two of them.
    const fn pace(self) -> (u64, i64) {
        match self {
            Self::Blast | Self::Patient | Self::Padded => (600, 2_000),
            Self::Bulk => (5, 720_000),
            Self::Medium => (600, 12_000),
            Self::Slow => (900, DAY / 300),
            Self::Snowshoe | Self::Scattered => (2_000, DAY / 1000),
            Self::Lateral => (50, 72_000),
        }
    }
}

/// Messages that an attacker sends, in order of time, in `out`; their senders are places in
/// `victims`.
pub(crate) fn mails(
    kind: AttackKind,
    start: i64,
    victims: &mut [WorldSender],
    content: &WorldContent,
    rng: &mut Rng,
    out: &mut Mails,
) {
    let (messages, gap) = kind.pace();
    let voice = content.campaign(kind == AttackKind::Padded, rng);
    let bounces = rng.between(0.05, 0.3);
    let spread = [1, 5, 20].get(rng.below(3) as usize).copied().unwrap_or(1);
    // One text with small changes.
    let template = mix(start.unsigned_abs(), 0x7370_616d);
    let mut time = start;
    for _ in 0..messages {
        // Evenly but for a little jitter; accounts of a snowshoe take turns in no order.
        time += (gap as f64 * rng.between(0.5, 1.5)) as i64;
        let who = if kind.accounts() > 1 {
            rng.below(victims.len() as u64) as usize
        } else {
            0
        };
        let Some(victim) = victims.get_mut(who) else {
            return;
        };
        let first = out.to.len();
        match kind {
            AttackKind::Lateral => {
                let mut to = victim.contact(rng);
                // Each contact once, as far as there are enough.
                for _ in 0..20 {
                    if !out.to.iter().any(|t| Some(t.address) == to) {
                        break;
                    }
                    to = victim.contact(rng);
                }
                out.to.extend(to.map(|address| To {
                    address,
                    new: false,
                    bounces: false,
                }));
            }
            _ => {
                let count = if kind == AttackKind::Bulk {
                    100 + rng.below(901)
                } else {
                    spread
                };
                for _ in 0..count {
                    let address = victim.fresh();
                    out.to.push(To {
                        address,
                        new: true,
                        bounces: rng.chance(bounces),
                    });
                }
            }
        }
        let text = near(template, mix(template, time.unsigned_abs()));
        out.push(time, who as u32, 0, first, content.llr(voice, rng), text);
    }
}

/// The harmless mail by which a patient attacker prepares: 30 a day to people the owner never wrote
/// to.
pub(in crate::lab) fn preparation(
    start: i64,
    days: i64,
    victim: &mut WorldSender,
    content: &WorldContent,
    rng: &mut Rng,
    out: &mut Mails,
) {
    for i in 0..days * 30 {
        let time = start + (i * DAY) / 30 + rng.below(1_000_000) as i64;
        let first = out.to.len();
        let address = victim.fresh();
        out.to.push(To {
            address,
            new: true,
            bounces: rng.chance(0.01),
        });
        let text = mix(victim.number, time.unsigned_abs());
        out.push(
            time,
            0,
            0,
            first,
            content.llr(content.harmless(victim.voice), rng),
            text,
        );
    }
}
