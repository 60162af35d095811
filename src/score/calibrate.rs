//! From margin to log-likelihood ratio: a straight line fitted on messages the weights have not
//! seen (Platt).

/// One message: its margin, its label, how much it counts.
pub(crate) type Point = (f32, bool, f32);

/// Slope and offset so that sigmoid(slope · margin + offset) is the probability of spam at even
/// odds. Newton's method on two parameters; both classes get the same total weight.
pub(crate) fn platt(points: &[Point]) -> (f32, f32) {
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
