//! `sampler analyze`

mod words;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use sampler::analysis::groups::{Group, Rises, groups};
use sampler::analysis::leak::detectors::TABLE;
use sampler::analysis::leak::track;
use sampler::analysis::leak::track::Track;
use sampler::analysis::leak::verdict::{Verdict, judge_among};
use sampler::analysis::limits::{Limits, Room, nearest};
use sampler::analysis::lives::Loop;
use sampler::analysis::pressure::neighbour::blame;
use sampler::analysis::pressure::{self, Episode, HostWatch, Watch};
use sampler::analysis::workloads::{Course, Workload, course, roll_up, workload};
use sampler::model::fields::Table;
use sampler::model::recording::Problem;
use sampler::model::time::format_us;
use sampler::model::units::printable;
use sampler::reading::names::Named;
use sampler::reading::restart_loops::{Loops, facts_of};
use sampler::store::scan::{Query, Recording};
use serde::Serialize;

use crate::cli::remote::{EVER, Here};

/// Say of each cgroup whether its memory leaks, or what it does instead, and when it reaches its limit.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sampler analyze /var/lib/sampler --from -6h --json | jq '.cgroups[] | select(.verdict == \"leak\")'\n  sampler analyze s3://recordings/fleet s3://recordings/web --from -1d\n\nAn address takes a build with --features object-store, and the key and endpoint that AWS_..., GOOGLE_... or AZURE_... name in the environment. What it holds is copied below TMPDIR until the command ends."
)]
pub struct Args {
    /// Recordings: folders, .parquet or .journal files, or their addresses in object storage (s3://, gs://, az://)
    /// [default: where `record` writes]
    paths: Vec<PathBuf>,
    /// One JSON document (format `sampler.analyze.v1`). An empty `limit_owner` is the machine, as is an empty `path` of pressure.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    part: crate::cli::Part,
    /// Write one HTML file with plots, the findings beside them.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    html: Option<PathBuf>,
    /// The evidence of each verdict, not only of leaks.
    #[arg(long, short)]
    verbose: bool,
    /// List the detectors.
    #[arg(long, conflicts_with = "json")]
    list: bool,
    /// Say what a detector looks for.
    #[arg(long, value_name = "DETECTOR")]
    explain: Option<String>,
}

