//! The kernel probe: its walk against reads of the same fields, and what it costs those who are watched.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sampler::kernel::cgroupfs::handle::{BUFFER, Handle};
use sampler::kernel::cgroupfs::layout::Layout;
use sampler::kernel::cgroupfs::plan::Plan;
use sampler::kernel::probe::walk::{Taken, Walker};
use sampler::kernel::probe::{AttachMethod, Probe};
use sampler::model::sample::{PassKind, Row};
use sampler::model::time::thread_cpu_ns;

use super::forest::Forest;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// cgroups of the comparison of the walk with the files.
    #[arg(long, default_value_t = 200)]
    cgroups: usize,
    /// cgroups that are walked at 1 kHz.
    #[arg(long, default_value_t = 100)]
    fast: usize,
    /// Rounds with and without the probe in turn (of the reading of files at most 9); the median counts.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// Seconds at 1 kHz.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    sampler::record::protect::raise_descriptors();
    let layout = Layout::detect()?;
    for (name, tries) in WAYS {
        println!("{name}:");
        match Probe::load_by(&layout, tries)?.take_walker("walk") {
            None => println!("  SKIPPED: this kernel does not have it"),
            Some(_) => {
                walk_and_files(&layout, args, tries)?;
                kilohertz(&layout, args, tries)?;
            }
        }
    }
    watched(&layout, args)
}

/// Both ways to walk; the first one that a kernel has is the one that is used.
const WAYS: [(&str, Tries); 2] = [
    ("without a lock", |method| !matches!(method, AttachMethod::CgroupIterator(_))),
    ("iterator", |method| !matches!(method, AttachMethod::OpenWalk(_))),
];
type Tries = fn(AttachMethod) -> bool;

fn walker(probe: &mut Probe) -> anyhow::Result<Walker> {
    match probe.take_walker("walk") {
        Some(walker) => Ok(walker),
        None => bail!("no walk on this kernel: {:?}", probe.attached.last().map(|job| &job.refused)),
    }
}

/// CPU time of a pass over the cgroups by the walk, and by `pread` of the files with the same fields.
fn walk_and_files(layout: &Layout, args: &Args, tries: Tries) -> anyhow::Result<()> {
    let forest = Forest::grow(layout, args.cgroups)?;
    let mut probe = Probe::load_by(layout, tries)?;
    let mut walker = walker(&mut probe)?;
    let fields: Vec<_> = walker.fields().collect();
    let mut plan = Plan::cgroups(PassKind::Full, layout, &fields);
    let mut handles: Vec<Handle> = forest.paths().map(|path| Handle::cgroup(&plan, layout, &path)).collect();
    let (mut row, mut buffer, mut held) = (Row::new(1), vec![0; BUFFER], 0);
    let passes = 50;
    let (mut bare, mut parsed, mut walked) = (vec![], vec![], vec![]);
    let mut rows = 0;
    for round in 0..=args.rounds.min(9) {
        let cpu = |work: &mut dyn FnMut()| {
            let begun = thread_cpu_ns();
            (0..passes).for_each(|_| work());
            (thread_cpu_ns() - begun) as f64 / passes as f64 / args.cgroups as f64
        };
        let a = cpu(&mut || handles.iter().for_each(|handle| handle.touch(&mut buffer)));
        let b = cpu(&mut || {
            for handle in &mut handles {
                row.mask = 0;
                handle.read(&mut plan, &mut buffer, &mut row);
                black_box(&row);
            }
        });
        let c = cpu(&mut || {
            let taken = walker.take(|walker, seen| {
                row.mask = 0;
                walker.fill(seen, &mut row);
                black_box(&row);
            });
            let taken: Taken = taken.unwrap_or_default();
            (rows, held) = (taken.rows, held.max(taken.held_ns));
        });
        // The first round warms up.
        if round > 0 {
            (bare.push(a), parsed.push(b), walked.push(c))
        } else {
            ((), (), ())
        };
    }
    let (bare, parsed, walked) = (median(&mut bare), median(&mut parsed), median(&mut walked));
    println!(
        "  walk: {} cgroups ({rows} in the tree), {} fields in {} files: walk {walked:.0} ns a cgroup, bare pread {bare:.0}, pread and parse {parsed:.0}; \
         ratio {:.3} of bare, {:.3} of parsed (bar 0.200); lock held for at most {} us",
        args.cgroups,
        fields.len(),
        plan.files.len(),
        walked / bare,
        walked / parsed,
        held / 1000
    );
    Ok(())
}

