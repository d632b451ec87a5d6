//! The cost of `sampler analyze` on a day of a hundred cgroups, against DuckDB reading the same columns of the same files.

pub mod life;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use anyhow::Context;
use sampler::analysis::leak::track;
use sampler::analysis::pressure;
use sampler::journal::writer::{Owner, Rotation, Writer};
use sampler::model::event::{Event, EventKind};
use sampler::model::evidence::{Constraint, OomKill, WitnessKind};
use sampler::model::recording::{Origin, Subject};
use sampler::model::sample::{PassHead, PassKind, Row};
use sampler::model::sink::Sink;
use sampler::model::time::Anchor;
use sampler::store::seal::seal;

use self::life::Life;
use super::made::Made;
use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Hours of the recording.
    #[arg(long, default_value_t = 24)]
    hours: u64,
    #[command(flatten)]
    made: Made,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let target = sh::target();
    let dir = target.join(format!("bench-day-{}h-{}", args.hours, args.made.cgroups));
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    if !dir.join("done").exists() {
        if cfg!(debug_assertions) {
            // Ten times as fast with optimisation.
            let task = ["run", "--quiet", "--release", "--package", "xtask", "--", "bench", "day", "--make"];
            let size = [format!("--hours={}", args.hours), format!("--cgroups={}", args.made.cgroups)];
            sh::run(Command::new("cargo").args(task).args(size).current_dir(sh::root()))?;
        } else {
            make(&dir, args)?;
        }
    }
    if args.made.only {
        println!("{}", dir.display());
        return Ok(());
    }
    let sampler = sh::sampler()?;
    let columns: Vec<&str> = track::FIELDS.iter().chain(&pressure::FIELDS).map(|id| id.field().column).collect();
    sh::run(
        Command::new("python3")
            .arg(sh::root().join("xtask/src/bench/day/compare.py"))
            .arg(&sampler)
            .arg(&dir)
            .args([args.made.rounds.to_string(), columns.join(",")]),
    )
}

/// Begin of the day: 2026-11-24T00:00:00Z.
const BEGIN_NS: u64 = 1_795_478_400_000_000_000;
/// Uptime at its begin.
pub const UPTIME_NS: u64 = 86_400_000_000_000;
thread_local! {
    /// The time that this thread writes, nanoseconds since the begin.
    pub static NOW_NS: Cell<u64> = const { Cell::new(0) };
}

pub fn clock() -> Anchor {
    let now = NOW_NS.get();
    Anchor { mono_ns: UPTIME_NS + now, wall_ns: BEGIN_NS + now }
}

/// Of the machine that the rows are of, as a segment begins.
pub fn origin() -> Origin {
    Origin {
        format: 0,
        host: "bench".into(),
        boot_id: "00000000-0000".into(),
        kernel: "6.12.0".into(),
        wsl: None,
        hierarchy: "v2".into(),
        agent: env!("CARGO_PKG_VERSION").into(),
        cpus: 8,
        page_size: 4096,
        interval_us: 100_000,
        slow_interval_us: 1_000_000,
        anchor: clock(),
    }
}

/// Keeps the segments for the sealer.
struct Keeper(Sender<PathBuf>);

impl Owner for Keeper {
    fn finished(&mut self, segment: PathBuf) {
        let _ = self.0.send(segment);
    }

    fn make_room(&mut self) -> bool {
        false
    }
}

