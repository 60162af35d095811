//! Destinations: what is ready for each, how much at once, and who is next. Pure.

use super::progress::Last;
use super::schedule::{self, DestinationSignal, Window};
use crate::config::Settings;
use crate::delivery::Destination;
use crate::types::{Domain, MessageId, Pool, Time, stable_hash};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Most idle destinations (without mail) kept for the sake of their window; beyond it, the idle
/// ones are dropped.
const IDLE_MAX: usize = 4096;
/// Attempts in a row that fail for the destination as a whole before it backs off, even if other
/// attempts still run.
const STREAK: u32 = 3;

/// Finds the next hop of a domain: `delivery::route`.
pub(super) type FindRoute = fn(&Settings, &Domain) -> Destination;

/// One next hop as one pool uses it.
pub(super) struct Dest {
    pub destination: Arc<Destination>,
    /// The routes have changed: its messages must be sorted again.
    pub stale: bool,
    /// The last answer of a destination that failed as a whole. It holds for all messages that wait
    /// for it.
    pub last: Option<Arc<Last>>,
    /// Until this time it gets no attempt.
    pub backoff_until: Option<Time>,
    pool: Pool,
    key: Arc<str>,
    ready: VecDeque<MessageId>,
    window: Window,
    running: u32,
    groups: u32,
    /// Backoffs in a row; while above zero, one attempt at a time probes.
    failures: u32,
    streak: u32,
    in_turn: bool,
}

impl Dest {
    fn limit(&self, settings: &Settings) -> u32 {
        let most = u32::try_from(settings.pool(self.pool).connections_per_destination)
            .unwrap_or(u32::MAX)
            .max(1);
        if self.failures > 0 {
            1
        } else {
            self.window.size().min(most)
        }
    }

    fn is_open(&self, settings: &Settings) -> bool {
        self.stale || (self.backoff_until.is_none() && self.running < self.limit(settings))
    }
}

/// All destinations with mail, and some without mail.
pub(super) struct Destinations {
    route: FindRoute,
    slots: Vec<Option<Dest>>,
    free: Vec<u32>,
    sweep_at: usize,
    by_key: HashMap<(Arc<str>, Pool), u32>,
    normal: HashMap<Domain, u32>,
    high_risk: HashMap<Domain, u32>,
    turn: VecDeque<u32>,
    backoffs: BTreeSet<(Time, u32)>,
}

impl Destinations {
    pub(super) fn new(route: FindRoute) -> Self {
        Self {
            route,
            slots: Vec::new(),
            free: Vec::new(),
            sweep_at: IDLE_MAX,
            by_key: HashMap::new(),
            normal: HashMap::new(),
            high_risk: HashMap::new(),
            turn: VecDeque::new(),
            backoffs: BTreeSet::new(),
        }
    }

    /// The destination for `domain` in `pool`; created if it does not exist.
    pub(super) fn of(&mut self, settings: &Settings, domain: &Domain, pool: Pool) -> u32 {
        let known = match pool {
            Pool::Normal => self.normal.get(domain),
            Pool::HighRisk => self.high_risk.get(domain),
        };
        if let Some(id) = known {
            return *id;
        }
        self.sweep();
        let destination = (self.route)(settings, domain);
        let key: Arc<str> = key(&destination).into();
        let id = match self.by_key.get(&(key.clone(), pool)) {
            Some(id) => *id,
            None => self.insert(Dest {
                destination: Arc::new(destination),
                stale: false,
                last: None,
                backoff_until: None,
                pool,
                key,
                ready: VecDeque::new(),
                window: Window::new(),
                running: 0,
                groups: 0,
                failures: 0,
                streak: 0,
                in_turn: false,
            }),
        };
        match pool {
            Pool::Normal => self.normal.insert(domain.clone(), id),
            Pool::HighRisk => self.high_risk.insert(domain.clone(), id),
        };
        id
    }

    fn insert(&mut self, dest: Dest) -> u32 {
        let key = (dest.key.clone(), dest.pool);
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.slots.push(None);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(slot) = self.slots.get_mut(id as usize) {
            *slot = Some(dest);
        }
        self.by_key.insert(key, id);
        id
    }

