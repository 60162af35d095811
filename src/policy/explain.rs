//! Which policy applies to a sender, why no other does, and where each value comes from.

use super::allowance;
use super::ceilings::{self, Load};
use super::scope::{Choice, choose};
use crate::api::{AllowanceInForce, CeilingUse, PolicyCandidate, PolicyExplanation, PolicyValue};
use crate::config::Settings;
use crate::config::policies::{DEFAULT, Mode, Origin, Policy};
use crate::identity;
use crate::types::{Address, Identity, SenderKey, Strength, TenantId, Time};
use std::net::{IpAddr, Ipv4Addr};

/// Explains the choice for this sender.
pub(crate) fn explain(settings: &Settings, identity: &Identity, now: Time) -> PolicyExplanation {
    let choice = choose(settings, identity);
    PolicyExplanation {
        sender: identity.address.to_string(),
        tenant: identity.tenant.to_string(),
        client: Some(identity.client).filter(|ip| !ip.is_unspecified()),
        policy: choice.policy.name.to_string(),
        shadow: choice.shadow.map(|p| p.name.to_string()),
        policies: candidates(settings, identity, &choice),
        values: values(choice.policy),
        shadow_values: choice.shadow.map(values).unwrap_or_default(),
        allowances: allowance::of(settings, identity)
            .map(|a| AllowanceInForce {
                evidence: a.evidence.as_str().into(),
                until: a.until.clone(),
                expired: a.ends <= now,
                reason: a.reason.clone(),
            })
            .collect(),
    }
}

/// How much of each ceiling of the policy is used.
pub(crate) fn used(policy: &Policy, load: &Load) -> Vec<CeilingUse> {
    let set = ceilings::gauges(policy, load, ceilings::Adding::default())
        .into_iter()
        .filter(|g| g.limit > 0);
    set.map(|g| CeilingUse {
        ceiling: g.reason,
        used: g.used,
        limit: g.limit,
    })
    .collect()
}

fn candidates(
    settings: &Settings,
    identity: &Identity,
    choice: &Choice<'_>,
) -> Vec<PolicyCandidate> {
    let is = |policy: &Policy, chosen: &Policy| std::ptr::eq(policy, chosen);
    let applies = |policy: &Policy| {
        if is(policy, choice.policy) {
            "acts"
        } else if choice.shadow.is_some_and(|chosen| is(policy, chosen)) {
            "shadow"
        } else {
            "no"
        }
    };
    let winner = &choice.policy.name;
    let mut list: Vec<PolicyCandidate> = settings
        .policies
        .iter()
        .map(|named| {
            let applies = applies(&named.policy);
            let why = match named.scope.fit(identity) {
                Err(miss) => miss.text().into_owned(),
                Ok(narrow) if applies == "no" => {
                    format!(
                        "{}, but so does \"{winner}\", which comes first: higher priority, then narrower, then by name",
                        narrow.text()
                    )
                }
                Ok(narrow) => narrow.text(),
            };
            let (policy, mode) = (named.policy.name.to_string(), named.policy.mode.as_str());
            PolicyCandidate {
                policy,
                mode: mode.into(),
                priority: Some(named.priority),
                applies: applies.into(),
                why,
            }
        })
        .collect();
    let default = &settings.policy;
    let why = match (applies(default), default.mode) {
        ("no", _) => format!("\"{winner}\" comes before it"),
        (_, Mode::Shadow) => "no other policy is for this sender; nothing is done".to_owned(),
        (_, Mode::Enforce) => "no other policy is for this sender".to_owned(),
    };
    let (policy, mode) = (DEFAULT.to_owned(), default.mode.as_str());
    list.push(PolicyCandidate {
        policy,
        mode: mode.into(),
        priority: None,
        applies: applies(default).into(),
        why,
    });
    list
}

fn values(policy: &Policy) -> Vec<PolicyValue> {
    let from = |key| match policy.origins.of(key) {
        Origin::BuiltIn => "built-in default".to_owned(),
        Origin::Default => format!("policy.{DEFAULT}"),
        Origin::Preset(name) => format!("preset {name}"),
        Origin::Own => format!("policy.{}", policy.name),
    };
    policy
        .values()
        .into_iter()
        .map(|(key, value)| PolicyValue {
            key: key.into(),
            value,
            from: from(key),
        })
        .collect()
}

