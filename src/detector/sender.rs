//! The record of one sender.

use super::baseline::{ALONE, Baseline, Class, Classes, NEW_TENANT, Prior};
use super::evidence::{self, Bounds, CAMPAIGN_FLAGGED, FLAG_NATS, SPARSE_FLAGGED, cusum};
use super::habits::{Circumstances, Habits, Setting};
use super::known::Known;
use super::letters::{Letters, PART};
use super::reports::Volume;
use super::window::Windows;
use crate::collections::table::Evict;
use crate::config::tuning::Tuning;
use crate::types::{Identity, Strength, TenantId, Time};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// From this sum on a sender is given up only for one with more, in nats.
const KEEP_NATS: f64 = 1.0;
/// By which sums are compared that were last added to at different times; the detector's own
/// half-life is a setting.
const KEEP_HALF_LIFE: Duration = Duration::from_secs(12 * 3600);
/// A flag of a sender of whom less than this share is flagged says something of others.
const TELLING: f64 = 0.02;
/// What others draw upon themselves says something of a sender of whom less than this share is
/// flagged.
const TOLD: f64 = 0.04;
/// Least evidence, in nats, of a flagged message that is not among the usual ones of its sender.
const JUDGED_NATS: f64 = 1.5;
/// A score that at most this share of a new tenant's mail reaches is unlike it.
const RARE: f64 = 0.02;
/// Heat of a text, in nats, from which on mail of a newcomer with it is held: four other accounts
/// were flagged with it.
const TEXT_OF_SEVERAL: f64 = 5.0;
const DAY: Duration = Duration::from_secs(86_400);
/// The strangers among the single recipients of a bulk sender bring it, with the most its content
/// may say, so far over the line where it is watched, in nats: enough to hold a flagged mailing to
/// an imported list, too little to block it with one bounce.
const OVER_WATCH: f64 = 0.05;
/// A sender with fewer messages than this is given up first.
const ONE_OFF: u32 = 5;

/// The record of one sender. Under 400 octets with its key while few of its minutes are in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sender {
    /// Tenant.
    pub tenant: TenantId,
    /// Address or login; for forwarded mail the last one seen.
    pub address: Box<str>,
    /// How firmly it is known.
    pub strength: Strength,
    /// Client it was last seen through.
    pub client: IpAddr,
    /// Counters.
    pub windows: Windows,
    /// Recipients it has written to.
    pub known: Known,
    /// What is usual for it.
    pub base: Baseline,
    /// From where and when it sends.
    habits: Habits,
    /// The detector's sums in nats; none is ever below zero.
    sums: Sums,
    /// Messages in its life that went and were learned from: what was held makes nobody less of a
    /// newcomer.
    messages: u32,
    /// When it was last seen.
    pub last: Time,
    /// Outcomes of messages from before this time no longer count.
    pub forgiven: Time,
    /// Recipients reserved by open transactions; not kept over a restart.
    #[serde(skip)]
    pub reserved_external: u32,
    /// The same, internal.
    #[serde(skip)]
    pub reserved_internal: u32,
    /// Letters to many that are on their way; nothing for most senders.
    #[serde(skip)]
    letters: Option<Box<Letters>>,
}

/// The detector's sums, by what brought them up; what blocks is all of them together. Apart, since
/// what speaks for one does not speak against the other: phishing to people who are known to the
/// sender is no less phishing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    content: f32,
    /// Content again, held against a campaign of which the model sees but a part.
    sparse: f32,
    recipients: f32,
    answers: f32,
    /// When they were last added to.
    at: Time,
}

impl Sums {
    fn total(&self) -> f64 {
        f64::from(self.content.max(self.sparse))
            + f64::from(self.recipients)
            + f64::from(self.answers)
    }

    /// Forgets half of everything in each half-life, by whole minutes: what comes again within one
    /// finds the sums as they were. A clock that steps back takes nothing away.
    fn fade(&mut self, now: Time, half_life_hours: f64) {
        if self.total() <= 0.0 {
            self.at = self.at.max(now);
            return;
        }
        let minutes = now.since(self.at).as_secs() / 60;
        if minutes > 0 {
            let keep = (-(minutes as f64) / 60.0 / half_life_hours).exp2() as f32;
            self.content *= keep;
            self.sparse *= keep;
            self.recipients *= keep;
            self.answers *= keep;
            self.at = self.at.after(Duration::from_secs(minutes * 60));
        }
    }
}

