//! What is known around an incident, and the facts that all causes ask for.

use std::collections::BTreeMap;

use crate::analysis::incident::death::Death;
use crate::analysis::incident::grown_part::GrownPart;
use crate::analysis::incident::incident_ref::{Afterwards, IncidentKind, IncidentRef, is_known};
use crate::analysis::incident::limit::{Limit, Owner};
use crate::analysis::incident::naming::name_among;
use crate::analysis::incident::trace::Trace;
use crate::analysis::incident::victim::{Trigger, Victim};
use crate::analysis::leak::detectors::Class as MemoryClass;
use crate::analysis::leak::track::Track;
use crate::analysis::leak::verdict::{Verdict, judge_among};
use crate::analysis::limits::MACHINE;
use crate::analysis::lives::{Life, Loop, loop_of};
use crate::analysis::workloads::key;
use crate::model::evidence::{OomKill, TaskRow};
use crate::model::fields::FieldId;
use crate::model::identity::Names;
use crate::model::paths::is_below;
use crate::model::recording::{Origin, ProcessKey, TimedEvent};
use crate::model::word::word;
use crate::model::{evidence, memory};

/// A life up to this long may be all start, seconds: services take minutes to warm up.
pub const SHORT_LIFE_S: f64 = 300.0;
/// How far back the traces go, microseconds.
pub const HOUR_US: i64 = 3_600_000_000;
/// How far back everything of every cgroup is read.
pub const MINUTE_US: i64 = 60_000_000;
/// How far beyond the incident is read.
pub const AFTER_US: i64 = 10_000_000;

/// What was read around an incident.
#[derive(Debug)]
pub struct IncidentContext {
    /// What kind of incident.
    pub kind: IncidentKind,
    /// When it began, microseconds since 1970.
    pub at_us: i64,
    /// The kills.
    pub kills: Vec<(i64, OomKill)>,
    /// Kills beyond these that a storm brought.
    pub more: u64,
    /// What came after an abrupt end.
    pub afterwards: Option<Afterwards>,
    /// The process that ended, of a death.
    pub death: Option<Box<Death>>,
    /// Where it was recorded.
    pub origin: Origin,
    /// When it was, of a kill that only a kernel's log shows: then nothing was recorded around it.
    pub logged: Option<Logged>,
    /// The cgroups: an hour of what is slow, a minute of all.
    pub cgroups: BTreeMap<String, Trace>,
    /// The machine.
    pub host: Trace,
    /// Its processes, by cgroup.
    pub processes: Vec<(String, ProcessKey, Trace)>,
    /// The names of containers, as far as they were recorded.
    pub names: Names,
    /// Events of the hour, and kills of before.
    pub events: Vec<TimedEvent>,
    /// The cgroup that made the memory short.
    pub suspect: Option<String>,
    /// The verdict on its long history.
    pub history: Option<Verdict>,
    /// How long that history is, seconds.
    pub history_s: f64,
    /// The lives of the victim's workload, oldest first.
    pub lives: Vec<Life>,
    /// What they have in common, when kills ended several.
    pub restarts: Option<Loop>,
    /// Whether all of the recording could be read.
    pub is_whole: bool,
}

/// When something was by a kernel's log, which may know no date, or no time at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logged {
    /// As the log has it: RFC 3339 where it can be, else as much of that as is known.
    pub time: String,
    /// Behind `was killed`: ` at 02:11:47 (the log's clock)`, ` 86412.5 s after boot`, or nothing.
    pub words: String,
    /// Microseconds since 1970, where the date and the zone are known.
    pub time_us: Option<i64>,
    /// What is missing of it, in a sentence.
    pub unknown: Option<String>,
}

/// One way to rank cgroups.
type Way<'a> = &'a dyn Fn(&str, &Trace) -> i64;

