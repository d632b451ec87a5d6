//! What happened in a recording, and when: kills, and ends without a clean stop.

use serde::{Deserialize, Serialize};

use crate::analysis::incident::death::{self, Death};
use crate::model::event::EventKind;
use crate::model::evidence::{Constraint, MoreOomKills, OomKill};
use crate::model::recording::{Origin, TimedEvent};

/// Kills of one limit within this time are one incident: the kernel goes on until there is room.
pub const APART_US: i64 = 10_000_000;
/// An incident that began longer ago takes no more: a storm that never pauses is one incident an hour.
const LONGEST_US: i64 = 3_600_000_000;

/// What kind of incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentKind {
    /// The OOM killer came.
    OomKill,
    /// The recording ends without a clean stop of the agent.
    AbruptEnd,
    /// A process ended by a signal or a failure, and not by the OOM killer.
    Death,
}

/// What came after an end without a clean stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Afterwards {
    /// The same boot went on: only the agent ended.
    SameBoot,
    /// The machine was booted again.
    NewBoot,
    /// Nothing was recorded any more.
    Nothing,
}

/// An incident, before its story is known.
#[derive(Clone, Debug)]
pub struct IncidentRef {
    /// What kind.
    pub kind: IncidentKind,
    /// When it began, microseconds since 1970.
    pub at_us: i64,
    /// The kills, with their times.
    pub kills: Vec<(i64, OomKill)>,
    /// Kills beyond these that a storm brought and that have no event of their own.
    pub more: u64,
    /// When the last of all of them was.
    pub last_us: i64,
    /// What came after it, of an abrupt end.
    pub afterwards: Option<Afterwards>,
    /// The process that ended, of a death.
    pub death: Option<Box<Death>>,
}

/// The incidents in the order of time. `last_us` returns the last row or event before a time; `runs_on`: an agent still
/// records, so that the end of the recording is none.
pub fn find(
    events: &[TimedEvent],
    origins: &[Origin],
    last_us: &dyn Fn(i64) -> Option<i64>,
    runs_on: bool,
) -> Vec<IncidentRef> {
    let mut found: Vec<IncidentRef> = Vec::new();
    // A recording that was imported has no agent, and no end to speak of.
    let mut begun: Option<i64> = None;
    for event in events {
        match &event.event.what {
            EventKind::OomKill(kill) => {
                take(&mut found, event.time_us, kill, 0);
            }
            EventKind::MoreOomKills(more) => {
                take_more(&mut found, event.time_us, more);
            }
            EventKind::AgentStart { .. } => {
                let before = begun.replace(event.time_us);
                found.extend(before.and_then(|_| end(event.time_us, origins, last_us)));
            }
            EventKind::AgentStop { .. } => begun = None,
            _ => {}
        }
    }
    if begun.is_some() && !runs_on {
        found.extend(end(i64::MAX, origins, last_us));
    }
    found.extend(death::find(events).into_iter().map(|death| IncidentRef {
        kind: IncidentKind::Death,
        at_us: death.time_us,
        kills: Vec::new(),
        more: 0,
        last_us: death.time_us,
        afterwards: None,
        death: Some(death.into()),
    }));
    found.sort_by_key(|incident| incident.at_us);
    found
}

/// The end before a time.
fn end(before_us: i64, origins: &[Origin], last_us: &dyn Fn(i64) -> Option<i64>) -> Option<IncidentRef> {
    let at_us = last_us(before_us)?;
    let wall = |origin: &Origin| origin.anchor.wall_us(origin.anchor.mono_ns);
    let ended = origins.iter().rev().find(|origin| wall(origin) <= at_us);
    let next = origins.iter().find(|origin| wall(origin) > at_us);
    let afterwards = match (ended, next) {
        (Some(ended), Some(next)) if ended.boot_id == next.boot_id => Afterwards::SameBoot,
        (_, Some(_)) => Afterwards::NewBoot,
        (_, None) => Afterwards::Nothing,
    };
    Some(IncidentRef {
        kind: IncidentKind::AbruptEnd,
        at_us,
        kills: Vec::new(),
        more: 0,
        last_us: at_us,
        afterwards: Some(afterwards),
        death: None,
    })
}

/// Adds the kills that a storm brought beyond those that are events; returns the place of their incident.
pub fn take_more(found: &mut Vec<IncidentRef>, time_us: i64, more: &MoreOomKills) -> usize {
    let one = OomKill {
        time_ns: more.first_ns,
        constraint: more.constraint,
        victim_cgroup: more.victim_cgroup.clone(),
        limit_cgroup: more.limit_cgroup.clone(),
        victim: None,
        witnesses: Vec::new(),
        report: None,
        probe: None,
        hit: None,
    };
    take(found, time_us, &one, more.count)
}

/// Adds a kill to the incident it belongs to, or to a new one; returns its place. With `counted` above 0 it stands for so many
/// of a storm.
pub fn take(found: &mut Vec<IncidentRef>, time_us: i64, kill: &OomKill, counted: u64) -> usize {
    let open = found.iter().rposition(|incident| incident.takes(time_us, kill));
    let Some(at) = open else {
        found.push(IncidentRef {
            kind: IncidentKind::OomKill,
            at_us: time_us,
            kills: vec![(time_us, kill.clone())],
            more: counted.saturating_sub(1),
            last_us: time_us,
            afterwards: None,
            death: None,
        });
        return found.len() - 1;
    };
    let incident = &mut found[at];
    incident.last_us = incident.last_us.max(time_us);
    if counted > 0 {
        incident.more += counted;
    } else {
        incident.kills.push((time_us, kill.clone()));
    }
    at
}

