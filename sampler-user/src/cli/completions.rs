//! `sampler completions` and the man pages.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap_complete::Shell;

/// Write the completions of a shell to standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sampler completions bash > /etc/bash_completion.d/sampler")]
pub struct Completions {
    /// bash, elvish, fish, powershell or zsh
    shell: Shell,
}

/// Write the man pages into a folder.
#[derive(Debug, clap::Args)]
pub struct Man {
    /// The folder.
    dir: PathBuf,
}

/// Writes completions.
pub fn completions(args: &Completions, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "sampler", &mut text);
    crate::cli::output::print(&String::from_utf8(text).context("completions are not UTF-8")?)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes one page for the program and one for each command.
pub fn man(args: &Man, command: clap::Command) -> anyhow::Result<ExitCode> {
    fs::create_dir_all(&args.dir).with_context(|| format!("make {}", args.dir.display()))?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), &args.dir)
        .with_context(|| format!("write man pages into {}", args.dir.display()))?;
    Ok(ExitCode::SUCCESS)
}
