//! The record of one sender.

use super::evidence::{Baseline, Bounds, NEW_BOUND, cusum};
use super::known::Known;
use super::table::Evict;
use super::window::Windows;
use crate::types::{Identity, Strength, TenantId, Time};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// From this sum on a sender is never given up for one with less, in nats.
const KEEP_NATS: f64 = 5.0;
/// A sender with fewer messages than this is given up first.
const ONE_OFF: u32 = 5;

/// The record of one sender. Under 400 octets with its key while few of its minutes are in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sender {
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
    /// The detector's sum in nats; never below zero.
    pub sum: f64,
    /// Messages judged in its life.
    pub messages: u32,
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
    /// The message whose recipients were weighed last, and their evidence: one mailing in several transactions stays
    /// within the bound of one.
    #[serde(skip)]
    last_message: (u64, f32),
    /// When people were last told of each ceiling, in minutes since the epoch.
    #[serde(skip)]
    alerted: [u32; 3],
}

/// One message as the detector sees it.
#[derive(Debug, Clone, Copy)]
pub struct Weighing {
    /// Fingerprint of the message.
    pub fingerprint: u64,
    /// Content LLR in nats, with what outside sources said.
    pub llr: f64,
    /// The part of it that listings make, nats.
    pub listed: f64,
    /// This content is not evidence already (a retried message is).
    pub fresh: bool,
    /// External recipients, not counted before, that the sender knows.
    pub known: u32,
    /// The same, new to the sender.
    pub new: u32,
}

/// What a message adds, in nats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weight {
    /// By its content.
    pub content: f64,
    /// By links and addresses that stand on lists: what they add to what the content alone says.
    pub listed: f64,
    /// By its recipients.
    pub recipients: f64,
}

impl Weight {
    /// All of it.
    pub fn sum(&self) -> f64 {
        self.content + self.listed + self.recipients
    }
}

impl Sender {
    /// A sender seen for the first time.
    pub fn new(identity: &Identity, now: Time) -> Self {
        Self {
            tenant: identity.tenant.clone(),
            address: identity.address.clone(),
            strength: identity.strength,
            client: identity.client,
            windows: Windows::default(),
            known: Known::default(),
            base: Baseline::default(),
            sum: 0.0,
            messages: 0,
            last: now,
            forgiven: Time(i64::MIN),
            reserved_external: 0,
            reserved_internal: 0,
            last_message: (0, 0.0),
            alerted: [0; 3],
        }
    }

    /// Notes that it was seen.
    pub fn touch(&mut self, identity: &Identity, now: Time) {
        self.last = self.last.max(now);
        self.client = identity.client;
        if self.address != identity.address {
            self.address.clone_from(&identity.address);
        }
    }

    /// Adds the evidence of one message to the sum.
    pub fn weigh(&mut self, now: Time, message: &Weighing, bounds: &Bounds) -> Weight {
        if bounds.block.is_none() {
            self.sum = 0.0;
            return Weight::default();
        }
        self.base.age(now);
        // Content and listings stay within one bound, relative to the sender's own past: a list that errs, or a link that
        // everybody quotes, must not be able to block anybody whose mail is ordinary.
        let whole = if message.fresh { self.base.content(message.llr, bounds) } else { 0.0 };
        let alone = if message.fresh { self.base.content(message.llr - message.listed, bounds).min(whole) } else { 0.0 };
        let (content, listed) = if message.listed > 0.0 { (alone, whole - alone) } else { (whole, 0.0) };
        let mut recipients = self.base.recipients(message.known, message.new, message.llr);
        if message.known + message.new > 0 {
            let earlier = if self.last_message.0 == message.fingerprint { f64::from(self.last_message.1) } else { 0.0 };
            let whole = (earlier + recipients).clamp(-NEW_BOUND, NEW_BOUND);
            recipients = whole - earlier;
            self.last_message = (message.fingerprint, whole as f32);
        }
        self.sum = cusum(self.sum, whole + recipients);
        Weight { content, listed, recipients }
    }

    /// Adds the evidence of one outcome to the sum.
    pub fn weigh_outcome(&mut self, now: Time, bounced: bool, bounds: &Bounds) -> f64 {
        if bounds.block.is_none() {
            return 0.0;
        }
        self.base.age(now);
        let evidence = self.base.outcome(bounced);
        self.sum = cusum(self.sum, evidence);
        if !bounds.watches(self.sum) {
            self.base.learn_outcome(bounced);
        }
        evidence
    }

    /// Adds strong evidence of a fixed weight.
    pub fn weigh_fixed(&mut self, nats: f64, bounds: &Bounds) {
        if bounds.block.is_some() {
            self.sum = cusum(self.sum, nats);
        }
    }

    /// Learns from a message that went, of a sender in good standing.
    pub fn learn(&mut self, message: &Weighing) {
        if message.fresh {
            self.base.learn_content(message.llr);
        }
        self.base.learn_recipients(message.known, message.new);
    }

    /// Forgets all evidence from before `now`; with `all` the ceilings start anew too. Known recipients stay known.
    pub fn forgive(&mut self, now: Time, all: bool) {
        self.sum = 0.0;
        self.windows.forget(all);
        self.forgiven = self.forgiven.max(now);
        self.last_message = (0, 0.0);
    }

    /// Whether people are to be told of the ceiling `which` (0-2) now: once in `minutes`.
    pub fn alert_due(&mut self, now: Time, which: usize, minutes: u32) -> bool {
        let minute = u32::try_from(now.as_secs().div_euclid(60)).unwrap_or(0);
        let Some(last) = self.alerted.get_mut(which) else { return false };
        let due = *last == 0 || minute >= last.saturating_add(minutes);
        if due {
            *last = minute.max(1);
        }
        due
    }
}

impl Evict for Sender {
    fn rank(&self) -> (u8, i64) {
        let class = if self.reserved_external > 0 || self.reserved_internal > 0 || self.sum >= KEEP_NATS {
            2
        } else {
            u8::from(self.messages >= ONE_OFF)
        };
        (class, self.last.0)
    }
}
