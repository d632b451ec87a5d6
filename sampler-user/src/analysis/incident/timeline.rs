//! The last hour, minute and second before an incident, at the resolution that exists, and what happened in them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::analysis::incident::context::{AFTER_US, HOUR_US, IncidentContext, MINUTE_US};
use crate::analysis::incident::{death, memory};
use crate::model::event::EventKind;
use crate::model::evidence::SignalOrigin;
use crate::model::fields::FieldId;
use crate::model::time::format_us;
use crate::model::units::{bytes, count, micros, printable};

/// Moments that a page lists.
const MOST: usize = 40;

/// What led to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Timeline {
    /// Every five minutes of the last hour.
    pub hour: Vec<Point>,
    /// Every five seconds of the last minute.
    pub minute: Vec<Point>,
    /// Every tenth of the last second.
    pub second: Vec<Point>,
    /// What happened, in order.
    pub moments: Vec<Moment>,
}

/// The memory at a time. What was not read is absent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// Seconds before the incident.
    pub before_s: f64,
    /// memory.current of the suspect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<u64>,
    /// Of the victim's cgroup, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub victim: Option<u64>,
    /// Of the cgroup whose limit was hit, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What the machine had available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<u64>,
    /// Its free swap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_free: Option<u64>,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// RFC 3339.
    pub time: String,
    /// Seconds before the incident; negative is after it.
    pub before_s: f64,
    /// The cgroup it is about; hostile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// What, in plain words.
    pub what: String,
}

/// The timeline of an incident.
pub fn of(context: &IncidentContext) -> Timeline {
    let from = context.since_us();
    let points = |span: i64, step: i64| {
        let first = ((context.at_us - from).min(span) / step) * step;
        let mut points: Vec<Point> = (0..=first / step).map(|i| point(context, first - i * step)).collect();
        points.retain(|p| p.suspect.is_some() || p.victim.is_some() || p.available.is_some());
        points
    };
    let hour = if context.at_us - from > 2 * MINUTE_US { points(HOUR_US, HOUR_US / 12) } else { Vec::new() };
    Timeline {
        hour,
        minute: points(MINUTE_US, MINUTE_US / 12),
        second: points(1_000_000, 100_000),
        moments: moments(context),
    }
}

fn point(context: &IncidentContext, before_us: i64) -> Point {
    let at = context.at_us - before_us;
    let suspect = context.suspect.as_deref();
    // A value that was read long before is none of this moment.
    let fresh = |(time, value): (i64, u64)| (at - time <= 3_000_000).then_some(value);
    let current =
        |path: &str| context.cgroups.get(path).and_then(|trace| trace.last(FieldId::Current, at)).and_then(fresh);
    let slow = |path: &str| {
        context
            .cgroups
            .get(path)
            .and_then(|trace| trace.footprint(at).filter(|_| at >= trace.from_us && at <= trace.to_us + 3_000_000))
    };
    let of = |path: &str| current(path).or_else(|| slow(path));
    let host = |field| context.host.last(field, at).and_then(fresh);
    Point {
        before_s: before_us as f64 / 1e6,
        suspect: suspect.and_then(of),
        victim: context.victim_cgroup().filter(|victim| Some(*victim) != suspect).and_then(of),
        limit: context.limit().cgroup.filter(|owner| Some(owner.as_str()) != suspect).and_then(|owner| of(&owner)),
        available: host(FieldId::MemAvailable),
        swap_free: host(FieldId::SwapFree),
    }
}

/// Events of one kind and one cgroup, close together: one moment of the timeline.
struct Group {
    first_us: i64,
    last_us: i64,
    kind: &'static str,
    cgroup: Option<String>,
    times: u64,
    words: String,
}

/// Events that are of interest only where they are of a cgroup of the incident: on a busy machine others come and go all the time.
const OWN_ONLY: [&str; 5] = ["cgroup_created", "cgroup_removed", "process_joined", "process_exit", "container_event"];

/// The cgroups that an incident is about.
fn cgroups_of(context: &IncidentContext) -> BTreeSet<String> {
    let victims = context.kills.iter().filter_map(|(_, kill)| kill.victim_cgroup.clone());
    let death = context.death.iter().filter_map(|death| death.cgroup.clone());
    let of_memory = memory::cgroups(context).into_iter().map(|memory| memory.path);
    victims.chain(death).chain(context.limit().cgroup).chain(context.suspect.clone()).chain(of_memory).collect()
}

fn moments(context: &IncidentContext) -> Vec<Moment> {
    let mut groups: Vec<Group> = Vec::new();
    let since = context.at_us - HOUR_US;
    let own = cgroups_of(context);
    for event in context.events.iter().filter(|e| e.time_us >= since && e.time_us <= context.at_us + AFTER_US) {
        let Some((times, words)) = words(&event.event.what) else { continue };
        let kind = event.event.what.kind();
        let is_own = event.event.cgroup.as_ref().is_none_or(|path| own.contains(path));
        if !is_own && OWN_ONLY.contains(&kind) {
            continue;
        }
        let close = |t: &&mut Group| {
            t.kind == kind
                && t.cgroup == event.event.cgroup
                && event.time_us - t.last_us < 10_000_000
                && (kind != "oom_kill" || !is_own)
        };
        match groups.iter_mut().rev().find(close) {
            Some(same) => {
                (same.last_us, same.times) = (event.time_us, same.times + times);
                if kind == "stalls" {
                    same.words = words;
                }
            }
            None => groups.push(Group {
                first_us: event.time_us,
                last_us: event.time_us,
                kind,
                cgroup: event.event.cgroup.clone(),
                times,
                words,
            }),
        }
    }
    for (path, trace) in &context.cgroups {
        groups.extend(hits(context, path, trace));
    }
    groups.sort_by_key(|t| t.first_us);
    // The kill and what is near it matter most.
    while groups.len() > MOST {
        let other = context.death.as_ref().and_then(|death| groups.iter().position(|t| t.cgroup != death.cgroup));
        groups.remove(other.unwrap_or(0));
    }
    let moment = |t: Group| {
        let times = if t.times > 1 { format!(", {} times", count(t.times)) } else { String::new() };
        let span = t.last_us - t.first_us;
        let span = if span > 200_000 { format!(" within {}", micros(span as u64)) } else { String::new() };
        Moment {
            time: format_us(t.first_us),
            before_s: (context.at_us - t.first_us) as f64 / 1e6,
            cgroup: t.cgroup,
            what: format!("{}{times}{span}", t.words),
        }
    };
    groups.into_iter().map(moment).collect()
}

