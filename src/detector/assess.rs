//! The assessment of one message under the lock of its sender's record: weigh, decide, count,
//! learn. All is one step: in several steps, parallel sessions would pass a ceiling together.

use super::context::Context;
use super::evidence::{AssessedMessage, Bounds, Others, Weight};
use super::explanation::{explain, others_note};
use super::repeats::EarlierCounts;
use super::state::baseline::SenderClass;
use super::state::habits::setting;
use super::state::seen::Counted;
use super::state::sender::Sender;
use super::state::unsaved::TextCount;
use super::{HOUR, count};
use crate::config::Settings;
use crate::config::policies::{Policy, WhenExceeded};
use crate::config::scopes::EvidenceKind;
use crate::config::tuning::Tuning;
use crate::policy::allowance::Allowances;
use crate::policy::ceilings::{self, Adding, Load};
use crate::policy::decide::{PolicyDecision, PolicyFacts, decide};
use crate::policy::scope::Choice;
use crate::types::{Action, Counts, MessageFacts, Reason, Time};

/// The result of the assessment.
pub(super) struct Assessment {
    /// What the policy that acts does.
    pub(super) decision: PolicyDecision,
    /// What the policy in shadow mode would do.
    pub(super) shadow: Option<PolicyDecision>,
    /// Evidence of the message.
    pub(super) weight: Weight,
    /// The sender's sum afterwards, in nats.
    pub(super) sum: f64,
    /// What other accounts add to the sum.
    pub(super) others: Others,
    /// The message opens a block only because of what other accounts add.
    pub(super) by_others: bool,
    /// The sender's class, if the message taught what is usual for it.
    pub(super) learned: Option<SenderClass>,
    pub(super) counts: Counts,
    /// A passed ceiling and its figure.
    pub(super) ceiling: Option<(Reason, u64)>,
    /// Ceilings that are nearly used up.
    pub(super) near: Vec<ceilings::Near>,
    /// A person should look at it.
    pub(super) review: bool,
    /// For a block that it opens: the sentence with the counters.
    pub(super) explanation: String,
    pub(super) teaches: bool,
}

impl Assessment {
    /// Of a deferred message: nothing of it is counted.
    fn put_off(decision: PolicyDecision, sum: f64, ceiling: Option<(Reason, u64)>) -> Self {
        Self {
            decision,
            shadow: None,
            weight: Weight::default(),
            sum,
            others: Others::default(),
            by_others: false,
            learned: None,
            counts: Counts::default(),
            ceiling,
            near: Vec::new(),
            review: false,
            explanation: String::new(),
            teaches: false,
        }
    }
}

/// What the assessment needs beside the sender's record.
pub(super) struct Assessor<'a> {
    pub(super) now: Time,
    pub(super) settings: &'a Settings,
    pub(super) choice: &'a Choice<'a>,
    pub(super) facts: &'a MessageFacts<'a>,
    /// What has been counted of the message before.
    pub(super) before: &'a EarlierCounts,
    pub(super) context: &'a Context<'a>,
    /// The sender's messages of the last minute.
    pub(super) minute_messages: u32,
    /// The sender's texts of the last day.
    pub(super) texts: TextCount,
}

/// A message against the ceilings.
struct Ceilings {
    load: Load,
    add: Adding,
    /// External recipients, not counted before, that the sender knows.
    known: u32,
    /// The content is suspicious.
    suspicious: bool,
}

