//! Opens a connection to one address of the next hop: source address, TLS, login, and the check
//! that the host is not this relay.

use super::{AttemptJob, Next};
use crate::config::settings::{PoolSettings, TlsMode};
use crate::delivery::connection::{Connection, Dial, OpenError, remote_name};
use crate::delivery::pool::PoolKey;
use crate::delivery::resolve::{Own, Target, Unroutable};
use crate::delivery::token::TokenError;
use crate::delivery::{Destination, Reached, tls_policy};
use crate::smtp::client::{ClientLogin, ClientStep, ConnectOptions, Proof, StepReply};
use crate::types::{Secret, replies};
use std::net::IpAddr;
use std::sync::atomic::Ordering;

/// Whether the host refused the connection itself.
pub(super) const fn is_at_door(verdict: &StepReply) -> bool {
    !verdict.lost && matches!(verdict.step, ClientStep::Banner | ClientStep::Ehlo)
}

/// Whether the next hop refused our login permanently.
fn is_of_token(verdict: &StepReply) -> bool {
    verdict.step == ClientStep::Auth && !verdict.lost && verdict.reply.is_permanent()
}

/// The verdict if a fresh token is refused as well. The operator must repair it; until then the
/// mail waits.
fn refused_token(verdict: StepReply) -> StepReply {
    StepReply {
        reply: replies::token_refused(&verdict.reply),
        ..verdict
    }
}

impl AttemptJob<'_> {
    pub(super) fn pool_settings(&self) -> &PoolSettings {
        self.state.settings.pool(self.attempt.meta.pool)
    }

    /// The next source address of the pool in the target's family. `Err`: the pool has addresses,
    /// but none of this family.
    fn source(&self, target: &Target) -> Result<Option<IpAddr>, StepReply> {
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
        chosen.map(|ip| Some(*ip)).ok_or_else(|| StepReply {
            step: ClientStep::Connect,
            reply: replies::NO_SOURCE_ADDRESS.into(),
            lost: true,
        })
    }

    pub(super) fn key(&self, target: &Target) -> PoolKey {
        let user = match &self.attempt.destination {
            Destination::Route(route) => route.username.clone(),
            Destination::Mx(_) => None,
        };
        PoolKey {
            host: target.host.clone(),
            address: target.address,
            tls: self.mode as u8,
            pool: self.attempt.meta.pool,
            user,
        }
    }

    /// The login for a route that needs one. `refused`: a token that the next hop has just refused.
    async fn login(&self, refused: Option<&Secret>) -> Result<Option<ClientLogin>, TokenError> {
        let Destination::Route(route) = &self.attempt.destination else {
            return Ok(None);
        };
        let Some(user) = &route.username else {
            return Ok(None);
        };
        let proof = match (&route.password, &route.token) {
            (Some(password), _) => Proof::Password(password.clone()),
            (None, Some(token)) => {
                let limit = self.shared.limits.token;
                Proof::Token(self.shared.tokens.get(token, refused, limit).await?)
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(ClientLogin {
            user: user.clone(),
            proof,
            mechanism: route.auth,
            server: (route.host.clone(), route.port),
            without_tls: tls_policy::password_without_tls(self.mode),
        }))
    }

    /// Connects and logs in. If the next hop refuses the token, tries again with a fresh one.
    async fn connect(
        &self,
        target: &Target,
        source: Option<IpAddr>,
        in_plain_text: bool,
    ) -> Result<Connection, OpenError> {
        let mut refused: Option<Secret> = None;
        loop {
            let login = self.login(refused.as_ref()).await?;
            let token = login.as_ref().and_then(|l| match &l.proof {
                Proof::Token(token) => Some(token.clone()),
                Proof::Password(_) => None,
            });
            let dial = Dial {
                target,
                source,
                mode: self.mode,
                options: ConnectOptions {
                    ehlo: self.pool_settings().ehlo.as_str().to_owned(),
                    starttls: tls_policy::starttls(self.mode, in_plain_text),
                    login,
                },
            };
            let opened =
                Connection::open(dial, &self.shared.tls, self.shared.limits, self.end).await;
            match (opened, token) {
                (Err(OpenError::Refused(verdict)), Some(token)) if is_of_token(&verdict) => {
                    if refused.is_some() {
                        return Err(OpenError::Refused(refused_token(verdict)));
                    }
                    refused = Some(token);
                }
                (opened, _) => return opened,
            }
        }
    }

    pub(super) async fn open(
        &mut self,
        target: &Target,
        own: &Own,
        in_plain_text: bool,
    ) -> Result<Connection, Next> {
        let remote = remote_name(target);
        let source = self
            .source(target)
            .map_err(|verdict| self.remember(verdict, &remote))?;
        match self.connect(target, source, in_plain_text).await {
            Ok(connection) if self.is_ourselves(&connection, own) => Err(self.looped(connection)),
            Ok(connection) => Ok(connection),
            // A server that ends the connection at STARTTLS counts as a failed handshake.
            Err(OpenError::Refused(verdict))
                if verdict.step == ClientStep::StartTls && self.mode == TlsMode::Opportunistic =>
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
            Err(OpenError::NoToken(error)) => {
                tracing::warn!(message = %self.attempt.meta.id, remote, %error, "no token to log in");
                let verdict = StepReply {
                    step: ClientStep::Auth,
                    reply: replies::no_token(error),
                    lost: true,
                };
                // The other addresses of the route need the same token.
                Err(self.remember_for(Next::Stop, verdict, &remote))
            }
            Err(OpenError::Handshake(error)) => {
                match tls_policy::after_handshake_failure(self.mode, &error.to_string()) {
                    None => Err(Next::Again {
                        in_plain_text: true,
                    }),
                    Some(reply) => Err(self.remember(
                        StepReply {
                            step: ClientStep::StartTls,
                            reply,
                            lost: true,
                        },
                        &remote,
                    )),
                }
            }
        }
    }

    fn remember(&mut self, verdict: StepReply, remote: &str) -> Next {
        self.remember_for(Next::OtherTarget, verdict, remote)
    }

    fn remember_for(&mut self, next: Next, verdict: StepReply, remote: &str) -> Next {
        tracing::debug!(message = %self.attempt.meta.id, remote, reply = %verdict.reply.one_line(), "next hop not usable");
        if self.reach != Reached::Transaction {
            self.reach = if is_at_door(&verdict) {
                Reached::Host
            } else {
                Reached::Nowhere
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

    /// The MX turns out to be this relay. If a better MX failed before, this relay is its fallback
    /// and tries later. Otherwise mail would loop (RFC 5321 section 5.1).
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
}
