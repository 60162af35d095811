//! The log and the metrics, each with one table of names: `events` and `metrics`.

pub(crate) mod events;
pub(crate) mod format;
pub mod metrics;

use crate::env::Clock;
use format::{LineFormat, LogForm};
use std::io::Write;
use std::sync::Arc;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

/// How the log is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogOptions {
    /// One JSON object per event instead of one readable line.
    pub json: bool,
    /// error | warn | info | debug | trace.
    pub level: &'static str,
    /// Subject lines are logged.
    pub subjects: bool,
    /// In JSON: what the detector was told of each message is logged.
    pub judgements: bool,
}

/// The running log; changes its level and form on a reload of the settings.
#[derive(Debug, Clone)]
pub(crate) struct LogControl {
    filter: reload::Handle<Targets, Registry>,
    form: Arc<LogForm>,
}

impl LogControl {
    /// New settings from now on.
    pub(crate) fn reload(&self, log: LogOptions) {
        self.form.set_json(log.json);
        events::show_subjects(log.subjects);
        events::show_judgements(log.judgements && log.json);
        // Fails only when the subscriber is gone, and with it all logging.
        let _ = self.filter.reload(filter(log.level));
    }
}

/// Starts logging to standard error, for the whole process.
///
/// # Errors
/// When logging was started before.
pub(crate) fn init(log: LogOptions, clock: Arc<dyn Clock>) -> Result<LogControl, TryInitError> {
    let (subscriber, control) = subscriber(log, clock, std::io::stderr);
    subscriber.try_init()?;
    Ok(control)
}

/// A subscriber that writes one line per event to `writer`.
fn subscriber<W, O>(
    log: LogOptions,
    clock: Arc<dyn Clock>,
    writer: W,
) -> (impl tracing::Subscriber + Send + Sync, LogControl)
where
    W: Fn() -> O + Send + Sync + 'static,
    O: Write,
{
    let form = Arc::new(LogForm::default());
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
