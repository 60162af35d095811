//! DNS lists: asked about the hosts and addresses of a message, all at once, within a deadline.

mod check;
pub(crate) mod name;

pub(super) use check::{ListError, check};

use super::breaker::{Breaker, BreakerGate};
use super::combine::{CheckAnswer, CheckFinding};
use super::{CheckEvent, note};
use crate::config::known_lists::{self, Asks, ListReading};
use crate::config::settings::ListSettings;
use crate::dns::{self, ResolverError};
use crate::types::Time;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use name::Subjects;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

/// Answers kept by their TTL.
const CACHE_ENTRIES: u64 = 65_536;
/// Longest time an answer is kept, whatever its TTL says.
const MAX_TTL: Duration = Duration::from_secs(3600);
/// How it is told that a list did not answer.
const LATE: &str = "no answer in time";
/// Longest time for one question of `outgate lists check`.
const CHECK_TIME: Duration = Duration::from_secs(5);

/// The configured lists with what is known of their health.
pub(crate) struct Lists {
    resolver: TokioResolver,
    lists: Vec<ListSource>,
    deadline: Duration,
    pause: Duration,
}

struct ListSource {
    settings: Arc<ListSettings>,
    breaker: Arc<Mutex<Breaker>>,
}

struct ListQuestion {
    /// Number of the list.
    list: usize,
    /// What is asked about, in words.
    what: String,
    name: Name,
}

/// What came of a question.
enum QueryOutcome {
    Read(ListReading),
    /// No answer, and the resolver has given up before we did.
    Late,
    /// No answer that says anything.
    Failed(String),
}

impl Lists {
    /// For these lists and name servers (none: those of the system).
    ///
    /// # Errors
    /// When there is no resolver.
    pub(crate) fn new(
        lists: &[Arc<ListSettings>],
        servers: &[SocketAddr],
        deadline: Duration,
        pause: Duration,
    ) -> Result<Self, ListError> {
        let lists = lists.iter().map(|l| ListSource {
            settings: Arc::clone(l),
            breaker: Arc::default(),
        });
        Ok(Self {
            resolver: resolver(servers, deadline)?,
            lists: lists.collect(),
            deadline,
            pause,
        })
    }

    /// Asks every list about everything that concerns it. Answers within the deadline, whatever the
    /// servers do.
    pub(crate) async fn ask(&self, now: Time, subjects: &Subjects) -> Vec<CheckAnswer> {
        let until = Instant::now() + self.deadline;
        let mut answers = Vec::new();
        let mut asked: Vec<ListProgress> = Vec::new();
        let mut tasks = JoinSet::new();
        for (number, source) in self.lists.iter().enumerate() {
            let questions = questions(number, &source.settings, subjects);
            let Some(first) = questions.first() else {
                continue;
            };
            match source.lock().gate(now, self.pause) {
                BreakerGate::Open => {}
                gate => {
                    if gate == BreakerGate::Probe {
                        self.probe(source, first, now);
                    }
                    note(&source.settings.name, CheckEvent::Skipped);
                    answers.push(source.absent("left alone for a while after failures"));
                    continue;
                }
            }
            asked.push(ListProgress {
                list: number,
                open: questions.len(),
                read: false,
                failed: None,
            });
            for question in questions {
                let (resolver, list) = (self.resolver.clone(), Arc::clone(&source.settings));
                tasks.spawn(async move {
                    let outcome = look_up(&resolver, &list, question.name).await;
                    (question.list, question.what, outcome)
                });
            }
        }
        while let Ok(Some(done)) = tokio::time::timeout_at(until, tasks.join_next()).await {
            // A look-up that panicked would be a bug of ours; it counts as unanswered.
            let Ok((number, what, outcome)) = done else {
                continue;
            };
            if let (Some(source), Some(asked)) = (
                self.lists.get(number),
                asked.iter_mut().find(|a| a.list == number),
            ) {
                answers.extend(asked.take(source, what, outcome));
            }
        }
        for asked in &asked {
            if let Some(source) = self.lists.get(asked.list) {
                answers.extend(self.conclude(source, asked, now));
            }
        }
        answers
    }

    /// What the whole exchange with one list says of its health.
    fn conclude(
        &self,
        source: &ListSource,
        asked: &ListProgress,
        now: Time,
    ) -> Option<CheckAnswer> {
        let name = source.settings.name.as_str();
        if let Some(ListTrouble { refused: true, why }) = &asked.failed {
            if source.lock().shut(now, self.pause) {
                super::told_shut(name, why);
            }
            return Some(source.absent(why));
        }
        let why = if asked.open > 0 {
            note(name, CheckEvent::Late);
            Some(LATE)
        } else {
            asked.failed.as_ref().map(|t| t.why.as_str())
        };
        // An answer to one question shows that the list is alive.
        if asked.read {
            if source.lock().succeeded() {
                super::told_open(name);
            }
        } else if let Some(why) = why
            && source.lock().failed(now, self.pause)
        {
            super::told_shut(name, why);
        }
        why.map(|why| source.absent(why))
    }

    /// Asks once beside the mail whether the list is back.
    fn probe(&self, source: &ListSource, question: &ListQuestion, now: Time) {
        let (resolver, list, breaker) = (
            self.resolver.clone(),
            Arc::clone(&source.settings),
            Arc::clone(&source.breaker),
        );
        let (name, pause) = (question.name.clone(), self.pause);
        tokio::spawn(async move {
            let good = matches!(
                tokio::time::timeout(CHECK_TIME, look_up(&resolver, &list, name)).await,
                Ok(QueryOutcome::Read(
                    ListReading::Listed(..) | ListReading::Clear
                ))
            );
            let mut breaker = breaker.lock().unwrap_or_else(PoisonError::into_inner);
            if good {
                breaker.succeeded();
                super::told_open(&list.name);
            } else {
                breaker.shut(now, pause);
            }
        });
    }
}

