//! From a destination to the hosts and addresses to try, in order (RFC 5321 section 5.1).

use super::address::{is_public, literal};
use super::silence::{Silence, SilentQuestion};
use crate::config::Settings;
use crate::dns::{builder, each_server, limits};
use crate::types::replies;
use crate::types::{Domain, OutcomeClass, RecipientStatus, Reply};
use hickory_resolver::TokioResolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// Most mail exchangers of one domain that are looked up.
const MX_HOSTS: usize = 10;
/// Most addresses of one host that are tried. RFC 5321 section 5.1 asks for at least two in all.
const ADDRESSES_PER_HOST: usize = 4;
/// Most addresses tried in one attempt.
const TARGETS: usize = 10;
/// Once IPv4 addresses are there, those of IPv6 have so long (RFC 8305 section 3, Resolution
/// Delay).
const FAMILY_DELAY: Duration = Duration::from_millis(50);
/// Once one mail exchanger has addresses, the others have so long; so have IPv4 addresses where
/// only those of IPv6 are there, since many machines cannot reach them.
const HOST_DELAY: Duration = Duration::from_secs(1);
/// Look-ups that go on although nobody waits for them any more.
const LATE_LOOKUPS: usize = 256;

/// One address to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Name of the host, without trailing dot; the address itself where there is no name.
    pub host: String,
    pub address: SocketAddr,
}

/// There is nowhere to connect to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unroutable {
    /// Failed, or try again later.
    pub status: RecipientStatus,
    /// What it says about the sender.
    pub class: OutcomeClass,
    /// Description in the form of a reply.
    pub reply: Reply,
}

impl Unroutable {
    fn failed(class: OutcomeClass, reply: Reply) -> Self {
        Self {
            status: RecipientStatus::Failed,
            class,
            reply,
        }
    }

    fn later(reply: Reply) -> Self {
        Self {
            status: RecipientStatus::Pending,
            class: OutcomeClass::Transport,
            reply,
        }
    }

    /// RFC 5321 section 5.1: we are the best mail exchanger ourselves and do not know where to
    /// deliver.
    pub(crate) fn looped(domain: &Domain) -> Self {
        Self::failed(OutcomeClass::Transport, replies::loops_back(domain))
    }
}

/// What tells us that a mail exchanger is ourselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    pub hostname: Domain,
    /// Addresses on which we listen at the port MX delivery goes to.
    pub addresses: Vec<IpAddr>,
    /// We listen at that port on every address of this machine.
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
enum LookupAnswer<T> {
    Found(T),
    /// The name exists, without such records.
    Empty,
    NoSuchName,
    /// No answer, or none that says anything: ask again later.
    Failed(String),
}

/// Looks up mail exchangers and addresses, with a cache.
#[derive(Clone)]
pub(crate) struct Resolver {
    dns: TokioResolver,
    /// Each name server by itself, where there are several.
    apart: Arc<[TokioResolver]>,
    /// Longest time for one question with all its retries.
    time_limit: Duration,
    silence: Arc<Silence>,
    late: Arc<Semaphore>,
}

impl Resolver {
    /// With these name servers, or those of the system where there are none.
    pub(crate) fn new(servers: &[SocketAddr], time_limit: Duration) -> Result<Self, String> {
        let dns = limits(builder(servers)?)
            .build()
            .map_err(|e| format!("resolver: {e}"))?;
        Ok(Self {
            dns,
            apart: each_server(servers).into(),
            time_limit,
            silence: Arc::default(),
            late: Arc::new(Semaphore::new(LATE_LOOKUPS)),
        })
    }

