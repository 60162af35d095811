//! `[policy.NAME]`: the ceilings, what is done beyond them, and where each value comes from.

use super::check::{DAY, HOUR, MINUTE};
use super::error::Wrong;
use super::raw::{Section, boolean, duration, integer, number, one_of, size, string};
use super::scopes::{Known, Scope, scope};
use super::units::show_duration;
use super::values;
use crate::types::Address;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use toml::de::DeValue;

/// Name of the policy that every other one inherits from and that applies where none of them does.
pub(crate) const DEFAULT: &str = "default";

/// What happens when a ceiling is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenExceeded {
    /// Admins are told; the mail goes.
    Alert,
    /// 450 4.2.1 for the surplus recipients.
    Throttle,
    /// The message is held.
    Hold,
    /// The sender is blocked.
    Block,
    /// The sender is blocked until midnight in the tenant's zone.
    BlockUntilTomorrow,
}

impl WhenExceeded {
    const ALL: [(&'static str, Self); 5] = [
        ("alert", Self::Alert),
        ("throttle", Self::Throttle),
        ("hold", Self::Hold),
        ("block", Self::Block),
        ("block_until_tomorrow", Self::BlockUntilTomorrow),
    ];
}

/// What happens to a suspicious message of a sender in good standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicious {
    /// Delivered as any other.
    Deliver,
    /// Delivered through the high-risk pool.
    HighRisk,
    /// Held.
    Hold,
    /// Refused (550 5.7.1).
    Reject,
}

impl Suspicious {
    const ALL: [(&'static str, Self); 4] = [
        ("deliver", Self::Deliver),
        ("high_risk", Self::HighRisk),
        ("hold", Self::Hold),
        ("reject", Self::Reject),
    ];
}

/// Whether a policy acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What it says is done.
    Enforce,
    /// It only reports what it would have done.
    Shadow,
}

impl Mode {
    const ALL: [(&'static str, Self); 2] = [("enforce", Self::Enforce), ("shadow", Self::Shadow)];

    /// Name as in the configuration.
    pub fn as_str(self) -> &'static str {
        word(&Self::ALL, self)
    }
}

/// The configuration's word for a value; the tables name all of them.
fn word<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words
        .iter()
        .find(|(_, v)| *v == value)
        .map_or("", |(word, _)| word)
}

/// Where a value of a policy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything: the built-in default.
    BuiltIn,
    /// `[policy.default]` says it, or its preset.
    Default,
    /// The policy's own preset.
    Preset(&'static str),
    /// The policy itself.
    Own,
}

