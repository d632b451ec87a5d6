//! What a post-mortem costs on a day of a hundred cgroups, against a full scan of the same files in the same run.

use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;

use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recording [default: what `cargo xtask bench day --make` makes].
    #[arg(long)]
    recording: Option<PathBuf>,
    /// Rounds; the median counts. The full scan is made once.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sh::root().join("target"), PathBuf::from);
    let dir = args.recording.clone().unwrap_or_else(|| target.join("bench-day-24h-100"));
    if !dir.join("samples").exists() {
        bail!("no recording in {}; make it with `cargo xtask bench day --make` (it takes some minutes)", dir.display());
    }
    let sampler = sh::sampler()?;
    let script = sh::root().join("xtask/src/bench/postmortem.py");
    sh::run(Command::new("python3").arg(script).arg(&sampler).arg(&dir).arg(args.rounds.to_string()))
}
