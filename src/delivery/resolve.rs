//! From a destination to the hosts and addresses to try: asks the DNS; [`choice`] chooses.

mod choice;

use super::silence::{Silence, SilentQuestion};
use crate::config::Settings;
use crate::dns::{ResolverError, each_server, limits, resolver};
use crate::types::replies;
use crate::types::{Domain, OutcomeClass};
pub(crate) use choice::Own;
use choice::{LookupAnswer, TARGETS, choose, exchangers, literal_target, together};
pub(super) use choice::{Target, Unroutable};
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

/// Once IPv4 addresses have arrived, the wait for those of IPv6 (RFC 8305 section 3, Resolution
/// Delay).
const FAMILY_DELAY: Duration = Duration::from_millis(50);
/// Once one mail exchanger has addresses, the wait for the others. Once a host has only IPv6
/// addresses, the wait for those of IPv4, since many machines cannot reach IPv6.
const HOST_DELAY: Duration = Duration::from_secs(1);
/// Most look-ups that continue although no message waits for them.
const LATE_LOOKUPS: usize = 256;

/// Looks up mail exchangers and addresses, with a cache.
#[derive(Clone)]
pub(super) struct Resolver {
    dns: TokioResolver,
    /// One resolver per name server, if there are several.
    apart: Arc<[TokioResolver]>,
    /// Longest time for one question with all its retries.
    time_limit: Duration,
    silence: Arc<Silence>,
    late: Arc<Semaphore>,
}

impl Resolver {
    /// Uses these name servers, or those of the system if the list is empty.
    pub(crate) fn new(servers: &[SocketAddr], time_limit: Duration) -> Result<Self, ResolverError> {
        Ok(Self {
            dns: resolver(servers, limits)?,
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
        // The answers include aliases (CNAME); only the requested records are picked.
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

    /// Asks all name servers together. If one of them answers with a failure, asks each alone.
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

    /// Addresses of a host: both families alternately, IPv4 first, since most reputation systems
    /// work by IPv4 address. Once one family has answered, the other gets a short time, because
    /// some name servers never answer for it. A family without an answer is asked next time only if
    /// the other one has no addresses.
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

    /// Lets a late look-up continue, so that the next message finds its answer in the cache. Beyond
    /// [`LATE_LOOKUPS`] it is dropped.
    fn go_on(&self, lookup: impl Future<Output = ()> + Send + 'static) {
        if let Ok(permit) = Arc::clone(&self.late).try_acquire_owned() {
            tokio::spawn(async move {
                lookup.await;
                drop(permit);
            });
        }
    }

    /// The hosts for mail to `domain`: its mail exchangers by preference, or the domain itself if
    /// it has none.
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

    /// Asks for all hosts at once; returns answers in the order of `hosts`. Hosts that gave no
    /// answer lately are asked only if the others have no addresses.
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

    /// Asks for some of the hosts, each with its place in `answers`. Once one host has addresses,
    /// the others get a short time.
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

    /// The addresses of a smart host: its own address, or those of its name. No address is
    /// filtered, because the operator chose the host. Every failure is temporary, because the
    /// operator can repair it.
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
        // RFC 2308 section 2.2.1: name servers without an SOA are a referral, which means "ask
        // there", not "no such record". A recursive name server should have followed it, so its
        // answer is a failure.
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

#[cfg(test)]
mod tests;
