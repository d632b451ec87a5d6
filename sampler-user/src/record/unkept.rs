//! The cgroups whose files are not kept open, because there are more than the limit of open files allows: they are read in turns.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::event::{Event, EventKind};
use crate::record::protect;
use crate::record::sampler::IN_TURNS;

/// The cgroups that are read in turns.
#[derive(Debug)]
pub struct Unkept {
    /// Their kernfs ids, by path.
    pub cgroups: BTreeMap<String, u64>,
    is_recorded: bool,
    interval: Duration,
    slow_interval: Duration,
}

impl Unkept {
    /// None yet.
    pub fn new(interval: Duration, slow_interval: Duration) -> Unkept {
        Unkept { cgroups: BTreeMap::new(), is_recorded: false, interval, slow_interval }
    }

    /// What is to be recorded: which are read in turns and how often, of `all` that are sampled; and when there is room for all again.
    pub fn events(&mut self, all: u64) -> Vec<Event> {
        let is_any = !self.cgroups.is_empty();
        if is_any == self.is_recorded {
            return Vec::new();
        }
        self.is_recorded = is_any;
        if !is_any {
            let reason = "the files of all cgroups are kept open again".into();
            return vec![Event::now(rate(self.interval, reason))];
        }
        let count = self.cgroups.len();
        let every = |interval: Duration| interval * u32::try_from(count.div_ceil(IN_TURNS)).unwrap_or(u32::MAX);
        let fast = every(self.interval);
        let what = format!(
            "{} (`ulimit -n`): the files of {count} of {all} cgroups are not kept open but read in turns, each every {:.1} s, slow fields \
             every {:.1} s; their notices are not seen (`rate_changed` has their names)",
            protect::descriptors(),
            fast.as_secs_f64(),
            every(self.slow_interval).as_secs_f64()
        );
        let one = |path: &String| Event::of(path, rate(fast, "no open files are left for it".into()));
        std::iter::once(Event::now(EventKind::Degraded { what })).chain(self.cgroups.keys().map(one)).collect()
    }
}

fn rate(interval: Duration, reason: String) -> EventKind {
    EventKind::RateChanged { interval_us: interval.as_micros() as u64, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_read_in_turns_are_recorded_once_with_their_rate() {
        let mut unkept = Unkept::new(Duration::from_millis(100), Duration::from_secs(1));
        assert!(unkept.events(10).is_empty());
        unkept.cgroups.extend((0..450).map(|n| (format!("/c{n}"), n)));
        let events = unkept.events(1000);
        assert!(unkept.events(1000).is_empty());
        assert_eq!(events.len(), 451);
        let EventKind::Degraded { what } = &events[0].what else { panic!("{:?}", events[0]) };
        assert!(
            what.contains("450 of 1000 cgroups") && what.contains("every 0.3 s") && what.contains("every 3.0 s"),
            "{what}"
        );
        assert!(matches!(events[1].what, EventKind::RateChanged { interval_us: 300_000, .. }));
        unkept.cgroups.clear();
        assert!(matches!(
            unkept.events(5)[..],
            [Event { cgroup: None, what: EventKind::RateChanged { interval_us: 100_000, .. }, .. }]
        ));
    }
}