#[derive(Debug, Serialize)]
struct Analysis {
    format: &'static str,
    from: Option<String>,
    to: Option<String>,
    cgroups: Vec<Cgroup>,
    pressure: Vec<Pressure>,
    groups: Vec<Together>,
    workloads: Vec<Workload>,
    problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
struct Cgroup {
    host: String,
    path: String,
    name: String,
    #[serde(flatten)]
    verdict: Verdict,
    onset: Option<String>,
}

#[derive(Debug, Serialize)]
struct Pressure {
    host: String,
    #[serde(flatten)]
    episode: Episode,
    from: String,
    to: String,
}

#[derive(Debug, Serialize)]
struct Together {
    host: String,
    #[serde(flatten)]
    group: Group,
    from: String,
    to: String,
}

/// The courses of a workload's lives, each with its host, and its restart loop.
type Lived = (Vec<(String, Course)>, Option<Loop>);

/// What is followed of a cgroup.
#[derive(Default)]
struct Follow {
    track: Track,
    watch: Watch,
    rises: Rises,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.list {
        let lines: String = TABLE.iter().map(|d| format!("{}\n", d.name)).collect();
        crate::cli::print(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &args.explain {
        let Some(detector) = TABLE.iter().find(|d| d.name == name) else {
            let names: Vec<&str> = TABLE.iter().map(|d| d.name).collect();
            bail!("no detector `{}`; there are {}", printable(name), names.join(", "));
        };
        crate::cli::print(&format!("{}\n", detector.about))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(file) = &args.html {
        let [_] = args.paths.as_slice() else { bail!("--html is of one recording: give its folder") };
        crate::cli::report::write(Here::of(&args.paths, &EVER)?.dir(), &args.part, file)?;
        return Ok(ExitCode::SUCCESS);
    }
    let here = Here::of(&args.paths, &args.part.range())?;
    let analysis = analyze(here.paths(), &args.part)?;
    let text = if args.json {
        serde_json::to_string_pretty(&analysis).context("write JSON")? + "\n"
    } else {
        words::words(&analysis, args.verbose)
    };
    crate::cli::print(&text)?;
    let unread = analysis.cgroups.is_empty() && !analysis.problems.is_empty();
    Ok(if unread { ExitCode::from(crate::cli::exit::FAILED) } else { ExitCode::SUCCESS })
}

/// What is said of each cgroup, for a report: first what is urgent.
pub fn findings(dir: &std::path::Path, part: &crate::cli::Part) -> anyhow::Result<Vec<sampler::ui::html::Finding>> {
    let analysis = analyze(&[dir.to_owned()], part)?;
    let list = words::sorted(&analysis);
    Ok(list
        .into_iter()
        .map(|cgroup| sampler::ui::html::Finding {
            path: cgroup.path.clone(),
            class: words::word(&cgroup.verdict.verdict),
            words: words::in_a_line(cgroup),
            evidence: cgroup.verdict.evidence.clone(),
        })
        .collect())
}

fn analyze(paths: &[PathBuf], part: &crate::cli::Part) -> anyhow::Result<Analysis> {
    let selection = part.selection()?;
    let fields = [&track::FIELDS[..], &pressure::FIELDS].concat();
    let query = Query { cgroups: &|path| selection.wants(path), time: part.range(), fields: &fields, lags: false };
    let mut hosts: BTreeMap<String, Recording> = BTreeMap::new();
    for path in paths {
        for (host, recording) in Recording::open(path)?.hosts() {
            match hosts.get_mut(&host) {
                Some(known) => known.join(recording),
                None => drop(hosts.insert(host, recording)),
            }
        }
    }
    let mut progress = Progress { rows: 0, shown: std::io::stderr().is_terminal() };
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    let mut lives: BTreeMap<String, Lived> = BTreeMap::new();
    let mut analysis = Analysis {
        format: "sampler.analyze.v1",
        from: None,
        to: None,
        cgroups: Vec::new(),
        pressure: Vec::new(),
        groups: Vec::new(),
        workloads: Vec::new(),
        problems: Vec::new(),
    };
    // One host after the other: what is kept of it is small.
    for (partition, mut recording) in hosts {
        let host = recording.host().unwrap_or(partition);
        let mut cgroups: BTreeMap<String, Follow> = BTreeMap::new();
        recording.series(Table::Samples, &query, |series| {
            let (Some(&from), Some(&to)) = (series.time_us.first(), series.time_us.last()) else { return };
            (first, last) = (first.min(from), last.max(to));
            let follow = match cgroups.get_mut(&series.subject.cgroup) {
                Some(follow) => follow,
                None => cgroups.entry(series.subject.cgroup.clone()).or_default(),
            };
            follow.track.feed(&series);
            follow.watch.feed(&series);
            follow.rises.feed(&series);
            progress.add(series.len() as u64);
        });
        let mut machine = HostWatch::default();
        let of_host = Query { cgroups: &|_| true, time: part.range(), fields: &pressure::HOST_FIELDS, lags: false };
        recording.series(Table::Host, &of_host, |series| machine.feed(&series));
        let events = recording.events(i64::MIN..i64::MAX);
        let mut named = Named::default();
        named.learn(&events);
        let wanted: Vec<_> = events.into_iter().filter(|event| part.range().contains(&event.time_us)).collect();
        for (path, told) in facts_of(&wanted).filter(|(path, _)| selection.wants(path)) {
            cgroups.entry(path.to_owned()).or_default().track.told(told.0, told.1, told.2);
        }
        let tracks = || cgroups.iter().map(|(path, follow)| (path.as_str(), &follow.track));
        let loops = Loops::of(tracks(), &wanted, &named);
        analysis.problems.append(&mut recording.problems);
        let available = machine.available();
        press(&host, machine, &mut cgroups, &mut analysis.pressure);
        finish(&host, cgroups, available, (&named, &loops), &mut analysis, &mut lives);
    }
    progress.end();
    let judged = |(name, (lives, said)): (&String, &Lived)| roll_up(name, lives, said.as_ref());
    analysis.workloads = lives.iter().filter_map(judged).collect();
    analysis.from = (first != i64::MAX).then(|| format_us(first));
    analysis.to = (last != i64::MIN).then(|| format_us(last));
    Ok(analysis)
}

/// Tells the times of pressure of a host, and who grew meanwhile.
fn press(host: &str, machine: HostWatch, cgroups: &mut BTreeMap<String, Follow>, pressure: &mut Vec<Pressure>) {
    let mut episodes = machine.end();
    for follow in cgroups.values_mut() {
        episodes.extend(std::mem::take(&mut follow.watch).end());
    }
    let tracks = cgroups.iter().map(|(path, follow)| (path.as_str(), &follow.track)).collect();
    blame(&mut episodes, &tracks);
    pressure.extend(episodes.into_iter().map(|episode| Pressure {
        host: host.to_owned(),
        from: format_us(episode.time_us.0),
        to: format_us(episode.time_us.1),
        episode,
    }));
}

/// Judges the cgroups of a host. `available`: what the machine had left at the end, bytes.
fn finish(
    host: &str,
    mut cgroups: BTreeMap<String, Follow>,
    available: Option<u64>,
    (named, loops): (&Named, &Loops),
    analysis: &mut Analysis,
    lives: &mut BTreeMap<String, Lived>,
) {
    let rises: Vec<(&str, &Rises)> = cgroups.iter().map(|(path, follow)| (&**path, &follow.rises)).collect();
    analysis.groups.extend(groups(&rises).into_iter().map(|group| Together {
        host: host.to_owned(),
        from: format_us(group.time_us.0),
        to: format_us(group.time_us.1),
        group,
    }));
    let room = |(path, follow): (&String, &Follow)| Some((path.clone(), follow.track.room()?));
    let rooms: BTreeMap<String, Room> = cgroups.iter().filter_map(room).collect();
    for (path, follow) in &mut cgroups {
        if let Some(name) = workload(path, named.who(path).as_ref()) {
            let courses = follow.track.lives.iter().filter_map(course).map(|course| (host.to_owned(), course));
            let (all, said) = lives.entry(name).or_default();
            all.extend(courses);
            *said = loops.of_path(path).cloned().or(said.take());
        }
        let limits = Limits { cgroup: nearest(path, &rooms), available };
        if let Some(verdict) = judge_among(&mut follow.track, limits, loops.of_path(path)) {
            let onset = verdict.onset_us.map(format_us);
            let (host, path) = (host.to_owned(), path.clone());
            let name = named.title(&path).unwrap_or_else(|| last_part(&path));
            analysis.cgroups.push(Cgroup { name, host, path, onset, verdict });
        }
    }
}

/// Rows so far, in one line of a terminal.
struct Progress {
    rows: u64,
    shown: bool,
}

impl Progress {
    fn add(&mut self, rows: u64) {
        let before = self.rows / 1_000_000;
        self.rows += rows;
        if self.shown && self.rows / 1_000_000 > before {
            let _ = write!(std::io::stderr(), "\rsampler: {} million rows", self.rows / 1_000_000);
        }
    }

    fn end(&self) {
        if self.shown && self.rows >= 1_000_000 {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// The last part of a path that nobody has a name for.
fn last_part(path: &str) -> String {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("/").to_owned()
}
