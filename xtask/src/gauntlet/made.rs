//! Recordings for the gauntlet: a dozen cgroups for a minute and a half, in three segments, with a kill and without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::Context;
use sampler::journal::writer::{Owner, Rotation, Writer};
use sampler::model::event::{Event, EventKind};
use sampler::model::fields::FieldId;
use sampler::model::recording::Subject;
use sampler::model::sample::{HOST, PassHead, PassKind, Row};
use sampler::model::sink::Sink;
use sampler::store::JOURNAL;
use sampler::store::seal::seal;

use crate::bench::day::life::Life;
use crate::bench::day::{NOW_NS, UPTIME_NS, clock, kill, origin};

/// How a recording is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As segments that are not sealed.
    Journal,
    /// As Parquet files.
    Sealed,
}

const CGROUPS: usize = 12;
const TICKS: u64 = 900;
const SEGMENT: Duration = Duration::from_secs(30);
/// Who is killed, and when.
const KILLED: usize = 2;
const KILL_AT: u64 = 700;

struct Keeper(Sender<PathBuf>);

impl Owner for Keeper {
    fn finished(&mut self, segment: PathBuf) {
        let _ = self.0.send(segment);
    }

    fn make_room(&mut self) -> bool {
        false
    }
}

/// Makes one.
pub fn make(dir: &Path, form: Form, has_kill: bool) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(dir);
    NOW_NS.set(0);
    let (segments, inbox) = channel();
    let rotation = Rotation { age: SEGMENT, ..Rotation::default() };
    let mut writer = Writer::create_at(&dir.join(JOURNAL), origin(), rotation, Box::new(Keeper(segments)), clock)
        .with_context(|| format!("begin a journal in {}", dir.display()))?;
    let event = |mono_ns: u64, cgroup: Option<&str>, what| Event { mono_ns, cgroup: cgroup.map(str::to_owned), what };
    let (version, interval_us, slow_interval_us) = (env!("CARGO_PKG_VERSION").into(), 100_000, 1_000_000);
    writer.event(&event(UPTIME_NS, None, EventKind::AgentStart { version, interval_us, slow_interval_us }));
    let mut lives: Vec<Life> = (0..CGROUPS).map(|n| Life::new(n, 0.05)).collect();
    for (n, life) in lives.iter().enumerate() {
        writer.subject(n as u32 + 1, &Subject { cgroup: life.path.clone(), id: life.id, process: None });
        writer.event(&event(UPTIME_NS, Some(&life.path), EventKind::CgroupCreated));
    }
    let mut dice = fastrand::Rng::with_seed(3);
    let mut row = Row::new(0);
    for tick in 0..TICKS {
        let time_ns = tick * 100_000_000 + dice.u64(0..60_000);
        NOW_NS.set(time_ns);
        for life in &mut lives {
            life.tick(tick as f64 / 10.0);
        }
        let mut pass = |kind: PassKind, at_ns: u64, fill: fn(&Life, &mut Row)| {
            let head = PassHead { kind, mono_ns: UPTIME_NS + at_ns, rows: CGROUPS as u32 };
            writer.pass(head);
            for (n, life) in lives.iter().enumerate() {
                (row.subject, row.mask, row.lag_us) = (n as u32 + 1, 0, 12 * (n as u32 + 1));
                fill(life, &mut row);
                writer.row(head, &row);
            }
        };
        pass(PassKind::Fast, time_ns, Life::fast);
        if tick % 10 == 4 {
            pass(PassKind::Slow, time_ns + 37_000_000, Life::slow);
            let head = PassHead { kind: PassKind::Host, mono_ns: UPTIME_NS + time_ns + 40_000_000, rows: 1 };
            writer.pass(head);
            (row.subject, row.mask, row.lag_us) = (HOST, 0, 900);
            row.put(FieldId::MemTotal.field(), 32 << 30);
            row.put(FieldId::MemAvailable.field(), (9 << 30) + 4096 * dice.u64(0..10_000));
            writer.row(head, &row);
        }
        if has_kill && tick == KILL_AT {
            writer.event(&kill(&lives[KILLED].path, UPTIME_NS + time_ns + 5_000_000));
        }
        if tick + 1 == TICKS {
            writer.event(&event(UPTIME_NS + time_ns, None, EventKind::AgentStop { reason: "the end".into() }));
        }
        if tick % 5 == 0 || tick % 5 == 2 || tick + 1 == TICKS {
            writer.flush(false);
        }
    }
    drop(writer);
    if form == Form::Sealed {
        for segment in inbox {
            seal(&segment, dir)?;
        }
    }
    Ok(())
}

/// The files of a recording that hold data, with what they hold.
pub fn files(dir: &Path) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "parquet" || ext == "journal") {
                let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                found.push((path, bytes));
            }
        }
    }
    found.sort();
    Ok(found)
}
