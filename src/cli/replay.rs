//! `outgate replay`: the relay's decisions on a record of events.

use super::ConfigFile;
use crate::replay::reader::{self, Summary};
use clap::Args;
use serde_json::json;
use std::io::{BufReader, BufWriter, Write};
use std::process::ExitCode;

/// `outgate replay [--config FILE] [--summary]`, events as JSON lines on standard input, or the
/// relay's own log in JSON.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Configuration; without it the detector alone decides, without ceilings and without the rule
    /// of the spam rate.
    #[command(flatten)]
    file: ConfigFile,
    /// End with one line of what would have been blocked.
    #[arg(long)]
    summary: bool,
}

/// Runs the command. Exit 1 if a line was no event, or the output could not be written; 2 for a bad
/// configuration.
pub(crate) fn run(args: &ReplayArgs) -> ExitCode {
    let settings = match &args.file.config {
        Some(path) => match crate::config::load(Some(path)) {
            Ok(settings) => settings,
            Err(why) => return super::Failure::from(why).exit(),
        },
        None => reader::detector_alone(),
    };
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut input = BufReader::with_capacity(1 << 20, std::io::stdin().lock());
    let done = reader::run(
        settings,
        &mut input,
        &mut out,
        &mut std::io::stderr().lock(),
    )
    .and_then(|summary| {
        if args.summary {
            writeln!(out, "{}", line(&summary))?;
        }
        out.flush().map(|()| summary)
    });
    match done {
        Ok(summary) if summary.errors == 0 => ExitCode::SUCCESS,
        Ok(summary) => super::fail(
            1,
            &format!("{} lines could not be replayed", summary.errors),
        ),
        // A reader that went away (`| head`) is no failure.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => super::fail(1, &e.to_string()),
    }
}

fn line(summary: &Summary) -> serde_json::Value {
    let blocks: Vec<_> = summary
        .blocks
        .iter()
        .map(|(reference, kind, subject, reason, refused)| {
            json!({ "ref": reference, "kind": kind, "subject": subject, "reason": reason, "refused": refused })
        })
        .collect();
    let counts = |[accept, high_risk, hold, defer, reject]: [u64; 5]| json!({ "accept": accept, "high_risk": high_risk, "hold": hold, "defer": defer, "reject": reject });
    let shadows: serde_json::Map<_, _> = summary
        .shadows
        .iter()
        .map(|(policy, shadow)| {
            let blocks: Vec<_> = shadow.blocks.iter().map(|(who, why)| json!({ "sender": who, "reason": why })).collect();
            let told = json!({ "messages": counts(shadow.actions), "reasons": shadow.reasons, "blocks": blocks });
            (policy.clone(), told)
        })
        .collect();
    let changed: Vec<_> = summary
        .changed
        .iter()
        .map(|((done, now), messages)| json!({ "done": done, "now": now, "messages": messages }))
        .collect();
    json!({
        "event": "summary", "messages": counts(summary.actions), "shadow": shadows, "changed": changed,
        "answers": summary.answers, "unknown_ids": summary.unknown, "errors": summary.errors, "blocks": blocks,
    })
}
