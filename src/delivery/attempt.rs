//! One delivery attempt: hosts in order, one connection after the other, until every recipient has
//! an outcome.

use super::connection::{Connection, Dial, OpenError, remote_name};
use super::outcome::{is_one_too_many, may_be_of_session, outcome};
use super::pool::Key;
use super::resolve::{Own, Target, Unroutable};
use super::return_path::return_path;
use super::{Attempt, Destination, Reach, Shared, State, Tried, tls_policy};
use crate::config::settings::{PoolSettings, TlsMode};
use crate::mail::header;
use crate::smtp::client::{Content, Login, Options, Step, Verdict};
use crate::smtp::reply::shorten;
use crate::types::{Envelope, OutcomeClass, RecipientOutcome, RecipientStatus, Reply};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Most messages over one connection; LIMITS MAILMAX lowers it.
const MESSAGES_PER_CONNECTION: u32 = 500;
/// New connections to one address in a row that get no recipient anywhere.
const FRUITLESS: u32 = 2;
/// Longest wait for the end of a connection before the next one to the same host, and the wait for
/// the host to notice it.
const FAREWELL: Duration = Duration::from_secs(1);
/// So often a host is asked again that refuses the connection that follows on another.
const WAITS_AT_DOOR: u32 = 2;

struct Job<'a> {
    shared: &'a Shared,
    state: &'a State,
    attempt: &'a Attempt,
    content: Content,
    /// As it goes out: under the message's own return path where its tenant wants that.
    envelope: Cow<'a, Envelope>,
    mode: TlsMode,
    end: Instant,
    undecided: Vec<u32>,
    outcomes: Vec<RecipientOutcome>,
    /// Why the last host did not take the undecided ones, and its name.
    last: Option<(Verdict, String)>,
    /// Most recipients of one transaction, as learnt from a server that refused more.
    crowd: usize,
    reach: Reach,
}

/// What to do after one connection.
enum Next {
    /// Every recipient has its outcome, or another host would not help.
    Stop,
    /// The next address.
    OtherTarget,
    /// The same address once more, on a new connection.
    Again { in_plain_text: bool },
}

/// What a transaction said about its connection.
enum Trouble {
    None,
    /// It broke before the end of the message was out.
    Broken,
    /// It has carried mail before, and the server may have had enough of it: a new one may do
    /// better.
    Worn,
    /// The server ended it at a recipient after it had accepted others: fewer may pass on a new
    /// one.
    Crowded,
    /// The server said 421.
    Closing(Verdict),
}

/// A refusal of the connection itself.
const fn is_at_door(verdict: &Verdict) -> bool {
    !verdict.lost && matches!(verdict.step, Step::Banner | Step::Ehlo)
}

fn envelope<'a>(shared: &Shared, state: &State, attempt: &'a Attempt) -> Cow<'a, Envelope> {
    let given = &attempt.meta.envelope;
    match return_path(
        &state.settings,
        &shared.key,
        &attempt.meta,
        &attempt.recipients,
    ) {
        Some(from) => Cow::Owned(Envelope {
            from,
            ..given.clone()
        }),
        None => Cow::Borrowed(given),
    }
}

/// Tries once. One outcome per recipient, always.
pub(super) async fn run(shared: &Shared, state: &State, attempt: &Attempt) -> Tried {
    let known = attempt.meta.envelope.recipients.len();
    let (good, bad): (Vec<u32>, Vec<u32>) = attempt
        .recipients
        .iter()
        .partition(|i| (**i as usize) < known);
    let mut job = Job {
        shared,
        state,
        attempt,
        content: Content::of(&attempt.body, header::split_part(&attempt.body).0),
        envelope: envelope(shared, state, attempt),
        mode: tls_policy::demanded(&attempt.destination),
        end: Instant::now() + shared.limits.attempt,
        undecided: bad,
        outcomes: Vec::with_capacity(attempt.recipients.len()),
        last: None,
        crowd: usize::MAX,
        reach: Reach::Nowhere,
    };
    // The queue asks only for recipients that exist; should it err, nothing is lost by trying
    // later.
    job.give_up(
        RecipientStatus::Pending,
        OutcomeClass::Other,
        &Reply::new(451, (4, 3, 0), "no such recipient in the envelope"),
        "",
    );
    job.undecided = good;
    if !job.undecided.is_empty() {
        job.deliver().await;
    }
    Tried {
        outcomes: job.outcomes,
        reach: job.reach,
    }
}