    /// Drops destinations without mail once there are many. The next sweep runs when their number
    /// has doubled.
    fn sweep(&mut self) {
        if self.slots.len() - self.free.len() < self.sweep_at
            && self.normal.len() + self.high_risk.len() < 4 * self.sweep_at
        {
            return;
        }
        for (id, slot) in (0u32..).zip(&mut self.slots) {
            if let Some(dest) = slot
                .as_ref()
                .filter(|d| d.groups == 0 && d.running == 0 && !d.in_turn)
            {
                if let Some(until) = dest.backoff_until {
                    self.backoffs.remove(&(until, id));
                }
                if !dest.stale {
                    self.by_key.remove(&(dest.key.clone(), dest.pool));
                }
                *slot = None;
                self.free.push(id);
            }
        }
        self.normal.clear();
        self.high_risk.clear();
        self.sweep_at = (2 * (self.slots.len() - self.free.len())).max(IDLE_MAX);
    }

    pub(super) fn get(&self, id: u32) -> Option<&Dest> {
        self.slots.get(id as usize)?.as_ref()
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut Dest> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    /// Counts one more message with mail for this destination.
    pub(super) fn join(&mut self, id: u32) {
        if let Some(dest) = self.get_mut(id) {
            dest.groups += 1;
        }
    }

    /// Counts one message less with mail for this destination.
    pub(super) fn leave(&mut self, id: u32) {
        if let Some(dest) = self.get_mut(id) {
            dest.groups = dest.groups.saturating_sub(1);
        }
    }

    /// Puts a message at the end of the destination's line.
    pub(super) fn ready(&mut self, id: u32, message: MessageId) {
        if let Some(dest) = self.get_mut(id) {
            dest.ready.push_back(message);
        }
        self.offer(id);
    }

    /// Puts the destination into the round robin if it is not in it.
    fn offer(&mut self, id: u32) {
        let Some(dest) = self.get_mut(id) else { return };
        if !dest.in_turn && !dest.ready.is_empty() && (dest.backoff_until.is_none() || dest.stale) {
            dest.in_turn = true;
            self.turn.push_back(id);
        }
    }

    /// Takes one message of the next destination that may start an attempt, round robin.
    pub(super) fn next(&mut self, settings: &Settings) -> Option<(u32, MessageId)> {
        while let Some(id) = self.turn.pop_front() {
            let Some(dest) = self.get_mut(id) else {
                continue;
            };
            dest.in_turn = false;
            if !dest.is_open(settings) {
                continue;
            }
            let message = dest.ready.pop_front();
            self.offer(id);
            if let Some(message) = message {
                return Some((id, message));
            }
        }
        None
    }

    pub(super) fn started(&mut self, id: u32) {
        if let Some(dest) = self.get_mut(id) {
            dest.running += 1;
        }
    }

    /// Takes in the end of an attempt. `None` = no attempt was made, because the spool could not be
    /// read: the destination learns nothing from it.
    pub(super) fn ended(
        &mut self,
        now: Time,
        id: u32,
        settings: &Settings,
        signal: Option<(DestinationSignal, Option<Last>)>,
    ) {
        let Some(dest) = self.slots.get_mut(id as usize).and_then(Option::as_mut) else {
            return;
        };
        let most =
            u32::try_from(settings.pool(dest.pool).connections_per_destination).unwrap_or(u32::MAX);
        let full = dest.running >= dest.window.size();
        dest.running = dest.running.saturating_sub(1);
        match signal {
            Some((
                signal @ (DestinationSignal::Good
                | DestinationSignal::Slow
                | DestinationSignal::Shed),
                _,
            )) => {
                let probed = std::mem::take(&mut dest.failures) > 0;
                if probed {
                    // The probe got through: start again with a small window.
                    dest.window = Window::new();
                    dest.last = None;
                }
                if !probed || signal == DestinationSignal::Shed {
                    dest.window.feed(signal, full, most);
                }
                dest.streak = 0;
            }
            Some((signal @ DestinationSignal::Down, last)) => {
                dest.window.feed(signal, full, most);
                dest.streak += 1;
                dest.last = last.map(Arc::new);
                if dest.backoff_until.is_none() && (dest.running == 0 || dest.streak >= STREAK) {
                    dest.failures = dest.failures.saturating_add(1);
                    let until = now.after(schedule::backoff(&settings.delivery, dest.failures));
                    dest.backoff_until = Some(until);
                    self.backoffs.insert((until, id));
                }
            }
            None => {}
        }
        self.offer(id);
    }

    /// The host refused a connection while it serves other connections of ours: shrinks the window
    /// to the number of those. `false`: there are no others, so the destination counts as down.
    pub(super) fn step_back(&mut self, id: u32) -> bool {
        let Some(dest) = self
            .get_mut(id)
            .filter(|d| d.running > 1 && d.failures == 0)
        else {
            return false;
        };
        dest.running -= 1;
        dest.window.fall_to(dest.running);
        true
    }

    /// Ends the backoffs that are over.
    pub(super) fn wake(&mut self, now: Time) {
        while let Some((until, id)) = self
            .backoffs
            .first()
            .copied()
            .filter(|(until, _)| *until <= now)
        {
            self.backoffs.remove(&(until, id));
            if let Some(dest) = self.get_mut(id) {
                dest.backoff_until = None;
            }
            self.offer(id);
        }
    }

    /// Ends the backoff of one destination now.
    pub(super) fn open(&mut self, id: u32) {
        if let Some(until) = self.get_mut(id).and_then(|d| d.backoff_until.take()) {
            self.backoffs.remove(&(until, id));
        }
        self.offer(id);
    }

    /// Puts every destination into the round robin, because limits may have changed. With `stale`,
    /// routes have changed too: waiting messages leave their lines, to be sorted again.
    pub(super) fn reload(&mut self, stale: bool) {
        if stale {
            self.by_key.clear();
            self.normal.clear();
            self.high_risk.clear();
        }
        for id in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            if let Some(dest) = self.get_mut(id) {
                dest.stale |= stale;
            }
            self.offer(id);
        }
    }

