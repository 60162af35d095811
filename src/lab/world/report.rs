//! What is counted in a simulated world, and the tables it ends in.

use super::attack::AttackKind;
use super::people::{WorldClass, WorldSender};
use super::references::{COUNT, NAMES};
use crate::detector::SenderView;
use crate::types::{Action, Reason, TenantId, Time};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Rows of the table of mistakes.
pub(super) const ROWS: [&str; 5] = [
    "person",
    "application",
    "newsletter",
    "forwarder, list, bounces",
    "all",
];

/// Measures how long the detector takes.
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Nanoseconds since it was started.
    pub(in crate::lab) fn nanos(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Counts of a class of senders, warm and cold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mistakes {
    /// Days that senders of the class lived, summed.
    pub days: u64,
    /// Sender-days with a false block.
    pub blocks: u64,
    /// Sender-days with mail held by mistake.
    pub holds: u64,
    /// The same by each reference detector.
    pub references: [u64; COUNT],
}

impl Mistakes {
    fn add(&mut self, other: &Self) {
        self.days += other.days;
        self.blocks += other.blocks;
        self.holds += other.holds;
        self.references
            .iter_mut()
            .zip(other.references)
            .for_each(|(a, b)| *a += b);
    }
}

/// All that was counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimulationReport {
    /// By class (person, application, newsletter, beside) and cold.
    pub mistakes: [[Mistakes; 2]; 4],
    /// Why mail was held by mistake.
    pub hold_reasons: BTreeMap<(usize, &'static str), u64>,
    /// The campaigns that were run, in order.
    pub campaigns: Vec<Campaign>,
    /// Messages of ordinary mail.
    pub events: u64,
    /// Time they took with their outcomes.
    pub nanos: u64,
    /// Senders tracked at the end, over all tenants.
    pub tracked: u64,
    /// Octets of their records, without and with the recipients they know.
    pub octets: (u64, u64),
    /// Mistakes told one by one.
    pub cases: Vec<String>,
}

const fn row(class: WorldClass) -> usize {
    match class {
        WorldClass::Person => 0,
        WorldClass::Application => 1,
        WorldClass::Newsletter => 2,
        WorldClass::Forwarder | WorldClass::List | WorldClass::Bounces => 3,
    }
}

impl SimulationReport {
    /// Adds the figures of another tenant.
    pub(super) fn join(&mut self, other: Self) {
        let pairs = self
            .mistakes
            .iter_mut()
            .flatten()
            .zip(other.mistakes.iter().flatten());
        pairs.for_each(|(mine, theirs)| mine.add(theirs));
        for (why, count) in other.hold_reasons {
            *self.hold_reasons.entry(why).or_default() += count;
        }
        self.campaigns.extend(other.campaigns);
        self.events += other.events;
        self.nanos += other.nanos;
        self.tracked += other.tracked;
        self.octets.0 += other.octets.0;
        self.octets.1 += other.octets.1;
        self.cases.extend(other.cases);
    }

    fn at(&mut self, class: WorldClass, cold: bool) -> &mut Mistakes {
        let [person, application, newsletter, beside] = &mut self.mistakes;
        let [warm, fresh] = [person, application, newsletter, beside]
            .into_iter()
            .nth(row(class))
            .expect("there are four rows");
        if cold { fresh } else { warm }
    }

    pub(super) fn sender_day(&mut self, class: WorldClass, cold: bool) {
        self.at(class, cold).days += 1;
    }

    pub(super) fn false_block(&mut self, class: WorldClass, cold: bool) {
        self.at(class, cold).blocks += 1;
    }

    pub(super) fn false_hold(&mut self, class: WorldClass, cold: bool, reason: Reason) {
        self.at(class, cold).holds += 1;
        *self
            .hold_reasons
            .entry((row(class), reason.as_str()))
            .or_default() += 1;
    }

    pub(super) fn reference_block(&mut self, place: usize, class: WorldClass, cold: bool) {
        if let Some(count) = self.at(class, cold).references.get_mut(place) {
            *count += 1;
        }
    }

    /// Counts of a row; of all senders of the tenant for the last one.
    pub(super) fn counts(&self, row: usize, cold: Option<bool>) -> Mistakes {
        let mut sum = Mistakes::default();
        let rows = self
            .mistakes
            .iter()
            .enumerate()
            .filter(|(i, _)| *i == row || (row == 4 && *i < 4));
        for (_, [warm, fresh]) in rows {
            for (part, is_cold) in [(warm, false), (fresh, true)] {
                if cold.is_none_or(|c| c == is_cold) {
                    sum.add(part);
                }
            }
        }
        sum
    }

    /// The tables as text.
    pub(crate) fn text(&self, references: bool) -> String {
        let mut out = String::new();
        self.mistakes_table(&mut out, references);
        self.attacks_table(&mut out, references);
        let per = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
        let _infallible = writeln!(
            out,
            "\n{} messages of ordinary mail, {:.0} ns each with making them and their outcomes{}",
            self.events,
            per(self.nanos, self.events),
            if references {
                " and the reference detectors"
            } else {
                ""
            }
        );
        let (records, all) = self.octets;
        let _infallible = writeln!(
            out,
            "{:.0} octets a tracked sender, and {:.0} more for the recipients it knows",
            per(records, self.tracked),
            per(all - records, self.tracked)
        );
        for case in &self.cases {
            let _infallible = writeln!(out, "{case}");
        }
        out
    }

    fn mistakes_table(&self, out: &mut String, references: bool) {
        let million = |n: u64, days: u64| {
            if days == 0 {
                0.0
            } else {
                n as f64 * 1e6 / days as f64
            }
        };
        let _infallible = writeln!(
            out,
            "Per million sender-days: false blocks / false holds and delays (sender-days)\n"
        );
        let _infallible = writeln!(
            out,
            "{:26} {:>24} {:>24} {:>24}",
            "", "all days", "warm", "cold"
        );
        for (row, name) in ROWS.iter().enumerate() {
            let _infallible = write!(out, "{name:26}");
            for cold in [None, Some(false), Some(true)] {
                let m = self.counts(row, cold);
                let cell = format!(
                    "{:.1} / {:.1} ({})",
                    million(m.blocks, m.days),
                    million(m.holds, m.days),
                    m.days
                );
                let _infallible = write!(out, " {cell:>24}");
            }
            out.push('\n');
        }
        let _infallible = writeln!(out, "held because of: {:?}", self.hold_reasons);
        if references {
            let _infallible = writeln!(out, "\nFalse blocks per million sender-days, all days\n");
            let _infallible = writeln!(
                out,
                "{:28} {:>10} {:>12} {:>12} {:>10} {:>10}",
                "", "person", "application", "newsletter", "beside", "all"
            );
            for (place, name) in NAMES.iter().enumerate() {
                let _infallible = write!(out, "{name:28}");
                for (row, width) in (0..5).zip([10, 12, 12, 10, 10]) {
                    let m = self.counts(row, None);
                    let n = m.references.get(place).copied().unwrap_or_default();
                    let _infallible = write!(out, " {:>width$.1}", million(n, m.days));
                }
                out.push('\n');
            }
        }
    }

    fn attacks_table(&self, out: &mut String, references: bool) {
        let _infallible = writeln!(
            out,
            "\n{:10} {:>6} {:>20} {:>20} {:>8} {:>10} {:>16}  seconds to the (last) block p50 / p99",
            "attack",
            "n",
            "messages 50/90/99",
            "recipients 50/90/99",
            "held p50",
            "never",
            "extra: mean m/r"
        );
        for kind in AttackKind::ALL {
            let of: Vec<&Campaign> = self.campaigns.iter().filter(|c| c.kind == kind).collect();
            if of.is_empty() {
                continue;
            }
            let cell = |f: &dyn Fn(&Campaign) -> u64| {
                let [a, b, c] = [0.5, 0.9, 0.99].map(|q| quantile(&of, q, f));
                format!("{a} / {b} / {c}")
            };
            let never = of.iter().filter(|c| c.never()).count();
            let mean = |f: &dyn Fn(&Campaign) -> u64| {
                of.iter().map(|c| f(c)).sum::<u64>() as f64 / of.len() as f64
            };
            let _infallible = writeln!(
                out,
                "{:10} {:>6} {:>20} {:>20} {:>8} {:>9.2}% {:>16}  {} / {}",
                kind.name(),
                of.len(),
                cell(&|c| c.leaked),
                cell(&|c| c.recipients),
                quantile(&of, 0.5, &|c| c.held),
                never as f64 * 100.0 / of.len() as f64,
                format!(
                    "{:.2} / {:.1}",
                    mean(&|c| c.leaked),
                    mean(&|c| c.recipients)
                ),
                quantile(&of, 0.5, &|c| c.seconds()),
                quantile(&of, 0.99, &|c| c.seconds()),
            );
        }
        if references {
            self.references_table(out);
        }
    }

    /// What the simple detectors let through of each attack.
    fn references_table(&self, out: &mut String) {
        let _infallible = writeln!(
            out,
            "\nMessages that left before the block, p50 / p99 (share never stopped)\n"
        );
        for (place, name) in NAMES.iter().enumerate() {
            let _infallible = write!(out, "{name:28}");
            for kind in AttackKind::ALL {
                let of: Vec<&Campaign> = self.campaigns.iter().filter(|c| c.kind == kind).collect();
                if of.is_empty() {
                    continue;
                }
                let left = |c: &Campaign| c.references.get(place).map_or(0, |r| r.0);
                let never = of
                    .iter()
                    .filter(|c| {
                        c.references
                            .get(place)
                            .is_some_and(|r| r.1 < c.accounts.len() as u64)
                    })
                    .count();
                let cell = format!(
                    "{} / {} ({:.0}%)",
                    quantile(&of, 0.5, &left),
                    quantile(&of, 0.99, &left),
                    never as f64 * 100.0 / of.len() as f64
                );
                let _infallible = write!(out, " {} {cell:<18}", kind.name());
            }
            out.push('\n');
        }
    }
}

/// One mistake: the sender, its day, and the newest evidence first, each with the age in seconds,
/// the content's LLR and what it came to in nats.
pub(super) fn case(
    what: &str,
    tenant: &TenantId,
    sender: &WorldSender,
    day: i64,
    now: Time,
    view: Option<SenderView>,
) -> String {
    let age = day - sender.born;
    let mut out = format!(
        "{what}: {:?} {} of {tenant}, day {age} of its life",
        sender.class, sender.number
    );
    let Some(view) = view else { return out };
    let _infallible = write!(
        out,
        ", {:.1} nats, {} messages and {} recipients ({} new) in the last day;",
        view.evidence_nats, view.messages_day, view.recipients_day, view.recipients_new_day
    );
    for evidence in &view.recent {
        let _infallible = write!(
            out,
            " [-{} s, llr {:.1}, {} rcpt:",
            now.since(evidence.time).as_secs(),
            evidence.llr,
            evidence.recipients
        );
        for signal in &evidence.symbols {
            let _infallible = write!(out, " {} {:.1}", signal.name, signal.weight);
        }
        out.push(']');
    }
    out
}

/// The value below or at which this share of the campaigns lies; 0 without campaigns.
pub(super) fn quantile(of: &[&Campaign], q: f64, f: &dyn Fn(&Campaign) -> u64) -> u64 {
    let mut values: Vec<u64> = of.iter().map(|c| f(c)).collect();
    values.sort_unstable();
    let place = ((values.len() as f64 * q).ceil() as usize).saturating_sub(1);
    values.get(place).copied().unwrap_or_default()
}

/// How one campaign went.
#[derive(Debug, Clone)]
pub(crate) struct Campaign {
    /// The attack it belongs to.
    pub kind: AttackKind,
    /// Messages of the attacker that were delivered.
    pub leaked: u64,
    /// Recipients of the messages that were delivered.
    pub recipients: u64,
    /// Messages of the attacker that were held.
    pub held: u64,
    /// Median time in hold of the messages that were held, seconds.
    pub hold_seconds: Option<u64>,
    /// Per account: milliseconds to its block.
    accounts: Vec<Option<i64>>,
    /// Account and milliseconds of each held message, until the campaign is closed.
    holds: Vec<(usize, i64)>,
    /// Per reference detector: messages that left, accounts blocked (and which, by bits).
    references: [(u64, u64); COUNT],
    reference_blocks: Vec<u32>,
}

impl Campaign {
    pub(super) fn new(kind: AttackKind, accounts: usize) -> Self {
        Self {
            kind,
            leaked: 0,
            recipients: 0,
            held: 0,
            hold_seconds: None,
            accounts: vec![None; accounts],
            holds: Vec::new(),
            references: [(0, 0); COUNT],
            reference_blocks: vec![0; accounts],
        }
    }

    /// What became of a message of this account, so many milliseconds after the beginning.
    pub(super) fn message(
        &mut self,
        action: Action,
        recipients: usize,
        account: usize,
        after: i64,
    ) {
        match action {
            Action::Accept | Action::HighRisk => {
                self.leaked += 1;
                self.recipients += recipients as u64;
            }
            Action::Hold => {
                self.held += 1;
                self.holds.push((account, after));
            }
            Action::Defer | Action::Reject => {}
        }
    }

    /// It is over: held mail waited for the block of its account, or until it expired.
    pub(super) fn close(&mut self, expire: i64) {
        let mut waits: Vec<i64> = std::mem::take(&mut self.holds)
            .into_iter()
            .map(|(account, held)| {
                let block = self.accounts.get(account).copied().flatten();
                block.map_or(expire, |block| (block - held).clamp(0, expire))
            })
            .collect();
        waits.sort_unstable();
        let median = waits.get(waits.len().saturating_sub(1) / 2);
        self.hold_seconds = median.map(|wait| wait.unsigned_abs() / 1000);
    }

    pub(super) fn blocked(&mut self, account: usize, after: i64) {
        if let Some(place) = self.accounts.get_mut(account) {
            place.get_or_insert(after);
        }
    }

    pub(super) fn reference_hits(&mut self, account: usize, hits: u32) {
        let Some(blocked) = self.reference_blocks.get_mut(account) else {
            return;
        };
        let fresh = hits & !*blocked;
        *blocked |= hits;
        for (place, r) in self.references.iter_mut().enumerate() {
            r.1 += u64::from(fresh & (1 << place) != 0);
        }
    }

    pub(super) fn reference_message(&mut self, account: usize) {
        let Some(blocked) = self.reference_blocks.get(account) else {
            return;
        };
        for (place, r) in self.references.iter_mut().enumerate() {
            r.0 += u64::from(blocked & (1 << place) == 0);
        }
    }

    /// Not every account that it used was stopped.
    pub(super) fn never(&self) -> bool {
        self.accounts.iter().any(Option::is_none)
    }

    fn seconds(&self) -> u64 {
        let last = self
            .accounts
            .iter()
            .map(|a| a.unwrap_or(i64::MAX))
            .max()
            .unwrap_or_default();
        if last == i64::MAX {
            9_999_999
        } else {
            (last.max(0) / 1000) as u64
        }
    }
}
