//! Delivery: route → MX → TLS policy → pooled connection → outcome.

mod address;
mod attempt;
mod connection;
mod limits;
pub(crate) mod outcome;
mod pool;
mod refusal;
pub(crate) mod resolve;
mod return_path;
mod route;
mod silence;
pub(crate) mod tls;
mod tls_policy;
mod token;

#[cfg(test)]
mod sink;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use crate::config::Settings;
use crate::config::settings::{RouteSettings, TlsMode};
use crate::dns::ResolverError;
use crate::message_token::TokenKey;
use crate::types::{Domain, MessageMeta, RecipientOutcome};
use bytes::Bytes;
use limits::TimeLimits;
use pool::ConnectionPool;
use resolve::Resolver;
pub(crate) use route::route;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};
use tls::{Tls, TlsError};
use token::Tokens;

/// The next hop of a recipient's mail.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Destination {
    /// A configured smart host.
    Route(Arc<RouteSettings>),
    /// The MX of this domain.
    Mx(Domain),
}

impl Destination {
    #[cfg(test)]
    /// Name for grouping, logs and listings: `[127.0.0.1]:2526` or the domain.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Route(route) => {
                let host = route
                    .host
                    .strip_prefix('[')
                    .and_then(|h| h.strip_suffix(']'))
                    .unwrap_or(&route.host);
                format!("[{host}]:{}", route.port)
            }
            Self::Mx(domain) => domain.as_str().to_owned(),
        }
    }
}

/// One attempt: some recipients of one message that share a destination.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub meta: Arc<MessageMeta>,
    /// The message as sent: CRLF lines, not dot-stuffed.
    pub body: Bytes,
    /// Indexes into the envelope's recipients, at least one.
    pub recipients: Vec<u32>,
    pub destination: Destination,
}

/// The result of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AttemptResult {
    pub outcomes: Vec<RecipientOutcome>,
    /// How far the attempt got with the last host.
    pub reach: Reached,
}

/// How far an attempt got with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Not reached: DNS, connection, TLS.
    Nowhere,
    /// It answered, but allowed no transaction: it may have enough connections of ours already.
    Host,
    /// It took part in a transaction. A reply there, or a lost connection, is about this message,
    /// its recipients or that one session. It never proves that the host is down.
    Transaction,
}

/// State that a reload replaces.
struct DeliveryState {
    settings: Arc<Settings>,
    resolver: Resolver,
}

/// State that all attempts share.
struct AttemptShared {
    state: RwLock<Arc<DeliveryState>>,
    tls: Tls,
    pool: ConnectionPool,
    tokens: Tokens,
    limits: TimeLimits,
    /// The key of the return paths of tenants that want delivery reports to come back to the relay.
    key: TokenKey,
    /// Counts connections, so that source addresses take turns.
    turn: AtomicUsize,
}

/// Reads the trusted certificates at start rather than during a delivery. Without them, mail for
/// routes that require TLS waits; other mail is delivered.
fn prepare_tls(tls: &Tls, settings: &Settings) {
    if settings.routes.iter().any(|r| r.tls == TlsMode::Required)
        && let Err(error) = tls.connector(TlsMode::Required)
    {
        tracing::error!(%error, "routes with tls = \"required\" cannot be used");
    }
}

/// Why nothing can be delivered. The operator is to blame, for the configuration or for the system;
/// trying again does not help.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum DeliveryError {
    Resolver(#[from] ResolverError),
    Tls(#[from] TlsError),
}

/// Delivers messages; cheap to clone.
#[derive(Clone)]
pub(crate) struct Delivery {
    shared: Arc<AttemptShared>,
}

impl Delivery {
    /// Builds resolver, TLS and empty connection pools. Fails if the system's name servers are
    /// needed and cannot be found.
    pub(crate) fn new(settings: Arc<Settings>, key: TokenKey) -> Result<Self, DeliveryError> {
        let tls = Tls::new()?;
        Ok(Self::with(settings, TimeLimits::default(), tls, key)?)
    }

    fn with(
        settings: Arc<Settings>,
        limits: TimeLimits,
        tls: Tls,
        key: TokenKey,
    ) -> Result<Self, ResolverError> {
        let resolver = Resolver::new(&settings.dns.servers, limits.dns)?;
        prepare_tls(&tls, &settings);
        let state = RwLock::new(Arc::new(DeliveryState { settings, resolver }));
        let shared = AttemptShared {
            state,
            tls,
            pool: ConnectionPool::default(),
            tokens: Tokens::default(),
            limits,
            key,
            turn: AtomicUsize::new(0),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    fn state(&self) -> Arc<DeliveryState> {
        self.shared
            .state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Applies new settings. Running attempts keep the old ones. Idle connections are dropped if
    /// routes, pools or the way to find hosts changed.
    pub(crate) fn reload(&self, settings: Arc<Settings>) {
        let old = self.state();
        prepare_tls(&self.shared.tls, &settings);
        let resolver = if old.settings.dns.servers == settings.dns.servers {
            old.resolver.clone()
        } else {
            match Resolver::new(&settings.dns.servers, self.shared.limits.dns) {
                Ok(resolver) => resolver,
                Err(error) => {
                    tracing::error!(%error, "reload: the old name servers stay in use");
                    old.resolver.clone()
                }
            }
        };
        let same_way = old.settings.routes == settings.routes
            && old.settings.pool_normal == settings.pool_normal
            && old.settings.pool_high_risk == settings.pool_high_risk
            && old.settings.delivery == settings.delivery
            && old.settings.dns.servers == settings.dns.servers;
        *self
            .shared
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner) =
            Arc::new(DeliveryState { settings, resolver });
        if !same_way {
            self.shared.pool.renew();
            self.shared.tokens.clear();
        }
    }

    /// Makes one attempt, within the time limits of RFC 5321 section 4.5.3.2. Always returns one
    /// outcome per recipient.
    pub(crate) async fn try_once(&self, attempt: Attempt) -> AttemptResult {
        let state = self.state();
        attempt::run(&self.shared, &state, &attempt).await
    }

    #[cfg(test)]
    async fn attempt(&self, attempt: Attempt) -> Vec<RecipientOutcome> {
        self.try_once(attempt).await.outcomes
    }

    /// Closes idle connections with QUIT and keeps none after that.
    pub(crate) async fn close(&self) {
        self.shared.pool.close().await;
    }
}