/// Where the values of one policy come from. Two policies of the same values do the same, wherever
/// those come from: so these are all alike when settings are compared.
#[derive(Debug, Clone, Default)]
pub struct Origins(Vec<(&'static str, Origin)>);

impl PartialEq for Origins {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Origins {
    /// Where the value of `key` comes from.
    pub fn of(&self, key: &str) -> Origin {
        self.0
            .iter()
            .rev()
            .find(|(k, _)| *k == key)
            .map_or(Origin::BuiltIn, |(_, origin)| *origin)
    }
}

/// One `[policy.NAME]`, with everything it inherits.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: Box<str>,
    /// Whether it acts.
    pub mode: Mode,
    /// 0 = no limit, as for all ceilings.
    pub recipients_external_per_hour: u64,
    /// Internal recipients.
    pub recipients_internal_per_hour: u64,
    /// Internal and external together.
    pub recipients_per_day: u64,
    /// External recipients the sender has not written to before.
    pub recipients_new_per_day: u64,
    /// Internal and external together.
    pub recipients_per_message: u64,
    /// Beyond it mail waits where [`Policy::when_exceeded`] would block: a pace is no sign of
    /// misuse.
    pub messages_per_minute: u64,
    /// Messages.
    pub messages_per_day: u64,
    /// Octets of all messages, each counted in whole KiB.
    pub bytes_per_day: u64,
    /// Share of unknown users among the external recipients of a day (0-1); 0 = no limit.
    pub bounce_share: f64,
    /// Least external recipients in a day for that share to count.
    pub bounce_share_min_recipients: u64,
    /// What happens beyond a ceiling.
    pub when_exceeded: WhenExceeded,
    /// Sender and admins are told when 75 % and 90 % of a ceiling are reached.
    pub warn_near_ceiling: bool,
    /// Share of spam that blocks (0-1].
    pub spam_rate: f64,
    /// Least messages for the share to count; 0 = rule off.
    pub spam_rate_min_messages: u64,
    /// Window of the share; at most 24 h.
    pub spam_rate_window: Duration,
    /// The detector blocks at ln(1/rate) nats; 0 = off.
    pub false_block_rate: f64,
    /// What happens to a suspicious message.
    pub suspicious: Suspicious,
    /// Who gets copies of suspicious mail.
    pub review_copy: Option<Address>,
    /// Where each value comes from.
    pub origins: Origins,
}

/// A policy beside the default one, with those it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedPolicy {
    /// What it says.
    pub policy: Policy,
    /// Of the policies that fit a sender those of the highest priority count.
    pub priority: i64,
    /// Whom it is for.
    pub scope: Scope,
}

impl Policy {
    /// What runs without a word in the file.
    fn built_in() -> Self {
        Self {
            name: DEFAULT.into(),
            mode: Mode::Enforce,
            recipients_external_per_hour: 500,
            recipients_internal_per_hour: 1000,
            recipients_per_day: 1000,
            recipients_new_per_day: 0,
            recipients_per_message: 0,
            messages_per_minute: 0,
            messages_per_day: 0,
            bytes_per_day: 0,
            bounce_share: 0.0,
            bounce_share_min_recipients: 20,
            when_exceeded: WhenExceeded::Alert,
            warn_near_ceiling: false,
            spam_rate: 0.5,
            spam_rate_min_messages: 20,
            spam_rate_window: HOUR,
            false_block_rate: 1e-6,
            suspicious: Suspicious::HighRisk,
            review_copy: None,
            origins: Origins::default(),
        }
    }

    /// The policy that lets everything pass: what acts where the only one that fits is in shadow
    /// mode. Blocks that people open stand all the same.
    pub fn inert() -> &'static Self {
        static INERT: LazyLock<Policy> = LazyLock::new(|| Policy {
            name: "none".into(),
            recipients_external_per_hour: 0,
            recipients_internal_per_hour: 0,
            recipients_per_day: 0,
            spam_rate_min_messages: 0,
            false_block_rate: 0.0,
            suspicious: Suspicious::Deliver,
            ..Policy::built_in()
        });
        &INERT
    }

    /// Every key with its value as TOML, in the order of the documentation.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let text = |word: &str| format!("\"{word}\"");
        let float = |value: f64| format!("{value:?}");
        vec![
            ("mode", text(self.mode.as_str())),
            (
                "recipients_external_per_hour",
                self.recipients_external_per_hour.to_string(),
            ),
            (
                "recipients_internal_per_hour",
                self.recipients_internal_per_hour.to_string(),
            ),
            ("recipients_per_day", self.recipients_per_day.to_string()),
            (
                "recipients_new_per_day",
                self.recipients_new_per_day.to_string(),
            ),
            (
                "recipients_per_message",
                self.recipients_per_message.to_string(),
            ),
            ("messages_per_minute", self.messages_per_minute.to_string()),
            ("messages_per_day", self.messages_per_day.to_string()),
            ("bytes_per_day", self.bytes_per_day.to_string()),
            ("bounce_share", float(self.bounce_share)),
            (
                "bounce_share_min_recipients",
                self.bounce_share_min_recipients.to_string(),
            ),
            (
                "when_exceeded",
                text(word(&WhenExceeded::ALL, self.when_exceeded)),
            ),
            ("warn_near_ceiling", self.warn_near_ceiling.to_string()),
            ("spam_rate", float(self.spam_rate)),
            (
                "spam_rate_min_messages",
                self.spam_rate_min_messages.to_string(),
            ),
            (
                "spam_rate_window",
                text(&show_duration(self.spam_rate_window)),
            ),
            ("false_block_rate", float(self.false_block_rate)),
            ("suspicious", text(word(&Suspicious::ALL, self.suspicious))),
            (
                "review_copy",
                toml::Value::String(
                    self.review_copy
                        .as_ref()
                        .map_or_else(String::new, |a| a.as_str().to_owned()),
                )
                .to_string(),
            ),
        ]
    }

    /// A policy that says nothing itself yet: what it inherits counts as said by the default one,
    /// where that says it.
    fn heir(&self, name: &str) -> Self {
        let said = self
            .origins
            .0
            .iter()
            .map(|(key, _)| (*key, Origin::Default))
            .collect();
        // In shadow mode is who says so itself.
        Self {
            name: name.into(),
            mode: Mode::Enforce,
            origins: Origins(said),
            ..self.clone()
        }
    }
}

