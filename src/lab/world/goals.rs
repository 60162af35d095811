//! What is wanted of the detector: in the standard world and all like it, and with real mail that
//! the model did not see.

use super::attack::AttackKind;

/// At most so many per million sender-days: false blocks, false holds and delays.
pub(super) type MistakeGoal = (f64, Option<f64>);

/// What is wanted of one attack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AttackGoal {
    /// Messages that left, p50 and p99.
    pub messages: (f64, f64),
    /// Recipients of what left, p99.
    pub recipients: Option<f64>,
    /// Share of the campaigns that are never blocked, percent.
    pub never: Option<f64>,
}

/// Which goals hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoalTable {
    /// Those of drawn scores.
    Drawn,
    /// Those of real mail scored by models that did not see it.
    RealMail,
}

impl GoalTable {
    /// The goal of a row of the table of mistakes.
    pub(super) const fn mistakes(self, row: usize) -> Option<MistakeGoal> {
        match (self, row) {
            (Self::Drawn, 0) => Some((1.0, Some(20.0))),
            (Self::Drawn, 1) => Some((20.0, Some(200.0))),
            (Self::Drawn, 2) => Some((100.0, Some(3000.0))),
            (Self::Drawn, 3) => Some((0.0, Some(50.0))),
            (Self::Drawn, 4) => Some((10.0, Some(100.0))),
            (Self::RealMail, 0) => Some((5.0, None)),
            (Self::RealMail, 1) => Some((100.0, None)),
            (Self::RealMail, 2) => Some((500.0, Some(5000.0))),
            _ => None,
        }
    }

    /// The goal of an attack; some have none.
    pub(super) const fn attack(self, kind: AttackKind) -> Option<AttackGoal> {
        let messages = match (self, kind) {
            (_, AttackKind::Scattered | AttackKind::Mixture)
            | (Self::RealMail, AttackKind::Bulk) => return None,
            (Self::Drawn, AttackKind::Blast | AttackKind::Medium) => (4.0, 10.0),
            (Self::Drawn, AttackKind::Bulk) => (0.0, 1.0),
            (Self::Drawn, AttackKind::Slow | AttackKind::Snowshoe) => (4.0, 25.0),
            (Self::Drawn, AttackKind::Patient | AttackKind::Padded | AttackKind::Lateral) => {
                (4.0, 15.0)
            }
            (Self::RealMail, AttackKind::Slow) => (5.0, 40.0),
            (Self::RealMail, AttackKind::Lateral) => (6.0, 50.0),
            (Self::RealMail, AttackKind::Snowshoe) => (10.0, 100.0),
            (Self::RealMail, _) => (4.0, 25.0),
        };
        let recipients = match (self, kind) {
            (Self::RealMail, _) => None,
            (_, AttackKind::Bulk | AttackKind::Slow | AttackKind::Snowshoe) => Some(100.0),
            _ => Some(60.0),
        };
        Some(AttackGoal {
            messages,
            recipients,
            never: match self {
                Self::Drawn => None,
                Self::RealMail => Some(2.0),
            },
        })
    }
}
