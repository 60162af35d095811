//! Outside answers turned into nats and symbols. Pure.

use crate::score::Score;
use crate::types::Signal;

/// All listings of one message together, nats. Lists copy from each other: five of them are not
/// five witnesses.
const MAX_LISTED: f64 = 8.0;
/// All scanners together, nats, either way.
const MAX_OPINION: f64 = 4.0;
/// Symbols of a score with everything outside.
const MAX_SYMBOLS: usize = 24;

/// What an outside source said of a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CheckAnswer {
    /// Who was asked, for people: `Spamhaus DBL`.
    pub source: Box<str>,
    pub finding: CheckFinding,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CheckFinding {
    /// Something in the message is listed.
    Listed {
        /// What: `link host evil.example`.
        what: String,
        says: String,
        nats: f64,
    },
    /// A scanner's second opinion.
    Opinion {
        /// In words, such as its score.
        says: String,
        nats: f64,
    },
    /// No answer: neutral, and visible. Why, in words.
    Absent(String),
}

/// Adds what outside sources said to a score. Gives the nats of listings, which are part of
/// `score.llr` from now on.
pub(crate) fn combine(score: &mut Score, answers: &[CheckAnswer]) -> f64 {
    if answers.is_empty() {
        return 0.0;
    }
    let mut symbols: Vec<Signal> = Vec::new();
    let listed = listings(answers, &mut symbols);
    let opinion = opinions(answers, &mut symbols);
    for answer in answers {
        if let CheckFinding::Absent(why) = &answer.finding {
            let name: Box<str> = format!("{}: {why}", answer.source).into();
            if !symbols.iter().any(|s| s.name == name) {
                symbols.push(Signal { name, weight: 0.0 });
            }
        }
    }
    score.llr += listed + opinion;
    score.probability = 1.0 / (1.0 + (-score.llr).exp());
    score.symbols.append(&mut symbols);
    score
        .symbols
        .sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
    score.symbols.truncate(MAX_SYMBOLS);
    listed
}

/// The strongest listing counts whole, each further one half as much as the one before.
fn listings(answers: &[CheckAnswer], symbols: &mut Vec<Signal>) -> f64 {
    let mut found: Vec<(f64, String)> = answers
        .iter()
        .filter_map(|a| match &a.finding {
            CheckFinding::Listed { what, says, nats } => {
                Some((nats.max(0.0), format!("{what} is on {} ({says})", a.source)))
            }
            _ => None,
        })
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut sum, mut share) = (0.0, 1.0);
    for (nats, name) in found {
        let counts = (nats * share).min(MAX_LISTED - sum);
        share /= 2.0;
        sum += counts;
        symbols.push(Signal {
            name: name.into(),
            weight: counts as f32,
        });
    }
    sum
}

fn opinions(answers: &[CheckAnswer], symbols: &mut Vec<Signal>) -> f64 {
    let mut sum = 0.0_f64;
    for answer in answers {
        if let CheckFinding::Opinion { says, nats } = &answer.finding
            && nats.is_finite()
        {
            let counts = (sum + nats).clamp(-MAX_OPINION, MAX_OPINION) - sum;
            sum += counts;
            symbols.push(Signal {
                name: format!("{}: {says}", answer.source).into(),
                weight: counts as f32,
            });
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(llr: f64) -> Score {
        Score {
            llr,
            probability: 1.0 / (1.0 + (-llr).exp()),
            symbols: vec![Signal {
                name: "urgency".into(),
                weight: 1.5,
            }],
            link_hosts: vec![],
            link_pages: vec![],
            body_hash: 0,
            template: 0,
            is_report: false,
            mime_depth: 1,
            mime_parts: 1,
        }
    }

    fn listed(source: &str, nats: f64) -> CheckAnswer {
        let finding = CheckFinding::Listed {
            what: "link host evil.example".into(),
            says: "phishing".into(),
            nats,
        };
        CheckAnswer {
            source: source.into(),
            finding,
        }
    }

    fn absent(source: &str) -> CheckAnswer {
        CheckAnswer {
            source: source.into(),
            finding: CheckFinding::Absent("no answer in time".into()),
        }
    }

    #[test]
    fn a_listing_is_told_in_words_and_adds_its_nats() {
        let mut s = score(-1.0);
        let nats = combine(
            &mut s,
            &[
                listed("Spamhaus DBL", 5.0),
                absent("SURBL"),
                absent("SURBL"),
            ],
        );
        assert_eq!((nats, s.llr), (5.0, 4.0));
        assert!((s.probability - 1.0 / (1.0 + (-4.0_f64).exp())).abs() < 1e-12);
        let names: Vec<&str> = s.symbols.iter().map(|s| &*s.name).collect();
        assert_eq!(
            names,
            [
                "link host evil.example is on Spamhaus DBL (phishing)",
                "urgency",
                "SURBL: no answer in time"
            ]
        );
    }

    #[test]
    fn what_is_absent_changes_no_figure() {
        let mut s = score(0.7);
        assert_eq!(combine(&mut s, &[absent("SURBL")]), 0.0);
        assert_eq!(
            (s.llr, s.probability),
            (score(0.7).llr, score(0.7).probability)
        );
        let mut same = score(0.7);
        combine(&mut same, &[]);
        assert_eq!(same, score(0.7));
    }

    #[test]
    fn many_lists_are_not_many_witnesses() {
        let mut s = score(0.0);
        assert_eq!(combine(&mut s, &[listed("A", 2.0), listed("B", 4.0)]), 5.0);
        let mut s = score(0.0);
        let all: Vec<CheckAnswer> = (0..100).map(|i| listed(&i.to_string(), 20.0)).collect();
        assert_eq!(combine(&mut s, &all), MAX_LISTED);
        assert_eq!(s.symbols.len(), MAX_SYMBOLS);
    }

    #[test]
    fn opinions_are_bounded_either_way() {
        let opinion = |nats| CheckAnswer {
            source: "rspamd".into(),
            finding: CheckFinding::Opinion {
                says: "12.0 of 15.0".into(),
                nats,
            },
        };
        for (nats, wanted) in [
            (3.0, 4.0),
            (-3.0, -4.0),
            (f64::NAN, 0.0),
            (f64::INFINITY, 0.0),
        ] {
            let mut s = score(0.0);
            assert_eq!(combine(&mut s, &[opinion(nats), opinion(nats)]), 0.0);
            assert_eq!(s.llr, wanted, "{nats}");
        }
    }
}