/// What a sender is judged against beside its own past.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Where the lines are drawn.
    pub bounds: Bounds,
    /// The detector's numbers.
    pub tuning: &'a Tuning,
    /// The tenant is new: the level of its scores says little.
    pub learning: bool,
    /// Share of the mail of others in a new tenant that scores as high as this message; `None`
    /// where too little is known, or where the tenant is not new.
    pub usual: Option<f64>,
    /// What is usual for the classes of the tenant; `None` while there are too few to borrow from.
    pub classes: Option<Classes>,
    /// What other senders of the client have drawn upon themselves lately, in nats.
    pub suspicion_of_others: f64,
    /// They are so many that strangers are asked about whatever the content
    /// ([`ClientCampaign::is_campaign`](super::client_campaign::Pool)).
    pub campaign: bool,
    /// What other accounts of the tenant have drawn upon themselves lately with the text of this
    /// message, in nats.
    pub suspicion_of_text: f64,
}

impl Context<'_> {
    /// The prior of a class.
    fn prior(&self, class: Class) -> Prior {
        match self.classes {
            _ if self.learning => NEW_TENANT,
            Some(classes) => classes.prior(class),
            None => ALONE,
        }
    }

    /// Whether this message is unlike the tenant's other mail, as far as that is known: always so
    /// where the tenant is not new.
    fn is_rare(&self) -> bool {
        !self.learning || self.usual.is_some_and(|share| share <= RARE)
    }
}

/// How many different texts a sender sent within a day, as far as they are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Texts {
    /// Flagged ones, the present one among them; at least 1.
    pub flagged: u32,
    /// Others; told in a new tenant only.
    pub clean: u32,
}

/// One message as the detector sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weighing {
    /// Content LLR in nats, with what outside sources said.
    pub llr: f64,
    /// The part of it that listings make, nats.
    pub listed: f64,
    /// This content is not evidence already (a retried message is).
    pub fresh: bool,
    /// It is a part of a letter to many.
    pub letter: bool,
    /// External recipients, not counted before, that the sender knows.
    pub known: u32,
    /// The same, new to the sender.
    pub new: u32,
    /// Its texts of the last day.
    pub texts: Texts,
    /// From where and when it comes.
    pub setting: Setting,
    /// Messages of the sender in the last hour, this one among them.
    pub in_hour: u32,
    /// External recipients in the last hour, those of this message among them, and the new ones of
    /// them.
    pub recipients_hour: (u32, u32),
}

/// What a message adds, in nats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Weight {
    /// By its content.
    pub content: f64,
    /// By links and addresses that stand on lists: what they add to what the content alone says.
    pub listed: f64,
    /// By its recipients.
    pub recipients: f64,
    /// By the circumstances in which flagged content comes.
    pub circumstances: Circumstances,
    /// A mailing unlike the sender's past: a person should be asked.
    pub unusual: bool,
    /// A flag on somebody who hardly ever draws one, so that it says something of the client's
    /// other accounts ...
    pub counts_for_others: bool,
    /// ... and they of it.
    pub others_count: bool,
    /// A flag on somebody without a history: it says something of others who send this text, and
    /// they of it.
    pub newcomer: bool,
    /// How much more common flags are in this tenant than usual: by so much less one of them says
    /// of others.
    pub common: f64,
}

impl Weight {
    /// All of it.
    pub(crate) fn sum(&self) -> f64 {
        self.content + self.listed + self.recipients + self.circumstances.sum()
    }
}

impl Sender {
    /// A sender seen for the first time.
    pub(crate) fn new(identity: &Identity, now: Time) -> Self {
        Self {
            tenant: identity.tenant.clone(),
            address: identity.address.clone(),
            strength: identity.strength,
            client: identity.client,
            windows: Windows::default(),
            known: Known::default(),
            base: Baseline::default(),
            habits: Habits::default(),
            sums: Sums {
                at: now,
                ..Sums::default()
            },
            messages: 0,
            last: now,
            forgiven: Time(i64::MIN),
            reserved_external: 0,
            reserved_internal: 0,
            letters: None,
        }
    }

    /// Notes that it was seen.
    pub(crate) fn touch(&mut self, identity: &Identity, now: Time) {
        self.last = self.last.max(now);
        self.client = identity.client;
        if self.address != identity.address {
            self.address.clone_from(&identity.address);
        }
    }