/// The victim of a kill, where its sizes are known.
fn sizes(kill: &OomKill) -> Option<&evidence::Victim> {
    // Of a line that was cut the sizes are not known.
    let victim = kill.victim.as_ref().filter(|victim| victim.total_vm + victim.anon_rss > 0 || kill.probe.is_some());
    victim.filter(|_| kill.report.is_some() || kill.probe.as_ref().is_some_and(|p| p.has_sizes))
}

impl IncidentContext {
    /// A context without anything that was read.
    pub fn new(incident: &IncidentRef, origin: Origin) -> IncidentContext {
        IncidentContext {
            kind: incident.kind,
            at_us: incident.at_us,
            kills: incident.kills.clone(),
            more: incident.more,
            afterwards: incident.afterwards,
            death: incident.death.clone(),
            origin,
            logged: None,
            cgroups: BTreeMap::new(),
            host: Trace::default(),
            processes: Vec::new(),
            names: Names::default(),
            events: Vec::new(),
            suspect: None,
            history: None,
            history_s: 0.0,
            lives: Vec::new(),
            restarts: None,
            is_whole: true,
        }
    }

    /// A cgroup as people call it. Safe to show.
    pub fn called(&self, path: &str) -> String {
        name_among(&self.names, path)
    }

    /// The cgroup of a death as people call it. Safe to show.
    pub fn called_death(&self) -> String {
        let path = self.death.as_ref().and_then(|death| death.cgroup.as_deref());
        path.map_or_else(|| "the container".into(), |path| self.called(path))
    }

    /// The kill that began it, or the first of which it is known whose limit it was.
    pub fn kill(&self) -> Option<&OomKill> {
        self.kills.iter().find(|(_, kill)| is_known(kill)).or(self.kills.first()).map(|(_, kill)| kill)
    }

    /// cgroup of the first victim.
    pub fn victim_cgroup(&self) -> Option<&str> {
        match &self.death {
            Some(death) => death.cgroup.as_deref(),
            None => self.kill()?.victim_cgroup.as_deref(),
        }
    }

    /// The first moment after which the traces show what the kill freed: what comes after it is not of before.
    pub fn before_us(&self) -> i64 {
        // The probe and the log report a kill a moment before or after memory falls.
        self.at_us
    }

    /// Whose limit was hit.
    pub fn limit(&self) -> Limit {
        let Some(kill) = self.kill() else { return Limit::unknown() };
        let limit = Limit::of(kill);
        match (limit.owner, &limit.cgroup) {
            (Owner::Machine, _) => {
                let total = self.host.at(FieldId::MemTotal, self.at_us);
                let free = self.host.at(FieldId::MemAvailable, self.at_us);
                let usage = total.zip(free).map(|(total, free)| total.saturating_sub(free));
                Limit { limit: total, usage, ..limit }
            }
            (_, Some(path)) => {
                let trace = self.cgroups.get(path);
                let read = |field| trace.and_then(|trace| trace.limit(field, self.at_us));
                Limit {
                    limit: limit.limit.or_else(|| read(FieldId::Max)),
                    usage: limit.usage.or_else(|| read(FieldId::Current)),
                    ..limit
                }
            }
            _ => limit,
        }
    }

    /// Whether it was the machine that ran out: by a kill, or by an end at which it had nothing left.
    pub fn is_of_machine(&self) -> bool {
        self.kind == IncidentKind::AbruptEnd || self.limit().owner == Owner::Machine
    }

    /// Who asked.
    pub fn trigger(&self) -> Option<Trigger> {
        let kill = self.kill()?;
        let reported = kill.report.as_ref().and_then(|report| report.trigger.as_ref());
        let probe = kill.probe.as_ref();
        let comm = reported.map(|t| t.comm.clone()).or_else(|| probe.map(|p| p.trigger_comm.clone()))?;
        let pid = probe.map(|p| p.trigger_pid).filter(|pid| *pid > 0);
        let order = reported.map(|t| t.order).or_else(|| Some(i64::from(probe?.request.as_ref()?.order)));
        let is_victim = match (pid, &kill.victim) {
            (Some(pid), Some(victim)) => pid == victim.pid,
            (None, Some(victim)) => victim.comm == comm,
            _ => false,
        };
        Some(Trigger { comm, pid, order, is_victim })
    }

