//! `outgate lists check`: whether the configured lists and scanners work from here.

use super::ConfigFile;
use crate::config;
use crate::config::Settings;
use crate::config::known_lists;
use crate::external_checks::check::{self, CheckReport};
use clap::Subcommand;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(crate) enum ListsCommand {
    /// Ask each configured list and scanner about its test points and say what is wrong; exit
    /// status 1 if anything is.
    Check {
        /// One JSON object: `{"items":[{"name","place","ok","detail","removal"}]}`.
        #[arg(long)]
        json: bool,
        /// Where the configuration is.
        #[command(flatten)]
        file: ConfigFile,
    },
}

pub(crate) fn run(command: &ListsCommand) -> ExitCode {
    let ListsCommand::Check { json, file } = command;
    let (status, text) = match config::load(file.config.as_deref()) {
        Err(errors) => {
            for error in errors.to_string().lines() {
                let _ = writeln!(std::io::stderr(), "error: {error}");
            }
            return ExitCode::from(2);
        }
        Ok(settings) => match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime.block_on(check(&settings, *json)),
            Err(e) => (1, format!("{e}\n")),
        },
    };
    // A reader that went away (`| head`) is no failure.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    ExitCode::from(status)
}

/// Exit status and what is printed.
async fn check(settings: &Settings, json: bool) -> (u8, String) {
    let reports = check::run(settings).await;
    let status = u8::from(reports.iter().any(|r| r.found.is_err()));
    (
        status,
        if json {
            as_json(&reports)
        } else {
            as_text(&reports)
        },
    )
}

fn as_json(reports: &[CheckReport]) -> String {
    let item = |r: &CheckReport| {
        let detail = r
            .found
            .as_ref()
            .map_or_else(ToString::to_string, Clone::clone);
        json!({ "name": r.name, "place": r.place, "ok": r.found.is_ok(), "detail": detail, "removal": r.removal })
    };
    format!(
        "{}\n",
        json!({ "items": reports.iter().map(item).collect::<Vec<_>>() })
    )
}

fn as_text(reports: &[CheckReport]) -> String {
    if reports.is_empty() {
        let known: Vec<String> = known_lists::known().into_keys().collect();
        return format!(
            "no list or scanner is configured; config/lists.toml knows: {}\n",
            known.join(", ")
        );
    }
    reports
        .iter()
        .map(|r| match &r.found {
            Ok(says) => format!("ok     {} ({}): {says}\n", r.name, r.place),
            Err(why) => format!("WRONG  {} ({}): {why}\n", r.name, r.place),
        })
        .collect()
}