    /// All sums together, in nats.
    pub(crate) fn sum(&self) -> f64 {
        self.sums.total()
    }

    /// What it behaves like.
    pub(crate) fn class(&self, tuning: &Tuning) -> Class {
        self.base.class(self.messages, tuning.newcomer_messages)
    }

    /// Adds the evidence of one message to the sums.
    pub(crate) fn weigh(&mut self, now: Time, message: &Weighing, context: &Context<'_>) -> Weight {
        if context.bounds.block.is_none() {
            self.sums = Sums {
                at: now,
                ..Sums::default()
            };
            return Weight::default();
        }
        let tuning = context.tuning;
        self.base.age(now, tuning.decay_per_day);
        self.sums.fade(now, tuning.half_life_hours);
        let class = self.class(tuning);
        // A newcomer that writes to several at once is no application whose template may always
        // look like that.
        let multi = message.known + message.new > 1;
        let prior = context.prior(if class == Class::Newcomer && multi {
            Class::Person
        } else {
            class
        });
        let strangers =
            evidence::recipients(&self.base, &prior, message.known, message.new, tuning);
        let content_of = |llr| self.content(llr, strangers, &prior, context);
        let news = content_of(message.llr);
        // Content and listings stay within one bound, relative to the sender's own past: a list
        // that errs, or a link that everybody quotes, must not be able to block anybody whose mail
        // is ordinary.
        let internal_part = |content| self.within_most(content, class, multi, message, context);
        let whole = if message.fresh {
            internal_part(news)
        } else {
            0.0
        };
        let alone = if message.fresh && message.listed > 0.0 {
            internal_part(content_of(message.llr - message.listed)).min(whole)
        } else {
            whole
        };
        // Content that is not trusted yet bears out no more than it may say itself.
        let ranked = context.usual.is_some();
        let most = if ranked {
            tuning.content_most
        } else {
            context.bounds.content
        };
        let trust =
            (if ranked { news } else { most } / tuning.content_most.max(1e-9)).clamp(0.0, 1.0);
        let strangers = if message.llr > FLAG_NATS && strangers > 0.0 {
            strangers * trust
        } else {
            strangers
        };
        let borne_out = evidence::corroboration(message.llr, news, most);
        let mut recipients = self.recipients(message, strangers, borne_out, tuning);
        if class == Class::Bulk && !multi && context.classes.is_some() && recipients > 0.0 {
            // The bounds rise with its volume, and so does this: a mailing that is held stays held.
            let most = (context.bounds.watch - tuning.bulk_content).max(0.0) + OVER_WATCH;
            let most = most + tuning.more_for_volume(self.windows.sum(now, DAY).messages);
            recipients = recipients.min((most - f64::from(self.sums.recipients)).max(0.0));
        }
        let circumstances =
            self.circumstances(message, class, (borne_out * trust).min(whole), tuning);
        self.sums.content = cusum(self.sums.content.into(), whole + circumstances.sum()) as f32;
        self.sums.recipients = cusum(self.sums.recipients.into(), recipients) as f32;
        if message.fresh && class == Class::Person {
            let sparse = evidence::content(
                &self.base,
                &prior,
                message.llr,
                context.bounds.content,
                SPARSE_FLAGGED,
                tuning,
            );
            let sparse = if ranked { sparse.min(news) } else { sparse };
            self.sums.sparse = cusum(self.sums.sparse.into(), sparse) as f32;
        }
        let unusual = self.is_unusual(message, class, strangers, &prior, context);
        // Only persons: a program whose template scores badly says nothing of the others.
        let flagged = class == Class::Person && message.llr > FLAG_NATS;
        let share = self.base.flagged_share(&prior);
        let counts_for_others = flagged && share < TELLING;
        // Somebody who hardly ever sent anything is told too (of a client's other accounts in a
        // campaign): else accounts that nobody uses would be the best to take over.
        let newcomer =
            class == Class::Newcomer && message.llr > FLAG_NATS && message.known + message.new > 0;
        let others_count =
            (flagged || (class == Class::Newcomer && message.llr > FLAG_NATS)) && share < TOLD;
        let usual = Class::Person.prior().flagged.0;
        let common = context.classes.map_or(0.0, |c| {
            (c.prior(Class::Person).flagged.0 / usual).ln().max(0.0)
        });
        Weight {
            content: alone,
            listed: whole - alone,
            recipients,
            circumstances,
            unusual,
            counts_for_others,
            others_count,
            newcomer,
            common,
        }
    }

