//! Whom a policy is for, named groups of senders, and allowances.

use super::error::Wrong;
use super::form::{Out, shown_or_empty, word};
use super::raw::ConfigSection;
use super::settings::{RouteMatch, TenantSettings};
use super::typed::{one_of, string};
use super::values;
use crate::types::fingerprint::{read_template, template_name};
use crate::types::{Address, Domain, TenantId, Time};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Senders of one file read at most.
const GROUP_MEMBERS: usize = 1_000_000;

/// Names of senders: addresses or logins in their one form.
pub(crate) type Senders = BTreeSet<Box<str>>;

/// One `[group.NAME]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupSettings {
    pub name: String,
    /// Members named in the configuration itself.
    pub addresses: Senders,
    /// File with one member a line, read at start and at each reload.
    pub file: Option<PathBuf>,
    pub from_file: Senders,
}

impl GroupSettings {
    /// Whether that sender belongs to it.
    pub fn contains(&self, sender: &str) -> bool {
        self.addresses.contains(sender) || self.from_file.contains(sender)
    }

    /// Writes all keys.
    pub(super) fn show(&self, out: &mut Out) {
        out.list("addresses", &self.addresses);
        out.raw(
            "file",
            shown_or_empty(self.file.as_ref().map(|f| f.display())),
        );
    }
}

/// Whom a policy is for. A sender fits if one of senders, groups and domains names it (or none of
/// the three is given), and the clients and the tenants do so too where they are given, and no
/// exception does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    pub senders: Senders,
    pub groups: Vec<Arc<GroupSettings>>,
    pub domains: Vec<RouteMatch>,
    pub clients: Vec<IpNet>,
    pub tenants: Vec<TenantId>,
    /// Never these addresses or logins.
    pub except_senders: Senders,
    pub except_groups: Vec<Arc<GroupSettings>>,
}

impl Scope {
    /// Whether everybody fits but for the exceptions.
    pub(super) fn is_everybody(&self) -> bool {
        self.senders.is_empty()
            && self.groups.is_empty()
            && self.domains.is_empty()
            && self.clients.is_empty()
            && self.tenants.is_empty()
    }

    /// Writes all keys.
    pub(super) fn show(&self, out: &mut Out) {
        let names = |groups: &[Arc<GroupSettings>]| {
            groups.iter().map(|g| g.name.clone()).collect::<Vec<_>>()
        };
        out.list("senders", &self.senders);
        out.list("groups", names(&self.groups));
        out.list("domains", &self.domains);
        out.list("clients", &self.clients);
        out.list("tenants", &self.tenants);
        out.list("except_senders", &self.except_senders);
        out.list("except_groups", names(&self.except_groups));
    }
}

/// One kind of evidence that an allowance may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EvidenceKind {
    /// What the text looks like, and listed links in it.
    Content,
    Recipients,
    /// A mailing unlike the sender's past, which is held with a question.
    Mailing,
    Bounces,
    /// Refusals as spam by remote sites, and complaints.
    Refusals,
}

impl EvidenceKind {
    /// All of them.
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("content", Self::Content),
        ("recipients", Self::Recipients),
        ("mailing", Self::Mailing),
        ("bounces", Self::Bounces),
        ("refusals", Self::Refusals),
    ];

    /// Name as in the configuration.
    pub(crate) fn as_str(self) -> &'static str {
        word(&Self::ALL, self)
    }
}

/// What to write where it is not clear who has an allowance.
const ONE_OF_THEM: &str = "write sender = \"alice@example.com\", domain = \"example.com\", or template = \"template:0x…\" from the proof of a block";

/// Who has an allowance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// One address or login.
    Sender(Box<str>),
    /// All senders of exactly that domain.
    Domain(Domain),
    /// Whoever sends a text with a fingerprint near to this one.
    Template(u64),
}

/// One `[[allowance]]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Allowance {
    pub who: Allowed,
    /// What does not count against them.
    pub evidence: EvidenceKind,
    /// Its last day as written.
    pub until: String,
    /// The end of that day, in the time zone of the tenant that owns the domain, else in UTC.
    pub ends: Time,
    /// Why, for those who read it later.
    pub reason: String,
}

impl Allowance {
    /// Writes all keys.
    pub(super) fn show(&self, out: &mut Out) {
        match &self.who {
            Allowed::Sender(sender) => out.text("sender", sender),
            Allowed::Domain(domain) => out.text("domain", domain),
            Allowed::Template(fingerprint) => out.text("template", template_name(*fingerprint)),
        }
        out.text("evidence", self.evidence.as_str());
        out.text("until", &self.until);
        out.text("reason", &self.reason);
    }
}

