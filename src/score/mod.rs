//! The content score: features → classifier → calibrated log-likelihood ratio.
//!
//! `features` reads a message once into hashed text and named facts; `model` weighs them; `Scorer`
//! joins the two and explains the result; `adapt` is what a tenant's own mail adds. Training and
//! evaluation are in the room `lab`.

pub mod adapt;
mod bulk;
pub(crate) mod calibrate;
pub(crate) mod dense;
mod errors;
pub(crate) mod explain;
pub(crate) mod features;
pub(crate) mod finding;
mod headers;
mod html;
mod lexicon;
mod links;
pub(crate) mod model;
mod phrases;
mod similar;
pub(crate) mod text;
pub(crate) mod trees;

pub use errors::{DeltaError, ModelError};
pub(crate) use features::ReturnPath;
pub(crate) use links::{host_and_bare, page_key};

use crate::types::Signal;
use features::{Extractor, Sample};
use finding::{Finding, LEAST_LLR, LEAST_NATS};
use model::Model;
use std::cell::RefCell;

/// What scoring a message yields.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Log-likelihood ratio in nats; positive speaks for spam.
    pub llr: f64,
    /// sigmoid(llr): the probability of spam at even odds.
    pub probability: f64,
    /// Strongest symbols, largest absolute weight first, at most 12. Weights are nats; `word:…` are
    /// parts of `text_…`.
    pub symbols: Vec<Signal>,
    /// Hosts of links, lower case, A-label form, without duplicates, at most 64.
    pub link_hosts: Vec<Box<str>>,
    /// Keys of the pages linked to ([`page_key`]), without duplicates, at most 64.
    pub link_pages: Vec<u64>,
    /// Hash of the body, stable over retries (header changes do not matter).
    pub body_hash: u64,
    /// Fingerprint of the visible text: few bits apart for texts that share most of their words; 0
    /// = too short to tell.
    pub template: u64,
    /// The message is a multipart/report. For the null sender only its human part was scored.
    pub is_report: bool,
    /// Levels of multiparts and messages within each other, at least 1.
    pub mime_depth: usize,
    /// Entities: leaves, multiparts, embedded messages.
    pub mime_parts: usize,
}

/// Symbols in a score.
const MAX_SYMBOLS: usize = 12;
/// Words named for each side.
const MAX_WORDS_NAMED: usize = 3;
/// Symbols weaker than this are not worth a line (nats).
const MIN_SYMBOL: f32 = 0.05;

/// The model file inside the binary.
const SHIPPED: &[u8] = include_bytes!("../../models/outgate.model");

/// A loaded model. Shareable between threads: scoring takes no lock.
#[derive(Debug)]
pub struct Scorer {
    model: Model,
}

/// What a tenant's own mail adds to the model.
#[derive(Clone, Copy)]
enum TenantLearning<'a> {
    Nothing,
    /// The tenant's own, and until that is known, what the whole node learned.
    Among(&'a adapt::Delta, &'a adapt::Delta),
}

/// What one view of a message weighs.
struct Weighed {
    /// The part of the hashed text.
    text: f32,
    /// By the shipped model alone, nats.
    shipped: f64,
    /// With what was learned, nats.
    llr: f64,
    sample: Option<Sample>,
}

fn sigmoid(llr: f64) -> f64 {
    1.0 / (1.0 + (-llr).exp())
}

/// Adds symbols to the strongest ones, whatever their weight.
fn add_symbols(symbols: &mut Vec<Signal>, more: Vec<Signal>) {
    symbols.truncate(MAX_SYMBOLS.saturating_sub(more.len()));
    symbols.extend(more);
    symbols.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
}

/// A part that was not read, or not for certain, is never neutral: the message counts as
/// suspicious.
fn lift_for_findings(score: &mut Score, worst: &mut Weighed, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    let lifted = (score.llr + LEAST_NATS)
        .max(LEAST_LLR)
        .min(model::MAX_LLR.max(score.llr));
    // One reason carries the weight; the others have none.
    let weights = std::iter::once((lifted - score.llr) as f32).chain(std::iter::repeat(0.0));
    let signals = findings
        .iter()
        .zip(weights)
        .map(|(finding, weight)| Signal {
            name: finding.name().into(),
            weight,
        });
    add_symbols(&mut score.symbols, signals.collect());
    worst.shipped += lifted - score.llr;
    (score.llr, score.probability) = (lifted, sigmoid(lifted));
}

