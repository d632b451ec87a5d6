//! The analysis of recordings as a document: what `analyze` prints and what a report shows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;

use crate::analysis::groups::Group;
use crate::analysis::leak::verdict::Verdict;
use crate::analysis::lives::Loop;
use crate::analysis::pressure::Episode;
use crate::analysis::restart_loops::Loops;
use crate::analysis::workloads::{Course, Workload, roll_up, workload};
use crate::model::recording::Problem;
use crate::model::time::format_us;
use crate::reading::survey::{Surveyed, survey};
use crate::store::scan::Recording;

/// The document `sampler.analyze.v1`.
#[derive(Debug, Serialize)]
pub struct Analysis {
    /// `sampler.analyze.v1`.
    pub format: &'static str,
    /// The first row, RFC 3339.
    pub from: Option<String>,
    /// The last row, RFC 3339.
    pub to: Option<String>,
    /// The cgroups, by host and path.
    pub cgroups: Vec<Cgroup>,
    /// Times of pressure.
    pub pressure: Vec<Pressure>,
    /// Groups.
    pub groups: Vec<Together>,
    /// Workloads of several lives.
    pub workloads: Vec<Workload>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// The verdict on one cgroup.
#[derive(Debug, Serialize)]
pub struct Cgroup {
    /// The host.
    pub host: String,
    /// Its path.
    pub path: String,
    /// What people call it, or the last part of its path.
    pub name: String,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// When it began, RFC 3339.
    pub onset: Option<String>,
}

/// A time of pressure.
#[derive(Debug, Serialize)]
pub struct Pressure {
    /// The host.
    pub host: String,
    /// When and how.
    #[serde(flatten)]
    pub episode: Episode,
    /// Its begin, RFC 3339.
    pub from: String,
    /// Its end, RFC 3339.
    pub to: String,
}

/// Cgroups that rise together.
#[derive(Debug, Serialize)]
pub struct Together {
    /// The host.
    pub host: String,
    /// Who and how.
    #[serde(flatten)]
    pub group: Group,
    /// Its begin, RFC 3339.
    pub from: String,
    /// Its end, RFC 3339.
    pub to: String,
}

/// The courses of a workload's lives, each with its host, and its restart loop.
type Lived = (Vec<(String, Course)>, Option<Loop>);

/// Analyses the cgroups that `is_wanted` of recordings in a time, wall-clock microseconds; `progress` is given the number of rows of
/// each part that was read.
///
/// # Errors
/// A path that holds no recording, or that cannot be opened. What of it cannot be read is in [`Analysis::problems`].
pub fn analyze(
    paths: &[PathBuf],
    is_wanted: &dyn Fn(&str) -> bool,
    time: &Range<i64>,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<Analysis> {
    let mut hosts: BTreeMap<String, Recording> = BTreeMap::new();
    for path in paths {
        for (host, recording) in Recording::open(path)?.hosts() {
            match hosts.get_mut(&host) {
                Some(known) => known.join(recording),
                None => drop(hosts.insert(host, recording)),
            }
        }
    }
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
        let surveyed = survey(&mut recording, is_wanted, time, &[], |_, series| {
            let (Some(&from), Some(&to)) = (series.time_us.first(), series.time_us.last()) else { return };
            (first, last) = (first.min(from), last.max(to));
            progress(series.len() as u64);
        });
        analysis.problems.append(&mut recording.problems);
        analysis.add(&host, surveyed, &mut lives);
    }
    let judged = |(name, (lives, restarts)): (&String, &Lived)| roll_up(name, lives, restarts.as_ref());
    analysis.workloads = lives.iter().filter_map(judged).collect();
    analysis.from = (first != i64::MAX).then(|| format_us(first));
    analysis.to = (last != i64::MIN).then(|| format_us(last));
    Ok(analysis)
}

impl Analysis {
    /// Takes the findings of one host.
    fn add(&mut self, host: &str, surveyed: Surveyed, lives: &mut BTreeMap<String, Lived>) {
        let Surveyed { findings, named, .. } = surveyed;
        let host = || host.to_owned();
        self.pressure.extend(findings.episodes.into_iter().map(|episode| Pressure {
            host: host(),
            from: format_us(episode.time_us.0),
            to: format_us(episode.time_us.1),
            episode,
        }));
        self.groups.extend(findings.groups.into_iter().map(|group| Together {
            host: host(),
            from: format_us(group.time_us.0),
            to: format_us(group.time_us.1),
            group,
        }));
        let loops: &Loops = &findings.loops;
        for (path, courses) in findings.courses {
            if let Some(name) = workload(&path, named.who(&path).as_ref()) {
                let (all, restarts) = lives.entry(name).or_default();
                all.extend(courses.into_iter().map(|course| (host(), course)));
                *restarts = loops.of_path(&path).cloned().or(restarts.take());
            }
        }
        for (path, verdict) in findings.verdicts {
            let onset = verdict.onset_us.map(format_us);
            let name = named.title(&path).unwrap_or_else(|| last_part(&path));
            self.cgroups.push(Cgroup { host: host(), name, path, onset, verdict });
        }
    }
}

/// The last part of a path that nobody has a name for.
fn last_part(path: &str) -> String {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("/").to_owned()
}
