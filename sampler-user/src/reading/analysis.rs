//! The analysis of recordings as a document: what `analyze` prints and what a report shows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;

use crate::advise::demand;
use crate::analysis::groups::Group;
use crate::analysis::leak::detectors::Class;
use crate::analysis::leak::verdict::Verdict;
use crate::analysis::lives::Loop;
use crate::analysis::pressure::Episode;
use crate::analysis::relevance::Standing;
use crate::analysis::restart_loops::Loops;
use crate::analysis::workloads::{Course, Workload, roll_up, workload};
use crate::model::event::EventKind;
use crate::model::fields::{FieldId, UNLIMITED};
use crate::model::identity::Identity;
use crate::model::problem::Problem;
use crate::model::recording::{Series, TimedEvent};
use crate::model::time::format_us;
use crate::reading::findings::{FindingRows, Gathering};
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
    /// Time of the recording, seconds.
    #[serde(skip)]
    pub span_s: f64,
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
    /// What decides its place on a screen.
    #[serde(skip)]
    pub standing: Standing,
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
/// each part that was read. `rows` takes the findings as rows as well.
///
/// # Errors
/// A path that holds no recording, or that cannot be opened. What of it cannot be read is in [`Analysis::problems`].
pub fn analyze(
    paths: &[PathBuf],
    is_wanted: &dyn Fn(&str) -> bool,
    time: &Range<i64>,
    progress: &mut dyn FnMut(u64),
    mut rows: Option<&mut FindingRows>,
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
        span_s: 0.0,
    };
    // One host after the other: what is kept of it is small.
    for (partition, mut recording) in hosts {
        let host = recording.host().unwrap_or(partition);
        let mut sizes: BTreeMap<String, Sizes> = BTreeMap::new();
        let mut gathering = rows.as_ref().map(|_| Gathering::default());
        let more = if gathering.is_some() { &demand::FIELDS[..] } else { &[] };
        let surveyed = survey(&mut recording, is_wanted, time, (more, gathering.is_some()), |_, series| {
            let (Some(&from), Some(&to)) = (series.time_us.first(), series.time_us.last()) else { return };
            (first, last) = (first.min(from), last.max(to));
            match sizes.get_mut(&series.subject.cgroup) {
                Some(known) => known.feed(series),
                None => sizes.entry(series.subject.cgroup.clone()).or_default().feed(series),
            }
            if let Some(gathering) = &mut gathering {
                gathering.feed(series);
            }
            progress(series.len() as u64);
        });
        if let (Some(rows), Some(gathering)) = (rows.as_deref_mut(), gathering) {
            let origins = recording.origins();
            rows.add_host(&host, &surveyed, gathering, &origins, &recording.problems);
        }
        analysis.problems.append(&mut recording.problems);
        analysis.add(&host, surveyed, &sizes, &mut lives);
    }
    let judged = |(name, (lives, restarts)): (&String, &Lived)| roll_up(name, lives, restarts.as_ref());
    analysis.workloads = lives.iter().filter_map(judged).collect();
    analysis.span_s = (last.saturating_sub(first)).max(0) as f64 / 1e6;
    analysis.from = (first != i64::MAX).then(|| format_us(first));
    analysis.to = (last != i64::MIN).then(|| format_us(last));
    Ok(analysis)
}

impl Analysis {
    /// Takes the findings of one host.
    fn add(
        &mut self,
        host: &str,
        surveyed: Surveyed,
        sizes: &BTreeMap<String, Sizes>,
        lives: &mut BTreeMap<String, Lived>,
    ) {
        let Surveyed { findings, named, events } = surveyed;
        let host = || host.to_owned();
        let killed = killed(&events);
        let mut stalled: BTreeMap<String, f64> = BTreeMap::new();
        for episode in &findings.episodes {
            if let Some(waited_s) = episode.waited_s() {
                *stalled.entry(episode.path.clone()).or_default() += waited_s;
            }
        }
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
            let who = named.who(&path);
            let name = who.as_ref().and_then(Identity::title).unwrap_or_else(|| last_part(&path));
            let mut standing = Standing {
                host: host(),
                path: path.clone(),
                name: name.clone(),
                kills: match &killed {
                    Some(killed) => killed.get(&path).copied().unwrap_or(0),
                    None => verdict.oom_kills,
                },
                leak: (verdict.verdict == Class::Leak).then(|| verdict.rate_bytes_per_s.unwrap_or(0.0)),
                left_s: verdict.time_to_limit_s,
                stalled_s: stalled.get(&path).copied().unwrap_or(0.0),
                limit: verdict.limit_bytes.filter(|_| verdict.limit_owner.as_ref() == Some(&path)),
                ..Standing::default()
            };
            if let Some(sizes) = sizes.get(&path) {
                sizes.describe(&mut standing);
            }
            standing.know(who.as_ref());
            self.cgroups.push(Cgroup { host: host(), name, path, onset, verdict, standing });
        }
    }
}

/// Kills by the cgroup of the victim; `None` where no kill has an event, as in what was imported: then the counters are asked.
fn killed(events: &[TimedEvent]) -> Option<BTreeMap<String, u64>> {
    let mut killed: BTreeMap<String, u64> = BTreeMap::new();
    for event in events {
        let (victim, count) = match &event.event.what {
            EventKind::OomKill(kill) => (kill.victim_cgroup.clone(), 1),
            EventKind::MoreOomKills(more) => (more.victim_cgroup.clone(), more.count),
            _ => continue,
        };
        *killed.entry(victim.unwrap_or_default()).or_default() += count;
    }
    (!killed.is_empty()).then_some(killed)
}

/// How one cgroup began, grew and ended.
#[derive(Debug, Default)]
struct Sizes {
    time_us: Option<(i64, i64)>,
    first: Option<u64>,
    last: u64,
    peak: u64,
    file: u64,
    shmem: u64,
    limit: Option<u64>,
}

impl Sizes {
    fn feed(&mut self, series: &Series) {
        let (Some(&from), Some(&to)) = (series.time_us.first(), series.time_us.last()) else { return };
        self.time_us = Some((self.time_us.map_or(from, |(first, _)| first), to));
        let last = |id: FieldId| series.column(id.field()).and_then(|column| column.values.last().copied());
        if let Some(current) = series.column(FieldId::Current.field()) {
            self.first = self.first.or(current.values.first().copied());
            self.peak = current.values.iter().copied().max().unwrap_or(0).max(self.peak);
            self.last = current.values.last().copied().unwrap_or(self.last);
        }
        self.file = last(FieldId::File).unwrap_or(self.file);
        self.shmem = last(FieldId::Shmem).unwrap_or(self.shmem);
        self.limit = last(FieldId::Max).or(self.limit);
    }

    fn describe(&self, standing: &mut Standing) {
        standing.limit = self.limit.filter(|limit| *limit != UNLIMITED).or(standing.limit);
        standing.peak = self.peak;
        standing.grew = self.peak.saturating_sub(self.first.unwrap_or(self.peak));
        standing.held = self.last.saturating_sub(self.file.saturating_sub(self.shmem));
        standing.watched_s = self.time_us.map_or(0.0, |(from, to)| (to - from) as f64 / 1e6);
    }
}

/// The last part of a path that nobody has a name for.
fn last_part(path: &str) -> String {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("/").to_owned()
}
