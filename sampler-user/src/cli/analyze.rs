//! `sampler analyze`

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use sampler::analysis::detectors::{Class, TABLE};
use sampler::analysis::limits::{Room, nearest};
use sampler::analysis::pressure::{self, Episode, Watch};
use sampler::analysis::track::{self, Track};
use sampler::analysis::verdict::{Verdict, judge};
use sampler::fields::Table;
use sampler::recording::Problem;
use sampler::store::scan::{Query, Recording};
use sampler::time::format_us;
use sampler::units::{bytes, printable};
use serde::Serialize;

use super::named::Named;

/// Say of each cgroup whether its memory leaks, or what it does instead, and when it reaches its limit.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sampler analyze /var/lib/sampler --from -6h --json | jq '.cgroups[] | select(.verdict == \"leak\")'"
)]
pub struct Args {
    /// Recordings: folders, .parquet or .journal files [default: where `record` writes]
    paths: Vec<PathBuf>,
    /// One JSON document (format `sampler.analyze.v1`).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    part: super::Part,
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
    groups: Vec<()>,
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

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.list {
        let lines: String = TABLE.iter().map(|d| format!("{}\n", d.name)).collect();
        super::print(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &args.explain {
        let Some(detector) = TABLE.iter().find(|d| d.name == name) else {
            let names: Vec<&str> = TABLE.iter().map(|d| d.name).collect();
            bail!("no detector `{}`; there are {}", printable(name), names.join(", "));
        };
        super::print(&format!("{}\n", detector.about))?;
        return Ok(ExitCode::SUCCESS);
    }
    let analysis = analyze(args)?;
    let text = if args.json {
        serde_json::to_string_pretty(&analysis).context("write JSON")? + "\n"
    } else {
        words(&analysis, args.verbose)
    };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn analyze(args: &Args) -> anyhow::Result<Analysis> {
    let selection = args.part.selection()?;
    let fields = [&track::FIELDS[..], &pressure::FIELDS].concat();
    let query = Query { cgroups: &|path| selection.wants(path), time: args.part.range(), fields: &fields };
    let paths = if args.paths.is_empty() { vec![super::data_folder()] } else { args.paths.clone() };
    let progress = std::io::stderr().is_terminal();
    let mut tracks: BTreeMap<(String, String), (Track, Watch)> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut named = Named::default();
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    let mut rows = 0u64;
    for path in &paths {
        let mut recording = Recording::open(path)?;
        let host = recording.origins().into_iter().next().map_or_else(String::new, |origin| origin.host);
        recording.series(Table::Samples, &query, |series| {
            let (Some(&from), Some(&to)) = (series.time_us.first(), series.time_us.last()) else { return };
            (first, last) = (first.min(from), last.max(to));
            let key = (host.clone(), series.subject.cgroup.clone());
            let (track, watch) = tracks.entry(key).or_default();
            track.feed(&series);
            watch.feed(&series);
            let before = rows / 5_000_000;
            rows += series.len() as u64;
            if progress && rows / 5_000_000 > before {
                super::say(&format!("sampler: {} million rows", rows / 1_000_000));
            }
        });
        named.add(&mut recording);
        problems.append(&mut recording.problems);
    }
    let mut rooms: BTreeMap<String, BTreeMap<String, Room>> = BTreeMap::new();
    for ((host, path), (track, _)) in &tracks {
        rooms.entry(host.clone()).or_default().extend(track.room().map(|room| (path.clone(), room)));
    }
    let (mut cgroups, mut pressure) = (Vec::new(), Vec::new());
    for ((host, path), (mut track, watch)) in tracks {
        pressure.extend(watch.end().into_iter().map(|episode| Pressure {
            host: host.clone(),
            from: format_us(episode.time_us.0),
            to: format_us(episode.time_us.1),
            episode,
        }));
        let limit = rooms.get(&host).and_then(|rooms| nearest(&path, rooms));
        if let Some(verdict) = judge(&mut track, limit) {
            let onset = verdict.onset_us.map(format_us);
            cgroups.push(Cgroup {
                name: named.title(&path).unwrap_or_else(|| last_part(&path)),
                host,
                path,
                onset,
                verdict,
            });
        }
    }
    let known = |us: i64, none: i64| (us != none).then(|| format_us(us));
    Ok(Analysis {
        format: "sampler.analyze.v1",
        from: known(first, i64::MAX),
        to: known(last, i64::MIN),
        cgroups,
        pressure,
        groups: Vec::new(),
        problems,
    })
}

/// The last part of a path that nobody has a name for.
fn last_part(path: &str) -> String {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("/").to_owned()
}

/// The word that JSON has for it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} d", s / 86400.0),
    }
}

fn words(analysis: &Analysis, verbose: bool) -> String {
    let mut out = String::new();
    let mut list: Vec<&Cgroup> = analysis.cgroups.iter().collect();
    // What is urgent first, then what is large.
    let urgency = |c: &Cgroup| c.verdict.time_to_limit_s.unwrap_or(f64::INFINITY);
    list.sort_by(|a, b| {
        (a.verdict.verdict != Class::Leak, a.verdict.verdict != Class::Undetermined)
            .cmp(&(b.verdict.verdict != Class::Leak, b.verdict.verdict != Class::Undetermined))
            .then(urgency(a).total_cmp(&urgency(b)))
            .then(b.verdict.last_bytes.cmp(&a.verdict.last_bytes))
            .then(a.path.cmp(&b.path))
    });
    for cgroup in &list {
        let v = &cgroup.verdict;
        let size = v.last_bytes.map_or_else(|| "?".into(), bytes);
        let limit = match (v.limit_bytes, v.limit_owner.as_deref()) {
            (Some(limit), Some(owner)) if owner != cgroup.path => {
                format!("of {} that {} leaves it", bytes(limit), printable(owner))
            }
            (Some(limit), _) => format!("of {}", bytes(limit)),
            (None, _) => "no limit".into(),
        };
        let called = printable(&cgroup.path);
        let called = match cgroup.path.rsplit('/').next() {
            // The name of a unit, or of a folder of nobody, is the end of its path.
            Some(last) if last == cgroup.name => called,
            _ => format!("{} ({called})", printable(&cgroup.name)),
        };
        let _ = write!(out, "{:<13} {called} {size} {limit}", word(&v.verdict));
        if v.verdict == Class::Leak {
            if let Some(rate) = v.rate_bytes_per_s {
                let _ = write!(out, ", {} a minute", bytes((rate * 60.0).max(0.0) as u64));
            }
            if let Some(part) = v.component {
                let _ = write!(out, " of {}", word(&part));
            }
            if let Some(left) = v.time_to_limit_s {
                let _ = write!(out, ", limit in {}", duration(left));
                if let Some([low, high]) = v.time_to_limit_ci90 {
                    let end = |end: Option<f64>| end.map_or_else(|| "never".into(), duration);
                    let _ = write!(out, " ({} to {})", end(low), end(high));
                }
            }
            let _ = write!(out, ", probability {:.2}", v.probability);
        }
        if let Some(needs) = v.needs_s {
            let _ = write!(out, ", watch {} longer", duration(needs));
        }
        out.push('\n');
        if verbose || v.verdict == Class::Leak {
            if let Some(onset) = &cgroup.onset {
                let _ = writeln!(out, "              since {onset}");
            }
            for line in &v.evidence {
                let _ = writeln!(out, "              {line}");
            }
        }
    }
    for Pressure { episode, from, .. } in &analysis.pressure {
        let _ = write!(out, "pressure      {} {from} for {}:", printable(&episode.path), duration(episode.duration_s));
        if let (Some(stall), Some(peak)) = (episode.stall_s, episode.peak_some) {
            let _ = write!(out, " stalled {stall:.1} s, {:.0} % at worst;", 100.0 * peak);
        }
        let _ = writeln!(
            out,
            " {} limit hits, {} throttled, {} pages read again",
            episode.limit_hits, episode.throttles, episode.refaults
        );
    }
    for problem in &analysis.problems {
        let _ = writeln!(out, "problem       {}: {}", printable(&problem.source), printable(&problem.what));
    }
    if analysis.cgroups.is_empty() {
        out.push_str("no samples in this time and of these cgroups\n");
    }
    out
}
