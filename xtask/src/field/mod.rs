//! The field: many containers at the same time, each with trouble of its own or with none, under a real Docker daemon and in one
//! recording; and whether the program reports of each what is true. A case is one service of `data/field/docker-compose.yml` and
//! its truth in `data/field/truth`.

mod check;
mod cron;
mod kernel;
mod reports;
mod stack;
mod truth;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use self::check::{End, Lines, Said, check};
use self::kernel::{Kernel, lock, now};
use self::reports::Reports;
use self::stack::{Stack, data};
use self::truth::Truth;
use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Two minutes of recording instead of sixteen, and no lives of two minutes
    #[arg(long)]
    short: bool,
    /// Instead: a healthy stack with twenty cron jobs for so many minutes, of which nothing is to be reported
    #[arg(long, value_name = "MINUTES", conflicts_with = "short")]
    cron: Option<u64>,
    /// Keep the recording and what was said of it in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Containers that run at the same time, at least.
const TOGETHER: usize = 14;

/// What is done to the containers by hand, and when, seconds after they were started.
const BY_HAND: [(u64, Hand); 4] =
    [(70, Hand::Kill("web")), (75, Hand::Stop("queue")), (85, Hand::Once("flash")), (97, Hand::Once("flash"))];

#[derive(Clone, Copy)]
enum Hand {
    /// `docker kill`.
    Kill(&'static str),
    /// `docker stop`, which waits 3 s.
    Stop(&'static str),
    /// A container that goes away with its end.
    Once(&'static str),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let begun = Instant::now();
    let sampler = sh::sampler()?;
    let home = match &args.keep {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("sampler-field-{}", std::process::id())),
    };
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    let failed = match args.cron {
        Some(minutes) => cron::run(&sampler, &home, minutes),
        None => field(args, &sampler, &home),
    };
    if args.keep.is_none() {
        let _ = fs::remove_dir_all(&home);
    }
    let failed = failed?;
    println!("note took {} s", begun.elapsed().as_secs());
    if failed > 0 {
        bail!("{failed} truths of the field are not reported as they are");
    }
    Ok(())
}

/// Brings it up, records it, and compares. How many truths failed.
fn field(args: &Args, sampler: &std::path::Path, home: &std::path::Path) -> anyhow::Result<usize> {
    let mut stack = Stack::begin(home)?;
    let services = stack.services()?.into_iter().map(|service| Truth::read(&data().join("truth"), &service));
    let mut truths: Vec<Truth> = services.collect::<anyhow::Result<_>>()?;
    truths.retain(|truth| !(args.short && truth.long));
    let kernel = Kernel::watch(&stack.docker)?;
    let out = home.join("recording");
    let reports = Reports::begin(sampler, home, &out, &stack.docker.socket(), kernel.seen(), &truths)?;
    sleep(Duration::from_secs(2));
    stack.make_noise()?;
    let begun = Instant::now();
    stack.up(!args.short)?;
    println!("note {} services, up after {:.0} s", truths.len(), begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let wait = |seconds: u64| sleep(Duration::from_secs(seconds).saturating_sub(begun.elapsed()));
    let running = stack.docker.read(&["ps", "-q"])?.lines().count();
    let before = reports.resident();
    for (second, hand) in BY_HAND {
        wait(second);
        match hand {
            Hand::Kill(service) => stack.docker.read(&["kill", &of(&kernel, service)?]).map(drop)?,
            Hand::Stop(service) => stack.docker.read(&["stop", "-t", "3", &of(&kernel, service)?]).map(drop)?,
            Hand::Once(service) => stack.once(service)?,
        }
    }
    wait(if args.short { 125 } else { 960 });
    let resident = reports.resident();
    // The counters are looked at twenty times a second.
    let storms: Vec<&Truth> = truths.iter().filter(|truth| truth.storm).collect();
    for truth in storms {
        stack.docker.read(&["pause", &of(&kernel, &truth.service)?])?;
    }
    // A loop may be between two lives; the next is not killed within the seconds that are left.
    for truth in truths.iter().filter(|truth| truth.is_loop) {
        let _ = of(&kernel, &truth.service).and_then(|container| stack.docker.read(&["pause", &container]));
    }
    // What was killed until here has to be reported; the recorder has time for it.
    let host_kills = kernel.host_kills()?;
    let until = now();
    sleep(Duration::from_secs(4));
    let reported = reports.end();
    let seen = kernel.seen();
    let mut seen = std::mem::take(&mut *lock(&seen));
    seen.kills.retain(|kill| kill.at <= until);
    println!("note the recorder's resident memory: {} KiB, at the end {} KiB", before >> 10, resident >> 10);
    let longest = reported.lists.iter().copied().fold(0.0, f64::max);
    println!("note {} lists while it recorded, the slowest took {longest:.1} s", reported.lists.len());
    println!("note the probe is {}", if reported.probe { "in place" } else { "missing" });
    let mut size = Command::new("du");
    println!(
        "note the recording: {}",
        sh::read(size.arg("-sh").arg(&out))?.split_whitespace().next().unwrap_or_default()
    );
    let said = Said::of(sampler, &out, &stack.docker.socket())?;
    let mut lines = Lines::default();
    lines.line("all", "containers at the same time", running >= TOGETHER, format!("{running}"));
    let logged = seen.kills.len() as u64;
    let agree = host_kills == logged;
    lines.line("all", "the kernel's log and its count agree", agree, format!("{logged} and {host_kills} kills"));
    check(&End { truths: &truths, seen: &seen, reported: &reported, said: &said }, &mut lines);
    println!("{} passed, {} failed", lines.passed, lines.failed);
    Ok(lines.failed)
}

/// The container of a service that has one.
fn of(kernel: &Kernel, service: &str) -> anyhow::Result<String> {
    let seen = kernel.seen();
    let seen = lock(&seen);
    seen.of(service).next().map(|container| container.id.clone()).with_context(|| format!("no container of {service}"))
}
