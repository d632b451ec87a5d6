//! Formatting of all Rust files: `cargo fmt` does not find those that a macro declares, as the tables of this repository do.

use std::process::Command;

use anyhow::Context;

use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Change nothing, and fail where something would change.
    #[arg(long)]
    check: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"];
    let output = Command::new("git").current_dir(sh::root()).args(list).output().context("start git")?;
    let files = String::from_utf8(output.stdout).context("read the names of the files")?;
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.current_dir(sh::root()).args(["--edition", "2024"]);
    if args.check {
        rustfmt.arg("--check");
    }
    // One that was removed and not yet committed is still listed.
    sh::run(rustfmt.args(files.lines().filter(|file| sh::root().join(file).exists())))
}
