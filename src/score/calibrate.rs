//! From margin to log-likelihood ratio: a straight line fitted on messages the weights have not
//! seen (Platt), bent where ordinary mail would lie above even odds.

/// One message: its margin, its label, how much it counts.
pub(crate) type Point = (f32, bool, f32);

/// In the open range the ratio rises slowly from this to zero (nats).
pub(in crate::score) const UNSURE: f32 = -0.2;
/// Outside the open range the ratio returns to the line this many times as fast.
pub(in crate::score) const RETURN: f32 = 4.0;

/// A map from margin to nats. Monotone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bent {
    /// Nats per unit of margin on the line.
    pub slope: f32,
    /// Nats at the margin zero on the line.
    pub offset: f32,
    /// Margin of even odds.
    pub even: f32,
    /// Margin above which, up to `even`, the ratio is left open: as much ham lies there as spam.
    pub open: f32,
}

impl Bent {
    /// A line that is not bent.
    pub const fn line(slope: f32, offset: f32) -> Self {
        let zero = -offset / slope;
        Self {
            slope,
            offset,
            even: zero,
            open: zero + UNSURE / slope,
        }
    }

    /// The line fitted to `points`, even odds moved up to where at most the share `above` of the ham
    /// lies above.
    pub(crate) fn fit(points: &[Point], above: f32) -> Self {
        let (slope, offset) = platt(points);
        let zero = -offset / slope;
        let of = |spam: bool| {
            let mut list: Vec<(f32, f32)> = points
                .iter()
                .filter(|p| p.1 == spam)
                .map(|p| (p.0, p.2))
                .collect();
            list.sort_by(|a, b| b.0.total_cmp(&a.0));
            let total = list.iter().map(|p| p.1).sum::<f32>().max(1e-9);
            list.iter_mut().for_each(|p| p.1 /= total);
            list
        };
        let (ham, spam) = (of(false), of(true));
        let even = from_above(&ham, above).unwrap_or(zero).max(zero);
        let held: f32 = spam
            .iter()
            .filter(|p| p.0 > zero && p.0 < even)
            .map(|p| p.1)
            .sum();
        let hit: f32 = ham.iter().filter(|p| p.0 >= even).map(|p| p.1).sum();
        let open = from_above(&ham, hit + held).unwrap_or(zero);
        Self {
            slope,
            offset,
            even,
            open: open.min(zero + UNSURE / slope),
        }
    }

    /// The calibrated ratio, nats.
    pub fn apply(&self, margin: f32) -> f32 {
        let line = self.slope * margin + self.offset;
        if margin >= self.even {
            line.min(RETURN * self.slope * (margin - self.even))
        } else if margin > self.open {
            UNSURE * (self.even - margin) / (self.even - self.open)
        } else {
            line.max(UNSURE - RETURN * self.slope * (self.open - margin))
                .min(UNSURE)
        }
    }
}

/// The value that the share of `falling` lies above.
fn from_above(falling: &[(f32, f32)], share: f32) -> Option<f32> {
    let mut above = 0.0;
    let found = falling.iter().find(|(_, mass)| {
        above += mass;
        above >= share
    });
    found.map(|(value, _)| *value)
}

/// Slope and offset so that sigmoid(slope · margin + offset) is the probability of spam at even
/// odds. Newton's method on two parameters; both classes get the same total weight.
pub(in crate::score) fn platt(points: &[Point]) -> (f32, f32) {
    let total = |spam: bool| {
        points
            .iter()
            .filter(|p| p.1 == spam)
            .map(|p| f64::from(p.2))
            .sum::<f64>()
            .max(1e-9)
    };
    let (spam_total, ham_total) = (total(true), total(false));
    let (mut a, mut b) = (1.0_f64, 0.0_f64);
    for _ in 0..100 {
        // The small diagonal term keeps the weights finite for separable data.
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (1e-3 * a, 1e-3 * b, 1e-3, 0.0, 1e-3);
        for &(margin, spam, share) in points {
            let x = f64::from(margin);
            let weight = f64::from(share) / if spam { spam_total } else { ham_total };
            let p = 1.0 / (1.0 + (-(a * x + b)).exp());
            let error = weight * (p - if spam { 1.0 } else { 0.0 });
            let curve = weight * p * (1.0 - p);
            ga += error * x;
            gb += error;
            haa += curve * x * x;
            hab += curve * x;
            hbb += curve;
        }
        let det = haa * hbb - hab * hab;
        if det.abs() < 1e-12 {
            break;
        }
        let (da, db) = ((ga * hbb - gb * hab) / det, (gb * haa - ga * hab) / det);
        // Bounded steps: far from the optimum Newton overshoots.
        a = (a - da.clamp(-0.5, 0.5)).max(1e-3);
        b -= db.clamp(-0.5, 0.5);
        if da.abs() + db.abs() < 1e-9 {
            break;
        }
    }
    (a as f32, b as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found() {
        // Margins drawn so that the true log odds are 2 m - 1 on a grid.
        let mut points = Vec::new();
        for i in -300..300 {
            let m = i as f32 / 100.0;
            let p = 1.0 / (1.0 + (-(2.0 * m)).exp());
            points.push((m, true, p));
            points.push((m, false, 1.0 - p));
        }
        let (a, b) = platt(&points);
        assert!((a - 2.0).abs() < 0.1 && b.abs() < 0.05, "{a} {b}");
    }
}
