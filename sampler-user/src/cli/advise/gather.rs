//! Reads what advice needs from a recording, in one pass over its samples.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail};
use sampler::advise::Machine;
use sampler::advise::demand::{self, Demand};
use sampler::analysis::groups::{Group, Rises, groups};
use sampler::analysis::leak::detectors::Class;
use sampler::analysis::leak::track;
use sampler::analysis::leak::track::Track;
use sampler::analysis::leak::verdict::{Verdict, judge_among};
use sampler::analysis::limits::{Room, nearest};
use sampler::analysis::pressure::{self, Episode, Watch};
use sampler::model::event::What;
use sampler::model::fields::{FieldId, Table};
use sampler::model::paths::is_below;
use sampler::model::recording::{Problem, TimedEvent};
use sampler::reading::names::Named;
use sampler::reading::restart_loops::{Loops, facts_of};
use sampler::store::scan::{Query, Recording};

use crate::cli::Part;

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

#[derive(Default)]
struct Follow {
    track: Track,
    watch: Watch,
    rises: Rises,
}

const HOST: [FieldId; 4] = [FieldId::MemTotal, FieldId::MemAvailable, FieldId::SwapTotal, FieldId::SwapFree];

/// Reads the recording of one host.
pub fn gather(dir: &Path, part: &Part) -> anyhow::Result<Gathered> {
    let mut hosts = Recording::open(dir)?.hosts();
    if hosts.len() > 1 {
        let names: Vec<String> = hosts.keys().map(|host| sampler::model::units::printable(host)).collect();
        bail!(
            "{} holds recordings of {}: advice is for one machine; give a copy with one of them",
            dir.display(),
            names.join(", ")
        );
    }
    let (partition, mut recording) = hosts.pop_first().context("an empty recording")?;
    let events = recording.events(i64::MIN..i64::MAX);
    let mut named = Named::default();
    named.learn(&events);
    let events: Vec<_> = events.into_iter().filter(|event| part.range().contains(&event.time_us)).collect();
    let mut all = Gathered {
        workloads: BTreeMap::new(),
        verdicts: BTreeMap::new(),
        episodes: BTreeMap::new(),
        groups: Vec::new(),
        paths: BTreeSet::new(),
        host: recording.host().unwrap_or(partition),
        machine: Machine::default(),
        named,
        problems: Vec::new(),
    };
    let mut follows: BTreeMap<String, Follow> = BTreeMap::new();
    let mut fields = [&track::FIELDS[..], &pressure::FIELDS, &demand::FIELDS].concat();
    fields.sort_unstable();
    fields.dedup();
    let selection = part.selection()?;
    let query = Query { cgroups: &|path| selection.wants(path), time: part.range(), fields: &fields, lags: false };
    recording.series(Table::Samples, &query, |series| {
        let path = &series.subject.cgroup;
        let Some(&last_us) = series.time_us.last() else { return };
        let follow = match follows.get_mut(path) {
            Some(follow) => follow,
            None => follows.entry(path.clone()).or_default(),
        };
        follow.track.feed(&series);
        follow.watch.feed(&series);
        follow.rises.feed(&series);
        let workload = all.workloads.entry(key(&all.named, path)).or_default();
        workload.demand.feed(&series);
        if last_us >= workload.last_us {
            (workload.path, workload.last_us) = (path.clone(), last_us);
        }
    });
    for (path, told) in facts_of(&events).filter(|(path, _)| selection.wants(path)) {
        follows.entry(path.to_owned()).or_default().track.told(told.0, told.1, told.2);
        let workload = all.workloads.entry(key(&all.named, path)).or_default();
        workload.demand.told(told.0, told.1, told.2);
        if workload.path.is_empty() {
            (workload.path, workload.last_us) = (path.to_owned(), told.0);
        }
    }
    let loops = Loops::of(follows.iter().map(|(path, follow)| (path.as_str(), &follow.track)), &events, &all.named);
    machine(&mut recording, part, &mut all.machine);
    processes(&mut recording, part, &mut all);
    starts(&events, &mut all);
    all.workloads.values_mut().for_each(|workload| workload.demand.end());
    all.problems.append(&mut recording.problems);
    finish(follows, &loops, &mut all);
    Ok(all)
}

