//! What is not the relay: the made-up world of `outgate simulate`, corpora, training and evaluation of
//! the score. Only the command line imports it.

pub(crate) mod boosting;
pub(crate) mod build;
pub(crate) mod corpus;
pub(crate) mod eval;
pub(crate) mod grammar;
pub(crate) mod held_out;
pub(crate) mod protocols;
pub(crate) mod sources;
mod text;
pub(crate) mod train;
pub(crate) mod world;
