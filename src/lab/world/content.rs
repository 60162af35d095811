//! What the mail of the world says, as log-likelihood ratios: drawn for a classifier of stated
//! quality, or those that the shipped model gave to real mail.

use super::mailbag::ScoredMail;
use super::people::{Quality, WorldClass};
use super::rng::Rng;
use std::sync::Arc;

/// Standard deviation in nats between two copies of one template that differ in a name or a number.
const COPY_NATS: f64 = 0.2;

/// Where the content of a tenant's mail comes from.
#[derive(Debug, Clone)]
pub(crate) enum WorldContent {
    /// Drawn for a classifier of this quality.
    Drawn(Quality),
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
    /// Messages of one real author, by number.
    Author(usize),
    /// Mailings of one real author, by number.
    Newsletter(usize),
    /// The scores of real delivery reports.
    Reports,
    /// The scores of mail by any person.
    Anybody,
    /// Copies of one text of this LLR.
    Template(f64),
    /// A real spam, by number, with small changes.
    Campaign(usize),
    /// The same with 150 words of ham behind it.
    PaddedCampaign(usize),
}

impl WorldContent {
    /// The voice of a new sender.
    pub(crate) fn voice(&self, class: WorldClass, rng: &mut Rng) -> Voice {
        match self {
            Self::Drawn(quality) => Voice::Flagged(match class {
                WorldClass::Person | WorldClass::List => rng.beta(quality.fpr, 20.0),
                WorldClass::Application => rng.beta((3.0 * quality.fpr).min(0.5), 1.0),
                WorldClass::Newsletter => 0.0,
                WorldClass::Forwarder => quality.fpr,
                WorldClass::Bounces => 0.3,
            }),
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
            Self::Drawn(quality) => Voice::Flagged(rng.beta((10.0 * quality.fpr).min(0.5), 0.2)),
            Self::Real(_) => Voice::Template(self.llr(voice, rng)),
        }
    }

    /// The voice of spam among forwarded mail: each a text of its own.
    pub(crate) fn spam(&self, rng: &mut Rng) -> Voice {
        match self {
            Self::Drawn(quality) => Voice::Flagged(quality.tpr),
            Self::Real(pool) => Voice::Campaign(pool.a_campaign(rng)),
        }
    }

    /// The voice of a campaign.
    pub(crate) fn campaign(&self, padded: bool, rng: &mut Rng) -> Voice {
        match self {
            // Words of ordinary mail hide a part of the campaigns.
            Self::Drawn(quality) if padded => Voice::Padded(rng.beta(quality.tpr * 0.95, 3.0)),
            Self::Drawn(quality) => Voice::Flagged(rng.beta(quality.tpr, 3.0)),
            Self::Real(pool) if padded => Voice::PaddedCampaign(pool.a_campaign(rng)),
            Self::Real(pool) => Voice::Campaign(pool.a_campaign(rng)),
        }
    }

    /// The voice of harmless mail by which an attacker prepares: what the owner might write.
    pub(crate) const fn harmless(&self, owner: Voice) -> Voice {
        match self {
            Self::Drawn(quality) => Voice::Flagged(quality.fpr),
            Self::Real(_) => owner,
        }
    }

    /// The LLR of one message, nats.
    pub(crate) fn llr(&self, voice: Voice, rng: &mut Rng) -> f64 {
        match (self, voice) {
            (Self::Drawn(quality), Voice::Flagged(share)) => {
                let flagged = rng.chance(share);
                quality.llr(flagged, rng)
            }
            (Self::Drawn(quality), Voice::Padded(share)) => {
                let flagged = rng.chance(share);
                quality.llr(flagged, rng) - if flagged { 1.0 } else { 0.0 }
            }
            (_, Voice::Template(llr)) => COPY_NATS.mul_add(rng.normal(), llr),
            (Self::Real(pool), voice) => pool.llr(voice, rng),
            // Voices of real mail have no meaning here.
            (Self::Drawn(_), _) => 0.0,
        }
    }
}
