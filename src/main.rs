//! The thin binary.

use clap::Parser;
use outgate::app;
use outgate::cli::{self, Cli, Command, ConfigCommand, ConfigReport};
use outgate::config;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Many threads allocate and free messages; this allocator keeps them out of each other's way.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(file) => app::serve::run(file.config.as_deref()),
        Command::Demo => app::demo::run(),
        Command::Config {
            command: ConfigCommand::Check(args),
        } => print(cli::config::run_check, &args),
        Command::Config {
            command: ConfigCommand::Show(args),
        } => print(cli::config::run_show, &args),
        Command::Score(args) => cli::score::run(&args),
        Command::Replay(args) => cli::replay::run(&args),
        Command::Simulate(args) => cli::simulate::run(&args),
        Command::Model(args) => cli::model::run(&args),
        Command::Lists { command } => cli::lists::run(&command),
        Command::Admin(command) => cli::run(command, config::load),
    }
}

type Report = fn(Option<&Path>, bool, &mut dyn Write, &mut dyn Write) -> i32;

fn print(report: Report, args: &ConfigReport) -> ExitCode {
    let status = report(
        args.file.config.as_deref(),
        args.json,
        &mut std::io::stdout().lock(),
        &mut std::io::stderr().lock(),
    );
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}
