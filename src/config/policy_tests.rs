//! What policies inherit, and how long allowances last.

use super::policies::{Mode, Origin};
use super::scopes::Allowed;
use super::settings::*;
use super::tests::settings;

const TWO_POLICIES: &str = r#"
        [policy.default]
        recipients_per_day = 50
        when_exceeded = "throttle"
        [policy.office]
        senders = ["a@b.example"]
        messages_per_day = 7
        [policy.firm]
        preset = "microsoft"
        senders = ["c@b.example"]
        recipients_external_per_hour = 9
        "#;

fn named<'a>(s: &'a Settings, name: &str) -> &'a Policy {
    &s.policies
        .iter()
        .find(|p| &*p.policy.name == name)
        .expect("that policy")
        .policy
}

#[test]
fn a_policy_takes_what_it_does_not_say_from_its_preset_and_then_from_the_default_one() {
    let s = settings(TWO_POLICIES);
    let (office, firm) = (named(&s, "office"), named(&s, "firm"));
    assert_eq!(
        (
            office.recipients_per_day,
            office.messages_per_day,
            office.recipients_external_per_hour
        ),
        (50, 7, 500)
    );
    assert_eq!(
        (
            firm.recipients_per_day,
            firm.recipients_external_per_hour,
            firm.messages_per_minute
        ),
        (1000, 9, 30)
    );
    assert_eq!(firm.when_exceeded, WhenExceeded::Block);
}

#[test]
fn each_value_of_a_policy_knows_where_it_is_from() {
    let s = settings(TWO_POLICIES);
    let (office, firm) = (named(&s, "office"), named(&s, "firm"));
    let origins = |p: &Policy| {
        [
            "recipients_per_day",
            "messages_per_day",
            "recipients_external_per_hour",
            "spam_rate",
        ]
        .map(|key| p.origins.of(key))
    };
    assert_eq!(
        origins(office),
        [
            Origin::Default,
            Origin::Own,
            Origin::BuiltIn,
            Origin::BuiltIn
        ]
    );
    let preset = Origin::Preset("microsoft");
    assert_eq!(
        origins(firm),
        [preset, Origin::BuiltIn, Origin::Own, Origin::BuiltIn]
    );
    assert_eq!(
        origins(&s.policy),
        [
            Origin::Own,
            Origin::BuiltIn,
            Origin::BuiltIn,
            Origin::BuiltIn
        ]
    );
}

#[test]
fn a_shadow_default_does_not_make_its_heirs_shadows() {
    let s =
        settings("[policy.default]\nmode = \"shadow\"\n[policy.a]\nsenders = [\"a@b.example\"]\n");
    assert_eq!(
        (s.policy.mode, s.policies[0].policy.mode),
        (Mode::Shadow, Mode::Enforce)
    );
}

#[test]
fn an_allowance_ends_with_its_last_day_where_its_sender_is_at_home() {
    let s = settings(
        r#"
        [[tenant]]
        name = "acme"
        domains = ["acme.example"]
        time_zone = "Europe/Berlin"
        [[allowance]]
        sender = "News@acme.example"
        evidence = "content"
        until = 2027-01-31
        reason = "x"
        [[allowance]]
        domain = "elsewhere.example"
        evidence = "mailing"
        until = "2027-01-31"
        reason = "x"
        "#,
    );
    let ends: Vec<_> = s.allowances.iter().map(|a| a.ends.rfc3339()).collect();
    assert_eq!(ends, ["2027-01-31T23:00:00Z", "2027-02-01T00:00:00Z"]);
    assert_eq!(
        s.allowances[0].who,
        Allowed::Sender("news@acme.example".into())
    );
}
