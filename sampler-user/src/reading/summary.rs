//! A recording at a glance: the size and growth of each cgroup, and each OOM kill in words.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::analysis::incident::Limit;
use crate::analysis::incident::death::{self, Death};
use crate::analysis::incident::kill_facts::KillFacts;
use crate::analysis::incident::naming::display_name;
use crate::analysis::relevance::Standing;
use crate::model::event::EventKind;
use crate::model::evidence::{MoreOomKills, OomKill};
use crate::model::fields::{FieldId, Table, UNLIMITED};
use crate::model::identity::Identity;
use crate::model::paths::name;
use crate::model::recording::{Series, TimedEvent};
use crate::model::time::format_us;
use crate::model::units::{bytes, count, micros, printable};
use crate::reading::names::Named;
use crate::store::scan::{Query, Recording};

/// One cgroup over the time of the recording.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CgroupSummary {
    /// Path.
    pub path: String,
    /// Its name by its runtime, or else by its path.
    pub name: Option<String>,
    /// Who it is: container, image, labels.
    pub identity: Option<Identity>,
    /// Rows.
    pub rows: u64,
    /// First and last row, wall-clock microseconds.
    pub first_us: i64,
    /// Last row.
    pub last_us: i64,
    /// memory.current in the first row, bytes.
    pub first_bytes: Option<u64>,
    /// memory.current in the last row, bytes.
    pub last_bytes: Option<u64>,
    /// Highest value any field shows, bytes.
    pub peak_bytes: Option<u64>,
    /// When the peak was reached first, wall-clock microseconds.
    pub peak_us: i64,
    /// Limit in the last slow row, bytes; absent when there is none or it was not read.
    pub limit_bytes: Option<u64>,
    /// Times the limit was hit while recorded.
    pub limit_hits: u64,
    /// Processes killed while recorded, by the counter.
    pub oom_kills: u64,
    /// What the memory was in the last slow row, bytes by column.
    pub split: BTreeMap<&'static str, u64>,
    #[serde(skip)]
    counters: BTreeMap<&'static str, (u64, u64)>,
    /// When the limit was read last.
    #[serde(skip)]
    limit_us: i64,
    /// Pace of the leak that the recorder noticed, bytes per second.
    #[serde(skip)]
    leak: Option<f64>,
}

/// A kill with its time.
#[derive(Clone, Debug, Serialize)]
pub struct Kill {
    /// RFC 3339.
    pub time: String,
    /// Wall-clock microseconds.
    pub time_us: i64,
    /// Pid of the victim, initial namespace.
    pub pid: Option<i32>,
    /// Name of the victim.
    pub comm: Option<String>,
    /// cgroup of the victim.
    pub cgroup: Option<String>,
    /// What that is called.
    pub name: Option<String>,
    /// What the cgroup is called whose limit was hit.
    #[serde(skip)]
    pub limit_name: Option<String>,
    /// The merged event.
    #[serde(flatten)]
    pub kill: OomKill,
}

/// The recording at a glance.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// cgroups, largest peak first.
    pub cgroups: Vec<CgroupSummary>,
    /// Events by kind.
    pub events: BTreeMap<&'static str, u64>,
    /// Kills, in order.
    pub oom_kills: Vec<Kill>,
    /// Kills beyond these, which came too fast for an event each.
    pub more_oom_kills: Vec<MoreOomKills>,
    /// Deaths that were no OOM kills, in order.
    pub deaths: Vec<Death>,
    /// Rows of the samples.
    pub rows: u64,
    /// First and last time, wall-clock microseconds.
    pub first_us: i64,
    /// Last time.
    pub last_us: i64,
}

