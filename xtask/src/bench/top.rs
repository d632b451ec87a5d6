//! `sampler top` on a screen against the reading alone and against `docker stats --no-stream`, in the same run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use sampler::analysis::leak::linear::quantile;
use sampler::kernel::cgroupfs::layout::Layout;

use super::forest::Forest;
use crate::docker::{CLIENT, CpuCgroup, Docker};
use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// cgroups of the first part.
    #[arg(long, default_value_t = 100)]
    cgroups: usize,
    /// Containers of the second part.
    #[arg(long, default_value_t = 20)]
    containers: usize,
    /// Rounds in turn; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
}

/// CPU time of a program between two moments after its start, milliseconds a second.
fn cost(cgroup: &CpuCgroup, mut command: Command, seconds: u64) -> anyhow::Result<f64> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("start")?;
    sleep(Duration::from_secs(4));
    let (before, begun) = (cgroup.cpu_ms()?, Instant::now());
    sleep(Duration::from_secs(seconds));
    let used = (cgroup.cpu_ms()? - before) / begun.elapsed().as_secs_f64();
    sh::stop(child)?;
    Ok(used)
}

/// `top` on a screen of 200 by 60, by `script` of util-linux.
fn on_screen(cgroup: &CpuCgroup, sampler: &Path, options: &str) -> Command {
    let mut command = cgroup.command("script");
    let line = format!("stty rows 60 cols 200; exec {} top --direct --interval 1s {options}", sampler.display());
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm-256color");
    command
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let sampler = sh::sampler()?;
    let ours = CpuCgroup::make(&format!("sampler-top-{}", std::process::id()))?;
    let forest = Forest::grow(&Layout::detect()?, args.cgroups)?;
    let mut ratios = Vec::new();
    for round in 0..args.rounds {
        let out = std::env::temp_dir().join(format!("sampler-top-{}-{round}", std::process::id()));
        let mut record = ours.command(&sampler);
        record.args(["record", "--interval=1s", "--slow-interval=1s", "--no-names", "--no-alerts", "--no-processes"]);
        record.args(["--probe=off", "--cgroup"]).arg(forest.glob()).arg("--out").arg(&out);
        let whole = cost(&ours, record, args.seconds)?;
        let csv = sh::read(
            Command::new(&sampler).args(["export", "--table=host", "--fields=agent_sampling_cpu_us"]).arg(&out),
        )?;
        std::fs::remove_dir_all(&out)?;
        let reads: Vec<f64> = csv.lines().skip(1).filter_map(|line| line.rsplit(',').next()?.parse().ok()).collect();
        let reads = (reads.last().context("no cost recorded")? - reads[0]) / 1e3 / (reads.len() - 1).max(1) as f64;
        let top = cost(&ours, on_screen(&ours, &sampler, &format!("--cgroup '{}'", forest.glob())), args.seconds)?;
        println!(
            "round {round}: {} cgroups at 1 Hz, CPU in ms a second: top {top:.2}, the recorder's reading {reads:.2}, the whole recorder {whole:.2}",
            args.cgroups
        );
        ratios.push(top / reads);
    }
    println!("top over the recorder's reading: {:.2}, median of {}", quantile(&ratios, 0.5), args.rounds);
    drop(forest);

    let docker = Docker::start()?;
    for n in 0..args.containers {
        docker.container(&format!("c{n}"), &["-m", "64m"], "sleep 100000")?;
    }
    let cli = CpuCgroup::make(&format!("sampler-top-cli-{}", std::process::id()))?;
    let socket = docker.command(&[]);
    let socket: Vec<_> = socket.get_args().map(ToOwned::to_owned).collect();
    let mut ratios = Vec::new();
    for round in 0..args.rounds {
        let (rest, begun) = (docker.cgroup.cpu_ms()?, Instant::now());
        sleep(Duration::from_secs(5));
        let idle = (docker.cgroup.cpu_ms()? - rest) / begun.elapsed().as_secs_f64();
        let (daemon, client, begun) = (docker.cgroup.cpu_ms()?, cli.cpu_ms()?, Instant::now());
        let calls = 4;
        for _ in 0..calls {
            let status =
                cli.command(CLIENT).args(&socket).args(["stats", "--no-stream"]).stdout(Stdio::null()).status();
            anyhow::ensure!(status.context("start docker stats")?.success(), "docker stats failed");
        }
        let daemon = docker.cgroup.cpu_ms()? - daemon - idle * begun.elapsed().as_secs_f64();
        let theirs = (daemon + cli.cpu_ms()? - client) / f64::from(calls) / args.containers as f64;
        let top = cost(&ours, on_screen(&ours, &sampler, "--cgroup '/docker/*'"), args.seconds)?;
        let own = top / args.containers as f64;
        println!(
            "round {round}: CPU in us for a container and sample: docker stats {:.0}, top {:.1}",
            theirs * 1e3,
            own * 1e3
        );
        ratios.push(theirs / own);
    }
    println!("docker stats over top: {:.0}x, median of {}", quantile(&ratios, 0.5), args.rounds);
    Ok(())
}
