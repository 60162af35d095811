//! The decision on one message, from facts to an action and its one reason.

use crate::config::settings::{Suspicious, WhenExceeded};
use crate::types::{Action, Reason};

/// What speaks for and against a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PolicyFacts {
    /// An active block covers the sender.
    pub blocked: bool,
    /// It links to a blocked website.
    pub blocked_website: bool,
    /// A ceiling it passes.
    pub ceiling: Option<Reason>,
    /// The message alone passes that ceiling, so waiting does not help.
    pub never_fits: bool,
    /// What the policy does beyond a ceiling.
    pub when_exceeded: WhenExceeded,
    /// The detector crossed its bound.
    pub crossed: bool,
    /// The share of spam is too large.
    pub spam_rate: bool,
    /// The content is suspicious.
    pub suspicious: bool,
    /// The sender is between watch and block.
    pub watched: bool,
    /// It belongs to a mailing unlike the sender's past.
    pub unusual: bool,
    /// What the policy does with suspicious mail of good senders.
    pub when_suspicious: Suspicious,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PolicyDecision {
    pub action: Action,
    pub reason: Reason,
    /// A block is opened for `reason`.
    pub opens: bool,
    /// That block ends at the tenant's midnight, whatever `[blocks] duration` says.
    pub until_tomorrow: bool,
    /// The ceiling that admins are alerted about.
    pub alert: Option<Reason>,
}

impl Default for PolicyFacts {
    /// Nothing speaks against the message.
    fn default() -> Self {
        Self {
            blocked: false,
            blocked_website: false,
            ceiling: None,
            never_fits: false,
            when_exceeded: WhenExceeded::Alert,
            crossed: false,
            spam_rate: false,
            suspicious: false,
            watched: false,
            unusual: false,
            when_suspicious: Suspicious::Deliver,
        }
    }
}

const fn plain(action: Action, reason: Reason) -> PolicyDecision {
    PolicyDecision {
        action,
        reason,
        opens: false,
        until_tomorrow: false,
        alert: None,
    }
}

const fn opens(reason: Reason, until_tomorrow: bool) -> PolicyDecision {
    PolicyDecision {
        action: Action::Reject,
        reason,
        opens: true,
        until_tomorrow,
        alert: None,
    }
}

/// Block → website → ceilings → detector → spam rate → suspicious content → accept. A ceiling that
/// only holds the message or alerts people does not hide a block that the detector opens or a
/// refusal of the content. A hold wins over a delivery.
pub(crate) fn decide(facts: &PolicyFacts) -> PolicyDecision {
    if facts.blocked {
        return plain(Action::Reject, Reason::Blocked);
    }
    if facts.blocked_website {
        return plain(Action::Reject, Reason::BlockedWebsite);
    }
    match (facts.ceiling, facts.when_exceeded) {
        (Some(why), WhenExceeded::Throttle) if facts.never_fits => {
            return PolicyDecision {
                alert: Some(why),
                ..plain(Action::Reject, why)
            };
        }
        (Some(why), WhenExceeded::Throttle) => {
            return PolicyDecision {
                alert: Some(why),
                ..plain(Action::Defer, why)
            };
        }
        (Some(why), WhenExceeded::Block) => return opens(why, false),
        (Some(why), WhenExceeded::BlockUntilTomorrow) => return opens(why, true),
        (_, WhenExceeded::Alert | WhenExceeded::Hold) | (None, _) => {}
    }
    if facts.crossed {
        return opens(Reason::Evidence, false);
    }
    if facts.spam_rate {
        return opens(Reason::SpamRate, false);
    }
    let content = content(facts);
    let verdict = match (facts.ceiling, facts.when_exceeded) {
        (Some(why), WhenExceeded::Hold) if content.action != Action::Reject => {
            plain(Action::Hold, why)
        }
        _ => content,
    };
    PolicyDecision {
        alert: facts.ceiling,
        ..verdict
    }
}

