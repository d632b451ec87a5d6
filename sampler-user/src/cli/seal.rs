//! `sampler seal`, hidden: the agent's child of low priority that turns a segment into Parquet.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use sampler::store::seal::seal;

/// Seal one journal segment into Parquet files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The segment.
    segment: PathBuf,
    /// Folder of the recording.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    go_last();
    sampler::agent::write_privately();
    let sealed = seal(&args.segment, &args.out)?;
    crate::cli::output::print(&serde_json::to_string(&sealed).context("write JSON")?)?;
    Ok(ExitCode::SUCCESS)
}

/// Any work goes first, and if memory is short this process should, too. Raising the score needs no right.
pub fn go_last() {
    give_way();
    let _ = rustix::process::setpriority_process(None, 19);
    idle_io();
}

/// If memory is short it is this process that ends, and not what is recorded; it has the priority of the others, not the agent's.
pub fn give_way() {
    let _ = fs::write("/proc/self/oom_score_adj", "500");
    let _ = rustix::process::setpriority_process(None, 0);
}

fn idle_io() {
    const WHO_PROCESS: libc::c_long = 1;
    const CLASS_IDLE: libc::c_long = 3 << 13;
    // SAFETY: ioprio_set takes three integers and touches no memory.
    let _ = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0 as libc::c_long, CLASS_IDLE) };
}