impl Summary {
    /// Reads a recording.
    pub fn of(recording: &mut Recording, query: &Query<'_>) -> Summary {
        let mut cgroups: BTreeMap<(String, u64), CgroupSummary> = BTreeMap::new();
        let mut summary = Summary { first_us: i64::MAX, last_us: i64::MIN, ..Summary::default() };
        let wanted = [
            FieldId::Current,
            FieldId::PeakInterval,
            FieldId::EventsMax,
            FieldId::LocalOomKill,
            FieldId::Max,
            FieldId::Anon,
            FieldId::File,
            FieldId::Shmem,
            FieldId::Kernel,
            FieldId::SwapCurrent,
        ];
        let query = Query { cgroups: query.cgroups, time: query.time.clone(), fields: &wanted, lags: false };
        recording.series(Table::Samples, &query, |series| {
            summary.rows += series.len() as u64;
            summary.first_us = summary.first_us.min(series.time_us.first().copied().unwrap_or(i64::MAX));
            summary.last_us = summary.last_us.max(series.time_us.last().copied().unwrap_or(i64::MIN));
            let key = (series.subject.cgroup.clone(), series.subject.id);
            cgroups.entry(key).or_default().add(&series);
        });
        let named = Named::read(recording);
        let events = recording.events(query.time.clone());
        for TimedEvent { time_us, event } in &events {
            if let EventKind::OomKill(kill) = &event.what {
                take_limit(&mut cgroups, *time_us, kill, query.cgroups);
            }
        }
        let mut leaks: BTreeMap<&str, Option<f64>> = BTreeMap::new();
        for TimedEvent { event, .. } in &events {
            if let (EventKind::Leak { leaks: goes_on, bytes_per_s, .. }, Some(path)) = (&event.what, &event.cgroup) {
                leaks.insert(path, goes_on.then(|| bytes_per_s.unwrap_or(0.0)));
            }
        }
        summary.cgroups = cgroups.into_values().collect();
        for cgroup in &mut summary.cgroups {
            cgroup.identity = named.who(&cgroup.path);
            cgroup.name = cgroup.identity.as_ref().and_then(Identity::title);
            cgroup.leak = leaks.get(cgroup.path.as_str()).copied().flatten();
        }
        summary.cgroups.sort_by_key(|cgroup| std::cmp::Reverse(cgroup.peak_bytes));
        summary.deaths = death::find(&events);
        for TimedEvent { time_us, event } in events {
            *summary.events.entry(event.what.kind()).or_default() += 1;
            if let EventKind::MoreOomKills(more) = &event.what {
                summary.more_oom_kills.push((**more).clone());
            }
            if let EventKind::OomKill(kill) = event.what {
                summary.oom_kills.push(Kill {
                    time: format_us(time_us),
                    time_us,
                    pid: kill.victim.as_ref().map(|v| v.pid),
                    comm: kill.victim.as_ref().map(|v| v.comm.clone()),
                    cgroup: kill.victim_cgroup.clone(),
                    name: kill.victim_cgroup.as_deref().and_then(|cgroup| named.title(cgroup)),
                    limit_name: kill.limit_cgroup.as_deref().and_then(|cgroup| named.title(cgroup)),
                    kill: *kill,
                });
            }
        }
        summary
    }

    /// Time from the first to the last row, microseconds.
    pub fn duration_us(&self) -> u64 {
        u64::try_from(self.last_us.saturating_sub(self.first_us)).unwrap_or(0)
    }
}

/// The limit that a kill names is that of its cgroup, although no row may have it: what lives for a moment is read late or never.
fn take_limit(
    cgroups: &mut BTreeMap<(String, u64), CgroupSummary>,
    time_us: i64,
    kill: &OomKill,
    wants: &dyn Fn(&str) -> bool,
) {
    let (Some(path), Some(usage)) = (kill.limit_cgroup.as_ref().filter(|path| wants(path)), kill.usage()) else {
        return;
    };
    let begun = |cgroup: &&mut CgroupSummary| cgroup.first_us <= time_us + MOMENT_US;
    let of_path = cgroups.range_mut((path.clone(), 0)..=(path.clone(), u64::MAX)).map(|(_, cgroup)| cgroup);
    let known = of_path.filter(begun).max_by_key(|cgroup| cgroup.first_us);
    let cgroup = match known {
        Some(cgroup) => cgroup,
        None => {
            let new = CgroupSummary { first_us: time_us, last_us: time_us, path: path.clone(), ..Default::default() };
            cgroups.entry((path.clone(), 0)).or_insert(new)
        }
    };
    if cgroup.limit_us <= time_us || cgroup.limit_bytes.is_none() {
        cgroup.limit_bytes = usage.limit.or(cgroup.limit_bytes);
    }
    if cgroup.peak_bytes.is_none_or(|peak| usage.usage > peak) {
        (cgroup.peak_bytes, cgroup.peak_us) = (Some(usage.usage), time_us);
    }
}

/// The first row of a cgroup may be read a moment after the kill in it.
const MOMENT_US: i64 = 1_000_000;

impl CgroupSummary {
    fn add(&mut self, series: &Series) {
        let column = |id: FieldId| series.column(id.field());
        if self.rows == 0 {
            self.path.clone_from(&series.subject.cgroup);
            self.first_us = series.time_us.first().copied().unwrap_or_default();
        }
        self.rows += series.len() as u64;
        self.last_us = series.time_us.last().copied().unwrap_or(self.last_us);
        if let Some(current) = column(FieldId::Current) {
            self.first_bytes = self.first_bytes.or(current.values.first().copied());
            self.last_bytes = current.values.last().copied().or(self.last_bytes);
        }
        for id in [FieldId::Current, FieldId::PeakInterval] {
            for (row, value) in column(id).into_iter().flat_map(|c| c.iter()) {
                if self.peak_bytes.is_none_or(|peak| value > peak) {
                    (self.peak_bytes, self.peak_us) = (Some(value), series.time_us[row]);
                }
            }
        }
        if let Some((row, limit)) = column(FieldId::Max).and_then(|c| c.iter().last()) {
            self.limit_bytes = (limit != UNLIMITED).then_some(limit);
            self.limit_us = series.time_us.get(row).copied().unwrap_or(self.last_us);
        }
        for id in [FieldId::EventsMax, FieldId::LocalOomKill] {
            let Some(values) = column(id).map(|c| &c.values) else { continue };
            if let (Some(&first), Some(&last)) = (values.first(), values.last()) {
                let entry = self.counters.entry(id.field().column).or_insert((first, last));
                entry.1 = last;
            }
        }
        let rise = |id: FieldId| self.counters.get(id.field().column).map_or(0, |(a, b)| b.saturating_sub(*a));
        (self.limit_hits, self.oom_kills) = (rise(FieldId::EventsMax), rise(FieldId::LocalOomKill));
        for id in [FieldId::Anon, FieldId::File, FieldId::Shmem, FieldId::Kernel, FieldId::SwapCurrent] {
            if let Some(&last) = column(id).and_then(|c| c.values.last()) {
                self.split.insert(id.field().column, last);
            }
        }
    }

