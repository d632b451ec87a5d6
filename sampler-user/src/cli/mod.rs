//! The command line: arguments, exit codes, and one file a command.

mod advise;
mod analyze;
mod completions;
mod demo;
mod doctor;
mod excerpt;
mod exit;
mod export;
mod fields;
mod findings;
mod folders;
mod guard;
mod import;
mod incident_list;
mod info;
mod input;
mod install;
mod kernel_log;
mod machine;
mod output;
mod overview;
mod pages;
mod postmortem;
mod record;
mod remote;
mod report;
mod run;
mod seal;
mod top;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use sampler::store;

/// Flight recorder for container memory: samples cgroups, survives the crash, explains the OOM kill.
#[derive(Debug, Parser)]
#[command(name = "sampler", version, about, propagate_version = true, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Record(record::Args),
    Top(top::Args),
    Machine(machine::Args),
    Guard(guard::Args),
    Run(run::Args),
    Demo(demo::Args),
    Info(info::Args),
    Analyze(analyze::Args),
    Advise(advise::Args),
    Postmortem(postmortem::Args),
    Report(report::Args),
    Export(export::Args),
    Import(import::Args),
    Fields(fields::Args),
    Doctor(doctor::Args),
    Install(install::Args),
    Uninstall(install::UninstallArgs),
    Completions(completions::Completions),
    #[command(hide = true)]
    Man(completions::Man),
    #[command(hide = true)]
    Seal(seal::Args),
    #[command(hide = true)]
    Pages(pages::Args),
}

impl Command {
    /// What may take seconds, in a word; not what runs until it is stopped or has a screen of its own.
    fn takes_long(&self) -> Option<&'static str> {
        match self {
            Command::Info(_) => Some("info"),
            Command::Machine(_) => Some("machine"),
            Command::Analyze(_) => Some("analyze"),
            Command::Advise(_) => Some("advise"),
            Command::Postmortem(_) => Some("postmortem"),
            Command::Report(_) => Some("report"),
            Command::Import(_) => Some("import"),
            _ => None,
        }
    }
}

/// Runs the command; prints its error once.
pub fn main() -> ExitCode {
    if std::env::args_os().len() <= 1 {
        output::say(overview::TEXT);
        return ExitCode::from(exit::USAGE);
    }
    let command = Args::parse().command;
    if let Some(what) = command.takes_long() {
        sampler::ui::progress::begin(what);
    }
    let result = match command {
        Command::Record(args) => record::run(args),
        Command::Top(args) => top::run(&args),
        Command::Machine(args) => machine::run(&args),
        Command::Guard(args) => guard::run(args),
        Command::Run(args) => run::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Advise(args) => advise::run(&args),
        Command::Postmortem(args) => postmortem::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Fields(args) => fields::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Install(args) => install::run(&args),
        Command::Uninstall(args) => install::remove(&args),
        Command::Completions(args) => completions::completions(&args, Args::command()),
        Command::Man(args) => completions::man(&args, Args::command()),
        Command::Seal(args) => seal::run(&args),
        Command::Pages(args) => pages::run(&args),
    };
    sampler::ui::progress::end();
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(&format!("sampler: {error:#}"));
            ExitCode::from(code_of(&error))
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(is)
            || cause
                .downcast_ref::<csv::Error>()
                .is_some_and(|error| matches!(error.kind(), csv::ErrorKind::Io(error) if is(error)))
    })
}

fn code_of(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.downcast_ref::<run::CommandNotFound>().is_some() {
            return exit::NOT_FOUND;
        }
        if let Some(store::Error::NoRecording { .. }) = cause.downcast_ref::<store::Error>() {
            return exit::NO_RECORDING;
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::NotFound if is_open_of_a_recording(error) => return exit::NO_RECORDING,
                io::ErrorKind::PermissionDenied => return exit::NOT_ALLOWED,
                _ => {}
            }
        }
        if cause.downcast_ref::<sampler::kernel::cgroupfs::layout::Error>().is_some() {
            return exit::NOT_ALLOWED;
        }
    }
    exit::FAILED
}

fn is_open_of_a_recording(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref::<store::Error>(), Some(store::Error::Io { operation, .. }) if *operation == "open")
    })
}
