//! `sampler report`, and the HTML of `postmortem` and `analyze`.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use sampler::analysis::incident::Incident;
use sampler::model::event::EventKind;
use sampler::model::fields::{FieldId, Table, UNLIMITED};
use sampler::model::paths::{is_below, name};
use sampler::model::recording::{Series, TimedEvent};
use sampler::model::units::printable;
use sampler::reading::incidents::{Incidents, words_of};
use sampler::reading::names::Named;
use sampler::store::scan::{Query, Recording};
use sampler::ui::html::bins::{Bins, Rises};
use sampler::ui::html::packed::Packed;
use sampler::ui::html::{Columns, Finding, Mark, Plot, Report, Set, html};

use crate::cli::findings;
use crate::cli::remote::{EVER, LocalRecordings};

/// Write one HTML file with plots of a recording, its incidents and findings; it opens offline.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sampler report /var/lib/sampler --from -6h --html report.html")]
pub struct Args {
    /// The recording: its folder, its address (s3://…), a .parquet or a .journal file [default: where `record` writes]
    dir: Option<PathBuf>,
    /// File to write.
    #[arg(long, value_name = "FILE", default_value = "sampler-report.html")]
    html: PathBuf,
    #[command(flatten)]
    part: crate::cli::excerpt::Excerpt,
}

/// Bins of a plot; each is two points.
const BINS: usize = 600;
/// cgroups with all their parts, and with their memory alone.
const FULL: usize = 16;
const MOST: usize = 120;
/// Incidents with a page and a minute of their own.
const INCIDENTS: usize = 6;
/// Characters of the plots: the file stays below 5 MiB.
const MOST_PLOTTED: usize = 4 << 20;
/// Events that are drawn.
const MARKS: usize = 400;

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let here = LocalRecordings::of(args.dir.as_slice(), &EVER)?;
    write(here.dir(), &args.part, &args.html)?;
    Ok(ExitCode::SUCCESS)
}

/// The report of a recording, with its incidents and findings.
pub fn write(dir: &Path, part: &crate::cli::excerpt::Excerpt, file: &Path) -> anyhow::Result<()> {
    let mut incidents = Incidents::of(dir)?;
    let range = part.range();
    let wanted: Vec<_> = incidents.all.iter().filter(|o| range.contains(&o.at_us)).cloned().collect();
    let left_out = wanted.len().saturating_sub(INCIDENTS);
    let mut told = Vec::new();
    for incident in wanted.into_iter().rev().take(INCIDENTS) {
        told.push(incidents.explain(&incident)?);
    }
    let findings = findings::for_report(dir, part)?;
    let mut notes = Vec::new();
    if left_out > 0 {
        notes.push(format!("{left_out} earlier incidents are left out; sampler postmortem --list lists all"));
    }
    save(dir, part, file, told, findings, notes)
}

/// The page of some incidents alone: an hour around them.
pub fn write_incidents(dir: &Path, file: &Path, incidents: Vec<Incident>) -> anyhow::Result<()> {
    let first = incidents.iter().filter_map(|incident| incident.time_us).min().unwrap_or(0);
    let last = incidents.iter().filter_map(|incident| incident.time_us).max().unwrap_or(0);
    let part = crate::cli::excerpt::Excerpt::of(first - 3_600_000_000..last + 60_000_000);
    save(dir, &part, file, incidents, Vec::new(), Vec::new())
}

