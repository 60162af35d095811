//! The judgement of one message: everything about its sender happens in one step under the lock of
//! the sender's record.

use super::repeats::Before;
use super::ruling::{explain, others_note};
use super::unsaved::UnsavedRecord;
use super::{DAY, Decision, Detector, HOUR, InternalPart, Reservation};
use crate::config::Settings;
use crate::config::policies::{Policy, Suspicious, WhenExceeded};
use crate::config::scopes::EvidenceKind;
use crate::config::tuning::Tuning;
use crate::detector::baseline::Class;
use crate::detector::client_campaign::ClientCampaign;
use crate::detector::evidence::{Bounds, FLAG_NATS};
use crate::detector::group::{self, Group};
use crate::detector::habits::setting;
use crate::detector::scores::Scores;
use crate::detector::seen::Counted;
use crate::detector::sender::{Context, Sender, Texts, Weighing, Weight};
use crate::policy::allowance::Allowances;
use crate::policy::decide::{self, PolicyDecision, PolicyFacts, decide};
use crate::policy::scope::{Choice, choose};
use crate::policy::{ceilings, reasons};
use crate::types::Counts;
use crate::types::MessageFacts;
use crate::types::hash::hash_text;
use crate::types::{Action, Block, BlockKind, Identity, Reason, Strength, Time};
use std::sync::Arc;

/// From so many messages on a tenant has a population to borrow from.
const ESTABLISHED_MESSAGES: u64 = 500;

/// What came out under the sender's lock.
pub(super) struct Step {
    pub(super) verdict: PolicyDecision,
    pub(super) weight: Weight,
    pub(super) sum: f64,
    /// The block it opens takes what other accounts drew upon themselves.
    pub(super) by_others: bool,
    /// What other accounts with the same text add, in nats.
    pub(super) by_text: f64,
    /// What the sender behaves like, and whether this message taught what is usual for it.
    pub(super) class: Class,
    pub(super) learned: bool,
    /// What was counted.
    pub(super) counts: Counts,
    /// Passed ceiling and its figure.
    pub(super) ceiling: Option<(Reason, u64)>,
    /// Ceilings that are nearly used up.
    pub(super) near: Vec<ceilings::Near>,
    /// What the policy in shadow mode says.
    pub(super) shadow: Option<PolicyDecision>,
    /// It should be looked at.
    pub(super) review: bool,
    pub(super) explanation: String,
    /// See [`Decision::teaches`].
    pub(super) teaches: bool,
}

impl Detector {
    /// Judges a message. The reservation, made under `reserved_as` (the identity known at RCPT), is
    /// taken over in the same step; nothing is counted for a message that does not go (`Defer`,
    /// `Reject`) but its evidence: a refused spam says as much of its sender as a delivered one,
    /// and a deferred message says it when it comes again.
    pub fn decide(
        &self,
        now: Time,
        facts: &MessageFacts<'_>,
        reserved_as: &Identity,
        held: Reservation,
    ) -> Decision {
        let identity = facts.identity;
        let blocked = self.active_blocks.gate(now, identity);
        let website = if blocked.is_none() {
            self.active_blocks.website(now, identity, facts.link_hosts)
        } else {
            None
        };
        if let Some(block) = blocked.or(website) {
            self.give_back(reserved_as, held);
            let settings = self.settings();
            let internal_part = self.internal_part(now, &settings, facts);
            return refused_by(&settings, block, internal_part);
        }
        let settings = self.settings();
        // Under another key the reservation goes back where it was made.
        let held = if reserved_as.key == identity.key {
            held
        } else {
            self.give_back(reserved_as, held);
            Reservation::default()
        };
        let choice = choose(&settings, identity);
        let mut context = self.context(now, &settings, identity, &choice);
        context.suspicion_of_text = self.suspicion_of_text(now, facts, context.tuning);
        context.usual = self.usual(facts, &context);
        let flagged = facts.llr > FLAG_NATS;
        let texts = if flagged || context.learning {
            self.unsaved
                .with(&identity.key, UnsavedRecord::default, |a| {
                    a.texts(now, facts.template, flagged)
                })
        } else {
            Texts {
                flagged: 1,
                clean: 0,
            }
        };
        let before = self.before(facts);
        let step = self.senders.with(
            &identity.key,
            || Sender::new(identity, now),
            |sender| {
                sender.release(&held);
                sender.touch(identity, now);
                let limited = [Some(choice.policy), choice.shadow]
                    .into_iter()
                    .flatten()
                    .find(|p| p.messages_per_minute > 0);
                let minute =
                    limited.map_or(0, |policy| self.minute_messages(now, &identity.key, policy));
                let step = step(
                    now,
                    &settings,
                    &choice,
                    sender,
                    facts,
                    &before,
                    &context,
                    (minute, texts),
                );
                if limited.is_some() && step.counts.messages > 0 {
                    self.unsaved
                        .with(&identity.key, UnsavedRecord::default, |a| a.count(now));
                }
                step
            },
        );
        if step.verdict.action == Action::Defer {
            self.forget(&before, facts);
        } else {
            self.mark(&before, facts, goes(step.verdict.action));
        }
        let acting = bounds_of(choice.policy, &context);
        let client_open = self.count_groups(now, &settings, facts, &step, &context, &acting);
        self.conclude(now, &settings, &choice, facts, step, client_open)
    }

