//! A guard that is killed at random moments while it raises limits, and leaks of many paces beside it: the next guard sets back what
//! was raised, in the kernel and in Docker, and a leak gets two raises.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::cage::Cage;
use crate::docker::Docker;
use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A tenth of it, for CI: without Docker, and of leaks the fast ones
    #[arg(long)]
    short: bool,
    /// Seed of the moments
    #[arg(long, default_value_t = 18)]
    seed: u64,
}

const KILLS: usize = 50;
/// MiB a second. The limit is [`LIMIT_MIB`]; the slowest begins close to it, because it would take minutes to come there.
const LEAKS: [f64; 7] = [10.0, 7.0, 5.0, 2.0, 1.0, 0.3, 0.1];
/// In the short form so many of them.
const FAST: usize = 4;
const LIMIT_MIB: u64 = 32;
/// Raises that a leak gets.
const RAISES: usize = 2;
/// The next guard sets back what was raised within this time.
const PATIENCE: Duration = Duration::from_secs(15);
/// Of Docker's containers, which grow and are started again at their end.
const CONTAINERS: [&str; 2] = ["swells", "rises"];
/// Grows to some 45 MB, and ends.
const SWELL: &str =
    r#"i=0; while [ $i -lt 900 ]; do i=$((i+1)); eval "v$i=\$(head -c 50000 /dev/zero | tr '\0' x)"; done; sleep 0.5"#;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let sampler = sh::sampler()?;
    let home = std::env::temp_dir().join(format!("sampler-gauntlet-{}", std::process::id()));
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    let verdict = leaks(args, &sampler, &home).and_then(|leaks| {
        let docker = if args.short { None } else { Some(Docker::start()?) };
        Ok((leaks, Rounds::begin(args, &sampler, &home, docker.as_ref())?.run(args)?))
    });
    let _ = fs::remove_dir_all(&home);
    let (raises, counts) = verdict?;
    let is_bad = counts.left > 0 || counts.raised == 0 || raises.values().any(|count| *count != RAISES);
    println!(
        "gauntlet guard: {} SIGKILLs, with {} raised limits in the kernel and {} in Docker at those moments: not set back {}, the slowest took {:.1} s; \
         raises of leaks by MiB a second: {}: {}",
        counts.kills,
        counts.raised,
        counts.raised_in_docker,
        counts.left,
        counts.slowest.as_secs_f64(),
        raises.iter().map(|(rate, count)| format!("{rate}: {count}")).collect::<Vec<_>>().join(", "),
        if is_bad { "FAILED" } else { "held" }
    );
    if is_bad {
        bail!("the guard leaves something behind");
    }
    Ok(())
}

/// A guard of the cgroups of a name.
fn guard(sampler: &Path, out: &Path, cgroup: &str, docker: Option<&Docker>) -> anyhow::Result<Child> {
    let before = segments(out);
    let mut command = Command::new(sampler);
    command.args(["guard", "--apply", "--no-protect", "--probe", "off", "--budget", "1G", "--reserve", "16M"]);
    command.args(["--cgroup", cgroup, "--out"]).arg(out).stderr(Stdio::null());
    if let Some(docker) = docker {
        command.args(["--cgroup", "/docker/*", "--docker-socket"]).arg(docker.socket());
    }
    let guard = command.spawn().context("start sampler")?;
    let begun = Instant::now();
    while segments(out) <= before && begun.elapsed() < PATIENCE {
        sleep(Duration::from_millis(10));
    }
    Ok(guard)
}

/// Segments that were begun so far, by the highest number of a name.
fn segments(out: &Path) -> Option<String> {
    let names = fs::read_dir(out.join("journal")).into_iter().flatten().flatten();
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).max()
}

/// Raises of each leak.
fn leaks(args: &Args, sampler: &Path, home: &Path) -> anyhow::Result<BTreeMap<String, usize>> {
    let name = format!("/gauntlet-{}-leak-", std::process::id());
    let out = home.join("leaks");
    let mut guard = guard(sampler, &out, &format!("{name}*"), None)?;
    let mut cages = Vec::new();
    for rate in &LEAKS[..if args.short { FAST } else { LEAKS.len() }] {
        let mut cage = Cage::make(&format!("{name}{rate}"), LIMIT_MIB)?;
        let from = if *rate < 1.0 { LIMIT_MIB - 4 } else { 1 };
        cage.grow(&["--from", &from.to_string(), "--rate", &rate.to_string(), "--to", "2000"], false)?;
        cages.push((rate.to_string(), cage));
    }
    let begun = Instant::now();
    while !cages.iter_mut().all(|(_, cage)| cage.has_ended()) {
        if begun.elapsed() > Duration::from_secs(900) {
            bail!("a leak is not killed");
        }
        sleep(Duration::from_millis(200));
    }
    // Its journal has the last raise by then; the pages of the kills are not waited for.
    sleep(Duration::from_secs(2));
    guard.kill().context("kill the guard")?;
    guard.wait()?;
    let mut export = Command::new(sampler);
    export.args(["export", "--table", "events", "--format", "jsonl"]).arg(&out);
    let events = sh::read(&mut export)?;
    let events: Vec<Value> = events.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let raises = |path: &str| {
        let is_raise =
            |event: &&Value| event["action"] == "raise" && event["applied"] == true && event["cgroup"] == path;
        events.iter().filter(is_raise).count()
    };
    Ok(cages.iter().map(|(rate, cage)| (rate.clone(), raises(&cage.path))).collect())
}

