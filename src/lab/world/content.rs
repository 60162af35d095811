//! What the mail of the world says, as log-likelihood ratios: drawn from a law, or those that a
//! model gave to real mail.

use super::law::ScoreLaw;
use super::people::WorldClass;
use super::real::{ScoredMail, ScoredText};
use super::rng::Rng;
use std::sync::Arc;

/// Where the content of a tenant's mail comes from.
#[derive(Debug, Clone)]
pub(crate) enum WorldContent {
    /// Drawn from this law.
    Drawn(ScoreLaw),
    /// Scores of real mail, by author.
    Real(Arc<ScoredMail>),
}

/// Whose mail a sender's scores are taken from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Voice {
    /// This share of it is flagged.
    Flagged(f64),
    /// The same with words of ordinary mail behind it, which take from the weight of what is
    /// flagged.
    Padded(f64),
    /// Around a place of the law of spam or of ordinary mail: the place of the text, and how much of
    /// the law each of its copies has for itself, in standard deviations.
    Around {
        /// Of the law of spam.
        spam: bool,
        /// The place.
        at: f64,
        /// What the copies have for themselves.
        own: f64,
    },
    /// The same of spam with words of ordinary mail behind it.
    PaddedAround {
        /// The place.
        at: f64,
        /// What the copies have for themselves.
        own: f64,
    },
    /// Messages of one real author, by number.
    Author(usize),
    /// Mailings of one real author, by number.
    Newsletter(usize),
    /// The scores of real delivery reports.
    Reports,
    /// The scores of mail by any person.
    Anybody,
    /// Copies of one text.
    Template(ScoredText),
    /// A real spam, by number, with small changes.
    Campaign(usize),
    /// The same with 150 words of ham behind it.
    PaddedCampaign(usize),
}

impl WorldContent {
    /// The voice of a new sender.
    pub(crate) fn voice(&self, class: WorldClass, rng: &mut Rng) -> Voice {
        match self {
            Self::Drawn(law) => law.voice(class, rng),
            Self::Real(pool) => match class {
                WorldClass::Person => Voice::Author(pool.an_author(rng)),
                WorldClass::Application => Voice::Template(pool.a_template(rng)),
                WorldClass::Newsletter => Voice::Newsletter(pool.a_newsletter(rng)),
                WorldClass::Forwarder | WorldClass::List => Voice::Anybody,
                WorldClass::Bounces => Voice::Reports,
            },
        }
    }

    /// The voice of one mailing of a newsletter.
    pub(crate) fn mailing(&self, voice: Voice, rng: &mut Rng) -> Voice {
        match self {
            Self::Drawn(law) => law.mailing(rng),
            Self::Real(pool) => Voice::Template(pool.text(voice, rng)),
        }
    }

    /// The voice of spam among forwarded mail: each a text of its own.
    pub(crate) fn spam(&self, rng: &mut Rng) -> Voice {
        match self {
            Self::Drawn(law) => law.spam(rng),
            Self::Real(pool) => Voice::Campaign(pool.a_campaign(rng)),
        }
    }

    /// The voice of a campaign.
    pub(crate) fn campaign(&self, padded: bool, rng: &mut Rng) -> Voice {
        match self {
            Self::Drawn(law) => law.campaign(padded, rng),
            Self::Real(pool) if padded => Voice::PaddedCampaign(pool.a_campaign(rng)),
            Self::Real(pool) => Voice::Campaign(pool.a_campaign(rng)),
        }
    }

    /// The voice of harmless mail by which an attacker prepares: what the owner might write.
    pub(crate) fn harmless(&self, owner: Voice) -> Voice {
        match self {
            Self::Drawn(law) => law.harmless(),
            Self::Real(_) => owner,
        }
    }

    /// Score in nats and fingerprint of one message. Made-up text has the fingerprint `drawn`; copies
    /// of a real text differ by so many nats and bits.
    pub(super) fn say(
        &self,
        voice: Voice,
        drawn: u64,
        (nats, bits): (f64, u32),
        rng: &mut Rng,
    ) -> (f64, u64) {
        match (self, voice) {
            (Self::Real(_), Voice::Template(text)) => text.copy(nats, bits, rng),
            (Self::Real(pool), voice) => {
                let text = pool.text(voice, rng);
                (text.llr.into(), text.template)
            }
            (Self::Drawn(law), voice) => (law.llr(voice, rng), drawn),
        }
    }
}
