//! The command line: arguments, exit codes, and one file a command.

mod advise;
mod agent;
mod aloud;
mod analyze;
mod beside;
mod child;
mod demo;
mod doctor;
mod export;
mod fields;
mod guard;
mod hook;
mod import;
mod incident_list;
mod info;
mod install;
mod kernel_log;
mod listening;
mod loops;
mod named;
mod page;
mod pages;
mod papers;
mod postmortem;
mod record;
mod remote;
mod report;
mod run;
mod scene;
mod seal;
mod summary;
mod top;
mod watch;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use sampler::cgroupfs::tree::Selection;
use sampler::store;

/// Exit codes, as `docs/exit-codes.md` has them.
pub mod exit {
    /// Something that was tried did not work; the error says what.
    pub const FAILED: u8 = 1;
    // 2 is a wrong command line; clap's own.
    /// There is no recording where one was looked for.
    pub const NO_RECORDING: u8 = 3;
    /// A right or a kernel feature is missing.
    pub const NOT_ALLOWED: u8 = 4;
    /// `run`: the command was not found.
    pub const NOT_FOUND: u8 = 127;
    /// `run`: added to the number of the signal that ended the command: 137 is a kill.
    pub const SIGNAL: u8 = 128;
}

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
    Completions(papers::Completions),
    #[command(hide = true)]
    Man(papers::Man),
    #[command(hide = true)]
    Seal(seal::Args),
    #[command(hide = true)]
    Pages(pages::Args),
}

/// Runs the command; prints its error once.
pub fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Record(args) => record::run(args),
        Command::Top(args) => top::run(&args),
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
        Command::Completions(args) => papers::completions(&args, Args::command()),
        Command::Man(args) => papers::man(&args, Args::command()),
        Command::Seal(args) => seal::run(&args),
        Command::Pages(args) => pages::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("sampler: {error:#}"));
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
        if cause.downcast_ref::<sampler::cgroupfs::layout::Error>().is_some() {
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

/// A line for the person, not for the next program. A closed standard error is no reason to stop.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", remote::told(line));
}

/// Writes a whole text to standard output.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(remote::told(text).as_bytes()).and_then(|()| out.flush()).context("write to standard output")
}

/// Where recordings go by default: `/var/lib/sampler` for root, else the user's data folder.
pub fn data_folder() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/var/lib/sampler".into();
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("sampler")
}

/// A folder for a new recording of its own below the default one, named by the time.
pub fn fresh_folder(kind: &str) -> PathBuf {
    let now = sampler::time::format_us((sampler::time::wall_ns() / 1000) as i64);
    let stamp: String = now.chars().take(19).filter(|c| c.is_ascii_alphanumeric()).collect();
    data_folder().join(format!("{kind}-{stamp}-{}", std::process::id()))
}

/// The part of a recording that is asked for.
#[derive(Debug, clap::Args)]
pub struct Part {
    /// Only cgroups whose path matches; may be given again.
    #[arg(long, value_name = "GLOB")]
    cgroup: Vec<String>,
    /// Only from this time: RFC 3339, `14:03:22` (today), `-10m` (ago) or Unix seconds.
    #[arg(long, value_name = "TIME", value_parser = sampler::time::parse_time, allow_hyphen_values = true)]
    from: Option<i64>,
    /// Only up to this time.
    #[arg(long, value_name = "TIME", value_parser = sampler::time::parse_time, allow_hyphen_values = true)]
    to: Option<i64>,
}

impl Part {
    /// All cgroups of a time.
    pub fn of(time: std::ops::Range<i64>) -> Part {
        Part { cgroup: Vec::new(), from: Some(time.start), to: Some(time.end) }
    }

    /// The cgroups.
    pub fn selection(&self) -> anyhow::Result<Selection> {
        Selection::new(&self.cgroup, &[]).context("read --cgroup")
    }

    /// The range in wall-clock microseconds.
    pub fn range(&self) -> std::ops::Range<i64> {
        self.from.unwrap_or(i64::MIN)..self.to.unwrap_or(i64::MAX)
    }
}
