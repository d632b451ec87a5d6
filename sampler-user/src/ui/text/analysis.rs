//! The analysis as a person reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::analysis::groups::{Group, GroupKind};
use crate::analysis::leak::detectors::Class;
use crate::analysis::limits::MACHINE;
use crate::analysis::pressure::{Episode, EpisodeKind};
use crate::analysis::relevance::{Folded, Place, Reason, Screen, Standing, arrange};
use crate::model::paths;
use crate::model::units::{bytes, printable};
use crate::model::word::word;
use crate::reading::analysis::{Analysis, Cgroup, Pressure, Together};
use crate::ui::text::style::{Style, wrap};
use crate::ui::text::table::{Row, table};

/// A time in words, seconds.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} d", s / 86400.0),
    }
}

/// Size, limit and, of a leak, its pace.
pub fn in_a_line(cgroup: &Cgroup) -> String {
    let mut out = String::new();
    let v = &cgroup.verdict;
    let size = v.last_bytes.map_or_else(|| "?".into(), bytes);
    let limit = match (v.limit_bytes, v.limit_owner.as_deref()) {
        (Some(limit), Some(MACHINE)) => format!("of {} that the machine leaves it beside page cache", bytes(limit)),
        (Some(limit), Some(owner)) if owner != cgroup.path => {
            format!("of {} that {} leaves it", bytes(limit), printable(owner))
        }
        (Some(limit), _) => format!("of {}", bytes(limit)),
        (None, _) => "no limit".into(),
    };
    let _ = write!(out, "{size} {limit}");
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
    out
}

/// How much of an analysis is shown.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Every cgroup, and all times of pressure.
    pub all: bool,
    /// Paths, and the evidence of each verdict.
    pub verbose: bool,
    /// Width and colour.
    pub style: Style,
}

/// Rows of a screen, leaks whose evidence is shown, and lines of it.
const ROWS: usize = 10;
const LEAKS: usize = 2;
const EVIDENCE: usize = 2;
/// Times of pressure, and of anything else beside the cgroups.
const EPISODES: usize = 2;

/// The rows of a screen, each with its place, and how many are folded.
pub fn rows(analysis: &Analysis) -> (Vec<(Place, Row)>, Folded) {
    let (screen, names) = (screen(analysis, Some(ROWS)), Names::of(analysis, false));
    let rows = screen.shown.into_iter().map(|place| (place, row(&analysis.cgroups[place.at], &place, &names)));
    (rows.collect(), screen.folded)
}

/// The rows of those that are folded, in their order.
pub fn folded_rows(analysis: &Analysis) -> Vec<(Place, Row)> {
    let shown: BTreeSet<usize> = screen(analysis, Some(ROWS)).shown.into_iter().map(|place| place.at).collect();
    let names = Names::of(analysis, false);
    let rest = screen(analysis, None).shown.into_iter().filter(|place| !shown.contains(&place.at));
    rest.map(|place| (place, row(&analysis.cgroups[place.at], &place, &names))).collect()
}

/// The times of pressure, the worst first: whose, and how it was.
pub fn pressures(analysis: &Analysis) -> Vec<(&Pressure, String, String)> {
    let names = Names::of(analysis, false);
    let mut all: Vec<&Pressure> = analysis.pressure.iter().collect();
    all.sort_by(|a, b| weight(&b.episode).total_cmp(&weight(&a.episode)));
    all.into_iter().map(|one| (one, whom(&one.episode, &names), how(&one.episode, &names))).collect()
}

/// What rises together, each in a line.
pub fn together(analysis: &Analysis) -> Vec<String> {
    let names = Names::of(analysis, false);
    analysis.groups.iter().map(|one| group_words(&one.group, &one.from, &names)).collect()
}

fn screen(analysis: &Analysis, most: Option<usize>) -> Screen {
    let standings: Vec<Standing> = analysis.cgroups.iter().map(|cgroup| cgroup.standing.clone()).collect();
    arrange(&standings, analysis.span_s, most)
}

