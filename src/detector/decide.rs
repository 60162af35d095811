//! The decision on one message.

use super::assess::{Assessment, Assessor};
use super::context::{Context, external};
use super::state::group::{self, Group};
use super::state::scores::Scores;
use super::state::sender::Sender;
use super::state::unsaved::{TextCount, UnsavedRecord};
use super::{Decision, Detector, HOUR, InternalPart, Reservation};
use crate::config::Settings;
use crate::config::tuning::Tuning;
use crate::detector::evidence::Bounds;
use crate::policy::decide::PolicyFacts;
use crate::policy::scope::choose;
use crate::policy::{decide, reasons};
use crate::types::hash::hash_text;
use crate::types::{Action, Block, BlockKind, Identity, MessageFacts, Strength, Time};
use std::sync::Arc;

impl Detector {
    /// Decides on a message. The reservation, made under `reserved_as` (the identity known at
    /// RCPT), is taken over in the same step. Of a message that does not go, only the evidence is
    /// counted if it is rejected, and nothing if it is deferred.
    pub fn decide(
        &self,
        now: Time,
        facts: &MessageFacts<'_>,
        reserved_as: &Identity,
        held: Reservation,
    ) -> Decision {
        let identity = facts.identity;
        let settings = self.settings();
        if let Some(block) = self.block_in_the_way(now, facts) {
            self.give_back(reserved_as, held);
            let internal_part = self.internal_part(now, &settings, facts);
            return refused_by(&settings, block, internal_part);
        }
        // A reservation under another key is given back there.
        let held = if reserved_as.key == identity.key {
            held
        } else {
            self.give_back(reserved_as, held);
            Reservation::default()
        };
        let choice = choose(&settings, identity);
        let context = self.context_of_message(now, &settings, facts, &choice);
        let texts = self.count_text(now, facts, context.learning);
        let before = self.before(facts);
        let assessment = self.senders.with(
            &identity.key,
            || Sender::new(identity, now),
            |sender| {
                sender.release(&held);
                sender.touch(identity, now);
                let pace = choice.policies().find(|p| p.messages_per_minute > 0);
                let minute_messages =
                    pace.map_or(0, |policy| self.minute_messages(now, &identity.key, policy));
                let assessor = Assessor {
                    now,
                    settings: &settings,
                    choice: &choice,
                    facts,
                    before: &before,
                    context: &context,
                    minute_messages,
                    texts,
                };
                let assessment = assessor.assess(sender);
                if pace.is_some() && assessment.counts.messages > 0 {
                    self.unsaved
                        .with(&identity.key, UnsavedRecord::default, |u| u.count(now));
                }
                assessment
            },
        );
        if assessment.decision.action == Action::Defer {
            self.forget(&before, facts);
        } else {
            self.mark(&before, facts, assessment.decision.action.goes());
        }
        let bounds = context.bounds_of(choice.policy);
        let client_blocks =
            self.count_groups(now, &settings, facts, &assessment, &context, &bounds);
        self.conclude(now, &settings, &choice, facts, assessment, client_blocks)
    }

    /// The block that stops this sender, else a block of a website that the message links to.
    fn block_in_the_way(&self, now: Time, facts: &MessageFacts<'_>) -> Option<Arc<Block>> {
        let of_sender = self.active_blocks.gate(now, facts.identity);
        of_sender.or_else(|| {
            self.active_blocks
                .website(now, facts.identity, facts.link_hosts)
        })
    }

    /// Notes the text of the message among those of its sender, if a rule needs them.
    fn count_text(&self, now: Time, facts: &MessageFacts<'_>, learning: bool) -> TextCount {
        let asked = learning || facts.llr > 0.0;
        if !asked {
            return TextCount::default();
        }
        self.unsaved
            .with(&facts.identity.key, UnsavedRecord::default, |u| {
                u.texts(now, facts.template, facts.llr)
            })
    }

    /// Counts for tenant, domain, text and client; true if the claimed senders of this client
    /// together crossed its bound.
    fn count_groups(
        &self,
        now: Time,
        settings: &Settings,
        facts: &MessageFacts<'_>,
        assessment: &Assessment,
        context: &Context<'_>,
        bounds: &Bounds,
    ) -> bool {
        self.count_tenant(now, facts, assessment, context);
        let (identity, counts) = (facts.identity, assessment.counts);
        // Only domains of the tenant: anybody can invent others.
        let tenant = settings.tenant(&identity.tenant);
        let own_domain = identity
            .domain
            .as_ref()
            .filter(|domain| tenant.is_some_and(|t| t.is_internal(domain)));
        if let Some(domain) = own_domain {
            let key = group::domain_key(&identity.tenant, domain);
            self.groups
                .with(&key, Group::default, |g| g.count(now, counts));
        }
        self.count_text_campaign(now, facts, assessment, context);
        self.count_client(now, identity, assessment, context.tuning, bounds)
    }

    /// Counts for the tenant, and lets the message teach what is usual there.
    fn count_tenant(
        &self,
        now: Time,
        facts: &MessageFacts<'_>,
        assessment: &Assessment,
        context: &Context<'_>,
    ) {
        let key = group::tenant_key(&facts.identity.tenant);
        // Content that several accounts are flagged with is no measure of ordinary mail.
        let shared = facts.llr > Tuning::FLAG_NATS && context.suspicion_of_text > 0.0;
        let messages = self.groups.with(&key, Group::default, |g| {
            g.count(now, assessment.counts);
            if let Some(class) = assessment.learned {
                let keep = context.tuning.decay_per_day;
                g.classes
                    .get_or_insert_default()
                    .learn(now, class, facts.llr, keep);
            }
            g.messages
        });
        // Of a busy tenant a part is enough, and lasts longer.
        let asked = messages < Tuning::SCORES_ALL_MESSAGES
            || facts.fingerprint.is_multiple_of(Tuning::SCORES_ONE_IN);
        if assessment.learned.is_some() && asked && !shared {
            self.learn_score(now, facts);
        }
    }

