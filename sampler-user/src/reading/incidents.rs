//! Reads what is needed of a recording for the page of an incident, and no more: a minute of all fields of all cgroups, an
//! hour of their slow parts, and the long history of the one that grew.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::{fmt, thread};

use anyhow::Context;

use crate::analysis::incident::context::{AFTER_US, HOUR_US, IncidentContext, MINUTE_US};
use crate::analysis::incident::death::{describe, finder};
use crate::analysis::incident::incident_ref::{IncidentRef, find};
use crate::analysis::incident::naming::name_among;
use crate::analysis::incident::trace::Trace;
use crate::analysis::incident::{Incident, explain};
use crate::analysis::leak::track;
use crate::analysis::leak::track::Track;
use crate::analysis::lives::{self, Kill, MOST as LIVES};
use crate::analysis::workloads::key;
use crate::containers::runtimes::identify;
use crate::model::event::EventKind;
use crate::model::fields::{FieldId, Table};
use crate::model::identity::{Identity, Names};
use crate::model::problem::Problem;
use crate::model::recording::{Origin, Series, TimedEvent};
use crate::model::time::format_us;
use crate::model::units::printable;
use crate::reading::names;
use crate::store::is_recording;
use crate::store::scan::{Query, Recording};

/// How far back the history of the suspect goes, microseconds.
const HISTORY_US: i64 = 24 * HOUR_US;
/// How long a segment may be: the one before begins no earlier.
const SEGMENT_US: i64 = 6 * HOUR_US;
/// Values of a path that are kept for the next kill of its loop: 6 MiB. What has more is read again.
const KEPT: usize = 512 << 10;

/// What is read of the hour: nothing that comes at every tick.
const HOUR: [FieldId; 11] = [
    FieldId::Anon,
    FieldId::File,
    FieldId::Shmem,
    FieldId::Kernel,
    FieldId::Slab,
    FieldId::SlabReclaimable,
    FieldId::Sock,
    FieldId::Pagetables,
    FieldId::Max,
    FieldId::PidsCurrent,
    FieldId::CpuUsage,
];
/// And of the minute.
const MINUTE: [FieldId; 13] = [
    FieldId::Current,
    FieldId::PeakInterval,
    FieldId::SwapCurrent,
    FieldId::EventsMax,
    FieldId::EventsHigh,
    FieldId::LocalMax,
    FieldId::PressureSome,
    FieldId::PressureFull,
    FieldId::KernelStack,
    FieldId::SlabUnreclaimable,
    FieldId::FileDirty,
    FieldId::FileWriteback,
    FieldId::Unevictable,
];

/// The incidents of a recording, with what their pages need.
pub struct Incidents {
    recording: Recording,
    origins: Vec<Origin>,
    events: Vec<TimedEvent>,
    names: Names,
    /// Rows of the lives of one workload, by path: the kills of a loop ask for the same ones.
    lives: BTreeMap<String, (Range<i64>, Vec<Series>)>,
    /// In the order of time.
    pub all: Vec<IncidentRef>,
}

/// What is known of a recording in which no incident was found.
#[derive(Clone, Debug, PartialEq)]
pub enum WithoutIncident {
    /// All of it was read: nothing happened. In words, with what was not watched.
    AllClear(&'static str),
    /// Part of it could not be read: an incident may be in there.
    Unread(Vec<Problem>),
}

impl fmt::Display for WithoutIncident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems = match self {
            WithoutIncident::AllClear(words) => return f.write_str(words),
            WithoutIncident::Unread(problems) => problems,
        };
        f.write_str(
            "no incident in what could be read, but this is no all-clear: part of the recording could not be read",
        )?;
        problems.iter().try_for_each(|problem| write!(f, "\nproblem: {problem}"))
    }
}

impl Incidents {
    /// Finds the incidents of a recording.
    pub fn of(dir: &Path) -> anyhow::Result<Incidents> {
        let mut recording = Recording::open(dir)?;
        let origins = recording.origins();
        let events = recording.events(i64::MIN..i64::MAX);
        let runs_on = is_recording(dir);
        let begins: Vec<i64> =
            events.iter().filter(|e| matches!(e.event.what, EventKind::AgentStart { .. })).map(|e| e.time_us).collect();
        let stops = events.iter().filter(|e| matches!(e.event.what, EventKind::AgentStop { .. })).count();
        // Only a recording that lacks a clean stop is asked when it ended.
        let ends = if begins.len() > stops { ends(&mut recording, &begins, &events) } else { Vec::new() };
        let last = |before: i64| ends.iter().rev().find(|end| **end < before).copied();
        let all = find(&events, &origins, &last, runs_on);
        let mut names = Names::default();
        names::learn(&mut names, &events);
        Ok(Incidents { recording, origins, events, names, lives: BTreeMap::new(), all })
    }

