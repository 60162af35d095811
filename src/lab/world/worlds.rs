//! The figures of many worlds beside each other: what is usual, and what the worst of them show.

use super::attack::AttackKind;
use super::goals::{AttackGoal, GoalTable, MistakeGoal};
use super::report::{Campaign, Mistakes, ROWS, SimulationReport, quantile};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One of so many worlds is among the worst.
const WORST: usize = 10;

/// The reports of some worlds, by seed.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorldReports {
    worlds: BTreeMap<u64, SimulationReport>,
}

/// A figure of all worlds, and of the worst tenth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    /// The figure over all.
    pub over_all: f64,
    /// The mean over the worst tenth of the worlds.
    pub worst: f64,
}

/// The mean of the largest tenth of these figures, of one at least; 0 without figures.
pub(super) fn worst_tenth(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted.truncate(figures.len().div_ceil(WORST));
    sorted.iter().sum::<f64>() / sorted.len().max(1) as f64
}

/// The median of these figures, of two in the middle their mean; 0 without figures.
pub(super) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
    f64::midpoint(at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2))
}

/// Events per million sender-days.
fn million(events: u64, days: u64) -> f64 {
    if days == 0 {
        0.0
    } else {
        events as f64 * 1e6 / days as f64
    }
}

/// How a figure stands to its goal.
const fn met(figure: f64, goal: f64) -> &'static str {
    if figure <= goal { "met" } else { "missed" }
}

/// A whole number, or one digit more where it is small.
fn short(figure: f64) -> String {
    if figure.fract() == 0.0 || figure >= 100.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.1}")
    }
}

/// The figures of one attack over worlds.
struct AttackFigures {
    campaigns: usize,
    p50: Spread,
    p99: Spread,
    recipients: Spread,
    never: Spread,
    /// Median time in hold, seconds, in the worlds where something was held.
    hold: Option<Spread>,
}

impl WorldReports {
    /// Adds the report of one more tenant of a world.
    pub(super) fn join(&mut self, seed: u64, report: SimulationReport) {
        self.worlds.entry(seed).or_default().join(report);
    }

    /// All worlds as one.
    pub(crate) fn together(&self) -> SimulationReport {
        let mut all = SimulationReport::default();
        self.worlds.values().for_each(|w| all.join(w.clone()));
        all
    }

    /// The tables over worlds.
    pub(crate) fn text(&self, goals: GoalTable) -> String {
        let mut out = String::new();
        self.mistakes_table(goals, &mut out);
        self.attacks_table(goals, &mut out);
        out
    }

    /// The mistakes of a row: over all sender-days, and in the worlds where they were most.
    pub(super) fn mistakes(&self, row: usize, of: fn(&Mistakes) -> u64) -> Spread {
        let counts: Vec<(u64, u64)> = self
            .worlds
            .values()
            .map(|w| w.counts(row, None))
            .filter(|m| m.days > 0)
            .map(|m| (of(&m), m.days))
            .collect();
        let events = counts.iter().map(|c| c.0).sum();
        let days = counts.iter().map(|c| c.1).sum();
        let rates: Vec<f64> = counts.iter().map(|(n, days)| million(*n, *days)).collect();
        Spread {
            over_all: million(events, days),
            worst: worst_tenth(&rates),
        }
    }

    fn mistakes_table(&self, goals: GoalTable, out: &mut String) {
        type Count = fn(&Mistakes) -> u64;
        let tables: [(&str, Count, fn(MistakeGoal) -> Option<f64>); 2] = [
            ("False blocks", |m| m.blocks, |goal| Some(goal.0)),
            ("False holds and delays", |m| m.holds, |goal| goal.1),
        ];
        for (what, of, wanted) in tables {
            let _infallible = writeln!(
                out,
                "{what} per million sender-days: over all worlds, and the mean of the worst tenth of the worlds\n\n\
                 {:26} {:>12} {:>12} {:>14} {:>8}  over all, worst tenth",
                "", "sender-days", "over all", "worst tenth", "goal"
            );
            for (row, name) in ROWS.iter().enumerate() {
                let days: u64 = self.worlds.values().map(|w| w.counts(row, None).days).sum();
                let goal = goals.mistakes(row).and_then(wanted);
                let spread = self.mistakes(row, of);
                let verdict = goal.map_or_else(
                    || "-".to_owned(),
                    |goal| {
                        format!(
                            "{}, {}",
                            met(spread.over_all, goal),
                            met(spread.worst, goal)
                        )
                    },
                );
                let _infallible = writeln!(
                    out,
                    "{name:26} {days:>12} {:>12.1} {:>14.1} {:>8}  {verdict}",
                    spread.over_all,
                    spread.worst,
                    goal.map_or_else(|| "-".to_owned(), short),
                );
            }
            out.push('\n');
        }
    }

    /// The figures of an attack; `None` if it was not run.
    fn figures(&self, kind: AttackKind) -> Option<AttackFigures> {
        let mut lists: [Vec<f64>; 5] = Default::default();
        let mut campaigns = 0;
        for world in self.worlds.values() {
            let of: Vec<&Campaign> = world.campaigns.iter().filter(|c| c.kind == kind).collect();
            if of.is_empty() {
                continue;
            }
            campaigns += of.len();
            let never = of.iter().filter(|c| c.never()).count() as f64 * 100.0 / of.len() as f64;
            let held: Vec<f64> = of
                .iter()
                .filter_map(|c| c.hold_seconds.map(|s| s as f64))
                .collect();
            let [p50, p99, recipients, shares, holds] = &mut lists;
            p50.push(quantile(&of, 0.5, &|c| c.leaked) as f64);
            p99.push(quantile(&of, 0.99, &|c| c.leaked) as f64);
            recipients.push(quantile(&of, 0.99, &|c| c.recipients) as f64);
            shares.push(never);
            if !held.is_empty() {
                holds.push(median(&held));
            }
        }
        let spread = |figures: &[f64]| Spread {
            over_all: median(figures),
            worst: worst_tenth(figures),
        };
        let [p50, p99, recipients, never, holds] = &lists;
        (campaigns > 0).then(|| AttackFigures {
            campaigns,
            p50: spread(p50),
            p99: spread(p99),
            recipients: spread(recipients),
            never: spread(never),
            hold: (!holds.is_empty()).then(|| spread(holds)),
        })
    }