impl ListSource {
    fn lock(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn absent(&self, why: &str) -> CheckAnswer {
        CheckAnswer {
            source: self.settings.title.as_str().into(),
            finding: CheckFinding::Absent(why.to_owned()),
        }
    }
}

/// What came of the questions to one list.
struct ListProgress {
    list: usize,
    open: usize,
    /// At least one answer said something.
    read: bool,
    failed: Option<ListTrouble>,
}

/// Why a list said nothing.
struct ListTrouble {
    refused: bool,
    why: String,
}

impl ListProgress {
    /// Takes one outcome; gives the finding if something is listed.
    fn take(
        &mut self,
        source: &ListSource,
        what: String,
        outcome: QueryOutcome,
    ) -> Option<CheckAnswer> {
        self.open = self.open.saturating_sub(1);
        let list = &source.settings;
        let (event, trouble) = match outcome {
            QueryOutcome::Read(ListReading::Listed(says, share)) => {
                self.read = true;
                note(&list.name, CheckEvent::Listed);
                let finding = CheckFinding::Listed {
                    what,
                    says,
                    nats: list.weight * share,
                };
                return Some(CheckAnswer {
                    source: list.title.as_str().into(),
                    finding,
                });
            }
            QueryOutcome::Read(ListReading::Clear) => {
                self.read = true;
                note(&list.name, CheckEvent::Clear);
                return None;
            }
            QueryOutcome::Late => (
                CheckEvent::Late,
                ListTrouble {
                    refused: false,
                    why: LATE.to_owned(),
                },
            ),
            QueryOutcome::Read(ListReading::Refused(why)) => {
                (CheckEvent::Refused, ListTrouble { refused: true, why })
            }
            QueryOutcome::Read(ListReading::Nonsense(why)) | QueryOutcome::Failed(why) => (
                CheckEvent::Failed,
                ListTrouble {
                    refused: false,
                    why,
                },
            ),
        };
        note(&list.name, event);
        // A refusal says more than a failure.
        if trouble.refused || self.failed.is_none() {
            self.failed = Some(trouble);
        }
        None
    }
}

/// What is to be asked of one list.
fn questions(number: usize, list: &ListSettings, subjects: &Subjects) -> Vec<ListQuestion> {
    let mut out = Vec::new();
    let mut add = |what: String, labels: &str| {
        // A name that is too long for DNS cannot be listed.
        if let Some(name) = full_name(list, labels) {
            out.push(ListQuestion {
                list: number,
                what,
                name,
            });
        }
    };
    for asks in &list.asks {
        match asks {
            Asks::LinkDomains => subjects
                .domains
                .iter()
                .for_each(|(domain, host)| add(format!("link host {host}"), domain)),
            Asks::LinkAddresses => {
                subjects
                    .link_addresses
                    .iter()
                    .for_each(|ip| add(format!("link address {ip}"), &name::reversed(*ip)));
            }
            Asks::ClientAddresses => {
                subjects
                    .client
                    .iter()
                    .for_each(|ip| add(format!("client address {ip}"), &name::reversed(*ip)));
            }
        }
    }
    out
}

/// The name asked for: labels, key, zone.
fn full_name(list: &ListSettings, labels: &str) -> Option<Name> {
    let key = list
        .key
        .as_ref()
        .map(|k| format!("{}.", k.0))
        .unwrap_or_default();
    // With the dot at the end no search domain is tried.
    Name::from_ascii(format!("{labels}.{key}{}.", list.zone)).ok()
}

fn resolver(servers: &[SocketAddr], deadline: Duration) -> Result<TokioResolver, ResolverError> {
    dns::resolver(servers, |options| {
        // A lost packet is sent again once within the deadline.
        (options.timeout, options.attempts) = (deadline / 2, 1);
        (options.positive_max_ttl, options.negative_max_ttl) = (Some(MAX_TTL), Some(MAX_TTL));
        options.cache_size = CACHE_ENTRIES;
        options.use_hosts_file = ResolveHosts::Never;
    })
}

async fn look_up(resolver: &TokioResolver, list: &ListSettings, name: Name) -> QueryOutcome {
    let read = |answers: &[Ipv4Addr]| {
        QueryOutcome::Read(known_lists::read(
            list.form,
            &list.codes,
            &list.refused,
            answers,
        ))
    };
    let address = |data: &RData| {
        if let RData::A(a) = data {
            Some(a.0)
        } else {
            None
        }
    };
    match resolver.lookup(name, RecordType::A).await {
        Ok(found) => read(
            &found
                .answers()
                .iter()
                .filter_map(|r| address(&r.data))
                .collect::<Vec<_>>(),
        ),
        Err(NetError::Dns(DnsError::NoRecordsFound(none)))
            if matches!(
                none.response_code,
                ResponseCode::NXDomain | ResponseCode::NoError
            ) =>
        {
            read(&[])
        }
        // The error's own text holds the name that was asked for, which may hold a key.
        Err(NetError::Dns(DnsError::ResponseCode(code))) => {
            QueryOutcome::Failed(format!("the name server answered {code}"))
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
            QueryOutcome::Failed(format!("the name server answered {}", none.response_code))
        }
        Err(NetError::Timeout) => QueryOutcome::Late,
        Err(_) => QueryOutcome::Failed("the name server could not be asked".to_owned()),
    }
}

#[cfg(test)]
mod tests;
