//! What a post-mortem costs on a day of a hundred cgroups, against a full scan of the same files in the same run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use sampler::journal::format::{FrameKind, frame};
use sampler::model::event::{Event, EventKind};
use sampler::model::evidence::{Constraint, OomKill, WitnessKind};
use sampler::model::fields::{FieldId, Table, UNLIMITED};
use sampler::store::scan::{Query, Recording};

use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The day [default: what `cargo xtask bench day --make` makes].
    #[arg(long)]
    day: Option<PathBuf>,
    /// Rounds; the median counts. The full scan is made once.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let target = sh::target();
    let day = args.day.clone().unwrap_or_else(|| target.join("bench-day-24h-100"));
    if !day.join("samples").exists() {
        bail!("no recording in {}; make it with `cargo xtask bench day --make` (it takes some minutes)", day.display());
    }
    let day = day.canonicalize()?;
    let folder = target.join("bench-postmortem");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("journal"))?;
    for table in ["samples", "cgroups", "events", "host", "processes"].iter().filter(|table| day.join(table).exists()) {
        symlink(day.join(table), folder.join(table))?;
    }
    add_kill(&day, &folder)?;
    let sampler = sh::sampler()?;
    let script = sh::root().join("xtask/src/bench/postmortem.py");
    sh::run(Command::new("python3").arg(script).arg(&sampler).arg(&folder).arg(args.rounds.to_string()))
}

/// The day as it is, and one kill near its end, of the cgroup that holds most of its limit.
fn add_kill(day: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut recording = Recording::open(day)?;
    let origin = recording.origins().pop().context("the day has no origin")?;
    // Half a minute before the end of the last segment's first five minutes: the whole hour before is there.
    let at_us = origin.anchor.wall_us(origin.anchor.mono_ns) + 270_000_000;
    let query = Query {
        cgroups: &|_| true,
        time: at_us - 3_000_000..at_us,
        fields: &[FieldId::Current, FieldId::Max],
        lags: false,
    };
    let mut fullest: Option<(f64, String)> = None;
    recording.series(Table::Samples, &query, |series| {
        let last = |field: FieldId| series.column(field.field()).and_then(|column| column.values.last().copied());
        if let (Some(current), Some(max)) = (last(FieldId::Current), last(FieldId::Max).filter(|max| *max != UNLIMITED))
        {
            let part = current as f64 / max as f64;
            if fullest.as_ref().is_none_or(|(most, _)| part > *most) {
                fullest = Some((part, series.subject.cgroup.clone()));
            }
        }
    });
    let (_, cgroup) = fullest.context("no cgroup of the day has a limit")?;
    let mono_ns = origin.anchor.mono_ns(at_us);
    let kill = OomKill {
        time_ns: mono_ns,
        constraint: Constraint::Memcg,
        victim_cgroup: Some(cgroup.clone()),
        limit_cgroup: Some(cgroup.clone()),
        victim: None,
        witnesses: vec![WitnessKind::MemoryEvents],
        report: None,
        probe: None,
        hit: None,
    };
    let event = Event { mono_ns, cgroup: Some(cgroup), what: EventKind::OomKill(Box::new(kill)) };
    let mut bytes = Vec::new();
    frame(&mut bytes, FrameKind::Origin, &serde_json::to_vec(&origin)?);
    frame(&mut bytes, FrameKind::Event, &serde_json::to_vec(&event)?);
    fs::write(folder.join("journal/kill.journal"), bytes).context("write the kill")
}
