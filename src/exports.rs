//! What benchmarks, fuzz targets and the tests in `tests/` use. Nothing else of the library is
//! public.

pub use crate::app::Relay;
pub use crate::config::Settings;
pub use crate::detector::{Detector, Reservation};
pub use crate::env::{Clock, SystemClock};
pub use crate::feedback::report::{self as feedback_report, FeedbackReport};
pub use crate::lab::corpus::{CorpusError, index as corpus_index};
pub use crate::message_token::ensure_key;
pub use crate::policy::scope::choose as choose_policy;
pub use crate::replay::reader::{detector_alone, run as replay};
pub use crate::score::features::Extractor;
pub use crate::score::model::Model;
pub use crate::score::{DeltaError, ModelError, Scorer, adapt};
pub use crate::smtp::server::{Answer, Question, Server, ServerConfig, Step};
pub use crate::spool::Spool;
pub use crate::telemetry::metrics;
pub use crate::types::hash::mix;
pub use crate::types::{
    Address, BodyType, Domain, Enhanced, Envelope, Identity, MessageFacts, MessageId, MessageMeta,
    Pool, Recipient, RecipientFacts, Reply, ReversePath, SenderKey, Strength, TenantId, Time,
    stable_hash,
};

/// Reading the configuration.
pub mod config {
    pub use crate::config::{Settings, defaults, load, parse};
}

/// Sets `[scoring] learning_messages`: a tenant is new for so many messages.
pub fn set_learning_messages(settings: &mut Settings, messages: u64) {
    settings.scoring.learning_messages = messages;
}

/// Takes one kind of evidence out of the detector. False: there is no kind of that name.
pub fn take_evidence_out(settings: &mut Settings, kind: &str) -> bool {
    let without = settings.detector.without(kind);
    without.is_some_and(|tuning| {
        settings.detector = tuning;
        true
    })
}
