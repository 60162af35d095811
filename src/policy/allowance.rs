//! Evidence that is not held against a sender for a while.

use crate::config::Settings;
use crate::config::scopes::{Allowance, Allowed, EvidenceKind};
use crate::types::fingerprint::is_near;
use crate::types::{Identity, Time};
use std::sync::Arc;

/// The allowances of a sender that hold now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowances<'a> {
    settings: &'a Settings,
    identity: &'a Identity,
    template: u64,
    now: Time,
}

impl<'a> Allowances<'a> {
    /// The allowances of this sender for a message whose text has the fingerprint `template`; 0 =
    /// no message, or a text too short to have one.
    pub(crate) const fn new(
        settings: &'a Settings,
        identity: &'a Identity,
        template: u64,
        now: Time,
    ) -> Self {
        Self {
            settings,
            identity,
            template,
            now,
        }
    }

    /// The allowance that leaves out this kind of evidence, if there is one.
    pub(crate) fn find(&self, kind: EvidenceKind) -> Option<&'a Allowance> {
        if self.settings.allowances.is_empty() {
            return None;
        }
        let holds = |a: &Arc<Allowance>| {
            let text =
                matches!(a.who, Allowed::Template(template) if is_near(template, self.template));
            a.evidence == kind && self.now < a.ends && (text || is_of(a, self.identity))
        };
        self.settings
            .allowances
            .iter()
            .find(|a| holds(a))
            .map(Arc::as_ref)
    }

    /// Whether this kind of evidence is left out.
    pub(crate) fn leave_out(&self, kind: EvidenceKind) -> bool {
        self.find(kind).is_some()
    }

    /// The sentences for the record of a block that say what was left out when it was opened; empty
    /// if nothing was.
    pub(crate) fn note(&self) -> String {
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

/// All allowances of a sender for any of its mail, expired ones included. Forwarded mail has none,
/// because its address belongs to another sender.
pub(crate) fn of<'a>(
    settings: &'a Settings,
    identity: &Identity,
) -> impl Iterator<Item = &'a Allowance> {
    settings
        .allowances
        .iter()
        .filter(move |a| is_of(a, identity))
        .map(Arc::as_ref)
}

fn is_of(allowance: &Allowance, identity: &Identity) -> bool {
    !identity.foreign
        && match &allowance.who {
            Allowed::Sender(name) => *name == identity.address,
            Allowed::Domain(domain) => identity.domain.as_ref() == Some(domain),
            Allowed::Template(_) => false,
        }
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
            let allowances = Allowances::new(&s, &identity, 0, now);
            EvidenceKind::ALL
                .iter()
                .filter(|(_, kind)| allowances.leave_out(*kind))
                .map(|(word, _)| *word)
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds("news@acme.example", noon), ["content", "bounces"]);
        assert_eq!(kinds("alice@acme.example", noon), ["bounces"]);
        assert_eq!(kinds("alice@b.acme.example", noon), Vec::<&str>::new());
        let midnight = Time::from_secs(1_795_356_000 + 10 * 3600);
        assert_eq!(
            kinds("news@acme.example", midnight),
            ["bounces"],
            "its last day is over"
        );
        let mut news = stranger(&s, "news@acme.example", None, None).expect("an address");
        let note = Allowances::new(&s, &news, 0, midnight).note();
        assert_eq!(
            note,
            " Not counted: bounces, by an allowance until 2026-11-30 (old list)."
        );
        news.foreign = true;
        assert_eq!(
            Allowances::new(&s, &news, 0, noon).note(),
            "",
            "anybody may forward mail of that address"
        );
    }

    #[test]
    fn a_text_may_have_one_whoever_sends_it() {
        let s = settings(
            r#"
            [[allowance]]
            template = "template:0x0123456789abcdef"
            evidence = "content"
            until = 2026-11-30
            reason = "the form of our bank"
            "#,
        );
        let noon = Time::from_secs(1_795_356_000);
        let mut who = stranger(&s, "alice@acme.example", None, None).expect("an address");
        let holds = |who: &Identity, template, now| {
            Allowances::new(&s, who, template, now).leave_out(EvidenceKind::Content)
        };
        assert!(
            holds(&who, 0x0123_4567_89ab_cdef, noon) && holds(&who, 0x0123_4567_89ab_cd00, noon)
        );
        assert!(
            !holds(&who, 0xfedc_ba98_7654_3210, noon) && !holds(&who, 0, noon),
            "other texts, and none"
        );
        assert!(
            !holds(&who, 0x0123_4567_89ab_cdef, Time::from_secs(1_797_356_000)),
            "its time is over"
        );
        who.foreign = true;
        assert!(
            holds(&who, 0x0123_4567_89ab_cdef, noon),
            "it is the text that is known, not who sends it"
        );
    }
}
