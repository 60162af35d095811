//! The thin binary.

use clap::Parser;
use outgate::app;
use outgate::cli::{self, Cli, Command, ConfigCommand, ConfigFile};
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
        Command::Config { command: ConfigCommand::Check(file) } => print(cli::config::run_check, &file),
        Command::Config { command: ConfigCommand::Show(file) } => print(cli::config::run_show, &file),
        Command::Score(args) => cli::score::run(&args),
        Command::Replay(args) => cli::replay::run(&args),
        Command::Simulate(args) => cli::simulate::run(&args),
        Command::Model(args) => cli::model::run(&args),
        Command::Admin(command) => cli::run(command, config::load),
    }
}

type ConfigReport = fn(Option<&Path>, &mut dyn Write, &mut dyn Write) -> i32;

fn print(report: ConfigReport, file: &ConfigFile) -> ExitCode {
    let status = report(file.config.as_deref(), &mut std::io::stdout().lock(), &mut std::io::stderr().lock());
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}
