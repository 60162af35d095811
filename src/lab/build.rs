//! The whole recipe: weights, calibration on messages not trained on, quantised file with manifest.

use super::corpus::CorpusMessage;
use super::held_out::{HeldOut, Left, Library};
use super::sources::{self, JUDGED_SPAM};
use super::train::{self, Dice, Recipe, Weights};
use crate::score::calibrate::Bent;
use crate::score::model::{Model, Prototype};

/// Spam messages shipped for replay and for the calibration of tenants.
const PROTOTYPES: usize = 800;

/// Builds the model of all corpora that may train one, without the sources `left` out.
pub(crate) fn build(
    library: &Library<'_>,
    left: Left<'_>,
    held_out: &HeldOut,
    recipe: &Recipe,
    date: &str,
) -> Model {
    let weights = train::fit(&library.lessons(left), recipe);
    let mut model = quantise(&weights);
    model.calibration = held_out.calibration();
    model.prototypes = prototypes(library, left, held_out, recipe, &model);
    let listed: Vec<_> = library
        .corpora
        .iter()
        .filter_map(|c| {
            let (weight, _) = sources::weight(&c.name)?;
            Some(
                serde_json::json!({"name": c.name, "spam": c.spam, "ham": c.ham,
                "weight_named": weight.named, "weight_text": weight.text}),
            )
        })
        .collect();
    model.manifest =
        serde_json::json!({"date": date, "corpora": listed, "recipe": recipe}).to_string();
    model
}

/// Rounds weights to eight bits.
pub(crate) fn quantise(weights: &Weights) -> Model {
    let largest = weights.hashed.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
    let scale = largest.max(1e-6) / 127.0;
    Model {
        weights: weights
            .hashed
            .iter()
            .map(|w| (w / scale).round() as i8)
            .collect(),
        scale,
        dense: weights.dense,
        trees: weights.trees.clone(),
        bias: weights.bias,
        calibration: Bent::line(1.0, 0.0),
        prototypes: Vec::new(),
        manifest: String::new(),
    }
}

/// Spam to replay: the same number from each judged corpus, of middling length. Each is worth what
/// models that did not see its corpus say of it.
fn prototypes(
    library: &Library<'_>,
    left: Left<'_>,
    held_out: &HeldOut,
    recipe: &Recipe,
    model: &Model,
) -> Vec<Prototype> {
    let mut dice = Dice::new(recipe.seed ^ 0x9e37);
    let mut picked = Vec::new();
    let here: Vec<&str> = JUDGED_SPAM
        .into_iter()
        .filter(|s| left.spam != Some(s) && library.of(s, true).next().is_some())
        .collect();
    for source in &here {
        let said = held_out.of_spam(source);
        let middling = |(i, _): &(&CorpusMessage, f32)| (30..=400).contains(&i.sample.words.len());
        let spam = library.of(source, true).zip(said);
        let mut fitting: Vec<_> = spam.filter(middling).collect();
        dice.shuffle(&mut fitting);
        picked.extend(fitting.into_iter().take(PROTOTYPES / here.len().max(1)));
    }
    dice.shuffle(&mut picked);
    let prototype = |(item, margin)| prototype(item, model.llr(margin) as f32);
    picked.into_iter().map(prototype).collect()
}

fn prototype(item: &CorpusMessage, llr: f32) -> Prototype {
    let mut sample = item.sample.clone();
    sample.pairs = Vec::new();
    for list in [&mut sample.words, &mut sample.grams] {
        list.sort_unstable();
    }
    Prototype { llr, sample }
}
