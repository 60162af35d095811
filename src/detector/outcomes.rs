//! Outcomes and reports: deliveries, unknown users, spam refusals, complaints.

use super::assess::volume_bounds;
use super::conclude::Opening;
use super::context::Context;
use super::decide::add_claimed;
use super::explanation::{client_explanation, explain};
use super::{Addressee, Detector};
use crate::config::Settings;
use crate::config::scopes::EvidenceKind;
use crate::detector::evidence::Bounds;
use crate::detector::state::group::{self, Group};
use crate::detector::state::reports::{ReportKind, SenderReports, SingleReport};
use crate::detector::state::seen::Counted;
use crate::detector::state::sender::{Sender, volume};
use crate::policy::allowance::Allowances;
use crate::policy::scope::{Choice, choose};
use crate::types::Counts;
use crate::types::NewBlock;
use crate::types::hash::{hash_text, mix};
use crate::types::{Evidence, Identity, MessageId, OutcomeClass, Reason, Signal, Strength, Time};

/// Keeps keys of outcomes apart from those of messages.
const OUTCOME: u64 = 0x6f75_7463_6f6d_6531;
/// The same for complaints.
const COMPLAINT: u64 = 0x636f_6d70_6c61_696e;
/// The same for reports that come back after the first hop has taken the message.
const RETURNED: u64 = 0x7265_7475_726e_6564;
/// Keeps reports about a client's senders apart from reports about one sender.
const CLIENT: u64 = 0x636c_6965_6e74_5f72;

/// The effect of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportEffect {
    pub kind: ReportEffectKind,
    /// The block it opens.
    pub block: Option<NewBlock>,
}

/// See [`ReportEffect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportEffectKind {
    /// Evidence against the sender.
    Counted,
    /// The same was reported before, or by the same reporter about the same sender.
    Repeated,
    /// It adds nothing: complaints are few among much mail, reports have reached their bound, or
    /// the sender is blocked, was forgiven since, or has an allowance.
    Nothing,
}

impl ReportEffectKind {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Repeated => "repeated",
            Self::Nothing => "adds_nothing",
        }
    }
}

impl From<ReportEffectKind> for ReportEffect {
    fn from(kind: ReportEffectKind) -> Self {
        Self { kind, block: None }
    }
}

/// What an event reports about the sender.
#[derive(Clone, Copy, PartialEq)]
enum OutcomeKind {
    Delivered,
    UnknownUser,
    /// A report; for a refusal or an unknown user, with the class of the outcome.
    Reported(ReportKind, OutcomeClass),
}

impl OutcomeKind {
    /// The kind of evidence in an allowance.
    const fn kind(self) -> Option<EvidenceKind> {
        match self {
            Self::Delivered => None,
            Self::UnknownUser | Self::Reported(_, OutcomeClass::UnknownUser) => {
                Some(EvidenceKind::Bounces)
            }
            Self::Reported(..) => Some(EvidenceKind::Refusals),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::UnknownUser => "unknown_user",
            Self::Reported(ReportKind::Complaint, _) => "complaint",
            Self::Reported(ReportKind::Refusal, _) => "spam_refusal",
            Self::Reported(ReportKind::Return, OutcomeClass::UnknownUser) => {
                "unknown_user_reported"
            }
            Self::Reported(ReportKind::Return, _) => "spam_refusal_reported",
        }
    }
}

/// One event about a message.
#[derive(Clone, Copy)]
struct OutcomeEvent<'a> {
    identity: &'a Identity,
    id: MessageId,
    what: OutcomeKind,
    /// Who reports it, and the site of the reporter.
    reporter: u64,
    site: u64,
}

impl OutcomeEvent<'_> {
    /// When the message was accepted, taken from its id.
    fn sent(&self) -> Time {
        Time(i64::try_from(self.id.0 >> 22).unwrap_or(i64::MAX))
    }

    /// Only what a site says in the SMTP dialog counts as a bounce, because a policy may limit the
    /// share of bounces.
    fn counts(&self) -> Counts {
        Counts {
            bounces: u32::from(self.what == OutcomeKind::UnknownUser),
            ..Counts::default()
        }
    }

    /// The event as proof, with the nats that it added.
    fn proof(&self, now: Time, nats: f64) -> Evidence {
        Evidence {
            message_id: self.id,
            time: now,
            probability: 0.0,
            llr: 0.0,
            symbols: vec![Signal {
                name: self.what.name().into(),
                weight: nats as f32,
            }],
            recipients: 1,
        }
    }

    fn report(&self, report_kind: ReportKind) -> SingleReport {
        SingleReport {
            kind: report_kind,
            reporter: self.reporter,
            site: self.site,
            sent: self.sent(),
        }
    }
}

/// Key of the outcome of one message at one recipient.
fn outcome_key(id: MessageId, recipient_hash: u64) -> u64 {
    mix(mix(id.0, OUTCOME), recipient_hash)
}

