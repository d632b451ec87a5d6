//! The command line: arguments, exit codes, and one file a command.

mod excerpt;
mod exit;
mod findings;
mod folders;
mod incident_list;
mod input;
mod kernel_log;
mod output;
mod overview;
mod remote;
mod whole_file;

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

/// Declares the commands: a file, a variant of [`Command`], and one arm that runs it.
macro_rules! commands {
    ($($(#[$meta:meta])* $module:ident $name:ident $($long:ident)? $(= $run:expr)?;)+) => {
        $(mod $module;)+

        #[derive(Debug, Subcommand)]
        enum Command {
            $($(#[$meta])* $name($module::Args),)+
        }

        impl Command {
            /// What may take seconds, in a word; not what runs until it is stopped or has a screen of its own.
            fn takes_long(&self) -> Option<&'static str> {
                match self {
                    $(Command::$name(_) => [$((stringify!($long), stringify!($module)).1)?].first().copied(),)+
                }
            }

            fn run(&self) -> anyhow::Result<ExitCode> {
                match self {
                    $(Command::$name(args) => commands!(@run $module args $($run)?),)+
                }
            }
        }
    };
    (@run $module:ident $args:ident) => { $module::run($args) };
    (@run $module:ident $args:ident $run:expr) => { ($run)($args) };
}

// One a line: its file, its name, whether it may take long.
commands! {
    record Record;
    top Top;
    serve Serve;
    machine Machine long;
    guard Guard;
    run Run;
    demo Demo;
    info Info long;
    analyze Analyze long;
    advise Advise long;
    postmortem Postmortem long;
    report Report long;
    export Export;
    import Import long;
    fields Fields;
    doctor Doctor;
    install Install;
    uninstall Uninstall;
    completions Completions = |args| completions::run(args, Args::command());
    #[command(hide = true)] man Man = |args| man::run(args, Args::command());
    #[command(hide = true)] seal Seal;
    #[command(hide = true)] pages Pages;
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
    let result = command.run();
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
