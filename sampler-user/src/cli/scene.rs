//! Reads what is needed of a recording for the page of an incident, and no more: a minute of all fields of all cgroups, an
//! hour of their slow parts, and the long history of the one that grew.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::thread;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use sampler::analysis::incident::death;
use sampler::analysis::incident::occurrence::{Occurrence, find};
use sampler::analysis::incident::scene::{AFTER_US, HOUR_US, MINUTE_US, Scene};
use sampler::analysis::incident::trace::Trace;
use sampler::analysis::incident::{Incident, tell};
use sampler::analysis::track::{self, Track};
use sampler::event::What;
use sampler::fields::{FieldId, Table};
use sampler::identity::Names;
use sampler::paths::name;
use sampler::recording::{Origin, TimedEvent};
use sampler::store::scan::{Query, Recording};
use sampler::time::format_us;
use sampler::units::printable;

use super::named;

/// How far back the history of the suspect goes, microseconds.
const HISTORY_US: i64 = 24 * HOUR_US;
/// How long a segment may be: the one before begins no earlier.
const SEGMENT_US: i64 = 6 * HOUR_US;

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

/// The incidents of a recording, with what it takes to tell them.
pub struct Incidents {
    recording: Recording,
    origins: Vec<Origin>,
    events: Vec<TimedEvent>,
    names: Names,
    /// In the order of time.
    pub all: Vec<Occurrence>,
}

impl Incidents {
    /// Finds the incidents of a recording.
    pub fn of(dir: &Path) -> anyhow::Result<Incidents> {
        let mut recording = Recording::open(dir)?;
        let origins = recording.origins();
        let events = recording.events(i64::MIN..i64::MAX);
        let runs_on = is_recording(dir);
        let begins: Vec<i64> =
            events.iter().filter(|e| matches!(e.event.what, What::AgentStart { .. })).map(|e| e.time_us).collect();
        let stops = events.iter().filter(|e| matches!(e.event.what, What::AgentStop { .. })).count();
        // Only a recording that lacks a goodbye is asked when it ended.
        let ends = if begins.len() > stops { ends(&mut recording, &begins, &events) } else { Vec::new() };
        let last = |before: i64| ends.iter().rev().find(|end| **end < before).copied();
        let all = find(&events, &origins, &last, runs_on);
        let mut names = Names::default();
        named::learn(&mut names, &events);
        Ok(Incidents { recording, origins, events, names, all })
    }

    /// The page of one.
    pub fn tell(&mut self, occurrence: &Occurrence) -> anyhow::Result<Incident> {
        Ok(tell(&self.scene(occurrence)?))
    }

    /// One line of a list.
    pub fn line(&self, occurrence: &Occurrence) -> String {
        let called = |path: &str| {
            let told = self.names.of(path, |_| None).and_then(|who| who.title());
            printable(told.as_deref().unwrap_or(name(path)))
        };
        if let Some(death) = &occurrence.death {
            let line = format!("{} {}", death::words::who(death, called), death::words::what(death));
            return format!("{}  {line}: not an OOM kill", format_us(occurrence.at_us));
        }
        let what = match occurrence.kills.first() {
            Some((_, kill)) => {
                let who = kill.victim.as_ref().map_or_else(|| "a process".into(), |victim| printable(&victim.comm));
                let cgroup = kill.victim_cgroup.as_deref().map(|path| format!(" in {}", called(path)));
                let more = occurrence.kills.len() - 1;
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("OOM kill of {who}{}{more}", cgroup.unwrap_or_default())
            }
            None => "the recording stops without a goodbye".into(),
        };
        format!("{}  {what}", format_us(occurrence.at_us))
    }

