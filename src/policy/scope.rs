//! Which policy applies to a sender: highest priority first, then the narrowest scope, then the
//! name.

use crate::config::Settings;
use crate::config::policies::{Mode, NamedPolicy, Policy};
use crate::config::scopes::{GroupSettings, Scope};
use crate::config::settings::RouteMatch;
use crate::types::Identity;
use std::borrow::Cow;
use std::sync::Arc;

/// The policies that judge a sender.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    pub policy: &'a Policy,
    /// The policy in shadow mode that would apply to the sender if it acted.
    pub shadow: Option<&'a Policy>,
}

impl<'a> Choice<'a> {
    /// The policy that acts, then the one in shadow mode.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &'a Policy> {
        [Some(self.policy), self.shadow].into_iter().flatten()
    }
}

/// How narrowly a scope names a sender, narrowest first: by name, group, domain or not at all; then
/// by client; then by tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Narrowness {
    who: Who,
    any_client: bool,
    any_tenant: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Sender,
    Group,
    Domain,
    Anybody,
}

/// Why a scope does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// `except_senders` names the sender.
    Excepted,
    /// A group of that name in `except_groups` names the sender.
    ExceptedGroup(String),
    /// `senders`, `groups` and `domains` do not name the sender.
    Who,
    /// Its client is in none of the networks.
    Client,
    /// It belongs to none of the tenants.
    Tenant,
}

/// The names of a sender: its address or login. A login without a domain also means that mailbox in
/// its domain.
struct Names<'a>(&'a str, Option<String>);

impl<'a> Names<'a> {
    fn of(identity: &'a Identity) -> Self {
        let mailbox = match &identity.domain {
            Some(domain) if !identity.address.is_empty() && !identity.address.contains('@') => {
                Some(format!("{}@{domain}", identity.address))
            }
            _ => None,
        };
        Self(&identity.address, mailbox)
    }

    fn any(&self, is: impl Fn(&str) -> bool) -> bool {
        is(self.0) || self.1.as_deref().is_some_and(is)
    }

    fn group<'g>(&self, groups: &'g [Arc<GroupSettings>]) -> Option<&'g Arc<GroupSettings>> {
        groups
            .iter()
            .find(|group| self.any(|name| group.contains(name)))
    }
}

impl Scope {
    /// How narrowly this scope names the sender, or why it does not. Forwarded mail has no name:
    /// its address belongs to another sender, and all of it counts as one sender.
    pub fn fit(&self, identity: &Identity) -> Result<Narrowness, Miss> {
        let names = if identity.foreign {
            Names("", None)
        } else {
            Names::of(identity)
        };
        if names.any(|name| self.except_senders.contains(name)) {
            return Err(Miss::Excepted);
        }
        if let Some(group) = names.group(&self.except_groups) {
            return Err(Miss::ExceptedGroup(group.name.clone()));
        }
        let named = !self.senders.is_empty() || !self.groups.is_empty() || !self.domains.is_empty();
        let who = if names.any(|name| self.senders.contains(name)) {
            Who::Sender
        } else if names.group(&self.groups).is_some() {
            Who::Group
        } else if !identity.foreign && self.domains.iter().any(|d| is_in(d, identity)) {
            Who::Domain
        } else if named {
            return Err(Miss::Who);
        } else {
            Who::Anybody
        };
        if !self.clients.is_empty()
            && !self
                .clients
                .iter()
                .any(|network| network.contains(&identity.client))
        {
            return Err(Miss::Client);
        }
        if !self.tenants.is_empty() && !self.tenants.contains(&identity.tenant) {
            return Err(Miss::Tenant);
        }
        Ok(Narrowness {
            who,
            any_client: self.clients.is_empty(),
            any_tenant: self.tenants.is_empty(),
        })
    }
}

fn is_in(domains: &RouteMatch, identity: &Identity) -> bool {
    let Some(domain) = &identity.domain else {
        return false;
    };
    match domains {
        RouteMatch::Any => true,
        RouteMatch::Below(parent) => domain != parent && domain.is_within(parent),
        RouteMatch::Exact(exact) => domain == exact,
    }
}

/// The policies that judge this sender.
pub fn choose<'a>(settings: &'a Settings, identity: &Identity) -> Choice<'a> {
    let default = &settings.policy;
    if settings.policies.is_empty() && default.mode == Mode::Enforce {
        return Choice {
            policy: default,
            shadow: None,
        };
    }
    choose_named(settings, identity)
}

fn choose_named<'a>(settings: &'a Settings, identity: &Identity) -> Choice<'a> {
    // The policies are sorted by priority and name, so within one priority the first of the
    // narrowest wins.
    type Best<'b> = Option<(i64, Narrowness, &'b NamedPolicy)>;
    let (mut acts, mut shadow): (Best<'a>, Best<'a>) = (None, None);
    for named in &settings.policies {
        if acts.is_some_and(|(priority, ..)| named.priority < priority) {
            break;
        }
        let best = if named.policy.mode == Mode::Enforce {
            &mut acts
        } else {
            &mut shadow
        };
        if best.is_some_and(|(priority, ..)| named.priority < priority) {
            continue;
        }
        if let Ok(narrow) = named.scope.fit(identity)
            && best.is_none_or(|(_, narrowest, _)| narrow < narrowest)
        {
            *best = Some((named.priority, narrow, named));
        }
    }
    // A policy in shadow mode that would not be chosen if it acted reports nothing.
    let before = |a: (i64, Narrowness, &NamedPolicy), b: (i64, Narrowness, &NamedPolicy)| {
        (-a.0, a.1, &a.2.policy.name) < (-b.0, b.1, &b.2.policy.name)
    };
    let shadow = shadow
        .filter(|s| acts.is_none_or(|a| before(*s, a)))
        .map(|(.., named)| &named.policy);
    let default = &settings.policy;
    match (acts, default.mode) {
        (Some((.., named)), _) => Choice {
            policy: &named.policy,
            shadow,
        },
        (None, Mode::Enforce) => Choice {
            policy: default,
            shadow,
        },
        (None, Mode::Shadow) => Choice {
            policy: Policy::inert(),
            shadow: shadow.or(Some(default)),
        },
    }
}

