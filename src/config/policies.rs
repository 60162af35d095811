//! `[policy.NAME]`: the ceilings, what is done beyond them, and where each value comes from.

use super::error::Wrong;
use super::form::{
    KeyForm, Out, count, duration, float, one_of, optional, real, size, truth, word,
};
use super::raw::{ConfigReader, ConfigSection};
use super::scopes::{KnownNames, Scope, scope};
use super::typed::{self, integer, number};
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
    Hold,
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

/// Where a value of a policy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything: the built-in default.
    BuiltIn,
    /// `[policy.default]` says it, or its preset.
    Default,
    /// The policy's own preset.
    Preset(&'static str),
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
    fn set(&mut self, key: &'static str, origin: Origin) {
        self.0.push((key, origin));
    }

    /// Where the value of `key` comes from.
    pub fn of(&self, key: &str) -> Origin {
        self.0
            .iter()
            .rev()
            .find(|(k, _)| *k == key)
            .map_or(Origin::BuiltIn, |(_, origin)| *origin)
    }
}

/// A policy beside the default one, with those it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedPolicy {
    pub policy: Policy,
    /// Of the policies that fit a sender those of the highest priority count.
    pub priority: i64,
    /// Whom it is for.
    pub scope: Scope,
}

/// Declares the keys of a policy, in the order of the documentation: name, type, built-in value and
/// form. A policy takes the keys that it does not say from another one.
macro_rules! policy {
    ($($(#[$doc:meta])* $key:ident: $type:ty = $built_in:expr, $form:expr;)+) => {
        /// One `[policy.NAME]`, with everything it inherits.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Policy {
            pub name: Box<str>,
            $($(#[$doc])* pub $key: $type,)+
            /// Where each value comes from.
            pub origins: Origins,
        }

        impl Policy {
            /// What runs without a word in the file.
            fn built_in() -> Self {
                Self {
                    name: DEFAULT.into(),
                    $($key: $built_in,)+
                    origins: Origins::default(),
                }
            }

            /// Every key with its value as TOML, in the order of the documentation.
            pub fn values(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($key), $form.show(&self.$key))),+]
            }

            /// Takes over the keys that the section says.
            fn read(&mut self, section: &ConfigSection<'_, '_>, origin: Origin) {
                $(
                    let key = stringify!($key);
                    self.$key = $form.read(section, key, self.$key.clone());
                    if section.has(key) {
                        self.origins.set(key, origin);
                    }
                )+
            }
        }
    };
}

policy! {
    mode: Mode = Mode::Enforce, one_of(&Mode::ALL);
    /// External recipients; 0 = no limit, as for all ceilings.
    recipients_external_per_hour: u64 = 500, ceiling();
    recipients_internal_per_hour: u64 = 1000, ceiling();
    /// Internal and external together.
    recipients_per_day: u64 = 1000, ceiling();
    /// External recipients the sender has not written to before.
    recipients_new_per_day: u64 = 0, ceiling();
    /// Internal and external together.
    recipients_per_message: u64 = 0, ceiling();
    /// Beyond it mail waits where [`Policy::when_exceeded`] would block: a pace is no sign of
    /// misuse.
    messages_per_minute: u64 = 0, ceiling();
    messages_per_day: u64 = 0, ceiling();
    /// Octets of all messages, each counted in whole KiB.
    // Counted in KiB in 32 bits.
    bytes_per_day: u64 = 0, size(0..=1 << 41);
    /// Share of unknown users among the external recipients of a day (0-1); 0 = no limit.
    bounce_share: f64 = 0.0, real(0.0..=1.0);
    /// Least external recipients in a day for that share to count.
    bounce_share_min_recipients: u64 = 20, count(1..=1_000_000);
    /// What happens beyond a ceiling.
    when_exceeded: WhenExceeded = WhenExceeded::Alert, one_of(&WhenExceeded::ALL);
    /// Sender and admins are told when 75 % and 90 % of a ceiling are reached.
    warn_near_ceiling: bool = false, truth();
    /// Share of spam that blocks (0-1].
    spam_rate: f64 = 0.5, spam_rate();
    /// Least messages for the share to count; 0 = rule off.
    spam_rate_min_messages: u64 = 20, count(0..=1_000_000);
    /// Window of the share; at most 24 h.
    spam_rate_window: Duration = Duration::from_secs(3600),
        duration(Duration::from_secs(60)..=Duration::from_secs(86_400));
    /// The detector blocks at ln(1/rate) nats; 0 = off.
    false_block_rate: f64 = 1e-6, real(0.0..=0.1);
    /// What happens to a suspicious message.
    suspicious: Suspicious = Suspicious::HighRisk, one_of(&Suspicious::ALL);
    /// Who gets copies of suspicious mail.
    review_copy: Option<Address> = None, optional(values::address);
}

