//! The relay's own decisions on virtual time: from a record of events (`outgate replay`), or from a
//! made-up world with known attacks (`outgate simulate`). Both drive the judge that serves live
//! mail.

pub mod engine;
pub mod event;
pub mod log_line;
pub mod reader;
mod translate;
pub mod world;
