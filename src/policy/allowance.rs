//! Evidence that is not held against a sender for a while.

use crate::config::Settings;
use crate::config::scopes::{Allowance, Allowed, EvidenceKind};
use crate::types::{Identity, Time};
use std::sync::Arc;

/// The allowances of a sender that hold now.
#[derive(Debug, Clone, Copy)]
pub struct Allowances<'a> {
    settings: &'a Settings,
    identity: &'a Identity,
    now: Time,
}

impl<'a> Allowances<'a> {
    /// Of this sender.
    pub const fn new(settings: &'a Settings, identity: &'a Identity, now: Time) -> Self {
        Self { settings, identity, now }
    }

    /// The allowance that leaves out this kind of evidence, if there is one.
    pub fn find(&self, kind: EvidenceKind) -> Option<&'a Allowance> {
        if self.settings.allowances.is_empty() {
            return None;
        }
        of(self.settings, self.identity).find(|a| a.evidence == kind && self.now < a.ends)
    }

    /// Whether this kind of evidence is left out.
    pub fn leave_out(&self, kind: EvidenceKind) -> bool {
        self.find(kind).is_some()
    }

    /// The sentences for the record of a block: what was left out when it was opened; empty where nothing was.
    pub fn note(&self) -> String {
        let mut note = String::new();
        for (word, kind) in EvidenceKind::ALL {
            if let Some(allowance) = self.find(kind) {
                note.push_str(&format!(
                    " Not counted: {word}, by an allowance until {} ({}).",
                    allowance.until, allowance.reason
                ));
            }
        }
        note
    }
}

/// All allowances of a sender, also those whose time is over. Forwarded mail has none: its address is somebody else's.
pub fn of<'a>(settings: &'a Settings, identity: &Identity) -> impl Iterator<Item = &'a Allowance> {
    let has = |allowance: &Arc<Allowance>| {
        !identity.foreign
            && match &allowance.who {
                Allowed::Sender(name) => *name == identity.address,
                Allowed::Domain(domain) => identity.domain.as_ref() == Some(domain),
            }
    };
    settings.allowances.iter().filter(move |a| has(a)).map(Arc::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::settings;
    use crate::policy::explain::stranger;

    #[test]
    fn an_allowance_is_for_its_sender_its_evidence_and_its_time() {
        let s = settings(
            r#"
            [[allowance]]
            sender = "news@acme.example"
            evidence = "content"
            until = 2026-11-22
            reason = "ticket 12"
            [[allowance]]
            domain = "acme.example"
            evidence = "bounces"
            until = 2026-11-30
            reason = "old list"
            "#,
        );
        let noon = Time::from_secs(1_795_356_000);
        let kinds = |who: &str, now| {
            let identity = stranger(&s, who, None, None).expect("an address");
            let allowances = Allowances::new(&s, &identity, now);
            EvidenceKind::ALL.iter().filter(|(_, kind)| allowances.leave_out(*kind)).map(|(word, _)| *word).collect::<Vec<_>>()
        };
        assert_eq!(kinds("news@acme.example", noon), ["content", "bounces"]);
        assert_eq!(kinds("alice@acme.example", noon), ["bounces"]);
        assert_eq!(kinds("alice@b.acme.example", noon), Vec::<&str>::new());
        let midnight = Time::from_secs(1_795_356_000 + 10 * 3600);
        assert_eq!(kinds("news@acme.example", midnight), ["bounces"], "its last day is over");
        let mut news = stranger(&s, "news@acme.example", None, None).expect("an address");
        let note = Allowances::new(&s, &news, midnight).note();
        assert_eq!(note, " Not counted: bounces, by an allowance until 2026-11-30 (old list).");
        news.foreign = true;
        assert_eq!(Allowances::new(&s, &news, noon).note(), "", "anybody may forward mail of that address");
    }
}
