//! Why a line of a replay is not used. The run goes on with the next one.

use crate::score::ModelError;

/// What is wrong with a line, or with the message file that it names.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The line is over the bound, in octets.
    #[error("longer than {0} octets")]
    TooLong(usize),
    /// The line is no JSON of an event.
    #[error("not an event: {0}")]
    NoEvent(serde_json::Error),
    /// The line begins as the relay's log does and cannot be read.
    #[error("not a line of the log: {0}")]
    NoLogLine(serde_json::Error),
    /// A field that this kind of line needs is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field is there and cannot be used.
    #[error("{0}")]
    BadField(&'static str),
    /// The type of the event is none of the contract.
    #[error("type is {0:?}, not message, outcome or complaint")]
    UnknownType(String),
    /// The message file cannot be read.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// The message file is over the bound, in octets.
    #[error("{0}: larger than {1} octets")]
    FileTooLarge(String, u64),
    /// The shipped model cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The same, with the name of the event.
    #[error("{0}: {1}")]
    OfEvent(String, Box<Self>),
}