    async fn ask<T>(
        &self,
        name: Name,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> LookupAnswer<Vec<T>> {
        let lookup = match timeout(self.time_limit, self.lookup(name, kind)).await {
            Err(_) => return LookupAnswer::Failed("no answer in time".into()),
            Ok(Err(error)) => return absent(&error),
            Ok(Ok(lookup)) => lookup,
        };
        // Aliases on the way (CNAME) stand among the answers; only the records asked for are
        // picked.
        let found: Vec<T> = lookup
            .answers()
            .iter()
            .filter_map(|r| pick(&r.data))
            .collect();
        if found.is_empty() {
            LookupAnswer::Empty
        } else {
            LookupAnswer::Found(found)
        }
    }

    /// Asks all name servers together, and where one of them answers that it cannot, each by
    /// itself.
    async fn lookup(&self, name: Name, kind: RecordType) -> Result<Lookup, NetError> {
        let says_nothing = |e: &NetError| matches!(absent::<()>(e), LookupAnswer::Failed(_));
        let together = self.dns.lookup(name.clone(), kind).await;
        if !together
            .as_ref()
            .is_err_and(|e| matches!(e, NetError::Dns(_)) && says_nothing(e))
        {
            return together;
        }
        let ask = |server: TokioResolver| {
            let name = name.clone();
            async move { server.lookup(name, kind).await }
        };
        let mut each: JoinSet<_> = self.apart.iter().cloned().map(ask).collect();
        while let Some(one) = each.join_next().await {
            match one {
                Ok(Err(e)) if says_nothing(&e) => {}
                Ok(answer) => return answer,
                Err(_) => {}
            }
        }
        together
    }

    /// Addresses of a host: both families alternately, IPv4 first, since names and reputation of
    /// senders are still kept by IPv4 address in most places. Who has got one family does not wait
    /// long for the other: some name servers never answer about it. What they leave unanswered is
    /// asked next time only where the other family is of no use.
    async fn addresses(&self, name: Name) -> LookupAnswer<Vec<IpAddr>> {
        let zone = name.base_name();
        let now = Instant::now();
        let quiet = |kind| {
            self.silence
                .holds(now, &SilentQuestion::Type(zone.clone(), kind))
        };
        let (first, second) = match (quiet(RecordType::A), quiet(RecordType::AAAA)) {
            (true, false) => (RecordType::AAAA, RecordType::A),
            (false, true) => (RecordType::A, RecordType::AAAA),
            _ => return self.both_families(name).await,
        };
        match self.clone().family(name.clone(), first).await {
            LookupAnswer::Found(list) => LookupAnswer::Found(list),
            other => together(other, self.clone().family(name, second).await),
        }
    }

    async fn both_families(&self, name: Name) -> LookupAnswer<Vec<IpAddr>> {
        let mut v4 = Box::pin(self.clone().family(name.clone(), RecordType::A));
        let mut v6 = Box::pin(self.clone().family(name.clone(), RecordType::AAAA));
        let (first, mut other, late, delay) = tokio::select! {
            first = &mut v4 => (first, v6, RecordType::AAAA, FAMILY_DELAY),
            first = &mut v6 => (first, v4, RecordType::A, HOST_DELAY),
        };
        if !matches!(first, LookupAnswer::Found(_)) {
            return together(first, other.await);
        }
        let Ok(second) = timeout(delay, &mut other).await else {
            self.silence
                .remember(Instant::now(), SilentQuestion::Type(name.base_name(), late));
            self.go_on(async move {
                other.await;
            });
            return first;
        };
        if late == RecordType::A {
            together(second, first)
        } else {
            together(first, second)
        }
    }

    /// Addresses of one family.
    async fn family(self, name: Name, kind: RecordType) -> LookupAnswer<Vec<IpAddr>> {
        let pick = |data: &RData| match data {
            RData::A(a) if kind == RecordType::A => Some(IpAddr::V4(a.0)),
            RData::AAAA(a) if kind == RecordType::AAAA => Some(IpAddr::V6(a.0)),
            _ => None,
        };
        let zone = name.base_name();
        let answer = self.ask(name, kind, pick).await;
        if !matches!(answer, LookupAnswer::Failed(_)) {
            self.silence.forget(&SilentQuestion::Type(zone, kind));
        }
        answer
    }

    /// Lets a look-up go on that came too late for this message: the next one finds its answer.
    /// There is a bound, beyond which it ends.
    fn go_on(&self, lookup: impl Future<Output = ()> + Send + 'static) {
        if let Ok(permit) = Arc::clone(&self.late).try_acquire_owned() {
            tokio::spawn(async move {
                lookup.await;
                drop(permit);
            });
        }
    }

    /// Where mail for `domain` goes: its mail exchangers by preference, or itself where it has
    /// none.
    pub(crate) async fn mx(
        &self,
        domain: &Domain,
        settings: &Settings,
        own: &Own,
    ) -> Result<Vec<Target>, Unroutable> {
        let (port, private) = (
            settings.delivery.mx_port,
            settings.delivery.allow_private_addresses,
        );
        if domain.is_literal() {
            return literal_target(domain, port, private, own);
        }
        let no_such =
            || Unroutable::failed(OutcomeClass::UnknownUser, replies::no_such_domain(domain));
        let name = Name::from_ascii(format!("{domain}.")).map_err(|_| no_such())?;
        let pick = |data: &RData| {
            if let RData::MX(mx) = data {
                Some((mx.preference, mx.exchange.clone()))
            } else {
                None
            }
        };
        let hosts = match self.ask(name.clone(), RecordType::MX, pick).await {
            LookupAnswer::Found(records) => {
                exchangers(domain, records, own, &mut crate::env::random_u64)?
            }
            // RFC 5321 section 5.1: no MX, so the domain itself is its mail exchanger.
            LookupAnswer::Empty => vec![(0, name)],
            LookupAnswer::NoSuchName => return Err(no_such()),
            LookupAnswer::Failed(why) => {
                return Err(Unroutable::later(replies::lookup_failed(format!(
                    "MX of {domain}: {why}"
                ))));
            }
        };
        let found = self.addresses_of(&hosts).await;
        choose(domain, &hosts, found, port, private, own)
    }

    /// Asks for all hosts at once; answers in the order of `hosts`. Hosts nobody answered about
    /// lately are asked only where the others are of no use.
    async fn addresses_of(&self, hosts: &[(u16, Name)]) -> Vec<LookupAnswer<Vec<IpAddr>>> {
        if let [(_, only)] = hosts {
            return vec![self.addresses(only.clone()).await];
        }
        let now = Instant::now();
        let is_quiet = |(_, name): &(usize, &Name)| {
            self.silence
                .holds(now, &SilentQuestion::Host((*name).clone()))
        };
        let (quiet, others): (Vec<_>, Vec<_>) = hosts
            .iter()
            .map(|(_, name)| name)
            .enumerate()
            .partition(is_quiet);
        let mut answers: Vec<_> = hosts.iter().map(|_| None).collect();
        self.ask_hosts(others, &mut answers).await;
        if !answers
            .iter()
            .flatten()
            .any(|answer| matches!(answer, LookupAnswer::Found(_)))
        {
            self.ask_hosts(quiet, &mut answers).await;
        }
        answers
            .into_iter()
            .map(|answer| {
                answer.unwrap_or_else(|| LookupAnswer::Failed("no answer in time".to_owned()))
            })
            .collect()
    }

    /// Asks for some of the hosts, each with its place in `answers`. Who has got one does not wait
    /// long for the others.
    async fn ask_hosts(
        &self,
        hosts: Vec<(usize, &Name)>,
        answers: &mut [Option<LookupAnswer<Vec<IpAddr>>>],
    ) {
        let mut tasks = JoinSet::new();
        for (index, name) in &hosts {
            let (this, index, name) = (self.clone(), *index, (*name).clone());
            tasks.spawn(async move {
                let answer = this.addresses(name.clone()).await;
                if !matches!(answer, LookupAnswer::Failed(_)) {
                    this.silence.forget(&SilentQuestion::Host(name));
                }
                (index, answer)
            });
        }
        let mut deadline = None;
        loop {
            let next = match deadline {
                None => tasks.join_next().await,
                Some(deadline) => match timeout_at(deadline, tasks.join_next()).await {
                    Ok(next) => next,
                    Err(_) => break,
                },
            };
            let Some(done) = next else { return };
            let Ok((index, answer)) = done else { continue };
            if matches!(answer, LookupAnswer::Found(_)) {
                deadline.get_or_insert_with(|| Instant::now() + HOST_DELAY);
            }
            if let Some(slot) = answers.get_mut(index) {
                *slot = Some(answer);
            }
        }
        let now = Instant::now();
        for (_, name) in hosts
            .iter()
            .filter(|(index, _)| answers.get(*index).is_some_and(Option::is_none))
        {
            self.silence
                .remember(now, SilentQuestion::Host((*name).clone()));
        }
        self.go_on(async move { while tasks.join_next().await.is_some() {} });
    }

    /// Where a smart host is: its own address, or what its name says. Nothing is filtered: the
    /// operator named it. Every failure is temporary: it is ours to repair.
    pub(crate) async fn smart_host(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<Target>, Unroutable> {
        let target = |ip| Target {
            host: host.to_owned(),
            address: SocketAddr::new(ip, port),
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(vec![target(ip)]);
        }
        let name =
            Name::from_ascii(host).map_err(|_| Unroutable::later(replies::bad_smart_host(host)))?;
        match self.addresses(name).await {
            LookupAnswer::Found(list) => Ok(list.into_iter().take(TARGETS).map(target).collect()),
            LookupAnswer::Failed(why) => Err(Unroutable::later(replies::lookup_failed(format!(
                "smart host {host}: {why}"
            )))),
            _ => Err(Unroutable::later(replies::smart_host_without_address(host))),
        }
    }
}

fn absent<T>(error: &NetError) -> LookupAnswer<T> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if none.response_code == ResponseCode::NXDomain =>
        {
            LookupAnswer::NoSuchName
        }
        // RFC 2308 section 2.2.1: name servers without an SOA are a referral, which says "ask
        // there", not that there is nothing. A name server that was to look there itself has not
        // done its work.
        NetError::Dns(DnsError::NoRecordsFound(none))
            if none.ns.is_some() && none.soa.is_none() =>
        {
            LookupAnswer::Failed("the name server only names other ones".to_owned())
        }
        NetError::Dns(DnsError::NoRecordsFound(none))
            if none.response_code == ResponseCode::NoError =>
        {
            LookupAnswer::Empty
        }
        other => LookupAnswer::Failed(other.to_string()),
    }
}

/// What both families have to say, IPv4 first.
fn together(
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

fn text_of(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase()
}

/// Sorts mail exchangers: by preference, at random within the same one (RFC 5321 section 5.1); what
/// is not better than ourselves falls away.
fn exchangers(
    domain: &Domain,
    mut records: Vec<(u16, Name)>,
    own: &Own,
    random: &mut dyn FnMut() -> u64,
) -> Result<Vec<(u16, Name)>, Unroutable> {
    records.retain(|(_, name)| !name.is_root());
    if records.is_empty() {
        // RFC 7505 section 3: a null MX says that the domain takes no mail; section 4.1 gives the
        // code.
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

/// The addresses to try out of what was found, or why there are none.
fn choose(
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

/// Mail for an address literal goes to that address (RFC 5321 section 4.1.3), which is held to the
/// same rules as one from DNS: senders must not reach into this network.
fn literal_target(
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

#[cfg(test)]
mod tests;
