//! Storms of OOM kills, beside a neighbour that is killed now and then: whether each is counted, how soon it is recorded, and
//! what the agent's memory does meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sampler::analysis::leak::linear::quantile;
use sampler::journal::follow::Follow;
use sampler::kernel::cgroupfs::layout::{Layout, Version};
use sampler::kernel::oom::log::count;
use sampler::model::event::{Event, EventKind};
use sampler::model::recording::Subject;
use sampler::model::sample::{PassHead, Row, SubjectRef};
use sampler::model::sink::Sink;
use sampler::model::time::mono_ns;
use sampler::store::scan::Recording;

use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Storms, as kills a second and seconds.
    #[arg(long, value_name = "RATE:SECONDS", default_values = ["3:60", "1000:5"], value_parser = storm)]
    storm: Vec<(f64, u64)>,
    /// cgroups below the limit that is hit.
    #[arg(long, default_value_t = 8)]
    cgroups: usize,
    /// Seconds to wait for the last event of a storm.
    #[arg(long, default_value_t = 6)]
    settle: u64,
}

fn storm(text: &str) -> Result<(f64, u64), String> {
    let (rate, seconds) = text.split_once(':').ok_or("give RATE:SECONDS, such as 3:60")?;
    Ok((rate.parse().map_err(|_| "no rate")?, seconds.parse().map_err(|_| "no seconds")?))
}

/// Limit of the pod and of the neighbour, bytes: a process takes more at once.
const LIMIT: usize = 2 << 20;
const TAKES: usize = 8 << 20;
/// Victims that are not waited for yet.
const AT_ONCE: usize = 4;
/// Most that the agent may hold after a storm above what it held before.
const BAR_KIB: i64 = 2 << 10;

/// A cgroup, its path in the recording, and the door into it.
struct Cgroup {
    path: String,
    folder: PathBuf,
    door: File,
}

impl Cgroup {
    fn make(layout: &Layout, path: String, limit: bool) -> anyhow::Result<Cgroup> {
        let folder = layout.memory.join(&path[1..]);
        fs::create_dir(&folder).with_context(|| format!("make {}; run as root", folder.display()))?;
        if limit {
            let file = if layout.version == Version::V1 { "memory.limit_in_bytes" } else { "memory.max" };
            fs::write(folder.join(file), LIMIT.to_string()).with_context(|| format!("limit {}", folder.display()))?;
        }
        let door = OpenOptions::new().write(true).open(folder.join("cgroup.procs")).context("open cgroup.procs")?;
        Ok(Cgroup { path, folder, door })
    }

    /// Kills in it, as the kernel counts them.
    fn kills(&self) -> u64 {
        let v1 = count(&self.folder.join("memory.oom_control"), "oom_kill");
        v1.or_else(|| count(&self.folder.join("memory.events.local"), "oom_kill")).unwrap_or(0)
    }