    /// Who was killed.
    pub fn victims(&self) -> Vec<Victim> {
        let one = |(time_us, kill): &(i64, OomKill)| {
            let (known, sizes) = (kill.victim.as_ref(), sizes(kill));
            Victim {
                time_us: self.logged.as_ref().map_or(Some(*time_us), |logged| logged.time_us),
                pid: known.map(|v| v.pid),
                comm: known.map(|v| v.comm.clone()),
                cgroup: kill.victim_cgroup.clone(),
                anon: sizes.map(|v| v.anon_rss),
                shmem: sizes.map(|v| v.shmem_rss),
                pgtables: sizes.map(|v| v.pgtables),
                oom_score_adj: known.map(|v| v.oom_score_adj),
            }
        };
        self.kills.iter().map(one).collect()
    }

    /// Who saw it.
    pub fn witnesses(&self) -> Vec<String> {
        if let Some(death) = &self.death {
            let seen =
                [death.pid.map(|_| "probe".to_owned()), death.runtime.as_ref().map(|account| account.by.clone())];
            return seen.into_iter().flatten().collect();
        }
        let mut all: Vec<_> = self.kills.iter().flat_map(|(_, kill)| kill.witnesses.iter().copied()).collect();
        all.sort();
        all.dedup();
        all.iter().map(word).collect()
    }

    /// The kernel's table of tasks.
    pub fn tasks(&self) -> &[TaskRow] {
        self.kill().and_then(|kill| kill.report.as_ref()).map_or(&[], |report| report.tasks.as_slice())
    }

    /// cgroups below the limit that hold processes of their own (no other is below them), at the incident.
    pub fn members(&self) -> Vec<(&str, &Trace)> {
        let limit = self.limit();
        let of_death = self.death.as_ref().and_then(|death| death.cgroup.as_deref());
        let scope = limit.cgroup.as_deref().or(of_death);
        let inside = |path: &str| match scope {
            Some(scope) => is_below(path, scope),
            None => path != "/",
        };
        let has_child = |path: &str| {
            let mut after = self.cgroups.range::<str, _>((std::ops::Bound::Excluded(path), std::ops::Bound::Unbounded));
            after.any(|(other, _)| is_below(other, path) && other != path)
        };
        let list = self.cgroups.iter().filter(|(path, trace)| {
            // Of an owner with children only these are members; the agent's own cgroup never is one.
            inside(path) && !path.starts_with("/sampler-agent") && trace.from_us <= self.at_us && !has_child(path)
        });
        list.map(|(path, trace)| (path.as_str(), trace)).collect()
    }

    /// Footprint of a cgroup right before the incident.
    pub fn at_end(&self, path: &str, trace: &Trace) -> u64 {
        let last = trace.footprint(self.before_us()).unwrap_or(0);
        // memory.stat may be a second old; usage is fresh, and the kernel's report is exact.
        let current = trace.peak(FieldId::Current, self.at_us - 1_200_000, self.before_us()).unwrap_or(0);
        let cache = self.cache(trace);
        let limit = self.limit();
        let reported = limit.usage.filter(|_| limit.cgroup.as_deref() == Some(path) && self.members().len() <= 1);
        // What was allocated since the last look is known of the victim alone.
        let in_it = self.kills.iter().filter(|(_, kill)| kill.victim_cgroup.as_deref() == Some(path));
        let of_victim = in_it.filter_map(|(_, kill)| sizes(kill)).map(|victim| victim.anon_rss).max().unwrap_or(0);
        let held = reported.map_or(last, |usage| usage.saturating_sub(cache));
        held.max(last).max(current.saturating_sub(cache)).max(of_victim)
    }

    /// What could be reclaimed of a cgroup, right before.
    pub fn cache(&self, trace: &Trace) -> u64 {
        memory::reclaimable(|field| trace.at(field, self.before_us())).unwrap_or(0)
    }

