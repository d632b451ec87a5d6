//! Bytes a row, on a recording of live workloads.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Seconds to record.
    #[arg(long, default_value_t = 240)]
    seconds: u64,
    /// Number of workloads.
    #[arg(long, default_value_t = 50)]
    workloads: usize,
    /// Keep the recording here.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Runs `xtask/src/bench/size.py`, which needs Python with duckdb and pyarrow.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let sampler = sh::sampler()?;
    let out =
        args.keep.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("sampler-size-{}", std::process::id())));
    sh::run(
        Command::new("python3")
            .arg(sh::root().join("xtask/src/bench/size.py"))
            .arg(&sampler)
            .arg(&out)
            .args([args.seconds.to_string(), args.workloads.to_string()]),
    )?;
    if args.keep.is_none() {
        fs::remove_dir_all(&out)?;
    }
    Ok(())
}
