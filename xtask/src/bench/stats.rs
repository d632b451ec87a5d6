//! `docker stats --no-stream` against the recorder: the same containers, the same machine, in turn.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::docker::{CpuCgroup, Docker, stop};
use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Containers.
    #[arg(long, default_value_t = 20)]
    containers: usize,
    /// Rounds in turn; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Calls of `docker stats` in a round.
    #[arg(long, default_value_t = 5)]
    calls: usize,
    /// Seconds of recording in a round.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let sampler = sh::sampler()?;
    let docker = Docker::start()?;
    for n in 0..args.containers {
        docker.container(&format!("c{n}"), &["-m", "64m"], "sleep 100000")?;
    }
    let ours = CpuCgroup::make(&format!("sampler-stats-agent-{}", std::process::id()))?;
    let cli = CpuCgroup::make(&format!("sampler-stats-cli-{}", std::process::id()))?;
    let socket = docker.command(&[]);
    let socket: Vec<_> = socket.get_args().map(ToOwned::to_owned).collect();
    println!("{} containers; CPU in us for one container and sample", args.containers);
    let mut ratios = Vec::new();
    for round in 0..args.rounds {
        let rest = docker.cgroup.cpu_ms()?;
        let begun = Instant::now();
        sleep(Duration::from_secs(5));
        let idle_ms_per_s = (docker.cgroup.cpu_ms()? - rest) / begun.elapsed().as_secs_f64();

        let (daemon, client, begun) = (docker.cgroup.cpu_ms()?, cli.cpu_ms()?, Instant::now());
        for _ in 0..args.calls {
            let status =
                cli.command("docker").args(&socket).args(["stats", "--no-stream"]).stdout(Stdio::null()).status();
            anyhow::ensure!(status.context("start docker stats")?.success(), "docker stats failed");
        }
        // What the daemon does at rest is not the price of a look.
        let daemon = docker.cgroup.cpu_ms()? - daemon - idle_ms_per_s * begun.elapsed().as_secs_f64();
        let theirs = (daemon + cli.cpu_ms()? - client) * 1e3 / (args.calls * args.containers) as f64;

        let mut costs = Vec::new();
        for (interval, rate) in [("100ms", 10), ("1s", 1)] {
            let out = std::env::temp_dir().join(format!("sampler-stats-{}-{round}-{rate}", std::process::id()));
            let mut agent = ours.command(&sampler);
            agent.args(["record", "--interval", interval, "--slow-interval", "1s", "--cgroup", "/docker/*", "--out"]);
            let agent = agent.arg(&out).stderr(Stdio::null()).spawn().context("start sampler")?;
            sleep(Duration::from_secs(4));
            let (before, begun) = (ours.cpu_ms()?, Instant::now());
            sleep(Duration::from_secs(args.seconds));
            let used = ours.cpu_ms()? - before;
            let samples = begun.elapsed().as_secs_f64() * f64::from(rate) * args.containers as f64;
            costs.push(used * 1e3 / samples);
            stop(agent)?;
            std::fs::remove_dir_all(&out)?;
        }
        println!(
            "round {round}: docker stats {theirs:.0}; ours {:.1} at 10 Hz, {:.1} at 1 Hz with all fields: {:.0}x, {:.0}x",
            costs[0],
            costs[1],
            theirs / costs[0],
            theirs / costs[1]
        );
        ratios.push((theirs / costs[0], theirs / costs[1]));
    }
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (fast, slow) = ratios.into_iter().unzip();
    println!("median: {:.0}x at 10 Hz (bar 500), {:.0}x at 1 Hz", middle(fast), middle(slow));
    Ok(())
}