/// What an event did to its sender's record.
#[derive(Default)]
struct Applied {
    /// The same reporter reported it before.
    repeated: bool,
    /// What was added, in nats.
    nats: f64,
    /// The sender's sum afterwards, in nats.
    sum: f64,
    /// The sentence for the block that it opens.
    explanation: Option<String>,
    /// The policy in shadow mode would open a block.
    shadow_blocks: bool,
}

impl Detector {
    /// The message `id` is a copy of one that went to this recipient before, so its outcome there
    /// says nothing new. Else a sender could gain good evidence by sending one message to a friend
    /// again and again.
    pub(super) fn ignore_outcome(&self, id: MessageId, recipient_hash: u64) {
        self.seen.mark(outcome_key(id, recipient_hash));
    }

    /// A delivery outcome of a message of this sender, once per message and recipient. May open a
    /// block.
    pub fn outcome(
        &self,
        now: Time,
        identity: &Identity,
        id: MessageId,
        class: OutcomeClass,
        to: impl Into<Addressee>,
    ) -> Option<NewBlock> {
        let to = to.into();
        let what = match class {
            OutcomeClass::Delivered => OutcomeKind::Delivered,
            OutcomeClass::UnknownUser => OutcomeKind::UnknownUser,
            OutcomeClass::SpamRefusal => OutcomeKind::Reported(ReportKind::Refusal, class),
            // These are about the recipient or the way there, not about the sender.
            OutcomeClass::Reputation
            | OutcomeClass::Recipient
            | OutcomeClass::Transport
            | OutcomeClass::Other => return None,
        };
        let event = OutcomeEvent {
            identity,
            id,
            what,
            reporter: to.mailbox,
            site: to.site,
        };
        self.event(now, &event, outcome_key(id, to.recipient)).block
    }

    /// A delivery report that came back about a recipient to which the message had seemed
    /// delivered. It counts once per message and recipient, beside the reply of the first hop.
    /// Anybody who got the message can write one, so it is weak evidence: see [`SenderReports`].
    /// May open a block.
    pub fn returned(
        &self,
        now: Time,
        identity: &Identity,
        id: MessageId,
        class: OutcomeClass,
        to: impl Into<Addressee>,
    ) -> ReportEffect {
        let to = to.into();
        match class {
            OutcomeClass::UnknownUser | OutcomeClass::SpamRefusal => {}
            // No good evidence comes from a report that anybody who got the message can write.
            OutcomeClass::Delivered
            | OutcomeClass::Reputation
            | OutcomeClass::Recipient
            | OutcomeClass::Transport
            | OutcomeClass::Other => return ReportEffectKind::Nothing.into(),
        }
        let event = OutcomeEvent {
            identity,
            id,
            what: OutcomeKind::Reported(ReportKind::Return, class),
            reporter: to.mailbox,
            site: to.site,
        };
        self.event(now, &event, mix(outcome_key(id, to.recipient), RETURNED))
    }

    /// A complaint of this reporter ([`crate::detector::mailbox_hash`], or
    /// [`SOMEBODY`](crate::detector::SOMEBODY)) about a message of this sender, once per
    /// message and reporter. May open a block.
    pub fn complaint(
        &self,
        now: Time,
        identity: &Identity,
        id: MessageId,
        reporter: u64,
    ) -> ReportEffect {
        let event = OutcomeEvent {
            identity,
            id,
            what: OutcomeKind::Reported(ReportKind::Complaint, OutcomeClass::SpamRefusal),
            reporter,
            site: 0,
        };
        self.event(now, &event, mix(id.0, COMPLAINT))
    }

    fn event(&self, now: Time, event: &OutcomeEvent<'_>, key: u64) -> ReportEffect {
        let identity = event.identity;
        if self.seen.mark(key) != Counted::Not {
            return ReportEffectKind::Repeated.into();
        }
        if self.active_blocks.gate(now, identity).is_some() {
            return ReportEffectKind::Nothing.into();
        }
        let settings = self.settings();
        let choice = choose(&settings, identity);
        let context = self.context(now, &settings, identity, &choice);
        let applied = self.senders.with(
            &identity.key,
            || Sender::new(identity, now),
            |sender| self.apply(now, &settings, &choice, &context, event, sender),
        );
        if applied.repeated {
            return ReportEffectKind::Repeated.into();
        }
        // What the policy in shadow mode would have done.
        if applied.shadow_blocks {
            self.would_block(now, &settings, identity, Reason::Evidence);
        }
        if applied.nats > 0.0 {
            self.recent_messages
                .with(&identity.key, Default::default, |kept| {
                    kept.push(event.proof(now, applied.nats), applied.sum)
                });
        }
        let client_blocks = applied.nats != 0.0
            && self.count_event(
                now,
                event,
                applied.nats,
                &context,
                &context.bounds_of(choice.policy),
            );
        let kind = if applied.nats > 0.0 {
            ReportEffectKind::Counted
        } else {
            ReportEffectKind::Nothing
        };
        let client = client_blocks && applied.explanation.is_none();
        let explanation = applied
            .explanation
            .or_else(|| client_blocks.then(|| client_explanation(identity)));
        let block = explanation.map(|explanation| {
            let opening = Opening {
                reason: Reason::Evidence,
                explanation,
                duration: None,
                client,
            };
            self.new_block(now, &settings, identity, opening)
        });
        ReportEffect { kind, block }
    }

