//! The laws by which made-up mail is scored: the score is a log-likelihood ratio in nats, of good
//! and bad classifiers, well and badly calibrated ones.
//!
//! In a law of two points a message is flagged or not. In the other laws a standard normal number is
//! bent into the law's shape; a part of it belongs to the text, so that its copies score alike.

use super::content::Voice;
use super::drawn::log_uniform;
use super::people::{Quality, WorldClass};
use super::ranges::Range;
use super::rng::Rng;

/// Share of spam that is flagged.
pub(super) const TPR: Range = (0.80, 0.99);
/// Share of ordinary mail that is flagged.
pub(super) const FPR: Range = (0.0005, 0.01);
/// By what a badly calibrated score is multiplied.
pub(super) const SCALE: Range = (0.5, 1.6);
/// What is added to it, nats.
pub(super) const SHIFT: Range = (-1.5, 1.5);
/// How unlike the texts of one sender are, by class: alpha + beta of the share that is flagged. With
/// 20 all persons are much alike, with 0.2 a text is flagged wholly or not at all.
pub(super) const STRENGTHS: [Range; 4] = [(3.0, 50.0), (0.05, 2.0), (0.05, 0.5), (0.05, 3.0)];
/// Scores of shapes other than two points are cut here, nats.
pub(super) const CLIP: f64 = 8.0;
/// Mean and standard deviation of the scores of spam under a weak law.
const WEAK: (f64, f64) = (1.5, 1.5);

/// The shape of a law.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LawShape {
    /// Flagged or not, with noise.
    TwoPoints,
    /// Two normal laws of the same width.
    Normal,
    /// Two logistic laws.
    Logistic,
    /// Two laws with heavy tails (Tukey's h).
    HeavyTails,
    /// Ordinary mail normal, spam normal with mean and deviation 1.5.
    Weak,
}

/// How mail is scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ScoreLaw {
    /// Shares of spam and ordinary mail above the cut.
    pub quality: Quality,
    /// The shape of both laws.
    pub shape: LawShape,
    /// By what scores are multiplied, and what is added then: 1 and 0 if well calibrated.
    pub bent: (f64, f64),
    /// How unlike the texts are of persons, of applications, newsletters and campaigns: alpha + beta.
    pub strengths: [f64; 4],
}

/// The two laws of a shape: ordinary mail around `-centre`, spam around it.
#[derive(Debug, Clone, Copy)]
struct Laws {
    centre: f64,
    width: f64,
}

impl ScoreLaw {
    /// That of the standard world.
    pub(crate) const fn standard() -> Self {
        Self::two_points(Quality {
            tpr: 0.98,
            fpr: 0.001,
        })
    }

    /// Flagged or not, at this quality.
    pub(crate) const fn two_points(quality: Quality) -> Self {
        Self {
            quality,
            shape: LawShape::TwoPoints,
            bent: (1.0, 0.0),
            strengths: [20.0, 1.0, 0.2, 3.0],
        }
    }

    /// Any law.
    pub(super) fn drawn(rng: &mut Rng) -> Self {
        let shape = match rng.below(10) {
            0..3 => LawShape::TwoPoints,
            3..5 => LawShape::Normal,
            5..7 => LawShape::Logistic,
            7..9 => LawShape::HeavyTails,
            _ => LawShape::Weak,
        };
        // A classifier that catches much mostly hits little besides.
        let good = rng.unit();
        let clean = (good + 0.2 * rng.normal()).clamp(0.0, 1.0);
        let between = |(low, high): Range, at: f64| (high - low).mul_add(at, low);
        let odds = |p: f64| (p / (1.0 - p)).ln();
        let tpr = 1.0 / (1.0 + (-between((odds(TPR.0), odds(TPR.1)), good)).exp());
        let fpr = between((FPR.1.ln(), FPR.0.ln()), clean).exp();
        let bent = if rng.chance(0.3) {
            (log_uniform(SCALE, rng), rng.between(SHIFT.0, SHIFT.1))
        } else {
            (1.0, 0.0)
        };
        Self {
            quality: Quality {
                tpr: tpr.clamp(TPR.0, TPR.1),
                fpr: fpr.clamp(FPR.0, FPR.1),
            },
            shape,
            bent,
            strengths: STRENGTHS.map(|range| log_uniform(range, rng)),
        }
    }

    /// What it is, in a few words.
    pub(crate) fn summary(&self) -> String {
        let (scale, shift) = self.bent;
        let bent = if self.bent == (1.0, 0.0) {
            String::new()
        } else {
            format!(", times {scale:.2} {shift:+.2}")
        };
        let shape = match self.shape {
            LawShape::TwoPoints => "two points",
            LawShape::Normal => "normal",
            LawShape::Logistic => "logistic",
            LawShape::HeavyTails => "heavy tails",
            LawShape::Weak => "weak",
        };
        format!(
            "{shape} {:.3}/{:.4}{bent}",
            self.quality.tpr, self.quality.fpr
        )
    }