/// The identity of a sender that the relay has not seen: the account of that name in `tenant` if
/// that is given, else in the tenant that owns its domain, else in the first tenant. `None` if
/// there is no such tenant or the text is empty.
pub(crate) fn stranger(
    settings: &Settings,
    text: &str,
    tenant: Option<&TenantId>,
    client: Option<IpAddr>,
) -> Option<Identity> {
    let address = Address::parse(text.trim());
    let name = address
        .as_ref()
        .map_or_else(|| text.trim().to_lowercase(), identity::sender_address);
    let owner = address
        .as_ref()
        .and_then(|a| settings.tenants.iter().find(|t| t.is_internal(a.domain())));
    let tenant = match tenant {
        Some(id) => settings.tenant(id)?,
        None => owner.or_else(|| settings.tenants.first())?,
    };
    let own = || {
        tenant
            .domains
            .first()
            .filter(|_| tenant.domains.len() == 1)
            .cloned()
    };
    (!name.is_empty()).then(|| Identity {
        key: SenderKey::account(&tenant.id, &name),
        tenant: tenant.id.clone(),
        domain: address.map(|a| a.domain().clone()).or_else(own),
        address: name.into(),
        strength: Strength::Authenticated,
        client: client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        foreign: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::settings;

    const CONFIG: &str = r#"
            [[tenant]]
            name = "acme"
            domains = ["acme.example"]
            [group.sales]
            addresses = ["alice@acme.example"]
            [policy.default]
            recipients_per_day = 77
            [policy.sales]
            groups = ["sales"]
            messages_per_day = 5
            [policy.house]
            domains = ["acme.example"]
            [policy.web]
            clients = ["192.0.2.0/24"]
            [policy.trial]
            mode = "shadow"
            priority = 3
            except_senders = ["bob@acme.example"]
            [[allowance]]
            domain = "acme.example"
            evidence = "recipients"
            until = 2026-12-31
            reason = "fair"
            "#;
    const NOW: Time = Time::from_secs(1_795_356_000);

    #[test]
    fn it_tells_which_policy_acts_and_why_the_others_do_not() {
        let s = settings(CONFIG);
        let alice = stranger(&s, "Alice+x@acme.example", None, None).expect("an address");
        let told = explain(&s, &alice, NOW);
        assert_eq!(
            (told.policy.as_str(), told.shadow.as_deref(), told.client),
            ("sales", Some("trial"), None)
        );
        let why: Vec<_> = told
            .policies
            .iter()
            .map(|p| (p.policy.as_str(), p.applies.as_str()))
            .collect();
        assert_eq!(
            why,
            [
                ("trial", "shadow"),
                ("house", "no"),
                ("sales", "acts"),
                ("web", "no"),
                ("default", "no")
            ]
        );
        assert!(
            told.policies[1].why.contains("but so does \"sales\""),
            "{:?}",
            told.policies[1]
        );
        assert_eq!(
            told.policies[3].why,
            "the sender's client is in none of its networks"
        );
    }

    #[test]
    fn it_tells_where_each_value_is_from() {
        let s = settings(CONFIG);
        let alice = stranger(&s, "Alice+x@acme.example", None, None).expect("an address");
        let told = explain(&s, &alice, NOW);
        let value = |key| {
            told.values
                .iter()
                .find(|v| v.key == key)
                .map(|v| (v.value.as_str(), v.from.as_str()))
        };
        assert_eq!(value("messages_per_day"), Some(("5", "policy.sales")));
        assert_eq!(value("recipients_per_day"), Some(("77", "policy.default")));
        assert_eq!(
            value("suspicious"),
            Some(("\"high_risk\"", "built-in default"))
        );
        assert_eq!(
            told.allowances
                .iter()
                .map(|a| (a.evidence.as_str(), a.expired))
                .collect::<Vec<_>>(),
            [("recipients", false)]
        );
    }

    #[test]
    fn it_tells_of_a_sender_behind_a_client_at_a_later_time() {
        let s = settings(CONFIG);
        let bob = stranger(
            &s,
            "bob@acme.example",
            None,
            Some("192.0.2.1".parse().expect("ip")),
        )
        .expect("an address");
        let told = explain(
            &s,
            &bob,
            NOW.after(std::time::Duration::from_secs(90 * 86_400)),
        );
        assert_eq!((told.policy.as_str(), told.shadow), ("house", None));
        assert!(told.allowances[0].expired);
        assert_eq!(stranger(&s, "x", Some(&TenantId::new("none")), None), None);
    }
}
