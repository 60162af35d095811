//! The hosts and addresses to try, and their order (RFC 5321 section 5.1). Pure.

use crate::config::Settings;
use crate::delivery::address::{is_public, literal};
use crate::types::replies;
use crate::types::{Domain, OutcomeClass, RecipientStatus, Reply};
use hickory_resolver::proto::rr::Name;
use std::net::{IpAddr, SocketAddr};

/// Most mail exchangers of one domain that are looked up.
const MX_HOSTS: usize = 10;
/// Most addresses of one host that are tried. RFC 5321 section 5.1 asks for at least two in all.
pub(super) const ADDRESSES_PER_HOST: usize = 4;
/// Most addresses tried in one attempt.
pub(super) const TARGETS: usize = 10;

/// One address to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) struct Target {
    /// Name of the host, without trailing dot; the address itself if there is no name.
    pub host: String,
    pub address: SocketAddr,
}

/// No host can be tried.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::delivery) struct Unroutable {
    /// Failed, or try again later.
    pub status: RecipientStatus,
    /// The evidence about the sender.
    pub class: OutcomeClass,
    /// The description in the form of a reply.
    pub reply: Reply,
}

impl Unroutable {
    pub(super) fn failed(class: OutcomeClass, reply: Reply) -> Self {
        Self {
            status: RecipientStatus::Failed,
            class,
            reply,
        }
    }

    pub(super) fn later(reply: Reply) -> Self {
        Self {
            status: RecipientStatus::Pending,
            class: OutcomeClass::Transport,
            reply,
        }
    }

    /// RFC 5321 section 5.1: this relay is the best mail exchanger and has no other destination.
    pub(in crate::delivery) fn looped(domain: &Domain) -> Self {
        Self::failed(OutcomeClass::Transport, replies::loops_back(domain))
    }
}

/// The names and addresses by which we recognize this relay among mail exchangers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    pub hostname: Domain,
    /// Our listening addresses at the port of MX delivery.
    pub addresses: Vec<IpAddr>,
    /// The relay listens at that port on every address of this machine.
    pub everywhere: bool,
}

impl Own {
    pub(crate) fn new(settings: &Settings) -> Self {
        let at_port = || {
            settings
                .listeners
                .iter()
                .map(|l| l.bind)
                .filter(|b| b.port() == settings.delivery.mx_port)
        };
        let everywhere = at_port().any(|b| b.ip().is_unspecified());
        let mut addresses: Vec<IpAddr> = at_port()
            .map(|b| b.ip())
            .filter(|ip| !ip.is_unspecified())
            .collect();
        if everywhere {
            addresses.extend(
                settings
                    .pool_normal
                    .addresses
                    .iter()
                    .chain(&settings.pool_high_risk.addresses),
            );
        }
        Self {
            hostname: settings.server.hostname.clone(),
            addresses,
            everywhere,
        }
    }
}

/// Answer to one question.
pub(super) enum LookupAnswer<T> {
    Found(T),
    /// The name exists, without such records.
    Empty,
    NoSuchName,
    /// No answer, or none of use: ask again later.
    Failed(String),
}

/// Merges the answers of both families, IPv4 first.
pub(super) fn together(
    v4: LookupAnswer<Vec<IpAddr>>,
    v6: LookupAnswer<Vec<IpAddr>>,
) -> LookupAnswer<Vec<IpAddr>> {
    match (v4, v6) {
        (LookupAnswer::Found(a), LookupAnswer::Found(b)) => LookupAnswer::Found(alternate(a, b)),
        (LookupAnswer::Found(one), _) | (_, LookupAnswer::Found(one)) => LookupAnswer::Found(one),
        (LookupAnswer::Failed(why), _) | (_, LookupAnswer::Failed(why)) => {
            LookupAnswer::Failed(why)
        }
        (LookupAnswer::NoSuchName, _) | (_, LookupAnswer::NoSuchName) => LookupAnswer::NoSuchName,
        (LookupAnswer::Empty, LookupAnswer::Empty) => LookupAnswer::Empty,
    }
}

fn alternate(a: Vec<IpAddr>, b: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return out,
            (x, y) => out.extend(x.into_iter().chain(y)),
        }
    }
}

pub(super) fn text_of(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase()
}

