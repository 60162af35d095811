//! What a model is worth: figures on held-out corpora.

use super::build;
use super::corpus::{Corpus, CorpusMessage};
use super::train::{self, Recipe};
use crate::score::calibrate;

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

/// Leave-one-corpus-out: each corpus with ham plays the tenant, against spam of corpora not trained
/// on. A run trains on the corpora that may feed a shipped model, without the ham of the tenant and
/// without one corpus' spam; the margins of that spam and that ham are what counts. Calibration is
/// fitted inside the training part. `padded` is spam with ham words behind it, for a row of its
/// own; it may be empty.
pub(crate) fn leave_one_out(
    corpora: &[Corpus],
    items: &[CorpusMessage],
    padded: &[CorpusMessage],
    recipe: &Recipe,
) -> Vec<Figures> {
    let spam_sources = sources_with(corpora, |c| c.spam);
    let mut out = Vec::new();
    for tenants in tenant_groups(corpora) {
        // Per tenant: judged by each model; and the same ham against padded spam.
        let mut pooled: Vec<[Vec<Ratios>; 2]> =
            vec![[Vec::new(), Vec::new()]; tenants.sources.len()];
        for source in &spam_sources {
            let llr = model_without(corpora, items, recipe, &tenants, *source);
            let of = |list: &[CorpusMessage], spam: bool, source: u8| -> Vec<f64> {
                let of_source = |i: &&CorpusMessage| i.spam == spam && i.source == source;
                list.iter().filter(of_source).map(&llr).collect()
            };
            let spam = of(items, true, *source);
            let padded = of(padded, true, *source);
            for (tenant, [plain, behind]) in tenants.sources.iter().zip(&mut pooled) {
                let ham = of(items, false, *tenant);
                let judged = Ratios {
                    ham: ham.clone(),
                    spam: spam.clone(),
                };
                out.push(figures(
                    name(corpora, *tenant),
                    name(corpora, *source),
                    std::slice::from_ref(&judged),
                    spam.len(),
                ));
                plain.push(judged);
                behind.push(Ratios {
                    ham,
                    spam: padded.clone(),
                });
            }
        }
        for (tenant, [plain, behind]) in tenants.sources.iter().zip(&pooled) {
            let spams = |list: &[Ratios]| list.iter().map(|j| j.spam.len()).sum();
            let tenant = name(corpora, *tenant);
            out.push(figures(tenant, "all held out", plain, spams(plain)));
            if spams(behind) > 0 {
                out.push(figures(tenant, "all, 150 ham words", behind, spams(behind)));
            }
        }
    }
    out
}

/// Corpora whose ham is held out together.
struct TenantGroup {
    /// Numbers of the corpora in the list of all.
    sources: Vec<u8>,
    /// Their ham may feed a shipped model, so it is taken out of the training.
    trained: bool,
}

/// Each corpus with ham by itself; those that are never trained on share their runs.
fn tenant_groups(corpora: &[Corpus]) -> Vec<TenantGroup> {
    let mut groups: Vec<TenantGroup> = Vec::new();
    for source in sources_with(corpora, |c| c.ham) {
        let trained = build::TRAINABLE.contains(&name(corpora, source));
        match groups.iter_mut().find(|group| !trained && !group.trained) {
            Some(group) => group.sources.push(source),
            None => groups.push(TenantGroup {
                sources: vec![source],
                trained,
            }),
        }
    }
    groups
}

/// What a model trained without a group's ham and without the spam of one corpus says of a message,
/// nats.
fn model_without(
    corpora: &[Corpus],
    items: &[CorpusMessage],
    recipe: &Recipe,
    tenants: &TenantGroup,
    spam_source: u8,
) -> impl Fn(&CorpusMessage) -> f64 {
    let held = |i: &CorpusMessage| {
        if i.spam {
            i.source == spam_source
        } else {
            tenants.trained && tenants.sources.contains(&i.source)
        }
    };
    let trainable = |i: &CorpusMessage| build::TRAINABLE.contains(&name(corpora, i.source));
    let train: Vec<&CorpusMessage> = items.iter().filter(|i| trainable(i) && !held(i)).collect();
    let weights = train::fit(&train, recipe);
    let (slope, offset) = calibrate::platt(&build::held_out_margins(&train, recipe));
    move |i: &CorpusMessage| f64::from(slope * weights.margin(&i.sample) + offset - build::CAUTION)
}

/// The numbers of the corpora that hold messages of a kind.
fn sources_with(corpora: &[Corpus], count: impl Fn(&Corpus) -> usize) -> Vec<u8> {
    let some = (0_u8..).zip(corpora).filter(|(_, c)| count(c) > 0);
    some.map(|(n, _)| n).collect()
}

/// The name of a corpus by its number.
fn name(corpora: &[Corpus], source: u8) -> &str {
    corpora.get(usize::from(source)).map_or("", |c| &c.name)
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
