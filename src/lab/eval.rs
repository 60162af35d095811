//! What a model is worth: figures on held-out corpora.

use super::build;
use super::corpus::CorpusMessage;
use super::held_out::{self, HeldOut, Left, Library};
use super::sources;
use super::train::{self, Recipe};
use crate::score::model::Model;

/// The figures of ham held against spam.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Figures {
    /// Name of the corpus whose ham is judged.
    pub ham: String,
    /// Whose spam, or which protocol was followed.
    pub spam: String,
    /// Messages of ham and of spam; those judged by several models count as often.
    pub messages: [usize; 2],
    /// 100 · (1 − area under the ROC curve).
    pub one_minus_auc_percent: f64,
    /// Ham above p = 0.5, percent.
    pub false_positives_at_half: f64,
    /// Spam above p = 0.5, percent.
    pub caught_at_half: f64,
    /// Spam caught where 0.1 % of ham is hit, percent.
    pub caught_at_0_1: f64,
    /// Its 95 % confidence interval (Wilson 1927), percent.
    pub interval_at_0_1: [f64; 2],
    /// Spam caught where 0.5 % of ham is hit, percent.
    pub caught_at_0_5: f64,
    /// Spam caught where 1 % of ham is hit, percent.
    pub caught_at_1: f64,
    /// Its 95 % confidence interval, percent.
    pub interval_at_1: [f64; 2],
    /// Spam that the weights set beforehand catch where 1 % of ham is hit, percent.
    pub untrained_at_1: f64,
    /// Expected calibration error in 20 bins, both classes weighing the same, percent.
    pub calibration_error: f64,
}

/// Log-likelihood ratios that one model gave to ham and to spam.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ratios {
    /// Ratios of ham messages, nats.
    pub ham: Vec<f64>,
    /// Ratios of spam messages, nats.
    pub spam: Vec<f64>,
}

impl Ratios {
    /// Spam above the cut that this share of ham may exceed.
    fn caught(&self, share: f64) -> f64 {
        let mut sorted = self.ham.clone();
        sorted.sort_by(f64::total_cmp);
        let allowed = (share * sorted.len() as f64).floor() as usize;
        let cut = sorted
            .len()
            .checked_sub(allowed + 1)
            .and_then(|at| sorted.get(at))
            .copied()
            .unwrap_or(f64::NEG_INFINITY);
        self.spam.iter().filter(|x| **x > cut).count() as f64
    }

    /// For each spam the share of ham that lies below it, summed.
    fn ranked(&self) -> f64 {
        let mut sorted = self.ham.clone();
        sorted.sort_by(f64::total_cmp);
        let below =
            |x: f64| sorted.partition_point(|h| *h < x) + sorted.partition_point(|h| *h <= x);
        self.spam
            .iter()
            .map(|s| below(*s) as f64 / 2.0)
            .sum::<f64>()
            / sorted.len().max(1) as f64
    }
}

/// The figures of messages judged by one model, or by several, each of which a tenant might have:
/// then each has its own cut, and what is caught is counted together. `distinct` is the number of
/// different spams, for the intervals.
pub(crate) fn figures(
    ham_name: &str,
    spam_name: &str,
    judged: &[Ratios],
    distinct: usize,
) -> Figures {
    let all = |of: &dyn Fn(&Ratios) -> f64| judged.iter().map(of).sum::<f64>();
    let hams = all(&|j| j.ham.len() as f64).max(1.0);
    let spams = all(&|j| j.spam.len() as f64).max(1.0);
    let positive = |list: &[f64]| list.iter().filter(|x| **x > 0.0).count() as f64;
    let caught = |share: f64| all(&|j| j.caught(share)) / spams;
    let interval = |share: f64| wilson(share, distinct.max(1) as f64).map(|p| 100.0 * p);
    let ham: Vec<f64> = judged.iter().flat_map(|j| &j.ham).copied().collect();
    let spam: Vec<f64> = judged.iter().flat_map(|j| &j.spam).copied().collect();
    Figures {
        ham: ham_name.into(),
        spam: spam_name.into(),
        messages: [ham.len(), spam.len()],
        one_minus_auc_percent: 100.0 * (1.0 - all(&Ratios::ranked) / spams),
        false_positives_at_half: 100.0 * all(&|j| positive(&j.ham)) / hams,
        caught_at_half: 100.0 * all(&|j| positive(&j.spam)) / spams,
        caught_at_0_1: 100.0 * caught(0.001),
        interval_at_0_1: interval(caught(0.001)),
        caught_at_0_5: 100.0 * caught(0.005),
        caught_at_1: 100.0 * caught(0.01),
        interval_at_1: interval(caught(0.01)),
        untrained_at_1: 0.0,
        calibration_error: 100.0 * calibration_error(&ham, &spam),
    }
}