/// Sorts mail exchangers by preference, at random within the same one (RFC 5321 section 5.1). Drops
/// those whose preference is not better than ours.
pub(super) fn exchangers(
    domain: &Domain,
    mut records: Vec<(u16, Name)>,
    own: &Own,
    random: &mut dyn FnMut() -> u64,
) -> Result<Vec<(u16, Name)>, Unroutable> {
    records.retain(|(_, name)| !name.is_root());
    if records.is_empty() {
        // RFC 7505 section 3: a null MX says that the domain accepts no mail; section 4.1 defines
        // the code.
        return Err(Unroutable::failed(
            OutcomeClass::UnknownUser,
            replies::null_mx(domain),
        ));
    }
    let ourselves = records
        .iter()
        .filter(|(_, n)| text_of(n) == own.hostname.as_str())
        .map(|(p, _)| *p)
        .min();
    if let Some(preference) = ourselves {
        records.retain(|(p, _)| *p < preference);
        if records.is_empty() {
            return Err(Unroutable::looped(domain));
        }
    }
    if records.len() > 1 {
        let mut keyed: Vec<_> = records.into_iter().map(|r| (r.0, random(), r)).collect();
        keyed.sort_by_key(|(preference, lot, _)| (*preference, *lot));
        records = keyed.into_iter().map(|(_, _, r)| r).collect();
    }
    records.truncate(MX_HOSTS);
    Ok(records)
}

/// Chooses the addresses to try, or says why there are none.
pub(super) fn choose(
    domain: &Domain,
    hosts: &[(u16, Name)],
    found: Vec<LookupAnswer<Vec<IpAddr>>>,
    port: u16,
    allow_private: bool,
    own: &Own,
) -> Result<Vec<Target>, Unroutable> {
    let is_own = |answer: &LookupAnswer<Vec<IpAddr>>| matches!(answer, LookupAnswer::Found(list) if list.iter().any(|ip| own.addresses.contains(ip)));
    let ourselves = hosts
        .iter()
        .zip(&found)
        .filter(|(_, a)| is_own(a))
        .map(|((p, _), _)| *p)
        .min();
    let mut targets = Vec::new();
    let (mut failed, mut private, mut left) = (None, None, 0);
    for ((preference, name), answer) in hosts.iter().zip(found) {
        if ourselves.is_some_and(|own| *preference >= own) {
            continue;
        }
        left += 1;
        match answer {
            LookupAnswer::Found(list) => {
                private = private.or_else(|| list.iter().find(|ip| !is_public(**ip)).copied());
                let good = list
                    .into_iter()
                    .filter(|ip| allow_private || is_public(*ip))
                    .take(ADDRESSES_PER_HOST);
                targets.extend(good.map(|ip| Target {
                    host: text_of(name),
                    address: SocketAddr::new(ip, port),
                }));
            }
            LookupAnswer::Failed(why) => {
                failed = Some(format!("address of {}: {why}", text_of(name)))
            }
            LookupAnswer::Empty | LookupAnswer::NoSuchName => {}
        }
    }
    targets.truncate(TARGETS);
    match (targets.is_empty(), left, failed, private) {
        (false, ..) => Ok(targets),
        (_, 0, ..) => Err(Unroutable::looped(domain)),
        (_, _, Some(why), _) => Err(Unroutable::later(replies::lookup_failed(why))),
        (_, _, None, Some(ip)) => Err(Unroutable::failed(
            OutcomeClass::UnknownUser,
            replies::private_mail_exchanger(domain, ip),
        )),
        (_, _, None, None) => Err(Unroutable::failed(
            OutcomeClass::UnknownUser,
            replies::no_mail_exchanger(domain),
        )),
    }
}

/// Mail for an address literal goes to that address (RFC 5321 section 4.1.3). The same rules apply
/// as for addresses from DNS: senders must not reach into this network.
pub(super) fn literal_target(
    domain: &Domain,
    port: u16,
    allow_private: bool,
    own: &Own,
) -> Result<Vec<Target>, Unroutable> {
    let bad = |reply| Unroutable::failed(OutcomeClass::UnknownUser, reply);
    let ip = literal(domain).ok_or_else(|| {
        bad(replies::bad_literal(
            domain,
            "no address this relay can reach",
        ))
    })?;
    if own.addresses.contains(&ip) {
        return Err(Unroutable::looped(domain));
    }
    if !allow_private && !is_public(ip) {
        return Err(bad(replies::bad_literal(domain, "a private address")));
    }
    Ok(vec![Target {
        host: ip.to_string(),
        address: SocketAddr::new(ip, port),
    }])
}