/// What a preset says: each function sets values and gives the keys that it set.
type Preset = (&'static str, fn(&mut Policy) -> &'static [&'static str]);

const PRESETS: [(&str, Preset); 3] = [
    ("standard", ("standard", standard)),
    ("strict", ("strict", strict)),
    ("microsoft", ("microsoft", microsoft)),
];

/// For most offices: tells early, stops nobody over a ceiling.
fn standard(p: &mut Policy) -> &'static [&'static str] {
    p.recipients_external_per_hour = 500;
    p.recipients_internal_per_hour = 1000;
    p.recipients_per_day = 1000;
    p.recipients_per_message = 500;
    p.bounce_share = 0.3;
    p.when_exceeded = WhenExceeded::Alert;
    p.warn_near_ceiling = true;
    p.suspicious = Suspicious::HighRisk;
    &[
        "recipients_external_per_hour",
        "recipients_internal_per_hour",
        "recipients_per_day",
        "recipients_per_message",
        "bounce_share",
        "when_exceeded",
        "warn_near_ceiling",
        "suspicious",
    ]
}

/// For those who never write to many: the recipients are those of Microsoft's "Strict"
/// recommendation for outbound mail, and what passes a ceiling or looks like spam waits for
/// somebody.
fn strict(p: &mut Policy) -> &'static [&'static str] {
    p.recipients_external_per_hour = 400;
    p.recipients_internal_per_hour = 800;
    p.recipients_per_day = 800;
    p.recipients_new_per_day = 200;
    p.recipients_per_message = 100;
    p.messages_per_minute = 30;
    p.bounce_share = 0.2;
    p.when_exceeded = WhenExceeded::Hold;
    p.warn_near_ceiling = true;
    p.suspicious = Suspicious::Hold;
    &[
        "recipients_external_per_hour",
        "recipients_internal_per_hour",
        "recipients_per_day",
        "recipients_new_per_day",
        "recipients_per_message",
        "messages_per_minute",
        "bounce_share",
        "when_exceeded",
        "warn_near_ceiling",
        "suspicious",
    ]
}

/// What Microsoft publishes: the "Standard" recommendation for outbound spam policies (500 external
/// and 1000 internal recipients an hour, 1000 a day, beyond it "restrict the user from sending
/// mail"; suspicious mail leaves by the high-risk pool), and the limits of Exchange Online (30
/// messages a minute, which only slow down, and 500 recipients a message).
fn microsoft(p: &mut Policy) -> &'static [&'static str] {
    p.recipients_external_per_hour = 500;
    p.recipients_internal_per_hour = 1000;
    p.recipients_per_day = 1000;
    p.recipients_per_message = 500;
    p.messages_per_minute = 30;
    p.when_exceeded = WhenExceeded::Block;
    p.suspicious = Suspicious::HighRisk;
    &[
        "recipients_external_per_hour",
        "recipients_internal_per_hour",
        "recipients_per_day",
        "recipients_per_message",
        "messages_per_minute",
        "when_exceeded",
        "suspicious",
    ]
}

/// One section under the reader, with the note of what it says itself.
struct Keys<'s, 'r, 't> {
    section: &'s Section<'r, 't>,
    origins: Origins,
}

impl Keys<'_, '_, '_> {
    fn read<T>(
        &mut self,
        key: &'static str,
        slot: &mut T,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) {
        if let Some(value) = self.section.get(key, None, |v| read(v).map(Some)) {
            *slot = value;
            self.origins.0.push((key, Origin::Own));
        }
    }

    fn ceiling(&mut self, key: &'static str, slot: &mut u64) {
        self.read(key, slot, |v| integer(v, &(0..=1_000_000_000)));
    }
}

