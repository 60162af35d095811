//! The door to the next hops, so that the queue can be run against scripted ones.

use crate::delivery::{Attempt, AttemptResult};
use std::future::Future;
use std::pin::Pin;

pub(crate) trait Deliver: Clone + Send + Sync + 'static {
    /// Tries once, within bounded time. One outcome per recipient.
    fn attempt(&self, attempt: Attempt)
    -> Pin<Box<dyn Future<Output = AttemptResult> + Send + '_>>;
}
