//! Models that did not see some sources, and what they say of those.
//!
//! Corpora differ more from each other than spam from ham. So a recipe is judged, and a model is
//! calibrated, by pairs: the spam of one corpus against the ham of another, by a model that saw
//! neither.

use super::corpus::{Corpus, CorpusMessage};
use super::sources::{self, JUDGED_HAM, JUDGED_SPAM, Weight};
use super::train::{self, Lesson, Recipe, Weights};
use crate::score::calibrate::{Bent, Point};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Corpora as they were read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Library<'a> {
    /// The folders.
    pub corpora: &'a [Corpus],
    /// All messages.
    pub items: &'a [CorpusMessage],
}

/// What a model may not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Left<'a> {
    /// The corpus whose spam is left out.
    pub spam: Option<&'a str>,
    /// Corpora whose ham is left out.
    pub ham: &'a [&'a str],
    /// Of the application mails and newsletters every second project, the even or the odd ones.
    pub projects: Option<usize>,
}

/// The spam of one corpus against the ham of another, by a model that saw neither.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// Name of the corpus of spam.
    pub spam_source: &'static str,
    /// Name of the corpus of ham.
    pub ham_source: &'static str,
    /// Margins of the spam.
    pub spam: Vec<f32>,
    /// Margins of the ham.
    pub ham: Vec<f32>,
    /// The sums of the weights set beforehand, for the same messages.
    pub priors: [Vec<f32>; 2],
}

/// Share of the ham that was left out which may lie above even odds.
const ABOVE: f32 = 0.015;

impl<'a> Library<'a> {
    /// The name of the corpus of a message.
    pub(crate) fn name(&self, item: &CorpusMessage) -> &'a str {
        let corpus = self.corpora.get(usize::from(item.source));
        corpus.map_or("", |c| &c.name)
    }

    /// The messages of one kind of one corpus.
    pub(crate) fn of(&self, name: &str, spam: bool) -> impl Iterator<Item = &'a CorpusMessage> {
        self.items
            .iter()
            .filter(move |i| i.spam == spam && self.name(i) == name)
    }

    /// Whether there is a message of this kind.
    fn has(&self, name: &str, spam: bool) -> bool {
        self.of(name, spam).next().is_some()
    }

    /// The application mails and newsletters of every second project.
    pub(crate) fn half_of_projects(&self, half: usize) -> Vec<&'a str> {
        let projects = self.corpora.iter().map(|c| c.name.as_str());
        let projects = projects.filter(|n| sources::is_application(n) || sources::is_newsletter(n));
        projects.skip(half).step_by(2).collect()
    }

    /// What a model without some sources learns from. Without the ham of `spamassassin` hardly any
    /// would be left: corpora that do not train otherwise stand in for it.
    pub(crate) fn lessons(&self, left: Left<'_>) -> Vec<Lesson<'a>> {
        let bereft = left.ham.contains(&JUDGED_HAM[0]);
        let stands_in = |name: &str| bereft && JUDGED_HAM.contains(&name);
        let projects = left.projects.map(|half| self.half_of_projects(half));
        let weight = |item: &CorpusMessage| {
            let name = self.name(item);
            let gone = if item.spam {
                left.spam == Some(name)
            } else {
                left.ham.contains(&name)
            };
            let unseen = projects.as_ref().is_some_and(|list| list.contains(&name));
            if gone || unseen {
                None
            } else if stands_in(name) {
                Some(Weight {
                    named: 1.0,
                    text: 1.0,
                })
            } else {
                sources::weight(name)
            }
        };
        self.items
            .iter()
            .filter_map(|message| weight(message).map(|weight| Lesson { message, weight }))
            .collect()
    }

    /// Trains one model for each entry, as many at a time as there are processors.
    pub(crate) fn fit_all(&self, left: &[Left<'_>], recipe: &Recipe) -> Vec<Weights> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some((at, left)) = take(left, &next) {
                done.push((at, train::fit(&self.lessons(*left), recipe)));
            }
            done
        };
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let mut done: Vec<(usize, Weights)> = thread::scope(|scope| {
            let running: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let mut all = work();
            // A thread that panicked has said so; its models are missing, which panics here too.
            all.extend(
                running
                    .into_iter()
                    .flat_map(|r| r.join().unwrap_or_default()),
            );
            all
        });
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, weights)| weights).collect()
    }

    /// All pairs of sources that are here, judged by models that saw neither.
    pub(crate) fn pairs(&self, recipe: &Recipe) -> Vec<Pair> {
        let spams = JUDGED_SPAM.into_iter().filter(|name| self.has(name, true));
        let hams = || JUDGED_HAM.into_iter().filter(|name| self.has(name, false));
        let pairs: Vec<(&str, &str)> = spams.flat_map(|s| hams().map(move |h| (s, h))).collect();
        // Ham that does not train need not be left out: such pairs share a model.
        let left = |(spam, ham): (&'static str, &'static str)| Left {
            spam: Some(spam),
            ham: JUDGED_HAM
                .iter()
                .position(|name| *name == ham && sources::weight(name).is_some())
                .and_then(|at| JUDGED_HAM.get(at..=at))
                .unwrap_or_default(),
            projects: None,
        };
        let mut models: Vec<Left<'_>> = pairs.iter().map(|pair| left(*pair)).collect();
        models.sort_by_key(|l| (l.spam, l.ham));
        models.dedup();
        let fitted = self.fit_all(&models, recipe);
        let of = |pair: (&'static str, &'static str)| {
            let at = models.iter().position(|l| *l == left(pair));
            let weights = at.and_then(|at| fitted.get(at))?;
            let margins = |name: &str, spam: bool| -> Vec<f32> {
                self.of(name, spam)
                    .map(|i| weights.margin(&i.sample))
                    .collect()
            };
            let (spam_source, ham_source) = pair;
            let priors = [
                prior_margins(self.of(spam_source, true)),
                prior_margins(self.of(ham_source, false)),
            ];
            Some(Pair {
                spam_source,
                ham_source,
                spam: margins(spam_source, true),
                ham: margins(ham_source, false),
                priors,
            })
        };
        pairs.into_iter().filter_map(of).collect()
    }
}

fn take<'l, T>(list: &'l [T], next: &AtomicUsize) -> Option<(usize, &'l T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    list.get(at).map(|entry| (at, entry))
}

/// What the weights set beforehand say.
pub(crate) fn prior_margins<'m>(items: impl Iterator<Item = &'m CorpusMessage>) -> Vec<f32> {
    let priors = train::priors();
    items
        .map(|i| train::sum_of(&priors, &i.sample) as f32)
        .collect()
}

/// The calibration: fitted to all pairs alike, even odds above all but [`ABOVE`] of the ham.
pub(crate) fn calibration(pairs: &[Pair]) -> Bent {
    let mut points: Vec<Point> = Vec::new();
    for pair in pairs {
        for (margins, spam) in [(&pair.spam, true), (&pair.ham, false)] {
            let share = 1.0 / margins.len().max(1) as f32;
            points.extend(margins.iter().map(|m| (*m, spam, share)));
        }
    }
    Bent::fit(&points, ABOVE)
}