fn content(facts: &PolicyFacts) -> PolicyDecision {
    if !facts.suspicious {
        // Held for a person to decide, not refused: it may be an honest mailing.
        let unusual = plain(Action::Hold, Reason::UnusualMailing);
        return if facts.unusual {
            unusual
        } else {
            plain(Action::Accept, Reason::Clean)
        };
    }
    let why = if facts.watched {
        Reason::Watched
    } else {
        Reason::SuspiciousContent
    };
    match (facts.when_suspicious, facts.watched) {
        // A watched sender is never treated better than a good one.
        (Suspicious::Reject, _) => plain(Action::Reject, why),
        (_, true) | (Suspicious::Hold, _) => plain(Action::Hold, why),
        _ if facts.unusual => plain(Action::Hold, Reason::UnusualMailing),
        (Suspicious::HighRisk, false) => plain(Action::HighRisk, why),
        (Suspicious::Deliver, false) => plain(Action::Accept, why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Standing {
        Good,
        Watched,
        Crossed,
        Blocked,
    }

    /// Every when_exceeded × suspicious × standing, with and without a ceiling passed and
    /// suspicious content, against the rules said in another way.
    #[test]
    fn the_whole_table() {
        use WhenExceeded as W;
        let mut cases = 0;
        for when_exceeded in [
            W::Alert,
            W::Throttle,
            W::Hold,
            W::Block,
            W::BlockUntilTomorrow,
        ] {
            for when_suspicious in [
                Suspicious::Deliver,
                Suspicious::HighRisk,
                Suspicious::Hold,
                Suspicious::Reject,
            ] {
                for standing in [
                    Standing::Good,
                    Standing::Watched,
                    Standing::Crossed,
                    Standing::Blocked,
                ] {
                    for (over, suspicious) in
                        [(false, false), (false, true), (true, false), (true, true)]
                    {
                        let facts = PolicyFacts {
                            blocked: standing == Standing::Blocked,
                            blocked_website: false,
                            ceiling: over.then_some(Reason::RecipientsPerDay),
                            never_fits: false,
                            when_exceeded,
                            crossed: standing == Standing::Crossed,
                            spam_rate: false,
                            suspicious,
                            watched: standing == Standing::Watched,
                            unusual: false,
                            when_suspicious,
                        };
                        let verdict = decide(&facts);
                        let expected = expect(&facts, standing);
                        assert_eq!(
                            (verdict.action, verdict.reason, verdict.opens),
                            expected,
                            "{facts:?}"
                        );
                        assert_eq!(
                            verdict.until_tomorrow,
                            verdict.opens && over && when_exceeded == W::BlockUntilTomorrow
                        );
                        let told = over && !verdict.opens && standing != Standing::Blocked;
                        assert_eq!(verdict.alert.is_some(), told, "{facts:?}");
                        cases += 1;
                    }
                }
            }
        }
        assert_eq!(cases, 320);
    }

    fn expect(f: &PolicyFacts, standing: Standing) -> (Action, Reason, bool) {
        let over = f.ceiling.is_some();
        if standing == Standing::Blocked {
            return (Action::Reject, Reason::Blocked, false);
        }
        if over && f.when_exceeded == WhenExceeded::Throttle {
            return (Action::Defer, Reason::RecipientsPerDay, false);
        }
        if over
            && matches!(
                f.when_exceeded,
                WhenExceeded::Block | WhenExceeded::BlockUntilTomorrow
            )
        {
            return (Action::Reject, Reason::RecipientsPerDay, true);
        }
        if standing == Standing::Crossed {
            return (Action::Reject, Reason::Evidence, true);
        }
        let why = if standing == Standing::Watched {
            Reason::Watched
        } else {
            Reason::SuspiciousContent
        };
        if f.suspicious && f.when_suspicious == Suspicious::Reject {
            return (Action::Reject, why, false);
        }
        if over && f.when_exceeded == WhenExceeded::Hold {
            return (Action::Hold, Reason::RecipientsPerDay, false);
        }
        if !f.suspicious {
            return (Action::Accept, Reason::Clean, false);
        }
        if standing == Standing::Watched || f.when_suspicious == Suspicious::Hold {
            return (Action::Hold, why, false);
        }
        let action = if f.when_suspicious == Suspicious::HighRisk {
            Action::HighRisk
        } else {
            Action::Accept
        };
        (action, why, false)
    }

    #[test]
    fn websites_and_spam_rate() {
        let calm = PolicyFacts::default();
        assert_eq!(decide(&calm), plain(Action::Accept, Reason::Clean));
        let website = PolicyFacts {
            blocked_website: true,
            crossed: true,
            ..calm
        };
        assert_eq!(
            decide(&website),
            plain(Action::Reject, Reason::BlockedWebsite)
        );
        assert_eq!(
            decide(&PolicyFacts {
                spam_rate: true,
                ..calm
            }),
            opens(Reason::SpamRate, false)
        );
        assert_eq!(
            decide(&PolicyFacts {
                spam_rate: true,
                crossed: true,
                ..calm
            }),
            opens(Reason::Evidence, false)
        );
    }
}
