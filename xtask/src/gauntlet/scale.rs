//! More cgroups than there are open files for: each of them has its rows, and all the rest goes on working.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::agent::{Agent, find};
use super::forest::Forest;
use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// 1,500 cgroups and 3,000 open files instead of 10,000 and 20,000, for CI
    #[arg(long)]
    short: bool,
}

/// Where the metrics are served.
const METRICS: &str = "127.0.0.1:19464";
/// A segment is sealed this often, and the oldest go above this size.
const RECORD: [&str; 10] =
    ["--interval", "200ms", "--probe", "off", "--seal-every", "10s", "--max-disk", "40M", "--metrics", METRICS];

pub fn run(args: &Args) -> anyhow::Result<()> {
    let sampler = sh::sampler()?;
    let home = std::env::temp_dir().join(format!("sampler-gauntlet-{}", std::process::id()));
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    let verdict = scale(args, &sampler, &home);
    let _ = fs::remove_dir_all(&home);
    verdict
}

fn scale(args: &Args, sampler: &Path, home: &Path) -> anyhow::Result<()> {
    let (count, files, seconds) = if args.short { (1500, 3000, 25) } else { (10_000, 20_000, 90) };
    let forest = Forest::plant()?;
    for n in 0..count {
        forest.make(&format!("c{n:05}"))?;
    }
    let out = home.join("scale");
    let agent = Agent::start(sampler, &out, &RECORD, Some(files))?;
    sleep(Duration::from_secs(seconds));
    let metrics = metrics()?;
    let served = metrics
        .lines()
        .filter(|line| line.starts_with("container_memory_usage_bytes{") && line.contains("/gauntlet-"))
        .count();
    let figures = agent.figures()?;
    let status = agent.stop()?;
    let sealed = find(&out, &|name| name.ends_with(".parquet")).len();
    let bytes: u64 = find(&out, &|_| true).iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum();

    let mut info = Command::new(sampler);
    let info: Value = serde_json::from_str(&sh::read(info.args(["info", "--json"]).arg(&out))?)?;
    let cgroups = info["cgroups"].as_array().context("no cgroups in info")?;
    let prefix = format!("/{}/", forest.name);
    let ours = || cgroups.iter().filter(|cgroup| cgroup["path"].as_str().is_some_and(|path| path.starts_with(&prefix)));
    let with_rows = ours().filter(|cgroup| cgroup["rows"].as_u64().unwrap_or(0) > 0).count();
    let least = ours().filter_map(|cgroup| cgroup["rows"].as_u64()).min().unwrap_or(0);
    let mut export = Command::new(sampler);
    let events = sh::read(export.args(["export", "--table", "events", "--format", "jsonl"]).arg(&out))?;
    let is_turn = |line: &&str| line.contains("\"rate_changed\"") && line.contains("no open files are left");
    let in_turns = events.lines().filter(is_turn).count();
    let is_bad = with_rows < count || sealed == 0 || served < count || in_turns == 0 || !status.success();
    println!(
        "gauntlet scale: {count} cgroups, a hard limit of {files} open files, {seconds} s: with rows {with_rows}, the fewest {least}; read in turns {in_turns}, as recorded; \
         sealed files {sealed}, {} MiB on disk; in the metrics {served}; the recorder had {} files open, {} MiB of its own, {:.1} s of CPU, and ended with {status}: {}",
        bytes >> 20,
        figures.files,
        figures.memory_kib >> 10,
        figures.cpu.as_secs_f64(),
        if is_bad { "FAILED" } else { "held" }
    );
    if is_bad {
        bail!("not all of {count} cgroups are recorded");
    }
    Ok(())
}

fn metrics() -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(METRICS).context("connect to the metrics")?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).context("read the metrics")?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