/// Whether a witness saw whose limit it was.
pub fn is_known(kill: &OomKill) -> bool {
    match kill.constraint {
        Constraint::Unknown => false,
        Constraint::Memcg => kill.limit_cgroup.is_some(),
        _ => true,
    }
}

/// Whether two kills are by the same limit. Where that is not known they are only if the same cgroup was hit and its own
/// limit may be it: what cannot be placed is on nobody else's page.
pub fn is_same(a: &OomKill, b: &OomKill) -> bool {
    let by_own = |kill: &OomKill| !is_known(kill) || kill.limit_cgroup == kill.victim_cgroup;
    if is_known(a) && is_known(b) {
        a.constraint == b.constraint && a.limit_cgroup == b.limit_cgroup
    } else {
        a.victim_cgroup == b.victim_cgroup && by_own(a) && by_own(b)
    }
}

impl IncidentRef {
    /// Kills in all.
    pub fn count(&self) -> u64 {
        self.kills.len() as u64 + self.more
    }

    /// Whether a kill belongs to it.
    pub fn takes(&self, time_us: i64, kill: &OomKill) -> bool {
        let Some((_, first)) = self.kills.first() else { return false };
        time_us - self.last_us <= APART_US && time_us - self.at_us <= LONGEST_US && is_same(first, kill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Event;
    use crate::model::time::Anchor;

    fn kill(limit: &str) -> EventKind {
        EventKind::OomKill(Box::new(OomKill {
            time_ns: 0,
            constraint: Constraint::Memcg,
            victim_cgroup: Some(limit.into()),
            limit_cgroup: Some(limit.into()),
            victim: None,
            witnesses: Vec::new(),
            report: None,
            probe: None,
            hit: None,
        }))
    }

    fn origin(boot: &str, at_us: i64) -> Origin {
        let anchor = Anchor { mono_ns: 0, wall_ns: at_us as u64 * 1000 };
        Origin { boot_id: boot.into(), ..Origin::example(anchor) }
    }

    fn start() -> EventKind {
        EventKind::AgentStart { version: String::new(), interval_us: 1, slow_interval_us: 1 }
    }

    fn found(
        events: Vec<(i64, EventKind)>,
        origins: &[Origin],
        runs_on: bool,
    ) -> Vec<(IncidentKind, i64, usize, Option<Afterwards>)> {
        let events: Vec<TimedEvent> = events
            .into_iter()
            .map(|(s, what)| TimedEvent { time_us: s * 1_000_000, event: Event { mono_ns: 0, cgroup: None, what } })
            .collect();
        let last = |before: i64| Some(before.min(90_000_000) - 1_000_000);
        let found = find(&events, origins, &last, runs_on);
        found.into_iter().map(|o| (o.kind, o.at_us / 1_000_000, o.kills.len(), o.afterwards)).collect()
    }

    #[test]
    fn kills_of_one_limit_are_one_incident_and_later_ones_are_another() {
        let events = vec![(0, start()), (5, kill("/a")), (6, kill("/b")), (9, kill("/a")), (40, kill("/a"))];
        let want = [
            (IncidentKind::OomKill, 5, 2, None),
            (IncidentKind::OomKill, 6, 1, None),
            (IncidentKind::OomKill, 40, 1, None),
        ];
        assert_eq!(found(events, &[], true), want);
    }

    #[test]
    fn a_kill_that_cannot_be_placed_is_on_no_other_page() {
        let bare = |victim: Option<&str>| {
            let EventKind::OomKill(mut kill) = kill("/storm") else { unreachable!() };
            (kill.constraint, kill.limit_cgroup) = (Constraint::Unknown, None);
            kill.victim_cgroup = victim.map(str::to_owned);
            EventKind::OomKill(kill)
        };
        let more = EventKind::MoreOomKills(Box::new(MoreOomKills {
            count: 40,
            first_ns: 0,
            last_ns: 0,
            constraint: Constraint::Memcg,
            victim_cgroup: Some("/storm".into()),
            limit_cgroup: Some("/storm".into()),
        }));
        let events = vec![
            (0, start()),
            (5, kill("/storm")),
            (6, kill("/java")),
            (7, bare(None)),
            (8, bare(Some("/storm"))),
            (9, more),
            (9, bare(None)),
        ];
        let events: Vec<TimedEvent> = events
            .into_iter()
            .map(|(s, what)| TimedEvent { time_us: s * 1_000_000, event: Event { mono_ns: 0, cgroup: None, what } })
            .collect();
        let found = find(&events, &[], &|_| None, true);
        let counts: Vec<_> =
            found.iter().map(|o| (o.kills[0].1.victim_cgroup.as_deref(), o.count(), o.last_us / 1_000_000)).collect();
        assert_eq!(counts, [(Some("/storm"), 42, 9), (Some("/java"), 1, 6), (None, 2, 9)]);
    }

    #[test]
    fn an_end_without_a_clean_stop_is_one_and_says_what_came_after() {
        let stop = EventKind::AgentStop { reason: String::new() };
        let stopped = vec![(0, start()), (30, stop)];
        assert!(found(stopped, &[origin("a", 0)], false).is_empty());
        let twice = vec![(0, start()), (60, start())];
        let ends = found(twice.clone(), &[origin("a", 0), origin("a", 60_000_000)], true);
        assert_eq!(ends, [(IncidentKind::AbruptEnd, 59, 0, Some(Afterwards::SameBoot))]);
        let ends = found(twice, &[origin("a", 0), origin("b", 60_000_000)], false);
        assert_eq!(ends[0].3, Some(Afterwards::NewBoot));
        assert_eq!((ends[1].1, ends[1].3), (89, Some(Afterwards::Nothing)));
    }
}