/// What scopes may name.
pub(super) struct KnownNames<'a> {
    pub groups: &'a [Arc<GroupSettings>],
    pub tenants: &'a [Arc<TenantSettings>],
}

/// An address or a login in its one form.
pub(super) fn sender(text: &str) -> Result<Box<str>, Wrong> {
    let text = text.trim();
    if text.is_empty()
        || text.len() > 320
        || text.chars().any(|c| c.is_control() || c.is_whitespace())
        || text.starts_with('@')
    {
        return Err(Wrong::new(
            format!("\"{text}\" is no sender"),
            "write an address such as \"alice@example.com\", or a login; whole domains go under domains",
        ));
    }
    Ok(Address::parse(text)
        .map_or_else(|| text.to_lowercase(), |a| a.key())
        .into())
}

fn senders(s: &ConfigSection<'_, '_>, key: &'static str) -> Senders {
    s.list(key, Vec::new(), sender).into_iter().collect()
}

fn groups_named(
    s: &ConfigSection<'_, '_>,
    key: &'static str,
    known: &[Arc<GroupSettings>],
) -> Vec<Arc<GroupSettings>> {
    s.list(key, Vec::new(), |name| {
        known
            .iter()
            .find(|g| g.name == name)
            .cloned()
            .ok_or_else(|| {
                let names: Vec<&str> = known.iter().map(|g| g.name.as_str()).collect();
                Wrong::new(
                    format!("there is no group \"{name}\""),
                    format!("add [group.{name}]; known: {}", names.join(", ")),
                )
            })
    })
}

/// The scope keys of a policy.
pub(super) fn scope(s: &ConfigSection<'_, '_>, known: &KnownNames<'_>) -> Scope {
    Scope {
        senders: senders(s, "senders"),
        groups: groups_named(s, "groups", known.groups),
        domains: s.list("domains", Vec::new(), |text| {
            match values::route_match(text)? {
                RouteMatch::Any => Err(Wrong::new("\"*\" is everybody", "leave the key out")),
                domain => Ok(domain),
            }
        }),
        clients: s.list("clients", Vec::new(), values::network),
        tenants: s.list("tenants", Vec::new(), |name| {
            known
                .tenants
                .iter()
                .map(|t| &t.id)
                .find(|id| id.as_str() == name)
                .cloned()
                .ok_or_else(|| {
                    let names: Vec<&str> = known.tenants.iter().map(|t| t.id.as_str()).collect();
                    Wrong::new(
                        format!("there is no tenant \"{name}\""),
                        format!("known: {}", names.join(", ")),
                    )
                })
        }),
        except_senders: senders(s, "except_senders"),
        except_groups: groups_named(s, "except_groups", known.groups),
    }
}

/// All `[group.NAME]`, by name. Their files are read by who loads the configuration.
pub(super) fn groups(s: ConfigSection<'_, '_>) -> Vec<Arc<GroupSettings>> {
    let mut groups = Vec::new();
    for (name, section) in s.sections_by_name() {
        if let Err(wrong) = values::name(&name) {
            section.error_here(wrong);
        }
        if !section.has("addresses") && !section.has("file") {
            section.error_here(Wrong::new(
                "has no members",
                "write addresses = [\"…\"], or file = \"…\" with one a line",
            ));
        }
        let file = section.get("file", None, |v| {
            values::optional(string(v)?, |path| Ok(PathBuf::from(path)))
        });
        let addresses = senders(&section, "addresses");
        groups.push(Arc::new(GroupSettings {
            name,
            addresses,
            file,
            from_file: Senders::new(),
        }));
        section.finish();
    }
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    groups
}

/// Why the file of a group cannot be used. Who wrote it can mend it.
#[derive(Debug, thiserror::Error)]
pub(super) enum GroupFileError {
    #[error(transparent)]
    Unreadable(#[from] std::io::Error),
    /// The file is over this bound, in octets.
    #[error("is larger than {0} bytes")]
    TooLarge(u64),
    #[error("has more than {GROUP_MEMBERS} members")]
    TooMany,
    /// The line of this number, from 1, is no sender.
    #[error("line {0}: {problem}; {remedy}", problem = .1.problem, remedy = .1.remedy)]
    Line(usize, Wrong),
}

/// The members in the text of a group's file: one a line; what stands behind `#` and empty lines
/// are left out.
///
/// # Errors
/// The first line that is no sender; or too many of them.
pub(super) fn members(text: &str) -> Result<Senders, GroupFileError> {
    let mut found = Senders::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        found.insert(sender(line).map_err(|wrong| GroupFileError::Line(number + 1, wrong))?);
        if found.len() > GROUP_MEMBERS {
            return Err(GroupFileError::TooMany);
        }
    }
    Ok(found)
}