fn ceiling() -> KeyForm<u64> {
    count(0..=1_000_000_000)
}

fn spam_rate() -> KeyForm<f64> {
    let read = |v: &DeValue<'_>| match number(v, &(0.0..=1.0))? {
        rate if rate > 0.0 => Ok(rate),
        _ => Err(Wrong::new(
            "0 would block everybody",
            "write a share above 0 and up to 1; spam_rate_min_messages = 0 is off",
        )),
    };
    KeyForm::new(read, |rate| float(*rate))
}

impl Policy {
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
    /// Writes all keys.
    pub(super) fn show(&self, out: &mut Out) {
        for (key, value) in self.values() {
            out.raw(key, value);
        }
    }
}

/// Values for what a policy does not say, by the name of the preset.
const PRESETS: [(&str, (&str, &str)); 3] = [
    ("standard", ("standard", STANDARD)),
    ("strict", ("strict", STRICT)),
    ("microsoft", ("microsoft", MICROSOFT)),
];

/// For most offices: tells early, stops nobody over a ceiling.
const STANDARD: &str = r#"
recipients_external_per_hour = 500
recipients_internal_per_hour = 1000
recipients_per_day = 1000
recipients_per_message = 500
bounce_share = 0.3
when_exceeded = "alert"
warn_near_ceiling = true
suspicious = "high_risk"
"#;

/// For those who never write to many: the recipients are those of Microsoft's "Strict"
/// recommendation for outbound mail, and what passes a ceiling or looks like spam waits for
/// somebody.
const STRICT: &str = r#"
recipients_external_per_hour = 400
recipients_internal_per_hour = 800
recipients_per_day = 800
recipients_new_per_day = 200
recipients_per_message = 100
messages_per_minute = 30
bounce_share = 0.2
when_exceeded = "hold"
warn_near_ceiling = true
suspicious = "hold"
"#;

/// What Microsoft publishes: the "Standard" recommendation for outbound spam policies (500 external
/// and 1000 internal recipients an hour, 1000 a day, beyond it "restrict the user from sending
/// mail"; suspicious mail leaves by the high-risk pool), and the limits of Exchange Online (30
/// messages a minute, which only slow down, and 500 recipients a message).
const MICROSOFT: &str = r#"
recipients_external_per_hour = 500
recipients_internal_per_hour = 1000
recipients_per_day = 1000
recipients_per_message = 500
messages_per_minute = 30
when_exceeded = "block"
suspicious = "high_risk"
"#;

/// Reads the keys of one policy over what it inherits.
fn policy(s: &ConfigSection<'_, '_>, mut p: Policy) -> Policy {
    if let Some((name, text)) = s.get("preset", None, |v| typed::one_of(v, &PRESETS).map(Some)) {
        let reader = ConfigReader::new(text, name, &|_| None);
        let table = reader.parse();
        p.read(&ConfigSection::root(&reader, &table), Origin::Preset(name));
    }
    p.read(s, Origin::Own);
    p
}

/// `[policy.default]` and all others, these in the order in which they are tried: highest priority,
/// then name.
pub(super) fn policies(
    s: ConfigSection<'_, '_>,
    known: &KnownNames<'_>,
) -> (Policy, Vec<Arc<NamedPolicy>>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_read_without_a_word() {
        for (_, (name, text)) in PRESETS {
            let reader = ConfigReader::new(text, name, &|_| None);
            let table = reader.parse();
            let section = ConfigSection::root(&reader, &table);
            let mut policy = Policy::built_in();
            policy.read(&section, Origin::Preset(name));
            section.finish();
            assert_eq!(reader.finish(), (vec![], vec![]));
            assert_eq!(policy.origins.0.len(), text.lines().count() - 1, "{name}");
        }
    }
}