    /// What this identity is judged against: content counts less while its tenant is new, and a
    /// tenant that has sent little has no classes to borrow from.
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
        let (suspicion_of_others, campaign) = if is_account(identity) {
            let who = hash_text(identity.key.as_str());
            let client = group::client_key(&identity.tenant, identity.client);
            let of = |campaign: &ClientCampaign| {
                let suspicion_of_others =
                    campaign.suspicion_of_others(now, who, tuning.pool_half_life_minutes);
                (
                    suspicion_of_others.min(tuning.pool_hot),
                    campaign.is_campaign(now, suspicion_of_others, tuning.pool_hot),
                )
            };
            self.groups
                .read(&client, |g| g.campaign.as_deref().map(of))
                .flatten()
                .unwrap_or_default()
        } else {
            (0.0, false)
        };
        // Where only the policy in shadow mode has a detector, it is that one's evidence that is
        // gathered.
        let rate = [Some(choice.policy), choice.shadow]
            .into_iter()
            .flatten()
            .map(|p| p.false_block_rate)
            .find(|rate| *rate > 0.0);
        let learning = messages < needed;
        Context {
            bounds: Bounds::new(rate.unwrap_or(0.0), learning, tuning),
            tuning,
            learning,
            usual: None,
            classes: (messages >= needed.max(ESTABLISHED_MESSAGES))
                .then(|| classes.unwrap_or_default()),
            suspicion_of_others,
            campaign,
            suspicion_of_text: 0.0,
        }
    }

    /// Share of the mail of others in a new tenant that scores as high; not asked for delivery
    /// reports and forwarded mail, which quote what others wrote.
    fn usual(&self, facts: &MessageFacts<'_>, context: &Context<'_>) -> Option<f64> {
        if !context.learning || facts.identity.strength == Strength::None {
            return None;
        }
        let who = hash_text(facts.identity.key.as_str());
        self.scores
            .read(&group::tenant_key(&facts.identity.tenant), |s| {
                s.share_above(who, facts.llr)
            })
            .flatten()
    }

    /// Notes how a message of a new tenant scores. Of merely claimed senders anybody can invent
    /// enough to make bad mail usual: all of one client are one.
    fn learn_score(&self, now: Time, facts: &MessageFacts<'_>) {
        let identity = facts.identity;
        let who = if is_account(identity) || facts.llr <= 0.0 {
            hash_text(identity.key.as_str())
        } else {
            group::client_key(&identity.tenant, identity.client)
        };
        self.scores
            .with(&group::tenant_key(&identity.tenant), Scores::default, |s| {
                s.learn(now, who, facts.llr)
            });
    }

    /// Counts for domain, client and tenant; true if the claimed senders of this client together
    /// crossed its bound.
    fn count_groups(
        &self,
        now: Time,
        settings: &Settings,
        facts: &MessageFacts<'_>,
        step: &Step,
        context: &Context<'_>,
        acting: &Bounds,
    ) -> bool {
        let (identity, tuning) = (facts.identity, context.tuning);
        let tenant = &identity.tenant;
        // What several accounts are flagged with is no measure either.
        let shared = facts.llr > FLAG_NATS && context.suspicion_of_text > 0.0;
        if step.learned && context.learning && !shared {
            self.learn_score(now, facts);
        }
        let messages = self
            .groups
            .with(&group::tenant_key(tenant), Group::default, |g| {
                g.count(now, step.counts);
                if step.learned {
                    g.classes.get_or_insert_default().learn(
                        now,
                        step.class,
                        facts.llr,
                        tuning.decay_per_day,
                    );
                }
                g.messages
            });
        if context.learning && messages >= settings.scoring.learning_messages {
            self.scores.remove(&group::tenant_key(tenant));
        }
        // Only domains of the tenant: anybody can invent others.
        if let Some(domain) = identity
            .domain
            .as_ref()
            .filter(|d| settings.tenant(tenant).is_some_and(|t| t.is_internal(d)))
        {
            self.groups
                .with(&group::domain_key(tenant, domain), Group::default, |g| {
                    g.count(now, step.counts)
                });
        }
        let evidence = step.weight.sum();
        self.count_template(now, facts, step, tuning);
        self.groups.with(
            &group::client_key(tenant, identity.client),
            Group::default,
            |g| {
                g.count(now, step.counts);
                // Of merely claimed senders anybody could invent enough.
                let joins = evidence - tuning.pool_floor - step.weight.common;
                if joins > 0.0 && step.weight.counts_for_others && is_account(identity) {
                    let who = hash_text(identity.key.as_str());
                    let campaign = g.campaign.get_or_insert_default();
                    campaign.add(
                        now,
                        who,
                        joins,
                        tuning.pool_share,
                        tuning.pool_half_life_minutes,
                    );
                }
                if step.by_others
                    && let Some(campaign) = &mut g.campaign
                {
                    campaign.confirm(now);
                }
                add_claimed(g, identity, evidence, acting)
            },
        )
    }
}

