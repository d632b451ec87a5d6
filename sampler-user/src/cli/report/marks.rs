//! The events of a report: those of its incidents, and the others, which a reader may ask for.

use std::collections::BTreeMap;

use sampler::analysis::incident::Incident;
use sampler::analysis::incident::incident_ref::APART_US;
use sampler::model::event::EventKind;
use sampler::model::recording::TimedEvent;
use sampler::model::units::printable;
use sampler::reading::incidents::words_of;
use sampler::reading::names::Named;
use sampler::reading::plots::set::Mark;

/// Events that are no kills and that a page keeps.
const MARKS: usize = 400;
/// An incident begins so long before its kill, and ends so long after it, microseconds.
const BEFORE_US: i64 = 60_000_000;
const AFTER_US: i64 = 5_000_000;

/// The events of a recording as marks: a storm of kills in one cgroup is one.
pub fn of(events: &[TimedEvent], incidents: &[Incident], named: &Named, notes: &mut Vec<String>) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    let mut last_kill: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for event in events {
        let Some(mark) = mark(event, incidents, named) else { continue };
        if mark.kind == "oom_kill" {
            let open = last_kill.get(&mark.cgroup).map(|at| &mut marks[*at]);
            if let Some(before) = open.filter(|before| mark.time_us - before.until_us <= APART_US) {
                before.until_us = mark.until_us;
                before.count += mark.count;
                continue;
            }
            last_kill.insert(mark.cgroup.clone(), marks.len());
        }
        marks.push(mark);
    }
    let others = marks.iter().filter(|mark| !mark.is_incident).count();
    if others > MARKS {
        notes.push(format!(
            "{others} events beside the incidents are too many for a page: some that repeat are left out"
        ));
        let every = others.div_ceil(MARKS);
        let mut n = 0;
        marks.retain(|mark| {
            n += usize::from(!mark.is_incident);
            mark.is_incident || n % every == 0
        });
    }
    marks
}

fn mark(event: &TimedEvent, incidents: &[Incident], named: &Named) -> Option<Mark> {
    let what = &event.event.what;
    let (kind, count) = match what {
        EventKind::OomKill(_) => ("oom_kill", 1),
        EventKind::MoreOomKills(more) => ("oom_kill", more.count),
        EventKind::CgroupCreated
        | EventKind::CgroupRemoved
        | EventKind::LimitChanged { .. }
        | EventKind::Pressure { .. }
        | EventKind::Gap { .. }
        | EventKind::ClockStep { .. }
        | EventKind::AgentStart { .. }
        | EventKind::AgentStop { .. } => (what.kind(), 1),
        _ => return None,
    };
    let cgroup = match what {
        EventKind::OomKill(kill) => kill.victim_cgroup.clone().or_else(|| event.event.cgroup.clone()),
        EventKind::MoreOomKills(more) => more.victim_cgroup.clone().or_else(|| event.event.cgroup.clone()),
        _ => event.event.cgroup.clone(),
    };
    let name = cgroup.as_deref().map_or_else(
        || "the machine".into(),
        |path| printable(named.title(path).as_deref().unwrap_or_else(|| sampler::model::paths::name(path))),
    );
    let belongs = |incident: &Incident| {
        let near = incident.time_us.is_some_and(|at| (at - BEFORE_US..=at + AFTER_US).contains(&event.time_us));
        near && cgroup.as_ref().is_none_or(|path| {
            let of_memory = incident.memory.iter().map(|memory| &memory.path);
            of_memory.chain(&incident.suspect).chain(&incident.limit.cgroup).any(|one| one == path)
        })
    };
    Some(Mark {
        time_us: event.time_us,
        until_us: event.time_us,
        count,
        kind,
        is_incident: kind == "oom_kill" || incidents.iter().any(belongs),
        cgroup,
        name,
        words: words_of(what),
    })
}

#[cfg(test)]
mod tests {
    use sampler::model::event::Event;

    use super::*;

    /// 305 kills of one container were 305 lines, as soon as another was killed meanwhile.
    #[test]
    fn a_storm_is_one_mark() {
        let kill = |cgroup: &str| {
            let json = format!(
                r#"{{"time_ns": 5, "constraint": "memcg", "victim_cgroup": "{cgroup}", "limit_cgroup": "{cgroup}", "witnesses": []}}"#
            );
            let what = EventKind::OomKill(serde_json::from_str(&json).unwrap());
            Event { mono_ns: 0, cgroup: Some(cgroup.into()), what }
        };
        let at = |second: i64, cgroup: &str| TimedEvent { time_us: second * 1_000_000, event: kill(cgroup) };
        let mut events: Vec<TimedEvent> = (0..100).map(|second| at(second, "/storm")).collect();
        events.extend([at(20, "/b"), at(50, "/b")]);
        events.sort_by_key(|event| event.time_us);
        let marks = of(&events, &[], &Named::default(), &mut Vec::new());
        let seen: Vec<(&str, u64, i64)> =
            marks.iter().map(|mark| (&*mark.name, mark.count, mark.until_us - mark.time_us)).collect();
        assert_eq!(seen, [("storm", 100, 99_000_000), ("b", 1, 0), ("b", 1, 0)]);
        assert!(marks.iter().all(|mark| mark.is_incident));
    }
}