/// Verdicts, what matters first, then pressure, groups, workloads and problems.
pub fn words(analysis: &Analysis, view: View) -> String {
    let style = view.style;
    let mut out = String::new();
    let screen = screen(analysis, (!view.all).then_some(ROWS));
    let names = Names::of(analysis, view.verbose);
    let mut evident = 0;
    let rows: Vec<(Row, String)> = screen
        .shown
        .iter()
        .map(|place| {
            let cgroup = &analysis.cgroups[place.at];
            let leaks = cgroup.verdict.verdict == Class::Leak && place.leaks;
            let more = leaks && evident < LEAKS;
            evident += usize::from(more);
            (row(cgroup, place, &names), below(cgroup, more, view))
        })
        .collect();
    let table = table(&rows.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>(), style);
    for (line, (_, below)) in table.lines().zip(&rows) {
        let _ = writeln!(out, "{line}");
        out.push_str(below);
    }
    if screen.folded.count() > 0 {
        out.push_str(&style.paragraph(&screen.folded.with_hint(), 0));
    }
    let mut lines: Vec<(f64, String)> = Vec::new();
    for Pressure { episode, from, .. } in &analysis.pressure {
        lines.push((weight(episode), pressed(episode, from, &names)));
    }
    few(&mut out, lines, ["time of pressure", "times of pressure"], view);
    let groups = analysis.groups.iter().map(|Together { group, from, .. }| {
        (group.rise_bytes as f64, format!("together      {}", group_words(group, from, &names)))
    });
    few(&mut out, groups.collect(), ["group that rises together", "groups that rise together"], view);
    let mut lines = Vec::new();
    for workload in &analysis.workloads {
        if view.verbose || workload.verdict == Class::Leak {
            let name = printable(&workload.workload);
            let evidence: Vec<_> = workload.evidence.iter().map(|line| printable(line)).collect();
            let words = format!("workload      {name} {}: {}", word(&workload.verdict), evidence.join("; "));
            lines.push((workload.rate_bytes_per_s.unwrap_or(0.0), words));
        }
    }
    few(&mut out, lines, ["workload that leaks", "workloads that leak"], view);
    for problem in &analysis.problems {
        let _ = writeln!(out, "problem       {problem}");
    }
    if analysis.cgroups.is_empty() && !analysis.problems.is_empty() {
        out.push_str("no samples in what could be read\n");
    } else if analysis.cgroups.is_empty() {
        out.push_str("no samples in this time and of these cgroups\n");
    }
    out
}

/// The heaviest few lines, in the order they were given, and how many more there are.
fn few(out: &mut String, mut lines: Vec<(f64, String)>, [one, several]: [&str; 2], view: View) {
    let most = if view.all || view.verbose { usize::MAX } else { EPISODES };
    let mut weights: Vec<f64> = lines.iter().map(|(weight, _)| *weight).collect();
    weights.sort_by(|a, b| b.total_cmp(a));
    let more = lines.len().saturating_sub(most);
    if more > 0 {
        let least = weights[most - 1];
        lines.retain(|(weight, _)| *weight >= least);
        lines.truncate(most);
    }
    for (_, line) in lines {
        let _ = writeln!(out, "{}", wrap(&line, view.style.width, WORD));
    }
    if more > 0 {
        let (of_what, them) = if more == 1 { (one, "it") } else { (several, "them") };
        let _ = writeln!(out, "{:WORD$}{more} more {of_what}; --all shows {them}", "");
    }
}

/// Where the words behind the first one of a line begin.
const WORD: usize = 14;

/// What cgroups are called here.
struct Names<'a> {
    titles: BTreeMap<&'a str, &'a str>,
    /// Names that more than one cgroup has.
    twice: BTreeSet<&'a str>,
    many_hosts: bool,
    paths: bool,
}

