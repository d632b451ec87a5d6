//! `sampler info`

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use sampler::analysis::incident::death::{Death, describe};
use sampler::analysis::incident::naming::display_name;
use sampler::analysis::relevance::{Place, Reason, Standing, arrange};
use sampler::model::evidence::MoreOomKills;
use sampler::model::fields::Table;
use sampler::model::time::{date_of_us, format_us};
use sampler::model::units::{bytes, count, micros, printable};
use sampler::reading::summary::{CgroupSummary, Kill, Summary, explain, sentence};
use sampler::store::scan::{Query, Recording};
use sampler::store::schema::TableKind;
use sampler::ui::text::style::{Style, wrap};
use sampler::ui::text::table::{Row, table};
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
    /// List every cgroup.
    #[arg(long, conflicts_with = "most")]
    all: bool,
    /// Paths, images, events, and all kills.
    #[arg(long, short)]
    verbose: bool,
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
    problems: Vec<sampler::model::problem::Problem>,
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
        text_of(&info, args, Style::of_terminal())
    };
    crate::cli::output::print(&text)?;
    Ok(crate::cli::exit::of(&info.problems))
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

/// Kills and deaths that are shown without `--verbose`, the last ones.
const LAST: usize = 3;

fn text_of(info: &Info, args: &Args, style: Style) -> String {
    let mut out = String::new();
    let wsl = info.wsl.as_deref().map(|wsl| format!(", {wsl}")).unwrap_or_default();
    let mut line = |title: &str, text: &str| {
        let _ = writeln!(
            out,
            "{title:<TITLE$}{}",
            wrap(text, style.width - TITLE, 0).replace('\n', &format!("\n{:TITLE$}", ""))
        );
    };
    let host =
        format!("{} (kernel {}{wsl}, cgroup {})", printable(&info.host), printable(&info.kernel), info.hierarchy);
    // Of what cannot be read, nothing is known.
    line("host", if info.host.is_empty() { "unknown" } else { &host });
    let samples = &info.tables["samples"];
    let every = format!("every {} / {}", micros(info.interval_us), micros(info.slow_interval_us));
    match samples.rows {
        0 if info.host.is_empty() => line("time", "unknown"),
        0 => line("time", &format!("no samples, {every}")),
        _ => {
            let span = micros((info.duration_s * 1e6) as u64);
            line("time", &format!("{} to {} ({span}), {every}", info.from, info.to));
        }
    }
    line(
        "samples",
        &format!(
            "{} rows of {} cgroups; sealed {} in {} files, journal {} in {} segments",
            count(samples.rows),
            info.cgroups.len(),
            bytes(info.tables.values().map(|t| t.bytes).sum()),
            info.tables.values().map(|t| t.files).sum::<usize>(),
            bytes(info.journal.bytes),
            info.journal.segments
        ),
    );
    line("ended", info.ended);
    let events: Vec<String> = info.events.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
    if args.verbose {
        line("events", &if events.is_empty() { "none".into() } else { events.join(", ") });
    }
    for problem in &info.problems {
        let _ = writeln!(out, "problem   {problem}");
    }
    kills(&mut out, info, args.verbose, style);
    deaths(&mut out, info, args.verbose, style);
    cgroups(&mut out, info, args, style);
    out
}

/// Where what a line holds begins.
const TITLE: usize = 10;

fn kills(out: &mut String, info: &Info, verbose: bool, style: Style) {
    if info.oom_kills.is_empty() && info.more_oom_kills.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", style.paint("1;31", "OOM kills"));
    let before = if verbose { 0 } else { info.oom_kills.len().saturating_sub(LAST) };
    for kill in &info.oom_kills[before..] {
        let rise = info.cgroups.iter().find(|c| Some(&c.path) == kill.cgroup.as_ref());
        if verbose {
            out.push_str(&explain(kill, rise, true));
        } else {
            out.push_str(&wrap(&format!("{} {}", date_of_us(kill.time_us), sentence(kill)), style.width, 2));
            out.push('\n');
        }
    }
    if before > 0 {
        let _ = writeln!(out, "and {before} before: sampler postmortem --list");
    }
    // They came too fast for an event each.
    let mut more: BTreeMap<String, u64> = BTreeMap::new();
    for folded in &info.more_oom_kills {
        let whose = match folded.victim_cgroup.as_deref() {
            Some(path) if verbose => printable(path),
            Some(path) => info.called(path),
            None => "an unknown cgroup".into(),
        };
        *more.entry(whose).or_default() += folded.count;
    }
    for (cgroup, kills) in more {
        let _ = writeln!(out, "and {} more in {cgroup}", count(kills));
    }
}

