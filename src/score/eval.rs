//! What a model is worth: figures on held-out corpora.

use super::build;
use super::calibrate;
use super::corpus::{Corpus, Item};
use super::train::{self, Recipe};

/// The figures of one comparison of ham with spam.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Figures {
    /// Whose ham.
    pub ham: String,
    /// Whose spam.
    pub spam: String,
    /// Messages of ham and of spam.
    pub messages: [usize; 2],
    /// 100 · (1 − area under the ROC curve).
    pub one_minus_auc_percent: f64,
    /// Ham above p = 0.5, percent.
    pub false_positives_at_half: f64,
    /// Spam above p = 0.5, percent.
    pub caught_at_half: f64,
    /// Spam caught where 0.1 % of ham is hit, percent.
    pub caught_at_0_1: f64,
    /// Spam caught where 1 % of ham is hit, percent.
    pub caught_at_1: f64,
    /// Expected calibration error in 20 bins, both classes weighing the same, percent.
    pub calibration_error: f64,
}

/// Computes the figures of log-likelihood ratios.
pub fn figures(ham_name: &str, spam_name: &str, ham: &[f64], spam: &[f64]) -> Figures {
    let mut sorted = ham.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = |x: f64| sorted.partition_point(|h| *h < x) as f64;
    let not_above = |x: f64| sorted.partition_point(|h| *h <= x) as f64;
    let n = ham.len().max(1) as f64;
    let auc = spam.iter().map(|s| (below(*s) + not_above(*s)) / 2.0).sum::<f64>() / (n * spam.len().max(1) as f64);
    let above = |list: &[f64], cut: f64| 100.0 * list.iter().filter(|x| **x > cut).count() as f64 / list.len().max(1) as f64;
    // At most this share of ham may lie above the cut.
    let cut = |share: f64| {
        let allowed = (share * n).floor() as usize;
        sorted.len().checked_sub(allowed + 1).and_then(|at| sorted.get(at)).copied().unwrap_or(f64::NEG_INFINITY)
    };
    Figures {
        ham: ham_name.into(),
        spam: spam_name.into(),
        messages: [ham.len(), spam.len()],
        one_minus_auc_percent: 100.0 * (1.0 - auc),
        false_positives_at_half: above(ham, 0.0),
        caught_at_half: above(spam, 0.0),
        caught_at_0_1: above(spam, cut(0.001)),
        caught_at_1: above(spam, cut(0.01)),
        calibration_error: 100.0 * calibration_error(ham, spam),
    }
}

fn calibration_error(ham: &[f64], spam: &[f64]) -> f64 {
    const BINS: usize = 20;
    let mut bins = [(0.0_f64, 0.0_f64, 0.0_f64); BINS];
    let weighed = ham.iter().map(|x| (*x, 0.0, 0.5 / ham.len().max(1) as f64));
    for (llr, truth, weight) in weighed.chain(spam.iter().map(|x| (*x, 1.0, 0.5 / spam.len().max(1) as f64))) {
        let p = 1.0 / (1.0 + (-llr).exp());
        if let Some(bin) = bins.get_mut(((p * BINS as f64) as usize).min(BINS - 1)) {
            bin.0 += weight;
            bin.1 += weight * p;
            bin.2 += weight * truth;
        }
    }
    bins.iter().map(|(_, p, truth)| (p - truth).abs()).sum()
}

/// Leave-one-corpus-out: each corpus with ham plays the tenant, against spam of corpora not trained on. A run trains on
/// the corpora that may feed a shipped model, without the ham of the tenant and without one corpus' spam; the margins of
/// that spam and that ham are what counts. Calibration is fitted inside the training part. `padded` is spam with ham words
/// behind it, for a row of its own; it may be empty.
pub fn leave_one_out(corpora: &[Corpus], items: &[Item], padded: &[Item], recipe: &Recipe) -> Vec<Figures> {
    let trainable = |i: &Item| corpora.get(usize::from(i.source)).is_some_and(|c| build::TRAINABLE.contains(&c.name.as_str()));
    let with =
        |f: &dyn Fn(&Corpus) -> usize| (0_u8..).zip(corpora).filter(|(_, c)| f(c) > 0).map(|(n, _)| n).collect::<Vec<u8>>();
    let spam_sources: Vec<u8> = with(&|c| c.spam);
    let name = |n: u8| corpora.get(usize::from(n)).map(|c| c.name.clone()).unwrap_or_default();
    let mut tenants: Vec<(Vec<u8>, bool)> = Vec::new();
    for n in with(&|c| c.ham) {
        // Tenants that were never trained on share their runs.
        if build::TRAINABLE.contains(&name(n).as_str()) {
            tenants.push((vec![n], true));
        } else if let Some((list, _)) = tenants.iter_mut().find(|(_, trained)| !trained) {
            list.push(n);
        } else {
            tenants.push((vec![n], false));
        }
    }
    let mut out = Vec::new();
    for (tenants, trained) in tenants {
        let mut pooled: Vec<(Vec<f64>, Vec<f64>)> = vec![(Vec::new(), Vec::new()); tenants.len()];
        let mut pooled_padded: Vec<f64> = Vec::new();
        for source in &spam_sources {
            let held = |i: &Item| if i.spam { i.source == *source } else { trained && tenants.contains(&i.source) };
            let train: Vec<&Item> = items.iter().filter(|i| trainable(i) && !held(i)).collect();
            let weights = train::fit(&train, recipe);
            let (slope, offset) = calibrate::platt(&build::held_out_margins(&train, recipe));
            let llr = |i: &Item| f64::from(slope * weights.margin(&i.sample) + offset - build::CAUTION);
            let spam: Vec<f64> = items.iter().filter(|i| i.spam && i.source == *source).map(llr).collect();
            pooled_padded.extend(padded.iter().filter(|i| i.source == *source).map(llr));
            for (tenant, pool) in tenants.iter().zip(&mut pooled) {
                let ham: Vec<f64> = items.iter().filter(|i| !i.spam && i.source == *tenant).map(llr).collect();
                out.push(figures(&name(*tenant), &name(*source), &ham, &spam));
                pool.0.extend(ham);
                pool.1.extend(&spam);
            }
        }
        for (tenant, (ham, spam)) in tenants.iter().zip(&pooled) {
            out.push(figures(&name(*tenant), "all held out", ham, spam));
            if !pooled_padded.is_empty() {
                out.push(figures(&name(*tenant), "all, 150 ham words", ham, &pooled_padded));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_known_scores() {
        let f = figures("h", "s", &[-2.0, -1.0, 1.0, -3.0], &[2.0, 3.0, -1.5, 0.5]);
        assert_eq!((f.false_positives_at_half, f.caught_at_half, f.caught_at_1), (25.0, 75.0, 50.0));
        assert!((f.one_minus_auc_percent - 100.0 * (1.0 - (4.0 + 4.0 + 2.0 + 3.0) / 16.0)).abs() < 1e-9);
        assert!(calibration_error(&[-30.0], &[30.0]) < 1e-6);
        assert!(calibration_error(&[30.0], &[-30.0]) > 0.99);
    }
}
