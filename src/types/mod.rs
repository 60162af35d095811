//! Values that every room of the relay speaks in. Pure: no sockets, files, clock or randomness.

pub(crate) mod address;
pub(crate) mod auth;
pub(crate) mod block;
pub(crate) mod counts;
pub(crate) mod envelope;
pub(crate) mod facts;
pub(crate) mod fingerprint;
pub(crate) mod hash;
pub(crate) mod id;
pub(crate) mod identity;
pub(crate) mod message;
pub(crate) mod outcome;
pub(crate) mod replies;
pub(crate) mod reply;
pub(crate) mod role;
pub(crate) mod secret;
pub(crate) mod time;

pub use address::{Address, Domain, ReversePath};
pub(crate) use auth::AuthMechanism;
pub(crate) use block::{
    Block, BlockKind, BlockState, Evidence, NewBlock, ReleaseVerdict, SenderScope, Signal,
};
pub(crate) use counts::{COUNTERS, Counts};
pub use envelope::{BodyType, Envelope, Recipient};
pub(crate) use envelope::{DsnRet, Notify};
pub use facts::{MessageFacts, RecipientFacts};
pub use hash::stable_hash;
pub(crate) use id::BlockRef;
pub use id::MessageId;
pub use identity::{Identity, SenderKey, Strength, TenantId};
pub(crate) use message::{Action, HoldReason, Reason};
pub use message::{MessageMeta, Pool};
pub(crate) use outcome::{OutcomeClass, RecipientOutcome, RecipientStatus};
pub use reply::{Enhanced, Reply};
pub(crate) use role::Role;
pub(crate) use secret::Secret;
pub use time::Time;
