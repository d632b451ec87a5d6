//! The limits that `advise` gives, tried: workloads run without a limit and recorded, advice is taken of the recording, and they
//! run again under it, with other noise. The kernel's own OOM killer says whether it was enough.

mod workload;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, thread};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use workload::{SHAPES, Shape};

use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many workloads.
    #[arg(long, default_value_t = 20)]
    count: usize,
    /// Length of each run, seconds.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// How many at a time.
    #[arg(long, default_value_t = 2)]
    together: usize,
    /// The program [default: a release build].
    #[arg(long, value_name = "FILE")]
    sampler: Option<PathBuf>,
    /// Write the figures here, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Be the workload of this number.
    #[arg(long, hide = true)]
    child: Option<usize>,
    /// Of the noise.
    #[arg(long, hide = true, default_value_t = 1)]
    seed: u64,
    /// Where the workload says what it held.
    #[arg(long, hide = true)]
    peak_file: Option<PathBuf>,
}

/// One workload, run twice.
#[derive(Debug)]
struct Replay {
    shape: Shape,
    number: usize,
    /// What it held at most, counted by itself, in the run that was recorded and in the one under the limit; bytes.
    peaks: [u64; 2],
    /// Highest working set as `advise` saw it.
    seen: u64,
    limit: u64,
    state: String,
    killed: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(number) = args.child {
        let peak_file = args.peak_file.as_deref().context("--child without --peak-file")?;
        return workload::live(number, args.seconds, args.seed, peak_file);
    }
    let sampler = match &args.sampler {
        Some(sampler) => sampler.clone(),
        None => sh::sampler()?,
    };
    let home = std::env::temp_dir().join(format!("sampler-replay-{}", std::process::id()));
    fs::create_dir_all(&home)?;
    let numbers: Vec<usize> = (0..args.count).collect();
    let mut replays = Vec::new();
    for some in numbers.chunks(args.together.max(1)) {
        let threads: Vec<_> = some
            .iter()
            .map(|&number| {
                let (sampler, home, seconds) = (sampler.clone(), home.clone(), args.seconds);
                thread::spawn(move || replay(&sampler, &home, number, seconds))
            })
            .collect();
        for thread in threads {
            let replay = thread.join().map_err(|_| anyhow::anyhow!("a replay panicked"))??;
            println!("{}", words(&replay));
            replays.push(replay);
        }
    }
    fs::remove_dir_all(&home)?;
    report(&replays, args)
}

fn replay(sampler: &Path, home: &Path, number: usize, seconds: f64) -> anyhow::Result<Replay> {
    let home = home.join(number.to_string());
    fs::create_dir_all(&home)?;
    let record = home.join("free");
    let (code, free) = live(sampler, &home, &record, number, seconds, 1, None)?;
    if code != Some(0) {
        bail!("workload {number} without a limit ended with {code:?}");
    }
    let advice =
        sh::read(Command::new(sampler).arg("advise").arg(&record).args(["--all", "--json", "--min-watch", "1s"]))?;
    let advice: Value = serde_json::from_str(&advice).context("read the advice")?;
    let containers = advice["containers"].as_array().context("no containers in the advice")?;
    // Of others on the machine no more than a kill is known.
    let sampled: Vec<&Value> = containers.iter().filter(|container| container["peak"].is_u64()).collect();
    let [own] = sampled.as_slice() else { bail!("workload {number}: advice for {} cgroups", sampled.len()) };
    let bytes = |key: &str| own[key].as_u64().with_context(|| format!("workload {number}: no {key} in {own}"));
    let (limit, seen) = (bytes("after")?, bytes("peak")?);
    let (code, limited) = live(sampler, &home, &home.join("limited"), number, seconds, 2, Some(limit))?;
    Ok(Replay {
        shape: SHAPES[number % SHAPES.len()],
        number,
        peaks: [free, limited],
        seen,
        limit,
        state: own["state"].as_str().unwrap_or_default().to_owned(),
        killed: code != Some(0),
    })
}

/// Runs a workload in a cgroup of its own under the recorder; its exit code and what it held at most.
fn live(
    sampler: &Path,
    home: &Path,
    record: &Path,
    number: usize,
    seconds: f64,
    seed: u64,
    limit: Option<u64>,
) -> anyhow::Result<(Option<i32>, u64)> {
    let peak_file = home.join(format!("peak-{seed}"));
    let mut command = Command::new(sampler);
    command.args(["run", "--no-names", "--slow-interval", "1s", "--out"]).arg(record);
    if let Some(limit) = limit {
        command.args(["--memory-max", &limit.to_string()]);
    }
    command.arg("--").arg(std::env::current_exe()?).args(["replay", "--child", &number.to_string()]);
    command.args(["--seconds", &seconds.to_string(), "--seed", &seed.to_string(), "--peak-file"]).arg(&peak_file);
    let output = command.output().context("start sampler run")?;
    let code = output.status.code();
    let peak = fs::read_to_string(&peak_file).unwrap_or_default().trim().parse().unwrap_or(0);
    if code != Some(0) && code != Some(137) {
        bail!("sampler run ended with {code:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok((code, peak))
}

/// The limit over what the workload held at most, counted by itself: what the limit leaves unused.
fn slack(replay: &Replay) -> f64 {
    replay.limit as f64 / replay.peaks[0] as f64 - 1.0
}

fn words(replay: &Replay) -> String {
    let mib = |bytes: u64| bytes as f64 / 1048576.0;
    format!(
        "{:2} {:12} held {:6.1} MiB, seen {:6.1}, advised {:4.0} ({}), slack {:5.1} %: {}",
        replay.number,
        replay.shape.name(),
        mib(replay.peaks[0]),
        mib(replay.seen),
        mib(replay.limit),
        replay.state,
        100.0 * slack(replay),
        if replay.killed { "KILLED" } else { "lives" }
    )
}

fn report(replays: &[Replay], args: &Args) -> anyhow::Result<()> {
    let mut slacks: Vec<f64> = replays.iter().map(slack).collect();
    slacks.sort_by(f64::total_cmp);
    let median = slacks.get(slacks.len() / 2).copied().context("no replay")?;
    let killed = replays.iter().filter(|replay| replay.killed).count();
    println!(
        "{} replays of {} s: {killed} killed; slack {:.1} to {:.1} %, median {:.1} % (bars: none killed, median 25 %)",
        replays.len(),
        args.seconds,
        100.0 * slacks[0],
        100.0 * slacks[slacks.len() - 1],
        100.0 * median
    );
    if let Some(path) = &args.out {
        let list: Vec<Value> = replays
            .iter()
            .map(|r| {
                json!({"workload": r.number, "shape": r.shape.name(), "held": r.peaks, "seen": r.seen, "limit": r.limit,
                       "state": r.state, "slack": slack(r), "killed": r.killed})
            })
            .collect();
        let all = json!({"seconds": args.seconds, "killed": killed, "median_slack": median, "replays": list});
        fs::write(path, serde_json::to_string_pretty(&all)? + "\n")
            .with_context(|| format!("write {}", path.display()))?;
    }
    if killed > 0 || median > 0.25 {
        bail!("a bar is missed");
    }
    Ok(())
}
