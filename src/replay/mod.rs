//! The relay's own decisions on virtual time: from a record of events (`outgate replay`), or from a
//! made-up world with known attacks (`outgate simulate`). Both ask the detector that serves
//! live mail.

pub(crate) mod engine;
mod error;
pub(crate) mod event;
mod lines;
pub(crate) mod log_line;
pub(crate) mod reader;
mod summary;
mod translate;