/// What names a workload: its name, which a new container of it has again, or its path.
pub fn key(named: &Named, path: &str) -> String {
    let who = named.who(path).filter(|who| who.container.is_some() && who.inner.is_none() && who.pod.is_none());
    who.and_then(|who| who.name).unwrap_or_else(|| path.to_owned())
}

fn finish(mut follows: BTreeMap<String, Follow>, loops: &Loops, all: &mut Gathered) {
    let rises: Vec<(&str, &Rises)> = follows.iter().map(|(path, follow)| (&**path, &follow.rises)).collect();
    all.groups = groups(&rises);
    let room = |(path, follow): (&String, &Follow)| Some((path.clone(), follow.track.room()?));
    let rooms: BTreeMap<String, Room> = follows.iter().filter_map(room).collect();
    for (path, follow) in &mut follows {
        if let Some(verdict) = judge_among(&mut follow.track, nearest(path, &rooms), loops.of_path(path)) {
            all.verdicts.insert(path.clone(), verdict);
        }
        all.episodes.insert(path.clone(), std::mem::take(&mut follow.watch).end());
    }
    all.paths = follows.into_keys().collect();
}

fn machine(recording: &mut Recording, part: &Part, machine: &mut Machine) {
    if let Some(origin) = recording.origins().pop() {
        (machine.kernel, machine.wsl) = (origin.kernel, origin.wsl);
    }
    let query = Query { cgroups: &|_| true, time: part.range(), fields: &HOST, lags: false };
    recording.series(Table::Host, &query, |series| {
        let [total, available, swap, free] = HOST.map(|id| series.column(id.field()));
        let last = |column: Option<&sampler::model::recording::Column>| column.and_then(|c| c.values.last().copied());
        let least =
            |column: Option<&sampler::model::recording::Column>| column.and_then(|c| c.values.iter().copied().min());
        machine.total = last(total).or(machine.total);
        machine.swap_total = last(swap).or(machine.swap_total);
        let smaller = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        machine.available_least = smaller(machine.available_least, least(available));
        machine.swap_free_least = smaller(machine.swap_free_least, least(free));
    });
    machine.used_most = machine.total.zip(machine.available_least).map(|(total, left)| total.saturating_sub(left));
}

fn processes(recording: &mut Recording, part: &Part, all: &mut Gathered) {
    let query = Query { cgroups: &|_| true, time: part.range(), fields: &[FieldId::ProcessAnon], lags: false };
    recording.series(Table::Processes, &query, |series| {
        let Some(process) = &series.subject.process else { return };
        let Some(workload) = all.workloads.get_mut(&key(&all.named, &series.subject.cgroup)) else { return };
        let anon = series.column(FieldId::ProcessAnon.field()).and_then(|c| c.values.iter().copied().max());
        let most = workload.processes.entry(process.comm.clone()).or_default();
        *most = (*most).max(anon.unwrap_or(0));
    });
}

fn starts(events: &[TimedEvent], all: &mut Gathered) {
    for event in events {
        let Some(path) = &event.event.cgroup else { continue };
        if matches!(event.event.what, What::CgroupCreated)
            && let Some(workload) = all.workloads.get_mut(&key(&all.named, path))
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

    /// Whether no other cgroup that was seen is below it.
    pub fn is_leaf(&self, path: &str) -> bool {
        let mut after = self.paths.range::<str, _>((std::ops::Bound::Excluded(path), std::ops::Bound::Unbounded));
        // Names that begin alike (`/a`, `/a-b`, `/a/c`) may stand between.
        !after.by_ref().take_while(|next| next.starts_with(path)).any(|next| is_below(next, path))
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
