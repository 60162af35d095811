//! The first days of a relay: small tenants without a past, of several compositions, and attacks
//! while they are new.

use super::attack::AttackKind;
use super::people::{DAY, WorldClass};
use super::report::{Campaign, SimulationReport};
use super::rng::Rng;
use super::tenant::WorldTenant;
use super::{FIRST_DAY, SimulationPlan};
use crate::config::Settings;
use std::sync::Arc;

/// Days of such a tenant.
pub(crate) const DAYS: i64 = 5;
/// Sender-days of one such tenant, about.
pub(crate) const SENDER_DAYS: u64 = 150;
/// Messages of a tenant before an attack begins, at least and at most.
const BEFORE: (u64, u64) = (50, 450);

/// Senders of a new tenant: in two thirds of them mostly persons, in the others a house of
/// newsletters or a shop.
pub(super) fn classes(rng: &mut Rng) -> Vec<(WorldClass, usize)> {
    let persons = (5.0 * 20_f64.powf(rng.unit())) as usize;
    let (persons, applications, newsletters) = match rng.below(6) {
        0 => (3 + persons / 10, 1, 3 + persons / 10),
        1 => (3 + persons / 10, 3 + persons / 10, 1),
        _ => (persons, 1 + persons / 10, usize::from(rng.chance(0.5))),
    };
    vec![
        (WorldClass::Person, persons),
        (WorldClass::Application, applications),
        (WorldClass::Newsletter, newsletters),
    ]
}

/// One campaign against a tenant of its own, which has sent a few hundred messages before.
pub(super) fn campaign(
    settings: &Arc<Settings>,
    plan: &SimulationPlan,
    seed: u64,
    number: u64,
    kind: AttackKind,
) -> Campaign {
    let around = plan.around(seed, number);
    let mut tenant = WorldTenant::new(settings, seed, number, plan, around);
    let wanted = BEFORE.0 + tenant.rng.below(BEFORE.1 - BEFORE.0);
    let (mut sent, mut day) = (0, FIRST_DAY);
    // A tenant of a few people takes some days for it.
    while sent < wanted && day < FIRST_DAY + DAYS {
        sent += tenant.first_of_day(day, wanted - sent, &mut SimulationReport::default());
        day += 1;
    }
    let now = tenant.engine.now().0.max(FIRST_DAY * DAY);
    let places = tenant.victims(kind, now / DAY, &[]);
    tenant
        .tell(kind, now / DAY, &places, Some(now), &mut None)
        .0
        .campaign
}