    /// The page of one.
    pub fn explain(&mut self, incident: &IncidentRef) -> anyhow::Result<Incident> {
        Ok(explain(&self.context(incident)?))
    }

    /// One line of a list.
    pub fn line(&self, incident: &IncidentRef) -> String {
        let called = |path: &str| name_among(&self.names, path);
        if let Some(death) = &incident.death {
            let line = format!("{} {}", describe::who(death, called), describe::what(death));
            return format!("{}  {line}: not an OOM kill", format_us(incident.at_us));
        }
        let what = match incident.kills.first() {
            Some((_, kill)) => {
                let who = kill.victim.as_ref().map_or_else(|| "a process".into(), |victim| printable(&victim.comm));
                let cgroup = kill.victim_cgroup.as_deref().map(|path| format!(" in {}", called(path)));
                let more = incident.count() - 1;
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("OOM kill of {who}{}{more}", cgroup.unwrap_or_default())
            }
            None => "the recording stops without a clean stop".into(),
        };
        format!("{}  {what}", format_us(incident.at_us))
    }

    /// Who was hit, and by what where that is more than the kind says: of a list in columns.
    pub fn who_and_what(&self, incident: &IncidentRef) -> (String, Option<String>) {
        let called = |path: &str| name_among(&self.names, path);
        if let Some(death) = &incident.death {
            return (describe::who(death, called), Some(describe::what(death)));
        }
        let Some((_, kill)) = incident.kills.first() else {
            return ("the recording".into(), Some("stops without a clean stop".into()));
        };
        let who = kill.victim.as_ref().map_or_else(|| "a process".into(), |victim| printable(&victim.comm));
        let cgroup = kill.victim_cgroup.as_deref().map_or_else(String::new, |path| format!(" in {}", called(path)));
        let more = incident.count() - 1;
        (format!("{who}{cgroup}"), (more > 0).then(|| format!("and {more} more")))
    }

    /// The workload whose limit was hit, by which kills of a loop belong together; `None` of what is no kill.
    pub fn loop_of(&self, incident: &IncidentRef) -> Option<String> {
        let (_, kill) = incident.kills.first()?;
        Some(self.workload(kill.limit_cgroup.as_deref().or(kill.victim_cgroup.as_deref())?))
    }

    /// Who a cgroup is.
    pub fn who(&self, path: &str) -> Option<Identity> {
        self.names.of(path, identify)
    }

    /// What is known when no incident was found.
    pub fn without_incident(&self) -> WithoutIncident {
        match self.problems() {
            [] => WithoutIncident::AllClear(finder::all_clear(&self.events)),
            unread => WithoutIncident::Unread(unread.to_vec()),
        }
    }

    /// What could not be read.
    pub fn problems(&self) -> &[Problem] {
        &self.recording.problems
    }

    fn context(&mut self, incident: &IncidentRef) -> anyhow::Result<IncidentContext> {
        let at = incident.at_us;
        let begin = |origin: &&Origin| origin.anchor.wall_us(origin.anchor.mono_ns) <= at;
        let origin = self.origins.iter().rev().find(begin).or(self.origins.first()).cloned();
        let mut context =
            IncidentContext::new(incident, origin.context("the recording does not hold where it was made")?);
        let hour = at - HOUR_US..at + AFTER_US;
        context.names = self.names.clone();
        context.events = self.events.iter().filter(|e| hour.contains(&e.time_us)).cloned().collect();
        let query = Query { cgroups: &|_| true, time: hour.clone(), fields: &[], lags: false };
        self.recording.series(Table::Host, &query, |series| context.host.feed(&series));

        let minute_us = at - MINUTE_US - 5_000_000;
        let read = |recording: &mut Recording, time: Range<i64>, fields: &[FieldId]| {
            let mut cgroups: BTreeMap<String, Trace> = BTreeMap::new();
            let query = Query { cgroups: &|_| true, time, fields, lags: false };
            recording.series(Table::Samples, &query, |series| {
                cgroups.entry(series.subject.cgroup.clone()).or_default().feed(&series);
            });
            cgroups
        };
        // The minute first: from then on it is known which files hold the rest.
        let minute = read(&mut self.recording, minute_us..hour.end, &[&HOUR[..], &MINUTE].concat());
        let slow = halves(&mut self.recording, hour.start..minute_us, |recording, time| read(recording, time, &HOUR));
        for (path, trace) in slow.into_iter().flatten().chain(minute) {
            context.cgroups.entry(path).or_default().follow(trace);
        }
        context.take_facts();
        context.find_suspect();
        self.read_processes(&mut context);
        self.read_history(&mut context);
        context.is_whole = self.problems().is_empty();
        Ok(context)
    }