/// 95 % confidence interval of a share seen in `n` (Wilson 1927).
fn wilson(share: f64, n: f64) -> [f64; 2] {
    const Z: f64 = 1.96;
    let middle = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    [middle - half, middle + half]
}

fn calibration_error(ham: &[f64], spam: &[f64]) -> f64 {
    const BINS: usize = 20;
    let mut bins = [(0.0_f64, 0.0_f64, 0.0_f64); BINS];
    let weighed = ham.iter().map(|x| (*x, 0.0, 0.5 / ham.len().max(1) as f64));
    for (llr, truth, weight) in weighed.chain(
        spam.iter()
            .map(|x| (*x, 1.0, 0.5 / spam.len().max(1) as f64)),
    ) {
        let p = 1.0 / (1.0 + (-llr).exp());
        if let Some(bin) = bins.get_mut(((p * BINS as f64) as usize).min(BINS - 1)) {
            bin.0 += weight;
            bin.1 += weight * p;
            bin.2 += weight * truth;
        }
    }
    bins.iter().map(|(_, p, truth)| (p - truth).abs()).sum()
}

/// Each pair of sources by a model that saw neither, in nats, and the sums of the weights set
/// beforehand beside it; then the means over pairs and the worst.
pub(crate) fn of_pairs(held_out: &HeldOut) -> Vec<Figures> {
    let calibration = held_out.calibration();
    let nats = |margins: &[f32]| -> Vec<f64> {
        let llrs = margins.iter().map(|m| f64::from(calibration.apply(*m)));
        llrs.collect()
    };
    let mut rows = Vec::new();
    for pair in &held_out.pairs {
        let judged = Ratios {
            ham: nats(&pair.ham),
            spam: nats(&pair.spam),
        };
        let [spam, ham] = pair.priors.each_ref().map(|margins| wide(margins));
        let untrained = Ratios { ham, spam };
        let mut row = figures(
            pair.ham_source,
            pair.spam_source,
            std::slice::from_ref(&judged),
            judged.spam.len(),
        );
        row.untrained_at_1 = 100.0 * untrained.caught(0.01) / untrained.spam.len().max(1) as f64;
        rows.push(row);
    }
    rows
}

fn wide(margins: &[f32]) -> Vec<f64> {
    margins.iter().map(|m| f64::from(*m)).collect()
}

/// The mean and the least of what is caught at 1 % of ham over pairs of judged corpora: of the
/// model, and of the weights set beforehand.
pub(crate) fn mean_and_worst(rows: &[Figures]) -> [(f64, f64); 2] {
    let pairs = || {
        let judged = |f: &&Figures| sources::JUDGED_SPAM.contains(&f.spam.as_str());
        rows.iter().filter(judged)
    };
    let of = |get: fn(&Figures) -> f64| {
        let values: Vec<f64> = pairs().map(get).collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        (mean, values.iter().copied().fold(f64::INFINITY, f64::min))
    };
    [of(|f| f.caught_at_1), of(|f| f.untrained_at_1)]
}

