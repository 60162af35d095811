//! A running relay: start order, reload, drain.

use super::{housekeeping, outcomes};
use crate::admin;
use crate::blocks::desk::Desk;
use crate::config::Settings;
use crate::config::settings::ListenerKind;
use crate::delivery::Delivery;
use crate::env::{Clock, Disk, SystemDisk, random_u64};
use crate::intake::{IdSource, Intake};
use crate::judge::Judge;
use crate::learn::{Labels, Learner};
use crate::ndr;
use crate::notify::{Notifier, Outbox, run_webhook};
use crate::queue::{Backlog, Queue};
use crate::records::Records;
use crate::score::Scorer;
use crate::session::{self, Sessions};
use crate::spool::Spool;
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
#[derive(Debug)]
pub struct StartError(pub String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Delivery reports one sender gets per hour at most.
const REPORTS_PER_HOUR: u32 = 60;

fn failed<E: fmt::Display>(what: &str) -> impl Fn(E) -> StartError + '_ {
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

/// A running relay.
pub struct Relay {
    settings: watch::Sender<Arc<Settings>>,
    /// Where it listens.
    pub listening: Listening,
    /// The bearer token of the operator.
    pub admin_token: String,
    judge: Arc<Judge>,
    learner: Arc<Learner>,
    queue: Queue,
    spool: Spool,
    delivery: Delivery,
    records: Records,
    sessions: Arc<Sessions>,
    clock: Arc<dyn Clock>,
    notifier: Notifier,
    tasks: Vec<JoinHandle<()>>,
    outcomes: JoinHandle<()>,
    /// Tells [`Self::outcomes`] to end once it has taken every event that waits.
    ending: watch::Sender<bool>,
    /// Dropped last: nobody else works on the data directory before all is written.
    _lock: Box<dyn Send>,
}

impl Relay {
    /// Starts everything. Order: data first (records, spool, reputation), then what judges and delivers, then HTTP, and the
    /// SMTP listeners last: nobody is let in before all is ready.
    pub async fn start(mut settings: Settings, clock: Arc<dyn Clock>, metrics: PrometheusHandle) -> Result<Self, StartError> {
        // The data directory first: a second relay on it must be told so, not that a port is taken.
        let dir = settings.server.data_dir.clone();
        let lock = take_data_dir(&dir)?;
        let admin_listener = bind_http(settings.admin_bind, "[admin] bind").await?;
        // Notices name the admin page: by the port that the kernel chose, if it was to choose.
        settings.admin_bind = admin_listener.local_addr().map_err(failed("[admin] bind"))?;
        let settings = Arc::new(settings);
        let admin_token = admin::token::ensure(&dir).map_err(failed("admin.token"))?;
        let (sender, receiver) = watch::channel(Arc::clone(&settings));

        let database = dir.join("records.db");
        let records = Records::open(&database).map_err(failed(&database.display().to_string()))?;
        let mut backlog = Backlog::new(Arc::clone(&settings));
        let mut recovered = 0u64;
        let mut found = |message| {
            backlog.add(&message);
            recovered += 1;
        };
        let spool = Spool::open(&dir.join("spool"), &mut found).map_err(failed("spool"))?;
        if recovered > 0 {
            tracing::info!(messages = recovered, "spool recovered");
        }
        let judge = Arc::new(Judge::new(Arc::clone(&settings)));
        housekeeping::restore(&judge, &dir);
        let scorer = Scorer::shipped().map_err(failed("model"))?;
        let learner = Arc::new(Learner::new(scorer, dir.join("learned")));
        let delivery = Delivery::new(Arc::clone(&settings)).map_err(failed("delivery"))?;
        let ids = Arc::new(IdSource::new(random_u64() as u32));

        let (queue, queue_events) = Queue::start(Arc::clone(&clock), spool.clone(), delivery.clone(), backlog);
        let (notifier, notices) = Notifier::new();
        let labels = Labels::new(Arc::clone(&learner), Arc::clone(&clock), spool.clone());
        let desk = Desk::start(
            receiver.clone(),
            Arc::clone(&clock),
            Arc::clone(&judge),
            records.clone(),
            queue.clone(),
            notifier.clone(),
            labels.clone(),
        )
        .map_err(|e| StartError(format!("blocks: {e:?}")))?;
        let desk = Arc::new(desk);
        let outbox = Outbox {
            settings: receiver.clone(),
            clock: Arc::clone(&clock),
            spool: spool.clone(),
            queue: queue.clone(),
            records: records.clone(),
            ids: Arc::clone(&ids),
        };
        let consumer = outcomes::Outcomes {
            settings: receiver.clone(),
            clock: Arc::clone(&clock),
            judge: Arc::clone(&judge),
            desk: Arc::clone(&desk),
            spool: spool.clone(),
            queue: queue.clone(),
            records: records.clone(),
            ids: Arc::clone(&ids),
            reports: std::sync::Mutex::new(ndr::RateLimit::new(REPORTS_PER_HOUR)),
        };
        let ending = watch::Sender::new(false);
        let outcomes = tokio::spawn(consumer.run(queue_events, ending.subscribe()));
        let mut tasks = vec![
            tokio::spawn(outbox.run(notices)),
            tokio::spawn(run_webhook(receiver.clone(), Arc::clone(&clock), records.clone())),
            tokio::spawn(housekeeping::run(
                receiver.clone(),
                Arc::clone(&clock),
                Arc::clone(&judge),
                Arc::clone(&learner),
                Arc::clone(&desk),
                records.clone(),
            )),
            tokio::spawn(crate::telemetry::metrics::upkeep(metrics.clone())),
        ];
        desk.resume().await.map_err(|e| StartError(format!("blocks: {e:?}")))?;

        let sessions = Sessions::new(Arc::new(Intake {
            settings: receiver.clone(),
            clock: Arc::clone(&clock),
            learner: Arc::clone(&learner),
            judge: Arc::clone(&judge),
            desk: Arc::clone(&desk),
            spool: spool.clone(),
            queue: queue.clone(),
            records: records.clone(),
            notifier: notifier.clone(),
            ids,
        }))
        .map_err(failed("tls"))?;
        let health_spool = spool.clone();
        let state = admin::State {
            settings: receiver,
            clock: Arc::clone(&clock),
            records: records.clone(),
            judge: Arc::clone(&judge),
            queue: queue.clone(),
            desk,
            labels,
            metrics,
            health: Arc::new(move || health_spool.trouble().map(|what| format!("spool: {what}")).into_iter().collect()),
        };
        let public = serve_http(&settings, admin_listener, state, &mut tasks).await?;
        let smtp = session::listen(&sessions, &settings).await.map_err(StartError)?;
        Ok(Self {
            settings: sender,
            listening: Listening { smtp, admin: settings.admin_bind, public },
            admin_token,
            judge,
            learner,
            queue,
            spool,
            delivery,
            records,
            sessions,
            clock,
            notifier,
            tasks,
            outcomes,
            ending,
            _lock: lock,
        })
    }

    /// Takes over new settings without dropping a session. Listeners, data_dir and HTTP addresses stay as they are until
    /// the next start; a certificate that cannot be read is refused and everything stays as it was.
    pub fn reload(&self, settings: Settings) -> Result<(), String> {
        let settings = Arc::new(settings);
        self.sessions.reload_tls(&settings)?;
        self.judge.reload(Arc::clone(&settings));
        self.queue.reload(Arc::clone(&settings));
        self.delivery.reload(Arc::clone(&settings));
        self.settings.send_replace(settings);
        Ok(())
    }

    /// Orderly end: no new mail, running transactions and attempts finish (30 s at most), everything is written. What comes
    /// out of one room goes into the next, so they end in the order of a message's life: sessions, queue, what its outcomes
    /// bring about (evidence, blocks, reports), and the people to be told of all that.
    pub async fn drain(self) {
        let deadline = tokio::time::Instant::now() + DRAIN;
        self.sessions.drain(DRAIN).await;
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        self.queue.drain(left).await;
        self.delivery.close().await;
        self.ending.send_replace(true);
        let outcomes = self.outcomes.abort_handle();
        if tokio::time::timeout(FINISH, self.outcomes).await.is_err() {
            tracing::warn!("not all outcomes could be taken in at shutdown");
            outcomes.abort();
        }
        if tokio::time::timeout(FINISH, self.notifier.flush()).await.is_err() {
            tracing::warn!("not all notices could be written at shutdown");
        }
        for task in &self.tasks {
            task.abort();
        }
        housekeeping::save(&self.judge, &self.settings.borrow().server.data_dir);
        self.learner.save();
        self.records.close().await;
        self.spool.close().await;
        tracing::info!(time = %self.clock.now().rfc3339(), "stopped");
    }
}

/// Makes the data directory where it is missing and locks it for this process.
fn take_data_dir(dir: &Path) -> Result<Box<dyn Send>, StartError> {
    let what = format!("data_dir {}", dir.display());
    std::fs::create_dir_all(dir).map_err(failed(&what))?;
    SystemDisk.lock(&dir.join("lock")).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            StartError(format!("{what} is in use by another outgate: stop it, or set another data_dir"))
        }
        _ => failed(&what)(error),
    })
}

async fn bind_http(address: SocketAddr, key: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(failed(&format!("{key} {address}")))
}

/// Serves the admin side, and the public pages where they are on; gives the latter's address.
async fn serve_http(
    settings: &Settings,
    admin_listener: TcpListener,
    state: admin::State,
    tasks: &mut Vec<JoinHandle<()>>,
) -> Result<Option<SocketAddr>, StartError> {
    let mut public = None;
    if let Some(address) = settings.public.bind {
        let listener = bind_http(address, "[public] bind").await?;
        public = Some(listener.local_addr().map_err(failed("[public] bind"))?);
        let state = state.clone();
        tasks.push(tokio::spawn(async move {
            if let Err(error) = admin::serve_public(listener, state, std::future::pending()).await {
                tracing::error!(%error, "public pages ended");
            }
        }));
    }
    tasks.push(tokio::spawn(async move {
        if let Err(error) = admin::serve(admin_listener, state, std::future::pending()).await {
            tracing::error!(%error, "admin HTTP ended");
        }
    }));
    Ok(public)
}
