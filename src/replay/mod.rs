//! The relay's own decisions on virtual time: from a record of events (`outgate replay`), or from a
//! made-up world with known attacks (`outgate simulate`). Both drive the judge that serves live
//! mail.

pub(crate) mod engine;
pub(crate) mod event;
pub(crate) mod log_line;
pub(crate) mod reader;
mod translate;
