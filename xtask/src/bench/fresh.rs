//! What the commands cost on a journal that is not sealed yet, which is where the kill of a second ago always is.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use sampler::journal::writer::{NoOwner, Rotation, Writer};
use sampler::model::event::{Event, EventKind};
use sampler::model::fields::FieldId;
use sampler::model::recording::Subject;
use sampler::model::sample::{HOST, PassHead, PassKind, Row};
use sampler::model::sink::Sink;

use super::day::life::Life;
use super::day::{NOW_NS, UPTIME_NS, clock, kill, origin};
use super::made::Made;
use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Minutes of the segment.
    #[arg(long, default_value_t = 15)]
    minutes: u64,
    #[command(flatten)]
    made: Made,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let dir = sh::target().join(format!("bench-fresh-{}m-{}", args.minutes, args.made.cgroups));
    if !dir.join("done").exists() {
        let rows = make(&dir, args)?;
        fs::write(dir.join("done"), rows.to_string()).with_context(|| format!("write {}", dir.display()))?;
    }
    println!("{}: {} rows", dir.display(), fs::read_to_string(dir.join("done"))?);
    if args.made.only {
        return Ok(());
    }
    let script = sh::root().join("xtask/src/bench/fresh.py");
    sh::run(Command::new("python3").arg(script).arg(sh::sampler()?).arg(&dir).arg(args.made.rounds.to_string()))
}

/// Who is sampled at 1 kHz: one that grows until it is killed, one at its limit by files.
const BURSTS: [usize; 2] = [2, 6];
/// Who a process of each is.
const PROCESS: u32 = 100_000;

/// Writes the segment as an agent would, without a goodbye, and with a kill one second before its end. Returns its rows.
fn make(dir: &Path, args: &Args) -> anyhow::Result<u64> {
    let _ = fs::remove_dir_all(dir);
    let journal = dir.join("journal");
    NOW_NS.set(0);
    let never = Rotation { size: u64::MAX, age: std::time::Duration::from_secs(1 << 20) };
    let mut writer = Writer::create_at(&journal, origin(), never, Box::new(NoOwner), clock)
        .with_context(|| format!("begin a journal in {}", journal.display()))?;
    writer.event(&Event {
        mono_ns: UPTIME_NS,
        cgroup: None,
        what: EventKind::AgentStart {
            version: env!("CARGO_PKG_VERSION").into(),
            interval_us: 100_000,
            slow_interval_us: 1_000_000,
        },
    });
    let mut lives: Vec<Life> = (0..args.made.cgroups).map(|n| Life::new(n, 1.0)).collect();
    for (n, life) in lives.iter().enumerate() {
        writer.subject(n as u32 + 1, &Subject { cgroup: life.path.clone(), id: life.id, process: None });
        writer.event(&Event { mono_ns: UPTIME_NS, cgroup: Some(life.path.clone()), what: EventKind::CgroupCreated });
    }
    let mut dice = fastrand::Rng::with_seed(7);
    let mut row = Row::new(0);
    let (mut rows, ticks) = (0, args.minutes * 600);
    for tick in 0..ticks {
        let time_ns = tick * 100_000_000 + dice.u64(0..60_000);
        NOW_NS.set(time_ns);
        for (n, life) in lives.iter_mut().enumerate() {
            if life.tick(tick as f64 / 10.0) && n != BURSTS[0] {
                writer.event(&kill(&life.path, UPTIME_NS + time_ns));
            }
        }
        let mut pass = |kind: PassKind, at_ns: u64, of: &[usize], fill: &mut dyn FnMut(&Life, &mut Row)| {
            let head = PassHead { kind, mono_ns: UPTIME_NS + at_ns, rows: of.len() as u32 };
            writer.pass(head);
            let mut lag = 0;
            for &n in of {
                (row.subject, row.mask) = (n as u32 + 1, 0);
                lag += 12 + dice.u32(0..3);
                row.lag_us = lag;
                fill(&lives[n], &mut row);
                writer.row(head, &row);
                rows += 1;
            }
        };
        let all: Vec<usize> = (0..lives.len()).collect();
        pass(PassKind::Fast, time_ns, &all, &mut |life, row| life.fast(row));
        let mut wave = fastrand::Rng::with_seed(tick);
        let mut more = 0;
        for ms in 1..100 {
            pass(PassKind::Burst, time_ns + ms * 1_000_000, &BURSTS, &mut |life, row| {
                life.fast(row);
                // Between two ticks a third of the readings differ, by the batches that the kernel counts in.
                more += u64::from(wave.u8(0..3) == 0) * 4096 * wave.u64(0..64);
                let current = row.get(FieldId::Current.field()).unwrap_or(0);
                row.put(FieldId::Current.field(), current + more % (8 << 20));
            });
        }
        if tick % 10 == 4 {
            pass(PassKind::Slow, time_ns + 37_000_000, &all, &mut |life, row| life.slow(row));
            let head = PassHead { kind: PassKind::Host, mono_ns: UPTIME_NS + time_ns + 40_000_000, rows: 1 };
            writer.pass(head);
            (row.subject, row.mask, row.lag_us) = (HOST, 0, 900);
            row.put(FieldId::MemTotal.field(), 32 << 30);
            row.put(FieldId::MemAvailable.field(), (9 << 30) + 4096 * dice.u64(0..10_000));
            row.put(FieldId::HostPressureSome.field(), tick * 40);
            row.put(FieldId::HostPressureFull.field(), tick * 11);
            writer.row(head, &row);
            processes(&mut writer, &lives, &mut row, tick, UPTIME_NS + time_ns + 45_000_000);
            rows += 1 + BURSTS.len() as u64;
        }
        if tick + 10 == ticks {
            writer.event(&kill(&lives[BURSTS[0]].path, UPTIME_NS + time_ns + 5_000_000));
        }
        // The relay hands rows to the file four times a second.
        if tick % 5 == 0 || tick % 5 == 2 {
            writer.flush(false);
        }
    }
    drop(writer);
    Ok(rows)
}

/// The largest process of those that are watched closely.
fn processes(writer: &mut Writer, lives: &[Life], row: &mut Row, tick: u64, mono_ns: u64) {
    if tick < 10 {
        for &n in &BURSTS {
            let key = sampler::model::recording::ProcessKey { pid: 1000 + n as i32, start: 5, comm: "worker".into() };
            let subject = Subject { cgroup: lives[n].path.clone(), id: 0, process: Some(key) };
            writer.subject(PROCESS + n as u32, &subject);
        }
    }
    let head = PassHead { kind: PassKind::Processes, mono_ns, rows: BURSTS.len() as u32 };
    writer.pass(head);
    for &n in &BURSTS {
        (row.subject, row.mask) = (PROCESS + n as u32, 0);
        lives[n].slow(row);
        let anon = row.get(FieldId::Anon.field()).unwrap_or(0);
        row.mask = 0;
        row.put(FieldId::ProcessAnon.field(), anon * 9 / 10);
        row.put(FieldId::ProcessFile.field(), 12 << 20);
        writer.row(head, row);
    }
}