/// Hits of limits and throttling in the minute, from the counters.
fn hits(context: &IncidentContext, path: &str, trace: &crate::analysis::incident::trace::Trace) -> Vec<Group> {
    let from = context.at_us - MINUTE_US;
    let fields = [
        (FieldId::LocalMax, "limit_hits", "hit its limit (memory.max)"),
        (FieldId::EventsHigh, "throttled", "was throttled above memory.high"),
    ];
    let one = |(field, kind, words): &(FieldId, &'static str, &str)| {
        let rises: Vec<(i64, u64)> = trace
            .between(*field, from, context.at_us + 500_000)
            .windows(2)
            .filter(|pair| pair[1].1 > pair[0].1)
            .map(|pair| (pair[1].0, pair[1].1 - pair[0].1))
            .collect();
        let (first, last) = (rises.first()?.0, rises.last()?.0);
        Some(Group {
            first_us: first,
            last_us: last,
            kind,
            cgroup: Some(path.to_owned()),
            times: rises.iter().map(|(_, by)| by).sum(),
            words: (*words).to_owned(),
        })
    };
    fields.iter().filter_map(one).collect()
}

/// An event in words, and how many it stands for.
pub fn words(what: &EventKind) -> Option<(u64, String)> {
    Some(match what {
        EventKind::OomKill(kill) => {
            let who = kill
                .victim
                .as_ref()
                .map_or_else(|| "a process".into(), |v| format!("{} (pid {})", printable(&v.comm), v.pid));
            (1, format!("{who} was killed by the OOM killer"))
        }
        EventKind::MoreOomKills(more) => (more.count, format!("{} more were killed by the OOM killer", more.count)),
        EventKind::CgroupCreated => (1, "appeared".into()),
        EventKind::CgroupRemoved => (1, "went away".into()),
        EventKind::LimitChanged { limit, from, to } => {
            let show = |value: &Option<u64>| value.map_or_else(|| "unlimited".into(), bytes);
            (1, format!("{} was changed from {} to {}", printable(limit), show(from), show(to)))
        }
        EventKind::Guard { action, applied, reason, error, .. } => {
            let done = if error.is_some() {
                "could not"
            } else if *applied {
                "did"
            } else {
                "would"
            };
            (1, format!("the guard {done} {}: {}", printable(action), printable(reason)))
        }
        EventKind::Pressure { of, stall_us, .. } => {
            (1, format!("tasks waited for memory ({}, {} a second)", printable(of), micros(*stall_us)))
        }
        EventKind::Stalls { count, time_us, longest_us, .. } => (
            *count,
            format!(
                "tasks had to reclaim memory themselves, {} in all, {} the longest",
                micros(*time_us),
                micros(*longest_us)
            ),
        ),
        EventKind::ProcessJoined { comm, pid, .. } => (1, format!("{} (pid {pid}) was moved into it", printable(comm))),
        EventKind::ProcessExit { comm, pid, peak_rss, signal: Some(number), signals, .. } => {
            let by = signals.iter().rev().find(|sent| sent.signal == *number);
            let by = match by {
                Some(sent) if sent.origin == SignalOrigin::Kernel => " from the kernel".into(),
                Some(sent) if sent.sender_pid == *pid => " of its own".into(),
                Some(sent) => format!(" from {} (pid {})", printable(&sent.sender_comm), sent.sender_pid),
                None => String::new(),
            };
            let signal = death::describe::signal(*number);
            (1, format!("{} (pid {pid}) ended by {signal}{by}; it had up to {}", printable(comm), bytes(*peak_rss)))
        }
        EventKind::ProcessExit { comm, pid, peak_rss, code: Some(code @ 1..), .. } => {
            (1, format!("{} (pid {pid}) ended with code {code}; it had up to {}", printable(comm), bytes(*peak_rss)))
        }
        EventKind::ContainerEvent { runtime, action, signal, code, .. } => {
            let signal = signal.map_or_else(String::new, |number| format!(" ({})", death::describe::signal(number)));
            let code = code.map_or_else(String::new, |code| format!(", exit code {code}"));
            (1, format!("{} reports: {}{signal}{code}", printable(runtime), printable(action)))
        }
        EventKind::ExitsLeftOut { count } => (*count, "processes ended, too many to record each".into()),
        EventKind::Gap { from_ns, to_ns, reason, .. } => (
            1,
            format!("nothing was seen for {}: {}", micros(to_ns.saturating_sub(*from_ns) / 1000), printable(reason)),
        ),
        EventKind::ClockStep { by_us } => (1, format!("the wall clock was set by {} ms", by_us / 1000)),
        EventKind::AgentStart { .. } => (1, "the recorder began".into()),
        EventKind::AgentStop { reason } => (1, format!("the recorder stopped: {}", printable(reason))),
        _ => return None,
    })
}