/// Reads the keys of one policy over what it inherits.
fn policy(s: &Section<'_, '_>, mut p: Policy) -> Policy {
    let mut keys = Keys {
        section: s,
        origins: std::mem::take(&mut p.origins),
    };
    if let Some((name, apply)) = s.get("preset", None, |v| one_of(v, &PRESETS).map(Some)) {
        keys.origins
            .0
            .extend(apply(&mut p).iter().map(|key| (*key, Origin::Preset(name))));
    }
    keys.read("mode", &mut p.mode, |v| one_of(v, &Mode::ALL));
    keys.ceiling(
        "recipients_external_per_hour",
        &mut p.recipients_external_per_hour,
    );
    keys.ceiling(
        "recipients_internal_per_hour",
        &mut p.recipients_internal_per_hour,
    );
    keys.ceiling("recipients_per_day", &mut p.recipients_per_day);
    keys.ceiling("recipients_new_per_day", &mut p.recipients_new_per_day);
    keys.ceiling("recipients_per_message", &mut p.recipients_per_message);
    keys.ceiling("messages_per_minute", &mut p.messages_per_minute);
    keys.ceiling("messages_per_day", &mut p.messages_per_day);
    // Counted in KiB in 32 bits.
    keys.read("bytes_per_day", &mut p.bytes_per_day, |v| {
        size(v, &(0..=1 << 41))
    });
    keys.read("bounce_share", &mut p.bounce_share, |v| {
        number(v, &(0.0..=1.0))
    });
    keys.read(
        "bounce_share_min_recipients",
        &mut p.bounce_share_min_recipients,
        |v| integer(v, &(1..=1_000_000)),
    );
    keys.read("when_exceeded", &mut p.when_exceeded, |v| {
        one_of(v, &WhenExceeded::ALL)
    });
    keys.read("warn_near_ceiling", &mut p.warn_near_ceiling, boolean);
    keys.read("spam_rate", &mut p.spam_rate, |v| {
        number(v, &(0.0..=1.0)).and_then(|rate| match rate > 0.0 {
            true => Ok(rate),
            false => Err(Wrong::new(
                "0 would block everybody",
                "write a share above 0 and up to 1; spam_rate_min_messages = 0 is off",
            )),
        })
    });
    keys.read(
        "spam_rate_min_messages",
        &mut p.spam_rate_min_messages,
        |v| integer(v, &(0..=1_000_000)),
    );
    keys.read("spam_rate_window", &mut p.spam_rate_window, |v| {
        duration(v, &(MINUTE..=DAY))
    });
    keys.read("false_block_rate", &mut p.false_block_rate, |v| {
        number(v, &(0.0..=0.1))
    });
    keys.read("suspicious", &mut p.suspicious, |v| {
        one_of(v, &Suspicious::ALL)
    });
    keys.read("review_copy", &mut p.review_copy, |v| {
        values::optional(string(v)?, values::address)
    });
    p.origins = keys.origins;
    p
}

/// `[policy.default]` and all others, these in the order in which they are tried: highest priority,
/// then name.
pub(super) fn policies(s: Section<'_, '_>, known: &Known<'_>) -> (Policy, Vec<Arc<NamedPolicy>>) {
    let default = s.section(DEFAULT);
    let policy_default = policy(&default, Policy::built_in());
    default.finish();
    let mut named = Vec::new();
    for (name, section) in s.sections_by_name() {
        if name == DEFAULT {
            continue;
        }
        if let Err(wrong) = values::name(&name) {
            section.error_here(wrong);
        }
        let scope = scope(&section, known);
        let priority = section.get("priority", 0, |v| integer(v, &(0..=1_000_000)));
        let policy = policy(&section, policy_default.heir(&name));
        if scope.is_everybody() && policy.mode == Mode::Enforce {
            let wrong = Wrong::new(
                "is for everybody, so policy.default never applies",
                "say whom it is for (senders, groups, domains, clients, tenants), or change policy.default instead",
            );
            section.warn_here(wrong);
        }
        named.push(Arc::new(NamedPolicy {
            policy,
            priority: i64::try_from(priority).unwrap_or(i64::MAX),
            scope,
        }));
        section.finish();
    }
    named.sort_by(|a, b| (b.priority, &a.policy.name).cmp(&(a.priority, &b.policy.name)));
    (policy_default, named)
}

/// A string as it stands.
pub(super) fn plain(value: &DeValue<'_>) -> Result<String, Wrong> {
    string(value).map(str::to_owned)
}
