//! `sampler completions`

use std::process::ExitCode;

use anyhow::Context;
use clap_complete::Shell;

/// Write the completions of a shell to standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sampler completions bash > /etc/bash_completion.d/sampler")]
pub struct Args {
    /// bash, elvish, fish, powershell or zsh
    shell: Shell,
}

/// Writes completions.
pub fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "sampler", &mut text);
    crate::cli::output::print(&String::from_utf8(text).context("completions are not UTF-8")?)?;
    Ok(ExitCode::SUCCESS)
}
