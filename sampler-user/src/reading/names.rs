//! What the cgroups of a recording are called: by the names in it, or else by their paths.

use crate::containers::runtimes::identify;
use crate::model::event::EventKind;
use crate::model::identity::{Identity, Names};
use crate::model::recording::TimedEvent;
use crate::store::scan::Recording;

/// Takes the names in events.
pub fn learn(names: &mut Names, events: &[TimedEvent]) {
    for event in events {
        if let (EventKind::Named(identity), Some(cgroup)) = (&event.event.what, &event.event.cgroup) {
            names.learn(cgroup, identity);
        }
    }
}

/// The names of recordings.
#[derive(Debug, Default)]
pub struct Named(Names);

impl Named {
    /// Of one recording, of all its time: a name was recorded when its cgroup appeared, which may be before the part that is asked for.
    pub fn read(recording: &mut Recording) -> Named {
        let mut named = Named::default();
        named.add(recording);
        named
    }

    /// Takes those of one more recording.
    pub fn add(&mut self, recording: &mut Recording) {
        self.learn(&recording.events(i64::MIN..i64::MAX));
    }

    /// Takes those in events.
    pub fn learn(&mut self, events: &[TimedEvent]) {
        learn(&mut self.0, events);
    }

    /// Who a cgroup is, as far as its path or its runtime shows it.
    pub fn who(&self, cgroup: &str) -> Option<Identity> {
        self.0.of(cgroup, identify)
    }

    /// What a cgroup is called.
    pub fn title(&self, cgroup: &str) -> Option<String> {
        self.who(cgroup)?.title()
    }
}