#[derive(Debug, Default)]
struct Counts {
    kills: usize,
    raised: usize,
    raised_in_docker: usize,
    left: usize,
    slowest: Duration,
}

/// The rounds: loads, a guard that is killed, and the one after it.
struct Rounds<'a> {
    sampler: &'a Path,
    out: PathBuf,
    cgroups: String,
    cages: Vec<(Cage, String)>,
    docker: Option<&'a Docker>,
    in_docker: String,
}

impl<'a> Rounds<'a> {
    fn begin(args: &Args, sampler: &'a Path, home: &Path, docker: Option<&'a Docker>) -> anyhow::Result<Rounds<'a>> {
        let name = format!("/gauntlet-{}-rise-", std::process::id());
        let mut cages = Vec::new();
        for n in 0..if args.short { 3 } else { 5 } {
            let cage = Cage::make(&format!("{name}{n}"), LIMIT_MIB)?;
            let limits = cage.limits();
            cages.push((cage, limits));
        }
        for name in CONTAINERS.iter().filter(|_| docker.is_some()) {
            let limits = ["-m", "32m", "--memory-swap", "48m", "--restart", "always"];
            docker.context("no Docker")?.container(name, &limits, SWELL)?;
        }
        let mut rounds = Rounds {
            sampler,
            out: home.join("kills"),
            cgroups: format!("{name}*"),
            cages,
            docker,
            in_docker: String::new(),
        };
        rounds.in_docker = rounds.docker_limits()?;
        Ok(rounds)
    }

    fn docker_limits(&self) -> anyhow::Result<String> {
        let Some(docker) = self.docker else { return Ok(String::new()) };
        let format = ["inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}"];
        docker.read(&[&format[..], &CONTAINERS].concat())
    }

    fn docker(&self, action: &[&str]) -> anyhow::Result<()> {
        let Some(docker) = self.docker else { return Ok(()) };
        docker.read(&[action, &CONTAINERS].concat()).map(drop)
    }

    fn run(mut self, args: &Args) -> anyhow::Result<Counts> {
        let mut counts = Counts::default();
        let mut dice = fastrand::Rng::with_seed(args.seed);
        for _ in 0..if args.short { KILLS / 10 } else { KILLS } {
            let mut killed = guard(self.sampler, &self.out, &self.cgroups, self.docker)?;
            for (cage, _) in &mut self.cages {
                let rate = dice.u32(4..40).to_string();
                cage.grow(&["--rate", &rate, "--to", "44"], true)?;
            }
            self.docker(&["start"])?;
            sleep(Duration::from_millis(dice.u64(300..4000)));
            killed.kill().context("kill the guard")?;
            killed.wait()?;
            self.look(&mut counts, &mut dice)?;
        }
        Ok(counts)
    }

    /// What stands after the kill, and what the next guard leaves of it.
    fn look(&mut self, counts: &mut Counts, dice: &mut fastrand::Rng) -> anyhow::Result<()> {
        counts.kills += 1;
        counts.raised += self.cages.iter().filter(|(cage, before)| cage.limits() != *before).count();
        let differ =
            |limits: &str| limits.lines().zip(self.in_docker.lines()).filter(|(now, before)| now != before).count();
        counts.raised_in_docker += differ(&self.docker_limits()?);
        // Half of the time the next guard meets what still grows.
        let (before, after) = if dice.bool() { (true, false) } else { (false, true) };
        if before {
            self.stop()?;
        }
        let next = guard(self.sampler, &self.out, &self.cgroups, self.docker)?;
        sleep(Duration::from_millis(dice.u64(0..1500)));
        if after {
            self.stop()?;
        }
        let begun = Instant::now();
        // A limit that it has raised itself stays until it ends.
        while before && self.left()? > 0 && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(100));
        }
        counts.slowest = counts.slowest.max(begun.elapsed());
        if before {
            self.report(counts, "after its start")?;
        }
        sh::stop(next)?;
        self.report(counts, "after its end")
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.cages.iter_mut().for_each(|(cage, _)| cage.stop());
        self.docker(&["stop", "-t", "0"])
    }

    fn left(&self) -> anyhow::Result<usize> {
        let in_kernel = self.cages.iter().filter(|(cage, before)| cage.limits() != *before).count();
        let now = self.docker_limits()?;
        Ok(in_kernel + now.lines().zip(self.in_docker.lines()).filter(|(now, before)| now != before).count())
    }

    fn report(&self, counts: &mut Counts, when: &str) -> anyhow::Result<()> {
        let left = self.left()?;
        let ledger = self.out.join("guard.json");
        if left > 0 || (when == "after its end" && ledger.exists()) {
            counts.left += left.max(1);
            eprintln!("kill {}: {left} limits are not set back {when}", counts.kills);
            for (cage, before) in &self.cages {
                eprintln!("{}: {:?} was {before:?}", cage.path, cage.limits());
            }
            eprintln!(
                "{} was {}\n{}",
                self.docker_limits()?,
                self.in_docker,
                fs::read_to_string(&ledger).unwrap_or_default()
            );
        }
        Ok(())
    }
}
