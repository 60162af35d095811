//! The measures for a message besides its sender's own past: the bounds, its tenant, and the
//! evidence against other accounts.

use super::Detector;
use super::evidence::Bounds;
use super::state::baseline::{Classes, SenderClass};
use super::state::client_campaign::ClientCampaign;
use super::state::group::{self, Group};
use super::state::templates::Templates;
use crate::config::Settings;
use crate::config::policies::Policy;
use crate::config::tuning::{Prior, Tuning};
use crate::policy::scope::Choice;
use crate::types::hash::hash_text;
use crate::types::{Identity, MessageFacts, Strength, Time};

/// The measures for a sender besides its own past.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    /// The bounds of the policy.
    pub bounds: Bounds,
    pub tuning: &'a Tuning,
    /// The tenant is new: the level of its scores says little.
    pub learning: bool,
    /// Share of the mail of others in the tenant that scores as high as this message; `None` where
    /// too little is known, or where the tenant is not new and the score is below even odds.
    pub usual: Option<f64>,
    /// What is usual for the classes of the tenant; `None` while it has too few senders.
    pub classes: Option<Classes>,
    /// Evidence against other accounts of the client lately, in nats.
    pub suspicion_of_others: f64,
    /// That evidence is a campaign beyond chance ([`ClientCampaign::is_campaign`]).
    pub campaign: bool,
    /// Evidence against other accounts of the tenant with the text of this message lately, in nats.
    pub suspicion_of_text: f64,
    /// Copies of the text are held because of it.
    pub text_held: bool,
}

impl Context<'_> {
    /// The prior of a class.
    pub(super) fn prior(&self, class: SenderClass) -> Prior {
        match self.classes {
            _ if self.learning => Tuning::PRIOR_NEW_TENANT,
            Some(classes) => classes.prior(class),
            None => Tuning::PRIOR_SMALL_TENANT,
        }
    }

    /// The tenant is new, and enough of its other mail is known.
    pub(super) const fn is_ranked(&self) -> bool {
        self.learning && self.usual.is_some()
    }

    /// Whether this message is unlike the tenant's other mail, as far as that is known. Always true
    /// if the tenant is not new.
    pub(super) fn is_rare(&self) -> bool {
        !self.learning || self.usual.is_some_and(|share| share <= Tuning::RARE_SHARE)
    }

    /// The bounds that a policy sets.
    pub(super) fn bounds_of(&self, policy: &Policy) -> Bounds {
        Bounds {
            content: self.bounds.content,
            ..Bounds::new(policy.false_block_rate, false, self.tuning)
        }
    }
}

impl Detector {
    /// The measures for this identity. Content counts less while its tenant is new, and a tenant
    /// that has sent little has no classes.
    pub(super) fn context<'a>(
        &self,
        now: Time,
        settings: &'a Settings,
        identity: &Identity,
        choice: &Choice<'_>,
    ) -> Context<'a> {
        let needed = settings.scoring.learning_messages;
        let (messages, classes) = self
            .groups
            .read(&group::tenant_key(&identity.tenant), |g| {
                (g.messages, g.classes.as_deref().copied())
            })
            .unwrap_or_default();
        let tuning = &settings.detector;
        let (suspicion_of_others, campaign) = self.suspicion_of_client(now, identity, tuning);
        // If only the policy in shadow mode has a detector, its evidence is gathered.
        let rate = choice
            .policies()
            .map(|p| p.false_block_rate)
            .find(|rate| *rate > 0.0);
        let learning = messages < needed;
        Context {
            bounds: Bounds::new(rate.unwrap_or(0.0), learning, tuning),
            tuning,
            learning,
            usual: None,
            classes: (messages >= needed.max(Tuning::ESTABLISHED_MESSAGES))
                .then(|| classes.unwrap_or_default()),
            suspicion_of_others,
            campaign,
            suspicion_of_text: 0.0,
            text_held: false,
        }
    }

    /// The same for a message, with its score and its text.
    pub(super) fn context_of_message<'a>(
        &self,
        now: Time,
        settings: &'a Settings,
        facts: &MessageFacts<'_>,
        choice: &Choice<'_>,
    ) -> Context<'a> {
        let mut context = self.context(now, settings, facts.identity, choice);
        (context.suspicion_of_text, context.text_held) =
            self.suspicion_of_text(now, facts, context.tuning);
        context.usual = self.usual(facts, context.learning);
        context
    }

    /// Evidence against the other accounts of the client lately, in nats, and whether that is a
    /// campaign. Merely claimed senders neither add to it nor are judged by it.
    fn suspicion_of_client(&self, now: Time, identity: &Identity, tuning: &Tuning) -> (f64, bool) {
        if !identity.strength.is_account() {
            return (0.0, false);
        }
        let who = hash_text(identity.key.as_str());
        let client = group::client_key(&identity.tenant, identity.client);
        let of = |campaign: &ClientCampaign| {
            let nats = campaign.suspicion_of_others(now, who, tuning.pool_half_life_minutes);
            (
                nats.min(tuning.pool_hot),
                campaign.is_campaign(now, nats, tuning.pool_hot),
            )
        };
        self.groups
            .read(&client, |g| g.campaign.as_deref().map(of))
            .flatten()
            .unwrap_or_default()
    }

    /// Evidence against other accounts of the tenant with the text of this message, in nats, and
    /// whether its copies are held.
    fn suspicion_of_text(
        &self,
        now: Time,
        facts: &MessageFacts<'_>,
        tuning: &Tuning,
    ) -> (f64, bool) {
        let identity = facts.identity;
        let asked =
            facts.template != 0 && tuning.template_hot > 0.0 && identity.strength.is_account();
        if !asked {
            return (0.0, false);
        }
        let suspicion = |g: &Group| {
            let (who, to) = (hash_text(identity.key.as_str()), external(facts));
            let of = |t: &Templates| t.suspicion(now, who, facts.template, &to, tuning);
            g.templates.as_deref().map(of)
        };
        self.groups
            .read(&group::templates_key(&identity.tenant), suspicion)
            .flatten()
            .unwrap_or_default()
    }

    /// Share of the mail of others in the tenant that scores as high. Not looked up for delivery
    /// reports and forwarded mail, which quote other authors, nor where nobody asks.
    fn usual(&self, facts: &MessageFacts<'_>, learning: bool) -> Option<f64> {
        let asked = learning || facts.llr > 0.0;
        if !asked || facts.identity.strength == Strength::None {
            return None;
        }
        let who = hash_text(facts.identity.key.as_str());
        self.scores
            .read(&group::tenant_key(&facts.identity.tenant), |s| {
                s.share_above(who, facts.llr)
            })
            .flatten()
    }
}

/// Hashes of the external recipients.
pub(super) fn external(facts: &MessageFacts<'_>) -> Vec<u64> {
    facts
        .recipients
        .iter()
        .filter(|r| !r.internal)
        .map(|r| r.hash)
        .collect()
}
