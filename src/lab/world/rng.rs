//! Random numbers of the simulated world: SplitMix64 (Steele, Lea, Flood 2014), so that a seed
//! means the same world on every machine and in every version, whatever libraries do.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The stream of a seed; streams of different parts of one world differ in `part`.
    pub(crate) const fn new(seed: u64, part: u64) -> Self {
        Self(crate::types::hash::mix(seed, part ^ 0x6f75_7467_6174_6521))
    }

    /// The next 64 random bits.
    pub(crate) const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in (0, 1].
    fn open(&mut self) -> f64 {
        1.0 - self.unit()
    }

    /// Uniform between the two.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        (high - low).mul_add(self.unit(), low)
    }

    /// Below `n`; 0 if `n` is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// True with that probability.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Standard normal (Box and Muller 1958, one of the two).
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.open().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Lognormal of that median and sigma.
    pub(in crate::lab) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// Beta of that mean and strength (alpha + beta). In logarithms, since the shapes here go down
    /// to 0.001.
    pub(in crate::lab) fn beta(&mut self, mean: f64, strength: f64) -> f64 {
        let (a, b) = (
            self.ln_gamma_variate(mean * strength),
            self.ln_gamma_variate((1.0 - mean) * strength),
        );
        1.0 / (1.0 + (b - a).exp())
    }

    /// Logarithm of a gamma variate (Marsaglia and Tsang 2000, with their boost below shape 1).
    fn ln_gamma_variate(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.ln_gamma_variate(shape + 1.0) + self.open().ln() / shape.max(1e-12);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = c.mul_add(x, 1.0).powi(3);
            if v > 0.0 && self.open().ln() < (0.5 * x).mul_add(x, d - d * v + d * v.ln()) {
                return (d * v).ln();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_right_and_a_seed_repeats() {
        let mut rng = Rng::new(1, 2);
        let n = 200_000;
        let mean = |rng: &mut Rng, f: &dyn Fn(&mut Rng) -> f64| {
            (0..n).map(|_| f(rng)).sum::<f64>() / f64::from(n)
        };
        assert!((mean(&mut rng, &|r| r.unit()) - 0.5).abs() < 0.005);
        assert!((mean(&mut rng, &|r| r.normal().powi(2)) - 1.0).abs() < 0.02);
        assert!((mean(&mut rng, &|r| r.lognormal(20.0, 1.18).ln()) - 20_f64.ln()).abs() < 0.02);
        for (m, k) in [(0.001, 20.0), (0.003, 1.0), (0.01, 0.2), (0.98, 3.0)] {
            assert!(
                (mean(&mut rng, &|r| r.beta(m, k)) - m).abs() < 0.002,
                "{m} {k}"
            );
        }
        assert_eq!(Rng::new(7, 1).bits(), Rng::new(7, 1).bits());
        assert_ne!(Rng::new(7, 1).bits(), Rng::new(7, 2).bits());
    }
}
