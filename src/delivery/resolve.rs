//! From a destination to the hosts and addresses to try: asks the DNS, and leaves the choice to
//! [`choice`].

mod choice;

use super::silence::{Silence, SilentQuestion};
use crate::config::Settings;
use crate::dns::{builder, each_server, limits};
use crate::types::replies;
use crate::types::{Domain, OutcomeClass};
use choice::{LookupAnswer, TARGETS, choose, exchangers, literal_target, together};
pub(crate) use choice::{Own, Target, Unroutable};
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

/// Once IPv4 addresses are there, those of IPv6 have so long (RFC 8305 section 3, Resolution
/// Delay).
const FAMILY_DELAY: Duration = Duration::from_millis(50);
/// Once one mail exchanger has addresses, the others have so long; so have IPv4 addresses where
/// only those of IPv6 are there, since many machines cannot reach them.
const HOST_DELAY: Duration = Duration::from_secs(1);
/// Look-ups that go on although nobody waits for them any more.
const LATE_LOOKUPS: usize = 256;

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

#[cfg(test)]
mod tests;