    fn read_processes(&mut self, context: &mut IncidentContext) {
        let (suspect, victim) = (context.suspect.clone(), context.victim_cgroup().map(str::to_owned));
        let wants = |path: &str| suspect.as_deref() == Some(path) || victim.as_deref() == Some(path);
        let time = context.at_us - 5_000_000..context.at_us + 1;
        let query = Query { cgroups: &wants, time, fields: &[], lags: false };
        self.recording.series(Table::Processes, &query, |series| {
            let Some(key) = &series.subject.process else { return };
            let path = &series.subject.cgroup;
            let at = context.processes.iter().position(|(known, other, _)| known == path && other == key);
            let at = at.unwrap_or_else(|| {
                context.processes.push((path.clone(), key.clone(), Default::default()));
                context.processes.len() - 1
            });
            context.processes[at].2.feed(&series);
        });
    }

    /// The suspect's last life, and the lives of the victim's workload side by side; without what comes at every tick where that
    /// would be too much.
    fn read_history(&mut self, context: &mut IncidentContext) {
        let at = context.at_us;
        let Some(suspect) = context.suspect.clone() else { return };
        let victim = context.victim_cgroup().unwrap_or(&suspect).to_owned();
        let kills: Vec<KillAt> = self.kills_of(&self.workload(&victim), at);
        let mut tracks: BTreeMap<String, Track> = BTreeMap::new();
        let mut history = None;
        let paths: BTreeSet<&str> = kills.iter().map(|kill| &*kill.path).chain([&*suspect]).collect();
        self.lives.retain(|path, _| paths.contains(&**path));
        for path in paths {
            let own = self.kills_in(path);
            let mut due = own.as_slice();
            let mut track = Track::default();
            for TimedEvent { time_us, event } in self.events.iter().filter(|event| event.time_us <= at) {
                if event.cgroup.as_deref() == Some(path) {
                    track.event(*time_us, &event.what);
                }
            }
            self.rows_of(path, &kills, at, |mut series| {
                let is_before = series.time_us.last().is_none_or(|last| *last < at);
                let mut after = (!is_before).then(|| series.clone());
                series.clip(i64::MIN, at);
                feed(&mut track, series, &mut due, at - 1);
                if let Some(mut after) = after.take() {
                    after.clip(at, i64::MAX);
                    if path == suspect && history.is_none() {
                        history = Some(track.clone());
                    }
                    feed(&mut track, after, &mut due, i64::MAX);
                }
            });
            if path == suspect && history.is_none() {
                history = Some(track.clone());
            }
            tracks.insert(path.to_owned(), track);
        }
        if self.workload(&suspect) != self.workload(&victim) {
            tracks.remove(&suspect);
        }
        let tracks: Vec<(&str, &Track)> = tracks.iter().map(|(path, track)| (&**path, track)).collect();
        let killed: Vec<Kill<'_>> =
            kills.iter().map(|kill| Kill { time_us: kill.time_us, cgroup: &kill.path, limit: kill.limit }).collect();
        let times: Vec<i64> =
            self.kills_of(&self.workload(&victim), i64::MAX).iter().map(|kill| kill.time_us).collect();
        context.take_lives(lives::of_tracks(&tracks, &killed), &times);
        let mut history = history.unwrap_or_default();
        history.keep(1);
        context.take_history(&mut history);
    }

    /// What is the same in all lives of a cgroup.
    fn workload(&self, path: &str) -> String {
        key(path, self.names.of(path, identify).as_ref())
    }

    /// The kills of a workload around a time: a day before and the hour after, as many as lives are kept. All for the end of time.
    fn kills_of(&self, workload: &str, at: i64) -> Vec<KillAt> {
        let all = self.events.iter().filter_map(KillAt::of).filter(|kill| self.workload(&kill.path) == workload);
        if at == i64::MAX {
            return all.collect();
        }
        let near: Vec<KillAt> = all.filter(|kill| (at - HISTORY_US..at + HOUR_US).contains(&kill.time_us)).collect();
        let later = near.iter().filter(|kill| kill.time_us > at).count();
        let first = near.len().saturating_sub(LIVES.saturating_sub(later).max(LIVES / 2) + later);
        near[first..].iter().take(LIVES).cloned().collect()
    }

    /// When there were kills in a cgroup.
    fn kills_in(&self, path: &str) -> Vec<i64> {
        self.events.iter().filter_map(KillAt::of).filter(|kill| kill.path == path).map(|kill| kill.time_us).collect()
    }