fn save(
    dir: &Path,
    part: &crate::cli::excerpt::Excerpt,
    file: &Path,
    incidents: Vec<Incident>,
    findings: Vec<Finding>,
    mut notes: Vec<String>,
) -> anyhow::Result<()> {
    let mut recording = Recording::open(dir)?;
    let origin = recording.origins().pop();
    let selection = part.selection()?;
    let wants = |path: &str| selection.wants(path);
    let whole = span(&mut recording, part.range());
    let named = Named::read(&mut recording);
    let mut sets = Vec::new();
    if let Some(whole) = whole.clone() {
        sets.push(set(&mut recording, "all of it", whole, &wants, &named));
    }
    let mut length: usize = sets.iter().map(Set::length).sum();
    for (n, incident) in incidents.iter().enumerate() {
        let Some(at) = incident.time_us else { continue };
        let minute = at - 60_000_000..at + 5_000_000;
        let title = format!("the minute before {}", sampler::model::units::time_of_day(at));
        let minute = set(&mut recording, &title, minute, &wants, &named);
        length += minute.length();
        if length > MOST_PLOTTED {
            notes.push(format!(
                "the minute of {} of the incidents is not plotted, or the file would be too large; sampler postmortem --at \
                 TIME --html FILE plots each",
                incidents.len() - n
            ));
            break;
        }
        sets.push(minute);
    }
    let mut marks: Vec<Mark> = recording.events(part.range()).iter().filter_map(mark).collect();
    if marks.len() > MARKS {
        // Kills are never left out.
        notes.push(format!("{} events are too many to draw: some that repeat are left out", marks.len()));
        let every = marks.len().div_ceil(MARKS);
        let mut n = 0;
        marks.retain(|mark| {
            n += 1;
            mark.kind == "oom_kill" || n % every == 0
        });
    }
    notes.extend(recording.problems.iter().map(|p| printable(&format!("{}: {}", p.source, p.what))));
    let report = Report {
        host: origin.as_ref().map(|o| o.host.clone()).unwrap_or_default(),
        kernel: origin.map(|o| o.kernel).unwrap_or_default(),
        sets,
        marks,
        incidents,
        findings,
        notes,
    };
    let text = html(&report).context("write the recording as JSON")?;
    fs::write(file, &text).with_context(|| format!("write {}", file.display()))?;
    sampler::ui::terminal::say(&format!(
        "wrote {} ({})",
        file.display(),
        sampler::model::units::bytes(text.len() as u64)
    ));
    Ok(())
}

/// First and last time there is.
fn span(recording: &mut Recording, wanted: Range<i64>) -> Option<Range<i64>> {
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    // The machine is read once a second; a recording that was imported has only samples.
    for (table, field) in [(Table::Host, FieldId::MemTotal), (Table::Samples, FieldId::Max)] {
        if first <= last {
            break;
        }
        let query = Query { cgroups: &|_| true, time: wanted.clone(), fields: &[field], lags: false };
        recording.series(table, &query, |series| {
            first = first.min(series.time_us.first().copied().unwrap_or(first));
            last = last.max(series.time_us.last().copied().unwrap_or(last));
        });
    }
    (first <= last).then(|| first.max(wanted.start)..(last + 1_000_000).min(wanted.end))
}

/// Gauges of a cgroup that are plotted, in KiB.
const GAUGES: [(FieldId, &str); 8] = [
    (FieldId::Current, "current"),
    (FieldId::PeakInterval, "current"),
    (FieldId::Anon, "anon"),
    (FieldId::File, "file"),
    (FieldId::Shmem, "shmem"),
    (FieldId::Kernel, "kernel"),
    (FieldId::SwapCurrent, "swap"),
    (FieldId::Max, "max"),
];
const COUNTERS: [(FieldId, &str); 4] = [
    (FieldId::PressureSome, "psi_some"),
    (FieldId::PressureFull, "psi_full"),
    (FieldId::EventsMax, "hits"),
    (FieldId::EventsHigh, "throttles"),
];

/// One subject while its rows pass by.
struct Drawn {
    gauges: BTreeMap<&'static str, Bins>,
    counters: BTreeMap<&'static str, Rises>,
    peak: u64,
}

impl Drawn {
    fn new() -> Drawn {
        Drawn { gauges: BTreeMap::new(), counters: BTreeMap::new(), peak: 0 }
    }