    /// A process that enters and takes more than it may.
    fn victim(&self) -> anyhow::Result<libc::pid_t> {
        let door = self.door.as_raw_fd();
        // SAFETY: the child makes system calls alone, and allocates nothing before it ends.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: descriptors and a mapping of its own; it never returns.
            unsafe {
                libc::write(door, b"0".as_ptr().cast(), 1);
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
                libc::mmap(std::ptr::null_mut(), TAKES, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
                libc::_exit(0);
            }
        }
        anyhow::ensure!(pid > 0, "fork: {}", std::io::Error::last_os_error());
        Ok(pid)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..200 {
            if fs::remove_dir(&self.folder).is_ok() {
                break;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

fn reap(pid: libc::pid_t) {
    // SAFETY: a child of this process.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

/// Kills that an event stands for: one, or as many as a summary counts.
fn stands_for(what: &EventKind) -> u64 {
    if !matches!(what, EventKind::OomKill(_) | EventKind::MoreOomKills(_)) {
        return 0;
    }
    let json = serde_json::to_value(what).unwrap_or_default();
    let number = |key: &str| json.get(key).and_then(serde_json::Value::as_u64);
    number("count").unwrap_or(1 + number("more").unwrap_or(0))
}

/// Hears the events as they reach the journal.
#[derive(Default)]
struct Ear {
    delays_ms: Vec<f64>,
    under: String,
}

impl Sink for Ear {
    fn subject(&mut self, _: SubjectRef, _: &Subject) {}
    fn forget(&mut self, _: SubjectRef) {}
    fn pass(&mut self, _: PassHead) {}
    fn row(&mut self, _: PassHead, _: &Row) {}
    fn event(&mut self, event: &Event) {
        if stands_for(&event.what) > 0 && event.cgroup.as_deref().is_some_and(|path| path.starts_with(&self.under)) {
            self.delays_ms.push(mono_ns().saturating_sub(event.mono_ns) as f64 / 1e6);
        }
    }
    fn flush(&mut self, _: bool) {}
}

fn rss_kib(pid: u32) -> i64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let sampler = sh::sampler()?;
    let layout = Layout::detect()?;
    let mut failed = false;
    for (rate, seconds) in &args.storm {
        failed |= !one(args, &sampler, &layout, *rate, *seconds)?;
    }
    if failed { bail!("a bar is missed") } else { Ok(()) }
}

fn one(args: &Args, sampler: &Path, layout: &Layout, rate: f64, seconds: u64) -> anyhow::Result<bool> {
    let root = format!("/sampler-storm-{}", std::process::id());
    let top = Cgroup::make(layout, root.clone(), false)?;
    if layout.version == Version::V2 {
        fs::write(top.folder.join("cgroup.subtree_control"), "+memory").context("hand on the memory controller")?;
    }
    let pod = Cgroup::make(layout, format!("{root}/pod"), true)?;
    if layout.version == Version::V2 {
        fs::write(pod.folder.join("cgroup.subtree_control"), "+memory").context("hand on the memory controller")?;
    }
    let neighbour = Cgroup::make(layout, format!("{root}/neighbour"), true)?;
    let leaf = |n: usize| Cgroup::make(layout, format!("{root}/pod/c{n}"), false);
    let leaves: Vec<Cgroup> = (0..args.cgroups).map(leaf).collect::<anyhow::Result<_>>()?;

    let out = std::env::temp_dir().join(format!("sampler-storm-{}-{rate}", std::process::id()));
    let mut agent = Command::new(sampler);
    agent.args(["record", "--no-protect", "--no-alerts", "--no-names", "--cgroup"]).arg(format!("{root}/**"));
    let agent = agent.arg("--out").arg(&out).stderr(Stdio::null()).spawn().context("start the agent")?;
    let ends = Arc::new(AtomicBool::new(false));
    let (listens, journal, under) = (ends.clone(), out.join("journal"), root.clone());
    let ear = thread::spawn(move || {
        let (mut follow, mut ear) = (Follow::new(journal), Ear { under, ..Ear::default() });
        while !listens.load(Ordering::Relaxed) {
            let _ = follow.read(&mut ear, |_, _| ());
            sleep(Duration::from_millis(20));
        }
        ear.delays_ms
    });
    // The probe is loaded and the first rows are written.
    sleep(Duration::from_secs(8));
    let host = || count(Path::new("/proc/vmstat"), "oom_kill").unwrap_or(0);
    let (before, all_before) = (rss_kib(agent.id()), host());
    let begun = Instant::now();
    let (mut waiting, mut started, mut neighbours) = (std::collections::VecDeque::new(), 0usize, 0u64);
    let mut highest = before;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let due = started as f64 / rate;
        let early = due - begun.elapsed().as_secs_f64();
        if early > 0.0 {
            sleep(Duration::from_secs_f64(early.min(0.5)));
            continue;
        }
        waiting.push_back(leaves[started % leaves.len()].victim()?);
        started += 1;
        if begun.elapsed().as_secs() > neighbours {
            neighbours += 1;
            waiting.push_back(neighbour.victim()?);
            highest = highest.max(rss_kib(agent.id()));
        }
        while waiting.len() > AT_ONCE {
            waiting.pop_front().into_iter().for_each(reap);
        }
    }
    waiting.into_iter().for_each(reap);
    let took = begun.elapsed();
    sleep(Duration::from_secs(args.settle));
    let (after, all) = (rss_kib(agent.id()), host() - all_before);
    let cgroups = || leaves.iter().chain([&neighbour, &pod]);
    let truth: BTreeMap<String, u64> = cgroups().map(|cgroup| (cgroup.path.clone(), cgroup.kills())).collect();
    ends.store(true, Ordering::Relaxed);
    let mut delays = ear.join().map_err(|_| anyhow::anyhow!("the thread that follows the journal panicked"))?;
    sh::stop(agent)?;

    let mut recorded: BTreeMap<String, u64> = truth.keys().map(|path| (path.clone(), 0)).collect();
    let mut unplaced = 0;
    for event in Recording::open(&out)?.events(i64::MIN..i64::MAX) {
        let kills = stands_for(&event.event.what);
        match event.event.cgroup.and_then(|path| recorded.get_mut(&path)) {
            Some(sum) => *sum += kills,
            None => unplaced += kills,
        }
    }
    let sum = |of: &BTreeMap<String, u64>| of.values().sum::<u64>();
    println!(
        "storm of {rate} kills/s for {seconds} s: {started} started, {} killed in {} cgroups in {:.1} s ({:.0} a second); {all} on the whole machine",
        sum(&truth),
        truth.values().filter(|kills| **kills > 0).count(),
        took.as_secs_f64(),
        sum(&truth) as f64 / took.as_secs_f64(),
    );
    println!("  recorded in their cgroups {} of {}; elsewhere or unplaced {unplaced}", sum(&recorded), sum(&truth));
    for (path, kills) in truth.iter().filter(|(path, kills)| recorded.get(*path) != Some(kills)) {
        println!("  {path}: the kernel counts {kills}, the recording {}", recorded[path]);
    }
    println!("  agent's resident memory {before} KiB before, {highest} KiB at most meanwhile, {after} KiB after");
    delays.sort_by(f64::total_cmp);
    println!(
        "  from a kill to its event in the journal: median {:.0} ms, longest {:.0} ms, {} events",
        quantile(&delays, 0.5),
        delays.last().copied().unwrap_or(f64::NAN),
        delays.len()
    );
    let _ = fs::remove_dir_all(&out);
    Ok(recorded == truth && after - before <= BAR_KIB && delays.last().is_none_or(|longest| *longest <= 3000.0))
}