    fn attacks_table(&self, goals: GoalTable, out: &mut String) {
        let _infallible = writeln!(
            out,
            "Attacks: the median over the worlds of each world's figure, and the mean of the worst tenth of the worlds\n\n\
             {:10} {:>8} {:8} {:>14} {:>16} {:>14} {:>18}  goal",
            "attack",
            "n",
            "worlds",
            "left p50 / p99",
            "recipients p99",
            "never blocked",
            "median hold"
        );
        for kind in AttackKind::ALL {
            let Some(f) = self.figures(kind) else {
                continue;
            };
            let goal = goals.attack(kind);
            for (name, n, pick) in [
                (kind.name(), f.campaigns.to_string(), true),
                ("", String::new(), false),
            ] {
                let of = |spread: Spread| if pick { spread.over_all } else { spread.worst };
                let _infallible = writeln!(
                    out,
                    "{name:10} {n:>8} {:8} {:>14} {:>16} {:>14} {:>18}  {}",
                    if pick { "median" } else { "worst" },
                    format!("{} / {}", short(of(f.p50)), short(of(f.p99))),
                    short(of(f.recipients)),
                    format!("{:.1} %", of(f.never)),
                    f.hold
                        .map_or_else(|| "-".to_owned(), |hold| format!("{:.0} s", of(hold))),
                    goal.map_or_else(|| "none".to_owned(), |goal| against(&goal, &f, of)),
                );
            }
        }
        out.push_str(
            "\nHeld mail waits for the block of its account, or five days if it never comes ([held] expire).\n",
        );
    }
}

/// The goal, and whether these figures meet it.
fn against(goal: &AttackGoal, figures: &AttackFigures, of: impl Fn(Spread) -> f64) -> String {
    let (p50, p99) = goal.messages;
    let mut told = format!("{} / {}", short(p50), short(p99));
    let mut missed = of(figures.p50) > p50 || of(figures.p99) > p99;
    if let Some(recipients) = goal.recipients {
        let _infallible = write!(told, ", {} recipients", short(recipients));
        missed |= of(figures.recipients) > recipients;
    }
    if let Some(never) = goal.never {
        let _infallible = write!(told, ", {} % never", short(never));
        missed |= of(figures.never) > never;
    }
    format!("{told}: {}", if missed { "missed" } else { "met" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::world::people::WorldClass;
    use crate::types::{Action, Reason};

    #[test]
    fn the_worst_tenth_is_the_mean_of_the_largest() {
        let figures: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(worst_tenth(&figures), 19.5);
        assert_eq!(worst_tenth(&[3.0, 8.0, 1.0]), 8.0, "one at least");
        let eleven: Vec<f64> = (1..=11).map(f64::from).collect();
        assert_eq!(worst_tenth(&eleven), 10.5, "a tenth is rounded up");
        assert_eq!(worst_tenth(&[]), 0.0);
        assert_eq!(median(&[4.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&figures), 10.5);
        assert_eq!(median(&[]), 0.0);
    }

    fn campaign(leaked: usize, blocked: bool) -> Campaign {
        let mut campaign = Campaign::new(AttackKind::Blast, 1);
        for _ in 0..leaked {
            campaign.message(Action::Accept, 5, 0, 0);
        }
        campaign.message(Action::Hold, 5, 0, 10_000);
        if blocked {
            campaign.blocked(0, 40_000);
        }
        campaign.close(432_000_000);
        campaign
    }

    #[test]
    fn tables_of_known_worlds() {
        let mut reports = WorldReports::default();
        for seed in 1..=10 {
            let mut report = SimulationReport::default();
            for _ in 0..1000 {
                report.sender_day(WorldClass::Person, false);
            }
            // The last world has one false block and leaks more.
            if seed == 10 {
                report.false_block(WorldClass::Person, false);
                report.false_hold(WorldClass::Person, false, Reason::Evidence);
            }
            report.campaigns = vec![campaign(if seed == 10 { 11 } else { 2 }, seed != 10)];
            reports.join(seed, report);
        }
        let blocks = reports.mistakes(0, |m| m.blocks);
        assert_eq!((blocks.over_all, blocks.worst), (100.0, 1000.0));
        let figures = reports.figures(AttackKind::Blast).expect("it was run");
        assert_eq!((figures.p99.over_all, figures.p99.worst), (2.0, 11.0));
        assert_eq!((figures.never.over_all, figures.never.worst), (0.0, 100.0));
        let hold = figures.hold.expect("mail was held");
        assert_eq!((hold.over_all, hold.worst), (30.0, 432_000.0));
        let text = reports.text(GoalTable::Drawn);
        let lines: Vec<&str> = text.lines().collect();
        let at = lines
            .iter()
            .position(|l| l.starts_with("blast"))
            .expect("a row");
        assert!(lines[at].ends_with("4 / 10, 60 recipients: met"), "{text}");
        assert!(lines[at + 1].ends_with("missed"), "{text}");
        let person = lines
            .iter()
            .find(|l| l.starts_with("person"))
            .expect("a row");
        assert!(person.contains("missed"), "{text}");
        assert_eq!(reports.together().campaigns.len(), 10);
    }
}