    fn feed(
        &mut self,
        series: &Series,
        span: &Range<i64>,
        gauges: &[(FieldId, &'static str)],
        counters: &[(FieldId, &'static str)],
    ) {
        for (field, key) in gauges {
            let Some(column) = series.column(field.field()) else { continue };
            let bins = self.gauges.entry(key).or_insert_with(|| Bins::new(span.start, span.end, BINS));
            for (row, value) in column.iter().filter(|(_, value)| *value != UNLIMITED) {
                bins.push(series.time_us[row], value / 1024);
                if *key == "current" {
                    self.peak = self.peak.max(value);
                }
            }
        }
        for (field, key) in counters {
            let Some(column) = series.column(field.field()) else { continue };
            let rises = self.counters.entry(key).or_insert_with(|| Rises::new(span.start, span.end, BINS));
            column.iter().for_each(|(row, value)| rises.push(series.time_us[row], value));
        }
    }

    fn columns(self, span: &Range<i64>, only: Option<&[&str]>) -> Columns {
        // A field that is read once a second holds until the next reading.
        let held = (3_000_000.0 / ((span.end - span.start) as f64 / BINS as f64)).ceil() as usize;
        let wanted = |key: &&str| only.is_none_or(|only| only.contains(key));
        let mut columns: BTreeMap<&str, Vec<Option<u64>>> = self
            .gauges
            .into_iter()
            .filter(|(key, _)| wanted(key))
            .map(|(key, bins)| (key, bins.points(held)))
            .collect();
        if let (Some(file), Some(shmem)) = (columns.remove("file"), columns.get("shmem")) {
            let less =
                |(file, shmem): (&Option<u64>, &Option<u64>)| file.map(|file| file.saturating_sub(shmem.unwrap_or(0)));
            let cache = file.iter().zip(shmem).map(less).collect();
            columns.insert("cache", cache);
        }
        columns
            .extend(self.counters.into_iter().filter(|(key, _)| wanted(key)).map(|(key, rises)| (key, rises.points())));
        columns.into_iter().map(|(key, values)| (key, Packed::of(&values))).collect()
    }
}

fn set(recording: &mut Recording, title: &str, span: Range<i64>, wants: &dyn Fn(&str) -> bool, named: &Named) -> Set {
    let fields: Vec<FieldId> = GAUGES.iter().chain(&COUNTERS).map(|(field, _)| *field).collect();
    let query = Query { cgroups: wants, time: span.clone(), fields: &fields, lags: false };
    let mut drawn: BTreeMap<String, Drawn> = BTreeMap::new();
    recording.series(Table::Samples, &query, |series| {
        let one = drawn.entry(series.subject.cgroup.clone()).or_insert_with(Drawn::new);
        one.feed(&series, &span, &GAUGES, &COUNTERS);
    });
    let mut host = Drawn::new();
    let gauges =
        [(FieldId::MemTotal, "mem_total"), (FieldId::MemAvailable, "available"), (FieldId::SwapFree, "swap_free")];
    let counters = [(FieldId::HostPressureSome, "psi_some"), (FieldId::HostPressureFull, "psi_full")];
    let query = Query { cgroups: &|_| true, time: span.clone(), fields: &[], lags: false };
    recording.series(Table::Host, &query, |series| host.feed(&series, &span, &gauges, &counters));
    let paths: Vec<String> = drawn.keys().cloned().collect();
    let mut list: Vec<(String, Drawn)> = drawn.into_iter().collect();
    list.sort_by(|a, b| b.1.peak.cmp(&a.1.peak).then(a.0.cmp(&b.0)));
    list.truncate(MOST);
    let plot = |(rank, (path, drawn)): (usize, (String, Drawn))| Plot {
        name: printable(named.title(&path).as_deref().unwrap_or(name(&path))),
        has_children: paths.iter().any(|other| *other != path && is_below(other, &path)),
        columns: drawn.columns(&span, (rank >= FULL).then_some(&["current", "max"])),
        path,
    };
    Set {
        name: title.to_owned(),
        from_us: span.start,
        step_us: (span.end - span.start) as f64 / (BINS * 2) as f64,
        points: BINS * 2,
        host: host.columns(&span, None),
        cgroups: list.into_iter().enumerate().map(plot).collect(),
    }
}

fn mark(event: &TimedEvent) -> Option<Mark> {
    let what = &event.event.what;
    let told = matches!(
        what,
        EventKind::OomKill(_)
            | EventKind::MoreOomKills(_)
            | EventKind::CgroupCreated
            | EventKind::CgroupRemoved
            | EventKind::LimitChanged { .. }
            | EventKind::Pressure { .. }
            | EventKind::Gap { .. }
            | EventKind::ClockStep { .. }
            | EventKind::AgentStart { .. }
            | EventKind::AgentStop { .. }
    );
    told.then(|| Mark {
        time_us: event.time_us,
        kind: what.kind(),
        cgroup: event.event.cgroup.clone(),
        words: words_of(what),
    })
}
