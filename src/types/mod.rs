//! Values that every room of the relay speaks in. Pure: no sockets, files, clock or randomness.

pub mod address;
pub mod block;
pub mod counts;
pub mod envelope;
pub mod facts;
pub mod fingerprint;
pub mod hash;
pub mod id;
pub mod identity;
pub mod message;
pub mod outcome;
pub mod reply;
pub mod role;
pub mod secret;
pub mod time;

pub use address::{Address, Domain, ReversePath};
pub use block::{
    Block, BlockKind, BlockState, Evidence, NewBlock, ReleaseVerdict, SenderScope, Signal,
};
pub use counts::{COUNTERS, Counts};
pub use envelope::{BodyType, DsnRet, Envelope, Notify, Recipient};
pub use facts::{MessageFacts, RecipientFacts};
pub use hash::stable_hash;
pub use id::{BlockRef, MessageId};
pub use identity::{Identity, SenderKey, Strength, TenantId};
pub use message::{Action, HoldReason, MessageMeta, Pool, Reason};
pub use outcome::{OutcomeClass, RecipientOutcome, RecipientStatus};
pub use reply::{Enhanced, Reply};
pub use role::Role;
pub use secret::Secret;
pub use time::Time;