impl Assessor<'_> {
    /// Everything about the sender, in one step.
    pub(super) fn assess(&self, sender: &mut Sender) -> Assessment {
        let (now, facts, policy) = (self.now, self.facts, self.choice.policy);
        let allowed = Allowances::new(self.settings, facts.identity, facts.template, now);
        let content_counts = !allowed.leave_out(EvidenceKind::Content);
        let ceilings = self.ceilings(sender, content_counts);
        let (of_ceilings, ceiling) = ceilings.facts(policy);
        if ceiling.is_some() && of_ceilings.when_exceeded == WhenExceeded::Throttle {
            return Assessment::put_off(decide(&of_ceilings), sender.sum(), ceiling);
        }
        let message = self.message(sender, &ceilings);
        let class = sender.class(self.context.tuning);
        let weight = sender.weigh(now, &without(&message, &allowed), self.context);
        let mut counts = self.count_message(sender, content_counts);
        let others = Others::of(&weight, class, self.context);
        let unusual = weight.unusual && !allowed.leave_out(EvidenceKind::Mailing);
        let (known, bounds) = self.with_evidence(sender, policy, of_ceilings, others.nats, unusual);
        let decision = decide(&known);
        let shadow = self.choice.shadow.map(|policy| {
            let (facts, _) = ceilings.facts(policy);
            decide(
                &self
                    .with_evidence(sender, policy, facts, others.nats, unusual)
                    .0,
            )
        });
        let near = if policy.warn_near_ceiling {
            ceilings::near(policy, &ceilings.load, ceilings.add)
        } else {
            Vec::new()
        };
        if decision.action.goes() {
            counts.add(count_recipients(sender, now, ceilings.add));
        }
        let first = self.before.content == Counted::Not;
        let by_others = known.crossed && !bounds.blocks(sender.sum());
        // Nothing is learned from a watched sender: its bad mail would become its usual mail.
        let watched = known.watched || self.context.bounds.watches(sender.sum() + others.nats);
        let went = !watched && self.learn(sender, &message, &decision, class);
        let explanation = if decision.opens {
            explain(now, policy, sender, decision.reason, &bounds)
                + &others_note(by_others, &others)
                + &allowed.note()
        } else {
            String::new()
        };
        Assessment {
            shadow,
            weight,
            sum: sender.sum(),
            others,
            by_others,
            learned: (went && message.fresh).then_some(class),
            counts,
            ceiling,
            near,
            review: first && (ceilings.suspicious || is_odd(decision.reason)),
            explanation,
            teaches: first && self.teaches(sender, watched, decision.action),
            decision,
        }
    }

    /// What the message adds to the ceilings, and what is used of them.
    fn ceilings(&self, sender: &Sender, content_counts: bool) -> Ceilings {
        let (known, add) = self.adding(sender);
        let limited = self.choice.policies().any(ceilings::any);
        let load = if limited {
            sender.load(self.now, self.minute_messages)
        } else {
            Load::default()
        };
        let least = self.settings.scoring.suspicious_probability;
        Ceilings {
            load,
            add,
            known,
            suspicious: content_counts && self.facts.probability >= least,
        }
    }

    /// What is counted of a message, given what was counted before: external recipients that the
    /// sender knows, and what it adds. Its size is counted only if a policy limits it, because it
    /// would widen the counters of most senders.
    fn adding(&self, sender: &Sender) -> (u32, Adding) {
        let (facts, before) = (self.facts, self.before);
        let recipients = || facts.recipients.iter().zip(&before.recipients);
        let of_kind = |internal: bool| {
            count(recipients().filter(|(r, c)| r.internal == internal && before.adds(**c)))
        };
        let fresh = || recipients().filter(|(r, c)| !r.internal && before.tells(**c));
        let new = count(fresh().filter(|(r, _)| !sender.known.contains(r.hash)));
        let messages = u32::from(before.counts());
        let kib = if self.choice.policies().any(|p| p.bytes_per_day > 0) {
            u32::try_from(facts.octets.div_ceil(1024))
                .unwrap_or(u32::MAX)
                .saturating_mul(messages)
        } else {
            0
        };
        let add = Adding {
            external: of_kind(false),
            internal: of_kind(true),
            new,
            messages,
            kib,
        };
        (count(fresh()) - new, add)
    }

    /// The message as the detector sees it.
    fn message(&self, sender: &mut Sender, ceilings: &Ceilings) -> AssessedMessage {
        let (now, facts) = (self.now, self.facts);
        let (letter, fresh) = if self.before.counts() {
            sender.part(now, facts.fingerprint, self.before.outside(facts))
        } else {
            (false, false)
        };
        let hour = sender.windows.sum(now, HOUR);
        let (known, new) = (ceilings.known, ceilings.add.new);
        AssessedMessage {
            llr: facts.llr,
            text: facts.template,
            listed: facts.listed,
            fresh,
            letter,
            known,
            new,
            texts: self.texts,
            setting: setting(now, facts.origin, facts.failed_logins),
            in_hour: hour.messages.saturating_add(1),
            recipients_hour: (
                hour.external.saturating_add(known + new),
                hour.new.saturating_add(new),
            ),
        }
    }

    /// Counts one message, whether it goes or not.
    fn count_message(&self, sender: &mut Sender, content_counts: bool) -> Counts {
        let mut counts = Counts::default();
        if self.before.counts() {
            let spam = self.facts.probability >= self.settings.scoring.spam_probability;
            counts.messages = 1;
            counts.spam = u32::from(content_counts && spam);
            sender.windows.add(self.now, counts);
        }
        counts
    }

    /// The policy's facts with what the detector says, and the bounds of this sender.
    fn with_evidence(
        &self,
        sender: &Sender,
        policy: &Policy,
        facts: PolicyFacts,
        of_others: f64,
        unusual: bool,
    ) -> (PolicyFacts, Bounds) {
        let sum = sender.sum() + of_others;
        let bounds = volume_bounds(
            self.now,
            sender,
            sum,
            &self.context.bounds_of(policy),
            self.context.tuning,
        );
        let facts = PolicyFacts {
            crossed: bounds.blocks(sum),
            watched: bounds.watches(sum),
            spam_rate: is_spam_rate(self.now, policy, sender),
            unusual,
            ..facts
        };
        (facts, bounds)
    }

    /// Learns from a message if it goes and its sender is not watched; whether it goes.
    fn learn(
        &self,
        sender: &mut Sender,
        message: &AssessedMessage,
        decision: &PolicyDecision,
        class: SenderClass,
    ) -> bool {
        let went = matches!(decision.action, Action::Accept | Action::HighRisk);
        if went {
            sender.learn(message);
            let external = self.facts.recipients.iter().filter(|r| !r.internal);
            external.for_each(|r| sender.known.insert(r.hash));
        } else if decision.reason == Reason::UnusualMailing && class == SenderClass::Newcomer {
            sender.learn_held(message);
        }
        went
    }

    /// Whether the content filter may learn the message as ordinary mail. In a new tenant one bad
    /// message of the sender is enough to refuse.
    fn teaches(&self, sender: &Sender, watched: bool, action: Action) -> bool {
        let context = self.context;
        let doubtful = watched || (context.learning && sender.sum() >= context.tuning.content_most);
        !doubtful
            && action == Action::Accept
            && !self.facts.is_report
            && !self.facts.identity.foreign
    }
}