/// All `[[allowance]]`.
pub(super) fn allowances(
    root: &ConfigSection<'_, '_>,
    tenants: &[Arc<TenantSettings>],
) -> Vec<Arc<Allowance>> {
    let mut found = Vec::new();
    for s in root.sections("allowance").unwrap_or_default() {
        let who = allowed(&s);
        let evidence = s.need(
            "evidence",
            "write one of: content, recipients, mailing, bounces, refusals",
            |v| one_of(v, &EvidenceKind::ALL),
        );
        let zone = who.as_ref().map_or("UTC", |who| zone_of(who, tenants));
        let until = s.need("until", "write its last day, such as \"2027-03-31\"", |v| {
            let text = v
                .as_datetime()
                .map_or_else(|| string(v).map(str::to_owned), |date| Ok(date.to_string()))?;
            Time::end_of_day(&text, zone)
                .map(|ends| (text.clone(), ends))
                .ok_or_else(|| {
                    Wrong::new(
                        format!("\"{text}\" is no day"),
                        "write year, month and day, such as \"2027-03-31\"",
                    )
                })
        });
        let reason = s.need(
            "reason",
            "write why, for those who read it later",
            |v| match string(v)?.trim() {
                "" => Err(Wrong::new(
                    "is empty",
                    "write why, for those who read it later",
                )),
                text => Ok(text.to_owned()),
            },
        );
        // What comes back later no longer tells which text it is of.
        if matches!(who, Some(Allowed::Template(_)))
            && matches!(
                evidence,
                Some(EvidenceKind::Bounces | EvidenceKind::Refusals)
            )
        {
            s.error_here(Wrong::new(
                "bounces and refusals are of a sender, not of a text",
                "name the sender, or write evidence = \"content\", \"recipients\" or \"mailing\"",
            ));
        }
        if let (Some(who), Some(evidence), Some((until, ends)), Some(reason)) =
            (who, evidence, until, reason)
        {
            found.push(Arc::new(Allowance {
                who,
                evidence,
                until,
                ends,
                reason,
            }));
        }
        s.finish();
    }
    found
}

/// Who has it: exactly one of the keys.
fn allowed(s: &ConfigSection<'_, '_>) -> Option<Allowed> {
    match (s.has("sender"), s.has("domain"), s.has("template")) {
        (true, false, false) => s.need("sender", "", |v| sender(string(v)?).map(Allowed::Sender)),
        (false, true, false) => s.need("domain", "", |v| {
            values::domain(string(v)?).map(Allowed::Domain)
        }),
        (false, false, true) => s.need("template", "", |v| {
            template(string(v)?).map(Allowed::Template)
        }),
        (false, false, false) => {
            s.error_here(Wrong::new("says nobody", ONE_OF_THEM));
            None
        }
        _ => {
            s.error_here(Wrong::new(
                "more than one of sender, domain and template is given",
                ONE_OF_THEM,
            ));
            let _known = ["sender", "domain", "template"]
                .map(|key| s.get(key, (), |v| string(v).map(|_| ())));
            None
        }
    }
}

fn template(text: &str) -> Result<u64, Wrong> {
    let remedy = "write it as the proof of a block shows it: \"template:0x\" and 16 digits";
    read_template(text)
        .filter(|f| *f != 0)
        .ok_or_else(|| Wrong::new(format!("\"{text}\" is no template"), remedy))
}

fn zone_of<'t>(who: &Allowed, tenants: &'t [Arc<TenantSettings>]) -> &'t str {
    let of_address = |text: &str| Address::parse(text).map(|a| a.domain().clone());
    let domain = match who {
        Allowed::Sender(text) => of_address(text),
        Allowed::Domain(domain) => Some(domain.clone()),
        Allowed::Template(_) => None,
    };
    let owner = domain.and_then(|d| tenants.iter().find(|t| t.is_internal(&d)));
    owner.map_or("UTC", |t| t.time_zone.as_str())
}
