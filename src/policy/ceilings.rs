//! Plain ceilings: rules that people can read.

use crate::config::settings::{Policy, WhenExceeded};
use crate::types::Counts;
use crate::types::Reason;

/// What a message, or a recipient at RCPT, would add.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Adding {
    pub external: u32,
    pub internal: u32,
    /// External recipients that are new to the sender.
    pub new: u32,
    pub messages: u32,
    /// Their size in KiB, rounded up.
    pub kib: u32,
}

impl Adding {
    /// Internal and external recipients.
    const fn recipients(&self) -> u32 {
        self.external.saturating_add(self.internal)
    }
}

/// What is used already, including what other transactions have reserved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Recipients of the same transaction.
    pub in_message: u32,
    /// Messages of the last minute.
    pub minute_messages: u32,
    pub hour: Counts,
    pub day: Counts,
}

/// A ceiling and how much of it is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Gauge {
    pub reason: Reason,
    /// Its figure; 0 = none.
    pub limit: u64,
    pub used: u64,
    adds: u64,
}

/// How near a message came to a ceiling without passing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Near {
    pub reason: Reason,
    pub percent: u8,
    pub limit: u64,
    /// What is used with the message.
    pub used: u64,
}

/// Whether the policy has any ceiling. Without one, the sums need not be computed.
pub(crate) fn any(policy: &Policy) -> bool {
    policy.bounce_share > 0.0
        || gauges(policy, &Load::default(), Adding::default())
            .iter()
            .any(|g| g.limit > 0)
}

/// One ceiling that is a count.
struct Ceiling {
    reason: Reason,
    /// What it bounds, as replies and notices say it.
    what: &'static str,
    /// People are alerted about it once in this many minutes.
    window_minutes: u32,
    /// Whether it is used up little by little, so that people can be warned in advance.
    is_budget: bool,
    /// Its figure; 0 = none.
    limit: fn(&Policy) -> u64,
    used: fn(&Load) -> u64,
    adds: fn(&Adding) -> u32,
}

/// All ceilings that are counts, in the order of the checks. The bounce ceiling is a share and is
/// not among them.
static CEILINGS: [Ceiling; 8] = [
    Ceiling {
        reason: Reason::RecipientsExternalPerHour,
        what: "external recipients per hour",
        window_minutes: HOUR,
        is_budget: true,
        limit: |policy| policy.recipients_external_per_hour,
        used: |load| load.hour.external.into(),
        adds: |add| add.external,
    },
    Ceiling {
        reason: Reason::RecipientsInternalPerHour,
        what: "internal recipients per hour",
        window_minutes: HOUR,
        is_budget: true,
        limit: |policy| policy.recipients_internal_per_hour,
        used: |load| load.hour.internal.into(),
        adds: |add| add.internal,
    },
    Ceiling {
        reason: Reason::RecipientsPerDay,
        what: "recipients per day",
        window_minutes: DAY,
        is_budget: true,
        limit: |policy| policy.recipients_per_day,
        used: |load| load.day.recipients(),
        adds: |add| add.recipients(),
    },
    Ceiling {
        reason: Reason::RecipientsNewPerDay,
        what: "new recipients per day",
        window_minutes: DAY,
        is_budget: true,
        limit: |policy| policy.recipients_new_per_day,
        used: |load| load.day.new.into(),
        adds: |add| add.new,
    },
    Ceiling {
        reason: Reason::RecipientsPerMessage,
        what: "recipients per message",
        window_minutes: HOUR,
        is_budget: false,
        limit: |policy| policy.recipients_per_message,
        used: |load| load.in_message.into(),
        adds: |add| add.recipients(),
    },
    Ceiling {
        reason: Reason::MessagesPerMinute,
        what: "messages per minute",
        window_minutes: 1,
        is_budget: false,
        limit: |policy| policy.messages_per_minute,
        used: |load| load.minute_messages.into(),
        adds: |add| add.messages,
    },
    Ceiling {
        reason: Reason::MessagesPerDay,
        what: "messages per day",
        window_minutes: DAY,
        is_budget: true,
        limit: |policy| policy.messages_per_day,
        used: |load| load.day.messages.into(),
        adds: |add| add.messages,
    },
    Ceiling {
        reason: Reason::BytesPerDay,
        what: "message size per day",
        window_minutes: DAY,
        is_budget: true,
        // In KiB.
        limit: |policy| policy.bytes_per_day.div_ceil(1024),
        used: |load| load.day.kib.into(),
        adds: |add| add.kib,
    },
];

const HOUR: u32 = 60;
const DAY: u32 = 24 * 60;