    /// The strength of a class; `None`: of campaigns.
    const fn strength(&self, class: Option<WorldClass>) -> f64 {
        let [person, application, newsletter, campaign] = self.strengths;
        match class {
            Some(WorldClass::Application) => application,
            Some(WorldClass::Newsletter) => newsletter,
            Some(_) => person,
            None => campaign,
        }
    }

    /// A text of which this share is flagged on average; `class` is whose (`None`: a campaign's),
    /// and with `alike` its copies score alike.
    fn text(&self, flagged: f64, class: Option<WorldClass>, alike: bool, rng: &mut Rng) -> Voice {
        let strength = self.strength(class);
        if self.shape == LawShape::TwoPoints {
            return Voice::Flagged(if alike {
                rng.beta(flagged, strength)
            } else {
                flagged
            });
        }
        let spam = class.is_none();
        // Where the law is cut so that this share lies above.
        let usual = if spam {
            self.quality.tpr
        } else {
            self.quality.fpr
        };
        let moved = quantile(flagged) - quantile(usual);
        let common = if alike { 1.0 / (1.0 + strength) } else { 0.0 };
        let at = if alike { rng.normal() } else { 0.0 };
        Voice::Around {
            spam,
            at: common.sqrt().mul_add(at, moved),
            own: (1.0 - common).sqrt(),
        }
    }

    /// The voice of a new sender.
    pub(super) fn voice(&self, class: WorldClass, rng: &mut Rng) -> Voice {
        let fpr = self.quality.fpr;
        match class {
            WorldClass::Person | WorldClass::List => self.text(fpr, Some(class), true, rng),
            WorldClass::Application => self.text((3.0 * fpr).min(0.5), Some(class), true, rng),
            // Each of its mailings has one of its own.
            WorldClass::Newsletter => Voice::Flagged(0.0),
            WorldClass::Forwarder => self.text(fpr, Some(class), false, rng),
            WorldClass::Bounces => self.text(0.3, Some(class), false, rng),
        }
    }

    /// The voice of one mailing.
    pub(super) fn mailing(&self, rng: &mut Rng) -> Voice {
        let share = (10.0 * self.quality.fpr).min(0.5);
        self.text(share, Some(WorldClass::Newsletter), true, rng)
    }

    /// The voice of spam of which no two messages are alike.
    pub(super) fn spam(&self, rng: &mut Rng) -> Voice {
        self.text(self.quality.tpr, None, false, rng)
    }

    /// The voice of a campaign; words of ordinary mail hide a part of those that are padded.
    pub(super) fn campaign(&self, padded: bool, rng: &mut Rng) -> Voice {
        let tpr = self.quality.tpr;
        match self.text(if padded { tpr * 0.95 } else { tpr }, None, true, rng) {
            Voice::Flagged(share) if padded => Voice::Padded(share),
            Voice::Around { at, own, .. } if padded => Voice::PaddedAround { at, own },
            voice => voice,
        }
    }

    /// The voice of ordinary mail by anybody.
    pub(super) fn harmless(&self) -> Voice {
        if self.shape == LawShape::TwoPoints {
            return Voice::Flagged(self.quality.fpr);
        }
        Voice::Around {
            spam: false,
            at: 0.0,
            own: 1.0,
        }
    }

    /// The score of one message, nats.
    pub(super) fn llr(&self, voice: Voice, rng: &mut Rng) -> f64 {
        let nats = match voice {
            Voice::Flagged(share) => {
                let flagged = rng.chance(share);
                self.quality.llr(flagged, rng)
            }
            Voice::Padded(share) => {
                let flagged = rng.chance(share);
                self.quality.llr(flagged, rng) - if flagged { 1.0 } else { 0.0 }
            }
            Voice::Around { spam, at, own } => self.around(spam, own.mul_add(rng.normal(), at)),
            Voice::PaddedAround { at, own } => {
                self.around(true, own.mul_add(rng.normal(), at)) - 1.0
            }
            // Voices of real mail have no meaning here.
            _ => 0.0,
        };
        let (scale, shift) = self.bent;
        scale.mul_add(nats, shift)
    }

    /// The score at a place of the law, in standard deviations of a normal one.
    fn around(&self, spam: bool, at: f64) -> f64 {
        let nats = if spam && self.shape == LawShape::Weak {
            WEAK.1.mul_add(at, WEAK.0)
        } else {
            let laws = self.laws();
            let centre = if spam { laws.centre } else { -laws.centre };
            laws.width.mul_add(self.bend(at), centre)
        };
        nats.clamp(-CLIP, CLIP)
    }