    /// When the next backoff ends.
    pub(super) fn next_wake(&self) -> Option<Time> {
        self.backoffs.first().map(|(until, _)| *until)
    }

    /// The number of messages being tried or ready, roughly; for the gauge.
    pub(super) fn busy(&self) -> usize {
        let count = |d: &Dest| {
            if d.backoff_until.is_some() {
                d.running as usize
            } else {
                d.running as usize + d.ready.len()
            }
        };
        self.slots.iter().flatten().map(count).sum()
    }
}

/// The key of a destination. Destinations that differ in it must not share connections, limits or
/// failures. Two routes with the same key are one destination.
pub(super) fn key(destination: &Destination) -> String {
    match destination {
        Destination::Mx(domain) => domain.as_str().to_owned(),
        Destination::Route(r) => {
            let user = r.username.as_deref().unwrap_or_default();
            // A wrong password fails every attempt, so two passwords are two destinations. It is
            // hashed, so that the password itself is not stored twice.
            let password = stable_hash(&[r.password.as_ref().map_or("", |p| &p.0).as_bytes()]);
            format!("{}:{}/{:?}/{password:x}/{user}", r.host, r.port, r.tls)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::{settings, smart_host};

    const T0: Time = Time::from_secs(1_795_356_000);

    fn domain(n: usize) -> Domain {
        Domain::parse(&format!("d{n}.example")).expect("domain")
    }

    #[test]
    fn a_campaign_to_very_many_domains_leaves_no_memory_behind() {
        let settings = settings();
        let mut dests = Destinations::new(|_, domain| Destination::Mx(domain.clone()));
        let waiting = dests.of(&settings, &domain(0), Pool::Normal);
        dests.join(waiting);
        let dead = dests.of(&settings, &domain(1), Pool::Normal);
        dests.started(dead);
        dests.ended(T0, dead, &settings, Some((DestinationSignal::Down, None)));
        assert!(dests.next_wake().is_some(), "it backs off");
        for n in 2..5 * IDLE_MAX {
            dests.of(
                &settings,
                &domain(n),
                if n % 2 == 0 {
                    Pool::Normal
                } else {
                    Pool::HighRisk
                },
            );
        }
        assert!(
            dests.slots.len() <= IDLE_MAX && dests.by_key.len() <= IDLE_MAX,
            "{} slots",
            dests.slots.len()
        );
        assert!(dests.normal.len() + dests.high_risk.len() <= IDLE_MAX);
        assert_eq!(
            dests.next_wake(),
            None,
            "nobody is woken for a destination that is gone"
        );
        // What has mail is still known, and its place was given to nobody else.
        assert_eq!(dests.of(&settings, &domain(0), Pool::Normal), waiting);
        assert_eq!(
            dests.get(waiting).map(|d| d.destination.name()).as_deref(),
            Some("d0.example")
        );
    }

    #[test]
    fn domains_behind_one_smart_host_share_its_limits_and_their_names_are_forgotten() {
        let settings = Settings {
            routes: vec![smart_host()],
            ..settings()
        };
        let mut dests = Destinations::new(crate::delivery::route);
        let host = dests.of(&settings, &domain(0), Pool::Normal);
        dests.join(host);
        for n in 1..5 * IDLE_MAX {
            assert_eq!(dests.of(&settings, &domain(n), Pool::Normal), host);
        }
        assert!(
            dests.normal.len() <= 4 * IDLE_MAX,
            "{} names",
            dests.normal.len()
        );
        assert_ne!(
            dests.of(&settings, &domain(0), Pool::HighRisk),
            host,
            "pools are apart"
        );
    }
}
