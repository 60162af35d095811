//! The trait by which the queue reaches the next hops, so that tests can run the queue against
//! scripted ones.

use crate::delivery::{Attempt, AttemptResult};
use std::future::Future;
use std::pin::Pin;

pub(crate) trait Deliver: Clone + Send + Sync + 'static {
    /// Makes one attempt within bounded time. Returns one outcome per recipient.
    fn attempt(&self, attempt: Attempt)
    -> Pin<Box<dyn Future<Output = AttemptResult> + Send + '_>>;
}
