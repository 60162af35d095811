//! The one place that builds and wires everything, and knows the order of start and shutdown.

pub(crate) mod demo;
mod housekeeping;
mod keeping;
mod outcomes;
mod relay;
mod rooms;
pub(crate) mod serve;

pub use relay::Relay;
