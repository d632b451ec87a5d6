//! `docker stats --no-stream` against the recorder: the same containers, the same machine, in turn.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use sampler::analysis::leak::linear::quantile;

use crate::docker::{CLIENT, CpuCgroup, Docker};
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

/// A way to record.
struct Way {
    name: &'static str,
    options: &'static [&'static str],
    /// Samples of a container in a second.
    rate: f64,
}

const WAYS: [Way; 3] = [
    Way { name: "as it comes, 10 Hz and 1 Hz", options: &[], rate: 10.0 },
    Way {
        name: "the columns of docker stats, all at 10 Hz",
        options: &["--interval=100ms", "--slow-interval=100ms", "--fields=current,max,inactive_file,cpu_usage_us,pids"],
        rate: 10.0,
    },
    Way { name: "all fields at 1 Hz", options: &["--interval=1s"], rate: 1.0 },
];

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
    let version = docker.read(&["version", "-f", "client {{.Client.Version}}, daemon {{.Server.Version}}"])?;
    println!("{version}; {} containers; CPU in us for one container and sample", args.containers);
    let mut ratios = [const { Vec::new() }; WAYS.len()];
    for round in 0..args.rounds {
        let rest = docker.cgroup.cpu_ms()?;
        let begun = Instant::now();
        sleep(Duration::from_secs(5));
        let idle_ms_per_s = (docker.cgroup.cpu_ms()? - rest) / begun.elapsed().as_secs_f64();

        let (daemon, client, begun) = (docker.cgroup.cpu_ms()?, cli.cpu_ms()?, Instant::now());
        for _ in 0..args.calls {
            let status =
                cli.command(CLIENT).args(&socket).args(["stats", "--no-stream"]).stdout(Stdio::null()).status();
            anyhow::ensure!(status.context("start docker stats")?.success(), "docker stats failed");
        }
        // What the daemon does at rest is not the price of a look.
        let daemon = docker.cgroup.cpu_ms()? - daemon - idle_ms_per_s * begun.elapsed().as_secs_f64();
        let theirs = (daemon + cli.cpu_ms()? - client) * 1e3 / (args.calls * args.containers) as f64;

        let mut line = format!("round {round}: docker stats {theirs:.0}");
        for (n, way) in WAYS.iter().enumerate() {
            let out = std::env::temp_dir().join(format!("sampler-stats-{}-{round}-{n}", std::process::id()));
            let mut agent = ours.command(&sampler);
            agent.args(["record", "--cgroup", "/docker/*"]).args(way.options).arg("--out").arg(&out);
            let agent = agent.stderr(Stdio::null()).spawn().context("start sampler")?;
            sleep(Duration::from_secs(4));
            let (before, begun) = (ours.cpu_ms()?, Instant::now());
            sleep(Duration::from_secs(args.seconds));
            let used = ours.cpu_ms()? - before;
            let samples = begun.elapsed().as_secs_f64() * way.rate * args.containers as f64;
            sh::stop(agent)?;
            std::fs::remove_dir_all(&out)?;
            let cost = used * 1e3 / samples;
            line += &format!("; {} {cost:.1}", way.name);
            ratios[n].push(theirs / cost);
        }
        println!("{line}");
    }
    for (way, ratios) in WAYS.iter().zip(ratios) {
        println!("{}: {:.0}x, median of {}", way.name, quantile(&ratios, 0.5), args.rounds);
    }
    Ok(())
}