impl<'a> Names<'a> {
    fn of(analysis: &'a Analysis, paths: bool) -> Names<'a> {
        let (mut titles, mut twice, mut seen, mut hosts) =
            (BTreeMap::new(), BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        for cgroup in &analysis.cgroups {
            titles.insert(&*cgroup.path, &*cgroup.name);
            if seen.insert(&*cgroup.name, &*cgroup.path).is_some_and(|other| other != cgroup.path) {
                twice.insert(&*cgroup.name);
            }
            hosts.insert(&*cgroup.host);
        }
        Names { titles, twice, many_hosts: hosts.len() > 1, paths }
    }

    /// Safe to show. Where two have one name, and nobody gave it, the folder above is shown too.
    fn name(&self, path: &str) -> String {
        let title = self.titles.get(path).copied().unwrap_or_else(|| paths::name(path));
        if self.paths {
            return printable(path);
        }
        let above = paths::parent(path).map(paths::name).filter(|above| *above != "/");
        match above.filter(|_| self.twice.contains(title) && path.ends_with(title)) {
            Some(above) => printable(&format!("{above}/{title}")),
            // An id is shown as short as its runtime shows it.
            None if path.ends_with(title) => printable(paths::name(path)),
            None => printable(title),
        }
    }

    fn on_host(&self, cgroup: &Cgroup) -> String {
        let title = if self.paths { printable(&cgroup.name) } else { self.name(&cgroup.path) };
        if self.many_hosts { format!("{}: {title}", printable(&cgroup.host)) } else { title }
    }
}

/// One cgroup in a line of the table.
fn row(cgroup: &Cgroup, place: &Place, names: &Names<'_>) -> Row {
    let v = &cgroup.verdict;
    let leaks = v.verdict == Class::Leak && place.leaks;
    let state = match place.reason {
        _ if leaks => ("leak".into(), "1;31"),
        Some(Reason::Killed) => ("killed".into(), "1;31"),
        Some(Reason::Pressed) => ("pressure".into(), "33"),
        Some(Reason::NearLimit) => ("near limit".into(), "33"),
        _ => (word(&v.verdict), ""),
    };
    let own = v.limit_owner.as_ref() == Some(&cgroup.path);
    let size = v.last_bytes.map_or_else(|| "?".into(), bytes);
    let limit = match (cgroup.standing.limit, v.limit_bytes) {
        (Some(limit), _) => format!("of {}", bytes(limit)),
        (None, Some(limit)) if own => format!("of {}", bytes(limit)),
        _ => "no limit".into(),
    };
    let mut remarks = Vec::new();
    match place.kills {
        0 => {}
        1 => remarks.push("1 OOM kill".into()),
        kills => remarks.push(format!("{kills} OOM kills")),
    }
    if leaks {
        if let Some(left) = v.time_to_limit_s {
            let whose = match v.limit_owner.as_deref() {
                Some(MACHINE) => "machine ".into(),
                Some(owner) if !own => format!("{} ", names.name(owner)),
                _ => String::new(),
            };
            remarks.push(format!("{whose}full in {}", duration(left)));
        }
        if let Some(rate) = v.rate_bytes_per_s {
            remarks.push(format!("+{}/min", bytes((rate * 60.0).max(0.0) as u64)));
        }
    }
    if cgroup.standing.stalled_s >= 1.0 {
        remarks.push(format!("waited {} for memory", duration(cgroup.standing.stalled_s)));
    }
    if let Some(used) = cgroup.standing.used().filter(|_| place.reason == Some(Reason::NearLimit)) {
        remarks.push(format!("{:.0} % of its limit", 100.0 * used));
    }
    if let Some(needs) = v.needs_s {
        remarks.push(format!("watch {} longer", duration(needs)));
    }
    Row { state, name: names.on_host(cgroup), figures: vec![size, limit], remarks }
}

/// What stands below the line of a cgroup: the evidence of a leak, and all that is known with `--verbose`.
fn below(cgroup: &Cgroup, more: bool, view: View) -> String {
    let mut out = String::new();
    if view.verbose {
        let _ = writeln!(out, "    {} {}", printable(&cgroup.path), in_a_line(cgroup));
        if let Some(onset) = &cgroup.onset {
            let _ = writeln!(out, "    since {onset}");
        }
    }
    let most = if view.verbose { usize::MAX } else { EVIDENCE * usize::from(more) };
    for line in cgroup.verdict.evidence.iter().take(most) {
        out.push_str(&view.style.paragraph(&printable(line), 4));
    }
    out
}

/// Members that are named; of a large group the others are counted.
const NAMED: usize = 5;

fn group_words(group: &Group, from: &str, names: &Names<'_>) -> String {
    let mut members: Vec<String> = group.members.iter().take(NAMED).map(|path| names.name(path)).collect();
    if group.members.len() > NAMED {
        members.push(format!("and {} more", group.members.len() - NAMED));
    }
    let how = match (group.kind, group.period_s, group.phase_s) {
        (GroupKind::Periodic, Some(period), Some(phase)) => {
            format!(
                "rise together every {} ({phase:.0} s into it), {} times since {from}",
                duration(period),
                group.times
            )
        }
        _ => format!("were started together at {from}"),
    };
    let count = group.members.len();
    format!("{count} cgroups {how}, by {} in all: {}", bytes(group.rise_bytes), members.join(", "))
}

/// What makes one time of pressure worse than another.
fn weight(episode: &Episode) -> f64 {
    episode.stall_s.unwrap_or(0.0) * 1e6 + episode.duration_s
}

fn whom(episode: &Episode, names: &Names<'_>) -> String {
    if episode.path.is_empty() { "the machine".into() } else { names.name(&episode.path) }
}

/// A line on one time of pressure.
fn pressed(episode: &Episode, from: &str, names: &Names<'_>) -> String {
    let (whom, how) = (whom(episode, names), how(episode, names));
    format!("pressure      {whom} {from} for {}: {how}", duration(episode.duration_s))
}

fn how(episode: &Episode, names: &Names<'_>) -> String {
    let mut out = String::from(match episode.kind {
        EpisodeKind::Stall => "tasks waited for memory",
        EpisodeKind::Throttled => "slowed down above memory.high",
        EpisodeKind::LimitHits => "hit its limit, and reclaim made room",
        EpisodeKind::Refaults => "read again what was just thrown out",
        EpisodeKind::Thrashing => "thrashing: read again more than its whole page cache",
        EpisodeKind::SwapStorm => "swap storm: pages went out and came back at once",
        EpisodeKind::Reclaimed => {
            "gave memory back on demand (memory.reclaim, as autoMemoryReclaim of WSL does): nobody is to blame"
        }
        EpisodeKind::HostExhausted => "nearly nothing was left",
    });
    if let (Some(stall), Some(peak)) = (episode.stall_s, episode.peak_some) {
        let _ = write!(out, "; stalled {stall:.1} s, {:.0} % at worst", 100.0 * peak);
    }
    let counts = [
        (episode.limit_hits, "limit hits"),
        (episode.throttles, "times throttled"),
        (episode.refaults, "pages read again"),
        (episode.swapped, "pages swapped"),
        (episode.reclaimed, "pages given back"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(out, "; {count} {what}");
    }
    if let Some(least) = episode.least_available {
        let _ = write!(out, "; {} available at least", bytes(least));
    }
    if let Some(cause) = &episode.cause {
        let (name, grew) = (names.name(&cause.path), bytes(cause.grew_bytes));
        let _ = write!(out, "; meanwhile {name} grew by {grew}, {:.0} % of all growth beside it", 100.0 * cause.share);
    }
    out
}
