//! A made-up world in which every message's truth is known: tenants of a few to thousands of senders, their
//! ordinary mail, and ten kinds of attack. It is fed to the relay's own detector, without JSON
//! between, and to simple detectors beside it.

pub(crate) mod attack;
mod campaigns;
pub(crate) mod cold;
pub(crate) mod content;
pub(crate) mod drawn;
pub(crate) mod events;
pub(crate) mod goals;
pub(crate) mod law;
mod left_out;
pub(crate) mod mailbag;
pub(crate) mod people;
mod ranges;
mod real;
pub(crate) mod references;
pub(crate) mod report;
pub(crate) mod rng;
pub(crate) mod shelf;
mod tenant;
pub(crate) mod worlds;

use crate::config::Settings;
use crate::types::hash::mix;
use attack::AttackKind;
use content::WorldContent;
use drawn::{DrawnWorld, Surroundings, WorldKind};
use events::Events;
use report::SimulationReport;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use tenant::WorldTenant;
use worlds::WorldReports;

/// First day of every tenant's life: 2026-06-01, a Monday.
const FIRST_DAY: i64 = 20_605;
/// Days a sender counts as cold.
pub(in crate::lab) const COLD_DAYS: i64 = 5;
/// What `outgate simulate` is asked to simulate.
#[derive(Debug, Clone)]
pub(crate) struct SimulationPlan {
    /// Seeds; each is a world of its own.
    pub seeds: Vec<u64>,
    /// Which worlds.
    pub world: WorldKind,
    /// Days of each tenant before the attacks; without it as many as the world says.
    pub days: Option<i64>,
    /// Sender-days of each seed at least; there is one tenant at least.
    pub sender_days: u64,
    /// Campaigns per attack and seed.
    pub campaigns: u64,
    /// Content of mail; tenants take turns. Without any it is drawn as the world says.
    pub contents: Vec<WorldContent>,
    /// The simple detectors run too.
    pub references: bool,
    /// Every false block and hold is told with its proof.
    pub cases: bool,
    /// Which attacks are run, in this order.
    pub attacks: Vec<AttackKind>,
    /// Small tenants in their first days, and attacks among their first messages.
    pub cold: bool,
    /// The attacks use accounts that never sent before.
    pub newcomers: bool,
}

impl SimulationPlan {
    /// The numbers of a seed's world, as far as the plan leaves them.
    fn numbers(&self, seed: u64) -> DrawnWorld {
        let mut world = self.world.of(seed);
        if let Some(days) = self.days {
            world.days = days;
        }
        if self.cold {
            world.days = cold::DAYS;
        }
        world
    }

    /// The world around a tenant.
    fn around(&self, seed: u64, number: u64) -> Surroundings {
        let world = self.numbers(seed);
        let turn = seed
            .wrapping_add(number)
            .checked_rem(self.contents.len() as u64);
        let given = turn.and_then(|turn| self.contents.get(turn as usize));
        let content = given
            .cloned()
            .unwrap_or_else(|| WorldContent::Drawn(world.law));
        Surroundings { world, content }
    }

    /// How many tenants a seed has.
    fn tenants(&self, seed: u64) -> u64 {
        let each = if self.cold {
            cold::SENDER_DAYS
        } else {
            self.numbers(seed).sender_days()
        };
        self.sender_days.div_ceil(each).max(1)
    }
}

/// Runs the plan; the ordinary mail also goes to `events`, and behind it one campaign of each
/// attack. Tenants are worlds of their own, so they are shared out to as many threads as there are
/// cores, unless their events are to be written in order.
pub(crate) fn run(
    settings: &Arc<Settings>,
    plan: &SimulationPlan,
    mut events: Option<&mut Events<'_>>,
) -> WorldReports {
    let tenants: Vec<TenantTurn> = plan
        .seeds
        .iter()
        .flat_map(|seed| {
            let of = plan.tenants(*seed);
            (0..of).map(move |number| TenantTurn {
                seed: *seed,
                number,
                of,
            })
        })
        .collect();
    let mut reports = WorldReports::default();
    if events.is_some() {
        for tenant in tenants {
            reports.join(tenant.seed, run_tenant(settings, plan, tenant, &mut events));
        }
        return reports;
    }
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(tenants.len());
    let next = AtomicUsize::new(0);
    let (done, parts) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (done, next, tenants) = (done.clone(), &next, &tenants);
            scope.spawn(move || {
                while let Some((place, tenant)) = turn(next, tenants) {
                    let part = run_tenant(settings, plan, tenant, &mut None);
                    // Nobody listens only once the run has failed elsewhere.
                    let _gone = done.send((place, (tenant.seed, part)));
                }
            });
        }
        drop(done);
        // Joined in order, so that the result does not depend on who was first.
        let mut early = BTreeMap::new();
        let mut wanted = 0;
        for (place, part) in parts {
            early.insert(place, part);
            while let Some((seed, part)) = early.remove(&wanted) {
                reports.join(seed, part);
                wanted += 1;
            }
        }
    });
    reports
}

/// One of the tenants of a seed.
#[derive(Debug, Clone, Copy)]
struct TenantTurn {
    seed: u64,
    number: u64,
    /// How many tenants the seed has.
    of: u64,
}

/// The next tenant nobody has taken yet, with its place.
fn turn(next: &AtomicUsize, tenants: &[TenantTurn]) -> Option<(usize, TenantTurn)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    tenants.get(place).map(|tenant| (place, *tenant))
}

/// The life of one tenant, and the attacks on it.
fn run_tenant(
    settings: &Arc<Settings>,
    plan: &SimulationPlan,
    TenantTurn { seed, number, of }: TenantTurn,
    events: &mut Option<&mut Events<'_>>,
) -> SimulationReport {
    let mut report = SimulationReport::default();
    let around = plan.around(seed, number);
    let days = around.world.days;
    let history = around.world.attacks.history.filter(|_| !plan.cold);
    let mut tenant = WorldTenant::new(settings, seed, number, plan, around);
    for day in 0..days {
        if history.is_some_and(|history| history > 0 && history < days && day == days - history) {
            tenant.future_victims(FIRST_DAY + day);
        }
        tenant.day(FIRST_DAY + day, &mut report, events);
    }
    let (records, all) = tenant.engine.detector().memory();
    report.tracked += tenant.engine.detector().tracked() as u64;
    report.octets.0 += records as u64;
    report.octets.1 += all as u64;
    let share = plan.campaigns / of + u64::from(number < plan.campaigns % of);
    for (place, kind) in (1..).zip(&plan.attacks) {
        for n in 0..share {
            report.campaigns.push(if plan.cold {
                // Each against a tenant of its own.
                cold::campaign(settings, plan, seed, mix(number, place << 32 | n), *kind)
            } else {
                tenant.campaign(*kind, FIRST_DAY + days)
            });
        }
    }
    if events.is_some() && !plan.attacks.is_empty() {
        tenant.written_campaigns(&mut report, events);
    }
    report
}

#[cfg(test)]
mod tests;