/// Every ceiling that is a count and how much of it is used, in the order of the checks.
pub(crate) fn gauges(policy: &Policy, load: &Load, add: Adding) -> [Gauge; CEILINGS.len()] {
    CEILINGS.each_ref().map(|ceiling| Gauge {
        reason: ceiling.reason,
        limit: (ceiling.limit)(policy),
        used: (ceiling.used)(load),
        adds: (ceiling.adds)(&add).into(),
    })
}

fn ceiling(reason: Reason) -> Option<&'static Ceiling> {
    CEILINGS.iter().find(|c| c.reason == reason)
}

/// What a ceiling that is a count bounds: "recipients per day"; empty for other reasons.
pub(super) fn what(reason: Reason) -> &'static str {
    ceiling(reason).map_or("", |c| c.what)
}

/// The ceiling that this would pass, and its figure. It is one that this adds to: internal mail
/// still goes when the external ceiling is reached.
pub(crate) fn exceeded(policy: &Policy, load: &Load, add: Adding) -> Option<(Reason, u64)> {
    let passed = gauges(policy, load, add)
        .into_iter()
        .find(|g| g.limit > 0 && g.adds > 0 && g.used + g.adds > g.limit);
    passed
        .map(|g| (g.reason, g.limit))
        .or_else(|| bounced(policy, load, add))
}

/// The share of unknown users, as a ceiling in percent.
fn bounced(policy: &Policy, load: &Load, add: Adding) -> Option<(Reason, u64)> {
    let (bounces, external) = (load.day.bounces, load.day.external);
    let over = policy.bounce_share > 0.0
        && add.external > 0
        && u64::from(external) >= policy.bounce_share_min_recipients
        && f64::from(bounces) > policy.bounce_share * f64::from(external);
    over.then(|| (Reason::BounceShare, limit(policy, Reason::BounceShare)))
}

/// The ceilings that this would fill to 75 % or 90 % without passing them. Only ceilings per hour
/// or per day fill up in this way.
pub(crate) fn near(policy: &Policy, load: &Load, add: Adding) -> Vec<Near> {
    let level = |g: &Gauge| {
        let used = g.used + g.adds;
        let percent = [90_u8, 75]
            .into_iter()
            .find(|p| g.limit > 0 && used * 100 >= g.limit * u64::from(*p))?;
        let is_budget = ceiling(g.reason).is_some_and(|c| c.is_budget);
        (is_budget && g.adds > 0 && used <= g.limit).then_some(Near {
            reason: g.reason,
            percent,
            limit: g.limit,
            used,
        })
    };
    gauges(policy, load, add).iter().filter_map(level).collect()
}

/// The figure of a ceiling; 0 = none. Sizes in KiB, the bounce share in percent.
pub(crate) fn limit(policy: &Policy, reason: Reason) -> u64 {
    if reason == Reason::BounceShare {
        return (policy.bounce_share * 100.0).round() as u64;
    }
    gauges(policy, &Load::default(), Adding::default())
        .iter()
        .find(|g| g.reason == reason)
        .map_or(0, |g| g.limit)
}

/// The figure of a ceiling in words.
pub(crate) fn figure(reason: Reason, limit: u64) -> String {
    match reason {
        Reason::BytesPerDay => format!("{limit} KiB"),
        Reason::BounceShare => format!("{limit} %"),
        _ => limit.to_string(),
    }
}

/// What the policy does beyond this ceiling. Mail that only comes too fast is deferred where
/// another ceiling would block the sender: it fits again within a minute, and speed alone is no
/// sign of misuse.
pub(crate) const fn response(policy: &Policy, reason: Reason) -> WhenExceeded {
    match (reason, policy.when_exceeded) {
        (Reason::MessagesPerMinute, WhenExceeded::Block | WhenExceeded::BlockUntilTomorrow) => {
            WhenExceeded::Throttle
        }
        (_, when) => when,
    }
}