/// Writes the day as an agent would: every row through the journal, every segment sealed. Each hour for itself, so that two
/// processors share the work, and what was stopped goes on with the hour it was in.
fn make(dir: &Path, args: &Args) -> anyhow::Result<()> {
    let begun = Instant::now();
    let made = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let made = &made;
                scope.spawn(move || -> anyhow::Result<()> {
                    let mut lives: Vec<Life> =
                        (0..args.made.cgroups).map(|n| Life::new(n, args.hours as f64)).collect();
                    for hour in 0..args.hours {
                        let mark = dir.join(format!("hour-{hour:02}"));
                        if hour % 2 != worker || mark.exists() {
                            (hour * 36_000..(hour + 1) * 36_000).for_each(|tick| {
                                for life in &mut lives {
                                    life.tick(tick as f64 / 10.0);
                                }
                            });
                            continue;
                        }
                        write(dir, hour, &mut lives)?;
                        fs::write(&mark, "").with_context(|| format!("write {}", mark.display()))?;
                        let (made, seconds) = (made.fetch_add(1, Ordering::Relaxed) + 1, begun.elapsed().as_secs());
                        eprintln!("making {} h below {}: {made} h in {seconds} s", args.hours, dir.display());
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    fs::write(dir.join("done"), "").with_context(|| format!("write {}", dir.display()))
}

/// Writes and seals an hour.
fn write(dir: &Path, hour: u64, lives: &mut [Life]) -> anyhow::Result<()> {
    let first = hour * 36_000;
    NOW_NS.set(first * 100_000_000);
    let origin = origin();
    let journal = dir.join(format!("journal-{hour:02}"));
    let _ = fs::remove_dir_all(&journal);
    let (segments, inbox) = channel();
    let mut writer = Writer::create_at(&journal, origin, Rotation::default(), Box::new(Keeper(segments)), clock)
        .with_context(|| format!("begin a journal in {}", journal.display()))?;
    for (n, life) in lives.iter().enumerate() {
        let subject = Subject { cgroup: life.path.clone(), id: life.id, process: None };
        writer.subject(n as u32 + 1, &subject);
    }
    let mut dice = fastrand::Rng::with_seed(hour);
    let mut row = Row::new(0);
    for tick in first..first + 36_000 {
        let time_ns = tick * 100_000_000 + dice.u64(0..60_000);
        NOW_NS.set(time_ns);
        let mut killed = Vec::new();
        for (n, life) in lives.iter_mut().enumerate() {
            if life.tick(tick as f64 / 10.0) {
                killed.push(n);
            }
        }
        let mut pass = |kind: PassKind, at_ns: u64, each_us: u64, fill: fn(&Life, &mut Row)| {
            let head = PassHead { kind, mono_ns: UPTIME_NS + at_ns, rows: lives.len() as u32 };
            writer.pass(head);
            let mut lag = 0;
            for (n, life) in lives.iter().enumerate() {
                (row.subject, row.mask) = (n as u32 + 1, 0);
                lag += each_us + dice.u64(0..each_us / 4);
                row.lag_us = lag as u32;
                fill(life, &mut row);
                writer.row(head, &row);
            }
        };
        pass(PassKind::Fast, time_ns, 12, Life::fast);
        if tick.is_multiple_of(10) {
            pass(PassKind::Slow, time_ns + 37_000_000, 60, Life::slow);
        }
        for n in killed {
            writer.event(&kill(&lives[n].path, UPTIME_NS + time_ns));
        }
        // The relay hands rows to the file four times a second.
        if tick % 5 == 0 || tick % 5 == 2 {
            writer.flush(false);
        }
        for segment in inbox.try_iter() {
            seal(&segment, dir)?;
        }
    }
    // The last segment as well: an agent's is sealed after its end.
    drop(writer);
    for segment in inbox {
        seal(&segment, dir)?;
    }
    fs::remove_dir(&journal).with_context(|| format!("remove {}", journal.display()))
}

pub fn kill(cgroup: &str, time_ns: u64) -> Event {
    let kill = OomKill {
        time_ns,
        constraint: Constraint::Memcg,
        victim_cgroup: Some(cgroup.to_owned()),
        limit_cgroup: Some(cgroup.to_owned()),
        victim: None,
        witnesses: vec![WitnessKind::MemoryEvents, WitnessKind::Vmstat],
        report: None,
        probe: None,
        hit: None,
    };
    Event { mono_ns: time_ns, cgroup: Some(cgroup.to_owned()), what: EventKind::OomKill(Box::new(kill)) }
}
