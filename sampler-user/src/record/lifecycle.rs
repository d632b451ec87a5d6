//! The cgroups that come and go, as inotify and the probe report them: each life is recorded once.

use std::collections::{HashMap, VecDeque};

use crate::kernel::cgroupfs::tree::Selection;
use crate::model::event::{Event, EventKind};
use crate::model::shrink::shrink;
use crate::record::effect::Effect;

/// Removed cgroups whose paths are remembered: events of them may still come.
const REMEMBERED: usize = 256;

/// Who reported the whole life of a brief cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reporter {
    Inotify,
    Probe,
}

/// A cgroup that the probe saw made, and the tree has not shown yet.
#[derive(Debug)]
struct Made {
    id: u64,
    time_ns: u64,
    path: String,
}

/// The cgroups, by path and by kernfs id.
#[derive(Debug)]
pub struct Lifecycle {
    selection: Selection,
    /// All that exist, by id; those that are not sampled too: a signal may come from them.
    paths: HashMap<u64, String>,
    /// Those that are sampled, by path.
    sampled: HashMap<String, u64>,
    removed: VecDeque<(u64, String)>,
    /// A brief one never shows in the tree.
    made: VecDeque<Made>,
    /// Brief ones whose whole life one of the two reported: the other may report it as well.
    brief: VecDeque<(String, Reporter)>,
}

impl Lifecycle {
    /// No cgroups yet.
    pub fn new(selection: Selection) -> Lifecycle {
        Lifecycle {
            selection,
            paths: HashMap::new(),
            sampled: HashMap::new(),
            removed: VecDeque::with_capacity(REMEMBERED),
            made: VecDeque::with_capacity(REMEMBERED),
            brief: VecDeque::with_capacity(REMEMBERED),
        }
    }

    /// Kernfs ids of the sampled cgroups.
    pub fn sampled_ids(&self) -> impl Iterator<Item = u64> {
        self.sampled.values().copied()
    }

    /// Number of sampled cgroups.
    pub fn sampled(&self) -> u64 {
        self.sampled.len() as u64
    }

    /// Path of a cgroup that exists or existed lately.
    pub fn path_of(&self, id: u64) -> Option<String> {
        // 0 is "unknown", and the id of those that were gone before they could be looked at.
        if id == 0 {
            return None;
        }
        let removed = || self.removed.iter().rev().find(|(removed, _)| *removed == id).map(|(_, path)| path);
        let made = || self.made.iter().rev().find(|made| made.id == id).map(|made| &made.path);
        self.paths.get(&id).or_else(removed).or_else(made).cloned()
    }

    /// The same, if the cgroup is selected.
    pub fn selected_path_of(&self, id: u64) -> Option<String> {
        self.path_of(id).filter(|path| self.selection.wants(path))
    }

    /// A cgroup shows in the tree; `is_new` if it came while recording.
    pub fn appeared(&mut self, now_ns: u64, path: String, id: u64, is_new: bool, effects: &mut Vec<Effect>) {
        if id == 0 {
            // It was gone before it could be looked at.
            if self.is_reported(&path, Reporter::Inotify) {
                return;
            }
        } else {
            self.paths.insert(id, path.clone());
        }
        if !self.selection.wants(&path) {
            return;
        }
        self.made.retain(|made| made.id != id);
        effects.push(Effect::Number { path: path.clone(), id });
        if is_new {
            effects.push(record(now_ns, &path, EventKind::CgroupCreated));
        }
        self.sampled.insert(path.clone(), id);
        effects.push(Effect::Sample { path, id });
        effects.push(Effect::ProbeCgroup(id));
    }

    /// A cgroup is gone from the tree. Returns whether it was sampled.
    pub fn disappeared(&mut self, now_ns: u64, path: String, id: u64, effects: &mut Vec<Effect>) -> bool {
        let was_sampled = self.sampled.remove(&path).is_some();
        if was_sampled {
            effects.push(record(now_ns, &path, EventKind::CgroupRemoved));
            effects.push(Effect::Remove { path: path.clone() });
        }
        self.paths.remove(&id);
        shrink(&mut self.paths);
        shrink(&mut self.sampled);
        effects.push(Effect::ProbeForget(id));
        remember(&mut self.removed, (id, path));
        was_sampled
    }

    /// The probe saw a cgroup made. Most show in the tree as well, where they are read from then on.
    pub fn probe_made(&mut self, time_ns: u64, id: u64, path: String, effects: &mut Vec<Effect>) {
        if !self.selection.wants(&path) {
            return;
        }
        effects.push(Effect::ProbeCgroup(id));
        if self.sampled.get(&path).is_none_or(|known| *known != id) {
            remember(&mut self.made, Made { id, time_ns, path });
        }
    }

    /// The probe saw a cgroup removed; `last` is its peak in bytes and its OOM kills.
    pub fn probe_removed(
        &mut self,
        time_ns: u64,
        id: u64,
        path: String,
        last: Option<(u64, u64)>,
        effects: &mut Vec<Effect>,
    ) {
        if !self.selection.wants(&path) {
            return;
        }
        let made = self.made.iter().position(|made| made.id == id).and_then(|at| self.made.remove(at));
        let brief = made.filter(|_| !self.sampled.contains_key(&path) && !self.is_reported(&path, Reporter::Probe));
        if let Some(made) = &brief {
            effects.push(record(made.time_ns, &path, EventKind::CgroupCreated));
        }
        if let Some((peak, oom_kills)) = last {
            effects.push(record(time_ns, &path, EventKind::CgroupLast { peak, oom_kills }));
        }
        if brief.is_some() {
            effects.push(record(time_ns, &path, EventKind::CgroupRemoved));
            effects.push(Effect::ProbeForget(id));
            remember(&mut self.removed, (id, path));
        }
    }

    /// Whether the other of the two reported this brief cgroup already. If not, remembers that this one does.
    fn is_reported(&mut self, path: &str, by: Reporter) -> bool {
        let other = self.brief.iter().position(|(reported, reporter)| reported == path && *reporter != by);
        match other {
            Some(at) => drop(self.brief.remove(at)),
            None => remember(&mut self.brief, (path.to_owned(), by)),
        }
        other.is_some()
    }
}

fn record(mono_ns: u64, path: &str, what: EventKind) -> Effect {
    Effect::Record(Event { mono_ns, cgroup: Some(path.to_owned()), what })
}

/// Remembers one of the last [`REMEMBERED`].
fn remember<T>(last: &mut VecDeque<T>, one: T) {
    if last.len() == REMEMBERED {
        last.pop_front();
    }
    last.push_back(one);
}
