//! The numbers of the table in `docs/learning.md`, read from the code.

use super::*;
use crate::score::calibrate;

macro_rules! numbers {
    ($($path:path),* $(,)?) => {
        &[$((stringify!($path), $path as f64)),*]
    };
}

/// Constants, each by its name in the page, and their values.
pub(crate) const NUMBERS: &[(&str, f64)] = numbers![
    SLOTS,
    MAX_NATS,
    SHIPPED_NATS,
    KNOWN_MESSAGES,
    MARGIN,
    LEAST_ERROR,
    RATE_ASSUMED,
    RATE_SETTLED,
    RATE_LABEL,
    EASE,
    PASSES,
    MEAN_EVERY,
    MEAN_STEP,
    PADDED_EVERY,
    KEPT_BACK,
    EXCUSE_NATS,
    EXCUSE_NATS_PER_LABEL,
    TRUST_SHIPPED,
    TRUST_SETTLED,
    HALF_TRUST,
    TRUST_SLOPE,
    SETTLED,
    SETTLED_ASSUMED,
    FIT_EVERY,
    FIT_FROM,
    LATELY,
    DISAGREEMENT_PER_DAY,
    KEEP_PER_DAY,
    KEEP_SQUARES_PER_DAY,
    LARGEST_FILE,
    tail::KEPT,
    tail::TAIL,
    tail::ABOVE,
    tail::ABOVE_PER_SPAM,
    tail::MAX_BEND,
    tail::LABELS,
    calibrate::UNSURE,
    calibrate::RETURN,
    folded::GRAMS,
    folded::NAMED,
    folded::LEAST_EVERYDAY,
    own::FREE,
    own::SHARE,
    own::WINDOW,
    own::SENDERS,
];
