//! Why a file of the score is not read. A retry does not help: the file is another one or damaged.

use super::model::{FORMAT, MAX_FILE};

/// Why a model file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Its size in octets.
    #[error("model file of {0} octets is larger than {MAX_FILE}")]
    TooLarge(usize),
    /// It does not begin with the magic of a model file.
    #[error("not an outgate model file")]
    NotAModel,
    /// It was made for another version of the program.
    #[error("model file has format {0}, this version reads {FORMAT}")]
    OtherFormat(u32),
    /// It was made for other features.
    #[error("model file is made for other features ({hashed} hashed, {named} named)")]
    OtherFeatures {
        /// Hashed features it has.
        hashed: u32,
        /// Named features it has.
        named: u32,
    },
    /// Its octets have changed since it was written.
    #[error("model file is damaged: its checksum does not match")]
    Checksum,
    /// It is shorter than its own counts say.
    #[error("model file ends too early")]
    Truncated,
    /// A list in it is longer than any list that is written.
    #[error("model file names {found} entries, at most {most} are read")]
    TooMany {
        /// How many entries it names.
        found: u32,
        /// Entries that are read.
        most: u32,
    },
    /// A number or an index in it is impossible.
    #[error("model file {0}")]
    Impossible(&'static str),
}

/// Why a file of learned weights is refused. The tenant learns anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// It does not begin with the magic of learned weights.
    #[error("not a file of learned weights")]
    NotADelta,
    /// Its octets have changed since it was written.
    #[error("file is damaged: its checksum does not match")]
    Checksum,
    /// It was written by another version of the program.
    #[error("file was learned with other features than this version has")]
    OtherFeatures,
    /// It is shorter than its own counts say.
    #[error("file ends too early")]
    Truncated,
    /// A number in it is impossible.
    #[error("file holds impossible values")]
    Impossible,
}