impl Ceilings {
    /// What a policy says of the message by its ceilings, and the ceiling it passes.
    fn facts(&self, policy: &Policy) -> (PolicyFacts, Option<(Reason, u64)>) {
        let over = ceilings::exceeded(policy, &self.load, self.add);
        let facts = PolicyFacts {
            ceiling: over.map(|(why, _)| why),
            never_fits: over.is_some()
                && ceilings::exceeded(policy, &Load::default(), self.add).is_some(),
            when_exceeded: over.map_or(policy.when_exceeded, |(why, _)| {
                ceilings::response(policy, why)
            }),
            suspicious: self.suspicious,
            when_suspicious: policy.suspicious,
            ..PolicyFacts::default()
        };
        (facts, over)
    }
}

/// The message without what the sender's allowances leave out.
fn without(message: &AssessedMessage, allowed: &Allowances<'_>) -> AssessedMessage {
    let mut counts = *message;
    if allowed.leave_out(EvidenceKind::Content) {
        (counts.fresh, counts.llr, counts.listed) = (false, 0.0, 0.0);
    }
    if allowed.leave_out(EvidenceKind::Recipients) {
        (counts.known, counts.new) = (0, 0);
    }
    counts
}

/// Counts the recipients and the size of a message that goes.
fn count_recipients(sender: &mut Sender, now: Time, add: Adding) -> Counts {
    let counts = Counts {
        external: add.external,
        internal: add.internal,
        new: add.new,
        kib: add.kib,
        ..Counts::default()
    };
    sender.windows.add(now, counts);
    counts
}

const fn is_odd(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::UnusualMailing | Reason::Watched | Reason::Evidence | Reason::SpamRate
    )
}

/// The bounds of this sender by its volume. Volume matters only if a sum is near the bounds.
pub(super) fn volume_bounds(
    now: Time,
    sender: &Sender,
    sum: f64,
    bounds: &Bounds,
    tuning: &Tuning,
) -> Bounds {
    if bounds.watches(sum) {
        bounds.for_volume(sender.messages_in_day(now), tuning)
    } else {
        *bounds
    }
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
