//! What adaptation is worth: a corpus plays a tenant, the models are trained without it.
//!
//! For each tenant and each corpus of spam a model is trained without the tenant's ham and without that spam; then the
//! tenant's mail is learned as the relay would learn it, and what is left of its ham is held against that spam. The figures
//! of a tenant pool all corpora of spam.

use super::adapt::{Delta, Label};
use super::build;
use super::corpus::{Corpus, Item};
use super::eval::{Figures, figures};
use super::model::Model;
use super::train::{Dice, Recipe};

/// Own messages learned before the tenant is judged.
const LEARNED: [usize; 4] = [0, 50, 200, 500];
/// Messages of the poisoned start, and how many of them per spam.
const POISONED: (usize, usize) = (500, 5);

/// Figures of one protocol.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Adapted {
    /// `after N`, `poisoned`, `mixed`, `mixed, cold`, `online`.
    pub protocol: String,
    /// Spam caught where 0.5 % of ham is hit, percent.
    pub caught_at_0_5: f64,
    /// The usual figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// 95 % confidence interval (Wilson) of the spam caught where 0.1 % of ham is hit, percent.
    pub interval_at_0_1: [f64; 2],
}

/// Log-likelihood ratios of ham and of spam.
#[derive(Default)]
struct Judged {
    ham: Vec<f64>,
    spam: Vec<f64>,
}

/// One model, the messages, and the order in which they come.
struct Stage<'a> {
    model: Model,
    ham: Vec<&'a Item>,
    spam: Vec<&'a Item>,
}

impl Stage<'_> {
    fn cold(&self, item: &Item) -> f64 {
        self.model.llr(self.model.margin_of(&item.sample).total())
    }

    fn llr(&self, delta: &Delta, item: &Item) -> f64 {
        delta.llr(self.cold(item), &item.sample)
    }

    fn assume(&self, delta: &mut Delta, item: &Item) {
        delta.learn(&self.model, &item.sample, Label::Unlabelled);
    }

    /// The first messages are learned, the others judged.
    fn after(&self, learned: usize, into: &mut Judged) {
        let mut delta = Delta::default();
        let (first, rest) = self.ham.split_at(learned.min(self.ham.len()));
        first.iter().for_each(|item| self.assume(&mut delta, item));
        into.ham.extend(rest.iter().map(|item| self.llr(&delta, item)));
        into.spam.extend(self.spam.iter().map(|item| self.llr(&delta, item)));
    }

    /// A fifth of the first messages is spam.
    fn poisoned(&self, into: &mut Judged) {
        let spams = (POISONED.0 / POISONED.1).min(self.spam.len() / 2);
        let (poison, spam) = self.spam.split_at(spams);
        let (first, ham) = self.ham.split_at((spams * (POISONED.1 - 1)).min(self.ham.len()));
        let mut delta = Delta::default();
        for (four, one) in first.chunks(POISONED.1 - 1).zip(poison) {
            four.iter().chain([one]).for_each(|item| self.assume(&mut delta, item));
        }
        into.ham.extend(ham.iter().map(|item| self.llr(&delta, item)));
        into.spam.extend(spam.iter().map(|item| self.llr(&delta, item)));
    }

    /// After 500 messages every second one is spam, and all of it is offered for learning as it comes.
    fn mixed(&self, warm: &mut Judged, cold: &mut Judged) {
        let mut delta = Delta::default();
        let (first, rest) = self.ham.split_at(POISONED.0.min(self.ham.len()));
        first.iter().for_each(|item| self.assume(&mut delta, item));
        for (ham, spam) in rest.iter().zip(&self.spam) {
            warm.ham.push(self.llr(&delta, ham));
            self.assume(&mut delta, ham);
            warm.spam.push(self.llr(&delta, spam));
            self.assume(&mut delta, spam);
            cold.ham.push(self.cold(ham));
            cold.spam.push(self.cold(spam));
        }
    }
}

/// Runs the protocols for every corpus with ham, each in the order of its index.
pub fn adapted(corpora: &[Corpus], items: &[Item], recipe: &Recipe) -> Vec<Adapted> {
    let name = |n: u8| corpora.get(usize::from(n)).map(|c| c.name.clone()).unwrap_or_default();
    let trainable = |i: &Item| build::TRAINABLE.contains(&name(i.source).as_str());
    let sources = |spam: bool| {
        let mut list: Vec<u8> = items.iter().filter(|i| i.spam == spam).map(|i| i.source).collect();
        list.dedup();
        list.sort_unstable();
        list.dedup();
        list
    };
    let mut out = Vec::new();
    // Tenants that never feed a model share the models of each spam.
    let mut shared: Vec<Option<Model>> = vec![None; 256];
    for tenant in sources(false) {
        let trained = build::TRAINABLE.contains(&name(tenant).as_str());
        let mut rows: Vec<(String, Judged)> = Vec::new();
        for source in sources(true) {
            let held = |i: &Item| (i.spam && i.source == source) || (!i.spam && i.source == tenant);
            let train = || -> Model {
                let part: Vec<Item> = items.iter().filter(|i| trainable(i) && !held(i)).cloned().collect();
                build::build(corpora, &part, recipe, "")
            };
            let model = match shared.get_mut(usize::from(source)) {
                Some(slot) if !trained => slot.get_or_insert_with(train).clone(),
                _ => train(),
            };
            let mut spam: Vec<&Item> = items.iter().filter(|i| i.spam && i.source == source).collect();
            Dice::new(recipe.seed).shuffle(&mut spam);
            let stage = Stage { model, ham: items.iter().filter(|i| !i.spam && i.source == tenant).collect(), spam };
            run(&stage, &mut rows);
        }
        out.extend(rows.iter().map(|(protocol, judged)| row(protocol, &name(tenant), judged)));
    }
    out
}

