//! The restart loops of all cgroups of a recording.

use std::collections::BTreeMap;

use crate::analysis::leak::track::Track;
use crate::analysis::lives::{Ended, Kill, Loop, loop_of, of_tracks};
use crate::analysis::workloads::key;
use crate::model::event::EventKind;
use crate::model::evidence::OomKill;
use crate::model::identity::Identity;
use crate::model::recording::TimedEvent;

/// What the lives of each workload say together.
#[derive(Debug, Default)]
pub struct Loops {
    of: BTreeMap<String, Option<Loop>>,
    keys: BTreeMap<String, String>,
}

impl Loops {
    /// From the tracks of all cgroups by path, and the kills among the events. `who` names a cgroup.
    pub fn of<'a>(
        tracks: impl Iterator<Item = (&'a str, &'a Track)>,
        events: &'a [TimedEvent],
        who: &dyn Fn(&str) -> Option<Identity>,
    ) -> Loops {
        let mut loops = Loops::default();
        let key = |path: &str| key(path, who(path).as_ref());
        let mut workloads: BTreeMap<String, Vec<(&str, &Track)>> = BTreeMap::new();
        for (path, track) in tracks {
            let name = key(path);
            loops.keys.insert(path.to_owned(), name.clone());
            workloads.entry(name).or_default().push((path, track));
        }
        let mut kills: BTreeMap<String, Vec<Kill<'_>>> = BTreeMap::new();
        for (time_us, kill) in killed(events) {
            let Some(path) = kill.victim_cgroup.as_deref() else { continue };
            let own = kill.limit_cgroup.as_deref() == Some(path);
            let limit = kill.limit().filter(|_| own);
            kills.entry(key(path)).or_default().push(Kill { time_us, cgroup: path, limit });
        }
        for (name, tracks) in workloads {
            let kills = kills.get(&name).map_or(&[][..], Vec::as_slice);
            let lives = of_tracks(&tracks, kills);
            // Without events the counters of the rows are asked.
            let times: Vec<i64> = match kills {
                [] => lives.iter().filter(|life| life.ended == Ended::OomKill).map(|life| life.to_us).collect(),
                kills => kills.iter().map(|kill| kill.time_us).collect(),
            };
            let said = times.last().and_then(|last| loop_of(&lives, &times, *last));
            loops.of.insert(name, said);
        }
        loops
    }

    /// The loop of the workload that a cgroup is a life of.
    pub fn of_path(&self, path: &str) -> Option<&Loop> {
        self.of.get(self.keys.get(path)?)?.as_ref()
    }
}

/// The kills among the events, in the order of time.
pub fn killed(events: &[TimedEvent]) -> impl Iterator<Item = (i64, &OomKill)> {
    events.iter().filter_map(|event| match &event.event.what {
        EventKind::OomKill(kill) => Some((event.time_us, &**kill)),
        _ => None,
    })
}

/// What kills report of cgroups that hit their own limit: path; time, limit and usage.
pub fn facts_of(events: &[TimedEvent]) -> impl Iterator<Item = (&str, (i64, u64, Option<u64>))> {
    killed(events).filter_map(|(time_us, kill)| {
        let usage = kill.usage()?;
        Some((kill.limit_cgroup.as_deref()?, (time_us, usage.limit?, Some(usage.usage))))
    })
}
