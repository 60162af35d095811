//! One delivery attempt: hosts in order, one connection after the other, until every recipient has
//! an outcome.

mod opening;
mod transaction;

use super::outcome::outcome;
use super::resolve::{Own, Target, Unroutable};
use super::return_path::return_path;
use super::{
    Attempt, AttemptResult, AttemptShared, DeliveryState, Destination, Reached, tls_policy,
};
use crate::config::settings::TlsMode;
use crate::mail::header;
use crate::smtp::client::{OutgoingContent, StepReply};
use crate::smtp::reply::shorten;
use crate::types::replies;
use crate::types::{Envelope, OutcomeClass, RecipientOutcome, RecipientStatus, Reply};
use opening::is_at_door;
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::Instant;

/// Most messages over one connection; LIMITS MAILMAX lowers it.
const MESSAGES_PER_CONNECTION: u32 = 500;
/// Most new connections in a row to one address that give no recipient an outcome.
const FRUITLESS: u32 = 2;
/// Longest wait for the end of a connection before the next one to the same host opens. Also the
/// wait before a refused connection is tried again, so that the host notices the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often to try again a host that refuses a new connection right after another one ended.
const WAITS_AT_DOOR: u32 = 2;

struct AttemptJob<'a> {
    shared: &'a AttemptShared,
    state: &'a DeliveryState,
    attempt: &'a Attempt,
    content: OutgoingContent,
    /// The envelope as sent: with the return path of this message if its tenant wants that.
    envelope: Cow<'a, Envelope>,
    mode: TlsMode,
    end: Instant,
    undecided: Vec<u32>,
    outcomes: Vec<RecipientOutcome>,
    /// The last host's reason not to accept the undecided recipients, and its name.
    last: Option<(StepReply, String)>,
    /// Most recipients of one transaction, as learned from a server that refused more.
    crowd: usize,
    reach: Reached,
}

/// What to do after one connection.
enum Next {
    /// Every recipient has its outcome, or another host would not help.
    Stop,
    OtherTarget,
    /// The same address again, on a new connection.
    Again {
        in_plain_text: bool,
    },
}

fn envelope<'a>(
    shared: &AttemptShared,
    state: &DeliveryState,
    attempt: &'a Attempt,
) -> Cow<'a, Envelope> {
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

/// Makes one attempt. Always returns one outcome per recipient.
pub(super) async fn run(
    shared: &AttemptShared,
    state: &DeliveryState,
    attempt: &Attempt,
) -> AttemptResult {
    let known = attempt.meta.envelope.recipients.len();
    let (good, bad): (Vec<u32>, Vec<u32>) = attempt
        .recipients
        .iter()
        .partition(|i| (**i as usize) < known);
    let mut job = AttemptJob {
        shared,
        state,
        attempt,
        content: OutgoingContent::of(&attempt.body, header::split_part(&attempt.body).0),
        envelope: envelope(shared, state, attempt),
        mode: tls_policy::demanded(&attempt.destination),
        end: Instant::now() + shared.limits.attempt,
        undecided: bad,
        outcomes: Vec::with_capacity(attempt.recipients.len()),
        last: None,
        crowd: usize::MAX,
        reach: Reached::Nowhere,
    };
    // The queue names only recipients that exist; if it has an error, a later attempt loses
    // nothing.
    job.give_up(
        RecipientStatus::Pending,
        OutcomeClass::Other,
        &replies::NO_SUCH_RECIPIENT.into(),
        "",
    );
    job.undecided = good;
    if !job.undecided.is_empty() {
        job.deliver().await;
    }
    AttemptResult {
        outcomes: job.outcomes,
        reach: job.reach,
    }
}

impl AttemptJob<'_> {
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
        let none = replies::NO_HOST_TRIED.into();
        self.give_up(RecipientStatus::Pending, OutcomeClass::Transport, &none, "");
    }

    /// Sets this outcome for every undecided recipient.
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

    /// Tries one address: over an idle connection, over a new one, over a new one without TLS, and
    /// over more connections while each gets some recipients through. `false`: no other address is
    /// to be tried.
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
        // Some servers accept few messages over one connection, so the rest needs new ones.
        loop {
            let before = (self.undecided.len(), in_plain_text, self.crowd);
            let next = match self.open(target, own, in_plain_text).await {
                Ok(connection) => {
                    waits = WAITS_AT_DOOR;
                    self.use_connection(connection, &key, generation).await
                }
                // The host may still count the connection that has just ended.
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
}