/// The first of a kind makes the row.
fn slot<'a>(rows: &'a mut Vec<(String, Judged)>, protocol: &str) -> &'a mut Judged {
    let at = rows.iter().position(|(name, _)| name == protocol).unwrap_or_else(|| {
        rows.push((protocol.to_owned(), Judged::default()));
        rows.len() - 1
    });
    #[allow(clippy::indexing_slicing, reason = "found or pushed just above")]
    &mut rows[at].1
}

fn run(stage: &Stage<'_>, rows: &mut Vec<(String, Judged)>) {
    // A small corpus keeps half of its ham to be judged.
    for learned in LEARNED.into_iter().filter(|n| *n * 2 <= stage.ham.len() || *n == 0) {
        stage.after(learned, slot(rows, &format!("after {learned}")));
    }
    if stage.ham.len() >= 2 * POISONED.0 {
        stage.poisoned(slot(rows, "poisoned"));
        let (mut warm, mut cold) = (Judged::default(), Judged::default());
        stage.mixed(&mut warm, &mut cold);
        for (protocol, judged) in [("mixed", warm), ("mixed, cold", cold)] {
            let pool = slot(rows, protocol);
            pool.ham.extend(judged.ham);
            pool.spam.extend(judged.spam);
        }
    }
}

/// Every message of a corpus is judged, then learned by its label, in the order of the index; by a model that saw nothing of
/// it.
pub fn online(corpora: &[Corpus], items: &[Item], recipe: &Recipe) -> Vec<Adapted> {
    let mut out = Vec::new();
    for (number, corpus) in (0_u8..).zip(corpora).filter(|(_, c)| c.spam > 0 && c.ham > 0) {
        let trainable = |i: &Item| {
            i.source != number && corpora.get(usize::from(i.source)).is_some_and(|c| build::TRAINABLE.contains(&c.name.as_str()))
        };
        let part: Vec<Item> = items.iter().filter(|i| trainable(i)).cloned().collect();
        let stage = Stage { model: build::build(corpora, &part, recipe, ""), ham: Vec::new(), spam: Vec::new() };
        let (mut delta, mut judged) = (Delta::default(), Judged::default());
        for item in items.iter().filter(|i| i.source == number) {
            (if item.spam { &mut judged.spam } else { &mut judged.ham }).push(stage.llr(&delta, item));
            delta.learn(&stage.model, &item.sample, if item.spam { Label::Spam } else { Label::Ham });
        }
        out.push(row("online", &corpus.name, &judged));
    }
    out
}

fn row(protocol: &str, tenant: &str, judged: &Judged) -> Adapted {
    let figures = figures(tenant, "all held out", &judged.ham, &judged.spam);
    let mut sorted = judged.ham.clone();
    sorted.sort_by(f64::total_cmp);
    let allowed = (sorted.len() as f64 * 0.005).floor() as usize;
    let cut = sorted.len().checked_sub(allowed + 1).and_then(|at| sorted.get(at)).copied().unwrap_or(f64::NEG_INFINITY);
    let caught = judged.spam.iter().filter(|x| **x > cut).count() as f64;
    let spams = judged.spam.len().max(1) as f64;
    Adapted {
        protocol: protocol.to_owned(),
        caught_at_0_5: 100.0 * caught / spams,
        interval_at_0_1: wilson(figures.caught_at_0_1 / 100.0, spams).map(|p| 100.0 * p),
        figures,
    }
}

/// 95 % confidence interval of a share seen in `n` (Wilson 1927).
fn wilson(share: f64, n: f64) -> [f64; 2] {
    const Z: f64 = 1.96;
    let middle = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    [middle - half, middle + half]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_shares() {
        let [low, high] = wilson(0.5, 100.0);
        assert!((low - 0.4038).abs() < 1e-3 && (high - 0.5962).abs() < 1e-3);
        assert!(wilson(0.0, 50.0)[0].abs() < 1e-12);
    }
}