    /// What a recording without an incident says.
    pub fn all_clear(&self) -> &'static str {
        death::all_clear(&self.events)
    }

    /// What could not be read.
    pub fn problems(&self) -> &[sampler::recording::Problem] {
        &self.recording.problems
    }

    fn scene(&mut self, occurrence: &Occurrence) -> anyhow::Result<Scene> {
        let at = occurrence.at_us;
        let begin = |origin: &&Origin| origin.anchor.wall_us(origin.anchor.mono_ns) <= at;
        let origin = self.origins.iter().rev().find(begin).or(self.origins.first()).cloned();
        let mut scene = Scene::new(occurrence, origin.context("the recording does not say where it was made")?);
        let hour = at - HOUR_US..at + AFTER_US;
        scene.names = self.names.clone();
        scene.events = self.events.iter().filter(|e| hour.contains(&e.time_us)).cloned().collect();
        let query = Query { cgroups: &|_| true, time: hour.clone(), fields: &[], lags: false };
        self.recording.series(Table::Host, &query, |series| scene.host.feed(&series));

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
            scene.cgroups.entry(path).or_default().follow(trace);
        }
        scene.find_suspect();
        self.read_processes(&mut scene);
        self.read_history(&mut scene);
        Ok(scene)
    }

    fn read_processes(&mut self, scene: &mut Scene) {
        let (suspect, victim) = (scene.suspect.clone(), scene.victim_cgroup().map(str::to_owned));
        let wants = |path: &str| suspect.as_deref() == Some(path) || victim.as_deref() == Some(path);
        let time = scene.at_us - 5_000_000..scene.at_us + 1;
        let query = Query { cgroups: &wants, time, fields: &[], lags: false };
        self.recording.series(Table::Processes, &query, |series| {
            let Some(key) = &series.subject.process else { return };
            let path = &series.subject.cgroup;
            let at = scene.processes.iter().position(|(known, other, _)| known == path && other == key);
            let at = at.unwrap_or_else(|| {
                scene.processes.push((path.clone(), key.clone(), Default::default()));
                scene.processes.len() - 1
            });
            scene.processes[at].2.feed(&series);
        });
    }

    /// The suspect's life since it was killed last, without what comes at every tick where that would be too much.
    fn read_history(&mut self, scene: &mut Scene) {
        let Some(suspect) = scene.suspect.clone() else { return };
        let at = scene.at_us;
        let killed = |event: &TimedEvent| match &event.event.what {
            What::OomKill(kill) if kill.victim_cgroup.as_deref() == Some(&suspect) => Some(event.time_us),
            _ => None,
        };
        let before = self.events.iter().filter_map(killed).rfind(|time| *time < at - 1_000_000);
        let from = before.map_or(at - HISTORY_US, |time| (time + 2_000_000).max(at - HISTORY_US));
        let fields: Vec<FieldId> =
            track::FIELDS.into_iter().filter(|f| ![FieldId::Current, FieldId::EventsOomKill].contains(f)).collect();
        let halves = halves(&mut self.recording, from..at, |recording, time| {
            let mut all = Vec::new();
            recording.series_of(Table::Samples, &suspect, time, &fields, |series| all.push(series));
            all
        });
        let mut track = Track::default();
        halves.iter().flatten().for_each(|series| track.feed(series));
        scene.take_history(&mut track);
    }
}

/// Reads the two halves of a time at once; what they tell comes in their order.
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

/// When each run that has no goodbye was seen last.
fn ends(recording: &mut Recording, begins: &[i64], events: &[TimedEvent]) -> Vec<i64> {
    let mut ends = Vec::new();
    for (i, begin) in begins.iter().enumerate() {
        let next = begins.get(i + 1).copied().unwrap_or(i64::MAX);
        let stopped = events
            .iter()
            .any(|e| (*begin..next).contains(&e.time_us) && matches!(e.event.what, What::AgentStop { .. }));
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

/// Whether an agent records into the folder now.
fn is_recording(dir: &Path) -> bool {
    let Ok(file) = File::open(dir.join("lock")) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

/// An event in words.
pub fn words_of(what: &What) -> String {
    sampler::analysis::incident::timeline::words(what).map_or_else(String::new, |(_, words)| words)
}