/// Whether somebody stands behind it who cannot be invented, whatever the envelope says.
pub(super) const fn is_account(identity: &Identity) -> bool {
    matches!(
        identity.strength,
        Strength::Authenticated | Strength::Asserted
    )
}

/// Evidence of merely claimed senders joins their client's; forwarded mail never does.
pub(super) fn add_claimed(
    group: &mut Group,
    identity: &Identity,
    evidence: f64,
    bounds: &Bounds,
) -> bool {
    let counts = identity.strength >= Strength::Claimed && !identity.foreign;
    match bounds.block {
        Some(block) if counts && evidence != 0.0 => {
            group.add_claimed(hash_text(identity.key.as_str()), evidence, block)
        }
        _ => false,
    }
}

pub(super) fn client_explanation(identity: &Identity) -> String {
    format!(
        "Several senders that are merely claimed through {} turned bad together; the last was {}.",
        identity.client, identity.address
    )
}

pub(super) const fn goes(action: Action) -> bool {
    matches!(action, Action::Accept | Action::HighRisk | Action::Hold)
}

/// The bounds that a policy sets, on the same ground.
pub(super) fn bounds_of(policy: &Policy, context: &Context<'_>) -> Bounds {
    Bounds {
        content: context.bounds.content,
        ..Bounds::new(policy.false_block_rate, false, context.tuning)
    }
}

