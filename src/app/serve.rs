//! `outgate serve`: start, signals, end.

use super::Relay;
use crate::config::{self, Settings};
use crate::config::settings::ListenerKind;
use crate::telemetry;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the relay until SIGTERM or SIGINT. Exit status: 0 drained, 1 could not start, 2 bad configuration.
pub fn run(config: Option<&Path>) -> ExitCode {
    let settings = match config::load(config) {
        Ok(settings) => settings,
        Err(errors) => {
            complain(&errors);
            return ExitCode::from(2);
        }
    };
    telemetry::install(&settings.log);
    let metrics = match telemetry::metrics::install() {
        Ok(handle) => handle,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("no async runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(serve(settings, config.map(Path::to_path_buf), metrics));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    code
}

async fn serve(settings: Settings, config: Option<PathBuf>, metrics: telemetry::metrics::PrometheusHandle) -> ExitCode {
    let data_dir = settings.server.data_dir.clone();
    let (mut reload, mut terminate, mut interrupt) =
        match (signal(SignalKind::hangup()), signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(reload), Ok(terminate), Ok(interrupt)) => (reload, terminate, interrupt),
            _ => {
                complain("signals cannot be handled");
                return ExitCode::FAILURE;
            }
        };
    let relay = match Relay::start(settings, metrics).await {
        Ok(relay) => relay,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    announce(&relay, &data_dir);
    loop {
        tokio::select! {
            _ = reload.recv() => reload_settings(&relay, config.as_deref()),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("draining: no new mail, running transactions finish");
    relay.drain().await;
    ExitCode::SUCCESS
}

/// A bad file is refused and the old settings stay.
fn reload_settings(relay: &Relay, config: Option<&Path>) {
    match config::load(config).and_then(|settings| relay.reload(settings)) {
        Ok(()) => tracing::info!("settings reloaded"),
        Err(errors) => tracing::error!(%errors, "settings not reloaded, the old ones stay"),
    }
}

/// Where it listens, how to send a first message, where the admin page is.
fn announce(relay: &Relay, data_dir: &Path) {
    let listening = &relay.listening;
    let mut text = String::new();
    for (kind, address) in &listening.smtp {
        text.push_str(&format!("listening kind={} address={address}\n", kind_name(*kind)));
    }
    text.push_str(&format!("listening kind=admin address={}\n", listening.admin));
    if let Some(public) = listening.public {
        text.push_str(&format!("listening kind=public address={public}\n"));
    }
    if let Some((_, address)) = listening.smtp.iter().find(|(kind, _)| *kind == ListenerKind::Relay) {
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

const fn kind_name(kind: ListenerKind) -> &'static str {
    match kind {
        ListenerKind::Relay => "relay",
        ListenerKind::Submission => "submission",
        ListenerKind::Submissions => "submissions",
        ListenerKind::Reports => "reports",
    }
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "outgate: {text}");
}