    /// What people call it. As it was recorded: untrusted.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| name(&self.path))
    }

    /// What decides its place on a screen; `kills` is those that events have, by the cgroup of the victim.
    pub fn standing(&self, kills: Option<u64>) -> Standing {
        let part = |column: &str| self.split.get(column).copied().unwrap_or(0);
        let peak = self.peak_bytes.unwrap_or(0);
        let cache = part("file").saturating_sub(part("shmem"));
        let mut standing = Standing {
            path: self.path.clone(),
            name: self.title().to_owned(),
            kills: kills.unwrap_or(self.oom_kills),
            leak: self.leak,
            limit: self.limit_bytes,
            held: self.last_bytes.unwrap_or(0).saturating_sub(cache),
            peak,
            grew: peak.saturating_sub(self.first_bytes.unwrap_or(peak)),
            watched_s: (self.last_us - self.first_us) as f64 / 1e6,
            ..Standing::default()
        };
        standing.know(self.identity.as_ref());
        standing
    }

    /// One cgroup in words.
    pub fn words(&self) -> String {
        let mut out = String::new();
        let show = |value: Option<u64>| value.map_or_else(|| "not read".into(), bytes);
        let _ = write!(out, "peak {}", show(self.peak_bytes));
        match (self.limit_bytes, self.peak_bytes) {
            (Some(limit), Some(peak)) => {
                let _ = write!(out, " of {} ({} %)", bytes(limit), peak * 100 / limit.max(1));
            }
            (Some(limit), None) => {
                let _ = write!(out, " of {}", bytes(limit));
            }
            (None, _) => out.push_str(", no limit of its own"),
        }
        if let (Some(first), Some(peak), Some(last)) = (self.first_bytes, self.peak_bytes, self.last_bytes) {
            let span = |us: i64| micros(u64::try_from(us).unwrap_or(0));
            if peak > first {
                let _ = write!(out, "; grew {} in {}", bytes(peak - first), span(self.peak_us - self.first_us));
            }
            if last < peak {
                let _ = write!(out, "; ended at {}", bytes(last));
            }
        }
        let times = |n: u64| if n == 1 { "once".into() } else { format!("{} times", count(n)) };
        if self.limit_hits > 0 {
            let _ = write!(out, "; hit its limit {}", times(self.limit_hits));
        }
        out
    }
}

/// The kill in one sentence, that of its page without the cause.
pub fn sentence(kill: &Kill) -> String {
    let facts = KillFacts {
        time_us: kill.time_us,
        when: None,
        is_manual: kill.kill.report.as_ref().is_some_and(|report| report.manual),
        comm: kill.comm.as_deref(),
        pid: kill.pid,
        cgroup: kill.cgroup.as_deref().map(|path| display_name(path, kill.name.as_deref())),
        others: 0,
        is_group: false,
        constraint: kill.kill.constraint,
        limit: Limit::of(&kill.kill),
        limit_of: kill.kill.limit_cgroup.as_deref().map(|path| display_name(path, kill.limit_name.as_deref())),
        swap: None,
    };
    facts.sentence("")
}

/// A kill in words: the sentence of its page without the cause, its cgroup, what the victim's memory was, and who saw it.
pub fn explain(kill: &Kill, rise: Option<&CgroupSummary>, with_path: bool) -> String {
    let merged = &kill.kill;
    let mut out = format!("{}  {}\n", kill.time, sentence(kill));
    if let Some(path) = kill.cgroup.as_ref().filter(|_| with_path) {
        let _ = writeln!(out, "  Its cgroup: {}.", printable(path));
    }
    if let Some(victim) = &merged.victim {
        let _ = writeln!(
            out,
            "  It held {} of anonymous memory, {} of files, {} shared, {} of page tables.",
            bytes(victim.anon_rss),
            bytes(victim.file_rss),
            bytes(victim.shmem_rss),
            bytes(victim.pgtables)
        );
    }
    if let Some(rise) = rise {
        let _ = writeln!(out, "  Before: {}.", rise.words());
    }
    let witnesses: Vec<_> = merged.witnesses.iter().filter_map(|w| serde_json::to_value(w).ok()).collect();
    let names: Vec<_> = witnesses.iter().filter_map(|w| w.as_str()).collect();
    let _ = writeln!(out, "  Seen by: {}.", names.join(", "));
    out
}
