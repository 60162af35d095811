//! A running relay: start order, reload, drain.

use super::rooms::Rooms;
use crate::admin;
use crate::config::Settings;
use crate::config::load::SettingsError;
use crate::config::settings::{ListenerKind, ListenerSettings};
use crate::env::{Clock, Disk, SystemDisk, Vitals, private};
use crate::external_checks::SourceError;
use crate::session::{self, ListenError, Sessions};
use crate::telemetry::events;
use metrics_exporter_prometheus::PrometheusHandle;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Running transactions and attempts may take so long at shutdown (contract).
const DRAIN: Duration = Duration::from_secs(30);

/// What was brought about by then may take so long to be written, for each of who is told.
const FINISH: Duration = Duration::from_secs(5);

/// Why the relay could not start. Configuration or environment; nothing was accepted yet.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// Why new settings are not taken over. The operator can mend it; the old ones stay.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Outside(#[from] SourceError),
    #[error(transparent)]
    Certificate(#[from] ListenError),
}

/// Turns an error into the reason why the relay could not start; `what` was at it.
pub(super) fn failed<E: fmt::Display>(what: &str) -> impl Fn(E) -> StartError + '_ {
    move |error| StartError(format!("{what}: {error}"))
}

/// Where the relay listens, as bound (port 0 is resolved).
#[derive(Debug, Clone)]
pub struct Listening {
    /// SMTP listeners in the order of the configuration.
    pub smtp: Vec<(ListenerKind, SocketAddr)>,
    /// API, metrics, health, pages.
    pub admin: SocketAddr,
    /// Public pages, where on.
    pub public: Option<SocketAddr>,
}

impl Listening {
    fn log(&self) {
        for (kind, address) in &self.smtp {
            events::listening(kind.as_str(), *address);
        }
        events::listening("admin", self.admin);
        if let Some(public) = self.public {
            events::listening("public", public);
        }
    }
}

/// A running relay.
pub struct Relay {
    settings: watch::Sender<Arc<Settings>>,
    /// Where it listens.
    pub listening: Listening,
    /// The bearer token of the operator.
    pub admin_token: String,
    rooms: Rooms,
    sessions: Arc<Sessions>,
    tasks: Vec<JoinHandle<()>>,
    outcomes: JoinHandle<()>,
    /// Tells [`Self::outcomes`] to end once it has taken every event that waits.
    ending: watch::Sender<bool>,
    /// Dropped last: nobody else works on the data directory before all is written.
    _lock: Box<dyn Send>,
}

impl Relay {
    /// Starts everything: the rooms, then HTTP, and the SMTP listeners last: nobody is let in
    /// before all is ready.
    pub async fn start(
        mut settings: Settings,
        clock: Arc<dyn Clock>,
        metrics: PrometheusHandle,
    ) -> Result<Self, StartError> {
        // The data directory first: a second relay on it must be told so, not that a port is taken.
        let dir = settings.server.data_dir.clone();
        let lock = take_data_dir(&dir)?;
        let admin_listener = bind_http(settings.admin.bind, "[admin] bind").await?;
        // Notices name the admin page: by the port that the kernel chose, if it was to choose.
        settings.admin.bind = admin_listener
            .local_addr()
            .map_err(failed("[admin] bind"))?;
        let settings = Arc::new(settings);
        let admin_token = admin::token::ensure(&dir).map_err(failed("admin.token"))?;
        let (sender, receiver) = watch::channel(Arc::clone(&settings));

        let (rooms, streams) = Rooms::open(&dir, receiver, clock)?;
        let ending = watch::Sender::new(false);
        let run = rooms
            .outcomes()
            .run(streams.queue_events, ending.subscribe());
        let outcomes = rooms.vitals.spawn("outcomes", run);
        let mut tasks = rooms.side_tasks(streams.notices, metrics.clone());
        rooms
            .moderation
            .resume()
            .await
            .map_err(|e| StartError(format!("blocks: {e:?}")))?;

        let sessions = Sessions::new(
            Arc::new(rooms.intake()),
            Arc::new(rooms.feedback()),
            rooms.vitals.clone(),
        )
        .map_err(failed("tls"))?;
        let public = serve_http(
            &settings,
            admin_listener,
            rooms.admin_state(metrics),
            &rooms.vitals,
            &mut tasks,
        )
        .await?;
        let smtp = session::listen(&sessions, &settings)
            .await
            .map_err(|e| StartError(e.to_string()))?;
        let listening = Listening {
            smtp,
            admin: settings.admin.bind,
            public,
        };
        listening.log();
        Ok(Self {
            settings: sender,
            listening,
            admin_token,
            rooms,
            sessions,
            tasks,
            outcomes,
            ending,
            _lock: lock,
        })
    }