/// A thousand walks a second over the fast fields: CPU, and how late each is; and the same loop without a walk, in turns of a second,
/// because a machine that wakes nobody in time makes everybody late.
fn kilohertz(layout: &Layout, args: &Args, tries: Tries) -> anyhow::Result<()> {
    let _forest = Forest::grow(layout, args.fast)?;
    let mut probe = Probe::load_by(layout, tries)?;
    let mut walker = walker(&mut probe)?;
    let fast = Plan::cgroups(PassKind::Fast, layout, &[]);
    walker.keep(|slot| fast.has(slot));
    let names: Vec<_> = walker.fields().map(|id| id.field().column).collect();
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let mut row = Row::new(1);
    let (mut walks, mut sleeps) = (Ticks::default(), Ticks::default());
    for _ in 0..args.seconds {
        walks.second(|| {
            walker.take(|walker, seen| {
                row.mask = 0;
                walker.fill(seen, &mut row);
                black_box(&row);
            })?;
            Ok(())
        })?;
        sleeps.second(|| Ok(()))?;
    }
    println!(
        "  1 kHz: {} cgroups, {} walks for {}: {walks} (bars 10 %, p99.9 1000 us); sleeping alone: {sleeps}; the walk over that {:.1} %",
        args.fast,
        walks.late.len(),
        names.join(" "),
        walks.used() - sleeps.used(),
    );
    Ok(())
}

/// A thousand ticks a second.
#[derive(Default)]
struct Ticks {
    late: Vec<u64>,
    cpu_ns: u64,
    wall_ns: u64,
}

impl Ticks {
    fn second(&mut self, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.late.reserve(1024);
        let (begun, cpu) = (Instant::now(), thread_cpu_ns());
        let mut next = begun;
        while begun.elapsed() < Duration::from_secs(1) {
            next += Duration::from_millis(1);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            self.late.push(next.elapsed().as_nanos() as u64 / 1000);
            work()?;
        }
        self.cpu_ns += thread_cpu_ns() - cpu;
        self.wall_ns += begun.elapsed().as_nanos() as u64;
        Ok(())
    }

    /// Percent of a core.
    fn used(&self) -> f64 {
        self.cpu_ns as f64 / self.wall_ns as f64 * 100.0
    }
}

impl std::fmt::Display for Ticks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut late = self.late.clone();
        late.sort_unstable();
        let at = |part: f64| late.get((late.len().saturating_sub(1) as f64 * part) as usize).copied().unwrap_or(0);
        let [p50, p99, p999, most] = [0.5, 0.99, 0.999, 1.0].map(at);
        write!(f, "{:.1} % of a core, late by p50 {p50} us, p99 {p99}, p99.9 {p999}, most {most}", self.used())
    }
}

/// A micro-benchmark of somebody who is watched: what it counts, and its CPU time for one of them.
type Work<'a> = (&'static str, Box<dyn Fn() -> anyhow::Result<f64> + 'a>);

/// What the watched pay: page faults, forks, and the making of cgroups. First by the kernel's own account of the time of the probe's
/// programs, then with the probe and without in turn; the latter is as exact as the machine is quiet.
fn watched(layout: &Layout, args: &Args) -> anyhow::Result<()> {
    let folder = layout.memory.join(format!("sampler-bench-cost-{}", std::process::id()));
    fs::create_dir(&folder).with_context(|| format!("make {}; run as root", folder.display()))?;
    let _gone = Gone(&folder);
    let works: [Work; 3] = [
        ("page faults, CPU us a MiB", Box::new(page_faults)),
        ("fork and wait, CPU us", Box::new(fork_and_wait)),
        ("mkdir and rmdir of a cgroup, us", Box::new(|| make_and_remove(&folder, 100))),
    ];
    accounted(layout, &works)?;
    let mut pairs: [Pair; 4] = Default::default();
    for round in 0..=args.rounds {
        // Who goes first changes, so that a drift of the machine hits both.
        for on in [round % 2 == 0, round % 2 == 1] {
            let mut probe = if on { Some(Probe::load(layout)?) } else { None };
            // Loading leaves cold caches and frees to come: both sides begin from rest.
            std::thread::sleep(Duration::from_millis(200));
            let all = || works.iter().map(|(_, work)| work()).collect::<anyhow::Result<Vec<f64>>>();
            all()?;
            let mut times = all()?;
            let walker = probe.as_mut().map(walker).transpose()?;
            times.push(beside_walks(walker, || make_and_remove(&folder, 100))?);
            if round > 0 {
                pairs.iter_mut().zip(times).for_each(|(pair, time)| pair.add(on, time));
            }
        }
    }
    let names = works.iter().map(|(name, _)| *name).chain(["mkdir and rmdir of a cgroup beside walks at 1 kHz, us"]);
    names.zip(&pairs).for_each(|(name, pair)| println!("{name}: {pair}"));
    Ok(())
}

