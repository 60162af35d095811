//! `outgate serve`: start, signals, end.

use super::Relay;
use super::relay::{ReloadError, StartError};
use crate::config::settings::ListenerKind;
use crate::config::{self, Settings};
use crate::env::{Clock, SystemClock, private};
use crate::telemetry::{self, LogControl};
use metrics_exporter_prometheus::{BuildError, PrometheusHandle};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::util::TryInitError;

/// The orderly end takes 30 seconds and what is to be written; one that hangs is cut after this
/// time.
const END: Duration = Duration::from_secs(60);

/// Why the relay does not run. Its machine or its settings are to blame.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("logging cannot start: {0}")]
    Log(#[from] TryInitError),
    #[error("metrics cannot start: {0}")]
    Metrics(#[from] BuildError),
    #[error("no async runtime: {0}")]
    Runtime(#[source] std::io::Error),
    #[error("signals cannot be handled: {0}")]
    Signals(#[source] std::io::Error),
    #[error("cannot start: {0}")]
    Start(#[from] StartError),
}

/// Runs the relay until SIGTERM or SIGINT. Exit status: 0 drained, 1 could not start or a part of
/// it ended by itself, 2 bad configuration.
pub(crate) fn run(config: Option<&Path>) -> ExitCode {
    private::by_default();
    let loaded = match config::load::read(config) {
        Ok(loaded) => loaded,
        Err(errors) => {
            complain(&errors);
            return ExitCode::from(2);
        }
    };
    start(loaded.settings, config).unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

/// Logging, metrics and the runtime; then the relay itself.
fn start(settings: Settings, config: Option<&Path>) -> Result<ExitCode, ServeError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let log = telemetry::init(settings.log.options(), Arc::clone(&clock))?;
    let metrics = telemetry::metrics::install()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let code = runtime.block_on(serve(settings, config, clock, metrics, &log));
    // What still runs is waiting for peers that no longer matter.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn serve(
    settings: Settings,
    config: Option<&Path>,
    clock: Arc<dyn Clock>,
    metrics: PrometheusHandle,
    log: &LogControl,
) -> Result<ExitCode, ServeError> {
    let data_dir = settings.server.data_dir.clone();
    let handler = |kind| signal(kind).map_err(ServeError::Signals);
    let mut reload = handler(SignalKind::hangup())?;
    let mut terminate = handler(SignalKind::terminate())?;
    let mut interrupt = handler(SignalKind::interrupt())?;
    let relay = Relay::start(settings, clock, metrics).await?;
    announce(&relay, &data_dir);
    relay.warn_of_orphans().await;
    let vitals = relay.vitals().clone();
    loop {
        tokio::select! {
            _ = reload.recv() => {
                reload_settings(&relay, config, log);
                relay.warn_of_orphans().await;
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            part = vitals.wait() => {
                tracing::error!(part, "the relay cannot go on without it and ends; start it again");
                break;
            }
        }
    }
    tracing::info!("draining: no new mail, running transactions finish");
    // In a task of its own: what has broken a part may break its end too.
    let drained = tokio::time::timeout(END, tokio::spawn(relay.drain())).await;
    if !matches!(drained, Ok(Ok(()))) {
        tracing::error!("the relay did not end in order");
        return Ok(ExitCode::FAILURE);
    }
    Ok(if vitals.ended().is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// A bad file is refused and the old settings stay.
fn reload_settings(relay: &Relay, config: Option<&Path>, log: &LogControl) {
    let reload = || {
        let settings = config::load(config)?;
        let log_options = settings.log.options();
        relay.reload(settings)?;
        log.reload(log_options);
        Ok::<_, ReloadError>(())
    };
    match reload() {
        Ok(()) => tracing::info!("settings reloaded"),
        Err(errors) => tracing::error!(%errors, "settings not reloaded, the old ones stay"),
    }
}

/// Where it listens, how to send a first message, where the admin page is.
fn announce(relay: &Relay, data_dir: &Path) {
    let listening = &relay.listening;
    let mut text = String::new();
    for (kind, address) in &listening.smtp {
        text.push_str(&format!(
            "listening kind={} address={address}\n",
            kind.as_str()
        ));
    }
    text.push_str(&format!(
        "listening kind=admin address={}\n",
        listening.admin
    ));
    if let Some(public) = listening.public {
        text.push_str(&format!("listening kind=public address={public}\n"));
    }
    if let Some((_, address)) = listening
        .smtp
        .iter()
        .find(|(kind, _)| *kind == ListenerKind::Relay)
    {
        text.push_str(&format!(
            "\nSend a first message:\n  printf 'Subject: hello\\r\\n\\r\\nhello\\r\\n' | curl -s smtp://{address} \
             --mail-from you@example.org --mail-rcpt someone@example.com -T -\n"
        ));
    }
    text.push_str(&format!(
        "Admin page: http://{}/ (token in {})\n",
        listening.admin,
        data_dir.join("admin.token").display()
    ));
    // Without a standard output the relay runs all the same.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn complain(error: &dyn std::error::Error) {
    let _ = writeln!(std::io::stderr(), "outgate: {error}");
}