/// What a model says of messages, nats.
fn ratios<'m>(model: &Model, items: impl Iterator<Item = &'m CorpusMessage>) -> Ratios {
    let mut judged = Ratios::default();
    for item in items {
        let llr = model.llr(model.margin_of(&item.sample).total());
        let list = if item.spam {
            &mut judged.spam
        } else {
            &mut judged.ham
        };
        list.push(llr);
    }
    judged
}

/// Rendered mail by models that did not see its project: what lies above even odds.
pub(crate) fn of_rendered(held_out: &HeldOut) -> Vec<Figures> {
    let calibration = held_out.calibration();
    type Kind = (&'static str, fn(&str) -> bool);
    let kinds: [Kind; 2] = [
        ("applications unseen", sources::is_application),
        ("newsletters unseen", sources::is_newsletter),
    ];
    let of_kind = |(name, is_kind): Kind| {
        let of = held_out.rendered.iter().filter(|(n, _)| is_kind(n));
        let ham = of.flat_map(|(_, margins)| margins);
        let judged = Ratios {
            ham: ham.map(|m| f64::from(calibration.apply(*m))).collect(),
            spam: Vec::new(),
        };
        figures(name, "-", &[judged], 0)
    };
    kinds.map(of_kind).into()
}

/// The model of all corpora on a corpus that nothing was trained or tuned on.
pub(crate) fn of_blind(library: &Library<'_>, blind: &str, model: &Model) -> Figures {
    let wanted = |i: &&CorpusMessage| library.name(i) == blind;
    let judged = ratios(model, library.items.iter().filter(wanted));
    let spams = judged.spam.len();
    let mut row = figures(blind, "blind", &[judged], spams);
    let priors = |spam| wide(&held_out::prior_margins(library.of(blind, spam)));
    let untrained = Ratios {
        ham: priors(false),
        spam: priors(true),
    };
    row.untrained_at_1 = 100.0 * untrained.caught(0.01) / spams.max(1) as f64;
    row
}

/// The model of all corpora, without manifest and prototypes.
pub(crate) fn whole_model(library: &Library<'_>, held_out: &HeldOut, recipe: &Recipe) -> Model {
    let weights = train::fit(&library.lessons(Left::default()), recipe);
    let mut model = build::quantise(&weights);
    model.calibration = held_out.calibration();
    model
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_known_scores() {
        let one = |ham: &[f64], spam: &[f64]| Ratios {
            ham: ham.to_vec(),
            spam: spam.to_vec(),
        };
        let judged = one(&[-2.0, -1.0, 1.0, -3.0], &[2.0, 3.0, -1.5, 0.5]);
        let f = figures("h", "s", std::slice::from_ref(&judged), 4);
        assert_eq!(
            (f.false_positives_at_half, f.caught_at_half, f.caught_at_1),
            (25.0, 75.0, 50.0)
        );
        assert!(
            (f.one_minus_auc_percent - 100.0 * (1.0 - (4.0 + 4.0 + 2.0 + 3.0) / 16.0)).abs() < 1e-9
        );
        assert!(f.interval_at_1[0] < 50.0 && f.interval_at_1[1] > 50.0);
        assert!(calibration_error(&[-30.0], &[30.0]) < 1e-6);
        assert!(calibration_error(&[30.0], &[-30.0]) > 0.99);
        // Another model whose scores all lie higher has its own cut.
        let higher = one(&[8.0, 9.0], &[10.0, 8.5]);
        let both = figures("h", "s", &[judged, higher], 6);
        assert!((both.caught_at_0_1 - 100.0 * 3.0 / 6.0).abs() < 1e-9 && both.messages == [6, 6]);
    }

    #[test]
    fn intervals_of_shares() {
        let [low, high] = wilson(0.5, 100.0);
        assert!((low - 0.4038).abs() < 1e-3 && (high - 0.5962).abs() < 1e-3);
        assert!(wilson(0.0, 50.0)[0].abs() < 1e-12);
    }
}
