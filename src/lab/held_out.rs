//! Models that did not see some sources, and what they say of those.
//!
//! Corpora differ more from each other than spam from ham. So a recipe is judged, and a model is
//! calibrated, by pairs: the spam of one corpus against the ham of another, by a model that saw
//! neither.

use super::corpus::{Corpus, CorpusMessage};
use super::sources::{self, CorpusOrigin, JUDGED_HAM, JUDGED_SPAM, TeachingWeight};
use super::train::{self, Recipe, TrainingMessage, Weights};
use crate::score::calibrate::{Bent, Point};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Corpora as they were read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Library<'a> {
    /// The folders.
    pub corpora: &'a [Corpus],
    /// All messages of all folders.
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

/// What models say of mail that they did not see.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeldOut {
    /// What is said of received mail.
    pub pairs: Vec<Pair>,
    /// What is said of rendered mail: the name of the corpus, and the margins of its messages.
    pub rendered: Vec<(String, Vec<f32>)>,
}

/// Share of the ham that was left out which may lie above even odds.
const ABOVE: f32 = 0.025;

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
    pub(in crate::lab) fn half_of_projects(&self, half: usize) -> Vec<&'a str> {
        let projects = self.corpora.iter().map(|c| c.name.as_str());
        let projects = projects.filter(|n| sources::is_application(n) || sources::is_newsletter(n));
        projects.skip(half).step_by(2).collect()
    }

    /// What a model without some sources learns from. Without the ham of `spamassassin` hardly any
    /// would be left: corpora that do not train otherwise stand in for it.
    pub(crate) fn lessons(&self, left: Left<'_>) -> Vec<TrainingMessage<'a>> {
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
                let whole = TeachingWeight {
                    named: 1.0,
                    text: 1.0,
                };
                Some((whole, CorpusOrigin::Received))
            } else {
                sources::weight(name)
            }
        };
        let lesson = |message| {
            let (weight, origin) = weight(message)?;
            Some(TrainingMessage {
                message,
                weight,
                origin,
            })
        };
        self.items.iter().filter_map(lesson).collect()
    }

    /// Trains one model for each entry, as many at a time as there are processors.
    pub(in crate::lab) fn fit_all(&self, left: &[Left<'_>], recipe: &Recipe) -> Vec<Weights> {
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

    /// Judges all pairs of sources that are here, and all rendered mail, by models that saw neither.
    pub(crate) fn hold_out(&self, recipe: &Recipe) -> HeldOut {
        let spams = JUDGED_SPAM.into_iter().filter(|name| self.has(name, true));
        let hams = || JUDGED_HAM.into_iter().filter(|name| self.has(name, false));
        let pairs: Vec<(&str, &str)> = spams.flat_map(|s| hams().map(move |h| (s, h))).collect();
        let mut models: Vec<Left<'_>> = pairs.iter().map(|pair| without(*pair)).collect();
        models.sort_by_key(|l| (l.spam, l.ham));
        models.dedup();
        let halves = [0, 1].map(|half| Left {
            projects: Some(half),
            ..Left::default()
        });
        models.extend(halves);
        let fitted = self.fit_all(&models, recipe);
        let weights = |left: Left<'_>| {
            let at = models.iter().position(|l| *l == left);
            at.and_then(|at| fitted.get(at))
        };
        let judge = |weights: &Weights, name: &str, spam: bool| -> Vec<f32> {
            let messages = self.of(name, spam);
            messages.map(|i| weights.margin(&i.sample)).collect()
        };
        let of = |pair: (&'static str, &'static str)| {
            let (spam_source, ham_source) = pair;
            let weights = weights(without(pair))?;
            Some(Pair {
                spam_source,
                ham_source,
                spam: judge(weights, spam_source, true),
                ham: judge(weights, ham_source, false),
                priors: [
                    prior_margins(self.of(spam_source, true)),
                    prior_margins(self.of(ham_source, false)),
                ],
            })
        };
        let mut rendered = Vec::new();
        for (half, left) in halves.into_iter().enumerate() {
            for name in self.half_of_projects(half) {
                if let Some(weights) = weights(left) {
                    rendered.push((name.to_owned(), judge(weights, name, false)));
                }
            }
        }
        HeldOut {
            pairs: pairs.into_iter().filter_map(of).collect(),
            rendered,
        }
    }
}

/// What the model of a pair may not see. Ham that does not train need not be left out: such pairs
/// share a model.
fn without((spam, ham): (&'static str, &'static str)) -> Left<'static> {
    let trains = |name: &&str| *name == ham && sources::weight(name).is_some();
    let at = JUDGED_HAM.iter().position(trains);
    Left {
        spam: Some(spam),
        ham: at
            .and_then(|at| JUDGED_HAM.get(at..=at))
            .unwrap_or_default(),
        projects: None,
    }
}

impl HeldOut {
    /// The same without what was said of some sources.
    pub(crate) fn without(&self, spam: &str, ham: &[&str]) -> Self {
        let pairs = self.pairs.iter();
        let rendered = self.rendered.iter();
        Self {
            pairs: pairs
                .filter(|p| p.spam_source != spam && !ham.contains(&p.ham_source))
                .cloned()
                .collect(),
            rendered: rendered
                .filter(|(name, _)| !ham.contains(&name.as_str()))
                .cloned()
                .collect(),
        }
    }

    /// The calibration: fitted to all pairs alike, and to rendered mail as to one more corpus of ham.
    /// Even odds lie above all but [`ABOVE`] of the ham.
    pub(crate) fn calibration(&self) -> Bent {
        let mut points: Vec<Point> = Vec::new();
        let mut add = |margins: &[f32], spam: bool, weight: f32| {
            let share = weight / margins.len().max(1) as f32;
            points.extend(margins.iter().map(|m| (*m, spam, share)));
        };
        for pair in &self.pairs {
            add(&pair.spam, true, 1.0);
            add(&pair.ham, false, 1.0);
        }
        let corpora = JUDGED_HAM
            .iter()
            .filter(|name| self.pairs.iter().any(|p| p.ham_source == **name));
        let of_a_corpus = self.pairs.len() as f32 / corpora.count().max(1) as f32;
        for (_, margins) in &self.rendered {
            add(margins, false, of_a_corpus / self.rendered.len() as f32);
        }
        Bent::fit(&points, ABOVE)
    }

    /// The mean of what models that saw nothing of a corpus say of each spam of it.
    pub(in crate::lab) fn of_spam(&self, source: &str) -> Vec<f32> {
        let mut sums: Vec<f32> = Vec::new();
        let mut models = 0.0_f32;
        for pair in self.pairs.iter().filter(|p| p.spam_source == source) {
            sums.resize(pair.spam.len(), 0.0);
            sums.iter_mut().zip(&pair.spam).for_each(|(s, m)| *s += m);
            models += 1.0;
        }
        sums.iter_mut().for_each(|sum| *sum /= models.max(1.0));
        sums
    }
}

fn take<'l, T>(list: &'l [T], next: &AtomicUsize) -> Option<(usize, &'l T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    list.get(at).map(|entry| (at, entry))
}

/// What the weights set beforehand say.
pub(in crate::lab) fn prior_margins<'m>(
    items: impl Iterator<Item = &'m CorpusMessage>,
) -> Vec<f32> {
    let priors = train::priors();
    items
        .map(|i| train::sum_of(&priors, &i.sample) as f32)
        .collect()
}