    /// Place, hour and failed logins, no more than `most`: alone they never say anything. Only of
    /// persons: programs move from host to host and send at all hours.
    fn circumstances(
        &self,
        message: &Weighing,
        class: Class,
        most: f64,
        tuning: &Tuning,
    ) -> Circumstances {
        if class != Class::Person || most <= 0.0 {
            return Circumstances::default();
        }
        self.habits
            .weigh(self.messages, message.setting, tuning)
            .at_most(most)
    }

    /// Flagged messages that may have brought the content up to where it stands: they are being
    /// judged, and are no past yet.
    fn judged(&self) -> f64 {
        (f64::from(self.sums.content) / JUDGED_NATS).ceil()
    }

    fn content(&self, llr: f64, strangers: f64, prior: &Prior, context: &Context<'_>) -> f64 {
        if let Some(usual) = context.usual {
            return evidence::by_rank(usual, self.base.own(self.judged()), llr, context.tuning);
        }
        let content = evidence::content(
            &self.base,
            prior,
            llr,
            context.bounds.content,
            CAMPAIGN_FLAGGED,
            context.tuning,
        );
        // Ordinary mail speaks for its sender less where it goes to strangers: half of a campaign
        // may look ordinary.
        if content <= 0.0 {
            (content + strangers.max(0.0)).min(0.0)
        } else {
            content
        }
    }

    /// As much of it as content may still say of a sender of this class: one template is no better
    /// a witness the thousandth time, several texts are. It bears out strangers all the same, as
    /// far as they are a surprise.
    fn within_most(
        &self,
        content: f64,
        class: Class,
        multi: bool,
        message: &Weighing,
        context: &Context<'_>,
    ) -> f64 {
        let tuning = context.tuning;
        let clean = self.base.is_clean()
            || (context.learning && self.base.began_clean(message.texts.clean, self.judged()));
        let newcomer = class == Class::Newcomer && context.classes.is_some() && !multi;
        // Without it the bound of a new tenant stands, and nobody would be asked about the mailing.
        let ranked = context.learning && context.usual.is_some();
        let most = if !clean && (newcomer || ranked) {
            tuning.content_most.mul_add(
                f64::from(message.texts.flagged.saturating_sub(1)),
                tuning.newcomer_content,
            )
        } else if class == Class::Bulk && context.classes.is_some() {
            tuning.bulk_content
        } else {
            return content;
        };
        content.min((most - f64::from(self.sums.content)).max(0.0))
    }

    /// All recipients of one message together stay within one bound, also those of a letter over
    /// several transactions.
    fn recipients(
        &mut self,
        message: &Weighing,
        strangers: f64,
        borne_out: f64,
        tuning: &Tuning,
    ) -> f64 {
        if message.known + message.new == 0 {
            return 0.0;
        }
        let most = tuning.recipients_most;
        let letter = if message.letter {
            self.letters.as_mut().and_then(|letters| letters.current())
        } else {
            None
        };
        let (earlier, new) = letter.as_ref().map_or((0.0, message.new), |l| {
            (l.recipients, l.new.saturating_add(message.new))
        });
        let (part, limit) = if message.llr > FLAG_NATS {
            (
                strangers.min(borne_out),
                evidence::most_recipients(new, most).min(borne_out.max(0.0)),
            )
        } else {
            // Ordinary content does not bear strangers out: then even all of them together count as
            // if nobody were new.
            ((strangers - most).clamp(-most, 0.0), 0.0)
        };
        let whole = (earlier + part).clamp(-most, limit.max(earlier).max(-most));
        if let Some(letter) = letter {
            (letter.recipients, letter.new) = (whole, new);
        }
        whole - earlier
    }

    /// Takes a message to so many people outside who have not had it from this sender: whether it
    /// is a part of a letter to many, and whether its content is evidence.
    pub(crate) fn part(&mut self, now: Time, fingerprint: u64, recipients: u32) -> (bool, bool) {
        if recipients < PART && self.letters.is_none() {
            return (false, true);
        }
        let letters = self.letters.get_or_insert_default();
        letters
            .part(now, fingerprint, recipients)
            .map_or((false, true), |evidence| (true, evidence))
    }

