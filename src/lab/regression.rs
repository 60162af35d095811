//! Plain logistic regression on the named features, with a square penalty (Newton's method).

use crate::score::dense;

/// One message: its named features, whether it is spam, how much it counts.
pub(crate) type Row<'a> = (&'a [(u8, f32)], bool, f64);

/// The weights of the features, and the constant part.
pub(crate) struct Line {
    /// A weight for each named feature.
    pub weights: [f64; dense::COUNT],
    /// Added for every message.
    pub constant: f64,
}

/// Unknowns: the weights and the constant.
const SIZE: usize = dense::COUNT + 1;
/// Steps of Newton's method at most.
const STEPS: usize = 40;

impl Line {
    /// What the line says of a message.
    pub(crate) fn margin(&self, features: &[(u8, f32)]) -> f64 {
        let weight = |at: u8| self.weights.get(usize::from(at)).copied();
        features.iter().fold(self.constant, |sum, (at, value)| {
            sum + weight(*at).unwrap_or_default() * f64::from(*value)
        })
    }
}

/// The line that makes the loss of `rows` and half of `penalty` times its squared weights least.
pub(crate) fn fit(rows: &[Row<'_>], penalty: f64) -> Line {
    let mut line = Line {
        weights: [0.0; dense::COUNT],
        constant: 0.0,
    };
    for _ in 0..STEPS {
        let (slope, curvature) = derivatives(rows, &line, penalty);
        let Some(step) = solve(curvature, slope) else {
            break;
        };
        // Newton's method overshoots far from the end.
        let longest = step.iter().fold(0.0_f64, |most, s| most.max(s.abs()));
        let part = (2.0 / longest.max(1e-12)).min(1.0);
        for (weight, change) in line.weights.iter_mut().zip(&step) {
            *weight -= part * change;
        }
        line.constant -= part * step.last().copied().unwrap_or_default();
        if longest < 1e-6 {
            break;
        }
    }
    line
}

/// Slope and curvature of the loss.
#[expect(
    clippy::indexing_slicing,
    reason = "numbers of features are below their count"
)]
fn derivatives(rows: &[Row<'_>], line: &Line, penalty: f64) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut slope: Vec<f64> = line.weights.iter().map(|w| penalty * w).collect();
    slope.push(0.0);
    let mut curvature = vec![vec![0.0; SIZE]; SIZE];
    for (at, row) in curvature.iter_mut().enumerate() {
        row[at] = if at < dense::COUNT { penalty } else { 1e-9 };
    }
    for (features, spam, share) in rows {
        let p = 1.0 / (1.0 + (-line.margin(features)).exp());
        let error = share * (p - if *spam { 1.0 } else { 0.0 });
        let curve = share * (p * (1.0 - p)).max(1e-9);
        let constant = (dense::COUNT, 1.0);
        let values = || {
            features
                .iter()
                .map(|(at, value)| (usize::from(*at), f64::from(*value)))
                .chain([constant])
        };
        for (i, x) in values() {
            slope[i] += error * x;
            for (j, y) in values() {
                curvature[i][j] += curve * x * y;
            }
        }
    }
    (slope, curvature)
}

/// Solves `matrix · x = right` for a positive definite matrix (Cholesky).
#[expect(clippy::indexing_slicing, reason = "a square matrix of fixed size")]
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    for i in 0..SIZE {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let left = matrix[i][j] - known;
            matrix[i][j] = if i > j {
                left / matrix[j][j]
            } else if left > 0.0 {
                left.sqrt()
            } else {
                return None;
            };
        }
        let known: f64 = (0..i).map(|k| matrix[i][k] * right[k]).sum();
        right[i] = (right[i] - known) / matrix[i][i];
    }
    for i in (0..SIZE).rev() {
        let known: f64 = (i + 1..SIZE).map(|k| matrix[k][i] * right[k]).sum();
        right[i] = (right[i] - known) / matrix[i][i];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_known_odds_is_found() {
        // With feature 3 the odds are 3 : 1, without it 1 : 3; feature 5 says nothing.
        let with: &[(u8, f32)] = &[(3, 1.0), (5, 1.0)];
        let without: &[(u8, f32)] = &[(5, 1.0)];
        let rows = [
            (with, true, 300.0),
            (with, false, 100.0),
            (without, true, 100.0),
            (without, false, 300.0),
        ];
        let line = fit(&rows, 1e-6);
        let odds = 3.0_f64.ln();
        assert!((line.margin(with) - odds).abs() < 1e-3);
        assert!((line.margin(without) + odds).abs() < 1e-3);
        let held = fit(&rows, 1e6);
        assert!(
            held.weights[3].abs() < 1e-3,
            "the penalty holds weights near zero"
        );
    }
}
