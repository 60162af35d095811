//! A made-up world in which every message's truth is known: tenants of a thousand senders, their
//! ordinary mail, and nine kinds of attack. It is fed to the relay's own detector, without JSON
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
mod tenant;

use crate::config::Settings;
use crate::types::hash::mix;
use attack::AttackKind;
use content::WorldContent;
use events::Events;
use report::SimulationReport;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use tenant::WorldTenant;

/// First day of every tenant's life: 2026-06-01, a Monday.
const FIRST_DAY: i64 = 20_605;
/// Days a sender counts as cold.
pub(in crate::lab) const COLD_DAYS: i64 = 5;
/// What `outgate simulate` is asked to simulate.
#[derive(Debug, Clone)]
pub(crate) struct SimulationPlan {
    /// Seeds; each is a world of its own.
    pub seeds: Vec<u64>,
    /// Days of each tenant before the attacks.
    pub days: i64,
    /// Tenants of a thousand senders per seed.
    pub tenants: u64,
    /// Campaigns per attack and seed.
    pub campaigns: u64,
    /// Content of mail; tenants take turns. Without any there is no mail.
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

/// Runs the plan; the ordinary mail also goes to `events`, and behind it one campaign of each
/// attack. Tenants are worlds of their own, so they are shared out to as many threads as there are
/// cores, unless their events are to be written in order.
pub(crate) fn run(
    settings: &Arc<Settings>,
    plan: &SimulationPlan,
    mut events: Option<&mut Events<'_>>,
) -> SimulationReport {
    let tenants: Vec<(u64, u64)> = plan
        .seeds
        .iter()
        .flat_map(|seed| (0..plan.tenants).map(|n| (*seed, n)))
        .collect();
    let mut report = SimulationReport::default();
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
    plan: &SimulationPlan,
    seed: u64,
    number: u64,
    events: &mut Option<&mut Events<'_>>,
) -> SimulationReport {
    let mut report = SimulationReport::default();
    let turn = seed
        .wrapping_add(number)
        .checked_rem(plan.contents.len() as u64)
        .unwrap_or_default();
    let Some(content) = plan.contents.get(turn as usize) else {
        return report;
    };
    let mut tenant = WorldTenant::new(settings, seed, number, plan, content);
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

#[cfg(test)]
mod tests;
