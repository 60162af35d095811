//! Models that did not see the mail they judge: for each source of the tenants' ham and each source
//! of spam one that was trained without both.

use super::mailbag::MailJudge;
use super::shelf::{MailError, Shelf};
use crate::lab::build;
use crate::lab::corpus::{self, CorpusMessage};
use crate::lab::grammar;
use crate::lab::held_out::{HeldOut, Left, Library, Pair};
use crate::lab::sources::{self, JUDGED_HAM, JUDGED_SPAM};
use crate::lab::train::{Recipe, Weights};
use crate::score::Scorer;
use crate::score::model::{Model, Prototype};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Messages of each template of the seed grammar.
const PER_TEMPLATE: usize = 8;
/// Delivery reports: every tenant has them, so no model here sees them.
const REPORTS: &str = "bounces";
/// Ham of a corpus that is only added to a tenant's, at most.
const SMALL_HAM: usize = 1000;
/// Spam for replay.
const PROTOTYPES: usize = 800;

/// A pair of sources.
#[derive(Debug, Clone, Copy)]
struct SourcePair {
    spam: &'static str,
    /// The tenant's ham, and the delivery reports.
    ham: [&'static str; 2],
    /// Half of the projects whose application mails and newsletters are not seen either.
    half: usize,
}

impl SourcePair {
    fn left(&self) -> Left<'_> {
        Left {
            spam: Some(self.spam),
            ham: &self.ham,
            projects: Some(self.half),
        }
    }
}

/// What a model learned from: places of corpora, and whether it was their spam.
pub(super) type Seen = BTreeSet<(usize, bool)>;

/// Trains a model for each pair of sources that are here, and says what each may be asked.
pub(super) fn judges(
    folders: &[PathBuf],
    shelf: &Shelf,
    seed_files: Option<&Path>,
    recipe: &Recipe,
) -> Result<Vec<MailJudge>, MailError> {
    let (mut corpora, mut items) = corpus::load(folders)?;
    if let Some(files) = seed_files {
        let rendered = grammar::render(files, 1, PER_TEMPLATE)?;
        corpus::add_seed(&mut corpora, &mut items, &rendered)?;
    }
    let library = Library {
        corpora: &corpora,
        items: &items,
    };
    let pairs = pairs(shelf)?;
    let left: Vec<Left<'_>> = pairs.iter().map(SourcePair::left).collect();
    let fitted = library.fit_all(&left, recipe);
    let held_out = held_out(&library, &pairs, &fitted);
    let judges = pairs.iter().zip(&fitted).filter_map(|(pair, weights)| {
        let scorer = Arc::new(Scorer::new(model(&library, pair, weights, &held_out)));
        let seen = seen(&library, pair.left());
        Some(MailJudge {
            scorer,
            spam: vec![shelf.place(pair.spam)?],
            ham: shelf.place(pair.ham.first()?)?,
            others: others(shelf, &seen),
            seen,
        })
    });
    Ok(judges.collect())
}