    /// External recipients, and those of them who are new to the sender: of all parts so far where
    /// it is a letter.
    fn whole(&self, message: &Weighing) -> (u32, u32) {
        let letter = self
            .letters
            .as_ref()
            .filter(|_| message.letter)
            .and_then(|letters| letters.newest());
        letter.map_or((message.known + message.new, message.new), |letter| {
            (letter.all, letter.new)
        })
    }

    /// Whether a person should be asked about this message before it goes: many strangers at once
    /// from somebody who hardly writes to any, or a suspicious mailing of somebody unknown.
    fn is_unusual(
        &self,
        message: &Weighing,
        class: Class,
        strangers: f64,
        prior: &Prior,
        context: &Context<'_>,
    ) -> bool {
        let tuning = context.tuning;
        let flagged = message.llr > FLAG_NATS;
        if class == Class::Newcomer {
            // All parts of a letter together. Where too little is known of a new tenant's mail,
            // many strangers are rare enough.
            let many = tuning.mailing_recipients > 0.0
                && f64::from(self.whole(message).1) > tuning.mailing_recipients
                && (context.is_rare() || context.usual.is_none());
            let somebody = self.strength != Strength::None;
            // What others without a history are flagged with, too, is a campaign or a new program
            // on many hosts.
            let shared =
                context.suspicion_of_text >= TEXT_OF_SEVERAL && message.known + message.new > 0;
            return somebody
                && (context.classes.is_some() || context.learning)
                && flagged
                && (many
                    || context.is_rare()
                        && (shared
                            || f64::from(message.in_hour) > tuning.newcomer_mailing
                                && self.base.is_often_flagged()));
        }
        // While other accounts of the client send a campaign, strangers who are a surprise here are
        // so too.
        if class == Class::Person && context.campaign && strangers >= 1.2 {
            return true;
        }
        let (usual, seen) = (
            self.base.new_share_at_most(prior),
            self.base.recipients_seen(prior),
        );
        let surprising = |(all, new): (u32, u32)| {
            f64::from(new) > tuning.mailing_recipients
                && evidence::surprise(new.into(), all.into(), usual, seen) > tuning.mailing_nats
        };
        // A message mostly to people it knows goes, also while a mailing waits. Other mail of the
        // hour does not hide one.
        message.new > message.known
            && tuning.mailing_recipients > 0.0
            && (surprising(message.recipients_hour)
                || message.letter && surprising(self.whole(message)))
    }

    /// Adds the evidence of one outcome to the sums: what an unknown user says beyond the nats that
    /// other reports about the same message have brought `already`. Gives the evidence by itself,
    /// and what was added.
    pub(crate) fn weigh_outcome(
        &mut self,
        now: Time,
        bounced: bool,
        already: f64,
        context: &Context<'_>,
    ) -> (f64, f64) {
        if context.bounds.block.is_none() {
            return (0.0, 0.0);
        }
        self.base.age(now, context.tuning.decay_per_day);
        self.sums.fade(now, context.tuning.half_life_hours);
        let evidence = evidence::outcome(
            &self.base,
            &context.prior(self.class(context.tuning)),
            bounced,
            context.tuning,
        );
        let more = if evidence > 0.0 {
            (evidence - already).max(0.0)
        } else {
            evidence
        };
        self.sums.answers = cusum(self.sums.answers.into(), more) as f32;
        if !context.bounds.watches(self.sum()) {
            self.base.learn_outcome(bounced);
        }
        (evidence, more)
    }

    /// What it sent to outside, for what is said of its mail.
    pub(crate) fn volume(&self, now: Time) -> Volume {
        Volume {
            lately: self.base.messages(),
            ..volume(&self.windows, now)
        }
    }

    /// Adds strong evidence of a fixed weight.
    pub(crate) fn weigh_fixed(&mut self, now: Time, nats: f64, context: &Context<'_>) {
        if context.bounds.block.is_some() {
            self.sums.fade(now, context.tuning.half_life_hours);
            self.sums.answers = cusum(self.sums.answers.into(), nats) as f32;
        }
    }