/// What a policy says of a message as far as its ceilings go.
fn ceiling_facts(
    policy: &Policy,
    load: &ceilings::Load,
    add: ceilings::Adding,
    suspicious: bool,
) -> (PolicyFacts, Option<(Reason, u64)>) {
    let over = ceilings::exceeded(policy, load, add);
    let facts = PolicyFacts {
        blocked: false,
        blocked_website: false,
        ceiling: over.map(|(why, _)| why),
        never_fits: over.is_some()
            && ceilings::exceeded(policy, &ceilings::Load::default(), add).is_some(),
        when_exceeded: over.map_or(policy.when_exceeded, |(why, _)| {
            ceilings::response(policy, why)
        }),
        crossed: false,
        spam_rate: false,
        suspicious,
        watched: false,
        unusual: false,
        when_suspicious: policy.suspicious,
    };
    (facts, over)
}

/// The message as it counts, without what the sender's allowances leave out.
fn without(message: &Weighing, allowed: &Allowances<'_>) -> Weighing {
    let mut counts = *message;
    if allowed.leave_out(EvidenceKind::Content) {
        (counts.fresh, counts.llr, counts.listed) = (false, 0.0, 0.0);
    }
    if allowed.leave_out(EvidenceKind::Recipients) {
        (counts.known, counts.new) = (0, 0);
    }
    counts
}

/// What is counted of a message, by what was counted before: external recipients that the sender
/// knows, and what it adds. Its size is counted only where somebody asks for it: it would widen
/// every counter of most senders.
fn adding(
    sender: &Sender,
    facts: &MessageFacts<'_>,
    before: &Before,
    choice: &Choice<'_>,
) -> (u32, ceilings::Adding) {
    let recipients = || facts.recipients.iter().zip(&before.recipients);
    let of_kind = |internal: bool| {
        count(recipients().filter(|(r, c)| r.internal == internal && before.adds(**c)))
    };
    let fresh = || recipients().filter(|(r, c)| !r.internal && before.tells(**c));
    let new = count(fresh().filter(|(r, _)| !sender.known.contains(r.hash)));
    let messages = u32::from(before.counts());
    let sized = [Some(choice.policy), choice.shadow]
        .into_iter()
        .flatten()
        .any(|policy| policy.bytes_per_day > 0);
    let kib = if sized {
        u32::try_from(facts.octets.div_ceil(1024))
            .unwrap_or(u32::MAX)
            .saturating_mul(messages)
    } else {
        0
    };
    (
        count(fresh()) - new,
        ceilings::Adding {
            external: of_kind(false),
            internal: of_kind(true),
            new,
            messages,
            kib,
        },
    )
}

/// The message as the detector sees it.
fn weighing(
    now: Time,
    sender: &Sender,
    facts: &MessageFacts<'_>,
    (letter, fresh): (bool, bool),
    (known, new): (u32, u32),
    texts: Texts,
) -> Weighing {
    let hour = sender.windows.sum(now, HOUR);
    Weighing {
        llr: facts.llr,
        listed: facts.listed,
        fresh,
        letter,
        known,
        new,
        texts,
        setting: setting(now, facts.origin, facts.failed_logins),
        in_hour: hour.messages.saturating_add(1),
        recipients_hour: (
            hour.external.saturating_add(known + new),
            hour.new.saturating_add(new),
        ),
    }
}

/// A message that is put off: nothing of it is counted.
fn put_off(verdict: PolicyDecision, sender: &Sender, ceiling: Option<(Reason, u64)>) -> Step {
    Step {
        verdict,
        weight: Weight::default(),
        sum: sender.sum(),
        by_others: false,
        by_text: 0.0,
        class: Class::Newcomer,
        learned: false,
        counts: Counts::default(),
        ceiling,
        near: Vec::new(),
        shadow: None,
        review: false,
        explanation: String::new(),
        teaches: false,
    }
}

