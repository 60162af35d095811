//! Command line: arguments to admin commands, tables and JSON.
//!
//! [`main`] runs what needs no relay itself, and hands the rest to [`run`].

mod accounts;
pub(crate) mod args;
mod client;
mod commands;
pub(crate) mod config;
pub(crate) mod lists;
pub(crate) mod model;
mod offline;
mod policy;
mod render;
pub(crate) mod replay;
pub(crate) mod score;
mod send;
pub(crate) mod simulate;
mod table;
#[cfg(test)]
mod tests;
mod views;

use crate::app;
use crate::config::Settings;
use crate::config::load::SettingsError;
use args::{
    AccountCommand, AuditCommand, BlocksCommand, HeldCommand, MessagesCommand, PolicyCommand,
    QueueCommand, SendersCommand, TokenCommand,
};
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Outbound SMTP relay that scores every message, judges every sender and stops the bad ones.
#[derive(Debug, Parser)]
#[command(name = "outgate", version, about)]
struct Cli {
    #[command(subcommand)]
    pub command: CliCommand,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the relay.
    Serve(ConfigFile),
    /// Run the relay with a local sink and a story to watch.
    Demo,
    /// Check or show the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Send a test message through the relay and show what is said on the wire.
    Send(send::SendArgs),
    /// Score messages; learns nothing that lasts, needs no configuration.
    Score(score::ScoreArgs),
    /// Run a record of events (JSON lines on standard input) through the relay's own decisions.
    Replay(replay::ReplayArgs),
    /// Measure the detector in a made-up world with known attacks, beside simpler ones.
    Simulate(simulate::SimulateArgs),
    /// Train or judge the model.
    Model(model::ModelArgs),
    /// Outside lists and scanners.
    Lists {
        #[command(subcommand)]
        command: lists::ListsCommand,
    },
    /// Commands to a relay or its records.
    #[command(flatten)]
    Admin(AdminCommand),
}

/// The whole program: reads the arguments and runs the command. Exit status: 0 done, 1 failed, 2
/// wrong use.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        CliCommand::Serve(file) => app::serve::run(file.config.as_deref()),
        CliCommand::Demo => app::demo::run(),
        CliCommand::Config {
            command: ConfigCommand::Check(args),
        } => print_report(config::run_check, &args),
        CliCommand::Config {
            command: ConfigCommand::Show(args),
        } => print_report(config::run_show, &args),
        CliCommand::Send(args) => run_send(&args),
        CliCommand::Score(args) => score::run(&args),
        CliCommand::Replay(args) => replay::run(&args),
        CliCommand::Simulate(args) => simulate::run(&args),
        CliCommand::Model(args) => model::run(&args),
        CliCommand::Lists { command } => lists::run(&command),
        CliCommand::Admin(command) => run(command, crate::config::load),
    }
}

type PrintReport = fn(Option<&Path>, bool, &mut dyn Write, &mut dyn Write) -> i32;

fn print_report(report: PrintReport, args: &ConfigReport) -> ExitCode {
    let status = report(
        args.file.config.as_deref(),
        args.json,
        &mut std::io::stdout().lock(),
        &mut std::io::stderr().lock(),
    );
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigFile {
    /// Configuration file [default: config/outgate.toml if it is there, else the built-in
    /// defaults].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `outgate config check|show`.
#[derive(Debug, Clone, Default, Args)]
struct ConfigReport {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say what is wrong with the configuration; exit status 2 if anything is.
    Check(ConfigReport),
    /// Print the configuration in force, defaults included.
    Show(ConfigReport),
}

/// Commands that speak to a relay, or work on its records.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Blocks: who is stopped, why, and how it ends.
    Blocks {
        #[command(subcommand)]
        command: BlocksCommand,
    },
    /// Senders and their standing.
    Senders {
        #[command(subcommand)]
        command: SendersCommand,
    },
    /// Policies: which one judges a sender, and why.
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Mail that waits for delivery.
    Queue {
        #[command(subcommand)]
        command: QueueCommand,
    },
    /// Mail that waits for a decision.
    Held {
        #[command(subcommand)]
        command: HeldCommand,
    },
    /// What became of messages.
    Messages {
        #[command(subcommand)]
        command: MessagesCommand,
    },
    /// Who did what, when and why.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Accounts for SMTP AUTH and the admin side; works with the relay running or stopped.
    Account {
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// Bearer tokens for the API; works with the relay running or stopped.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
}

/// Why a command ends without success.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// It did not work: exit status 1.
    Failed(String),
    /// It was asked wrongly, or the configuration is wrong: exit status 2.
    Usage(String),
}

impl Failure {
    /// Says it and gives the exit status.
    fn exit(self) -> ExitCode {
        match self {
            Self::Failed(why) => fail(1, &why),
            Self::Usage(why) => fail(2, &why),
        }
    }
}

impl From<SettingsError> for Failure {
    fn from(e: SettingsError) -> Self {
        Self::Usage(e.to_string())
    }
}

/// Reads the settings: `config::load`.
type LoadSettings = fn(Option<&Path>) -> Result<Settings, SettingsError>;

/// Runs a command and prints what it has to say. Exit status: 0 done, 1 failed, 2 wrong use.
pub(crate) fn run(command: AdminCommand, load: LoadSettings) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => return fail(1, &e.to_string()),
    };
    match runtime.block_on(commands::run(command, load)) {
        Ok(text) => print(&text),
        Err(failure) => failure.exit(),
    }
}

/// Sends a test message. Exit status: 0 accepted, 1 refused, 2 wrong use.
fn run_send(args: &send::SendArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let sent = match runtime {
        Ok(runtime) => runtime.block_on(send::run(
            args,
            crate::config::load,
            std::io::stdin(),
            std::io::stdout(),
        )),
        Err(error) => return fail(1, &error.to_string()),
    };
    match sent {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => fail(1, "the message was refused"),
        Err(failure) => failure.exit(),
    }
}

/// Prints to standard output. A reader that went away (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(1),
        _ => ExitCode::SUCCESS,
    }
}

fn fail(status: u8, why: &str) -> ExitCode {
    // Nowhere is left to say it if standard error is gone too.
    let _said = writeln!(std::io::stderr().lock(), "outgate: {why}");
    ExitCode::from(status)
}