    /// Learns from a message that went, of a sender in good standing.
    pub(crate) fn learn(&mut self, message: &Weighing) {
        if message.fresh {
            self.messages = self.messages.saturating_add(1);
            self.base.learn_content(message.llr);
            self.habits.learn(message.setting);
        }
        // The first part of a letter speaks for all: else the letter itself would teach that so
        // many strangers are usual.
        if message.fresh || !message.letter {
            self.base
                .learn_recipients(message.known, message.new, message.in_hour);
        }
    }

    /// Learns what the content of a newcomer's held mailing looks like: else what is let through
    /// between would pass for all of its mail, and the rest for ever for news. It stays a newcomer.
    pub(crate) fn learn_held(&mut self, message: &Weighing) {
        if message.fresh {
            self.base.learn_content(message.llr);
        }
    }

    /// Learns from people what it was blocked for by mistake: its mail may look like that. Else it
    /// would be blocked for the same again, since nothing is learned from a sender who is watched.
    pub(crate) fn learn_wanted(&mut self, llrs: impl Iterator<Item = f64>) {
        llrs.filter(|llr| *llr > FLAG_NATS)
            .for_each(|llr| self.base.learn_content(llr));
    }

    /// Forgets all evidence from before `now`; with `all` the ceilings start anew too. Known
    /// recipients stay known.
    pub(crate) fn forgive(&mut self, now: Time, all: bool) {
        self.sums = Sums {
            at: self.sums.at,
            ..Sums::default()
        };
        self.windows.forget(all);
        self.forgiven = self.forgiven.max(now);
        self.letters = None;
    }
}

/// Messages to outside in the last day.
pub(crate) fn volume(windows: &Windows, now: Time) -> Volume {
    let day = windows.sum(now, DAY);
    let messages = f64::from(day.messages.min(day.external));
    Volume {
        day: messages,
        lately: messages,
    }
}

impl Evict for Sender {
    /// Open transactions stay; then those with the most evidence against them as it stands today:
    /// `sum · 2^-(age / half-life)` has the order of `time + half-life · log2(sum)`, for which the
    /// present is not needed. Then those with a past.
    fn rank(&self) -> (u8, i64) {
        let sum = self.sum();
        if self.reserved_external > 0 || self.reserved_internal > 0 {
            (3, self.last.0)
        } else if sum >= KEEP_NATS {
            (
                2,
                self.sums
                    .at
                    .after(KEEP_HALF_LIFE.mul_f64(sum.log2().clamp(0.0, 100.0)))
                    .0,
            )
        } else {
            (u8::from(self.messages >= ONE_OFF), self.last.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SenderKey;

    fn sender(sum: f32, hours: u64, messages: u32) -> Sender {
        let tenant = TenantId::new("acme");
        let who = Identity {
            key: SenderKey::account(&tenant, "a@acme.example"),
            tenant,
            address: "a@acme.example".into(),
            domain: None,
            strength: Strength::Claimed,
            client: [192, 0, 2, 1].into(),
            foreign: false,
        };
        let now = Time::from_secs(1_795_356_000).after(Duration::from_secs(hours * 3600));
        let sums = Sums {
            content: sum,
            at: now,
            ..Sums::default()
        };
        Sender {
            sums,
            messages,
            ..Sender::new(&who, now)
        }
    }

    /// Invented senders with a nat each must not push out one who is watched, however low the
    /// policy puts that line; nor may they push out people with a past by harmless mail.
    #[test]
    fn the_harmless_and_idle_are_given_up_first() {
        let open = Sender {
            reserved_external: 1,
            ..sender(0.0, 0, 0)
        };
        let in_order = [
            ("invented and harmless, long ago", sender(0.0, 0, 1)),
            ("the same, just now", sender(0.5, 90, 4)),
            ("somebody with a past", sender(0.0, 0, 200)),
            ("somebody with a past, seen lately", sender(0.9, 50, 5)),
            ("evidence long ago", sender(3.0, 0, 200)),
            ("invented with one bad message", sender(2.0, 80, 1)),
            ("watched a day ago", sender(11.0, 60, 200)),
            ("watched now", sender(4.0, 90, 1)),
            ("nearly blocked", sender(13.0, 90, 200)),
            ("in a transaction", open),
        ];
        for pair in in_order.windows(2) {
            assert!(
                pair[0].1.rank() < pair[1].1.rank(),
                "{} before {}",
                pair[0].0,
                pair[1].0
            );
        }
    }
}