thread_local! {
    /// Buffers of the thread, so that scoring allocates next to nothing.
    static EXTRACTOR: RefCell<Extractor> = RefCell::new(Extractor::default());
}

impl Scorer {
    /// The model built into the binary; an error if it is damaged.
    pub fn shipped() -> Result<Self, ModelError> {
        let scorer = Self::new(Model::from_bytes(SHIPPED)?);
        // Tables are built now, so that no message waits for them.
        scorer.score(b"Subject: x\r\n\r\nhttps://a.example/b?c\r\n");
        Ok(scorer)
    }

    /// A scorer for a model.
    pub const fn new(model: Model) -> Self {
        Self { model }
    }

    /// The model that it scores by.
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// Scores a raw message. Never fails: what could not be read becomes a symbol, and makes the
    /// message suspicious.
    pub fn score(&self, message: &[u8]) -> Score {
        EXTRACTOR.with(|cell| match cell.try_borrow_mut() {
            Ok(mut extractor) => {
                extractor.extract(message);
                self.worst(&mut extractor, TenantLearning::Nothing).0
            }
            // Only if scoring called itself; new buffers work as well.
            Err(_) => {
                let mut extractor = Extractor::default();
                extractor.extract(message);
                self.worst(&mut extractor, TenantLearning::Nothing).0
            }
        })
    }

    /// Weighs the view that was read last; `learned` is what a tenant's own mail adds to the model.
    pub fn judge(&self, extractor: &Extractor, learned: Option<&adapt::Delta>) -> Score {
        let mut weighed = self.weigh(extractor, TenantLearning::Nothing);
        if let Some(delta) = learned.filter(|delta| delta.learned() > 0) {
            weighed.llr = delta.llr(weighed.shipped, &extractor.sample());
        }
        self.explained(extractor, &weighed)
    }

    /// Weighs all views of the message extracted last: the worst counts. Until a tenant's `own`
    /// mail is known, what the whole `node` learned is used. Also returns what is needed to learn
    /// the message.
    pub fn judge_among(
        &self,
        extractor: &mut Extractor,
        own: &adapt::Delta,
        node: &adapt::Delta,
    ) -> (Score, adapt::Lesson) {
        let (score, weighed) = self.worst(extractor, TenantLearning::Among(own, node));
        (
            score,
            adapt::Lesson {
                sample: weighed.sample.unwrap_or_default(),
                shipped: weighed.shipped as f32,
            },
        )
    }

    fn worst(&self, extractor: &mut Extractor, learned: TenantLearning<'_>) -> (Score, Weighed) {
        let mut worst = self.weigh(extractor, learned);
        let mut score = self.explained(extractor, &worst);
        let main = worst.llr;
        let mut from = None;
        for number in 0..extractor.views() {
            let Some((source, chance)) = extractor.turn_to(number) else {
                break;
            };
            let mut here = self.weigh(extractor, learned);
            here.llr -= chance;
            here.shipped -= chance;
            if here.llr > worst.llr {
                worst = here;
                from = Some((number, source));
            }
        }
        if let Some((number, source)) = from {
            extractor.turn_to(number);
            score = self.explained(extractor, &worst);
            let name = format!("read_in:{}", source.name()).into();
            add_symbols(
                &mut score.symbols,
                vec![Signal {
                    name,
                    weight: (worst.llr - main) as f32,
                }],
            );
        } else {
            (score.link_hosts, score.link_pages) = (extractor.link_hosts(), extractor.link_pages());
        }
        lift_for_findings(&mut score, &mut worst, extractor.findings());
        (score, worst)
    }

    fn weigh(&self, extractor: &Extractor, learned: TenantLearning<'_>) -> Weighed {
        let words = extractor.text.words();
        let named = (0_u8..)
            .zip(extractor.dense())
            .filter(|(_, v)| **v != 0.0)
            .map(|(i, v)| (i, *v));
        let margin =
            self.model
                .margin(words.iter().map(|w| w.index), extractor.text.lists(), named);
        let shipped = self.model.llr(margin.total());
        let mut weighed = Weighed {
            text: margin.text,
            shipped,
            llr: shipped,
            sample: None,
        };
        if let TenantLearning::Among(own, node) = learned {
            let sample = weighed.sample.insert(extractor.sample());
            let by = |delta: &adapt::Delta| delta.llr(shipped, sample);
            let known = f64::from(own.influence());
            weighed.llr = if known >= 1.0 || node.learned() == 0 {
                by(own)
            } else {
                known * by(own) + (1.0 - known) * by(node)
            };
        }
        weighed
    }

