//! How an event becomes a line: readable text, or JSON. Whatever comes from outside is escaped, so
//! that no sender can forge a line, steer a terminal or flood the log.

use crate::env::Clock;
use std::fmt::{self, Debug, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Octets of one value that are logged.
const MAX_VALUE_BYTES: usize = 2048;
/// The same for lists of hashes, which are our own making: 16,384 recipients.
const MAX_HASHES_BYTES: usize = 1 << 18;

/// Text or JSON; can change while running.
#[derive(Debug, Default)]
pub(super) struct LogForm {
    json: AtomicBool,
}

impl LogForm {
    /// JSON from now on, or text.
    pub(super) fn set_json(&self, json: bool) {
        self.json.store(json, Ordering::Relaxed);
    }
}

pub(super) struct LineFormat {
    form: Arc<LogForm>,
    clock: Arc<dyn Clock>,
}

impl LineFormat {
    /// In the form that `form` says at each moment.
    pub(super) fn new(form: Arc<LogForm>, clock: Arc<dyn Clock>) -> Self {
        Self { form, clock }
    }

    /// RFC 3339 in UTC with milliseconds.
    fn time(&self) -> String {
        let now = self.clock.now();
        let whole = now.rfc3339();
        format!(
            "{}.{:03}Z",
            whole.trim_end_matches('Z'),
            now.0.rem_euclid(1000)
        )
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = event.metadata().level();
        let json = self.form.json.load(Ordering::Relaxed);
        let mut line = LineFields {
            out: String::with_capacity(256),
            json,
            scratch: String::new(),
        };
        if json {
            write!(
                line.out,
                "{{\"time\":\"{}\",\"level\":\"{level}\"",
                self.time()
            )?;
        } else {
            write!(line.out, "{} {level}", self.time())?;
        }
        event.record(&mut line);
        line.out.push_str(if json { "}\n" } else { "\n" });
        writer.write_str(&line.out)
    }
}

struct LineFields {
    out: String,
    json: bool,
    scratch: String,
}

impl LineFields {
    /// A value that needs no quotes in JSON.
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        let key = field.name();
        // Writing to a String cannot fail.
        let _ = if self.json {
            write!(self.out, ",\"{key}\":{value}")
        } else {
            write!(self.out, " {key}={value}")
        };
    }

    fn text(&mut self, field: &Field, value: &str) {
        let key = field.name();
        let most = if key.ends_with("_hashes") {
            MAX_HASHES_BYTES
        } else {
            MAX_VALUE_BYTES
        };
        let (value, cut) = shorten(value, most);
        let ellipsis = if cut { "…" } else { "" };
        if self.json {
            let _ = write!(self.out, ",\"{key}\":\"");
            escape(&mut self.out, value, json_escape);
            self.out.push_str(ellipsis);
            self.out.push('"');
            return;
        }
        self.out.push(' ');
        // What happened stands first and without a key.
        if key == "event" || key == "message" {
            escape(&mut self.out, value, text_escape);
            return;
        }
        let plain = !value.is_empty()
            && !cut
            && !value
                .chars()
                .any(|c| c.is_whitespace() || c == '"' || c == '\\' || dangerous(c));
        if plain {
            let _ = write!(self.out, "{key}={value}");
        } else {
            let _ = write!(self.out, "{key}=\"");
            escape(&mut self.out, value, text_escape);
            self.out.push_str(ellipsis);
            self.out.push('"');
        }
    }
}

impl Visit for LineFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN and no infinity.
        if value.is_finite() {
            self.bare(field, value);
        } else {
            self.text(field, if value.is_nan() { "nan" } else { "inf" });
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let _ = write!(Bounded(&mut scratch), "{value:?}");
        self.text(field, &scratch);
        self.scratch = scratch;
    }
}

/// Takes what is written up to a little over the bound, and lets the rest go.
struct Bounded<'s>(&'s mut String);

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() > MAX_VALUE_BYTES {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// The part of a value that is logged, and whether some was cut off.
fn shorten(value: &str, most: usize) -> (&str, bool) {
    let mut end = value.len().min(most);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    (value.get(..end).unwrap_or_default(), end < value.len())
}

/// Characters that end a line, steer a terminal or turn the reading direction around.
fn dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(out: &mut String, value: &str, special: fn(&mut String, char)) {
    for c in value.chars() {
        if dangerous(c) || c == '"' || c == '\\' {
            special(out, c)
        } else {
            out.push(c)
        }
    }
}

fn text_escape(out: &mut String, c: char) {
    out.extend(c.escape_default());
}

fn json_escape(out: &mut String, c: char) {
    if c == '"' || c == '\\' {
        out.push('\\');
        out.push(c);
    } else {
        // All dangerous characters lie in the basic plane.
        let _ = write!(out, "\\u{:04x}", u32::from(c));
    }
}
