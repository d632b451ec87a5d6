//! What happened in a recording, and when: kills, and ends without a goodbye.

use serde::{Deserialize, Serialize};

use super::death::{self, Death};
use crate::event::What;
use crate::evidence::{Constraint, OomKill};
use crate::recording::{Origin, TimedEvent};

/// Kills of one limit within this time are one incident: the kernel goes on until there is room.
const ONE_US: i64 = 10_000_000;

/// What kind of incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The OOM killer came.
    OomKill,
    /// The recording ends without the agent's goodbye.
    AbruptEnd,
    /// A process ended by a signal or a failure, and not by the OOM killer.
    Death,
}

/// What came after an end without a goodbye.
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
pub struct Occurrence {
    /// What kind.
    pub kind: Kind,
    /// When it began, microseconds since 1970.
    pub at_us: i64,
    /// The kills, with their times.
    pub kills: Vec<(i64, OomKill)>,
    /// What came after it, of an abrupt end.
    pub afterwards: Option<Afterwards>,
    /// The process that ended, of a death.
    pub death: Option<Box<Death>>,
}

/// The incidents in the order of time. `last_us` tells the last row or event before a time; `runs_on` that an agent still
/// records, so that the end of the recording is none.
pub fn find(
    events: &[TimedEvent],
    origins: &[Origin],
    last_us: &dyn Fn(i64) -> Option<i64>,
    runs_on: bool,
) -> Vec<Occurrence> {
    let mut found: Vec<Occurrence> = Vec::new();
    // A recording that was imported has no agent, and no end to speak of.
    let mut begun: Option<i64> = None;
    for event in events {
        match &event.event.what {
            What::OomKill(kill) => match found.iter_mut().rev().find(|o| o.takes(event.time_us, kill)) {
                Some(occurrence) => occurrence.kills.push((event.time_us, (**kill).clone())),
                None => found.push(Occurrence {
                    kind: Kind::OomKill,
                    at_us: event.time_us,
                    kills: vec![(event.time_us, (**kill).clone())],
                    afterwards: None,
                    death: None,
                }),
            },
            What::AgentStart { .. } => {
                let before = begun.replace(event.time_us);
                found.extend(before.and_then(|_| end(event.time_us, origins, last_us)));
            }
            What::AgentStop { .. } => begun = None,
            _ => {}
        }
    }
    if begun.is_some() && !runs_on {
        found.extend(end(i64::MAX, origins, last_us));
    }
    found.extend(death::find(events).into_iter().map(|death| Occurrence {
        kind: Kind::Death,
        at_us: death.time_us,
        kills: Vec::new(),
        afterwards: None,
        death: Some(death.into()),
    }));
    found.sort_by_key(|occurrence| occurrence.at_us);
    found
}

/// The end before a time.
fn end(before_us: i64, origins: &[Origin], last_us: &dyn Fn(i64) -> Option<i64>) -> Option<Occurrence> {
    let at_us = last_us(before_us)?;
    let wall = |origin: &Origin| origin.anchor.wall_us(origin.anchor.mono_ns);
    let ended = origins.iter().rev().find(|origin| wall(origin) <= at_us);
    let next = origins.iter().find(|origin| wall(origin) > at_us);
    let afterwards = match (ended, next) {
        (Some(ended), Some(next)) if ended.boot_id == next.boot_id => Afterwards::SameBoot,
        (_, Some(_)) => Afterwards::NewBoot,
        (_, None) => Afterwards::Nothing,
    };
    Some(Occurrence { kind: Kind::AbruptEnd, at_us, kills: Vec::new(), afterwards: Some(afterwards), death: None })
}

/// Whether a witness told whose limit it was.
pub fn is_known(kill: &OomKill) -> bool {
    match kill.constraint {
        Constraint::Unknown => false,
        Constraint::Memcg => kill.limit_cgroup.is_some(),
        _ => true,
    }
}

impl Occurrence {
    /// Whether a kill belongs to it.
    fn takes(&self, time_us: i64, kill: &OomKill) -> bool {
        let Some((last_us, last)) = self.kills.last() else { return false };
        if time_us - last_us > ONE_US {
            return false;
        }
        !is_known(kill)
            || !is_known(last)
            || (last.constraint == kill.constraint && last.limit_cgroup == kill.limit_cgroup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::time::Anchor;

    fn kill(limit: &str) -> What {
        What::OomKill(Box::new(OomKill {
            time_ns: 0,
            constraint: Constraint::Memcg,
            victim_cgroup: Some(limit.into()),
            limit_cgroup: Some(limit.into()),
            victim: None,
            witnesses: Vec::new(),
            report: None,
            probe: None,
        }))
    }

    fn origin(boot: &str, at_us: i64) -> Origin {
        let anchor = Anchor { mono_ns: 0, wall_ns: at_us as u64 * 1000 };
        Origin { boot_id: boot.into(), ..Origin::example(anchor) }
    }

    fn start() -> What {
        What::AgentStart { version: String::new(), interval_us: 1, slow_interval_us: 1 }
    }

    fn found(
        events: Vec<(i64, What)>,
        origins: &[Origin],
        runs_on: bool,
    ) -> Vec<(Kind, i64, usize, Option<Afterwards>)> {
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
        let want = [(Kind::OomKill, 5, 2, None), (Kind::OomKill, 6, 1, None), (Kind::OomKill, 40, 1, None)];
        assert_eq!(found(events, &[], true), want);
    }

    #[test]
    fn an_end_without_a_goodbye_is_one_and_says_what_came_after() {
        let stop = What::AgentStop { reason: String::new() };
        let goodbye = vec![(0, start()), (30, stop)];
        assert!(found(goodbye, &[origin("a", 0)], false).is_empty());
        let twice = vec![(0, start()), (60, start())];
        let ends = found(twice.clone(), &[origin("a", 0), origin("a", 60_000_000)], true);
        assert_eq!(ends, [(Kind::AbruptEnd, 59, 0, Some(Afterwards::SameBoot))]);
        let ends = found(twice, &[origin("a", 0), origin("b", 60_000_000)], false);
        assert_eq!(ends[0].3, Some(Afterwards::NewBoot));
        assert_eq!((ends[1].1, ends[1].3), (89, Some(Afterwards::Nothing)));
    }
}
