//! Values that every room of the relay speaks in. Pure: no sockets, files, clock or randomness.

pub mod address;
pub mod block;
pub mod envelope;
pub mod hash;
pub mod id;
pub mod identity;
pub mod message;
pub mod outcome;
pub mod reply;
pub mod time;

pub use address::{Address, Domain, ReversePath};
pub use block::{Block, BlockKind, BlockState, Evidence, ReleaseVerdict, SenderScope, Signal};
pub use envelope::{BodyType, DsnRet, Envelope, Notify, Recipient};
pub use hash::stable_hash;
pub use id::{BlockRef, MessageId};
pub use identity::{Identity, SenderKey, Strength, TenantId};
pub use message::{Action, HoldReason, MessageMeta, Pool, Reason};
pub use outcome::{OutcomeClass, RecipientOutcome, RecipientStatus};
pub use reply::{Enhanced, Reply};
pub use time::Time;