fn deaths(out: &mut String, info: &Info, verbose: bool, style: Style) {
    if info.deaths.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", style.paint("1", "Deaths that were no OOM kills"));
    let before = if verbose { 0 } else { info.deaths.len().saturating_sub(LAST) };
    for death in &info.deaths[before..] {
        let who = describe::who(death, |path| info.called(path));
        let line = format!("{}  {who} {}", format_us(death.time_us), describe::what(death));
        let _ = writeln!(out, "{}", wrap(&line, style.width, 2));
    }
    if before > 0 {
        let _ = writeln!(out, "and {before} before: sampler postmortem --list");
    }
}

fn cgroups(out: &mut String, info: &Info, args: &Args, style: Style) {
    let mut killed: BTreeMap<&str, u64> = BTreeMap::new();
    let of_events = info.oom_kills.iter().map(|kill| (kill.cgroup.as_deref(), 1));
    let folded = info.more_oom_kills.iter().map(|more| (more.victim_cgroup.as_deref(), more.count));
    for (path, kills) in of_events.chain(folded) {
        *killed.entry(path.unwrap_or_default()).or_default() += kills;
    }
    let kills = |path: &str| (!killed.is_empty()).then(|| killed.get(path).copied().unwrap_or(0));
    let standings: Vec<Standing> = info.cgroups.iter().map(|cgroup| cgroup.standing(kills(&cgroup.path))).collect();
    let screen = arrange(&standings, info.duration_s, (!args.all).then_some(args.most));
    if screen.shown.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", style.paint("1", "cgroups, what matters first"));
    let rows: Vec<Row> = screen.shown.iter().map(|place| row(&info.cgroups[place.at], place)).collect();
    for (line, place) in table(&rows, style).lines().zip(&screen.shown) {
        let _ = writeln!(out, "{line}");
        let cgroup = &info.cgroups[place.at];
        if args.verbose {
            let who = cgroup.identity.as_ref().map_or_else(String::new, |who| {
                let image = who.image.as_deref().map(|image| format!(" of {}", printable(image))).unwrap_or_default();
                format!("{}{image}, ", printable(&who.runtime))
            });
            let _ = writeln!(out, "    {who}{}\n    {}", printable(&cgroup.path), cgroup.words());
        }
    }
    if screen.folded.count() > 0 {
        out.push_str(&style.paragraph(&screen.folded.with_hint(), 0));
    }
}

/// One cgroup in a line of the table.
fn row(cgroup: &CgroupSummary, place: &Place) -> Row {
    let state = match place.reason {
        Some(Reason::Killed) => ("killed", "1;31"),
        Some(Reason::Leaking) => ("leak", "1;31"),
        Some(Reason::Pressed) => ("pressure", "33"),
        Some(Reason::NearLimit) => ("near limit", "33"),
        None => ("", ""),
    };
    let mut remarks = Vec::new();
    let times = |n: u64| if n == 1 { "once".into() } else { format!("{} times", count(n)) };
    match place.kills {
        0 => {}
        1 => remarks.push("1 OOM kill".into()),
        kills => remarks.push(format!("{} OOM kills", count(kills))),
    }
    if let (Some(first), Some(peak)) = (cgroup.first_bytes, cgroup.peak_bytes)
        && peak - first.min(peak) >= (peak / 20).max(1 << 20)
    {
        let span = u64::try_from(cgroup.peak_us - cgroup.first_us).unwrap_or(0);
        remarks.push(format!("grew {} in {}", bytes(peak - first), micros(span)));
    }
    if cgroup.limit_hits > 0 {
        remarks.push(format!("hit its limit {}", times(cgroup.limit_hits)));
    }
    Row {
        state: (state.0.into(), state.1),
        name: printable(cgroup.title()),
        figures: vec![
            cgroup.peak_bytes.map_or_else(|| "not read".into(), |peak| format!("peak {}", bytes(peak))),
            cgroup.limit_bytes.map_or_else(|| "no limit".into(), |limit| format!("of {}", bytes(limit))),
        ],
        remarks,
    }
}

impl Info {
    /// What a cgroup is called. Safe to show.
    fn called(&self, path: &str) -> String {
        let name = self.cgroups.iter().find(|cgroup| cgroup.path == path).and_then(|cgroup| cgroup.name.as_deref());
        display_name(path, name)
    }
}
