//! `sampler info`

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use sampler::analysis::incident::death::{Death, describe};
use sampler::analysis::incident::naming::display_name;
use sampler::model::evidence::MoreOomKills;
use sampler::model::fields::Table;
use sampler::model::time::format_us;
use sampler::model::units::{bytes, count, micros, printable};
use sampler::reading::summary::{CgroupSummary, Kill, Summary, explain};
use sampler::store::scan::{Query, Recording};
use sampler::store::schema::TableKind;
use serde::Serialize;

use crate::cli::remote::{EVER, LocalRecordings};

/// Show what a recording holds: host, time, cgroups, OOM kills, gaps.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sampler info /var/lib/sampler --from -1h --json | jq .oom_kills")]
pub struct Args {
    /// The recording: its folder, its address (s3://…), a .parquet or a .journal file [default: where `record` writes]
    dir: Option<PathBuf>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    part: crate::cli::excerpt::Excerpt,
    /// How many cgroups to list.
    #[arg(long, value_name = "N", default_value_t = 20)]
    most: usize,
}

#[derive(Debug, Serialize)]
struct Info {
    format: &'static str,
    host: String,
    boot_id: String,
    kernel: String,
    wsl: Option<String>,
    hierarchy: String,
    agent: String,
    interval_us: u64,
    slow_interval_us: u64,
    from: String,
    to: String,
    duration_s: f64,
    ended: &'static str,
    tables: BTreeMap<&'static str, TableInfo>,
    journal: JournalInfo,
    cgroups: Vec<CgroupSummary>,
    events: BTreeMap<&'static str, u64>,
    oom_kills: Vec<Kill>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more_oom_kills: Vec<MoreOomKills>,
    deaths: Vec<Death>,
    problems: Vec<sampler::model::recording::Problem>,
}

#[derive(Debug, Default, Serialize)]
struct TableInfo {
    rows: u64,
    sealed_rows: u64,
    bytes: u64,
    files: usize,
}

#[derive(Debug, Default, Serialize)]
struct JournalInfo {
    segments: usize,
    bytes: u64,
    frames: u64,
    torn_bytes: u64,
    corrupt_bytes: u64,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let here = LocalRecordings::of(args.dir.as_slice(), &EVER)?;
    let mut recording = Recording::open(here.dir())?;
    let info = read(&mut recording, args)?;
    let text = if args.json {
        serde_json::to_string_pretty(&info).context("write JSON")? + "\n"
    } else {
        text_of(&info, args.most)
    };
    crate::cli::output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn read(recording: &mut Recording, args: &Args) -> anyhow::Result<Info> {
    let selection = args.part.selection()?;
    let query = Query { cgroups: &|path| selection.wants(path), time: args.part.range(), fields: &[], lags: true };
    let origins = recording.origins();
    let summary = Summary::of(recording, &query);
    let mut journal = JournalInfo { segments: recording.journal().len(), ..JournalInfo::default() };
    for path in recording.journal() {
        journal.bytes += std::fs::metadata(path).map_or(0, |meta| meta.len());
    }
    for segment in recording.segments() {
        journal.frames += segment.frames;
        journal.torn_bytes += segment.torn_bytes;
        journal.corrupt_bytes += segment.corrupt_bytes;
    }
    let mut tables = BTreeMap::new();
    for folder in TableKind::ALL {
        let (bytes, files) = recording.sealed_size(folder);
        tables.insert(folder.name(), TableInfo { bytes, files, sealed_rows: recording.sealed_rows(folder), rows: 0 });
    }
    let mut set = |name, rows| {
        if let Some(table) = tables.get_mut(name) {
            table.rows = rows;
        }
    };
    set("samples", summary.rows);
    set("events", summary.events.values().sum());
    set("cgroups", summary.cgroups.len() as u64);
    for (name, table) in [("host", Table::Host), ("processes", Table::Processes)] {
        let mut rows = 0;
        let narrow = Query {
            fields: &[sampler::model::fields::FieldId::MemTotal, sampler::model::fields::FieldId::ProcessAnon],
            ..query_of(&query)
        };
        recording.series(table, &narrow, |series| rows += series.len() as u64);
        set(name, rows);
    }
    let last = origins.last();
    let of = |get: &dyn Fn(&sampler::model::recording::Origin) -> String| last.map(get).unwrap_or_default();
    let stopped = recording
        .events(i64::MIN..i64::MAX)
        .iter()
        .rev()
        .find_map(|e| match e.event.what {
            sampler::model::event::EventKind::AgentStop { .. } => Some("stopped"),
            sampler::model::event::EventKind::AgentStart { .. } => Some("running or ended abruptly"),
            _ => None,
        })
        .unwrap_or("unknown");
    Ok(Info {
        format: "sampler.info.v1",
        host: of(&|o| o.host.clone()),
        boot_id: of(&|o| o.boot_id.clone()),
        kernel: of(&|o| o.kernel.clone()),
        wsl: last.and_then(|o| o.wsl.clone()),
        hierarchy: of(&|o| o.hierarchy.clone()),
        agent: of(&|o| o.agent.clone()),
        interval_us: last.map_or(0, |o| o.interval_us),
        slow_interval_us: last.map_or(0, |o| o.slow_interval_us),
        from: if summary.rows > 0 { format_us(summary.first_us) } else { String::new() },
        to: if summary.rows > 0 { format_us(summary.last_us) } else { String::new() },
        duration_s: summary.duration_us() as f64 / 1e6,
        ended: stopped,
        tables,
        journal,
        cgroups: summary.cgroups,
        events: summary.events,
        oom_kills: summary.oom_kills,
        more_oom_kills: summary.more_oom_kills,
        deaths: summary.deaths,
        problems: recording.problems.clone(),
    })
}

fn query_of<'a>(query: &Query<'a>) -> Query<'a> {
    Query { cgroups: query.cgroups, time: query.time.clone(), fields: query.fields, lags: query.lags }
}