    /// When the cgroup was made last, if that was seen.
    fn made_us(&self, path: &str) -> Option<i64> {
        let made =
            self.events.iter().rev().filter(|e| matches!(e.event.what, crate::model::event::EventKind::CgroupCreated));
        made.filter(|e| e.event.cgroup.as_deref() == Some(path)).map(|e| e.time_us).find(|time| *time < self.at_us)
    }

    /// Since when what is read of a cgroup is of the life that ended: an earlier one under the same path is another.
    pub fn since_of(&self, path: &str) -> i64 {
        let own = |life: &&Life| life.from_us < self.at_us && Some(path) == self.victim_cgroup();
        let life = self.lives.iter().rev().find(own).filter(|_| self.restarts.is_some()).map(|life| life.from_us);
        let trace = self.cgroups.get(path).map(|trace| trace.from_us);
        [self.made_us(path), life, trace].into_iter().flatten().fold(self.since_us(), i64::max)
    }

    /// Adds limit and usage of the cgroup whose limit was hit from the kernel's report of the kill, where no row has them.
    pub fn take_facts(&mut self) {
        let limit = self.limit();
        let (Some(path), Owner::Own | Owner::Ancestor | Owner::WslUser) = (limit.cgroup, limit.owner) else { return };
        let at = self.at_us;
        let trace = self.cgroups.entry(path).or_default();
        for (field, value) in [(FieldId::Max, limit.limit), (FieldId::Current, limit.usage)] {
            if let Some(value) = value.filter(|value| trace.at(field, at) != Some(*value)) {
                trace.put(field, at, value);
            }
        }
    }

    /// Takes the lives of the victim's workload and the times of its kills, rising.
    pub fn take_lives(&mut self, lives: Vec<Life>, kills_us: &[i64]) {
        self.restarts = loop_of(&lives, kills_us, self.at_us);
        self.lives = lives;
    }

    /// What the lives have in common, where they are of the cgroup that made the memory short.
    pub fn suspect_loop(&self) -> Option<&Loop> {
        let (suspect, victim) = (self.suspect.as_deref()?, self.victim_cgroup()?);
        let workload = |path: &str| key(path, self.names.of(path, |_| None).as_ref());
        self.restarts.as_ref().filter(|_| suspect == victim || workload(suspect) == workload(victim))
    }

    /// Whether the page rests on one life, in which the leak detectors could not judge how memory grew.
    pub fn is_one_short_life(&self) -> bool {
        let is_undetermined = |verdict: &Verdict| verdict.verdict == MemoryClass::Undetermined;
        self.restarts.is_none() && self.history.as_ref().is_some_and(is_undetermined)
    }

    /// Whether the page rests on one life of at most [`SHORT_LIFE_S`]: even a growth that the detectors are sure of may be a start.
    pub fn is_one_start(&self) -> bool {
        self.restarts.is_none() && self.history.is_some() && self.history_s <= SHORT_LIFE_S
    }

    /// How much a cgroup grew since a time, and since when it is known: one that appeared later grew from nothing.
    pub fn growth(&self, path: &str, trace: &Trace, since_us: i64) -> i64 {
        let since_us = since_us.max(self.made_us(path).unwrap_or(since_us));
        let begin = match trace.footprints(since_us, self.before_us()).first() {
            Some(_) if since_us > self.since_us() + 5_000_000 && self.made_us(path) == Some(since_us) => 0,
            // Seen from its first moment on.
            Some((first, _)) if *first > since_us + 5_000_000 && self.appeared(path) => 0,
            Some((_, value)) => *value,
            None => 0,
        };
        self.at_end(path, trace) as i64 - begin as i64
    }

    /// Whether the recording saw the cgroup appear.
    pub fn appeared(&self, path: &str) -> bool {
        self.events.iter().any(|e| {
            matches!(e.event.what, crate::model::event::EventKind::CgroupCreated)
                && e.event.cgroup.as_deref() == Some(path)
        })
    }

