//! What adaptation is worth: a corpus plays a tenant, the models are trained without it.
//!
//! For each tenant and each corpus of spam a model is trained without the tenant's ham and without
//! that spam; then the tenant's mail is learned as the relay would learn it, and what is left of
//! its ham is held against that spam. A tenant has one model: each has its own cut, and what is
//! caught is counted together.

use super::build;
use super::corpus::CorpusMessage;
use super::eval::{Figures, Ratios, figures};
use super::held_out::{HeldOut, Left, Library};
use super::sources::{JUDGED_SPAM, TENANTS};
use super::train::{Dice, Recipe};
use crate::score::adapt::{Delta, Label, Lesson};
use crate::score::model::Model;

/// Own messages learned before the tenant is judged.
const LEARNED: [usize; 4] = [0, 50, 200, 500];
/// Messages of the poisoned start, and how many of them per spam.
const POISONED: (usize, usize) = (500, 5);
/// Shuffled orders: the first messages of an index are no fair sample of all the years.
const SHUFFLED: u64 = 3;

/// One model, the messages, and the order in which they come.
struct ProtocolStage {
    model: Model,
    ham: Vec<Lesson>,
    spam: Vec<Lesson>,
    /// The same spam with ham words behind it, in any order; may be empty.
    padded: Vec<Lesson>,
}

impl ProtocolStage {
    fn assume(&self, delta: &mut Delta, lesson: &Lesson) {
        delta.learn(&self.model, lesson, Label::Unlabelled);
    }

    /// The first messages are learned, the others judged, against `spam`.
    fn after(&self, learned: usize, spam: &[Lesson]) -> Ratios {
        let mut delta = Delta::default();
        let (first, rest) = self.ham.split_at(learned.min(self.ham.len()));
        first
            .iter()
            .for_each(|lesson| self.assume(&mut delta, lesson));
        judge(&delta, rest, spam)
    }

    /// A fifth of the first messages is spam.
    fn poisoned(&self) -> Ratios {
        let spams = (POISONED.0 / POISONED.1).min(self.spam.len() / 2);
        let (poison, spam) = self.spam.split_at(spams);
        let (first, ham) = self
            .ham
            .split_at((spams * (POISONED.1 - 1)).min(self.ham.len()));
        let mut delta = Delta::default();
        for (four, one) in first.chunks(POISONED.1 - 1).zip(poison) {
            four.iter()
                .chain([one])
                .for_each(|lesson| self.assume(&mut delta, lesson));
        }
        judge(&delta, ham, spam)
    }

    /// After 500 messages every second one is spam, and all of it is offered for learning as it
    /// comes: as judged then, and by the unadapted model.
    fn mixed(&self) -> (Ratios, Ratios) {
        let (mut warm, mut cold) = (Ratios::default(), Ratios::default());
        let mut delta = Delta::default();
        let (first, rest) = self.ham.split_at(POISONED.0.min(self.ham.len()));
        first
            .iter()
            .for_each(|lesson| self.assume(&mut delta, lesson));
        for (ham, spam) in rest.iter().zip(&self.spam) {
            warm.ham.push(llr(&delta, ham));
            self.assume(&mut delta, ham);
            warm.spam.push(llr(&delta, spam));
            self.assume(&mut delta, spam);
            cold.ham.push(f64::from(ham.shipped));
            cold.spam.push(f64::from(spam.shipped));
        }
        (warm, cold)
    }
}

fn llr(delta: &Delta, lesson: &Lesson) -> f64 {
    delta.llr(f64::from(lesson.shipped), &lesson.sample)
}

fn judge(delta: &Delta, ham: &[Lesson], spam: &[Lesson]) -> Ratios {
    let all = |list: &[Lesson]| list.iter().map(|lesson| llr(delta, lesson)).collect();
    Ratios {
        ham: all(ham),
        spam: all(spam),
    }
}