impl Miss {
    /// In plain words.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Excepted => "except_senders names this sender".into(),
            Self::ExceptedGroup(name) => {
                format!("except_groups: the sender is in group {name}").into()
            }
            Self::Who => "neither senders nor groups nor domains name this sender".into(),
            Self::Client => "the sender's client is in none of its networks".into(),
            Self::Tenant => "it is for other tenants".into(),
        }
    }
}

impl Narrowness {
    /// In plain words.
    pub fn text(self) -> String {
        let who = match self.who {
            Who::Sender => "by name",
            Who::Group => "by group",
            Who::Domain => "by domain",
            Who::Anybody => "",
        };
        let client = if self.any_client { "" } else { "by client" };
        let tenant = if self.any_tenant { "" } else { "by tenant" };
        let parts: Vec<&str> = [who, client, tenant]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        if parts.is_empty() {
            "it is for everybody".into()
        } else {
            format!("it names this sender {}", parts.join(" and "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::settings;
    use crate::types::{Domain, SenderKey, Strength, TenantId};

    fn who(address: &str, client: &str) -> Identity {
        let tenant = TenantId::new("acme");
        Identity {
            key: SenderKey::account(&tenant, address),
            tenant,
            address: address.into(),
            domain: address
                .rsplit_once('@')
                .and_then(|(_, d)| Domain::parse(d))
                .or_else(|| Domain::parse("acme.example")),
            strength: Strength::Authenticated,
            client: client.parse().expect("an address"),
            foreign: false,
        }
    }

    const TENANT: &str = "[[tenant]]\nname = \"acme\"\ndomains = [\"acme.example\"]\n";

    fn chosen(text: &str, identity: &Identity) -> (String, Option<String>) {
        let settings = settings(&format!("{TENANT}{text}"));
        let choice = choose(&settings, identity);
        (
            choice.policy.name.to_string(),
            choice.shadow.map(|s| s.name.to_string()),
        )
    }

    #[test]
    fn priority_then_narrowness_then_name() {
        let text = r#"
            [group.sales]
            addresses = ["Bob@acme.example", "carol@acme.example"]
            [policy.house]
            domains = ["acme.example"]
            [policy.sales]
            groups = ["sales"]
            except_senders = ["carol@acme.example"]
            [policy.alice]
            senders = ["ALICE@acme.example"]
            [policy.zed]
            senders = ["alice@acme.example"]
            [policy.web]
            clients = ["192.0.2.0/28"]
            priority = 5
            [policy.below]
            domains = [".acme.example"]
            [policy.tenant]
            tenants = ["acme"]
        "#;
        for (address, client, want) in [
            ("alice@acme.example", "198.51.100.1", "alice"),
            ("bob@acme.example", "198.51.100.1", "sales"),
            ("bob", "198.51.100.1", "sales"),
            ("carol@acme.example", "198.51.100.1", "house"),
            ("alice@acme.example", "192.0.2.7", "web"),
            ("x@mail.acme.example", "198.51.100.1", "below"),
            ("x@other.example", "198.51.100.1", "tenant"),
        ] {
            assert_eq!(
                chosen(text, &who(address, client)),
                (want.to_owned(), None),
                "{address}"
            );
        }
        // What is forwarded has no name: anybody may write that address.
        let forwarded = Identity {
            foreign: true,
            ..who("alice@acme.example", "198.51.100.1")
        };
        assert_eq!(chosen(text, &forwarded).0, "tenant");
        assert_eq!(
            chosen("", &who("alice@acme.example", "192.0.2.7")).0,
            "default"
        );
    }

    #[test]
    fn a_shadow_is_seen_only_where_it_would_be_chosen() {
        let alice = who("alice@acme.example", "192.0.2.7");
        let narrow = "[policy.trial]\nmode = \"shadow\"\nsenders = [\"alice@acme.example\"]\n";
        assert_eq!(
            chosen(narrow, &alice),
            ("default".into(), Some("trial".into()))
        );
        let wide =
            "[policy.trial]\nmode = \"shadow\"\n[policy.house]\ndomains = [\"acme.example\"]\n";
        assert_eq!(
            chosen(wide, &alice),
            ("house".into(), None),
            "the narrower one acts, so the wide one would not"
        );
        let first = "[policy.trial]\nmode = \"shadow\"\npriority = 1\n[policy.house]\ndomains = [\"acme.example\"]\n";
        assert_eq!(
            chosen(first, &alice),
            ("house".into(), Some("trial".into()))
        );
        let all = "[policy.default]\nmode = \"shadow\"\n";
        assert_eq!(chosen(all, &alice), ("none".into(), Some("default".into())));
        assert_eq!(
            chosen(&format!("{all}{narrow}"), &alice),
            ("none".into(), Some("trial".into()))
        );
    }
}
