//! Log fields, metrics, redaction.

pub(crate) mod events;
pub(crate) mod format;
pub mod metrics;

use crate::config::settings::{Log, LogFormat};
use crate::env::Clock;
use format::{Form, LineFormat};
use std::io::Write;
use std::sync::Arc;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// The running log; changes its level and form on a reload of the settings.
#[derive(Debug, Clone)]
pub(crate) struct LogControl {
    filter: reload::Handle<Targets, Registry>,
    form: Arc<Form>,
}

impl LogControl {
    /// New settings from now on.
    pub(crate) fn reload(&self, log: &Log) {
        self.form.set_json(log.format == LogFormat::Json);
        events::show_subjects(log.subjects);
        events::show_judgements(log.judgements && log.format == LogFormat::Json);
        // Fails only when the subscriber is gone, and with it all logging.
        let _ = self.filter.reload(filter(log.level));
    }
}

/// Starts logging to standard error, for the whole process.
///
/// # Errors
/// When logging was started before.
pub(crate) fn init(log: &Log, clock: Arc<dyn Clock>) -> Result<LogControl, String> {
    let (subscriber, control) = subscriber(log, clock, std::io::stderr);
    subscriber
        .try_init()
        .map_err(|e| format!("logging cannot start: {e}"))?;
    Ok(control)
}

/// A subscriber that writes one line per event to `writer`.
fn subscriber<W, O>(
    log: &Log,
    clock: Arc<dyn Clock>,
    writer: W,
) -> (impl tracing::Subscriber + Send + Sync, LogControl)
where
    W: Fn() -> O + Send + Sync + 'static,
    O: Write,
{
    let form = Arc::new(Form::default());
    let (filter, handle) = reload::Layer::new(filter(log.level));
    let control = LogControl {
        filter: handle,
        form: Arc::clone(&form),
    };
    control.reload(log);
    let lines = fmt::layer()
        .event_format(LineFormat::new(form, clock))
        .with_writer(writer);
    (
        tracing_subscriber::registry().with(filter).with(lines),
        control,
    )
}

/// Our own events at `level`; libraries only warn, unless everything is wanted.
fn filter(level: &str) -> Targets {
    let own = match level {
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    };
    let others = if own == LevelFilter::TRACE {
        own
    } else {
        own.min(LevelFilter::WARN)
    };
    Targets::new()
        .with_target("outgate", own)
        .with_default(others)
}

#[cfg(test)]
mod tests;