/// The share of the probe's programs in the CPU time, by the kernel's account.
fn accounted(layout: &Layout, works: &[Work]) -> anyhow::Result<()> {
    let probe = Probe::load(layout)?;
    let _counts = Probe::take_time()?;
    let cpu = || thread_cpu_ns() as f64 / 1e3 + children_us();
    for (name, work) in works {
        let ((runs, time), begun) = (probe.ran(), cpu());
        for _ in 0..5 {
            work()?;
        }
        let used = cpu() - begun;
        let (more_runs, more_time) = probe.ran();
        let us = (more_time - time).as_secs_f64() * 1e6;
        println!(
            "{name}: the programs ran {} times for {us:.0} of {used:.0} us, ratio {:.4} (bar 1.02)",
            more_runs - runs,
            used / (used - us)
        );
    }
    Ok(())
}

/// Times something while the cgroups are walked a thousand times a second, if there is a walker.
fn beside_walks(walker: Option<Walker>, time: impl FnOnce() -> anyhow::Result<f64>) -> anyhow::Result<f64> {
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        if let Some(mut walker) = walker {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = walker.take(|_, _| {});
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        let time = time();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        time
    })
}

/// Times without and with.
#[derive(Default)]
struct Pair {
    off: Vec<f64>,
    on: Vec<f64>,
}

impl Pair {
    fn add(&mut self, on: bool, time: f64) {
        if on { self.on.push(time) } else { self.off.push(time) }
    }
}

impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (off, on) = (median(&mut self.off.clone()), median(&mut self.on.clone()));
        // The median of the ratios of neighbours: a slow minute of the machine is in both.
        let mut ratios: Vec<f64> = self.on.iter().zip(&self.off).map(|(on, off)| on / off).collect();
        write!(f, "without {off:.2}, with {on:.2}, ratio {:.3}", median(&mut ratios))
    }
}

struct Gone<'a>(&'a Path);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.0);
    }
}

/// CPU microseconds a MiB of fresh pages.
fn page_faults() -> anyhow::Result<f64> {
    const SIZE: usize = 32 << 20;
    let begun = thread_cpu_ns();
    for _ in 0..2 {
        let mut memory: Vec<u8> = Vec::with_capacity(SIZE);
        let start = memory.as_mut_ptr();
        for at in (0..SIZE).step_by(4096) {
            // SAFETY: within the capacity.
            unsafe { start.add(at).write_volatile(1) };
        }
    }
    Ok((thread_cpu_ns() - begun) as f64 / 1e3 / (2 * (SIZE >> 20)) as f64)
}

/// CPU microseconds a process, of the parent and the child.
fn fork_and_wait() -> anyhow::Result<f64> {
    let cpu = || thread_cpu_ns() as f64 / 1e3 + children_us();
    let begun = cpu();
    for _ in 0..50 {
        Command::new("/bin/true").status().context("start /bin/true")?;
    }
    Ok((cpu() - begun) / 50.0)
}

/// CPU time of the children that ended, microseconds.
fn children_us() -> f64 {
    // SAFETY: the kernel fills all of it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let us = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    us(usage.ru_utime) + us(usage.ru_stime)
}

/// Microseconds a cgroup.
fn make_and_remove(folder: &Path, n: u32) -> anyhow::Result<f64> {
    let begun = Instant::now();
    for i in 0..n {
        let path = folder.join(i.to_string());
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        fs::remove_dir(&path).with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(n))
}