/// What the models of a tenant judged, by protocol: the name, one entry per model and order, the
/// orders.
type Rows = Vec<(String, Vec<Ratios>, usize)>;

/// Runs the protocols for every corpus with ham: `after N` own messages, `poisoned`, `mixed` and
/// `mixed, cold`, in the order of its index unless a row says `shuffled`. `padded` is spam with ham
/// words behind it, for rows of its own; it may be empty. Calibration comes from `held_out`.
pub(crate) fn adapted(
    library: &Library<'_>,
    held_out: &HeldOut,
    padded: &[CorpusMessage],
    recipe: &Recipe,
) -> Vec<Figures> {
    let mut out = Vec::new();
    for (tenant, corpora) in TENANTS {
        let mut rows = Rows::new();
        for source in JUDGED_SPAM {
            let left = Left {
                spam: Some(source),
                ham: corpora,
                projects: None,
            };
            let others = held_out.without(source, corpora);
            let model = build::build(library, left, &others, recipe, "");
            let lessons = |items: &mut dyn Iterator<Item = &CorpusMessage>| -> Vec<Lesson> {
                items
                    .map(|i| Lesson::new(&model, i.sample.clone()))
                    .collect()
            };
            let mut ham = lessons(&mut corpora.iter().flat_map(|name| library.of(name, false)));
            if corpora.len() > 1 {
                Dice::new(recipe.seed).shuffle(&mut ham);
            }
            let mut spam = lessons(&mut library.of(source, true));
            let behind = |i: &&CorpusMessage| library.name(i) == source;
            let padded = lessons(&mut padded.iter().filter(behind));
            Dice::new(recipe.seed).shuffle(&mut spam);
            run(
                &mut ProtocolStage {
                    model,
                    ham,
                    spam,
                    padded,
                },
                &mut rows,
            );
        }
        out.extend(rows.iter().map(|(protocol, judged, orders)| {
            let spams: usize = judged.iter().map(|j| j.spam.len()).sum();
            figures(tenant, protocol, judged, spams / orders)
        }));
    }
    out
}

fn note(rows: &mut Rows, protocol: &str, orders: usize, judged: Ratios) {
    match rows.iter_mut().find(|(name, ..)| name == protocol) {
        Some((_, list, _)) => list.push(judged),
        None => rows.push((protocol.to_owned(), vec![judged], orders)),
    }
}

fn run(stage: &mut ProtocolStage, rows: &mut Rows) {
    // A small corpus keeps a third of its ham to be judged.
    for learned in LEARNED
        .into_iter()
        .filter(|n| *n * 3 / 2 <= stage.ham.len() || *n == 0)
    {
        note(
            rows,
            &format!("after {learned}"),
            1,
            stage.after(learned, &stage.spam),
        );
        if !stage.padded.is_empty() {
            note(
                rows,
                &format!("after {learned}, padded"),
                1,
                stage.after(learned, &stage.padded),
            );
        }
    }
    if stage.ham.len() < 2 * POISONED.0 {
        return;
    }
    note(rows, "poisoned", 1, stage.poisoned());
    let (warm, cold) = stage.mixed();
    note(rows, "mixed", 1, warm);
    note(rows, "mixed, cold", 1, cold);
    for seed in 1..=SHUFFLED {
        Dice::new(seed).shuffle(&mut stage.ham);
        note(
            rows,
            "after 500, shuffled",
            SHUFFLED as usize,
            stage.after(POISONED.0, &stage.spam),
        );
        if !stage.padded.is_empty() {
            note(
                rows,
                "shuffled, padded",
                SHUFFLED as usize,
                stage.after(POISONED.0, &stage.padded),
            );
        }
        let (warm, cold) = stage.mixed();
        note(rows, "mixed, shuffled", SHUFFLED as usize, warm);
        note(rows, "mixed, shuffled, cold", SHUFFLED as usize, cold);
    }
}
