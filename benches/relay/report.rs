//! Numbers of runs, their medians, and the table.

use crate::generator::Sent;
use std::fmt::Write as _;
use std::time::Duration;

/// What one run showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Messages answered 250 per second.
    pub accepted_rate: f64,
    /// Messages arrived at the sink per second, from the first connection to the last arrival.
    pub delivered_rate: f64,
    /// Seconds of CPU per 1,000 messages.
    pub cpu: Option<f64>,
    /// Syncs per message.
    pub syncs: Option<f64>,
    /// Octets.
    pub memory: Option<u64>,
    /// Median of the 250 after the data.
    pub p50: Duration,
    /// 99th percentile of the same.
    pub p99: Duration,
    /// Messages refused.
    pub refused: usize,
}

impl Run {
    /// From what the generator saw and the time until the last arrival.
    pub(crate) fn new(sent: &Sent, until_delivered: Duration) -> Self {
        let rate = |time: Duration| sent.accepted as f64 / time.as_secs_f64().max(1e-9);
        Self {
            accepted_rate: rate(sent.elapsed),
            delivered_rate: rate(until_delivered),
            cpu: None,
            syncs: None,
            memory: None,
            p50: percentile(&sent.latencies, 50),
            p99: percentile(&sent.latencies, 99),
            refused: sent.refused,
        }
    }
}

/// The value below which so many percent of the sorted values lie.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted
        .get(sorted.len() * percent / 100)
        .or(sorted.last())
        .copied()
        .unwrap_or_default()
}

/// The run in the middle by end-to-end rate: its numbers belong together.
pub(crate) fn median(runs: &[Run]) -> Option<Run> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(|a, b| a.delivered_rate.total_cmp(&b.delivered_rate));
    sorted.get(sorted.len() / 2).copied()
}

/// Results of one scenario.
pub(crate) struct Row {
    /// Its name.
    pub scenario: String,
    /// Generator straight to the sink.
    pub straight: Option<Run>,
    /// The relay.
    pub outgate: Option<Run>,
    /// Postfix.
    pub postfix: Option<Run>,
}

/// The table.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{:<38} {:<9} {:>10} {:>11} {:>11} {:>9} {:>8} {:>8} {:>8} {:>7}",
        "scenario",
        "through",
        "accepted/s",
        "delivered/s",
        "CPU s/1000",
        "syncs/msg",
        "MiB",
        "p50 ms",
        "p99 ms",
        "refused"
    );
    for row in rows {
        let lines = [
            ("nothing", &row.straight),
            ("outgate", &row.outgate),
            ("postfix", &row.postfix),
        ];
        for (through, run) in lines
            .iter()
            .filter_map(|(through, run)| Some((through, (*run).as_ref()?)))
        {
            line(&mut out, &row.scenario, through, run);
        }
    }
    let _ = writeln!(
        out,
        "\n{:<38} {:>22} {:>12}",
        "outgate : postfix", "delivered/s, times", "CPU, share"
    );
    for row in rows {
        let (Some(ours), Some(theirs)) = (&row.outgate, &row.postfix) else {
            continue;
        };
        let cpu = ours
            .cpu
            .zip(theirs.cpu)
            .map_or_else(|| "-".into(), |(a, b)| format!("{:.2}", a / b.max(1e-9)));
        let times = ours.delivered_rate / theirs.delivered_rate.max(1e-9);
        let _ = writeln!(out, "{:<38} {times:>22.1} {cpu:>12}", row.scenario);
    }
    out
}

fn line(out: &mut String, scenario: &str, through: &str, run: &Run) {
    let dash = || "-".to_owned();
    let millis = |d: Duration| format!("{:.1}", d.as_secs_f64() * 1000.0);
    let _ = writeln!(
        out,
        "{scenario:<38} {through:<9} {:>10.0} {:>11.0} {:>11} {:>9} {:>8} {:>8} {:>8} {:>7}",
        run.accepted_rate,
        run.delivered_rate,
        run.cpu.map_or_else(dash, |c| format!("{c:.2}")),
        run.syncs.map_or_else(dash, |s| format!("{s:.2}")),
        run.memory
            .map_or_else(dash, |m| format!("{:.0}", m as f64 / f64::from(1 << 20))),
        millis(run.p50),
        millis(run.p99),
        run.refused,
    );
}
