//! Reads what advice needs from a recording, in one pass over its samples.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, bail};

use crate::advise::Machine;
use crate::advise::demand::{self, Demand};
use crate::analysis::groups::Group;
use crate::analysis::leak::detectors::Class;
use crate::analysis::leak::verdict::Verdict;
use crate::analysis::pressure::Episode;
use crate::analysis::restart_loops::{Loops, facts_of};
use crate::model::event::EventKind;
use crate::model::fields::{FieldId, Table};
use crate::model::paths::is_below;
use crate::model::problem::Problem;
use crate::model::recording::{Column, TimedEvent};
use crate::model::units::printable;
use crate::reading::names::Named;
use crate::reading::survey::{Surveyed, survey};
use crate::store::scan::{Query, Recording};

/// One workload: a container, which may have had several cgroups one after the other.
#[derive(Default)]
pub struct Workload {
    /// Its last cgroup.
    pub path: String,
    /// When its last row was.
    pub last_us: i64,
    /// What it needs.
    pub demand: Demand,
    /// When its cgroups were made, microseconds.
    pub starts: Vec<i64>,
    /// Names of its processes and the most anonymous memory of each.
    pub processes: BTreeMap<String, u64>,
}

/// What was read.
pub struct Gathered {
    /// By name, or else by path.
    pub workloads: BTreeMap<String, Workload>,
    /// What is said of each cgroup.
    pub verdicts: BTreeMap<String, Verdict>,
    /// The restart loops.
    pub loops: Loops,
    /// Times of pressure, by cgroup.
    pub episodes: BTreeMap<String, Vec<Episode>>,
    /// Who rises together.
    pub groups: Vec<Group>,
    /// All cgroups that were seen.
    pub paths: BTreeSet<String>,
    /// Names.
    pub named: Named,
    /// The machine.
    pub machine: Machine,
    /// Host the recording is of.
    pub host: String,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

const HOST: [FieldId; 4] = [FieldId::MemTotal, FieldId::MemAvailable, FieldId::SwapTotal, FieldId::SwapFree];

/// Reads the recording of one host: the cgroups that `is_wanted` in a time, wall-clock microseconds.
///
/// # Errors
/// No recording, or one of several hosts.
pub fn gather(dir: &Path, is_wanted: &dyn Fn(&str) -> bool, time: &Range<i64>) -> anyhow::Result<Gathered> {
    let mut hosts = Recording::open(dir)?.hosts();
    if hosts.len() > 1 {
        let names: Vec<String> = hosts.keys().map(|host| printable(host)).collect();
        bail!(
            "{} holds recordings of {}: advice is for one machine; give a copy with one of them",
            dir.display(),
            names.join(", ")
        );
    }
    let (partition, mut recording) = hosts.pop_first().context("an empty recording")?;
    let mut workloads: BTreeMap<String, Workload> = BTreeMap::new();
    let surveyed = survey(&mut recording, is_wanted, time, (&demand::FIELDS, false), |named, series| {
        let path = &series.subject.cgroup;
        let Some(&last_us) = series.time_us.last() else { return };
        let workload = workloads.entry(limited(named, path)).or_default();
        workload.demand.feed(series);
        if last_us >= workload.last_us {
            (workload.path, workload.last_us) = (path.clone(), last_us);
        }
    });
    let Surveyed { findings, named, events } = surveyed;
    for (path, (time_us, limit, usage)) in facts_of(&events).filter(|(path, _)| is_wanted(path)) {
        let workload = workloads.entry(limited(&named, path)).or_default();
        workload.demand.limit_hit(time_us, limit, usage);
        if workload.path.is_empty() {
            (workload.path, workload.last_us) = (path.to_owned(), time_us);
        }
    }
    let mut episodes: BTreeMap<String, Vec<Episode>> = BTreeMap::new();
    for episode in findings.episodes {
        episodes.entry(episode.path.clone()).or_default().push(episode);
    }
    let mut all = Gathered {
        workloads,
        verdicts: findings.verdicts,
        loops: findings.loops,
        episodes,
        groups: findings.groups,
        paths: findings.paths,
        host: recording.host().unwrap_or(partition),
        machine: machine(&mut recording, time),
        named,
        problems: Vec::new(),
    };
    processes(&mut recording, time, &mut all);
    starts(&events, &mut all);
    all.workloads.values_mut().for_each(|workload| workload.demand.end());
    all.problems.append(&mut recording.problems);
    Ok(all)
}

/// What a limit is set for: a container by its name, which its next life has again, else a path. Replicas of a service are apart here,
/// as each has a limit of its own; [`workloads::key`](crate::analysis::workloads::key) joins them.
pub fn limited(named: &Named, path: &str) -> String {
    let who = named.who(path).filter(|who| who.is_container() && who.pod.is_none());
    who.and_then(|who| who.name).unwrap_or_else(|| path.to_owned())
}

fn machine(recording: &mut Recording, time: &Range<i64>) -> Machine {
    let mut machine = Machine::default();
    if let Some(origin) = recording.origins().pop() {
        (machine.kernel, machine.wsl) = (origin.kernel, origin.wsl);
    }
    let query = Query { cgroups: &|_| true, time: time.clone(), fields: &HOST, lags: false };
    recording.series(Table::Host, &query, |series| {
        let [total, available, swap, free] = HOST.map(|id| series.column(id.field()));
        let last = |column: Option<&Column>| column.and_then(|c| c.values.last().copied());
        let least = |column: Option<&Column>| column.and_then(|c| c.values.iter().copied().min());
        machine.total = last(total).or(machine.total);
        machine.swap_total = last(swap).or(machine.swap_total);
        let smaller = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        machine.available_least = smaller(machine.available_least, least(available));
        machine.swap_free_least = smaller(machine.swap_free_least, least(free));
    });
    machine.used_most = machine.total.zip(machine.available_least).map(|(total, left)| total.saturating_sub(left));
    machine
}

fn processes(recording: &mut Recording, time: &Range<i64>, all: &mut Gathered) {
    let query = Query { cgroups: &|_| true, time: time.clone(), fields: &[FieldId::ProcessAnon], lags: false };
    recording.series(Table::Processes, &query, |series| {
        let Some(process) = &series.subject.process else { return };
        let Some(workload) = all.workloads.get_mut(&limited(&all.named, &series.subject.cgroup)) else { return };
        let anon = series.column(FieldId::ProcessAnon.field()).and_then(|c| c.values.iter().copied().max());
        let most = workload.processes.entry(process.comm.clone()).or_default();
        *most = (*most).max(anon.unwrap_or(0));
    });
}

fn starts(events: &[TimedEvent], all: &mut Gathered) {
    for event in events {
        let Some(path) = &event.event.cgroup else { continue };
        if matches!(event.event.what, EventKind::CgroupCreated)
            && let Some(workload) = all.workloads.get_mut(&limited(&all.named, path))
        {
            workload.starts.push(event.time_us);
        }
    }
}

impl Gathered {
    /// Whether a cgroup, or one in it, leaks; with the verdict that says so.
    pub fn leak_in(&self, path: &str) -> Option<&Verdict> {
        let leaks = |verdict: &&Verdict| verdict.verdict == Class::Leak;
        self.verdicts
            .get(path)
            .filter(leaks)
            .or_else(|| self.verdicts.iter().filter(|(of, _)| is_below(of, path)).map(|(_, v)| v).find(leaks))
    }
}

/// Most starts within an hour.
pub fn most_in_an_hour(starts: &[i64]) -> usize {
    let mut starts = starts.to_vec();
    starts.sort_unstable();
    let in_hour =
        |(at, from): (usize, &i64)| starts[at..].iter().take_while(|time| *time - from <= 3_600_000_000).count();
    starts.iter().enumerate().map(in_hour).max().unwrap_or(0)
}