/// Window of a ceiling in minutes: people are alerted once in that time.
pub(crate) fn window_minutes(reason: Reason) -> u32 {
    ceiling(reason).map_or(DAY, |c| c.window_minutes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::testing::settings;

    #[test]
    fn each_ceiling_counts_what_comes() {
        let mut policy = settings().policy;
        policy.recipients_external_per_hour = 10;
        policy.recipients_internal_per_hour = 20;
        policy.recipients_per_day = 25;
        for (hour, day, add, wanted) in [
            ((9, 0), (9, 0), (1, 0), None),
            (
                (10, 0),
                (10, 0),
                (1, 0),
                Some((Reason::RecipientsExternalPerHour, 10)),
            ),
            ((10, 0), (10, 0), (0, 1), None),
            (
                (0, 20),
                (0, 20),
                (0, 1),
                Some((Reason::RecipientsInternalPerHour, 20)),
            ),
            (
                (0, 0),
                (10, 15),
                (1, 0),
                Some((Reason::RecipientsPerDay, 25)),
            ),
            ((0, 0), (10, 15), (0, 0), None),
        ] {
            let counts = |(external, internal): (u32, u32)| Counts {
                external,
                internal,
                ..Counts::default()
            };
            let load = Load {
                hour: counts(hour),
                day: counts(day),
                ..Load::default()
            };
            assert_eq!(
                exceeded(
                    &policy,
                    &load,
                    Adding {
                        external: add.0,
                        internal: add.1,
                        ..Adding::default()
                    }
                ),
                wanted
            );
        }
        assert!(any(&policy) && !any(&settings().policy));
    }

    #[test]
    fn the_other_ceilings() {
        let base = settings().policy;
        let load = Load {
            in_message: 4,
            minute_messages: 3,
            day: Counts {
                messages: 9,
                new: 7,
                kib: 100,
                external: 40,
                bounces: 9,
                ..Counts::default()
            },
            ..Load::default()
        };
        let one = Adding {
            external: 1,
            internal: 0,
            new: 1,
            messages: 1,
            kib: 1,
        };
        let with = |change: fn(&mut Policy, u64), figure| {
            let mut policy = base.clone();
            change(&mut policy, figure);
            assert!(any(&policy));
            exceeded(&policy, &load, one)
        };
        type Case = (fn(&mut Policy, u64), Reason, u64);
        let cases: [Case; 5] = [
            (
                |p, n| p.recipients_new_per_day = n,
                Reason::RecipientsNewPerDay,
                7,
            ),
            (
                |p, n| p.recipients_per_message = n,
                Reason::RecipientsPerMessage,
                4,
            ),
            (
                |p, n| p.messages_per_minute = n,
                Reason::MessagesPerMinute,
                3,
            ),
            (|p, n| p.messages_per_day = n, Reason::MessagesPerDay, 9),
            (|p, n| p.bytes_per_day = n * 1024, Reason::BytesPerDay, 100),
        ];
        for (change, reason, used) in cases {
            assert_eq!(with(change, used), Some((reason, used)), "full");
            assert_eq!(with(change, used + 1), None, "room for one");
        }
        // 9 of 40 are 22.5 %.
        assert_eq!(
            with(|p, n| p.bounce_share = n as f64 / 100.0, 22),
            Some((Reason::BounceShare, 22))
        );
        assert_eq!(with(|p, n| p.bounce_share = n as f64 / 100.0, 23), None);
        let few = |p: &mut Policy, n| {
            p.bounce_share = 0.1;
            p.bounce_share_min_recipients = n;
        };
        assert_eq!(with(few, 40), Some((Reason::BounceShare, 10)));
        assert_eq!(
            with(few, 41),
            None,
            "too few recipients to speak of a share"
        );
    }

    #[test]
    fn a_ceiling_warns_before_it_is_reached() {
        let mut policy = settings().policy;
        policy.recipients_per_day = 20;
        policy.messages_per_minute = 1;
        let level = |used, add| {
            let load = Load {
                day: Counts {
                    external: used,
                    ..Counts::default()
                },
                ..Load::default()
            };
            let near = near(
                &policy,
                &load,
                Adding {
                    external: add,
                    messages: 1,
                    ..Adding::default()
                },
            );
            near.first().map(|n| (n.percent, n.used))
        };
        assert_eq!(
            [level(13, 1), level(14, 1), level(16, 1)],
            [None, Some((75, 15)), Some((75, 17))]
        );
        assert_eq!(
            [level(17, 1), level(19, 1), level(19, 2)],
            [Some((90, 18)), Some((90, 20)), None]
        );
    }

    #[test]
    fn what_comes_too_fast_waits_and_is_no_reason_to_block() {
        let mut policy = settings().policy;
        policy.when_exceeded = WhenExceeded::Block;
        assert_eq!(
            response(&policy, Reason::MessagesPerMinute),
            WhenExceeded::Throttle
        );
        assert_eq!(
            response(&policy, Reason::MessagesPerDay),
            WhenExceeded::Block
        );
        policy.when_exceeded = WhenExceeded::Hold;
        assert_eq!(
            response(&policy, Reason::MessagesPerMinute),
            WhenExceeded::Hold
        );
    }
}
