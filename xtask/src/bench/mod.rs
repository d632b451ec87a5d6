//! Benchmarks. Ratios in the same run, against the bare floor: absolute times on a shared machine mean little.

mod agent;
pub mod day;
mod floor;
mod forest;
mod fresh;
mod made;
mod postmortem;
mod probe;
mod size;
mod stats;
mod storm;
mod top;

use std::process::Command;

use anyhow::{Context, bail};
use clap::Subcommand;

use crate::sh;

#[derive(Debug, Subcommand)]
pub enum Bench {
    /// CPU of the agent over a bare pread of the same files at the same pace
    Agent(agent::Args),
    /// 1 kHz: jitter and missed ticks
    Rate(agent::RateArgs),
    /// CPU and memory of the analysis on a day of 100 cgroups at 10 Hz, against DuckDB on the same files
    Day(day::Args),
    /// Bytes a row of a recording of live workloads, and its reading by DuckDB against pyarrow's file
    Size(size::Args),
    /// CPU of `docker stats --no-stream` over ours, for a container and sample
    Stats(stats::Args),
    /// Storms of OOM kills: whether each is counted, how soon it is recorded, and the agent's memory
    Storm(storm::Args),
    /// A post-mortem on a day of 100 cgroups, over a full scan of the same files
    Postmortem(postmortem::Args),
    /// What each command costs on a quarter of an hour that is not sealed yet, with a kill in its last second
    Fresh(fresh::Args),
    /// `sampler top` on a screen against the reading alone and against `docker stats`
    Top(top::Args),
    /// The kernel probe: its walk against reads of the same fields, and what it costs those who are watched
    Probe(probe::Args),
    /// The floor itself: pread on kept descriptors, nothing else
    #[command(hide = true)]
    Floor(floor::Args),
}

pub fn run(bench: Bench) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        // What is measured in this process, the floor too, is measured as it is shipped.
        let again = Command::new("cargo")
            .args(["run", "--quiet", "--release", "--package", "xtask", "--"])
            .args(std::env::args_os().skip(1))
            .current_dir(sh::root())
            .status()
            .context("start cargo")?;
        return if again.success() { Ok(()) } else { bail!("the measurement ended with {again}") };
    }
    match bench {
        Bench::Agent(args) => agent::run(&args),
        Bench::Rate(args) => agent::rate(&args),
        Bench::Day(args) => day::run(&args),
        Bench::Size(args) => size::run(&args),
        Bench::Stats(args) => stats::run(&args),
        Bench::Storm(args) => storm::run(&args),
        Bench::Postmortem(args) => postmortem::run(&args),
        Bench::Fresh(args) => fresh::run(&args),
        Bench::Top(args) => top::run(&args),
        Bench::Probe(args) => probe::run(&args),
        Bench::Floor(args) => floor::run(&args),
    }
}
