//! CPU, memory and jitter of the agent, in turn with the floor.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;
use sampler::analysis::leak::linear::quantile;
use sampler::kernel::cgroupfs::layout::Layout;
use serde_json::json;

use super::forest::Forest;
use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Numbers of cgroups.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 500])]
    cgroups: Vec<usize>,
    /// Rounds of floor and agent in turn; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that are measured in each round.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// With everything on: the burst rate, its rings, and the processes of what grows.
    #[arg(long)]
    burst: bool,
    /// Also write the raw figures to this file.
    #[arg(long)]
    raw: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct RateArgs {
    #[arg(long, default_value_t = 100)]
    cgroups: usize,
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// Time before measuring: opening, learning, first pages.
const WARM_UP: Duration = Duration::from_secs(4);

/// CPU time by thread name, nanoseconds.
fn threads(pid: u32) -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let time = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let time = time.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        *times.entry(name.trim().to_owned()).or_default() += time;
    }
    times
}

/// CPU time of children that ended, nanoseconds; in clock ticks, so only a long run shows it well.
fn children(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    (ticks(13) + ticks(14)) * 10_000_000
}

struct Cpu {
    sampling: f64,
    all: f64,
}

/// CPU milliseconds a second between two looks.
fn measure(pid: u32, seconds: u64, sampling: &[&str]) -> Cpu {
    let look = || (threads(pid), children(pid));
    let before = look();
    sleep(Duration::from_secs(seconds));
    let after = look();
    let sum = |times: &BTreeMap<String, u64>, of: &dyn Fn(&str) -> bool| -> u64 {
        times.iter().filter(|(name, _)| of(name)).map(|(_, time)| *time).sum()
    };
    let per_s = |ns: u64| ns as f64 / 1e6 / seconds as f64;
    let rise = |of: &dyn Fn(&str) -> bool| sum(&after.0, of).saturating_sub(sum(&before.0, of));
    Cpu {
        sampling: per_s(rise(&|name| sampling.is_empty() || sampling.contains(&name))),
        all: per_s(rise(&|_| true) + after.1.saturating_sub(before.1)),
    }
}

fn record(sampler: &Path, out: &Path, more: &[&str]) -> anyhow::Result<Child> {
    Command::new(sampler)
        .args(["record", "--out"])
        .arg(out)
        .args(more)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start sampler")
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let sampler = sh::sampler()?;
    let layout = Layout::detect()?;
    let mut raw = Vec::new();
    println!("10 Hz fast files, 1 Hz slow files; CPU in ms a second, median of {} rounds\n", args.rounds);
    println!(
        "| cgroups | floor | sampling threads | ratio | whole agent | ratio | RSS |\n|---|---|---|---|---|---|---|"
    );
    for &n in &args.cgroups {
        let forest = Forest::grow(&layout, n)?;
        let (mut floors, mut sampling, mut all, mut rss) = (vec![], vec![], vec![], 0);
        for round in 0..args.rounds {
            let mut floor = Command::new(std::env::current_exe()?)
                .args(["bench", "floor", "--interval-ms", "100", "--seconds", "1000"])
                .args(forest.paths())
                .spawn()?;
            sleep(WARM_UP);
            let base = measure(floor.id(), args.seconds, &[]);
            floor.kill()?;
            floor.wait()?;

            let out = std::env::temp_dir().join(format!("{}-{round}", forest.name));
            // Sealed within each round, as often as a bare minute of recording would pay for in hours.
            let seal = format!("{}s", args.seconds);
            let glob = forest.glob();
            let mut options = vec!["--cgroup", &glob, "--seal-every", &seal];
            if args.burst {
                options.extend(["--burst", "1ms"]);
            }
            let agent = record(&sampler, &out, &options)?;
            sleep(WARM_UP);
            let cost = measure(agent.id(), args.seconds, &["sampler-fast", "sampler-slow"]);
            rss = rss.max(resident(agent.id()));
            sh::stop(agent)?;
            fs::remove_dir_all(&out)?;
            raw.push(json!({"cgroups": n, "round": round, "floor_ms_per_s": base.sampling, "sampling_ms_per_s": cost.sampling, "agent_ms_per_s": cost.all, "rss_bytes": rss}));
            floors.push(base.sampling);
            sampling.push(cost.sampling / base.sampling);
            all.push(cost.all / base.sampling);
        }
        let floor = quantile(&floors, 0.5);
        let (sampling, all) = (quantile(&sampling, 0.5), quantile(&all, 0.5));
        println!(
            "| {n} | {floor:.2} | {:.2} | **{sampling:.2}** | {:.2} | **{all:.2}** | {:.1} MiB |",
            floor * sampling,
            floor * all,
            rss as f64 / 1048576.0
        );
    }
    if let Some(path) = &args.raw {
        fs::write(path, serde_json::to_string_pretty(&raw)?)?;
    }
    Ok(())
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

pub fn rate(args: &RateArgs) -> anyhow::Result<()> {
    let sampler = sh::sampler()?;
    let layout = Layout::detect()?;
    let forest = Forest::grow(&layout, args.cgroups)?;
    let out = std::env::temp_dir().join(format!("{}-rate", forest.name));
    let agent = record(&sampler, &out, &["--cgroup", &forest.glob(), "--interval", "1ms", "--fields", "current"])?;
    sleep(WARM_UP);
    let cost = measure(agent.id(), args.seconds, &["sampler-fast"]);
    sh::stop(agent)?;
    let csv = sh::read(
        Command::new(&sampler)
            .args(["export", "--fields", "current", "--cgroup", &format!("/{}/c000", forest.name)])
            .arg(&out),
    )?;
    let info = sh::read(Command::new(&sampler).args(["info", "--json"]).arg(&out))?;
    let info: serde_json::Value = serde_json::from_str(&info)?;
    let micros = |line: &str| {
        let time = line.split(',').nth(2)?;
        sampler::model::time::parse_time(time).ok()
    };
    let mut times: Vec<i64> = csv.lines().filter_map(micros).collect();
    times.sort_unstable();
    let mut gaps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable();
    let at = |part: f64| gaps.get(((gaps.len() - 1) as f64 * part) as usize).copied().unwrap_or(0);
    println!(
        "{} cgroups at 1 kHz, memory.current: {} passes, fast thread {:.1} ms/s; between passes p50 {} us, p99 {} us, p99.9 {} us, max {} us; events {}",
        args.cgroups,
        times.len(),
        cost.sampling,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        info["events"]
    );
    fs::remove_dir_all(&out)?;
    Ok(())
}
