//! Plain ceilings: rules that people can read.

use crate::config::settings::Policy;
use crate::reputation::window::Counts;
use crate::types::Reason;

/// Recipients to be added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recipients {
    /// External.
    pub external: u32,
    /// Internal.
    pub internal: u32,
}

/// Whether the policy has any ceiling, so that the sums are worth making.
pub const fn any(policy: &Policy) -> bool {
    policy.recipients_external_per_hour > 0 || policy.recipients_internal_per_hour > 0 || policy.recipients_per_day > 0
}

/// The ceiling that these recipients would pass, by what the last hour and day hold already (with what is reserved), and
/// its figure. Only the recipients that come count: internal mail goes on when the external ceiling is reached.
pub fn exceeded(policy: &Policy, hour: Counts, day: Counts, add: Recipients) -> Option<(Reason, u64)> {
    let over = |limit: u64, have: u64, more: u32| limit > 0 && more > 0 && have + u64::from(more) > limit;
    if over(policy.recipients_external_per_hour, u64::from(hour.external), add.external) {
        return Some((Reason::RecipientsExternalPerHour, policy.recipients_external_per_hour));
    }
    if over(policy.recipients_internal_per_hour, u64::from(hour.internal), add.internal) {
        return Some((Reason::RecipientsInternalPerHour, policy.recipients_internal_per_hour));
    }
    let all = add.external.saturating_add(add.internal);
    over(policy.recipients_per_day, day.recipients(), all).then_some((Reason::RecipientsPerDay, policy.recipients_per_day))
}

/// Number of a ceiling (for what is remembered of it) and its window in minutes.
pub const fn place(reason: Reason) -> (usize, u32) {
    match reason {
        Reason::RecipientsExternalPerHour => (0, 60),
        Reason::RecipientsInternalPerHour => (1, 60),
        _ => (2, 24 * 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::testing::settings;

    #[test]
    fn each_ceiling_counts_what_comes() {
        let mut policy = settings().policy;
        policy.recipients_external_per_hour = 10;
        policy.recipients_internal_per_hour = 20;
        policy.recipients_per_day = 25;
        for (hour, day, add, wanted) in [
            ((9, 0), (9, 0), (1, 0), None),
            ((10, 0), (10, 0), (1, 0), Some((Reason::RecipientsExternalPerHour, 10))),
            ((10, 0), (10, 0), (0, 1), None),
            ((0, 20), (0, 20), (0, 1), Some((Reason::RecipientsInternalPerHour, 20))),
            ((0, 0), (10, 15), (1, 0), Some((Reason::RecipientsPerDay, 25))),
            ((0, 0), (10, 15), (0, 0), None),
        ] {
            let counts = |(external, internal): (u32, u32)| Counts { external, internal, ..Counts::default() };
            let add = Recipients { external: add.0, internal: add.1 };
            assert_eq!(exceeded(&policy, counts(hour), counts(day), add), wanted);
        }
        assert!(any(&policy) && !any(&settings().policy));
    }
}
