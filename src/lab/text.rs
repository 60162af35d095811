//! Learning hashed text: the mean of logistic regressions that each go without some sources.
//!
//! Corpora differ more from each other than spam from ham, so a text model learns what marks a corpus
//! as well as what marks spam. What it learned from one corpus alone is in some of the models only.

use super::sources::CorpusOrigin;
use super::train::{Dice, Recipe, TrainingMessage};
use crate::score::features::Sample;
use crate::score::model::norm;
use crate::score::text::SPACE;

/// Models that go without written or rendered mail, or both, or neither.
const BY_ORIGIN: usize = 4;
/// Models that each go without every fourth source.
const BY_SOURCE: usize = 4;

/// The hashed features of a message.
fn hashed(sample: &Sample) -> impl Iterator<Item = usize> {
    let lists = [&sample.words, &sample.pairs, &sample.grams];
    lists.into_iter().flatten().map(|index| *index as usize)
}

/// How many hashed features a message has.
fn count(sample: &Sample) -> usize {
    sample.words.len() + sample.pairs.len() + sample.grams.len()
}

/// What hashed text says.
pub(super) fn margin(weights: &[f32], sample: &Sample) -> f32 {
    let sum: f32 = hashed(sample).filter_map(|index| weights.get(index)).sum();
    sum * norm(count(sample))
}

/// The mean of the models: weights and constant.
pub(super) fn fit(lessons: &[TrainingMessage<'_>], recipe: &Recipe) -> (Vec<f32>, f32) {
    let mut sources: Vec<(bool, u8)> = lessons.iter().map(source).collect();
    sources.sort_unstable();
    sources.dedup();
    let models = BY_ORIGIN + BY_SOURCE;
    let (mut weights, mut constant) = (vec![0.0_f32; SPACE], 0.0);
    for model in 0..models {
        let mut seen: Vec<&TrainingMessage<'_>> = lessons
            .iter()
            .filter(|l| l.weight.text > 0.0 && sees(model, l, &sources))
            .collect();
        let (of_model, offset) = fit_one(&mut seen, recipe);
        for (sum, weight) in weights.iter_mut().zip(of_model) {
            *sum += weight / models as f32;
        }
        constant += offset / models as f32;
    }
    (weights, constant)
}

/// A class of a corpus is a source of its own.
fn source(lesson: &TrainingMessage<'_>) -> (bool, u8) {
    (lesson.message.spam, lesson.message.source)
}

/// Whether a model learns from a message.
fn sees(model: usize, lesson: &TrainingMessage<'_>, sources: &[(bool, u8)]) -> bool {
    if let Some(left_out) = model.checked_sub(BY_ORIGIN) {
        return sources
            .binary_search(&source(lesson))
            .is_ok_and(|at| at % BY_SOURCE != left_out);
    }
    match lesson.origin {
        CorpusOrigin::Received => true,
        CorpusOrigin::Written => model & 1 == 1,
        CorpusOrigin::Rendered => model & 2 == 2,
    }
}

/// Logistic regression on hashed text by AdaGrad (Duchi, Hazan, Singer 2011): weights and constant.
/// There is no shrinkage, no balance of classes and no least number of messages: each of them
/// costs on mail from elsewhere.
fn fit_one(lessons: &mut [&TrainingMessage<'_>], recipe: &Recipe) -> (Vec<f32>, f32) {
    let (mut weights, mut squares) = (vec![0.0_f32; SPACE], vec![0.0_f32; SPACE]);
    let mut constant = 0.0_f32;
    let mut dice = Dice::new(recipe.seed);
    for _ in 0..recipe.passes {
        dice.shuffle(lessons);
        for lesson in lessons.iter() {
            let sample = &lesson.message.sample;
            let target = if lesson.message.spam { 1.0 } else { 0.0 };
            let said = sigmoid(constant + margin(&weights, sample));
            let error = (said - target) * lesson.weight.text as f32;
            constant -= 0.01 * error;
            let slope = error * norm(count(sample));
            for index in hashed(sample) {
                if let (Some(weight), Some(square)) =
                    (weights.get_mut(index), squares.get_mut(index))
                {
                    *square += slope * slope;
                    *weight -= recipe.rate * slope / (square.sqrt() + 1e-4);
                }
            }
        }
    }
    (weights, constant)
}

/// The logistic function, from log odds to a probability.
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::corpus::CorpusMessage;
    use crate::lab::sources::TeachingWeight;

    fn message(spam: bool, source: u8, words: &[u32]) -> CorpusMessage {
        CorpusMessage {
            sample: Sample {
                words: words.to_vec(),
                ..Sample::default()
            },
            spam,
            source,
        }
    }

    const fn lesson(message: &CorpusMessage, origin: CorpusOrigin) -> TrainingMessage<'_> {
        TrainingMessage {
            message,
            weight: TeachingWeight {
                named: 1.0,
                text: 1.0,
            },
            origin,
        }
    }

    /// The word 1 marks spam in every corpus; 2 marks it in one written corpus alone.
    #[test]
    fn a_mark_of_one_source_counts_less_than_a_mark_of_all() {
        let mut messages = Vec::new();
        for n in 0..40 {
            for source in 0..4 {
                messages.push(message(true, source, &[1, 100 + n]));
                messages.push(message(false, source, &[200 + n, 300]));
            }
            messages.push(message(true, 9, &[2, 400 + n]));
        }
        let lessons: Vec<TrainingMessage<'_>> = messages
            .iter()
            .map(|m| {
                let written = m.source == 9;
                let origin = [CorpusOrigin::Received, CorpusOrigin::Written][usize::from(written)];
                lesson(m, origin)
            })
            .collect();
        let (weights, _) = fit(&lessons, &Recipe::default());
        assert!(weights[1] > weights[2] && weights[2] > 0.0, "{weights:.3?}");
        assert!(weights[300] < 0.0);
        assert_eq!(weights[5000], 0.0, "never seen");
    }

    #[test]
    fn each_source_is_left_out_by_one_model_in_four_and_made_mail_by_half_of_the_others() {
        let messages: Vec<CorpusMessage> = (0..8).map(|s| message(true, s, &[1])).collect();
        let sources: Vec<(bool, u8)> = (0..8).map(|s| (true, s)).collect();
        let without = |origin| {
            let models = 0..BY_ORIGIN + BY_SOURCE;
            let lesson = lesson(&messages[3], origin);
            models.filter(|m| !sees(*m, &lesson, &sources)).count()
        };
        assert_eq!(
            [
                CorpusOrigin::Received,
                CorpusOrigin::Written,
                CorpusOrigin::Rendered
            ]
            .map(without),
            [1, 3, 3]
        );
    }
}