/// Everything about the sender, under the lock of its record.
#[expect(
    clippy::too_many_arguments,
    reason = "the one place where all that is known of a message comes together"
)]
fn step(
    now: Time,
    settings: &Settings,
    choice: &Choice<'_>,
    sender: &mut Sender,
    facts: &MessageFacts<'_>,
    before: &Before,
    context: &Context<'_>,
    (minute_messages, texts): (u32, Texts),
) -> Step {
    let policy = choice.policy;
    let bounds = &bounds_of(policy, context);
    let (known_recipients, add) = adding(sender, facts, before, choice);
    let new = add.new;
    let has_ceilings = ceilings::any(policy) || choice.shadow.is_some_and(ceilings::any);
    let load = if has_ceilings {
        sender.load(now, minute_messages)
    } else {
        ceilings::Load::default()
    };
    let allowed = Allowances::new(settings, facts.identity, facts.template, now);
    let content_counts = !allowed.leave_out(EvidenceKind::Content);
    let suspicious = content_counts && facts.probability >= settings.scoring.suspicious_probability;
    let (mut known, ceiling) = ceiling_facts(policy, &load, add, suspicious);
    if ceiling.is_some() && known.when_exceeded == WhenExceeded::Throttle {
        return put_off(decide(&known), sender, ceiling);
    }
    let part = if before.counts() {
        sender.part(now, facts.fingerprint, before.outside(facts))
    } else {
        (false, false)
    };
    let message = weighing(now, sender, facts, part, (known_recipients, new), texts);
    let class = sender.class(context.tuning);
    let weight = sender.weigh(now, &without(&message, &allowed), context);
    let mut counts = Counts::default();
    let first = before.content == Counted::Not;
    if before.counts() {
        counts.messages = 1;
        counts.spam =
            u32::from(content_counts && facts.probability >= settings.scoring.spam_probability);
        sender.windows.add(now, counts);
    }
    let (suspicion_of_others, by_text) = heat_of_others(&weight, class, context);
    let bounds = &volume_bounds(
        now,
        sender,
        sender.sum() + suspicion_of_others,
        bounds,
        context.tuning,
    );
    known.crossed = bounds.blocks(sender.sum() + suspicion_of_others);
    known.watched = bounds.watches(sender.sum() + suspicion_of_others);
    known.unusual = weight.unusual && !allowed.leave_out(EvidenceKind::Mailing);
    known.spam_rate = is_spam_rate(now, policy, sender);
    let verdict = decide(&known);
    let shadow = choice.shadow.map(|policy| {
        let bounds = volume_bounds(
            now,
            sender,
            sender.sum() + suspicion_of_others,
            &bounds_of(policy, context),
            context.tuning,
        );
        let (crossed, watched) = (
            bounds.blocks(sender.sum() + suspicion_of_others),
            bounds.watches(sender.sum() + suspicion_of_others),
        );
        let spam_rate = is_spam_rate(now, policy, sender);
        let unusual = known.unusual;
        decide(&PolicyFacts {
            crossed,
            watched,
            spam_rate,
            unusual,
            ..ceiling_facts(policy, &load, add, suspicious).0
        })
    });
    let near = if policy.warn_near_ceiling {
        ceilings::near(policy, &load, add)
    } else {
        Vec::new()
    };
    if goes(verdict.action) {
        let more = Counts {
            external: add.external,
            internal: add.internal,
            new,
            kib: add.kib,
            ..Counts::default()
        };
        sender.windows.add(now, more);
        counts.add(more);
    }
    let odd = matches!(
        verdict.reason,
        Reason::UnusualMailing | Reason::Watched | Reason::Evidence | Reason::SpamRate
    );
    let review = first && (suspicious || odd);
    // Nothing is learned from a watched sender or from mail that is held: poison would be learned
    // with it.
    let watched = known.watched || context.bounds.watches(sender.sum() + suspicion_of_others);
    let learned = !watched && learn(sender, facts, &message, &verdict, class);
    let by_others = known.crossed && !bounds.blocks(sender.sum());
    let explanation = if verdict.opens {
        explain(now, policy, sender, verdict.reason, bounds)
            + &others_note(by_others, suspicion_of_others, by_text)
            + &allowed.note()
    } else {
        String::new()
    };
    // What is spam among the first mail of a tenant must not pass for its own: one bad message is
    // enough.
    let doubtful = watched || (context.learning && sender.sum() >= context.tuning.content_most);
    let teaches = !doubtful
        && verdict.action == Action::Accept
        && first
        && !facts.is_report
        && !facts.identity.foreign;
    let learned = learned && message.fresh;
    let sum = sender.sum();
    Step {
        verdict,
        weight,
        sum,
        by_others,
        by_text,
        class,
        learned,
        counts,
        ceiling,
        near,
        shadow,
        review,
        explanation,
        teaches,
    }
}