/// All pairs of sources that are here.
fn pairs(shelf: &Shelf) -> Result<Vec<SourcePair>, MailError> {
    let here = |list: &[&'static str], spam: bool| -> Vec<&'static str> {
        let has = |name: &&str| {
            let place = shelf.place(name);
            place.is_some_and(|place| shelf.texts_of(place, spam).next().is_some())
        };
        list.iter().copied().filter(has).collect()
    };
    let (spams, hams) = (here(&JUDGED_SPAM, true), here(&JUDGED_HAM, false));
    if spams.len() < 2 || hams.len() < 2 {
        return Err(MailError::FewSources {
            spam: JUDGED_SPAM.join(", "),
            ham: JUDGED_HAM.join(", "),
        });
    }
    let mut pairs = Vec::new();
    for (n, spam) in spams.iter().enumerate() {
        pairs.extend(hams.iter().enumerate().map(|(m, ham)| SourcePair {
            spam,
            ham: [ham, REPORTS],
            half: (n + m) % 2,
        }));
    }
    Ok(pairs)
}

/// What the models say of the sources that they did not see.
fn held_out(library: &Library<'_>, pairs: &[SourcePair], fitted: &[Weights]) -> HeldOut {
    let judge = |weights: &Weights, name: &str, spam: bool| -> Vec<f32> {
        let messages = library.of(name, spam);
        messages.map(|i| weights.margin(&i.sample)).collect()
    };
    let of = |(pair, weights): (&SourcePair, &Weights)| {
        let [ham, _] = pair.ham;
        Pair {
            spam_source: pair.spam,
            ham_source: ham,
            spam: judge(weights, pair.spam, true),
            ham: judge(weights, ham, false),
            priors: [Vec::new(), Vec::new()],
        }
    };
    let mut rendered = Vec::new();
    for half in [0, 1] {
        let mut both = pairs.iter().zip(fitted);
        let Some((_, weights)) = both.find(|(pair, _)| pair.half == half) else {
            continue;
        };
        for name in library.half_of_projects(half) {
            rendered.push((name.to_owned(), judge(weights, name, false)));
        }
    }
    HeldOut {
        pairs: pairs.iter().zip(fitted).map(of).collect(),
        rendered,
    }
}

/// The model of a pair. Its calibration and its prototypes come from the other sources.
fn model(library: &Library<'_>, pair: &SourcePair, weights: &Weights, held_out: &HeldOut) -> Model {
    let mut ham = pair.ham.to_vec();
    ham.extend(library.half_of_projects(pair.half));
    let known = held_out.without(pair.spam, &ham);
    let mut model = build::quantise(weights);
    model.calibration = known.calibration();
    model.prototypes = prototypes(library, pair.spam, &known, &model);
    model
}

/// Spam to replay, from other sources than this one: of middling length, evenly from each.
fn prototypes(
    library: &Library<'_>,
    without: &str,
    known: &HeldOut,
    model: &Model,
) -> Vec<Prototype> {
    let here: Vec<&str> = JUDGED_SPAM
        .into_iter()
        .filter(|name| *name != without && library.of(name, true).next().is_some())
        .collect();
    let each = PROTOTYPES / here.len().max(1);
    let mut picked = Vec::new();
    for source in here {
        let fitting: Vec<(&CorpusMessage, f32)> = library
            .of(source, true)
            .zip(known.of_spam(source))
            .filter(|(item, _)| (30..=400).contains(&item.sample.words.len()))
            .collect();
        let step = fitting.len().div_ceil(each.max(1)).max(1);
        picked.extend(fitting.into_iter().step_by(step).map(|(item, margin)| {
            let mut sample = item.sample.clone();
            sample.pairs = Vec::new();
            sample.words.sort_unstable();
            sample.grams.sort_unstable();
            Prototype {
                llr: model.llr(margin) as f32,
                sample,
            }
        }));
    }
    picked
}

/// What a model that leaves out some sources learns from.
fn seen(library: &Library<'_>, left: Left<'_>) -> Seen {
    let lessons = library.lessons(left).into_iter();
    lessons
        .map(|l| (usize::from(l.message.source), l.message.spam))
        .collect()
}

/// Corpora whose ham joins that of a tenant, of those the model did not see: rendered mail of
/// applications, newsletters, delivery reports, and other small ones.
fn others(shelf: &Shelf, seen: &Seen) -> Vec<usize> {
    let fits = |(place, name): (usize, &String)| {
        let ham = shelf.texts_of(place, false).count();
        let kind = sources::is_application(name) || sources::is_newsletter(name);
        let own = JUDGED_HAM.contains(&name.as_str());
        let wanted =
            !own && ham > 0 && (kind || ham < SMALL_HAM) && !seen.contains(&(place, false));
        wanted.then_some(place)
    };
    shelf.names.iter().enumerate().filter_map(fits).collect()
}