    /// What must run as long as the relay does.
    pub const fn vitals(&self) -> &Vitals {
        &self.rooms.vitals
    }

    /// Takes over new settings without dropping a session. Listeners, data_dir and HTTP addresses
    /// stay as they are until the next start; a certificate that cannot be read is refused and
    /// everything stays as it was.
    pub(super) fn reload(&self, mut settings: Settings) -> Result<(), ReloadError> {
        keep_places(&mut settings, &self.settings.borrow());
        let settings = Arc::new(settings);
        let outside = self.rooms.outside.prepare(&settings)?;
        self.sessions.reload_tls(&settings)?;
        self.rooms.outside.take_over(outside);
        self.rooms.detector.reload(Arc::clone(&settings));
        self.rooms.queue.reload(Arc::clone(&settings));
        self.rooms.delivery.reload(Arc::clone(&settings));
        self.settings.send_replace(settings);
        Ok(())
    }

    /// Says which accounts belong to a tenant that the settings do not know: their mail is refused.
    pub(super) async fn warn_of_orphans(&self) {
        let settings = self.settings.borrow().clone();
        match self.rooms.records.accounts().await {
            Ok(accounts) => {
                for account in accounts {
                    if let Some(tenant) = account.tenant.filter(|t| settings.tenant(t).is_none()) {
                        tracing::warn!(account = %account.name, %tenant, "no [[tenant]] of that name: the account's mail is refused");
                    }
                }
            }
            Err(error) => tracing::error!(?error, "accounts not readable"),
        }
    }

    /// Orderly end: no new mail, running transactions and attempts finish (30 s at most),
    /// everything is written. What comes out of one room goes into the next, so they end in the
    /// order of a message's life: sessions, queue, what its outcomes bring about (evidence, blocks,
    /// reports), and the people to be told of all that.
    pub async fn drain(self) {
        self.rooms.vitals.expect_end();
        let deadline = tokio::time::Instant::now() + DRAIN;
        self.sessions.drain(DRAIN).await;
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        self.rooms.queue.drain(left).await;
        self.rooms.delivery.close().await;
        self.ending.send_replace(true);
        let outcomes = self.outcomes.abort_handle();
        if tokio::time::timeout(FINISH, self.outcomes).await.is_err() {
            tracing::warn!("not all outcomes could be taken in at shutdown");
            outcomes.abort();
        }
        if tokio::time::timeout(FINISH, self.rooms.notifier.flush())
            .await
            .is_err()
        {
            tracing::warn!("not all notices could be written at shutdown");
        }
        for task in &self.tasks {
            task.abort();
        }
        self.rooms.keeper.save();
        self.rooms.learner.save();
        self.rooms.records.close().await;
        self.rooms.spool.close().await;
        tracing::info!("stopped");
    }
}

/// Makes the data directory where it is missing, locks it for this process, and sees to it that
/// nobody else reads it.
fn take_data_dir(dir: &Path) -> Result<Box<dyn Send>, StartError> {
    let what = format!("data_dir {}", dir.display());
    private::create_dir(dir).map_err(failed(&what))?;
    let lock = SystemDisk
        .lock(&dir.join("lock"))
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => StartError(format!(
                "{what} is in use by another outgate: stop it, or set another data_dir"
            )),
            _ => failed(&what)(error),
        })?;
    private::tighten(dir).map_err(failed("data_dir"))?;
    Ok(lock)
}