    /// Start of the hour before, or of its recorded part.
    pub fn since_us(&self) -> i64 {
        let first = self.cgroups.values().map(|trace| trace.from_us).min().unwrap_or(self.at_us);
        first.max(self.at_us - HOUR_US)
    }

    /// How much a cgroup grew lately: in the second half of what is known of it. What it took as it started is left out.
    pub fn late_growth(&self, path: &str, trace: &Trace) -> i64 {
        let from = self.since_of(path);
        let middle = trace.footprint(from + (self.before_us() - from) / 2).unwrap_or(0);
        self.at_end(path, trace) as i64 - middle as i64
    }

    /// Finds the cgroup that made the memory short: the one that grew most lately, or else most at all, or else holds most.
    pub fn find_suspect(&mut self) {
        if let Some(death) = &self.death {
            self.suspect.clone_from(&death.cgroup);
            return;
        }
        let since = self.since_us();
        let members = self.members();
        let held: u64 = members.iter().map(|(path, trace)| self.at_end(path, trace)).sum();
        let ways: [Way<'_>; 3] = [
            &|path, trace| self.late_growth(path, trace),
            &|path, trace| self.growth(path, trace, since),
            &|path, trace| self.at_end(path, trace) as i64,
        ];
        // A growth that is small beside what is held explains nothing.
        let best = ways.iter().find_map(|way| {
            let grown: Vec<(&str, i64)> = members.iter().map(|(path, trace)| (*path, way(path, trace))).collect();
            let total: i64 = grown.iter().map(|(_, growth)| (*growth).max(0)).sum();
            let best = grown.iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(a.0)))?;
            (total as u64 * 20 >= held).then(|| best.0.to_owned())
        });
        self.suspect = best;
    }

    /// The suspect's trace.
    pub fn suspect_trace(&self) -> Option<(&str, &Trace)> {
        let path = self.suspect.as_deref()?;
        Some((path, self.cgroups.get(path)?))
    }

    /// Takes the long history of the suspect.
    pub fn take_history(&mut self, track: &mut Track) {
        let limit = self.limit();
        let own = limit.limit.filter(|_| limit.owner != Owner::Unknown).map(|bytes| bytes as f64);
        // Of a limit that others share, it could have what it held, and no more.
        let shared = self.suspect_trace().filter(|(path, _)| limit.cgroup.as_deref() != Some(*path));
        let own = own.map(|own| shared.map_or(own, |(path, trace)| own.min(self.at_end(path, trace) as f64)));
        self.history_s = track.lives.last().map_or(0.0, |life| (life.to_us - life.from_us) as f64 / 1e6);
        let own = own.map(|bytes| (limit.cgroup.as_deref().unwrap_or(MACHINE), bytes));
        self.history = judge_among(track, own, self.suspect_loop());
    }

    /// The kind of the suspect's memory that grew: as the detectors say, else as the hour shows.
    pub fn grown_part(&self) -> GrownPart {
        let component = self.history.as_ref().and_then(|verdict| verdict.component).map(GrownPart::from);
        component.or_else(|| self.grown_in_the_hour()).unwrap_or(GrownPart::Unknown)
    }

    fn grown_in_the_hour(&self) -> Option<GrownPart> {
        let (path, trace) = self.suspect_trace()?;
        let since = self.since_of(path);
        let parts = [
            (GrownPart::Anonymous, FieldId::Anon),
            (GrownPart::Shared, FieldId::Shmem),
            (GrownPart::Kernel, FieldId::Kernel),
            (GrownPart::Sockets, FieldId::Sock),
            (GrownPart::Swap, FieldId::SwapCurrent),
        ];
        let grown = parts.into_iter().filter_map(|(part, field)| {
            let first = trace.between(field, since, self.at_us).first()?.1;
            Some((part, trace.at(field, self.at_us)?.saturating_sub(first)))
        });
        grown.max_by_key(|(_, growth)| *growth).filter(|(_, growth)| *growth > 0).map(|(part, _)| part)
    }
}