    /// The score of the view that was read last, with its reasons.
    fn explained(&self, extractor: &Extractor, weighed: &Weighed) -> Score {
        let facts = extractor.facts();
        Score {
            llr: weighed.llr,
            probability: sigmoid(weighed.llr),
            symbols: self.symbols(
                extractor,
                weighed.text,
                (weighed.llr - weighed.shipped) as f32,
            ),
            link_hosts: extractor.link_hosts(),
            link_pages: extractor.link_pages(),
            body_hash: facts.body_hash,
            template: similar::fingerprint(extractor.text.pairs()),
            is_report: facts.is_report,
            mime_depth: facts.depth,
            mime_parts: facts.parts,
        }
    }

    /// The contribution of each named feature: its own weight, and what the trees changed when they
    /// asked for it. Only features that the message has are reasons: the absence of a lure explains
    /// nothing.
    fn named(&self, extractor: &Extractor) -> [f32; dense::COUNT] {
        let row = extractor.dense().map(trees::quantise);
        let mut margins = [0.0; dense::COUNT];
        for ((margin, value), weight) in margins
            .iter_mut()
            .zip(extractor.dense())
            .zip(&self.model.dense)
        {
            *margin = value * weight;
        }
        for tree in &self.model.trees {
            tree.answer(&row, |feature, change| {
                let at = usize::from(feature);
                if row.get(at).is_some_and(|v| *v > 0)
                    && let Some(margin) = margins.get_mut(at)
                {
                    *margin += change;
                }
            });
        }
        margins
    }

    /// The strongest reasons, in nats.
    fn symbols(&self, extractor: &Extractor, text: f32, own: f32) -> Vec<Signal> {
        let mut symbols = Vec::with_capacity(24);
        let slope = self.model.calibration.slope;
        let mut add_nats = |name: &str, weight: f32| {
            if weight.abs() >= MIN_SYMBOL {
                symbols.push(Signal {
                    name: name.into(),
                    weight,
                });
            }
        };
        add_nats(
            if own > 0.0 {
                "unlike_own_mail"
            } else {
                "like_own_mail"
            },
            own,
        );
        let mut add = |name: &str, margin: f32| add_nats(name, margin * slope);
        for (feature, margin) in dense::ALL.iter().zip(self.named(extractor)) {
            match extractor.detail(*feature) {
                Some(detail) => add(&format!("{}:{detail}", feature.name()), margin),
                None => add(feature.name(), margin),
            }
        }
        add(
            if text > 0.0 {
                "text_resembles_spam"
            } else {
                "text_resembles_ordinary_mail"
            },
            text,
        );
        let unit = self.model.scale * model::norm(extractor.text.count());
        for word in strongest(&self.model, extractor) {
            add(
                &format!("word:{}", extractor.word_text(word)),
                self.model.weight(word.index) * unit,
            );
        }
        symbols.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
        symbols.truncate(MAX_SYMBOLS);
        symbols
    }
}

/// The words with the largest weights for and against, a few of each.
fn strongest<'a>(model: &Model, extractor: &'a Extractor) -> Vec<&'a text::Word> {
    let mut best: Vec<(f32, &text::Word)> = Vec::with_capacity(2 * MAX_WORDS_NAMED + 1);
    for side in [1.0, -1.0] {
        let first = best.len();
        let mut floor = 0.0;
        for word in extractor.text.words() {
            let weight = model.weight(word.index) * side;
            if weight <= floor {
                continue;
            }
            let here = best.get(first..).unwrap_or_default();
            let at = first + here.partition_point(|(w, _)| *w >= weight);
            best.insert(at, (weight, word));
            best.truncate(first + MAX_WORDS_NAMED);
            if best.len() == first + MAX_WORDS_NAMED {
                floor = best.last().map_or(0.0, |(w, _)| *w);
            }
        }
    }
    best.into_iter().map(|(_, word)| word).collect()
}

#[cfg(test)]
mod tests;