async fn bind_http(address: SocketAddr, key: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(failed(&format!("{key} {address}")))
}

/// Serves the admin side, and the public pages where they are on; gives the latter's address.
async fn serve_http(
    settings: &Settings,
    admin_listener: TcpListener,
    state: admin::AdminState,
    vitals: &Vitals,
    tasks: &mut Vec<JoinHandle<()>>,
) -> Result<Option<SocketAddr>, StartError> {
    let mut public = None;
    if let Some(address) = settings.public.bind {
        let listener = bind_http(address, "[public] bind").await?;
        public = Some(listener.local_addr().map_err(failed("[public] bind"))?);
        let state = state.clone();
        tasks.push(vitals.spawn("public pages", async move {
            if let Err(error) = admin::serve_public(listener, state, std::future::pending()).await {
                tracing::error!(%error, "public pages ended");
            }
        }));
    }
    tasks.push(vitals.spawn("admin", async move {
        if let Err(error) = admin::serve(admin_listener, state, std::future::pending()).await {
            tracing::error!(%error, "admin HTTP ended");
        }
    }));
    Ok(public)
}

/// Keeps what only a start can change, and says so where the file asks for something else.
fn keep_places(new: &mut Settings, old: &Settings) {
    let bound = |listeners: &[ListenerSettings]| {
        listeners
            .iter()
            .map(|l| (l.bind, l.kind))
            .collect::<Vec<_>>()
    };
    // A port left to the kernel stands resolved in the old settings.
    let moved =
        |new: SocketAddr, old: SocketAddr| new != old && (new.ip() != old.ip() || new.port() != 0);
    let changed = [
        (
            "server.data_dir",
            new.server.data_dir != old.server.data_dir,
        ),
        ("listener", bound(&new.listeners) != bound(&old.listeners)),
        ("admin.bind", moved(new.admin.bind, old.admin.bind)),
        ("public.bind", new.public.bind != old.public.bind),
    ];
    for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!(
            key,
            "changed in the file, but stays as it is until the next start"
        );
    }
    new.server.data_dir.clone_from(&old.server.data_dir);
    new.listeners = kept_listeners(&new.listeners, &old.listeners);
    new.admin.bind = old.admin.bind;
    new.public.bind = old.public.bind;
}

/// The listeners as they are bound, in their places, each with the `proxy_protocol` that the file
/// now has for it. One that the file no longer has keeps its own.
fn kept_listeners(new: &[ListenerSettings], old: &[ListenerSettings]) -> Vec<ListenerSettings> {
    let mut left: Vec<&ListenerSettings> = new.iter().collect();
    let mut kept = old.to_vec();
    for listener in &mut kept {
        let same = left
            .iter()
            .position(|l| (l.bind, l.kind) == (listener.bind, listener.kind));
        if let Some(same) = same {
            listener
                .proxy_protocol
                .clone_from(&left.remove(same).proxy_protocol);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_stay_in_their_places_and_take_the_proxies_of_the_file() {
        let listener = |bind: &str, kind, proxy: &str| ListenerSettings {
            bind: bind.parse().expect("an address"),
            kind,
            proxy_protocol: proxy
                .split_whitespace()
                .map(|n| n.parse().expect("a network"))
                .collect(),
        };
        use ListenerKind::{Relay, Submission};
        let old = [
            listener("127.0.0.1:0", Relay, "10.0.0.0/8"),
            listener("127.0.0.1:0", Relay, ""),
            listener("[::]:587", Submission, "10.1.0.0/16"),
        ];
        let new = [
            listener("[::]:25", Relay, "10.3.0.0/16"),
            listener("127.0.0.1:0", Relay, ""),
            listener("127.0.0.1:0", Relay, "10.2.0.0/16"),
        ];
        let wanted = [
            listener("127.0.0.1:0", Relay, ""),
            listener("127.0.0.1:0", Relay, "10.2.0.0/16"),
            old[2].clone(),
        ];
        assert_eq!(kept_listeners(&new, &old), wanted);
    }
}
