//! The analysis as a person reads it.

use std::fmt::Write;

use crate::analysis::groups::{Group, Kind};
use crate::analysis::leak::detectors::Class;
use crate::analysis::limits::MACHINE;
use crate::analysis::pressure::{Episode, Kind as Felt};
use crate::model::units::{bytes, printable};
use crate::model::word::word;
use crate::reading::analysis::{Analysis, Cgroup, Pressure, Together};

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} d", s / 86400.0),
    }
}

/// What is urgent first, then what is large.
pub fn sorted(analysis: &Analysis) -> Vec<&Cgroup> {
    let mut list: Vec<&Cgroup> = analysis.cgroups.iter().collect();
    let urgency = |c: &Cgroup| c.verdict.time_to_limit_s.unwrap_or(f64::INFINITY);
    list.sort_by(|a, b| {
        (a.verdict.verdict != Class::Leak, a.verdict.verdict != Class::Undetermined)
            .cmp(&(b.verdict.verdict != Class::Leak, b.verdict.verdict != Class::Undetermined))
            .then(urgency(a).total_cmp(&urgency(b)))
            .then(b.verdict.last_bytes.cmp(&a.verdict.last_bytes))
            .then(a.path.cmp(&b.path))
    });
    list
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

/// Verdicts, what is urgent first, then pressure, groups, workloads and problems.
pub fn words(analysis: &Analysis, verbose: bool) -> String {
    let mut out = String::new();
    for cgroup in sorted(analysis) {
        let v = &cgroup.verdict;
        let path = printable(&cgroup.path);
        let called = match cgroup.path.rsplit('/').next() {
            // The name of a unit, or of a folder of nobody, is the end of its path.
            Some(last) if last == cgroup.name => path,
            _ => format!("{} ({path})", printable(&cgroup.name)),
        };
        let _ = writeln!(out, "{:<13} {called} {}", word(&v.verdict), in_a_line(cgroup));
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
        out.push_str(&pressed(episode, from));
    }
    for Together { group, from, .. } in &analysis.groups {
        out.push_str(&group_words(group, from));
    }
    for workload in &analysis.workloads {
        if verbose || workload.verdict == Class::Leak {
            let name = printable(&workload.workload);
            let evidence: Vec<_> = workload.evidence.iter().map(|line| printable(line)).collect();
            let _ = writeln!(out, "workload      {name} {}: {}", word(&workload.verdict), evidence.join("; "));
        }
    }
    for problem in &analysis.problems {
        let _ = writeln!(out, "problem       {}: {}", printable(&problem.source), printable(&problem.what));
    }
    if analysis.cgroups.is_empty() {
        out.push_str("no samples in this time and of these cgroups\n");
    }
    out
}

/// Members that are named; of a large group the others are counted.
const NAMED: usize = 5;

fn group_words(group: &Group, from: &str) -> String {
    let mut members: Vec<String> = group.members.iter().take(NAMED).map(|path| printable(path)).collect();
    if group.members.len() > NAMED {
        members.push(format!("and {} more", group.members.len() - NAMED));
    }
    let how = match (group.kind, group.period_s, group.phase_s) {
        (Kind::Periodic, Some(period), Some(phase)) => {
            format!(
                "rise together every {} ({phase:.0} s into it), {} times since {from}",
                duration(period),
                group.times
            )
        }
        _ => format!("were started together at {from}"),
    };
    let count = group.members.len();
    format!("together      {count} cgroups {how}, by {} in all: {}\n", bytes(group.rise_bytes), members.join(", "))
}

/// A line on one time of pressure.
fn pressed(episode: &Episode, from: &str) -> String {
    let whom = if episode.path.is_empty() { "the machine".into() } else { printable(&episode.path) };
    let mut out = format!("pressure      {whom} {from} for {}: ", duration(episode.duration_s));
    out.push_str(match episode.kind {
        Felt::Stall => "tasks waited for memory",
        Felt::Throttled => "slowed down above memory.high",
        Felt::LimitHits => "hit its limit, and reclaim made room",
        Felt::Refaults => "read again what was just thrown out",
        Felt::Thrashing => "thrashing: read again more than its whole page cache",
        Felt::SwapStorm => "swap storm: pages went out and came back at once",
        Felt::Reclaimed => {
            "gave memory back on demand (memory.reclaim, as autoMemoryReclaim of WSL does): nobody is to blame"
        }
        Felt::HostExhausted => "nearly nothing was left",
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
        let (path, grew) = (printable(&cause.path), bytes(cause.grew_bytes));
        let _ = write!(out, "; meanwhile {path} grew by {grew}, {:.0} % of all growth beside it", 100.0 * cause.share);
    }
    out.push('\n');
    out
}