    /// Counts and weighs an event under the lock of its sender's record.
    fn apply(
        &self,
        now: Time,
        settings: &Settings,
        choice: &Choice<'_>,
        context: &Context<'_>,
        event: &OutcomeEvent<'_>,
        sender: &mut Sender,
    ) -> Applied {
        let identity = event.identity;
        let nothing = Applied {
            sum: sender.sum(),
            ..Applied::default()
        };
        if event.sent() < sender.forgiven {
            return nothing;
        }
        sender.windows.add(now, event.counts());
        let allowed = Allowances::new(settings, identity, 0, now);
        let left_out = event
            .what
            .kind()
            .is_some_and(|kind| allowed.leave_out(kind));
        if left_out {
            return nothing;
        }
        let who = hash_text(identity.key.as_str());
        let Some(nats) = self.weigh_event(now, sender, who, event, context) else {
            return Applied {
                repeated: true,
                ..nothing
            };
        };
        let sum = sender.sum();
        let bounds =
            |policy| volume_bounds(now, sender, sum, &context.bounds_of(policy), context.tuning);
        let acting = bounds(choice.policy);
        // Good evidence never opens a block, even if the bound has been lowered since.
        let opens = nats > 0.0 && acting.blocks(sum);
        Applied {
            repeated: false,
            nats,
            sum,
            explanation: opens.then(|| {
                explain(now, choice.policy, sender, Reason::Evidence, &acting) + &allowed.note()
            }),
            shadow_blocks: choice
                .shadow
                .is_some_and(|shadow| nats > 0.0 && bounds(shadow).blocks(sum)),
        }
    }

    /// The evidence of an event in nats, added to the sender's; `None` if the same reporter
    /// reported it before.
    fn weigh_event(
        &self,
        now: Time,
        sender: &mut Sender,
        who: u64,
        event: &OutcomeEvent<'_>,
        context: &Context<'_>,
    ) -> Option<f64> {
        let OutcomeKind::Reported(report_kind, _) = event.what else {
            let bounced = event.what == OutcomeKind::UnknownUser;
            if !bounced {
                return Some(sender.weigh_outcome(now, false, 0.0, context).1);
            }
            let mut added = 0.0;
            self.reports.with(&who, SenderReports::default, |reports| {
                reports.unknown_user(now, event.id, event.reporter, |already| {
                    let (by_itself, more) = sender.weigh_outcome(now, true, already, context);
                    added = more;
                    by_itself
                });
            });
            return Some(added);
        };
        let volume = sender.volume(now);
        let (report, piece) = (event.report(report_kind), context.tuning.refusal);
        let nats = self.reports.with(&who, SenderReports::default, |reports| {
            reports.count_of_message(now, event.id, &report, volume, piece)
        })?;
        sender.weigh_fixed(now, nats, context);
        Some(nats)
    }

    /// Counts an event for the sender's client, tenant and domain; true if the claimed senders of
    /// the client together crossed its bound.
    fn count_event(
        &self,
        now: Time,
        event: &OutcomeEvent<'_>,
        nats: f64,
        context: &Context<'_>,
        bounds: &Bounds,
    ) -> bool {
        let (identity, counts) = (event.identity, event.counts());
        let client = group::client_key(&identity.tenant, identity.client);
        let mut joined = nats;
        if let (OutcomeKind::Reported(report_kind, _), Strength::Claimed | Strength::None) =
            (event.what, identity.strength)
        {
            // One recipient of mail from eight people must not count eight times against their
            // client.
            let volume = self
                .groups
                .read(&client, |g| volume(&g.windows, now))
                .unwrap_or_default();
            let report = event.report(report_kind);
            let counted =
                self.reports
                    .with(&mix(client, CLIENT), SenderReports::default, |reports| {
                        reports.count(now, &report, volume, 1.0)
                    });
            joined = joined.min(counted.unwrap_or(0.0) * context.tuning.refusal);
        }
        let by_client = self.groups.with(&client, Group::default, |g| {
            g.windows.add(now, counts);
            add_claimed(g, identity, joined, bounds)
        });
        if counts.bounces > 0 {
            self.groups.get(&group::tenant_key(&identity.tenant), |g| {
                g.windows.add(now, counts)
            });
            if let Some(domain) = &identity.domain {
                self.groups
                    .get(&group::domain_key(&identity.tenant, domain), |g| {
                        g.windows.add(now, counts)
                    });
            }
        }
        by_client
    }
}