    /// Notes how a message of a tenant scores. Anybody can invent enough claimed senders to
    /// make bad mail usual, so all of one client count as one.
    fn learn_score(&self, now: Time, facts: &MessageFacts<'_>) {
        let identity = facts.identity;
        let who = if identity.strength.is_account() || facts.llr <= 0.0 {
            hash_text(identity.key.as_str())
        } else {
            group::client_key(&identity.tenant, identity.client)
        };
        let key = group::tenant_key(&identity.tenant);
        self.scores
            .with(&key, Scores::default, |s| s.learn(now, who, facts.llr));
    }

    /// Counts for the client, and for the campaign of its accounts; true if its claimed senders
    /// together crossed the bound.
    fn count_client(
        &self,
        now: Time,
        identity: &Identity,
        assessment: &Assessment,
        tuning: &Tuning,
        bounds: &Bounds,
    ) -> bool {
        let (evidence, flag) = (assessment.weight.sum(), assessment.weight.flag);
        let key = group::client_key(&identity.tenant, identity.client);
        self.groups.with(&key, Group::default, |g| {
            g.count(now, assessment.counts);
            // Anybody could invent enough merely claimed senders.
            let hour = f64::from(g.windows.sum(now, HOUR).messages);
            let busy = Tuning::RANK_SLOPE * (hour / Tuning::POOL_BUSY_MESSAGES).ln();
            let busy = busy.max(-Tuning::POOL_QUIET_MOST);
            let joins = flag.joins(evidence, tuning.pool_floor, busy);
            if joins > 0.0 && flag.counts_for_others && identity.strength.is_account() {
                g.campaign.get_or_insert_default().add(
                    now,
                    hash_text(identity.key.as_str()),
                    joins,
                    tuning.pool_share,
                    tuning.pool_half_life_minutes,
                );
            }
            if assessment.by_others
                && let Some(campaign) = &mut g.campaign
            {
                campaign.confirm(now);
            }
            add_claimed(g, identity, evidence, bounds)
        })
    }

    /// Notes the evidence against the sender with this text, for others who send the same.
    fn count_text_campaign(
        &self,
        now: Time,
        facts: &MessageFacts<'_>,
        assessment: &Assessment,
        context: &Context<'_>,
    ) {
        let tuning = context.tuning;
        let (identity, text, flag) = (facts.identity, facts.template, assessment.weight.flag);
        let nats = flag.joins(assessment.weight.against_text(), tuning.template_floor, 0.0);
        let joins = (flag.counts_for_others || flag.newcomer) && nats > 0.0;
        let (by_others, opens) = (assessment.by_others, assessment.decision.opens);
        // A text that others were flagged with, and that scores like ordinary mail this time.
        let eases = facts.llr <= tuning.content_least && context.suspicion_of_text > 0.0;
        let says = joins || by_others || opens || eases;
        // Anybody could invent enough merely claimed senders.
        if text == 0 || tuning.template_hot <= 0.0 || !says || !identity.strength.is_account() {
            return;
        }
        let who = hash_text(identity.key.as_str());
        let key = group::templates_key(&identity.tenant);
        self.groups.with(&key, Group::default, |g| {
            g.last = g.last.max(now);
            let templates = g.templates.get_or_insert_default();
            if joins {
                templates.add(
                    now,
                    who,
                    text,
                    &external(facts),
                    (nats, tuning.pool_share),
                    tuning.pool_half_life_minutes,
                );
            }
            if eases {
                templates.ease(now, text, Tuning::TEXT_EASES, tuning.pool_half_life_minutes);
            }
            if opens {
                templates.met(text);
            }
            if by_others {
                templates.confirm(now, text);
            }
        });
    }
}

/// Adds evidence of a merely claimed sender to its client's; forwarded mail never joins it. True if
/// the client's bound is reached.
pub(super) fn add_claimed(
    group: &mut Group,
    identity: &Identity,
    evidence: f64,
    bounds: &Bounds,
) -> bool {
    let claimed = identity.strength >= Strength::Claimed && !identity.foreign;
    match bounds.block {
        Some(block) if claimed && evidence != 0.0 => {
            group.add_claimed(hash_text(identity.key.as_str()), evidence, block)
        }
        _ => false,
    }
}

/// The decision on a message that a block stops.
fn refused_by(settings: &Settings, block: Arc<Block>, internal_part: InternalPart) -> Decision {
    let website = block.kind == BlockKind::Website;
    let decision = decide::decide(&PolicyFacts {
        blocked: !website,
        blocked_website: website,
        ..PolicyFacts::default()
    });
    Decision {
        action: decision.action,
        reason: decision.reason,
        reply: website.then(|| reasons::website_reply(settings, block.reference)),
        blocked_by: Some(block),
        internal_part,
        open: None,
        alerts: Vec::new(),
        signals: Vec::new(),
        teaches: false,
        shadow_decision: None,
        review: None,
    }
}