    /// Gives the rows of a path to `each`, for as long as its lives matter.
    fn rows_of(&mut self, path: &str, kills: &[KillAt], at: i64, mut each: impl FnMut(Series)) {
        let begin = at - HISTORY_US;
        // Of many lives the last ones are enough: what was before the first of them is not read.
        let first = if kills.len() >= LIVES { kills.first().map_or(begin, |kill| kill.time_us) } else { begin };
        let made = |event: &TimedEvent| {
            matches!(event.event.what, EventKind::CgroupCreated) && event.event.cgroup.as_deref() == Some(path)
        };
        let made = self.events.iter().find(|event| made(event)).map_or(begin, |event| event.time_us);
        let last = kills.iter().filter(|kill| kill.path == path).map(|kill| kill.time_us).next_back();
        let time = begin.max(first).max(made.min(at))..at.max(last.map_or(at, |last| last + 1)).min(at + HOUR_US);
        let known = self.lives.get(path).filter(|(known, _)| known.start <= time.start && known.end >= time.end);
        if let Some((_, rows)) = known {
            return rows.iter().cloned().for_each(each);
        }
        let is_read = |field: &FieldId| ![FieldId::Current, FieldId::EventsOomKill].contains(field);
        let fields: Vec<FieldId> = track::FIELDS.into_iter().filter(is_read).collect();
        let (mut kept, mut size) = (Vec::new(), 0);
        self.recording.series_of(Table::Samples, path, time.clone(), &fields, |series| {
            size += series.len() * series.columns.iter().flatten().count();
            if size <= KEPT {
                kept.push(series.clone());
            } else {
                kept = Vec::new();
            }
            each(series);
        });
        if size <= KEPT {
            self.lives.insert(path.to_owned(), (time, kept));
        }
    }
}

/// A kill, as far as the lives of a workload ask for it.
#[derive(Clone, Debug)]
struct KillAt {
    time_us: i64,
    path: String,
    limit: Option<u64>,
}

impl KillAt {
    fn of(event: &TimedEvent) -> Option<KillAt> {
        let EventKind::OomKill(kill) = &event.event.what else { return None };
        let path = kill.victim_cgroup.clone()?;
        let own = kill.limit_cgroup.as_ref() == Some(&path);
        Some(KillAt { time_us: event.time_us, limit: kill.limit().filter(|_| own), path })
    }
}

/// Feeds rows to a track, with the kills that are due up to a time: no counter is in these rows.
fn feed(track: &mut Track, mut rest: Series, due: &mut &[i64], until: i64) {
    let Some(&last) = rest.time_us.last() else { return };
    while let Some((&kill, later)) = due.split_first().filter(|(kill, _)| **kill <= last.min(until)) {
        let mut before = rest.clone();
        before.clip(i64::MIN, kill + 1);
        if !before.is_empty() {
            track.feed(&before);
        }
        rest.clip(kill + 1, i64::MAX);
        track.killed(kill);
        *due = later;
    }
    if !rest.is_empty() {
        track.feed(&rest);
    }
}

/// Reads the two halves of a time at once; the results are in their order.
fn halves<T: Send>(
    recording: &mut Recording,
    time: Range<i64>,
    read: impl Fn(&mut Recording, Range<i64>) -> T + Sync,
) -> [T; 2] {
    let middle = time.start + (time.end - time.start) / 2;
    let mut other = recording.clone();
    let (earlier, later) = thread::scope(|scope| {
        let later = scope.spawn(|| read(&mut other, middle..time.end));
        (read(recording, time.start..middle), later.join())
    });
    recording.join(other);
    [earlier, later.unwrap_or_else(|panic| std::panic::resume_unwind(panic))]
}

/// When each run that has no clean stop was seen last.
fn ends(recording: &mut Recording, begins: &[i64], events: &[TimedEvent]) -> Vec<i64> {
    let mut ends = Vec::new();
    for (i, begin) in begins.iter().enumerate() {
        let next = begins.get(i + 1).copied().unwrap_or(i64::MAX);
        let stopped = events
            .iter()
            .any(|e| (*begin..next).contains(&e.time_us) && matches!(e.event.what, EventKind::AgentStop { .. }));
        if stopped {
            continue;
        }
        let mut last = events.iter().map(|e| e.time_us).filter(|t| (*begin..next).contains(t)).max().unwrap_or(*begin);
        let of_host = Query { cgroups: &|_| true, time: *begin..next, fields: &[FieldId::MemTotal], lags: false };
        recording
            .series(Table::Host, &of_host, |series| last = last.max(series.time_us.last().copied().unwrap_or(last)));
        let later = Query {
            cgroups: &|_| true,
            time: last..next.min(last.saturating_add(SEGMENT_US)),
            fields: &[FieldId::Current],
            lags: false,
        };
        recording
            .series(Table::Samples, &later, |series| last = last.max(series.time_us.last().copied().unwrap_or(last)));
        ends.push(last);
    }
    ends
}

/// An event in words.
pub fn words_of(what: &EventKind) -> String {
    crate::analysis::incident::timeline::words(what).map_or_else(String::new, |(_, words)| words)
}