fn text_of(info: &Info, most: usize) -> String {
    let mut out = String::new();
    let wsl = info.wsl.as_deref().map(|wsl| format!(", {wsl}")).unwrap_or_default();
    let _ = writeln!(
        out,
        "host      {} (kernel {}{wsl}, cgroup {})",
        printable(&info.host),
        printable(&info.kernel),
        info.hierarchy
    );
    let _ = writeln!(
        out,
        "time      {} to {} ({}), every {} / {}",
        info.from,
        info.to,
        micros((info.duration_s * 1e6) as u64),
        micros(info.interval_us),
        micros(info.slow_interval_us)
    );
    let samples = &info.tables["samples"];
    let _ = writeln!(
        out,
        "samples   {} rows of {} cgroups; sealed {} in {} files, journal {} in {} segments",
        count(samples.rows),
        info.cgroups.len(),
        bytes(info.tables.values().map(|t| t.bytes).sum()),
        info.tables.values().map(|t| t.files).sum::<usize>(),
        bytes(info.journal.bytes),
        info.journal.segments
    );
    let _ = writeln!(out, "ended     {}", info.ended);
    let events: Vec<String> = info.events.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
    let _ = writeln!(out, "events    {}", if events.is_empty() { "none".into() } else { events.join(", ") });
    for problem in &info.problems {
        let _ = writeln!(out, "problem   {}: {}", printable(&problem.source), printable(&problem.what));
    }
    if !info.oom_kills.is_empty() {
        let _ = writeln!(out, "\nOOM kills");
        for kill in &info.oom_kills {
            let rise = info.cgroups.iter().find(|c| Some(&c.path) == kill.cgroup.as_ref());
            out.push_str(&explain(kill, rise));
        }
        // They came too fast for an event each.
        let mut more: BTreeMap<&str, u64> = BTreeMap::new();
        for folded in &info.more_oom_kills {
            *more.entry(folded.victim_cgroup.as_deref().unwrap_or("an unknown cgroup")).or_default() += folded.count;
        }
        for (cgroup, kills) in more {
            let _ = writeln!(out, "and {} more in {}", count(kills), printable(cgroup));
        }
    }
    if !info.deaths.is_empty() {
        let _ = writeln!(out, "\nDeaths that were no OOM kills");
        let called = |path: &str| {
            let name = info.cgroups.iter().find(|cgroup| cgroup.path == path).and_then(|cgroup| cgroup.name.clone());
            display_name(path, name.as_deref())
        };
        for death in &info.deaths {
            let _ = writeln!(
                out,
                "{}  {} {}",
                format_us(death.time_us),
                describe::who(death, called),
                describe::what(death)
            );
        }
    }
    let _ = writeln!(out, "\ncgroups, largest peak first");
    for cgroup in info.cgroups.iter().take(most) {
        let _ = writeln!(out, "  {}", printable(cgroup.name.as_ref().unwrap_or(&cgroup.path)));
        if let Some(who) = &cgroup.identity {
            let image = who.image.as_deref().map(|image| format!(" of {}", printable(image))).unwrap_or_default();
            let _ = writeln!(out, "      {}{image}, {}", printable(&who.runtime), printable(&cgroup.path));
        }
        let _ = writeln!(out, "      {}", cgroup.words());
    }
    if info.cgroups.len() > most {
        let _ = writeln!(out, "  … and {} more (--most {})", info.cgroups.len() - most, info.cgroups.len());
    }
    out
}