/// Learns from a message of a sender who is not watched, as far as it went; whether it went.
fn learn(
    sender: &mut Sender,
    facts: &MessageFacts<'_>,
    message: &Weighing,
    verdict: &PolicyDecision,
    class: Class,
) -> bool {
    let went = matches!(verdict.action, Action::Accept | Action::HighRisk);
    if went {
        sender.learn(message);
        facts
            .recipients
            .iter()
            .filter(|r| !r.internal)
            .for_each(|r| sender.known.insert(r.hash));
    } else if verdict.reason == Reason::UnusualMailing && class == Class::Newcomer {
        sender.learn_held(message);
    }
    went
}

/// What other accounts add in nats to mail that itself speaks against its sender, and the part of
/// it that is by the text.
fn heat_of_others(weight: &Weight, class: Class, context: &Context<'_>) -> (f64, f64) {
    let evidence = weight.content + weight.recipients;
    let others_count = |floor: f64, suspicion_of_others: f64| {
        if weight.others_count && evidence > floor {
            suspicion_of_others
        } else {
            0.0
        }
    };
    // In a new tenant everybody writes for the first time: what several of them send is held, and
    // blocks nobody.
    let by_text = match weight.newcomer {
        true if context.learning => 0.0,
        true => context.suspicion_of_text,
        false => others_count(context.tuning.template_floor, context.suspicion_of_text),
    };
    // Who writes for the first time is measured by the other accounts of the client only in a
    // campaign beyond chance.
    let of_client = if class == Class::Newcomer && !context.campaign {
        0.0
    } else {
        context.suspicion_of_others
    };
    // The same accounts may stand behind both: the one that says more counts.
    (
        others_count(context.tuning.pool_floor, of_client).max(by_text),
        by_text,
    )
}

/// The bounds of this sender by its volume, which only matters to a sum that is near them.
pub(super) fn volume_bounds(
    now: Time,
    sender: &Sender,
    sum: f64,
    bounds: &Bounds,
    tuning: &Tuning,
) -> Bounds {
    if bounds.watches(sum) {
        bounds.for_volume(sender.windows.sum(now, DAY).messages, tuning)
    } else {
        *bounds
    }
}

pub(super) fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

fn is_spam_rate(now: Time, policy: &Policy, sender: &Sender) -> bool {
    if policy.spam_rate_min_messages == 0 {
        return false;
    }
    let sum = sender.windows.sum(now, policy.spam_rate_window);
    u64::from(sum.messages) >= policy.spam_rate_min_messages
        && sum.spam > 0
        && f64::from(sum.spam) >= policy.spam_rate * f64::from(sum.messages)
}

fn refused_by(settings: &Settings, block: Arc<Block>, internal_part: InternalPart) -> Decision {
    let website = block.kind == BlockKind::Website;
    let facts = PolicyFacts {
        blocked: !website,
        blocked_website: website,
        ceiling: None,
        never_fits: false,
        when_exceeded: WhenExceeded::Alert,
        crossed: false,
        spam_rate: false,
        suspicious: false,
        watched: false,
        unusual: false,
        when_suspicious: Suspicious::Deliver,
    };
    let verdict = decide::decide(&facts);
    Decision {
        action: verdict.action,
        reason: verdict.reason,
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