impl Job<'_> {
    async fn deliver(&mut self) {
        let settings = &self.state.settings;
        let own = Own::new(settings);
        let found = match &self.attempt.destination {
            Destination::Mx(domain) => self.state.resolver.mx(domain, settings, &own).await,
            Destination::Route(route) => {
                self.state
                    .resolver
                    .smart_host(&route.host, route.port)
                    .await
            }
        };
        match found {
            Err(Unroutable {
                status,
                class,
                reply,
            }) => self.give_up(status, class, &reply, ""),
            Ok(targets) => {
                for target in &targets {
                    let past_end = self.last.is_some() && Instant::now() >= self.end;
                    if past_end || !self.try_target(target, &own).await {
                        break;
                    }
                }
            }
        }
        if let Some((verdict, remote)) = self.last.take() {
            let (status, class) = outcome(&verdict);
            self.give_up(status, class, &verdict.reply, &remote);
        }
        let none = Reply::new(451, (4, 4, 1), "no host could be tried");
        self.give_up(RecipientStatus::Pending, OutcomeClass::Transport, &none, "");
    }

    /// Gives every undecided recipient this outcome.
    fn give_up(
        &mut self,
        status: RecipientStatus,
        class: OutcomeClass,
        reply: &Reply,
        remote: &str,
    ) {
        let reply = shorten(reply.clone());
        for recipient in std::mem::take(&mut self.undecided) {
            let (reply, remote) = (reply.clone(), remote.to_owned());
            self.outcomes.push(RecipientOutcome {
                recipient,
                status,
                class,
                reply,
                remote,
                relayed_dsn: false,
            });
        }
    }

    fn pool_settings(&self) -> &PoolSettings {
        self.state.settings.pool(self.attempt.meta.pool)
    }

    /// The next source address of the pool in the target's family. `Err`: the pool has addresses,
    /// none of this family.
    fn source(&self, target: &Target) -> Result<Option<IpAddr>, Verdict> {
        let addresses = &self.pool_settings().addresses;
        if addresses.is_empty() {
            return Ok(None);
        }
        let fitting = || {
            addresses
                .iter()
                .filter(|a| a.is_ipv4() == target.address.is_ipv4())
        };
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        let chosen = fitting().nth(turn.checked_rem(fitting().count()).unwrap_or(0));
        chosen.map(|ip| Some(*ip)).ok_or_else(|| {
            let reply = Reply::new(
                451,
                (4, 3, 5),
                "the pool has no source address of this family",
            );
            Verdict {
                step: Step::Connect,
                reply,
                lost: true,
            }
        })
    }

    fn key(&self, target: &Target) -> Key {
        let user = match &self.attempt.destination {
            Destination::Route(route) => route.username.clone(),
            Destination::Mx(_) => None,
        };
        Key {
            host: target.host.clone(),
            address: target.address,
            tls: self.mode as u8,
            pool: self.attempt.meta.pool,
            user,
        }
    }

    fn options(&self, in_plain_text: bool) -> Options {
        let login =
            match &self.attempt.destination {
                Destination::Route(route) => route
                    .username
                    .as_ref()
                    .zip(route.password.as_ref())
                    .map(|(user, password)| Login {
                        user: user.clone(),
                        password: password.0.clone(),
                        without_tls: tls_policy::password_without_tls(self.mode),
                    }),
                Destination::Mx(_) => None,
            };
        Options {
            ehlo: self.pool_settings().ehlo.as_str().to_owned(),
            starttls: tls_policy::starttls(self.mode, in_plain_text),
            login,
        }
    }

    /// Tries one address: over an idle connection, over a new one, over a new one without TLS, and
    /// over as many more as each get some recipients through. `false`: no other address is to be
    /// tried.
    async fn try_target(&mut self, target: &Target, own: &Own) -> bool {
        let key = self.key(target);
        let generation = self.shared.pool.generation();
        let mut waits = 0;
        if let Some(mut connection) = self.shared.pool.take(&key).await {
            connection.set_end(self.end);
            waits = WAITS_AT_DOOR;
            match self.use_connection(connection, &key, generation).await {
                Next::Stop => return false,
                Next::OtherTarget => return true,
                Next::Again { .. } => {}
            }
        }
        let (mut in_plain_text, mut fruitless) = (false, 0);
        // Servers that take few messages over one connection make new ones necessary.
        loop {
            let before = (self.undecided.len(), in_plain_text, self.crowd);
            let next = match self.open(target, own, in_plain_text).await {
                Ok(connection) => {
                    waits = WAITS_AT_DOOR;
                    self.use_connection(connection, &key, generation).await
                }
                // It may still count the connection that has just ended.
                Err(Next::OtherTarget)
                    if waits > 0
                        && self
                            .last
                            .as_ref()
                            .is_some_and(|(verdict, _)| is_at_door(verdict)) =>
                {
                    waits -= 1;
                    tokio::time::sleep(FAREWELL).await;
                    continue;
                }
                Err(next) => next,
            };
            match next {
                Next::Stop => return false,
                Next::OtherTarget => return true,
                Next::Again {
                    in_plain_text: plain,
                } => in_plain_text |= plain,
            }
            fruitless = if self.undecided.len() == before.0 {
                fruitless + 1
            } else {
                0
            };
            if (self.undecided.len(), in_plain_text, self.crowd) == before || fruitless > FRUITLESS
            {
                return true;
            }
        }
    }

    async fn open(
        &mut self,
        target: &Target,
        own: &Own,
        in_plain_text: bool,
    ) -> Result<Connection, Next> {
        let remote = remote_name(target);
        let source = self
            .source(target)
            .map_err(|verdict| self.remember(verdict, &remote))?;
        let dial = Dial {
            target,
            source,
            mode: self.mode,
            options: self.options(in_plain_text),
        };
        match Connection::open(dial, &self.shared.tls, self.shared.limits, self.end).await {
            Ok(connection) if self.is_ourselves(&connection, own) => Err(self.looped(connection)),
            Ok(connection) => Ok(connection),
            // A server that ends the connection over STARTTLS is as good as a failed handshake.
            Err(OpenError::Refused(verdict))
                if verdict.step == Step::StartTls && self.mode == TlsMode::Opportunistic =>
            {
                Err(self.remember_for(
                    Next::Again {
                        in_plain_text: true,
                    },
                    verdict,
                    &remote,
                ))
            }
            Err(OpenError::Refused(verdict)) => Err(self.remember(verdict, &remote)),
            Err(OpenError::Handshake(error)) => {
                match tls_policy::after_handshake_failure(self.mode, &error) {
                    None => Err(Next::Again {
                        in_plain_text: true,
                    }),
                    Some(reply) => Err(self.remember(
                        Verdict {
                            step: Step::StartTls,
                            reply,
                            lost: true,
                        },
                        &remote,
                    )),
                }
            }
        }
    }

    fn remember(&mut self, verdict: Verdict, remote: &str) -> Next {
        self.remember_for(Next::OtherTarget, verdict, remote)
    }

    fn remember_for(&mut self, next: Next, verdict: Verdict, remote: &str) -> Next {
        tracing::debug!(message = %self.attempt.meta.id, remote, reply = %verdict.reply.one_line(), "next hop not usable");
        if self.reach != Reach::Transaction {
            self.reach = if is_at_door(&verdict) {
                Reach::Door
            } else {
                Reach::Nowhere
            };
        }
        self.last = Some((verdict, remote.to_owned()));
        next
    }

    fn is_ourselves(&self, connection: &Connection, own: &Own) -> bool {
        let named = connection
            .client()
            .server_name()
            .eq_ignore_ascii_case(own.hostname.as_str());
        matches!(self.attempt.destination, Destination::Mx(_))
            && (named || (own.everywhere && connection.is_to_ourselves()))
    }

    /// An MX has turned out to be this relay. Where a better one could not be reached, we are its
    /// fallback: later. Else mail would go round in circles (RFC 5321 section 5.1).
    fn looped(&mut self, connection: Connection) -> Next {
        tokio::spawn(connection.quit());
        if self.last.is_none()
            && let Destination::Mx(domain) = &self.attempt.destination
        {
            let Unroutable {
                status,
                class,
                reply,
            } = Unroutable::looped(domain);
            self.give_up(status, class, &reply, "");
        }
        Next::Stop
    }

    /// Sends the message over this connection, in as many transactions as the server's limits
    /// demand.
    async fn use_connection(
        &mut self,
        mut connection: Connection,
        key: &Key,
        generation: u64,
    ) -> Next {
        let caps = connection.client().capabilities();
        let (relayed_dsn, per_transaction) = (caps.dsn, caps.recipients_per_transaction());
        let most = caps
            .mail_max
            .unwrap_or(MESSAGES_PER_CONNECTION)
            .min(MESSAGES_PER_CONNECTION);
        let mut trouble = Trouble::None;
        while matches!(trouble, Trouble::None)
            && !self.undecided.is_empty()
            && connection.client().is_open()
            && connection.transactions() < most
        {
            let count = self.undecided.len().min(per_transaction).min(self.crowd);
            let chunk: Vec<u32> = self.undecided.drain(..count).collect();
            let (accepted, verdicts) = connection
                .transact(&self.envelope, &chunk, self.content, &self.attempt.body)
                .await;
            trouble = self.take_verdicts(verdicts, &connection, relayed_dsn, accepted);
        }
        let (remote, fresh) = (
            connection.remote().to_owned(),
            connection.transactions() == 1,
        );
        if connection.client().is_open() {
            if matches!(trouble, Trouble::Worn) {
                // Told first: a server that counts connections must not take the next one for a
                // second one.
                let farewell = tokio::spawn(connection.quit());
                let _ = tokio::time::timeout(FAREWELL, farewell).await;
            } else if connection.transactions() < most {
                let per_key = self.pool_settings().connections_per_destination;
                self.shared.pool.put(
                    key.clone(),
                    connection,
                    generation,
                    per_key,
                    self.shared.limits.idle,
                );
            } else {
                tokio::spawn(connection.quit());
            }
        }
        match trouble {
            _ if self.undecided.is_empty() => Next::Stop,
            // Nothing is wrong with the host: the connection has carried as much as it may.
            Trouble::None | Trouble::Worn | Trouble::Crowded => Next::Again {
                in_plain_text: false,
            },
            // A connection that was good before may have died unnoticed: its failure says nothing
            // about the host.
            Trouble::Broken if !fresh => Next::Again {
                in_plain_text: false,
            },
            Trouble::Broken => Next::OtherTarget,
            // RFC 5321 section 3.8: temporary for all that is left.
            Trouble::Closing(verdict) => {
                let (status, class) = outcome(&verdict);
                self.give_up(status, class, &verdict.reply, &remote);
                Next::Stop
            }
        }
    }

    /// Books verdicts. Undecided stay recipients whose connection broke before the end of the
    /// message was out (the server cannot have taken the message), and those that another
    /// connection or transaction may get through. After the end of the message they are deferred
    /// here and now, since another host might deliver it twice.
    fn take_verdicts(
        &mut self,
        verdicts: Vec<(u32, Verdict)>,
        connection: &Connection,
        dsn: bool,
        accepted: usize,
    ) -> Trouble {
        let fresh = connection.transactions() == 1;
        let given = verdicts.len();
        // A crowd that is too large is no trouble as long as those let in get an answer that stays.
        let decided =
            |v: &Verdict| v.step >= Step::Data && outcome(v).0 != RecipientStatus::Pending;
        let goes_on = verdicts.iter().any(|(_, v)| is_one_too_many(v))
            && verdicts.iter().any(|(_, v)| decided(v));
        let mut trouble = Trouble::None;
        if fresh {
            self.reach = Reach::Transaction;
        }
        for (recipient, verdict) in verdicts {
            let ended = verdict.lost || verdict.reply.code == 421;
            let retry = if goes_on && is_one_too_many(&verdict) {
                Some(Trouble::None)
            } else if fresh && ended && verdict.step == Step::Rcpt && (1..given).contains(&accepted)
            {
                Some(Trouble::Crowded)
            } else if verdict.lost && verdict.step < Step::Dot {
                Some(Trouble::Broken)
            } else {
                (!fresh && may_be_of_session(&verdict)).then_some(Trouble::Worn)
            };
            if let Some(retry) = retry {
                match retry {
                    Trouble::None | Trouble::Crowded => {
                        self.crowd = self.crowd.min(accepted.max(1))
                    }
                    _ => {}
                }
                if !matches!(retry, Trouble::None) {
                    trouble = retry;
                }
                self.undecided.push(recipient);
                self.last = Some((verdict, connection.remote().to_owned()));
                continue;
            }
            self.reach = Reach::Transaction;
            if verdict.reply.code == 421 {
                trouble = Trouble::Closing(verdict.clone());
            }
            let (status, class) = outcome(&verdict);
            let relayed_dsn = dsn && status == RecipientStatus::Delivered;
            let remote = connection.remote().to_owned();
            self.outcomes.push(RecipientOutcome {
                recipient,
                status,
                class,
                reply: shorten(verdict.reply),
                remote,
                relayed_dsn,
            });
        }
        trouble
    }
}