    /// A standard normal number as one of the shape.
    fn bend(&self, z: f64) -> f64 {
        match self.shape {
            LawShape::TwoPoints | LawShape::Normal | LawShape::Weak => z,
            // The logit of the normal distribution function (Page 1977).
            LawShape::Logistic => z * (0.070_565_992 * z).mul_add(z, 1.597_6),
            LawShape::HeavyTails => z * (0.075 * z * z).exp(),
        }
    }

    /// As far apart as calibrated normal laws of this quality, and so wide that the quality is met.
    fn laws(&self) -> Laws {
        let (spam, ham) = (quantile(self.quality.tpr), -quantile(self.quality.fpr));
        let centre = (spam + ham).powi(2) / 2.0;
        Laws {
            centre,
            width: 2.0 * centre / (self.bend(spam) + self.bend(ham)),
        }
    }
}

/// The standard normal number below which this share lies (Acklam 2003; its error is below 2e-9).
fn quantile(share: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    let sum = |of: &[f64], x: f64| of.iter().fold(0.0, |sum: f64, c| sum.mul_add(x, *c));
    let share = share.clamp(1e-12, 1.0 - 1e-12);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        sum(&C, q) / sum(&D, q)
    };
    if share < 0.024_25 {
        tail(share)
    } else if share > 1.0 - 0.024_25 {
        -tail(1.0 - share)
    } else {
        let (q, r) = (share - 0.5, (share - 0.5).powi(2));
        q * sum(&A, r) / sum(&B, r)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal_law() {
        for (share, wanted) in [
            (0.5, 0.0),
            (0.975, 1.959_964),
            (0.001, -3.090_232),
            (0.98, 2.053_749),
        ] {
            assert!((quantile(share) - wanted).abs() < 1e-5, "{share}");
        }
    }

    #[test]
    fn laws_stay_within_their_ranges_and_all_shapes_are_drawn() {
        let mut rng = Rng::new(1, 1);
        let mut seen = Vec::new();
        for _ in 0..2000 {
            let law = ScoreLaw::drawn(&mut rng);
            assert!((TPR.0..=TPR.1).contains(&law.quality.tpr), "{law:?}");
            assert!((FPR.0..=FPR.1).contains(&law.quality.fpr), "{law:?}");
            let (scale, shift) = law.bent;
            assert!((SCALE.0..=SCALE.1).contains(&scale) && (SHIFT.0..=SHIFT.1).contains(&shift));
            for (strength, (low, high)) in law.strengths.iter().zip(STRENGTHS) {
                assert!((low..=high).contains(strength), "{law:?}");
            }
            if !seen.contains(&law.shape) {
                seen.push(law.shape);
            }
        }
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn each_shape_has_its_quality() {
        let quality = Quality {
            tpr: 0.9,
            fpr: 0.005,
        };
        for shape in [LawShape::Normal, LawShape::Logistic, LawShape::HeavyTails] {
            let law = ScoreLaw {
                shape,
                ..ScoreLaw::two_points(quality)
            };
            let mut rng = Rng::new(3, 3);
            let laws = law.laws();
            let cut = laws.width.mul_add(law.bend(-quantile(0.005)), -laws.centre);
            let mut above = |spam: bool, n: u32| {
                let over = |rng: &mut Rng| {
                    // Every message of a text of its own, so that shares are those of the law.
                    let voice = if spam {
                        law.campaign(false, rng)
                    } else {
                        law.voice(WorldClass::Person, rng)
                    };
                    law.llr(voice, rng) > cut
                };
                f64::from((0..n).filter(|_| over(&mut rng)).count() as u32) / f64::from(n)
            };
            assert!((above(true, 40_000) - 0.9).abs() < 0.01, "{shape:?}");
            assert!((above(false, 200_000) - 0.005).abs() < 0.001, "{shape:?}");
        }
    }

    #[test]
    fn weak_and_badly_calibrated_laws_are_what_they_say() {
        let mut rng = Rng::new(5, 5);
        let mut law = ScoreLaw {
            shape: LawShape::Weak,
            ..ScoreLaw::standard()
        };
        let scores = |law: &ScoreLaw, rng: &mut Rng| -> (f64, f64) {
            let all: Vec<f64> = (0..50_000)
                .map(|_| {
                    let voice = law.campaign(false, rng);
                    law.llr(voice, rng)
                })
                .collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let square = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64;
            (mean, square.sqrt())
        };
        let (mean, deviation) = scores(&law, &mut rng);
        assert!(
            (mean - 1.5).abs() < 0.05 && (deviation - 1.5).abs() < 0.05,
            "{mean} {deviation}"
        );
        law.bent = (0.5, 1.0);
        let (mean, deviation) = scores(&law, &mut rng);
        assert!(
            (mean - 1.75).abs() < 0.05 && (deviation - 0.75).abs() < 0.05,
            "{mean} {deviation}"
        );
    }
}
