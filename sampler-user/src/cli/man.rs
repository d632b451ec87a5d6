//! `sampler man`, hidden: the man pages.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

/// Write the man pages into a folder.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder.
    dir: PathBuf,
}

/// Writes one page for the program and one for each command.
pub fn run(args: &Args, command: clap::Command) -> anyhow::Result<ExitCode> {
    fs::create_dir_all(&args.dir).with_context(|| format!("make {}", args.dir.display()))?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), &args.dir)
        .with_context(|| format!("write man pages into {}", args.dir.display()))?;
    Ok(ExitCode::SUCCESS)
}
