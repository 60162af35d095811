//! The whole recipe: weights, calibration on messages not trained on, quantised file with manifest.

use super::corpus::{Corpus, CorpusMessage};
use super::train::{self, Dice, Recipe, Weights};
use crate::score::calibrate::{self, Point};
use crate::score::dense;
use crate::score::features::Sample;
use crate::score::model::Model;
use crate::score::text::{GRAMS_AT, PAIRS_AT};
use std::sync::OnceLock;

/// Corpora whose terms allow a shipped model. Others are for judging it only.
pub(crate) const TRAINABLE: [&str; 5] = [
    "spamassassin",
    "cwl_email_corpus",
    "glitchy_spam_archive",
    "foff_milter_old",
    "bounces",
];

/// Nats taken off every log-likelihood ratio. The spam and ham held out from each other still come
/// from the same folders; an unfamiliar sender's ordinary mail lies further towards spam than
/// held-out ham does.
pub(in crate::lab) const CAUTION: f32 = 0.4;

/// Spam messages shipped for replay and for the calibration of tenants; fewer cost points
/// (models/README.md).
const PROTOTYPES: usize = 800;

/// Margins of every message by weights that saw neither the spam of its corpus nor, for ham, its
/// fold.
pub(in crate::lab) fn held_out_margins(items: &[&CorpusMessage], recipe: &Recipe) -> Vec<Point> {
    let mut spam_sources: Vec<u8> = items.iter().filter(|i| i.spam).map(|i| i.source).collect();
    spam_sources.sort_unstable();
    spam_sources.dedup();
    let shares = train::importance(items);
    let folds = spam_sources.len().max(1);
    let mut points = Vec::new();
    for (fold, source) in spam_sources.iter().enumerate() {
        // Ham is cut into runs, since neighbours in a corpus are often of one thread.
        let tested = |at: usize, item: &CorpusMessage| {
            if item.spam {
                item.source == *source
            } else {
                at / 50 % folds == fold
            }
        };
        let train: Vec<&CorpusMessage> = items
            .iter()
            .enumerate()
            .filter(|(at, i)| !tested(*at, i))
            .map(|(_, i)| *i)
            .collect();
        let weights = train::fit(&train, recipe);
        let held = items
            .iter()
            .zip(&shares)
            .enumerate()
            .filter(|(at, (i, _))| tested(*at, i));
        points.extend(
            held.map(|(_, (item, share))| (weights.margin(&item.sample), item.spam, *share)),
        );
    }
    points
}

/// Builds the model of `items`.
pub(crate) fn build(
    corpora: &[Corpus],
    items: &[CorpusMessage],
    recipe: &Recipe,
    date: &str,
) -> Model {
    let all: Vec<&CorpusMessage> = items.iter().collect();
    let weights = train::fit(&all, recipe);
    let (slope, offset) = calibrate::platt(&held_out_margins(&all, recipe));
    let mut model = quantise(&weights);
    (model.slope, model.offset) = (slope, offset - CAUTION);
    model.prototypes = prototypes(items, recipe.seed);
    let listed: Vec<_> = corpora
        .iter()
        .map(|c| serde_json::json!({"name": c.name, "spam": c.spam, "ham": c.ham}))
        .collect();
    model.manifest = serde_json::json!({"date": date, "corpora": listed, "recipe": recipe, "caution_nats": CAUTION}).to_string();
    model
}

/// Rounds weights to eight bits, one scale per group.
fn quantise(weights: &Weights) -> Model {
    let bounds = [
        0..PAIRS_AT as usize,
        PAIRS_AT as usize..GRAMS_AT as usize,
        GRAMS_AT as usize..weights.hashed.len(),
    ];
    let mut out = Vec::with_capacity(weights.hashed.len());
    let scales = bounds.map(|range| {
        let group = weights.hashed.get(range).unwrap_or_default();
        let scale = group.iter().fold(0.0_f32, |m, w| m.max(w.abs())).max(1e-6) / 127.0;
        out.extend(group.iter().map(|w| (w / scale).round() as i8));
        scale
    });
    Model {
        weights: out,
        scales,
        dense: std::array::from_fn::<f32, { dense::COUNT }, _>(|i| {
            weights.dense.get(i).copied().unwrap_or_default()
        }),
        trees: weights.trees.clone(),
        bias: weights.bias,
        slope: 1.0,
        offset: 0.0,
        prototypes: Vec::new(),
        manifest: String::new(),
        replayed: OnceLock::new(),
    }
}

/// Spam to replay: the same number from each corpus, of middling length.
fn prototypes(items: &[CorpusMessage], seed: u64) -> Vec<Sample> {
    let mut dice = Dice::new(seed ^ 0x9e37);
    let mut sources: Vec<u8> = items.iter().filter(|i| i.spam).map(|i| i.source).collect();
    sources.sort_unstable();
    sources.dedup();
    let mut picked = Vec::new();
    for source in &sources {
        let mut fitting: Vec<&CorpusMessage> = items
            .iter()
            .filter(|i| i.spam && i.source == *source && (30..=400).contains(&i.sample.words.len()))
            .collect();
        dice.shuffle(&mut fitting);
        picked.extend(
            fitting
                .into_iter()
                .take(PROTOTYPES / sources.len().max(1))
                .map(|i| {
                    let mut sample = i.sample.clone();
                    for list in [&mut sample.words, &mut sample.pairs, &mut sample.grams] {
                        list.sort_unstable();
                    }
                    sample
                }),
        );
    }
    dice.shuffle(&mut picked);
    picked
}
